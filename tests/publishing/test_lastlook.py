"""The last look at the disk before something is done at a server."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from ftpsyncd.actions import Rename, Upload
from ftpsyncd.errors import (
    FileBusyError,
    FileChangedError,
    FtpsyncdError,
    LocalUnreadableError,
    NoDescriptorError,
    SourceMissingError,
)
from ftpsyncd.local import toolong
from ftpsyncd.local.scan import Scanner, fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.publishing import lastlook
from ftpsyncd.publishing.lastlook import (
    RECORDED_NS,
    Folder,
    exists,
    is_as_published,
    lstat,
    open_planned,
    planned_ctime_ns,
    planned_stat,
    require_gone,
    require_planned,
    require_same,
)
from ftpsyncd.specs import MappingSpec
from tests.core.vocabulary import M
from tests.waiting import until


@pytest.mark.parametrize("follow", [False, True])
def test_a_link_is_there_for_as_long_as_what_it_leads_to_where_links_are_followed(tmp_path: Path, *, follow: bool):
    spec = MappingSpec(M, tmp_path, "web", "/htdocs", follow_symlinks=follow)
    folder = Folder(spec, root_identity(tmp_path))
    (tmp_path / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    if follow:
        with pytest.raises(FileChangedError):
            require_gone(folder, "link.jpg", stat.S_ISREG)
    else:
        require_gone(folder, "link.jpg", stat.S_ISREG)
    (tmp_path / "a.jpg").unlink()
    require_gone(folder, "link.jpg", stat.S_ISREG)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A directory whose path, and that of the one above it, the kernel does not take (PATH_MAX): relative to the folder, and open."""
    name, descriptor = "d" * 250, os.open(tmp_path, os.O_RDONLY)
    for _ in range(18):
        os.mkdir(name, dir_fd=descriptor)
        above, descriptor = descriptor, os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(above)
    yield "/".join([name] * 18), descriptor
    os.close(descriptor)


@pytest.mark.parametrize("follow", [False, True])
def test_what_has_a_longer_path_than_the_kernel_takes_is_seen(
    tmp_path: Path, deep: tuple[str, int], *, follow: bool
) -> None:
    """The scan and the watcher find it: without the last look it would never be published, and never deleted."""
    directory, descriptor = deep
    path = f"{directory}/a.jpg"
    with pytest.raises(OSError, match="too long"):
        (tmp_path / path).stat()
    spec = MappingSpec(M, tmp_path, "web", "/htdocs", follow_symlinks=follow)
    folder = Folder(spec, root_identity(tmp_path))
    with os.fdopen(os.open("a.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor), "wb") as made:
        made.write(b"content")
    status = os.stat("a.jpg", dir_fd=descriptor)
    upload = Upload(M, path, fingerprint_of(status))
    assert set(Scanner(tmp_path, follow_symlinks=follow).list_dir(directory).entries) == {"a.jpg"}
    assert planned_ctime_ns(spec, upload) == status.st_ctime_ns
    file, ctime_ns = open_planned(spec, upload)
    with file:
        require_same(file, spec, upload, ctime_ns, b"", lambda: None)
    assert exists(spec, path)
    with pytest.raises(FileChangedError):
        require_gone(folder, path, stat.S_ISREG)
    os.unlink("a.jpg", dir_fd=descriptor)
    assert not exists(spec, path)
    require_gone(folder, path, stat.S_ISREG)


@pytest.mark.usefixtures("one_case")
@pytest.mark.parametrize("path", ["a.jpg", "d/x.jpg"])
def test_what_was_renamed_to_another_case_is_gone_also_where_the_file_system_finds_it(tmp_path: Path, path: str):
    spec = MappingSpec(M, tmp_path, "web", "/htdocs")
    (tmp_path / "D").mkdir()
    for name in ("A.jpg", "D/x.jpg"):
        (tmp_path / name).touch()
    assert os.lstat(tmp_path / path)
    require_gone(Folder(spec, root_identity(tmp_path)), path, stat.S_ISREG)
    assert not exists(spec, path)
    assert exists(spec, "D/x.jpg")


@pytest.mark.parametrize("name", ["", "missing"])
def test_nothing_counts_as_gone_in_a_folder_that_the_ledger_does_not_know(tmp_path: Path, name: str):
    with pytest.raises(SourceMissingError):
        require_gone(Folder(MappingSpec(M, tmp_path / name, "web", "/htdocs")), "a.jpg", stat.S_ISREG)


def test_nothing_counts_as_gone_in_a_folder_in_the_place_of_the_published_one(tmp_path: Path):
    (drop := tmp_path / "drop").mkdir()
    folder = Folder(MappingSpec(M, drop, "web", "/htdocs"), root_identity(drop))
    require_gone(folder, "a.jpg", stat.S_ISREG)
    drop.rename(tmp_path / "before")
    with pytest.raises(SourceMissingError):
        require_gone(folder, "a.jpg", stat.S_ISREG)
    drop.mkdir()
    with pytest.raises(SourceMissingError):
        require_gone(folder, "a.jpg", stat.S_ISREG)


def test_what_is_reached_through_a_link_only_is_gone_where_none_is_followed(tmp_path: Path):
    (tmp_path / "real" / "d").mkdir(parents=True)
    (tmp_path / "real" / "d" / "a.jpg").touch()
    (tmp_path / "link").symlink_to("real")
    spec = MappingSpec(M, tmp_path, "web", "/htdocs")
    follows = spec._replace(follow_symlinks=True)
    for path in ("link/d/a.jpg", "link/d"):
        assert (exists(spec, path), exists(follows, path)) == (False, True)
        require_gone(Folder(spec, root_identity(tmp_path)), path, lambda _mode: True)
        with pytest.raises(FileChangedError):
            require_gone(Folder(follows, root_identity(tmp_path)), path, lambda _mode: True)
    (tmp_path / "broken").symlink_to("nowhere")
    assert exists(follows, "broken")
    assert exists(spec, "link"), "a link has its name, whether it is followed or not"
    assert exists(spec, "real/d/a.jpg")
    assert not exists(spec, "none/a.jpg")


def test_what_a_link_leads_to_is_what_is_planned_where_links_are_followed(tmp_path: Path):
    (tmp_path / "real.jpg").write_text("content")
    (tmp_path / "a.jpg").symlink_to("real.jpg")
    spec = MappingSpec(M, tmp_path, "web", "/htdocs")
    real, link = tmp_path / "real.jpg", tmp_path / "a.jpg"
    # Until the clock of the file system has gone on.
    until(lambda: (real.write_text("content"), real.stat().st_ctime_ns != link.lstat().st_ctime_ns)[1], "another ctime")
    upload = Upload(M, "a.jpg", fingerprint_of(real.stat()))
    for follow, status in ((False, link.lstat()), (True, real.stat())):
        seen = planned_stat(spec._replace(follow_symlinks=follow), "a.jpg")
        assert seen is not None
        assert fingerprint_of(seen) == fingerprint_of(status)
        assert planned_ctime_ns(spec._replace(follow_symlinks=follow), upload) == status.st_ctime_ns
    assert planned_ctime_ns(spec, upload._replace(path="none")) == 0


@pytest.mark.parametrize("code", [errno.ELOOP, errno.ENOENT, errno.ENOTDIR])
def test_what_certainly_nobody_can_reach_is_not_there(monkeypatch: pytest.MonkeyPatch, code: int):
    failing(monkeypatch, code)
    assert lstat("/srv/a.jpg") is None


@pytest.mark.parametrize(("code", "kind"), [(errno.EIO, LocalUnreadableError), (errno.EMFILE, NoDescriptorError)])
def test_what_cannot_be_looked_at_is_not_gone(monkeypatch: pytest.MonkeyPatch, code: int, kind: type[FtpsyncdError]):
    failing(monkeypatch, code)
    with pytest.raises(kind):
        lstat("/srv/a.jpg")


def failing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Have each look at a path end so."""

    def fail(path: str) -> os.stat_result:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(toolong, "lstat", fail)


class Planned:
    """A file that is there as it was planned."""

    def __init__(self, top: Path) -> None:
        self.spec, self.file = MappingSpec(M, top, "web", "/htdocs"), top / "a.jpg"
        self.file.write_text("content")
        self.upload = Upload(M, "a.jpg", fingerprint_of(self.file.stat()))

    def is_replaced(self, content: str = "another") -> None:
        """Another file gets its name; its content and inode are still open."""
        (new := self.file.with_name("new")).write_text(content)
        new.rename(self.file)

    def is_rewritten(self, content: str) -> None:
        """Somebody writes in place, and sets the date back."""
        before = self.file.stat()
        # Until the clock of the file system has gone on.
        until(
            lambda: (self.file.write_text(content), self.file.stat().st_ctime_ns != before.st_ctime_ns)[1],
            "a new ctime",
        )
        os.utime(self.file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    return Planned(tmp_path)


def test_a_planned_file_is_there_as_long_as_it_is_that_one(planned: Planned):
    spec, upload = planned.spec, planned.upload
    assert require_planned(spec, "a.jpg", upload.fingerprint) == planned.file.stat().st_ctime_ns
    planned.is_replaced()
    with pytest.raises(FileChangedError):
        require_planned(spec, "a.jpg", upload.fingerprint)
    planned.file.unlink()
    with pytest.raises(FileChangedError):
        require_planned(spec, "a.jpg", upload.fingerprint)


@pytest.mark.parametrize("becomes", ["same", "replaced", "gone", "written", "longer", "touched", "unread"])
def test_what_was_sent_is_the_planned_file_only_if_it_is_still_that_under_its_name(planned: Planned, becomes: str):
    file, ctime_ns = open_planned(planned.spec, planned.upload)
    digest = sha256(b"content").digest()
    with file:
        match becomes:
            case "replaced":
                planned.is_replaced("content")
            case "gone":
                planned.file.unlink()
            case "written":
                planned.is_rewritten("CONTENT")
            case "longer":
                planned.is_rewritten("content, and more")
            case "touched" | "unread":
                planned.is_rewritten("content")
                digest = digest if becomes == "touched" else b""

        def confirm() -> None:
            require_same(file, planned.spec, planned.upload, ctime_ns, digest, lambda: None)

        if becomes in {"same", "touched"}:
            confirm()
        else:
            with pytest.raises(FileChangedError):
                confirm()


@pytest.mark.parametrize(
    ("content", "date_ns", "born_ns", "told", "same"),
    [
        ("content", 10**9, None, True, True),
        ("another", 10**9, None, True, False),
        ("another", 10**9, RECORDED_NS, True, True),
        ("another", 10**9, RECORDED_NS + 1, True, False),
        ("another", 10**9, 2 * RECORDED_NS, True, False),
        # Two files have such a date by accident only; and what was published is not known.
        ("another", 10**9 + 1, None, True, True),
        ("another", 10**9, None, False, True),
    ],
)
def test_a_file_with_the_inode_of_a_published_one_is_read_unless_it_is_known_to_be_older(
    planned: Planned,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    date_ns: int,
    born_ns: int | None,
    *,
    told: bool,
    same: bool,
):
    planned.file.write_text(content)
    os.utime(planned.file, ns=(date_ns, date_ns))
    monkeypatch.setattr(lastlook, "born_ns", lambda _descriptor: born_ns)
    digest = sha256(b"content").digest() if told else b""
    found = fingerprint_of(planned.file.stat())
    rename = Rename(M, "a.jpg", "b.jpg", found, digest, published_ns=2 * RECORDED_NS)
    assert is_as_published(planned.spec, rename, lambda: None) is same


def test_a_file_that_a_program_has_begun_to_write_since_it_was_planned_is_not_opened(tmp_path: Path):
    spec, path = MappingSpec(M, tmp_path, "web", "/htdocs"), tmp_path / "a.jpg"
    path.write_bytes(b"content")
    upload = Upload(M, "a.jpg", fingerprint_of(path.stat()))
    with path.open("ab"), pytest.raises(FileBusyError):
        open_planned(spec, upload)
    file, ctime_ns = open_planned(spec, upload)
    with file:
        assert (file.read(), ctime_ns) == (b"content", path.stat().st_ctime_ns)
