"""In which order files appear at a real server: by names, and nobody waits behind a large folder."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.site import Site, site
from tests.servers import running
from tests.variants import also
from tests.waiting import until

pytestmark = [pytest.mark.real_server, pytest.mark.lasting(40)]
ROOM = 250
"""So many files may wait of a mapping before no further folder is gone through; a quarter of what it is delivered with."""


def build(folder: Path, paths: list[str], size: int = 100) -> None:
    """Make files, in an order that says nothing."""
    shuffled = random.Random(5).sample(paths, len(paths))
    for path in shuffled:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode().ljust(size, b"."))


def until_quiet(folder: Path) -> None:
    """Wait until all files are at rest: what comes to rest one after the other is published in that order."""
    newest = max(path.stat().st_ctime for path in folder.rglob("*"))
    until(lambda: time.time() > newest + 0.5, "all of it is quiet", 5)


def appeared(s: Site, below: str = "") -> list[str]:
    """The files at the server in the order in which they got their names there."""
    # What comes after the rename is the date, in the same write. Both set the ctime, which no program can set.
    found: list[tuple[int, Path]] = []
    for path in (s.published / below).rglob("*.jpg"):
        with suppress(FileNotFoundError):
            found.append((path.stat().st_ctime_ns, path))
    return [str(path.relative_to(s.published)) for _, path in sorted(found)]


def by_names(paths: list[str]) -> list[str]:
    return sorted(paths, key=lambda path: path.split("/"))


@pytest.mark.parametrize("kind", ["vsftpd", *also("proftpd", "pure-ftpd", "pyftpdlib")])
def test_a_pass_publishes_folders_and_files_by_names(kind: str, tmp_path: Path) -> None:
    paths = [f"shoot {day:02}/{number:03}.jpg" for day in range(25) for number in range(6)]
    with running(kind) as server, site(server, tmp_path, server_keys={"connections": 1}) as s:
        build(s.drop, paths)
        until_quiet(s.drop)
        s.start()
        s.until_equal()
        assert appeared(s) == by_names(paths)


def test_a_folder_that_is_dropped_is_published_by_names_with_all_its_levels(tmp_path: Path) -> None:
    days = [f"{year}/{month:02}/{day}" for year in (2024, 2025) for month in range(1, 7) for day in "ab"]
    paths = [f"tree/{folder}/{number:02}.jpg" for folder in days for number in range(12)]
    with running("vsftpd") as server, site(server, tmp_path, server_keys={"connections": 1}) as s:
        s.start()
        s.until_equal()
        build(tmp_path / "elsewhere", paths)
        until_quiet(tmp_path / "elsewhere")
        (tmp_path / "elsewhere/tree").rename(s.drop / "tree")
        until(lambda: s.mapping_status()["published_files"] == len(paths), "all are published", 60)
        order, wanted = appeared(s), by_names(paths)
        # Four folders are looked at in advance: a file may come that much too late, while nothing else waits.
        assert max(abs(order.index(path) - n) for n, path in enumerate(wanted)) <= 4 * 12


@pytest.mark.parametrize(
    ("count", "size", "bandwidth"),
    [(200, 100_000, "2 MB/s"), (6 * ROOM, 300, "60 kB/s")],
    ids=["large files", "more files than are looked at ahead"],
)
def test_a_file_that_is_changed_does_not_wait_for_a_large_folder(
    tmp_path: Path, count: int, size: int, bandwidth: str
) -> None:
    keys = {"connections": 2, "bandwidth": bandwidth}
    with running("vsftpd") as server, site(server, tmp_path, server_keys=keys) as s:
        s.numbers = {"ftpsyncd.mapping.site.QUEUE_ROOM": ROOM}
        (s.drop / "title.jpg").write_bytes(b"old")
        s.start()
        s.until_equal()
        build(tmp_path / "tree", [f"{number:04}.jpg" for number in range(count)], size)
        (tmp_path / "tree").rename(s.drop / "a tree")
        until(lambda: len(list((s.published / "a tree").glob("*.jpg"))) >= 10, "the tree is on its way", 60)
        (s.drop / "title.jpg").write_bytes(b"new!")
        until(lambda: (s.published / "title.jpg").read_bytes() == b"new!", "the new title is published", 60)
        there = len(list((s.published / "a tree").glob("*.jpg")))
        assert there <= count // 2, "it waited for most of the tree"
        s.until_equal(60)


def test_a_single_file_does_not_wait_for_the_backlog_of_another_folder_at_its_server(tmp_path: Path) -> None:
    count, size = 300, 50_000
    keys = {"connections": 1, "bandwidth": "2 MB/s"}
    with running("vsftpd") as server, site(server, tmp_path, server_keys=keys) as s:
        build(s.drop, [f"{number // 50}/{number:03}.jpg" for number in range(count)], size)
        (tmp_path / "news").mkdir()
        config = json.loads(s.config.read_text())
        config["mappings"]["news"] = {"local": str(tmp_path / "news"), "remote": "web:/news", "settle": "0.3s"}
        s.config.write_text(json.dumps(config))
        s.start()
        until(lambda: len(appeared(s)) >= 10, "the backlog is on its way", 60)
        (tmp_path / "news/flash.jpg").write_bytes(b"now")
        until((server.home / "news/flash.jpg").exists, "the news are published", 60)
        assert len(appeared(s)) <= count // 2, "they waited for most of the backlog"
        s.until_equal(60)


def test_a_file_that_changes_all_the_time_keeps_no_other_waiting(tmp_path: Path) -> None:
    """Each version of it is sent, and takes the only connection for as long as the next one needs to come to rest."""
    keys = {"connections": 1, "bandwidth": "2 MB/s"}
    with running("vsftpd") as server, site(server, tmp_path, server_keys=keys, settle="0.1s") as s:
        s.start()
        s.until_equal()
        ended = threading.Event()

        def rewrite() -> None:
            version = 0
            while not ended.wait(0.4):
                version += 1
                (tmp_path / "next").write_bytes(b"%d" % version * 500_000)
                (tmp_path / "next").rename(s.drop / "hot.jpg")

        writer = threading.Thread(target=rewrite)
        writer.start()
        try:
            until((s.published / "hot.jpg").exists, "the hot file is published", 60)
            build(tmp_path / "tree", [f"{number:02}.jpg" for number in range(20)], 20_000)
            (tmp_path / "tree").rename(s.drop / "tree")
            until(lambda: len(list((s.published / "tree").glob("*.jpg"))) == 20, "the others are published", 60)
            before = (s.published / "hot.jpg").read_bytes()[:20]
            until(lambda: (s.published / "hot.jpg").read_bytes()[:20] != before, "and so is it, again", 60)
        finally:
            ended.set()
            writer.join()
        s.until_equal(60)
