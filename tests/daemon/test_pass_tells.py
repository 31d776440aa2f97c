"""What is told of a pass: it is all that a person hears of what was not done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.daemon.onepass import Progress, progress_of
from ftpsyncd.engine.counters import Counters
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.report import mapping_status
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.failures import CHANGED
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Hold, HoldKind, Kind, Row
from tests.core.vocabulary import NOW, WALL, M, failed, file
from tests.mapping.test_mirror import Story

AT = Moment(NOW, WALL)
HOLD = Hold(HoldKind.MASS_DELETE, WALL, "Too many.")
NOTHING = Progress(0, 0, 0, 0, 0, 0, 0, finished=True, unavailable=False, messages=())
"""A pass that found nothing to do."""
LATER = "; a later `sync`, or the daemon, goes on"


class Pass(Story):
    """One at a server `web`; what was to be looked at has been."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, one_pass=True)
        self.counters = Counters(files=3, bytes=300, deletes=2, renames=1, adopted=4)
        self.mirror.looks.passes = 1

    def tells(self) -> Progress:
        server = SimpleNamespace(name="web", queue=self.queue)
        engine = SimpleNamespace(
            mirrors={M: self.mirror},
            servers={"web": server},
            counters=self.counters,
            ledger=self.ledger,
            up_to_date=True,
        )
        return progress_of(cast(Engine, engine), AT)

    def offers(self, *paths: str) -> None:
        for path in paths:
            self.queue.offer(Upload(M, path, file(10).fingerprint))

    def fails(self, path: str, **changes: Any) -> None:
        self.ledger.failures.put(self.id, path, failed(file())._replace(**changes))

    def holds(self) -> None:
        self.mirror.removals.holding.hold = HOLD

    def notes_gone(self, files: int, directories: int) -> None:
        for n in range(files):
            self.mirror.removals.absent.note(f"f{n}", 1, NOW)
        for n in range(directories):
            self.mirror.removals.absent.note(f"d{n}", 0, NOW)


@pytest.fixture
def a_pass() -> Iterator[Pass]:
    with Ledger(Path(":memory:")) as ledger:
        yield Pass(ledger)


def test_what_was_done_and_what_waits_or_is_on_its_way_is_counted(a_pass: Pass) -> None:
    done = NOTHING._replace(
        files_done=3,
        files_total=3,
        bytes_done=300,
        bytes_total=300,
        deletes_done=2,
        renames_done=1,
        files_adopted=4,
    )
    assert a_pass.tells() == done
    a_pass.offers("a", "b")
    assert a_pass.queue.take(NOW) is not None
    assert a_pass.tells() == done._replace(files_total=5, bytes_total=320, finished=False)


def test_nothing_is_counted_where_there_is_no_server() -> None:
    with Ledger(Path(":memory:")) as ledger:
        engine = SimpleNamespace(mirrors={}, servers={}, counters=Counters(), ledger=ledger, up_to_date=True)
        assert progress_of(cast(Engine, engine), AT) == NOTHING


def test_what_failed_is_counted_whatever_it_waits_for(a_pass: Pass) -> None:
    a_pass.fails("a")
    a_pass.fails("b", parked=True)
    assert a_pass.tells().failed == 2
    assert a_pass.tells().messages == ()
    a_pass.mirror.unreadable.problems["d"] = "Permission denied"
    assert a_pass.tells().failed == 3
    assert a_pass.tells().messages == (f"{M}: d cannot be read: Permission denied; nothing is deleted there meanwhile",)


def test_what_waits_for_space_is_counted_as_failed(a_pass: Pass) -> None:
    for path in ("full/a", "full/b"):
        a_pass.queue.space.refused(M, path, "552 No.", NOW)
    for path in ("full/a", "full/b"):
        assert not a_pass.queue.space.admits(M, path, NOW)
    assert a_pass.tells().failed == 2
    [message] = a_pass.tells().messages
    assert message.startswith(f"web: there is no space at the server for what is in {M}/full")


def test_files_that_were_changed_at_the_server_are_held(a_pass: Pass) -> None:
    a_pass.fails("a", kind=CHANGED, parked=True, fingerprint=None)
    told = a_pass.tells()
    assert (told.failed, told.held, told.holds) == (0, 1, 0)
    assert [message.partition(": `")[0] for message in told.messages] == [
        f"{M}: 1 file was deleted here and changed at the server"
    ]


@pytest.mark.parametrize(("running", "ends"), [(False, True), (True, False)])
def test_a_server_that_is_away_is_not_awaited_but_what_is_on_its_way_there_is(
    a_pass: Pass, *, running: bool, ends: bool
) -> None:
    a_pass.offers("a")
    if running:
        assert a_pass.queue.take(NOW) is not None
    a_pass.queue.gate.failed(NOW, Breaker.OFFLINE, "It is down.")
    told = a_pass.tells()
    assert (told.unavailable, told.finished) == (ends, ends)
    assert told.messages == ("web: It is down.",)


@pytest.mark.parametrize(("waits", "words"), [(0, ""), (1, ", 1 change waits"), (2, ", 2 changes wait")])
def test_a_mapping_that_a_person_paused_is_told_with_what_waits_for_that(a_pass: Pass, waits: int, words: str) -> None:
    a_pass.offers(*"ab"[:waits])
    a_pass.mirror.pause(WALL)
    told = a_pass.tells()
    assert told.paused == waits
    assert told.messages == (f"{M}: paused by a person{words}; `ftpsyncd resume {M}` goes on",)
    assert told.finished


def test_of_a_folder_that_is_missing_only_that_is_told(a_pass: Pass) -> None:
    a_pass.notes_gone(1, 0)
    a_pass.holds()
    a_pass.mirror.removals.source.missing = "it is not there"
    told = a_pass.tells()
    assert told.source_missing
    assert (told.held, told.holds) == (1, 0)
    assert told.messages == (f"{M}: it is not there",)


@pytest.mark.parametrize(
    ("gone", "unknown", "told"),
    [((2, 0), False, True), ((0, 2), False, True), ((0, 0), False, False), ((0, 0), True, True)],
    ids=["files", "directories", "nothing any more", "what nobody can look at"],
)
def test_a_hold_is_told_where_it_holds_anything(
    a_pass: Pass, monkeypatch: pytest.MonkeyPatch, gone: tuple[int, int], *, unknown: bool, told: bool
) -> None:
    removals = a_pass.mirror.removals
    monkeypatch.setattr(type(removals), "may_hold_more", property(lambda _self: unknown))
    a_pass.notes_gone(*gone)
    a_pass.holds()
    says = a_pass.tells()
    assert (says.held, says.directories_held, says.holds) == (*gone, int(told))
    assert says.messages == ((f"{M}: Too many.",) if told else ())


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ((0, 0), ""),
        ((1, 0), "1 delete waits for `delete_after`"),
        ((0, 2), "2 directories wait for `delete_after`"),
    ],
)
def test_what_is_gone_and_not_waited_for_is_told(a_pass: Pass, gone: tuple[int, int], words: str) -> None:
    a_pass.notes_gone(*gone)
    assert a_pass.tells().messages == ((f"{M}: {words}{LATER}",) if words else ())
    assert a_pass.tells().failed == 0


@pytest.mark.parametrize("old", ["f0", "f0/old"], ids=["itself", "with its directory"])
def test_what_waits_for_a_file_that_is_tried_again_under_another_name_is_told_so(a_pass: Pass, old: str) -> None:
    """It was told to wait for `delete_after`, which had been over for long."""
    renamed = file(10).fingerprint
    a_pass.ledger.put(a_pass.id, old, Row(Kind.FILE, renamed, b"", WALL))
    a_pass.mirror.site.moves.was_refused(old, "new", renamed)
    a_pass.fails("new", fingerprint=renamed)
    a_pass.notes_gone(2, 0)
    words = "2 deletes wait for {}, or until what has other names now is published (new)"
    assert a_pass.tells().messages == (f"{M}: {words.format('`delete_after`')}{LATER}",)
    assert mapping_status(a_pass.mirror, AT).message == words.format("delete_after")


@pytest.mark.parametrize(
    ("gone", "words"),
    [((2, 1), "2 files are"), ((0, 1), "1 directory is")],
)
def test_what_may_be_in_a_directory_that_is_renamed_first_is_told_so(
    a_pass: Pass, monkeypatch: pytest.MonkeyPatch, gone: tuple[int, int], words: str
) -> None:
    monkeypatch.setattr(type(a_pass.mirror.removals), "may_be_in", property(lambda _self: "new"))
    a_pass.notes_gone(*gone)
    assert a_pass.tells().messages == (f"{M}: {words} gone here, or in new, which is renamed first{LATER}",)
