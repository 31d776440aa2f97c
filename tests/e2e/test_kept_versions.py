"""Programs that keep the old version under another name: the usual name is never missing at the server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.beside import Beside
from tests.e2e.site import Site, contents, digest, site, wait_a_moment
from tests.e2e.test_observed import receipts
from tests.servers import Server
from tests.waiting import until

OLD, NEW = b"old" * 20_000, b"new" * 30_000
PAUSE_S = 0.5
"""Between two steps of a program that takes its time."""


@pytest.fixture
def server(some_server: Server) -> Server:
    """What is tested here happens on this side, whichever the server is."""
    return some_server


class Visitor(Beside):
    """Asks for one file at the server all the time."""

    def __init__(self, path: Path) -> None:
        super().__init__("visitor")
        self._path = path
        self.missing_s = 0.0
        """For how long it was not there, in all."""

    def run(self) -> None:
        last = time.monotonic()
        while not self.over.wait(0.001):
            now = time.monotonic()
            if not self._path.exists():
                self.missing_s += now - last
            last = now


def put(s: Site, path: str, content: bytes) -> None:
    local = s.drop / path
    local.parent.mkdir(exist_ok=True)
    local.write_bytes(content)


def write_slowly(path: Path, content: bytes) -> None:
    """As what is copied over a slow line."""
    with path.open("wb", buffering=0) as file:
        for first in range(0, len(content), len(content) // 4):
            wait_a_moment(PAUSE_S)
            file.write(content[first : first + len(content) // 4])


@pytest.mark.parametrize("kept", ["archive/2026-11-30.jpg", "current.1.jpg"])
def test_the_usual_name_is_never_missing_while_the_new_version_is_written(
    kept: str, server: Server, tmp_path: Path
) -> None:
    with site(server, tmp_path, settle="1s", delete_after="10s") as s:
        put(s, "current.jpg", OLD)
        put(s, "archive/2026-11-29.jpg", b"the day before")
        s.start()
        s.until_equal()
        with Visitor(s.published / "current.jpg") as visitor:
            (s.drop / "current.jpg").rename(s.drop / kept)
            wait_a_moment(PAUSE_S)
            write_slowly(s.drop / "current.jpg", NEW)
            s.until_equal()
        assert visitor.missing_s == 0
        assert contents(s.published)[kept.encode()] == digest(OLD)


def test_versions_that_move_on_by_one_leave_no_name_missing(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, settle="1s", delete_after="10s") as s:
        for name in ("log", "log.1", "log.2"):
            put(s, name, name.encode() * 10_000)
        s.start()
        s.until_equal()
        with Visitor(s.published / "log") as last, Visitor(s.published / "log.1") as one_before:
            for name, older in (("log.2", "log.3"), ("log.1", "log.2"), ("log", "log.1")):
                (s.drop / name).rename(s.drop / older)
            write_slowly(s.drop / "log", NEW)
            s.until_equal()
        assert (last.missing_s, one_before.missing_s) == (0, 0)


def test_a_file_that_only_gets_another_name_is_renamed_at_the_server(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, settle="1s", delete_after="10s") as s:
        put(s, "a.jpg", OLD)
        s.start()
        s.until_equal()
        (s.drop / "a.jpg").rename(s.drop / "b.jpg")
        until(lambda: s.mapping_status()["state"] == "settling", "it waits")
        for path in ("a.jpg", "b.jpg"):
            said = " ".join(s.command("why", s.drop / path).stdout.split())
            assert "written anew" in said, said
        s.until_equal()
        until(lambda: len(receipts(s)) > 1, "its receipt")
        assert [receipt["kind"] for receipt in receipts(s)] == ["published", "renamed"]


def test_no_name_is_missing_either_where_the_daemon_dies_in_between(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, settle="2s", delete_after="10s") as s:
        put(s, "current.jpg", OLD)
        s.start()
        s.until_equal()
        with Visitor(s.published / "current.jpg") as visitor:
            (s.drop / "current.jpg").rename(s.drop / "before.jpg")
            until(lambda: s.mapping_status()["state"] == "settling", "it waits")
            s.kill()
            s.start()
            write_slowly(s.drop / "current.jpg", NEW)
            s.until_equal()
        assert visitor.missing_s == 0
