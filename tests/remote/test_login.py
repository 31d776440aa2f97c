"""Logging in beside one another: a wrong password is told once, and nobody waits for more than that."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ftpsyncd.errors import (
    LoginRefusedError,
    NameNotSendableError,
    NotSupportedError,
    RemoteError,
    Retry,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
)
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import TlsMode
from tests.contract.remotes import job, publish
from tests.remote.scripted import QUICK, Act, Connection, Scripted, hang_up, silence
from tests.remote.test_misbehaving import server_context
from tests.servers import certificates, running
from tests.waiting import until

PATIENT = Timeouts(connect_s=60, reply_s=60, close_s=1)
SESSIONS = 4


class Doorkeeper:
    """Says nothing about a password until everybody has told a name."""

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict
        self.names = 0
        self.everybody = threading.Event()

    async def user(self, connection: Connection, _name: str) -> None:
        self.names += 1
        await connection.say("331 Password?")

    async def password(self, connection: Connection, _word: str) -> None:
        until_then = connection.server._loop.run_in_executor(None, self.everybody.wait, 60)
        assert await until_then
        await connection.say(self.verdict)


def together(account: Account, keeper: Doorkeeper) -> list[Session | LoginRefusedError]:
    def one() -> Session | LoginRefusedError:
        try:
            return account()
        except LoginRefusedError as error:
            return error

    with ThreadPoolExecutor(SESSIONS) as pool:
        waiting = [pool.submit(one) for _ in range(SESSIONS)]
        until(lambda: keeper.names == SESSIONS, "all have told their names")
        keeper.everybody.set()
        return [each.result(60) for each in waiting]


@pytest.mark.parametrize("count", [1, 2])
def test_a_wrong_password_is_told_once(count):
    keeper = Doorkeeper("530 Login incorrect.")
    with Scripted(USER=keeper.user, PASS=keeper.password) as server:
        account = Account(server.spec(), timeouts=PATIENT)
        for _ in range(count):
            found = together(account, keeper)
            assert [type(each) for each in found] == [LoginRefusedError] * SESSIONS
            assert {str(each) for each in found} == {str(found[0])}
            keeper.names = 0
            keeper.everybody.clear()
        # Whoever comes later tries again: it may have been corrected.
        assert server.verbs().count("PASS") == count


def test_one_that_was_changed_is_told_once():
    """The one before was right: nobody knows better before the server has said so."""
    keeper = Doorkeeper("530 Login incorrect.")
    with Scripted(USER=keeper.user, PASS=["230 Welcome.", *[keeper.password] * SESSIONS]) as server:
        account = Account(server.spec(), timeouts=PATIENT)
        account().close()
        keeper.names = 0
        counted: list[int] = []
        account.refused = lambda _error: counted.append(account.refusals)
        found = together(account, keeper)
        assert [type(each) for each in found] == [LoginRefusedError] * SESSIONS
        assert server.verbs().count("PASS") == 2
        assert (counted, account.refusals) == ([0], 1)


def test_a_right_one_lets_all_in():
    keeper = Doorkeeper("230 Welcome.")
    with Scripted(USER=keeper.user, PASS=keeper.password) as server:
        account = Account(server.spec(), timeouts=PATIENT)
        greeted: list[int] = []
        account.greeted = lambda: greeted.append(1)
        found = together(account, keeper)
        assert server.verbs().count("PASS") == SESSIONS
        assert len(greeted) == SESSIONS
        for session in found:
            assert isinstance(session, Session)
            session.close()


def test_a_refusal_is_told_before_it_counts():
    """A session that begins when it counts would tell the password again: it must find out another way by then."""
    with Scripted(PASS="530 Login incorrect.") as server:
        account = Account(server.spec(), timeouts=PATIENT)
        counted: list[int] = []
        account.refused = lambda _error: counted.append(account.refusals)
        for _ in range(2):
            with pytest.raises(LoginRefusedError):
                account()
        assert counted == [0, 1]
        assert account.refusals == 2


@pytest.mark.parametrize("where", ["PASS", "STOR", "SIZE"])
def test_a_server_that_repeats_the_password_does_not_have_it_told(where: str):
    """FTP gateways and debugging servers do; what a server says is kept in errors, history and log."""
    password = "Hunter-2 and more"

    async def repeat(connection: Connection, _argument: str) -> None:
        said = next(line for line in connection.server.log if line.startswith("PASS "))
        await connection.say(f"530-You said: {said}\n530 That is, {said.removeprefix('PASS ')}.")

    with Scripted({where: repeat}) as server:
        account = Account(server.spec(password=lambda: password), timeouts=PATIENT)
        try:
            with account() as session:
                (error,) = [result.error for result in publish(session, job("/a"))]
        except RemoteError as refused:
            error = refused
        assert isinstance(error, RemoteError)
        assert "You said" in error.reply
        seen: BaseException | None = error
        while seen is not None:
            assert password not in f"{seen} {seen!r} {vars(seen)} {account!r}"
            seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize("field", ["user", "password"])
def test_one_that_has_no_form_on_the_wire_is_told_without_it(field: str):
    """Half of an emoji, say, as programs make it that cut text by UTF-16."""
    with Scripted() as server:
        secret = "Hunter-2\ud83d"
        account = Account(server.spec(**{field: (lambda: secret) if field == "password" else secret}), timeouts=PATIENT)
        with pytest.raises(NameNotSendableError) as caught:
            account()
        assert "Hunter-2" not in f"{caught.value!r} {caught.value.__cause__!r}"
        assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("encoding", "asked"),
    [("utf-8", True), ("UTF8", True), ("latin-1", False)],
)
def test_utf8_is_agreed_on_where_names_are_in_it(encoding: str, asked: bool):  # noqa: FBT001
    with Scripted() as server, Account(server.spec(encoding=encoding), timeouts=PATIENT)() as session:
        session.noop()
        assert ("OPTS UTF8 ON" in server.log) is asked
        assert session.profile.utf8 is asked


KNOWN = "220 (vsFTPd 3.0.3)"
REST = ["FEAT", "TYPE I", "OPTS UTF8 ON"]


def at_pass(server: Scripted) -> list[int]:
    """How many lines came in one go, from each PASS on."""
    return [count for line, count in zip(server.log, server.batches, strict=True) if line.startswith("PASS")]


class TestOneGo:
    """What follows a login depends on nothing but it: a server that reads in turn gets all of that with the password."""

    def test_a_known_server_is_told_all_at_once(self):
        with Scripted(GREETING=KNOWN) as server, Account(server.spec(), timeouts=PATIENT)() as session:
            assert server.log == ["USER u", "PASS p", *REST]
            assert at_pass(server) == [4]
            assert "MFMT" in session.profile.features

    def test_not_the_password_before_it_is_asked_for(self):
        """A server that wants TLS refuses the name, so that no password travels in clear text."""
        with Scripted(GREETING=KNOWN, USER="530 Non-anonymous sessions must use encryption.") as server:
            with pytest.raises(LoginRefusedError, match="must use encryption") as caught:
                Account(server.spec(), timeouts=PATIENT)()
            assert "`tls: explicit`" in caught.value.remedy
            assert server.log == ["USER u"]

    @pytest.mark.parametrize(
        ("tls", "replies", "said"),
        [
            (TlsMode.OFF, {"USER": "421 Sorry, cleartext sessions are not accepted."}, "`tls: explicit`"),
            (TlsMode.EXPLICIT, {"AUTH": "530 Please login with USER and PASS."}, "`tls: off`"),
            (TlsMode.EXPLICIT, {"AUTH": "502 Not implemented."}, "`tls: off`"),
            (TlsMode.EXPLICIT, {"AUTH": "534 Not with this policy."}, "`tls: off`"),
            (TlsMode.EXPLICIT, {"GREETING": lambda connection, _: connection.silence()}, "`tls: implicit`"),
            (TlsMode.OFF, {"GREETING": lambda connection, _: connection.silence()}, "`tls: implicit`"),
            (TlsMode.IMPLICIT, {}, "`tls: explicit`"),
        ],
    )
    def test_where_tls_does_not_fit_the_server_the_key_is_named(self, tls, replies, said):
        hasty = Timeouts(connect_s=60, reply_s=0.3, close_s=1)
        with Scripted(**replies) as server, pytest.raises(RemoteError) as caught:
            Account(server.spec(tls=tls), timeouts=hasty)()
        assert said in caught.value.remedy

    @pytest.mark.parametrize("refusal", ["431 Failed to setup secure session.", "454 TLS is not available just now."])
    def test_tls_that_is_lacking_for_the_moment_is_no_reason_to_do_without(self, refusal):
        """RFC 2228 §4: a resource that it needs is not there (IIS without its certificate); 534 and 504 are for good."""
        with Scripted(AUTH=refusal) as server, pytest.raises(ServerUnavailableError) as caught:
            Account(server.spec(tls=TlsMode.EXPLICIT), timeouts=PATIENT)()
        assert caught.value.message == f"The server cannot begin TLS now: {refusal}"
        assert caught.value.retry is Retry.SERVER
        assert "certificate" in caught.value.remedy
        assert "off" not in caught.value.remedy
        assert server.verbs() == ["AUTH"]

    @pytest.mark.parametrize(
        ("tls", "greeting", "answers"),
        [
            (TlsMode.EXPLICIT, "220 mail.example.com ESMTP Postfix", {"AUTH": "503 5.5.1 authentication not enabled"}),
            (TlsMode.OFF, "220 mail.example.com ESMTP Postfix", {"USER": "502 5.5.2 command not recognized"}),
            (TlsMode.OFF, "200 news.example.com ready", {"USER": "500 What?"}),
            (TlsMode.OFF, "200 news.example.com ready", {"USER": "502 What?"}),
            (TlsMode.EXPLICIT, "SSH-2.0-OpenSSH_9.2p1 Debian-2", {}),
        ],
        ids=["mail and TLS", "mail", "news", "other news", "SSH"],
    )
    def test_another_service_is_no_reason_to_do_without_tls_or_to_look_at_the_password(self, tls, greeting, answers):
        with Scripted(GREETING=greeting, **answers) as server, pytest.raises(RemoteError) as caught:
            Account(server.spec(tls=tls), timeouts=PATIENT)()
        assert "port" in caught.value.remedy
        assert "what answers there" in caught.value.remedy
        assert not {"PASS"} & set(server.verbs())

    @pytest.mark.parametrize(
        ("tls", "replies", "wrong"),
        [
            (TlsMode.OFF, {"USER": "530 Not you."}, "tls"),
            (TlsMode.OFF, {"USER": "530 Not you."}, "what answers there"),
            (TlsMode.OFF, {"PASS": "502 Not here."}, "what answers there"),
            (TlsMode.OFF, {"TYPE": "SSH-2.0-OpenSSH"}, "SSH"),
            (TlsMode.OFF, {"USER": silence}, "tls"),
            (TlsMode.EXPLICIT, {"GREETING": "421 Too many."}, "TLS"),
            (TlsMode.EXPLICIT, {"AUTH": "421 Too many."}, "TLS"),
            (TlsMode.EXPLICIT, {"AUTH": hang_up}, "tls: off"),
            (TlsMode.IMPLICIT, {"GREETING": silence}, "tls: implicit"),
        ],
    )
    def test_where_it_is_something_else_neither_tls_nor_the_service_is_blamed(self, tls, replies, wrong):
        timeouts = QUICK if silence in replies.values() else PATIENT
        with Scripted(**replies) as server, pytest.raises(RemoteError) as caught:
            Account(server.spec(tls=tls), timeouts=timeouts)()
        assert wrong not in caught.value.remedy

    @pytest.mark.parametrize("reply", ["530 Use encryption.", "450 Later.", "421 Later."])
    def test_nor_is_it_behind_tls(self, reply):
        with Scripted(USER=reply, tls=server_context()) as server, pytest.raises(RemoteError) as caught:
            Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=certificates().ca), timeouts=PATIENT)()
        assert "tls" not in caught.value.remedy
        assert "TLS" not in caught.value.remedy

    @pytest.mark.parametrize("reply", ["332 Need account for login.", "331 And another password?"])
    def test_a_server_that_wants_more_than_a_password_has_let_nobody_in(self, reply):
        with Scripted(PASS=reply) as server, pytest.raises(LoginRefusedError):
            Account(server.spec(), timeouts=PATIENT)()

    def test_a_password_of_bytes_that_are_no_text_is_told_as_it_is(self):
        """A file of a secret that was written in another encoding."""
        with Scripted() as server, Account(server.spec(password=lambda: "p\udcfc"), timeouts=PATIENT)():
            assert "PASS p\xfc" in server.log

    @pytest.mark.parametrize("reply", ["234 Go on.", "334 Go on.", "200 Go on."])
    def test_each_word_by_which_servers_begin_tls_is_one(self, reply):
        async def auth(connection: Connection, _argument: str) -> None:
            await connection.say(reply)
            assert connection.server.tls is not None
            await connection.writer.start_tls(connection.server.tls)

        with Scripted(AUTH=auth, tls=server_context()) as server:
            spec = server.spec(tls=TlsMode.EXPLICIT, tls_ca=certificates().ca)
            with Account(spec, timeouts=PATIENT)() as session:
                assert session.control.context is not None
            assert server.verbs()[:2] == ["AUTH", "USER"]

    def test_files_are_not_sent_in_clear_text_behind_a_protected_login(self):
        with Scripted(PROT="536 Not here.", tls=server_context()) as server, pytest.raises(TlsError) as caught:
            Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=certificates().ca), timeouts=PATIENT)()
        assert "does not encrypt data" in caught.value.remedy
        assert caught.value.reply == "536 Not here."

    def test_another_server_is_told_one_thing_after_the_other(self):
        with Scripted(GREETING="220 Hello.") as server, Account(server.spec(), timeouts=PATIENT)():
            assert server.log == ["USER u", "PASS p", *REST]
            assert at_pass(server) == [1]

    def test_nor_is_one_that_cannot_take_several_commands(self):
        with Scripted(GREETING=KNOWN) as server:
            account = Account(server.spec(), profile=Profile(pipelining=False), timeouts=PATIENT)
            with account():
                assert set(server.batches) == {1}

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            ("530 Login incorrect.", LoginRefusedError),
            ("530 Sorry, too many connections.", TooManyConnectionsError),
            ("421 Shutting down.", ServerUnavailableError),
        ],
    )
    def test_a_refusal_is_the_passwords_and_told_once(self, reply: str, kind: type[RemoteError]):
        with Scripted(GREETING=KNOWN, PASS=reply, FEAT="530 Please login.", TYPE="530 Please login.") as server:
            account = Account(server.spec(), timeouts=PATIENT)
            with pytest.raises(kind) as raised:
                account()
            assert raised.value.reply == reply
            assert server.verbs().count("PASS") == 1
            assert server.connections == 1
            assert account.profile.pipelining
            assert account.profile.doubts == 0

    @pytest.mark.parametrize("greeting", [KNOWN, "220 Hello."])
    def test_a_530_to_what_follows_the_login_is_no_refusal_of_the_password(self, greeting: str):
        """It counted as one: no other session began for a quarter of an hour, though the password was right."""
        with Scripted(GREETING=greeting, TYPE="530 Please login.") as server:
            account = Account(server.spec(), timeouts=PATIENT)
            refused: list[LoginRefusedError] = []
            account.refused = refused.append
            with pytest.raises(ServerUnavailableError, match="After the login, the server refuses: 530 Please login"):
                account()
            assert account.refusals == 0
            assert not refused

    def test_a_server_that_is_too_fast_with_what_came_with_the_password_gets_it_again(self):
        with Scripted(GREETING=KNOWN, TYPE=["530 Please login.", "200 Binary."]) as server:
            account = Account(server.spec(), timeouts=PATIENT)
            refused: list[LoginRefusedError] = []
            account.refused = refused.append
            with account() as session:
                assert session.usable
            assert not refused

    def test_a_server_that_loses_what_came_with_the_password_gets_it_again(self):
        async def deaf(connection: Connection, _word: str) -> None:
            connection.reader._buffer.clear()  # type: ignore[attr-defined]
            await connection.say("230 Welcome.")

        hasty = Timeouts(connect_s=5, reply_s=0.3, close_s=0.3)
        with Scripted(GREETING=KNOWN, PASS=deaf) as server:
            account = Account(server.spec(), timeouts=hasty)
            with account() as session:
                assert session.usable
                assert not account.profile.pipelining
            assert at_pass(server)[-1] == 1

    def test_a_server_that_takes_what_comes_together_for_one_command_is_told_one_after_the_other(self):
        """npm's ftpd: that it answers nothing more is not the fault of EPSV, which is the second one."""

        def all_in_all(verb: str) -> Act:
            async def act(connection: Connection, argument: str) -> None:
                if connection.server.batches[-1] > 1:
                    connection.reader._buffer.clear()  # type: ignore[attr-defined]
                    await connection.say("502 Command not implemented.")
                else:
                    await connection.server.default(connection, f"{verb} {argument}")

            return act

        hasty = Timeouts(connect_s=5, reply_s=0.3, close_s=0.3)
        with Scripted({verb: all_in_all(verb) for verb in ("FEAT", "EPSV")}) as server:
            account = Account(server.spec(), timeouts=hasty)
            account.ahead = True
            with account() as session:
                assert [result.error for result in publish(session, job("/a"))] == [None]
            assert (account.profile.pipelining, account.profile.epsv, account.profile.epsv_missed) == (False, True, 0)
            assert server.connections == 4

    def test_a_server_that_answers_in_another_order_is_told_one_thing_after_the_other(self):
        """aioftp has a task for each command: what it does not know is refused before what it does is done."""

        async def later(connection: Connection, _word: str) -> None:
            if connection.server.batches[-1] > 1:
                late.append("200 Binary.")
            else:
                await connection.say("200 Binary.")

        async def refused(connection: Connection, _word: str) -> None:
            await connection.say("502 'opts' not implemented")
            while late:
                await connection.say(late.pop())

        late: list[str] = []
        with Scripted(TYPE=later, OPTS=refused) as server:
            account = Account(server.spec(), timeouts=PATIENT)
            with account() as session:
                assert [result.error for result in publish(session, job("/a"))] == [None]
                assert not account.profile.pipelining
                assert "MDTM" in account.profile.features

    def test_several_find_out_at_the_same_time(self):
        """While one is still trying, none of the others says anything in another way than it was found to work."""
        together = threading.Barrier(SESSIONS)
        late: dict[Connection, str] = {}
        waited: set[Connection] = set()

        async def everybody(connection: Connection, _word: str) -> None:
            if server.connections <= SESSIONS and connection not in waited:
                waited.add(connection)
                await connection.server._loop.run_in_executor(None, together.wait, 60)
            await connection.say("331 Password?")

        async def later(connection: Connection, _word: str) -> None:
            if server.batches[-1] > 1:
                late[connection] = "200 Binary."
            else:
                await connection.say("200 Binary.")

        async def refused(connection: Connection, _word: str) -> None:
            await connection.say("502 'opts' not implemented")
            if connection in late:
                await connection.say(late.pop(connection))

        with Scripted(USER=everybody, TYPE=later, OPTS=refused) as server:
            account = Account(server.spec(), timeouts=PATIENT)
            with ThreadPoolExecutor(SESSIONS) as pool:
                for session in pool.map(lambda _: account(), range(SESSIONS)):
                    session.close()
            assert not account.profile.pipelining

    def test_a_server_without_binary_is_refused_and_no_batch_blamed(self):
        with Scripted(TYPE="502 Not here.") as server:
            account = Account(server.spec(), timeouts=PATIENT)
            with pytest.raises(NotSupportedError, match="TYPE"):
                account()
            assert account.profile.pipelining

    def test_who_waited_at_the_door_waits_for_nobody_else(self):
        """Each would otherwise wait for the login of the one before, a round trip or more each."""
        everybody = threading.Event()
        told: list[str] = []

        async def password(connection: Connection, word: str) -> None:
            told.append(word)
            if len(told) > 1:
                if len(told) == SESSIONS:
                    everybody.set()
                assert await connection.server._loop.run_in_executor(None, everybody.wait, 60)
            else:
                until_named = connection.server._loop.run_in_executor(None, all_named.wait, 60)
                assert await until_named
            await connection.say("230 Welcome.")

        all_named = threading.Event()
        named: list[str] = []

        async def user(connection: Connection, name: str) -> None:
            named.append(name)
            await connection.say("331 Password?")
            if len(named) == SESSIONS:
                all_named.set()

        with Scripted(GREETING=KNOWN, USER=user, PASS=password) as server:
            account = Account(server.spec(), timeouts=PATIENT)
            with ThreadPoolExecutor(SESSIONS) as pool:
                for session in pool.map(lambda _: account(), range(SESSIONS)):
                    session.close()
        assert len(told) == SESSIONS


@pytest.mark.real_server
@pytest.mark.parametrize(
    ("kind", "settings"),
    [("vsftpd", ("force_local_logins_ssl=NO",)), ("proftpd", ("LoadModule mod_tls.c", "TLSRequired data"))],
)
def test_one_that_lets_in_without_tls_and_wants_it_for_data_is_told_as_that(kind, settings):
    """They say 522, which is about the data connection elsewhere: each file was blamed, and tried for ever."""
    with running(kind, tls="explicit", directives=settings) as server:
        account = Account(server.spec(tls=TlsMode.OFF, tls_ca=None))
        with account() as session:
            (result,) = publish(session, job("/a"))
        with account() as session, pytest.raises(TlsError) as caught:
            session.list_dir("/")
        for error in (result.error, caught.value):
            assert type(error) is TlsError
            assert error.message.startswith("The server takes no data in clear text: 522 ")
            assert error.remedy == "Set `tls: explicit` for this server."
