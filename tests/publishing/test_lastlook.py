"""The last look at the disk before something is done at a server."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.errors import FileBusyError, FileChangedError, SourceMissingError
from ftpsyncd.local.scan import Scanner, fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.publishing.lastlook import Folder, exists, open_planned, planned_ctime_ns, require_gone, require_same
from ftpsyncd.specs import MappingSpec
from tests.core.vocabulary import M


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


def test_nothing_counts_as_gone_in_a_folder_that_the_ledger_does_not_know(tmp_path: Path):
    with pytest.raises(SourceMissingError):
        require_gone(Folder(MappingSpec(M, tmp_path, "web", "/htdocs")), "a.jpg", stat.S_ISREG)


def test_a_file_that_a_program_has_begun_to_write_since_it_was_planned_is_not_opened(tmp_path: Path):
    spec, path = MappingSpec(M, tmp_path, "web", "/htdocs"), tmp_path / "a.jpg"
    path.write_bytes(b"content")
    upload = Upload(M, "a.jpg", fingerprint_of(path.stat()))
    with path.open("ab"), pytest.raises(FileBusyError):
        open_planned(spec, upload)
    file, ctime_ns = open_planned(spec, upload)
    with file:
        assert (file.read(), ctime_ns) == (b"content", path.stat().st_ctime_ns)
