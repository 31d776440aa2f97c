"""``python -m benchmarks.transfer``: ftpsyncd beside lftp, rclone, curl and plain ftplib, on real servers, in one run.

Needs root (namespaces, servers), a C compiler, ``ip``, the servers (``scripts/fetch-servers``), and as peers what is
installed of lftp, rclone and curl. A run writes ``benchmarks/results/transfer.json`` and ``.svg`` and the tables of
``docs/performance.md``; ``--quick`` only prints.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import report
from benchmarks.contenders import versions
from benchmarks.course import cases, prepared
from benchmarks.link import congestion_control
from benchmarks.markers import replace_between
from benchmarks.record import Results, load, save
from benchmarks.scenarios import DAEMONS, SCENARIOS, Scenario, quick

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/transfer.json"
PICTURE = RESULTS.with_suffix(".svg")
PAGE = ROOT / "docs/performance.md"


def main() -> int:
    """Measure, or only render what was measured; 1 if a contender failed."""
    options = _options()
    if options.render:
        write_report(load(RESULTS))
        return 0
    if reason := unable():
        say(f"benchmarks.transfer: {reason}")
        return 2
    signal.signal(signal.SIGTERM, as_interrupt)
    chosen = _chosen(options)
    results = Results(machine())
    if not options.quick and RESULTS.exists():
        # A part that is measured again joins the others, unless those are of another machine or other versions.
        old = load(RESULTS)
        results = old if old.machine == results.machine else results
    measured = []
    code = commit()
    for case in measure(chosen, options):
        case.day, case.commit = f"{datetime.now().astimezone():%Y-%m-%d}", code
        measured.append(case)
        results.add(case)
        if not options.quick:
            save(RESULTS, results)
    if not options.quick:
        # Fixed costs decide a quick run: its ratios are not worth judging.
        say("")
        for line in report.verdicts(Results(results.machine, measured), chosen):
            say(line)
        write_report(results)
    failed = [f"{case.scenario} {case.server}: {name}: {why}" for case in measured for name, why in case.failed.items()]
    for line in failed:
        say(f"FAILED {line}")
    return 1 if failed else 0


def measure(chosen: Sequence[Scenario], options: argparse.Namespace) -> Any:
    """Run scenarios; yields every case when it is done."""
    repeat = options.repeat or (1 if options.quick else 3)
    with prepared(chosen, mtu=options.mtu, rate_bytes_per_s=options.rate) as ground:
        for scenario in chosen:
            say(f"\n({scenario.key}) {scenario.title}")
            yield from cases(ground, scenario, repeat, say)


def write_report(results: Results) -> None:
    """Tables and picture."""
    PAGE.write_text(replace_between(PAGE.read_text(), report.BEGIN, report.END, report.render(results, SCENARIOS)))
    try:
        from benchmarks.plot import draw  # noqa: PLC0415 - matplotlib is optional
    except ImportError:
        say("no picture: matplotlib is not installed (requirements/bench.txt)")
    else:
        draw(results, SCENARIOS, PICTURE)


def machine() -> dict[str, Any]:
    """What the numbers depend on; nothing that names this machine."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model[1].strip() if model else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "congestion_control": congestion_control(),
        "contenders": versions(),
    }


def commit() -> str:
    """Of the checkout that is measured, with a "+" if the program in it was changed; empty where there is no git."""
    if not shutil.which("git"):
        return ""
    head = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "ftpsyncd"], cwd=ROOT, check=False)
    return head.stdout.strip() + "+" * changed.returncode if head.returncode == 0 else ""


def unable() -> str:
    """Why nothing can be measured here; empty if it can."""
    if os.geteuid() != 0:
        return "root is needed, for namespaces and servers"
    absent = [program for program in ("cc", "ip", "cp", "mount") if not shutil.which(program)]
    return f"not installed: {', '.join(absent)}" if absent else ""


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    chosen = [scenario for scenario in SCENARIOS if scenario.key in options.only]
    if options.quick:
        return [quick(scenario) for scenario in chosen]
    some = [replace(each, servers=tuple(kind for kind in each.servers if kind in options.servers)) for each in chosen]
    return [scenario for scenario in some if scenario.servers]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    keys = [scenario.key for scenario in SCENARIOS]
    parser.add_argument("--only", type=words(keys), default=keys, metavar="a,d", help="some scenarios")
    parser.add_argument(
        "--servers", type=words(DAEMONS), default=DAEMONS, metavar="vsftpd,…", help="some servers (not with --quick)"
    )
    parser.add_argument("--repeat", type=int, help="runs of each contender (3; with --quick 1)")
    parser.add_argument("--mtu", type=int, default=1500, help="bytes in a packet of the link (%(default)s)")
    parser.add_argument("--rate", type=int, default=0, help="of the link, bytes per second (unlimited)")
    parser.add_argument("--quick", action="store_true", help="small, one server, under a minute; writes nothing")
    parser.add_argument("--render", action="store_true", help="only write tables and picture from the last results")
    return parser.parse_args()


def words(known: Sequence[str]) -> Callable[[str], list[str]]:
    """What takes words with commas between them from the command line: some of those that are known, in their order."""

    def parse(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
        return [word for word in known if word in found]

    return parse


def as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End as by Ctrl-C, with all that was begun cleaned up."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the cases that were done are kept")
