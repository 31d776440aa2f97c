"""When a person is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.core.alarms import (
    CALM_S,
    MOST,
    STUCK_S,
    WINDOW_S,
    Alarms,
    AlertKind,
    Condition,
    Key,
    Notice,
    Step,
    conditions,
)
from ftpsyncd.specs import AlertLimits
from ftpsyncd.status import DaemonStatus, MappingState, MappingStatus, ServerState, ServerStatus, Status

LIMITS = AlertLimits(server_offline_s=300, oldest_pending_s=100, source_missing_s=60, paused_s=50, remind_s=1000)
HELD: Key = (AlertKind.HELD, "a")
AWAY: Key = (AlertKind.SERVER_OFFLINE, "web")
WELL = MappingStatus("a", "/a", "web:/a", MappingState.IN_SYNC, 0, 0, 0, 0, 0, 1, 1, None, "")


def status(mapping: MappingStatus = WELL, server: ServerState = ServerState.ONLINE) -> Status:
    daemon = DaemonStatus(running=True, pid=1, version="0", uptime_s=1)
    return Status(daemon, (mapping,), (ServerStatus("web", server, 1, "why"),), ())


def steps(alarms: Alarms, shown: dict[Key, Condition], now: float) -> list[Step]:
    return [notice.step for notice in alarms.judge(shown, now)]


# ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_is_well():
    assert conditions(status(), LIMITS) == {}


@pytest.mark.parametrize("state", [ServerState.OFFLINE, ServerState.REFUSED, ServerState.FULL])
def test_a_server_that_is_away(state: ServerState):
    found = conditions(status(server=state), LIMITS)
    assert found.keys() == {AWAY}
    assert found[AWAY].patience_s == 300
    assert "why" in found[AWAY].message


@pytest.mark.parametrize(
    ("state", "helps"),
    [
        (ServerState.OFFLINE, "published when it is back"),
        (ServerState.REFUSED, "`ftpsyncd check` says what to correct"),
        (ServerState.FULL, "Free space there"),
    ],
)
def test_what_helps_depends_on_what_is_wrong_with_a_server(state: ServerState, helps: str):
    remedy = conditions(status(server=state), LIMITS)[AWAY].remedy
    assert helps in remedy
    assert "`ftpsyncd retry --server web`" in remedy


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"held": 3, "state": MappingState.HELD}, AlertKind.HELD),
        ({"parked": 1}, AlertKind.PARKED),
        ({"state": MappingState.PAUSED}, AlertKind.PAUSED),
        ({"state": MappingState.SOURCE_MISSING, "message": "gone"}, AlertKind.SOURCE_MISSING),
        ({"oldest_pending_s": 101.0}, AlertKind.OLDEST_PENDING),
    ],
)
def test_a_mapping_that_needs_somebody(change: dict[str, Any], kind: AlertKind):
    assert conditions(status(WELL._replace(**change)), LIMITS).keys() == {(kind, "a")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"parked": 1}, "a: 1 file cannot be published without you"),
        ({"parked": 2}, "a: 2 files cannot be published without you"),
        ({"held": 1, "message": "why", "state": MappingState.HELD}, "a: 1 delete is held: why"),
        ({"held": 2, "message": "why", "state": MappingState.HELD}, "a: 2 deletes are held: why"),
        ({"held": 1204}, "a: 1,204 deletes are held"),
        ({"directories_held": 1, "message": "why", "state": MappingState.HELD}, "a: 1 directory is held: why"),
        ({"directories_held": 2}, "a: 2 directories are held"),
        ({"held": 1, "directories_held": 2}, "a: 1 delete is held"),
        ({"message": "why", "state": MappingState.HELD}, "a: whatever is deleted is held: why"),
    ],
)
def test_one_is_not_told_as_many(change: dict[str, Any], expected: str):
    [condition] = conditions(status(WELL._replace(**change)), LIMITS).values()
    assert condition.message == expected


@pytest.mark.parametrize("state", [MappingState.PAUSED, MappingState.SOURCE_MISSING])
def test_why_something_is_held_is_not_what_else_is_the_matter(state: MappingState):
    found = conditions(status(WELL._replace(state=state, held=2, message="something else")), LIMITS)
    assert found[HELD].message == "a: 2 deletes are held"


@pytest.mark.parametrize("state", list(MappingState))
def test_what_decides_about_deletes_is_named_unless_it_would_decide_nothing(state: MappingState):
    """Of a folder that is missing, `approve` and `discard` say that nothing was decided."""
    remedy = conditions(status(WELL._replace(state=state, held=2)), LIMITS)[HELD].remedy
    assert ("`ftpsyncd approve a`" in remedy) is (state is not MappingState.SOURCE_MISSING)
    assert ("`ftpsyncd status`" in remedy) is (state is MappingState.SOURCE_MISSING)


def test_what_decides_about_deletes_is_named_once():
    held = WELL._replace(state=MappingState.HELD, held=2, message="gone: `ftpsyncd approve a` deletes them")
    condition = conditions(status(held), LIMITS)[HELD]
    assert (condition.message, condition.remedy) == (f"a: 2 deletes are held: {held.message}", "")


def test_it_is_told_what_waits_for_so_long():
    late = WELL._replace(oldest_pending_s=7200.0, oldest_pending="film: a program has it open for writing")
    [condition] = conditions(status(late), LIMITS).values()
    assert condition.message == (
        "a: a file or folder has been waiting for 2 h: film: a program has it open for writing"
    )


def test_a_paused_mapping_is_not_also_late():
    paused = WELL._replace(state=MappingState.PAUSED, oldest_pending_s=1e6)
    assert conditions(status(paused), LIMITS).keys() == {(AlertKind.PAUSED, "a")}


def test_a_machine_that_lacks_something_is_told_at_once():
    lacking = status(WELL)
    lacking = lacking._replace(daemon=lacking.daemon._replace(shortage="No file can be opened."))
    found = conditions(lacking, LIMITS)
    assert found.keys() == {(AlertKind.SHORTAGE, "")}
    (condition,) = found.values()
    assert (condition.message, condition.patience_s) == ("No file can be opened.", 0)
    assert "Nothing is lost" in condition.remedy


def test_a_ledger_that_cannot_be_written_is_told_at_once():
    shown = status()._replace(daemon=status().daemon._replace(message="The ledger cannot be written."))
    found = conditions(shown, LIMITS)
    assert found.keys() == {(AlertKind.LEDGER, "")}
    assert (found[AlertKind.LEDGER, ""].message, found[AlertKind.LEDGER, ""].patience_s) == (
        "The ledger cannot be written.",
        0,
    )


def test_a_daemon_that_is_stuck_is_told_unless_it_goes_on_in_a_moment():
    """It may have been stopped as a whole, as its machine was."""
    shown = status()._replace(daemon=status().daemon._replace(stuck="It waits for a disk."))
    found = conditions(shown, LIMITS)
    assert found.keys() == {(AlertKind.STUCK, "")}
    assert (found[AlertKind.STUCK, ""].message, found[AlertKind.STUCK, ""].patience_s) == (
        "It waits for a disk.",
        STUCK_S,
    )


def test_a_ledger_begun_anew_is_told_once_and_not_recalled():
    shown = status()._replace(daemon=status().daemon._replace(notice="a new one was begun"))
    found = conditions(shown, LIMITS)
    assert found[AlertKind.NEW_LEDGER, ""].message == "a new one was begun"
    alarms = Alarms(LIMITS)
    assert steps(alarms, found, 0) == [Step.RAISED]
    assert steps(alarms, found, 5000) == []


# ── When it is told ──────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_told_once_recalled_and_told_to_be_over():
    alarms, shown = Alarms(LIMITS), {HELD: Condition("m", "r")}
    assert steps(alarms, shown, 0) == [Step.RAISED]
    assert steps(alarms, shown, 999) == []
    assert steps(alarms, shown, 1000) == [Step.REMINDER]
    assert steps(alarms, {}, 1100) == []
    assert steps(alarms, {}, 1100 + CALM_S - 1) == []
    (over,) = alarms.judge({}, 1100 + CALM_S)
    assert (over.step, over.lasted_s, over.remedy) == (Step.RECOVERED, 1100, "")
    assert steps(alarms, {}, 9999) == []


def test_patience():
    alarms, shown = Alarms(LIMITS), {AWAY: Condition("m", "r", 300)}
    assert steps(alarms, shown, 0) == []
    assert steps(alarms, shown, 299) == []
    (notice,) = alarms.judge(shown, 300)
    assert (notice.step, notice.kind, notice.subject, notice.lasted_s) == (Step.RAISED, *AWAY, 300)


def test_what_goes_before_it_was_told_is_never_told():
    alarms, shown = Alarms(LIMITS), {AWAY: Condition("m", "r", 300)}
    assert steps(alarms, shown, 0) == []
    assert steps(alarms, {}, 100) == []
    assert steps(alarms, shown, 200) == []
    assert steps(alarms, shown, 450) == []


def test_flapping_makes_two_messages():
    alarms, told = Alarms(LIMITS), []
    for now in range(0, 400, 10):
        told += steps(alarms, {HELD: Condition("m", "r")} if now % 20 else {}, now)
    for now in range(400, 400 + int(CALM_S) + 20, 10):
        told += steps(alarms, {}, now)
    assert told == [Step.RAISED, Step.RECOVERED]


@pytest.mark.parametrize(("paused_s", "quiet_s"), [(10, 10), (1000, 100)])
def test_what_a_pause_kept_waiting_is_late_when_it_waits_for_as_long_after_it(paused_s: int, quiet_s: int):
    """Who let a mapping go on was told in that moment that its files had been waiting for long."""
    alarms, late = Alarms(LIMITS), {(AlertKind.OLDEST_PENDING, "a"): Condition("why", "")}
    for now in range(0, paused_s + 1, 10):
        assert steps(alarms, {(AlertKind.PAUSED, "a"): Condition("why", "", 5000)}, now) == []
    assert steps(alarms, late, paused_s + 1) == steps(alarms, late, paused_s + quiet_s) == []
    assert steps(alarms, late, paused_s + quiet_s + 1) == [Step.RAISED]


def test_what_is_late_is_not_over_because_somebody_pauses_it():
    alarms = Alarms(LIMITS)
    late, paused = (AlertKind.OLDEST_PENDING, "a"), (AlertKind.PAUSED, "a")
    assert steps(alarms, {late: Condition("why", "")}, 0) == [Step.RAISED]
    for now in (1.0, 2 * CALM_S):
        assert steps(alarms, {paused: Condition("why", "", 1000)}, now) == []
    assert steps(alarms, {}, 300) == []
    assert steps(alarms, {}, 300 + CALM_S) == [Step.RECOVERED]


def test_no_reminders_are_possible():
    alarms = Alarms(LIMITS._replace(remind_s=0))
    assert steps(alarms, {HELD: Condition("m", "r")}, 0) == [Step.RAISED]
    assert steps(alarms, {HELD: Condition("m", "r")}, 1e9) == []


def test_what_could_not_be_told_is_told_when_there_is_room():
    alarms = Alarms(LIMITS)
    many = {(AlertKind.PARKED, str(n)): Condition("m", "r") for n in range(MOST + 7)}
    assert len(steps(alarms, many, 0)) == MOST
    assert steps(alarms, many, 10) == []
    later = alarms.judge(many, WINDOW_S)
    assert [notice.step for notice in later].count(Step.RAISED) == 7


@given(st.lists(st.tuples(st.floats(0.1, 500), st.booleans()), max_size=60))
def test_raised_and_recovered_alternate_and_are_bounded(story: list[tuple[float, bool]]):
    alarms, now, told = Alarms(LIMITS), 0.0, []
    for passed, shown in story:
        now += passed
        told += [(now, step) for step in steps(alarms, {HELD: Condition("m", "r")} if shown else {}, now)]
    ends = [step for _, step in told if step is not Step.REMINDER]
    assert ends == [Step.RAISED, Step.RECOVERED] * (len(ends) // 2) + [Step.RAISED] * (len(ends) % 2)
    for at, _ in told:
        assert sum(at - WINDOW_S < other <= at for other, _ in told) <= MOST


def test_what_is_over_is_told_with_how_long_it_lasted_and_has_been_over():
    alarms, condition = Alarms(LIMITS), Condition("Too many.", "Decide.")
    [raised] = alarms.judge({HELD: condition}, 5000.0)
    assert raised == Notice(Step.RAISED, *HELD, "Too many.", "Decide.", 0.0, 0.0)
    assert alarms.judge({HELD: condition}, 5010.0) == []
    assert alarms.judge({}, 5020.0) == []
    [over] = alarms.judge({}, 5020.0 + CALM_S)
    assert over == Notice(Step.RECOVERED, *HELD, "over: Too many.", "", 20.0, CALM_S)


@pytest.mark.parametrize(("waits_s", "told"), [(99.0, False), (100.0, False), (101.0, True)])
def test_what_waits_is_told_when_it_has_waited_for_longer_than_that(waits_s: float, *, told: bool):
    found = conditions(status(WELL._replace(oldest_pending_s=waits_s)), LIMITS)
    assert found.keys() == ({(AlertKind.OLDEST_PENDING, "a")} if told else set())
