"""A directory at the server with a disk, or a quota, of its own that is full: all else goes on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import contents, site
from tests.servers import running
from tests.smalldisk import eat, small_disk
from tests.waiting import until

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system"),
    pytest.mark.timeout(240),
]
SOON_S = 5.0
"""A file takes half a second; who waits for a full server waits for minutes."""
RETRY_S = 6.0
"""In the place of five minutes."""
NUMBERS = {"ftpsyncd.core.space.SPACE_RETRY_S": RETRY_S}


@contextlib.contextmanager
def small(place: Path) -> Iterator[Path]:
    """A disk of half a MiB, without a free byte; yields the file that fills it."""
    with small_disk(place, "size=512k,mode=777"):
        yield eat(place)


@pytest.mark.parametrize("name", ["vsftpd", "proftpd", "pure-ftpd"])
def test_a_full_directory_delays_no_other_one(name: str, tmp_path: Path) -> None:
    with running(name) as server, site(server, tmp_path, deletes="keep") as s:
        (s.published / "open").mkdir(parents=True)
        for directory in (s.published, s.published / "open"):
            directory.chmod(0o777)
        with small(s.published / "small") as filler:
            (s.published / "small").chmod(0o777)
            s.numbers = NUMBERS
            s.start()
            (s.drop / "small").mkdir()
            (s.drop / "open").mkdir()
            for number in range(50):
                (s.drop / "small" / f"{number}.jpg").write_bytes(os.urandom(5000))
            until(lambda: "no space at the server for what is in it" in s.log(), "it is known to be full", 60)
            slowest = 0.0
            for turn in range(12):
                began = time.monotonic()
                (s.drop / "open" / f"{turn}.jpg").write_bytes(os.urandom(5000))
                (s.drop / "small" / f"more {turn}.jpg").write_bytes(os.urandom(5000))
                until((s.published / "open" / f"{turn}.jpg").exists, f"{turn} is published", 60)
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < SOON_S
            (web,) = s.status()["servers"]
            assert (web["state"], "drop/small" in web["message"]) == ("full", True)
            until(lambda: s.mapping_status()["state"] == "offline", "it waits for space", 30)
            why = s.command("why", s.drop / "small" / "more 11.jpg").stdout
            assert "no space" in why, why
            tries = s.log().count("failed small/")
            filler.unlink()
            until(lambda: contents(s.drop / "small") == contents(s.published / "small"), "all of it is there", 60)
            assert tries < 50 + 12, "not each of them was tried"
            until(lambda: s.status()["servers"][0]["state"] == "online", "nothing is full", 30)


@pytest.mark.parametrize("name", ["vsftpd", "pure-ftpd"])
def test_a_full_disk_is_known_by_whatever_words(name: str, tmp_path: Path) -> None:
    """Not every file is sent five times, and then hourly until it is parked."""
    with running(name) as server, site(server, tmp_path) as s:
        s.published.mkdir(parents=True)
        with small(tmp_path / "disk") as filler:
            subprocess.run(["mount", "--bind", tmp_path / "disk", s.published], check=True)
            try:
                s.published.chmod(0o777)
                s.foreign = "filler"
                s.start()
                for number in range(40):
                    (s.drop / f"{number}.jpg").write_bytes(os.urandom(5000))
                until(lambda: s.status()["servers"][0]["state"] == "full", "it is known to be full", 30)
                assert s.mapping_status()["state"] == "offline"
                filler.unlink()
                s.command("retry")
                s.until_equal()
            finally:
                s.kill()
                subprocess.run(["umount", "--lazy", s.published], check=True)


def test_what_is_deleted_to_make_room_is_deleted_and_makes_room(tmp_path: Path) -> None:
    """Not behind all that waits for that room, of which two files are tried in five minutes (here: in an hour)."""
    with running("pure-ftpd", home_bytes=1 << 20) as server, site(server, tmp_path) as s:
        s.numbers = {**NUMBERS, "ftpsyncd.core.gate.FULL_PAUSE_S": 3600.0}
        s.start()
        for number in range(5):
            (s.drop / f"old {number}.jpg").write_bytes(os.urandom(100_000))
        s.until_equal()
        for number in range(30):
            (s.drop / f"new {number:02}.jpg").write_bytes(os.urandom(25_000))
        until(lambda: s.status()["servers"][0]["state"] == "full", "it is full", 30)
        assert len(contents(s.published)) < 35
        for number in range(5):
            (s.drop / f"old {number}.jpg").unlink()
        s.until_equal(60)


def test_a_pass_ends_and_says_what_waits_for_space(tmp_path: Path) -> None:
    with running("proftpd") as server, site(server, tmp_path, deletes="keep") as s:
        s.published.mkdir(parents=True)
        s.published.chmod(0o777)
        with small(s.published / "small"):
            (s.published / "small").chmod(0o777)
            for folder in ("small", "open"):
                (s.drop / folder).mkdir()
                for number in range(100):
                    (s.drop / folder / f"{number}.jpg").write_bytes(os.urandom(5000))
            done = s.command("sync", ok=False)
            assert done.returncode == 1, done.stderr
            assert "no space at the server for what is in drop/small" in done.stdout + done.stderr
            assert contents(s.drop / "open") == contents(s.published / "open")


def test_a_pass_counts_a_file_once_that_found_no_space_and_waits_for_it(tmp_path: Path) -> None:
    """More had failed than were not sent, where some found room between those that did not."""
    with running("proftpd", home_bytes=2_000_000) as server, site(server, tmp_path) as s:
        (server.home / "other").write_bytes(bytes(1_000_000))
        (s.drop / "a").mkdir()  # with two full ones the pass ends at once: of a full server, the rest has not failed
        for number in range(12):
            (s.drop / "a" / f"{number}.jpg").write_bytes(os.urandom(250_000))
        told = json.loads(s.command("sync", "--json", ok=False).stdout)
        assert 0 < told["files_done"] < 12
        assert told["failed"] == 12 - told["files_done"]
