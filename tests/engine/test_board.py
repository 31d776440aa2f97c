"""What is told of the engine itself: each trouble in its place, of this moment, and when it was told too long ago."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.engine.board import ENGINE_STUCK_S, STATUS_EVERY_S, Board
from ftpsyncd.engine.rounds import Rounds
from ftpsyncd.engine.shortage import Shortage
from ftpsyncd.errors import NoDescriptorError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment
from tests.core.vocabulary import NOW, WALL

LACKING = NoDescriptorError("This process may have 24 files open, and has them.")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def board(ledger: Ledger, shortage: Shortage | None = None, notice: str = "") -> Board:
    return Board(ledger, {}, {}, Rounds({}), shortage or Shortage(), now=NOW - 7.04, notice=notice)


def test_each_trouble_has_its_place(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Ledger, "trouble", "The disk is full.")
    shortage = Shortage()
    shortage.noted(LACKING, NOW)
    told = board(ledger, shortage, "The ledger is a new one.")
    told.unheard = "Nobody listens."
    told.renew(Moment(NOW, WALL))
    daemon = told.latest.daemon
    assert (daemon.running, daemon.uptime_s) == (True, 7.0)
    assert (daemon.message, daemon.notice) == ("The disk is full.", "The ledger is a new one.")
    assert (daemon.alerts, daemon.shortage) == ("Nobody listens.", shortage.told)


def test_while_things_happen_it_is_renewed_some_times_in_a_second(ledger: Ledger):
    """And not all the time, as long as anything is under way."""
    told = board(ledger)
    told.last_due = NOW
    assert told.next_due == NOW + STATUS_EVERY_S


def test_it_says_so_itself_if_it_is_of_before(ledger: Ledger):
    told = board(ledger)
    assert told.read(ENGINE_STUCK_S - 0.1) == told.latest
    stuck = told.read(ENGINE_STUCK_S)
    assert str(ledger.path.parent) in stuck.daemon.stuck
    assert not told.latest.daemon.stuck
