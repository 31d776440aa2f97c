"""What was sent under its final name, and may come late or not have arrived: what is noted of it, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Delete, Rename, Upload
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import Dirty
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.exposures import PRINTS_KEPT
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.moves import Moves
from ftpsyncd.mapping.site import Moment, Site, Step
from ftpsyncd.model import Exposure, Fingerprint, Intent, Kind, Row
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import MappingSpec, PublishMode
from tests.core.vocabulary import NOW, SHA, WALL, M, S

A, B = Fingerprint(10, 1, 7), Fingerprint(20, 2, 8)
UPLOAD = Upload(M, "a", A)
RENAME = Rename(M, "a", "old", A, SHA)
BEFORE = Exposure(15, WALL - 60 * S)
"""Of an earlier try."""


def later(seconds: int) -> Moment:
    return Moment(NOW + seconds, WALL + seconds * S)


class Story:
    """A mapping with `publish: direct`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        spec, self.id = (
            MappingSpec(M, Path("/drop"), "web", "/", publish=PublishMode.DIRECT),
            ledger.mappings.number(M, "u@h/"),
        )
        self.queue = Queue(4)
        self.site = Site(
            spec,
            self.id,
            ledger,
            self.queue,
            Folder(spec),
            Dirty(),
            lambda _event: None,
            lambda: "2024-05-01",
            Moves(self.queue, M),
        )

    def intents(self, *left: tuple[str, Intent]) -> Intents:
        """Those of a daemon that begins, and what the one before it has left."""
        for path, intent in left:
            self.ledger.begun.put(self.id, path, intent)
        return Intents(self.site)

    def noted(self, path: str = "a") -> Intent | None:
        return dict(self.ledger.begun.of(self.id)).get(path)


@pytest.fixture
def story() -> Iterator[Story]:
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger)


def arrive(intents: Intents, action: Upload | Rename, at: Moment) -> None:
    """A try of a file that goes well."""
    assert intents.begin(action).path == action.path
    intents.late.arrived(action, at)
    intents.end(action)


@pytest.mark.parametrize("before", [None, BEFORE], ids=["first try", "one of several"])
def test_of_a_try_that_sent_nothing_under_the_final_name_nothing_is_noted(story: Story, before: Exposure | None):
    """Else what somebody else has there would be taken for a part of ours, and deleted."""
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(A,), exposed=before)))
    upload = intents.begin(UPLOAD)
    assert isinstance(upload, Upload)
    intents.exposures.begun(upload, later(0))
    other = upload._replace(fingerprint=B)
    noted = story.noted()
    assert noted is not None
    assert noted.exposed is not None
    intents.exposures.not_begun(other)
    intents.exposures.not_begun(upload._replace(path="b"))
    assert story.noted() == noted, "that is another one's"
    intents.exposures.not_begun(upload)
    assert story.noted() == noted._replace(exposed=before)


def test_what_was_sent_while_the_clock_was_wrong_is_dated_as_the_right_one_would_have(story: Story):
    """A part has a date of the server's; by one of before, it would be no part of ours, and stay."""
    now = Exposure(10, WALL, WALL + S)
    intents = story.intents(
        ("a", Intent(Kind.FILE, fingerprints=(A,), exposed=now)),
        ("b", Intent(Kind.FILE, fingerprints=(B,), exposed=BEFORE)),
    )
    intents.exposures.clock_was_set(Step(WALL - S, WALL + 5 * S, 100 * S))
    moved = Exposure(10, WALL + 100 * S, WALL + 101 * S)
    assert story.noted("a") == Intent(Kind.FILE, fingerprints=(A,), exposed=moved)
    assert story.noted("b") == Intent(Kind.FILE, fingerprints=(B,), exposed=BEFORE), "that was before"


@pytest.mark.parametrize("left", [[], [("a", Intent(Kind.FILE, fingerprints=(A,)))]], ids=["nothing", "no part"])
def test_where_no_part_can_be_none_is_over(story: Story, left: list[tuple[str, Intent]]):
    intents = story.intents(*left)
    intents.exposures.over("a", later(1))
    assert story.noted() == dict(left).get("a")


def test_nothing_is_noted_of_a_file_that_arrived_at_its_first_try(story: Story):
    intents = story.intents()
    intents.begin(UPLOAD)
    intents.exposures.begun(UPLOAD, later(1))
    assert "a" in intents.exposures
    intents.late.arrived(UPLOAD, later(2))
    intents.end(UPLOAD)
    assert story.noted() is None
    assert not intents.exposures


@pytest.mark.parametrize("action", [UPLOAD, RENAME], ids=["upload", "rename"])
def test_after_a_try_that_was_cut_off_it_is_noted_what_arrived_and_when(story: Story, action: Upload | Rename):
    """What hung on the line may come over it. A rename may have become an upload."""
    intents = story.intents()
    intents.begin(action)
    intents.doubt(action, later(1))
    assert story.noted() is not None
    arrive(intents, action, later(5))
    assert story.noted() == Intent(Kind.FILE, fingerprints=(A,), exposed=Exposure(10, WALL + 5 * S, WALL + 5 * S))
    assert intents.late.is_awaited("a")


@pytest.mark.parametrize("told", [False, True])
def test_what_somebody_was_told_of_is_not_asked_for_again(story: Story, *, told: bool):
    """That the server's file stays, whatever it is."""
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(A,), exposed=BEFORE)))
    intents.begin(UPLOAD)
    intents.end(UPLOAD, sent=False, told=told)
    assert (story.noted() is None) is told


def test_so_it_is_after_a_daemon_that_died_and_had_noted_nothing_but_that(story: Story):
    arrive(story.intents(("a", Intent(Kind.FILE, exposed=BEFORE))), UPLOAD, later(5))
    assert story.noted() == Intent(Kind.FILE, fingerprints=(A,), exposed=BEFORE._replace(until_ns=WALL + 5 * S))


def test_so_it_is_where_another_mapping_had_published(story: Story):
    intents = story.intents()
    intents.late.expect("a", BEFORE)
    assert story.noted() is None, "it is none of ours before we publish there"
    arrive(intents, UPLOAD, later(5))
    assert story.noted() == Intent(Kind.FILE, fingerprints=(A,), exposed=BEFORE._replace(until_ns=WALL + 5 * S))
    arrive(intents, UPLOAD, later(7))
    assert story.noted() == Intent(Kind.FILE, fingerprints=(A,), exposed=BEFORE._replace(until_ns=WALL + 5 * S))


@pytest.mark.parametrize("size", [5, 30])
def test_the_largest_that_was_begun_and_the_first_moment_count(story: Story, size: int):
    """A part of either may be there."""
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(B,), exposed=BEFORE)))
    upload = Upload(M, "a", A._replace(size=size))
    intents.begin(upload)
    intents.exposures.begun(upload, later(1))
    noted = story.noted()
    assert noted is not None
    assert noted.exposed == Exposure(max(15, size), BEFORE.since_ns)


def test_what_is_over_is_over_once(story: Story):
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(B,), exposed=BEFORE)))
    for seconds in (1, 9):
        intents.exposures.over("a", later(seconds))
        noted = story.noted()
        assert noted is not None
        assert noted.exposed == BEFORE._replace(until_ns=WALL + S)


def test_what_an_earlier_daemon_sent_is_over_and_what_runs_is_not(story: Story):
    intents = story.intents(*((path, Intent(Kind.FILE, fingerprints=(A,), exposed=BEFORE)) for path in ("a", "runs")))
    story.queue.offer(Upload(M, "runs", A))
    assert story.queue.take(NOW) is not None
    intents.exposures.all_over(later(1))
    exposed = {path: intent.exposed for path, intent in story.ledger.begun.of(story.id)}
    assert exposed == {"a": BEFORE._replace(until_ns=WALL + S), "runs": BEFORE}


def test_what_had_been_published_is_no_part_of_what_is_let_go(story: Story):
    """The file is no longer ours; where it still is what it was, it stays, and where it is a part, it goes."""
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(B,), exposed=BEFORE)))
    story.ledger.put(story.id, "a", Row(Kind.FILE, A, SHA, WALL))
    intents.forgotten("a")
    noted = story.noted()
    assert noted is not None
    assert noted.fingerprints == (A, B)
    assert noted.exposed == BEFORE


@pytest.mark.parametrize("whatever", [False, True])
def test_what_a_person_wants_to_stay_stays_though_it_may_be_a_part(story: Story, *, whatever: bool):
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(B,), exposed=BEFORE)))
    intents.forgotten("a", whatever=whatever)
    assert (story.noted() is None) is whatever


def test_what_may_come_late_is_asked_about_under_its_new_name(story: Story):
    """The directory in which it is was renamed at the server: the line that hung may go into that."""
    for path in ("d/a", "e/a"):
        story.ledger.put(story.id, path, Row(Kind.FILE, A, SHA, WALL))
    intents = story.intents(("d/a", INHERITED))
    assert intents.late._awaited.keys() == {"d/a"}
    intents.moved("d", "e")
    assert (story.noted("d/a"), story.noted("e/a")) == (Intent(Kind.FILE), INHERITED), "or into a new one of that name"
    assert intents.late._awaited.keys() == {"d/a", "e/a"}


INHERITED = Intent(Kind.FILE, fingerprints=(A,), exposed=BEFORE)


@pytest.mark.parametrize(
    ("own", "both"),
    [
        (Exposure(5, BEFORE.since_ns - 1), Exposure(15, BEFORE.since_ns - 1)),
        (Exposure(99, BEFORE.since_ns + 1), Exposure(99, BEFORE.since_ns)),
    ],
)
def test_of_what_two_mappings_were_sending_either_may_be_there(story: Story, own: Exposure, both: Exposure):
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(B,), exposed=own)))
    assert intents.exposures.inherit("a", INHERITED)
    # The last one is that of this mapping.
    assert story.noted() == Intent(Kind.FILE, fingerprints=(A, B), exposed=both)


def test_nothing_is_inherited_where_a_directory_is_being_made(story: Story):
    making = Intent(Kind.DIR)
    intents = story.intents(("d", making))
    assert not intents.exposures.inherit("d", INHERITED)
    assert story.noted("d") == making


def test_of_many_tries_only_the_last_ones_are_kept(story: Story):
    many = tuple(Fingerprint(size, 1, 7) for size in range(100))
    intents = story.intents()
    assert intents.exposures.inherit("a", Intent(Kind.FILE, fingerprints=many, exposed=BEFORE))
    noted = story.noted()
    assert noted is not None
    assert noted.fingerprints == many[-PRINTS_KEPT - 1 :]


@pytest.mark.parametrize(
    ("intent", "stands"),
    [
        (INHERITED, True),
        (INHERITED._replace(fingerprints=(B, A)), True),
        (INHERITED._replace(fingerprints=(A, B)), False),
        (INHERITED._replace(temporary="/a.filepart"), False),
        (INHERITED._replace(exposed=None), True),
        (INHERITED._replace(fingerprints=()), False),
    ],
)
def test_what_the_ledger_has_of_the_last_try_was_published_after_it(story: Story, intent: Intent, *, stands: bool):
    story.ledger.put(story.id, "a", Row(Kind.FILE, A, SHA, WALL))
    intents = story.intents(("a", intent))
    assert intents.late.stands("a") == (A if stands else None)
    row = story.ledger.row(story.id, "a")
    assert row is not None
    assert row.fingerprint.is_doubted is not stands


def test_a_delete_of_what_another_try_of_may_come_late_knows_of_it(story: Story):
    intents = story.intents(("a", Intent(Kind.FILE, fingerprints=(A,), exposed=BEFORE)))
    delete = intents.begin(Delete(M, "a", sizes=(20,)))
    assert isinstance(delete, Delete)
    assert (delete.sizes, delete.exposed) == ((20, 10), BEFORE)
