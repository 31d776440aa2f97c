"""Programs that write into the folder, each in its own way: both sides end equal, and nothing torn is ever visible."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site, Spy, contents, digest, site, tools_missing, wait_a_moment
from tests.servers import Server
from tests.waiting import until

pytestmark = pytest.mark.lasting(75)


@pytest.fixture
def server(some_server: Server) -> Server:
    """What is tested here happens on this side, whichever the server is."""
    return some_server


OLD_S = 1_300_000_000
"""A date long ago."""
VIDEO_SETTLE_S = 1.0

_HOLDS_IT_OPEN = """
import sys, time
path, parts, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with open(path, "wb", buffering=0) as video:
    for part in range(parts):
        time.sleep(pause_s * (part > 0))
        video.write(bytes([65 + part]) * 300_000)
    time.sleep(pause_s)
print(time.monotonic())
"""
_OPENS_IT_AGAIN = """
import sys, time
path, parts, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
for part in range(parts):
    time.sleep(pause_s * (part > 0))
    with open(path, "ab", buffering=0) as video:
        video.write(bytes([65 + part]) * 300_000)
print(time.monotonic())
"""


@contextmanager
def watched(server: Server, base: Path, **mapping: Any) -> Iterator[tuple[Site, Spy]]:
    """A running daemon, and a spy at the server from the first moment on."""
    with site(server, base, **mapping) as s:
        s.start()
        with Spy(s.published) as spy:
            yield s, spy


def pictures(folder: Path, count: int) -> None:
    """Make ``count`` different files like pictures, 25 in each directory, three levels deep."""
    source = random.Random(count)  # always the same ones
    for i in range(count):
        directory = folder / f"{i // 125}/{i // 25}"
        directory.mkdir(parents=True, exist_ok=True)
        picture = b"\xff\xd8\xff\xe0" + source.randbytes(source.randrange(500, 20_000)) + b"\xff\xd9"
        (directory / f"IMG_{i:04}.JPG").write_bytes(picture)


def video(parts: int) -> bytes:
    """What the first ``parts`` parts of a written video are."""
    return b"".join(bytes([65 + part]) * 300_000 for part in range(parts))


def run(*words: str | Path) -> None:
    """Run a program to its end."""
    subprocess.run(words, check=True, capture_output=True)


def assert_equal_and_never_torn(s: Site, spy: Spy, *also_allowed: tuple[str, bytes]) -> None:
    """Both sides are equal; what was visible is what is there now, or one of the contents named here."""
    s.until_equal()
    spy.until_seen_all()
    allowed = {os.fsdecode(path): {held} for path, held in contents(s.drop).items()}
    for path, content in also_allowed:
        allowed.setdefault(path, set()).add(digest(content))
    spy.assert_never_torn(allowed)


# ── Whole trees ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_tree_of_500_pictures_copied_with_cp(server: Server, tmp_path: Path) -> None:
    pictures(tmp_path / "card", 500)
    with watched(server, tmp_path) as (s, spy):
        run("cp", "-r", tmp_path / "card", s.drop / "card")
        assert_equal_and_never_torn(s, spy)
        assert len(spy.seen) == 500


@pytest.mark.skipif(tools_missing("rsync") != "", reason=tools_missing("rsync"))
def test_a_tree_copied_with_rsync_and_then_updated(server: Server, tmp_path: Path) -> None:
    pictures(tmp_path / "card", 150)
    with watched(server, tmp_path) as (s, spy):
        run("rsync", "-a", f"{tmp_path}/card/", s.drop)
        s.until_equal()
        changed = tmp_path / "card/0/1/IMG_0030.JPG"
        before = changed.read_bytes()
        changed.write_bytes(b"retouched" * 5000)
        run("rsync", "-a", f"{tmp_path}/card/", s.drop)
        assert_equal_and_never_torn(s, spy, ("0/1/IMG_0030.JPG", before))


def test_a_tree_extracted_with_tar(server: Server, tmp_path: Path) -> None:
    pictures(tmp_path / "card", 150)
    run("tar", "-cf", tmp_path / "card.tar", "-C", tmp_path, "card")
    with watched(server, tmp_path) as (s, spy):
        run("tar", "-xf", tmp_path / "card.tar", "-C", s.drop)
        assert_equal_and_never_torn(s, spy)


def test_a_populated_directory_moved_in_and_out_again(server: Server, tmp_path: Path) -> None:
    pictures(tmp_path / "card", 100)
    with watched(server, tmp_path) as (s, spy):
        (s.drop / "stays.jpg").write_bytes(b"stays")
        run("mv", tmp_path / "card", s.drop)
        assert_equal_and_never_torn(s, spy)
        run("mv", s.drop / "card", tmp_path)
        s.until_equal()
        until(lambda: not (s.published / "card").exists(), "the directory is gone from the server")


def test_a_directory_that_is_renamed_is_renamed_at_the_server_and_not_sent_again(
    server: Server, tmp_path: Path
) -> None:
    pictures(tmp_path / "drop/card", 60)
    # What is gone is waited for under another name for so long.
    with watched(server, tmp_path, delete_after="3s") as (s, _):
        s.until_equal()
        # What is at the server and not recorded yet could not be known again.
        until(lambda: s.mapping_status()["published_files"] == 60, "all are recorded")
        before = {p.name: p.stat().st_ino for p in s.published.rglob("*.JPG")}
        run("mv", s.drop / "card", s.drop / "2024")
        s.until_equal()
        assert {p.name: p.stat().st_ino for p in s.published.rglob("*.JPG")} == before
        until(lambda: not (s.published / "card").exists(), "the old name is gone")


def test_pictures_of_one_size_and_date_that_take_turns_are_each_published(server: Server, tmp_path: Path) -> None:
    """Copied from a camera with their dates: many disks give the next one the inode of the one that was removed."""
    day = 1_000_000_000
    with site(server, tmp_path) as s:
        s.start()
        for number in range(5):
            picture = s.drop / f"{number}.jpg"
            (s.drop / f"{number - 1}.jpg").unlink(missing_ok=True)
            picture.write_bytes(bytes([number]) * 5000)
            os.utime(picture, (day, day))
            s.until_equal()
        s.until_state("in_sync")
        (s.drop / "4.jpg").rename(s.drop / "last.jpg")
        s.until_equal()
        until(lambda: "renamed 4.jpg" in s.log(), "it is renamed, and not sent again", 10)
        assert s.stop() == 0


def test_a_directory_that_is_unpacked_in_place_of_one_that_was_removed_is_published_as_it_is(
    server: Server, tmp_path: Path
) -> None:
    """Out of archives whose files all have one date: many disks give all of it the inodes of what was removed."""
    day = 1_000_000_000
    with site(server, tmp_path) as s:
        s.start()
        for number in range(5):
            if number:
                shutil.rmtree(s.drop / f"release-{number - 1}")
            release = s.drop / f"release-{number}"
            release.mkdir()
            for page in ("a.html", "b.html", "c.html"):
                (release / page).write_text(f"This is release {number}.")
                os.utime(release / page, (day, day))
            s.until_equal()
        s.until_state("in_sync")
        (s.drop / "release-4").rename(s.drop / "last")
        s.until_equal()
        until(lambda: "renamed release-4" in s.log(), "it is renamed, and not sent again", 10)
        assert s.stop() == 0


def test_200_renames_of_a_directory_of_50_files(server: Server, tmp_path: Path) -> None:
    source = random.Random(50)
    files = {f"{i}.jpg": source.randbytes(3000) for i in range(50)}
    with watched(server, tmp_path) as (s, spy):
        (s.drop / "dir0").mkdir()
        for name, content in files.items():
            (s.drop / "dir0" / name).write_bytes(content)
        for i in range(200):
            (s.drop / f"dir{i}").rename(s.drop / f"dir{i + 1}")
            wait_a_moment(source.choice([0.0, 0.0, 0.005, 0.05]))
        anywhere = [(f"dir{i}/{name}", content) for i in range(201) for name, content in files.items()]
        assert_equal_and_never_torn(s, spy, *anywhere)
        until(lambda: [p.name for p in s.published.iterdir()] == ["dir200"], "no other directory is left at the server")


# ── Editors ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_edited_with_sed_in_place(server: Server, tmp_path: Path) -> None:
    before = "".join(f"line {i} is red\n" for i in range(20_000))
    with watched(server, tmp_path) as (s, spy):
        (s.drop / "page.html").write_text(before)
        s.until_equal()
        run("sed", "-i", "s/red/green/", s.drop / "page.html")
        assert_equal_and_never_torn(s, spy, ("page.html", before.encode()))
        assert "green" in (s.published / "page.html").read_text()


def test_a_save_that_writes_a_new_file_and_renames_it_over_the_old_one(server: Server, tmp_path: Path) -> None:
    with watched(server, tmp_path) as (s, spy):
        page = s.drop / "page.html"
        page.write_bytes(b"before" * 9000)
        s.until_equal()
        for save in range(5):
            page.rename(s.drop / "page.html~")
            wait_a_moment(0.02)
            (s.drop / ".page.html.tmp").write_bytes(b"save %d" % save * 9000)
            (s.drop / ".page.html.tmp").rename(page)
            (s.drop / "page.html~").unlink()
        saves = [("page.html", b"save %d" % save * 9000) for save in range(5)]
        assert_equal_and_never_torn(s, spy, ("page.html", b"before" * 9000), *saves)


@pytest.mark.skipif(tools_missing("vim") != "", reason=tools_missing("vim"))
@pytest.mark.parametrize("way", ["no", "yes"], ids=["by renaming", "by overwriting"])
def test_a_file_saved_with_vim(way: str, server: Server, tmp_path: Path) -> None:
    before = "".join(f"line {i} is red\n" for i in range(20_000))
    with watched(server, tmp_path) as (s, spy):
        page = s.drop / "page.html"
        page.write_text(before)
        s.until_equal()
        run(
            "vim", "-es", "-u", "NONE", "-c", f"set backupcopy={way} backup swapfile updatecount=1",
            "-c", "%s/red/green/", "-c", "wq", page,
        )  # fmt: skip
        assert "green" in page.read_text()
        (s.drop / "page.html~").unlink(missing_ok=True)
        assert_equal_and_never_torn(s, spy, ("page.html", before.encode()))


# ── Slow writers ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_video_is_not_published_before_its_writer_has_closed_it_and_the_quiet_time_is_over(
    server: Server, tmp_path: Path
) -> None:
    with watched(server, tmp_path, settle=f"{VIDEO_SETTLE_S}s") as (s, spy):
        command = [sys.executable, "-c", _HOLDS_IT_OPEN, str(s.drop / "v.mp4"), "2", "3"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            until((s.published / "v.mp4").exists, "the video is published", 30)
            visible_at = time.monotonic()
            closed_at = float(writer.communicate()[0])
        assert visible_at - closed_at >= VIDEO_SETTLE_S
        assert_equal_and_never_torn(s, spy)
        assert spy.seen == {"v.mp4": {digest(video(2))}}


def test_a_video_that_is_closed_and_opened_again_within_the_quiet_time_is_published_once(
    server: Server, tmp_path: Path
) -> None:
    with watched(server, tmp_path, settle=f"{VIDEO_SETTLE_S}s") as (s, spy):
        run(sys.executable, "-c", _OPENS_IT_AGAIN, s.drop / "v.mp4", "6", "0.5")
        assert_equal_and_never_torn(s, spy)
        assert spy.seen == {"v.mp4": {digest(video(6))}}


def test_a_video_that_rests_closed_for_longer_than_the_quiet_time_is_published_as_it_was_closed(
    server: Server, tmp_path: Path
) -> None:
    with watched(server, tmp_path, settle=f"{VIDEO_SETTLE_S}s") as (s, spy):
        run(sys.executable, "-c", _OPENS_IT_AGAIN, s.drop / "v.mp4", "3", "3")
        assert_equal_and_never_torn(s, spy, *(("v.mp4", video(parts)) for parts in range(1, 4)))


@pytest.mark.parametrize("part", ["photo.jpg.part", "photo.AbC123xy.jpg.part"])
def test_what_firefox_downloads_is_not_published_empty(part: str, server: Server, tmp_path: Path) -> None:
    """It keeps the name by an empty file, fills another one, and renames that over it."""
    photo = b"photo" * 50_000
    with watched(server, tmp_path) as (s, spy):
        (s.drop / "photo.jpg").touch()
        with (s.drop / part).open("wb", buffering=0) as file:
            file.write(photo[:1000])
            until(lambda: "being downloaded" in s.mapping_status()["message"], "it waits for its content")
            (s.drop / "other.jpg").write_bytes(b"other")
            until((s.published / "other.jpg").exists, "others do not wait", 30)
            wait_a_moment(1.0)
            said = s.command("why", s.drop / "photo.jpg").stdout
            assert "its content is being downloaded" in " ".join(said.split())
            file.write(photo[1000:])
        (s.drop / part).rename(s.drop / "photo.jpg")
        assert_equal_and_never_torn(s, spy)
        assert spy.seen["photo.jpg"] == {digest(photo)}


def test_a_file_that_is_appended_to_is_published_only_with_whole_appends(server: Server, tmp_path: Path) -> None:
    versions = []
    with watched(server, tmp_path) as (s, spy):
        for line in range(60):
            with (s.drop / "results.csv").open("ab", buffering=0) as file:
                file.write(b"%d;" % line * 1000 + b"\n")
            versions.append(("results.csv", (s.drop / "results.csv").read_bytes()))
            wait_a_moment(0.8 if line % 20 == 19 else 0.02)
        assert_equal_and_never_torn(s, spy, *versions)


def test_a_file_that_is_truncated_and_written_anew(server: Server, tmp_path: Path) -> None:
    before, after = b"before" * 50_000, b"after!" * 50_000
    with watched(server, tmp_path) as (s, spy):
        (s.drop / "a.mov").write_bytes(before)
        s.until_equal()
        with (s.drop / "a.mov").open("wb", buffering=0) as file:
            for start in range(0, len(after), 60_000):
                wait_a_moment(0.15)
                file.write(after[start : start + 60_000])
        assert_equal_and_never_torn(s, spy, ("a.mov", before))


# ── What is not new content ──────────────────────────────────────────────────────────────────────────────────────


def test_a_touch_renews_the_date_at_the_server_and_sends_nothing(server: Server, tmp_path: Path) -> None:
    with watched(server, tmp_path) as (s, spy):
        picture, there = s.drop / "a.jpg", s.published / "a.jpg"
        picture.write_bytes(b"picture" * 1000)
        os.utime(picture, (OLD_S, OLD_S))
        s.until_equal()
        until(lambda: there.stat().st_mtime == OLD_S, "the date is set")
        inode = there.stat().st_ino
        run("touch", picture)
        until(lambda: "unchanged a.jpg" in s.log(), "the daemon has seen it")
        # A new STOR would have been another file, renamed over this one.
        assert there.stat().st_ino == inode
        assert there.stat().st_mtime == int(picture.stat().st_mtime)
        assert spy.seen == {"a.jpg": {digest(b"picture" * 1000)}}


def test_an_old_file_copied_with_its_date_is_published_with_its_date(server: Server, tmp_path: Path) -> None:
    (tmp_path / "old.jpg").write_bytes(b"old" * 1000)
    os.utime(tmp_path / "old.jpg", (OLD_S, OLD_S))
    with watched(server, tmp_path) as (s, spy):
        run("cp", "-p", tmp_path / "old.jpg", s.drop)
        assert_equal_and_never_torn(s, spy)
        until(lambda: (s.published / "old.jpg").stat().st_mtime == OLD_S, "the date is set")


# ── Things that change what they are ─────────────────────────────────────────────────────────────────────────────


def test_a_directory_replaced_by_a_file_and_back(server: Server, tmp_path: Path) -> None:
    with watched(server, tmp_path) as (s, spy):
        thing = s.drop / "thing"
        thing.mkdir()
        (thing / "a.jpg").write_bytes(b"a" * 5000)
        (thing / "b.jpg").write_bytes(b"b" * 5000)
        s.until_equal()
        shutil.rmtree(thing)
        thing.write_bytes(b"a file now" * 500)
        s.until_equal()
        thing.unlink()
        thing.mkdir()
        (thing / "a.jpg").write_bytes(b"A" * 6000)
        before = [("thing/a.jpg", b"a" * 5000), ("thing/b.jpg", b"b" * 5000), ("thing", b"a file now" * 500)]
        assert_equal_and_never_torn(s, spy, *before)


def test_hard_links_are_files_of_their_own(server: Server, tmp_path: Path) -> None:
    with watched(server, tmp_path) as (s, spy):
        (s.drop / "a.jpg").write_bytes(b"one" * 1000)
        s.until_equal()
        (s.drop / "sub").mkdir()
        os.link(s.drop / "a.jpg", s.drop / "b.jpg")
        os.link(s.drop / "a.jpg", s.drop / "sub/c.jpg")
        s.until_equal()
        (s.drop / "a.jpg").unlink()
        s.until_equal()
        with (s.drop / "b.jpg").open("r+b") as file:
            file.write(b"two")
        one = [(name, b"one" * 1000) for name in ("a.jpg", "b.jpg", "sub/c.jpg")]
        assert_equal_and_never_torn(s, spy, *one)


def test_a_hard_link_is_published_whatever_becomes_of_the_name_it_was_written_by(
    server: Server, tmp_path: Path
) -> None:
    """The kernel tells of that name only, and it is gone, or another file's, before anybody looks."""
    with watched(server, tmp_path) as (s, spy):
        ends: dict[str, Callable[[Path], object]] = {
            "replaced": (s.drop / "new.jpg").rename,
            "deleted": Path.unlink,
            "moved": lambda used: used.rename(tmp_path / "moved.jpg"),
            "directory deleted": lambda used: shutil.rmtree(used.parent),
            "directory moved": lambda used: used.parent.rename(tmp_path / "moved"),
        }
        (s.drop / "new.jpg").write_bytes(b"new" * 1000)
        for how in ends:
            (s.drop / how).mkdir()
            (s.drop / f"{how}.jpg").write_bytes(how.encode() * 1000)
            os.link(s.drop / f"{how}.jpg", s.drop / how / "used.jpg")
        s.until_equal()
        for how, end in ends.items():
            used = s.drop / how / "used.jpg"
            with used.open("r+b") as file:
                file.write(b"written")
            end(used)
        s.until_equal()
        names = [(name, how.encode() * 1000) for how in ends for name in (f"{how}.jpg", f"{how}/used.jpg")]
        assert_equal_and_never_torn(s, spy, *names, ("new.jpg", b"new" * 1000))
