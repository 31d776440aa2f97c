"""What many changes cost: a burst, and weeks of steady work in small."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression, pstdev

from benchmarks.contenders import CONTENDERS, Job
from benchmarks.scale.daemon import Daemon
from benchmarks.scale.ground import CONNECTIONS, Ground, MeasureError
from benchmarks.scale.record import OURS, Case
from benchmarks.servers import Site

PEERS = ("lftp", "rclone")
CHURN_BYTES = 20_000
CHURN_KEPT = 600
SAMPLE_S = 5.0

_BURST = """
import os, sys
root, files, directories = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(directories):
    os.mkdir(f"{root}/{number:04}")
for number in range(files):
    file = os.open(f"{root}/{number % directories:04}/{number:06}.jpg", os.O_WRONLY | os.O_CREAT)
    os.write(file, b"%08d" % number * 250)
    os.close(file)
"""


def receipts(database: Path, kind: str | None = None) -> int:
    """How much the daemon's history tells of."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
        where, values = ("WHERE kind=?", (kind,)) if kind else ("", ())
        return int(db.execute(f"SELECT count(*) FROM history {where}", values).fetchone()[0])  # noqa: S608 - constants


def longest(database: Path) -> float:
    """The seconds of the longest transfer that the history tells of."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
        return float(db.execute("SELECT max(duration_s) FROM history").fetchone()[0])


def burst(ground: Ground) -> Iterator[Case]:
    """Many files at once, beside programs that are started on the finished tree."""
    sizes = ground.sizes
    case = Case("burst", facts={"files": sizes.burst_files, "directories": sizes.burst_directories})
    for turn in range(sizes.repeat):
        with ground.place("drop") as drop:
            with ground.serving("home") as site:
                case.facts["server"] = f"{site.kind} {site.version}"
                _burst_of_ours(ground, case, site, drop, turn)
            for name in PEERS:
                if CONTENDERS[name].missing:
                    case.left_out[name] = CONTENDERS[name].missing
                    continue
                with ground.serving("home") as site:
                    _burst_of_peer(ground, case, name, site, drop)
    yield case


def _burst_of_ours(ground: Ground, case: Case, site: Site, drop: Path, turn: int) -> None:
    sizes = ground.sizes
    with ground.daemon(f"burst-{turn}", site, drop) as daemon:
        daemon.start()
        daemon.until_in_sync()
        began = time.monotonic()
        words = [sys.executable, "-I", "-c", _BURST, str(drop)]
        subprocess.run([*words, str(sizes.burst_files), str(sizes.burst_directories)], check=True)
        written = time.monotonic() - began
        daemon.until(
            lambda status: status["mappings"][0]["published_files"] >= sizes.burst_files, "all files", poll_s=0.1
        )
        done = time.monotonic() - began
        daemon.until_in_sync()
        case.add(OURS, done_s=done, written_s=written, cpu_s=daemon.cpu_s(), peak_mib=daemon.peak_mib())
        daemon.stop()
        twice = receipts(daemon.ledger, "published") - sizes.burst_files
        case.add(OURS, wrong=_differences(drop, site.published), twice=twice)
        ground.say(f"burst: {OURS} {done:.1f} s, {case.values[OURS]['peak_mib'][-1]:.0f} MiB")


def _burst_of_peer(ground: Ground, case: Case, name: str, site: Site, drop: Path) -> None:
    work = ground.disk / f"burst-{name}"
    work.mkdir(exist_ok=True)
    told = ground.timed(CONTENDERS[name].command(Job("upload", drop, site, CONNECTIONS, work)), f"burst-{name}")
    wrong = _differences(drop, site.published)
    case.add(name, done_s=told["wall_s"], cpu_s=told["cpu_s"], peak_mib=told["peak_kib"] / 1024, wrong=wrong)
    ground.say(f"burst: {name} {told['wall_s']:.1f} s")


def _differences(source: Path, target: Path) -> int:
    """How many files differ, are missing or too many."""
    ours, theirs = _contents(source), _contents(target)
    return len(ours.items() ^ theirs.items())


def _contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def churn(ground: Ground) -> Iterator[Case]:
    """The same number of changes each second, for long."""
    sizes = ground.sizes
    case = Case("churn", facts={"rate": sizes.churn_rate, "minutes": sizes.churn_s / 60})
    with ground.serving("home") as site, ground.place("drop") as drop:
        mapping = {"settle": "0s", "delete_after": "1s", "max_deletes": 1_000_000}
        with ground.daemon("churn", site, drop, **mapping) as daemon:
            daemon.start()
            daemon.until_in_sync()
            cpu = daemon.cpu_s()
            changed = _churn(ground, case, daemon, drop)
            daemon.until_in_sync()
            case.add(OURS, cpu_per_file_ms=(daemon.cpu_s() - cpu) / changed * 1000, wrong=_settled(drop, site))
    for quantity, unit in (("rss_mib", 1.0), ("descriptors", 1.0), ("threads", 1.0)):
        rise, noise = _trend(case.series["at_s"], case.series[quantity])
        name = quantity.removesuffix("_mib")
        case.add(OURS, **{f"{name}_growth": rise / max(noise, unit), f"{name}_rise": rise, f"{name}_noise": noise})
    yield case


def _churn(ground: Ground, case: Case, daemon: Daemon, drop: Path) -> int:
    """Change files at a steady pace, and sample; returns how many were changed."""
    sizes = ground.sizes
    present: deque[Path] = deque()
    began = due = time.monotonic()
    sample_at, number = began, 0
    case.series = {"at_s": [], "rss_mib": [], "descriptors": [], "threads": []}
    content = bytes(CHURN_BYTES - 8)
    while (now := time.monotonic()) < began + sizes.churn_s:
        if now >= sample_at:
            sample_at += min(SAMPLE_S, sizes.churn_s / 20)
            case.series["at_s"].append(round(now - began, 1))
            case.series["rss_mib"].append(round(daemon.rss_mib(), 3))
            case.series["descriptors"].append(daemon.descriptors())
            case.series["threads"].append(daemon.threads())
        number += 1
        if number % 4 == 3 and present:
            present[number * 31 % len(present)].write_bytes(b"%08d" % number + content)
        elif number % 4 == 0 and len(present) > CHURN_KEPT // 2:
            present.popleft().unlink()
        else:
            path = drop / f"{number % 50:02}" / f"{number:07}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"%08d" % number + content)
            present.append(path)
            if len(present) > CHURN_KEPT:
                present.popleft().unlink()
        due += 1 / sizes.churn_rate
        time.sleep(max(0.0, due - time.monotonic()))
    return number


def _settled(drop: Path, site: Site) -> int:
    """Differences when all is over; those of files whose deletes are still to come do not last."""
    deadline = time.monotonic() + 60
    while (wrong := _differences(drop, site.published)) and time.monotonic() < deadline:
        time.sleep(0.5)
    if wrong:
        raise MeasureError(f"after the churn {wrong} files differ")
    return wrong


def _trend(times: list[float], samples: list[float]) -> tuple[float, float]:
    """By how much a line through the last two thirds rises, and how far the samples lie from it."""
    first = len(times) // 3
    x, y = times[first:], samples[first:]
    if len(x) < 2 or len(list(pairwise(x))) < 2:
        return 0.0, 0.0
    slope, intercept = linear_regression(x, y)
    return slope * (x[-1] - x[0]), pstdev(v - (slope * t + intercept) for t, v in zip(x, y, strict=True))
