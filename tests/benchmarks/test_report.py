from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.markers import replace_between
from benchmarks.record import Case, Results, Run, from_json, to_json
from benchmarks.scenarios import SCENARIOS, Scenario, Target, quick
from benchmarks.trees import TreeSpec, dates_kept, differences, layout, make_tree, manifest

TREE = TreeSpec(files=6, smallest=0, largest=3000, directories=4)
SCENARIO = Scenario(
    "a",
    "Six pictures",
    TREE,
    8,
    50,
    ("proftpd",),
    targets=(Target("time", ("lftp",), 0.5),),
)
MACHINE = {"cores": 2, "processor": "any", "kernel": "6.1", "python": "3.11.2"}
MACHINE |= {"congestion_control": "cubic", "contenders": {"lftp": "4.9.2"}}


def runs(*walls: float, cpu_s: float = 1.0, dated: bool = True) -> list[Run]:
    return [Run(wall, cpu_s, 20 * 1024, dated) for wall in walls]


def case(**changes: object) -> Case:
    some = Case("a", "proftpd", "1.3.8", "off", 8, 6, 9_000, 50, 50.2, 1500)
    some.runs = {"ftpsyncd": runs(4, 6, 5), "lftp": runs(11, 10, 30)}
    return replace(some, **changes)  # type: ignore[arg-type]


def test_a_ratio_is_that_of_medians() -> None:
    found = report.outcome(case(), Target("time", ("lftp",), 0.5))
    assert found is not None
    assert found.ratio == pytest.approx(5 / 11)
    assert found.is_reached


def test_the_fastest_peer_counts() -> None:
    some = case(runs={"ftpsyncd": runs(5), "lftp": runs(10), "curl": runs(4)})
    found = report.outcome(some, Target("time", ("lftp", "curl"), 1.0))
    assert found is not None
    assert (found.peer, found.ratio, found.is_reached) == ("curl", 1.25, False)


def test_a_rate_is_the_reverse_of_a_time_and_its_bound_a_lower_one() -> None:
    some = case(runs={"ftpsyncd": runs(5), "lftp": runs(4)})
    found = report.outcome(some, Target("rate", ("lftp",), 0.9))
    assert found is not None
    assert (found.ratio, found.is_reached) == (0.8, False)


def test_cpu_seconds_are_compared_with_cpu_seconds() -> None:
    some = case(runs={"ftpsyncd": runs(1, cpu_s=3), "lftp": runs(9, cpu_s=2)})
    found = report.outcome(some, Target("cpu", ("lftp",), 1.3))
    assert found is not None
    assert (found.ratio, found.is_reached) == (1.5, False)


def test_a_ratio_just_above_its_bound_is_not_reached_although_it_is_rounded_to_it() -> None:
    some = case(runs={"ftpsyncd": runs(0.5001), "lftp": runs(1)})
    assert "| ≤ 0.50 | 0.50 | **not reached** |" in report.render(Results(MACHINE, [some]), [SCENARIO])


def test_a_scenario_tells_when_and_at_which_commit_it_was_measured() -> None:
    some = case(day="2026-11-29", commit="0123456789")
    older = case(server="vsftpd", day="2026-11-21", commit="")
    scenario = replace(SCENARIO, servers=("proftpd", "vsftpd"))
    assert "\nMeasured on 2026-11-29 at commit 0123456789.\n" in report.render(Results(MACHINE, [some]), [scenario])
    both = report.render(Results(MACHINE, [some, older]), [scenario])
    assert "\nMeasured on 2026-11-29 at commit 0123456789 (proftpd); on 2026-11-21 (vsftpd).\n" in both
    undated = report.render(Results(MACHINE, [case(), older]), [scenario])
    assert "\nMeasured on 2026-11-21 (vsftpd).\n" in undated
    assert "Measured on 20" not in report.render(Results(MACHINE, [case()]), [scenario])


@pytest.mark.parametrize(
    "changes",
    [
        {"failed": {"lftp": "exit code 1"}},
        {"failed": {"ftpsyncd": "2 differences"}},
        {"runs": {"ftpsyncd": runs(1)}},
        {"runs": {"ftpsyncd": runs(1), "lftp": []}},
    ],
)
def test_without_both_sides_nothing_is_claimed(changes: dict[str, object]) -> None:
    text = report.render(Results(MACHINE, [case(**changes)]), [SCENARIO])
    assert "| ≤ 0.50 | — | not measured |" in text


def test_without_one_of_several_peers_nothing_is_claimed() -> None:
    assert report.outcome(case(), Target("time", ("lftp", "curl"), 1.0)) is None


def test_a_section_shows_medians_spread_and_what_is_missing() -> None:
    some = case(left_out={"rclone": "rclone is not installed"}, failed={"ftplib": "exit code 1"})
    text = report.render(Results(MACHINE, [some]), [SCENARIO])
    assert "### (a) Six pictures" in text
    assert "round trip 50 ms (TCP handshakes measured: 50.2 ms), packets of 1500 bytes" in text
    assert "| proftpd | **ftpsyncd** | 5.00 | 4.00\u20136.00 | 1.00 | 1.00 | 20 | yes |" in text
    assert "| proftpd | lftp | 11.00 | 10.00\u201330.00 | 2.20 | 1.00 | 20 | yes |" in text
    assert "proftpd: rclone is left out: rclone is not installed." in text
    assert "| proftpd | ftplib | failed: exit code 1 |" in text


def test_since_when_files_were_gone_is_told_where_they_are_deleted() -> None:
    some = Results(MACHINE, [case()])
    assert "The files had been gone for 11 s" in report.render(some, [replace(SCENARIO, gone_s=11)])
    assert "had been gone" not in report.render(some, [SCENARIO])


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    some = case(failed={"lftp": "exit code 1"})
    text = report.render(Results(MACHINE, [some]), [SCENARIO])
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_text_is_replaced_between_markers_only_and_as_often_as_wanted() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = replace_between(page, report.BEGIN, report.END, "new")
    assert once == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    assert replace_between(once, report.BEGIN, report.END, "new") == once


@pytest.mark.parametrize(
    "page", ["", report.BEGIN, f"{report.END} {report.BEGIN}", f"{report.BEGIN} {report.BEGIN} {report.END}"]
)
def test_a_page_without_its_markers_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        replace_between(page, report.BEGIN, report.END, "new")


def test_results_survive_their_file() -> None:
    results = Results(MACHINE, [case(tls="explicit", left_out={"curl": "x"})])
    assert from_json(to_json(results)) == results


def test_a_case_measured_again_takes_the_place_of_the_old_one() -> None:
    results = Results(MACHINE, [case(), case(server="vsftpd")])
    results.add(case(runs={"lftp": runs(1)}))
    assert [each.server for each in results.cases] == ["proftpd", "vsftpd"]
    assert results.cases[0].measured == ["lftp"]


def test_the_same_seed_makes_the_same_tree(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        make_tree(tmp_path / name, TREE, seed)
    one, two, three = (manifest(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert differences(one, three)
    assert {name: entry.size for name, entry in one.items()} == layout(TREE, 1)
    assert {name.split("/")[0] for name in one} == {"000", "001", "002", "003"}


def test_every_kind_of_difference_is_found(tmp_path: Path) -> None:
    make_tree(tmp_path / "here", TREE)
    make_tree(tmp_path / "there", TREE)
    wanted = manifest(tmp_path / "here")
    assert differences(wanted, manifest(tmp_path / "there")) == []
    assert dates_kept(wanted, manifest(tmp_path / "there"))

    first, second, *_ = sorted(wanted)
    (tmp_path / "there" / first).unlink()
    changed = tmp_path / "there" / second
    changed.write_bytes(b"x" * wanted[second].size)
    (tmp_path / "there" / "left.part").touch()
    problems = differences(wanted, manifest(tmp_path / "there"))
    assert [problem.partition(" (")[0] for problem in problems] == [
        f"different: {second}",
        f"missing: {first}",
        "too many: left.part",
    ]
    assert not dates_kept(wanted, manifest(tmp_path / "there"))


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert manifest(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.key)
def test_every_scenario_has_a_small_version_and_targets_that_can_be_judged(scenario: Scenario) -> None:
    small = quick(scenario)
    assert small.tree.files <= scenario.tree.files
    assert small.servers == ("proftpd",)
    for target in scenario.targets:
        assert set(target.peers) <= set(scenario.contenders)
        assert set(target.tls) & set(scenario.tls)
        assert set(target.servers) & set(scenario.servers)
    for contender, server in scenario.unable:
        assert contender in scenario.contenders
        assert server in scenario.servers
        assert not any(contender in target.peers and server in target.servers for target in scenario.targets)


def test_what_the_line_takes_is_said_beside_a_case_with_a_round_trip() -> None:
    # Six small files, two round trips of 50.2 ms each, eight connections: 0.0753 s; the median of lftp is 11 s.
    page = report.render(Results(MACHINE, [case()]), [SCENARIO])
    assert "proftpd 0.08 s, 0.01 of lftp's time" in page
    assert "round trips of these transfers" not in report.render(
        Results(MACHINE, [case(rtt_ms=None, mtu=None)]), [replace(SCENARIO, rtt_ms=None)]
    )


def test_who_publishes_nothing_keeps_no_dates_and_loses_none() -> None:
    some = case(runs={"ftpsyncd": runs(4), "openssl": runs(3, dated=False)})
    page = report.render(Results(MACHINE, [some]), [SCENARIO])
    (row,) = [line for line in page.splitlines() if line.startswith("| proftpd | openssl")]
    assert row.endswith("| — |")
