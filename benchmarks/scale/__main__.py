"""``python -m benchmarks.scale``: what the daemon costs as a whole process, beside what a user would pick instead.

Needs root (servers, a file system in memory, namespaces), a C compiler and the servers (``scripts/fetch-servers``); of
lftp, rclone, lsyncd, inotifywait, curl and find those that are installed take part. A run writes
``benchmarks/results/scale.json`` and ``.svg`` and the tables of ``docs/performance.md``; ``--quick`` only prints.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from benchmarks.markers import replace_between
from benchmarks.scale import latency, load, others, report, trees
from benchmarks.scale.daemon import DaemonError
from benchmarks.scale.ground import Ground, MeasureError, prepared
from benchmarks.scale.record import Case, Results, save
from benchmarks.scale.record import load as load_results
from benchmarks.scale.rows import FULL, QUICK
from benchmarks.transfer import as_interrupt, say, unable, words
from benchmarks.transfer import machine as transfer_machine
from tests.servers import KINDS, missing

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results/scale.json"
PICTURE = RESULTS.with_suffix(".svg")
PAGE = ROOT / "docs/performance.md"

MEASURES: Mapping[str, Callable[[Ground], Iterator[Case]]] = {
    "close": latency.close,
    "start": trees.start_change_idle,
    "burst": load.burst,
    "flat": latency.flat,
    "huge": others.huge,
    "many": others.many,
    "rename": trees.rename,
    "commands": others.commands,
    "churn": load.churn,
}
"""In the order in which they are measured: the longest last. ``start`` measures change and idle on the same trees."""

_VERSIONS = {
    "find": ["find", "--version"],
    "lftp": ["lftp", "-v"],
    "rclone": ["rclone", "version"],
    "curl": ["curl", "-V"],
    "lsyncd": ["lsyncd", "--version"],
    "inotifywait": ["inotifywait", "--help"],
}


def main() -> int:
    """Measure, or only render what was measured; 1 if a measurement failed."""
    options = _options()
    if options.render:
        write_report(load_results(RESULTS))
        return 0
    if reason := unable() or missing(options.server):
        say(f"benchmarks.scale: {reason}")
        return 2
    signal.signal(signal.SIGTERM, as_interrupt)
    facts = machine()
    results = Results(facts) if options.quick else kept(facts)
    sizes = QUICK if options.quick else FULL
    sizes = replace(sizes, repeat=options.repeat or sizes.repeat)
    with prepared(sizes, options.server, say) as ground:
        failed = [key for key in options.only if not measure(ground, key, results, keep=not options.quick)]
    say("")
    for line in report.lines(results):
        say(line)
    if options.quick:
        say("\nin small: fixed costs weigh more than in full; nothing was written")
    else:
        write_report(kept(facts))
    return 1 if failed else 0


def kept(facts: dict[str, Any]) -> Results:
    """The results there are: a part joins them, unless they are of another machine or other versions."""
    found = load_results(RESULTS) if RESULTS.exists() else Results(facts)
    return found if found.machine == facts else Results(facts)


def measure(ground: Ground, key: str, results: Results, *, keep: bool) -> bool:
    """Measure one part; whether it went well."""
    say(f"\n{key}")
    try:
        for case in MEASURES[key](ground):
            # Of the last minutes: what else the machine had to do shows in it.
            case.facts["load"] = round(os.getloadavg()[1], 1)
            results.add(case)
            for name, why in case.left_out.items():
                say(f"{key}: {name} is left out: {why}")
            if keep:
                # Read again: parts may be measured side by side.
                joined = kept(results.machine)
                joined.add(case)
                save(RESULTS, joined)
    except (MeasureError, DaemonError, subprocess.CalledProcessError) as error:
        say(f"FAILED {key}: {error}")
        return False
    return True


def write_report(results: Results) -> None:
    """Tables and picture."""
    PAGE.write_text(replace_between(PAGE.read_text(), report.BEGIN, report.END, report.render(results)))
    try:
        from benchmarks.scale.plot import draw  # noqa: PLC0415 - matplotlib is optional
    except ImportError:
        say("no picture: matplotlib is not installed (requirements/bench.txt)")
    else:
        draw(results, PICTURE)


def machine() -> dict[str, Any]:
    """What the numbers depend on; nothing that names this machine."""
    facts = transfer_machine()
    del facts["congestion_control"]
    versions = {"ftpsyncd": package_version("ftpsyncd")}
    for name, command in _VERSIONS.items():
        if shutil.which(command[0]):
            # inotifywait shows its version with its help, and calls that a failure.
            told = subprocess.run(command, check=False, capture_output=True, text=True)
            match = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
            versions[name] = match[0] if match else "unknown"
    return {**facts, "contenders": versions}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    keys = list(MEASURES)
    parser.add_argument("--only", type=words(keys), default=keys, metavar="close,start", help=f"of {', '.join(keys)}")
    parser.add_argument("--server", choices=KINDS, default="vsftpd", help="kind of server (%(default)s)")
    parser.add_argument("--repeat", type=int, help=f"repetitions ({FULL.repeat}; with --quick {QUICK.repeat})")
    parser.add_argument("--quick", action="store_true", help="small, under three minutes; writes nothing")
    parser.add_argument("--render", action="store_true", help="only write tables and picture from the last results")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; what was done is kept")
