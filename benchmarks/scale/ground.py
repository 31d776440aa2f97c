"""Where it is measured: a server, a place in memory, a place on disk; all of it is gone afterwards.

In: sizes, the kind of server. Out: `Ground`, which every measurement takes, and helpers that several of them need.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import Command, environment
from benchmarks.link import compile_program
from benchmarks.scale.daemon import Daemon
from benchmarks.scale.rows import Sizes
from benchmarks.serve import version
from benchmarks.servers import REMOTE, Site
from tests.servers import ANY_PORTS, PASSWORD, USER, running

OWNER = 1
"""Who sessions run as (`tests.servers`)."""
CONNECTIONS = 4
NEVER = "7d"

Say = Callable[[str], None]


class MeasureError(Exception):
    """A number that would mean nothing: something failed on the way to it."""


@dataclass(frozen=True)
class Ground:
    """Everything that is set up once."""

    sizes: Sizes
    kind: str
    disk: Path
    memory: Path
    measure: Path
    say: Say

    @contextmanager
    def place(self, name: str, *, on_disk: bool = False) -> Iterator[Path]:
        """An empty directory, removed afterwards."""
        path = (self.disk if on_disk else self.memory) / name
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def serving(self, name: str, *, on_disk: bool = False, max_clients: int = 100) -> Iterator[Site]:
        """A server with a home of its own, in which the directory to publish to is there already."""
        with self.place(name, on_disk=on_disk) as home:
            (home / REMOTE.strip("/")).mkdir()
            os.chown(home / REMOTE.strip("/"), OWNER, OWNER)
            with running(self.kind, home=home, max_clients=max_clients, data_ports=ANY_PORTS) as server:
                yield Site(self.kind, version(server.pid), "off", server.host, server.port, USER, PASSWORD, None, home)

    def daemon(self, name: str, site: Site, drop: Path, **mapping: Any) -> Daemon:
        """A daemon with one mapping; its state is on disk."""
        mappings = {"drop": {"local": str(drop), "remote": f"web:{REMOTE}", "rescan": NEVER, **mapping}}
        return Daemon(self.disk / name, site.password, {"web": account(site)}, mappings)

    def timed(self, command: Command, name: str, at: Sequence[str] = ()) -> dict[str, float]:
        """Run a command to its end; wall, CPU and peak memory as ``measure.c`` tells them.

        Args:
            command: it.
            name: of the directory on disk that it works in, which may be there.
            at: the words before it that have it run in another network namespace.

        Raises:
            MeasureError: it failed.
        """
        work = self.disk / name
        work.mkdir(exist_ok=True)
        report, log = work / "measured.json", work / "output"
        report.unlink(missing_ok=True)
        with log.open("wb") as output:
            subprocess.run(
                [*at, self.measure, report, *command.words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=work,
                env=environment(work) | dict(command.environ),
                check=True,
            )
        return measured(report, log)


def measured(report: Path, log: Path) -> dict[str, float]:
    """What ``measure.c`` reports, if the command went well.

    Raises:
        MeasureError: it did not.
    """
    told: dict[str, float] = json.loads(report.read_text())
    if told.pop("exit_code"):
        raise MeasureError(f"a command failed: {log.read_text(errors='replace')[-2000:]}")
    return told


def account(site: Site) -> dict[str, Any]:
    """A server of the configuration, without its password."""
    return {"host": site.host, "port": site.port, "user": site.user, "tls": "off", "connections": CONNECTIONS}


@contextmanager
def prepared(sizes: Sizes, kind: str, say: Say) -> Iterator[Ground]:
    """Two places to work in, and a program to measure others with."""
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="ftpsyncd-scale-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        base.chmod(0o755)  # the servers' sessions must get through
        memory = base / "memory"
        memory.mkdir()
        # As many inodes as there is memory: a million files of a few bytes each take a page and an inode.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=75%,nr_inodes=0", "tmpfs", memory], check=True)
        stack.callback(lambda: subprocess.run(["umount", "--lazy", memory], check=True))
        yield Ground(sizes, kind, base, memory, compile_program("measure", base), say)


def wait_until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Look every few milliseconds until something is so.

    Raises:
        MeasureError: it is not so in time.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise MeasureError(f"{what}: not within {limit_s:g} s")
        time.sleep(0.005)
