"""Whose links may lead to a mapping's folder: who has the folder above it must not choose what is published."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsyncd.errors import SourceMissingError
from ftpsyncd.local import quiet, tree, wayin
from ftpsyncd.local.scan import Scanner
from ftpsyncd.model import Presence

ALICE, BOB = 61_001, 61_002


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder that only we may read."""
    found = tmp_path / "secrets"
    found.mkdir(0o700)
    (found / "password.jpg").write_text("secret")
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where she may do what she wants."""
    found = tmp_path / "alice"
    found.mkdir()
    os.chown(found, ALICE, ALICE)
    return found


def _link(path: Path, target: Path | str, owner: int) -> Path:
    path.symlink_to(target)
    os.lchown(path, owner, owner)
    return path


def _name(descriptor: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    finally:
        os.close(descriptor)


@pytest.mark.root
@pytest.mark.parametrize(
    "made",
    [
        lambda home, secrets: _link(home / "drop", secrets, ALICE),
        lambda home, secrets: _link(home / "drop", f"../{secrets.name}", ALICE),
        lambda home, secrets: _link(home / "way", secrets.parent, ALICE) / "secrets",
        lambda home, secrets: _link(home / "drop", _link(home / "ours", secrets, 0), ALICE),
        lambda home, secrets: _link(home / "ours", _link(home / "drop", secrets, ALICE), 0),
    ],
    ids=["the folder", "relative", "above it", "by one of root", "from one of root"],
)
def test_a_link_of_another_user_does_not_lead_to_what_is_not_theirs(
    home: Path, secrets: Path, made: Callable[[Path, Path], Path]
) -> None:
    root = made(home, secrets)
    with pytest.raises(PermissionError, match=rf"is of user {ALICE}, and leads to a folder of another \(0\)"):
        tree.open_root(root)
    assert tree.root_identity(root) is None
    with pytest.raises(SourceMissingError, match="is of user"):
        quiet.open_quietly(root, "password.jpg")
    listing = Scanner(root).list_dir("")
    assert (listing.presence, dict(listing.entries)) == (Presence.ROOT_MISSING, {})
    assert "let the link be root's" in listing.problem


@pytest.mark.root
@pytest.mark.parametrize(("link", "folder"), [(0, BOB), (ALICE, ALICE), (0, 0)])
def test_links_of_root_and_of_the_owner_of_the_folder_are_followed(
    home: Path, secrets: Path, link: int, folder: int
) -> None:
    os.chown(secrets, folder, folder)
    assert _name(tree.open_root(_link(home / "drop", secrets, link))) == str(secrets)
    assert _name(tree.open_root(_link(home / "way", "../../x/..", link).parent / "../secrets")) == str(secrets)


@pytest.mark.root
def test_ones_own_links_lead_anywhere(home: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ALICE)
    assert _name(tree.open_root(_link(home / "drop", secrets, ALICE))) == str(secrets)


def test_a_way_is_gone_as_the_kernel_goes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b" / "drop"
    folder.mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "nowhere").symlink_to("nothing/there")
    (tmp_path / "up").symlink_to("a b/drop/..")
    (tmp_path / "top").symlink_to("/")
    (folder / "same").symlink_to(".")
    monkeypatch.chdir(tmp_path)
    for way in (folder, tmp_path / "up/drop", Path("up/drop"), Path("a b/../up/drop"), tmp_path / f"top{folder}"):
        assert _name(wayin.open_folder(way, tree.DIRECTORY_FLAGS)) == str(folder)
    assert set(Scanner(folder / "same").list_dir("").entries) == {"same"}
    assert _name(wayin.open_folder(tmp_path / "top", tree.DIRECTORY_FLAGS)) == "/"
    assert _name(wayin.open_folder(Path(), tree.DIRECTORY_FLAGS)) == str(tmp_path)
    for name, number in (
        ("round", errno.ELOOP),
        ("nowhere", errno.ENOENT),
        ("file", errno.ENOTDIR),
        ("up/file", errno.ENOENT),
        ("file/drop", errno.ENOTDIR),
        ("missing", errno.ENOENT),
    ):
        with pytest.raises(OSError) as caught:
            wayin.open_folder(tmp_path / name, tree.DIRECTORY_FLAGS)
        assert caught.value.errno == number


@pytest.mark.root
def test_a_link_that_was_there_while_the_folder_was_opened_does_not_help(
    home: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """She exchanges folder and link as often as she likes: what was opened is asked, and not its name."""
    drop = home / "drop"
    drop.mkdir()
    real = os.open

    def opened(path: str | Path, flags: int, *args: int, **more: int) -> int:
        if path != drop:
            return real(path, flags, *args, **more)
        drop.rename(home / "was")
        _link(drop, secrets, ALICE)
        try:
            return real(path, flags, *args, **more)
        finally:
            drop.unlink()
            (home / "was").rename(drop)

    monkeypatch.setattr(os, "open", opened)
    assert _name(tree.open_root(drop)) == str(drop)
