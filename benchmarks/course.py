"""Runs the contenders: one after the other, in turns, on fresh ground, and looks at the outcome of every run.

In: `Scenario`. Out: `Case`. Sources and servers' homes lie in a tmpfs, so that the disk is no contender; ftpsyncd's
state lies on disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.contenders import CONTENDERS, OURS, Command, Contender, Job, environment
from benchmarks.link import Network, compile_program, linked, loopback
from benchmarks.record import Case, Run
from benchmarks.scenarios import Scenario
from benchmarks.servers import Site, missing, serving
from benchmarks.trees import Manifest, TreeSpec, dates_kept, differences, make_tree, manifest

SETTLED_S = 3.0
"""A source is left alone for this long before it is used: what was just written may still grow (`settle`)."""
PAGE_BYTES = 4096
LIMIT_S = 1800
"""A run that takes longer has failed."""

Say = Callable[[str], None]


class RunError(Exception):
    """A contender failed, or what it published is not what it was given."""


@dataclass(frozen=True)
class Ground:
    """Everything that is set up once."""

    measure: Path
    link_program: Path
    disk: Path
    memory: Path
    mtu: int
    rate_bytes_per_s: int

    def network(self, scenario: Scenario) -> AbstractContextManager[Network]:
        """The way to the servers."""
        if scenario.rtt_ms is None:
            return loopback()
        return linked(
            self.link_program,
            rtt_ms=scenario.rtt_ms,
            mtu=self.mtu,
            rate_bytes_per_s=self.rate_bytes_per_s,
            first_window=scenario.first_window,
        )

    def source(self, spec: TreeSpec) -> Path:
        """The tree of a spec, made if it is not there."""
        root = self.memory / f"source-{spec.files}-{spec.largest}"
        if not root.exists():
            root.mkdir()
            make_tree(root, spec)
            os.utime(root)
        return root


@contextmanager
def prepared(scenarios: Sequence[Scenario], *, mtu: int, rate_bytes_per_s: int) -> Iterator[Ground]:
    """Compile the programs, make two places to work in, and all sources; everything is gone afterwards."""
    trees = {scenario.tree for scenario in scenarios}
    sizes = [tree.files * max(tree.largest, PAGE_BYTES) for tree in trees]
    # All sources; the server's home, and a copy of it where files are deleted; and something to spare.
    memory_bytes = sum(sizes) + 2 * max(sizes) + (64 << 20)
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="ftpsyncd-bench-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        base.chmod(0o755)  # the servers' sessions must get through
        memory = base / "memory"
        memory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={memory_bytes}", "tmpfs", memory], check=True)
        stack.callback(_unmount, memory)
        measure, link = (compile_program(name, base) for name in ("measure", "link"))
        ground = Ground(measure, link, base, memory, mtu, rate_bytes_per_s)
        for tree in trees:
            ground.source(tree)
        yield ground


def cases(ground: Ground, scenario: Scenario, repeat: int, say: Say) -> Iterator[Case]:
    """Measure a scenario with each of its servers; one that is not here is left out and said so."""
    with ExitStack() as stack:
        network = stack.enter_context(ground.network(scenario))
        for kind in scenario.servers:
            if reason := missing(kind):
                say(f"{kind} is left out: {reason}")
                continue
            for tls in scenario.tls:
                with _Course(ground, scenario, kind, tls, network) as course:
                    yield course.run(repeat, say)


class _Course:
    """One case: its server, its source, its runs."""

    def __init__(self, ground: Ground, scenario: Scenario, kind: str, tls: str, network: Network) -> None:
        self._ground = ground
        self._scenario = scenario
        self._network = network
        self._kind, self._tls = kind, tls
        self._stack = ExitStack()
        self._stash = ground.memory / "stash"
        self._state = ground.disk / "state"
        self._source: Path
        self._site: Site

    def __enter__(self) -> Self:
        home = self._ground.memory / "home"
        self._source = self._ground.source(self._scenario.tree)
        emptied = [self._source] if self._scenario.action == "delete" else []
        for place in (*emptied, self._stash, self._state, home):
            self._stack.callback(shutil.rmtree, place, ignore_errors=True)
        self._site = self._stack.enter_context(serving(self._kind, home, self._network, tls=self._tls))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, repeat: int, say: Say) -> Case:
        """All contenders, in turns."""
        wanted = manifest(self._source)
        case = Case(
            scenario=self._scenario.key,
            server=self._kind,
            server_version=self._site.version,
            tls=self._tls,
            connections=self._scenario.connections,
            files=len(wanted),
            size_bytes=sum(entry.size for entry in wanted.values()),
            rtt_ms=self._scenario.rtt_ms,
            measured_rtt_ms=round(self._network.measured_rtt_ms(self._site.port), 3),
            mtu=None if self._scenario.rtt_ms is None else self._ground.mtu,
        )
        where = f"{case.scenario} {self._kind}" + (" TLS" if self._tls != "off" else "")
        time.sleep(max(0.0, self._source.stat().st_mtime + SETTLED_S - time.time()))
        if self._scenario.action == "delete":
            self._publish_and_empty(wanted)
            wanted = {}
            time.sleep(max(0.0, self._source.stat().st_ctime + self._scenario.gone_s - time.time()))
        present = []
        for contender in (CONTENDERS[name] for name in self._scenario.contenders):
            reason = contender.missing or self._scenario.unable.get((contender.name, self._kind), "")
            if reason:
                case.left_out[contender.name] = reason
                say(f"{where}: {contender.name} is left out: {reason}")
            else:
                present.append(contender)
                case.runs[contender.name] = []
        for turn in range(repeat):
            first = turn % len(present)
            for contender in present[first:] + present[:first]:
                if contender.name in case.failed:
                    continue
                try:
                    run = self._run_once(contender, wanted)
                except RunError as error:
                    case.failed[contender.name] = str(error).splitlines()[0]
                    say(f"{where}: {contender.name} FAILED: {error}")
                    continue
                case.runs[contender.name].append(run)
                undated = contender.publishes and not run.dates_kept
                say(
                    f"{where}: {contender.name:9}{run.wall_s:9.2f} s {run.cpu_s:7.2f} s CPU"
                    f" {run.peak_kib / 1024:6.0f} MiB{'  dates not kept' if undated else ''}"
                )
        return case

    def _publish_and_empty(self, wanted: Manifest) -> None:
        """Let ftpsyncd publish what is to be deleted, without any delay, and keep what both sides look like then."""
        if self._scenario.rtt_ms is not None:
            self._network.set_rtt(0)
        with self._work() as work:
            self._execute(CONTENDERS[OURS].command(Job("upload", self._source, self._site, 8, work)), work)
            _check(wanted, manifest(self._site.published))
            shutil.copytree(work / "state", self._state)
        _copy(self._site.published, self._stash)
        for child in self._source.iterdir():
            shutil.rmtree(child)
        if self._scenario.rtt_ms is not None:
            self._network.set_rtt(self._scenario.rtt_ms)

    def _run_once(self, contender: Contender, wanted: Manifest) -> Run:
        for child in self._site.home.iterdir():
            shutil.rmtree(child)
        with self._work() as work:
            if self._scenario.action == "delete":
                _copy(self._stash, self._site.published)
                shutil.copytree(self._state, work / "state")
            self._network.forget()
            job = Job(self._scenario.action, self._source, self._site, self._scenario.connections, work)
            measured = self._execute(contender.command(job), work)
        if not contender.publishes:
            return Run(measured.wall_s, measured.cpu_s, measured.peak_kib, dates_kept=False)
        found = manifest(self._site.published)
        _check(wanted, found)
        return Run(measured.wall_s, measured.cpu_s, measured.peak_kib, dates_kept(wanted, found))

    @contextmanager
    def _work(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._ground.disk, prefix="work-") as work:
            yield Path(work)

    def _execute(self, command: Command, work: Path) -> _Measured:
        """Run a command to its end."""
        report, log = work / "measured.json", work / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._network.at_near, self._ground.measure, report, *command.words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=work,
                env=environment(work) | dict(command.environ),
                start_new_session=True,
            )
            try:
                process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                raise RunError(f"took more than {LIMIT_S} s\n{_tail(log)}") from None
            finally:
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if not report.exists():
            raise RunError(f"could not be measured\n{_tail(log)}")
        measured = _Measured(**json.loads(report.read_text()))
        if measured.exit_code:
            raise RunError(f"exit code {measured.exit_code}\n{_tail(log)}")
        return measured


class _Measured(NamedTuple):
    """What ``measure.c`` reports."""

    wall_s: float
    cpu_s: float
    peak_kib: int
    exit_code: int


def _check(wanted: Manifest, found: Manifest) -> None:
    if problems := differences(wanted, found):
        raise RunError(f"{len(problems)} differences between both sides\n" + "\n".join(problems[:10]))


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", place], check=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a tree with owners and dates."""
    subprocess.run(["cp", "-a", source, target], check=True)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
