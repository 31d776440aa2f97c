"""What a user would put together instead: a watcher that calls curl for each file.

In: a folder, a site. Out: a running process. Both send a file when it is closed, under its final name, one login each.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import environment
from benchmarks.scale.rows import LSYNCD, SHELL
from benchmarks.servers import REMOTE, Site


@dataclass(frozen=True)
class Watcher:
    """A peer that watches."""

    name: str
    programs: tuple[str, ...]
    words: Callable[[Path, Site, Path], list[str]]
    """(folder, site, work) → command line."""

    @property
    def missing(self) -> str:
        """Why it cannot take part; empty if it can."""
        absent = [program for program in self.programs if not shutil.which(program)]
        return f"{' and '.join(absent)} not installed" if absent else ""


def _curl(site: Site, work: Path) -> str:
    netrc = work / "netrc"
    netrc.write_text(f"machine {site.host} login {site.user} password {site.password}\n")
    netrc.chmod(0o600)
    return f"curl --disable --silent --show-error --netrc-file {shlex.quote(str(netrc))} --upload-file"


def _url(site: Site) -> str:
    return f"ftp://{site.host}:{site.port}{REMOTE}/"


def _shell(folder: Path, site: Site, work: Path) -> list[str]:
    quoted = shlex.quote(str(folder))
    script = (
        f"inotifywait --quiet --monitor --event close_write --format %f {quoted} | while IFS= read -r name; do"
        f' {_curl(site, work)} {quoted}/"$name" {_url(site)}"$name"; done'
    )
    return ["sh", "-c", script]


def _lsyncd(folder: Path, site: Site, work: Path) -> list[str]:
    config = work / "lsyncd.lua"
    # onModify is what follows a close; onCreate would send half a file. 4 processes: as many as we have connections.
    config.write_text(
        f'settings {{ nodaemon = true, logfile = "{work}/lsyncd.log", statusFile = "{work}/lsyncd.status",'
        ' inotifyMode = "CloseWrite" }\n'
        f'call = {{ delay = 0, maxProcesses = 4, onModify = "{_curl(site, work)} ^sourcePathname {_url(site)}" }}\n'
        f'sync {{ call, source = "{folder}" }}\n'
    )
    return ["lsyncd", "-nodaemon", str(config)]


WATCHERS = (
    Watcher(SHELL, ("inotifywait", "curl"), _shell),
    Watcher(LSYNCD, ("lsyncd", "curl"), _lsyncd),
)


@contextmanager
def watching(watcher: Watcher, folder: Path, site: Site, work: Path) -> Iterator[None]:
    """Run a watcher; it may not be ready yet."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "log").open("ab") as log:
        process = subprocess.Popen(
            watcher.words(folder, site, work),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(work),
            cwd=work,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
