"""What a turn of the engine has done, and when the next one is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.core.gate import Breaker
from ftpsyncd.engine.board import Board
from ftpsyncd.engine.rounds import CHECK_EVERY_S
from ftpsyncd.engine.upkeep import PRUNE_ROWS
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.history import History
from ftpsyncd.mapping.mirror import Mirror
from tests.core.vocabulary import NOW
from tests.mapping.test_slices import A, B, Two


@pytest.fixture
def two() -> Iterator[Two]:
    """Both folders were looked through, and held nothing."""
    with Ledger(Path(":memory:")) as ledger:
        two = Two(ledger)
        for name in (A, B):
            two.lists(name, {})
        for _ in range(3):
            two.turn()
        yield two


@pytest.fixture
def pumped(two: Two, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The mappings that were gone on with since."""
    del two
    names, pump = list[str](), Mirror.pump

    def noted(mirror: Mirror, at: object) -> None:
        names.append(mirror.spec.name)
        pump(mirror, at)  # type: ignore[arg-type]

    monkeypatch.setattr(Mirror, "pump", noted)
    return names


def test_a_turn_goes_on_with_no_mapping_at_rest_until_its_server_is_full(two: Two, pumped: list[str]) -> None:
    two.turn()
    assert pumped == []
    two.engine.servers[B].queue.gate.failed(NOW, Breaker.FULL, "no space")
    two.turn()
    two.turn()
    assert pumped == [B]


def test_a_server_that_is_away_is_not_tried_again_at_each_turn(two: Two) -> None:
    """That is for a clock that was set: what was waited for may be over by then."""
    gate = two.engine.servers[A].queue.gate
    gate.failed(NOW, Breaker.OFFLINE, "it does not answer")
    until = gate.paused_until
    assert until > NOW
    two.turn()
    assert gate.paused_until == until


def test_the_engine_waits_until_something_is_due_and_no_longer(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Board, "next_due", NOW + 10)
    due = NOW + CHECK_EVERY_S / 2
    two.engine.mailbox.put(two.engine.about_any(lambda _at: two.mirror.dirty.mark("name", due)))
    two.turn()
    assert two.engine.next_due(NOW) == due


def test_old_receipts_are_dropped_beside_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon runs for months: they would be all that was ever published."""
    asked: list[int] = []

    def prune(_history: History, _now_ns: int, most: int) -> int:
        asked.append(most)
        return 0

    monkeypatch.setattr(History, "prune", prune)
    with Ledger(Path(":memory:")) as ledger:
        Two(ledger)
    assert asked == [PRUNE_ROWS]
