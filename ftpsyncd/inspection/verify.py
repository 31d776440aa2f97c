"""``verify``: is the server as the ledger says? Missing, wrong and unknown files, directory by directory.

In: a mapping, a session, the ledger opened for reading. Out: findings, as they are found; nothing is changed, neither
at the server nor in the ledger. A daemon may be publishing meanwhile: what differs is looked at once more, with the
ledger read before and after, and what a worker is busy with is no finding. Memory is bounded by the largest directory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ftpsyncd.config import Config
from ftpsyncd.core import names
from ftpsyncd.core.compare import Drift, Seen, compare, is_unsettled, judge
from ftpsyncd.core.names import TRASH
from ftpsyncd.errors import (
    DataUnreachableError,
    FtpsyncdError,
    LocalError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    ServerUnavailableError,
)
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.quiet import open_quietly
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import Kind, Row
from ftpsyncd.paths import join, parent, remote_join
from ftpsyncd.remote import hashes, trials
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.port import PartlyListedError
from ftpsyncd.remote.profile import Hashing
from ftpsyncd.remote.session import Session
from ftpsyncd.specs import MappingSpec, destination

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One path that is not as the ledger says."""

    drift: Drift
    path: str
    """Relative to the mapping's folder; of an unknown directory only its own path is told."""
    kind: Kind
    """Of what was published, or of what is unknown."""
    expected: int | None
    """Bytes that were published; None for directories and what is unknown."""
    found: int | None
    """Bytes at the server; None where there are none, or it does not say."""


@dataclass(slots=True)
class Checked:
    """How much was compared."""

    directories: int = 0
    files: int = 0
    hashed: int = 0
    """Files whose content was compared."""
    unsettled: int = 0
    """Files that the ledger itself will publish anew, not judged."""
    drift: dict[Drift, int] = field(default_factory=lambda: dict.fromkeys(Drift, 0))


class Verification:
    """One mapping compared with its server.

    Args:
        config: the configuration.
        name: of the mapping.
        ledger: opened for reading; None: nothing was ever published.
        hashing: compare contents, where the server tells hashes.
    """

    def __init__(self, config: Config, name: str, ledger: Ledger | None, *, hashing: bool = False) -> None:
        self.spec: MappingSpec = config.mappings[name]
        self.checked = Checked()
        self.account = Account(config.servers[self.spec.server])
        self._id = None
        if ledger is not None:
            self._id = ledger.mappings.find(name, destination(self.spec, config.servers[self.spec.server]))
            # Remembered, it need not be tried again; nothing is kept from here.
            Keeper(self.account.profile, ledger.profile(self.account.key), time.time())
        self._ledger = ledger
        self._hashing = hashing
        self._session: Session | None = None

    def run(self) -> Iterator[Finding]:
        """Compare everything.

        Raises:
            RemoteError: the server cannot be reached.
            LedgerError: the ledger cannot be read.
        """
        try:
            yield from self._walk()
        finally:
            if self._session is not None:
                self._session.close()

    @property
    def tells_hashes(self) -> bool:
        """Whether the server was found to tell hashes that are right."""
        return bool(self.account.profile.hashing)

    def _walk(self) -> Iterator[Finding]:
        stack: list[tuple[str, bool]] = [("", True)]
        while stack:
            directory, there = stack.pop()
            below: list[tuple[str, bool]] = []
            for finding in self._directory(directory, below, there=there):
                self.checked.drift[finding.drift] += 1
                yield finding
            stack.extend(reversed(below))

    # ── one directory ────────────────────────────────────────────────────────────────────────────────────────

    def _directory(self, directory: str, below: list[tuple[str, bool]], *, there: bool) -> Iterator[Finding]:
        """Compare a directory; ``there``: it is at the server, so that it can be listed."""
        seen = self._listed(directory) if there else {}
        rows = self._rows(directory)
        if seen is None:
            # Nothing is there at all: either it was never made, or it is gone with everything in it.
            finding = self._confirmed(directory) if directory or rows else None
            if finding is not None:
                yield finding
            if directory and finding is None:
                return
            there, seen = False, {}
        self.checked.directories += 1
        gone: set[str] = set()
        for name, finding in self._differences(directory, rows, seen, there=there):
            yield finding
            if finding.drift is not Drift.SAME_NAME:
                gone.add(name)
        for name, row in rows.items():
            path = join(directory, name)
            if row.kind is Kind.DIR:
                below.append((path, there and name not in gone))
                continue
            self.checked.files += 1
            self.checked.unsettled += is_unsettled(row)
            if name in seen and name not in gone and (finding := self._content(path, row)) is not None:
                yield finding

    def _differences(
        self, directory: str, rows: Mapping[str, Row], seen: Mapping[str, Seen], *, there: bool
    ) -> Iterator[tuple[str, Finding]]:
        """The names of a directory that are not as they should be."""
        listed_otherwise: set[str] = set()
        shared = {names.folded(name) for name in rows if name in seen}
        for name in compare(rows, seen):
            # Ours: the server does not tell case, or accents, apart, and lists it in another spelling.
            if name not in rows and names.folded(name) in listed_otherwise:
                continue
            path = join(directory, name)
            finding = self._confirmed(path, seen.get(name)) if there else self._lost(path, rows[name])
            if there and name in rows and name not in seen and (finding is None or finding.drift is Drift.WRONG_SIZE):
                listed_otherwise.add(names.folded(name))
                if names.folded(name) in shared and not self._changes(path, rows[name]):
                    finding = _finding(Drift.SAME_NAME, path, rows[name], None)
            if finding is not None:
                yield name, finding

    def _listed(self, directory: str) -> dict[str, Seen] | None:
        """What the server has in a directory; None if it does not have the directory."""
        remote = remote_join(self.spec.remote, directory)
        try:
            entries = self._ask(lambda session: session.list_dir(remote))
        except NotFoundError:
            return None
        except PartlyListedError as error:
            # What was published is asked for one by one; what else is there, beyond those, nobody can tell.
            entries = error.entries
        # What is in the trash is out of the ledger, and ours.
        return {entry.name: Seen(entry.kind, entry.size) for entry in entries if directory or entry.name != TRASH}

    def _confirmed(self, path: str, listed: Seen | None = None) -> Finding | None:
        """Look at one path again, from the ledger to the server and back: None if it is as it should be, or moves."""
        row = self._row(path)
        try:
            seen = self._seen(path)
        except (NameNotSendableError, NameRefusedError):
            # Nobody can ask for such a name, so nobody here has sent it: the listing is all there is.
            if row is not None or listed is None:
                raise
            return _finding(Drift.UNKNOWN, path, None, listed)
        drift = judge(row, seen)
        if drift is None or self._changes(path, row) or (row is not None and is_unsettled(row)):
            return None
        # A temporary file that has got its final name meanwhile has no row that would show it, only its absence does.
        if row is None and path.endswith(names.SUFFIX) and self._seen(path) is None:
            return None
        return _finding(drift, path, row, seen)

    def _seen(self, path: str) -> Seen | None:
        """What the server has under one path."""
        there = self._ask(lambda session: session.stat(remote_join(self.spec.remote, path)))
        return None if there is None else Seen(there.kind, there.size)

    def _lost(self, path: str, row: Row) -> Finding | None:
        """A path in a directory that the server does not have any more."""
        if self._changes(path, row) or is_unsettled(row):
            return None
        return _finding(Drift.MISSING, path, row, None)

    def _changes(self, path: str, row: Row | None) -> bool:
        """Whether what was read of a path, row first and server then, is of two moments.

        What an action did at the server was on its way before, and its end and the new row are recorded together: asked
        in this order, one of the two shows.
        """
        return self._moves(path) or self._row(path) != row

    def _moves(self, path: str) -> bool:
        """Whether an action about a path, or one above it, was handed out and is not recorded yet."""
        if self._ledger is None or self._id is None:
            return False
        lineage = {path}
        while path:
            path = parent(path)
            lineage.add(path)
        remote = {remote_join(self.spec.remote, each) for each in lineage}
        return any(
            moving in lineage or lineage - {""} & {intent.source, *intent.brings} or intent.temporary in remote
            for moving, intent in self._ledger.begun.of(self._id)
        )

    # ── contents ─────────────────────────────────────────────────────────────────────────────────────────────

    def _content(self, path: str, row: Row) -> Finding | None:
        if not self._hashing or is_unsettled(row):
            return None
        remote = remote_join(self.spec.remote, path)
        way = self._ask(lambda session: _way(session, self.spec.remote))
        told = self._ask(lambda session: hashes.ask(session, way, remote, row.fingerprint.size)) if way else None
        ours = None if told is None else self._hash_of(told.algorithm, path, row)
        if told is None or ours is None:
            return None
        self.checked.hashed += 1
        if told.digits == ours or self._changes(path, row):
            return None
        return _finding(Drift.WRONG_CONTENT, path, row, Seen(Kind.FILE, row.fingerprint.size))

    def _hash_of(self, algorithm: str, path: str, row: Row) -> str | None:
        """The hash of what was published; None where neither ledger nor disk knows it any more."""
        if algorithm == "SHA-256" and row.sha256:
            return row.sha256.hex()
        try:
            with open_quietly(self.spec.local, path, follow_symlinks=self.spec.follow_symlinks) as file:
                if fingerprint_of(hashes.status_of(file)) != row.fingerprint:
                    return None
                digits = hashes.of_file(algorithm, file)
                return digits if fingerprint_of(hashes.status_of(file)) == row.fingerprint else None
        except LocalError:
            return None

    # ── ledger and server ────────────────────────────────────────────────────────────────────────────────────

    def _rows(self, directory: str) -> Mapping[str, Row]:
        return self._ledger.rows(self._id, directory) if self._ledger and self._id is not None else {}

    def _row(self, path: str) -> Row | None:
        return self._ledger.row(self._id, path) if self._ledger and self._id is not None else None

    def _ask(self, question: Callable[[Session], _T]) -> _T:
        """Ask the server; a connection that ended is replaced once, one that is too old before that.

        And one that has no data connections, as long as the host has other addresses.
        """
        missed, replaced = 0, False
        while True:
            if self._session is not None and self._session.expiring:
                self._leave()
            if self._session is None:
                self._session = self.account()
            try:
                return question(self._session)
            except FtpsyncdError as error:
                elsewhere = isinstance(error, DataUnreachableError) and missed < error.others
                if elsewhere or not self._session.usable:
                    self._leave()
                if elsewhere:
                    missed += 1
                elif replaced or not isinstance(error, ServerUnavailableError):
                    raise
                else:
                    replaced = True

    def _leave(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _finding(drift: Drift, path: str, row: Row | None, seen: Seen | None) -> Finding:
    kind = row.kind if row is not None else Kind.OTHER
    if row is None and seen is not None:
        kind = seen.kind
    expected = row.fingerprint.size if row is not None and row.kind is Kind.FILE else None
    return Finding(drift, path, kind, expected, seen.size if seen is not None else None)


def _way(session: Session, directory: str) -> Hashing:
    """How the server tells hashes, tried with a small file of our own if that is not known."""
    profile = session.profile
    if profile.hashing is None and not hashes.offered(profile.features):
        profile.hashing = Hashing.NONE
    if profile.hashing is None:
        trials.learn_resuming(session, names.trial(remote_join(directory, "verify")))
    return profile.hashing or Hashing.NONE
