"""The failures of a ledger: how many there are, which are tried again, and which of those that are parked may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ftpsyncd.core.plan import KEPT
from ftpsyncd.errors import NameNotSendableError, NameRefusedError, ServerFullError, UnwrittenError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.failures import CHANGED, FailureCounts, Failures, ParkedIn, Trial
from ftpsyncd.model import Failure, Fingerprint
from tests.core.vocabulary import WALL, S, made
from tests.ledger.twomappings import MAPPING, OTHER, two_mappings

REFUSED = NameRefusedError.__name__
FULL = ServerFullError.__name__
UNWRITTEN = UnwrittenError.__name__
NOT_SENDABLE = NameNotSendableError.__name__


ledger = pytest.fixture(two_mappings)


def failed(
    kind: str = REFUSED, *, parked: bool = True, ago_s: float = 0, size: int | None = 10, tries: int = 1
) -> Failure:
    fingerprint = None if size is None else Fingerprint(size, 1, 7)
    failed_ns = WALL - int(ago_s * S)
    return Failure(fingerprint, tries, parked, failed_ns + S, kind, "no", "550 No.", "", failed_ns)


def waiting(kind: str = REFUSED, *, ago_s: float = 0) -> Failure:
    return failed(kind, parked=False, ago_s=ago_s)


def test_what_is_counted_with_each_change_is_what_there_is(ledger: Ledger) -> None:
    """A status asks for it four times a second, and does not go through all of them."""
    failures = ledger.failures
    assert failures.counts(MAPPING) == FailureCounts(0, 0)
    changes: list[tuple[Callable[[], object], FailureCounts]] = [
        (lambda: failures.put(MAPPING, "d/a", waiting()), FailureCounts(1, 0)),
        (lambda: failures.put(MAPPING, "d/b", failed()), FailureCounts(1, 1)),
        (lambda: failures.put(MAPPING, "d/c", failed(CHANGED)), FailureCounts(1, 1, 1)),
        (lambda: failures.put(MAPPING, "d/d", waiting(CHANGED)), FailureCounts(2, 1, 1)),
        (lambda: failures.put(OTHER, "d/a", failed()), FailureCounts(2, 1, 1)),
        (lambda: failures.put(MAPPING, "d/a", failed()), FailureCounts(1, 2, 1)),
        (lambda: failures.put(MAPPING, "d/a", waiting()), FailureCounts(2, 1, 1)),
        (lambda: failures.release(MAPPING, "d/b"), FailureCounts(3, 0, 1)),
        (lambda: failures.release(MAPPING, "d/b"), FailureCounts(3, 0, 1)),
        (lambda: failures.release(MAPPING, "unknown"), FailureCounts(3, 0, 1)),
        (lambda: failures.put(MAPPING, "e/a", failed()), FailureCounts(3, 1, 1)),
        (lambda: failures.put(MAPPING, "d/b", failed()), FailureCounts(2, 2, 1)),
        (lambda: failures.release_in(MAPPING, "d"), FailureCounts(3, 1, 1)),
        (lambda: failures.clear(MAPPING, "d/c"), FailureCounts(3, 1)),
        (lambda: failures.clear(MAPPING, "unknown"), FailureCounts(3, 1)),
        (lambda: failures.clear_below(MAPPING, "d"), FailureCounts(0, 1)),
        (lambda: failures.clear_below(MAPPING, "d"), FailureCounts(0, 1)),
        (lambda: failures.put(MAPPING, "e/b", waiting()), FailureCounts(1, 1)),
        (lambda: failures.clear_all(MAPPING), FailureCounts(0, 0)),
    ]
    for step, (change, counts) in enumerate(changes):
        change()
        assert failures.counts(MAPPING) == counts, step
        failures.recount(MAPPING)
        assert failures.counts(MAPPING) == counts, step
    assert failures.counts(OTHER) == FailureCounts(0, 1)


def test_what_is_known_is_not_counted_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read = ledger.failures._read

    def counted(sql: str, values: Sequence[object]) -> Cursor:
        asked.append(sql)
        return read(sql, values)

    ledger.failures.put(MAPPING, "a", failed())
    monkeypatch.setattr(ledger.failures, "_read", counted)
    for _ in range(3):
        assert ledger.failures.counts(MAPPING) == FailureCounts(0, 1)
        assert ledger.failures.counts(OTHER) == FailureCounts(0, 0)
        assert (ledger.failures.tries(OTHER, "a"), ledger.failures.without_space(OTHER)) == (0, [])
        assert ledger.failures.parked_by_directory(OTHER, TRIAL) == []
    assert len(asked) == 1, "of the other one it is known that nothing of it has failed"


def test_how_many_were_cleared_is_told(ledger: Ledger) -> None:
    for path in ("d/a", "d/e/b", "d2/c", "c"):
        ledger.failures.put(MAPPING, path, failed())
    ledger.failures.put(OTHER, "d/a", failed())
    assert ledger.failures.clear_below(MAPPING, "d") == 2
    assert ledger.failures.clear_below(MAPPING, "d") == 0
    assert ledger.failures.clear_all(MAPPING) == 2
    assert ledger.failures.clear_all(MAPPING) == 0
    assert ledger.failures.of(OTHER, "d/a") is not None


def test_what_failed_before_a_restart_is_known_after_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.mappings.number("one", "u@host:21/one")
        ledger.failures.put(MAPPING, "a", failed(FULL, tries=3)._replace(parked=False))
        ledger.failures.put(MAPPING, "b", failed())
        ledger.commit()
    with Ledger(tmp_path / "ledger") as ledger:
        failures = ledger.failures
        assert failures.counts(MAPPING) == FailureCounts(1, 1)
        assert (failures.tries(MAPPING, "a"), failures.tries(MAPPING, "unknown")) == (3, 0)
        assert failures.without_space(MAPPING) == ["a"]
        assert [each.directory for each in failures.parked_by_directory(MAPPING, Trial(0, WALL + S, 0))] == [""]
        failures.redate(MAPPING, WALL, WALL, 5)
        assert {failure.failed_ns for _, failure in failures.all(MAPPING)} == {WALL + 5}
        failures.clear(MAPPING, "b")
        assert [path for path, _ in failures.all(MAPPING)] == ["a"]


def test_what_is_tried_again_keeps_its_tries(ledger: Ledger) -> None:
    ledger.failures.put(MAPPING, "d/a", failed(tries=5, ago_s=60))
    ledger.failures.release(MAPPING, "d/a")
    failure = ledger.failures.of(MAPPING, "d/a")
    assert failure == failed(tries=5, ago_s=60)._replace(parked=False, next_try_ns=WALL - 60 * S)


def test_files_that_wait_for_space_are_those_for_which_there_was_none(ledger: Ledger) -> None:
    failures = ledger.failures
    assert failures.without_space(MAPPING) == []
    for number, failure in enumerate(
        [waiting(FULL), waiting(UNWRITTEN, ago_s=9), waiting(), failed(FULL), waiting(FULL)]
    ):
        failures.put(MAPPING, f"d/{number}", failure)
    failures.put(OTHER, "d/9", waiting(FULL))
    failures.redate(MAPPING, WALL, WALL, 1)
    failures.put(MAPPING, "d/4", waiting(FULL))
    assert failures.without_space(MAPPING) == ["d/1", "d/4", "d/0"], "those first that have waited longest"
    assert failures.without_space(MAPPING, 2) == ["d/1", "d/4"]


def test_files_that_wait_for_space_in_a_directory_are_told_however_many_wait_elsewhere(ledger: Ledger) -> None:
    failures = ledger.failures
    for path, ago_s in {"a": 9, "d-/a": 8, "d": 7, "d/b": 2, "d/e/c": 3, "d/a": 1}.items():
        failures.put(MAPPING, path, waiting(FULL, ago_s=ago_s))
    assert failures.without_space(MAPPING, below="d") == ["d/e/c", "d/b", "d/a"]
    assert failures.without_space(MAPPING, 2, below="d") == ["d/e/c", "d/b"]
    assert failures.without_space(MAPPING, 2) == ["a", "d-/a"]


def test_files_that_were_changed_at_the_server_wait_for_a_person(ledger: Ledger) -> None:
    failures = ledger.failures
    for path, failure in {
        "a": failed(CHANGED),
        "d/e/b": failed(CHANGED),
        "d/c": failed(),
        "d2/d": waiting(CHANGED),
        "f": failed(CHANGED),
    }.items():
        failures.put(MAPPING, path, failure)
    assert sorted(failures.changed_at_server(MAPPING)) == ["a", "d/e/b", "f"]
    assert len(failures.changed_at_server(MAPPING, 2)) == 2
    assert failures.changed_at_server(OTHER) == []
    found = {each: failures.any_changed_below(MAPPING, each) for each in ("d", "d/e", "d2", "f", "unknown", "")}
    assert [each for each, any_ in found.items() if any_] == ["d", "d/e", ""]
    assert not failures.any_changed_below(OTHER, "d")


TRIAL = Trial(empty_dirs=0, now_ns=WALL, wait_ns=S)
"""A file waits for a second for each of its bytes."""


def parked_in(failures: Failures, trial: Trial = TRIAL) -> dict[str, str | None]:
    """Each directory of which something may be tried now, and what that is first."""
    found = failures.parked_by_directory(MAPPING, trial)
    return {each.directory: failures.first_parked_in(MAPPING, each.directory, trial) for each in found}


def test_of_what_is_parked_that_is_tried_first_which_failed_longest_ago(ledger: Ledger) -> None:
    failures = ledger.failures
    assert failures.parked_by_directory(MAPPING, TRIAL) == []
    failures.put(MAPPING, "d/a", failed(ago_s=60, tries=2))
    failures.put(MAPPING, "d/b", failed(ago_s=90, tries=7))
    failures.put(MAPPING, "d/c", failed(ago_s=5, tries=3))
    failures.put(MAPPING, "e", failed(ago_s=10))
    failures.put(OTHER, "f/a", failed(ago_s=60))
    assert sorted(failures.parked_by_directory(MAPPING, TRIAL)) == [
        ParkedIn("", WALL - 10 * S, WALL - 10 * S, 1),
        ParkedIn("d", WALL - 90 * S, WALL - 5 * S, 7),
    ]
    assert parked_in(failures) == {"": "e", "d": "d/b"}
    assert failures.first_parked_in(MAPPING, "unknown", TRIAL) is None


@pytest.mark.parametrize("kind", [CHANGED, KEPT, NOT_SENDABLE, ""])
def test_what_nothing_mends_at_the_server_is_not_tried(ledger: Ledger, kind: str) -> None:
    failures = ledger.failures
    failures.put(MAPPING, "d/a", failed(kind, ago_s=60) if kind else waiting(ago_s=60))
    assert parked_in(failures) == {}
    failures.release_in(MAPPING, "d")
    failure = failures.of(MAPPING, "d/a")
    assert failure is not None
    assert failure.parked is bool(kind)


@pytest.mark.parametrize(("ago_s", "tried"), [(9, False), (10, True), (3600, True), (-1, True)])
def test_a_file_is_tried_when_it_has_waited_for_as_long_as_its_size_asks(
    ledger: Ledger, ago_s: float, *, tried: bool
) -> None:
    """Or when its date is yet to come: the clock was ahead then."""
    ledger.failures.put(MAPPING, "d/a", failed(size=10, ago_s=ago_s))
    assert parked_in(ledger.failures) == ({"d": "d/a"} if tried else {})


@pytest.mark.parametrize(("empty_dirs", "published", "tried"), [(0, False, False), (1, False, True), (0, True, True)])
def test_what_is_no_file_is_tried_if_that_alone_is_wanted(
    ledger: Ledger, empty_dirs: int, *, published: bool, tried: bool
) -> None:
    """A directory that is made for what is in it is tried with that; a delete has a row."""
    ledger.failures.put(MAPPING, "d/e", failed(size=None))
    ledger.put(MAPPING, "d/f" if not published else "d/e", made())
    ledger.put(OTHER, "d/e", made())
    assert parked_in(ledger.failures, TRIAL._replace(empty_dirs=empty_dirs)) == ({"d": "d/e"} if tried else {})


def test_only_what_may_be_tried_in_a_directory_is_tried_first(ledger: Ledger) -> None:
    ledger.failures.put(MAPPING, "d/large", failed(size=1000, ago_s=60))
    ledger.failures.put(MAPPING, "d/small", failed(size=1, ago_s=5))
    assert parked_in(ledger.failures) == {"d": "d/small"}


def test_the_failures_of_some_names_are_read_at_once(ledger: Ledger) -> None:
    for path in ("d/a", "d/b", "d/e/a", "a"):
        ledger.failures.put(MAPPING, path, failed(tries=len(path)))
    ledger.failures.put(OTHER, "d/c", failed())
    assert ledger.failures.of_names(MAPPING, "d", []) == {}
    assert ledger.failures.of_names(MAPPING, "d", ["a", "c", "e"]) == {"a": failed(tries=3)}
    assert sorted(ledger.failures.names_in(MAPPING, "d")) == ["a", "b"]


def test_what_failed_between_two_moments_did_so_later_when_the_clock_was_set(ledger: Ledger) -> None:
    for path, ago_s in (("before", 9), ("first", 8), ("last", 2), ("after", 1)):
        ledger.failures.put(MAPPING, path, failed(ago_s=ago_s))
    ledger.failures.put(OTHER, "first", failed(ago_s=8))
    ledger.failures.redate(MAPPING, WALL - 8 * S, WALL - 2 * S, 100 * S)
    later_s = {path: (failure.failed_ns - WALL) // S for path, failure in ledger.failures.all(MAPPING)}
    assert later_s == {"before": -9, "first": 92, "last": 98, "after": -1}
    assert all(failure.next_try_ns == failure.failed_ns + S for _, failure in ledger.failures.all(MAPPING))
    assert ledger.failures.of(OTHER, "first") == failed(ago_s=8)
