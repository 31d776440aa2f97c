"""Directories that are gone: what in them is deleted, in which order, and when no more of it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Action, Delete, RemoveDir, Upload
from ftpsyncd.core.deletes import Deletes
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import clearing as module
from ftpsyncd.mapping.clearing import Clearing
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Failure, Fingerprint, Kind, Row
from tests.core.vocabulary import NOW, SHA, WALL, M, S
from tests.engine.test_outcomes import Story

AT = Moment(NOW, WALL)
FILES = [f"d/{number}" for number in range(5)]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """Some files, and one in a directory below, are published in a directory."""
    with Ledger(Path(":memory:")) as ledger:
        mirror = Story(ledger).mirror
        for path in ("d", "d/e"):
            ledger.put(mirror.id, path, Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
        for path in (*FILES, "d/e/a"):
            ledger.put(mirror.id, path, Row(Kind.FILE, Fingerprint(10, 1, 7), SHA, WALL))
        yield mirror


@pytest.fixture
def absent(mirror: Mirror) -> Deletes:
    return mirror.removals.absent


@pytest.fixture
def clearing(mirror: Mirror, absent: Deletes) -> Clearing:
    return Clearing(mirror.site, absent, lambda path: Delete(M, path))


def waiting(mirror: Mirror) -> list[Action]:
    """What waits to be done about the directory, in no order."""
    paths = ("d", "d/e", *FILES, "d/e/a")
    return [action for path in paths if (action := mirror.queue.waiting(M, path)) is not None]


def test_all_that_is_in_a_directory_is_deleted_however_many_of_it_are_read_at_once(
    mirror: Mirror, clearing: Clearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    clearing.begin("d")
    clearing.go_on(AT)
    assert waiting(mirror) == [Delete(M, path) for path in (*FILES, "d/e/a")]
    assert not clearing
    assert not clearing.cut_short


def test_a_turn_goes_through_so_much_and_the_next_one_goes_on(
    mirror: Mirror, clearing: Clearing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(module, "ROWS_IN_A_TURN", 1)
    clearing.begin("d")
    clearing.go_on(AT)
    assert waiting(mirror) == [Delete(M, path) for path in FILES[:2]]
    assert (bool(clearing), clearing.cut_short) == (True, True)
    clearing.stop()
    assert (bool(clearing), clearing.cut_short) == (False, False)
    clearing.go_on(AT)
    assert len(waiting(mirror)) == 2, "nothing more is deleted"


def test_what_is_stopped_is_at_work_on_nothing(mirror: Mirror, clearing: Clearing) -> None:
    clearing.begin("d/e")
    assert clearing.is_at_work_on("d/e")
    assert clearing.is_at_work_on("d")
    clearing.stop()
    assert not clearing.is_at_work_on("d/e")
    assert not clearing.is_at_work_on("d")
    mirror.queue.offer(Delete(M, "d/e/a"))
    assert clearing.is_at_work_on("d"), "a delete waits"


def test_what_is_back_meanwhile_is_not_deleted(mirror: Mirror, clearing: Clearing, absent: Deletes) -> None:
    clearing.begin("d")
    absent.spare("d")
    clearing.go_on(AT)
    assert waiting(mirror) == []


def test_what_leaves_or_is_being_sent_is_not_deleted_with_its_directory(mirror: Mirror, clearing: Clearing) -> None:
    mirror.site.moves.wait("d/0", "new", NOW)
    upload = Upload(M, "d/1", Fingerprint(10, 1, 7))
    mirror.queue.offer(upload)
    assert mirror.queue.take(NOW) == upload
    clearing.begin("d")
    clearing.go_on(AT)
    assert waiting(mirror) == [Delete(M, path) for path in (*FILES[2:], "d/e/a")]


@pytest.mark.parametrize(
    ("failure", "deleted", "due"),
    [
        (Failure(None, 1, False, WALL + 60 * S, "NameRefusedError", "no", "", "", WALL), False, NOW + 60),  # noqa: FBT003
        (Failure(None, 2, True, 0, "NameRefusedError", "no", "", "", WALL), False, None),  # noqa: FBT003
        (Failure(Fingerprint(10, 1, 7), 2, True, 0, "NameRefusedError", "no", "", "", WALL), True, None),  # noqa: FBT003
    ],
    ids=["it is tried again later", "it is parked", "it could not be sent"],
)
def test_what_could_not_be_deleted_is_tried_again_in_its_time(
    mirror: Mirror, clearing: Clearing, failure: Failure, *, deleted: bool, due: float | None
) -> None:
    mirror.dirty.clear()
    mirror.ledger.failures.put(mirror.id, "d/e/a", failure)
    clearing.begin("d/e")
    clearing.go_on(AT)
    assert waiting(mirror) == [Delete(M, "d/e/a")] * deleted
    assert mirror.dirty.next_due() == due


def test_a_directory_goes_when_the_last_in_it_has(mirror: Mirror, clearing: Clearing) -> None:
    clearing.begin("d/e")
    assert clearing.emptied("d/e")
    assert waiting(mirror) == []
    mirror.ledger.forget(mirror.id, "d/e/a")
    assert clearing.emptied("d/e")
    assert waiting(mirror) == [RemoveDir(M, "d/e")]
    assert not clearing.emptied("d"), "that is here"


def test_one_in_which_nothing_is_goes_at_once(mirror: Mirror, clearing: Clearing) -> None:
    mirror.ledger.forget(mirror.id, "d/e/a")
    clearing.begin("d/e")
    clearing.go_on(AT)
    assert waiting(mirror) == [RemoveDir(M, "d/e")]
