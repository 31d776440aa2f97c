"""docs/reliability.md: what each guarantee promises, which tests prove it, what they measured, what they caught.

    python -m tests.reliability.page            write it
    python -m tests.reliability.page --tests    name the test modules that measure something

The figures come from the JSON that tests left (`tests.figures`), the mutations from `make mutations`; nothing here is
written by a hand but the sentences.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
KEPT = ROOT / "docs" / "reliability"
"""Where the figures of the last runs are kept."""


class Guarantee(NamedTuple):
    """One of the eight."""

    name: str
    title: str
    promise: str
    tests: tuple[str, ...]
    """Modules, or single tests in them, that prove it."""


@dataclass(frozen=True)
class Measured:
    """One line of a table of figures."""

    guarantee: str
    what: str
    values: tuple[float | str, ...]
    unit: str
    limit: float | None
    adds: bool
    test: str
    date: str

    @property
    def value(self) -> str:
        """As a person reads it."""
        numbers = [value for value in self.values if not isinstance(value, str)]
        if len(numbers) != len(self.values):
            shown = ", ".join(dict.fromkeys(str(value) for value in self.values))
        elif self.adds:
            shown = _number(sum(numbers))
        elif min(numbers) == max(numbers):
            shown = _number(numbers[0])
        else:
            shown = f"{_number(min(numbers))} to {_number(max(numbers))}"
        return f"{shown} {self.unit}".strip()


GUARANTEES = (
    Guarantee(
        "G1",
        "never torn",
        "In atomic mode nobody at the server ever sees a partial or mixed file under its final name. A file that changes"
        " during its upload is not published from that upload.",
        (
            "tests/model/test_whole_engine.py",
            "tests/model/test_stories.py",
            "tests/model/test_arrivals.py",
            "tests/model/test_episodes.py",
            "tests/contract/test_session.py",
            "tests/remote/test_misbehaving.py",
            "tests/remote/test_resume.py",
            "tests/e2e/test_crash.py",
            "tests/e2e/test_large_files.py",
            "tests/e2e/test_late.py",
            "tests/e2e/test_late_direct.py",
        ),
    ),
    Guarantee(
        "G2",
        "never early",
        "A file that some process holds open for writing is not published, nor one that has not been quiet for `settle`.",
        (
            "tests/model/test_episodes.py::test_a_file_that_is_being_written_is_not_published",
            "tests/local/test_quiet.py",
            "tests/core/test_settle.py",
            "tests/e2e/test_writers.py",
            "tests/e2e/test_slow_writers.py",
            "tests/e2e/test_clock.py",
        ),
    ),
    Guarantee(
        "G3",
        "nothing lost",
        "Whatever crashes, reboots or goes offline, every included file that is quiet on disk ends up published. Work may be"
        " repeated, never skipped.",
        (
            "tests/model/test_whole_engine.py",
            "tests/model/test_races.py",
            "tests/model/test_troubles.py",
            "tests/model/test_reloads.py",
            "tests/model/test_passes.py",
            "tests/model/test_passes_elsewhere.py",
            "tests/model/test_stories.py::test_trouble_at_every_step",
            "tests/core/test_plan.py::test_passes_converge_to_the_disk",
            "tests/mapping/test_intents.py",
            "tests/mapping/test_mirror.py",
            "tests/local/test_watch_loss.py",
            "tests/e2e/test_crash.py",
            "tests/e2e/test_storm.py",
            "tests/e2e/test_late.py",
            "tests/e2e/test_outage.py",
        ),
    ),
    Guarantee(
        "G4",
        "nothing wrongly deleted",
        "A delete goes out only for a path that the ledger says we published, that is confirmed absent below a folder that"
        " is provably the same, after `delete_after`, and within `max_deletes`; else it waits for a person.",
        (
            "tests/model/test_whole_engine.py",
            "tests/model/test_stories.py",
            "tests/model/test_arrivals.py",
            "tests/model/test_episodes.py",
            "tests/core/test_deletes.py",
            "tests/local/test_scan.py",
            "tests/e2e/test_source.py",
        ),
    ),
    Guarantee(
        "G5",
        "isolation",
        "A dead server, a full server, a bad file or a slow folder delays nothing else.",
        (
            "tests/publishing/test_crew.py",
            "tests/publishing/test_given_up.py",
            "tests/daemon/test_service.py::test_a_disk_that_hangs_while_its_files_are_opened_keeps_no_other_mapping_waiting",
            "tests/mapping/test_slices.py",
            "tests/e2e/test_isolation.py",
            "tests/e2e/test_five_servers.py",
            "tests/core/test_schedule.py",
            "tests/engine/test_outcomes.py",
        ),
    ),
    Guarantee(
        "G6",
        "bounded",
        "Memory, threads, connections and log volume do not grow with the backlog or the length of an outage.",
        (
            "tests/e2e/test_scale.py",
            "tests/e2e/test_outage.py",
            "tests/e2e/test_backlog.py",
            "tests/core/test_schedule.py",
            "tests/local/test_changes.py",
            "tests/remote/test_pool.py",
        ),
    ),
    Guarantee(
        "G7",
        "closed",
        "TLS with verification unless the configuration says otherwise; secrets reach no log, status, error or ledger; no name"
        " on disk or from a server can inject a command or escape a root.",
        (
            "tests/test_logs.py",
            "tests/remote/test_hostile_listing.py",
            "tests/remote/test_misbehaving.py",
            "tests/contract/test_session.py",
            "tests/control/test_guard.py",
            "tests/e2e/test_odd_names.py",
            "tests/e2e/test_secrets.py",
        ),
    ),
    Guarantee(
        "G8",
        "explains itself",
        "For every path and every delay there is one sentence that says why and what would change it.",
        (
            "tests/model/test_episodes.py::test_for_every_delay_there_is_a_sentence",
            "tests/e2e/test_site_commands.py",
            "tests/e2e/test_wrong_input.py",
        ),
    ),
)


def figures(folder: Path = KEPT / "figures") -> list[Measured]:
    """What the tests measured; the variants of one test are taken together."""
    found: dict[tuple[str, str, str], Measured] = {}
    for file in sorted(folder.glob("*.json")):
        held = json.loads(file.read_text())
        test = re.sub(r"\[.*", "", held["test"])
        for figure in held["figures"]:
            key = (figure["guarantee"], figure["what"], test)
            before = found.get(key)
            found[key] = Measured(
                figure["guarantee"],
                figure["what"],
                (*(before.values if before else ()), figure["value"]),
                figure["unit"],
                figure["limit"],
                figure.get("adds", False),
                test,
                max(held["date"], before.date if before else ""),
            )
    return [found[key] for key in sorted(found)]


def mutations(file: Path = KEPT / "mutations.json") -> list[dict[str, str]]:
    """The mutations of the last run, all of them caught."""
    return list(json.loads(file.read_text())) if file.exists() else []


def render(measured: Iterable[Measured], caught: Iterable[dict[str, str]]) -> str:
    """The page."""
    measured, caught = list(measured), list(caught)
    lines = [
        "# Reliability",
        "",
        "What ftpsyncd guarantees, and why one may believe it. This page is written by `make reliability` from what tests",
        "measured; no figure in it was typed. For each guarantee: the promise, the tests that prove it, what they measured,",
        "and the mutations: changes of the source that break the promise on purpose, each of which makes a test fail",
        "(`make mutations`). How the guarantees are kept is in [architecture.md](architecture.md).",
        "",
        "The instrument behind most of it is a model of the whole daemon in one thread (`tests/model/`): the real engine,",
        "ledger, workers and disk, a server in memory, and a clock that the test winds. It throws dice over what users do,",
        "what the server does, what reaches it late, and where the daemon dies, and checks after every step what a visitor of",
        "the server sees. `make test` runs some sequences of it, the same each time, `make soak` thousands of others.",
    ]
    for guarantee in GUARANTEES:
        lines += ["", f"## {guarantee.name} {guarantee.title}", "", guarantee.promise, "", "Tests:", ""]
        lines += [f"- `{test}`" for test in guarantee.tests]
        own = [each for each in measured if each.guarantee == guarantee.name]
        if own:
            lines += ["", "| measured | value | bound | on | by |", "| --- | --- | --- | --- | --- |"]
            lines += [_row(each) for each in own]
        broken = [each for each in caught if each["guarantee"] == guarantee.name]
        if broken:
            lines += ["", "| if … | … it is noticed by | on |", "| --- | --- | --- |"]
            lines += [f"| {each['what']} | `{each['test']}` | {each['date']} |" for each in broken]
    return "\n".join(lines) + "\n"


def _row(measured: Measured) -> str:
    limit = "" if measured.limit is None else f"{_number(measured.limit)} {measured.unit}".strip()
    return f"| {measured.what} | {measured.value} | {limit} | {measured.date} | `{measured.test}` |"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def measuring() -> list[str]:
    """The modules whose tests measure something."""
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    return [f"{module.relative_to(ROOT)}" for module in modules if re.search(r"\bfigures\.tell\(", module.read_text())]


def main(arguments: list[str]) -> None:
    """Write the page, or say what has to run before."""
    if "--tests" in arguments:
        print(*measuring())
    else:
        PAGE.write_text(render(figures(), mutations()))


if __name__ == "__main__":
    main(sys.argv[1:])
