"""What a listing says, and above all what it refuses to say."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.errors import NoDescriptorError
from ftpsyncd.local import birth, mounts, quiet, tree
from ftpsyncd.local.scan import Scanner, fingerprint_of
from ftpsyncd.model import Disk, Kind, Listing, Presence
from ftpsyncd.paths import join

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "root"
    (found / "sub").mkdir(parents=True)
    (found / "a.jpg").write_bytes(b"123")
    (found / "sub" / "b.jpg").write_bytes(b"1")
    return found


def test_a_listing_has_every_name_with_kind_and_fingerprint(root: Path) -> None:
    listing = Scanner(root).list_dir("")
    assert listing.presence is Presence.PRESENT
    assert set(listing.entries) == {"a.jpg", "sub"}
    assert listing.names is None
    status = (root / "a.jpg").stat()
    entry = listing.entries["a.jpg"]
    assert entry.kind is Kind.FILE
    assert entry.fingerprint == fingerprint_of(status) == (3, status.st_mtime_ns, status.st_ino)
    assert (entry.ctime_ns, entry.device, entry.note) == (status.st_ctime_ns, status.st_dev, "")
    assert listing.entries["sub"].kind is Kind.DIR
    assert (listing.inode, listing.device) == (root.stat().st_ino, root.stat().st_dev)
    assert listing.root == Scanner(root).root_identity()
    assert listing.taken_wall_ns > 0


def test_a_listing_of_a_subdirectory(root: Path) -> None:
    listing = Scanner(root).list_dir("sub")
    assert (listing.directory, set(listing.entries)) == ("sub", {"b.jpg"})
    assert listing.inode == (root / "sub").stat().st_ino


@pytest.mark.usefixtures("one_case")
def test_a_probe_tells_cases_apart_where_the_file_system_does_not(root: Path) -> None:
    (root / "both.jpg").touch()
    listing = Scanner(root).probe("", ["A.jpg", "a.jpg", "SUB", "sub", "Both.jpg"])
    assert os.lstat(root / "Both.jpg").st_ino == (root / "both.jpg").stat().st_ino
    assert set(listing.entries) == {"a.jpg", "sub"}


@pytest.mark.usefixtures("one_case")
@pytest.mark.parametrize("directory", ["SUB", "SUB/below", "sub/Below"])
def test_a_directory_is_not_there_in_another_case_where_the_file_system_finds_it(root: Path, directory: str) -> None:
    """Of a folder whose name has changed in case only, what was to be looked at under the old one is gone from there."""
    (root / "sub" / "below").mkdir()
    (root / "sub" / "below" / "b.jpg").touch()
    assert (root / directory).stat().st_ino == (root / directory.lower()).stat().st_ino
    scanner = Scanner(root)
    assert scanner.list_dir(directory).presence is Presence.ABSENT
    assert scanner.probe(directory, ["b.jpg"]).presence is Presence.ABSENT
    assert "b.jpg" in scanner.list_dir(directory.lower()).entries


@pytest.mark.usefixtures("one_case")
def test_of_many_directories_the_one_that_they_are_in_is_not_listed_for_each(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system does not tell upper from lower case; else it is not listed at all."""
    monkeypatch.setattr(tree, "STAMP_NS", -1)
    for number in range(30):
        (root / "sub" / f"d{number}").mkdir()
    scanner, listed, real, sub = Scanner(root), list[object](), os.listdir, root / "sub"

    def listdir(place: str | int) -> list[str]:
        # The played file system lists directories, too.
        if sys._getframe(1).f_code is tree.Spellings.is_listed.__code__:
            listed.append(place)
        return real(place)

    monkeypatch.setattr(os, "listdir", listdir)
    assert "sub" in scanner.list_dir("").entries
    for number in range(30):
        assert scanner.list_dir(f"sub/d{number}").presence is Presence.PRESENT
        assert scanner.list_dir(f"sub/D{number}").presence is Presence.ABSENT
    assert len(listed) == 2, "the root and `sub`"
    before = sub.stat().st_ctime_ns
    (sub / "d3").rename(sub / "D3")
    while sub.stat().st_ctime_ns == before:
        os.utime(sub)
    assert scanner.list_dir("sub/d3").presence is Presence.ABSENT
    assert scanner.list_dir("sub/D3").presence is Presence.PRESENT
    assert len(listed) == 3


def test_where_cases_are_told_apart_no_directory_is_listed_for_that(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", lambda _place: pytest.fail("it is listed"))
    scanner = Scanner(root)
    (root / "sub" / "x").mkdir()
    assert scanner.list_dir("sub/x").presence is Presence.PRESENT


def test_a_probe_sees_both_of_two_names_that_differ_in_case_only(root: Path) -> None:
    (root / "A.jpg").touch()
    assert set(Scanner(root).probe("", ["A.jpg", "a.jpg"]).entries) == {"A.jpg", "a.jpg"}


def test_a_probe_sees_only_what_was_asked(root: Path) -> None:
    listing = Scanner(root).probe("", ["a.jpg", "absent.jpg"])
    assert listing.names == frozenset({"a.jpg", "absent.jpg"})
    assert set(listing.entries) == {"a.jpg"}
    assert listing.unreadable == {}
    assert listing.busy == frozenset()


def test_a_probe_tells_when_a_file_was_made_and_a_listing_does_not_ask(root: Path) -> None:
    (root / "link.jpg").symlink_to("a.jpg")
    with (root / "a.jpg").open("rb") as file:
        made = birth.told_ns(file.fileno())
    scanner = Scanner(root, follow_symlinks=True)
    told = scanner.probe("", ["a.jpg", "link.jpg", "sub"]).entries
    assert {name: entry.born_ns for name, entry in told.items()} == {"a.jpg": made, "link.jpg": made, "sub": None}
    assert {entry.born_ns for entry in scanner.list_dir("").entries.values()} == {None}


def test_both_tell_that_a_file_has_other_names(root: Path) -> None:
    scanner = Scanner(root)
    for names in ({"a.jpg": False}, {"a.jpg": True, "again.jpg": True}):
        for listing in (scanner.list_dir(""), scanner.probe("", names)):
            assert {name: e.linked for name, e in listing.entries.items() if e.kind is Kind.FILE} == names
        if len(names) == 1:
            os.link(root / "a.jpg", root / "again.jpg")
    assert not scanner.list_dir("sub").entries["b.jpg"].linked


def test_a_probe_tells_which_files_are_being_written(root: Path) -> None:
    with (root / "a.jpg").open("ab"):
        assert Scanner(root).probe("", ["a.jpg", "sub"]).busy == {"a.jpg"}
    assert Scanner(root).probe("", ["a.jpg", "sub"]).busy == frozenset()


def test_both_tell_which_empty_files_are_being_downloaded(root: Path) -> None:
    for name in ("film.mp4", "still.jpg", "film.AbC123xy.mp4.part", "a.jpg.part"):
        (root / name).touch()
    scanner = Scanner(root)
    for listing in (scanner.list_dir(""), scanner.probe("", ["film.mp4", "still.jpg", "a.jpg"])):
        assert listing.awaited == {"film.mp4"}
    (root / "film.AbC123xy.mp4.part").unlink()
    for listing in (scanner.list_dir(""), scanner.probe("", ["film.mp4"])):
        assert listing.awaited == frozenset()


def test_a_probe_tells_when_a_file_was_really_changed(root: Path) -> None:
    """A copy that keeps the date of its original is as young as it is."""
    os.utime(root / "a.jpg", ns=(1, 1))
    entry = Scanner(root).probe("", ["a.jpg"]).entries["a.jpg"]
    assert entry.fingerprint.mtime_ns == 1
    assert entry.ctime_ns == (root / "a.jpg").stat().st_ctime_ns


@pytest.mark.parametrize("directory", ["gone", "sub/gone/deeper", "a.jpg", "a.jpg/below"])
def test_absent_is_what_the_kernel_calls_absent(root: Path, directory: str) -> None:
    for listing in (Scanner(root).list_dir(directory), Scanner(root).probe(directory, ["x"])):
        assert listing.presence is Presence.ABSENT
        assert listing.root is not None
        assert listing.problem


def test_without_a_root_nothing_is_absent(tmp_path: Path) -> None:
    listing = Scanner(tmp_path / "none").list_dir("sub")
    assert listing.presence is Presence.ROOT_MISSING
    assert listing.root is None
    assert "No such file" in listing.problem
    (tmp_path / "file").touch()
    assert Scanner(tmp_path / "file").list_dir("").presence is Presence.ROOT_MISSING
    assert Scanner(tmp_path / "file").root_identity() is None


def test_a_root_that_changes_during_the_listing_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tree.open_directory

    def replace_it(*args, **kwargs):
        root.rename(root.parent / "away")
        root.mkdir()
        return real(*args, **kwargs)

    monkeypatch.setattr(tree, "open_directory", replace_it)
    listing = Scanner(root).list_dir("gone")
    assert listing.presence is Presence.ROOT_MISSING
    assert "was replaced" in listing.problem


def test_a_readdir_that_fails_midway_is_unreadable_and_not_a_part(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    class _Failing:
        def __init__(self, fd: int) -> None:
            self.inner = real(fd)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return self._some()

        def __exit__(self, *_args: object) -> None:
            self.inner.close()

        def _some(self) -> Iterator[os.DirEntry[str]]:
            yield next(self.inner)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", _Failing)
    listing = Scanner(root).list_dir("")
    assert (listing.presence, listing.entries) == (Presence.UNREADABLE, {})
    assert "Input/output error" in listing.problem


@pytest.mark.parametrize(("stays", "told"), [(False, Presence.ABSENT), (True, Presence.UNREADABLE)])
def test_a_readdir_that_finds_nothing_means_that_the_directory_is_gone_only_if_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, stays: bool, told: Presence
) -> None:
    """As exFAT in user space says of a directory that is removed while it is open."""

    def fail(_descriptor: int) -> None:
        if not stays:
            (root / "sub/b.jpg").unlink()
            (root / "sub").rmdir()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "scandir", fail)
    assert Scanner(root).list_dir("sub").presence is told


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG])
def test_other_failures_to_open_are_unreadable(root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tree, "open_directory", fail)
    listing = Scanner(root).list_dir("sub")
    assert listing.presence is Presence.UNREADABLE
    assert os.strerror(number) in listing.problem


def test_a_directory_on_another_device_is_a_mount_also_where_no_table_tells_of_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "current", tuple)
    assert not Scanner(root).list_dir("sub").mount_point
    monkeypatch.setattr(Scanner, "_above", lambda _scanner, _directory, descriptor: os.fstat(descriptor).st_dev + 1)
    assert Scanner(root).list_dir("sub").mount_point
    assert not Scanner(root).list_dir("").mount_point


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_name_that_cannot_be_looked_at_is_not_taken_for_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on a disk that fails: it would be deleted at the server."""
    real = os.stat

    def fail(path: str, **options: Any) -> os.stat_result:
        if path == "a.jpg":
            raise OSError(number, os.strerror(number))
        return real(path, **options)

    monkeypatch.setattr(os, "stat", fail)
    listing = Scanner(root).probe("", ["a.jpg", "gone"])
    assert (listing.presence, listing.entries) == (Presence.PRESENT, {})
    assert listing.unreadable == {"a.jpg": os.strerror(number)}


def test_a_name_that_cannot_be_asked_for_is_told(root: Path) -> None:
    listing = Scanner(root).probe("", ["nul\0"])
    assert listing.presence is Presence.PRESENT
    assert set(listing.unreadable) == {"nul\0"}


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 128])
def test_nothing_is_at_a_name_that_no_file_can_have(root: Path, name: str) -> None:
    listing = Scanner(root).probe("", [name])
    assert (listing.presence, listing.entries, listing.unreadable) == (Presence.PRESENT, {}, {})
    assert Scanner(root).probe(f"sub/{name}", ["a"]).presence is Presence.ABSENT


_AS_NOBODY = """
import os, sys
from pathlib import Path
from ftpsyncd.local.scan import Scanner
root = Path(sys.argv[1])
os.setegid(65534)
os.seteuid(65534)
listing = Scanner(root).list_dir("closed")
print(listing.presence.name, listing.problem)
listing = Scanner(root).list_dir("names only")
print(listing.presence.name, dict(listing.unreadable), dict(listing.entries))
listing = Scanner(root / "closed").list_dir("")
print(listing.presence.name)
listing = Scanner(root).probe("", ["closed file"])
print(listing.presence.name, set(listing.entries), set(listing.busy))
"""


@pytest.mark.root
@as_root
def test_what_may_not_be_read_is_unreadable(root: Path) -> None:
    closed, names_only = root / "closed", root / "names only"
    closed.mkdir(mode=0o700)
    names_only.mkdir()
    (names_only / "x").touch()
    names_only.chmod(0o704)
    (root / "closed file").touch(mode=0o600)
    for above in [root, *root.parents][:-2]:  # all but / and /tmp
        above.chmod(0o755)
    run = subprocess.run([sys.executable, "-c", _AS_NOBODY, root], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "UNREADABLE 'closed': Permission denied",
        "PRESENT {'x': 'Permission denied'} {}",
        "ROOT_MISSING",
        "PRESENT {'closed file'} set()",
    ]


def test_what_is_no_file_is_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(root)  # the path of a socket may have 107 bytes only
        server.bind("socket")
    (root / "link").symlink_to("a.jpg")
    names = ["fifo", "socket", "link"]
    opened: list[str] = []
    monkeypatch.setattr(quiet, "open_regular", lambda name, _directory: opened.append(name))
    for listing in (Scanner(root).list_dir(""), Scanner(root).probe("", names)):
        notes = {name: listing.entries[name].note for name in names}
        assert notes == {"fifo": "a FIFO", "socket": "a socket", "link": "a symbolic link"}
        assert all(listing.entries[name].kind is Kind.OTHER for name in names)
        assert listing.busy == frozenset()
    assert opened == []


def test_where_nothing_can_be_opened_no_file_is_taken_for_one_that_nobody_writes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_name: str, _directory: int) -> tuple[int, os.stat_result]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(quiet, "open_regular", none_left)
    with pytest.raises(NoDescriptorError):
        Scanner(root).probe("", ["a.jpg"])


@pytest.mark.root
@as_root
def test_a_device_is_never_opened(root: Path) -> None:
    try:
        os.mknod(root / "tape", stat.S_IFCHR | 0o600, os.makedev(9, 0))
    except OSError as error:
        pytest.skip(f"no devices here: {error}")
    assert Scanner(root).probe("", ["tape"]).entries["tape"].note == "a character device"


def test_names_that_are_not_utf8(root: Path) -> None:
    name = os.fsdecode(b"\xff\xfe\n")
    (root / name).mkdir()
    (root / name / name).touch()
    assert name in Scanner(root).list_dir("").entries
    assert name in Scanner(root).list_dir(name).entries
    assert name in Scanner(root).probe(name, [name]).entries


def test_a_link_in_the_way_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "in").symlink_to("sub")
    for name in ("out", "in"):
        assert Scanner(root).list_dir(name).presence is Presence.ABSENT


def _links(root: Path, tmp_path: Path) -> Listing:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root2").mkdir()
    (root / "sub" / "deep").mkdir()
    (root / "sub" / "deep" / "c.jpg").touch()
    (root / "to file").symlink_to("sub/b.jpg")
    (root / "to dir").symlink_to(root / "sub" / "deep")
    (root / "to link").symlink_to("to dir")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "similar").symlink_to(tmp_path / "root2")
    (root / "nothing").symlink_to("nowhere")
    (root / "itself").symlink_to("itself")
    (root / "sub" / "up").symlink_to("..")
    (root / "sub" / "deep" / "up").symlink_to("..")
    return Scanner(root, follow_symlinks=True).list_dir("")


def test_links_inside_the_root_are_followed_if_wanted(root: Path, tmp_path: Path) -> None:
    entries = _links(root, tmp_path).entries
    assert entries["to file"].kind is Kind.FILE
    assert entries["to file"].fingerprint == fingerprint_of((root / "sub" / "b.jpg").stat())
    assert entries["to dir"].kind is entries["to link"].kind is Kind.DIR
    scanner = Scanner(root, follow_symlinks=True)
    assert set(scanner.list_dir("to link").entries) == {"c.jpg", "up"}
    with (root / "sub" / "b.jpg").open("ab"):
        assert scanner.probe("", ["to file", "to dir"]).busy == {"to file"}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOMEM])
@pytest.mark.parametrize("where", ["open_directory", "realpath", "places_on_the_way"])
def test_a_link_whose_target_cannot_be_looked_at_is_unreadable(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str
) -> None:
    """It says nothing of what was published under the link's name."""
    (root / "link").symlink_to("sub/b.jpg")
    scanner = Scanner(root, follow_symlinks=True)
    owner = os.path if where == "realpath" else tree
    real = getattr(owner, where)

    def fail(*args, **more):
        if where == "places_on_the_way" or more.get("strict") or args[-1] == "sub":
            raise OSError(number, os.strerror(number))
        return real(*args, **more)

    monkeypatch.setattr(owner, where, fail)
    for listing in (scanner.list_dir(""), scanner.probe("", ["link"])):
        assert listing.presence is Presence.PRESENT
        assert listing.unreadable == {"link": os.strerror(number)}
        assert "link" not in listing.entries
    if where != "places_on_the_way":
        with pytest.raises(OSError, match=os.strerror(number)):
            tree.look_through(root, "link")


def test_a_last_look_sees_through_links_what_a_scan_sees(root: Path, tmp_path: Path) -> None:
    """Else a delete would be planned and refused again and again, or go out for what is there."""
    _links(root, tmp_path)
    scanner = Scanner(root, follow_symlinks=True)
    for directory in ("", "sub", "to dir", "to dir/up"):
        entries = scanner.list_dir(directory).entries
        assert entries
        for name, entry in entries.items():
            status = tree.look_through(root, join(directory, name))
            if entry.kind is Kind.OTHER:
                assert status is None, name
            else:
                assert status is not None
                assert fingerprint_of(status) == entry.fingerprint
    for path in ("gone", "gone/x", "out/x", "nothing/x", "itself/x", "a.jpg/x"):
        assert tree.look_through(root, path) is None
    assert tree.look_through(tmp_path / "absent", "x") is None


def test_links_out_of_the_root_in_circles_or_to_nothing_are_not_followed(root: Path, tmp_path: Path) -> None:
    entries = _links(root, tmp_path).entries
    notes = {name: entry.note for name, entry in entries.items() if entry.kind is Kind.OTHER}
    outside = "a symbolic link to a place outside the folder"
    loop, nothing = "a symbolic link in a loop", "a symbolic link to nothing"
    assert notes == {"out": outside, "similar": outside, "nothing": nothing, "itself": loop}
    (root / "sub" / "again").symlink_to("../sub")
    scanner = Scanner(root, follow_symlinks=True)
    assert {scanner.list_dir("sub").entries[name].note for name in ("up", "again")} == {loop}
    assert scanner.list_dir("to dir").entries["up"].kind is Kind.DIR, "to sub, which is not on this way"
    assert scanner.list_dir("to dir/up").entries["deep"].kind is Kind.DIR
    assert scanner.list_dir("to dir/up/deep").presence is Presence.UNREADABLE
    for directory in ("itself", "sub/up"):
        assert scanner.list_dir(directory).presence is Presence.UNREADABLE
    for directory in ("out", "out/x", "nothing", "nothing/x", "gone"):
        assert scanner.list_dir(directory).presence is Presence.ABSENT


def test_large_inode_numbers_fit_the_ledger() -> None:
    assert tree.fold(2**64 - 1) < 2**63
    assert tree.fold(12345) == 12345


@pytest.mark.root
@as_root
def test_an_unmounted_root_is_another_root(root: Path) -> None:
    scanner = Scanner(root)
    before = scanner.root_identity()
    if subprocess.run(["mount", "-t", "tmpfs", "none", root], check=False).returncode:
        pytest.skip("cannot mount here")
    mounted = scanner.list_dir("").root
    subprocess.run(["umount", root], check=True)
    assert mounted != before
    assert scanner.list_dir("").root == before


@as_root
@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("bind", [False, True])
def test_a_listing_says_whether_its_directory_is_a_mount_point(root: Path, *, follow: bool, bind: bool) -> None:
    """A bind mount has the device of the directory around it."""
    scanner = Scanner(root, follow_symlinks=follow)
    assert not scanner.list_dir("").mount_point
    assert not scanner.list_dir("sub").mount_point
    (root.parent / "bound").mkdir()
    what = ["--bind", root.parent / "bound"] if bind else ["-t", "tmpfs", "none"]
    if subprocess.run(["mount", *what, root / "sub"], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        (root / "sub/inner").mkdir()
        assert scanner.list_dir("sub").mount_point
        assert scanner.probe("sub", {"inner"}).mount_point
        here = Scanner(root).root_identity()
        assert here is not None
        assert (scanner.list_dir("sub").filesystem == here.filesystem) is bind
        assert scanner.probe("sub", {"inner"}).filesystem == scanner.list_dir("sub").filesystem
        assert scanner.list_dir("").mounted == scanner.probe("", {"a.jpg"}).mounted == {"sub"}
        inner = scanner.list_dir("sub/inner")
        assert (inner.mount_point, inner.filesystem) == (False, 0)
        assert inner.disk == scanner.probe("sub/inner", {"a"}).disk == Disk("sub", scanner.list_dir("sub").filesystem)
        assert scanner.list_dir("").disk is scanner.list_dir("sub").disk is None
        assert not Scanner(root / "sub").list_dir("").mount_point, "of the root it is not asked"
    finally:
        subprocess.run(["umount", root / "sub"], check=True)
    assert not scanner.list_dir("sub").mount_point
    assert not scanner.list_dir("sub").filesystem
    assert not scanner.list_dir("").mounted


@as_root
def test_it_is_told_when_nothing_is_mounted_above_a_directory_any_more(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is bound has the device of what is around it."""
    (root / "sub/inner").mkdir()
    scanner = Scanner(root)
    assert scanner.list_dir("sub/inner").disk_told
    if subprocess.run(["mount", "--bind", root / "sub", root / "sub"], check=False).returncode != 0:
        pytest.skip("cannot mount here")
    try:
        listing, point = scanner.list_dir("sub/inner"), scanner.list_dir("sub")
    finally:
        subprocess.run(["umount", root / "sub"], check=False)
    assert listing.disk is not None
    assert (listing.disk.point, listing.disk_told) == ("sub", True)
    assert (point.mount_point, point.disk_told) == (True, False)
    listing = scanner.list_dir("sub/inner")
    assert (listing.disk, listing.disk_told) == (None, True)
    monkeypatch.setattr(mounts, "current", lambda *_, **__: ())
    assert not scanner.list_dir("sub/inner").disk_told, "nobody knows what is mounted"


@as_root
def test_what_a_mount_covers_is_not_told_to_be_on_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk may come between a look and the question where that was."""
    (root / "sub/inner").mkdir()
    scanner = Scanner(root)
    look, came = Scanner._all_entries, list[int]()

    def look_late(self: Scanner, opened: Any) -> Any:
        seen = look(self, opened)
        came.append(subprocess.run(["mount", "--bind", root / "sub", root / "sub"], check=False).returncode)
        return seen

    monkeypatch.setattr(Scanner, "_all_entries", look_late)
    try:
        listing = scanner.list_dir("sub/inner")
    finally:
        subprocess.run(["umount", root / "sub"], check=False)
    if came != [0]:
        pytest.skip("cannot mount here")
    assert (listing.presence, listing.disk) == (Presence.PRESENT, None)
    assert not listing.disk_told, "it is not on the file system of the root for that, as far as is known"


@as_root
def test_what_a_directory_is_on_is_asked_once_while_nothing_is_mounted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each of many thousands it would take a quarter of the time of a look."""
    for i in range(5):
        (root / f"sub/{i}").mkdir()
    if subprocess.run(["mount", "--bind", root / "sub", root / "sub"], check=False).returncode != 0:
        pytest.skip("cannot mount here")
    scanner, asked = Scanner(root), list[int]()
    of_descriptor = mounts.of_descriptor

    def counted(descriptor: int) -> mounts.Mount | None:
        asked.append(descriptor)
        return of_descriptor(descriptor)

    monkeypatch.setattr(mounts, "of_descriptor", counted)
    try:
        table = mounts.current()
        disks = {scanner.list_dir("sub/0").disk}
        first = len(asked)
        disks |= {scanner.list_dir(f"sub/{i}").disk for i in range(5)}
        more = len(asked) - first
        quiet = mounts.current() is table  # else something was mounted elsewhere meanwhile
        subprocess.run(["mount", "--bind", root / "sub/4", root / "sub/4"], check=True)
        try:
            another = scanner.list_dir("sub/1").disk
        finally:
            subprocess.run(["umount", root / "sub/4"], check=True)
    finally:
        subprocess.run(["umount", root / "sub"], check=True)
    assert disks == {another}
    assert another is not None
    assert not (quiet and more)
    assert len(asked) > first + more, "something else may be mounted there by now"


@as_root
def test_a_number_that_is_given_out_at_every_mount_is_not_told_as_that_of_a_file_system(root: Path) -> None:
    """That of autofs and ramfs: after a reboot it would be another one."""
    if subprocess.run(["mount", "-t", "ramfs", "none", root / "sub"], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        listing = Scanner(root).list_dir("sub")
    finally:
        subprocess.run(["umount", root / "sub"], check=True)
    assert (listing.mount_point, listing.filesystem) == (True, 0)


@as_root
def test_a_link_to_a_bind_mount_is_one_as_well(root: Path) -> None:
    scanner = Scanner(root, follow_symlinks=True)
    (root / "sub/inner").mkdir()
    (root / "link").symlink_to("sub/inner")
    (root / "sub/beside").symlink_to("inner")
    if subprocess.run(["mount", "--bind", root / "sub", root / "sub"], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        assert scanner.list_dir("").mounted == {"sub", "link"}
        assert scanner.list_dir("link").mount_point
        assert not scanner.list_dir("sub").mounted
        assert not scanner.list_dir("sub/beside").mount_point
    finally:
        subprocess.run(["umount", root / "sub"], check=True)
    assert not scanner.list_dir("").mounted
    assert not scanner.list_dir("link").mount_point
