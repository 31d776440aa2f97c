"""Who writes a file, and opening one without waiting."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.errors import FileBusyError, FileChangedError, LocalUnreadableError, SourceMissingError
from ftpsyncd.local import mounts, quiet, tree


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file.jpg"
    found.write_bytes(b"content")
    return found


@pytest.fixture
def reading(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_nobody_writes_and_readers_do_not_matter(path: Path, reading: int) -> None:
    with path.open("rb"), path.open("rb"):
        assert quiet.writer_present(reading) is False
        assert quiet.writer_present(reading) is False, "the first question left no lease behind"


def test_a_writer_in_this_process_is_seen(path: Path, reading: int) -> None:
    with path.open("r+b"):
        assert quiet.writer_present(reading) is True
    assert quiet.writer_present(reading) is False


def test_a_writer_in_another_process_is_seen(path: Path, reading: int) -> None:
    with subprocess.Popen(["sh", "-c", f"exec 3>>'{path}'; echo ready; read x"], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert quiet.writer_present(reading) is True
        other.communicate(b"\n")
    assert quiet.writer_present(reading) is False


def test_a_writable_shared_mapping_is_a_writer(path: Path, reading: int) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        file.close()
        assert quiet.writer_present(reading) is True
    assert quiet.writer_present(reading) is False


def test_who_begins_to_write_after_the_question_does_not_wait(path: Path, reading: int) -> None:
    """The file stays open for as long as it is sent."""
    assert quiet.writer_present(reading) is False
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOLCK])
def test_where_leases_are_refused_it_cannot_be_told(reading: int, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert quiet.writer_present(reading) is None


@pytest.mark.parametrize(
    ("filesystem", "writing"),
    [("nfs4", None), ("cifs", None), ("smb3", None), ("ext4", True), ("fuse.sshfs", True), ("9p", True)],
)
def test_a_file_server_that_delegates_nothing_refuses_all_leases(
    reading: int, monkeypatch: pytest.MonkeyPatch, filesystem: str, *, writing: bool | None
) -> None:
    """Where it does not, nothing of such a disk would ever be published."""

    def refuse(_descriptor: int, command: int, _what: int) -> None:
        if command == fcntl.F_SETLEASE:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    mount = mounts.Mount(1, "/", filesystem, "server:/x")
    monkeypatch.setattr(mounts, "of_descriptor", {reading: mount}.get)
    assert quiet.writer_present(reading) is writing


@pytest.mark.parametrize(("number", "writing"), [(errno.EAGAIN, True), (errno.EINVAL, None)])
def test_a_lease_that_was_taken_back_tells_of_a_writer(
    reading: int, monkeypatch: pytest.MonkeyPatch, number: int, *, writing: bool | None
) -> None:
    def refuse(_descriptor: int, command: int, what: int) -> None:
        if (command, what) == (fcntl.F_SETLEASE, fcntl.F_UNLCK):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert quiet.writer_present(reading) is writing


def test_two_threads_asking_about_one_file_do_not_disturb_each_other(path: Path) -> None:
    answers = set()

    def ask() -> None:
        for _ in range(500):
            with quiet.open_quietly(path.parent, path.name) as file:
                answers.add(quiet.writer_present(file.fileno()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {False}


_ASK_FOREVER = """
import os, sys
from ftpsyncd.local import quiet
fd = os.open(sys.argv[1], os.O_RDONLY)
print("ready", flush=True)
for _ in range(50000):
    quiet.writer_present(fd)
"""


def test_a_writer_that_comes_while_we_ask_neither_waits_nor_ends_us(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _ASK_FOREVER, path], stdout=-1) as asking:
        assert asking.stdout is not None
        asking.stdout.readline()
        while asking.poll() is None:
            with path.open("ab"):
                pass
    assert asking.returncode == 0, "SIGIO would have ended it"


def test_sigio_is_ignored() -> None:
    before = signal.getsignal(signal.SIGIO)
    try:
        quiet.ignore_lease_signals()
        signal.raise_signal(signal.SIGIO)
    finally:
        signal.signal(signal.SIGIO, before)


def test_a_file_is_opened(path: Path) -> None:
    with quiet.open_quietly(path.parent, path.name) as file:
        assert file.read() == b"content"
        assert not os.get_inheritable(file.fileno())


def test_a_fifo_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path.parent / "fifo")
    with pytest.raises(FileChangedError, match="not a regular file"):
        quiet.open_quietly(path.parent, "fifo")


def test_what_is_not_the_file_any_more(path: Path, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "way").symlink_to("dir")
    with socket.socket(socket.AF_UNIX) as in_its_place:
        in_its_place.bind(str(tmp_path / "socket"))
    for name in ("gone", "dir", "link", "socket", "gone/x", "file.jpg/x", "way/x"):
        with pytest.raises(FileChangedError):
            quiet.open_quietly(tmp_path, name)


@pytest.mark.parametrize("way", ["", "sub", "sub/below", "sub/none", "none", "file", "link", "sub/below/none"])
@pytest.mark.parametrize("follow", [True, False])
def test_on_the_way_to_a_directory_no_descriptor_is_left_open_and_the_root_stays(
    tmp_path: Path, way: str, *, follow: bool
) -> None:
    (tmp_path / "sub" / "below").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("sub")
    root = tree.open_root(tmp_path)
    try:
        before = set(Path("/proc/self/fd").iterdir())
        try:
            descriptor, real = tree.open_directory(tmp_path, root, way, follow_symlinks=follow)
        except OSError:
            assert "none" in way or way in {"file", "link"}
        else:
            assert descriptor != root
            assert os.path.samestat(os.fstat(descriptor), (tmp_path / real).stat())
            os.close(descriptor)
        assert set(Path("/proc/self/fd").iterdir()) == before
        os.fstat(root)
    finally:
        os.close(root)


def test_a_link_is_opened_where_links_are_followed(path: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "x.jpg").write_bytes(b"x")
    (root / "link").symlink_to("sub/x.jpg")
    (root / "way").symlink_to("sub")
    (root / "out").symlink_to(path)
    for name in ("link", "way/x.jpg"):
        with quiet.open_quietly(root, name, follow_symlinks=True) as file:
            assert file.read() == b"x"
    with pytest.raises(FileChangedError, match="outside"):
        quiet.open_quietly(root, "out", follow_symlinks=True)


def test_a_missing_root(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError):
        quiet.open_quietly(tmp_path / "none", "x")


def test_a_write_lease_of_another_program_is_busy_and_never_waited_for(path: Path) -> None:
    with path.open("rb+") as file:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        with pytest.raises(FileBusyError):
            quiet.open_quietly(path.parent, path.name)


def test_permission(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(quiet, "open_regular", refuse)
    with pytest.raises(LocalUnreadableError, match="Permission denied"):
        quiet.open_quietly(path.parent, path.name)
