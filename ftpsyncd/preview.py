"""What a pass would do (`plan`): each mapping compared with the ledger, directory by directory; nothing is touched.

In: a configuration. Out: plain records. Called by reading commands; no connection is opened.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ftpsyncd import patience
from ftpsyncd.config import Config
from ftpsyncd.core.deletes import gone_s
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.plan import Decision, Enter, Gone, Look, Settled, Swapped, Wait, plan_directory
from ftpsyncd.errors import LocalUnreadableError, UsageError
from ftpsyncd.failures import CHANGED
from ftpsyncd.lastlook import exists
from ftpsyncd.ledger import Ledger
from ftpsyncd.local.scan import Scanner
from ftpsyncd.local.tree import numbered_identity
from ftpsyncd.model import (
    Action,
    Adopt,
    Delete,
    Failure,
    Fingerprint,
    Forget,
    Kind,
    Listing,
    MakeDir,
    Presence,
    RemoveDir,
    Rename,
    Row,
    Upload,
    basename,
    join,
    parent,
)
from ftpsyncd.specs import DeletePolicy, MappingSpec, destination
from ftpsyncd.survey import open_ledger
from ftpsyncd.waits import SOON_S

ASKED = 1000
"""Files of a directory that are looked at together, so that a plan of whatever length needs little memory."""


class Planned(NamedTuple):
    """One thing that a pass would do, or would not do and why."""

    mapping: str
    action: Action | None
    """None where nothing would be done yet."""
    verb: str
    path: str
    size: int
    why: str
    held: bool = False
    """A delete that waits, or would wait, for a person."""


def plan(config: Config, mappings: Sequence[str]) -> Iterator[Planned]:
    """What a pass would do now; touches neither disk nor ledger nor server.

    Args:
        config: the configuration.
        mappings: names; all if empty.

    Raises:
        UsageError: there is no such mapping.
        LedgerError: the ledger cannot be read.
    """
    for name in mappings:
        if name not in config.mappings:
            raise UsageError(f"there is no mapping {name!r}; there are: {', '.join(sorted(config.mappings))}")
    ledger = open_ledger(config)
    try:
        for name in mappings or config.mappings:
            spec = config.mappings[name]
            mapping_id = None
            if ledger is not None:
                mapping_id = ledger.find_mapping(name, destination(spec, config.servers[spec.server]))
            yield from _Survey(spec, ledger, mapping_id).walk()
        if ledger is not None:
            yield from _unmanaged(config, ledger, mappings)
    finally:
        if ledger is not None:
            ledger.close()


def _unmanaged(config: Config, ledger: Ledger, mappings: Sequence[str]) -> Iterator[Planned]:
    """What was published once and belongs to no mapping any more: it stays where it is."""
    managed = {(name, destination(spec, config.servers[spec.server])) for name, spec in config.mappings.items()}
    for name, place, files, size in ledger.all_mappings():
        asked = name in mappings or not mappings or set(mappings) == config.mappings.keys()
        if (name, place) in managed or not files or not asked:
            continue
        since = "publishes to another place now" if name in config.mappings else "is no longer in the configuration"
        what, stays = ("1 file", "it stays") if files == 1 else (f"{files:,} files", "they stay")
        why = f"{what} at {place}: this mapping {since}; {stays} there"
        yield Planned(name, None, "unmanaged", "", size, why)


class _Missing(NamedTuple):
    """A published path that is not on disk."""

    path: str
    kind: Kind
    waits: bool
    """For longer than a pass does: it has not been gone for ``delete_after``."""


class _Survey:
    """One mapping compared with the ledger, directory by directory."""

    def __init__(self, spec: MappingSpec, ledger: Ledger | None, mapping_id: int | None) -> None:
        self.spec = spec
        self._ledger = ledger if mapping_id is not None else None
        self._id = mapping_id or 0
        self._filter = Filter(spec.include, spec.exclude)
        self._scanner = Scanner(spec.local, follow_symlinks=spec.follow_symlinks)
        self._renamed: set[str] = set()
        """Whose content another path gets: each at most once."""
        self._renaming = True
        """Until deletes are told: nothing is renamed that is deleted."""
        self._successors: dict[str, Listing] = {}
        """What has the name of something that is gone, and comes when that is gone at the server, too."""
        self._held = ""
        """Why deletes wait for a person; empty if they do not."""
        if self._ledger is not None and self._ledger.hold(self._id) is not None:
            self._held = f"held for `ftpsyncd approve {spec.name}`"

    def rows(self, directory: str) -> dict[str, Row]:
        return self._ledger.rows(self._id, directory) if self._ledger else {}

    def failures(self, directory: str) -> dict[str, Failure]:
        return self._ledger.failures.in_directory(self._id, directory) if self._ledger else {}

    def walk(self) -> Iterator[Planned]:
        """Everything that a pass would do, directories before what is in them, deletes as they are found."""
        seen = patience.answers({"root": self._scanner.root_identity})
        if not seen:
            yield self._nothing("", f"the disk of {self.spec.local} has not answered for {patience.ANSWER_S:g} s")
            return
        root = seen["root"]
        if root is None:
            yield self._nothing("", f"{self.spec.local} is not there; nothing is deleted at the server meanwhile")
            return
        if self._ledger is not None and self._ledger.paused(self._id):
            why = f"a person paused it; `ftpsyncd resume {self.spec.name}`, while the daemon runs, goes on"
            yield Planned(self.spec.name, None, "paused", "", 0, why)
        known = self._ledger.root(self._id) if self._ledger else None
        if known is not None and known not in {root, numbered_identity(self.spec.local)}:
            self._held = self._held or "held: this is another folder"
            yield self._nothing("", f"{self.spec.local} is not the folder that was published before: deletes are held")
        made = self._made("")
        for planned in self._walk_below():
            if not made and isinstance(planned.action, Upload | MakeDir):
                made = True
                yield Planned(self.spec.name, MakeDir(self.spec.name, "", 0), "make_dir", "", 0, "new directory")
            yield planned

    def _walk_below(self) -> Iterator[Planned]:
        gone: list[_Missing] = []
        yield from self._descend([""], gone)
        self._renaming = False
        deletes = [(path, kind) for path, kind, waits in gone if path not in self._renamed and not waits]
        held, self._held = self._held, self._held or self._beyond_limit(deletes)
        for path, kind, waits in gone:
            if waits and not held and path not in self._renamed:
                yield self._nothing(path, "deleted locally; it waits for `delete_after`")
                self._successors.pop(path, None)
                continue
            withheld = False
            for planned in self._deleted(path, kind) if path not in self._renamed else ():
                withheld = withheld or planned.held
                yield planned
            for planned in self._succeeded(path):
                why = "what was published under this name is to be deleted first"
                yield self._nothing(planned.path, why) if withheld else planned

    def _descend(self, directories: list[str], gone: list[_Missing]) -> Iterator[Planned]:
        """Compare directories with all that is below them."""
        stack = directories[::-1]
        while stack:
            directory = stack.pop()
            listing = self._scanner.list_dir(directory)
            if listing.presence is not Presence.PRESENT:
                yield self._nothing(directory, listing.problem)
                continue
            below: list[str] = []
            yield from self._directory(listing, self.rows(directory), gone, below)
            stack.extend(reversed(below))

    def _succeeded(self, path: str) -> Iterator[Planned]:
        """What takes the place of something that is gone, as if nothing had been published there."""
        if (listing := self._successors.pop(path, None)) is not None:
            below: list[str] = []
            yield from self._directory(listing, {}, [], below)
            yield from self._descend(below, [])

    def _beyond_limit(self, gone: Sequence[tuple[str, Kind]]) -> str:
        """Why all of this, if it goes at once, waits for a person; empty if it may go."""
        if self._ledger is None or self.spec.deletes is DeletePolicy.KEEP:
            return ""
        named, directories = {path for path, _ in gone}, {path for path, kind in gone if kind is Kind.DIR}
        files = len(gone) - len(directories) - sum(_is_below(path, directories) for path in self._renamed)
        files += sum(self._ledger.files_below(self._id, path) for path in directories)
        files -= sum(
            allowed
            for path, allowed, changed in self._ledger.approved(self._id)
            if not changed and (path in named or _is_below(path, directories))
        )
        limit = self.spec.max_deletes.of(self._ledger.totals(self._id).files)
        return f"held: {files:,} files at once are more than max_deletes ({limit:,}) allows" if files > limit else ""

    def _directory(
        self, listing: Listing, rows: dict[str, Row], gone: list[_Missing], below: list[str]
    ) -> Iterator[Planned]:
        listing = listing._replace(entries=dict(sorted(listing.entries.items())))
        # With `empty_dirs` it was planned with the directory above.
        made = bool(rows) or listing.directory == "" or self.spec.empty_dirs or self._made(listing.directory)
        look = Look(
            self.spec,
            self._filter,
            now=time.monotonic(),
            wall_ns=time.time_ns(),
            stamp_ns=listing.taken_wall_ns,
            deep=True,
            moved_from=self._moved_from,
        )
        failures = self.failures(listing.directory)
        for name, problem in listing.unreadable.items():
            yield self._nothing(join(listing.directory, name), f"it cannot be read: {problem}")
        for decision in self._asked(listing.directory, plan_directory(listing, rows, failures, look)):
            failure = failures.get(basename(decision.path))
            match decision:
                case Gone(path, kind):
                    gone.append(_Missing(path, kind, self._waits(listing)))
                    if (entry := listing.entries.get(basename(path))) is not None:
                        name = basename(path)
                        only = listing._replace(entries={name: entry}, names=frozenset({name}), unreadable={})
                        self._successors[path] = only
                case Enter(path, known=known):
                    if failure is not None and failure.parked and not known:
                        yield self._parked(path, failure)
                    below.append(path)
                case Settled():
                    if failure is not None:
                        yield from self._failed(listing, decision, failure)
                case _:
                    if isinstance(decision, Upload | Rename) and not made:
                        made = True
                        new = MakeDir(self.spec.name, listing.directory, listing.inode)
                        yield Planned(self.spec.name, new, "make_dir", listing.directory, 0, new.why)
                    yield self._planned(decision)

    def _waits(self, listing: Listing) -> bool:
        """Whether a pass leaves the deletes of what a directory lacks to a later one."""
        if self.spec.delete_after_s <= SOON_S or self._ledger is None:
            return False
        row = self._ledger.row(self._id, listing.directory) if listing.directory else None
        return self.spec.delete_after_s - gone_s(listing, row) > SOON_S

    def _failed(self, listing: Listing, decision: Settled, failure: Failure) -> Iterator[Planned]:
        """What failed earlier and is not tried again by itself."""
        if failure.kind == CHANGED:
            if basename(decision.path) not in listing.entries:
                yield from self._deleted(decision.path, Kind.FILE)
        elif not decision.had_failure:
            yield self._parked(decision.path, failure)

    def _asked(self, directory: str, decisions: Iterator[Decision]) -> Iterator[Decision]:
        """The decisions, but that files wait that a program writes: a listing does not tell that, so some are asked."""
        while some := list(itertools.islice(decisions, ASKED)):
            names = {basename(each.path) for each in some if isinstance(each, Upload)}
            busy = self._scanner.probe(directory, names).busy if names else frozenset()
            for each in some:
                waits = isinstance(each, Upload) and basename(each.path) in busy
                yield Wait(each.path, 0.0, "a program has it open for writing") if waits else each

    def _made(self, directory: str) -> bool:
        return self._ledger is not None and self._ledger.row(self._id, directory) is not None

    def _planned(self, decision: Decision) -> Planned:
        match decision:
            case Upload() | Rename():
                size = decision.fingerprint.size
                verb = type(decision).__name__.lower()
                return Planned(self.spec.name, decision, verb, decision.path, size, decision.why)
            case MakeDir() | Forget() | Adopt():
                verb = {MakeDir: "make_dir", Forget: "forget", Adopt: "adopt"}[type(decision)]
                return Planned(self.spec.name, decision, verb, decision.path, 0, decision.why)
            case Wait() | Swapped():
                return self._nothing(decision.path, decision.why)
            case _:
                raise AssertionError(decision)

    def _moved_from(self, fingerprint: Fingerprint) -> tuple[str, Row] | None:
        if self._ledger is None or not self._renaming:
            return None
        for path, row in self._ledger.same_file(self._id, fingerprint):
            free = path not in self._renamed and not self._is_changed(path)
            if free and not self._is_there(path):
                self._renamed.add(path)
                return path, row
        return None

    def _is_there(self, path: str) -> bool:
        """As the last look of a pass has it; what cannot be looked at is not gone."""
        try:
            return exists(self.spec, path)
        except LocalUnreadableError:
            return True

    def _deleted(self, path: str, kind: Kind) -> Iterator[Planned]:
        if self.spec.deletes is DeletePolicy.KEEP:
            forget = Forget(self.spec.name, path, kind, "deleted locally; deletes: keep")
            yield Planned(self.spec.name, forget, "forget", path, 0, forget.why)
            return
        if kind is Kind.FILE:
            delete = Delete(self.spec.name, path)
            verb = "trash" if self.spec.deletes is DeletePolicy.TRASH else "delete"
            yield self._unless_held(verb, delete)
            return
        for name, row in sorted(self.rows(path).items()):
            if join(path, name) not in self._renamed:
                yield from self._deleted(join(path, name), row.kind)
        yield self._unless_held("remove_dir", RemoveDir(self.spec.name, path))

    def _unless_held(self, verb: str, action: Delete | RemoveDir) -> Planned:
        if self._is_changed(action.path):
            return Planned(self.spec.name, None, verb, action.path, 0, "held: it was changed at the server", held=True)
        if self._held:
            return Planned(self.spec.name, None, verb, action.path, 0, f"{action.why}; {self._held}", held=True)
        return Planned(self.spec.name, action, verb, action.path, 0, action.why)

    def _is_changed(self, path: str) -> bool:
        """Whether somebody has changed it at the server."""
        failure = self._ledger.failures.of(self._id, path) if self._ledger else None
        return failure is not None and failure.kind == CHANGED

    def _nothing(self, path: str, why: str) -> Planned:
        return Planned(self.spec.name, None, "wait", path, 0, why)

    def _parked(self, path: str, failure: Failure) -> Planned:
        why = " ".join(filter(None, (failure.message, failure.remedy)))
        return Planned(self.spec.name, None, "parked", path, 0, why)


def _is_below(path: str, directories: Collection[str]) -> bool:
    while path := parent(path):
        if path in directories:
            return True
    return False
