"""What a large tree costs: starting, one change, doing nothing, and the rename of a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.contenders import Command
from benchmarks.scale.arrivals import drop_and_time
from benchmarks.scale.daemon import Daemon
from benchmarks.scale.ground import OWNER, Ground, MeasureError, wait_until
from benchmarks.scale.latency import CONTENT
from benchmarks.scale.load import receipts
from benchmarks.scale.record import OURS, Case
from benchmarks.scale.stock import copy_tree, directory_name, fill_ledger, make_directories, make_files
from benchmarks.servers import Site

AFTER_S = 1.0


def start_change_idle(ground: Ground) -> Iterator[Case]:
    """All that is measured on large trees that do not change, the smaller one first."""
    sizes = ground.sizes
    for variant, directories in (("small", sizes.directories // 10), ("large", sizes.directories)):
        with ground.serving("home") as site, ground.place("drop") as drop:
            make_files(drop, directories, sizes.files_each, b"")
            make_directories(site.published, drop, OWNER)
            facts = {"files": directories * sizes.files_each, "directories": directories}
            with ground.daemon(f"tree-{variant}", site, drop, settle="0s") as daemon:
                ground.say(f"{facts['files']:,} files made; filling the ledger")
                fill_ledger(daemon.config, daemon.ledger, "drop")
                yield _started(ground, Case("start", variant, facts), daemon, drop)
                daemon.start()
                daemon.until_in_sync()
                yield _changed(ground, Case("change", variant, facts), daemon, drop, site)
                if variant == "large":
                    yield _idle(ground, Case("idle", facts={**facts, "seconds": sizes.idle_s}), daemon)


def _started(ground: Ground, case: Case, daemon: Daemon, drop: Path) -> Case:
    files = case.facts["files"]
    command = Command(["sh", "-c", f"exec find {drop} -printf '%s %T@ %p\\n' >/dev/null"])
    ground.timed(command, "find")  # the first one brings everything into the kernel's caches
    for _ in range(ground.sizes.repeat):
        found = ground.timed(command, "find")
        case.add("find", start_s=found["wall_s"], cpu_s=found["cpu_s"], peak_mib=found["peak_kib"] / 1024)
        began = time.monotonic()
        daemon.start()
        status = daemon.until_in_sync(poll_s=0.1)
        case.add(OURS, start_s=time.monotonic() - began, cpu_s=daemon.cpu_s(), peak_mib=daemon.peak_mib())
        daemon.stop()
        if status["mappings"][0]["published_files"] != files:
            raise MeasureError(f"the ledger has {status['mappings'][0]['published_files']} files, not {files}")
        ground.say(
            f"start: {files:,} files: {case.values[OURS]['start_s'][-1]:.2f} s, {case.values[OURS]['peak_mib'][-1]:.0f}"
            f" MiB; find {case.values['find']['start_s'][-1]:.2f} s"
        )
    if receipts(daemon.ledger):
        raise MeasureError("something was published, although nothing had changed")
    return case


def _changed(ground: Ground, case: Case, daemon: Daemon, drop: Path, site: Site) -> Case:
    for number in range(ground.sizes.changes + 1):
        directory = directory_name(number * 7 % case.facts["directories"])
        before, began = daemon.cpu_s(), time.monotonic()
        took = drop_and_time(drop / directory, site.published / directory, [f"new{number}.jpg"], CONTENT, 0.0)
        if not took:
            raise MeasureError("the changed file never came")
        time.sleep(AFTER_S)
        if number:  # the first one logs in
            case.add(OURS, cpu_ms=(daemon.cpu_s() - before) * 1000, latency_ms=1000 * max(took.values()))
            case.add(OURS, window_s=time.monotonic() - began)
    ground.say(f"change: {case.facts['files']:,} files: {case.statistic(OURS, 'cpu_ms'):.1f} ms CPU")
    return case


def _idle(ground: Ground, case: Case, daemon: Daemon) -> Case:
    for _ in range(ground.sizes.repeat):
        before, began = daemon.cpu_s(), time.monotonic()
        time.sleep(ground.sizes.idle_s)
        share = (daemon.cpu_s() - before) / (time.monotonic() - began)
        case.add(OURS, cpu_pct=100 * share, rss_mib=daemon.rss_mib(), threads=daemon.threads())
        ground.say(f"idle: {100 * share:.3f} % CPU, {daemon.rss_mib():.0f} MiB")
    return case


def rename(ground: Ground) -> Iterator[Case]:
    """The rename of a directory that is published."""
    files = ground.sizes.renamed_files
    case = Case("rename", facts={"files": files})
    with ground.serving("home") as site, ground.place("drop") as drop:
        make_files(drop / "before0", 1, files, b"x")
        copy_tree(drop, site.published, OWNER)
        with ground.daemon("rename", site, drop) as daemon:
            fill_ledger(daemon.config, daemon.ledger, "drop")
            daemon.start()
            daemon.until_in_sync()
            for turn in range(ground.sizes.repeat):
                _renamed(ground, case, daemon, site, drop, turn)
    yield case


def _renamed(ground: Ground, case: Case, daemon: Daemon, site: Site, drop: Path, turn: int) -> None:
    source, target = f"before{turn}", f"before{turn + 1}"
    inodes = _inodes(site.published / source)
    directory = (site.published / source).stat().st_ino
    known = receipts(daemon.ledger)
    cpu, began = daemon.cpu_s(), time.monotonic()
    (drop / source).rename(drop / target)
    wait_until((site.published / target).is_dir, 120, "the directory's new name")
    took = time.monotonic() - began
    daemon.until_in_sync()
    time.sleep(AFTER_S)
    daemon.until_in_sync()
    case.add(
        OURS,
        renamed_s=took,
        cpu_s=daemon.cpu_s() - cpu,
        sent_again=len(inodes.items() - _inodes(site.published / target).items()),
        made_anew=(site.published / target).stat().st_ino != directory,
        renames_beyond=receipts(daemon.ledger) - known - 1,
    )
    ground.say(f"rename: {took:.2f} s")


def _inodes(directory: Path) -> dict[str, int]:
    return {name: (directory / name).stat().st_ino for name in os.listdir(directory)}  # noqa: PTH208 - only names
