"""The library face, on every remote."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import socket
import stat
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from ftpsyncd.errors import (
    AlreadyExistsError,
    FileChangedError,
    LocalUnreadableError,
    LocalUnwritableError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    RemoteError,
    ServerUnavailableError,
    VerificationError,
)
from ftpsyncd.model import Kind
from ftpsyncd.remote import Ftp, Step, connect
from ftpsyncd.remote.arrival import REPEATED
from tests.waiting import until

pytestmark = pytest.mark.lasting(75)


@pytest.fixture
def ftp(remote):
    with Ftp(remote.connect(), again=remote.connect) as ftp:
        yield ftp


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(bytes(range(256)) * 2000)
    os.utime(path, (1_500_000_000, 1_500_000_000))
    return path


def test_a_file_goes_up_and_comes_down(ftp, remote, picture, tmp_path):
    ftp.make_dirs(f"{remote.base}/a/b")
    result = ftp.upload(picture, f"{remote.base}/a/b/p.jpg")
    assert result.dated
    assert ftp.exists(f"{remote.base}/a/b/p.jpg")
    assert ftp.stat(f"{remote.base}/a/b/p.jpg").size == 512_000
    ftp.download(f"{remote.base}/a/b/p.jpg", tmp_path / "down.jpg")
    assert (tmp_path / "down.jpg").read_bytes() == picture.read_bytes()
    assert (tmp_path / "down.jpg").stat().st_mtime == 1_500_000_000
    assert sorted(os.listdir(tmp_path)) == ["down.jpg", "picture.jpg"]  # noqa: PTH208


def test_a_file_that_is_replaced_each_time_is_told_to_be(ftp, remote, tmp_path, monkeypatch):
    """`get` told it as a broken line: 5000 of 5001 bytes came."""
    source, new = f"{remote.base}/p", tmp_path / "new"
    new.write_bytes(b"!" * 5000)
    ftp.upload(new, source)
    mine = ftp.session
    look = type(mine).stat

    def replaced(session, path):
        entry = look(session, path)
        if session is not mine:
            return entry  # who sends the new one may look, too
        new.write_bytes(new.read_bytes()[:-1])
        with Ftp(remote.connect()) as other:
            other.upload(new, source)
        return entry

    monkeypatch.setattr(type(mine), "stat", replaced)
    with pytest.raises(VerificationError, match="was changed at the server each time") as caught:
        ftp.download(source, tmp_path / "p")
    assert "when whoever writes it" in caught.value.remedy
    assert {path.name for path in tmp_path.iterdir()} == {"new"}


def test_overwriting_can_be_refused(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p", overwrite=False)
    with pytest.raises(AlreadyExistsError):
        ftp.upload(picture, f"{remote.base}/p", overwrite=False)
    ftp.upload(picture, f"{remote.base}/p")
    with pytest.raises(AlreadyExistsError):
        ftp.download(f"{remote.base}/p", picture, overwrite=False)
    assert remote.names() == {"p"}


def test_deleting_renaming_listing(ftp, remote, picture):
    ftp.upload(picture, f"{remote.base}/p")
    ftp.rename(f"{remote.base}/p", f"{remote.base}/q")
    ftp.make_dirs(f"{remote.base}/d")
    assert [(e.name, e.kind) for e in ftp.list(remote.base)] == [("d", Kind.DIR), ("q", Kind.FILE)]
    ftp.delete(f"{remote.base}/q")
    ftp.delete(f"{remote.base}/q")
    with pytest.raises(NameRefusedError):
        ftp.delete(f"{remote.base}/d")
    ftp.remove_dir(f"{remote.base}/d")
    assert ftp.list(remote.base) == []


def test_a_directory_cannot_be_moved_into_itself(ftp, remote):
    ftp.make_dirs(f"{remote.base}/d/e")
    for source, target in ((f"{remote.base}/d", f"{remote.base}/d/e/f"), ("/", f"{remote.base}/f")):
        with pytest.raises(RemoteError):
            ftp.rename(source, target)
    assert remote.names() == {"d"}
    assert remote.names(f"{remote.base}/d") == {"e"}


def test_what_is_not_there_is_said(ftp, remote, tmp_path):
    with pytest.raises(NotFoundError):
        ftp.stat(f"{remote.base}/no")
    with pytest.raises(NotFoundError):
        ftp.download(f"{remote.base}/no", tmp_path / "no")
    with pytest.raises(NotFoundError):
        ftp.download(remote.base, tmp_path / "no")
    with pytest.raises(LocalUnreadableError):
        ftp.upload(tmp_path / "no", f"{remote.base}/no")
    with pytest.raises(LocalUnreadableError):
        ftp.upload(tmp_path, f"{remote.base}/no")
    assert list(tmp_path.iterdir()) == []
    assert remote.names() == set()


def test_what_stands_in_the_way_is_told_as_the_docstrings_say(ftp, remote, picture):
    base = remote.base
    ftp.upload(picture, f"{base}/file")
    ftp.make_dirs(f"{base}/dir")
    for kind, call in (
        (AlreadyExistsError, lambda: ftp.upload(picture, f"{base}/dir")),
        (AlreadyExistsError, lambda: ftp.rename(f"{base}/file", f"{base}/dir")),
        (NameRefusedError, lambda: ftp.rename(f"{base}/no", f"{base}/new")),
        (NameRefusedError, lambda: ftp.delete(f"{base}/dir")),
        (NameRefusedError, lambda: ftp.make_dirs(f"{base}/file")),
        (NameRefusedError, lambda: ftp.make_dirs(f"{base}/file/below")),
    ):
        with pytest.raises(kind):
            call()
        assert ftp.session.usable
    assert remote.names() == {"file", "dir"}


def test_a_full_directory_is_not_removed(ftp, remote):
    ftp.make_dirs(f"{remote.base}/d/e")
    with pytest.raises(AlreadyExistsError):
        ftp.remove_dir(f"{remote.base}/d")


def test_a_file_that_changes_meanwhile_is_not_published(ftp, remote, picture):
    def change(_sent):
        os.utime(picture)

    with pytest.raises(FileChangedError):
        ftp.upload(picture, f"{remote.base}/p", progress=change)
    assert remote.names() == set()


def test_a_file_that_is_rewritten_meanwhile_is_not_published_though_its_date_is_set_back(ftp, remote, picture):
    before = picture.stat()

    def change(_sent):
        picture.write_bytes(b"\0" * before.st_size)
        os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))

    def ticked():
        os.utime(picture.parent)
        return picture.parent.stat().st_ctime_ns > before.st_ctime_ns

    until(ticked, "the clock of the file system ticks", 5)
    with pytest.raises(FileChangedError):
        ftp.upload(picture, f"{remote.base}/p", progress=change)
    assert remote.names() == set()


def test_a_download_that_cannot_be_written_leaves_nothing(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    with pytest.raises(LocalUnwritableError):
        ftp.download(f"{remote.base}/p", tmp_path / "no" / "such")
    assert list(tmp_path.iterdir()) == [picture]


def test_connect_opens_by_a_spec(remote):
    if remote.server is None:
        return  # the memory server has no address
    with connect(remote.server.spec()) as ftp:
        assert ftp.list(remote.base) == []


class TestContinuedDownloads:
    """A part of this very file is continued; anything else is begun anew."""

    CONTENT = bytes(range(256)) * 12_000  # 3 MB
    PART = 2_000_000

    @pytest.fixture
    def source(self, ftp, remote, tmp_path):
        local = tmp_path / "source"
        local.write_bytes(self.CONTENT)
        os.utime(local, (1_500_000_000, 1_500_000_000))
        ftp.upload(local, f"{remote.base}/f")
        local.unlink()
        return f"{remote.base}/f"

    @pytest.fixture
    def part(self, ftp, source, tmp_path):
        """The part that a broken download leaves."""

        def breaks(count):
            if count >= 1_500_000:
                raise ConnectionBreaks

        with pytest.raises(ConnectionBreaks):
            ftp.download(source, tmp_path / "f", progress=breaks)
        (part,) = tmp_path.iterdir()
        assert re.fullmatch(r"f\.[0-9a-f]{8}\.filepart", part.name)
        part.write_bytes(self.CONTENT[: self.PART])
        return part

    @pytest.fixture
    def again(self, remote, part):
        # The first connection is finished.
        with Ftp(remote.connect()) as ftp:
            yield ftp

    def test_only_what_is_missing_comes(self, again, source, part, tmp_path):
        seen: list[int] = []
        fetched = again.download(source, tmp_path / "f", progress=seen.append)
        assert (fetched.size, fetched.continued_at) == (len(self.CONTENT), self.PART)
        assert seen[0] > self.PART - REPEATED
        assert (tmp_path / "f").read_bytes() == self.CONTENT
        assert (tmp_path / "f").stat().st_mtime == 1_500_000_000
        assert not part.exists()

    def test_a_part_that_others_could_read_is_closed_where_it_is_to_replace_a_private_file(
        self, again, source, part, tmp_path
    ):
        part.chmod(0o644)
        (tmp_path / "f").touch(0o600)
        seen = []
        fetched = again.download(
            source, tmp_path / "f", progress=lambda _count: seen.append(stat.S_IMODE(part.stat().st_mode))
        )
        assert fetched.continued_at == self.PART
        assert set(seen) == {0o600}
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600

    @pytest.mark.parametrize("overwrite", [True, False])
    def test_a_part_that_was_private_for_a_file_that_has_gone_gets_the_rights_of_a_new_one(
        self, again, source, part, tmp_path, overwrite
    ):
        part.chmod(0o600)
        assert again.download(source, tmp_path / "f", overwrite=overwrite).continued_at == self.PART
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == rights_of_new(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"f"}

    def test_a_part_that_is_not_its_beginning_is_not_continued(self, again, source, part, tmp_path):
        part.write_bytes(self.CONTENT[: self.PART - 1] + b"!")
        assert again.download(source, tmp_path / "f").continued_at == 0
        assert (tmp_path / "f").read_bytes() == self.CONTENT
        assert again.session.usable
        assert not part.exists()

    def test_a_part_that_is_complete_gets_its_name(self, again, source, part, tmp_path):
        part.write_bytes(self.CONTENT)
        assert again.download(source, tmp_path / "f").continued_at == len(self.CONTENT)
        assert (tmp_path / "f").read_bytes() == self.CONTENT

    def test_a_part_that_is_too_long_is_begun_anew(self, again, source, part, tmp_path):
        part.write_bytes(self.CONTENT + b"more")
        assert again.download(source, tmp_path / "f").continued_at == 0
        assert (tmp_path / "f").read_bytes() == self.CONTENT

    @pytest.mark.parametrize("way", ["date", "size"])
    def test_another_file_at_the_server_is_begun_anew(self, again, source, part, tmp_path, way):
        (tmp_path / "new").write_bytes(self.CONTENT[::-1] + (b"more" if way == "size" else b""))
        os.utime(tmp_path / "new", (1_500_000_001 if way == "date" else 1_500_000_000,) * 2)
        again.upload(tmp_path / "new", source)
        assert again.download(source, tmp_path / "f").continued_at == 0
        assert (tmp_path / "f").read_bytes() == (tmp_path / "new").read_bytes()
        assert part.read_bytes() == self.CONTENT[: self.PART], "it is another file's part"

    def test_a_link_to_nothing_in_its_place_makes_nothing(self, again, source, part, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        part.unlink()
        part.symlink_to(elsewhere)
        assert again.download(source, tmp_path / "f").continued_at == 0
        assert not elsewhere.exists()
        assert part.is_symlink()
        assert (tmp_path / "f").read_bytes() == self.CONTENT

    @pytest.mark.root
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_what_somebody_else_has_put_there_is_left_alone(self, again, source, part, tmp_path):
        """Whoever owns it could go on writing into what has the final name then."""
        os.chown(part, 65534, -1)
        assert again.download(source, tmp_path / "f").continued_at == 0
        assert part.read_bytes() == self.CONTENT[: self.PART]
        assert (tmp_path / "f").read_bytes() == self.CONTENT
        assert (tmp_path / "f").stat().st_uid == os.geteuid()

    def test_a_link_in_its_place_is_left_alone(self, again, source, part, tmp_path):
        victim = tmp_path / "victim"
        victim.write_bytes(self.CONTENT[: self.PART])
        part.unlink()
        part.symlink_to(victim)
        again.download(source, tmp_path / "f")
        assert victim.read_bytes() == self.CONTENT[: self.PART]
        part.unlink()
        os.link(victim, part)
        again.download(source, tmp_path / "f")
        assert victim.read_bytes() == self.CONTENT[: self.PART]
        part.unlink()
        os.mkfifo(part)
        again.download(source, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == self.CONTENT

    def test_a_disk_that_fills_up_loses_nothing(self, ftp, remote, source, tmp_path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.PART, hard))
        try:
            with pytest.raises(LocalUnwritableError, match="large"):
                ftp.download(source, tmp_path / "f")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [path.suffix for path in tmp_path.iterdir()] == [".filepart"]
        with Ftp(remote.connect()) as again:
            assert again.download(source, tmp_path / "f").continued_at == self.PART
        assert (tmp_path / "f").read_bytes() == self.CONTENT

    def test_two_at_once_do_not_share_it(self, again, remote, source, part, tmp_path):
        parts: list[set[str]] = []

        def second(_count):
            if not parts:
                parts.append({path.name for path in tmp_path.iterdir()})
                with Ftp(remote.connect()) as other:
                    assert other.download(source, tmp_path / "f").continued_at == 0
                assert (tmp_path / "f").read_bytes() == self.CONTENT

        assert again.download(source, tmp_path / "f", progress=second).continued_at == self.PART
        assert (tmp_path / "f").read_bytes() == self.CONTENT
        assert {path.name for path in tmp_path.iterdir()} == {"f"}

    def test_another_server_is_another_file(self, remote, source, part, tmp_path):
        with Ftp(remote.connect(), origin="elsewhere") as ftp:
            assert ftp.download(source, tmp_path / "f").continued_at == 0


class ConnectionBreaks(Exception):  # noqa: N818 - stands for anything that ends a transfer
    pass


def test_a_small_part_is_not_kept(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")

    def breaks(_count):
        raise ConnectionBreaks

    with pytest.raises(ConnectionBreaks):
        ftp.download(f"{remote.base}/p", tmp_path / "p", progress=breaks)
    assert list(tmp_path.iterdir()) == [picture]


def test_a_file_that_is_replaced_keeps_its_rights(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    for rights in (0o600, 0o755, 0o444):
        place = tmp_path / f"{rights:o}"
        place.write_bytes(b"before")
        place.chmod(rights)
        ftp.download(f"{remote.base}/p", place)
        assert stat.S_IMODE(place.stat().st_mode) == rights
        assert place.read_bytes() == picture.read_bytes()


def access(*entries: tuple[int, int, int]) -> bytes:
    """An access control list as the kernel has it: a tag (acl(5)), rights and a user or group each, in order of tags."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_that_is_replaced_keeps_its_access_control_list(ftp, remote, picture, tmp_path, listed):
    """The mode alone would give its group what the list gives to somebody else, or somebody else what it gives to it."""
    ftp.upload(picture, f"{remote.base}/p")
    place = tmp_path / "into" / "p"
    place.parent.mkdir()
    place.write_bytes(b"before")
    place.chmod(0o640)
    others = access((1, 6, -1), (2, 4, 1), (4, 0, -1), (16, 4, -1), (32, 0, -1))
    try:
        if listed:
            os.setxattr(place, "system.posix_acl_access", others)
        else:
            os.setxattr(place.parent, "system.posix_acl_default", others)
    except OSError as error:
        pytest.skip(f"no access control lists here: {error}")
    ftp.download(f"{remote.base}/p", place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert [os.getxattr(place, name) for name in os.listxattr(place) if "acl" in name] == [others] * listed


def rights_of_new(folder):
    (folder / "new").touch()
    found = stat.S_IMODE((folder / "new").stat().st_mode)
    (folder / "new").unlink()
    return found


@pytest.mark.parametrize("rights", [0o600, 0o640])
def test_a_private_file_that_is_replaced_is_private_while_it_arrives_too(ftp, remote, picture, tmp_path, rights):
    ftp.upload(picture, f"{remote.base}/p")
    place = tmp_path / "into" / "p"
    place.parent.mkdir()
    place.write_bytes(b"before")
    place.chmod(rights)
    seen: list[int] = []

    def look(_count):
        seen.extend(path.stat().st_mode & 0o077 for path in place.parent.iterdir() if path != place)

    ftp.download(f"{remote.base}/p", place, progress=look)
    assert seen
    assert set(seen) == {0}
    assert stat.S_IMODE(place.stat().st_mode) == rights


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_private_file_of_somebody_else_is_replaced_by_one_with_the_rights_of_a_new_one(
    ftp, remote, picture, tmp_path, monkeypatch
):
    """Who may not set the owner: others' rights would be for others."""
    ftp.upload(picture, f"{remote.base}/p")
    (tmp_path / "p").write_bytes(b"before")
    (tmp_path / "p").chmod(0o600)
    os.chown(tmp_path / "p", 65534, 65534)

    def refuse(*_words):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    ftp.download(f"{remote.base}/p", tmp_path / "p")
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == rights_of_new(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"p", picture.name})


def test_but_a_server_gives_nobody_a_program_that_runs_with_the_rights_of_its_owner(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    (tmp_path / "p").write_bytes(b"before")
    (tmp_path / "p").chmod(0o6755)
    ftp.download(f"{remote.base}/p", tmp_path / "p")
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o755


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_nor_does_it_become_somebody_elses(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    (tmp_path / "p").write_bytes(b"before")
    (tmp_path / "p").chmod(0o600)
    os.chown(tmp_path / "p", 65534, 65534)
    ftp.download(f"{remote.base}/p", tmp_path / "p")
    there = (tmp_path / "p").stat()
    assert (there.st_uid, there.st_gid, stat.S_IMODE(there.st_mode)) == (65534, 65534, 0o600)


@pytest.mark.parametrize("step", ["fcntl.flock", "os.fstat"])
def test_a_download_that_is_broken_off_as_it_begins_leaves_nothing(ftp, remote, picture, tmp_path, monkeypatch, step):
    """A part of nothing is of no use to another try."""
    ftp.upload(picture, f"{remote.base}/p")
    module, _, name = step.partition(".")

    def broken_off(*_words, **_more):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(f"ftpsyncd.remote.arrival.{module}.{name}", broken_off)
    with pytest.raises(KeyboardInterrupt):
        ftp.download(f"{remote.base}/p", tmp_path / "p")
    assert list(tmp_path.iterdir()) == [picture]


def test_a_download_that_is_broken_off_when_it_has_its_name_leaves_no_other_one(ftp, remote, tmp_path, monkeypatch):
    """Without replacing, a file has both names for a moment."""
    big, into = tmp_path / "big", tmp_path / "into"
    big.write_bytes(b"x" * 3 * REPEATED)
    into.mkdir()
    ftp.upload(big, f"{remote.base}/p")

    def broken_off(*_words, **_more):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("ftpsyncd.remote.arrival.os.unlink", broken_off)
    with pytest.raises(KeyboardInterrupt):
        ftp.download(f"{remote.base}/p", into / "p", overwrite=False)
    assert [path.name for path in into.iterdir()] == ["p"]
    assert (into / "p").read_bytes() == big.read_bytes()


def test_what_a_progress_function_raises_is_not_taken_for_what_the_disk_says(ftp, remote, picture, tmp_path):
    """Its own output may be a pipe that nobody reads, or on a disk that is full."""
    failure = BrokenPipeError(errno.EPIPE, "Broken pipe")

    def fails(*_count):
        raise failure

    ftp.upload(picture, f"{remote.base}/p")
    calls = (
        lambda: ftp.upload(picture, f"{remote.base}/q", progress=fails),
        lambda: ftp.download(f"{remote.base}/p", tmp_path / "p", progress=fails),
        lambda: list(ftp.download_tree(remote.base, tmp_path / "tree", progress=fails)),
    )
    for call in calls:
        with pytest.raises(BrokenPipeError) as caught:
            call()
        assert caught.value is failure
    assert [entry.name for entry in ftp.list(remote.base)] == ["p"]


def test_a_file_that_is_made_meanwhile_is_not_replaced(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    with pytest.raises(AlreadyExistsError):
        ftp.download(
            f"{remote.base}/p",
            tmp_path / "p",
            overwrite=False,
            progress=lambda _: (tmp_path / "p").write_bytes(b"mine"),
        )
    assert (tmp_path / "p").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p", "picture.jpg"]


def test_a_directory_is_not_replaced_by_a_file(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    (tmp_path / "p").mkdir()
    with pytest.raises(LocalUnwritableError, match="directory"):
        ftp.download(f"{remote.base}/p", tmp_path / "p")
    with pytest.raises(LocalUnwritableError, match="no name"):
        ftp.download(f"{remote.base}/p", Path("/"))


def test_what_is_no_regular_file_is_not_replaced_by_one(ftp, remote, picture, tmp_path):
    """/dev/null by that name, or /dev/stdout, which is a link."""
    nodes = [tmp_path / "pipe", tmp_path / "socket"]
    os.mkfifo(nodes[0])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(nodes[1]))
    with suppress(PermissionError):  # only root makes devices
        os.mknod(tmp_path / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        nodes.append(tmp_path / "device")
    links = [tmp_path / f"to {node.name}" for node in nodes]
    for node, link in zip(nodes, links, strict=True):
        link.symlink_to(node.name)
    before = [(path.lstat().st_mode, path.lstat().st_ino) for path in (*nodes, *links)]
    ftp.upload(picture, f"{remote.base}/p")
    for place in (*nodes, *links):
        with pytest.raises(LocalUnwritableError, match="no regular file"):
            ftp.download(f"{remote.base}/p", place)
        assert [(path.lstat().st_mode, path.lstat().st_ino) for path in (*nodes, *links)] == before, place
        assert set(tmp_path.iterdir()) == {picture, *nodes, *links}, place


def test_a_link_to_a_file_or_to_nothing_is_replaced(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    (tmp_path / "file").write_bytes(b"mine")
    for target in ("file", "nothing"):
        link = tmp_path / f"to {target}"
        link.symlink_to(target)
        ftp.download(f"{remote.base}/p", link)
        assert not link.is_symlink()
        assert link.read_bytes() == picture.read_bytes()
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_does_not_tell_its_size_is_not_sent_as_an_empty_one(ftp, remote):
    """Those in /proc, and what some file systems in user space make up when it is read."""
    with pytest.raises(LocalUnreadableError, match="holds more than the 0 bytes"):
        ftp.upload("/proc/version", f"{remote.base}/p")
    (result,) = ftp.upload_many([("/proc/version", f"{remote.base}/p")])
    assert isinstance(result.error, LocalUnreadableError)
    assert ftp.list(remote.base) == []


def test_what_is_no_regular_file_is_not_sent(ftp, remote, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalUnreadableError, match="regular"):
        ftp.upload(tmp_path / "pipe", f"{remote.base}/p")


def contents(root: Path) -> dict[str, bytes | None]:
    """Every name below a directory; None for directories."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if not path.is_symlink()
    }


@pytest.mark.parametrize(
    ("a", "why"),
    [("a", "no absolute path"), ("/\ud83d", "half a character")],
    ids=["relative", "half a character"],
)
def test_a_path_that_is_none_is_refused_before_anything_is_done(ftp, remote, picture, tmp_path, a, why):
    (here := tmp_path / "here").mkdir()
    calls = (
        lambda: ftp.upload(picture, a),
        lambda: list(ftp.upload_tree(here, a)),
        lambda: ftp.download(a, tmp_path / "a"),
        lambda: list(ftp.download_tree(a, tmp_path / "b")),
        lambda: ftp.delete(a),
        lambda: ftp.rename("/a", a),
        lambda: ftp.rename(a, "/a"),
        lambda: ftp.make_dirs(a),
        lambda: ftp.remove_dir(a),
        lambda: list(ftp.delete_tree(a)),
        lambda: ftp.list(a),
        lambda: ftp.stat(a),
        lambda: ftp.exists(a),
    )
    for call in calls:
        with pytest.raises(NameNotSendableError, match=why):
            call()
    (result,) = ftp.upload_many([(picture, a)])
    assert isinstance(result.error, NameNotSendableError)
    assert remote.names() == set()


class TestTrees:
    @pytest.fixture
    def tree(self, tmp_path):
        root = tmp_path / "tree"
        (root / "a" / "b").mkdir(parents=True)
        (root / "empty").mkdir()
        for n, path in enumerate(["one", "two words", "a/three", "a/b/four", "größe", "-n", "%s"]):
            (root / path).write_bytes(path.encode() * 1000)
            os.utime(root / path, (1_500_000_000 + n, 1_500_000_000 + n))
        return root

    def test_there_and_back(self, ftp, remote, tree, tmp_path):
        seen: dict[str, tuple[int, int | None]] = {}
        sent = list(ftp.upload_tree(tree, f"{remote.base}/t", progress=lambda r, n, s: seen.update({r: (n, s)})))
        assert {r.step for r in sent} == {Step.SENT}
        assert len(sent) == len(seen) == 7
        assert all(n == s for n, s in seen.values())
        back = list(ftp.download_tree(f"{remote.base}/t", tmp_path / "new" / "back"))
        assert {r.step for r in back} == {Step.FETCHED}
        assert sum(r.size for r in back) == sum(r.size for r in sent)
        assert contents(tmp_path / "new" / "back") == contents(tree)
        assert (tmp_path / "new/back/one").stat().st_mtime == 1_500_000_000

    def test_a_file_here_of_the_same_size_and_another_date_is_another_one(self, ftp, remote, tree, tmp_path):
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        list(ftp.download_tree(f"{remote.base}/t", tmp_path / "back"))
        here = tmp_path / "back" / "one"
        size = here.stat().st_size
        here.write_bytes(b"!" * size)
        os.utime(here, (1_500_000_002, 1_500_000_002))
        steps = {r.remote: r.step for r in ftp.download_tree(f"{remote.base}/t", tmp_path / "back")}
        assert [path for path, step in steps.items() if step is Step.FETCHED] == [f"{remote.base}/t/one"]
        assert here.read_bytes() == (tree / "one").read_bytes()

    def test_a_disk_that_keeps_even_seconds_only_has_what_it_has(self, ftp, remote, tree, tmp_path):
        """A FAT disk; the files of odd seconds were fetched each time."""
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        list(ftp.download_tree(f"{remote.base}/t", tmp_path / "back"))
        for path in (tmp_path / "back").rglob("*"):
            second = int(path.stat().st_mtime) // 2 * 2
            os.utime(path, (second, second))
        assert {r.step for r in ftp.download_tree(f"{remote.base}/t", tmp_path / "back")} == {Step.SAME}

    def test_a_second_download_goes_on_where_the_first_ended(self, ftp, remote, tree, tmp_path):
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        results = ftp.download_tree(f"{remote.base}/t", tmp_path / "back")
        next(results)
        results.close()
        assert sum(path.is_file() for path in (tmp_path / "back").rglob("*")) == 1
        (tmp_path / "back" / "a").mkdir()
        (tmp_path / "back" / "a" / "three").write_bytes(b"differs")
        steps = Counter(r.step for r in ftp.download_tree(f"{remote.base}/t", tmp_path / "back"))
        assert steps == {Step.SAME: 1, Step.FETCHED: 6}
        assert contents(tmp_path / "back") == contents(tree)

    @pytest.mark.parametrize("change", [-1, 1, 3_000_000])
    def test_a_file_that_is_replaced_when_it_is_listed_is_fetched_as_it_is_now(
        self, ftp, remote, tree, tmp_path, change
    ):
        """It failed, as a broken line would have it: so many of so many bytes came."""
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        new = tmp_path / "new"
        new.write_bytes(b"!" * (3000 + change))
        os.utime(new, (1_600_000_000, 1_600_000_000))
        results = ftp.download_tree(f"{remote.base}/t", tmp_path / "back")
        assert next(results).remote != f"{remote.base}/t/one"
        with Ftp(remote.connect()) as other:
            other.upload(new, f"{remote.base}/t/one")
            # Some set no dates, and some tell none.
            date_s = other.stat(f"{remote.base}/t/one").mtime_s
        assert {result.step for result in results} == {Step.FETCHED}
        assert (tmp_path / "back" / "one").read_bytes() == new.read_bytes()
        assert date_s in {(tmp_path / "back" / "one").stat().st_mtime, None}
        assert contents(tmp_path / "back") == contents(tree) | {"one": new.read_bytes()}

    def test_existing_files_are_kept_if_asked(self, ftp, remote, tree, tmp_path):
        (tmp_path / "back").mkdir()
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        (tmp_path / "back" / "one").write_bytes(b"mine")
        (tree / "one").write_bytes(b"newer")
        (tree / "five").write_bytes(b"5")
        up = list(ftp.upload_tree(tree, f"{remote.base}/t", overwrite=False))
        assert Counter(r.step for r in up) == {Step.FAILED: 7, Step.SENT: 1}
        assert all(isinstance(r.error, AlreadyExistsError) for r in up if r.step is Step.FAILED)
        assert remote.read(f"{remote.base}/t/one") == b"one" * 1000
        down = list(ftp.download_tree(f"{remote.base}/t", tmp_path / "back", overwrite=False))
        assert Counter(r.step for r in down) == {Step.FAILED: 1, Step.FETCHED: 7}
        assert (tmp_path / "back" / "one").read_bytes() == b"mine"

    def test_local_links_are_neither_sent_nor_followed(self, ftp, remote, tree, tmp_path):
        outside = tmp_path / "outside"
        outside.mkdir()
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        (tree / "link").symlink_to(outside)
        os.mkfifo(tree / "pipe")
        skipped = [r.remote for r in ftp.upload_tree(tree, f"{remote.base}/u") if r.step is Step.SKIPPED]
        assert skipped == [f"{remote.base}/u/link", f"{remote.base}/u/pipe"]
        back = tmp_path / "back"
        back.mkdir()
        (back / "a").symlink_to(outside)
        (back / "one").symlink_to(outside / "one")
        results = {r.remote.rpartition("/")[2]: r for r in ftp.download_tree(f"{remote.base}/t", back)}
        assert isinstance(results["a"].error, LocalUnwritableError)
        assert list(outside.iterdir()) == []
        assert (back / "one").read_bytes() == b"one" * 1000
        assert not (back / "one").is_symlink()

    def test_errors_of_one_name_are_results(self, ftp, remote, tree):
        ftp.make_dirs(f"{remote.base}/t/one")
        ftp.upload(tree / "one", f"{remote.base}/t/a")
        (tree / "line\nbreak").write_bytes(b"")
        results = {r.remote: r for r in ftp.upload_tree(tree, f"{remote.base}/t")}
        failed = {path for path, result in results.items() if result.step is Step.FAILED}
        assert failed == {f"{remote.base}/t/{name}" for name in ("one", "a", "line\nbreak")}
        assert remote.names(f"{remote.base}/t") == {"one", "a", "two words", "größe", "-n", "%s", "empty"}

    def test_who_stops_taking_results_has_a_connection_and_no_leftovers(self, ftp, remote, tree):
        results = ftp.upload_many([(tree / "one", f"{remote.base}/{n}") for n in range(20)])
        for result in results:
            if result.remote.endswith("/4"):
                break
        results.close()
        assert {entry.name for entry in ftp.list(remote.base)} == remote.names()
        assert {f"{n}" for n in range(5)} <= remote.names() <= {f"{n}" for n in range(6)}

    def test_a_call_between_two_results_ends_no_connection_that_files_are_on_their_way_over(
        self, ftp, remote, tree, monkeypatch
    ):
        """One that grows too old meanwhile is replaced when they have their names."""
        old: list[object] = []
        monkeypatch.setattr(type(ftp.session), "expiring", property(lambda session: session in old))
        results = ftp.upload_many([(tree / "one", f"{remote.base}/{n}") for n in range(6)])
        steps = [next(results).step]
        old.append(ftp.session)
        assert ftp.exists(f"{remote.base}/0")
        assert ftp.session in old
        steps += [result.step for result in results]
        assert steps == [Step.SENT] * 6
        assert remote.names() == {"0", "1", "2", "3", "4", "5"}
        assert ftp.exists(f"{remote.base}/0")
        assert ftp.session not in old

    def test_what_was_on_its_way_when_a_call_between_two_results_found_the_connection_ended_leaves_nothing(
        self, ftp, remote, tree
    ):
        results = ftp.upload_many([(tree / "one", f"{remote.base}/{n}") for n in range(6)])
        told = [next(results)]
        ftp.session.close()
        assert ftp.exists(f"{remote.base}/0")
        now = ftp.session
        told += results
        assert [result.remote for result in told] == [f"{remote.base}/{n}" for n in range(6)]
        sent = {result.remote.rpartition("/")[2] for result in told if result.step is Step.SENT}
        assert sent >= {"0", "3", "4", "5"}
        assert remote.names() == sent
        assert ftp.session is now

    @pytest.mark.parametrize("call", ["upload_many", "upload_tree", "download_tree", "delete_tree"])
    def test_closing_ends_what_somebody_could_take_results_of_yet(self, ftp, remote, tree, tmp_path, call):
        there = f"{remote.base}/t"
        assert not [r for r in ftp.upload_tree(tree, there) if r.error]
        results = {
            "upload_many": lambda: ftp.upload_many([(tree / "one", f"{there}/{n}") for n in range(6)]),
            "upload_tree": lambda: ftp.upload_tree(tree, f"{there}/again"),
            "download_tree": lambda: ftp.download_tree(there, tmp_path / "back"),
            "delete_tree": lambda: ftp.delete_tree(there),
        }[call]()
        next(results)
        ftp._line.again = None
        ftp.close()
        assert not [name for name in remote.names(there) if name.endswith(".filepart")]
        for _ in range(2):
            with pytest.raises(ServerUnavailableError, match="finished"):
                next(results)
        results.close()

    def test_a_generator_may_close_the_connection_that_it_gives_files_to(self, ftp, remote, tree):
        def pairs():
            yield tree / "one", f"{remote.base}/1"
            yield tree / "one", f"{remote.base}/2"
            ftp.close()
            yield tree / "one", f"{remote.base}/3"

        with pytest.raises(ServerUnavailableError):
            list(ftp.upload_many(pairs()))
        until(lambda: not [name for name in remote.names() if name.endswith(".filepart")], "nothing is left")

    def test_results_come_in_the_order_of_the_files(self, ftp, remote, tree):
        names = ["no1", "one", "no2", "a/three", "a", "no3"]
        ftp.make_dirs(f"{remote.base}/a")
        results = list(ftp.upload_many([(tree / name, f"{remote.base}/{name}") for name in names]))
        assert [r.remote for r in results] == [f"{remote.base}/{name}" for name in names]
        assert [r.step is Step.SENT for r in results] == [False, True, False, True, False, False]

    def test_files_get_their_names_two_files_later(self, ftp, remote, tree):
        """As the docstring says, so that nobody waits for them in the generator."""
        pulled: list[set[str]] = []

        def pairs():
            for n in range(4):
                pulled.append({name for name in remote.names() if not name.endswith(".filepart")})
                yield tree / "one", f"{remote.base}/{n}"

        assert [r.error for r in ftp.upload_many(pairs())] == [None] * 4
        for n, names in enumerate(pulled):
            assert {str(m) for m in range(n - 2)} <= names
        assert remote.names() == {"0", "1", "2", "3"}

    def test_a_tree_is_deleted(self, ftp, remote, tree):
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        results = list(ftp.delete_tree(f"{remote.base}/t"))
        assert {r.step for r in results} == {Step.REMOVED}
        assert len(results) == 7 + 4
        assert results[-1].remote == f"{remote.base}/t"
        assert remote.names() == set()

    def test_deleting_says_what_is_not_there_and_spares_the_root(self, ftp, remote, picture):
        for path in (f"{remote.base}/no", f"{remote.base}/no/such"):
            with pytest.raises(NotFoundError) as caught:
                list(ftp.delete_tree(path))
            assert str(caught.value) == f"'{path}' is not at the server."
        with pytest.raises(NameRefusedError):
            list(ftp.delete_tree("/"))
        ftp.upload(picture, f"{remote.base}/p")
        assert [r.remote for r in ftp.delete_tree(f"{remote.base}/p")] == [f"{remote.base}/p"]
        assert remote.names() == set()

    def test_links_at_the_server_are_not_followed(self, ftp, remote, tree, tmp_path):
        if remote.server is None:
            return  # the memory server has no links
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        list(ftp.upload_tree(tree, f"{remote.base}/other"))
        home = remote.server.home / remote.base.strip("/")
        for name, target in [("up", ".."), ("loop", "."), ("dangling", "nowhere"), ("other", "../other")]:
            (home / "t" / name).symlink_to(target)
        results = list(ftp.download_tree(f"{remote.base}/t", tmp_path / "back"))
        assert contents(tmp_path / "back") == contents(tree)
        assert not [r for r in results if r.error]
        # pyftpdlib keeps a link that leads nowhere to itself, proftpd those that lead out of the home, too.
        skipped = {r.remote.rpartition("/")[2] for r in results if r.step is Step.SKIPPED}
        assert {"loop", "other", "up"} <= skipped <= {"dangling", "loop", "other", "up"}
        removed = list(ftp.delete_tree(f"{remote.base}/t"))
        assert not [r for r in removed if r.error]
        assert remote.names() == {"other"}
        assert contents(home / "other") == contents(tree)
        (home / "link").symlink_to("other")
        assert [r.remote for r in ftp.delete_tree(f"{remote.base}/link")] == [f"{remote.base}/link"]
        assert contents(home / "other") == contents(tree)

    def test_a_file_that_cannot_be_written_here_keeps_no_other_from_coming(self, remote, tree, tmp_path):
        """One that is too large for the file system, for instance: the others come over another connection."""
        (tree / "large").write_bytes(b"x" * 3_000_000)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with Ftp(remote.connect(), again=remote.connect) as ftp:
            assert not [r for r in ftp.upload_tree(tree, f"{remote.base}/t") if r.error]
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
            try:
                failed = [r for r in ftp.download_tree(f"{remote.base}/t", tmp_path / "back") if r.error]
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [(r.remote, type(r.error)) for r in failed] == [(f"{remote.base}/t/large", LocalUnwritableError)]
        (tree / "large").unlink()
        assert contents(tmp_path / "back") == contents(tree)

    @pytest.mark.parametrize("call", ["download_tree", "delete_tree"])
    def test_a_connection_that_grows_too_old_is_replaced_while_it_lasts(
        self, remote, tree, tmp_path, monkeypatch, call
    ):
        """A restore may take longer than a TLS session is good for: proftpd refuses all data connections after that."""
        opened, old = [], []

        def again():
            opened.append(remote.connect())
            return opened[-1]

        with Ftp(remote.connect(), again=again) as ftp:
            assert not [r for r in ftp.upload_tree(tree, f"{remote.base}/t") if r.error]
            monkeypatch.setattr(type(ftp.session), "expiring", property(lambda session: session in old))
            where = (tmp_path / "back",) if call == "download_tree" else ()
            results = getattr(ftp, call)(f"{remote.base}/t", *where)
            errors = [next(results).error]
            old.append(ftp.session)
            errors += [r.error for r in results]
            assert errors.count(None) == len(errors) > 2
            assert [ftp.session] == opened
            assert not old[0].usable
        assert contents(tmp_path / "back") == contents(tree) if where else remote.names() == set()

    def test_what_is_no_directory_is_called_that(self, ftp, remote, picture, tmp_path):
        ftp.upload(picture, f"{remote.base}/p")
        for name, said in (("p", "is a file at the server, and no directory"), ("no", "is not at the server")):
            path = f"{remote.base}/{name}"
            for call in (
                lambda path=path: list(ftp.download_tree(path, tmp_path / "back")),
                lambda path=path: ftp.list(path),
            ):
                with pytest.raises(NotFoundError) as caught:
                    call()
                assert str(caught.value) == f"'{path}' {said}."
        assert not (tmp_path / "back").exists()

    def test_what_is_not_there_leaves_nothing_behind(self, ftp, remote, tmp_path):
        with pytest.raises(NotFoundError):
            list(ftp.download_tree(f"{remote.base}/no", tmp_path / "back"))
        with pytest.raises(LocalUnreadableError):
            list(ftp.upload_tree(tmp_path / "no", f"{remote.base}/no"))
        assert list(tmp_path.iterdir()) == []
        assert remote.names() == set()

    def test_temporary_files_of_uploads_are_not_restored(self, ftp, remote, tree, tmp_path):
        (tree / "a.jpg.0123abcd.filepart").write_bytes(b"half")
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        steps = {r.remote.rpartition("/")[2]: r.step for r in ftp.download_tree(f"{remote.base}/t", tmp_path / "back")}
        assert steps["a.jpg.0123abcd.filepart"] is Step.SKIPPED
        assert not (tmp_path / "back" / "a.jpg.0123abcd.filepart").exists()
        assert (tmp_path / "back" / "one").exists()

    def test_what_was_deleted_is_not_restored_but_by_its_name(self, ftp, remote, tree, tmp_path):
        list(ftp.upload_tree(tree, f"{remote.base}/t"))
        ftp.make_dirs(f"{remote.base}/t/.ftpsyncd-trash")
        list(ftp.upload_tree(tree, f"{remote.base}/t/.ftpsyncd-trash/2024-05-01"))
        # Some servers do not list what begins with a dot.
        steps = {r.remote: r.step for r in ftp.download_tree(f"{remote.base}/t", tmp_path / "back")}
        assert steps.get(f"{remote.base}/t/.ftpsyncd-trash", Step.SKIPPED) is Step.SKIPPED
        assert contents(tmp_path / "back") == contents(tree)
        list(ftp.download_tree(f"{remote.base}/t/.ftpsyncd-trash", tmp_path / "deleted"))
        assert contents(tmp_path / "deleted" / "2024-05-01") == contents(tree)


def test_an_upload_that_is_broken_off_leaves_nothing_at_the_server(remote, picture):
    big = picture.with_name("big")
    big.write_bytes(b"x" * 3_000_000)

    def breaks(_sent):
        raise KeyboardInterrupt

    with Ftp(remote.connect(), again=remote.connect) as ftp:
        with pytest.raises(KeyboardInterrupt):
            ftp.upload(big, f"{remote.base}/big", progress=breaks)
        until(lambda: remote.names() == set(), "the temporary file is gone")


CALLS = {
    "delete": lambda ftp, base, _path: ftp.delete(f"{base}/no"),
    "delete_tree": lambda ftp, base, _path: list(ftp.delete_tree(f"{base}/d")),
    "download": lambda ftp, base, path: ftp.download(f"{base}/p", path.with_name("down")),
    "download_tree": lambda ftp, base, path: list(ftp.download_tree(base, path.with_name("tree"))),
    "exists": lambda ftp, base, _path: ftp.exists(f"{base}/p"),
    "list": lambda ftp, base, _path: ftp.list(base),
    "look": lambda ftp, base, _path: ftp.look(f"{base}/p"),
    "make_dirs": lambda ftp, base, _path: ftp.make_dirs(f"{base}/e"),
    "remove_dir": lambda ftp, base, _path: ftp.remove_dir(f"{base}/d"),
    "rename": lambda ftp, base, _path: ftp.rename(f"{base}/p", f"{base}/q"),
    "stat": lambda ftp, base, _path: ftp.stat(f"{base}/p"),
    "upload": lambda ftp, base, path: ftp.upload(path, f"{base}/new"),
    "upload, nothing replaced": lambda ftp, base, path: ftp.upload(path, f"{base}/new", overwrite=False),
    "upload_many": lambda ftp, base, path: list(ftp.upload_many([(path, f"{base}/new")], overwrite=False)),
    "upload_tree": lambda ftp, base, path: list(ftp.upload_tree(path.parent, f"{base}/up")),
}


def test_every_call_is_tried_on_a_connection_that_has_ended():
    assert {name.partition(",")[0] for name in CALLS} == {
        name for name, value in vars(Ftp).items() if name[0] != "_" and callable(value)
    } - {"close"}


def test_a_connection_that_has_ended_is_replaced_at_the_next_call_but_not_after_close(remote, picture, tmp_path):
    opened = []

    def again():
        opened.append(remote.connect())
        return opened[-1]

    places = {}
    with Ftp(remote.connect(), again=again) as ftp:
        for name, call in CALLS.items():
            places[name] = base, path = f"{remote.base}/{name}", tmp_path / name / "picture"
            path.parent.mkdir()
            shutil.copy(picture, path)
            ftp.make_dirs(f"{base}/d")
            ftp.upload(path, f"{base}/p")
            ftp.session.close()
            before = len(opened)
            call(ftp, base, path)
            assert ftp.session.usable, name
            assert len(opened) == before + 1, name
    for name, call in CALLS.items():
        with pytest.raises(ServerUnavailableError, match="finished"):
            call(ftp, *places[name])
    assert len(opened) == len(CALLS)
    assert not ftp.session.usable


def test_without_a_way_to_open_another_connection_an_ended_one_stays_ended(remote, picture):
    with Ftp(remote.connect()) as ftp:
        ftp.session.close()
        with pytest.raises(ServerUnavailableError):
            ftp.upload(picture, f"{remote.base}/p")
