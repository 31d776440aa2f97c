"""The time of day while a machine runs, sleeps and has its clock set."""

from __future__ import annotations

import math

import pytest

from ftpsyncd.engine.wallclock import PROVEN_S, WallClock
from ftpsyncd.mapping.site import STEP_S, Clock, slept_s
from tests.core.vocabulary import NOW, WALL, S

SETTLE_S, DAY = 2.0, 86400 * S


class Machine:
    """The clocks of a machine."""

    def __init__(self, known_ns: int = WALL) -> None:
        self.now, self.wall_ns, self.slept_s = NOW, WALL, 0.0
        self.clock = WallClock(Clock(lambda: self.now, lambda: self.wall_ns, lambda: self.slept_s), known_ns)

    def surely_ns(self) -> int:
        return self.clock.surely_ns(self.clock.moment(lambda: SETTLE_S))

    def go_on(self, seconds: float) -> None:
        self.now += seconds
        self.wall_ns += int(seconds * S)

    def sleep(self, seconds: float) -> None:
        """Only the clock on the wall goes on, and the one that counts since the start of the machine."""
        self.slept_s += seconds
        self.wall_ns += int(seconds * S)


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_a_clock_that_was_set_is_not_compared_with_stamps_for_a_while(by_s: int):
    machine = Machine()
    assert machine.clock.moment(lambda: SETTLE_S).wall_goes_s == math.inf
    machine.go_on(100)
    machine.wall_ns += by_s * S
    at = machine.clock.moment(lambda: SETTLE_S)
    assert (at.wall_trusted, at.wall_goes_s, machine.clock.steps) == (False, 0.0, 1)
    assert machine.clock.last_step == pytest.approx((WALL - S, WALL + 100 * S, by_s * S), abs=10_000, rel=0)
    machine.go_on(SETTLE_S + STEP_S - 0.25)
    at = machine.clock.moment(lambda: SETTLE_S)
    assert (at.wall_trusted, at.wall_goes_s, machine.clock.steps) == (False, SETTLE_S + STEP_S - 0.25, 1)
    machine.go_on(0.25)
    at = machine.clock.moment(lambda: SETTLE_S)
    assert (at.wall_trusted, at.wall_goes_s, machine.clock.steps) == (True, SETTLE_S + STEP_S, 1)


def test_a_machine_that_slept_has_not_had_its_clock_set():
    machine = Machine()
    for _ in range(5):
        machine.go_on(8 * 3600)
        machine.sleep(16 * 3600)
        at = machine.clock.moment(lambda: SETTLE_S)
        assert (at.wall_trusted, at.wall_goes_s, machine.clock.steps) == (True, math.inf, 0)
    assert machine.clock.surely_ns(at) == machine.wall_ns


def test_a_clock_that_was_set_while_the_machine_slept_was_set():
    machine = Machine()
    machine.go_on(PROVEN_S)
    machine.clock.moment(lambda: SETTLE_S)
    machine.sleep(3600)
    machine.wall_ns += 1000 * S
    at = machine.clock.moment(lambda: SETTLE_S)
    assert (machine.clock.steps, at.wall_trusted) == (1, False)
    assert machine.clock.last_step.by_ns == pytest.approx(1000 * S, abs=10_000, rel=0)
    assert machine.clock.surely_ns(at) == pytest.approx(machine.wall_ns - 1000 * S, abs=10_000, rel=0)


def test_what_time_it_is_at_least_goes_on_while_the_clock_is_set_again_and_again():
    """Else, where a clock is set often, nothing would ever be known to be old enough to be dropped."""
    machine = Machine()
    for _ in range(4):
        machine.go_on(PROVEN_S / 2)
        machine.wall_ns += 1000 * S
        at = machine.clock.moment(lambda: SETTLE_S)
    assert machine.clock.steps == 4
    assert machine.clock.surely_ns(at) == pytest.approx(WALL + int(2 * PROVEN_S * S), abs=10_000, rel=0)


@pytest.mark.parametrize("asleep", [False, True])
def test_a_clock_that_is_ahead_of_the_receipts_is_right_after_a_day(*, asleep: bool):
    """Until then it may be years wrong, and what is dropped by it would be dropped too early."""
    machine = Machine(WALL - 365 * DAY)
    goes_on = machine.sleep if asleep else machine.go_on
    assert machine.surely_ns() == WALL - 365 * DAY
    goes_on(PROVEN_S - 1)
    assert machine.surely_ns() == pytest.approx(WALL - 364 * DAY - S, abs=10_000, rel=0)
    goes_on(1)
    assert machine.surely_ns() == machine.wall_ns == WALL + DAY
    machine.wall_ns += 1000 * S
    assert machine.surely_ns() == pytest.approx(WALL + DAY, abs=10_000, rel=0), "what it was before it was set"


def test_one_that_is_behind_the_receipts_tells_what_time_it_is_at_least():
    machine = Machine(WALL + 365 * DAY)
    machine.go_on(100)
    assert machine.surely_ns() == machine.wall_ns


def test_the_clocks_are_read_once_where_that_does_not_take_long():
    machine, read = Machine(), list[int]()

    def wall_ns() -> int:
        read.append(machine.wall_ns)
        return machine.wall_ns

    machine.clock._clock = Clock(lambda: machine.now, wall_ns, lambda: 0.0)
    machine.clock.moment(lambda: SETTLE_S)
    assert read == [WALL]


@pytest.mark.parametrize("stopped", [1, 2])
def test_a_process_that_is_stopped_between_two_clocks_has_not_seen_one_set(stopped: int):
    """By SIGSTOP, or on a machine that has too much to do."""
    machine = Machine()

    def wall_ns() -> int:
        nonlocal stopped
        if stopped:
            stopped -= 1
            machine.go_on(5)
        return machine.wall_ns

    machine.clock._clock = Clock(lambda: machine.now, wall_ns, lambda: 0.0)
    for _ in range(3):
        machine.go_on(1)
        at = machine.clock.moment(lambda: SETTLE_S)
        assert (at.now, at.wall_ns, machine.clock.steps) == (machine.now, machine.wall_ns, 0)


def test_how_long_this_machine_has_slept_is_known():
    assert slept_s() > -0.1
    assert slept_s() == pytest.approx(slept_s(), abs=0.1)
