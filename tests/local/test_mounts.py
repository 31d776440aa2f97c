"""File system types and mounts."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftpsyncd.errors import NoDescriptorError
from ftpsyncd.local import birth, mounts, tree, uuids
from ftpsyncd.model import RootIdentity

_TEXT = rb"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:40 / /srv/a\040b\011c\134d rw - nfs4 server:/x rw
31 22 0:41 / /srv/drop rw shared:5 master:2 - fuse.sshfs me@host: rw
32 31 0:42 / /srv/drop rw - tmpfs none rw
33 22 0:43 / /srv/\377 rw - xfs /dev/x rw
nonsense
34 22
"""


def test_mountinfo_is_parsed_with_its_escapes() -> None:
    found = mounts.parse(_TEXT)
    assert [(mount.mount_id, mount.point, mount.filesystem) for mount in found] == [
        (22, "/", "ext4"),
        (30, "/srv/a b\tc\\d", "nfs4"),
        (31, "/srv/drop", "fuse.sshfs"),
        (32, "/srv/drop", "tmpfs"),
        (33, "/srv/\udcff", "xfs"),
    ]


@pytest.mark.parametrize(
    ("path", "filesystem"),
    [
        ("/", "ext4"),
        ("/srv", "ext4"),
        ("/srv/drop", "tmpfs"),
        ("/srv/drop/x", "tmpfs"),
        ("/srv/dropped", "ext4"),
        ("/srv/a b\tc\\d/e", "nfs4"),
    ],
)
def test_the_last_and_longest_mount_counts(path: str, filesystem: str) -> None:
    assert mounts._covering(mounts.parse(_TEXT), path) == filesystem


@pytest.mark.parametrize(
    "filesystem",
    ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.rclone", "9p", "ceph", "virtiofs", "fuse", "vboxsf"],
)
def test_what_others_change_is_polled(filesystem: str) -> None:
    assert mounts.is_network_type(filesystem)


@pytest.mark.parametrize(
    "filesystem", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.mergerfs", ""]
)
def test_what_only_this_kernel_changes_is_not(filesystem: str) -> None:
    assert not mounts.is_network_type(filesystem)


def test_the_real_thing(tmp_path: Path) -> None:
    assert mounts.mount_id(tmp_path) in {mount.mount_id for mount in mounts.current()}
    assert mounts.filesystem_type(tmp_path)
    assert mounts.filesystem_type(tmp_path / "absent") == mounts.filesystem_type(tmp_path)
    assert mounts.mount_id(tmp_path / "absent") is None
    assert not mounts.is_network_filesystem(tmp_path)
    assert mounts.below(tmp_path, mounts.current()) == frozenset()
    assert "proc" in {mount.point for mount in mounts.below(Path("/"), mounts.current())}


@pytest.mark.parametrize("filesystem", ["nfs4", "fuse.sshfs", "fuse.mergerfs"])
def test_a_file_system_without_an_id_and_a_disk_is_known_by_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filesystem: str
) -> None:
    real = os.fstatvfs

    def without_id(descriptor: int) -> SimpleNamespace:
        return SimpleNamespace(f_fsid=0, f_bsize=real(descriptor).f_bsize)

    monkeypatch.setattr(os, "fstatvfs", without_id)
    monkeypatch.setattr(uuids, "of_descriptor", lambda _descriptor, _device: "")  # a tmpfs has one, and no id
    local = tree.root_identity(tmp_path)
    assert local is not None
    assert local.filesystem == tmp_path.stat().st_dev
    found = []
    for source in ("server:/a", "server:/a", "server:/b"):
        mount = mounts.Mount(1, "/", filesystem, source)
        monkeypatch.setattr(mounts, "of_descriptor", lambda _descriptor, mount=mount: mount)
        found.append(tree.root_identity(tmp_path))
    assert found[0] == found[1] != found[2]
    assert local not in found
    monkeypatch.setattr(mounts, "of_descriptor", lambda _descriptor: None)  # as below chroot(2)
    assert tree.root_identity(tmp_path) == local


def test_a_file_system_with_an_id_is_known_by_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So ledgers know it: by anything else it would be another disk after an update."""
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: SimpleNamespace(f_fsid=(1 << 63) + 77))
    monkeypatch.setattr(uuids, "of_descriptor", lambda _descriptor, _device: "0123abcd")
    monkeypatch.setattr(birth, "lasting_ns", lambda _descriptor, _device: 0)
    assert tree.root_identity(tmp_path) == RootIdentity(tmp_path.stat().st_ino, 77)


@pytest.mark.parametrize("unread", ["fdinfo", "mountinfo"])
def test_a_file_system_whose_source_cannot_be_read_now_is_no_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unread: str
) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: SimpleNamespace(f_fsid=0))
    monkeypatch.setattr(uuids, "of_descriptor", lambda _descriptor, _device: "")
    assert tree.root_identity(tmp_path) is not None
    if unread == "mountinfo":
        monkeypatch.setattr(mounts._table, "_descriptor", -1)
    no_descriptor_left(monkeypatch, unread)
    with pytest.raises(NoDescriptorError):
        tree.root_identity(tmp_path)


def no_descriptor_left(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """Files whose paths have this word in them cannot be opened."""
    for where in (os, Path):

        def refused(path: Any, *args: Any, opened: Any = where.open, **more: Any) -> Any:
            if word in str(path):
                raise OSError(errno.EMFILE, "Too many open files")
            return opened(path, *args, **more)

        monkeypatch.setattr(where, "open", refused)


class TestADiskThatIsKnownByANumberOnly:
    """XFS, FAT and others tell the device's number for an id, or none: the file system's own one is asked for."""

    @pytest.fixture(autouse=True, params=["the device's number", "none"])
    def numbered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
        device = tmp_path.stat().st_dev if request.param != "none" else 0
        monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: SimpleNamespace(f_fsid=device))

    def asked(self, path: Path, monkeypatch: pytest.MonkeyPatch, *, kernel: str = "", udev: str = "") -> int:
        """The number of the file system where the kernel, or udev, tells a UUID."""
        device, answer = path.stat().st_dev, bytes.fromhex(kernel)

        def ioctl(_descriptor: int, _request: int, buffer: bytearray) -> int:
            if not answer:
                raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
            buffer[: 1 + len(answer)] = bytes([len(answer)]) + answer
            return 0

        database = path / "udev"
        database.mkdir(exist_ok=True)
        if udev:
            entry = database / f"b{os.major(device)}:{os.minor(device)}"
            entry.write_text(f"S:disk/by-uuid/{udev}\nE:ID_FS_UUID_ENC=other\nE:ID_FS_UUID={udev}\nG:systemd\n")
        monkeypatch.setattr(uuids, "_UDEV", database)
        monkeypatch.setattr(uuids, "_known", uuids._Known())
        monkeypatch.setattr(fcntl, "ioctl", ioctl)
        identity = tree.root_identity(path)
        assert identity is not None
        return identity.filesystem

    def test_it_is_known_by_its_uuid_whoever_tells_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        uuid = "be52d91f-f9b2-4252-a6e7-435614fe2c63"
        plain = uuid.replace("-", "")
        device = tmp_path.stat().st_dev
        assert self.asked(tmp_path, monkeypatch) == device
        assert self.asked(tmp_path, monkeypatch, kernel="00" * 16) == device
        told = self.asked(tmp_path, monkeypatch, kernel=plain)
        assert told not in {device, self.asked(tmp_path, monkeypatch, kernel=plain[::-1])}
        assert self.asked(tmp_path, monkeypatch, udev=uuid) == told
        fat = self.asked(tmp_path, monkeypatch, udev="1A2B-3C4D")
        assert fat not in {device, told}
        assert tree.numbered_identity(tmp_path) == RootIdentity(tmp_path.stat().st_ino, device)

    def test_one_whose_uuid_cannot_be_read_now_is_no_other_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = self.asked(tmp_path, monkeypatch, udev="1A2B-3C4D")
        monkeypatch.setattr(uuids, "_known", uuids._Known())
        with monkeypatch.context() as patched:
            no_descriptor_left(patched, "/udev/")
            with pytest.raises(NoDescriptorError):
                tree.root_identity(tmp_path)
        assert self._number(tmp_path) == number

    def test_what_udev_says_is_read_again_when_something_was_mounted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = mounts.current()
        # Others mount things meanwhile.
        monkeypatch.setattr(mounts, "current", lambda: table)
        one = self.asked(tmp_path, monkeypatch, udev="1A2B-3C4D")
        known = uuids._known
        other = self.asked(tmp_path, monkeypatch, udev="0000-0001")
        monkeypatch.setattr(uuids, "_known", known)
        assert self._number(tmp_path) == one
        monkeypatch.setattr(mounts, "current", list)
        assert self._number(tmp_path) == other

    def _number(self, path: Path) -> int:
        identity = tree.root_identity(path)
        assert identity is not None
        return identity.filesystem


def test_the_kernel_is_asked_for_a_uuid_and_gives_one_or_none(tmp_path: Path) -> None:
    descriptor = tree.open_root(tmp_path)
    try:
        assert len(uuids._of_kernel(descriptor)) in {0, 16, 32}
    finally:
        os.close(descriptor)


def test_of_an_open_directory_it_is_known_which_mount_it_is_on() -> None:
    descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        mount = mounts.of_descriptor(descriptor)
    finally:
        os.close(descriptor)
    assert mount is not None
    assert (mount.point, mount.filesystem) == ("/proc", "proc")


def test_what_was_mounted_is_not_forgotten_where_nothing_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in which a disk is mounted would pass for one without: what is on the disk may be deleted at the server."""
    table = mounts._Table()
    monkeypatch.setattr(mounts, "_MOUNTINFO", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_bytes(_TEXT)
    assert len(table.mounts()) == 5
    monkeypatch.setattr(table, "_poll", SimpleNamespace(poll=lambda _patience: [(0, 0)]))
    no_descriptor_left(monkeypatch, "mountinfo")
    assert len(table.mounts()) == 5
    os.close(table._descriptor)


@pytest.mark.root
def test_a_mount_whose_directory_gets_another_name_is_known_by_that_after_the_next_look(tmp_path: Path) -> None:
    """The kernel does not tell of it: what is mounted would be said not to be, and deletes be held for that."""
    disk = tmp_path / "a" / "disk"
    disk.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert mounts.points_below(tmp_path, mounts.current()) == {"a/disk"}
        disk.parent.rename(tmp_path / "b")
        assert {mount.point for mount in mounts.below(tmp_path, mounts.current(anew=True))} == {"b/disk"}
        assert mounts.points_below(tmp_path, mounts.current()) == {"b/disk"}
        assert mounts.current() is mounts.current()
    finally:
        subprocess.run(["umount", next(tmp_path.glob("*/disk"))], check=True)
