"""Servers that misbehave: the right verdict, no hang beyond the time-out, nothing torn, nothing left open."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import posixpath
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, ClassVar

import pytest
import trustme

from ftpsyncd.core import names
from ftpsyncd.errors import (
    AlreadyExistsError,
    DataUnreachableError,
    FileChangedError,
    FtpsyncdError,
    InUseError,
    LocalUnreadableError,
    NameNotSendableError,
    NameRefusedError,
    NoSocketError,
    NotFoundError,
    NotSupportedError,
    ProtocolError,
    RemoteError,
    Retry,
    ServerFullError,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
    TransferFailedError,
    UnwrittenError,
    VerificationError,
)
from ftpsyncd.model import Kind
from ftpsyncd.remote import (
    PublishJob,
    RemoteEntry,
    agreeing,
    hello,
    opening,
    pour,
    remedies,
    renaming,
    sending,
    trials,
    upload,
)
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.data import DataLine
from ftpsyncd.remote.keeping import Keeper, kept, refusals
from ftpsyncd.remote.library import Ftp
from ftpsyncd.remote.opening import dial
from ftpsyncd.remote.outgoing import Outgoing
from ftpsyncd.remote.profile import MOST_WITHOUT_RENAMES, Dating, Oddity, Paths, Profile
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.verifying import checked
from ftpsyncd.remote.wire import Control, Timeouts
from ftpsyncd.specs import DataMode, TlsMode
from tests.contract.remotes import job, publish, put, raiser
from tests.remote.scripted import PATIENT, QUICK, Connection, Scripted, account, choking, hang_up, listing, silence
from tests.servers import certificates
from tests.variants import also
from tests.waiting import until

CLOSED = "229 Here (|||1|)"
"""A port that nobody listens on."""
LARGE = 20_000_000
"""More than any socket buffer takes."""


def from_disk(folder: Path, size: int = LARGE) -> PublishJob:
    """A file of the operating system, which the kernel can send."""
    (folder / "a").write_bytes(os.urandom(size))
    return job("/a", size=size, open=lambda: (folder / "a").open("rb", buffering=0))


def errors_of(results) -> list[type | None]:
    return [type(r.error) if r.error else None for r in results]


def say(text: str):
    async def act(connection: Connection, _argument: str) -> None:
        await connection.say(text)

    return act


async def farewell(connection: Connection, _argument: str) -> None:
    await connection.say("421 Service shutting down.")
    await connection.hang_up()


async def unheard(_connection: Connection, _argument: str) -> None:
    """What RNTO does: it is not answered, and what comes next is."""


async def nothing(connection: Connection, _argument: str) -> None:
    """What LIST does: an empty directory."""
    await connection.say("150 Here it comes.")
    await connection.data()
    await connection.end_data()
    await connection.say("226 Sent.")


async def not_now(connection: Connection, _argument: str) -> None:
    await connection.receive()
    await connection.end_data()
    await connection.say("450 Not now.")


def server_context() -> ssl.SSLContext:
    """A context that knows no session of another one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server)
    return context


def whole(server: Scripted) -> bool:
    """Whether what stands under final names is complete."""
    return all(content == b"content" for path, content in server.files.items() if "filepart" not in path)


def publish_three(server: Scripted):
    """Publish three files; check what holds whatever the server does."""
    acc = account(server)
    with acc() as session:
        before = time.monotonic()
        results = publish(session, job("/a"), job("/b"), job("/c"))
        assert time.monotonic() - before < 10
        assert [r.job.path for r in results] == ["/a", "/b", "/c"][: len(results)]
        assert len(results) == 3 or not session.usable
        assert whole(server)
        assert all(server.files.get(r.job.path) == b"content" for r in results if r.error is None)
        assert server.early == []
        return results, session.usable, acc


class TestHowRepliesArrive:
    def test_an_empty_line_behind_each_does_not_matter(self):
        class Windows(Scripted):
            async def default(self, connection: Connection, line: str) -> None:
                await super().default(connection, line)
                await connection.say("")

        with Windows() as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert session.stat_many(["/a", "/none"])[1] is None

    @pytest.mark.parametrize("options", [{"piece": 1}, {"piece": 3}, {"wordy": True}, {"piece": 1, "wordy": True}])
    def test_pieces_and_lines_do_not_matter(self, options):
        with Scripted(**options) as server:
            results, usable, _ = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert usable
            assert set(server.files) == {"/a", "/b", "/c"}

    def test_three_round_trips_per_file(self):
        with Scripted() as server:
            publish_three(server)
            with account(server)() as session:
                session.profile.dating = None
                publish(session, job("/warm"))
                server.log.clear()
                publish(session, *(job(f"/{n}") for n in range(4)))
            tail = ".0123abcd.filepart"
            assert server.log[:9] == [
                "EPSV",
                f"STOR /0{tail}",
                f"SIZE /0{tail}",
                f"MFMT 20200913122640 /0{tail}",
                "EPSV",
                f"RNFR /0{tail}",
                "RNTO /0",
                f"STOR /1{tail}",
                f"SIZE /1{tail}",
            ]


class TestRepliesThatNobodyAskedFor:
    def test_they_are_not_taken_for_the_answers_to_what_follows(self):
        async def twice(connection: Connection, path: str) -> None:
            await connection.server.default(connection, f"RETR {path}")
            await connection.say("226 Sent.")

        with Scripted(RETR=twice) as server, account(server)() as session:
            server.files.update({"/a": b"a", "/b": b"b"})
            session.fetch("/a", io.BytesIO())
            until(lambda: session.control.queued or session.control._poll.poll(0), "the second reply")
            with pytest.raises(ProtocolError):
                session.delete_many(["/none", "/b"])
            assert not session.usable
            assert set(server.files) == {"/a", "/b"}

    @pytest.mark.parametrize(
        "call",
        [
            ("NOOP", lambda session: session.noop()),
            ("MKD", lambda session: session.make_dir("/d")),
            ("DELE", lambda session: raiser(session.delete_many(["/a"])[0])()),
            ("RMD", lambda session: session.remove_dir("/d")),
        ],
        ids=lambda call: call[0],
    )
    def test_an_answer_that_fits_no_command_finishes_the_session(self, call):
        """Nobody knows which command the next one would answer."""
        verb, say = call
        with Scripted({verb: "331 Password?"}) as server, account(server)() as session:
            with pytest.raises(ProtocolError):
                say(session)
            assert not session.usable
            assert session.profile.doubts == 1

    @pytest.mark.parametrize("feature", ["SIZE", "MLST"])
    def test_a_yes_of_another_command_is_not_taken_for_the_word_that_nothing_is_there(self, feature):
        script = {"FEAT": f"211-Features:\n {feature}\n211 End", feature: "226 Done."}
        with Scripted(script) as server, account(server)() as session:
            server.files["/a"] = b"a"
            with pytest.raises(ProtocolError):
                session.stat_many(["/a"])
            assert not session.usable
            assert session.profile.doubts == 1

    def test_each_is_about_the_command_that_it_answers_though_some_names_could_not_be_said(self):
        with Scripted(DELE=["550 Permission denied.", None, "450 In use."]) as server, account(server)() as session:
            server.files.update({"/a": b"a", "/b": b"b", "/c": b"c"})
            verdicts = session.delete_many(["/x\r\nDELE /c", "/a", "/y\0", "/b", "/c"])
        kinds = [NameNotSendableError, NameRefusedError, NameNotSendableError, type(None), InUseError]
        assert [type(verdict) for verdict in verdicts] == kinds
        assert set(server.files) == {"/a", "/c"}

    def test_the_last_words_of_a_silent_connection_are_told(self):
        async def rest(connection: Connection, _argument: str) -> None:
            await connection.say("200 Yes.\n421 You were silent for too long.")
            await connection.hang_up()

        with Scripted(NOOP=rest) as server, account(server)() as session:
            session.noop()
            with pytest.raises(ServerUnavailableError, match="too long"):
                session.noop()

    def test_they_are_not_kept_without_bound(self):
        async def flood(connection: Connection, _argument: str) -> None:
            for _ in range(100):
                await connection.send(b"150 Go on.\r\n" * 100)
            await connection.silence()

        with Scripted(NOOP=flood) as server, account(server)() as session:

            def given_up() -> bool:
                try:
                    session.control.pump()
                except ProtocolError:
                    return True
                return False

            session.control.send([b"NOOP"])
            until(given_up, "the replies are too many")
            assert len(session.control.queued) <= 1000


class TestASignOfLife:
    @pytest.mark.parametrize(
        "reply", ["250 Fine.", "500 What?", *also("220 NOOP", "502 No.", "550 NOOP: Operation not permitted")]
    )
    def test_that_it_knows_no_noop_is_one(self, reply):
        with Scripted(NOOP=reply) as server, account(server)() as session:
            session.noop()
            assert session.usable

    @pytest.mark.parametrize("reply", ["226 Stored.", "530 Please log in."])
    def test_what_answers_something_else_is_none(self, reply):
        with Scripted(NOOP=reply) as server, account(server)() as session:
            with pytest.raises(RemoteError):
                session.noop()
            assert not session.usable


class TestTheBeginning:
    @pytest.mark.parametrize(
        ("script", "kind"),
        [
            ({"GREETING": "421 Too many users, try again later"}, TooManyConnectionsError),
            ({"GREETING": "421 Down for maintenance"}, ServerUnavailableError),
            ({"GREETING": "554 Go away"}, ServerUnavailableError),
            ({"GREETING": silence}, ServerUnavailableError),
            ({"GREETING": hang_up}, ServerUnavailableError),
            ({"GREETING": "220 " + "x" * 1_000_000}, ProtocolError),
            ({"GREETING": "220-" + "line\n" * 200_000 + "220 end"}, ProtocolError),
            ({"GREETING": "HTTP/1.1 400 Bad Request"}, ProtocolError),
            ({"GREETING": "\xff\xfb\x01\x00garbage"}, ProtocolError),
            ({"GREETING": "SSH-2.0-OpenSSH_9.2"}, ProtocolError),
            ({"USER": farewell}, ServerUnavailableError),
            ({"PASS": farewell}, ServerUnavailableError),
            ({"PASS": silence}, ServerUnavailableError),
            ({"PASS": hang_up}, ServerUnavailableError),
            ({"TYPE": farewell}, ServerUnavailableError),
            ({"FEAT": hang_up}, ServerUnavailableError),
        ],
        ids=lambda value: re.sub(r"<(?:class|function) .?([\w.]+)[^>]*>", r"\1", str(value))[:80],
    )
    def test_a_bad_one_has_a_verdict(self, script, kind):
        with Scripted(script, hangs=silence in script.values()) as server:
            with pytest.raises(FtpsyncdError) as caught:
                account(server)()
            assert type(caught.value) is kind

    def test_a_preliminary_greeting_is_waited_out(self):
        async def later(connection: Connection, _argument: str) -> None:
            await connection.say("120 Soon.")
            await connection.say("220 Now.")

        with Scripted(GREETING=later) as server, account(server)() as session:
            session.noop()

    def test_no_password_is_asked_where_none_is_needed(self):
        with Scripted(USER="230 Welcome, anybody.") as server, account(server)() as session:
            session.noop()
            assert "PASS" not in server.verbs()

    def test_a_server_without_feat_or_opts_is_served(self):
        with Scripted(FEAT="500 What?", OPTS="500 What?") as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [None] * 3

    def test_a_line_break_in_user_or_password_is_never_sent(self):
        with Scripted() as server:
            for changes in ({"user": "u\r\nDELE x"}, {"password": lambda: "p\nDELE x"}):
                with pytest.raises(FtpsyncdError):
                    account(server, **changes)()
            assert "DELE" not in server.verbs()


class TestNotLoggedIn:
    """530 behind the login: it is forgotten, which another session mends, or a right is lacking."""

    DONE: ClassVar[dict[str, Callable[[Session], Any]]] = {
        "STOR": lambda session: publish(session, job("/a"))[0].error,
        "RNFR": lambda session: publish(session, job("/a"))[0].error,
        "RNTO": lambda session: publish(session, job("/a"))[0].error,
        "DELE": lambda session: session.delete_many(["/old"])[0],
        "MKD": lambda session: session.make_dir("/d"),
        "RMD": lambda session: session.remove_dir("/there"),
    }

    @classmethod
    def error(cls, session: Session, verb: str) -> Any:
        try:
            return cls.DONE[verb](session)
        except RemoteError as error:
            return error

    @pytest.mark.parametrize("verb", DONE)
    def test_a_right_that_is_lacking_ends_no_session(self, verb):
        """Each was tried over three of them, time and again, and the server paused for some."""
        with Scripted({verb: "530 Permission denied."}, LIST=nothing) as server, account(server)() as session:
            server.files["/old"] = b"x"
            server.dirs |= {"/there"}
            error = self.error(session, verb)
            assert session.usable
        if verb in {"RNFR", "RNTO"}:
            assert (error, session.profile.without_renames != "") == (None, True), "as where 550 is said of each"
        else:
            assert type(error) is NameRefusedError
            assert "530 Permission denied." in error.message

    @pytest.mark.parametrize("words", ["530 No such session.", "530 User not found."])
    def test_what_there_is_not_by_its_words_is_not_the_file(self, words):
        """It counted as deleted, and stayed at the server, known to nobody."""
        with Scripted(DELE=words) as server, account(server)() as session:
            server.files["/old"] = b"x"
            (error,) = session.delete_many(["/old"])
            assert type(error) is NameRefusedError
            assert error.message == f"The server refuses '/old': {words}"
            assert session.usable

    @pytest.mark.parametrize("verb", DONE)
    @pytest.mark.parametrize("why", ["it is forgotten", "it may be by now", "nobody knows"])
    def test_a_login_that_is_or_may_be_forgotten_is_no_fault_of_the_file(self, monkeypatch, verb, why):
        pwd = {"it is forgotten": "530 Please log in.", "nobody knows": "502 Not here."}.get(why, '257 "/" is here.')
        with (
            Scripted({verb: "530 Please log in.", "PWD": pwd}) as server,
            account(server, Profile(renamed=True))() as session,
        ):
            if why == "it may be by now":
                monkeypatch.setattr("ftpsyncd.remote.session.FORGETS_AFTER_S", 0.0)
            server.files["/old"] = b"x"
            server.dirs |= {"/there"}
            error = self.error(session, verb)
            assert not session.usable
        assert error.retry in {Retry.LOGIN, Retry.SERVER}


class TestTls:
    def test_refused_tls_ends_before_the_user_name(self):
        for reply in ("500 What?", "502 No.", "530 Log in first.", "421 No."):
            with Scripted(AUTH=reply) as server:
                with pytest.raises((TlsError, ServerUnavailableError)):
                    account(server, tls=TlsMode.EXPLICIT)()
                assert server.verbs() == ["AUTH"]

    @pytest.mark.parametrize("code", [200, 334])
    def test_another_yes_is_one(self, code):
        async def accept(connection: Connection, _argument: str) -> None:
            await connection.say(f"{code} AUTH command ok; starting TLS.")
            assert connection.server.tls is not None
            await connection.writer.start_tls(connection.server.tls)

        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        with Scripted(AUTH=accept, tls=server_context()) as server, account(server, **tls)() as session:
            assert errors_of(publish(session, job("/a"))) == [None]

    def test_a_handshake_that_hangs_ends(self):
        async def swallow(connection: Connection, _argument: str) -> None:
            await connection.say("234 Go on.")
            await connection.silence()

        began = time.monotonic()
        with Scripted(AUTH=swallow, hangs=True) as server, pytest.raises(ServerUnavailableError, match="Time-out"):
            account(server, tls=TlsMode.EXPLICIT)()
        with Scripted(GREETING=silence, hangs=True) as server, pytest.raises(ServerUnavailableError, match="Time-out"):
            account(server, tls=TlsMode.IMPLICIT)()
        assert time.monotonic() - began < Timeouts().connect_s, "the usual time"

    @pytest.mark.parametrize("trickles", [False, True], ids=["silent", "a byte at a time"])
    def test_one_on_a_data_connection_that_never_ends_does(self, trickles):
        async def never(connection: Connection, _argument: str) -> None:
            await connection.say("150 Go on.")
            connection.server.data_tls = None
            _, writer = await connection.data()
            while trickles:
                # The beginning of a record that is 771 bytes long.
                writer.write(b"\x16" if not connection.server.early else b"\x03")
                connection.server.early.append(b"")
                await writer.drain()
                await asyncio.sleep(0.1)
            await connection.silence()

        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        with Scripted(STOR=never, tls=server_context(), hangs=True) as server, account(server, **tls)() as session:
            began = time.monotonic()
            assert errors_of(publish(session, job("/a"))) == [ServerUnavailableError]
            assert time.monotonic() - began < Timeouts().connect_s, "the usual time"
            assert not session.usable

    @pytest.mark.parametrize(
        "text", ["230 You are logged in.\r\n", "230 You are logged in. "], ids=["a line", "a part"]
    )
    def test_text_before_the_handshake_is_not_believed(self, text):
        """Of what comes without its end, the server's next words would be the rest, and the user let in."""

        async def inject(connection: Connection, _argument: str) -> None:
            await connection.send(b"234 Go on.\r\n" + text.encode())
            assert connection.server.tls is not None
            await connection.writer.start_tls(connection.server.tls)

        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        with Scripted(AUTH=inject, tls=server_context()) as server:
            with pytest.raises(TlsError, match="before TLS began"):
                account(server, **tls)()
            assert server.verbs() == ["AUTH"]

    def test_a_data_connection_has_the_name_of_the_server_and_not_its_address(self, tmp_path):
        ca = trustme.CA()
        ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        control, other = (ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) for _ in range(2))
        for context in (control, other):
            ca.issue_cert("localhost").configure_cert(context)
        with Scripted(tls=control) as server:
            server.data_tls = other  # it knows no session: the certificate is looked at again
            spec = {"host": "localhost", "tls": TlsMode.EXPLICIT, "tls_ca": tmp_path / "ca.pem"}
            with account(server, **spec)() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
                assert session.control.peer != "localhost"

    @pytest.mark.parametrize("by", ["a stranger", "the same authority, for another host"])
    def test_one_whose_certificate_does_not_verify_is_told_as_that_and_no_trust_in_it_advised(self, by):
        ca, stranger = trustme.CA(), trustme.CA()
        control, other = (ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) for _ in range(2))
        ca.issue_cert("127.0.0.1").configure_cert(control)
        (stranger.issue_cert("127.0.0.1") if by == "a stranger" else ca.issue_cert("other.example.com")).configure_cert(
            other
        )
        with Scripted(tls=control) as server, ca.cert_pem.tempfile() as anchor:
            server.data_tls = other
            with account(server, tls=TlsMode.EXPLICIT, tls_ca=Path(anchor))() as session:
                (result,) = publish(session, job("/a"))
                assert type(result.error) is TlsError
                assert "certificate of the data connection does not verify, though" in result.error.message
                assert "ask whoever runs it" in result.error.remedy
                assert not any(server.files.values()), "nothing was sent"

    def test_garbage_instead_of_a_handshake_is_a_tls_error(self):
        async def garble(connection: Connection, _argument: str) -> None:
            await connection.say("234 Go on.")
            await connection.reader.read(1)
            await connection.send(b"500 This is no TLS\r\n")
            await connection.silence()

        with Scripted(AUTH=garble) as server, pytest.raises(TlsError):
            account(server, tls=TlsMode.EXPLICIT)()

    def test_data_travels_encrypted_from_the_first_on(self):
        """RFC 4217 §9: without PBSZ and PROT P the server takes data in clear text, and confirms it all the same."""
        private: list[bool] = []

        async def look(connection: Connection, path: str) -> None:
            await connection.say("150 Go on.")
            reader, writer = await connection.data()
            private.append(writer.get_extra_info("ssl_object") is not None)
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await connection.say("226 Stored.")

        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        with Scripted(STOR=look, tls=server_context()) as server, account(server, **tls)() as session:
            assert errors_of(publish(session, job("/a"))) == [None]
            assert server.files == {"/a": b"content"}
            assert private == [True]
            said = [line for line in server.log if line.partition(" ")[0] in {"AUTH", "USER", "PBSZ", "PROT", "STOR"}]
            assert said[:4] == ["AUTH TLS", "USER u", "PBSZ 0", "PROT P"]

    def test_one_that_asks_for_another_key_before_that_is_not_asked_for_ever(self, monkeypatch):
        """Where it takes one group of keys only, that was blamed, and learned anew over the next connection."""
        monkeypatch.setattr(hello, "wanted_group", lambda _answer: "prime256v1")
        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        with Scripted(PROT="536 Not with TLS.", tls=server_context()) as server:
            acc = account(server, **tls)
            for connections in (1, 3):
                with pytest.raises(TlsError, match="536"):
                    acc()
                assert server.connections == connections

    @pytest.mark.parametrize(
        "reply", ["502 Not here.", "534 Not with this policy.", "536 Not with TLS.", "431 Not now."]
    )
    def test_a_server_that_does_not_encrypt_data_is_refused(self, reply):
        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        with Scripted(PROT=reply, tls=server_context()) as server:
            with pytest.raises(TlsError) as caught:
                account(server, **tls)()
            assert caught.value.reply == reply
            assert caught.value.remedy.startswith("The server does not encrypt data")
            assert not {"EPSV", "STOR", "LIST"} & set(server.verbs())

    def test_nothing_is_sent_in_clear_text_nor_believed_where_only_the_word_is_given(self):
        seen: list[bytes] = []

        async def plain(connection: Connection, _path: str) -> None:
            await connection.say("150 Go on.")
            reader, _ = await connection.data()
            seen.append(await reader.read(1))
            await connection.end_data(reset=True)
            await connection.say("426 What was that?")

        async def deliver(connection: Connection, _path: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(b"in clear text")
            await connection.end_data()
            await connection.say("226 Sent.")

        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        # It says yes, and does nothing.
        with Scripted(PROT="200 Private.", STOR=plain, RETR=deliver, tls=server_context()) as server:
            acc = account(server, **tls)
            with acc() as session:
                assert errors_of(publish(session, job("/a"))) == [TransferFailedError]
            assert seen == [b"\x16"], "a handshake begins so, and no content"
            with acc() as session:
                came = io.BytesIO()
                with pytest.raises(TransferFailedError):
                    session.fetch("/b", came)
                assert came.getvalue() == b""

    @pytest.mark.parametrize("size", [1_000, LARGE])
    def test_no_file_is_handed_to_the_kernel_which_would_send_it_in_clear_text(self, tmp_path, size):
        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca}
        with Scripted(tls=server_context()) as server, account(server, **tls)() as session:
            assert errors_of(publish(session, from_disk(tmp_path, size))) == [None]
            assert server.files == {"/a": (tmp_path / "a").read_bytes()}

    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_a_session_that_the_server_has_forgotten_is_not_used_for_ever(self, version):
        async def insist(connection: Connection, path: str) -> None:
            await connection.say("150 Go on.")
            reader, writer = await connection.data()
            if not writer.get_extra_info("ssl_object").session_reused:
                await connection.end_data()
                await connection.say("450 TLS session of data connection has not resumed.")
                return
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await connection.say("226 Stored.")

        with Scripted(STOR=insist, tls=server_context()) as server:
            tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca, "tls_max": version}
            with account(server, **tls)() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
                server.data_tls = server_context()
                assert errors_of(publish(session, job("/b"))) == [TransferFailedError]
                assert not session.usable

    def test_one_that_was_never_resumed_is_not_to_blame(self):
        with Scripted(STOR=[None, not_now], tls=server_context()) as server:
            server.data_tls = server_context()
            with account(server, tls=TlsMode.EXPLICIT, tls_ca=certificates().ca)() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
                assert errors_of(publish(session, job("/b"))) == [TransferFailedError]
                assert session.usable


class TestAtAnyPoint:
    @pytest.mark.parametrize("verb", ["EPSV", "STOR", "SIZE", "MFMT", "RNFR", "RNTO"])
    @pytest.mark.parametrize("nth", [0, 1, 2])
    @pytest.mark.parametrize(
        "act", [farewell, hang_up, silence, say("xyz garbage")], ids=["421", "closed", "silence", "garbage"]
    )
    def test_the_end_of_the_session_loses_nothing(self, verb, nth, act):
        defaults = [None] * nth
        with Scripted({verb: [*defaults, act]}, hangs=act is silence) as server:
            results, usable, acc = publish_three(server)
            assert not usable
            assert all(isinstance(e, ServerUnavailableError) for r in results if (e := r.error))
            # A new connection finishes the work.
            server.script.clear()
            acc.timeouts = PATIENT
            done = {r.job.path for r in results if r.error is None}
            with acc() as session:
                missing = [job(p) for p in ("/a", "/b", "/c") if p not in done]
                assert errors_of(publish(session, *missing)) == [None] * len(missing)
            assert set(server.files) == {"/a", "/b", "/c"}

    @pytest.mark.parametrize("verb", ["EPSV", "STOR", "SIZE", "RNFR", "RNTO"])
    @pytest.mark.parametrize(
        "reply",
        ["550 No.", "451 Local error.", "452 Full.", "503 Bad sequence.", "200 Fine?", "350 More?", "226 Done?"],
    )
    def test_a_wrong_reply_never_makes_a_torn_file(self, monkeypatch, verb, reply):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,))
        with Scripted({verb: [None, reply]}, PASV="502 No.") as server:
            results, _, _ = publish_three(server)
            assert errors_of(results)[0] is None or reply[0] in "23"

    @pytest.mark.parametrize("verb", ["STOR", "RETR", "LIST"])
    @pytest.mark.parametrize("mode", [DataMode.PASSIVE, DataMode.ACTIVE])
    @pytest.mark.parametrize(
        "act",
        [silence, hang_up, farewell, "425 No.", "226 Done.", "150 Go.", "500 What?", "garbage"],
        ids=["silence", "closed", "421", "425", "226", "150", "500", "garbage"],
    )
    def test_no_descriptor_is_left_and_no_thread(self, monkeypatch, verb, mode, act):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,))
        hasty = Timeouts(connect_s=0.5, reply_s=0.1, stall_s=0.1, final_s=0.1, close_s=0.1)
        with Scripted({verb: act, "PORT": "200 OK", "EPRT": "200 OK"}) as server:
            before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208
            with (
                account(server, None, PATIENT, mode=mode)() as session,
                contextlib.suppress(FtpsyncdError),
            ):
                session.control.timeouts = hasty
                match verb:
                    case "STOR":
                        publish(session, job("/a"), job("/b"))
                    case "RETR":
                        session.fetch("/a", io.BytesIO())
                    case _:
                        session.list_dir("/")
            until(lambda: len(os.listdir("/proc/self/fd")) <= before, "the descriptors are closed")  # noqa: PTH208
            assert threading.active_count() <= threads


class TestTheDataConnection:
    def test_no_descriptor_for_it_is_nothing_about_the_file(self, monkeypatch):
        def none_left(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with Scripted() as server, account(server)() as session:
            monkeypatch.setattr(opening, "socket", SimpleNamespace(**{**vars(socket), "socket": none_left}))
            assert errors_of(publish(session, job("/a"))) == [NoSocketError]

    def test_it_is_opened_before_the_server_has_answered(self):
        """Many servers say 150 when it is there; and it saves a round trip."""

        async def wait(connection: Connection, path: str) -> None:
            reader, _ = await connection.data()
            await connection.say("150 There you are.")
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await connection.say("226 Stored.")

        patient = Timeouts(connect_s=30, reply_s=30, stall_s=30, final_s=30, close_s=30)
        began = time.monotonic()
        with Scripted(STOR=wait) as server, Account(server.spec(), timeouts=patient)() as session:
            assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
        assert time.monotonic() - began < patient.close_s / 2

    def test_nobody_listens_any_more_where_the_server_has_gone(self):
        """`ResourceWarning` would tell."""
        with Scripted(EPRT=hang_up) as server, account(server, mode=DataMode.ACTIVE)() as session:
            with pytest.raises(ServerUnavailableError):
                session.list_dir("/")
            assert not session.usable

    def test_nor_where_it_goes_while_a_file_is_asked_for_again(self, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.0,))
        made: list[opening.Listener] = []

        class Noted(opening.Listener):
            def __init__(self, control: Control) -> None:
                super().__init__(control)
                made.append(self)

        monkeypatch.setattr(agreeing, "Listener", Noted)

        async def come(connection: Connection, argument: str) -> None:
            connection.coming = int(argument.split("|")[3])  # type: ignore[attr-defined]
            await connection.say("200 So be it.")

        async def take(connection: Connection, _path: str) -> None:
            await connection.say("150 Go on.")
            sock = socket.create_connection(("127.0.0.1", connection.coming))  # type: ignore[attr-defined]
            loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=server_context())
            await reader.read()
            transport.close()
            await connection.say("226 Stored.")

        tls = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca, "mode": DataMode.ACTIVE}
        with (
            Scripted(EPRT=come, STOR=take, SIZE=["550 No such file.", hang_up], tls=server_context()) as server,
            account(server, **tls)() as session,
        ):
            assert ServerUnavailableError in errors_of(publish(session, job("/a"), job("/b")))
        assert len(made) == 2
        assert all(each._sock.fileno() < 0 for each in made)

    def test_closed_ports_are_the_servers_trouble(self):
        with Scripted(EPSV=CLOSED, PASV="227 There (127,0,0,1,0,1)") as server:
            results, usable, acc = publish_three(server)
            assert errors_of(results) == [DataUnreachableError]
            assert not usable
            assert acc.profile.epsv is True
            assert "STOR" not in server.verbs()

    def test_a_port_that_is_closed_all_of_a_sudden_is_too_and_then_the_next_session_is_careful(self):
        with Scripted(EPSV=[None, CLOSED, CLOSED]) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, job("/a", b"x" * (sending.SMALL + 1)), job("/b", b"x" * (sending.SMALL + 1)))
                assert errors_of(results) == [None, DataUnreachableError]
                assert not session.usable
            assert (acc.profile.epsv, acc.profile.reached) == (True, False)
            with acc() as session:
                assert errors_of(publish(session, job("/b"))) == [None]
            assert (acc.profile.epsv, acc.profile.reached) == (False, False)

    @pytest.mark.parametrize("by", ["us", "the kernel"])
    def test_one_that_is_never_read_ends_by_the_stall_time(self, tmp_path, by):
        async def stall(connection: Connection, _argument: str) -> None:
            await connection.say("150 Go on.")
            _, writer = await connection.data()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await connection.silence()

        with Scripted(STOR=stall, hangs=True) as server, account(server)() as session:
            began = time.monotonic()
            (result,) = publish(session, from_disk(tmp_path) if by == "the kernel" else job("/a", b"x" * LARGE))
            assert isinstance(result.error, ServerUnavailableError | TransferFailedError)
            assert time.monotonic() - began < 30
            assert not session.usable
            assert set(server.files) <= {"/a.0123abcd.filepart"}

    def test_a_file_that_has_arrived_is_not_to_blame_for_the_connection_of_the_next_one(self):
        """Else it would have failed where a firewall lets some of the ports through, and be tried hourly in the end."""
        profile = Profile(reached=True, renamed=True)
        script = {"GREETING": "220 (vsFTPd 3.0.3)", "EPSV": [None, None, CLOSED]}
        with Scripted(script) as server, account(server, profile)() as session:
            results = publish(session, job("/a"), job("/b"), job("/c"))
            assert errors_of(results) == [None, DataUnreachableError, DataUnreachableError]
            assert not session.usable
        for result in results[1:]:
            assert result.error is not None
            assert "opening the data connection to port" in result.error.message
            assert "firewalls" in result.error.remedy

    def test_what_the_server_said_of_the_next_one_is_told_of_it_too(self):
        """vsftpd says it after 150: that it begins with another one would count as a sign of data connections."""
        said = "425 Unable to build data connection: Operation not permitted"
        with Scripted(GREETING="220 (vsFTPd 3.0.3)", STOR=[None, said]) as server:
            acc = account(server, Profile(reached=True, renamed=True))
            acc.refused_data |= {"/1", "/2", "/3"}
            with acc() as session:
                results = publish(session, job("/a"), job("/b"))
        assert errors_of(results) == [DataUnreachableError] * 2
        assert [error.reply for result in results if isinstance(error := result.error, RemoteError)] == [said] * 2

    def test_nor_for_one_that_is_tried_before_it_is_used_since_another_session_was_cut_off(self):
        profile = Profile(reached=True, renamed=True)

        def jobs() -> Iterator[PublishJob]:
            yield job("/a")
            yield job("/b")
            profile.reached = False  # as another one has found out
            yield job("/c")

        script = {
            "GREETING": "220 (vsFTPd 3.0.3)",
            "EPSV": [None, None, CLOSED, CLOSED],
            "PASV": "227 There (127,0,0,1,0,1)",
        }
        with Scripted(script) as server, account(server, profile)() as session:
            results = list(session.publish(jobs()))
            assert not session.usable
        failed = [result.error for result in results if result.error is not None]
        assert failed
        assert [type(error) for error in failed] == [DataUnreachableError] * len(failed)
        assert all("firewalls" in error.remedy for error in failed)

    def test_one_that_was_refused_before_is_not_told_as_what_ended_the_session(self):
        """Else what ends it again and again would never be found to be at fault."""
        script = {"EPSV": [None, "425 No port.", None, hang_up], "PASV": "425 No port."}
        with Scripted(script) as server, account(server, Profile(reached=True))() as session:
            results = publish(session, job("/a"), job("/b"), job("/c"), job("/d"))
            expected = [None, DataUnreachableError, ServerUnavailableError, ServerUnavailableError]
            assert errors_of(results) == expected

    @pytest.mark.parametrize("answer", ["426 Failure reading network stream.", "451 Error during read.", None])
    def test_one_that_moves_nothing_is_no_fault_of_the_server(self, answer):
        """Whose words, if any, answer the reset by which it was given up: an MTU that is too large looks like that."""

        async def stall(connection: Connection, _argument: str) -> None:
            await connection.say("150 Go on.")
            _, writer = await connection.data()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            if answer is None:
                await connection.silence()
            sock = writer.get_extra_info("socket")
            closed = b"\x07"
            while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != closed:  # noqa: ASYNC110 - by the other side
                await asyncio.sleep(0.01)
            await connection.end_data()
            await connection.say(answer)

        async def stall_too(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            reader, writer = await connection.data()
            writer.write(b"x")
            with contextlib.suppress(ConnectionError):
                await reader.read()
            if answer is None:
                await connection.silence()
            await connection.end_data()
            await connection.say(answer)

        expected = TransferFailedError if answer else ServerUnavailableError
        with Scripted(STOR=stall, RETR=stall_too, hangs=True) as server:
            with account(server)() as session:
                (result,) = publish(session, job("/a", b"x" * LARGE))
                assert result.error is not None
                failures: list[FtpsyncdError] = [result.error]
            with account(server)() as session, pytest.raises(RemoteError) as caught:
                session.fetch("/b", io.BytesIO())
            failures.append(caught.value)
        assert [type(each) for each in failures] == [expected] * 2
        assert [each.message for each in failures] == [
            f"Time-out while {doing} data." for doing in ("sending", "receiving")
        ]
        assert all("MTU" in each.remedy for each in failures)
        assert answer is None or all(isinstance(each, TransferFailedError) and each.stalled for each in failures)

    def test_one_that_hangs_while_the_server_has_refused_does_not_wait_for_the_stall_time(self):
        async def full(connection: Connection, _path: str) -> None:
            await connection.say("150 Go on.")
            _, writer = await connection.data()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await connection.say("452 No space left.")

        patient = QUICK._replace(stall_s=60)
        with Scripted(STOR=[full]) as server, Account(server.spec(), timeouts=patient)() as session:
            before = time.monotonic()
            assert errors_of(publish(session, job("/a", b"x" * LARGE), job("/b"))) == [ServerFullError, None]
            assert time.monotonic() - before < 20
            assert set(server.files) == {"/b"}

    @pytest.mark.parametrize("before", [0, 1], ids=["alone", "behind another"])
    def test_one_that_hangs_while_the_control_line_ended_does_not_wait_for_the_stall_time(self, monkeypatch, before):
        """Also where what was said together with STOR, about the file before, was answered yet."""
        monkeypatch.setattr(upload, "SMALL", LARGE)  # or the kernel takes all of it

        async def half_dead(connection: Connection, _argument: str) -> None:
            await connection.say("150 Go on.")
            _, writer = await connection.data()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            connection.writer.write_eof()
            await connection.silence()

        patient = QUICK._replace(reply_s=20, stall_s=60)
        with (
            Scripted(STOR=[*[None] * before, half_dead]) as server,
            Account(server.spec(), timeouts=patient)() as session,
        ):
            began = time.monotonic()
            *_, result = publish(session, *[job("/before")] * before, job("/a", b"x" * LARGE))
            assert time.monotonic() - began < 20
            assert isinstance(result.error, ServerUnavailableError)
            assert not session.usable

    def test_slow_progress_is_no_stall(self):
        async def crawl(connection: Connection, path: str) -> None:
            await connection.say("150 Go on.")
            reader, _ = await connection.data()
            data = b""
            while block := await reader.read(1_000_000):
                data += block
                await asyncio.sleep(0.05)
            connection.server.files[path] = data
            await connection.end_data()
            await connection.say("226 Stored.")

        with (
            Scripted(STOR=crawl) as server,
            Account(server.spec(), timeouts=QUICK._replace(reply_s=20, stall_s=2, final_s=20))() as session,
        ):
            (result,) = publish(session, job("/a", b"x" * LARGE))
            assert result.error is None
            assert result.duration_s > 2
            assert len(server.files["/a"]) == LARGE

    @pytest.mark.parametrize("way", ["read", "by the kernel", "tls"])
    def test_nor_is_it_when_only_the_kernel_has_something_left_to_send(self, way, tmp_path, monkeypatch):
        monkeypatch.setattr(pour, "LARGE", 1)

        async def small_window(connection: Connection, _argument: str) -> None:
            port = await connection.listen()
            assert connection._listener is not None
            connection._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            await connection.say(f"229 Here (|||{port}|)")

        def receive(listener: socket.socket, tls: ssl.SSLContext | None) -> bytes:
            listener.settimeout(5)
            sock, data = listener.accept()[0], b""
            with sock if tls is None else tls.wrap_socket(sock, server_side=True) as line:
                while block := line.recv(20_000):
                    data += block
                    time.sleep(0.02)
            return data

        async def crawl(connection: Connection, path: str) -> None:
            await connection.say("150 Go on.")
            # Not with streams: asyncio loses the end of a TLS stream that is read slowly.
            assert connection._listener is not None
            received = await asyncio.to_thread(receive, connection._listener, connection.server.data_tls)
            connection.server.files[path] = received
            await connection.say("226 Stored.")

        more = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca} if way == "tls" else {}
        with (
            Scripted(STOR=crawl, EPSV=small_window, tls=server_context() if more else None) as server,
            account(server, None, PATIENT._replace(final_s=0.5), **more)() as session,
        ):
            size = 1_000_000
            (result,) = publish(
                session, from_disk(tmp_path, size) if way == "by the kernel" else job("/a", b"x" * size)
            )
            assert result.error is None
            assert result.duration_s > 2 * session.control.timeouts.final_s

    def test_a_name_that_is_refused_in_the_middle_is_not_taken_for_a_broken_line(self):
        """What is said of a line that broke (550 at IIS) is not meant where none did."""

        async def refuse(connection: Connection, _path: str) -> None:
            await connection.receive(1000)
            await connection.say("550 Nothing like this here.")

        with Scripted(STOR=[refuse]) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a", b"x" * LARGE))) == [NameRefusedError]

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            ("451 Failure writing to local file.", TransferFailedError),
            ("452 No space left.", ServerFullError),
            ("552 Over quota.", ServerFullError),
            ("426 Connection closed.", TransferFailedError),
            ("226 Stored.", TransferFailedError),
            ("551 /a.0123abcd.filepart: Error on output file.", TransferFailedError),
        ],
    )
    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    def test_one_that_ends_in_the_middle(self, reply, kind, reset):
        async def part(connection: Connection, path: str) -> None:
            connection.server.files[path] = await connection.receive(1000)
            await connection.end_data(reset=reset)
            await connection.say(reply)

        with Scripted(STOR=[part]) as server, account(server)() as session:
            results = publish(session, job("/a", b"x" * LARGE), job("/b"))
            assert errors_of(results) == [kind, None]
            assert set(server.files) == {"/b"}

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (
                "550 The I/O operation has been aborted because of either a thread exit or an application request.",
                TransferFailedError,
            ),
            ("550 Fail", TransferFailedError),
            ("550 Permission denied.", NameRefusedError),
            ("550 File type not allowed.", NameRefusedError),
        ],
    )
    def test_what_a_server_says_of_a_line_that_broke_is_of_the_name_only_where_the_words_are(
        self, reply, kind, monkeypatch
    ):
        """IIS and small devices have no other code for it: after two tries, the file waited for a person."""
        noticed, abort = threading.Event(), DataLine.abort

        def noted(line: DataLine) -> None:
            abort(line)
            noticed.set()

        monkeypatch.setattr(DataLine, "abort", noted)

        async def part(connection: Connection, path: str) -> None:
            connection.server.files[path] = await connection.receive(1000)
            await connection.end_data(reset=True)
            await asyncio.to_thread(noticed.wait, 20)
            await connection.say(reply)

        with Scripted(STOR=[part]) as server, account(server)() as session:
            results = publish(session, job("/a", b"x" * LARGE), job("/b"))
            assert errors_of(results) == [kind, None]
            assert set(server.files) == {"/b"}

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            ("451 Failure writing to local file.", UnwrittenError),
            ("451-Error during write to file\r\n451 Transfer aborted", UnwrittenError),
            ("551 /a.0123abcd.filepart: Error on output file.", UnwrittenError),
            ("551 Page type unknown.", TransferFailedError),
            ("451 Requested action aborted.", TransferFailedError),
            ("426 Failure reading network stream.", TransferFailedError),
        ],
    )
    def test_one_that_arrived_and_that_the_disk_of_the_server_did_not_take(self, reply, kind):
        """A full disk, in the words of vsftpd, pure-ftpd and Apache's FtpServer."""

        async def unwritten(connection: Connection, path: str) -> None:
            await connection.receive()
            connection.server.files[path] = b""
            await connection.say(reply)

        with Scripted(STOR=[unwritten]) as server, account(server)() as session:
            failed, well = publish(session, job("/a"), job("/b"))
            assert type(failed.error) is kind
            assert well.error is None
            assert set(server.files) == {"/b"}

    def test_one_that_was_not_even_opened_does_not_show_that_the_disk_is_full(self):
        """Apache's FtpServer opens a file behind its 150, and has the same words where its system takes no such name.

        Of two such files one would say that the server is full, and nothing new would be sent.
        """

        async def unopened(connection: Connection, _path: str) -> None:
            await connection.receive()
            await connection.say("551 /a|b.jpg.0123abcd.filepart: Error on output file.")

        with Scripted(STOR=[unopened]) as server, account(server)() as session:
            failed, well = publish(session, job("/a|b.jpg"), job("/b"))
            assert type(failed.error) is TransferFailedError
            assert "full" not in failed.error.remedy
            assert "name" in failed.error.remedy
            assert well.error is None

    def test_one_that_is_refused_with_551_before_it_is_begun_is_refused(self):
        with Scripted(STOR=["551 Not here."]) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"), job("/b"))) == [NameRefusedError, None]

    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    def test_a_small_file_of_which_a_part_was_kept_is_found_out(self, reset, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,))

        async def part(connection: Connection, path: str) -> None:
            connection.server.files[path] = (await connection.receive(3))[:3]
            await connection.end_data(reset=reset)
            await connection.say("226 Stored.")

        with Scripted(STOR=[part]) as server, account(server)() as session:
            results = publish(session, job("/a"), job("/b"))
            assert errors_of(results) == [VerificationError, None]
            assert set(server.files) == {"/b"}

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            ("500 OOPS: priv_sock_send_cmd", ServerUnavailableError),
            ("421 Going down.", ServerUnavailableError),
            ("451 Local error.", TransferFailedError),
            ("550 Could not get file size.", VerificationError),
        ],
    )
    def test_a_server_that_cannot_say_the_size_has_not_said_that_it_is_wrong(self, reply, kind):
        with Scripted(SIZE=[reply]) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"), job("/b")))[0] is kind

    def test_what_a_server_shows_only_after_a_while_is_not_sent_again(self, monkeypatch):
        """A gateway to a cloud has it then."""
        monkeypatch.setattr(renaming, "WAITS_S", (0.01, 0.01))
        with Scripted(SIZE=["550 No such file."] * 2) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"))) == [None]
            assert server.files == {"/a": b"content"}
            assert server.verbs().count("STOR") == 1

    @pytest.mark.parametrize("shown", [["213 0"], ["213 3", "213 3", "213 5"], ["550 No such file.", "213 0"]], ids=str)
    def test_nor_is_what_it_writes_behind_its_last_word(self, monkeypatch, shown):
        """Its size grows for a moment."""
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,) * 3)
        with Scripted(SIZE=shown) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert server.files == {"/a": b"content", "/b": b"content"}
            assert server.verbs().count("STOR") == 2

    def test_what_it_never_shows_is_not_taken_for_stored(self, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01, 0.01))
        with Scripted(SIZE="550 No such file.") as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"))) == [VerificationError]
            assert server.verbs().count("SIZE") == 3
            # Nor is each file waited for.
            assert errors_of(publish(session, job("/b"))) == [VerificationError]
            assert server.verbs().count("SIZE") == 4
            assert server.files == {}

    @pytest.mark.parametrize(
        ("verb", "temporary", "helps"),
        [
            ("SIZE", "/a.0a1b2c3d.filepart", remedies.TAKEN),
            ("RNFR", "/a.0a1b2c3d.filepart", remedies.TAKEN),
            ("SIZE", "/a", remedies.TAKEN_AT_ONCE),
        ],
    )
    def test_what_is_gone_right_after_it_was_stored_may_have_been_taken_by_a_program_there(
        self, monkeypatch, verb, temporary, helps
    ):
        """An importer of a shop, a look for viruses: nothing said what helps, or that the permissions were to blame."""
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,))
        with Scripted({verb: "550 No such file or directory."}) as server, account(server)() as session:
            (result,) = publish(session, job("/a", temporary=temporary))
            assert isinstance(result.error, VerificationError | NotFoundError)
            assert result.error.remedy == helps

    def test_nothing_is_left_of_a_changed_file_where_a_transfer_is_not_announced(self):
        async def silent(connection: Connection, path: str) -> None:
            reader, _ = await connection.data()
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await connection.say("226 Stored.")

        with Scripted(STOR=silent) as server, account(server)() as session:
            changed = job("/a", confirm=raiser(FileChangedError("It changed.")))
            assert errors_of(publish(session, changed)) == [FileChangedError]
            assert server.files == {}

    def test_a_reset_after_the_last_byte_does_not_matter(self):
        async def rude(connection: Connection, path: str) -> None:
            connection.server.files[path] = await connection.receive(7)
            await connection.end_data(reset=True)
            await connection.say("226 Stored.")

        with Scripted(STOR=rude) as server:
            results, usable, _ = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert usable

    def test_the_reply_counts_after_a_whole_transfer(self):
        async def deny(connection: Connection, path: str) -> None:
            connection.server.files[path] = await connection.receive()
            await connection.say("426 I did not like it.")

        with Scripted(STOR=[None, deny]) as server:
            results, usable, _ = publish_three(server)
            assert errors_of(results) == [None, TransferFailedError, None]
            assert usable
            assert set(server.files) == {"/a", "/c"}

    def test_a_missing_226_ends_by_the_final_time(self):
        async def forget(connection: Connection, path: str) -> None:
            connection.server.files[path] = await connection.receive()
            await connection.silence()

        with Scripted(STOR=forget, hangs=True) as server:
            results, usable, _ = publish_three(server)
            assert errors_of(results) == [ServerUnavailableError]
            assert not usable
            assert set(server.files) == {"/a.0123abcd.filepart"}

    def test_one_that_is_all_that_is_said_has_that_time_too(self):
        async def late(connection: Connection, path: str) -> None:
            reader, _ = await connection.data()
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await asyncio.sleep(2 * patient.reply_s)
            await connection.say("226 Stored.")

        patient = PATIENT._replace(reply_s=1)
        with Scripted(STOR=late) as server, Account(server.spec(), timeouts=patient)() as session:
            assert errors_of(publish(session, job("/a"))) == [None]

    @pytest.mark.parametrize(("timeout_s", "final_s"), [(5.0, 60.0), (300.0, 300.0)])
    def test_its_time_is_never_shorter_than_the_configured_one(self, timeout_s, final_s):
        with Scripted() as server:
            assert Account(server.spec(timeout_s=timeout_s)).timeouts.final_s == final_s

    def test_a_226_before_the_data_is_verified(self, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,))

        async def early(connection: Connection, path: str) -> None:
            connection.server.files[path] = b""
            await connection.say("150 Go on.\n226 Stored.")
            reader, _ = await connection.data()
            await reader.read()

        with Scripted(STOR=[early]) as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [VerificationError, None, None]
            assert set(server.files) == {"/b", "/c"}

    @pytest.mark.parametrize("size", [7, LARGE])
    def test_a_refusal_without_a_look_at_the_data(self, size):
        async def refuse(connection: Connection, _argument: str) -> None:
            await connection.say("550 Permission denied.")  # and the port stays open

        with Scripted(STOR=[refuse]) as server, account(server)() as session:
            results = publish(session, job("/a", b"x" * size), job("/b"))
            assert errors_of(results) == [NameRefusedError, None]
            assert set(server.files) == {"/b"}
            assert [result.refused for result in results] == [True, False]

    @pytest.mark.parametrize(
        "answer",
        [
            "150 Go on.\n550 Not this one.",
            "425 Failed to establish connection.",
            "452 No space left.",
            "552 Quota exceeded.",
            "226 Done.",
        ],
    )
    def test_of_a_file_that_is_not_simply_refused_something_may_be_there(self, answer):
        """vsftpd makes it before it misses the data connection, pure-ftpd before it asks for the quota."""

        async def make(connection: Connection, path: str) -> None:
            connection.server.files[path] = b""
            for line in answer.splitlines():
                await connection.say(line)

        with Scripted(STOR=[make], DELE="550 Permission denied.") as server, account(server)() as session:
            [result] = publish(session, job("/a"))
            assert result.error is not None
            assert not result.refused


class Unreadable(io.BytesIO):
    """A file of which only the beginning can be read."""

    def readinto(self, buffer) -> int:
        if self.tell():
            raise OSError(errno.EIO, "Input/output error")
        return super().readinto(buffer)


class TestAFileThatCannotBeReadToItsEnd:
    @pytest.mark.parametrize(("temporary", "end"), [("/a", "reset"), ("/a.0123abcd.filepart", "in order")])
    def test_under_its_final_name_the_server_is_not_told_that_this_is_all(self, temporary, end):
        async def receive(connection: Connection, path: str) -> None:
            await connection.say("150 Go on.")
            reader, _ = await connection.data()
            try:
                connection.server.files[path] = await reader.read()
            except ConnectionResetError:
                ended.append("reset")
                await connection.end_data()
                await connection.say("426 Connection reset.")
            else:
                ended.append("in order")
                await connection.end_data()
                await connection.say("226 Stored.")

        ended: list[str] = []
        content = b"x" * 1_000_000
        with Scripted(STOR=receive) as server, account(server)() as session:
            broken = job("/a", content, temporary=temporary, open=lambda: Unreadable(content))
            assert errors_of(publish(session, broken)) == [LocalUnreadableError]
            assert ended == [end]
            assert server.files == {}

    @pytest.mark.parametrize(("code", "kind"), [(errno.EIO, LocalUnreadableError), (errno.ESTALE, FileChangedError)])
    def test_a_disk_that_fails_under_the_kernel_is_not_the_servers_fault(self, tmp_path, monkeypatch, code, kind):
        def fail(*_what: object) -> int:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "sendfile", fail)
        with Scripted() as server, account(server)() as session:
            assert errors_of(publish(session, from_disk(tmp_path), job("/b"))) == [kind, None]
            assert server.files == {"/b": b"content"}

    def test_nor_is_a_way_there_that_fails_the_disks(self, tmp_path, monkeypatch):
        """What may be said of either, as that no route leads there, is not the file's while that can be read."""

        def fail(*_what: object) -> int:
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

        monkeypatch.setattr(os, "sendfile", fail)
        with Scripted() as server, account(server)() as session:
            assert errors_of(publish(session, from_disk(tmp_path), job("/b"))) == [ServerUnavailableError]

    @pytest.mark.parametrize("answers", [True, False])
    def test_whether_the_server_has_answered_is_told_whatever_the_try_ended_of(self, *, answers: bool):
        """One that has not may write what it has of this try when the next one is under way."""

        async def receive(connection: Connection, _path: str) -> None:
            await connection.say("150 Go on.")
            reader, _ = await connection.data()
            await reader.read()
            await connection.end_data()
            if not answers:
                await connection.silence()
            await connection.say("226 Stored.")

        content = b"x" * 1_000_000
        with Scripted(STOR=receive, hangs=True) as server, account(server)() as session:
            (result,) = publish(session, job("/a", content, open=lambda: Unreadable(content)))
            assert isinstance(result.error, LocalUnreadableError)
            assert (result.unanswered, session.usable) == (not answers, answers)

    def test_so_it_is_where_the_removal_of_what_was_sent_is_not_answered(self):
        with Scripted(DELE=silence, hangs=True) as server, account(server)() as session:
            changed = job("/a", temporary="/a", confirm=raiser(FileChangedError("It changed.")))
            (result,) = publish(session, changed)
            assert isinstance(result.error, FileChangedError)
            assert result.unanswered


class TestQuota:
    """pure-ftpd makes the file and says then that it will not be saved."""

    async def over(self, connection: Connection, path: str) -> None:
        connection.server.files.setdefault(path, b"")
        await connection.say(f"552 Quota exceeded: [{path}] won't be saved")

    def test_nothing_is_left_of_a_file_that_it_does_not_allow(self):
        with Scripted(STOR=self.over) as server, account(server)() as session:
            server.files["/a"] = b"old"
            assert errors_of(publish(session, job("/a"), job("/b"))) == [ServerFullError] * 2
            assert server.files == {"/a": b"old"}

    def test_what_is_under_the_final_name_stays(self):
        with Scripted(STOR=self.over) as server, account(server)() as session:
            server.files["/a"] = b"old"
            assert errors_of(publish(session, job("/a", temporary="/a"))) == [ServerFullError]
            assert server.files == {"/a": b"old"}

    @pytest.mark.parametrize("script", [{}, {"DELE": "550 Permission denied."}], ids=["it goes", "it may not go"])
    def test_that_what_was_to_be_out_of_the_way_is_gone_is_told(self, script):
        """An earlier try may still write to it; then this one is refused."""
        with Scripted(script, STOR="553 Could not create file.") as server, account(server)() as session:
            server.files["/a"] = b"before"
            (result,) = publish(session, job("/a", temporary="/a", afresh=True))
            assert isinstance(result.error, NameRefusedError)
            assert (server.files, result.gone) == (({"/a": b"before"}, False) if script else ({}, True))

    @pytest.mark.parametrize(
        ("answer", "emptied"), [("425 No data connection.", True), ("553 Could not create file.", False)]
    )
    def test_that_what_is_under_the_final_name_may_be_emptied_is_told(self, answer, emptied):
        """vsftpd does so before it finds that nobody connects; not where it refuses the name."""

        async def refuse(connection: Connection, path: str) -> None:
            if emptied:
                connection.server.files[path] = b""
            await connection.say(answer)

        with Scripted(STOR=refuse) as server, account(server)() as session:
            server.files["/a"] = b"before"
            (result,) = publish(session, job("/a", temporary="/a"))
            assert result.error is not None
            assert result.gone is emptied
            assert server.files == {"/a": b"" if emptied else b"before"}


class TestATrial:
    """A few bytes that are sent to find out something (`transfer.deliver`)."""

    def test_one_without_data_connection_leaves_no_answer_behind(self):
        async def late(connection: Connection, _path: str) -> None:
            next_command.append(await connection.reader.readline())
            await connection.say("425 You did not come.")

        next_command: list[bytes] = []
        with Scripted(EPSV=CLOSED, STOR=late) as server, account(server)() as session:
            session.profile.reached = True
            with pytest.raises(ServerUnavailableError):
                trials.learn_resuming(session, "/x")
            assert not session.usable
            until(lambda: bool(next_command))
        assert next_command == [b""]


class TestPassiveMode:
    def test_a_firewall_before_the_data_ports_is_not_taken_for_a_server_that_is_away(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        extended, passive = f"229 Go (|||{port}|)", f"227 Go (127,0,0,1,{port // 256},{port % 256})"
        with Scripted(EPSV=extended, PASV=passive) as server, account(server)() as session:
            (result,) = publish(session, job("/a"))
        assert isinstance(result.error, DataUnreachableError)
        assert "ports for data" in result.error.remedy
        assert "`mode: active`" in result.error.remedy

    @pytest.mark.parametrize("refusal", ["425 Failed to establish connection.", None])
    def test_nat_before_this_machine_is_told_in_active_mode(self, refusal):
        with (
            Scripted(PORT="200 OK", EPRT="200 OK", STOR=refusal or silence, hangs=not refusal) as server,
            account(server, mode=DataMode.ACTIVE)() as session,
        ):
            (result,) = publish(session, job("/a"))
        assert result.error is not None
        assert "`mode: passive`" in result.error.remedy

    def test_a_command_that_a_server_lacks_is_named(self):
        with (
            Scripted(PORT="502 No.", EPRT="502 No.") as server,
            account(server, mode=DataMode.ACTIVE)() as session,
        ):
            (result,) = publish(session, job("/a"))
        assert isinstance(result.error, DataUnreachableError)
        assert "502 No." in str(result.error)

    def test_no_port_is_named_for_an_address_of_version_6(self):
        """PORT has no room for one: what is told is why EPRT was refused, and not why PORT was."""
        with Scripted(PORT="501 Illegal.") as server, account(server, mode=DataMode.ACTIVE)() as session:
            _, listener = agreeing.prepare(session)
            session.control.local = "2001:db8::1"
            with pytest.raises(DataUnreachableError, match="522 Use"):
                agreeing.agree(session, Reply(522, (b"522 Use (1).",)), listener)
            assert "PORT" not in server.verbs()

    @pytest.mark.parametrize(
        "refusal",
        [
            "500 Illegal PORT command.",
            "500 I won't open a connection to 192.168.1.2 (only to 1.2.3.4)",
            "501 Rejected data connection to foreign address.",
            "530 Only client IP address allowed for PORT command.",
            "550 Permission denied.",
        ],
    )
    def test_an_address_that_is_refused_in_active_mode_is_not_the_files_fault(self, refusal):
        with Scripted(EPRT=refusal, PORT=refusal) as server, account(server, mode=DataMode.ACTIVE)() as session:
            (result,) = publish(session, job("/a"))
        assert isinstance(result.error, DataUnreachableError)
        assert result.error.retry is Retry.SERVER
        assert "`mode: passive`" in result.error.remedy

    @pytest.mark.parametrize("script", [{}, {"EPRT": "500 What?"}], ids=["EPRT", "PORT"])
    def test_in_active_mode_the_server_is_told_where_to(self, script):
        """Alone: at our end a firewall may have to read of it, and Linux's reads only how a packet begins."""
        told: list[tuple[str, int]] = []
        together: list[int] = []

        async def eprt(connection: Connection, argument: str) -> None:
            together.append(max(connection.server.batches[-2:]))
            _, family, host, port, _ = argument.split("|")
            assert family == "1"
            told.append((host, int(port)))
            await connection.say("200 Fine.")

        async def port(connection: Connection, argument: str) -> None:
            together.append(max(connection.server.batches[-2:]))
            *host, high, low = argument.split(",")
            told.append((".".join(host), 256 * int(high) + int(low)))
            await connection.say("200 Fine.")

        async def come(connection: Connection, path: str) -> None:
            await connection.say("150 I come.")
            reader, writer = await asyncio.open_connection(*told[-1])
            connection.server.files[path] = await reader.read()
            writer.close()
            await connection.say("226 Stored.")

        script = {"EPRT": eprt, "PORT": port, "STOR": come, **script}
        with Scripted(script) as server, account(server, mode=DataMode.ACTIVE)() as session:
            assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert server.files == {"/a": b"content", "/b": b"content"}
            assert ("PORT" in server.verbs()) is (script["EPRT"] == "500 What?")
        assert {host for host, _ in told} == {"127.0.0.1"}
        assert set(together) == {1}

    def test_pasv_follows_where_epsv_is_refused(self):
        with Scripted(EPSV="500 What?") as server:
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert server.verbs().count("EPSV") == 1
            assert not acc.profile.epsv

    def test_a_refusal_of_epsv_that_may_pass_is_not_remembered(self):
        with Scripted(EPSV=["425 No port is free."]) as server:
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert server.verbs().count("PASV") == 1
            assert acc.profile.epsv is True

    def test_pasv_may_be_answered_as_if_it_were_the_other(self):
        async def extended(connection: Connection, _argument: str) -> None:
            await connection.say(f"229 Here (|||{await connection.listen()}|)")

        with Scripted(EPSV="500 What?", PASV=extended) as server:
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert acc.profile.pipelining

    def test_the_address_of_a_pasv_reply_is_not_followed(self):
        async def elsewhere(connection: Connection, _argument: str) -> None:
            port = await connection.listen()
            await connection.say(f"227 There (10,255,255,1,{port // 256},{port % 256})")

        with Scripted(EPSV="500 What?", PASV=elsewhere) as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [None] * 3

    def test_pasv_follows_where_a_firewall_does_not_know_epsv(self):
        with Scripted(EPSV=CLOSED) as server:
            results, usable, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert usable
            assert server.connections == 1
            assert server.verbs().count("EPSV") == 1
            assert acc.profile.epsv is False

    @pytest.mark.parametrize("act", [silence, hang_up])
    def test_pasv_follows_where_a_firewall_swallows_epsv_or_cuts_the_line(self, act):
        with Scripted(EPSV=act, hangs=act is silence) as server:
            acc = account(server)
            for _ in range(2):
                with acc() as session:
                    assert errors_of(publish(session, job("/a"))) == [ServerUnavailableError]
            with acc() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
            assert server.files == {"/a": b"content"}
            assert (acc.profile.epsv, acc.profile.pipelining, acc.profile.doubts) == (False, True, 0)

    def test_a_session_that_ends_once_by_epsv_says_nothing_about_it(self):
        with Scripted(EPSV=[hang_up, None, hang_up]) as server:
            acc = account(server)
            for expected in ([ServerUnavailableError], [None], [ServerUnavailableError], [None]):
                with acc() as session:
                    assert errors_of(publish(session, job("/a"))) == expected
            assert acc.profile.epsv is True
            assert "PASV" not in server.verbs()

    @staticmethod
    def inspected(words: str):
        """What names a port that is opened, on the way, only where the answer is not behind another in one packet."""

        async def act(connection: Connection, _argument: str) -> None:
            batches = connection.server.batches
            is_behind = len(batches) > 1 and batches[-2] > 1
            port = await connection.listen()
            await connection.say(words.format(1 if is_behind else port, 0 if is_behind else port // 256, port % 256))

        return act

    @pytest.mark.parametrize("extended", [True, False])
    def test_ports_are_asked_for_alone_where_they_are_not_reached_otherwise(self, extended):
        """As behind Linux's nf_conntrack_ftp, at a server whose answers share a packet."""
        pasv = self.inspected("227 There (127,0,0,1,{1},{2})")
        epsv = self.inspected("229 Here (|||{0}|)") if extended else "500 What?"
        with Scripted(EPSV=epsv, PASV=pasv) as server:
            acc = account(server)
            acc.ahead = True
            outcomes = []
            for _ in range(4):
                with acc() as session:
                    outcomes.append(errors_of(publish(session, job("/a"), job("/b"), job("/c"))))
                assert acc.profile.pipelining
            assert outcomes[-1] == [None] * 3
            if extended:
                assert outcomes[0] == [None] * 3
            assert (acc.profile.joined, acc.profile.epsv) == (False, extended)
            assert server.early == []

    def test_one_port_that_is_not_reached_says_nothing_about_those_that_are_named_with_others(self):
        with Scripted(EPSV=[CLOSED]) as server:
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert (acc.profile.joined, acc.profile.epsv) == (True, False)

    def test_so_it_does_for_a_download(self):
        with Scripted(EPSV=CLOSED) as server, account(server)() as session:
            server.files["/a"] = b"content"
            into = io.BytesIO()
            assert session.fetch("/a", into) == 7
            assert into.getvalue() == b"content"

    def test_only_the_first_data_connection_is_opened_before_its_command(self):
        async def first(connection: Connection, path: str) -> None:
            assert connection._listener is not None
            asked.append(bool(select.select([connection._listener], [], [], 0)[0]))
            await connection.server.default(connection, f"STOR {path}")

        asked: list[bool] = []
        with Scripted(STOR=[first]) as server:
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
            assert asked == [True]
            again = Profile()
            Keeper(again, kept(acc.profile, 0), 0)
            assert again.reached is True

    @pytest.mark.parametrize("reached", [False, True])
    def test_a_small_file_does_not_overtake_its_command(self, reached):
        async def late(connection: Connection, path: str) -> None:
            reader, _ = await connection.data()
            with contextlib.suppress(TimeoutError):
                overtaken.append(await asyncio.wait_for(reader.read(1), 0.2))
            await connection.say("150 Go on.")
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await connection.say("226 Stored.")

        overtaken: list[bytes] = []
        with Scripted(STOR=[late]) as server:
            acc = account(server)
            acc.profile.reached = reached
            with acc() as session:
                assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert overtaken == []
            assert server.files == {"/a": b"content", "/b": b"content"}

    def test_a_server_that_never_announces_is_waited_for_once(self):
        async def silent(connection: Connection, path: str) -> None:
            reader, _ = await connection.data()
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await connection.say("150 Go on.")
            await connection.say("226 Stored.")

        with Scripted(STOR=silent) as server, account(server)() as session:
            began = time.monotonic()
            assert errors_of(publish(session, *(job(f"/{n}") for n in range(12)))) == [None] * 12
            assert time.monotonic() - began < 6 * session.control.timeouts.close_s

    @pytest.mark.parametrize("port", [None, CLOSED])
    def test_one_session_finds_out_for_all(self, port):
        dialled: list[bool] = []
        with Scripted(EPSV=[port]) as server:
            acc = account(server)
            with acc() as session, acc() as other, pytest.MonkeyPatch.context() as patch:

                def while_it_tries(control: Control, number: int) -> socket.socket:
                    if not dialled:
                        dialled.append(acc.reaching)
                        assert errors_of(publish(other, job("/b"))) == [None]
                        assert not acc.profile.reached, "it connected together with its command, as ever"
                    return dial(control, number)

                patch.setattr(agreeing, "dial", while_it_tries)
                assert errors_of(publish(session, job("/a"))) == [None]
            assert dialled == [True]
            assert not acc.reaching
            assert (acc.profile.epsv, acc.profile.reached) == (port is None, port is None)
            assert server.files == {"/a": b"content", "/b": b"content"}

    @pytest.mark.parametrize("reply", ["229 Here (|||0|)", "229 Here", "229 Here (|||99999|)"])
    def test_pasv_follows_where_epsv_names_no_port(self, reply):
        with Scripted(EPSV=reply) as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert server.verbs().count("EPSV") == 1

    @pytest.mark.parametrize("reply", ["227 There (127,0,0,1,0,0)", "227 There", "227 There (127,0,0,1,256,1)"])
    def test_a_port_that_is_none_ends_the_session(self, reply):
        with Scripted(EPSV="500 What?", PASV=reply) as server:
            results, _, _ = publish_three(server)
            assert errors_of(results)[0] is ProtocolError

    def test_what_another_session_learns_meanwhile_does_not_leave_a_file_without_data_connection(self):
        async def refuse(connection: Connection, _argument: str) -> None:
            known.profile.epsv = False  # as a second session of the account would
            await connection.say("502 Not here.")

        with Scripted(EPSV=refuse) as server:
            known = account(server)
            with known() as session:
                assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert server.verbs().count("EPSV") == 1

    @pytest.mark.parametrize(
        "reply",
        [
            "425 Not now.",
            "500 PASV: internal error",
            "500 Unknown command.",
            "502 Not implemented.",
            "452 No port is left.",
            "530 Not for this address.",
            "550 No port is free.",
            "552 No port is left.",
        ],
    )
    def test_a_refusal_that_may_pass_is_not_final(self, reply):
        with Scripted(EPSV=reply, PASV=reply) as server, account(server)() as session:
            (result,) = publish(session, job("/a"))
            assert isinstance(result.error, DataUnreachableError)
            assert result.error.retry is Retry.SERVER
            assert "`mode: active`" in result.error.remedy


async def removing_directories(connection: Connection, path: str) -> None:
    """What DELE does: an empty directory is removed, too."""
    empty = not any(each.startswith(f"{path}/") for each in connection.server.files)
    await connection.server.default(
        connection, f"{'RMD' if path in connection.server.dirs and empty else 'DELE'} {path}"
    )


class TestWhetherADataConnectionHadComeAbout:
    """What goes by it: whether a server that lacked them has some again, and others may be sent."""

    @staticmethod
    async def breaks(connection: Connection, _path: str) -> None:
        await connection.say("150 Go on.")
        reader, _ = await connection.data()
        await reader.read(10)
        await connection.end_data()
        await connection.say("451 Error during write.")

    @staticmethod
    async def lacks(connection: Connection, _path: str) -> None:
        await connection.say("150 Go on.")
        await connection.say("522 SSL connection failed: session reuse required")

    @pytest.mark.parametrize(
        ("script", "reached"),
        [
            ({"STOR": "550 Permission denied."}, False),
            ({"STOR": "425 Unable to build data connection: Operation not permitted"}, False),
            ({"STOR": "lacks"}, False),
            ({"STOR": "breaks"}, True),
            ({"RNTO": "451 Local error."}, True),
        ],
        ids=["its name", "refused", "refused after it was begun", "it broke", "its final name"],
    )
    def test_it_is_told_of_a_file_that_failed(self, script, reached):
        script = {verb: getattr(self, answer, answer) for verb, answer in script.items()}
        with Scripted(script) as server, account(server, Profile(renamed=True))() as session:
            (result,) = publish(session, job("/a"))
        assert result.error is not None
        assert result.reached is reached


class TestEachFileIsRefusedADataConnection:
    """Over any session, so that it is no session that has grown old: the server is to blame, and no file."""

    REFUSED = "425 Unable to build data connection: Operation not permitted"

    @staticmethod
    def errors(account: Account, *paths: str) -> list[type[Exception] | None]:
        found = []
        for path in paths:
            with account() as session:
                found += errors_of(publish(session, job(path)))
        return found

    @pytest.mark.parametrize("tls", [False, True])
    def test_it_is_the_server_after_some(self, tls):
        keys = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca} if tls else {}
        with Scripted(STOR=self.REFUSED, tls=server_context() if tls else None) as server:
            acc = account(server, None, None, **keys)
            found = self.errors(acc, "/a", "/b", "/c", "/d", "/a")
            assert found == [TransferFailedError] * 3 + [DataUnreachableError] * 2
            with acc() as session:
                (result,) = publish(session, job("/b"))
            assert result.error is not None
            assert ("`tls_max" in result.error.remedy) is tls
            assert ("`mode: active`" in result.error.remedy) is not tls
            server.script.pop("STOR")
            assert self.errors(acc, "/a") == [None]
            server.script["STOR"] = self.REFUSED
            assert self.errors(acc, "/b") == [TransferFailedError], "one arrived in between"

    def test_files_beside_which_others_arrive_are_themselves_to_blame_for_good(self):
        """With four of them, the server was paused again and again, and all that was well waited for them."""
        with Scripted(STOR=self.REFUSED) as server:
            acc = account(server)
            assert self.errors(acc, "/a", "/b", "/c", "/d")[-1] is DataUnreachableError
            server.script.pop("STOR")
            assert self.errors(acc, "/z") == [None]
            server.script["STOR"] = self.REFUSED
            assert self.errors(acc, *("/a", "/b", "/c", "/d") * 2, "/e") == [TransferFailedError] * 9
            assert self.errors(acc, "/f", "/g", "/h", "/i")[-1] is DataUnreachableError, "others count as ever"
            assert self.errors(acc, "/a") == [TransferFailedError]
            server.script.pop("STOR")
            assert self.errors(acc, "/a") == [None]
            assert "/a" not in acc.refused_alone

    def test_where_a_listing_has_one_the_files_are_themselves_to_blame_and_the_next_is_sent(self):
        """The server was paused, one file tried after each pause, and what was well waited behind all that were not."""

        async def picky(connection: Connection, path: str) -> None:
            if "well" in path:
                await connection.server.default(connection, f"STOR {path}")
            else:
                await connection.say(self.REFUSED)

        with Scripted(STOR=picky, LIST=listing) as server:
            acc = account(server)
            assert self.errors(acc, "/a", "/b", "/c") == [TransferFailedError] * 3
            with acc() as session:
                results = publish(session, *map(job, ("/d", "/e", "/well", "/d")))
                assert session.usable, "each cost a login"
            assert errors_of(results) == [TransferFailedError, TransferFailedError, None, TransferFailedError]
            assert [result.reached for result in results] == [True] * 4
            assert results[0].error is not None
            assert "A listing had a data connection" in remedies.remedy(results[0].error)
            assert server.early == []
        assert server.files.keys() == {"/well"}

    def test_the_version_before_is_not_deleted_for_one_that_is_refused_behind_its_beginning(self):
        """As a part of the new one, of which nothing had come: nothing was left, and the new one never arrived."""

        async def refuse(connection: Connection, _path: str) -> None:
            await connection.say("150 Go on.")
            await connection.say(self.REFUSED)

        with Scripted(STOR=refuse, LIST=listing) as server:
            acc = account(server)
            acc.refused_alone.add("/a")
            server.files["/a"] = b"before"
            with acc() as session:
                (result,) = publish(session, job("/a", temporary="/a"))
            assert result.error is not None
            assert "A listing had a data connection" in remedies.remedy(result.error)
            assert server.files == {"/a": b"before"}

    def test_a_long_listing_is_not_read_to_its_end(self):
        async def endless(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            while True:
                writer.write(b"-rw-r--r-- 1 u g 1 Jan 1 2024 a\r\n" * 1000)
                await writer.drain()

        with Scripted(STOR=self.REFUSED, LIST=endless) as server:
            acc = account(server)
            assert self.errors(acc, "/a", "/b", "/c", "/d", "/e") == [TransferFailedError] * 5

    def test_where_a_listing_has_none_either_it_is_the_server(self):
        with Scripted(STOR=self.REFUSED, LIST=self.REFUSED) as server:
            acc = account(server)
            assert self.errors(acc, "/a", "/b", "/c", "/d", "/e")[3:] == [DataUnreachableError] * 2

    @pytest.mark.parametrize(
        ("lists", "error"),
        [(True, TransferFailedError), (False, DataUnreachableError)],
        ids=["it lists", "it does not"],
    )
    def test_so_it_is_in_active_mode_from_the_first_one_on(self, lists, error):
        """There each such file, one that the server could not open, too, paused it, and was tried again for ever."""

        async def come(connection: Connection, argument: str) -> None:
            connection.coming = int(argument.split("|")[3])  # type: ignore[attr-defined]
            await connection.say("200 So be it.")

        async def show(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            port = connection.coming  # type: ignore[attr-defined]
            await asyncio.to_thread(lambda: socket.create_connection(("127.0.0.1", port)).close())
            await connection.say("226 Sent.")

        refused = "425 Cannot open it."
        with (
            Scripted(EPRT=come, STOR=refused, LIST=show if lists else refused) as server,
            account(server, mode=DataMode.ACTIVE)() as session,
        ):
            results = publish(session, job("/a"))
            assert errors_of(results) == [error]
            assert session.usable is lists

    def test_of_many_of_them_none_is_known(self, monkeypatch):
        monkeypatch.setattr("ftpsyncd.remote.account.REFUSED_ALONE_MOST", 3)
        with Scripted() as server:
            acc = account(server)
            for paths in ({"/a", "/b", "/c"}, {"/d"}):
                acc.refused_data |= paths
                assert self.errors(acc, "/z") == [None]
            assert acc.refused_alone == set()

    def test_of_a_single_file_it_is_its_own(self):
        with Scripted(STOR=self.REFUSED) as server:
            assert self.errors(account(server), *["/a"] * 6) == [TransferFailedError] * 6

    @pytest.mark.parametrize("tls", [False, True])
    def test_what_helps_is_told_of_the_first_one_too(self, tls):
        """It is all that `check` sends, to which `why` and `status` lead."""
        keys = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca} if tls else {}
        with (
            Scripted(STOR=self.REFUSED, tls=server_context() if tls else None) as server,
            account(server, None, None, **keys)() as session,
        ):
            (result,) = publish(session, job("/a"))
        assert type(result.error) is TransferFailedError
        assert ("`tls_max" if tls else "`mode: active`") in remedies.remedy(result.error)

    def test_so_it_is_in_words_that_may_be_about_files(self):
        """The files of a directory in which nothing may be written, say: others would wait for them."""
        with Scripted(STOR="425 Cannot open file.") as server:
            assert self.errors(account(server), "/a", "/b", "/c", "/d", "/e", "/f") == [TransferFailedError] * 6

    def test_one_that_breaks_is_not_refused(self):
        """FileZilla Server 1 has this code for it. A large file would not be continued, and the server be paused."""

        async def breaks(connection: Connection, _path: str) -> None:
            await connection.say("150 Starting data transfer.")
            reader, _ = await connection.data()
            await reader.read(10)
            await connection.end_data()
            await connection.say("425 Error while transfering data: ECONNABORTED - Connection aborted")

        with Scripted(STOR=breaks) as server:
            assert self.errors(account(server), "/a", "/b", "/c", "/d", "/e") == [TransferFailedError] * 5


class TestRenaming:
    @pytest.mark.parametrize(
        "refusal", ["550 File exists.", '560 Could not rename "/x" to "/a": /a'], ids=["550", "Zope"]
    )
    def test_a_server_that_does_not_replace_gets_the_old_file_deleted(self, refusal):
        async def careful(connection: Connection, path: str) -> None:
            if path in connection.server.files:
                await connection.say(refusal)
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=careful) as server:
            server.files.update({"/a": b"old", "/b": b"old"})
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert acc.profile.rename_over is False
            assert set(server.files) == {"/a", "/b", "/c"}

    def test_no_directory_is_deleted_to_make_room(self):
        """An empty one that somebody had made, at a server whose DELE removes such, as ftpd of BSD and ftp-srv."""

        async def careful(connection: Connection, path: str) -> None:
            if path in connection.server.files or path in connection.server.dirs:
                await connection.say("550 File exists.")
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=careful, DELE=removing_directories) as server, account(server)() as session:
            server.files["/a"] = b"old"
            assert errors_of(publish(session, job("/c"), job("/a"))) == [None, None]
            assert session.profile.rename_over is False
            server.dirs.add("/d")
            del server.log[:]
            results = publish(session, job("/a", b"newer"), job("/d"), job("/e"))
            assert errors_of(results) == [None, AlreadyExistsError, None]
            assert "/d" in server.dirs
            assert next(line for line in server.log if line.startswith("DELE")) == "DELE /a", "not moved aside"
            assert server.files == {"/a": b"newer", "/c": b"content", "/e": b"content"}

    @pytest.mark.parametrize("words", ["550 Permission denied.", "502 Not at all."])
    def test_room_is_made_also_where_nobody_may_ask_whether_it_is_needed(self, words):
        """That nobody may look does not tell that nothing is there: what is could never be replaced."""

        async def careful(connection: Connection, path: str) -> None:
            if path in connection.server.files:
                await connection.say("550 File exists.")
            else:
                await connection.server.default(connection, f"RNTO {path}")

        async def sized(connection: Connection, path: str) -> None:
            if path == "/a":
                await connection.say(words)
            else:
                await connection.server.default(connection, f"SIZE {path}")

        with Scripted(RNTO=careful, SIZE=sized) as server, account(server)() as session:
            server.files["/c"] = b"old"
            assert errors_of(publish(session, job("/b"), job("/c"))) == [None, None]
            server.files["/a"] = b"old"
            del server.log[:]
            assert errors_of(publish(session, job("/a", b"newer"))) == [None]
            assert server.files["/a"] == b"newer"
            assert server.verbs().count("RNTO") == 1

    def test_nor_is_one_before_a_file_is_sent_afresh_under_its_final_name(self):
        with Scripted(DELE=removing_directories) as server, account(server)() as session:
            server.dirs.add("/d")
            server.files["/a"] = b"old"
            afresh = [job(path, temporary=path, afresh=True) for path in ("/d", "/a")]
            results = publish(session, *afresh)
            assert errors_of(results) == [AlreadyExistsError, None]
            assert not results[0].gone
            assert "/d" in server.dirs
            assert [line for line in server.log if line.startswith("DELE")] == ["DELE /a"]

    def test_another_yes_to_the_old_name_is_one(self):
        """Whatever becomes of the new one: it is what RNTO says."""

        async def well(connection: Connection, path: str) -> None:
            connection.renaming = path
            await connection.say("250 Fine." if path in connection.server.files else "550 No such file.")

        async def careful(connection: Connection, path: str) -> None:
            if path in connection.server.files:
                await connection.say("550 File exists.")
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNFR=well, RNTO=careful) as server, account(server)() as session:
            server.files.update({"/a": b"old", "/b": b"old"})
            assert errors_of(publish(session, job("/a"), job("/b"))) == [None] * 2
            session.rename("/a", "/c")
            assert server.files == {"/b": b"content", "/c": b"content"}
            server.script["RNTO"] = "550 Permission denied."
            with pytest.raises(NameRefusedError):
                session.rename("/c", "/b")
            assert server.files == {"/b": b"content", "/c": b"content"}

    @pytest.mark.parametrize("reply", ["450 Busy.", "550 It is being used by another process."])
    def test_a_refusal_of_one_moment_says_nothing_about_the_next(self, reply):
        with Scripted(RNTO=[reply]) as server:
            server.files.update({"/a": b"old", "/b": b"old"})
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert acc.profile.rename_over is None
            assert "DELE" not in server.verbs()

    def test_what_is_published_stays_while_a_file_is_sent_afresh_under_another_name(self):
        """What an earlier try may still write goes to that name, and not to the published file."""
        with Scripted(STOR="452 No space left.") as server, account(server)() as session:
            server.files["/a"] = b"before"
            assert errors_of(publish(session, job("/a", afresh=True))) == [ServerFullError]
            assert server.files == {"/a": b"before"}

    def test_a_refused_rename_keeps_the_old_file(self):
        async def careful(connection: Connection, path: str) -> None:
            if connection.server.files.get(path) == b"old":
                await connection.say("550 Permission denied.")
            else:
                await connection.server.default(connection, f"STOR {path}")

        with Scripted(RNTO="550 Permission denied.", STOR=careful) as server, account(server)() as session:
            server.files["/a"] = b"old"
            assert errors_of(publish(session, job("/a"))) == [NameRefusedError]
            assert session.usable
            assert server.files == {"/a": b"old"}
            assert session.profile.rename_over is None

    def test_the_old_file_comes_back_where_only_its_name_is_refused(self):
        async def strict(connection: Connection, path: str) -> None:
            if path == "/a" and connection.renaming == "/a.0123abcd.filepart":
                await connection.say("550 Permission denied.")
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=strict) as server, account(server)() as session:
            server.files["/a"] = b"old"
            assert errors_of(publish(session, job("/a"), job("/b"))) == [NameRefusedError, None]
            assert server.files == {"/a": b"old", "/b": b"content"}

    @pytest.mark.parametrize("there", [b"old", None])
    def test_that_a_file_arrived_is_told_where_only_its_final_name_is_refused(self, there):
        async def filtered(connection: Connection, path: str) -> None:
            if path == "/a":
                await connection.say("553 Forbidden filename.")
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=filtered) as server, account(server)() as session:
            if there is not None:
                server.files["/a"] = there
            (result,) = publish(session, job("/a"))
            assert (type(result.error), result.arrived, result.refused) == (NameRefusedError, True, False)
            server.script["STOR"] = "553 Forbidden filename."
            (result,) = publish(session, job("/a"))
            assert (type(result.error), result.arrived, result.refused) == (NameRefusedError, False, True)

    def test_an_old_file_that_was_moved_aside_when_the_line_ended_is_where_its_sweep_looks(self):
        async def careful(connection: Connection, path: str) -> None:
            if path in connection.server.files:
                await connection.say("550 File exists.")
                return
            await connection.server.default(connection, f"RNTO {path}")
            if dying:
                await connection.hang_up()

        dying = True
        with Scripted(RNTO=careful) as server:
            server.files["/a"] = b"old"
            with account(server)() as session:
                assert errors_of(publish(session, job("/a"))) == [ServerUnavailableError]
            aside = names.aside("/a")
            assert names.aside(names.final(names.temporary("/a", "gallery"))) == aside
            assert server.files == {aside: b"old", "/a.0123abcd.filepart": b"content"}
            dying = False
            # Somebody puts another one there: that the first one is where this is to be, keeps nothing from being sent.
            server.files["/a"] = b"theirs"
            with account(server)() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
            assert server.files == {"/a": b"content"}

    def test_nothing_is_deleted_before_a_connection_has_renamed_a_file(self):
        with Scripted(RNTO="550 Permission denied.") as server:
            server.files["/a"] = b"old"
            acc = account(server)
            acc.profile.rename_over = False  # learned before renames were forbidden
            with acc() as session:
                publish(session, job("/a"))
            assert "DELE /a" not in server.log
            assert server.files == {"/a": b"content"}

    def test_the_only_version_at_the_server_stays_under_its_temporary_name(self):
        with Scripted(RNTO=[None, "550 No more.", "550 No more."]) as server, account(server)() as session:
            put(session, "/a")
            session.profile.rename_over = False
            (result,) = publish(session, job("/a", b"newer"))
            assert type(result.error) is TransferFailedError
            assert result.gone
            assert server.files == {"/a.0123abcd.filepart": b"newer"}
            # Not once more over this connection.
            assert not session.renames

    @pytest.mark.parametrize("command", ["RNFR", "RNTO"])
    def test_a_file_that_is_looked_into_for_a_moment_is_renamed_and_not_sent_again(self, monkeypatch, command):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01, 0.01, 0.01))
        with Scripted({command: [IN_USE] * 3}) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert server.files == {"/a": b"content", "/b": b"content"}
            assert [line for line in server.log if line.startswith("STOR")] == [
                "STOR /a.0123abcd.filepart",
                "STOR /b.0123abcd.filepart",
            ]

    def test_a_file_that_stays_in_use_is_tried_another_time(self, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01, 0.01))
        with Scripted(RNTO=IN_USE) as server, account(server)() as session:
            (result,) = publish(session, job("/a"))
            assert isinstance(result.error, InUseError)
            assert server.verbs().count("RNTO") == 3
            assert server.files == {}
            assert session.profile.renames is True

    def test_a_file_that_is_shown_while_its_new_version_comes_is_tried_another_time(self):
        async def windows(connection: Connection, path: str) -> None:
            if path in connection.server.files:
                await connection.say("550 Cannot create a file when that file already exists.")
            elif connection.renaming == "/a":
                await connection.say(IN_USE)
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=windows) as server, account(server)() as session:
            server.files["/a"] = b"shown"
            (result,) = publish(session, job("/a"))
            assert isinstance(result.error, InUseError)
            assert result.error.retry is Retry.FILE
            assert server.files == {"/a": b"shown"}

    def test_a_large_file_that_is_copied_for_it_is_waited_for(self):
        async def copy(connection: Connection, path: str) -> None:
            await asyncio.sleep(2 * QUICK.final_s)
            await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=copy) as server:
            with Account(server.spec(), timeouts=QUICK._replace(drain_bytes_s=100_000))() as session:
                assert errors_of(publish(session, job("/a", b"x" * 2_000_000))) == [None]
            assert list(server.files) == ["/a"]

    def test_a_refused_rnfr_makes_no_rename_of_another_file_a_success(self):
        async def another(connection: Connection, path: str) -> None:
            files = connection.server.files
            files[path] = files.pop("/another")
            await connection.say("250 Renamed.")

        with Scripted(RNFR="550 No such file.", RNTO=another) as server, account(server)() as session:
            server.files["/another"] = b"something else"
            assert errors_of(publish(session, job("/a"))) == [NotFoundError]

    def test_what_takes_one_command_at_a_time_is_told_no_new_name_after_a_refused_rnfr(self):
        """Some do not answer that: each such rename was a time-out, for ever, and another file's name at others."""
        with Scripted(RNFR="550 No such file.", RNTO=silence) as server:
            with account(server, Profile(pipelining=False))() as session:
                assert errors_of(publish(session, job("/a"))) == [NotFoundError]
                with pytest.raises(NotFoundError):
                    session.rename("/gone", "/b")
                assert session.usable
            assert "RNTO" not in server.verbs()

    def test_a_server_that_does_not_answer_a_new_name_after_a_refused_rnfr_costs_one_time_out(self):
        """It cost one for each such rename, and the session, as long as files were published in between."""
        with Scripted(RNFR="550 No such file.", RNTO=unheard, hangs=True) as server:
            acc = account(server)
            with acc() as session:
                with pytest.raises(ServerUnavailableError):
                    session.rename("/gone", "/b")
                assert not session.usable
            with acc() as session:
                for _ in range(2):
                    with pytest.raises(NotFoundError):
                        session.rename("/gone", "/b")
                assert errors_of(publish(session, job("/a"), job("/b"))) == [NotFoundError] * 2
                assert session.usable
                assert acc.profile.pipelining is True
                server.script.pop("RNFR"), server.script.pop("RNTO")
                assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]

    def test_so_does_one_of_which_that_is_seen_beside_the_next_file(self):
        script: dict[str, Any] = {"GREETING": "220 (vsFTPd 3.0.3)", "RNFR": ["550 No such file."], "RNTO": [unheard]}
        with Scripted(script, hangs=True) as server:
            acc = account(server, Profile(reached=True, renamed=True))
            with acc() as session:
                results = publish(session, *map(job, ("/a", "/b", "/c")))
                assert results[0].error is not None
                assert not session.usable
            assert acc.profile.renames_joined is False

    def test_what_a_server_says_that_never_takes_a_new_name_is_told(self):
        """It was told that the connection had ended, as which it was left."""
        with Scripted(RNTO="503 Bad sequence of commands.") as server, account(server)() as session:
            (result,) = publish(session, job("/a"))
        assert isinstance(result.error, ServerUnavailableError)
        assert "503 Bad sequence of commands." in result.error.message

    def test_a_vanished_temporary_is_not_found(self):
        with Scripted(RNFR=[None, "550 No such file."]) as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [None, NotFoundError, None]


class TestARenameThatIsDoneAndDenied:
    """prim-ftpd says 553 of renames on memory cards, and does them."""

    @staticmethod
    async def denied(connection: Connection, path: str) -> None:
        files, dates = connection.server.files, connection.server.dates
        files[path] = files.pop(connection.renaming)
        dates[path] = dates.pop(connection.renaming)
        await connection.say("553 Can't rename file.")

    def test_it_is_published(self):
        with Scripted(RNTO=self.denied) as server:
            server.files["/b"] = b"before"
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert server.files == dict.fromkeys(("/a", "/b", "/c"), b"content")
            assert acc.profile.renames
            assert acc.profile.rename_over is None

    @pytest.mark.parametrize("lost", ["date", "content", "nothing of it"])
    def test_one_that_was_not_done_is_not(self, lost):
        async def lose(connection: Connection, path: str) -> None:
            files, dates = connection.server.files, connection.server.dates
            del files[connection.renaming]
            sent = dates.pop(connection.renaming)
            if lost != "nothing of it":
                files[path] = b"of them" if lost == "date" else b"of somebody"
                dates[path] = "20010101000000" if lost == "date" else sent
            await connection.say("553 Can't rename file.")

        with Scripted(RNTO=lose) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"))) == [NameRefusedError]

    def test_nor_one_at_a_server_that_sets_no_dates(self):
        async def another(connection: Connection, path: str) -> None:
            connection.server.files[path] = connection.server.files.pop(connection.renaming)
            await connection.say("553 Can't rename file.")

        refused = dict.fromkeys(("MFMT", "MDTM", "SITE"), "502 No.")
        with Scripted(refused, RNTO=another) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"))) == [NameRefusedError]


IN_USE = "550 The process cannot access the file because it is being used by another process."


async def busy(connection: Connection, path: str) -> None:
    """A file that somebody has open cannot be renamed; the small one of a trial can."""
    if "/ftpsyncd." in path:
        await connection.server.default(connection, f"RNTO {path}")
    else:
        await connection.say("550 Permission denied.")


def closed(tree: str) -> Callable[[Connection, str], Awaitable[None]]:
    """Nothing below may be renamed."""

    async def refuse(connection: Connection, path: str) -> None:
        if path.startswith(tree):
            await connection.say("550 Permission denied.")
        else:
            await connection.server.default(connection, f"RNTO {path}")

    return refuse


class TestYesToARename:
    """What the first one at a server is worth: it is asked in the same write whether the old name is gone."""

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01, 0.01))

    def fresh(self, server: Scripted) -> Account:
        return Account(server.spec(), timeouts=PATIENT)

    @pytest.mark.parametrize("greeting", ["220 Hello.", "220 (vsFTPd 3)", "220 Microsoft FTP Service"])
    def test_where_nothing_is_done_files_get_their_names_all_the_same(self, greeting):
        with Scripted(RNTO="250 Renamed.", GREETING=greeting) as server:
            server.files["/b"] = b"old"
            acc = self.fresh(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a"), job("/b"), job("/c"))) == [None] * 3
            assert acc.profile.renames is False
            assert server.files == dict.fromkeys(("/a", "/b", "/c"), b"content")

    def test_nothing_is_learned_of_one_that_was_not_done_once(self):
        with Scripted(RNTO=["250 Renamed.", None, None]) as server:
            acc = self.fresh(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert (acc.profile.renames, acc.profile.renamed) == (True, True)
            assert server.files == dict.fromkeys(("/a", "/b"), b"content")

    def test_an_old_name_that_is_shown_for_a_moment_is_waited_for(self):
        with Scripted(SIZE=[None, "213 7", "213 7"]) as server:
            acc = self.fresh(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
            assert (acc.profile.renames, acc.profile.renamed) == (True, True)
            assert server.verbs().count("STOR") == 1
            assert server.files == {"/a": b"content"}

    def test_it_is_asked_once_and_costs_no_round_trip(self):
        with Scripted() as server:
            acc = self.fresh(server)
            acc.profile.reached, acc.profile.dating = True, Dating.MFMT
            with acc() as session:
                server.log.clear()
                server.batches.clear()
                publish(session, job("/a"), job("/b"))
                publish(session, job("/c"))
            tail = ".0123abcd.filepart"
            at = server.log.index("RNTO /a")
            assert server.log[at - 1 : at + 3] == [
                f"RNFR /a{tail}", "RNTO /a", f"SIZE /a{tail}", f"STOR /b{tail}",
            ]  # fmt: skip
            assert server.log.count("EPSV") == 3
            for name in ("b", "c"):
                assert server.log.count(f"SIZE /{name}{tail}") == 1

    def test_a_strange_yes_is_not_the_word_that_a_published_file_was_replaced(self):
        """What has the final name has the size of the file by chance: it is the one that was there before."""
        with Scripted(RNTO="200 Fine.") as server, account(server)() as session:
            server.files["/a"] = b"earlier"
            assert errors_of(publish(session, job("/a"))) == [ProtocolError]
            assert server.files == {"/a": b"earlier"}

    def test_nor_is_a_rename_believed_that_somebody_asks_for(self):
        with Scripted(RNTO=["250 Renamed."]) as server:
            server.files["/a"] = b"content"
            acc = self.fresh(server)
            with acc() as session:
                with pytest.raises(NotSupportedError):
                    session.rename("/a", "/b")
                session.rename("/a", "/c")
            assert acc.profile.renamed is True
            assert server.files == {"/c": b"content"}

    @pytest.mark.parametrize("name", ["/PICTURES/A.JPG", "/Pictures/ä.jpg"])
    def test_a_server_that_does_not_tell_names_apart_has_it_under_its_old_name_too(self, name):
        """Only the case differs, or how an accent is written: that it is there tells nothing."""
        old = {"/PICTURES/A.JPG": "/Pictures/a.jpg"}.get(name, "/Pictures/a\u0308.jpg")
        with Scripted(SIZE="213 7") as server:
            server.files[old.encode().decode("latin-1")] = b"content"
            acc = self.fresh(server)
            with acc() as session:
                session.rename(old, name)
            assert acc.profile.renamed is False, "it may have done nothing"
            assert server.files == {name.encode().decode("latin-1"): b"content"}

    def test_where_no_sizes_are_told_a_yes_is_a_yes(self):
        with Scripted(SIZE="502 Not here.") as server:
            acc = self.fresh(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a"), job("/b"))) == [None, None]
            assert server.files == dict.fromkeys(("/a", "/b"), b"content")


class TestNoRename:
    """A server that renames nothing is told from one that refuses a name."""

    @pytest.mark.parametrize("taken", [1, 2])
    def test_what_has_come_under_its_final_name_stays_when_nobody_wants_the_rest(self, taken):
        """It has taken the place of an older version, and is all that there is."""
        with Scripted() as server, account(server, Profile(renames=False))() as session:
            server.files.update(dict.fromkeys(("/a", "/b", "/c"), b"older"))
            results: Any = session.publish(map(job, ("/a", "/b", "/c")))
            for _ in range(taken):
                assert next(results).error is None
            results.close()
            assert session.usable
            assert server.files == {"/a": b"content", "/b": b"content", "/c": [b"older", b"content"][taken - 1]}

    @pytest.mark.parametrize(
        "script",
        [
            {"RNFR": "502 Not here."},
            {"RNFR": "550 Permission denied."},
            {"RNTO": "500 What?"},
            {"RNTO": "502 Not here."},
            {"RNTO": "550 Permission denied."},
            {"RNTO": "553 Not allowed."},
        ],
        ids=lambda script: " ".join(f"{verb} {reply[:3]}" for verb, reply in script.items()),
    )
    @pytest.mark.parametrize("greeting", ["220 Hello.", "220 (vsFTPd 3)", "220 Microsoft FTP Service"])
    def test_it_gets_files_under_their_final_names(self, script, greeting):
        with Scripted(script, GREETING=greeting) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, *map(job, ("/a", "/b", "/c", "/d")))
                assert session.usable
            assert errors_of(results) == [None] * 4
            assert [result.job.path for result in results] == ["/a", "/b", "/c", "/d"]
            assert acc.profile.renames is False
            assert acc.profile.pipelining is (not greeting.endswith("Service"))
            assert server.files == dict.fromkeys(("/a", "/b", "/c", "/d"), b"content")
            # It was known by then.
            assert [line for line in server.log if line.startswith("STOR /d")] == ["STOR /d"]

    @pytest.mark.parametrize("size", [0, 10, 2 * 1024 * 1024])
    def test_each_size(self, size):
        content = b"x" * size
        with Scripted(RNTO="550 Permission denied.") as server:
            with account(server)() as session:
                results = publish(session, job("/a", content), job("/b", content))
            assert errors_of(results) == [None, None]
            # A large one is not sent twice: the rename of the one before is over when it begins.
            assert ("STOR /b.0123abcd.filepart" in server.log) is (size < 1024 * 1024)
            assert {result.sha256 for result in results} == {hashlib.sha256(content).digest()}
            assert server.files == {"/a": content, "/b": content}

    def test_what_is_there_is_written_over(self):
        with Scripted(RNTO="550 Permission denied.") as server:
            server.files.update({"/a": b"old", "/theirs": b"content"})
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert (acc.profile.renames, acc.profile.rename_over) == (False, None)
            assert not [line for line in server.log if line in {"DELE /a", "DELE /theirs"}]
            assert set(server.files) == {"/a", "/b", "/c", "/theirs"}

    @pytest.mark.parametrize("refused", [False, True])
    def test_what_has_made_room_is_not_all_that_is_lost_where_nothing_is_renamed_any_more(self, refused):
        """Sent under its final name, it may not arrive: until then the temporary file is all that there is."""
        store = [None, None, "552 Disk full." if refused else None]
        with Scripted(RNFR=[None, "502 Not any more."], STOR=store) as server, account(server)() as session:
            session.profile.rename_over = False
            server.files["/b"] = b"old"
            _, result = publish(session, job("/a"), job("/b"))
            assert [line for line in server.log if line == "DELE /b"]
            assert (result.error is not None, result.gone) == (refused, refused)
            there = "/b.0123abcd.filepart" if refused else "/b"
            assert server.files == {"/a": b"content", there: b"content"}

    def test_what_the_server_has_emptied_where_nothing_is_renamed_any_more_is_told_as_gone(self):
        async def full(connection: Connection, path: str) -> None:
            connection.server.files[path] = b""
            await connection.say("552 Disk full.")

        with Scripted(RNFR="502 Not any more.", STOR=[None, full]) as server, account(server)() as session:
            server.files["/a"] = b"old"
            (result,) = publish(session, job("/a"))
            assert (type(result.error), result.gone) == (ServerFullError, True)

    def test_a_directory_that_has_the_name_is_not_deleted_where_the_transfer_begins_before_that_is_seen(self):
        """At ftp-srv, whose DELE removes directories that are empty."""

        async def late(connection: Connection, _path: str) -> None:
            await connection.receive()
            await connection.end_data()
            await connection.say("550 EISDIR: illegal operation on a directory, open '/d'")

        with Scripted(STOR=[late]) as server, account(server, Profile(renames=False))() as session:
            server.dirs.add("/d")
            (result,) = publish(session, job("/d"))
            assert (type(result.error), result.in_place) == (AlreadyExistsError, False)
            assert "DELE /d" not in server.log

    def test_nor_is_it_where_our_disk_fails_before_that_is_said(self):
        """The try ends of that, and what the server says of the name is told behind it."""

        async def late(connection: Connection, _path: str) -> None:
            with contextlib.suppress(ConnectionError):
                await connection.receive()
            await connection.end_data()
            await connection.say("550 EISDIR: illegal operation on a directory, open '/d'")

        content = b"x" * 1_000_000
        with Scripted(STOR=[late]) as server, account(server, Profile(renames=False))() as session:
            server.dirs.add("/d")
            (result,) = publish(session, job("/d", content, open=lambda: Unreadable(content)))
            assert (type(result.error), result.in_place) == (LocalUnreadableError, False)
            assert "DELE /d" not in server.log

    def test_a_line_that_ends_under_a_rename_before_the_next_file_leaves_neither_published(self):
        """Where each command is said alone, the rename is answered before STOR is said."""
        with Scripted(RNTO=hang_up) as server, account(server)() as session:
            session.profile.pipelining = False
            assert errors_of(publish(session, job("/a"), job("/b"))) == [ServerUnavailableError] * 2
            assert "/a" not in server.files

    @pytest.mark.parametrize("reply", ["550 Permission denied.", "553 Name not allowed.", "501 Invalid name."])
    def test_a_name_that_is_refused_is_that_names_trouble(self, reply):
        async def strict(connection: Connection, path: str) -> None:
            if path == "/b":
                await connection.say(reply)
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=strict) as server, account(server)() as session:
            assert errors_of(publish(session, job("/b"))) == [NameRefusedError]
            assert errors_of(publish(session, job("/a"), job("/b"))) == [None, NameRefusedError]
            assert session.profile.renames is True
            assert session.profile.pipelining is True
            assert server.files == {"/a": b"content"}

    def test_a_directory_where_nothing_may_be_renamed_is_that_directorys_trouble(self):
        with Scripted(RNTO=closed("/closed/")) as server:
            acc, everything = account(server), ("/closed/a", "/closed/b", "/closed/below/c", "/open/d", "/closed.e")
            for path in everything:
                with acc() as session:
                    assert errors_of(publish(session, job(path))) == [None]
            assert server.files == dict.fromkeys(everything, b"content")
            assert acc.profile.no_renames == ["/closed"]
            assert [line for line in server.log if line.startswith("STOR /closed/")] == [
                "STOR /closed/a.0123abcd.filepart",
                *[line for line in server.log if line.startswith("STOR /closed/ftpsyncd.")],
                *[f"STOR {path}" for path in everything[:3]],
            ]
            assert [line for line in server.log if line.startswith("RNTO") and "/ftpsyncd." not in line][-2:] == [
                "RNTO /open/d",
                "RNTO /closed.e",
            ]

    def test_nothing_may_be_renamed_where_it_may_not_in_many_directories(self):
        with Scripted(RNTO=closed("/")) as server:
            acc = account(server)
            for n in range(MOST_WITHOUT_RENAMES + 2):
                with acc() as session:
                    assert errors_of(publish(session, job(f"/{n}/a"))) == [None]
            assert (acc.profile.renames, acc.profile.no_renames) == (False, [])
            last = [line for line in server.log if line.startswith("STOR ")][-1]
            assert last == f"STOR /{MOST_WITHOUT_RENAMES + 1}/a"

    def test_a_file_that_is_busy_is_that_files_trouble(self):
        with Scripted(RNTO=busy) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"))) == [NameRefusedError]
            assert session.profile.renames is True
            assert server.files == {}

    def test_a_connection_that_has_renamed_learns_nothing(self):
        with Scripted() as server, account(server)() as session:
            put(session, "/a")
            server.script["RNTO"] = "550 Permission denied."
            assert errors_of(publish(session, job("/b"))) == [NameRefusedError]
            assert session.profile.renames is True
            assert server.files == {"/a": b"content"}

    def test_nor_one_that_has_renamed_at_somebodys_word(self):
        with Scripted() as server, account(server)() as session:
            server.files["/old"] = b"content"
            session.rename("/old", "/new")
            server.script["RNTO"] = "550 Permission denied."
            assert errors_of(publish(session, job("/b"))) == [NameRefusedError]
            assert session.profile.renames is True

    @pytest.mark.parametrize(
        "script",
        [
            {"RNTO": "450 Not now."},
            {"RNTO": "451 Not now."},
            {"RNTO": "552 Over quota."},
            {"RNTO": "550 No such file."},
            {"RNTO": "550 File exists."},
            {"RNTO": ["550 Permission denied.", "451 Not now."]},
            {"RNTO": "550 Permission denied.", "STOR": [None, "553 No more."]},
            {"RNTO": "550 Permission denied.", "SIZE": [None] * 3 + ["550 No such file."], "MDTM": "550 No such file."},
            {"RNTO": "550 Permission denied.", "SIZE": [None] * 3 + ["213 3"]},
            {"RNTO": "550 Permission denied.", "SIZE": [None, "450 Not now.", "450 Not now."], "MDTM": "450 Not now."},
        ],
    )
    def test_what_may_have_another_reason_teaches_nothing(self, script):
        with Scripted(script) as server, account(server)() as session:
            session.profile.dating = Dating.MFMT
            (result,) = publish(session, job("/a"))
            assert result.error is not None
            assert session.usable
            assert session.profile.renames is True
            assert server.files == {}

    def test_a_connection_that_is_lost_meanwhile_teaches_nothing(self):
        with Scripted(RNTO=["550 Permission denied.", hang_up]) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"))) == [ServerUnavailableError]
            assert session.profile.renames is True

    def test_a_folder_in_the_way_is_left_alone(self):
        with Scripted(RNTO="550 Permission denied.") as server, account(server)() as session:
            server.dirs.add("/a")
            assert errors_of(publish(session, job("/a"))) == [AlreadyExistsError]
            assert session.profile.renames is True

    def test_the_local_file_is_looked_at_before_it_is_sent_again(self):
        verdicts = [None, FileChangedError("It changed.")]

        def confirm(_file, _sha256) -> None:
            if (verdict := verdicts.pop(0)) is not None:
                raise verdict

        with Scripted(RNTO="550 Permission denied.") as server, account(server)() as session:
            assert errors_of(publish(session, job("/a", confirm=confirm))) == [FileChangedError]
            assert server.files == {}
            assert "STOR /a" not in server.log

    def test_the_temporary_file_goes_first_or_nothing_is_sent_again(self):
        with Scripted(RNTO="550 Permission denied.", DELE="550 Permission denied.") as server:
            with account(server)() as session:
                assert errors_of(publish(session, job("/a"), job("/b"), job("/c"))) == [
                    NameRefusedError, NameRefusedError, None,
                ]  # fmt: skip
            assert "/a" not in server.files
            assert server.files["/c"] == b"content"

    def test_a_second_transfer_that_fails_is_the_result(self):
        with Scripted(RNTO="550 Permission denied.", STOR=[None, None, None, "452 Full."]) as server:
            with account(server)() as session:
                results = publish(session, job("/a"), job("/b"))
            assert errors_of(results) == [ServerFullError, None]
            assert server.files == {"/b": b"content"}
            assert results[0].job.temporary == job("/a").temporary, "it is not the result of another job"

    def test_parts_that_will_not_be_continued_are_removed(self):
        with Scripted() as server, account(server)() as session:
            session.profile.renames = False
            it = job("/a", resume=True, parts=["/a.00000000.filepart"])
            server.files.update(dict.fromkeys([it.temporary, *it.parts], b"part"))
            assert errors_of(publish(session, it)) == [None]
            assert server.files == {"/a": b"content"}

    def test_it_is_tried_again_when_the_refusal_is_old(self):
        with Scripted(RNTO="550 Permission denied.") as server:
            acc = account(server)
            keeper = Keeper(acc.profile, "", 0.0)
            with acc() as session:
                put(session, "/a")
            assert keeper.tend(0.0) is not None
            keeper.tend(8 * 86400.0)
            assert acc.profile.renames is True
            server.script.clear()
            with acc() as session:
                put(session, "/b")
            assert "RNTO /b" in server.log
            assert set(server.files) == {"/a", "/b"}


async def lists(connection: Connection, _argument: str) -> None:
    await connection.say("150 Here it comes.")
    _, writer = await connection.data()
    for path in connection.server.files:
        writer.write(f"-rw-r--r-- 1 a b 5 Jan  1  2020 {path.rpartition('/')[2]}\r\n".encode("latin-1"))
    await writer.drain()
    await connection.end_data()
    await connection.say("226 Done.")


class Windows(Scripted):
    """Reads paths as IIS, FileZilla Server and Serv-U do: a backslash is a slash, and `..` leads upwards.

    Args:
        makes_parents: a directory is made with those that it stands in.
    """

    NO_PATH = "550 The system cannot find the path specified."

    def __init__(self, *, makes_parents: bool = False) -> None:
        super().__init__()
        self.makes_parents = makes_parents

    async def default(self, connection: Connection, line: str) -> None:
        verb, _, argument = line.partition(" ")
        if verb in {"STOR", "RETR", "RNFR", "RNTO", "DELE", "SIZE", "MDTM", "CWD", "MKD", "RMD"}:
            line = f"{verb} {posixpath.normpath(argument.replace(chr(92), '/'))}"
        if verb == "CWD":
            connection.here = posixpath.normpath(argument)  # type: ignore[attr-defined]
        await super().default(connection, line)

    async def do_stor(self, c: Connection, path: str) -> str:
        return await super().do_stor(c, path) if posixpath.dirname(path) in self.dirs else self.NO_PATH

    async def do_mkd(self, c: Connection, path: str) -> str:
        if posixpath.dirname(path) not in self.dirs:
            if not self.makes_parents:
                return self.NO_PATH
            await self.do_mkd(c, posixpath.dirname(path))
        return await super().do_mkd(c, path)

    async def do_rmd(self, c: Connection, path: str) -> str:
        if any(posixpath.dirname(each) == path for each in (*self.dirs, *self.files)):
            return "550 The directory is not empty."
        return await super().do_rmd(c, path)

    async def do_list(self, c: Connection, _a: str) -> str:
        await c.say("150 Here it comes.")
        _, writer = await c.data()
        for path in self.dirs - {"/"}:
            if posixpath.dirname(path) == c.here:  # type: ignore[attr-defined]
                writer.write(f"11-22-26  11:00PM       <DIR>          {posixpath.basename(path)}\r\n".encode())
        await writer.drain()
        await c.end_data()
        return "226 Done."


class Short(Scripted):
    """Its names have 143 bytes at most, as in the encrypted folders of a Synology (eCryptfs)."""

    async def do_stor(self, c: Connection, path: str) -> str:
        return "553 Could not create file." if self.is_long(path) else await super().do_stor(c, path)

    async def do_rnto(self, c: Connection, path: str) -> str:
        return "550 Rename failed." if self.is_long(path) else await super().do_rnto(c, path)

    def is_long(self, path: str) -> bool:
        return len(path.rpartition("/")[2]) > 143  # of Latin-1: bytes


def test_new_files_under_their_final_names_are_not_ended_one_by_one_where_one_that_is_replaced_would_be_tried():
    """pure-ftpd: each cost three round trips, and not the two of which one asks whether it is there."""
    files = 20
    profile = Profile(reached=True)
    with Scripted(GREETING="220 Welcome to Pure-FTPd") as server, account(server, profile)() as session:
        assert errors_of(publish(session, *(job(f"/{i}", temporary=f"/{i}") for i in range(files)))) == [None] * files
        verbs = server.verbs()
    stores = [place for place, verb in enumerate(verbs) if verb == "STOR"]
    # What is said of the file before comes with the next one, behind the question of whether that is there.
    assert [verbs[place + 1 : place + 3] for place in stores[:-1]] == [["EPSV", "SIZE"]] * (files - 1)
    assert [verbs[place - 1] for place in stores[2:]] == ["MFMT"] * (files - 2)


class TestNamesThatLookWrong:
    """A server takes only those with certain endings, and the temporary ones have another."""

    @pytest.mark.parametrize(
        "reply",
        [
            "550 /a.jpg.0123abcd.filepart: Forbidden filename",
            "553 Prohibited file name: /a.jpg.0123abcd.filepart",
            "550-The file extension is denied.\n550 End",
        ],
    )
    def test_it_is_told_what_helps(self, reply):
        with Scripted(STOR=reply) as server, account(server)() as session:
            (hidden,) = publish(session, job("/a.jpg"))
            (direct,) = publish(session, job("/a.jpg", temporary="/a.jpg"))
        assert isinstance(hidden.error, NameRefusedError)
        assert "publish: direct" in hidden.error.remedy
        assert isinstance(direct.error, NameRefusedError)
        assert direct.error.remedy == NameRefusedError.remedy

    def test_a_lack_of_rights_is_none_of_it(self):
        with Scripted(STOR="550 /a.jpg.0123abcd.filepart: Permission denied") as server, account(server)() as session:
            (result,) = publish(session, job("/a.jpg"))
        assert result.error is not None
        assert result.error.remedy == NameRefusedError.remedy


class TestOddNames:
    """What is said of an odd name comes from having seen one."""

    @pytest.mark.parametrize("name", ["..\\index.html", "in\\index.html", "\\index.html"])
    @pytest.mark.parametrize("makes_parents", [False, True])
    def test_none_leads_to_another_directory(self, name, makes_parents):
        with Windows(makes_parents=makes_parents) as server:
            server.dirs |= {"/site", "/site/uploads", "/site/uploads/in"}
            theirs = {"/site/index.html": b"theirs", "/site/uploads/in/index.html": b"theirs"}
            server.files.update(theirs)
            with account(server)() as session:
                assert errors_of(publish(session, job(f"/site/uploads/{name}"))) == [NameRefusedError]
                assert session.profile.keeps == {Oddity.BACKSLASH: False}
            assert server.files == theirs
            assert server.dirs == {"/", "/site", "/site/uploads", "/site/uploads/in"}

    def test_a_directory_that_is_not_there_says_nothing_of_the_names_in_it(self):
        with Windows() as server, account(server)() as session:
            assert errors_of(publish(session, job("/new/a\\b"))) == [NotFoundError]
            assert session.profile.keeps == {}

    def test_one_that_fits_where_names_must_be_short_does_so_on_its_way(self):
        path = f"/{'Ж' * 63}.jpg"  # 130 bytes
        with Short() as server, account(server)() as session:
            assert errors_of(publish(session, job(path, temporary=names.temporary(path, "m")))) == [None]
            assert set(server.files) == {path.encode().decode("latin-1")}

    @pytest.mark.parametrize("drops", ['"', ""])
    def test_a_quote_that_is_left_away_would_make_one_file_of_two(self, drops):
        class Unquoting(Scripted):
            """Reads arguments as a shell does, as ftp-srv."""

            async def _act(self, connection: Connection, verb: str, argument: str) -> None:
                await super()._act(connection, verb, argument.replace(drops, "") if drops else argument)

        with Unquoting(MKD="550 No.", LIST=lists) as server:
            server.files["/12in.jpg"] = b"theirs"
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job('/12"in.jpg'))) == [NameRefusedError if drops else None]
            theirs = {"/12in.jpg": b"theirs"}
            assert server.files == (theirs if drops else {**theirs, '/12"in.jpg': b"content"})
            assert acc.profile.keeps == {Oddity.QUOTE: not drops}

    def test_a_word_that_is_taken_for_an_option_would_make_one_file_of_two(self):
        class Parsing(Scripted):
            """Takes options out of all arguments but those of three commands, as ftp-srv."""

            async def _act(self, connection: Connection, verb: str, argument: str) -> None:
                kept = argument if verb in {"STOR", "SIZE", "RETR"} else re.sub(r" -\w(?= |$)", "", argument)
                await super()._act(connection, verb, kept)

        with Parsing(LIST=lists) as server, account(server)() as session:
            server.files["/a"] = b"theirs"
            assert errors_of(publish(session, job("/a -l"))) == [NameRefusedError]
            assert server.files == {"/a": b"theirs"}

    @pytest.mark.parametrize("script", [{}, {"MKD": "550 No."}, {"MKD": "550 No.", "LIST": "550 No."}], ids=str)
    @pytest.mark.parametrize("matches", [True, False])
    def test_one_that_is_taken_for_a_pattern_would_take_the_place_of_what_it_matches(self, matches, script):
        class Globbing(Scripted):
            """Takes the one that a name matches for the one that is meant, if there is one, as FreeBSD's."""

            async def _act(self, connection: Connection, verb: str, argument: str) -> None:
                there = [each for each in (*self.files, *self.dirs) if fnmatchcase(each, connection.at(argument))]
                await super()._act(connection, verb, there[0] if matches and len(there) == 1 else argument)

        with Globbing(script) as server:
            server.files["/a1.jpg"] = b"theirs"
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a[1].jpg"))) == [NameRefusedError if matches else None]
            theirs = {"/a1.jpg": b"theirs"}
            assert server.files == (theirs if matches else {**theirs, "/a[1].jpg": b"content"})
            assert server.dirs == {"/"}
            assert acc.profile.keeps == {Oddity.PATTERN: not matches}

    @pytest.mark.parametrize("verb", ["STOR", "SIZE"])
    def test_one_like_a_pattern_of_which_nothing_can_be_told_is_sent(self, verb):
        """Nor is that kept: where something may be stored it is tried again."""
        script = {"MKD": "550 No.", verb: ["550 No."]}
        with Scripted(script) as server:
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/a[1].jpg"))) == [None]
            assert set(server.files) == {"/a[1].jpg"}
            assert acc.profile.keeps == {}

    @pytest.mark.parametrize("reply", ["550 Permission denied.", "502 No MKD."])
    def test_where_no_directory_may_be_made_a_file_shows_it(self, reply):
        with Scripted(MKD=reply, LIST=lists) as server:
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/ a"))) == [None]
            assert set(server.files) == {"/ a"}
            assert acc.profile.keeps == {Oddity.LEADING_SPACE: True}

    def test_what_is_kept_of_it_is_not_changed_while_somebody_reads_it(self):
        """The engine goes through what is known, to keep it, while connections learn more."""
        with Scripted(MKD="550 No.", LIST=lists) as server:
            acc = account(server)
            with acc() as session:
                read = iter(acc.profile.keeps.items())
                session.assure("/ a")
                assert list(read) == []
            assert acc.profile.keeps == {Oddity.LEADING_SPACE: True}

    def test_a_server_that_changes_it_is_found_out_by_a_file_too(self):
        async def trims(connection: Connection, path: str) -> None:
            connection.server.files[path.replace("/ ", "/")] = await connection.receive()
            await connection.end_data()
            await connection.say("226 Stored.")

        with Scripted(MKD="550 No.", LIST=lists, STOR=trims) as server:
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/ a"))) == [NameRefusedError]
            assert server.files == {}
            assert acc.profile.keeps == {Oddity.LEADING_SPACE: False}

    @pytest.mark.parametrize(
        "script",
        [{"MKD": "550 Permission denied.", "STOR": "550 Permission denied."}, {"LIST": lists}],
        ids=["refused", "not shown"],
    )
    def test_what_was_not_seen_is_not_learned(self, script):
        with Scripted(script) as server:
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/ a"))) == [NameRefusedError]
            assert acc.profile.keeps == {}


class TestSizesOf32Bits:
    """From 2 GiB on they are negative, or begin anew after 4 GiB."""

    @pytest.mark.parametrize("told", ["-1294967296", "3000000000"])
    def test_a_large_file_that_is_complete_is_published(self, told):
        with Scripted() as server, account(server)() as session:
            upload = Outgoing(job("/a", size=3_000_000_000), "/a.tmp", io.BytesIO(), 0.0)
            checked(
                session, upload, ["SIZE", "date"], [Reply(213, (f"213 {told}".encode(),)), Reply(213, (b"213 Ok",))]
            )
            assert upload.error is None
            assert session.usable

    def test_one_that_is_not_is_found_out(self, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,))
        with Scripted() as server, account(server)() as session:
            upload = Outgoing(job("/a", size=3_000_000_000), "/a.tmp", io.BytesIO(), 0.0)
            checked(session, upload, ["SIZE"], [Reply(213, (b"213 1294967296",))])
            assert isinstance(upload.error, VerificationError)

    def test_it_is_there(self):
        with Scripted(SIZE="213 -1294967296") as server, account(server)() as session:
            assert session.stat("/a") == RemoteEntry("a", Kind.FILE, None, None)
            assert session.usable


class TestWordsForASize:
    """ftp-srv has a default text for 213, which it says where the number is 0."""

    async def told(self, connection: Connection, path: str) -> None:
        content = connection.server.files.get(path)
        if content is None:
            await connection.say("550 No such file.")
        else:
            await connection.say(f"213 {len(content) or 'File status'}")

    def test_an_empty_file_is_published(self):
        with Scripted(SIZE=self.told) as server, account(server)() as session:
            assert errors_of(publish(session, job("/empty", b""), job("/a"))) == [None, None]
            assert server.files == {"/empty": b"", "/a": b"content"}
            assert session.stat("/empty") == RemoteEntry("empty", Kind.FILE, None, 1600000000)

    def test_what_is_not_understood_is_not_taken_for_nothing(self):
        with Scripted(SIZE="213 1 of 7") as server, account(server)() as session:
            (result,) = publish(session, job("/a"))
            assert type(result.error) is VerificationError
            assert "not understood: 213 1 of 7" in str(result.error)

    def test_one_of_which_nothing_arrived_is_found_out(self):
        async def loses(connection: Connection, path: str) -> None:
            await connection.receive()
            connection.server.files[path] = b""
            await connection.end_data()
            await connection.say("226 Stored.")

        with Scripted(SIZE=self.told, STOR=[loses]) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"), job("/b"))) == [VerificationError, None]
            assert server.files == {"/b": b"content"}
            assert session.usable


class SizesDirectories(Scripted):
    """Tells sizes of directories, too, as Twisted does."""

    async def do_size(self, c: Connection, path: str) -> str:
        return "213 4096" if c.at(path) in self.dirs else await super().do_size(c, path)


class TestSizesOfDirectories:
    def test_a_directory_is_one_all_the_same(self):
        with SizesDirectories() as server, account(server)() as session:
            server.dirs.add("/d")
            server.files["/f"] = b"content"
            seen = session.stat_many(["/d", "/f", "/none"])
            assert seen == [RemoteEntry("d", Kind.DIR, None, None), RemoteEntry("f", Kind.FILE, 7, None), None]
            assert session.stat("/d") == seen[0]
            assert server.log.count("SIZE /") == 1

    def test_one_that_holds_something_stays_without_an_error(self):
        with SizesDirectories(RMD="550 Internal server error.", LIST=lists) as server, account(server)() as session:
            server.dirs.add("/d")
            server.files["/d/f"] = b"content"
            assert session.remove_dir("/d") is False

    def test_elsewhere_files_are_not_visited(self):
        with Scripted() as server:
            server.files["/f"] = b"content"
            acc = account(server)
            for _ in range(2):
                with acc() as session:
                    assert session.stat("/f") == RemoteEntry("f", Kind.FILE, 7, None)
            assert server.log.count("SIZE /") == 1
            assert "CWD" not in server.verbs()

    def test_nothing_is_asked_where_there_is_nothing(self):
        with Scripted() as server, account(server)() as session:
            assert session.stat_many(["/f"]) == [None]
            assert "SIZE /" not in server.log


class TestDates:
    def test_a_server_without_any_way_is_asked_once(self):
        with Scripted(MFMT="500 What?", MDTM="500 What?", SITE="500 What?") as server:
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert not any(r.dated for r in results)
            assert server.verbs().count("MFMT") == 1
            assert acc.profile.dating is not None

    @pytest.mark.parametrize("way", [Dating.UTIME, Dating.UTIME_LONG])
    def test_older_commands_are_said_as_servers_understand_them(self, way):
        """proftpd with mod_site_misc: ``SITE UTIME date name``, and ``SITE UTIME name atime mtime ctime UTC``."""

        async def site(connection: Connection, argument: str) -> None:
            pattern = {
                Dating.UTIME: r"UTIME (?P<date>\d{14}) (?P<name>.+)",
                Dating.UTIME_LONG: r"UTIME (?P<name>.+) (?P<date>\d{14}) (?P=date) (?P=date) UTC",
            }[way]
            told = re.fullmatch(pattern, argument)
            if told is not None:
                connection.server.dates[told["name"]] = told["date"]
            await connection.say("200 Fine." if told is not None else "501 What?")

        with Scripted(FEAT="211-Features:\n SIZE\n211 End", SITE=site) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, job("/a b"), job("/c"))
            assert [result.dated for result in results] == [True, True]
            assert server.dates == {"/a b": "20200913122640", "/c": "20200913122640"}
            assert acc.profile.dating is way

    def test_a_yes_that_changes_nothing_is_found_out(self):
        with Scripted(MFMT="213 Of course.", MDTM="213 20010101000000", SITE="200 Of course.") as server:
            results, _, _ = publish_three(server)
            assert not any(r.dated for r in results)

    @pytest.mark.parametrize("mtime_s", [-5, 253402300805])
    def test_an_odd_date_tells_nothing_about_the_others(self, mtime_s):
        async def no_such_date(connection: Connection, path: str) -> None:
            await connection.say("550 No such date.")

        with Scripted(MFMT=[no_such_date], SITE="500 What?") as server:
            acc = account(server)
            with acc() as session:
                assert errors_of(publish(session, job("/odd", mtime_s=mtime_s))) == [None]
                assert refusals(acc.profile) == set()
                assert [r.dated for r in publish(session, job("/a"))] == [True]

    def test_seconds_that_are_rounded_are_good_enough(self):
        async def rounds(connection: Connection, argument: str) -> None:
            stamp, _, path = argument.partition(" ")
            await connection.server.do_mfmt(connection, f"{int(stamp) // 2 * 2} {path}")
            await connection.say("213 Set.")

        with Scripted(MFMT=rounds) as server, account(server)() as session:
            assert session.set_time("/a", 1_600_000_001)
            assert session.profile.dating is Dating.MFMT

    @pytest.mark.parametrize("reply", ["550 Permission denied.", "502 Not here.", "451 Try later."])
    def test_a_date_that_cannot_be_set_hides_no_change_of_the_file(self, reply):
        script = dict.fromkeys(("MFMT", "MDTM", "SITE"), "500 What?")
        features = "211-Features:\n MLST type*;size*;\n SIZE\n EPSV\n211 End"
        with Scripted({**script, "FEAT": features, "MLST": reply}) as server, account(server)() as session:
            changed = job("/a", confirm=raiser(FileChangedError("It changed.")))
            results = publish(session, changed, job("/b"))
            assert errors_of(results) == [FileChangedError, None]
            assert set(server.files) == {"/b"}

    def test_a_file_that_is_not_to_be_published_is_not_although_its_confirmation_used_the_data_connection(self):
        """The next file has to agree on another one then, and what ends the file before travels with that."""
        with Scripted(LIST=lists) as server, account(server)() as session:

            def look_and_refuse(_file: BinaryIO, _sha256: bytes) -> None:
                session.list_dir("/")
                raise FileChangedError("It changed.")

            results = publish(session, job("/a", confirm=look_and_refuse), job("/b"))
            assert errors_of(results) == [FileChangedError, None]
            assert set(server.files) == {"/b"}
            assert "RNTO /a" not in server.log

    def test_nor_is_one_left_without_that_was_opened_with_a_look_that_used_it(self):
        with Scripted(LIST=lists) as server, account(server)() as session:

            def look_and_open() -> BinaryIO:
                session.list_dir("/")
                return io.BytesIO(b"content")

            results = publish(session, job("/a", open=look_and_open), job("/b", open=look_and_open), job("/c"))
            assert errors_of(results) == [None] * 3
            assert set(server.files) == {"/a", "/b", "/c"}

    def test_what_another_session_learns_meanwhile_does_not_leave_a_file_undated(self):
        async def learn(connection: Connection, path: str) -> None:
            known.profile.dating = Dating.MFMT  # as a second session of the account would
            await connection.say(await connection.server.do_size(connection, path))

        with Scripted(SIZE=learn) as server:
            known = account(server)
            known.profile.features = {"MFMT": ""}
            with known() as session:
                (result,) = publish(session, job("/a"))
            assert result.error is None
            assert result.dated
            assert server.dates.keys() == {"/a"}


class TestWithoutSize:
    def test_who_may_not_look_believes_the_last_words(self):
        with Scripted(SIZE="550 Permission denied.") as server:
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert acc.profile.size
        with Scripted(SIZE="550 Could not get file size.") as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [VerificationError] * 3

    @pytest.mark.parametrize("reply", ["500 What?", "502 Not here."])
    def test_the_final_reply_must_do(self, reply):
        with Scripted(SIZE=reply) as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert server.verbs().count("SIZE") == 1

    @pytest.mark.parametrize("reply", ["502 No SIZE.", "550 SIZE: Permission denied.", "550 SIZE is not for you."])
    def test_what_has_a_date_is_there(self, reply):
        with Scripted(SIZE=reply) as server, account(server)() as session:
            server.dates["/a"] = "20200101000000"
            assert session.stat("/a") == RemoteEntry("a", Kind.FILE, None, 1577836800)
            server.dirs.add("/d")
            server.dates["/d"] = "20200101000000"
            assert session.stat("/d") == RemoteEntry("d", Kind.DIR, None, None)

    @pytest.mark.parametrize("reply", ["502 No.", "500 What?", "550 Permission denied.", "451 Not now."])
    def test_else_a_listing_shows_what_is_there(self, reply):
        with Scripted(SIZE=reply, MDTM=reply, LIST=lists) as server, account(server)() as session:
            server.files["/a"] = b"12345"
            found = session.stat_many(["/a", "/b", "/c", "/gone/d"])
            assert found == [RemoteEntry("a", Kind.FILE, 5, None), None, None, None]
            assert server.verbs().count("LIST") == 1

    @pytest.mark.parametrize("reply", ["502 No.", "500 What?"])
    def test_where_no_command_tells_of_files_nothing_is_in_an_empty_directory(self, reply):
        """As at aioftp: that its first file is not there yet counted as not to be seen, and was an error."""
        with (
            Scripted(SIZE=reply, MDTM=reply, LIST=lists, NLST="550 No files found.") as server,
            account(server)() as session,
        ):
            assert session.stat_many(["/a", "/b"]) == [None, None]

    @pytest.mark.parametrize(
        "script", [{"LIST": "550 Permission denied."}, {"CWD": "550 Permission denied."}], ids=["list", "go"]
    )
    def test_what_cannot_be_seen_is_not_absent(self, script):
        with Scripted({"SIZE": "502 No.", "MDTM": "502 No.", **script}) as server, account(server)() as session:
            with pytest.raises(NameRefusedError, match="denied"):
                session.stat("/a")
            session.noop()

    def test_a_refused_delete_stays_refused_where_nobody_may_look(self):
        blind = dict.fromkeys(("SIZE", "MDTM", "LIST", "DELE", "MFMT", "SITE"), "550 Permission denied.")
        with Scripted(blind) as server, account(server)() as session:
            assert errors_of(publish(session, job("/a"))) == [None]
            (verdict,) = session.delete_many(["/a"])
            assert isinstance(verdict, NameRefusedError)
            assert not session.set_time("/a", 1_600_000_000)
            assert session.profile.dating is None

    @pytest.mark.parametrize("verb", ["SIZE", "MDTM"])
    def test_one_that_says_that_it_is_absent_is_enough(self, verb):
        with Scripted({verb: "502 No."}) as server, account(server)() as session:
            assert session.stat("/a") is None
            assert "LIST" not in server.verbs()


class TestMachineListings:
    """Offered by FEAT, but a firewall lets them not pass, or one of the two is not there."""

    @pytest.mark.parametrize("feature", ["MLST type*;size*;", "MLSD"])
    @pytest.mark.parametrize("reply", ["500 What?", "501 Syntax error in parameters.", "502 No.", "504 No."])
    def test_the_other_ways_are_gone(self, feature, reply):
        feat = f"211-F\n {feature}\n SIZE\n EPSV\n211 End"
        with Scripted(FEAT=feat, MLST=reply, MLSD=reply, LIST=lists) as server:
            server.files["/a"] = b"12345"
            server.dates["/a"] = "20200101000000"
            there = RemoteEntry("a", Kind.FILE, 5, 1577836800)
            acc = account(server)
            with acc() as session:
                for _ in range(2):
                    assert session.stat_many(["/a", "/b"]) == [there, None]
                    assert session.list_dir("/") == [there]
                assert [line for line in server.log if line.startswith("ML")] == [
                    "MLST /a",
                    "MLST /b",
                    "MLST /",
                    "MLSD /",
                ]
            assert refusals(acc.profile) == {"stats", "listings"}

    def test_what_nobody_may_look_at_is_not_taken_for_absent(self):
        """Where foreign files are kept, it would be replaced."""
        no = "550 /a: Permission denied."
        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLST=no, SIZE=no, MDTM=no, LIST=no) as server:
            server.files["/a"] = b"12345"
            with account(server)() as session:
                with pytest.raises(NameRefusedError, match="denied"):
                    session.stat_many(["/a"])
                session.noop()

    @pytest.mark.parametrize("words", ["/a: Permission denied.", "Unable to handle command"])
    def test_what_else_tells_of_it_is_asked_where_that_is_denied(self, words):
        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLST=f"550 {words}") as server:
            server.files["/a"] = b"12345"
            with account(server)() as session:
                there, missing = session.stat_many(["/a", "/b"])
                assert there is not None
                assert there.size == 5
                assert missing is None

    def test_of_very_many_directories_only_some_are_known_to_be_told_of(self, monkeypatch):
        """A session may last for months; who asks again hears the same."""
        monkeypatch.setattr("ftpsyncd.remote.looking.TOLD_OF_MOST", 10)

        async def tells(line: Connection, path: str) -> None:
            refused = path.endswith("/a")
            await line.say("550 Unable to handle command" if refused else f"250-\n type=dir; {path}\n250 End")

        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLST=tells) as server, account(server)() as session:
            for _ in range(2):
                for number in range(25):
                    assert session.stat(f"/{number}/a") is None
                    assert 0 < len(session.shown.told_of) <= 10
            assert session.stat("/24/a") is None
            assert server.log.count("MLST /24") == 2, "it is known still"

    def test_they_are_found_behind_codes(self):
        feat = "211-F\n211-MLST type*;size*;\n211-SIZE\n211 End"
        with Scripted(FEAT=feat, MLST="250-Here\n250-type=dir;size=5; /a\n250 End") as server:
            with account(server)() as session:
                assert session.stat("/a") == RemoteEntry("a", Kind.DIR, None, None)
            assert "MLST" in server.verbs()

    def test_the_other_ways_are_gone_where_nothing_is_said_twice(self):
        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLST=silence, hangs=True) as server:
            server.files["/a"] = b"12345"
            acc = account(server)
            for _ in range(2):
                with acc() as session, pytest.raises(ServerUnavailableError):
                    session.stat_many(["/a", "/b"])
            with acc() as session:
                assert session.stat_many(["/a", "/b"]) == [RemoteEntry("a", Kind.FILE, 5, None), None]
            assert refusals(acc.profile) == {"stats"}

    def test_silence_to_several_at_once_counts_once(self):
        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLST=silence, hangs=True) as server:
            acc = account(server)
            with acc() as one, acc() as another:
                for session in (one, another):
                    with pytest.raises(ServerUnavailableError):
                        session.stat("/a")
            assert refusals(acc.profile) == set()

    def test_one_line_with_facts_is_enough(self):
        async def facts(connection: Connection, path: str) -> None:
            there = path in connection.server.files
            await connection.say(f"213 type=file;size=5 {path}" if there else "550 No such file.")

        with Scripted(FEAT="211-F\n MLST\n211 End", MLST=facts) as server, account(server)() as session:
            server.files["/a"] = b"12345"
            assert session.stat_many(["/a", "/b"]) == [RemoteEntry("a", Kind.FILE, 5, None), None]

    def test_a_success_without_facts_is_no_answer(self):
        async def facts(connection: Connection, path: str) -> None:
            there = path in connection.server.files
            await connection.say(f"250-List\n type=file;size=5; {path}\n250 End" if there else "250-List\n550\n250 End")

        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLST=facts) as server, account(server)() as session:
            server.files["/a"] = b"12345"
            server.dirs.add("/d")
            there, nothing, directory = session.stat_many(["/a", "/b", "/d"])
            assert (there, nothing) == (RemoteEntry("a", Kind.FILE, 5, None), None)
            assert directory == RemoteEntry("d", Kind.DIR, None, None)
            assert session.usable

    @pytest.mark.parametrize(
        ("sent", "found", "asks"),
        [
            ("5 a\r\n", ["a"], True),
            ("x\r\ntype=dir; d\r\n", ["d"], False),
            ("type=cdir; .\r\n", [], False),
            ("\r\n", [], False),
        ],
    )
    def test_what_has_no_facts_at_all_is_no_empty_directory(self, sent, found, asks):
        """Small devices send size and name; the half of a name with a line break is no reason to ask otherwise."""

        async def tells(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(sent.encode())
            await writer.drain()
            await connection.end_data()
            await connection.say("226 Done.")

        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLSD=tells, LIST=lists) as server:
            server.files["/a"] = b"12345"
            with account(server)() as session:
                assert [entry.name for entry in session.list_dir("/", dated=False)] == found
                assert session.profile.listings is not asks
            assert ("LIST" in server.verbs()) is asks

    def test_a_path_that_is_too_long_says_nothing_about_the_others(self):
        async def short(connection: Connection, path: str) -> None:
            await connection.say("500 Too long." if len(path) > 200 else f"250-\n type=dir; {path}\n250 End")

        with Scripted(
            FEAT="211-F\n MLST type*;\n211 End", MLST=short, MLSD="500 Too long.", CWD="500 Too long."
        ) as server:
            acc = account(server)
            with acc() as session:
                for look in (session.stat, session.list_dir):
                    with pytest.raises(NotSupportedError):
                        look("/" + "x" * 250)
            assert refusals(acc.profile) == set()


class TestListings:
    async def odd(self, connection: Connection, _argument: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        writer.write(
            b"total 2\r\ndrwxr-xr-x 2 a domain users 512 Jan  1  2020 d\r\nA.JPG;1 2/3 1-JAN-2020 12:00:00\r\n"
        )
        await writer.drain()
        await connection.end_data()
        await connection.say("226 Done.")

    def test_where_nobody_may_look_nothing_is_said_to_be_there(self):
        with Scripted(LIST="550 Permission denied.") as server, account(server)() as session:
            with pytest.raises(NameRefusedError):
                session.list_dir("/")
            assert session.usable

    @pytest.mark.parametrize(
        "reply",
        [
            "550 No files found.",
            "550 No such file or directory.",
            "450 No files found.",
            *also("450 directory is empty."),
        ],
    )
    def test_an_empty_directory_may_be_told_by_a_refusal(self, reply):
        with Scripted(LIST=reply) as server, account(server)() as session:
            server.dirs.add("/d")
            assert session.list_dir("/d") == []
            with pytest.raises(NotFoundError):
                session.list_dir("/none")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b"type=file; a\ntype=file; b\n", ["a", "b"]),
            (b"type=file; a\nb\r\ntype=file; c\r\n", ["a\nb", "c"]),
            (b"type=file; a\nb\r\n", ["a\nb"]),
            (b"\xef\xbb\xbftype=pdir; d\r\ntype=file; \xef\xbb\xbfa\r\n", ["\ufeffa"]),
        ],
    )
    def test_lines_may_end_with_a_line_feed_if_all_do(self, text, expected):
        async def tells(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(text)
            await writer.drain()
            await connection.end_data()
            await connection.say("226 Done.")

        with Scripted(FEAT="211-F\n MLST type*;\n211 End", MLSD=tells) as server, account(server)() as session:
            assert [entry.name for entry in session.list_dir("/")] == expected

    @pytest.mark.parametrize("reply", ["550 -a: no such directory.", "451 File system error.", "501 No options.", ""])
    def test_a_server_that_takes_an_option_for_a_name_is_asked_without(self, reply):
        """Windows CE and others show an empty directory then, and do not refuse."""

        async def literal(connection: Connection, argument: str) -> None:
            if argument and reply:
                await connection.say(reply)
                return
            names, connection.server.files = connection.server.files, {} if argument else connection.server.files
            await lists(connection, argument)
            connection.server.files = names

        with Scripted(LIST=literal) as server, account(server)() as session:
            server.files["/a"] = b"12345"
            assert [entry.name for entry in session.list_dir("/")] == ["a"]
            assert session.list_kinds("/") == {"a": Kind.FILE}
            again = ["LIST"] if reply.startswith("5") else ["LIST -a", "LIST"]
            assert [line for line in server.log if line.startswith("LIST")] == ["LIST -a", "LIST", *again]

    @pytest.mark.parametrize(
        "reply",
        [
            "425 No data connection.",
            "426 Connection closed; transfer aborted.",
            "551 Error listing files.",
            "550 Issue during transfer: write tcp 10.0.0.1:2100->10.0.0.2:471: i/o timeout",
            "550 write EPIPE",
        ],
    )
    def test_a_listing_with_hidden_names_that_breaks_is_not_one_without_them(self, reply):
        """LIST alone leaves them away, as at vsftpd, and what is not listed would be taken for absent."""

        async def breaks(connection: Connection, argument: str) -> None:
            if argument:
                await connection.say("150 Here it comes.")
                await connection.data()
                await connection.end_data()
                await connection.say(reply)
            else:
                await lists(connection, argument)

        with Scripted(LIST=breaks) as server, account(server)() as session:
            server.files["/a"] = b"12345"
            with pytest.raises(TransferFailedError, match=reply[:3]):
                session.list_dir("/")

    @pytest.mark.parametrize("reply", ["426 Connection closed; transfer aborted.", "551 Error listing files."])
    def test_one_that_may_not_be_read_is_not_empty_where_the_listing_that_shows_that_breaks(self, reply):
        """proftpd shows nothing of it, not even itself; that the root shows itself is found out once in a session."""
        whole = [False, True]
        itself = b"drwxr-xr-x 2 u u 4096 Jan 1 2020 .\r\n"

        async def of_root_only(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(itself if connection.directory == "/" else b"")
            await writer.drain()
            await connection.end_data()
            broken = connection.directory == "/" and not whole.pop(0)
            await connection.say(reply if broken else "226 Done.")

        with Scripted(LIST=of_root_only) as server, account(server)() as session:
            server.dirs.add("/d")
            with pytest.raises(TransferFailedError, match=reply[:3]):
                session.list_dir("/d")
            with pytest.raises(NameRefusedError, match="not even itself: it may not be read"):
                session.list_dir("/d")

    @pytest.mark.parametrize("path", ["/", "/d"])
    @pytest.mark.parametrize(("name", "size"), [("a", "213 5"), ("e", "550 No file.")], ids=["a file", "a directory"])
    def test_a_server_that_lists_nothing_anywhere_has_no_empty_directories(self, path, name, size):
        """netkit's ftpd shows what /bin/ls says, and a user who is confined to a folder without one sees nothing."""

        async def names(connection: Connection, argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(f"./.\r\n./..\r\n./{name}\r\n".encode() if connection.directory == path else b"")
            await writer.drain()
            await connection.end_data()
            await connection.say("226 Done.")

        with Scripted(LIST=self.shows(), NLST=names, SIZE=size) as server, account(server)() as session:
            server.dirs |= {"/d", "/empty", f"{path}/e".replace("//", "/")}
            for look in (session.list_dir, session.list_kinds):
                with pytest.raises(NameRefusedError, match="LIST does not work"):
                    look(path)
            assert server.log[-1] == "CWD /"
            assert session.list_dir("/empty") == []

    @pytest.mark.parametrize(
        "end",
        [
            "426 Connection closed; transfer aborted.",
            "451 Local error in processing.",
            "551 Error listing files.",
            "550 write EPIPE",
        ],
    )
    def test_nor_has_it_where_the_names_that_show_that_break(self, end):
        """What is in it would be taken for absent."""

        async def breaks(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            await connection.data()
            await connection.end_data()
            await connection.say(end)

        with Scripted(LIST=self.shows(), NLST=breaks) as server, account(server)() as session:
            server.files["/a"] = b"12345"
            with pytest.raises(TransferFailedError, match=end[:3]):
                session.list_dir("/")
            assert server.log[-1] == "CWD /"

    @pytest.mark.parametrize("reply", ["450 No files found.", "451 No files found.", "550 No such file.", "502 No."])
    def test_where_the_server_names_no_files_a_directory_of_which_nothing_shows_is_empty(self, reply):
        with Scripted(LIST=self.shows(), NLST=reply) as server, account(server)() as session:
            assert session.list_dir("/") == []

    @pytest.mark.parametrize("reply", ["500 What?", "502 No."])
    @pytest.mark.parametrize(("line", "there"), [(b"a", True), (b"a 1\r\nb", True), (b"ls: no files", False)])
    def test_nor_has_it_where_no_command_tells_of_files(self, reply, line, there):
        """What the names show would be taken for absent."""

        async def names(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(line + b"\r\n")
            await writer.drain()
            await connection.end_data()
            await connection.say("226 Done.")

        with (
            Scripted(SIZE=reply, MDTM=reply, LIST=self.shows(), NLST=names) as server,
            account(server)() as session,
            pytest.raises(NameRefusedError, match="LIST does not work") if there else contextlib.nullcontext(),
        ):
            assert session.stat_many(["/a"]) == [None]

    def test_a_name_of_something_that_is_not_there_makes_no_directory_full(self):
        async def names(connection: Connection, argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(b"ls: no files\r\n")
            await writer.drain()
            await connection.end_data()
            await connection.say("226 Done.")

        with Scripted(LIST=self.shows(), NLST=names) as server, account(server)() as session:
            assert session.list_dir("/") == []

    @staticmethod
    def shows(*named: str, end: str = "226 Done."):
        """LIST of a server that lists the directories ``named``, each as if it were empty, and nothing of any other."""

        async def act(connection: Connection, argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            if connection.directory in named and argument:
                writer.write(b"drwxr-xr-x 2 a b 512 Jan  1  2020 .\r\ndrwxr-xr-x 2 a b 512 Jan  1  2020 ..\r\n")
                await writer.drain()
            await connection.end_data()
            await connection.say(end if connection.directory not in named else "226 Done.")

        return act

    @pytest.mark.parametrize(
        "script",
        [
            {"LIST": shows("/", end="226 Transfer done (but failed to open directory).")},
            {"LIST": shows("/", end="226-Sorry, we were unable to read [.]\n226-Options: -l\n226 0 matches total")},
            {"LIST": shows("/")},
            {"LIST": shows("/"), "FEAT": "211-F\n MLST type*;\n211 End", "MLSD": "550 /d: Permission denied"},
        ],
        ids=["vsftpd", "pure-ftpd", "proftpd", "proftpd with MLSD"],
    )
    def test_a_directory_that_may_not_be_read_is_no_empty_one(self, script):
        """The three say so each in its own way, and all with a success."""
        with Scripted(script) as server, account(server)() as session:
            server.dirs.add("/d")
            for look in (session.list_dir, session.list_kinds):
                with pytest.raises(NameRefusedError) as refusal:
                    look("/d")
                assert type(refusal.value) is NameRefusedError
            assert session.list_dir("/") == []
            assert server.log[-1] == "CWD /"

    @pytest.mark.parametrize("named", [("/", "/d"), ()], ids=["also themselves", "nothing"])
    def test_whether_empty_ones_show_anything_is_asked_once(self, named):
        with Scripted(LIST=self.shows(*named)) as server, account(server)() as session:
            server.dirs.add("/d")
            assert [session.list_dir("/d"), session.list_kinds("/d")] == [[], {}]
            assert server.verbs().count("LIST") == (2 if named else 5)

    @pytest.mark.parametrize(("there", "kind"), [(True, NameRefusedError), (False, NotFoundError)])
    def test_nor_is_it_absent_where_the_server_says_that_it_cannot_tell(self, there, kind):
        feature = "211-F\n MLST type*;\n211 End"
        with Scripted(FEAT=feature, MLSD="550 Can't check for file existence") as server:
            server.dirs |= {"/d"} if there else set()
            with account(server, Profile(paths=Paths.ABSOLUTE))() as session:
                with pytest.raises(NameRefusedError) as refusal:
                    session.list_dir("/d")
                assert type(refusal.value) is kind

    def test_a_line_that_is_not_understood_is_told(self):
        with Scripted(LIST=self.odd) as server, account(server)() as session:
            with pytest.raises(NotSupportedError, match=r"A\.JPG;1 2/3"):
                session.list_dir("/")
            session.noop()
            assert session.list_kinds("/") == {"d": Kind.DIR}


class TestPipelining:
    """A server that cannot take batches is finished one command at a time."""

    @staticmethod
    def losing(act):
        """Every command that came together with others loses those."""

        async def wrapped(connection: Connection, line: str) -> None:
            buffer = connection.reader._buffer  # type: ignore[attr-defined]
            if buffer:
                await act(connection, line)
            else:
                await connection.server.default(connection, line)

        return wrapped

    def stubborn(self, act):
        """A script that lets ``act`` happen whenever more than one command is there."""
        verbs = ("FEAT", "TYPE", "OPTS", "SIZE", "MFMT", "EPSV", "RNFR", "RNTO", "MKD", "CWD", "DELE", "MDTM")

        def of(verb):
            async def one(connection: Connection, argument: str) -> None:
                await self.losing(act)(connection, f"{verb} {argument}")

            return one

        return {verb: of(verb) for verb in verbs}

    async def _forget(self, connection: Connection, line: str) -> None:
        connection.reader._buffer.clear()  # type: ignore[attr-defined]
        await connection.server.default(connection, line)

    async def _refuse(self, connection: Connection, line: str) -> None:
        connection.reader._buffer.clear()  # type: ignore[attr-defined]
        await connection.say("500 One at a time, please.")

    async def _twice(self, connection: Connection, line: str) -> None:
        await connection.server.default(connection, line)
        await connection.say("500 What was that?")

    @pytest.mark.parametrize("how", ["_forget", "_refuse", "hang_up", "silence"])
    def test_found_out_at_login(self, how):
        act = {"hang_up": hang_up, "silence": silence}.get(how) or getattr(self, how)
        with Scripted(self.stubborn(act), hangs=act is not hang_up) as server:
            results, usable, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert usable
            assert acc.profile.pipelining is False
            assert server.connections == 4

    @pytest.mark.parametrize("how", [hang_up, silence])
    def test_not_by_one_login_that_ends(self, how):
        """The server was restarted, or waited for the machine that knows the passwords."""
        with Scripted(GREETING="220 (vsFTPd 3.0.3)", PASS=[how], hangs=how is silence) as server:
            acc = account(server)
            with acc() as session:
                assert session.usable
            assert acc.profile.pipelining is True
            assert server.connections == 3

    def test_a_server_that_is_merely_down_is_not_blamed(self):
        with Scripted(FEAT=hang_up) as server:
            acc = account(server)
            with pytest.raises(ServerUnavailableError):
                acc()
            assert acc.profile.pipelining is True

    def test_found_out_while_renaming(self):
        async def forgetful(connection: Connection, path: str) -> None:
            # RNTO works only if it did not come together with RNFR.
            if connection.server.batches[-2] > 1:
                await connection.say("503 RNFR first.")
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=forgetful) as server:
            results, usable, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert usable
            assert acc.profile.pipelining is False
            assert server.verbs().count("STOR") == 3

    def test_found_out_while_renaming_over_what_may_not_be_replaced(self):
        async def forgetful(connection: Connection, path: str) -> None:
            if connection.server.batches[-2] > 1:
                await connection.say("503 RNFR first.")
            elif path in connection.server.files:
                await connection.say("550 File exists.")
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=forgetful) as server:
            server.files["/a"] = b"old"
            results, _, acc = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert (acc.profile.pipelining, acc.profile.rename_over, acc.profile.renames) == (False, False, True)
            assert set(server.files) == {"/a", "/b", "/c"}

    def test_found_out_by_sessions_that_end(self):
        with Scripted(RNFR=choking("RNFR")) as server:
            acc = account(server)
            left = ["/a", "/b", "/c"]
            for _ in range(3):
                if not left:
                    break
                with acc() as session:
                    for result in publish(session, *(job(path) for path in left)):
                        if result.error is None:
                            left.remove(result.job.path)
            assert left == []
            assert acc.profile.pipelining is False
            assert set(server.files) == {"/a", "/b", "/c"}

    def test_not_by_several_that_end_at_once(self):
        """The server was restarted, or the line cut, while files were published."""
        both = threading.Barrier(2)

        async def restart(connection: Connection, path: str) -> None:
            await asyncio.to_thread(both.wait, 10)
            await connection.hang_up()

        with Scripted(RNFR=[restart, restart]) as server:
            acc = account(server)
            with acc() as one, acc() as other:
                threads = [
                    threading.Thread(target=publish, args=(session, job(f"/{i}")))
                    for i, session in enumerate((one, other))
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(10)
                assert (one.usable, other.usable) == (False, False)
            assert acc.profile.pipelining is True
            with acc() as session:
                assert errors_of(publish(session, job("/a"))) == [None]
            assert acc.profile.doubts == 0

    def test_not_by_one_that_we_have_cut(self):
        """As where a disk hangs under the file that it sends: that says nothing about the server."""
        sessions: list[Session] = []

        async def cut(connection: Connection, _argument: str) -> None:
            sessions[0].cut()
            await connection.silence()

        with Scripted(RNFR=[None, cut]) as server:
            acc = account(server)
            with acc() as session:
                sessions.append(session)
                results = publish(session, job("/a"), job("/b"), job("/c"))
                assert ServerUnavailableError in errors_of(results)
                assert not session.usable
            assert (acc.profile.doubts, acc.profile.pipelining) == (0, True)

    @pytest.mark.parametrize("verb", ["SIZE", "MFMT", "EPSV", "STOR", "RNFR", "RNTO"])
    def test_not_by_one_that_says_farewell(self, verb):
        """What is tried on a connection that has ended was never sent."""
        with Scripted({verb: [None, farewell]}, GREETING="220 (vsFTPd 3.0.3)") as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, job("/a"), job("/b"), job("/c"))
                assert ServerUnavailableError in errors_of(results)
            assert acc.profile.doubts == 0

    def test_a_banner_is_enough(self):
        with Scripted(GREETING="220 Microsoft FTP Service") as server:
            results, _, _ = publish_three(server)
            assert errors_of(results) == [None] * 3
            assert set(server.batches) == {1}


class TestFetching:
    def test_a_missing_file(self):
        with Scripted() as server, account(server)() as session:
            with pytest.raises(NotFoundError):
                session.fetch("/no", io.BytesIO())
            session.noop()

    def test_a_directory_that_is_refused_with_551_before_anything_is_begun(self):
        """As ftp-srv refuses whatever it cannot read; behind a 150 it tells of a transfer that broke."""
        with Scripted(RETR="551 Cannot read a directory") as server, account(server)() as session:
            with pytest.raises(NameRefusedError):
                session.fetch("/pictures", io.BytesIO())
            session.noop()

    def test_a_download_that_ends_in_the_middle(self):
        async def part(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here.")
            _, writer = await connection.data()
            writer.write(b"par")
            await writer.drain()
            await connection.end_data()
            await connection.say("426 Sorry.")

        with Scripted(RETR=part) as server, account(server)() as session:
            with pytest.raises(TransferFailedError):
                session.fetch("/a", io.BytesIO())
            session.noop()

    def test_a_download_that_never_comes(self):
        async def never(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here.")
            await connection.silence()

        with Scripted(RETR=never, hangs=True) as server, account(server)() as session:
            with pytest.raises(ServerUnavailableError):
                session.fetch("/a", io.BytesIO())
            assert not session.usable

    def test_one_that_nothing_is_said_of_is_waited_for_as_long_as_a_reply(self):
        """Zope's says nothing at all when it is asked for an empty file."""

        async def silent(connection: Connection, _argument: str) -> None:
            await connection.data()

        patient = QUICK._replace(stall_s=20.0)
        with Scripted(RETR=silent) as server, account(server, Profile(), patient)() as session:
            begun = time.monotonic()
            with pytest.raises(ServerUnavailableError, match="Time-out"):
                session.fetch("/a", io.BytesIO())
            assert time.monotonic() - begun < 10
            assert not session.usable

    @pytest.mark.parametrize(("size", "error"), [(0, None), (1, ServerUnavailableError)])
    def test_an_empty_one_that_nothing_is_said_of_has_come(self, tmp_path, size, error):
        async def silent(connection: Connection, path: str) -> None:
            if connection.server.files[path] == content:
                await connection.data()
            else:
                await connection.server.default(connection, f"RETR {path}")

        content = b"x" * size
        with Scripted(hangs=True, RETR=silent, LIST=lists) as server:
            server.files.update({"/a": content, "/b": b"12345"})
            acc = account(server)
            with Ftp(acc(), again=acc) as ftp:
                with pytest.raises(error) if error else contextlib.nullcontext():
                    ftp.download("/a", tmp_path / "a")
                assert (tmp_path / "a").exists() is (error is None)
                ftp.download("/b", tmp_path / "b")
            assert (tmp_path / "b").read_bytes() == b"12345"

    def test_one_of_which_it_is_said_that_it_is_over_is_not_waited_for_as_long_as_one_that_stalls(self):
        async def over(connection: Connection, _argument: str) -> None:
            await connection.say("226 Done.")

        with Scripted(RETR=over) as server, account(server, Profile(), QUICK._replace(stall_s=20.0))() as session:
            before = time.monotonic()
            with pytest.raises(TransferFailedError):
                session.fetch("/a", io.BytesIO())
            assert time.monotonic() - before < 10
            session.noop()

    def test_what_comes_after_the_last_word_is_taken_as_long_as_it_comes(self):
        async def early(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here.\n226 Done.")
            _, writer = await connection.data()
            for _ in range(4):
                writer.write(b"part")
                await writer.drain()
                await asyncio.sleep(QUICK.connect_s * 0.4)
            await connection.end_data()

        into = io.BytesIO()
        with Scripted(RETR=early) as server, account(server, None, QUICK)() as session:
            assert session.fetch("/a", into) == 16
            assert into.getvalue() == b"part" * 4
            session.noop()

    def test_a_writer_that_fails_ends_the_session(self):
        class Full(io.BytesIO):
            def write(self, _data):
                raise OSError(28, "No space left on device")

        with Scripted() as server:
            server.files["/a"] = b"content"
            with account(server)() as session:
                with pytest.raises(OSError, match="No space"):
                    session.fetch("/a", Full())
                assert not session.usable
