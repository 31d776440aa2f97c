"""``ftpsyncd run`` as a process of its own, and what it costs as the kernel counts it.

In: servers and mappings of a configuration. Out: `Daemon`. Nothing of the product runs in the measuring process but the
client of its control socket.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.contenders import environment
from ftpsyncd.control.client import ControlClient
from ftpsyncd.errors import ControlError

LIMIT_S = 1800.0
POLL_S = 0.05
PASSWORD_VARIABLE = "FTP_PASSWORD"  # noqa: S105 - the name of a variable


class DaemonError(Exception):
    """The daemon ended, or did not do what was waited for."""


class Daemon:
    """One daemon with its own configuration and state.

    Args:
        work: a directory for both; may be there already, with the state of an earlier one.
        password: of all its accounts.
        servers: as in the configuration, but for passwords.
        mappings: as in the configuration.
    """

    def __init__(
        self, work: Path, password: str, servers: Mapping[str, Mapping[str, Any]], mappings: Mapping[str, Any]
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work = work
        self.config = work / "config.yaml"
        self.ledger = work / "state/ledger.db"
        self._socket = work / "control.sock"
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        accounts = {name: {**keys, "password": {"env": PASSWORD_VARIABLE}} for name, keys in servers.items()}
        # JSON is YAML, too.
        self.config.write_text(
            json.dumps(
                {
                    "servers": accounts,
                    "mappings": mappings,
                    "state_dir": str(work / "state"),
                    "control": {"socket": str(self._socket)},
                }
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """Of the daemon, and of other commands on its configuration."""
        return environment(self.work) | {PASSWORD_VARIABLE: self._password}

    @property
    def words(self) -> list[str]:
        """The command line up to the command."""
        return [sys.executable, "-m", "ftpsyncd"]

    def start(self) -> None:
        """Begin; returns at once."""
        with (self.work / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.words, "run", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.work,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it in order; idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise DaemonError("the daemon did not end") from None

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None:
            raise DaemonError("the daemon is not running")
        return self._process.pid

    # ── what it says ─────────────────────────────────────────────────────────────────────────────────────────

    def status(self) -> dict[str, Any] | None:
        """Its status; None while it does not answer."""
        if self._process is None or self._process.poll() is not None:
            raise DaemonError(f"the daemon ended\n{self.log()}")
        try:
            return ControlClient(self._socket).status()
        except ControlError:
            return None

    def until(self, wanted: Callable[[dict[str, Any]], bool], what: str, *, poll_s: float = POLL_S) -> dict[str, Any]:
        """Wait for a status."""
        deadline = time.monotonic() + LIMIT_S
        status = None
        while time.monotonic() < deadline:
            status = self.status()
            if status is not None and wanted(status):
                return status
            time.sleep(poll_s)
        raise DaemonError(f"{what}: not within {LIMIT_S:g} s\n{status}\n{self.log()}")

    def until_in_sync(self, *, poll_s: float = POLL_S) -> dict[str, Any]:
        """Wait until all mappings are in sync."""

        def in_sync(status: dict[str, Any]) -> bool:
            return all(mapping["state"] == "in_sync" for mapping in status["mappings"])

        return self.until(in_sync, "in sync", poll_s=poll_s)

    def log(self) -> str:
        """The end of its log."""
        return (self.work / "log").read_text(errors="replace")[-3000:]

    # ── what it costs ────────────────────────────────────────────────────────────────────────────────────────

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far, to the nanosecond."""
        # The clock of another process: clock_getcpuclockid(3) gives this number, Python lacks the function.
        return time.clock_gettime(~self.pid << 3 | 2)

    def rss_mib(self) -> float:
        """Resident memory now."""
        return self._memory("VmRSS")

    def peak_mib(self) -> float:
        """The highest resident memory so far."""
        return self._memory("VmHWM")

    def _memory(self, key: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
        raise DaemonError(f"the kernel tells no {key}")

    def threads(self) -> int:
        """How many it has now."""
        return len(os.listdir(f"/proc/{self.pid}/task"))  # noqa: PTH208 - only counted

    def descriptors(self) -> int:
        """How many it has open now."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - only counted
