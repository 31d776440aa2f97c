"""The library face at a scripted server: one that lacks something, or goes away."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.core import sizes
from ftpsyncd.errors import (
    AlreadyExistsError,
    LocalUnwritableError,
    NameNotSendableError,
    NameRefusedError,
    ServerUnavailableError,
    TlsError,
    VerificationError,
)
from ftpsyncd.remote import Ftp, connect
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.profile import Profile
from ftpsyncd.specs import TlsMode
from tests.remote.scripted import PATIENT, Connection, Scripted, hang_up
from tests.servers import KINDS, available, running


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"picture")
    return path


def test_what_was_sent_under_its_final_name_is_not_in_its_own_way(picture):
    with Scripted(RNFR="502 Not here.") as server:
        account = Account(server.spec(), timeouts=PATIENT)
        account.profile.renames = False
        with Ftp(account()) as ftp:
            ftp.upload(picture, "/p", overwrite=False)
            assert server.files == {"/p": b"picture"}
            with pytest.raises(AlreadyExistsError):
                ftp.upload(picture, "/p", overwrite=False)


def test_nor_is_it_among_many_and_it_is_asked_before_anything_is_sent(picture):
    with Scripted(RNFR="502 Not here.") as server:
        server.files["/p"] = b"of another one"
        account = Account(server.spec(), timeouts=PATIENT)
        account.profile.renames = False
        with Ftp(account()) as ftp:
            results = list(ftp.upload_many([(picture, "/p"), (picture, "/q")], overwrite=False))
    assert [type(result.error) for result in results] == [AlreadyExistsError, type(None)]
    assert server.files == {"/p": b"of another one", "/q": b"picture"}
    assert [line for line in server.log if line.startswith("STOR")] == ["STOR /q"]


def test_a_name_that_is_taken_meanwhile_is_not_replaced(picture):
    async def overtaken(connection: Connection, path: str) -> None:
        connection.server.files["/p"] = b"of another one"
        await connection.server.default(connection, f"STOR {path}")

    with Scripted(STOR=overtaken) as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        with pytest.raises(AlreadyExistsError):
            ftp.upload(picture, "/p", overwrite=False)
        assert server.files == {"/p": b"of another one"}


@pytest.mark.parametrize("script", [{"RNFR": "502 Not here."}, {"RNTO": "550 Permission denied."}])
def test_one_file_arrives_where_nothing_may_be_renamed(picture, script):
    with Scripted(script) as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        ftp.upload(picture, "/p", overwrite=False)
        assert server.files == {"/p": b"picture"}


def test_nor_is_one_replaced_that_is_made_while_a_rename_is_refused(picture):
    async def overtaken(connection: Connection, _path: str) -> None:
        connection.server.files["/p"] = b"of another one"
        await connection.say("550 Permission denied.")

    with Scripted(RNTO=overtaken) as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        with pytest.raises(AlreadyExistsError):
            ftp.upload(picture, "/p", overwrite=False)
        assert server.files == {"/p": b"of another one"}


@pytest.mark.real_server
@pytest.mark.parametrize("kind", [kind for kind in KINDS if available(kind)])
def test_what_is_broken_off_under_its_final_name_does_not_stay(kind, tmp_path):
    """Where the server renames nothing: what was there is gone, and half a file is worse than none."""
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)

    def give_up(count: int) -> None:
        if count > 1_000_000:
            raise KeyboardInterrupt

    with (
        running(kind, denied=("RNFR", "RNTO")) as server,
        connect(server.spec(), profile=Profile(renames=False)) as ftp,
    ):
        ftp.upload(tmp_path / "big", "/big")
        with pytest.raises(KeyboardInterrupt):
            ftp.upload(tmp_path / "big", "/big", progress=give_up)
        assert not ftp.exists("/big")
        assert [path.name for path in server.home.iterdir()] == []


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize("before", [b"before", b"x" * 4_000_000], ids=["smaller", "larger"])
def test_but_the_version_before_does_where_the_server_stores_beside(before, tmp_path):
    """It is whole, and was deleted for a part of the new one."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(before)
    new.write_bytes(b"x" * 3_000_000)
    os.utime(old, (1_600_000_000, 1_600_000_000))

    def give_up(count: int) -> None:
        if count > 1_000_000:
            raise KeyboardInterrupt

    with (
        running("proftpd", directives=("HiddenStores on",), denied=("RNFR", "RNTO")) as server,
        connect(server.spec(), profile=Profile(renames=False)) as ftp,
    ):
        ftp.upload(old, "/a")
        with pytest.raises(KeyboardInterrupt):
            ftp.upload(new, "/a", progress=give_up)
        assert ftp.exists("/a")
        assert (server.home / "a").read_bytes() == before


@pytest.mark.parametrize("taken", [1_000_000, -1])
def test_nor_does_what_a_lost_connection_has_cut_off(tmp_path, taken):
    """In the midst of the file, or when all of it was sent and not all stored."""

    async def break_off(connection: Connection, path: str) -> None:
        content = await connection.receive(taken)
        connection.server.files[path] = content[:1_000_000]
        await connection.hang_up()

    (tmp_path / "small").write_bytes(b"x" * 3_000_000)
    with Scripted(STOR=[break_off]) as server, connect(server.spec(), profile=Profile(renames=False)) as ftp:
        server.files["/small"] = b"what was there before"
        with pytest.raises(ServerUnavailableError):
            ftp.upload(tmp_path / "small", "/small")
        assert server.files == {}


@pytest.mark.parametrize("script", [{"GREETING": [None, *9 * [hang_up]]}, {"DELE": "550 No."}], ids=["gone", "refused"])
@pytest.mark.parametrize("many", [False, True])
def test_and_where_it_has_to_stay_that_is_told(tmp_path, script, many):
    """Half a file that everybody sees: only that the connection was lost was said."""

    async def break_off(connection: Connection, path: str) -> None:
        connection.server.files[path] = await connection.receive(1_000_000)
        await connection.hang_up()

    (tmp_path / "small").write_bytes(b"x" * 3_000_000)
    with (
        Scripted({**script, "STOR": [break_off]}) as server,
        connect(server.spec(), profile=Profile(renames=False)) as ftp,
    ):
        send = partial(ftp.upload_tree, tmp_path, "/") if many else partial(ftp.upload, tmp_path / "small", "/small")
        with pytest.raises(ServerUnavailableError) as caught:
            list(send())
        assert len(server.files["/small"]) == 1_000_000
    assert str(caught.value).endswith("A part of it may be at the server as '/small'.")


def test_so_it_is_where_it_cannot_be_told_from_what_was_there_before(tmp_path):
    """The server has no battery for its clock, which began in 2000: what is dated so may be older, and stays."""

    async def break_off(connection: Connection, path: str) -> None:
        connection.server.files[path] = await connection.receive(1_000_000)
        connection.server.dates[path] = "20000101000000"
        await connection.hang_up()

    (tmp_path / "small").write_bytes(b"x" * 3_000_000)
    with Scripted(STOR=[break_off]) as server, connect(server.spec(), profile=Profile(renames=False)) as ftp:
        with pytest.raises(ServerUnavailableError) as caught:
            ftp.upload(tmp_path / "small", "/small")
        assert list(server.files) == ["/small"]
    assert str(caught.value).endswith("A part of it may be at the server as '/small'.")


def test_a_directory_is_no_part_of_what_was_broken_off(tmp_path):
    """ftp-srv begins the transfer before it sees that one has the name, and its DELE removes those that are empty."""

    async def break_off(connection: Connection, _path: str) -> None:
        await connection.receive(1_000_000)
        await connection.hang_up()

    async def removes(connection: Connection, path: str) -> None:
        await connection.server.default(connection, f"RMD {path}")

    (tmp_path / "small").write_bytes(b"x" * 3_000_000)
    with (
        Scripted(STOR=[break_off], DELE=removes) as server,
        connect(server.spec(), profile=Profile(renames=False)) as ftp,
    ):
        server.dirs.add("/small")
        with pytest.raises(ServerUnavailableError):
            ftp.upload(tmp_path / "small", "/small")
        assert "/small" in server.dirs


def test_what_arrived_whole_stays_though_the_connection_was_lost(tmp_path):
    async def say_nothing(connection: Connection, path: str) -> None:
        connection.server.files[path] = await connection.receive()
        await connection.hang_up()

    (tmp_path / "small").write_bytes(b"x" * 3_000_000)
    with Scripted(STOR=[say_nothing]) as server, connect(server.spec(), profile=Profile(renames=False)) as ftp:
        with pytest.raises(ServerUnavailableError):
            ftp.upload(tmp_path / "small", "/small")
        assert server.files == {"/small": b"x" * 3_000_000}


def test_nor_is_anything_removed_that_was_not_begun(tmp_path):
    async def hang_up(connection: Connection, _path: str) -> None:
        await connection.hang_up()

    (tmp_path / "small").write_bytes(b"x" * 3_000_000)
    with Scripted(STOR=[hang_up]) as server, connect(server.spec(), profile=Profile(renames=False)) as ftp:
        server.files["/small"] = b"what was there before"
        with pytest.raises(ServerUnavailableError):
            ftp.upload(tmp_path / "small", "/small")
        assert server.files == {"/small": b"what was there before"}


def test_a_file_system_without_locks_takes_a_download(tmp_path, monkeypatch):
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Scripted() as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        server.files["/p"], server.dates["/p"] = b"picture", "20200101000000"
        ftp.download("/p", tmp_path / "p")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"p": b"picture"}


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_comes_without_its_date_where_the_disk_sets_none(tmp_path, monkeypatch, code):
    """A share whose files belong to another user, a camera."""

    def refuse(_descriptor: int, _times: tuple[int, int]) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "utime", refuse)
    with Scripted() as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        server.files["/p"], server.dates["/p"] = b"picture", "20200101000000"
        assert ftp.download("/p", tmp_path / "p") == (7, 0, False)
        monkeypatch.undo()
        assert ftp.download("/p", tmp_path / "q") == (7, 0, True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"p": b"picture", "q": b"picture"}


def test_a_disk_that_fails_when_the_date_is_set_fails_the_file(tmp_path, monkeypatch):
    def fail(_descriptor: int, _times: tuple[int, int]) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "utime", fail)
    with Scripted() as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        server.files["/p"], server.dates["/p"] = b"picture", "20200101000000"
        with pytest.raises(LocalUnwritableError, match="Input/output error"):
            ftp.download("/p", tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have its files be those of another")
class TestFilesOfAnotherOwner:
    """A share or a FAT disk may give all its files one owner, and NFS makes nobody of root: so does setfsuid(2)."""

    CONTENT = bytes(range(256)) * 12_000

    @pytest.fixture
    def disk(self) -> Iterator[Path]:
        setfsuid = ctypes.CDLL(None).setfsuid
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o777)
            setfsuid(65534)
            try:
                yield Path(name)
            finally:
                setfsuid(0)

    @pytest.fixture
    def ftp(self) -> Iterator[Ftp]:
        with running("pyftpdlib") as server:
            (server.home / "p").write_bytes(self.CONTENT)
            with connect(server.spec()) as ftp:
                yield ftp

    def test_nothing_is_left_beside_what_is_fetched(self, ftp, disk):
        ftp.download("/p", disk / "p")
        assert [path.name for path in disk.iterdir()] == ["p"]
        assert (disk / "p").stat().st_uid == 65534

    def test_what_broke_off_is_continued(self, ftp, disk):
        def breaks(count: int) -> None:
            if count > 2_000_000:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            ftp.download("/p", disk / "p", progress=breaks)
        assert ftp.download("/p", disk / "p").continued_at > 2_000_000
        assert [path.name for path in disk.iterdir()] == ["p"]
        assert (disk / "p").read_bytes() == self.CONTENT


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_fetched_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, overwrite):
    """Else a power cut could leave the name without the content."""
    steps: list[tuple[str, int]] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        steps.append(("synced", os.fstat(descriptor).st_ino))
        assert not (tmp_path / "p").exists()

    monkeypatch.setattr(os, "fsync", noted)
    with Scripted() as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        server.files["/p"] = b"picture"
        ftp.download("/p", tmp_path / "p", overwrite=overwrite)
    assert steps == [("synced", (tmp_path / "p").stat().st_ino)]


def test_the_words_with_which_a_connection_ended_are_told(picture):
    async def end(connection: Connection, _argument: str) -> None:
        await connection.say("421 The disk is being replaced.")
        await connection.hang_up()

    with Scripted(STOR=end, GREETING=[None, "421 Too many users."]) as server:
        account = Account(server.spec(), timeouts=PATIENT)
        with Ftp(account(), again=account) as ftp, pytest.raises(ServerUnavailableError, match="being replaced"):
            ftp.upload(picture, "/p")
        assert server.connections == 2  # the second one to clear up


@pytest.mark.parametrize(
    ("name", "encoding", "said"),
    [
        ("/a\nb.jpg", "utf-8", r'The name "/a\nb.jpg" holds a line break or NUL, which FTP cannot carry.'),
        ("/\udcff.jpg", "utf-8", r'The name "/\xff.jpg" holds the byte 0xFF, which servers read differently.'),
        ("/\u0151.jpg", "latin-1", "The name /\u0151.jpg cannot be written in the server's encoding latin-1."),
        ("/\u304f.jpg", "iso-2022-jp", "The name /\u304f.jpg is none in the server's encoding: that makes slashes."),
        ("/\xbf\xff.jpg", "utf-7", "The name /\xbf\xff.jpg is none in the server's encoding: that makes slashes."),
    ],
)
def test_a_name_that_cannot_be_sent_is_called_as_the_file_is_called(picture, name, encoding, said):
    """And not with the tail of the temporary name that it is sent under."""
    with Scripted() as server, Ftp(Account(server.spec(encoding=encoding), timeouts=PATIENT)()) as ftp:
        with pytest.raises(NameNotSendableError) as caught:
            ftp.upload(picture, name)
        assert str(caught.value) == said


@pytest.mark.real_server
def test_a_name_of_a_kind_that_is_refused_is_told_as_that_and_nothing_stays(picture):
    with running("pure-ftpd") as server, connect(server.spec()) as ftp:
        (result,) = ftp.upload_many([(picture, "/back\\slash.jpg")])
        assert not list(server.home.iterdir())
    assert type(result.error) is NameRefusedError
    assert str(result.error) == (
        r'The server refuses "/back\\slash.jpg", since it takes no names with a backslash: 553 Prohibited file name.'
    )
    assert result.error.remedy == "Rename it here."
    assert result.error.reply == "553 Prohibited file name"


def test_a_name_of_a_kind_that_is_refused_when_the_file_is_opened_is_told_as_that(picture):
    """Apache's FtpServer says 150, then opens the file, and then 551, as for a transfer that broke."""

    async def unopened(connection: Connection, path: str) -> None:
        if '"' not in path:
            await connection.server.default(connection, f"STOR {path}")
            return
        await connection.receive()
        await connection.say(f"551 {path}: Error on output file.")

    async def unmade(connection: Connection, path: str) -> None:
        if '"' in path:
            await connection.say(f"550 {path}: Can't create directory.")
        else:
            await connection.server.default(connection, f"MKD {path}")

    with Scripted(STOR=unopened, MKD=unmade) as server, Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
        (result,) = ftp.upload_many([(picture, '/so-called "art".jpg')])
        assert not server.files
    assert type(result.error) is NameRefusedError
    assert "takes no names with" in str(result.error)
    assert result.error.remedy == "Rename it here."


@pytest.mark.real_server
def test_where_nothing_may_be_stored_no_kind_of_name_is_to_blame(picture):
    with running("pure-ftpd") as server, connect(server.spec()) as ftp:
        (server.home / "mine").mkdir(mode=0o555)
        (result,) = ftp.upload_many([(picture, "/mine/back\\slash.jpg")])
    assert type(result.error) is NameRefusedError
    assert "cannot be found out" in str(result.error)
    assert "permissions" in result.error.remedy


@pytest.mark.parametrize("tls", ["explicit", "implicit"])
def test_tls_in_a_word_is_tls(tls):
    """Text is not the member that it is compared with: nothing may be told to a server in clear text for that."""
    with Scripted() as server, pytest.raises((TlsError, ServerUnavailableError)):
        Account(server.spec()._replace(tls=tls), timeouts=PATIENT)()
    assert not [command for command in server.log if command.startswith(("USER", "PASS"))]


def test_other_words_are_understood_too():
    words: dict[str, Any] = {"tls": "off", "mode": "active"}
    with Scripted() as server, Account(server.spec()._replace(**words), timeouts=PATIENT)() as session:
        assert (session.account.spec.tls, session.is_passive) == (TlsMode.OFF, False)


class TestSizesIn32Bits:
    """A file of more than 4 GiB, whose size begins again there; here after 64 KiB."""

    CONTENT = bytes(range(256)) * 1024
    AROUND = 65_536

    def fetched(self, monkeypatch: pytest.MonkeyPatch, into: Path, told: str, content: bytes = b"") -> bytes:
        monkeypatch.setattr(sizes, "COUNTED", self.AROUND)
        with Scripted(SIZE=f"213 {told}", MDTM="213 20200102030405") as server:
            server.files["/big"] = content or self.CONTENT
            with Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp:
                fetched = ftp.download("/big", into / "big")
        assert fetched.size == len(server.files["/big"])
        return (into / "big").read_bytes()

    def test_it_is_fetched_to_its_end(self, monkeypatch, tmp_path):
        content = self.CONTENT + b"the end"
        assert self.fetched(monkeypatch, tmp_path, "7", content) == content
        assert self.fetched(monkeypatch, tmp_path, f"{len(content)}", content) == content

    @pytest.mark.parametrize("told", ["8", "6", "70000"])
    def test_one_of_another_size_is_not_taken_for_it(self, monkeypatch, tmp_path, told):
        with pytest.raises(VerificationError):
            self.fetched(monkeypatch, tmp_path, told, self.CONTENT + b"the end")
        assert list(tmp_path.iterdir()) == []

    def test_what_can_only_be_too_much_is_not_fetched_to_its_end(self, monkeypatch, tmp_path):
        endless = b"x" * 64_000_000
        seen: list[int] = []
        monkeypatch.setattr(sizes, "COUNTED", self.AROUND)
        with Scripted(SIZE="213 70000", MDTM="213 20200102030405") as server:
            server.files["/big"] = endless
            with Ftp(Account(server.spec(), timeouts=PATIENT)()) as ftp, pytest.raises(VerificationError):
                ftp.download("/big", tmp_path / "big", progress=seen.append)
        assert max(seen, default=0) < len(endless)
        assert list(tmp_path.iterdir()) == []
