"""pure-ftpd lists so many names of a directory (10,000 unless told otherwise), and says in its last word that more are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.model import Kind
from ftpsyncd.remote import Ftp, Step, connect
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.port import PartlyListedError
from tests.cli.terminal import write_config
from tests.servers import Server, running

pytestmark = [pytest.mark.real_server, pytest.mark.root]
NAMES = {f"{number}.jpg" for number in range(12)}


@pytest.fixture
def server() -> Iterator[Server]:
    with running("pure-ftpd", directives=("-L", "5:3")) as server:
        place = server.home / "d"
        place.mkdir()
        for name in NAMES:
            (place / name).write_bytes(name.encode())
        for path in (server.home, place):
            path.chmod(0o777)
        yield server


@pytest.fixture
def ftp(server: Server) -> Iterator[Ftp]:
    with connect(server.spec()) as ftp:
        yield ftp


@pytest.mark.parametrize("way", ["MLSD", "LIST"])
def test_a_part_is_not_taken_for_all(server: Server, way: str) -> None:
    with Account(server.spec())() as session:
        session.profile.listings = way == "MLSD"
        with pytest.raises(PartlyListedError, match=r"lists only \d of what is in '/d': 226.* truncated") as raised:
            session.list_dir("/d")
        assert 0 < len(raised.value.entries) < len(NAMES)
        assert {entry.name for entry in raised.value.entries} < NAMES
        assert session.list_dir("/")[0].kind is Kind.DIR, "of another directory all is shown"
        assert session.remove_dir("/d") is False


def test_what_is_listed_is_fetched_and_that_more_is_there_is_told(ftp: Ftp, tmp_path: Path) -> None:
    results = list(ftp.download_tree("/d", tmp_path / "d"))
    (cut,) = [result for result in results if result.step is Step.FAILED]
    assert cut.remote == "/d"
    assert isinstance(cut.error, PartlyListedError)
    assert "LimitRecursion" in cut.error.remedy
    fetched = {path.name for path in (tmp_path / "d").iterdir()}
    assert fetched
    assert len(fetched) == len(results) - 1


def test_a_directory_is_deleted_with_what_is_listed_when_the_others_are_gone(ftp: Ftp, server: Server) -> None:
    results = list(ftp.delete_tree("/d"))
    assert {result.step for result in results} == {Step.REMOVED}
    assert {result.remote for result in results} == {"/d", *(f"/d/{name}" for name in NAMES)}
    assert list(server.home.iterdir()) == []


def test_so_are_directories_that_only_one_of_its_two_ways_to_list_shows_at_first(ftp: Ftp, server: Server) -> None:
    """MLSD shows them in the order of the disk, LIST by name."""
    inner = [server.home / "d" / f"z{number}" for number in range(12)]
    for directory in inner:
        directory.mkdir()
        directory.chmod(0o777)
    results = list(ftp.delete_tree("/d"))
    assert [f"{result.remote}: {result.error}" for result in results if result.step is not Step.REMOVED] == []
    assert {result.remote for result in results} == {
        "/d",
        *(f"/d/{name}" for name in NAMES),
        *(f"/d/{directory.name}" for directory in inner),
    }
    assert list(server.home.iterdir()) == []


def test_a_link_to_a_directory_is_only_a_link_also_there(ftp: Ftp, server: Server) -> None:
    kept = server.home / "kept"
    kept.mkdir()
    kept.chmod(0o777)
    (kept / "a").write_bytes(b"a")
    for number in range(12):
        (server.home / "d" / f"z{number}").symlink_to(kept)
        (server.home / "d" / f"y{number}").symlink_to("../kept")
    results = list(ftp.delete_tree("/d"))
    assert {result.step for result in results} == {Step.REMOVED}
    assert [path.name for path in kept.iterdir()] == ["a"]
    assert list(server.home.iterdir()) == [kept]


def test_ls_and_get_show_what_there_is_and_fail(ftpsyncd, server: Server, tmp_path: Path) -> None:
    config = write_config(tmp_path, port=server.port)
    ended = ftpsyncd("ls", "-c", config, "web:/d")
    assert ended.code == 1
    assert ended.out.split()
    assert "truncated" in ended.err
    ended = ftpsyncd("get", "-c", config, "web:/d/", tmp_path / "back")
    assert ended.code == 1
    assert "truncated" in ended.err
