"""Files that have another name here: until it is known that the old one is not written anew, nothing is renamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.actions import Delete, Did, Done, RemoveDir, Rename, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.changes import WatchReport
from ftpsyncd.mapping.cutoff import CutOff
from ftpsyncd.mapping.moves import Moves
from ftpsyncd.mapping.waits import RESTLESS_S
from ftpsyncd.model import Entry, Kind, Listing
from ftpsyncd.specs import DeleteLimit
from tests.core.vocabulary import M, file, folder, made, published
from tests.mapping.test_mirror import PICTURE
from tests.mapping.test_passed_over import AFTER_S, Tale

SETTLE_S = 2.0
OTHER = file(20, inode=9)


class Tell(Tale):
    """A folder of which ``old/a`` is ``old/b`` now; nobody tells when files changed, so that what is seen counts."""

    def __init__(self, ledger: Ledger, **settings: Any) -> None:
        here = {"old": folder(50), "old/a": PICTURE, "inner": folder(60), "inner/a": file(inode=8)}
        super().__init__(ledger, here, **{"settle_s": SETTLE_S, **settings})
        self.mirror.dirty.mark_deep("", self.at.now)
        self.goes_on()
        assert self.begins() is None

    def moves(self, path: str, target: str) -> None:
        self.there[target] = self.there.pop(path)
        for each in (path, target):
            self.mirror.dirty.mark(each, self.at.now)

    def puts(self, path: str) -> None:
        self.there[path] = OTHER
        self.mirror.dirty.mark(path, self.at.now)

    def takes(self, path: str) -> None:
        del self.there[path]
        self.mirror.dirty.mark(path, self.at.now)

    def waiting(self, path: str) -> type | None:
        action = self.queue.waiting(M, path)
        return None if action is None else type(action)


@pytest.fixture
def tell() -> Iterator[Tell]:
    with Ledger(Path(":memory:")) as ledger:
        yield Tell(ledger)


def test_a_file_is_renamed_when_its_old_name_has_been_absent_for_the_quiet_time(tell: Tell):
    tell.moves("old/a", "old/b")
    tell.goes_on()
    tell.goes_on(SETTLE_S - 0.1)
    assert tell.begins() is None
    assert not tell.mirror.removals.absent, "it is not gone"
    tell.goes_on(0.2)
    action = tell.begins()
    assert isinstance(action, Rename)
    assert (action.path, action.source) == ("old/b", "old/a")
    tell.ends(Done(action, Did.RENAMED))
    tell.goes_on(AFTER_S + 1)
    assert tell.begins() is None


def test_its_absence_counts_from_when_it_was_first_seen_to_be_gone_though_its_new_name_is_found_later(tell: Tell):
    """As where its new name is below a directory that is looked at for the first time."""
    entry = tell.there["old/a"]
    tell.takes("old/a")
    tell.goes_on()
    tell.goes_on(SETTLE_S - 0.5)
    tell.there["inner/b"] = entry
    tell.mirror.dirty.mark("inner/b", tell.at.now)
    tell.goes_on()
    assert tell.begins() is None
    tell.goes_on(0.6)
    assert isinstance(tell.begins(), Rename)


@pytest.mark.parametrize("later_s", [0.0, 1.0])
def test_what_is_written_anew_meanwhile_replaces_the_old_version_and_that_is_sent(tell: Tell, later_s: float):
    tell.moves("old/a", "inner/b")
    tell.goes_on()
    tell.goes_on(later_s)
    tell.puts("old/a")
    tell.goes_on()
    tell.goes_on(SETTLE_S)
    actions = {action.path: type(action) for _ in range(3) if (action := tell.begins()) is not None}
    assert actions == {"old/a": Upload, "inner/b": Upload}


@pytest.mark.parametrize("first", ["old/a", "inner/a"])
def test_two_that_swap_their_names_are_sent_and_neither_is_missing_meanwhile(tell: Tell, first: str):
    tell.there["old/a"], tell.there["inner/a"] = tell.there["inner/a"], tell.there["old/a"]
    for path in (first, "old/a", "inner/a"):
        tell.mirror.dirty.mark(path, tell.at.now)
        tell.goes_on()
    tell.goes_on(SETTLE_S)
    tell.goes_on(SETTLE_S)
    actions = {action.path: type(action) for _ in range(3) if (action := tell.begins()) is not None}
    assert actions == {"old/a": Upload, "inner/a": Upload}


def test_while_the_old_name_is_written_the_old_version_is_sent_under_the_new_one(tell: Tell):
    tell.moves("old/a", "old/b")
    tell.goes_on(1.0)
    for _ in range(6):
        tell.there["old/a"] = file(20 + round(tell.at.now * 10), inode=9)
        tell.mirror.dirty.mark("old/a", tell.at.now)
        tell.goes_on(0.5)
    assert tell.waiting("old/b") is Upload
    assert tell.waiting("old/a") is None
    assert not tell.queue.moves_from(M, "old/a")


def test_where_the_old_name_was_there_for_a_moment_its_absence_counts_from_then(tell: Tell):
    """A program that fails at its first try to write the new version."""
    tell.moves("old/a", "old/b")
    tell.goes_on()
    tell.goes_on(1.0)
    tell.puts("old/a")
    tell.goes_on()
    tell.takes("old/a")
    tell.goes_on(0.5)
    tell.goes_on(SETTLE_S - 0.1)
    assert tell.begins() is None
    tell.goes_on(0.2)
    assert isinstance(tell.begins(), Rename)


def test_so_it_does_where_the_rename_had_begun_to_wait_for_the_server(tell: Tell):
    """It was away: the rename was done as soon as it was back, whatever had been under the old name a moment before."""
    tell.moves("old/a", "old/b")
    tell.goes_on()
    tell.goes_on(SETTLE_S + 0.1)
    assert tell.waiting("old/b") is Rename
    tell.puts("old/a")
    tell.goes_on()
    tell.takes("old/a")
    tell.goes_on(0.1)
    tell.goes_on(SETTLE_S - 0.2)
    assert tell.begins() is None
    tell.goes_on(0.3)
    assert isinstance(tell.begins(), Rename)


def test_what_is_written_anew_while_the_rename_waits_for_the_server_replaces_the_old_version(tell: Tell):
    tell.moves("old/a", "old/b")
    tell.goes_on()
    tell.goes_on(SETTLE_S + 0.1)
    tell.puts("old/a")
    tell.goes_on()
    tell.goes_on(SETTLE_S + 1)
    assert (tell.waiting("old/b"), tell.waiting("old/a")) == (Upload, Upload)
    tell.takes("old/a")
    tell.goes_on(0.1)
    action = tell.begins()
    assert isinstance(action, Upload)
    assert action.path == "old/b"
    tell.goes_on(AFTER_S - 0.2)
    assert tell.begins() is None
    tell.ends(Done(action, Did.PUBLISHED))
    tell.goes_on(0.3)
    action = tell.begins()
    assert isinstance(action, Delete)
    assert action.path == "old/a"


def test_what_gets_back_its_name_needs_nothing(tell: Tell):
    tell.moves("old/a", "old/b")
    tell.goes_on(1.0)
    tell.moves("old/b", "old/a")
    tell.goes_on()
    tell.goes_on(AFTER_S + 1)
    assert tell.begins() is None
    assert not tell.mirror.removals.absent
    assert not tell.mirror.waits.pending


@pytest.mark.parametrize("last", ["old/c", "inner/c"])
def test_what_moves_on_is_renamed_once(tell: Tell, last: str):
    tell.moves("old/a", "old/b")
    tell.goes_on(1.0)
    tell.moves("old/b", last)
    for _ in range(3):
        tell.goes_on(SETTLE_S)
    action = tell.begins()
    assert isinstance(action, Rename)
    assert (action.path, action.source) == (last, "old/a")
    assert tell.begins() is None


def test_what_is_deleted_under_its_new_name_is_deleted_at_the_server(tell: Tell):
    tell.moves("old/a", "old/b")
    tell.goes_on(1.0)
    tell.takes("old/b")
    tell.goes_on()
    assert tell.mirror.removals.absent.files == 1
    tell.goes_on(AFTER_S + 1)
    assert tell.begins() == Delete(M, "old/a", sizes=(10,))


@pytest.mark.parametrize("settle_s", [2.0, 3600.0])
def test_nothing_is_deleted_while_it_waits_however_short_the_wait_for_deletes(settle_s: float):
    """Where `delete_after` is not longer than the quiet time, both are over at the same time."""
    with Ledger(Path(":memory:")) as ledger:
        tell = Tell(ledger, settle_s=settle_s, delete_after_s=1.0)
        tell.moves("old/a", "inner/b")
        tell.goes_on()
        for _ in range(12):
            tell.goes_on(0.1)
        assert tell.waiting("inner/b") is Rename
        assert tell.waiting("old/a") is None


def test_what_leaves_a_directory_that_goes_is_none_of_its_deletes(tell: Tell):
    tell.moves("old/a", "inner/b")
    del tell.there["old"]
    tell.mirror.dirty.mark("old", tell.at.now)
    tell.goes_on()
    assert (tell.mirror.removals.absent.files, tell.mirror.removals.absent.empty) == (0, 1)
    tell.goes_on(SETTLE_S)
    action = tell.begins()
    assert isinstance(action, Rename)
    tell.ends(Done(action, Did.RENAMED))
    tell.goes_on(AFTER_S)
    assert tell.begins() == RemoveDir(M, "old")


def with_more(ledger: Ledger) -> Tell:
    """The same, with a directory ``top``, in which are three files and ``old``, which has as many; too many to delete."""
    number = ledger.mappings.number(M, "there")
    there = {"top": folder(70), "top/old": folder(71)}
    for each in range(3):
        there |= {f"top/x{each}": file(inode=80 + each), f"top/old/{each}": file(inode=90 + each)}
    for path, entry in there.items():
        ledger.put(number, path, published(entry) if entry.kind is Kind.FILE else made(entry.fingerprint.inode))
    tell = Tell(ledger, max_deletes=DeleteLimit(2))
    tell.there |= there
    return tell


@pytest.mark.parametrize("gone_first", [False, True])
def test_what_leaves_a_directory_that_gets_another_name_is_taken_off_what_is_gone_once(gone_first: bool):  # noqa: FBT001
    """As many of what was deleted beside it did not count, and was deleted at a full server without a person."""
    with Ledger(Path(":memory:")) as ledger:
        tell = with_more(ledger)
        before, tell.there = tell.there, {path: each for path, each in tell.there.items() if "top" not in path}
        tell.there |= {"inner/0": before["top/old/0"], "inner/old": before["top/old"]}
        tell.there |= {f"inner/old/{each}": before[f"top/old/{each}"] for each in (1, 2)}
        for path in ("top", "inner/0", "inner/old") if gone_first else ("inner/0", "inner/old", "top"):
            tell.mirror.dirty.mark(path, tell.at.now)
            tell.goes_on()
        assert tell.queue.moves_from(M, "top/old")
        assert tell.mirror.removals.absent.files == 3
        tell.queue.gate.failed(tell.at.now, Breaker.FULL, "no space")
        tell.goes_on(AFTER_S + 1)
        tell.goes_on()
        assert tell.mirror.removals.hold is not None
        assert tell.mirror.removals.held == 3
        assert not isinstance(tell.begins(), Delete)


@pytest.mark.parametrize("in_queue", [False, True], ids=["is awaited", "waits in the queue"])
@pytest.mark.parametrize("again", [False, True], ids=["is renamed", "is gone, too"])
def test_a_discard_is_about_a_directory_also_when_something_leaves_that_first(*, in_queue: bool, again: bool):
    """It was put off until that had left, and the decision over before: as few as were left of it were deleted."""
    with Ledger(Path(":memory:")) as ledger:
        tell = with_more(ledger)
        before, tell.there = tell.there, {"inner": tell.there["inner"], "old": tell.there["old"]}
        ledger.forget_tree(tell.id, "top/old")
        tell.mirror.dirty.mark_deep("", tell.at.now)
        tell.goes_on()
        tell.goes_on(AFTER_S + 1)
        assert tell.mirror.removals.hold is not None
        tell.there["inner/0"] = before["top/x0"]
        tell.mirror.dirty.mark("inner/0", tell.at.now)
        tell.goes_on()
        if in_queue:
            tell.goes_on(SETTLE_S + 0.1)
        assert (tell.waiting("inner/0") is Rename) is in_queue
        assert tell.mirror.removals.held == 4
        tell.mirror.removals.discard(tell.at)
        tell.goes_on(0.1)
        assert {path for path, row in ledger.walk(tell.id) if row.kind is Kind.FILE} == {f"top/x{n}" for n in range(3)}
        assert not tell.mirror.removals.held
        assert ledger.decisions.discarding(tell.id), "as it is for who is started now"
        if again:
            tell.takes("inner/0")
        begun: list[type] = []
        for _ in range(8):
            tell.goes_on(SETTLE_S + 1)
            while (action := tell.begins()) is not None:
                begun.append(type(action))
                tell.ends(Done(action, Did.RENAMED))
        assert begun == ([] if again else [Rename])
        assert not any(path.startswith("top") for path, _ in ledger.walk(tell.id))
        assert not ledger.decisions.discarding(tell.id)
        assert not tell.mirror.removals.absent


def test_a_discard_is_about_what_a_new_directory_of_the_same_name_lacks_before_something_has_left_the_old_one():
    with Ledger(Path(":memory:")) as ledger:
        tell = with_more(ledger)
        before, tell.there = tell.there, {"inner": tell.there["inner"], "old": tell.there["old"]}
        ledger.forget_tree(tell.id, "top/old")
        tell.mirror.dirty.mark_deep("", tell.at.now)
        tell.goes_on()
        tell.goes_on(AFTER_S + 1)
        tell.there["inner/0"] = before["top/x0"]
        tell.mirror.dirty.mark("inner/0", tell.at.now)
        tell.goes_on()
        tell.mirror.removals.discard(tell.at)
        tell.goes_on(0.1)
        tell.there |= {"top": folder(72), "top/x9": OTHER}
        tell.mirror.dirty.mark_deep("top", tell.at.now)
        tell.mirror.dirty.mark("top", tell.at.now)
        for _ in range(8):
            tell.goes_on(SETTLE_S + 1)
        begun = []
        for _ in range(3):
            while (action := tell.begins()) is not None:
                begun.append((type(action), action.path))
                tell.ends(Done(action, Did.RENAMED if isinstance(action, Rename) else Did.PUBLISHED, OTHER.fingerprint))
            tell.goes_on(SETTLE_S)
        assert set(begun) == {(Rename, "inner/0"), (Upload, "top/x9")}
        assert not ledger.decisions.discarding(tell.id)
        # What goes from now on does so at the server, too.
        tell.takes("top/x9")
        tell.goes_on()
        tell.goes_on(AFTER_S + 1)
        assert isinstance(tell.begins(), Delete)


def test_a_discard_is_about_a_directory_also_when_the_one_above_it_goes_before_something_has_left_it():
    with Ledger(Path(":memory:")) as ledger:
        tell = with_more(ledger)
        before, tell.there = tell.there, {path: each for path, each in tell.there.items() if "top/old" not in path}
        tell.mirror.dirty.mark_deep("", tell.at.now)
        tell.goes_on()
        tell.goes_on(AFTER_S + 1)
        assert tell.mirror.removals.held == 3
        tell.there["inner/0"] = before["top/old/0"]
        tell.mirror.dirty.mark("inner/0", tell.at.now)
        tell.goes_on()
        tell.goes_on(SETTLE_S + 0.1)
        assert tell.waiting("inner/0") is Rename
        tell.mirror.removals.discard(tell.at)
        tell.goes_on(0.1)
        for path in ("top/x1", "top/x2"):
            ledger.forget(tell.id, path)
        tell.there = {path: each for path, each in tell.there.items() if "top" not in path}
        tell.mirror.dirty.mark("top", tell.at.now)
        begun = []
        for _ in range(3):
            tell.goes_on(AFTER_S + 1)
            while (action := tell.begins()) is not None:
                begun.append((type(action), action.path))
                tell.ends(Done(action, Did.RENAMED if isinstance(action, Rename) else Did.DELETED))
        assert begun == [(Rename, "inner/0"), (Delete, "top/x0"), (RemoveDir, "top")]
        assert not any(path.startswith("top") for path, _ in ledger.walk(tell.id))
        assert not ledger.decisions.discarding(tell.id)


def test_many_that_wait_for_another_name_are_no_mass_delete():
    with Ledger(Path(":memory:")) as ledger:
        tell = Tell(ledger, max_deletes=DeleteLimit(1))
        tell.takes("inner/a")
        tell.goes_on()
        tell.goes_on(AFTER_S - 1.0)
        tell.moves("old/a", "old/b")
        tell.goes_on()
        tell.goes_on(1.0)
        assert tell.mirror.removals.hold is None
        assert isinstance(tell.begins(), Delete)


class Stamped(Tell):
    """As that, of a disk whose stamps tell when files changed."""

    def changed(self, path: str, entry: Entry) -> None:
        self.there[path] = entry._replace(ctime_ns=self.at.wall_ns)
        self.mirror.dirty.mark(path, self.at.now)

    def moves(self, path: str, target: str) -> None:
        super().moves(path, target)
        self.changed(target, self.there[target])

    def _listing(self, directory: str, names: frozenset[str] | None) -> Listing:
        return super()._listing(directory, names)._replace(taken_wall_ns=self.at.wall_ns)


def test_however_many_wait_for_another_name_none_of_them_counts_as_deleted(monkeypatch: pytest.MonkeyPatch):
    """Files that are moved one by one, more than are remembered of those that are not at rest."""
    monkeypatch.setattr("ftpsyncd.mapping.waits.NOTED_MAX", 1)
    with Ledger(Path(":memory:")) as ledger:
        tell = Stamped(ledger, max_deletes=DeleteLimit(0), delete_after_s=1.0)
        tell.mirror.watcher = WatchReport("native", None, "")
        tell.changed("inner/x", file(30, inode=11))
        tell.goes_on(0.5)
        tell.moves("old/a", "inner/b")
        tell.moves("inner/a", "old/c")
        tell.goes_on(0.1)
        for _ in range(8):
            assert tell.mirror.site.moves.leaving("") == {"old/a", "inner/a"}
            assert not tell.mirror.removals.absent, "they are not gone"
            assert tell.mirror.removals.hold is None
            tell.goes_on(0.1)
        tell.goes_on(SETTLE_S)
        assert {tell.waiting("inner/b"), tell.waiting("old/c")} == {Rename}


def test_what_waits_is_told_and_not_as_restless(tell: Tell):
    tell.moves("old/a", "old/b")
    tell.goes_on()
    pending = tell.mirror.waits.pending["old/b"]
    assert pending.source == "old/a"
    tell.mirror.waits._report_restless("old/b", pending, tell.at._replace(now=tell.at.now + RESTLESS_S + 1))
    assert not pending.reported


def test_a_folder_that_cannot_be_seen_leaves_nothing_that_is_spared(tell: Tell):
    tell.moves("old/a", "old/b")
    tell.goes_on()
    assert tell.mirror.site.moves.awaits("old/a")
    tell.mirror.source_missing("the folder is not there", tell.at.now)
    assert not tell.mirror.site.moves.awaits("old/a")


def test_a_file_of_several_names_is_spared_until_none_of_them_waits():
    moves = Moves(Queue(4), M)
    moves.wait("a", "b", None)
    moves.wait("a", "c", 5.0)
    assert moves.since("a") is None
    assert moves.leaving("") == {"a"}
    assert moves.target("a") == "c", "of what has moved on, the last one"
    assert not moves.over("a", "b")
    assert moves.leaves("a")
    assert moves.target("a") == "c"
    assert moves.over("a", "c")
    assert not moves.leaves("a")
    assert not moves.over("a", "c")
    assert moves.target("a") is None
    assert moves.since("a") is None


class Unread(str):
    """The path of a file that has nothing to do with what is asked."""

    __slots__ = ()

    def startswith(self, *_: Any) -> bool:
        raise AssertionError(str(self))


def test_what_leaves_a_directory_costs_no_look_at_all_that_leaves_others():
    """Where 50,000 files get other names, and the 500 directories go that they were in, it took the engine seconds."""
    moves = Moves(Queue(4), M)
    for path in (Unread("other/a"), "old/a", "old/inner/b", Unread("older/a")):
        moves.wait(path, "new", None)
    assert moves.leaving("old") == {"old/a", "old/inner/b"}
    assert moves.leaving("old/inner") == {"old/inner/b"}
    assert moves.over("old/inner/b", "new")
    assert moves.leaving("old") == {"old/a"}
    moves.back("old/a")
    moves.back("old/a")
    assert moves.leaving("old") == set()
    assert "old" not in moves._inside
    assert moves.leaving("") == {"other/a", "older/a"}
    moves.clear()
    assert moves.leaving("") == set()
    assert "" not in moves._inside


def test_what_cannot_be_seen_has_not_been_gone_since_before():
    moves = Moves(Queue(4), M)
    moves.was_cut_off("a", CutOff("b", PICTURE.fingerprint))
    for seen_gone in (5.0, 7.0):
        cut_off = moves.cut_off("a", seen_gone)
        assert cut_off is not None
        assert cut_off.gone_since == 5.0
    moves.clear()
    cut_off = moves.cut_off("a", 9.0)
    assert cut_off is not None
    assert cut_off.gone_since == 9.0
