"""Calls of the library at a server that takes names only within the working directory, the first one being any of them.

`test_bare_names` has what a session does there, and uploads.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ftpsyncd.errors import NameRefusedError, NotFoundError
from ftpsyncd.model import Kind
from ftpsyncd.remote import Account, Ftp, Step, connect
from ftpsyncd.remote.profile import Paths
from tests.remote.scripted import Connection, Scripted
from tests.remote.test_bare_names import Bare
from tests.servers import Server, running

pytestmark = pytest.mark.real_server


@pytest.fixture(params=["absolute", "slash"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running("pyftpdlib", bare=request.param) as server:
        yield server


@pytest.fixture
def home(server, request: pytest.FixtureRequest):
    """A directory with two files, one of them deeper, and an empty one: what the account sees as ``/d``."""
    home = server.home / "d"
    (home / "e").mkdir(parents=True)
    (home / "empty").mkdir()
    (home / "a").write_bytes(b"content")
    (home / "e" / "b").write_bytes(b"more")
    yield home
    for path in sorted(server.home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture
def ftp(server, home):
    """Nothing is known of the server yet."""
    with connect(server.spec()) as ftp:
        yield ftp


def test_a_deleted_file_is_gone(ftp, home):
    ftp.delete("/d/a")
    assert not (home / "a").exists()


def test_so_is_a_directory(ftp, home):
    ftp.remove_dir("/d/empty")
    assert not (home / "empty").exists()


def test_so_is_all_that_is_in_one(ftp, home):
    assert {result.step for result in ftp.delete_tree("/d")} == {Step.REMOVED}
    assert not home.exists()


def test_what_is_not_there_is_not(ftp):
    ftp.delete("/d/none")
    assert not ftp.exists("/none/none")
    with pytest.raises(NotFoundError):
        list(ftp.delete_tree("/d/none"))


def test_a_directory_is_seen(ftp):
    entry = ftp.stat("/d/e")
    assert (entry.name, entry.kind) == ("e", Kind.DIR)


def test_a_file_is_no_directory(ftp):
    with pytest.raises(NotFoundError, match="is a file at the server"):
        ftp.list("/d/a")


def test_a_directory_is_fetched(ftp, tmp_path):
    results = list(ftp.download_tree("/d", tmp_path / "here"))
    assert {(result.remote, result.step) for result in results} == {("/d/a", Step.FETCHED), ("/d/e/b", Step.FETCHED)}
    assert (tmp_path / "here" / "e" / "b").read_bytes() == b"more"


def test_a_file_gets_another_name(ftp, home):
    ftp.rename("/d/a", "/d/c")
    assert (home / "c").read_bytes() == b"content"
    assert not (home / "a").exists()


def test_no_file_is_sent_to_find_out(ftp, home):
    before = home.stat().st_mtime_ns
    ftp.stat("/d/e")
    assert home.stat().st_mtime_ns == before
    assert ftp.session.profile.paths is Paths.RELATIVE


@pytest.mark.parametrize("refusal", ["553 Not allowed.", "550 No such file or directory.", "550 Permission denied."])
class TestWithoutMlst:
    """Whatever the words are that it refuses paths with, and whether or not it tells what something is."""

    def test_a_deleted_file_is_gone(self, refusal):
        with Bare(refusal=refusal) as server, connect(server.spec()) as ftp:
            server.files["/d/a"] = b"content"
            ftp.delete("/d/a")
            assert server.files == {}

    def test_so_is_a_directory(self, refusal):
        async def nothing(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            await connection.data()
            await connection.end_data()
            await connection.say("226 Done.")

        with Bare(refusal=refusal, LIST=nothing) as server, connect(server.spec()) as ftp:
            ftp.remove_dir("/d/e")
            assert "/d/e" not in server.dirs

    def test_a_file_gets_another_name(self, refusal):
        with Bare(refusal=refusal) as server, connect(server.spec()) as ftp:
            server.files["/d/a"] = b"content"
            ftp.rename("/d/a", "/d/b")
            assert server.files == {"/d/b": b"content"}


def test_a_refusal_for_another_reason_is_told():
    with (
        Scripted(DELE="550 Permission denied.", RETR="550 Permission denied.") as server,
        Ftp((acc := Account(server.spec()))()) as ftp,
    ):
        server.files["/a"] = b"content"
        for call in (lambda: ftp.delete("/a"), lambda: ftp.rename("/none", "/b")):
            with pytest.raises(NameRefusedError):
                call()
        assert acc.profile.paths is None
        assert server.files == {"/a": b"content"}


def test_a_server_that_says_to_be_where_it_is_not_loses_no_file_of_the_same_name():
    """CWD is confirmed whatever it is about, and the session stays: a bare name is another file."""
    with Bare(CWD="250 OK.") as server, connect(server.spec()) as ftp:
        server.files["/a"] = b"another"
        with pytest.raises(NameRefusedError):
            ftp.delete("/d/a")
        assert server.files == {"/a": b"another"}
