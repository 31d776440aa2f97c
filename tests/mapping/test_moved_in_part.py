"""A directory was renamed at the server, which is recorded some rows at a time, and the daemon died in between.

Whatever ends that rename, all that was published stays known under the name that the server has it by, in directories
in which it can be found gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Action, Did, Done, Failed, RenameDir
from ftpsyncd.engine.outcomes import Outcomes
from ftpsyncd.errors import FileChangedError, NameRefusedError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.model import Intent, Kind
from ftpsyncd.paths import above
from tests.core.vocabulary import M, Without, file, folder, made, published
from tests.mapping.test_mirror import AT, Story

LEFT, MOVED, DEEP = file(inode=8), file(inode=9), file(inode=10)
Died = Callable[..., Story]


@pytest.fixture
def died() -> Iterator[Died]:
    """A daemon that has started again; some of what is in x/old has its new name in the ledger already."""
    with Ledger(Path(":memory:")) as ledger:

        def start(*left_out: str) -> Story:
            mapping = ledger.mappings.number(M, "there")
            for path, inode in (("x", 40), ("x/old", 50), ("x/old/d", 60)):
                ledger.put(mapping, path, made(inode))
            for path, entry in (("x/old/left", LEFT), ("new/moved", MOVED), ("new/d/deep", DEEP)):
                ledger.put(mapping, path, published(entry))
            ledger.begun.put(mapping, "new", Intent(Kind.DIR, source="x/old"))
            return Story(ledger, selection=Without(left_out))

        yield start


def rename(story: Story) -> Action:
    action = story.starts("new")
    assert isinstance(action, RenameDir)
    return story.mirror.intents.begin(action)


def known(story: Story) -> set[str]:
    return {path for path, _ in story.ledger.walk(story.id)}


def not_to_be_found(story: Story) -> list[str]:
    """What is in directories that the ledger does not have."""
    paths = known(story)
    return [path for path in paths if any(each and each not in paths for each in above(path))]


@pytest.mark.parametrize("left_out", ["x/old", "x"], ids=["it is", "the one that it was in is"])
def test_what_is_left_out_by_its_old_name_is_recorded_by_the_new_one(died: Died, left_out: str) -> None:
    """It was forgotten with its old name, and so was at the server for good, though it was gone here."""
    story = died(left_out)
    for _ in range(2):
        story.sees("x", old=None) if left_out == "x/old" else story.sees("", x=folder(40))
        assert {"x/old", "x/old/left", "new/moved"} <= known(story)
    Outcomes().apply(story.mirror, Done(rename(story), Did.RENAMED), AT)
    assert {"new", "new/left", "new/moved", "new/d", "new/d/deep"} <= known(story)
    assert not not_to_be_found(story)
    story.mirror.pump(AT)
    where = "x" if left_out == "x/old" else ""
    assert left_out.rpartition("/")[2] in dict(story.disk.names)[where], (
        "what it kept from being forgotten is looked at"
    )
    if left_out == "x":
        story.sees("", x=folder(40))
        assert "x" not in known(story)


@pytest.mark.parametrize("error", [NameRefusedError("No."), FileChangedError("Gone.")], ids=["refused", "put off"])
def test_what_is_recorded_by_the_new_name_can_be_found_gone_when_the_server_would_not_tell(
    died: Died, error: NameRefusedError | FileChangedError
) -> None:
    story = died()
    Outcomes().apply(story.mirror, Failed(rename(story), error), AT)
    assert known(story) == {"x", "x/old", "x/old/d", "x/old/left", "new", "new/moved", "new/d", "new/d/deep"}
    assert not not_to_be_found(story)
    row = story.ledger.row(story.id, "new")
    assert row is not None
    assert row.kind is Kind.DIR
    story.mirror.pump(AT)
    assert "new" in dict(story.disk.names)[""]


def test_what_the_server_has_under_neither_name_is_in_doubt_under_both(died: Died) -> None:
    story = died()
    Outcomes().apply(story.mirror, Done(rename(story), Did.SPOILED), AT)
    assert not not_to_be_found(story)
    for path in ("x/old/left", "new/moved", "new/d/deep"):
        row = story.ledger.row(story.id, path)
        assert row is not None
        assert row.fingerprint.is_doubted, path


def test_what_was_forgotten_by_its_old_name_leaves_the_rest_to_be_found(died: Died) -> None:
    """As an earlier version did."""
    story = died()
    story.ledger.forget_tree(story.id, "x/old")
    story = Story(story.ledger)
    assert not not_to_be_found(story)
