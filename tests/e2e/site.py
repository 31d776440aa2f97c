"""A whole site for end-to-end tests: a real server, a drop folder, a configuration, and the real command.

    with site(server, tmp_path, settle="0.3s") as s:
        s.start()                                  # `ftpsyncd run` as a process (`nursery`), returns when it watches
        (s.drop / "a.jpg").write_bytes(b"...")
        s.until_equal()                            # both sides hold the same files, with the same content
        s.status()["mappings"][0]["state"]
        s.kill(); s.start()
        s.command("why", s.drop / "a.jpg")         # any other command, waited for

`Spy` looks at the server's folder all the time and remembers every content that was ever visible under a final name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftpsyncd.claim import whose
from ftpsyncd.control.client import ControlClient
from ftpsyncd.core.names import temporary
from ftpsyncd.errors import ControlError
from tests import nursery
from tests.e2e.beside import Beside
from tests.servers import PASSWORD, USER, Server
from tests.waiting import until

MAPPING = "drop"
REMOTE = "/site"
_QUICK = {"settle": "0.3s", "delete_after": "0.5s", "max_deletes": 1_000_000, "include": ["*"]}


@dataclass
class Site:
    """One configuration and the processes that use it."""

    base: Path
    server: Server
    mapping: dict[str, Any]
    server_keys: dict[str, Any]
    environ: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = (sys.executable, "-m", "ftpsyncd")
    """What the daemon and the other commands are started with."""
    foreign: str = ""
    """Files at the server whose names begin so are somebody else's, and no difference."""
    under: tuple[str, ...] = ()
    """A program, with its options, that runs the daemon."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Of the daemon, in the place of those that it is delivered with, by their full names (`hurried`)."""
    process: nursery.Process | None = None

    @property
    def drop(self) -> Path:
        """The watched folder."""
        return self.base / "drop"

    @property
    def published(self) -> Path:
        """The mapped directory, as it lies on the server's disk."""
        return self.server.home / REMOTE.strip("/")

    @property
    def config(self) -> Path:
        return self.base / "config.yaml"

    @property
    def log_path(self) -> Path:
        return self.base / "log"

    def log(self) -> str:
        """What the daemon wrote so far, over all its lives."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def temporary(self, path: str) -> str:
        """To which absolute remote path a file of the mapping is sent first."""
        return temporary(f"{REMOTE}/{path}", f"{whose(self.base / 'state')}{MAPPING}")

    def write_config(self, **changes: Any) -> None:
        """(Re)write the configuration; ``changes`` are keys of the mapping."""
        spec = self.server.spec()
        server = {
            "host": spec.host,
            "port": spec.port,
            "user": USER,
            "password": {"env": "SITE_PASSWORD"},
            "tls": str(spec.tls),
            **({"tls_ca": str(spec.tls_ca)} if spec.tls_ca else {}),
            **self.server_keys,
        }
        config = {
            "servers": {"web": server},
            "mappings": {
                MAPPING: {"local": str(self.drop), "remote": f"web:{REMOTE}", **self.mapping, **changes},
            },
            "state_dir": str(self.base / "state"),
            "control": {"socket": str(self.base / "control.sock")},
        }
        # JSON is YAML.
        self.config.write_text(json.dumps(config, indent=1))

    def environment(self) -> dict[str, str]:
        """For subprocesses."""
        return {**os.environ, "SITE_PASSWORD": PASSWORD, "PYTHONUNBUFFERED": "1", **self.environ}

    def start(self, *, timeout_s: float = 30.0) -> None:
        """Run the daemon; return when its control socket answers."""
        with self.log_path.open("ab") as log:
            command = [*self.under, *self._daemon(), "run", "-c", str(self.config)]
            self.process = nursery.start(command, log, env=self.environment())
        until(self._up, "the daemon answers", timeout_s)

    def _daemon(self) -> Sequence[str]:
        """What the daemon is started with."""
        if not self.numbers:
            return self.program
        numbers = (f"{name}={value}" for name, value in self.numbers.items())
        return (sys.executable, "-m", "tests.e2e.hurried", *numbers, "--")

    def _up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        return (self.base / "control.sock").exists() and bool(self.status()["daemon"]["running"])

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL: a crash."""
        return self._end(signal.SIGKILL)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """No thread of the daemon does anything (SIGSTOP) until the end of the block."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task")
        self.process.send_signal(signal.SIGSTOP)
        try:
            # Its threads go on until the first of them has the signal: on a busy machine long enough for an answer.
            until(lambda: all(_is_stopped(task) for task in tasks.iterdir()), "the daemon has stopped")
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def ended(self) -> int:
        """Wait until the daemon has ended by itself; returns the exit code."""
        assert self.process is not None
        code = self.process.wait(40)
        self.process = None
        return code

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(40)
        self.process = None
        return code

    def command(self, *words: object, ok: bool = True, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run another command on the same configuration and wait for it."""
        name, *rest = [os.fspath(w) if isinstance(w, Path) else str(w) for w in words]
        command = [*self.program, name, "-c", str(self.config), *rest]
        done = nursery.run(command, errors="surrogateescape", env=self.environment(), timeout_s=timeout_s)
        if ok:
            assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        """`status --json`, asked in this process (a subprocess costs a quarter of a second)."""

        try:
            return dict(ControlClient(self.base / "control.sock").status())
        except ControlError:
            return {"daemon": {"running": False}}

    def mapping_status(self) -> dict[str, Any]:
        """The one mapping's part of the status."""
        return dict(self.status()["mappings"][0])

    def until_equal(self, timeout_s: float = 60.0) -> None:
        """Wait until both sides hold the same files with the same content, and nothing else."""
        try:
            until(self._equal, "both sides are equal", timeout_s)
        except AssertionError:
            local, remote = contents(self.drop), self._ours(contents(self.published))
            missing, extra = sorted(local.keys() - remote.keys()), sorted(remote.keys() - local.keys())
            differ = sorted(p for p in local.keys() & remote.keys() if local[p] != remote[p])
            raise AssertionError(
                f"missing {missing[:9]} extra {extra[:9]} differ {differ[:9]}\n{self.status()}\n{self.log()[-4000:]}"
            ) from None

    def _equal(self) -> bool:
        # Names and sizes first: reading everything again and again would slow down those who are waited for.
        return sizes(self.drop) == self._ours(sizes(self.published)) and contents(self.drop) == self._ours(
            contents(self.published)
        )

    def _ours(self, found: dict[bytes, Any]) -> dict[bytes, Any]:
        theirs = os.fsencode(self.foreign)
        return {p: held for p, held in found.items() if not theirs or not p.rpartition(b"/")[2].startswith(theirs)}

    def until_state(self, state: str, timeout_s: float = 30.0) -> None:
        """Wait until the mapping is in a state."""
        until(lambda: self.mapping_status()["state"] == state, f"state {state}", timeout_s)

    def memory_mib(self) -> float:
        """Resident memory of the daemon, the highest so far (VmHWM)."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    def cpu_s(self) -> float:
        """CPU seconds of the daemon so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_stopped(task: Path) -> bool:
    """Whether a thread is stopped by a signal, or has ended (proc(5))."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return True


@contextmanager
def site(server: Server, base: Path, *, server_keys: dict[str, Any] | None = None, **mapping: Any) -> Iterator[Site]:
    """A drop folder and a configuration for a running server; ends the daemon."""
    base.mkdir(parents=True, exist_ok=True)
    made = Site(base, server, {**_QUICK, **mapping}, server_keys or {})
    made.drop.mkdir(exist_ok=True)
    made.write_config()
    try:
        yield made
    finally:
        if made.process is not None:
            made.kill()


def contents(root: Path) -> dict[bytes, bytes]:
    """Relative path → digest of every regular file below ``root``; a vanishing file is passed over."""
    found: dict[bytes, bytes] = {}
    top = os.fsencode(root)
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 - bytes
            try:
                with open(path, "rb") as file:  # noqa: PTH123 - bytes
                    found[os.path.relpath(path, top)] = hashlib.blake2b(file.read()).digest()
            except OSError:
                continue
    return found


def sizes(root: Path) -> dict[bytes, int]:
    """Relative path → size of every regular file below ``root``; a vanishing file is passed over."""
    found: dict[bytes, int] = {}
    top = os.fsencode(root)
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 - bytes
            try:
                found[os.path.relpath(path, top)] = os.lstat(path).st_size
            except OSError:
                continue
    return found


class Spy(Beside):
    """Looks at the server's folder about once a millisecond; keeps every content seen under a final name.

    Args:
        root: the published folder on the server's disk.
        rest_s: between two looks.
    """

    def __init__(self, root: Path, *, rest_s: float = 0.001) -> None:
        super().__init__("spy")
        self._root = root
        self._rest_s = rest_s
        self._sizes: dict[str, tuple[int, int, int]] = {}
        self.seen: dict[str, set[bytes]] = {}
        self.looks = 0

    def run(self) -> None:
        while not self.over.is_set():
            self._look()
            self.over.wait(self._rest_s)

    def _look(self) -> None:
        self.looks += 1
        stack = [str(self._root)]
        while stack:
            try:
                entries = list(os.scandir(stack.pop()))
            except OSError:
                continue
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    elif _is_final(entry.name):
                        self._note(entry)
                except OSError:
                    continue

    def _note(self, entry: os.DirEntry[str]) -> None:
        status = entry.stat(follow_symlinks=False)
        identity = (status.st_ino, status.st_size, status.st_mtime_ns)
        path = os.path.relpath(entry.path, self._root)
        if self._sizes.get(path) == identity:
            return
        data = Path(entry.path).read_bytes()
        self._sizes[path] = identity
        self.seen.setdefault(path, set()).add(hashlib.blake2b(data).digest())

    def until_seen_all(self) -> None:
        """Wait until it has seen what is there now; afterwards `assert_never_torn` has something to judge."""
        final = {os.fsdecode(path): held for path, held in contents(self._root).items()}

        def unseen() -> list[str]:
            return [path for path, held in final.items() if held not in self.seen.get(path, ()) and _is_final(path)]

        try:
            until(lambda: not unseen(), "the spy saw it all", 20)
        except AssertionError:
            raise AssertionError(f"not seen by the spy: {unseen()}") from None

    def assert_never_torn(self, allowed: dict[str, set[bytes]]) -> None:
        """Every content that was ever visible is one of those that were meant to be."""
        for path, digests in self.seen.items():
            assert digests <= allowed.get(path, set()), f"{path} was visible with a content that nobody dropped"


def _is_final(path: str) -> bool:
    # Under the last two pure-ftpd receives what is continued, and has for a moment what it renames.
    name = path.rpartition("/")[2]
    return not name.endswith(".filepart") and not name.startswith((".pureftpd-upload.", ".pureftpd-rename."))


def digest(data: bytes) -> bytes:
    """As `contents` and `Spy` compute it."""
    return hashlib.blake2b(data).digest()


def wait_a_moment(seconds: float) -> None:
    """The passage of time as part of a story (a writer that pauses), never as synchronisation."""
    time.sleep(seconds)


def tools_missing(*names: str) -> str:
    """Why a test that needs these programs cannot run; empty if it can."""
    absent = [name for name in names if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""
