"""A source that goes away, or is another one: nothing is deleted by mistake, and what a person decides is done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site, contents, site, tools_missing
from tests.servers import Server
from tests.waiting import until


@pytest.fixture
def server(some_server: Server) -> Server:
    """What is tested here happens on this side, whichever the server is."""
    return some_server


pytestmark = pytest.mark.lasting(190)

DELETE_AFTER_S = 0.5
CHECK_EVERY_S = 1.0
"""How often the daemon of these stories looks at its source; by itself it does so every three seconds. Deletes are due before."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
mounting = [pytest.mark.root, as_root]


@contextmanager
def watchful(server: Server, base: Path, **mapping: Any) -> Iterator[Site]:
    """A site whose daemon looks at its source every `CHECK_EVERY_S`."""
    with site(server, base, **mapping) as s:
        s.numbers = {"ftpsyncd.engine.rounds.CHECK_EVERY_S": CHECK_EVERY_S}
        yield s


def fill(folder: Path, names: str = "a b c d e") -> None:
    """Some files, and some in a directory."""
    (folder / "sub").mkdir(parents=True)
    for name in names.split():
        (folder / f"{name}.jpg").write_bytes(name.encode() * 1000)
        (folder / f"sub/{name}.jpg").write_bytes(name.encode() * 2000)


def copies(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with inode and digest: one that was deleted and published again would be another copy.

    A file that vanishes meanwhile, as a temporary one gets its name, is passed over.
    """
    found = {}
    for path in root.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                inode, content = path.stat().st_ino, path.read_bytes()
                found[str(path.relative_to(root))] = inode, hashlib.blake2b(content).digest()
    return found


def some_checks_later(s: Site, checks: int = 1) -> None:
    """Wait until the daemon has looked at the source so often again, and for longer than ``delete_after``."""
    began = s.status()["daemon"]["uptime_s"]
    enough_s = checks * 1.1 * CHECK_EVERY_S + DELETE_AFTER_S
    until(lambda: s.status()["daemon"]["uptime_s"] > began + enough_s, f"{checks} checks of the source", 40)


def assert_nothing_was_deleted(s: Site, before: dict[str, tuple[int, bytes]]) -> None:
    assert copies(s.published) == before
    assert "drop: deleted" not in s.log()
    assert "drop: removed" not in s.log()


@contextmanager
def attached(image: Path) -> Iterator[str]:
    """A loop device with a file behind it; the first one that is free."""
    device = subprocess.run(
        ["losetup", "-f", "--show", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@contextmanager
def mounted(what: str | Path, place: Path, *, disk: bool = False) -> Iterator[None]:
    """A tmpfs (``what`` is "tmpfs"), a disk, or a bind mount of a folder; gone afterwards, if it is not yet."""
    options = [what] if disk else ["--bind", what] if isinstance(what, Path) else ["-t", "tmpfs", what]
    subprocess.run(["mount", *options, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A disk that is mounted beside the folder. Bound into that, it is a disk there; it keeps what it has when it goes."""
    place = tmp_path / "store"
    place.mkdir()
    with mounted("tmpfs", place):
        yield place


def umount(place: Path) -> None:
    """Lazily: the daemon may be looking at it at this moment."""
    subprocess.run(["umount", "--lazy", place], check=True)


# ── Away and back ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_source_moved_away_deletes_nothing_and_goes_on_when_it_is_back(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        before = copies(s.published)
        s.drop.rename(tmp_path / "away")
        s.until_state("source_missing")
        some_checks_later(s, 3)
        assert_nothing_was_deleted(s, before)
        assert s.mapping_status()["state"] == "source_missing"
        assert "is not there" in s.mapping_status()["message"] or "cannot be opened" in s.mapping_status()["message"]
        (tmp_path / "away" / "new.jpg").write_bytes(b"made meanwhile")
        (tmp_path / "away" / "a.jpg").unlink()
        (tmp_path / "away").rename(s.drop)
        s.until_equal()
        s.until_state("in_sync")
        after = copies(s.published)
        assert {path: after[path] for path in before if path != "a.jpg"} == {
            path: before[path] for path in before if path != "a.jpg"
        }, "what did not change is not published again"


def test_a_source_that_is_missing_at_the_start_deletes_nothing(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        s.drop.rename(tmp_path / "away")
        s.start()
        s.until_state("source_missing")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        (tmp_path / "away").rename(s.drop)
        s.until_state("in_sync")
        assert_nothing_was_deleted(s, before)


def test_a_disk_that_is_not_mounted_at_the_start_keeps_no_other_folder_from_being_published(
    server: Server, tmp_path: Path
) -> None:
    """A power failure, and a file server that is back later than we are: not even the folder above it is there."""
    with site(server, tmp_path) as s:
        folder = tmp_path / "disk" / "desk" / "out"
        config = json.loads(s.config.read_text())
        away = {**config["mappings"]["drop"], "local": str(folder), "remote": "web:/away"}
        s.config.write_text(json.dumps({**config, "mappings": {**config["mappings"], "away": away}}))
        fill(s.drop)
        s.start()
        s.until_equal()
        states = lambda: {each["name"]: each["state"] for each in s.status()["mappings"]}  # noqa: E731
        until(lambda: states()["away"] == "source_missing", "the other one is missing")
        s.command("reload")
        fill(folder)
        there = server.home / "away"
        until(lambda: contents(there) == contents(folder), "the other one is published when it is there", 30)


def test_a_sync_of_a_missing_source_deletes_nothing_and_says_so(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        shutil.rmtree(s.drop)
        done = s.command("sync", ok=False)
        assert done.returncode == 1
        assert str(s.drop) in done.stdout + done.stderr
        assert copies(s.published) == before


def test_a_source_that_does_not_exist_yet_is_picked_up_when_it_is_made(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        s.drop.rmdir()
        s.start()
        s.until_state("source_missing")
        fill(s.drop)
        s.until_equal()
        s.until_state("in_sync")
        (s.drop / "later.jpg").write_bytes(b"seen by the watcher")
        s.until_equal()


def test_a_source_that_cannot_be_read_deletes_nothing(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        before = copies(s.published)
        # root reads everything, so a file takes the folder's place: as unreadable as a directory can be
        s.drop.rename(tmp_path / "away")
        s.drop.write_bytes(b"")
        s.until_state("source_missing")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)


@pytest.mark.root
@as_root
def test_an_unmounted_source_deletes_nothing_and_goes_on_when_it_is_mounted_again(
    server: Server, tmp_path: Path, store: Path
) -> None:
    with watchful(server, tmp_path) as s, mounted(store, s.drop):
        fill(s.drop)
        s.start()
        s.until_equal()
        before = copies(s.published)
        umount(s.drop)
        assert list(s.drop.iterdir()) == []
        s.until_state("source_missing")
        some_checks_later(s, 3)
        assert_nothing_was_deleted(s, before)
        message = s.mapping_status()["message"]
        assert "another file system" in message
        assert "ftpsyncd approve drop" in message
        with mounted(store, s.drop):
            s.until_state("in_sync")
            assert_nothing_was_deleted(s, before)
            (s.drop / "a.jpg").unlink()
            (s.drop / "new.jpg").write_bytes(b"new")
            s.until_equal()
            s.stop()


@pytest.mark.root
@as_root
@pytest.mark.parametrize("decision", ["approve", "discard"])
def test_what_was_dropped_where_the_source_was_to_be_mounted_is_not_deleted_when_that_is_back(
    server: Server, tmp_path: Path, store: Path, decision: str
) -> None:
    with watchful(server, tmp_path) as s, mounted(store, s.drop):
        fill(s.drop)
        s.start()
        s.until_equal()
        umount(s.drop)
        s.until_state("source_missing")
        (s.drop / "meanwhile.jpg").write_bytes(b"meanwhile")
        until((s.published / "meanwhile.jpg").exists, "it is published")
        before = copies(s.published)
        some_checks_later(s)
        assert s.mapping_status()["state"] == "source_missing"
        assert "is its disk not mounted?" in s.mapping_status()["message"]
        with mounted(store, s.drop):
            s.until_state("held")
            assert "another one in its place" in s.mapping_status()["message"]
            some_checks_later(s, 2)
            assert_nothing_was_deleted(s, before)
            s.command(decision, "drop")
            s.until_state("in_sync")
            if decision == "approve":
                s.until_equal()
            else:
                assert copies(s.published) == before
            s.stop()


@pytest.mark.root
@as_root
def test_a_source_unmounted_while_the_daemon_is_down_deletes_nothing(
    server: Server, tmp_path: Path, store: Path
) -> None:
    with watchful(server, tmp_path) as s, mounted(store, s.drop):
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        umount(s.drop)
        assert s.command("sync", ok=False).returncode == 1
        s.start()
        s.until_state("source_missing")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        s.stop()
        assert '"source_missing"' in s.command("status", "--json").stdout
        with mounted(store, s.drop):
            s.start()
            s.until_state("in_sync")
            assert_nothing_was_deleted(s, before)
            s.stop()


@pytest.mark.root
@as_root
@pytest.mark.skipif(bool(tools_missing("mkfs.ext4")), reason="mkfs.ext4 is needed")
def test_a_file_that_changes_in_the_second_of_its_publication_is_published_again(
    server: Server, tmp_path: Path
) -> None:
    """Where a disk keeps whole seconds only (as ext4 with small inodes), nothing else would tell of the change."""
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 64 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-I", "128", image], check=True)
    with watchful(server, tmp_path) as s, attached(image) as device, mounted(Path(device), s.drop, disk=True):
        (s.drop / "lost+found").rmdir()
        s.start()
        for number in range(3):
            until(lambda: time.time() % 1 < 0.1, "a second begins")
            path = s.drop / f"{number}.jpg"
            path.write_bytes(b"one" * 1000)
            until((s.published / path.name).exists, "it is published")
            path.write_bytes(b"two" * 1000)
            s.until_equal()
        s.stop()


@pytest.mark.root
@as_root
@pytest.mark.skipif(bool(tools_missing("mkfs.xfs", "losetup")), reason="mkfs.xfs and losetup are needed")
def test_a_disk_that_gets_another_number_is_the_same_disk(server: Server, tmp_path: Path) -> None:
    """XFS is known by nothing else to statvfs(3): after a boot that finds the disks in another order, for instance."""
    image, other, store = tmp_path / "image", tmp_path / "other", tmp_path / "store"
    for file in (image, other):
        file.touch()
        os.truncate(file, 320 * 1024 * 1024)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    store.mkdir()
    with watchful(server, tmp_path) as s:
        with attached(image) as device, mounted(Path(device), store, disk=True):
            (store / "drop").mkdir()
            with mounted(store / "drop", s.drop):
                fill(s.drop)
                s.command("sync")
        with (
            attached(other),
            attached(image) as device_now,
            mounted(Path(device_now), store, disk=True),
            mounted(store / "drop", s.drop),
        ):
            assert device_now != device
            s.start()
            s.until_state("in_sync")
            (s.drop / "a.jpg").unlink()
            s.until_equal()
            s.stop()


@pytest.mark.root
@as_root
def test_a_new_disk_in_place_of_the_old_one_is_accepted_by_approve(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        with mounted("tmpfs", s.drop):
            fill(s.drop)
            s.start()
            s.until_equal()
            before = copies(s.published)
            umount(s.drop)
        with mounted("tmpfs", s.drop):
            fill(s.drop, "a b")
            s.until_state("source_missing")
            until(lambda: s.mapping_status()["held"] == 6, "all that is not on this disk is held")
            some_checks_later(s)
            assert copies(s.published).keys() == before.keys()
            assert "drop: 6 deletes approved" in s.command("approve", "drop").stdout
            s.until_equal()
            s.until_state("in_sync")
            assert len(contents(s.published)) == 4
            s.stop()


# ── Another folder of the same name ──────────────────────────────────────────────────────────────────────────────


def replace_by_empty(s: Site) -> dict[str, tuple[int, bytes]]:
    """Publish some files, then put an empty folder in the source's place; what is at the server."""
    fill(s.drop)
    s.start()
    s.until_equal()
    before = copies(s.published)
    s.drop.rename(s.base / "old")
    s.drop.mkdir()
    s.until_state("held")
    return before


def test_an_empty_folder_in_place_of_the_source_is_held_and_deletes_nothing(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        before = replace_by_empty(s)
        some_checks_later(s, 3)
        assert_nothing_was_deleted(s, before)
        (s.drop / "new.jpg").write_bytes(b"published all the same")
        until((s.published / "new.jpg").exists, "a new file is published")
        message = s.mapping_status()["message"]
        assert "is not the folder that was published before" in message
        assert f"`ftpsyncd approve drop -c {s.config}`" in message
        assert f"`ftpsyncd discard drop -c {s.config}`" in message
        until(lambda: s.mapping_status()["held"] == 10, "the files below count as held")
        s.stop()
        s.start()
        s.until_state("held")
        some_checks_later(s)
        assert before.items() <= copies(s.published).items()


@pytest.mark.parametrize("runs", [True, False])
def test_a_source_that_is_removed_and_made_anew_is_another_folder(
    server: Server, tmp_path: Path, *, runs: bool
) -> None:
    """Many disks give it the same inode."""
    with watchful(server, tmp_path) as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        before = copies(s.published)
        if not runs:
            s.stop()
        shutil.rmtree(s.drop)
        s.drop.mkdir()
        if not runs:
            s.start()
        s.until_state("held")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        assert "is not the folder that was published before" in s.mapping_status()["message"]


def test_approve_accepts_another_folder_with_its_deletes(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        replace_by_empty(s)
        until(lambda: s.mapping_status()["held"] == 10, "all deletes are held")
        assert "drop: 10 deletes approved" in s.command("approve", "drop").stdout
        until(lambda: contents(s.published) == {}, "all is deleted")
        s.until_state("in_sync")
        assert not (s.published / "sub").exists()
        assert s.mapping_status()["published_files"] == 0


def test_discard_accepts_another_folder_and_keeps_what_is_at_the_server(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        before = replace_by_empty(s)
        until(lambda: s.mapping_status()["held"] == 10, "all deletes are held")
        assert "the files stay at the server" in s.command("discard", "drop").stdout
        s.until_state("in_sync")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        assert s.mapping_status()["published_files"] == 0
        s.stop()
        s.start()
        s.until_state("in_sync")
        assert_nothing_was_deleted(s, before)


def test_the_old_folder_back_in_its_place_releases_the_hold(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        before = replace_by_empty(s)
        s.drop.rmdir()
        (tmp_path / "old").rename(s.drop)
        s.until_state("in_sync")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        assert "released" in s.log()


# ── A disk inside the source ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.root
@as_root
def test_a_disk_inside_the_source_is_published_without_a_hold(server: Server, tmp_path: Path, store: Path) -> None:
    with watchful(server, tmp_path) as s:
        (s.drop / "disk").mkdir()
        with mounted(store, s.drop / "disk"):
            fill(store)
            s.start()
            s.until_equal()
            s.command("rescan")
            s.stop()
            s.start()
            s.until_state("in_sync")
            (s.drop / "disk/a.jpg").unlink()
            s.until_equal()
            s.until_state("in_sync")
            s.stop()
        assert "held" not in s.log()


@pytest.mark.root
@as_root
def test_a_disk_inside_the_source_that_is_unmounted_deletes_nothing_and_is_released_when_it_is_back(
    server: Server, tmp_path: Path, store: Path
) -> None:
    with watchful(server, tmp_path) as s:
        (s.drop / "disk").mkdir()
        (s.drop / "beside.jpg").write_bytes(b"beside")
        with mounted(store, s.drop / "disk"):
            fill(store)
            s.start()
            s.until_equal()
            before = copies(s.published)
            umount(s.drop / "disk")
        s.until_state("held")
        some_checks_later(s, 3)
        assert_nothing_was_deleted(s, before)
        assert "disk was mounted" in s.mapping_status()["message"]
        (s.drop / "other").mkdir()
        (s.drop / "other/new.jpg").write_bytes(b"published meanwhile")
        until((s.published / "other/new.jpg").exists, "files beside the disk are published")
        some_checks_later(s)
        assert before.items() <= copies(s.published).items()
        assert s.mapping_status()["state"] == "held"
        assert "released" not in s.log()
        with mounted(store, s.drop / "disk"):
            s.until_state("in_sync")
            assert before.items() <= copies(s.published).items()
            (s.drop / "disk/b.jpg").unlink()
            s.until_equal()
            s.stop()


@pytest.mark.root
@as_root
def test_what_links_lead_to_on_a_disk_that_is_unmounted_is_not_deleted(
    server: Server, tmp_path: Path, store: Path
) -> None:
    """Links to files of a disk in the folder, which is not published under its own name."""
    with watchful(server, tmp_path, symlinks="follow", exclude=["/disk/"]) as s:
        (s.drop / "disk").mkdir()
        (s.drop / "beside.jpg").write_bytes(b"beside")
        (s.drop / "below").mkdir()
        with mounted(store, s.drop / "disk"):
            fill(store)
            (s.drop / "a.jpg").symlink_to("disk/a.jpg")
            (s.drop / "below/b.jpg").symlink_to("../disk/b.jpg")
            s.start()
            until((s.published / "below/b.jpg").exists, "it is published")
            s.until_state("in_sync")
            before = copies(s.published)
            assert len(before) == 3
            s.stop()
            umount(s.drop / "disk")
        s.start()
        s.until_state("held")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        assert "a.jpg led to another disk" in s.mapping_status()["message"]
        with mounted(store, s.drop / "disk"):
            s.command("rescan")
            s.until_state("in_sync")
            assert_nothing_was_deleted(s, before)
            s.stop()


@pytest.mark.root
@as_root
def test_a_disk_inside_the_source_that_goes_with_its_mount_point_deletes_nothing(
    server: Server, tmp_path: Path, store: Path
) -> None:
    with watchful(server, tmp_path) as s:
        (s.drop / "disk").mkdir()
        (s.drop / "beside.jpg").write_bytes(b"beside")
        with mounted(store, s.drop / "disk"):
            fill(store)
            s.start()
            s.until_equal()
            before = copies(s.published)
            umount(s.drop / "disk")
            (s.drop / "disk").rmdir()
        s.until_state("held")
        some_checks_later(s, 2)
        assert_nothing_was_deleted(s, before)
        (s.drop / "disk").mkdir()
        with mounted(store, s.drop / "disk"):
            s.until_state("in_sync")
            assert_nothing_was_deleted(s, before)
            s.stop()


@pytest.mark.root
@as_root
def test_a_folder_bound_into_the_source_that_is_unbound_deletes_nothing(server: Server, tmp_path: Path) -> None:
    """It has the device of the folder around it."""
    with watchful(server, tmp_path) as s:
        fill(tmp_path / "elsewhere")
        (s.drop / "bound").mkdir()
        (s.drop / "beside.jpg").write_bytes(b"beside")
        with mounted(tmp_path / "elsewhere", s.drop / "bound"):
            s.start()
            s.until_equal()
            before = copies(s.published)
        s.until_state("held")
        some_checks_later(s, 2)
        assert_nothing_was_deleted(s, before)
        with mounted(tmp_path / "elsewhere", s.drop / "bound"):
            s.until_state("in_sync")
            assert_nothing_was_deleted(s, before)
            s.stop()


@pytest.mark.root
@as_root
def test_a_polled_folder_is_held_no_longer_than_a_folder_in_it_is_unbound(server: Server, tmp_path: Path) -> None:
    """Nobody tells of the mount, and the next rescan is an hour away."""
    with watchful(server, tmp_path, watch="poll", poll_every="1s", rescan="1h") as s:
        fill(tmp_path / "elsewhere")
        (s.drop / "bound").mkdir()
        with mounted(tmp_path / "elsewhere", s.drop / "bound"):
            s.start()
            s.until_equal()
            before = copies(s.published)
        s.until_state("held")
        with mounted(tmp_path / "elsewhere", s.drop / "bound"):
            s.until_state("in_sync")
            assert_nothing_was_deleted(s, before)
            s.stop()


@pytest.mark.root
@as_root
@pytest.mark.parametrize("restarts", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.parametrize("decision", ["approve", "discard"])
def test_a_disk_that_was_mounted_over_what_is_published_deletes_nothing_when_it_goes(
    server: Server, tmp_path: Path, store: Path, decision: str, *, restarts: bool
) -> None:
    """The directory beneath is the one that was published first; that does not make what was on the disk deleted."""
    with watchful(server, tmp_path) as s:
        (s.drop / "disk").mkdir()
        (s.drop / "disk/beneath.jpg").write_bytes(b"beneath")
        s.start()
        s.until_equal()
        fill(store)
        with mounted(store, s.drop / "disk"):
            s.until_state("held")
            on_disk = {f"disk/{path}" for path in copies(store)}
            until(lambda: copies(s.published).keys() == on_disk | {"disk/beneath.jpg"}, "the disk is published")
            before = copies(s.published)
            if restarts:
                s.stop()
        if restarts:
            s.start()
        until(lambda: "disk is not mounted now" in s.mapping_status()["message"], "it says what is the matter")
        some_checks_later(s, 2)
        assert_nothing_was_deleted(s, before)
        assert s.mapping_status()["state"] == "held"
        s.command(decision, "drop")
        s.until_state("in_sync")
        if decision == "approve":
            s.until_equal()
        else:
            assert copies(s.published) == before


@pytest.mark.root
@as_root
def test_what_was_dropped_while_a_disk_was_away_is_not_deleted_when_it_is_back(
    server: Server, tmp_path: Path, store: Path
) -> None:
    with watchful(server, tmp_path) as s:
        (s.drop / "disk").mkdir()
        with mounted(store, s.drop / "disk"):
            fill(store)
            s.start()
            s.until_equal()
            umount(s.drop / "disk")
        s.until_state("held")
        (s.drop / "disk/meanwhile.jpg").write_bytes(b"meanwhile")
        until((s.published / "disk/meanwhile.jpg").exists, "it is published")
        before = copies(s.published)
        with mounted(store, s.drop / "disk"):
            until(lambda: "disk is mounted now" in s.mapping_status()["message"], "it says what is the matter")
            some_checks_later(s, 2)
            assert_nothing_was_deleted(s, before)
            s.command("discard", "drop")
            s.until_state("in_sync")
            assert copies(s.published) == before
            (store / "a.jpg").unlink()
            until(lambda: not (s.published / "disk/a.jpg").exists(), "what is deleted on the disk is deleted")
            s.stop()


@pytest.mark.root
@as_root
@pytest.mark.parametrize("seen_away", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.parametrize("restarts", [False, True])
def test_another_disk_in_place_of_one_inside_the_source_deletes_nothing(
    server: Server, tmp_path: Path, *, restarts: bool, seen_away: bool
) -> None:
    """A card that is changed for another one: what was on the first is not there, and nobody has deleted it."""
    first, second = tmp_path / "first", tmp_path / "second"
    for card in (first, second):
        card.mkdir()
    with mounted("tmpfs", first), mounted("tmpfs", second), watchful(server, tmp_path) as s:
        fill(first)
        (second / "sub").mkdir()
        (second / "sub/z.jpg").write_bytes(b"of the second")
        (s.drop / "card").mkdir()
        with mounted(first, s.drop / "card"):
            s.start()
            s.until_equal()
            before = copies(s.published)
            if restarts:
                s.stop()
            umount(s.drop / "card")
            if seen_away and not restarts:
                s.until_state("held")
        with mounted(second, s.drop / "card"):
            if restarts:
                s.start()
            until((s.published / "card/sub/z.jpg").exists, "what is on the second is published")
            some_checks_later(s, 2)
            assert before.items() <= copies(s.published).items()
            assert s.mapping_status()["state"] == "held"
            assert "drop: deleted" not in s.log()
            s.command("approve", "drop")
            s.until_equal()
            s.until_state("in_sync")
            (second / "sub/y.jpg").write_bytes(b"of the second, too")
            s.until_equal()
            s.stop()


@contextmanager
def alike(place: Path, *, whole: bool, prefix: str = "") -> Iterator[tuple[Path, Path]]:
    """Two disks that were filled in the same order: all has the same inodes, sizes and dates.

    Args:
        place: where they are mounted.
        whole: the directory of the second one has another name.
        prefix: so have its files.
    """
    disks = place / "first", place / "second"
    for disk, directory, before in zip(disks, ("year", "archive" if whole else "year"), ("", prefix), strict=True):
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
        (disk / directory).mkdir()
        for number in range(4):
            copy = disk / directory / f"{before}{number}.jpg"
            copy.write_bytes(b"the same on both" * 100)
            os.utime(copy, ns=(1_600_000_000_123_456_789 + number,) * 2)
    try:
        inodes = [sorted(path.stat().st_ino for path in disk.rglob("*")) for disk in disks]
        if inodes[0] != inodes[1]:
            pytest.skip("inodes are given out otherwise here")
        yield disks
    finally:
        for disk in disks:
            subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.root
@as_root
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("where", ["card", "."])
def test_nothing_is_renamed_at_the_server_for_a_copy_on_another_disk(
    server: Server, tmp_path: Path, where: str, *, whole: bool
) -> None:
    """A new disk, filled in the same order, has the same inodes; what was published of the first one is held."""
    with (
        alike(tmp_path, whole=whole, prefix="" if whole else "new-") as (first, second),
        watchful(server, tmp_path) as s,
    ):
        (s.drop / "card").mkdir()
        with mounted(first, s.drop / where):
            s.command("sync")
            before = copies(s.published)
        with mounted(second, s.drop / where):
            done = s.command("sync", ok=False)
        assert done.returncode == 1
        assert before.items() <= copies(s.published).items()
        assert len(copies(s.published)) == 8


@pytest.mark.root
@as_root
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("place", ["leaves none", "stays"])
def test_nothing_is_renamed_at_the_server_for_a_copy_on_a_disk_at_another_place(
    server: Server, tmp_path: Path, place: str, *, whole: bool
) -> None:
    """Two cards that were filled in the same order: the one is put away, and the other mounted beside its place."""
    with alike(tmp_path, whole=whole) as (first, second), watchful(server, tmp_path) as s:
        (s.drop / "one").mkdir()
        (s.drop / "two").mkdir()
        with mounted(first, s.drop / "one"):
            s.command("sync")
            before = copies(s.published)
        if place == "leaves none":
            (s.drop / "one").rmdir()
        with mounted(second, s.drop / "two"):
            done = s.command("sync", ok=False)
        assert done.returncode == 1
        assert before.items() <= copies(s.published).items()
        assert len(copies(s.published)) == 8


@pytest.mark.root
@as_root
def test_a_disk_that_is_mounted_at_another_place_in_the_folder_is_not_sent_again(
    server: Server, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("tmpfs", disk), watchful(server, tmp_path) as s:
        fill(disk)
        for place in ("one", "two"):
            (s.drop / place).mkdir()
        with mounted(disk, s.drop / "one"):
            s.command("sync")
            before = copies(s.published)
        with mounted(disk, s.drop / "two"):
            done = s.command("sync", ok=False)
        assert copies(s.published) == {name.replace("one/", "two/"): copy for name, copy in before.items()}
        # Where it was it is away: somebody decides about that, though nothing is missing there any more.
        assert done.returncode == 1
        assert "one was mounted when it was published and is not mounted now" in done.stdout


@pytest.mark.root
@as_root
@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("where", ["card", "."])
def test_another_content_on_another_disk_is_published_though_it_looks_as_the_first_one(
    server: Server, tmp_path: Path, where: str, *, runs: bool
) -> None:
    """Both were filled in the same order, and all has the dates that a program gave it: also the inodes are the same."""
    first, second = tmp_path / "first", tmp_path / "second"
    # Made before the first one was published: when they were made does not tell it, either.
    for disk, content in ((second, b"of the second"), (first, b"of the first.")):
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
        (disk / "year").mkdir()
        for number in range(3):
            file = disk / f"year/{number}.jpg"
            file.write_bytes(content * 100)
            os.utime(file, ns=((1_600_000_000 + number) * 10**9,) * 2)
    inodes = [sorted(path.stat().st_ino for path in disk.rglob("*")) for disk in (first, second)]
    try:
        if inodes[0] != inodes[1]:
            pytest.skip("inodes are given out otherwise here")
        with watchful(server, tmp_path) as s:
            (s.drop / "card").mkdir()
            with mounted(first, s.drop / where):
                s.command("sync")
            with mounted(second, s.drop / where):
                if runs:
                    s.start()
                    until(lambda: "approve" in s.mapping_status()["message"], "it is held")
                else:
                    s.command("sync", ok=False)
                s.command("approve", "drop")
                if runs:
                    s.until_equal()
                    s.stop()
                else:
                    s.command("sync")
                assert contents(s.published) == contents(s.drop)
    finally:
        for disk in (first, second):
            subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.root
@as_root
@pytest.mark.parametrize("decision", ["approve", "discard"])
@pytest.mark.parametrize("other", ["none", "disk"])
def test_what_a_sync_says_of_a_disk_can_be_decided_though_it_has_published_in_its_place(
    server: Server, tmp_path: Path, decision: str, other: str
) -> None:
    """It was told that what is held is not what was told before, which it had itself said a moment ago."""
    card, place = tmp_path / "store", tmp_path / "place"
    for folder in (card, place):
        folder.mkdir()
    with mounted("tmpfs", card), mounted("tmpfs", place), watchful(server, tmp_path) as s:
        fill(card)
        (s.drop / "card").mkdir()
        with mounted(card, s.drop / "card"):
            s.command("sync")
            before = copies(s.published)
        with mounted(place, s.drop / "card") if other == "disk" else nullcontext():
            (s.drop / "card/new.jpg").write_bytes(b"in its place")
            done = s.command("sync", ok=False)
            assert done.returncode == 1
            assert (s.published / "card/new.jpg").exists()
            assert before.items() <= copies(s.published).items()
            s.command(decision, "drop")
            s.command("sync")
        if decision == "approve":
            assert contents(s.published).keys() == {b"card/new.jpg"}
        else:
            assert before.items() <= copies(s.published).items()


@pytest.mark.root
@as_root
def test_another_disk_is_told_of_as_one(server: Server, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for card in (first, second):
        card.mkdir()
    with mounted("tmpfs", first), mounted("tmpfs", second), watchful(server, tmp_path) as s:
        fill(first)
        (s.drop / "card").mkdir()
        with mounted(first, s.drop / "card"):
            s.start()
            s.until_equal()
            before = copies(s.published)
            with mounted(second, s.drop / "card"):
                s.until_state("held")
                assert "card is on another disk now than when it was published" in s.mapping_status()["message"]
                some_checks_later(s, 2)
                assert_nothing_was_deleted(s, before)
            s.until_state("in_sync")
            assert_nothing_was_deleted(s, before)
            (first / "a.jpg").unlink()
            s.until_equal()
            s.stop()


@pytest.mark.root
@as_root
def test_approve_accepts_that_a_disk_inside_the_source_is_gone(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path) as s:
        (s.drop / "disk").mkdir()
        with mounted("tmpfs", s.drop / "disk"):
            fill(s.drop / "disk")
            s.start()
            s.until_equal()
            umount(s.drop / "disk")
        s.until_state("held")
        s.command("approve", "drop")
        s.until_equal()
        s.until_state("in_sync")


# ── Many at once ─────────────────────────────────────────────────────────────────────────────────────────────────


def delete_too_many(s: Site) -> dict[str, tuple[int, bytes]]:
    """Publish 12 files, delete 11 of them; what is at the server."""
    fill(s.drop, "a b c d e f")
    s.start()
    s.until_equal()
    before = copies(s.published)
    shutil.rmtree(s.drop / "sub")
    for name in "bcdef":
        (s.drop / f"{name}.jpg").unlink()
    # Some of it may be noticed later than the rest.
    until(lambda: "11 files were deleted at once" in s.mapping_status()["message"], "all of it is held")
    return before


def test_a_mass_delete_is_held_also_over_a_restart_and_approve_deletes(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, max_deletes=5) as s:
        before = delete_too_many(s)
        some_checks_later(s, 3)
        assert_nothing_was_deleted(s, before)
        assert s.mapping_status()["held"] == 11
        message = s.mapping_status()["message"]
        assert "11 files were deleted at once" in message
        assert "max_deletes (5)" in message
        assert f"`ftpsyncd approve drop -c {s.config}`" in message, "of this service, not of the machine's"
        assert f"`ftpsyncd discard drop -c {s.config}`" in s.log()
        s.stop()
        assert '"held"' in s.command("status", "--json").stdout
        told = len(s.log())
        s.start()
        s.until_state("held")
        until(lambda: f"drop: still held - {message}" in s.log()[told:], "the log of this start says so, too")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        until(lambda: s.mapping_status()["held"] == 11, "all deletes are held again")
        assert "drop: 11 deletes approved" in s.command("approve", "drop").stdout
        s.until_equal()
        s.until_state("in_sync")
        assert contents(s.published).keys() == {b"a.jpg"}
        assert not (s.published / "sub").exists()


def test_discard_keeps_a_mass_delete_at_the_server_for_good(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, max_deletes=5) as s:
        before = delete_too_many(s)
        assert "deletes discarded; the files stay at the server" in s.command("discard", "drop").stdout
        s.until_state("in_sync")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        assert s.mapping_status()["published_files"] == 1
        (s.drop / "a.jpg").unlink()
        until(lambda: not (s.published / "a.jpg").exists(), "deletes after that go out again")
        s.stop()
        s.start()
        s.until_state("in_sync")
        assert copies(s.published) == {path: copy for path, copy in before.items() if path != "a.jpg"}


def test_discard_is_for_good_when_the_daemon_is_killed_right_after_its_answer(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, max_deletes=5) as s:
        before = delete_too_many(s)
        assert "deletes discarded; the files stay at the server" in s.command("discard", "drop").stdout
        s.kill()
        s.start()
        until(lambda: s.mapping_status()["published_files"] == 1, "the files are no longer ours")
        s.until_state("in_sync")
        some_checks_later(s)
        assert_nothing_was_deleted(s, before)
        (s.drop / "a.jpg").unlink()
        until(lambda: not (s.published / "a.jpg").exists(), "deletes after that go out again")


def test_files_put_back_end_the_hold_of_a_mass_delete(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, max_deletes=5) as s:
        delete_too_many(s)
        fill(tmp_path / "again", "b c d e f")
        for path in (tmp_path / "again").iterdir():
            path.rename(s.drop / path.name)
        (s.drop / "sub/a.jpg").write_bytes(b"a")
        s.until_equal()
        s.until_state("in_sync")


def test_a_mass_delete_cannot_pass_in_portions(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, max_deletes=5) as s:
        fill(s.drop, "a b c d e f")
        s.start()
        s.until_equal()
        for name in "abc":
            (s.drop / f"{name}.jpg").unlink()
        s.until_equal()
        before = copies(s.published)
        for name in "def":
            (s.drop / f"{name}.jpg").unlink()
        s.until_state("held")
        some_checks_later(s)
        assert copies(s.published) == before


def test_a_sync_tells_of_another_folder_though_nothing_is_missing_from_it(server: Server, tmp_path: Path) -> None:
    """`status` did; a pass ended with 0 and no word, and so did the next ones until something was deleted."""
    with site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        s.drop.rename(tmp_path / "before")
        shutil.copytree(tmp_path / "before", s.drop)
        for _ in range(2):
            done = s.command("sync", ok=False)
            assert done.returncode == 1
            assert "not the folder that was published before" in done.stdout
            assert "✓" not in done.stdout
        told = json.loads(s.command("sync", "--json", ok=False).stdout)
        assert (told["held"], told["holds"], told["exit_code"]) == (0, 1, 1)
        s.drop.rename(tmp_path / "away")
        done = s.command("sync", ok=False)
        assert done.returncode == 1
        assert "published before" not in done.stdout, "only that it is missing"
        (tmp_path / "away").rename(s.drop)
        s.command("approve", "drop")
        s.command("sync")


def test_a_sync_holds_a_mass_delete_and_says_so(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, max_deletes=5) as s:
        fill(s.drop, "a b c d e f")
        s.command("sync")
        before = copies(s.published)
        shutil.rmtree(s.drop / "sub")
        done = s.command("sync", ok=False)
        assert done.returncode == 1
        assert "6 files were deleted at once" in " ".join((done.stdout + done.stderr).split())
        assert copies(s.published) == before


# ── Other policies ───────────────────────────────────────────────────────────────────────────────────────────────


def test_with_deletes_keep_nothing_is_deleted_and_what_is_gone_is_forgotten(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, deletes="keep") as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        before = copies(s.published)
        (s.drop / "a.jpg").unlink()
        shutil.rmtree(s.drop / "sub")
        until(lambda: s.mapping_status()["published_files"] == 4, "six files are forgotten")
        some_checks_later(s)
        assert copies(s.published) == before
        (s.drop / "a.jpg").write_bytes(b"another file of that name")
        until(lambda: (s.published / "a.jpg").read_bytes() == b"another file of that name", "it is published")


def test_with_deletes_trash_what_is_gone_is_moved_aside(server: Server, tmp_path: Path) -> None:
    with watchful(server, tmp_path, deletes="trash") as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        before = copies(s.published)
        (s.drop / "a.jpg").unlink()
        shutil.rmtree(s.drop / "sub")
        kept = {"b.jpg", "c.jpg", "d.jpg", "e.jpg"}
        trash = s.published / ".ftpsyncd-trash"
        until(lambda: trash.exists() and len(contents(trash)) == 6, "six files are in the trash")
        s.until_state("in_sync")
        # One folder for each day; two at midnight.
        days = [(day.name, copies(day)) for day in trash.iterdir()]
        moved = {path: copy for _, copied in days for path, copy in copied.items()}
        assert moved == {path: copy for path, copy in before.items() if path not in kept}
        assert copies(s.published).keys() - {f".ftpsyncd-trash/{day}/{p}" for day, found in days for p in found} == kept
        assert not (s.published / "sub").exists()
