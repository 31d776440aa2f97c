"""What is gone while a directory is passed over, since it is to be renamed first: it may have gone into that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ftpsyncd.actions import Action, Delete, Did, Done, Failed, MakeDir, Outcome, RenameDir
from ftpsyncd.core.gate import Breaker
from ftpsyncd.daemon import knows, onepass
from ftpsyncd.engine.outcomes import Outcomes
from ftpsyncd.errors import NameRefusedError
from ftpsyncd.inspection.reasons import Known
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Entry, Listing, Presence
from tests.core.vocabulary import DISK, NOW, WALL, M, S, file, folder, made, published
from tests.mapping.test_mirror import PICTURE, Story

AFTER_S = 10.0


class Tale(Story):
    """A folder of which ``old`` and ``inner`` were published, each with a file; its disk tells what is there."""

    def __init__(self, ledger: Ledger, there: dict[str, Entry], **settings: Any) -> None:
        super().__init__(ledger, **{"delete_after_s": AFTER_S, **settings})
        ledger.put(self.id, "", made(1))
        for directory, inode, entry in (("old", 50, PICTURE), ("inner", 60, file(inode=8))):
            ledger.put(self.id, directory, made(inode))
            ledger.put(self.id, f"{directory}/a", published(entry))
        self.there = there
        self.at = Moment(NOW, WALL)

    def goes_on(self, seconds: float = 0.0) -> None:
        """Time passes, and whatever is asked of the disk is answered."""
        self.at = Moment(self.at.now + seconds, self.at.wall_ns + int(seconds * S))
        self._turns()
        while self.disk.whole or self.disk.names:
            self.goes_once_on()

    def goes_once_on(self) -> None:
        """What was asked of the disk by now is answered."""
        asked = [*((directory, None) for directory in self.disk.whole), *self.disk.names]
        self.disk.whole, self.disk.names = [], []
        for directory, names in asked:
            self.mirror.on_answer(self._listing(directory, names), self.at)
        self._turns()

    def _turns(self) -> None:
        """What one turn marks is asked for in the next."""
        self.mirror.pump(self.at)
        self.mirror.pump(self.at)

    def _listing(self, directory: str, names: frozenset[str] | None) -> Listing:
        prefix = f"{directory}/" if directory else ""
        below = {path.removeprefix(prefix): each for path, each in self.there.items() if path.startswith(prefix)}
        entries = {name: each for name, each in below.items() if "/" not in name and (names is None or name in names)}
        if directory and directory not in self.there:
            return Listing(directory, Presence.ABSENT, {}, names)
        inode = self.there[directory].fingerprint.inode if directory else 1
        return Listing(directory, Presence.PRESENT, entries, names, inode=inode, device=DISK)

    def begins(self) -> Action | None:
        """What the queue hands out next."""
        return self.queue.take(self.at.now)

    def ends(self, outcome: Outcome) -> None:
        self.queue.finish(outcome.action)
        Outcomes().apply(self.mirror, outcome, self.at)
        self.goes_on()


@pytest.fixture
def tale() -> Iterator[Tale]:
    """``old`` is ``new`` now, which the server is still to be told, and perhaps ``inner`` in it; that was a while ago."""
    with Ledger(Path(":memory:")) as ledger:
        tale = Tale(ledger, {"new": folder(50), "new/a": PICTURE})
        tale.mirror.dirty.mark_deep("", NOW)
        tale.goes_on()
        tale.goes_on(AFTER_S + 1)
        yield tale


@pytest.fixture
def renames(tale: Tale) -> RenameDir:
    action = tale.begins()
    assert isinstance(action, RenameDir)
    assert action.path == "new"
    return action


def puts_inner_into(tale: Tale) -> None:
    tale.there |= {"new/b": folder(60), "new/b/a": file(inode=8)}


def test_it_is_renamed_once_it_is_found_in_there(tale: Tale, renames: RenameDir):
    """It was deleted at the server and sent again, or held as too much: at one that did not answer for a while, say."""
    puts_inner_into(tale)
    assert tale.begins() is None
    tale.ends(Done(renames, Did.RENAMED))
    renames_inner = tale.begins()
    assert renames_inner == RenameDir(M, "new/b", "inner", 60)
    assert tale.begins() is None
    tale.ends(Done(renames_inner, Did.RENAMED))
    assert tale.begins() is None
    assert not tale.mirror.removals.absent


def test_it_is_deleted_when_it_is_not_found_in_there(tale: Tale, renames: RenameDir):
    assert tale.begins() is None
    tale.ends(Done(renames, Did.RENAMED))
    action = tale.begins()
    assert isinstance(action, Delete)
    assert action.path == "inner/a"


def test_where_the_server_would_not_rename_it_that_is_not_tried_again_and_again(tale: Tale, renames: RenameDir):
    tale.ends(Failed(renames, NameRefusedError("No.", reply="550 No.")))
    tale.goes_on(tale.mirror.spec.settle_s)
    begun: list[Action] = []
    while (action := tale.begins()) is not None and len(begun) < 10:
        begun.append(action)
        tale.ends(Done(action, Did.MADE if isinstance(action, MakeDir) else Did.RENAMED))
    assert any(isinstance(action, MakeDir) and action.path == "new" for action in begun)
    assert not any(isinstance(action, RenameDir) and action.path == "new" for action in begun)


def test_it_is_renamed_also_where_the_server_would_not_rename_that(tale: Tale, renames: RenameDir):
    puts_inner_into(tale)
    tale.ends(Failed(renames, NameRefusedError("No.", reply="550 No.")))
    begun = []
    while (action := tale.begins()) is not None:
        begun.append((type(action), action.path))
        tale.ends(Done(action, Did.MADE if isinstance(action, MakeDir) else Did.RENAMED))
    assert (RenameDir, "new/b") in begun
    assert not any(isinstance(action, Delete) for action, _ in begun)


def test_it_is_deleted_when_that_is_gone_too(tale: Tale):
    tale.there.clear()
    tale.mirror.dirty.mark("new", tale.at.now)
    tale.goes_on()
    tale.goes_on(AFTER_S + 1)
    assert {tale.begins(), tale.begins()} == {
        Delete(M, f"{directory}/a", sizes=(10,)) for directory in ("inner", "old")
    }


def test_it_is_not_waited_for_while_the_server_is_full(tale: Tale):
    """Nothing else may be done there before something is deleted."""
    tale.queue.gate.failed(tale.at.now, Breaker.FULL, "no space")
    tale.goes_on()
    action = tale.begins()
    assert isinstance(action, Delete)
    assert action.path == "inner/a"


def test_who_asks_is_told_what_it_waits_for(tale: Tale):
    told = knows._gone_reason(tale.mirror, "inner/a", "inner/a", tale.at)
    assert told is not None
    assert told.sentence == "it is gone here; deleted at the server unless it is in new, which is renamed first"
    later = onepass._later_message(tale.mirror)
    assert later.startswith("1 file is gone here, or in new, which is renamed first; ")


@pytest.mark.parametrize(("path", "directory"), [("new/a", "new"), ("old/a", "old")])
def test_who_asks_for_what_is_in_there_is_told_that_the_directory_comes_first(tale: Tale, path: str, directory: str):
    """It said that the daemon publishes it, or that `deletes` decides, and of a server that is down nothing."""
    first = f"its directory {directory} is renamed at the server first"
    assert told(tale, path) == first
    tale.queue.gate.failed(tale.at.now, Breaker.OFFLINE, "The server is down.")
    assert told(tale, path).startswith(f"{first}: The server is down; the server is tried again in ")
    assert ", which is renamed first: The server is down; " in told(tale, "inner/a")


@pytest.mark.parametrize(("path", "directory"), [("new/a", "new"), ("old/a", "old")])
def test_who_asks_for_what_is_in_there_is_told_when_that_is_being_renamed(
    tale: Tale, renames: RenameDir, path: str, directory: str
):
    assert told(tale, path) == f"its directory {directory} is being renamed at the server"
    tale.ends(Done(renames, Did.RENAMED))
    assert told(tale, path) == ""


def test_that_the_directory_comes_first_is_said_of_what_is_not_there_yet(tale: Tale, tmp_path: Path):
    """And not of what there is nothing to be done about."""
    (tmp_path / "new/b").mkdir(parents=True)
    (tmp_path / "new/a").write_bytes(b"picture")
    spec = tale.mirror.spec._replace(local=tmp_path, settle_s=0.0, include=("*",))
    said = {}
    for path in ("new/a", "new/b", "old/a", "new/c"):
        known = knows.known_now(tale.mirror, path, path, tale.at)
        assert isinstance(known, Known)
        said[path] = known._replace(spec=spec).find().sentence
    assert said["new/a"] == "not published yet; its directory new is renamed at the server first"
    assert said["new/b"] == "not at the server yet; its directory new is renamed at the server first"
    assert said["old/a"] == "it is gone here and still at the server; its directory old is renamed at the server first"
    assert said["new/c"].startswith("there is no such file")


def test_two_names_of_a_file_that_are_both_being_deleted_do_not_have_each_other_looked_at_for_ever():
    """`plan` did not end, and the daemon took a core until the server had answered."""
    with Ledger(Path(":memory:")) as ledger:
        tale = Tale(ledger, {"old": folder(50), "inner": folder(60)})
        ledger.put(tale.id, "inner/a", published(PICTURE))
        tale.mirror.dirty.mark_deep("", NOW)
        tale.goes_on()
        tale.goes_on(AFTER_S + 1)
        deletes = {Delete(M, f"{each}/a", sizes=(10,)) for each in ("inner", "old")}
        for begun in (set[Action | None](), deletes):
            assert {tale.begins() for _ in begun} == begun
            tale.mirror.dirty.mark("old/a", tale.at.now)
            with mock.patch.object(tale.mirror.other_names, "_look_at", wraps=tale.mirror.waits.look_at) as looks:
                for _ in range(10):
                    tale.goes_once_on()
            assert looks.call_count < 3


@pytest.mark.parametrize("begun", [False, True], ids=["to be renamed", "being renamed"])
def test_two_names_of_a_file_that_both_get_others_do_not_have_each_other_looked_at_for_ever(*, begun: bool):
    """`plan` did not end, and the daemon took a core until the server had answered."""
    with Ledger(Path(":memory:")) as ledger:
        tale = Tale(ledger, {"old": folder(50), "inner": folder(60), "old/b": PICTURE, "inner/b": PICTURE})
        ledger.put(tale.id, "inner/a", published(PICTURE))
        tale.mirror.dirty.mark_deep("", NOW)
        for seconds in (0.0, tale.mirror.spec.settle_s):
            # Not until nothing is asked any more: that may never be.
            tale.at = Moment(NOW + seconds, WALL + int(seconds * S))
            tale._turns()
            for _ in range(4):
                tale.goes_once_on()
        if begun:
            assert {action.path for action in (tale.begins(), tale.begins()) if action} == {"old/b", "inner/b"}
        tale.mirror.dirty.mark("old/a", tale.at.now)
        with mock.patch.object(tale.mirror.other_names, "_look_at", wraps=tale.mirror.waits.look_at) as looks:
            for _ in range(10):
                tale.goes_once_on()
        assert tale.queue.moves_from(M, "old/a")
        assert tale.queue.moves_from(M, "inner/a")
        assert looks.call_count < 3


def test_two_names_of_a_file_that_are_gone_while_they_are_sent_do_not_have_each_other_looked_at_until_they_are():
    """A large file whose names were both taken away in the middle of it took a core for as long as it was sent."""
    with Ledger(Path(":memory:")) as ledger:
        changed = file(20, inode=PICTURE.fingerprint.inode)._replace(linked=True)
        tale = Tale(ledger, {"old": folder(50), "inner": folder(60), "old/a": changed, "inner/a": changed})
        ledger.put(tale.id, "inner/a", published(PICTURE))
        tale.mirror.dirty.mark_deep("", NOW)
        tale.goes_on()
        tale.goes_on(AFTER_S)
        assert {action.path for action in (tale.begins(), tale.begins()) if action} == {"old/a", "inner/a"}
        del tale.there["old/a"], tale.there["inner/a"]
        tale.mirror.dirty.mark("old/a", tale.at.now)
        with mock.patch.object(tale.mirror.other_names, "_look_at", wraps=tale.mirror.waits.look_at) as looks:
            for _ in range(10):
                tale.goes_once_on()
        assert 0 < looks.call_count < 4


def told(tale: Tale, path: str) -> str:
    known = knows.known_now(tale.mirror, path, path, tale.at)
    if isinstance(known, Known):
        return known.renamed_first if known.gone is None else known.gone.sentence
    return known.sentence
