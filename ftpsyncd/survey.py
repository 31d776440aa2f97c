"""Looking without touching: what a pass would do (`plan`), why a path is where it is, the status without a daemon.

In: a configuration. Out: plain records. Called by reading commands; opens the ledger read-only and never a connection.
"""

from __future__ import annotations

import itertools
import os
import shlex
import time
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from ftpsyncd import __version__
from ftpsyncd.config import Config
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.plan import Decision, Enter, Gone, Look, Settled, Swapped, Wait, plan_directory
from ftpsyncd.errors import LedgerError, NameNotSendableError, UnknownNameError, UsageError
from ftpsyncd.events import EventKind
from ftpsyncd.history import Recorded
from ftpsyncd.ledger import CHANGED, LEDGER, Ledger
from ftpsyncd.local.scan import LINK, Scanner
from ftpsyncd.model import (
    Action,
    Adopt,
    Delete,
    Entry,
    Failure,
    Fingerprint,
    Forget,
    HoldKind,
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
from ftpsyncd.questions import Why
from ftpsyncd.quoting import one_line, quote
from ftpsyncd.receipts import HistoryPage, HistoryQuery, Receipt
from ftpsyncd.report import changed_message, iso, problems_of
from ftpsyncd.specs import DeletePolicy, MappingSpec, destination
from ftpsyncd.status import DaemonStatus, MappingState, MappingStatus, ServerState, ServerStatus, Status

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


def open_ledger(config: Config) -> Ledger | None:
    """The ledger for reading; None if nothing was ever published."""
    path = config.state_dir / LEDGER
    try:
        return Ledger(path, read_only=True) if path.exists() else None
    except OSError as error:
        remedy = "Use sudo, or ask the running daemon."
        raise LedgerError(f"the ledger {path} cannot be read: {error.strerror}", remedy=remedy) from error


# ── plan ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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
        why = f"{files:,} files at {place}: this mapping {since}; they stay there"
        yield Planned(name, None, "unmanaged", "", size, why)


class _Survey:
    """One mapping compared with the ledger, directory by directory."""

    def __init__(self, spec: MappingSpec, ledger: Ledger | None, mapping_id: int | None) -> None:
        self.spec = spec
        self._ledger = ledger if mapping_id is not None else None
        self._id = mapping_id or 0
        self._filter = Filter(spec.include, spec.exclude)
        self._scanner = Scanner(spec.local, follow_symlinks=spec.follow_symlinks)
        self._renamed: set[str] = set()
        self._held = ""
        """Why deletes wait for a person; empty if they do not."""
        if self._ledger is not None and self._ledger.hold(self._id) is not None:
            self._held = f"held for `ftpsyncd approve {spec.name}`"

    def rows(self, directory: str) -> dict[str, Row]:
        return self._ledger.rows(self._id, directory) if self._ledger else {}

    def failures(self, directory: str) -> dict[str, Failure]:
        return self._ledger.failures(self._id, directory) if self._ledger else {}

    def walk(self) -> Iterator[Planned]:
        """Everything that a pass would do, directories before what is in them, deletes as they are found."""
        root = self._scanner.root_identity()
        if root is None:
            yield self._nothing("", f"{self.spec.local} is not there; nothing is deleted at the server meanwhile")
            return
        if self._ledger is not None and self._ledger.paused(self._id):
            why = f"a person paused it; `ftpsyncd resume {self.spec.name}`, while the daemon runs, goes on"
            yield Planned(self.spec.name, None, "paused", "", 0, why)
        known = self._ledger.root(self._id) if self._ledger else None
        if known is not None and known != root:
            self._held = self._held or "held: this is another folder"
            yield self._nothing("", f"{self.spec.local} is not the folder that was published before: deletes are held")
        made = self._made("")
        for planned in self._walk_below():
            if not made and isinstance(planned.action, Upload | MakeDir):
                made = True
                yield Planned(self.spec.name, MakeDir(self.spec.name, "", 0), "make_dir", "", 0, "new directory")
            yield planned

    def _walk_below(self) -> Iterator[Planned]:
        gone: list[tuple[str, Kind]] = []
        stack = [""]
        while stack:
            directory = stack.pop()
            listing = self._scanner.list_dir(directory)
            if listing.presence is not Presence.PRESENT:
                yield self._nothing(directory, listing.problem)
                continue
            below: list[str] = []
            yield from self._directory(listing, gone, below)
            stack.extend(reversed(below))
        gone = [(path, kind) for path, kind in gone if path not in self._renamed]
        self._held = self._held or self._beyond_limit(gone)
        for path, kind in gone:
            yield from self._deleted(path, kind)

    def _beyond_limit(self, gone: Sequence[tuple[str, Kind]]) -> str:
        """Why all of this, if it goes at once, waits for a person; empty if it may go."""
        if self._ledger is None or self.spec.deletes is DeletePolicy.KEEP:
            return ""
        directories = {path for path, kind in gone if kind is Kind.DIR}
        files = len(gone) - len(directories) - sum(_is_below(path, directories) for path in self._renamed)
        files += sum(self._ledger.files_below(self._id, path) for path in directories)
        limit = self.spec.max_deletes.of(self._ledger.totals(self._id).files)
        return f"held: {files:,} files at once are more than max_deletes ({limit:,}) allows" if files > limit else ""

    def _directory(self, listing: Listing, gone: list[tuple[str, Kind]], below: list[str]) -> Iterator[Planned]:
        listing = listing._replace(entries=dict(sorted(listing.entries.items())))
        rows = self.rows(listing.directory)
        made = bool(rows) or listing.directory == "" or self._made(listing.directory)
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
                    gone.append((path, kind))
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
                if isinstance(decision, Rename):
                    self._renamed.add(decision.source)
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
        if self._ledger is None:
            return None
        for path, row in self._ledger.same_file(self._id, fingerprint):
            if not os.path.lexists(self.spec.local / path):
                return path, row
        return None

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
        failure = self._ledger.failure(self._id, action.path) if self._ledger else None
        if failure is not None and failure.kind == CHANGED:
            return Planned(self.spec.name, None, verb, action.path, 0, "held: it was changed at the server", held=True)
        if self._held:
            return Planned(self.spec.name, None, verb, action.path, 0, f"{action.why}; {self._held}", held=True)
        return Planned(self.spec.name, action, verb, action.path, 0, action.why)

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


# ── why ──────────────────────────────────────────────────────────────────────────────────────────────────────────


READABLE = "let the user that runs ftpsyncd read it, and what is in it is published"
SKIPPED = "with `symlinks: follow` those are published that lead to something in the mapping's folder"


def locate(config: Config, path: str) -> tuple[MappingSpec, str] | None:
    """The mapping that a local path belongs to, and the path relative to its root."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - keeps symlinks as they are, unlike resolve()
    best: tuple[MappingSpec, str] | None = None
    for spec in config.mappings.values():
        root = str(spec.local)
        inside = absolute == root or absolute.startswith(root.rstrip("/") + "/")
        if inside and (best is None or len(root) > len(str(best[0].local))):
            best = spec, absolute[len(root) :].strip("/")
    return best


def in_no_mapping(config: Config, path: str) -> UsageError:
    """What is said of a path that `locate` does not find."""
    folders = ", ".join(quote(str(spec.local)) for spec in config.mappings.values())
    return UsageError(f"{quote(path)} is in no mapping.", remedy=f"The folders are: {folders}.")


def why(config: Config, path: str) -> Why:
    """Why a path is, or is not, at the server, from disk and ledger alone."""
    ledger = open_ledger(config)
    try:
        found = locate(config, path)
        mapping_id = None
        if ledger is not None and found is not None:
            mapping_id = ledger.find_mapping(found[0].name, destination(found[0], config.servers[found[0].server]))
        return why_from_ledger(config, path, ledger, mapping_id)
    finally:
        if ledger is not None:
            ledger.close()


def why_from_ledger(config: Config, path: str, ledger: Ledger | None, mapping_id: int | None) -> Why:
    """As `why`, with a ledger that is open already."""
    found = locate(config, path)
    if found is None:
        roots = ", ".join(str(spec.local) for spec in config.mappings.values())
        return Why(path, None, "unmanaged", f"it is in no mapping's folder ({roots})")
    spec, relative = found
    return reason(spec, path, relative, ledger if mapping_id is not None else None, mapping_id or 0)


def reason(spec: MappingSpec, path: str, relative: str, ledger: Ledger | None, mapping_id: int) -> Why:
    """Why a path of one mapping is, or is not, at the server; ``ledger`` is None if that does not know the mapping."""
    if ledger is None:
        return _Reason(spec, path, relative).find()
    row, failure = ledger.row(mapping_id, relative), ledger.failure(mapping_id, relative)
    arrival = None
    if row is not None and ledger.has_history:
        arrival = _receipt_if(ledger.history.of_arrival(mapping_id, relative, row.published_ns))
    return _Reason(spec, path, relative, row, failure, arrival, _of_failure(ledger, mapping_id, relative)).find()


def failed_lately(ledger: Ledger, mapping_id: int, relative: str) -> tuple[str, Receipt | None]:
    """What the last try of a path failed of, in words, and the receipt of that; empty if it did not fail."""
    failure = ledger.failure(mapping_id, relative)
    if failure is None:
        return "", None
    return _words(failure), _of_failure(ledger, mapping_id, relative)


def _of_failure(ledger: Ledger, mapping_id: int, relative: str) -> Receipt | None:
    return _receipt_if(ledger.history.of_failure(mapping_id, relative)) if ledger.has_history else None


def _words(failure: Failure) -> str:
    """What went wrong, and the server's own words where they are not the same."""
    said = f" (the server said: {failure.reply})" if failure.reply and failure.reply not in failure.message else ""
    return " ".join((failure.message.rstrip(".") + said).split())


class _Reason(NamedTuple):
    """What is known about one path."""

    spec: MappingSpec
    path: str
    relative: str
    row: Row | None = None
    failure: Failure | None = None
    arrival: Receipt | None = None
    """How it came to be at the server as the row says."""
    failed: Receipt | None = None
    """The tries of its last failure, which may be over."""

    def find(self) -> Why:
        """The first reason that applies."""
        listing = Scanner(self.spec.local, follow_symlinks=self.spec.follow_symlinks).probe(
            parent(self.relative), {basename(self.relative)}
        )
        if not self.relative:
            return self._say("directory", "it is the root of the mapping; ask for a file in it")
        if listing.presence is Presence.ROOT_MISSING:
            return self._say("source_missing", f"{listing.problem}; nothing changes at the server until it is back")
        if listing.presence is Presence.UNREADABLE:
            return self._say("unreadable", f"{listing.problem}; {READABLE}")
        entry = listing.entries.get(basename(self.relative))
        if entry is None:
            return self._absent(listing)
        if entry.kind is Kind.OTHER:
            return self._say("ignored", self._why_ignored(entry))
        if entry.kind is Kind.DIR:
            return self._directory()
        return self._file(listing, entry.fingerprint, entry.ctime_ns)

    def _absent(self, listing: Listing) -> Why:
        if reason := listing.unreadable.get(basename(self.relative)):
            return self._say("unreadable", f"{reason}; {READABLE}")
        if self.failure is not None and self.failure.kind == CHANGED:
            said = self._say("held", f"{self.failure.message} {self.failure.remedy}")
            return said._replace(receipt=self.failed)
        if self.row is None:
            if not self.spec.follow_symlinks and os.path.lexists(self.spec.local / self.relative):
                return self._say("ignored", f"a folder on the way to it is a symbolic link; {SKIPPED}")
            return self._say(
                "absent",
                "there is no such file, and none of this name is at the server from here; whether one was, says"
                f" `ftpsyncd history --path {one_line(shlex.quote(self.path))}`",
            )
        if self.failure is not None and self.failure.fingerprint is None:
            return self._failed(self.failure, "it is gone here, and still at the server: ")
        return self._say(
            "pending",
            f"it is gone here and still at the server; deletes: {self.spec.deletes.value} decides what follows",
        )

    def _why_ignored(self, entry: Entry) -> str:
        if entry.note == LINK and not self.spec.follow_symlinks:
            return f"it is {LINK}; {SKIPPED}"
        return f"it is {entry.note}, which is never published"

    def _directory(self) -> Why:
        if not Filter(self.spec.include, self.spec.exclude).descend(self.relative):
            return self._say("ignored", "this directory is excluded")
        if self.failure is not None:
            return self._failed(self.failure)
        if self.row is None:
            return self._say("directory", "a directory is made at the server when there is something to publish in it")
        return self._say("published", f"a directory, at the server since {iso(self.row.published_ns)}")

    def _file(self, listing: Listing, fingerprint: Fingerprint, ctime_ns: int) -> Why:
        if reason := Filter(self.spec.include, self.spec.exclude).why_not(self.relative):
            return self._say("ignored", reason)
        if self.row is not None and self.row.fingerprint == fingerprint:
            return self._published(self.row)
        if self.failure is not None and self.failure.fingerprint == fingerprint:
            return self._failed(self.failure)
        return self._not_yet(listing, ctime_ns)._replace(receipt=self.failed if self.failure is not None else None)

    def _not_yet(self, listing: Listing, ctime_ns: int) -> Why:
        """It is not at the server in this form; that it failed in another one is worth telling."""
        last = f"; the last try failed: {_words(self.failure)}" if self.failure is not None else ""
        if basename(self.relative) in listing.busy:
            return self._say(
                "settling", f"a program has it open for writing; it is published when that program closes it{last}"
            )
        age_s = (time.time_ns() - ctime_ns) / 1e9
        if age_s < self.spec.settle_s:
            sentence = f"it changed {age_s:.1f} s ago and has to be quiet for {self.spec.settle_s:g} s{last}"
            return self._say("settling", sentence, age_s=round(age_s, 3))
        verb = "changed since it was published" if self.row is not None else "not published yet"
        return self._say("pending", f"{verb}; the daemon publishes it, or `ftpsyncd sync {self.spec.name}` does{last}")

    def _published(self, row: Row) -> Why:
        """When, how large, how long it took, and what: as far as row and receipt tell."""
        when, how, size = iso(row.published_ns), self.arrival, row.fingerprint.size
        facts = [f"{size:,} bytes"]
        if how is not None and how.kind == EventKind.PUBLISHED:
            if how.duration_s:
                facts[0] += f" in {how.duration_s:.2f} s" if how.duration_s >= 0.01 else " in less than 0.01 s"
            if how.attempts > 1:
                facts.append(f"after {how.attempts} tries")
        if row.sha256:
            facts.append(f"sha256 {row.sha256.hex()}")
        sentence = ", ".join((_arrived(how, when), *facts))
        said = self._say("published", sentence, size=size, at=when, sha256=row.sha256.hex())
        return said._replace(receipt=how)

    def _failed(self, failure: Failure, before: str = "") -> Why:
        after = f"it is tried again at {iso(failure.next_try_ns)}"
        if failure.parked:
            after = "it is tried again when it changes or after `ftpsyncd retry`"
            if failure.kind == NameNotSendableError.__name__:
                after = "it is published under another name"
        tries = "1 try" if failure.attempts == 1 else f"{failure.attempts} tries"
        sentence = f"{before}{_words(failure)}. {failure.remedy} After {tries}: {after}."
        state = "parked" if failure.parked else "failed"
        said = self._say(
            state, " ".join(sentence.split()), reply=failure.reply, attempts=failure.attempts, error=failure.kind
        )
        return said._replace(receipt=self.failed)

    def _say(self, state: str, sentence: str, **details: str | float) -> Why:
        return Why(self.path, self.spec.name, state, sentence, details)


def _arrived(how: Receipt | None, when: str) -> str:
    """How a file came to be at the server; without a receipt, all that is known is since when."""
    if how is not None and how.kind == EventKind.RENAMED:
        return f"published as {quote(how.source)}, renamed {when}"
    if how is not None and how.kind == EventKind.ADOPTED:
        return f"not sent, because the server had it already {when} with the same size and date"
    if how is not None and how.kind == EventKind.UNCHANGED:
        return f"published before, and not sent again {when} because its content was the same"
    return f"published {when}"


# ── history ──────────────────────────────────────────────────────────────────────────────────────────────────────


def history(config: Config, query: HistoryQuery, path: str | None, cursor: str | None = None) -> HistoryPage:
    """A page of receipts from the ledger.

    Args:
        config: to find the mapping of a path.
        query: which ones; its ``path`` is not used.
        path: only what is about this local path or below it.
        cursor: `next` of the page before; else the query's ``before`` counts.

    Raises:
        UnknownNameError: there is no such mapping, and there was none.
        UsageError: the path lies in no mapping, or in another one than the query names.
        LedgerError: the ledger cannot be read.
    """
    if cursor is not None:
        at_ns, _, number = cursor.partition(".")
        query = query._replace(before=(int(at_ns), int(number)))
    if path is not None:
        found = locate(config, path)
        if found is None:
            raise in_no_mapping(config, path)
        if query.mapping not in {None, found[0].name}:
            raise UsageError(f"{quote(path)} is in the mapping {found[0].name}.", remedy="Leave out one of the two.")
        query = query._replace(mapping=found[0].name, path=found[1])
    ledger = open_ledger(config)
    try:
        known = {*config.mappings, *(ledger.history.mappings() if ledger is not None else ())}
        if query.mapping is not None and query.mapping not in known:
            raise _unknown_mapping(query.mapping, known)
        if ledger is None or not ledger.has_history:
            return HistoryPage(())
        found_rows = ledger.history.page(query._replace(limit=query.limit + 1))
    finally:
        if ledger is not None:
            ledger.close()
    shown = found_rows[: query.limit]
    more = len(found_rows) > query.limit
    return HistoryPage(tuple(map(_receipt, shown)), f"{shown[-1].at_ns}.{shown[-1].id}" if more else None)


def _unknown_mapping(name: str, known: Collection[str]) -> UnknownNameError:
    close = get_close_matches(name, known, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(sorted(known)) or 'none'}."
    return UnknownNameError(f"There is no mapping {quote(name)}.", remedy=remedy)


def _receipt_if(found: Recorded | None) -> Receipt | None:
    return None if found is None else _receipt(found)


def _receipt(found: Recorded) -> Receipt:
    at = iso(found.at_ns)
    return Receipt(
        id=found.id,
        at=at,
        mapping=found.mapping,
        kind=found.kind,
        path=found.path,
        source=found.source,
        size=found.size,
        sha256=found.sha256.hex(),
        duration_s=round(found.duration_s, 6),
        attempts=found.attempts,
        last=at if found.last_ns == found.at_ns else iso(found.last_ns),
        reply=found.reply,
        message=found.message,
    )


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────


def offline_status(config: Config) -> Status:
    """The status without a running daemon, from the ledger."""
    ledger = open_ledger(config)
    try:
        ids: dict[str, int] = {}
        if ledger is not None:
            for spec in config.mappings.values():
                found = ledger.find_mapping(spec.name, destination(spec, config.servers[spec.server]))
                if found is not None:
                    ids[spec.name] = found
        return Status(
            DaemonStatus(running=False, pid=0, version=__version__, uptime_s=0.0),
            tuple(_offline_mapping(spec, ledger, ids.get(spec.name)) for spec in config.mappings.values()),
            tuple(ServerStatus(name, ServerState.UNKNOWN, 0, "") for name in config.servers),
            (),
            problems_of(ledger, ids) if ledger is not None else (),
        )
    finally:
        if ledger is not None:
            ledger.close()


def _offline_mapping(spec: MappingSpec, ledger: Ledger | None, mapping_id: int | None) -> MappingStatus:
    files = size = retrying = parked = changed = 0
    last = None
    state, message = MappingState.PAUSED, "no daemon is running"
    if not Path(spec.local).is_dir():
        state, message = MappingState.SOURCE_MISSING, f"{spec.local} is not there"
    if ledger is not None and mapping_id is not None:
        files, size, last = ledger.totals(mapping_id)
        retrying, parked, changed = ledger.failure_counts(mapping_id)
        hold = ledger.hold(mapping_id)
        if changed:
            state, message = MappingState.HELD, changed_message(spec.name, changed)
        if hold is not None:
            unmounted = hold.kind is HoldKind.UNMOUNTED_SOURCE
            state, message = MappingState.SOURCE_MISSING if unmounted else MappingState.HELD, hold.message
    return MappingStatus(
        name=spec.name,
        local=str(spec.local),
        remote=f"{spec.server}:{spec.remote}",
        state=state,
        pending=0,
        in_flight=0,
        failed=retrying,
        parked=parked,
        held=changed,
        published_files=files,
        published_bytes=size,
        last_publish=iso(last) if last else None,
        message=message,
    )
