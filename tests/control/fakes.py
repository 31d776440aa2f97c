"""A daemon for the control API's tests: says what it is told to, notes what it was asked."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftpsyncd.errors import UnknownNameError
from ftpsyncd.questions import CommandName, Health, Why
from ftpsyncd.receipts import HistoryPage, HistoryQuery, Receipt
from ftpsyncd.status import (
    DaemonStatus,
    MappingState,
    MappingStatus,
    Problem,
    ServerState,
    ServerStatus,
    Status,
    Transfer,
)

GALLERY = MappingStatus(
    name="gallery",
    local="/srv/drop/gallery",
    remote="web:/htdocs/gallery",
    state=MappingState.SYNCING,
    pending=3,
    in_flight=1,
    failed=0,
    parked=1,
    held=0,
    published_files=1200,
    published_bytes=5_000_000_000,
    last_publish="2026-01-02T03:04:05+00:00",
    message="3 files wait.",
    oldest_pending_s=4.5,
    watcher="native",
)
STATUS = Status(
    daemon=DaemonStatus(running=True, pid=4711, version="0.1.0", uptime_s=12.5),
    mappings=(
        GALLERY,
        MappingStatus("sheets", "/s", "web:/s", MappingState.SOURCE_MISSING, 0, 0, 0, 0, 0, 0, 0, None, "Not there."),
    ),
    servers=(ServerStatus("web", ServerState.ONLINE, 2, ""),),
    transfers=(Transfer("gallery", "a\udcff.jpg", 10, 100, 5.5),),
    problems=(Problem("gallery", "b\n.jpg", True, 2, "Refused.", "550 no", "Ask.", None),),  # noqa: FBT003 - parked
)


PAGE = HistoryPage(
    (
        Receipt(
            id=2,
            at="2026-01-02T03:04:05.678+00:00",
            mapping="gallery",
            kind="renamed",
            path="a\udcff.jpg",
            source="=b.jpg",
            size=10,
            sha256="ab" * 32,
            duration_s=0.25,
            attempts=1,
            last="2026-01-02T03:04:05.678+00:00",
            reply="250 Renamed.",
            message="",
        ),
    ),
    "1767323045678000000.2",
)


@dataclass
class FakeDaemon:
    """Satisfies ``port.Daemon``."""

    answer: Status = STATUS
    lives: bool = True
    page: HistoryPage = PAGE
    trouble: Exception | None = None
    asked: list[str] = field(default_factory=list)
    queries: list[tuple[HistoryQuery, str | None]] = field(default_factory=list)
    repairs: list[tuple[str, list[str], list[str]]] = field(default_factory=list)
    learned: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    commands: list[tuple[CommandName, str | None, str | None, str | None]] = field(default_factory=list)

    def status(self) -> Status:
        if self.trouble is not None:
            raise self.trouble
        return self.answer

    def why(self, path: str) -> Why:
        if self.trouble is not None:
            raise self.trouble
        self.asked.append(path)
        return Why(path, "gallery", "pending", "It waits.", {"size": 3, "reply": None})

    def command(self, name: CommandName, *, mapping: str | None, server: str | None, path: str | None) -> str:
        if self.trouble is not None:
            raise self.trouble
        self.commands.append((name, mapping, server, path))
        return f"Did {name}."

    def repair(self, mapping: str, files: Sequence[str], directories: Sequence[str]) -> str:
        if self.trouble is not None:
            raise self.trouble
        self.repairs.append((mapping, list(files), list(directories)))
        return f"Repairs {mapping}."

    def learn(self, account: str, learned: Mapping[str, Any]) -> str:
        if self.trouble is not None:
            raise self.trouble
        self.learned.append((account, dict(learned)))
        return f"Knows {account}."

    def history(self, query: HistoryQuery, path: str | None) -> HistoryPage:
        if self.trouble is not None:
            raise self.trouble
        self.queries.append((query, path))
        if query.mapping not in {None, "gallery", "sheets"}:
            raise UnknownNameError(f"There is no mapping {query.mapping}.", remedy="There are: gallery, sheets.")
        return self.page

    def health(self) -> Health:
        return Health(self.lives, engine_running=True, engine_turn_age_s=0.5 if self.lives else 172800.5, limit_s=60.0)


def healthy(path: Path) -> bool:
    """Whether who answers on a socket says that the daemon's engine has turned lately."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return sock.makefile("rb").readline().split()[1:2] == [b"200"]
