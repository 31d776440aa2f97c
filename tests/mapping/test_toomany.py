"""How many files may be deleted at once, and what is told of a mass delete: by its numbers a person decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.core.deletes import WINDOW_S, Deletes
from ftpsyncd.events import EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.holding import Holding
from ftpsyncd.mapping.site import Moment
from ftpsyncd.mapping.toomany import NAMES_SHOWN, RENEW_S, Limit
from ftpsyncd.model import HoldKind
from ftpsyncd.specs import DeleteLimit
from tests.core.vocabulary import NOW, WALL, M, file, published
from tests.engine.test_outcomes import Story as Mapping

AT = Moment(NOW, WALL)


class Story:
    """A mapping of ten files, two of which may be deleted at once."""

    def __init__(self, ledger: Ledger) -> None:
        self.mapping = Mapping(ledger)
        self.site = self.mapping.mirror.site
        for number in range(10):
            self.site.ledger.put(self.site.id, f"{number}", published(file()))
        self.absent = Deletes()
        self.holding = Holding(self.site, self.absent)
        self.limit = self.of(DeleteLimit(2))

    def of(self, limit: DeleteLimit, *, one_pass: bool = False) -> Limit:
        site = self.site._replace(spec=self.site.spec._replace(max_deletes=limit), one_pass=one_pass)
        return Limit(site, self.absent, self.holding)

    def gone(self, *paths: str, now: float = NOW) -> None:
        for path in paths:
            self.absent.note(path, 1, now)

    @property
    def told(self) -> str:
        """What is said of the hold, up to what helps."""
        return "" if self.holding.hold is None else self.holding.hold.message.partition(": `")[0]


@pytest.fixture
def story() -> Iterator[Story]:
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger)


def test_as_many_as_are_allowed_are_deleted_and_one_more_has_all_held(story: Story) -> None:
    story.gone("0", "1")
    assert story.limit.allows(AT)
    assert story.told == ""
    story.gone("2")
    assert not story.limit.allows(AT)
    assert story.holding.hold is not None
    assert story.holding.hold.message == (
        "3 files were deleted at once (0, 1, 2), more than max_deletes (2) allowed:"
        f" `ftpsyncd approve {M}` deletes them at the server, `ftpsyncd discard {M}` keeps them there"
    )
    assert (story.holding.kind, story.holding.hold.since_ns) == (HoldKind.MASS_DELETE, WALL)
    assert story.mapping.told() == [EventKind.HELD]


def test_a_share_is_of_what_was_published_before_what_went_in_the_last_minute(story: Story) -> None:
    """Else it would fall with each delete; one pass has no minute, and goes by what it began with."""
    share, once = story.of(DeleteLimit(percent=20)), story.of(DeleteLimit(percent=20), one_pass=True)
    story.gone("0")
    for limit in (share, once):
        assert limit.files == 2
    story.absent.admit("0", NOW)
    story.absent.deleted("0", NOW)
    story.site.ledger.forget(story.site.id, "0")
    for limit in (share, once):
        assert limit.files == 2
    # After that minute, it is one of nine.
    story.gone("1", "2", now=NOW + WINDOW_S)
    at = Moment(NOW + WINDOW_S, WALL)
    assert once.allows(at)
    assert not share.allows(at)
    assert "max_deletes (1)" in story.told


def test_what_went_in_the_minute_before_counts_and_is_told_if_it_is_not_held_as_well(story: Story) -> None:
    story.gone("0", "1")
    for path in ("0", "1"):
        story.absent.admit(path, NOW)
    story.absent.deleted("0", NOW)
    story.gone("2", "3", now=NOW + 1)
    assert not story.limit.allows(Moment(NOW + 1, WALL))
    assert story.told == (
        "2 files were deleted at once, and 2 in the minute before (2, 3), more than max_deletes (2) allowed"
    )
    story.gone("1", now=NOW + 2)
    story.limit.tell(NOW + 3, all_seen=True)
    assert story.told == (
        "3 files were deleted at once, and 1 in the minute before (1, 2, 3), more than max_deletes (2) allowed"
    )


def test_what_went_longer_ago_does_not_count(story: Story) -> None:
    story.gone("0", "1")
    for path in ("0", "1"):
        story.absent.admit(path, NOW)
    story.gone("2", "3", now=NOW + WINDOW_S)
    assert story.limit.allows(Moment(NOW + WINDOW_S, WALL))


def test_of_many_some_are_named(story: Story) -> None:
    names = [f"{number}" for number in range(NAMES_SHOWN)]
    story.gone(*reversed(names))
    assert not story.limit.allows(AT)
    assert f"({', '.join(names)})" in story.told
    story.gone("8", "9", now=NOW + 1)
    story.limit.tell(NOW + RENEW_S, all_seen=True)
    assert f"({', '.join(names)} and 2 more; `ftpsyncd plan {M}` lists all)" in story.told


def test_what_is_found_gone_since_is_told_too_and_not_at_each_file(story: Story) -> None:
    story.gone("0", "1", "2")
    assert not story.limit.allows(AT)
    story.gone("3")
    story.limit.tell(NOW + RENEW_S - 0.1, all_seen=True)
    assert story.told.startswith("3 files")
    story.limit.tell(NOW + RENEW_S, all_seen=True)
    assert story.told.startswith("4 files")
    story.gone("4")
    story.absent.back("3")
    story.limit.tell(NOW + 9, all_seen=True)
    assert story.told.startswith("4 files were deleted at once (0, 1, 2, 3)"), "no more than was told"


def test_what_is_back_is_told_since_nobody_decides_about_it(story: Story) -> None:
    """An export that was deleted and is written anew: `approve` does not delete all that went."""
    story.gone("0", "1", "2", "3")
    assert not story.limit.allows(AT)
    story.absent.back("0")
    story.limit.tell(NOW + RENEW_S, all_seen=True)
    why = "more than max_deletes (2) allowed"
    assert story.told == f"4 files were deleted at once (1, 2, 3), {why}; 3 of them are still gone"
    for path in ("1", "2"):
        story.absent.back(path)
    story.limit.tell(NOW + 2 * RENEW_S, all_seen=True)
    assert story.told == f"4 files were deleted at once (3), {why}; 1 of them is still gone"
    story.absent.back("3")
    story.limit.tell(NOW + 9, all_seen=True)
    assert story.told.endswith("1 of them is still gone"), "nothing ends the hold"
    story.gone("0", "1", "2", "3", "4", now=NOW + 9)
    story.limit.tell(NOW + 11, all_seen=True)
    assert story.told == f"5 files were deleted at once (0, 1, 2, 3, 4), {why}"


@pytest.mark.parametrize("all_seen", [True, False])
def test_after_a_start_a_hold_is_told_anew_when_it_is_known_what_is_gone(story: Story, *, all_seen: bool) -> None:
    before = "60 files were deleted at once"
    story.holding.put(HoldKind.MASS_DELETE, before, AT)
    story.gone("0", "1")
    story.limit.tell(NOW + 1, all_seen=True)
    assert story.told == before, "those alone would pass"
    story.gone("2", now=NOW + 1)
    story.limit.tell(NOW + 2, all_seen=all_seen)
    after = "3 files were deleted at once (0, 1, 2), more than max_deletes (2) allowed"
    assert story.told == (after if all_seen else before)


def test_nothing_is_told_of_what_is_held_for_another_reason(story: Story) -> None:
    story.gone("0", "1", "2")
    assert not story.limit.allows(AT)
    story.holding.put(HoldKind.REPLACED_SOURCE, "Another folder.", AT)
    story.gone("3")
    story.limit.tell(NOW + 9, all_seen=True)
    assert story.told == "Another folder."


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (2, "more than max_deletes (2) allowed"),
        (1, "more than max_deletes (1) allowed"),
        (3, "more than max_deletes (2) allowed then; it is 3 now, and these still wait for you"),
    ],
)
def test_another_limit_is_told_and_releases_nothing(story: Story, limit: int, why: str) -> None:
    story.gone("0", "1", "2")
    assert not story.limit.allows(AT)
    told = story.told
    after = story.of(DeleteLimit(limit))
    after.go_on_from(story.limit)
    after.tell(NOW + 9, all_seen=True)
    assert story.told == f"3 files were deleted at once (0, 1, 2), {why}"
    assert (story.told == told) is (limit == 2)
    assert story.holding.kind is HoldKind.MASS_DELETE


def test_a_limit_of_which_nothing_was_held_is_followed_by_another_one(story: Story) -> None:
    after = story.of(DeleteLimit(3))
    after.go_on_from(story.limit)
    story.gone("0", "1", "2")
    assert after.allows(AT)
