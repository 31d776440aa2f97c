from __future__ import annotations

import pytest

from benchmarks.markers import replace_between
from benchmarks.scale import report
from benchmarks.scale.__main__ import PAGE, RESULTS
from benchmarks.scale.load import _trend
from benchmarks.scale.record import Case, Results, from_json, load, to_json
from benchmarks.scale.rows import ROWS, Row, Target, Term
from ftpsyncd.control.feed import ROOM
from ftpsyncd.core import filters
from ftpsyncd.core.settle import DIRTY_DIRECTORIES
from ftpsyncd.ledger import book
from ftpsyncd.mapping.site import QUEUE_ROOM
from ftpsyncd.publishing import existing

MACHINE = {"cores": 2, "processor": "any", "kernel": "6.1", "python": "3.11.2", "contenders": {"find": "4.9.0"}}
ROW = Row(
    "start",
    "Start",
    "{files:,} files.",
    (
        Target("time", Term("start_s"), 6.0, Term("start_s", "find"), "ratio"),
        Target("peak memory", Term("peak_mib", statistic="max"), 200.0),
        Target("more than elsewhere", Term("start_s"), 1.0, Term("start_s", row="other"), "difference"),
    ),
)


def case(**values: list[float]) -> Case:
    some = Case("start", facts={"files": 1000})
    some.values = {"ftpsyncd": {"start_s": [6.0, 2.0, 4.0], "peak_mib": [50.0, 201.0, 60.0], **values}}
    some.values["find"] = {"start_s": [1.0, 0.5, 2.0]}
    return some


def measured(*cases: Case) -> list[float | None]:
    return [verdict.measured for verdict in report.verdicts(Results(MACHINE, list(cases)), [ROW])]


def test_ratios_are_those_of_medians_and_a_maximum_is_one() -> None:
    other = Case("other", values={"ftpsyncd": {"start_s": [1.0]}})
    assert measured(case(), other) == [4.0, 201.0, 3.0]


def test_a_bound_is_kept_by_what_equals_it_and_broken_by_what_is_rounded_to_it() -> None:
    reached = [v.is_reached for v in report.verdicts(Results(MACHINE, [case(start_s=[6.0])]), [ROW])]
    assert reached == [True, False, False]
    barely = Results(MACHINE, [case(start_s=[6.0001])])
    assert "| 6.00 \u00d7 | 6.00 \u00d7 | **not reached** |" in report.render(barely, [ROW])


def test_without_both_sides_nothing_is_claimed() -> None:
    alone = case()
    del alone.values["find"]
    assert measured(alone) == [None, 201.0, None]
    assert "| — | not measured |" in report.render(Results(MACHINE, [alone]), [ROW])


def test_a_peer_that_is_missing_is_named() -> None:
    some = case()
    some.left_out = {"lsyncd": "not installed"}
    assert "lsyncd is left out: not installed." in report.render(Results(MACHINE, [some]), [ROW])


def test_p99_is_the_value_that_one_in_a_hundred_exceeds() -> None:
    some = Case("close", values={"ftpsyncd": {"latency_ms": [float(n) for n in range(200)]}})
    assert some.statistic("ftpsyncd", "latency_ms", "p99") == 198.0


def test_results_survive_the_file_and_take_the_place_of_their_predecessors() -> None:
    results = Results(MACHINE, [case()])
    again = case(start_s=[9.0])
    results.add(again)
    results.add(Case("start", "large", series={"at_s": [0.0, 1.5], "threads": [3, 3]}, left_out={"x": "y"}))
    assert results.cases[0] is again
    assert from_json(to_json(results)) == results


@pytest.mark.parametrize(("samples", "rise"), [([5.0] * 30, 0.0), ([float(n) for n in range(30)], 19.0)])
def test_growth_is_judged_by_the_last_two_thirds(samples: list[float], rise: float) -> None:
    assert _trend([float(n) for n in range(30)], samples) == pytest.approx((rise, 0.0), abs=1e-9)


def test_the_page_says_what_the_results_say() -> None:
    page = PAGE.read_text()
    assert replace_between(page, report.BEGIN, report.END, report.render(load(RESULTS))) == page


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("The last {} rows that were read", book._REMEMBERED),
        ("while {} actions wait", QUEUE_ROOM),
        ("there are {} each", filters._REMEMBERED_DIRECTORIES),
        ("there are {} each", DIRTY_DIRECTORIES),
        ("The {} directories that were made last", existing._FRESH_DIRECTORIES),
        ("the last {} of them again", ROOM),
    ],
)
def test_the_page_says_how_much_a_daemon_keeps_in_memory(said: str, limit: int) -> None:
    assert said.format(f"{limit:,}") in " ".join(PAGE.read_text().split())


def test_targets_name_rows_that_there_are() -> None:
    keys = {row.key for row in ROWS}
    assert {each.row or row.key for row in ROWS for t in row.targets for each in (t.term, t.beside) if each} == keys
