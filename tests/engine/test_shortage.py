"""That no further file can be opened: told once, borne, and over when nothing was refused for a while."""

from __future__ import annotations

from ftpsyncd.engine.shortage import AGAIN_S, CALM_S, Shortage
from ftpsyncd.errors import NoDescriptorError
from ftpsyncd.events import EventKind

NOW = 1000.0
REFUSED = NoDescriptorError("This process may have 24 files open, and has them.")


def test_while_nothing_is_lacking_nothing_is_due():
    shortage = Shortage()
    assert not shortage
    assert not shortage.holds(NOW)
    assert shortage.next_due(NOW) is None
    assert shortage.over(NOW) is None


def test_nothing_is_begun_for_a_moment_and_then_it_is_tried():
    shortage = Shortage()
    assert shortage.noted(REFUSED, NOW)
    assert shortage.told == f"{REFUSED.message} {REFUSED.remedy}"
    assert shortage.holds(NOW + AGAIN_S - 0.1)
    assert not shortage.holds(NOW + AGAIN_S)
    assert shortage.next_due(NOW) == NOW + AGAIN_S
    assert shortage.next_due(NOW + AGAIN_S) == NOW + AGAIN_S + CALM_S


def test_what_was_begun_before_and_is_refused_meanwhile_is_the_same_shortage():
    shortage = Shortage()
    shortage.noted(REFUSED, NOW)
    assert not shortage.noted(REFUSED, NOW + AGAIN_S - 0.1)
    assert not shortage.holds(NOW + AGAIN_S)
    assert shortage.noted(REFUSED, NOW + AGAIN_S)
    assert shortage.holds(NOW + AGAIN_S + 0.1)


def test_it_is_over_when_nothing_was_refused_for_a_while():
    shortage = Shortage()
    shortage.noted(REFUSED, NOW)
    shortage.noted(REFUSED, NOW + CALM_S)
    assert shortage.over(NOW + AGAIN_S + CALM_S) is None
    event = shortage.over(NOW + AGAIN_S + 2 * CALM_S)
    assert event is not None
    assert event.kind is EventKind.SHORTAGE_OVER
    assert not shortage
    assert shortage.told == ""
    assert shortage.over(NOW + 1000) is None
