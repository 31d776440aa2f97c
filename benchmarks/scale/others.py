"""A very large file, many mappings, and commands that people wait for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, Command, Job
from benchmarks.link import compile_program, linked
from benchmarks.scale.daemon import Daemon
from benchmarks.scale.ground import CONNECTIONS, NEVER, Ground, account
from benchmarks.scale.load import longest
from benchmarks.scale.record import OURS, Case
from benchmarks.scale.stock import make_files
from benchmarks.servers import REMOTE, Site, serving

GIB = 1 << 30
GBIT_BYTES = 125_000_000
LINK_MTU = 9000
LINK_RTT_MS = 1.0
THREADS_EACH = 3
"""Of a mapping: its disk, and a watcher's reader and dispatcher."""
OTHER_THREADS = 9
"""Main, engine, control socket and up to five calls of the daemon, and one to spare."""

_HASH = """
import hashlib, sys, time
block, digest = bytes(1 << 20), hashlib.sha256()
start = time.process_time()
for _ in range(int(sys.argv[1])):
    digest.update(block)
print(time.process_time() - start)
"""


# ── a very large file ────────────────────────────────────────────────────────────────────────────────────────────


def huge(ground: Ground) -> Iterator[Case]:
    """One very large file."""
    sizes = ground.sizes
    case = Case("huge", facts={"gib": sizes.huge_gib, "link_gib": sizes.link_gib})
    with ground.serving("home", on_disk=True) as site, ground.place("drop") as drop:
        _on_loopback(ground, case, site, drop)
    hashed = subprocess.run(
        [sys.executable, "-I", "-c", _HASH, str(1024)], check=True, capture_output=True, text=True
    ).stdout
    case.add("sha256 alone", cpu_s_per_gib=float(hashed))
    _on_link(ground, case)
    yield case


def _sparse(path: Path, size: int) -> None:
    """A file of zeros that takes no room: neither FTP nor SHA-256 is quicker for it."""
    with path.open("wb") as file:
        file.truncate(size)


def _on_loopback(ground: Ground, case: Case, site: Site, drop: Path) -> None:
    size = int(ground.sizes.huge_gib * GIB)
    with ground.daemon("huge", site, drop, settle="0s") as daemon:
        daemon.start()
        daemon.until_in_sync()
        _sparse(drop / "huge.mp4", size)
        began, cpu = time.monotonic(), daemon.cpu_s()
        seen: list[int] = []
        memory: list[float] = []

        def is_done(status: dict[str, Any]) -> bool:
            for transfer in status["transfers"]:
                if not seen or transfer["sent_bytes"] > seen[-1]:
                    seen.append(transfer["sent_bytes"])
                if transfer["sent_bytes"] > size / 10:
                    memory.append(daemon.rss_mib())
            return bool(status["mappings"][0]["published_files"] == 1)

        daemon.until(is_done, "the large file", poll_s=0.2)
        took = time.monotonic() - began
        case.add(
            OURS,
            done_s=took,
            cpu_s_per_gib=(daemon.cpu_s() - cpu) * GIB / size,
            growth_mib=max([*memory, daemon.rss_mib()]) - (memory[0] if memory else daemon.rss_mib()),
            peak_mib=daemon.peak_mib(),
            steps=len(seen),
            blind=len(seen) < 3,
        )
        ground.say(f"huge: {took:.1f} s, {len(seen)} steps of progress")


def _on_link(ground: Ground, case: Case) -> None:
    """Whole processes over a line of 1 Gbit/s, in turns."""
    program = compile_program("link", ground.disk)
    with (
        linked(program, rtt_ms=LINK_RTT_MS, mtu=LINK_MTU, rate_bytes_per_s=GBIT_BYTES) as network,
        ground.place("source") as source,
        ground.place("far") as home,
    ):
        _sparse(source / "large.mp4", int(ground.sizes.link_gib * GIB))
        time.sleep(3.0)  # it has been left alone for longer than `settle`
        with serving(ground.kind, home, network) as site:
            for turn in range(ground.sizes.repeat):
                for name in (OURS, "curl"):
                    if CONTENDERS[name].missing:
                        case.left_out[name] = CONTENDERS[name].missing
                        continue
                    subprocess.run(["find", home, "-mindepth", "1", "-delete"], check=True)
                    work = ground.disk / f"link-{name}-{turn}"
                    work.mkdir()
                    command = CONTENDERS[name].command(Job("upload", source, site, 1, work))
                    told = ground.timed(command, work.name, network.at_near)
                    case.add(name, link_s=told["wall_s"], link_cpu_s=told["cpu_s"])
                    # curl's process does nothing else; ours starts an interpreter and reads a configuration.
                    sent = longest(work / "state/ledger.db") if name == OURS else told["wall_s"]
                    case.add(name, sending_s=sent)
                    ground.say(f"huge: on the link: {name} {told['wall_s']:.2f} s")


# ── many mappings ────────────────────────────────────────────────────────────────────────────────────────────────


def many(ground: Ground) -> Iterator[Case]:
    """Many mappings over some servers."""
    sizes = ground.sizes
    case = Case("many", facts={"mappings": sizes.mappings, "servers": sizes.servers, "others": OTHER_THREADS})
    with ground.serving("home", max_clients=200) as site, ground.place("drop") as drop:
        # Each account is its own server to us: 10 passwords, 10 pools of connections, 10 queues.
        accounts = {f"s{number}": account(site) for number in range(sizes.servers)}
        mappings: dict[str, Any] = {}
        for number in range(sizes.mappings):
            folder = drop / f"m{number:03}"
            make_files(folder, 1, 1, b"x")
            remote = f"s{number % sizes.servers}:{REMOTE}/m{number:03}"
            mappings[folder.name] = {"local": str(folder), "remote": remote, "settle": "0s", "rescan": NEVER}
        with Daemon(ground.disk / "many", site.password, accounts, mappings) as daemon:
            daemon.start()
            _until_published(daemon, 1)
            daemon.stop()
            for turn in range(sizes.repeat):
                _many(ground, case, daemon, drop, turn)
    yield case


def _until_published(daemon: Daemon, files: int) -> None:
    daemon.until(lambda status: all(m["published_files"] >= files for m in status["mappings"]), "all mappings")
    daemon.until_in_sync()


def _many(ground: Ground, case: Case, daemon: Daemon, drop: Path, turn: int) -> None:
    sizes = ground.sizes
    began = time.monotonic()
    daemon.start()
    status = daemon.until_in_sync()
    took = time.monotonic() - began
    case.add(OURS, start_s=took, polling=sum(m["watcher"] != "native" for m in status["mappings"]))
    threads: list[int] = []
    connections: list[int] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.02):
            threads.append(daemon.threads())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        for folder in drop.iterdir():
            (folder / f"new{turn}.jpg").write_bytes(b"y" * 20_000)

        def is_done(status: dict[str, Any]) -> bool:
            connections.append(sum(server["connections"] for server in status["servers"]))
            return all(mapping["published_files"] >= turn + 2 for mapping in status["mappings"])

        daemon.until(is_done, "a new file in each mapping")
    finally:
        over.set()
        sampler.join()
    allowed = sizes.mappings * THREADS_EACH + sizes.servers * CONNECTIONS + OTHER_THREADS
    case.add(
        OURS,
        threads=max(threads),
        threads_beyond=max(0, max(threads) - allowed),
        connections=max(connections),
        connections_beyond=max(0, max(connections) - sizes.servers * CONNECTIONS),
        descriptors=daemon.descriptors(),
        peak_mib=daemon.peak_mib(),
    )
    daemon.stop()
    ground.say(f"many: start {took:.2f} s, {max(threads)} threads, {case.values[OURS]['peak_mib'][-1]:.0f} MiB")


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def commands(ground: Ground) -> Iterator[Case]:
    """Commands that people wait for."""
    case = Case("commands", facts={"mappings": 1})
    with ground.serving("home") as site, ground.place("drop") as drop:
        make_files(drop, 1, 10, b"x")
        with ground.daemon("commands", site, drop, settle="0s") as daemon:
            daemon.start()
            daemon.until(lambda status: status["mappings"][0]["published_files"] == 10, "ten files")
            status = Command([*daemon.words, "status", "-c", str(daemon.config)], daemon.environment)
            version = Command([*daemon.words, "--version"], daemon.environment)
            python = Command([sys.executable, "-c", "pass"], daemon.environment)
            for _ in range(ground.sizes.commands):
                _time(ground, case, version_ms=version, status_ms=status, python_ms=python)
            daemon.stop()
            for _ in range(ground.sizes.commands):
                _time(ground, case, offline_status_ms=status)
    said = {name: round(case.statistic(OURS, name) or 0) for name in case.values[OURS]}
    ground.say(f"commands: {said}")
    yield case


def _time(ground: Ground, case: Case, **commands: Command) -> None:
    for quantity, command in commands.items():
        told = ground.timed(command, "command")
        cpu = quantity.replace("_ms", "_cpu_ms")
        case.add(OURS, **{quantity: told["wall_s"] * 1000, cpu: told["cpu_s"] * 1000})
