"""Why a path is, or is not, at the server: from the disk and the ledger alone.

In: a local path. Out: one sentence with what is behind it. `steering` puts before it what only a daemon knows, and has
the engine tell what is in the ledger (`known_of`), but not look at the disk, which may not answer (`Known.find`). Where
no daemon runs, what was decided about deletes is told from the ledger, and who it is that goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from ftpsyncd import patience
from ftpsyncd.claim import is_taken
from ftpsyncd.config import Config
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.names import on_the_wire
from ftpsyncd.core.plan import AWAITED, next_try_ns
from ftpsyncd.counting import duration, exactly, number, took
from ftpsyncd.engine.report import iso
from ftpsyncd.errors import NameNotSendableError
from ftpsyncd.events import EventKind
from ftpsyncd.inspection.survey import located, open_ledger, receipt_if
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import CHANGED, FOR_GOOD
from ftpsyncd.local.scan import LINK, Scanner
from ftpsyncd.model import Entry, Failure, Kind, Listing, Presence, Row
from ftpsyncd.paths import above, basename, parent, remote_join
from ftpsyncd.questions import Why
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.receipts import Receipt
from ftpsyncd.specs import MappingSpec, destination

READABLE = "let the user that runs ftpsyncd read it, and what is in it is published"
APPROVED = "a person approved that it is deleted there"
DISCARDED = "a person decided that what was gone stays there"
SKIPPED = "with `symlinks: follow` those are published that lead to something in the mapping's folder"


def why(config: Config, path: str) -> Why:
    """Why a path is, or is not, at the server, from disk and ledger alone."""
    found = located(config, path)
    ledger = open_ledger(config) if found else None
    at_work = is_taken(config.state_dir)
    try:
        known = {}
        for name, relative in found.items():
            spec, mapping_id = config.mappings[name], None
            if ledger is not None:
                mapping_id = ledger.mappings.find(name, destination(spec, config.servers[spec.server]))
            recorded = known_of(spec, path, relative, ledger if mapping_id is not None else None, mapping_id or 0)
            decided = "" if ledger is None or mapping_id is None else _decided(ledger, mapping_id, relative)
            unsendable = _unsendable(remote_join(spec.remote, relative), config.servers[spec.server].encoding)
            known[name] = recorded._replace(alone=True, at_work=at_work, decided=decided, unsendable=unsendable)
        answers = patience.answers({name: each.find for name, each in known.items()})
        return together(config, path, [answers.get(name) or each.silent() for name, each in known.items()])
    finally:
        if ledger is not None:
            ledger.close()


def _unsendable(remote: str, encoding: str) -> str:
    """That a server which takes names in this encoding cannot be told this one, in sentences; empty if it can."""
    try:
        on_the_wire(remote, encoding)
    except NameNotSendableError as error:
        return f"{error.message} {error.remedy}"
    return ""


def together(config: Config, path: str, reasons: Sequence[Why]) -> Why:
    """What is said of a path, of which each mapping that publishes it has its own reason."""
    if not reasons:
        return unmanaged(config, path)
    return reasons[0]._replace(also=tuple(reasons[1:]))


def unmanaged(config: Config, path: str) -> Why:
    """What is said of a path that no mapping publishes."""
    roots = ", ".join(str(spec.local) for spec in config.mappings.values())
    return Why(path, None, "unmanaged", f"it is in no mapping's folder ({roots})")


def known_of(spec: MappingSpec, path: str, relative: str, ledger: Ledger | None, mapping_id: int) -> Known:
    """What the ledger tells about a path of one mapping; the disk is not touched."""
    if ledger is None:
        return Known(spec, path, relative)
    paused = bool(ledger.decisions.paused_ns(mapping_id))
    row, failure = ledger.row(mapping_id, relative), ledger.failures.of(mapping_id, relative)
    arrival = None
    if row is not None and ledger.has_history:
        arrival = receipt_if(ledger.history.of_arrival(mapping_id, relative, row.published_ns))
    return Known(spec, path, relative, row, failure, arrival, _of_failure(ledger, mapping_id, relative), paused)


def _decided(ledger: Ledger, mapping_id: int, relative: str) -> str:
    """What a person decided, or is to decide, about the delete of a path; empty if that is nothing."""
    if (hold := ledger.decisions.hold(mapping_id)) is not None:
        return hold.message
    if ledger.decisions.discarding(mapping_id):
        return DISCARDED
    paths = {path for path, _files, _changed in ledger.decisions.approved(mapping_id)}
    return APPROVED if not paths.isdisjoint({relative, *above(relative)}) else ""


def failed_lately(ledger: Ledger, mapping_id: int, relative: str) -> tuple[str, Receipt | None]:
    """What the last try of a path failed of, in words, and the receipt of that; empty if it did not fail."""
    failure = ledger.failures.of(mapping_id, relative)
    if failure is None:
        return "", None
    return _words(failure), _of_failure(ledger, mapping_id, relative)


def _of_failure(ledger: Ledger, mapping_id: int, relative: str) -> Receipt | None:
    return receipt_if(ledger.history.of_failure(mapping_id, relative)) if ledger.has_history else None


def _words(failure: Failure) -> str:
    """What went wrong, and the server's own words where they are not the same."""
    said = f" (the server said: {failure.reply})" if failure.reply and failure.reply not in failure.message else ""
    return failure.message.rstrip(".") + said


class Known(NamedTuple):
    """What is known about one path before its disk is looked at."""

    spec: MappingSpec
    path: str
    relative: str
    row: Row | None = None
    failure: Failure | None = None
    arrival: Receipt | None = None
    """How it came to be at the server as the row says."""
    failed: Receipt | None = None
    """The tries of its last failure, which may be over."""
    paused: bool = False
    """A person paused the mapping."""
    no_space: str = ""
    """That the server has no space for it now, in a sentence."""
    renamed_first: str = ""
    """That a directory above it is still to be renamed at the server, in a sentence."""
    gone: Why | None = None
    """What is said of it where it is known to be gone, as long as nothing that is published has its place."""
    leaves: bool = False
    """What was published under its name gets another one at the server: it is not deleted there."""
    when_deleted: str = ""
    """When what was published under its name, and is gone, is deleted at the server: words behind that it is."""
    deleted_first: str = ""
    """That something has to be deleted at the server before the directory that it is in can be made, in a sentence."""
    awaits: str = ""
    """What has to happen before it is tried again, besides its time: words behind "tried again"."""
    looking: bool = False
    """The daemon is looking through the mapping's folder."""
    alone: bool = False
    """No daemon runs."""
    at_work: bool = False
    """Something else does, such as a `sync`."""
    decided: str = ""
    """What is known of a decision about its delete, where no daemon runs: a hold's message, `APPROVED`, `DISCARDED`."""
    unsendable: str = ""
    """That its server cannot be told its name, in sentences, where no daemon runs that would have tried."""

    @property
    def _typed(self) -> str:
        """The mapping, as it stands in a command."""
        return as_word(self.spec.name)

    def find(self) -> Why:
        """The first reason that applies; waits for the disk."""
        listing = Scanner(self.spec.local, follow_symlinks=self.spec.follow_symlinks).probe(
            parent(self.relative), {basename(self.relative)}
        )
        if listing.presence is Presence.ROOT_MISSING:
            return self._say("source_missing", f"{listing.problem}; nothing changes at the server until it can be read")
        if listing.presence is Presence.UNREADABLE:
            return self._say("unreadable", f"{listing.problem}; {READABLE}")
        if not self.relative:
            return self._say("directory", "it is the root of the mapping; ask for a file in it")
        entry = listing.entries.get(basename(self.relative))
        if self.gone is not None and basename(self.relative) not in listing.unreadable and not self._is_wanted(entry):
            return self.gone
        if entry is None:
            return self._absent(listing)
        if entry.kind is Kind.OTHER:
            return self._say("ignored", self._why_ignored(entry))
        if entry.kind is Kind.DIR:
            return self._directory()
        return self._file(listing, entry)

    def _is_wanted(self, entry: Entry | None) -> bool:
        """Whether something is there that is published, or may hold something that is."""
        if entry is None or entry.kind is Kind.OTHER:
            return False
        selection = Filter(self.spec.include, self.spec.exclude)
        return (selection.includes if entry.kind is Kind.FILE else selection.descend)(self.relative)

    def silent(self) -> Why:
        """For a disk that does not answer."""
        if self.gone is not None:
            return self.gone
        whose = f"the disk of the mapping {self.spec.name}"
        return self._say("unreadable", f"{whose} does not answer; nothing changes at the server until it does")

    def _absent(self, listing: Listing) -> Why:
        if reason := listing.unreadable.get(basename(self.relative)):
            return self._say("unreadable", f"{reason}; {READABLE}")
        if self.failure is not None and self.failure.kind == CHANGED:
            said = self._say("held", f"{self.failure.message} {self.failure.remedy}")
            return said._replace(receipt=self.failed)
        if self.row is None:
            if listing.problem and os.path.lexists(self.spec.local / self.relative):
                way = f"a folder on the way to it is a symbolic link; {SKIPPED}"
                if self.spec.follow_symlinks:
                    way = f"{listing.problem}, which is never published"
                return self._say("ignored", way)
            return self._say(
                "absent",
                "there is no such file, and none of this name is known to be at the server; `ftpsyncd history --path"
                f" {as_word(self.path)}` says whether one was published and kept there",
            )
        if self.failure is not None and self.failure.fingerprint is None:
            return self._failed(self.failure, "it is gone here, and still at the server: ")
        selection = Filter(self.spec.include, self.spec.exclude)
        ours = selection.includes if self.row.kind is Kind.FILE else selection.descend
        if not ours(self.relative):
            return self._say("ignored", "it is gone here, and stays at the server: it is no longer included")
        if self.decided and self.decided not in {APPROVED, DISCARDED}:
            return self._say("held", self.decided)
        policy = f"deletes: {self.spec.deletes.value} decides what follows"
        follows = self.renamed_first or self.decided or policy
        return self._say("pending", f"it is gone here and still at the server; {follows}", goes_on="goes on")

    @property
    def _goes(self) -> str:
        """How what was published under its name goes from there."""
        return "renamed" if self.leaves else "deleted"

    @property
    def _when(self) -> str:
        """When what was published under its name is deleted, to be put behind that it is."""
        return f", {self.when_deleted}" if self.when_deleted else ""

    def _why_ignored(self, entry: Entry) -> str:
        if entry.note == LINK and not self.spec.follow_symlinks:
            return f"it is {LINK}; {SKIPPED}"
        return f"it is {entry.note}, which is never published"

    def _directory(self) -> Why:
        if reason := Filter(self.spec.include, self.spec.exclude).why_closed(self.relative):
            return self._say("ignored", f"this directory is excluded: {reason}")
        if self.failure is not None:
            return self._failed(self.failure)
        if self.row is None and self.renamed_first:
            return self._say("pending", f"not at the server yet; {self.renamed_first}")
        if self.row is None and self.deleted_first:
            return self._say("pending", f"not at the server yet; {self.deleted_first}")
        if self.row is None:
            return self._say("directory", "a directory is made at the server when there is something to publish in it")
        if self.row.kind is not Kind.DIR:
            sentence = f"a file was published under this name: it is {self._goes} at the server first{self._when}"
            return self._say("pending", sentence, goes_on="does that")
        return self._say("published", f"a directory, at the server since {iso(self.row.published_ns)}")

    def _file(self, listing: Listing, entry: Entry) -> Why:
        if reason := Filter(self.spec.include, self.spec.exclude).why_not(self.relative):
            return self._say("ignored", reason)
        row, failure = self.row, self.failure
        if row is not None and row.fingerprint == entry.fingerprint and not row.is_another(entry):
            return self._published(row)
        if failure is not None and failure.fingerprint == entry.fingerprint:
            return self._failed(failure)
        if self.unsendable:
            return self._say("parked", self.unsendable)
        return self._not_yet(listing, entry.ctime_ns)._replace(receipt=None if failure is None else self.failed)

    def _not_yet(self, listing: Listing, ctime_ns: int) -> Why:
        """It is not at the server in this form; that it failed in another one is worth telling."""
        last = f"; the last try failed: {_words(self.failure)}" if self.failure is not None else ""
        if basename(self.relative) in listing.busy:
            when = "" if self.alone else "; it is published when that program closes it"
            goes_on = "publishes it if that program has closed it by then"
            return self._say("settling", f"a program has it open for writing{when}{last}", goes_on=goes_on)
        if basename(self.relative) in listing.awaited:
            return self._say("settling", f"{AWAITED}{last}")
        age_s = (time.time_ns() - ctime_ns) / 1e9
        # What was changed at a time to come was so by a clock that was ahead: the daemon goes by what it has seen.
        if 0 <= age_s < self.spec.settle_s:
            sentence = f"it changed {duration(age_s)} ago and has to be quiet for {exactly(self.spec.settle_s)}{last}"
            return self._say("settling", sentence, age_s=round(age_s, 3))
        verb = "changed since it was published" if self.row is not None else "not published yet"
        in_the_way = self.row is not None and self.row.kind is Kind.DIR
        if in_the_way:
            verb = f"a directory was published under this name, and is {self._goes} at the server first{self._when}"
        return self._say("pending", f"{verb}{self._awaited(in_the_way=in_the_way)}{last}")

    def _awaited(self, *, in_the_way: bool) -> str:
        """What has to happen before it is published, to be put behind that it is not.

        Args:
            in_the_way: something else that was published has its name; a look does not help.
        """
        if self.no_space:
            return f": {self.no_space}"
        if first := self.renamed_first or self.deleted_first:
            return f"; {first}"
        if in_the_way or ((self.paused or self.alone) and not self.looking):
            return ""
        if self.looking:
            return "; the daemon is looking through the folder, and comes to it"
        return f"; the daemon publishes it when it looks at it: `ftpsyncd rescan {self._typed}` has it do so"

    def _published(self, row: Row) -> Why:
        """When, how large, how long it took, and what: as far as row and receipt tell."""
        when, how, size = iso(row.published_ns), self.arrival, row.fingerprint.size
        facts = [number(size, "byte")]
        if how is not None and how.kind == EventKind.PUBLISHED:
            if how.duration_s:
                facts[0] += f" in {took(how.duration_s)}"
            if how.attempts > 1:
                facts.append(f"after {how.attempts} tries")
        if row.sha256:
            facts.append(f"sha256 {row.sha256.hex()}")
        sentence = ", ".join((_arrived(how, when), *facts))
        said = self._say("published", sentence, size=size, at=when, sha256=row.sha256.hex())
        return said._replace(receipt=how)

    def _failed(self, failure: Failure, before: str = "") -> Why:
        when = iso(next_try_ns(failure, time.time_ns()))
        after = f"it is tried again at {when}"
        if self.paused:
            after = "it is not tried again now"
        elif self.awaits:
            after = f"it is tried again {self.awaits}"
        elif self.alone:
            after = f"it is tried again, but not before {when}"
        if failure.parked:
            itself = f"by the next `ftpsyncd sync {self._typed}`, or the daemon" if self.alone else "by itself"
            named = "`ftpsyncd retry" in failure.remedy
            retry = "" if named else f" or after `ftpsyncd retry {self._typed}`"
            after = f"it is tried again when it changes{retry}"
            if failure.kind not in FOR_GOOD:
                after += f", and ever more rarely {itself}"
            if failure.kind == NameNotSendableError.__name__:
                after = "it is published once it has another name"
        tries = number(failure.attempts, "try", "tries")
        sentence = " ".join(filter(None, (f"{before}{_words(failure)}.", failure.remedy, f"After {tries}: {after}.")))
        state = "parked" if failure.parked else "failed"
        said = self._say(
            state,
            sentence,
            goes_on="tries it",
            reply=failure.reply,
            attempts=failure.attempts,
            error=failure.kind,
        )
        return said._replace(receipt=self.failed)

    def _say(self, state: str, sentence: str, *, goes_on: str = "publishes it", **details: str | float) -> Why:
        name, waits = self.spec.name, state in {"pending", "settling", "failed"}
        if self.paused and waits:
            sentence = f"{sentence.rstrip('.')}; {name} is paused, `ftpsyncd resume {self._typed}` goes on"
            sentence += ", and no daemon runs" if self.alone else ""
        elif self.alone and waits:
            who = f"no daemon runs: the next `ftpsyncd sync {self._typed}`, or the daemon when it starts,"
            if self.at_work:
                who = f"another ftpsyncd is at work, as a `sync` is: that, or the next `ftpsyncd sync {self._typed}`,"
            sentence = f"{sentence.rstrip('.')}; {who} {goes_on}"
        return Why(self.path, self.spec.name, state, sentence, details)


def _arrived(how: Receipt | None, when: str) -> str:
    """How a file came to be at the server; without a receipt, all that is known is since when."""
    if how is not None and how.kind == EventKind.RENAMED:
        return f"published as {quote(how.source)}, renamed {when}"
    if how is not None and how.kind == EventKind.ADOPTED:
        return f"not sent: found at the server {when} with the same size and date"
    if how is not None and how.kind == EventKind.UNCHANGED:
        return f"published before, and not sent again {when} because its content was the same"
    return f"published {when}"
