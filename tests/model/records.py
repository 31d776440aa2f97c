"""What is recorded of a mapping when nothing is left to do: the ledger has what both sides have, and nothing else is kept."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from ftpsyncd.engine.report import mapping_status
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import Kind
from ftpsyncd.paths import parent
from ftpsyncd.status import MappingState, MappingStatus
from tests.model.life import left_over
from tests.model.world import World


class Recorded(World):
    """One in which records are compared, too."""

    def take_all(self, folder: str) -> None:
        """Everything in a folder, or in all, is deleted."""
        for path in sorted(self.drop.below(folder) if folder else self._paths()):
            self.drop.delete(path)

    def _compare_records(self) -> None:
        """What the ledger and the status have, when nothing is left to do."""
        mirror, ledger = self._mirror, self._ledger
        blocked = self._blocked()
        for what, wrong in self._left_over(blocked):
            if wrong:
                raise self._broken(f"{what} when all is done: {wrong}; {self._state}")
        rows = {path: row for path, row in ledger.walk(mirror.id) if path}
        here = {
            path: fingerprint_of(Path(self.drop.local(path)).stat())
            for path in self.drop.files()
            if self._selection.includes(path) and path not in blocked
        }
        files = {path: row.fingerprint for path, row in rows.items() if row.kind is Kind.FILE}
        if files != here:
            raise self._broken(f"G3: the ledger has {files}, and here is {here}; {self._state}")
        folders = {path for path in self.drop.folders() if path and self._selection.descend(path)}
        recorded = {path for path, row in rows.items() if row.kind is Kind.DIR}
        if recorded != folders - blocked and (self.spec.empty_dirs or not recorded <= folders):
            raise self._broken(f"G3: the ledger has the directories {recorded}, and here are {folders}; {self._state}")
        totals, size = ledger.mappings.totals(mirror.id), sum(fingerprint.size for fingerprint in files.values())
        if (totals.files, totals.bytes) != (len(files), size):
            raise self._broken(f"G8: the ledger counts {totals}, and has {len(files)} files of {size} bytes")

    def _blocked(self) -> set[str]:
        """What cannot be published because something that has to stay at the server is in its way."""
        published = self._published()
        return {
            path
            for path, is_folder in self.drop.walk()
            if (path in published if is_folder else self._in_the_way(path, published))
            or self._is_below(path, published)
        }

    @staticmethod
    def _is_below(path: str, published: Container[str]) -> bool:
        while path := parent(path):
            if path in published:
                return True
        return False

    def _status(self) -> MappingStatus:
        assert self._engine is not None
        return mapping_status(self._mirror, self._engine._moment())

    def _left_over(self, blocked: set[str]) -> Iterator[tuple[str, object]]:
        mirror, status = self._mirror, self._status()
        failed = {path for path, _ in mirror.ledger.failures.worst(mirror.id, 1000)}
        yield "failures", failed - blocked
        counts = status.pending, status.in_flight, status.failed + status.parked - len(failed), status.held
        yield "G8: it is not in sync", (status.state is not MappingState.IN_SYNC or any(counts)) and status
        yield from left_over(mirror)
        if self.server.sessions != self._crew.connections:
            yield "connections", (self.server.sessions, self._crew.connections)
