"""What ``ftpsyncd verify --repair`` does about findings: what is missing or wrong is published again, and awaited.

In: findings, one by one. Out: paths for the ledger's owner, which publishes them as it does whatever is in doubt: a
running daemon, else a pass of this process.
"""

from __future__ import annotations

import json
import time
from typing import Protocol

import click

from ftpsyncd.cli.daemon import client
from ftpsyncd.cli.options import given
from ftpsyncd.config import Config
from ftpsyncd.control import shapes
from ftpsyncd.control.client import ControlClient
from ftpsyncd.core.compare import Drift
from ftpsyncd.counting import number
from ftpsyncd.daemon.service import Service
from ftpsyncd.descriptors import allow_files
from ftpsyncd.engine import again
from ftpsyncd.errors import DaemonNotRunningError
from ftpsyncd.inspection.verify import Finding
from ftpsyncd.local.quiet import ignore_lease_signals
from ftpsyncd.logs import one_line
from ftpsyncd.model import Kind
from ftpsyncd.status import MappingState, ServerState

BATCH_BYTES = 32_000
"""Of names, as JSON, in one request to the daemon."""
TURN_S = 0.25
PATIENCE_S = 3600.0
"""How long a repair is awaited at most; it goes on by itself."""
SETTLES_S = 60.0
"""What is not at rest so long after `settle` may be written for ever, and is not awaited."""
NOT_MENDED = {Drift.SAME_NAME, Drift.UNKNOWN}
"""Publishing again would take the place of another file, or there is nothing to publish."""
WAITS = {MappingState.SYNCING, MappingState.SETTLING, MappingState.IN_SYNC, MappingState.HELD}
"""States in which what is to be published is on its way, or there; of deletes that are held, nothing else waits."""
_RESTS = {MappingState.SETTLING, MappingState.HELD}
"""Those of these in which nothing may be under way."""
AWAY = {ServerState.OFFLINE, ServerState.REFUSED, ServerState.FULL}
"""States of a server in which a mapping whose deletes are held goes on some time, but not now."""


class Hand(Protocol):
    """Who publishes again: a running daemon, or a pass of our own; both own the ledger while they work."""

    def take(self, files: list[str], directories: list[str]) -> None:
        """Publish these again."""

    def wait(self) -> str:
        """Until they are published, or cannot be now; why not, or nothing."""

    def close(self) -> None:
        """End."""


class Mender:
    """Collects what is missing or wrong and has it published again."""

    def __init__(self, config: Config, mapping: str) -> None:
        self.files = self.directories = 0
        self._config = config
        self._mapping = mapping
        self._batch: dict[Kind, list[str]] = {Kind.FILE: [], Kind.DIR: []}
        self._bytes = 0
        self._hand: Hand | None = None

    def note(self, finding: Finding) -> None:
        """A finding; what is unknown is left alone, and what would take the place of another."""
        if finding.drift in NOT_MENDED or (finding.kind is Kind.DIR and finding.drift is not Drift.MISSING):
            return
        self._batch[finding.kind].append(finding.path)
        self._bytes += len(json.dumps(finding.path))
        if finding.kind is Kind.FILE:
            self.files += 1
        else:
            self.directories += 1
        if self._bytes >= BATCH_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._hand is None:
            self._hand = _hand(self._config, self._mapping)
        self._hand.take(self._batch[Kind.FILE], self._batch[Kind.DIR])
        self._batch = {Kind.FILE: [], Kind.DIR: []}
        self._bytes = 0

    def finish(self) -> bool:
        """Have the rest published and wait for all; False if there was nothing to do."""
        if self._bytes:
            self._pass_on()
        if self._hand is None:
            return False
        click.echo(f"Publishing {number(self.files, 'file')} again …", err=True)
        if lets_wait := self._hand.wait():
            click.echo(f"ftpsyncd: {one_line(given().typed.text(lets_wait))}", err=True)
        self.close()
        return True

    def close(self) -> None:
        """End what was begun."""
        if self._hand is not None:
            self._hand.close()


class DaemonHand:
    """The running daemon publishes.

    Args:
        daemon: it.
        mapping: the name.
        server: of that.
        settle_s: seconds in which what is to be published comes to rest, if anything does.
    """

    def __init__(self, daemon: ControlClient, mapping: str, server: str, settle_s: float) -> None:
        self._daemon = daemon
        self._mapping = mapping
        self._server = server
        self._settles_s = settle_s + SETTLES_S

    def take(self, files: list[str], directories: list[str]) -> None:
        """See `Hand`."""
        self._daemon.repair(self._mapping, files, directories)

    def wait(self) -> str:
        """See `Hand`; what the daemon cannot do now it does later, unless it is held up by a person."""
        deadline = settles_by = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            status = shapes.status_from_json(self._daemon.status())
            found = next((each for each in status.mappings if each.name == self._mapping), None)
            if found is None:
                return ""
            if found.state not in WAITS:
                return f"{found.name}: {found.message}"
            is_held = found.state is MappingState.HELD
            server = next((each for each in status.servers if each.name == self._server), None)
            if is_held and server is not None and server.state in AWAY:
                return f"{found.name}: waits for the server {server.name}: {server.message}"
            at_rest = found.state is MappingState.IN_SYNC or (found.state in _RESTS and not found.comparing)
            if at_rest and not found.pending - found.settling + found.in_flight:
                settles_by = min(settles_by, time.monotonic() + self._settles_s)
                if not found.settling:
                    return ""
                if time.monotonic() >= settles_by:
                    return f"{found.name}: {found.oldest_pending}" if found.oldest_pending else ""
            time.sleep(TURN_S)
        return ""

    def close(self) -> None:
        """See `Hand`: the daemon goes on."""


class OwnHand:
    """A pass of our own, like `sync`."""

    def __init__(self, config: Config, mapping: str) -> None:
        self._mapping = mapping
        self._service = Service(config, one_pass=True, mappings=[mapping])
        ignore_lease_signals()
        allow_files()
        self._service.start()
        self._open = True

    def take(self, files: list[str], directories: list[str]) -> None:
        """See `Hand`."""
        engine = self._service.engine
        self._service.asked(lambda at: again.publish(engine.mirrors[self._mapping], files, directories, at))

    def wait(self) -> str:
        """See `Hand`."""
        while not (progress := self._service.await_end(TURN_S)).finished:
            pass
        return "; ".join(progress.messages)

    def close(self) -> None:
        """See `Hand`."""
        if self._open:
            self._open = False
            self._service.stop()


def _hand(config: Config, mapping: str) -> Hand:
    try:
        daemon = client(config)
        daemon.status()
    except DaemonNotRunningError:
        return OwnHand(config, mapping)
    spec = config.mappings[mapping]
    return DaemonHand(daemon, mapping, spec.server, spec.settle_s)
