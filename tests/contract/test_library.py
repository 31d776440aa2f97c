"""The library face, on every remote."""

from __future__ import annotations

import os

import pytest

from ftpsyncd.errors import AlreadyExistsError, FileChangedError, LocalUnreadableError, NameRefusedError, NotFoundError
from ftpsyncd.model import Kind
from ftpsyncd.remote import Ftp, connect


@pytest.fixture
def ftp(remote):
    with Ftp(remote.connect()) as ftp:
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


def test_a_download_that_cannot_be_written_leaves_nothing(ftp, remote, picture, tmp_path):
    ftp.upload(picture, f"{remote.base}/p")
    with pytest.raises(LocalUnreadableError):
        ftp.download(f"{remote.base}/p", tmp_path / "no" / "such")
    assert list(tmp_path.iterdir()) == [picture]


def test_connect_opens_by_a_spec(remote):
    if remote.server is None:
        return  # the memory server has no address
    with connect(remote.server.spec()) as ftp:
        assert ftp.list(remote.base) == []
