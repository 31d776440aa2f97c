"""What only a running daemon knows of a path, in the words of `why`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.actions import Action, Delete, MakeDir, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.daemon.knows import known_now
from ftpsyncd.inspection.reasons import Known
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment
from ftpsyncd.mapping.waits import Pending
from ftpsyncd.model import Fingerprint, Hold, HoldKind
from ftpsyncd.questions import Why
from ftpsyncd.specs import DeletePolicy
from tests.core.vocabulary import NOW, SETTLE_S, SHA, WALL, M, failed, file, made, published, seen
from tests.mapping.test_mirror import PICTURE, Story

AFTER_S = 10.0
RESUME = f"; {M} is paused, `ftpsyncd resume {M}` goes on"
FAILED = "; the last try failed: Permission denied (the server said: 550 Permission denied.)"
DOWN = ": It is down; the server is tried again in "


class Asked(Story):
    """One that is asked about paths."""

    def __init__(self, ledger: Ledger, **settings: Any) -> None:
        super().__init__(ledger, settle_s=SETTLE_S, delete_after_s=AFTER_S, **settings)
        ledger.put(self.id, "d", made())
        ledger.put(self.id, "d/a", published(PICTURE))

    def known(self, path: str, after_s: float = 0.0) -> Why | Known:
        return known_now(self.mirror, f"/srv/gallery/{path}", path, Moment(NOW + after_s, WALL))

    def why(self, path: str, after_s: float = 0.0) -> Why:
        """What is said before the disk is looked at."""
        why = self.known(path, after_s)
        assert isinstance(why, Why)
        assert (why.path, why.mapping) == (f"/srv/gallery/{path}", M)
        return why

    def gone(self, path: str, after_s: float = 0.0) -> Why:
        """What is said where it is gone."""
        known = self.known(path, after_s)
        assert isinstance(known, Known)
        assert known.gone is not None
        return known.gone

    def waits(self, path: str, **how: Any) -> None:
        self.mirror.waits._begin(path, Pending("it is written", NOW - 3.0, **how))

    def is_paused(self) -> None:
        self.mirror.pause(WALL)

    def is_offline(self) -> None:
        self.queue.gate.failed(NOW, Breaker.OFFLINE, "It is down.")

    def has_failed(self, path: str) -> None:
        self.ledger.failures.put(self.id, path, failed(PICTURE))

    def loses(self, path: str, files: int = 1) -> None:
        self.mirror.removals.absent.note(path, files, NOW)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(Path(":memory:")) as ledger:
        yield ledger


@pytest.fixture
def asked(ledger: Ledger) -> Asked:
    return Asked(ledger)


class TestWhatIsNotAtRest:
    def test_it_is_said_for_how_long_and_what_it_needs(self, asked: Asked) -> None:
        asked.waits("n", sighting=seen(PICTURE, since_s_ago=1.0))
        why = asked.why("n")
        assert why.state == "settling"
        assert why.sentence == "not published yet, because it is written and has to be quiet for 2 s (for 3 s)"
        assert why.details == {"waited_s": 3.0, "settle_s": SETTLE_S}

    @pytest.mark.parametrize("how", [{"sighting": seen(PICTURE, since_s_ago=1.0, busy=True)}, {"late": True}])
    def test_quiet_alone_does_not_help_what_is_open_or_may_come_late(self, asked: Asked, how: dict[str, Any]) -> None:
        asked.waits("n", **how)
        assert asked.why("n").sentence == "not published yet, because it is written (for 3 s)"

    def test_nor_what_may_be_renamed(self, asked: Asked) -> None:
        asked.waits("n", sighting=seen(PICTURE, since_s_ago=1.0), source="d/a")
        assert asked.why("n").sentence == "not published yet, because it is written (for 3 s)"

    @pytest.mark.parametrize(
        ("deletes", "what"), [(DeletePolicy.MIRROR, "deleted at the server"), (DeletePolicy.KEEP, "forgotten")]
    )
    def test_what_is_gone_is_not_said_to_be_published(self, ledger: Ledger, deletes: DeletePolicy, what: str) -> None:
        asked = Asked(ledger, deletes=deletes)
        asked.waits("d/a", late=True, gone=True)
        assert asked.why("d/a").sentence == f"it is gone here; not {what} yet, because it is written (for 3 s)"

    def test_all_that_is_in_its_way_is_said_too(self, asked: Asked) -> None:
        asked.waits("n", late=True)
        asked.waits("m", sighting=seen(PICTURE, since_s_ago=1.0))
        asked.is_offline()
        asked.is_paused()
        asked.has_failed("n")
        said = asked.why("n").sentence
        assert said.startswith(f"not published yet, because it is written (for 3 s){DOWN}")
        assert said.endswith(f"says what helps{RESUME}{FAILED}")
        # Whether the server answers is nothing to a file that is still written.
        assert asked.why("m").sentence.endswith(f"(for 3 s){RESUME}")

    def test_what_failed_and_waits_for_its_next_try_is_known_from_the_ledger(self, asked: Asked) -> None:
        asked.waits("n")
        asked.has_failed("n")
        assert isinstance(asked.known("n"), Known)


@pytest.mark.parametrize(
    ("action", "doing"),
    [
        (Upload(M, "n", Fingerprint(1, 2, 3)), "published"),
        (Rename(M, "n", "d/a", Fingerprint(1, 2, 3), SHA), "renamed"),
        (RenameDir(M, "n", "d", 50), "renamed"),
        (MakeDir(M, "n", 50), "made"),
        (Delete(M, "n"), "deleted"),
        (RemoveDir(M, "n"), "deleted"),
    ],
)
def test_what_is_done_to_it_is_told_and_before_that_it_waits(asked: Asked, action: Action, doing: str) -> None:
    asked.queue.offer(action)
    asked.has_failed("n")
    why = asked.why("n")
    assert why.state == "pending"
    assert why.sentence == f"waits in the queue of web ({action.why}){FAILED}"
    assert why.details == {"action": type(action).__name__.lower()}
    asked.is_offline()
    assert asked.why("n").sentence.startswith(f"waits in the queue of web ({action.why}){DOWN}")
    asked.queue.gate.answered()
    asked.is_paused()
    assert asked.why("n").sentence == f"waits in the queue of web ({action.why}){RESUME}{FAILED}"
    asked.mirror.pause(0)
    assert asked.starts("n") == action
    why = asked.why("n")
    assert (why.state, why.sentence) == ("in_flight", f"it is being {doing} right now{FAILED}")


def test_what_is_left_of_it_at_the_server_says_nothing_of_it_before_that_is_looked_for(asked: Asked) -> None:
    asked.queue.offer(Sweep(M, "n", "/htdocs/n.0123abcd.filepart"))
    assert isinstance(asked.known("n"), Known)
    asked.starts("n")
    assert asked.why("n").sentence == "it is being asked about at the server right now"


def test_of_a_folder_that_is_missing_nothing_else_is_told(asked: Asked) -> None:
    asked.waits("n", late=True)
    asked.mirror.removals.source.missing = "it is not there"
    why = asked.why("n")
    assert why.state == "source_missing"
    assert why.sentence == "it is not there; nothing changes at the server until it can be read"


@pytest.mark.parametrize(("after_s", "when"), [(0.0, "in "), (1000.0, "now")])
def test_when_the_server_is_tried_again(asked: Asked, after_s: float, when: str) -> None:
    asked.queue.offer(Upload(M, "n", Fingerprint(1, 2, 3)))
    asked.is_offline()
    assert f"; the server is tried again {when}" in asked.why("n", after_s).sentence


@pytest.mark.parametrize(("looks", "paused"), [(True, False), (True, True), (False, False)])
def test_that_the_folder_is_looked_through_is_told_where_that_leads_to_anything(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, *, looks: bool, paused: bool
) -> None:
    monkeypatch.setattr(type(asked.mirror), "busy_looking", lambda _self, _now: looks)
    if paused:
        asked.is_paused()
    known = asked.known("n")
    assert isinstance(known, Known)
    assert known.looking is (looks and not paused)


def test_that_the_server_has_no_space_is_told_of_what_is_there(asked: Asked) -> None:
    for path in ("full/a", "full/b"):
        asked.queue.space.refused(M, path, "552 No.", NOW)
    for path, words in (("full/c", f"there is no space at the server for what is in {M}/full (552 No.)"), ("n", "")):
        known = asked.known(path)
        assert isinstance(known, Known)
        assert known.no_space == words


class TestWhatIsGone:
    @pytest.mark.parametrize(
        ("deletes", "what"), [(DeletePolicy.MIRROR, "deleted"), (DeletePolicy.KEEP, "forgotten, and kept")]
    )
    def test_when_it_is_deleted_is_told(self, ledger: Ledger, deletes: DeletePolicy, what: str) -> None:
        asked = Asked(ledger, deletes=deletes)
        asked.loses("d/a")
        why = asked.gone("d/a", 4.0)
        assert (why.state, why.details) == ("settling", {"left_s": 6.0})
        assert why.sentence == f"it is gone here; {what} at the server in 6 s"
        assert asked.gone("d/a", AFTER_S + 1).sentence == f"it is gone here; {what} at the server at once"
        asked.is_paused()
        asked.has_failed("d/a")
        assert asked.gone("d/a", 4.0).sentence == f"it is gone here; {what} at the server in 6 s{RESUME}{FAILED}"

    def test_what_went_with_its_directory_is_as_that(self, asked: Asked) -> None:
        asked.loses("d")
        assert asked.gone("d/a", 4.0).sentence == "it is gone here; deleted at the server in 6 s"
        known = asked.known("d/never")
        assert isinstance(known, Known)
        assert known.gone is None

    def test_but_not_one_that_has_a_note_or_a_failure_of_its_own(self, asked: Asked) -> None:
        asked.mirror.removals.absent.note("d", 1, NOW - 5.0)
        asked.loses("d/a")
        assert asked.gone("d/a").sentence == "it is gone here; deleted at the server in 10 s"
        asked.mirror.removals.absent.back("d/a")
        asked.has_failed("d/a")
        known = asked.known("d/a")
        assert isinstance(known, Known)
        assert known.gone is None

    def test_what_is_held_is_told_with_why(self, asked: Asked) -> None:
        asked.loses("d/a")
        asked.mirror.removals.holding.hold = Hold(HoldKind.MASS_DELETE, WALL, "Too many.")
        why = asked.gone("d/a")
        assert (why.state, why.sentence) == ("held", "Too many.")
        known = asked.known("d/a")
        assert isinstance(known, Known)
        decide = f"when you have decided about the deletes that are held (`ftpsyncd approve {M}`, or `discard`)"
        assert known.when_deleted == decide

    def test_when_is_not_told_of_what_is_renamed(self, asked: Asked) -> None:
        asked.waits("n", sighting=seen(file(), since_s_ago=1.0), source="d/a")
        asked.loses("d/a")
        known = asked.known("d/a")
        assert isinstance(known, Known)
        assert (known.leaves, known.when_deleted) == (True, "")
        assert known.renamed_first == "it may be n now, and is renamed there unless it is written anew"

    def test_what_may_be_in_a_directory_that_is_renamed_first_is_told_so_when_its_time_is_over(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(asked.mirror.removals), "may_be_in", property(lambda _self: "new"))
        asked.loses("d/a")
        assert asked.gone("d/a", 4.0).sentence.endswith("deleted at the server in 6 s")
        assert asked.gone("d/a", AFTER_S).sentence.endswith("unless it is in new, which is renamed first")


class TestWhatHasTheNameOfADirectory:
    """A file was published as ``f``, and a directory is there now."""

    @pytest.fixture
    def asked(self, ledger: Ledger) -> Asked:
        asked = Asked(ledger)
        ledger.put(asked.id, "f", published(file(inode=9)))
        return asked

    @staticmethod
    def first(asked: Asked, path: str = "f/n") -> str:
        known = asked.known(path)
        assert isinstance(known, Known)
        return known.deleted_first

    def test_it_is_deleted_first(self, asked: Asked) -> None:
        first = "a file was published as f, and is deleted at the server first"
        assert self.first(asked) == first
        assert self.first(asked, "d/n") == ""
        asked.loses("f")
        assert self.first(asked) == f"{first}, in 10 s"

    def test_or_renamed(self, asked: Asked) -> None:
        asked.waits("g", sighting=seen(file(), since_s_ago=1.0), source="f")
        assert self.first(asked) == "a file was published as f, and is renamed at the server first"

    def test_which_a_server_that_is_away_is_to_answer_for(self, asked: Asked) -> None:
        asked.is_offline()
        assert self.first(asked).startswith(
            "a file was published as f, and is deleted at the server first: It is down; the server is tried again in "
        )
