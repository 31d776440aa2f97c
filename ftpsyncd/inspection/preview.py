"""What a pass would do (`plan`): each mapping's pass is rehearsed, and told in lines; nothing is touched.

In: a configuration. Out: plain records. Called by reading commands; no connection is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ftpsyncd import patience
from ftpsyncd.actions import Action, Delete, Did, Done, MakeDir, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.config import Config
from ftpsyncd.core.filters import Filter
from ftpsyncd.counting import number
from ftpsyncd.errors import FileBusyError, LocalUnreadableError, UsageError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.inspection.rehearsal import Performed, Rehearsal
from ftpsyncd.inspection.survey import ledger_to_try
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import CHANGED
from ftpsyncd.local.scan import Scanner
from ftpsyncd.mapping import spelling
from ftpsyncd.model import Failure, Hold, HoldKind, Kind, Row
from ftpsyncd.paths import join
from ftpsyncd.publishing.lastlook import exists
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import DeletePolicy, MappingSpec, ServerSpec, destination


class Planned(NamedTuple):
    """One thing that a pass would do, or would not do and why."""

    mapping: str
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
    with ledger_to_try(config) as ledger:
        for name in mappings or config.mappings:
            spec = config.mappings[name]
            account = config.servers[spec.server]
            mapping_id = ledger.mappings.number(name, destination(spec, account))
            for _ in spelling.take_over(ledger, mapping_id, spec, account):
                pass
            yield from _Plan(spec, ledger, mapping_id).lines(account)
        yield from _unmanaged(config, ledger, mappings)


def _unmanaged(config: Config, ledger: Ledger, mappings: Sequence[str]) -> Iterator[Planned]:
    """What was published once and belongs to no mapping any more: it stays where it is."""
    managed = {(name, destination(spec, config.servers[spec.server])) for name, spec in config.mappings.items()}
    numbers = {ledger.mappings.find(*each) for each in managed}
    for name, place, files, size in ledger.mappings.all():
        asked = name in mappings or not mappings or set(mappings) == config.mappings.keys()
        number = None if (name, place) in managed else ledger.mappings.find(name, place)
        if number is None or not files or not asked:
            continue
        # What a mapping that is there has taken over is that one's, and goes when it goes here.
        overlaps = [(other, overlap) for other, overlap in ledger.mappings.overlaps(number) if other in numbers]
        taken = [ledger.in_bulk.in_both(number, other, overlap) for other, overlap in overlaps]
        left, left_size = files - sum(each for each, _ in taken), size - sum(each for _, each in taken)
        if not left:
            continue
        since = "publishes to another place now" if name in config.mappings else "is no longer in the configuration"
        what, stays = ("1 file", "it stays") if left == 1 else (f"{left:,} files", "they stay")
        why = f"{what} at {place}: this mapping {since}; {stays} there"
        yield Planned(name, "unmanaged", "", left_size, why)


class _Plan:
    """The lines of one mapping."""

    def __init__(self, spec: MappingSpec, ledger: Ledger, mapping_id: int) -> None:
        self._spec = spec
        self._ledger = ledger
        self._id = mapping_id
        self._hold_before = ledger.decisions.hold(mapping_id)
        self._cut_off: frozenset[str] = frozenset()
        """Temporary files that an earlier pass, or daemon, may have left at the server."""
        self._beyond = ""
        """Why deletes are held that were not before; empty if they are not."""

    def lines(self, account: ServerSpec) -> Iterator[Planned]:
        """What the pass does, in its order, then what it leaves."""
        root = Scanner(self._spec.local, follow_symlinks=self._spec.follow_symlinks).root_identity
        if not patience.answers({"root": root}):
            silence = f"the disk of {self._spec.local} has not answered for {patience.ANSWER_S:g} s"
            yield self._nothing("", silence)
            return
        if self._ledger.decisions.paused_ns(self._id):
            why = f"a person paused it; `ftpsyncd resume {as_word(self._spec.name)}` goes on"
            yield Planned(self._spec.name, "paused", "", 0, why)
        rehearsal = Rehearsal(self._spec, self._id, self._ledger, account)
        self._cut_off = frozenset(intent.temporary for _, intent in self._ledger.begun.of(self._id))
        for step in rehearsal.run():
            if isinstance(step, Performed):
                if isinstance(step.outcome, Done) and self._is_told(step.action):
                    yield self._performed(step.action, step.outcome.did)
            elif step.kind is EventKind.FORGOTTEN:
                yield Planned(self._spec.name, "forget", step.path, 0, step.message)
            else:
                self._told(step, rehearsal)
        yield from self._left(rehearsal)

    def _told(self, event: Event, rehearsal: Rehearsal) -> None:
        removals = rehearsal.mirror.removals
        # One that another folder was held in front of is no matter of what is gone now.
        too_many = removals.absent.files + removals.absent.recent > removals.limit.files
        if event.kind is EventKind.HELD and removals.holding.kind is HoldKind.MASS_DELETE and too_many:
            at_once = number(removals.absent.files, "file at once is", "files at once are")
            self._beyond = f"held: {at_once} more than max_deletes ({removals.limit.files:,}) allows"

    # ── what is done ─────────────────────────────────────────────────────────────────────────────────────────

    def _is_told(self, action: Action) -> bool:
        """But for what only asks the server, or sweeps what the pass itself did not begin to send."""
        return not isinstance(action, Sweep) or (action.temporary != "" and action.temporary in self._cut_off)

    def _performed(self, action: Action, did: Did) -> Planned:
        name = self._spec.name
        match action:
            case Rename() if did is Did.RENAMED:
                return Planned(name, "rename", action.path, action.fingerprint.size, action.why)
            case Rename():
                return Planned(name, "upload", action.path, action.fingerprint.size, f"copy of {action.source}")
            case Upload():
                same = "; only its date is renewed if the content is the same" if action.known_sha256 else ""
                return Planned(name, "upload", action.path, action.fingerprint.size, f"{action.why}{same}")
            case RenameDir():
                return Planned(name, "rename", action.path, 0, f"directory renamed from {action.source}")
            case Delete():
                return Planned(name, "trash" if action.trash else "delete", action.path, 0, action.why)
            case Sweep():
                # A daemon may be at it: the ledger does not tell.
                return Planned(
                    name, "sweep", action.path, 0, "left at the server by an upload, unless that is under way"
                )
            case _:
                verb = {MakeDir: "make_dir", RemoveDir: "remove_dir"}[type(action)]
                return Planned(name, verb, action.path, 0, action.why)

    # ── what is left ─────────────────────────────────────────────────────────────────────────────────────────

    def _left(self, rehearsal: Rehearsal) -> Iterator[Planned]:
        mirror = rehearsal.mirror
        removals = mirror.removals
        if removals.source.missing:
            yield self._nothing("", f"{removals.source.missing}; nothing is deleted at the server meanwhile")
            return
        for path, problem in sorted(mirror.unreadable.problems.items()):
            yield self._nothing(path, f"it cannot be read: {problem}")
        for path, failure in self._ledger.failures.all(self._id):
            yield self._failed(path, failure, rehearsal.began_ns)
        for path, pending in sorted(mirror.waits.restless()):
            yield self._nothing(path, pending.why)
        held = self._why_held(removals.hold)
        if removals.hold is not None and removals.hold.kind is not HoldKind.MASS_DELETE:
            yield self._nothing("", removals.hold.message)
        for path in sorted(removals.absent.paths):
            row = self._ledger.row(self._id, path)
            if row is None:
                continue
            if held:
                yield from self._held(path, row, held)
            else:
                yield self._nothing(path, "deleted locally; it waits for `delete_after`")
            yield from self._in_its_place(path, row)

    def _why_held(self, hold: Hold | None) -> str:
        if hold is None:
            return ""
        if hold.kind is not HoldKind.MASS_DELETE and hold != self._hold_before:
            return "held: this is another folder"
        return self._beyond or f"held for `ftpsyncd approve {as_word(self._spec.name)}`"

    def _held(self, path: str, row: Row, why: str) -> Iterator[Planned]:
        if row.kind is Kind.FILE:
            verb, what = self._delete_verb, Delete(self._spec.name, path).why
        else:
            for name, inner in sorted(self._ledger.rows(self._id, path).items()):
                yield from self._held(join(path, name), inner, why)
            verb, what = "remove_dir", RemoveDir(self._spec.name, path).why
        yield Planned(self._spec.name, verb, path, 0, f"{what}; {why}", held=True)

    @property
    def _delete_verb(self) -> str:
        return "trash" if self._spec.deletes is DeletePolicy.TRASH else "delete"

    def _in_its_place(self, path: str, row: Row) -> Iterator[Planned]:
        """What is to be published under a path where something else is still to be deleted."""
        selection = Filter(self._spec.include, self._spec.exclude)
        wanted = selection.descend(path) if row.kind is Kind.FILE else selection.includes(path)
        try:
            there = wanted and exists(self._spec, path)
        except LocalUnreadableError:
            there = False
        if there:
            yield self._nothing(path, "what was published under this name is to be deleted first")

    def _failed(self, path: str, failure: Failure, began_ns: int) -> Planned:
        if failure.kind == CHANGED:
            why = "held: it was changed at the server"
            return Planned(self._spec.name, self._delete_verb, path, 0, why, held=True)
        if failure.parked:
            why = " ".join(filter(None, (failure.message, failure.remedy)))
            return Planned(self._spec.name, "parked", path, 0, why)
        if failure.failed_ns >= began_ns or failure.kind == FileBusyError.__name__:
            return self._nothing(path, failure.message)
        return self._nothing(path, f"the last try failed: {failure.message}")

    def _nothing(self, path: str, why: str) -> Planned:
        return Planned(self._spec.name, "wait", path, 0, why)
