"""The remotes of the contract suite behind one face, and the jobs that it publishes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.remote import Account, MemoryServer, PublishJob, PublishResult, RemoteSession, parting, sending
from ftpsyncd.remote.data import DataLine
from tests.others.deviations import HELD
from tests.others.starters import WANTED
from tests.servers import KINDS, Server
from tests.waiting import until

REMOTES = ["memory"] + [
    f"{kind}-{tls}"
    for kind in KINDS
    for tls in ("off", "explicit", "implicit")
    if not (kind == "pure-ftpd" and tls == "implicit")
]
REMOTES += ["bare-off", "bare-explicit"]
"""pyftpdlib, where no path from the root is taken but by CWD."""
if os.environ.get(WANTED):
    REMOTES = [f"{kind}-off" for kind in HELD]
COMBINED = {"bare-explicit"}
"""Run by `make test-long` only: which paths are refused has nothing to do with TLS, and ``bare-off`` has it."""
DATE = 1_600_000_000


def settings(name: str) -> dict[str, Any]:
    """How `running` starts the server of a remote."""
    kind, tls = name.rsplit("-", 1)
    return {"kind": "pyftpdlib", "tls": tls, "bare": "absolute"} if kind == "bare" else {"kind": kind, "tls": tls}


@dataclass
class Remote:
    """A server under test and a fresh directory on it."""

    name: str
    base: str
    server: Server | None = None
    memory: MemoryServer = field(default_factory=MemoryServer)
    account: Account | None = None

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0] if self.server is None else self.server.kind

    def connect(self) -> RemoteSession:
        return self.memory.connect() if self.account is None else self.account()

    def _local(self, path: str) -> Path:
        assert self.server is not None
        return self.server.home / path.lstrip("/")

    def read(self, path: str) -> bytes:
        return self.memory.files[path].content if self.server is None else self._local(path).read_bytes()

    def mtime(self, path: str) -> int:
        return self.memory.files[path].mtime_s if self.server is None else int(self._local(path).stat().st_mtime)

    def names(self, directory: str = "") -> set[str]:
        """What is really in a directory, whatever the server says."""
        directory = directory or self.base
        if self.server is not None:
            return {path.name for path in self._local(directory).iterdir()}
        everything = [*self.memory.files, *self.memory.dirs]
        return {p.rpartition("/")[2] for p in everything if p != "/" and (p.rpartition("/")[0] or "/") == directory}


def fine(_file, _sha256) -> None:
    """Confirm anything."""


def job(path: str, content: bytes = b"content", **changes) -> PublishJob:
    suffix = ".0123abcd.filepart"
    directory, _, name = path.rpartition("/")
    cut = name.encode(errors="surrogateescape")[: 255 - len(suffix)].decode(errors="surrogateescape")
    values = {
        "path": path,
        "temporary": f"{directory}/{cut}{suffix}",
        "size": len(content),
        "mtime_s": DATE,
        "open": lambda: io.BytesIO(content),
        "confirm": fine,
    }
    return PublishJob(**{**values, **changes})


def publish(session, *jobs: PublishJob) -> list[PublishResult]:
    return list(session.publish(jobs))


def make_many(session, paths: Sequence[str]) -> list[bool | FtpsyncdError]:
    """Make directories; the verdicts in the order of the paths, exactly one for each."""
    found = list(session.make_dir_many(paths))
    verdicts = dict(found)
    assert sorted(i for i, _ in found) == list(range(len(paths)))
    return [verdicts[i] for i in range(len(paths))]


def ends_in_haste(monkeypatch: pytest.MonkeyPatch, *, patient: bool = True) -> list[bool]:
    """Every line is long enough for a reset behind the end; whether each end got one, one after the other.

    Args:
        monkeypatch: undoes it.
        patient: an end waits until the server has answered STOR: on loopback, which does not linger, the end would
            always be answered before.
    """
    monkeypatch.setattr(sending, "PARTING_S", -1.0)
    # On a busy machine even a loopback connection may send something twice.
    state = parting._state
    monkeypatch.setattr(parting, "_state", lambda sock: state(sock)._replace(sacked=0, retransmitted=0))
    decided: list[bool] = []
    part = DataLine._part

    def noted(line: DataLine, begun: Callable[[], bool], _patience_s: float) -> bool:
        def spoke() -> bool:
            line._control.pump()
            return begun() or line._answer() is not None

        if patient:
            until(spoke, "the server answers STOR")
        decided.append(part(line, begun, 5.0 if patient else 0.0))
        return decided[-1]

    monkeypatch.setattr(DataLine, "_part", noted)
    return decided


def put(session, path: str, content: bytes = b"content") -> None:
    for result in publish(session, job(path, content)):
        assert result.error is None


def raiser(error: Exception):
    def act(*_args):
        raise error

    return act
