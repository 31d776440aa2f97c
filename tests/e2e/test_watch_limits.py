"""Noticing changes breaks down in the running daemon: all is published all the same, and people are told what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.local import limits
from ftpsyncd.local.branches import OVERFLOWED
from tests.e2e.churn import Changer, torn
from tests.e2e.site import Site, Spy, contents, site, wait_a_moment
from tests.figures import Figures
from tests.servers import running
from tests.waiting import until

pytestmark = pytest.mark.real_server
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
POLL_EVERY: dict[str, Any] = {"poll_every": "1s", "rescan": "1h"}

_DIES = """
import errno, os, sys
from pathlib import Path
from ftpsyncd.local import inotify
read = inotify.Inotify.read
order = Path(sys.argv.pop(1))
def dying(self):
    events = read(self)
    if order.exists():
        order.unlink()
        raise OSError(errno.EIO, "as if it had failed")
    return events
inotify.Inotify.read = dying
from ftpsyncd.cli import main
main()
"""
"""The daemon, with a watching thread that dies as soon as a file says so; what it has just read dies with it."""
_NETWORK = """
from ftpsyncd.local import mounts
mounts.is_network_filesystem = lambda path: True
from ftpsyncd.cli import main
main()
"""
"""The daemon, told that its folder is on a network file system; mounting one takes a server of its own."""


@pytest.fixture
def s(tmp_path: Path) -> Iterator[Site]:
    with running("vsftpd") as server, site(server, tmp_path, settle="0.2s", **POLL_EVERY) as made:
        yield made


def make_folders(s: Site, count: int) -> None:
    for number in range(count):
        folder = s.drop / f"{number % 10}" / f"{number}"
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"%d" % number * 300)


def change_everything(s: Site) -> None:
    """In old folders and new ones."""
    for folder in sorted(p for p in s.drop.glob("*/*") if p.is_dir()):
        (folder / "b.jpg").write_bytes(os.fsencode(folder.name) * 400)
    fresh = s.drop / "fresh" / "below"
    fresh.mkdir(parents=True)
    (fresh / "c.jpg").write_bytes(b"c" * 400)
    (s.drop / "0").rename(s.drop / "moved")
    shutil.rmtree(s.drop / "1")


def told(s: Site) -> dict[str, str]:
    """How the folder is watched, and what people are told about that."""
    mapping = s.mapping_status()
    return {"watcher": mapping["watcher"], "message": mapping["message"]}


def test_more_events_than_the_kernel_keeps(s: Site, figures: Figures) -> None:
    make_folders(s, 30)
    s.start()
    s.until_equal()
    events = limits.limit("max_queued_events") + 2000
    files = [folder / "a.jpg" for folder in s.drop.glob("*/*")]
    with s.suspended():
        # It cannot read: the queue fills up, and what happens then is seen by nobody.
        for number in range(events):
            os.utime(files[number % len(files)])
        change_everything(s)
    s.until_equal()
    s.until_state("in_sync")
    assert s.log().count(OVERFLOWED) == 1
    assert told(s) == {"watcher": "native", "message": ""}
    (s.drop / "fresh/below/later.jpg").write_bytes(b"later")
    (s.drop / "moved/0/later.jpg").write_bytes(b"later")
    s.until_equal()
    figures.tell("G3", "events beyond the kernel's queue, all published", events)


@pytest.mark.long
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="sets a sysctl")
@pytest.mark.timeout(300)
def test_a_queue_of_the_kernel_that_overflows_all_the_time(s: Site, figures: Figures) -> None:
    before = QUEUE.read_text()
    try:
        # Copied by the kernel when the daemon opens its instance.
        QUEUE.write_text("4")
        s.start()
        s.until_state("in_sync")
    finally:
        QUEUE.write_text(before)
    with Spy(s.published, rest_s=0.01) as spy:
        with Changer(s.drop, 8, pauses_s=(0.0,)) as changer:
            wait_a_moment(45)
        s.until_equal()
        spy.until_seen_all()
    # The round after the last overflow waits ten times as long as the one before took: long on a busy machine.
    s.until_state("in_sync", 120)
    overflows = s.log().count(OVERFLOWED)
    assert overflows > 1
    assert torn(spy, changer.ever) == []
    figures.tell("G3", "overflows of a queue of 4 events, all changes published", overflows)
    figures.tell("G3", "changes meanwhile", changer.changes)


@pytest.mark.parametrize(
    ("limit", "value", "sysctl", "watcher"),
    [
        ("max_inotify_watches", 20, "fs.inotify.max_user_watches", "native+poll"),
        ("max_inotify_instances", 0, "fs.inotify.max_user_instances", "poll"),
    ],
)
def test_a_limit_of_the_kernel_that_is_used_up(s: Site, limit: str, value: int, sysctl: str, watcher: str) -> None:
    make_folders(s, 40)
    # In a user namespace, so that no other program of this machine notices.
    alone = ("unshare", "-U", "-r", "sh", "-c", f'echo {value} > /proc/sys/user/{limit} && exec "$@"', "sh")
    tried = subprocess.run([*alone, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no user namespace with limits of its own here: {tried.stderr.strip()}")
    s.program = (*alone, *s.program)
    s.start()
    s.until_equal()
    s.until_state("in_sync")
    now = told(s)
    assert now["watcher"] == watcher
    assert sysctl in now["message"]
    assert f"sysctl -w {sysctl}=" in now["message"]
    change_everything(s)
    s.until_equal()
    s.until_state("in_sync")
    said = " ".join(s.command("status", ok=False).stdout.split())
    assert sysctl in said
    assert s.log().count(f"{sysctl} is") == 1, "told when it begins, not at every look, nor with each folder more"


def test_a_watching_thread_that_dies_is_replaced(s: Site) -> None:
    order = s.base / "die"
    s.program = (sys.executable, "-c", _DIES, os.fspath(order))
    make_folders(s, 30)
    s.start()
    s.until_equal()
    order.touch()
    (s.drop / "its last words.jpg").write_bytes(b"never told")
    until(lambda: not order.exists(), "it dies", 30)
    change_everything(s)
    s.until_equal()
    s.until_state("in_sync")
    assert "the watching thread ended (OSError" in s.log()
    assert told(s) == {"watcher": "native", "message": ""}
    (s.drop / "fresh/later.jpg").write_bytes(b"later")
    s.until_equal()


@pytest.mark.parametrize("way", ["asked for", "on a network file system"])
def test_a_folder_that_has_to_be_polled(s: Site, way: str) -> None:
    if way == "asked for":
        s.write_config(watch="poll")
    else:
        s.program = (sys.executable, "-c", _NETWORK)
    make_folders(s, 30)
    s.start()
    s.until_equal()
    until(lambda: told(s)["watcher"] == "poll", "it is polled")
    change_everything(s)
    s.until_equal()
    s.until_state("in_sync")
    before = contents(s.published)
    (s.drop / "fresh/below/c.jpg").unlink()
    s.until_equal()
    assert len(contents(s.published)) == len(before) - 1
