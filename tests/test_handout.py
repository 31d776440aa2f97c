"""The last decision before an action goes out: does the ledger still call for it?

What waits may have been planned long ago. Whoever changes the ledger takes back what it does not call for any more, as a
rule; these are the cases in which that would be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ftpsyncd.actions import Action, Delete, MakeDir, Probe, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine import handout
from ftpsyncd.engine.handout import Server
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.openintents import LATE_S
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import HoldKind, Row
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.profile import Profile
from ftpsyncd.specs import MappingSpec
from tests.core.vocabulary import NOW, SHA, WALL, M, Without, file, made, published

AT = Moment(NOW, WALL)
PICTURE, ANOTHER = file(inode=7), file(inode=8)
SPEC = MappingSpec(M, Path("/srv/gallery"), "web", "/htdocs")


class Nobody:
    """In the place of the workers: nothing is handed to them here."""

    connections = 0

    def hand(self, actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None: ...

    def recall(self, mapping: str) -> list[Action]:
        return []

    def give_up(self, mapping: str) -> None: ...

    def spare(self) -> None: ...

    def transfers(self) -> list[Progress]:
        return []


class Waiting:
    """A mapping with one published file in a directory, and a queue in which something waits."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.id = ledger, ledger.mappings.number(M, "there")
        ledger.put(self.id, "d", made())
        ledger.put(self.id, "d/a", published(PICTURE))
        self.queue = Queue(4)
        self.mirror = Mirror(
            SPEC, Without(), self.id, ledger, self.queue, Folder(SPEC), lambda _event: None, today=lambda: "2024-05-01"
        )
        self.queue.suspend(M, suspended=False)

    def taken(self, action: Action) -> list[Action]:
        """What is handed out of what waits."""
        self.queue.offer(action)
        found, _ = handout.take(Server("web", self.queue, Nobody()), {M: self.mirror}, self.ledger, AT)
        return found


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    with Ledger(Path(":memory:")) as ledger:
        yield Waiting(ledger)


DELETE, REMOVE = Delete(M, "d/a"), RemoveDir(M, "d")
UPLOAD, MAKE = Upload(M, "d/b", ANOTHER.fingerprint), MakeDir(M, "e", 51)
RENAME, RENAME_DIR = Rename(M, "d/c", "d/a", PICTURE.fingerprint, SHA), RenameDir(M, "f", "d", 50)


@pytest.mark.parametrize("action", [DELETE, REMOVE, UPLOAD, MAKE, RENAME, RENAME_DIR], ids=lambda each: each.why)
def test_what_the_ledger_calls_for_is_handed_out(waiting: Waiting, action: Action):
    (found,) = waiting.taken(action)
    assert (type(found), found.path) == (type(action), action.path)


@pytest.mark.parametrize("ours", [True, False])
def test_what_has_become_ours_while_an_upload_waited_is_replaced(waiting: Waiting, *, ours: bool):
    """It came with its directory, which was renamed: with `existing: keep` it was taken for somebody else's."""
    if ours:
        waiting.ledger.put(waiting.id, "film", published(file(size=5)))
    (found,) = waiting.taken(Upload(M, "film", ANOTHER.fingerprint))
    assert isinstance(found, Upload)
    assert found.replaces is ours


def test_what_trials_have_left_is_seen_to_when_nothing_else_is_to_be_done_and_once_more_a_minute_later(
    waiting: Waiting,
):
    profile = Profile(scratch={"DELE /htdocs/ftpsyncd.0123abcd.filepart": NOW})
    server = Server("web", waiting.queue, Nobody(), keeper=Keeper(profile, "", 0.0))

    def probes(now: float) -> int:
        found, _ = handout.take(server, {M: waiting.mirror}, waiting.ledger, AT._replace(now=now))
        for each in found:
            waiting.queue.finish(each)
        return sum(isinstance(each, Probe) for each in found)

    waiting.queue.offer(DELETE)
    assert [probes(NOW + s) for s in (0, 1, 2, LATE_S, LATE_S + 1, LATE_S + 2)] == [0, 1, 0, 0, 1, 0]
    profile.scratch = {}
    assert probes(NOW + 3 * LATE_S) == 0
    profile.scratch = {"RMD /htdocs/ftpsyncd.0123abcd.filepart": NOW}
    waiting.queue.gate.failed(NOW + 3 * LATE_S, Breaker.OFFLINE, "gone")
    assert probes(NOW + 3 * LATE_S) == 0


Change = Callable[[Waiting], object]


def _recorded(path: str, row: Row) -> Change:
    return lambda waiting: waiting.ledger.put(waiting.id, path, row)


def _forgotten(path: str) -> Change:
    return lambda waiting: waiting.ledger.forget_tree(waiting.id, path)


@pytest.mark.parametrize(
    ("action", "change"),
    [
        pytest.param(DELETE, _forgotten("d/a"), id="a file that is no longer ours"),
        pytest.param(DELETE, _recorded("d/a", made()), id="a file that is a directory by now"),
        pytest.param(REMOVE, _forgotten("d"), id="a directory that is no longer ours"),
        pytest.param(REMOVE, _recorded("d", published(PICTURE)), id="a directory that is a file by now"),
        pytest.param(UPLOAD, _recorded("d/b", published(ANOTHER)), id="what is published by now"),
        pytest.param(RENAME, _recorded("d/a", published(ANOTHER)), id="the source is another file at the server"),
        pytest.param(RENAME, _forgotten("d/a"), id="the source is no longer ours"),
        pytest.param(RENAME_DIR, _forgotten("d"), id="the directory is no longer ours"),
        pytest.param(MAKE, _recorded("e", made(51)), id="what is made by now"),
    ],
)
def test_what_the_ledger_does_not_call_for_any_more_is_not(waiting: Waiting, action: Action, change: Change):
    change(waiting)
    assert waiting.taken(action) == []
    assert waiting.queue.idle


@pytest.mark.parametrize("action", [DELETE, REMOVE], ids=["a file", "a directory"])
@pytest.mark.parametrize("why", ["held", "no source"])
def test_nothing_is_deleted_that_is_withheld_by_now(waiting: Waiting, action: Action, why: str):
    if why == "held":
        waiting.mirror.removals.holding.put(HoldKind.MASS_DELETE, "too many", AT)
    else:
        waiting.mirror.removals.source.missing = "the folder is not there"
    assert waiting.taken(action) == []
    assert waiting.queue.idle


def test_what_may_come_late_is_looked_for_though_a_file_is_sent_for_hours(waiting: Waiting):
    delete = waiting.mirror.intents.begin(Delete(M, "d/a"))
    waiting.mirror.intents.doubt(delete, AT)
    again = waiting.mirror.intents.begin(Upload(M, "d/a", ANOTHER.fingerprint))
    waiting.ledger.put(waiting.id, "d/a", published(ANOTHER))
    waiting.mirror.intents.end(again)
    waiting.mirror.looks.passes = 1
    server, mirrors = Server("web", waiting.queue, Nobody()), {M: waiting.mirror}
    (film,) = waiting.taken(Upload(M, "film", ANOTHER.fingerprint))
    assert waiting.queue.occupied(M, film.path)
    for at, asked in ((AT, []), (Moment(NOW + LATE_S + 1, WALL), [(Sweep, "d/a")])):
        handout.ask_what_is_left(server, [waiting.mirror], at)
        found, _ = handout.take(server, mirrors, waiting.ledger, at)
        assert [(type(each), each.path) for each in found] == asked
