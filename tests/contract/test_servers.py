"""What real servers do when something is wrong: refused, full, crowded, gone."""

from __future__ import annotations

import io
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ftpsyncd.errors import (
    FileTooLargeError,
    FtpsyncdError,
    LoginRefusedError,
    MountPointError,
    NameRefusedError,
    NotFoundError,
    Retry,
    ServerFullError,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
    TransferFailedError,
)
from ftpsyncd.model import Kind
from ftpsyncd.remote import Ftp, connect
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import DataMode, TlsMode
from tests.contract.remotes import ends_in_haste, job, publish, put
from tests.servers import KINDS, certificates, running

pytestmark = pytest.mark.real_server
QUICK = Timeouts(connect_s=5, reply_s=10, stall_s=5, final_s=10, close_s=2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_password_is_a_refused_login(kind):
    with running(kind) as server:
        with pytest.raises(LoginRefusedError) as caught:
            Account(server.spec(password=lambda: "wr0ng"))()
        assert caught.value.reply.startswith("530")
        assert "wr0ng" not in f"{caught.value} {caught.value!r} {caught.value.reply}"


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_connections_are_told_from_a_refused_login(kind):
    with running(kind, max_clients=2) as server:
        account = Account(server.spec())
        with account(), account(), pytest.raises(TooManyConnectionsError):
            account()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_write_permission_refuses_the_name(kind):
    with running(kind, writable=False) as server, Account(server.spec())() as session:
        (result,) = publish(session, job("/f"))
        assert isinstance(result.error, NameRefusedError)
        with pytest.raises(NameRefusedError):
            session.make_dir("/d")
        assert list(server.home.iterdir()) == []


@pytest.mark.root
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd", "pure-ftpd"])
def test_a_folder_called_not_found_is_not_taken_for_the_reason(kind):
    with running(kind) as server, Account(server.spec())() as session:
        folder = server.home / "not found"
        folder.mkdir(0o555)
        (folder / "a.jpg").write_bytes(b"content")
        (verdict,) = session.delete_many(["/not found/a.jpg"])
        assert isinstance(verdict, NameRefusedError)
        assert (folder / "a.jpg").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_called_denied_is_not_there(kind):
    with running(kind) as server, Account(server.spec())() as session:
        assert session.stat("/access-denied.jpg") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_to_a_file_is_fetched_like_the_file(kind, tmp_path):
    with running(kind) as server, Ftp(Account(server.spec())()) as ftp:
        (server.home / "real").write_bytes(b"x" * 5000)
        (server.home / "link").symlink_to("real")
        (server.home / "open").write_bytes(b"x" * 7)
        (server.home / "open").chmod(0o777)
        ftp.download("/link", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"x" * 5000
        assert ftp.stat("/link").size in {5000, None}
        assert ftp.stat("/open").size == 7


@pytest.mark.parametrize("kind", ["vsftpd", "proftpd", "pyftpdlib"])
def test_a_name_with_a_line_break_does_not_hide_its_neighbours(kind):
    with running(kind) as server, Account(server.spec())() as session:
        for name in ("a\nb", "-rw-r--r-- 1 a b 5 Jan  1  2020 c\nd", "e"):
            (server.home / name).write_bytes(b"12")
        names = {"a\nb", "-rw-r--r-- 1 a b 5 Jan  1  2020 c\nd", "e"}
        assert {entry.name for entry in session.list_dir("/")} == names
        assert session.list_kinds("/") == dict.fromkeys(names, Kind.FILE)


@pytest.mark.root
@pytest.mark.parametrize("tls", ["off", "explicit"])
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd", "pure-ftpd"])
def test_a_full_disk_shows_no_part_under_the_final_name(kind, tls):
    with (
        running(kind, tls=tls, home_bytes=1024 * 1024) as server,
        Account(server.spec(), timeouts=QUICK)() as session,
    ):
        put(session, "/f", b"old")
        (result,) = publish(session, job("/f", b"x" * 4_000_000))
        assert isinstance(result.error, TransferFailedError | ServerFullError | ServerUnavailableError)
        assert (server.home / "f").read_bytes() == b"old"
        if session.usable:
            assert {path.name for path in server.home.iterdir()} == {"f"}
            put(session, "/g", b"small")


@pytest.mark.parametrize("tls", ["off", "explicit"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_goes_away_ends_the_session_and_comes_back(kind, tls):
    with running(kind, tls=tls) as server:
        account = Account(server.spec(), timeouts=QUICK)
        with account() as session:
            put(session, "/a")

            def jobs():
                yield job("/b")
                server.stop()
                yield job("/c")
                raise AssertionError("asked for a job that could not be started")

            results = list(session.publish(jobs()))
            assert [r.job.path for r in results] == ["/b", "/c"]
            assert all(isinstance(r.error, ServerUnavailableError) for r in results)
            assert not session.usable
            with pytest.raises(ServerUnavailableError):
                session.noop()
        with pytest.raises(ServerUnavailableError):
            account()
        assert (server.home / "a").read_bytes() == b"content"
        assert not (server.home / "b").exists()
        server.start()
        with account() as session:
            assert all(r.error is None for r in publish(session, job("/b"), job("/c")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_dies_while_it_receives(kind):
    with running(kind) as server, Account(server.spec(), timeouts=QUICK)() as session:

        def die(sent: int) -> None:
            if sent > 10_000_000 and server.is_running:
                server.stop()

        (result,) = publish(session, job("/big", b"x" * 50_000_000, progress=die))
        assert isinstance(result.error, ServerUnavailableError | TransferFailedError)
        assert not (server.home / "big").exists()
        assert not session.usable


def needs_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


@pytest.mark.parametrize("kind", ["pure-ftpd", "pyftpdlib"])
def test_what_was_learned_of_epsv_is_not_about_ipv6(kind: str):
    needs_ipv6()
    with running(kind, host="::1") as server, Account(server.spec(), profile=Profile(epsv=False))() as session:
        put(session, "/a")
        assert (server.home / "a").exists()


@pytest.mark.parametrize("mode", list(DataMode))
@pytest.mark.parametrize("tls", ["off", "explicit"])
def test_a_server_with_an_ipv6_address(mode: DataMode, tls: str):
    needs_ipv6()
    with running("pyftpdlib", tls=tls, host="::1") as server, Account(server.spec(mode=mode))() as session:
        for name in ("/a", "/b"):
            put(session, name)
        assert sorted(entry.name for entry in session.list_dir("/")) == ["a", "b"]
        assert (server.home / "b").exists()


class TestTls:
    def test_a_certificate_from_nowhere_is_refused(self):
        with running("pyftpdlib", tls="explicit") as server:
            with pytest.raises(TlsError, match="verify"):
                Account(server.spec(tls_ca=None))()
            Account(server.spec(tls_ca=None, tls_verify=False))().close()

    @pytest.mark.parametrize("host", ["localhost.", "::1%lo"])
    def test_what_is_behind_a_name_for_this_machine_only_is_in_no_certificate(self, host, monkeypatch):
        """The dot of a name that is complete, the zone of an address of one link."""
        if "::" in host:
            needs_ipv6()
        bare = host.rstrip(".").partition("%")[0]
        resolve = socket.getaddrinfo

        def resolved(name, *rest, **more):
            return resolve(bare if name == host else name, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        there = "::1" if "::" in host else "127.0.0.1"
        with running("pyftpdlib", tls="explicit", host=there) as server, Account(server.spec(host=host))() as session:
            put(session, "/a")

    def test_a_certificate_for_another_name_is_refused(self):
        with running("pyftpdlib", tls="explicit", host="127.0.0.2") as server:
            with pytest.raises(TlsError, match="verify"):
                Account(server.spec())()
            assert "USER" not in server.log()

    @pytest.mark.parametrize("tls_max", ["1.2", "1.3"])
    @pytest.mark.parametrize(
        ("kind", "tls"),
        [
            ("vsftpd", "explicit"),
            ("vsftpd", "implicit"),
            ("proftpd", "explicit"),
            ("proftpd", "implicit"),
            ("pyftpdlib", "explicit"),
        ],
    )
    def test_a_client_certificate_is_shown_where_it_is_wanted(self, kind, tls_max, tls):
        client = certificates().client
        with running(kind, tls=tls, client_certificate=True) as server:
            account = Account(server.spec(client_cert=client, client_key=client, tls_max=tls_max))
            with account() as session:
                results = publish(session, *(job(f"/{n}") for n in range(3)), job("/large", b"x" * 2_000_000))
                assert [r.error for r in results] == [None] * 4
                assert {e.name for e in session.list_dir("/")} == {"0", "1", "2", "large"}
                assert session.control.tls_version == f"TLS {tls_max}"
                assert session.control.data_resumed

    @pytest.mark.parametrize("tls_max", ["1.2", "1.3"])
    @pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
    def test_without_the_client_certificate_that_a_server_wants_a_person_is_called(self, kind, tls_max):
        with running(kind, tls="explicit", client_certificate=True) as server:
            with pytest.raises(TlsError) as caught:
                Account(server.spec(tls_max=tls_max), timeouts=QUICK)()
            assert "client_cert" in caught.value.remedy
            assert list(server.home.iterdir()) == []

    def test_a_server_without_tls_gets_no_user_name(self):
        with running("pyftpdlib") as server:
            with pytest.raises(TlsError) as caught:
                Account(server.spec()._replace(tls=TlsMode.EXPLICIT))()
            assert caught.value.reply[:1] == "5"

    @pytest.mark.parametrize("kind", KINDS)
    def test_plain_login_where_tls_is_required_is_refused(self, kind):
        with running(kind, tls="explicit") as server, pytest.raises(FtpsyncdError):
            Account(server.spec(tls=TlsMode.OFF))()

    @pytest.mark.parametrize("tls_max", ["1.2", "1.3"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_data_connection_resumes_the_control_session(self, kind, tls_max, monkeypatch):
        made = []
        original = ssl.SSLContext.wrap_socket

        def spy(self, sock, **options):
            made.append(original(self, sock, **options))
            return made[-1]

        monkeypatch.setattr(ssl.SSLContext, "wrap_socket", spy)
        reused = []
        unwrap = ssl.SSLSocket.unwrap

        def ask(self):
            reused.append(self.session_reused)
            return unwrap(self)

        monkeypatch.setattr(ssl.SSLSocket, "unwrap", ask)
        with running(kind, tls="explicit") as server, Account(server.spec(tls_max=tls_max))() as session:
            results = publish(session, *(job(f"/{n}") for n in range(100)))
            assert all(r.error is None for r in results)
            assert {str(made[0].version())} == {f"TLSv{tls_max}"}
        # pure-ftpd sends no ticket under TLS 1.3 and takes full handshakes.
        if (kind, tls_max) != ("pure-ftpd", "1.3"):
            assert reused
            assert all(reused)
        made.clear()

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_key_that_a_server_asks_for_is_offered_at_once_from_then_on(self, kind):
        with running(kind, tls="explicit") as server:
            account = Account(server.spec())
            asked: list[str] = []
            only = {"vsftpd": "prime256v1", "pure-ftpd": "prime256v1"}.get(kind, "")
            # On loopback an answer may be there before anybody can look at it: nearly always where the machine is busy.
            while not account.profile.tls_group and len(asked) < (1000 if only else 30):
                with account() as session:
                    asked.append(session.control.wanted_group)
                    put(session, "/f")
            assert account.profile.tls_group == asked[-1] == only
            for _ in range(3):
                with account() as session:
                    assert session.control.wanted_group == ""
                    put(session, "/f")
            assert account.profile.tls_group == only

    @pytest.mark.parametrize("kind", ["vsftpd", "pure-ftpd"])
    def test_a_key_that_it_takes_no_longer_is_not_insisted_on(self, kind):
        with running(kind, tls="explicit") as server:
            account = Account(server.spec())
            account.profile.tls_group = "secp521r1"
            with account() as session:
                put(session, "/f")
        assert account.profile.tls_group != "secp521r1"

    def test_another_trouble_with_tls_is_told_after_one_more_try(self):
        with running("vsftpd", tls="explicit") as server:
            account = Account(server.spec(tls_ca=None))
            account.profile.tls_group = "prime256v1"
            with pytest.raises(TlsError, match="does not verify") as caught:
                account()
            assert "`tls_ca`" in caught.value.remedy
            assert account.profile.tls_group == ""

    def test_a_session_whose_ticket_expires_soon_ends_in_order(self, monkeypatch):
        with running("proftpd", tls="explicit") as server, Account(server.spec())() as session:

            def jobs():
                yield job("/a")
                # Four hours later.
                now = time.time() + 4 * 3600
                monkeypatch.setattr(session.control, "_began", session.control._began - 4 * 3600)
                monkeypatch.setattr("ftpsyncd.remote.wire.time.time", lambda: now)
                yield job("/b")
                raise AssertionError("asked for a job that could not be started")

            assert [r.error for r in session.publish(jobs())] == [None, None]
            assert not session.usable

    @pytest.mark.parametrize(("tls_max", "back_s", "ends"), [("1.3", 5, True), ("1.3", 0, False), ("1.2", 5, False)])
    def test_a_session_from_before_the_clock_was_set_back_ends_in_order(self, monkeypatch, tls_max, back_s, ends):
        """OpenSSL leaves a ticket of TLS 1.3 away that comes from the future, and proftpd refuses what comes without."""
        with running("proftpd", tls="explicit") as server, Account(server.spec(tls_max=tls_max))() as session:

            def jobs():
                yield job("/a")
                now = time.time() - back_s
                monkeypatch.setattr("ftpsyncd.remote.wire.time.time", lambda: now)
                yield job("/b")
                assert not ends, "asked for a job that could not be started"
                yield job("/c")

            results = [r.error for r in session.publish(jobs())]
            assert results == [None] * (2 if ends else 3)
            assert session.usable is not ends

    def test_a_plain_port_does_not_hang_implicit_tls(self):
        with running("vsftpd") as server, pytest.raises(FtpsyncdError):
            Account(server.spec(tls=TlsMode.IMPLICIT, tls_ca=certificates().ca), timeouts=QUICK)()


@pytest.mark.parametrize("tls", ["off", "explicit"])
@pytest.mark.parametrize("kind", KINDS)
def test_active_mode_works(kind, tls):
    with running(kind, tls=tls) as server, Account(server.spec(mode=DataMode.ACTIVE))() as session:
        results = publish(session, *(job(f"/{n}") for n in range(5)), job("/no/x"), job("/last"))
        assert [r.error is None for r in results] == [True] * 5 + [False, True]
        assert {e.name for e in session.list_dir("/")} == {*"01234", "last"}
        into = io.BytesIO()
        session.fetch("/0", into)
        assert into.getvalue() == b"content"


@contextmanager
def after_us(pid: int) -> Iterator[None]:
    """A process and its children to come run where we do, and not while we do: their answers take time."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(pid, {min(ours)})
    os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
    os.sched_setaffinity(0, {min(ours)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


@pytest.mark.parametrize("mode", DataMode)
@pytest.mark.parametrize("tls", ["off", "explicit"])
def test_vsftpd_reads_all_that_came_before_a_reset(tls, mode, monkeypatch):
    """On loopback, where it wins nothing: each arrives whole, and none has to be sent twice."""
    decided = ends_in_haste(monkeypatch)
    contents = {f"/{n}": bytes([n]) * (n * 1117) for n in range(60)}
    with running("vsftpd", tls=tls) as server, after_us(server.pid):
        account = Account(server.spec(mode=mode))
        with account() as session:
            results = publish(session, *(job(path, content) for path, content in contents.items()))
        assert [r.error for r in results] == [None] * len(contents)
        assert {f"/{path.name}": path.read_bytes() for path in server.home.iterdir()} == contents
    assert len(decided) == len(contents), "none was sent twice"
    assert decided.count(True) > len(contents) * 3 // 4, "else the end has to wait for its turn"
    assert account.profile.parting_credit > Profile().parting_credit


@pytest.mark.parametrize("kind", KINDS)
def test_pasv_works_where_epsv_is_not_known(kind):
    with running(kind) as server:
        account = Account(server.spec())
        account.profile.epsv = False
        with account() as session:
            put(session, "/f")
            assert [e.name for e in session.list_dir("/")] == ["f"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_command_at_a_time_gives_the_same(kind):
    with running(kind) as server:
        account = Account(server.spec())
        account.profile.pipelining = False
        with account() as session:
            session.make_dirs("/a/b")
            results = publish(session, *(job(f"/a/b/{n}", mtime_s=n * 2) for n in range(5)))
            assert [(r.error, r.dated) for r in results] == [(None, True)] * 5
            assert session.delete_many([f"/a/b/{n}" for n in range(5)]) == [None] * 5
            assert session.remove_dir("/a/b")


@pytest.mark.root
@pytest.mark.parametrize("mode", list(DataMode))
@pytest.mark.parametrize("tls", ["off", "explicit"])
@pytest.mark.parametrize("denied", ["RNFR", "RNTO"])
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_where_nothing_may_be_renamed_files_are_sent_under_their_final_names(kind, denied, tls, mode):
    large = b"x" * 3_000_000
    with running(kind, tls=tls, denied=(denied,)) as server, Account(server.spec(mode=mode))() as session:
        put(session, "/first")
        results = publish(session, *(job(f"/{n}") for n in range(5)), job("/large", large), job("/first", b"second"))
        assert [result.error for result in results] == [None] * 7
        assert session.profile.renames is False
        found = {path.name: path.read_bytes() for path in server.home.iterdir()}
        assert found == {**dict.fromkeys("01234", b"content"), "large": large, "first": b"second"}


@pytest.mark.root
@pytest.mark.parametrize(
    ("denied", "shown"),
    [
        ("MLST", True),
        ("SIZE MDTM MLST", True),
        ("DIRS", True),
        ("SIZE MDTM MLST MLSD LIST NLST", False),
        ("READ DIRS", False),
    ],
)
def test_what_may_not_be_looked_at_is_not_taken_for_absent(denied, shown):
    """proftpd refuses MLST in words that tell nothing of the file (550 Unable to handle command)."""
    with running("proftpd", denied=tuple(denied.split())) as server, Account(server.spec())() as session:
        (server.home / "d").mkdir()
        (server.home / "d" / "theirs").write_bytes(b"theirs")
        os.chown(server.home / "d", server.home.stat().st_uid, -1)
        if shown:
            there, missing = session.stat_many(["/d/theirs", "/d/missing"])
            assert there is not None
            assert (there.kind, there.size) == (Kind.FILE, len(b"theirs"))
            assert missing is None
        else:
            with pytest.raises(NameRefusedError, match="does not tell of '/d/theirs'"):
                session.stat_many(["/d/theirs"])
        assert not session.make_dirs("/d")
        assert dict(session.make_dir_many(["/d"])) == {0: False}
        put(session, "/d/ours")
        assert (server.home / "d" / "ours").read_bytes() == b"content"


@pytest.mark.root
def test_a_directory_that_nobody_may_go_to_is_not_taken_for_absent():
    """proftpd says of each that it is not there, also of the root; only SIZE tells that it is something."""
    with running("proftpd", denied=("DIRS", "RMD", "XRMD")) as server, connect(server.spec()) as ftp:
        (server.home / "d").mkdir()
        (server.home / "d" / "theirs").write_bytes(b"theirs")
        os.chown(server.home / "d", server.home.stat().st_uid, -1)
        there, missing = ftp.stat("/d"), ftp.look("/missing")
        assert (there.kind, missing) == (Kind.DIR, None)
        for path in ("/d", "/missing", "/"):
            with pytest.raises(NameRefusedError) as refused:
                ftp.list(path)
            assert not isinstance(refused.value, NotFoundError) or path == "/missing"
        with pytest.raises(NameRefusedError) as refused:
            ftp.remove_dir("/d")
        assert not isinstance(refused.value, NotFoundError)
        assert (server.home / "d").exists()


CLOSED_ROOT = (
    *("<Directory /*>", "<Limit CWD XCWD>", "DenyAll", "</Limit>", "</Directory>"),
    *("<Directory ~/site>", "<Limit CWD XCWD>", "AllowAll", "</Limit>", "</Directory>"),
)


@pytest.mark.root
def test_where_only_the_root_is_closed_what_is_missing_below_is_told_so():
    """What nobody can go to there is not there: a file whose directory somebody had removed was never done with."""
    with running("proftpd", directives=CLOSED_ROOT) as server, Account(server.spec())() as session:
        (server.home / "site").mkdir()
        os.chown(server.home / "site", server.home.stat().st_uid, -1)
        assert [reply.good for reply in session.exchange([b"CWD /", b"CWD /site"])] == [False, True]
        with pytest.raises(NotFoundError):
            session.list_dir("/site/none")
        with pytest.raises(NotFoundError):
            session.rename("/site/none/a", "/site/b")
        assert session.remove_dir("/site/none") is True


@pytest.mark.root
def test_a_download_is_begun_anew_where_a_server_says_try_again_for_ever_to_go_on(tmp_path):
    """proftpd without AllowRetrieveRestart: 451."""

    def breaks(count: int) -> None:
        if count > 1_500_000:
            raise KeyboardInterrupt

    content = os.urandom(3_000_000)
    with running("proftpd", directives=("AllowRetrieveRestart off",)) as server:
        (server.home / "f").write_bytes(content)
        with connect(server.spec()) as ftp, pytest.raises(KeyboardInterrupt):
            ftp.download("/f", tmp_path / "f", progress=breaks)
        assert [path.suffix for path in tmp_path.iterdir()] == [".filepart"]
        with connect(server.spec()) as ftp:
            assert ftp.download("/f", tmp_path / "f").continued_at == 0
    assert (tmp_path / "f").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_host_that_does_not_answer_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as silent, running("pyftpdlib") as server:
        spec = server.spec()._replace(port=silent.getsockname()[1])
        with pytest.raises(ServerUnavailableError):
            Account(spec, timeouts=Timeouts(reply_s=0.2))()


def test_names_in_another_encoding():
    with running("vsftpd") as server, Account(server.spec(encoding="latin-1"))() as session:
        put(session, "/é.jpg")
        assert [p.name for p in server.home.iterdir()] == ["\udce9.jpg"]
        assert session.list_dir("/")[0].name == "é.jpg"
        assert isinstance(publish(session, job("/€"))[0].error, FtpsyncdError)


@pytest.mark.parametrize("kind", KINDS)
def test_the_root_is_not_empty_as_long_as_something_is_in_it_whatever_the_server_says(kind):
    """proftpd and pure-ftpd say "Device or resource busy", and would of any directory where a disk is mounted."""
    with running(kind) as server, Account(server.spec())() as session:
        (server.home / "x").write_bytes(b"")
        assert session.remove_dir("/") is False
        (server.home / "x").unlink()
        with pytest.raises(FtpsyncdError):
            session.remove_dir("/")
        assert session.usable


@pytest.mark.parametrize("kind", ["proftpd", "pure-ftpd", "pyftpdlib"])
def test_an_empty_directory_that_a_disk_is_mounted_on_is_told_as_that(kind):
    with running(kind) as server:
        place = server.home / "d" / "disk"
        place.mkdir(parents=True)
        (server.home / "d").chmod(0o777)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", place], check=False).returncode:
            pytest.skip("nothing may be mounted here")
        try:
            with Account(server.spec())() as session:
                with pytest.raises(MountPointError, match="A disk is mounted on '/d/disk' at the server: 550"):
                    session.remove_dir("/d/disk")
                put(session, "/d/disk/a")
                assert session.remove_dir("/d/disk") is False
        finally:
            subprocess.run(["umount", place], check=True)
        with Account(server.spec())() as session:
            assert session.remove_dir("/d/disk") is True


@pytest.mark.parametrize("tls", ["off", "explicit"])
def test_a_file_that_is_too_large_for_a_server_is_that_files_trouble(tls):
    """proftpd says 552, as it does where there is no space."""
    with running("proftpd", tls=tls, directives=("MaxStoreFileSize 100 Kb",)) as server:
        with Account(server.spec(), timeouts=QUICK)() as session:
            large, small, largest, last = publish(
                session, job("/a", b"a" * 500_000), job("/b"), job("/c", b"c" * 5_000_000), job("/d")
            )
        for result in (large, largest):
            assert isinstance(result.error, FileTooLargeError)
            assert result.error.retry is Retry.NAME
        assert (small.error, last.error) == (None, None)
        assert sorted(path.name for path in server.home.iterdir()) == ["b", "d"]


@pytest.mark.parametrize("kind", ["proftpd", "pure-ftpd"])
@pytest.mark.parametrize("closed", ["d", "d/sub"])
def test_what_is_in_a_directory_that_nobody_is_let_into_is_not_taken_for_gone(kind, closed):
    """They say of a file in there what they say of one that is not there, to all but DELE and RMD."""
    with running(kind) as server, Account(server.spec())() as session:
        session.make_dirs("/d/sub/empty")
        put(session, "/d/sub/a")
        (server.home / closed).chmod(0)
        (verdict,) = session.delete_many(["/d/sub/a"])
        assert isinstance(verdict, NameRefusedError)
        with pytest.raises(NameRefusedError):
            session.remove_dir("/d/sub/empty")
        (server.home / closed).chmod(0o755)
        assert session.delete_many(["/d/sub/a", "/d/no", "/no/such"]) == [None, None, None]
        assert session.remove_dir("/d/sub/empty") is True


@pytest.mark.parametrize("kind", ["proftpd", "pure-ftpd"])
@pytest.mark.parametrize("closed", ["d", "d/sub"])
def test_nor_is_it_where_it_is_to_be_renamed(kind, closed):
    """As to move it to the trash: what is not there any more counts as deleted."""
    with running(kind) as server, Account(server.spec())() as session:
        session.make_dirs("/d/sub")
        put(session, "/d/sub/a")
        (server.home / closed).chmod(0)
        with pytest.raises(NameRefusedError) as refused:
            session.rename("/d/sub/a", "/b")
        assert not isinstance(refused.value, NotFoundError)
        (server.home / closed).chmod(0o755)
        session.rename("/d/sub/a", "/b")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/a", "/no/such"])
def test_what_is_to_be_renamed_and_is_not_there_is_told_so(kind, path):
    """vsftpd says "RNFR command failed." of that as of what may not be renamed."""
    with running(kind) as server, Account(server.spec())() as session:
        with pytest.raises(NotFoundError, match=f"The server does not have '{path}'"):
            session.rename(path, "/b")
        put(session, "/c")
        session.rename("/c", "/b")


@pytest.mark.parametrize("kind", ["proftpd", "pure-ftpd"])
def test_a_directory_that_nobody_is_let_into_is_not_told_as_none(kind):
    with running(kind) as server, Account(server.spec())() as session:
        session.make_dirs("/d")
        (server.home / "d").chmod(0)
        for path in ("/d", "/d/sub"):
            with pytest.raises(
                NameRefusedError, match="'/d' is at the server already, and the server does not let us in"
            ):
                session.make_dirs(path)


def test_what_may_not_be_deleted_anywhere_is_gone_where_it_is_not():
    with running("proftpd", denied=("DELE", "RMD")) as server, Account(server.spec())() as session:
        put(session, "/a")
        there, not_there = session.delete_many(["/a", "/b"])
        assert isinstance(there, NameRefusedError)
        assert not_there is None
        assert session.remove_dir("/no") is True
