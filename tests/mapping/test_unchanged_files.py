"""Unchanged files are passed over in bulk: nothing may follow from that which would not follow one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ftpsyncd.actions import Delete, Upload
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.plan import Selection
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Work
from ftpsyncd.events import Event
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.comparing import Comparing
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.recorded import Recorded
from ftpsyncd.mapping.site import Moment
from ftpsyncd.mapping.waits import Pending
from ftpsyncd.model import Entry, Failure, Fingerprint, Kind, Listing, Presence, RootIdentity, Row
from ftpsyncd.paths import join
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import MappingSpec
from tests.core.vocabulary import NOW, SHA, WALL, M

ROOT = RootIdentity(1, 2)
OLD = Fingerprint(10, 1, 7)
NEW = Fingerprint(11, 2, 7)

# Two that are published, one that is excluded, one of no medium.
NAMES = ("a.jpg", "b.jpg", "draft.jpg", "notes")
STATES = st.fixed_dictionaries(
    {
        "row": st.sampled_from([Kind.FILE, Kind.FILE, Kind.FILE, Kind.DIR, None]),
        "entry": st.sampled_from([Kind.FILE, Kind.FILE, Kind.FILE, Kind.DIR, Kind.OTHER, None]),
        "fingerprint": st.sampled_from([OLD, OLD, OLD, NEW]),
        "noted": st.sets(
            st.sampled_from(["pending", "problems", "offered", "absent", "doomed", "failure"]), max_size=2
        ),
        "waiting": st.sampled_from([None, None, Upload, Delete]),
    }
)


class EveryFile(Recorded):
    """Passes over none."""

    def _noted(self, listing: Listing, published: set[str], failed: Any) -> set[str]:
        del listing, failed
        return published


class OneByOne(Mirror):
    """Decides about every single file."""

    def __init__(self, spec: MappingSpec, selection: Selection, *more: Any, **named: Any) -> None:
        super().__init__(spec, selection, *more, **named)
        self.comparing.recorded = EveryFile(self.site, self.waits, selection)


def outcome(
    kind: type[Mirror], ledger: Ledger, directory: str, states: dict[str, dict[str, Any]], *, deep: bool
) -> Any:
    """Everything that a listing leaves behind."""
    spec = MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs", exclude=("draft*",))
    mapping, queue = ledger.mappings.number(M, kind.__name__), Queue(4, jitter=0.5)
    events: list[Event] = []
    mirror = kind(
        spec, Filter(spec.include, spec.exclude), mapping, ledger, queue, Folder(spec), events.append, today=lambda: ""
    )
    mirror.looks.attach(Nobody())
    at = Moment(NOW, WALL)
    mirror.removals.source.found(ROOT, at)
    ledger.put(mapping, "", Row(Kind.DIR, Fingerprint(0, 0, 1), b"", WALL))
    if directory:
        ledger.put(mapping, directory, Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
    entries = {}
    for name, state in states.items():
        path = join(directory, name)
        if state["row"]:
            ledger.put(mapping, path, Row(state["row"], OLD, SHA, WALL))
        if state["entry"]:
            entries[name] = Entry(state["entry"], state["fingerprint"], WALL, 9)
        for what in state["noted"]:
            note(mirror, what, path, state["fingerprint"])
        if state["waiting"] is Upload:
            queue.offer(Upload(M, path, OLD))
        elif state["waiting"] is Delete:
            queue.offer(Delete(M, path))
    listing = Listing(directory, Presence.PRESENT, entries, root=ROOT, inode=5, device=9, taken_wall_ns=WALL)
    if deep:
        mirror.looks.ask(Work(directory, None, deep=True))
    mirror.on_answer(listing, at)
    paths = [join(directory, name) for name in NAMES]
    absent = mirror.removals.absent
    return (
        sorted(events, key=repr),
        {path: queue.waiting(M, path) for path in paths},
        mirror.waits.pending,
        mirror.unreadable.problems,
        list(mirror.waits.offered),
        {path: (absent.since(path), absent.is_doomed(path)) for path in paths},
        {path: ledger.failures.of(mapping, path) for path in paths},
        {path: ledger.row(mapping, path) for path in paths},
        mirror.dirty.next_due(),
        sorted(mirror.dirty._frontier),
    )


class Nobody:
    """A disk that is asked for nothing here."""

    def list_dir(self, directory: str) -> None: ...
    def probe(self, directory: str, names: Any) -> None: ...
    def check(self) -> None: ...
    def answers(self) -> bool: ...  # type: ignore[empty-body]


def note(mirror: Mirror, what: str, path: str, fingerprint: Fingerprint) -> None:
    match what:
        case "pending":
            mirror.waits._begin(path, Pending("it changed a moment ago", NOW - 1))
        case "problems":
            mirror.unreadable.problems[path] = "it cannot be read"
        case "offered":
            mirror.waits.offered[path] = NOW - 1
        case "absent":
            mirror.removals.absent.note(path, 1, NOW - 1)
        case "doomed":
            mirror.removals.absent.doom(path)
        case "failure":
            failure = Failure(fingerprint, 1, False, WALL + 10**9, "NameRefusedError", "No.", "550 No.", "", WALL)  # noqa: FBT003
            mirror.ledger.failures.put(mirror.id, path, failure)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.fixed_dictionaries(dict.fromkeys(NAMES, STATES)), st.sampled_from(["", "d"]), st.booleans())
def test_what_follows_is_the_same_as_one_by_one(states: dict[str, dict[str, Any]], directory: str, deep: bool):  # noqa: FBT001 - hypothesis
    with Ledger(Path(":memory:")) as ledger:
        plain = outcome(OneByOne, ledger, directory, states, deep=deep)
        assert outcome(Mirror, ledger, directory, states, deep=deep) == plain
    same = [s for s in states.values() if s["row"] is s["entry"] is Kind.FILE and s["fingerprint"] == OLD]
    event(f"{len(same)} unchanged, {sum(bool(s['noted'] or s['waiting']) for s in same)} of them noted")


@pytest.mark.parametrize("noted", ["pending", "problems", "offered", "absent", "doomed", "failure", "waiting"])
@pytest.mark.parametrize("beside", [set(), {"pending"}])
def test_what_is_noted_about_an_unchanged_file_is_over(noted: str, beside: set[str]):
    unchanged = {"row": Kind.FILE, "entry": Kind.FILE, "fingerprint": OLD, "noted": set(), "waiting": None}
    mine = {"waiting": Upload} if noted == "waiting" else {"noted": {noted}}
    states = {"a.jpg": {**unchanged, **mine}, "b.jpg": {**unchanged, "noted": beside}}
    with Ledger(Path(":memory:")) as ledger:
        left = outcome(Mirror, ledger, "d", states, deep=True)
        assert left == outcome(OneByOne, ledger, "d", states, deep=True)
    events, waiting, pending, problems, offered, absent, failures, *_ = left
    assert not events
    assert not pending
    assert not problems
    assert not offered
    assert not any((*waiting.values(), *failures.values()))
    assert set(absent.values()) == {(None, False)}


def test_a_directory_without_changes_makes_no_decisions(monkeypatch: Any):
    decided = []
    monkeypatch.setattr(Comparing, "_note", lambda _self, decision, _at: decided.append(decision))
    state = {"row": Kind.FILE, "entry": Kind.FILE, "fingerprint": OLD, "noted": set(), "waiting": None}
    with Ledger(Path(":memory:")) as ledger:
        outcome(Mirror, ledger, "d", {"a.jpg": state, "b.jpg": state}, deep=True)
    assert not decided
