"""How long a finished file takes: in an empty folder, beside watchers that call curl, and in a folder that is full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.scale.arrivals import drop_and_time
from benchmarks.scale.daemon import Daemon
from benchmarks.scale.ground import Ground, MeasureError
from benchmarks.scale.record import OURS, Case
from benchmarks.scale.stock import fill_ledger, make_files
from benchmarks.scale.watchers import WATCHERS, watching
from benchmarks.servers import Site

CONTENT = bytes(range(250)) * 200
"""50 KB."""
CLOSE_INTERVAL_S = 0.15
FLAT_INTERVAL_S = 0.1
WARM_UP = 3
DEFAULT_SETTLE_S = 2.0


def close(ground: Ground) -> Iterator[Case]:
    """How long a finished file takes until it is published."""
    sizes = ground.sizes
    with ground.serving("home") as site, ground.place("drop") as drop:
        facts = {
            "interval_ms": round(CLOSE_INTERVAL_S * 1000),
            "files": sizes.latency_files,
            "server": f"{site.kind} {site.version}",
        }
        case = Case("close", facts=facts)
        for turn in range(sizes.repeat):
            _ours(ground, case, turn, site, drop)
            for watcher in WATCHERS:
                if watcher.missing:
                    case.left_out[watcher.name] = watcher.missing
                    continue
                with watching(watcher, drop, site, ground.disk / f"peer-{turn}"):
                    names = [f"{watcher.programs[0]}{turn}-{n:04}.jpg" for n in range(sizes.latency_files)]
                    time.sleep(1.0)  # they do not tell when they watch; the warm-up finds out
                    _steady(ground, case, watcher.name, site, drop, names)
            _settled(ground, case, turn, site, drop)
        yield case


def _ours(ground: Ground, case: Case, turn: int, site: Site, drop: Path) -> None:
    with ground.daemon(f"close-{turn}", site, drop, settle="0s", existing="overwrite") as daemon:
        _start(daemon, drop, turn)
        names = [f"ours{turn}-{n:04}.jpg" for n in range(ground.sizes.latency_files)]
        before = daemon.cpu_s()
        _steady(ground, case, OURS, site, drop, names)
        case.add(OURS, cpu_per_file_ms=(daemon.cpu_s() - before) / len(names) * 1000)


def _start(daemon: Daemon, drop: Path, turn: int) -> None:
    for path in drop.iterdir():
        path.unlink()
    daemon.start()
    daemon.until_in_sync()
    (drop / f"first{turn}.jpg").write_bytes(CONTENT)
    daemon.until(lambda status: status["mappings"][0]["published_files"] >= 1, "the first file")


def _steady(ground: Ground, case: Case, program: str, site: Site, drop: Path, names: list[str]) -> None:
    warm = [f"warm-{name}" for name in names[:WARM_UP]]
    drop_and_time(drop, site.published, warm, CONTENT, CLOSE_INTERVAL_S, limit_s=20)
    took = drop_and_time(drop, site.published, names, CONTENT, CLOSE_INTERVAL_S)
    _keep(ground, case, program, "latency_ms", took, names, 0.0)


def _settled(ground: Ground, case: Case, turn: int, site: Site, drop: Path) -> None:
    """The same with the default quiet time: what comes on top of it."""
    with ground.daemon(f"settle-{turn}", site, drop, existing="overwrite") as daemon:
        _start(daemon, drop, turn)
        names = [f"settled{turn}-{n:04}.jpg" for n in range(ground.sizes.settle_files)]
        took = drop_and_time(drop, site.published, names, CONTENT, CLOSE_INTERVAL_S)
        _keep(ground, case, OURS, "beyond_settle_ms", took, names, DEFAULT_SETTLE_S)


def _keep(
    ground: Ground, case: Case, program: str, quantity: str, took: dict[str, float], names: list[str], less_s: float
) -> None:
    if len(took) < len(names):
        raise MeasureError(f"{program}: {len(names) - len(took)} of {len(names)} files never came")
    for seconds in took.values():
        case.add(program, **{quantity: (seconds - less_s) * 1000})
    middle = sorted(took.values())[len(took) // 2]
    ground.say(f"{case.row}: {program}: {quantity} median {(middle - less_s) * 1000:.1f}")


def flat(ground: Ground) -> Iterator[Case]:
    """One directory with very many files."""
    sizes = ground.sizes
    facts = {
        "present": sizes.flat_files,
        "interval_ms": round(FLAT_INTERVAL_S * 1000),
        "files": sizes.latency_files,
    }
    case = Case("flat", facts=facts)
    with ground.serving("home") as site, ground.place("drop") as drop:
        make_files(drop, 1, sizes.flat_files, b"x")
        with ground.daemon("flat", site, drop, settle="0s", existing="overwrite") as daemon:
            fill_ledger(daemon.config, daemon.ledger, "drop")
            daemon.start()
            daemon.until_in_sync()
            for turn in range(sizes.repeat):
                names = [f"new{turn}-{n:04}.jpg" for n in range(sizes.latency_files)]
                drop_and_time(drop, site.published, [f"warm-{n}" for n in names[:WARM_UP]], CONTENT, FLAT_INTERVAL_S)
                before = daemon.cpu_s()
                took = drop_and_time(drop, site.published, names, CONTENT, FLAT_INTERVAL_S)
                _keep(ground, case, OURS, "latency_ms", took, names, 0.0)
                case.add(OURS, cpu_per_file_ms=(daemon.cpu_s() - before) / len(names) * 1000)
            case.add(OURS, peak_mib=daemon.peak_mib())
    yield case
