"""Tables from results: every number of docs/performance.md between its markers comes from here.

In: `Results`, scenarios with their targets. Out: Markdown. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.least import STANDARD_MTU, least_s
from benchmarks.record import Case, Quantity, Results
from benchmarks.scenarios import Scenario, Target
from benchmarks.trees import layout
from ftpsyncd.counting import number

BEGIN, END = "<!-- transfer:begin -->", "<!-- transfer:end -->"
_SIGN = {"time": "≤", "cpu": "≤", "rate": "≥"}
_WORDS = {"time": "wall time", "cpu": "CPU seconds", "rate": "transfer rate"}


@dataclass(frozen=True)
class Outcome:
    """A target beside what was measured."""

    case: Case
    target: Target
    peer: str
    """The best of the target's peers."""
    ratio: float

    @property
    def is_reached(self) -> bool:
        """Judged by the exact ratio, not by the rounded one."""
        return self.ratio >= self.target.bound if self.target.quantity == "rate" else self.ratio <= self.target.bound


def outcome(case: Case, target: Target) -> Outcome | None:
    """Ours beside the best peer; None if one of both was not measured."""
    quantity: Quantity = "cpu_s" if target.quantity == "cpu" else "wall_s"
    peers = [peer for peer in target.peers if peer in case.measured]
    # With a peer missing, the best of the others may not be the best.
    if OURS not in case.measured or len(peers) < len(target.peers):
        return None
    peer = min(peers, key=lambda name: case.median(name, quantity))
    ours, theirs = case.median(OURS, quantity), case.median(peer, quantity)
    return Outcome(case, target, peer, theirs / ours if target.quantity == "rate" else ours / theirs)


def render(results: Results, scenarios: Sequence[Scenario]) -> str:
    """The whole text between the markers."""
    parts = [_machine(results), _contenders(), _targets(results, scenarios), *_scenarios(results, scenarios)]
    return "\n\n".join(part for part in parts if part)


def verdicts(results: Results, scenarios: Sequence[Scenario]) -> list[str]:
    """The targets as lines for a terminal."""
    return [" | ".join(row) for row in _target_rows(results, scenarios)]


def _machine(results: Results) -> str:
    facts = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in facts["contenders"].items())
    servers = ", ".join(dict.fromkeys(f"{case.server} {case.server_version}" for case in results.cases))
    return (
        f"Measured on {facts['cores']} cores ({facts['processor']}), Linux {facts['kernel']}, Python {facts['python']},"
        f" congestion control {facts['congestion_control']}."
        f" Contenders: {versions}. Servers: {servers}."
    )


def _targets(results: Results, scenarios: Sequence[Scenario]) -> str:
    head = ("scenario", "server", "quantity, against", "target", "measured", "")
    return "### Targets\n\nRatios of medians, ftpsyncd's beside the other's.\n\n" + _table(
        head, _target_rows(results, scenarios)
    )


def _target_rows(results: Results, scenarios: Sequence[Scenario]) -> Iterator[tuple[str, ...]]:
    cases = {case.key: case for case in results.cases}
    for scenario in scenarios:
        for kind in scenario.servers:
            for tls in scenario.tls:
                for target in scenario.targets:
                    if kind in target.servers and tls in target.tls:
                        case = cases.get((scenario.key, kind, tls))
                        yield _target_row(scenario, _server(kind, tls), target, outcome(case, target) if case else None)


def _target_row(scenario: Scenario, server: str, target: Target, found: Outcome | None) -> tuple[str, ...]:
    peers = " and ".join(target.peers)
    bound = f"{_SIGN[target.quantity]} {target.bound:.2f}"
    if found is None:
        return scenario.key, server, f"{_WORDS[target.quantity]}, {peers}", bound, "—", "not measured"
    return (
        scenario.key,
        server,
        f"{_WORDS[target.quantity]}, {found.peer}",
        bound,
        f"{found.ratio:.2f}",
        "reached" if found.is_reached else "**not reached**",
    )


def _scenarios(results: Results, scenarios: Sequence[Scenario]) -> Iterator[str]:
    for scenario in scenarios:
        cases = [case for case in results.cases if case.scenario == scenario.key]
        if cases:
            yield _section(scenario, cases)


def _section(scenario: Scenario, cases: Sequence[Case]) -> str:
    first = cases[0]
    size = _size(first.size_bytes)
    files, connections = number(first.files, "file"), number(scenario.connections, "connection")
    way = "loopback"
    if first.rtt_ms is not None:
        handshakes = ", ".join(f"{case.measured_rtt_ms:.1f}" for case in cases)
        way = f"round trip {first.rtt_ms:g} ms (TCP handshakes measured: {handshakes} ms), packets of {first.mtu} bytes"
    lines = [f"### ({scenario.key}) {scenario.title}", f"{files}, {size}, {connections}, {way}."]
    head = ("server", "program", "time, s", "shortest–longest", "× ftpsyncd", "CPU, s", "memory, MiB", "dates kept")
    lines.append(_table(head, (row for case in cases for row in _case_rows(scenario, case)), right=range(2, 7)))
    for case in cases:
        server = _server(case.server, case.tls)
        lines += [f"{server}: {name} is left out: {why}." for name, why in case.left_out.items()]
    if when := _when(cases):
        lines.append(when)
    if least := _least(scenario, cases):
        lines.append(least)
    if scenario.gone_s:
        lines.append(
            f"The files had been gone for {scenario.gone_s:g} s when the programs started. That counts for"
            " `delete_after` (10 s); of what is deleted right before `sync` runs, ftpsyncd waits out the rest."
        )
    return "\n\n".join(lines)


def _when(cases: Sequence[Case]) -> str:
    """Cases may have been measured one by one; figures of older code are to be known for what they are."""
    servers: dict[str, list[str]] = {}
    for case in cases:
        if case.day:
            told = f"on {case.day}" + (f" at commit {case.commit}" if case.commit else "")
            servers.setdefault(told, []).append(_server(case.server, case.tls))
    if not servers:
        return ""
    if len(servers) == 1 and all(case.day for case in cases):
        return f"Measured {next(iter(servers))}."
    return "Measured " + "; ".join(f"{told} ({', '.join(some)})" for told, some in servers.items()) + "."


def _least(scenario: Scenario, cases: Sequence[Case]) -> str:
    """What the line itself takes, beside the targets."""
    if scenario.action != "upload" or scenario.rtt_ms is None or scenario.tls != ("off",):
        return ""
    return (
        "The round trips of these transfers alone (one for the data connection and one for each time that TCP's window"
        " is filled), with nothing before, between and after:"
        f" {'; '.join(_least_of(scenario, case) for case in cases)}."
    )


def _least_of(scenario: Scenario, case: Case) -> str:
    sizes = layout(scenario.tree).values()
    rtt_ms, mtu = case.measured_rtt_ms, case.mtu or STANDARD_MTU
    first = scenario.first_window
    least = least_s(sizes, connections=case.connections, rtt_ms=rtt_ms, mtu=mtu, first=first)
    beside = f", {least / case.median('lftp'):.2f} of lftp's time" if "lftp" in case.measured else ""
    return f"{case.server} {least:.2f} s{beside}"


def _case_rows(scenario: Scenario, case: Case) -> Iterator[tuple[str, ...]]:
    server = _server(case.server, case.tls)
    for name, why in case.failed.items():
        yield server, name, f"failed: {why}", "", "", "", "", ""
    ours = case.median(OURS) if OURS in case.measured else None
    for name in sorted(case.measured, key=case.median):
        wall = case.median(name)
        shortest, longest = case.spread(name)
        dates = all(run.dates_kept for run in case.runs[name])
        yield (
            server,
            f"**{name}**" if name == OURS else name,
            f"{wall:.2f}",
            f"{shortest:.2f}–{longest:.2f}" if len(case.runs[name]) > 1 else "one run",
            f"{wall / ours:.2f}" if ours else "—",
            f"{case.median(name, 'cpu_s'):.2f}",
            f"{case.median(name, 'peak_kib') / 1024:.0f}",
            "—" if scenario.action == "delete" or not CONTENDERS[name].publishes else "yes" if dates else "no",
        )


def _contenders() -> str:
    """Times alone say little: what each contender does in them."""
    return _table(("program", "for every file"), ((each.name, each.does) for each in CONTENDERS.values()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    aligned = set(right)
    rule = ["---:" if number in aligned else "---" for number in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def _server(kind: str, tls: str) -> str:
    return kind if tls == "off" else f"{kind}, TLS"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
