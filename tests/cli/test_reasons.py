"""Why a path is, or is not, at the server: what is said of one folder on disk, whatever the ledger knows, without one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.events import EventKind
from ftpsyncd.inspection.reasons import READABLE, SKIPPED, Known
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import Failure, Kind, Row
from ftpsyncd.questions import Why
from ftpsyncd.receipts import Receipt
from ftpsyncd.specs import MappingSpec
from tests.core.vocabulary import SHA, WALL, failed, file, published

SINCE = "2023-11-14T22:12:20.000+00:00"
"""When `published` was."""
DATED = (5 * 10**9 + 1, 5 * 10**9 + 1)
"""No date in whole seconds, which another file may have by accident."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (folder := tmp_path / "gallery").mkdir()
    return folder


def asked(root: Path, path: str, *, follow_symlinks: bool = False, **known: Any) -> Why:
    spec = MappingSpec("gallery", root, "web", "/htdocs", settle_s=0.0, follow_symlinks=follow_symlinks)
    return Known(spec, str(root / path), path, **known).find()


def as_published(path: Path, sha256: bytes = SHA) -> Row:
    """A file, and its row."""
    path.write_text("x")
    os.utime(path, ns=DATED)
    return Row(Kind.FILE, fingerprint_of(path.stat()), sha256, WALL - 60 * 10**9)


def receipt(kind: EventKind, source: str = "", duration_s: float = 0.0, attempts: int = 1) -> Receipt:
    return Receipt(1, SINCE, "gallery", kind, "a.jpg", source, 1, SHA.hex(), duration_s, attempts, SINCE, "", "")


def test_of_the_root_it_is_told_to_ask_for_a_file(root: Path) -> None:
    said = asked(root, "")
    assert (said.state, said.sentence) == ("directory", "it is the root of the mapping; ask for a file in it")


@pytest.mark.parametrize("path", ["", "a.jpg", "b/a.jpg"])
def test_a_folder_that_is_missing_is_told_whatever_in_it_is_asked_for(root: Path, path: str) -> None:
    """Who asked for the folder itself was told to ask for a file in it."""
    root.rmdir()
    said = asked(root, path)
    assert said.state == "source_missing"
    assert said.sentence.startswith(f"the folder {root} cannot be opened: ")
    assert said.sentence.endswith("; nothing changes at the server until it can be read")


@pytest.mark.parametrize("path", ["", "a.jpg"])
def test_what_cannot_be_read_is_told_with_what_helps(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("ftpsyncd.local.tree.open_directory", refuse)
    said = asked(root, path)
    assert said.state == "unreadable"
    assert said.sentence.endswith(f"ermission denied; {READABLE}")


def test_a_link_on_the_way_is_named(root: Path) -> None:
    (root / "real").mkdir()
    (root / "real" / "a.jpg").touch()
    (root / "link").symlink_to("real")
    said = asked(root, "link/a.jpg")
    assert (said.state, said.sentence) == ("ignored", f"a folder on the way to it is a symbolic link; {SKIPPED}")


def test_what_is_no_file_is_never_published(root: Path) -> None:
    os.mkfifo(root / "a.jpg")
    assert asked(root, "a.jpg").sentence == "it is a FIFO, which is never published"


@pytest.mark.parametrize("kind", ["", "FIFO", "excluded", "file", "directory"])
def test_what_is_known_to_be_gone_is_told_until_something_published_has_its_place(root: Path, kind: str) -> None:
    path = "notes.xyz" if kind == "excluded" else "a.jpg"
    match kind:
        case "FIFO":
            os.mkfifo(root / path)
        case "file" | "excluded":
            (root / path).touch()
        case "directory":
            (root / path).mkdir()
    gone = Why(str(root / path), "gallery", "pending", "it is gone here")
    assert (asked(root, path, gone=gone) is gone) is (kind in {"", "FIFO", "excluded"})


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (None, f"published {SINCE}, 1 byte"),
        (receipt(EventKind.PUBLISHED), f"published {SINCE}, 1 byte"),
        (receipt(EventKind.PUBLISHED, duration_s=2.0), f"published {SINCE}, 1 byte in 2.00 s"),
        (receipt(EventKind.PUBLISHED, attempts=3), f"published {SINCE}, 1 byte, after 3 tries"),
        (receipt(EventKind.RENAMED, "b.jpg", 2.0, 3), f"published as b.jpg, renamed {SINCE}, 1 byte"),
        (receipt(EventKind.ADOPTED), f"not sent: found at the server {SINCE} with the same size and date, 1 byte"),
        (
            receipt(EventKind.UNCHANGED),
            f"published before, and not sent again {SINCE} because its content was the same, 1 byte",
        ),
    ],
)
@pytest.mark.parametrize("sha256", [SHA, b""])
def test_how_a_file_came_to_be_at_the_server(root: Path, how: Receipt | None, told: str, sha256: bytes) -> None:
    said = asked(root, "a.jpg", row=as_published(root / "a.jpg", sha256), arrival=how)
    assert (said.state, said.receipt) == ("published", how)
    assert said.sentence == told + (f", sha256 {SHA.hex()}" if sha256 else "")
    assert (said.details["size"], said.details["at"]) == (1, SINCE)


def about(failure: Failure, **other: Any) -> Why:
    return Known(MappingSpec("gallery", Path("/srv"), "web", "/"), "/srv/a.jpg", "a.jpg", **other)._failed(failure)


def test_a_failure_is_told_with_the_servers_words_where_they_say_more() -> None:
    failure = failed(file())
    assert about(failure).sentence.startswith("Permission denied (the server said: 550 Permission denied.). After 2")
    same = failure._replace(message="It failed: 550 Permission denied.")
    assert about(same).sentence.startswith("It failed: 550 Permission denied. After 2")
    assert about(failure._replace(reply="")).sentence.startswith("Permission denied. After 2")


def test_a_delete_that_failed_is_told_as_that(root: Path) -> None:
    said = asked(root, "a.jpg", row=published(file()), failure=failed(None))
    assert said.state == "failed"
    assert said.sentence.startswith("it is gone here, and still at the server: Permission denied")
    # Of a file that failed, and is gone, that is no matter any more.
    assert asked(root, "a.jpg", row=published(file()), failure=failed(file())).state == "pending"
