"""What is seen to beside the work: what was learned of servers is kept, and a ledger that cannot be written is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.upkeep import PRUNE_AGAIN_S, PRUNE_EVERY_S, PRUNE_ROWS, REMEMBER_EVERY_S, Upkeep
from ftpsyncd.engine.wallclock import WallClock
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Clock, Moment
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.profile import Profile
from tests.core.vocabulary import NOW, WALL, S

CLOCK = Clock(lambda: NOW, lambda: WALL)


class Story:
    """A server of which things are learned."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.told: list[Event] = []
        self.profile = Profile()
        self.server = Server("web", Queue(4, jitter=0.5), cast("Any", None), "u@web:21")
        self.server.keeper = Keeper(self.profile, "", WALL / S)
        self.upkeep = Upkeep(ledger, WallClock(CLOCK, WALL), self.told.append)

    def remember(self, after_s: float, *, at_once: bool = False) -> None:
        at = Moment(NOW + after_s, WALL + int(after_s * S))
        self.upkeep.remember([Server("other", Queue(4), cast("Any", None)), self.server], at, at_once=at_once)

    def kept(self) -> Profile:
        """What the next daemon would go by."""
        profile = Profile()
        Keeper(profile, self.ledger.profile("u@web:21"), WALL / S)
        return profile


@pytest.fixture
def story() -> Iterator[Story]:
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger)


def test_what_is_learned_of_a_server_is_kept_now_and_then_and_at_the_end(story: Story) -> None:
    story.profile.renames = False
    story.remember(0.0)
    assert story.kept().renames is False
    story.profile.renames = True
    story.remember(REMEMBER_EVERY_S / 2)
    assert story.kept().renames is False, "it may change with every file"
    story.remember(REMEMBER_EVERY_S)
    assert story.kept().renames is True
    story.profile.renames = False
    story.remember(REMEMBER_EVERY_S, at_once=True)
    assert story.kept().renames is False


def test_what_is_kept_already_is_not_written_again(story: Story) -> None:
    story.remember(0.0)
    story.ledger.commit()
    story.remember(1.0)
    assert not story.ledger.dirty


def test_how_many_connections_a_server_allows_is_kept(story: Story) -> None:
    story.server.queue.gate.cap = 2
    story.remember(0.0)
    assert story.kept().cap == 2


def test_that_a_server_renames_nothing_is_told_when_it_is_learned(story: Story) -> None:
    story.profile.renames = False
    story.remember(0.0)
    story.remember(1.0)
    assert [(event.kind, event.server) for event in story.told] == [(EventKind.NO_RENAMES, "web")]


def test_old_receipts_are_dropped_a_few_at_a_time_and_then_seldom(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    dropped = iter([PRUNE_ROWS, PRUNE_ROWS - 1, 0])

    def prune(_now_ns: int, most: int) -> int:
        asked.append(most)
        return next(dropped)

    monkeypatch.setattr(story.ledger.history, "prune", prune)
    for now in (NOW, NOW + PRUNE_AGAIN_S / 2, NOW + PRUNE_AGAIN_S, NOW + PRUNE_EVERY_S, NOW + 2 * PRUNE_EVERY_S):
        before = len(asked)
        story.upkeep.prune(Moment(now, WALL, wall_trusted=False))
        assert len(asked) == before, "not by a clock that has just been set"
        story.upkeep.prune(Moment(now, WALL))
        asked.append(0)
    assert asked == [PRUNE_ROWS, 0, 0, PRUNE_ROWS, 0, 0, PRUNE_ROWS, 0]


@pytest.mark.parametrize(("keep_s", "ahead_s"), [(3600.0, 0), (0.0, 10 * 365 * 86_400)])
def test_a_clock_that_may_be_years_ahead_drops_no_receipts_unless_none_are_to_be_kept(
    story: Story, monkeypatch: pytest.MonkeyPatch, keep_s: float, ahead_s: int
) -> None:
    """After a start it may be that of a machine that had no power for long."""
    pruned_by: list[int] = []

    def prune(now_ns: int, _most: int) -> int:
        pruned_by.append(now_ns)
        return 0

    monkeypatch.setattr(story.ledger.history, "keep_s", keep_s)
    monkeypatch.setattr(story.ledger.history, "prune", prune)
    story.upkeep.prune(Moment(NOW, WALL + 10 * 365 * 86_400 * S))
    assert pruned_by == [WALL + ahead_s * S]


@dataclass
class Full:
    """A ledger that cannot be written at the moment."""

    trouble: str = ""


def test_that_the_ledger_cannot_be_written_is_told_once_and_that_it_can_be_again() -> None:
    told: list[Event] = []
    ledger, servers = Full(), [Server(name, Queue(4), cast("Any", None)) for name in ("web", "other")]
    upkeep = Upkeep(cast("Any", ledger), WallClock(CLOCK, WALL), told.append)
    kinds: list[list[EventKind]] = []
    for ledger.trouble in ("", "no space", "no space", "no right", "", ""):
        upkeep.tell_trouble(servers)
        assert {server.queue.only_additions for server in servers} == {bool(ledger.trouble)}
        kinds.append([event.kind for event in told])
        told.clear()
    assert kinds == [[], [EventKind.LEDGER], [], [], [EventKind.LEDGER_BACK], []]
