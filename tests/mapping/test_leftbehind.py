"""What a rename that was cut off may have left under its old name: when it is deleted, and when it counts as deleted."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Did, Done, Rename, Sweep, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping import leftbehind
from ftpsyncd.mapping.cutoff import CutOff
from ftpsyncd.mapping.intents import Intents
from ftpsyncd.mapping.leftbehind import AWAY_AGAIN_S, LOOK_AGAIN_S, PAUSED_AGAIN_S
from ftpsyncd.mapping.moves import Moves
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.model import Failure, Fingerprint, Hold, HoldKind, Intent, Kind, Row
from ftpsyncd.specs import DeletePolicy
from tests.core.vocabulary import NOW, SHA, WALL, M
from tests.engine.test_outcomes import Story

A, B = Fingerprint(10, 1, 7), Fingerprint(20, 2, 8)
AFTER_S = 20.0
AT = Moment(NOW, WALL)


@pytest.fixture
def site() -> Iterator[Site]:
    """A file was to be renamed, and nobody knows whether it was."""
    with Ledger(Path(":memory:")) as ledger:
        site = Story(ledger).mirror.site
        site = site._replace(spec=site.spec._replace(delete_after_s=AFTER_S))
        publish(site, "d/old", A.doubted())
        site.moves.was_cut_off("d/old", CutOff("new", A))
        yield site


def nobody(_path: str) -> bool:
    return False


def publish(site: Site, path: str, fingerprint: Fingerprint) -> None:
    site.ledger.put(site.id, path, Row(Kind.FILE, fingerprint, SHA, WALL))


def due(site: Site, gone_s: float, coming: Collection[str] = (), *, all_seen: bool = True) -> float | None:
    return leftbehind.due(site, "d/old", AT, gone_s, coming.__contains__, all_seen=all_seen)


def test_what_was_never_to_be_renamed_counts_as_deleted(site: Site) -> None:
    assert leftbehind.due(site, "d/other", AT, AFTER_S, nobody, all_seen=True) is None


def test_what_is_found_under_its_new_name_is_deleted_under_the_old_one_in_its_time(site: Site) -> None:
    publish(site, "new", A)
    assert due(site, 0.0) == NOW + AFTER_S
    assert due(site, AFTER_S + 5) == NOW - 5, "it has been gone for longer than was known"
    assert due(site, 1.0, all_seen=False) == NOW - 5
    assert site.moves.all_cut_off


@pytest.mark.parametrize("runs", [False, True], ids=["it waits", "it is sent"])
def test_while_it_is_on_its_way_to_its_new_name_it_is_looked_at_again(site: Site, *, runs: bool) -> None:
    site.queue.offer(Upload(M, "new", A))
    if runs:
        assert site.queue.take(NOW) is not None
    assert due(site, 0.0) == NOW + AFTER_S
    assert due(site, AFTER_S + 5) == NOW + LOOK_AGAIN_S
    once = site._replace(one_pass=True)
    assert due(once, AFTER_S) == NOW + LOOK_AGAIN_S
    site.ledger.decisions.set_paused(site.id, WALL)
    assert due(site, AFTER_S) == NOW + AWAY_AGAIN_S
    assert due(once, AFTER_S) == NOW + PAUSED_AGAIN_S, "one pass does not wait for it"
    assert site.moves.all_cut_off


def test_while_its_server_is_away_it_is_looked_at_seldom(site: Site) -> None:
    """Each look is one at the disk, for hours or days; that it is published has it looked at."""
    site.queue.offer(Upload(M, "new", A))
    site.queue.gate.failed(NOW - 1, Breaker.OFFLINE, "No answer.")
    assert due(site, AFTER_S) == NOW + AWAY_AGAIN_S
    once = site._replace(one_pass=True)
    assert due(once, AFTER_S) == NOW + LOOK_AGAIN_S


def test_while_it_comes_to_rest_it_is_looked_at_again(site: Site) -> None:
    assert due(site, AFTER_S, ["new"]) == NOW + LOOK_AGAIN_S
    assert leftbehind.below(site, "d", ["new"].__contains__, all_seen=True) == ["d/old"]
    assert site.moves.all_cut_off


def test_what_has_got_another_name_since_is_looked_for_there(site: Site) -> None:
    site.moves.is_here("newer", A)
    site.moves.is_here("other", B)
    site.queue.offer(Upload(M, "newer", A))
    assert due(site, AFTER_S) == NOW + LOOK_AGAIN_S
    assert site.moves.cut_off_of(A) == ["d/old"]
    site.moves.forget_cut_off("d/old")
    assert site.moves.cut_off_of(A) == []


def test_what_was_written_in_place_since_is_the_same_file(site: Site) -> None:
    """Renamed, and then written, it would have been no delete either."""
    written = A._replace(size=30, mtime_ns=3)
    failure = Failure(written, 3, False, WALL, "TransferFailedError", "It failed.", "", "", WALL)  # noqa: FBT003
    site.ledger.failures.put(site.id, "new", failure)
    assert due(site, AFTER_S) == NOW + LOOK_AGAIN_S
    site.ledger.failures.clear(site.id, "new")
    publish(site, "new", written)
    assert due(site, AFTER_S) == NOW
    assert leftbehind.below(site, "d", nobody, all_seen=True) == ["d/old"]


def test_what_was_written_in_place_is_known_by_its_inode_under_that_name_only(site: Site) -> None:
    """Under another one, the inode may be another file's by now."""
    written, again = A._replace(size=30, mtime_ns=3), A._replace(size=40, mtime_ns=4)
    site.moves.is_here("other", written)
    assert site.moves.left_by("other", written) == ""
    site.moves.is_here("new", written)
    assert site.moves.cut_off_of(again) == ["d/old"]
    assert site.moves.left_by("new", again) == "d/old"
    site.moves.is_here("newer", written)
    assert (site.moves.left_by("new", written), site.moves.left_by("newer", written)) == ("", "d/old")
    site.moves.is_here("newest", A)
    assert site.moves.left_by("newer", written) == "d/old", "it was so before it was written"
    assert site.moves.cut_off_of(A._replace(inode=0)) == []


@pytest.mark.parametrize("found", [None, B], ids=["nothing is there", "another file is there"])
def test_what_is_not_found_under_its_new_name_counts_as_deleted_when_all_was_seen(
    site: Site, found: Fingerprint | None
) -> None:
    if found is not None:
        publish(site, "new", found)
    assert due(site, AFTER_S, all_seen=False) == math.inf
    assert site.moves.all_cut_off
    assert due(site, AFTER_S) is None
    assert not site.moves.all_cut_off


def test_nor_does_it_count_as_deleted_before_its_time(site: Site) -> None:
    assert due(site, AFTER_S - 1) == NOW + 1
    assert site.moves.all_cut_off


@pytest.mark.parametrize("why", ["published anew", "dropped", "kept"])
def test_what_was_left_behind_by_nothing_follows_the_usual_rules(site: Site, why: str) -> None:
    publish(site, "new", A)
    if why == "published anew":
        publish(site, "d/old", A)
    elif why == "dropped":
        site.ledger.forget(site.id, "d/old")
    else:
        site = site._replace(spec=site.spec._replace(deletes=DeletePolicy.KEEP))
    assert due(site, AFTER_S, all_seen=False) is None
    assert not site.moves.all_cut_off


@pytest.mark.parametrize("found", ["", "on its way", "arrived", "not in doubt"])
def test_with_its_directory_only_that_counts_as_deleted_which_is_not_found(site: Site, found: str) -> None:
    if found == "on its way":
        site.queue.offer(Upload(M, "new", A))
    elif found == "arrived":
        publish(site, "new", A)
    elif found == "not in doubt":
        publish(site, "d/old", A)
    in_doubt = [] if found == "not in doubt" else ["d/old"]
    assert leftbehind.below(site, "d", nobody, all_seen=False) == in_doubt
    assert leftbehind.below(site, "d", nobody, all_seen=True) == (in_doubt if found else [])
    assert leftbehind.below(site, "e", nobody, all_seen=False) == []


@pytest.mark.parametrize("found", ["", "on its way", "arrived", "full", "not in doubt"])
def test_its_directory_waits_for_it_unless_the_server_needs_the_room(site: Site, found: str) -> None:
    if found:
        site.queue.offer(Upload(M, "new", A))
    if found == "arrived":
        publish(site, "new", A)
    elif found == "full":
        site.queue.gate.failed(NOW, Breaker.FULL, "No space left.", connects=True)
    elif found == "not in doubt":
        publish(site, "d/old", A)
    assert leftbehind.below_due(site, "d", AT, nobody, all_seen=True) == (
        NOW + LOOK_AGAIN_S if found == "on its way" else None
    )
    assert leftbehind.below_due(site, "e", AT, nobody, all_seen=True) is None
    counted = found in {"", "full", "not in doubt"}
    assert leftbehind.below(site, "d", nobody, all_seen=True) == ([] if counted else ["d/old"])


def test_its_directory_waits_for_what_was_here_a_moment_ago_until_it_has_not_been_found_for_long(site: Site) -> None:
    """It may be about to get yet another name: its directory was deleted, or counted, between two looks."""
    site.moves.was_cut_off("d/second", CutOff("second", B))
    publish(site, "d/second", B.doubted())
    site.moves.is_here("second", B)
    again = {"all_seen": False}, {"all_seen": True}
    assert [leftbehind.below_due(site, "d", AT, nobody, **each) for each in again] == [None, NOW + AFTER_S]
    later = Moment(NOW + AFTER_S - 1, WALL)
    site.moves.is_here("new", A)
    assert leftbehind.below_due(site, "d", later, nobody, all_seen=True) == later.now + AFTER_S, "the last one counts"
    assert sorted(leftbehind.below(site, "d", nobody, all_seen=True)) == ["d/old", "d/second"]
    later = Moment(NOW + AFTER_S, WALL)
    assert leftbehind.below_due(site, "d", later, nobody, all_seen=True) == later.now - 1 + AFTER_S
    assert leftbehind.below(site, "d", nobody, all_seen=True) == ["d/old"], "it counts as deleted"
    later = Moment(NOW + 2 * AFTER_S, WALL)
    assert leftbehind.below_due(site, "d", later, nobody, all_seen=True) is None
    assert leftbehind.below(site, "d", nobody, all_seen=True) == []


def test_of_a_directory_too_what_was_put_off_is_looked_at_when_something_in_it_is_lost(site: Site) -> None:
    site.moves.put_off("e/old")
    assert leftbehind.below_due(site, "e", AT, nobody, all_seen=True) is None
    assert not site.dirty.awaits("e/old"), "nothing is lost"
    assert leftbehind.below_due(site, "d", AT, ["new"].__contains__, all_seen=True) == NOW + LOOK_AGAIN_S
    assert not site.dirty.awaits("e/old")
    assert leftbehind.below_due(site, "d", AT, nobody, all_seen=True) == NOW + AFTER_S
    assert site.dirty.awaits("e/old")


def test_what_was_about_to_be_sent_was_here_too(site: Site) -> None:
    site.queue.offer(Upload(M, "new", A))
    assert leftbehind.below_due(site, "d", AT, nobody, all_seen=True) == NOW + LOOK_AGAIN_S
    site.queue.withdraw(M, "new")
    assert leftbehind.below_due(site, "d", AT, nobody, all_seen=True) == NOW + AFTER_S


@pytest.mark.parametrize("kind", ["TransferFailedError", "ServerFullError", "parked", "another version"])
@pytest.mark.parametrize("once", [False, True], ids=["a daemon", "one pass"])
def test_while_it_is_tried_again_under_its_new_name_it_is_on_its_way(site: Site, kind: str, *, once: bool) -> None:
    """What lies under the old name may be what makes room for it. One pass leaves tries to come to the next one."""
    fingerprint = B if kind == "another version" else A
    failure = Failure(fingerprint, 3, kind == "parked", WALL, kind, "It failed.", "", "", WALL)
    site.ledger.failures.put(site.id, "new", failure)
    site = site._replace(one_pass=once)
    again = NOW + (PAUSED_AGAIN_S if once else LOOK_AGAIN_S)
    assert due(site, AFTER_S) == (again if kind == "TransferFailedError" else None)


def test_what_was_here_a_moment_ago_counts_as_deleted_when_it_has_not_been_found_for_long(site: Site) -> None:
    site.moves.is_here("other", A)
    assert due(site, AFTER_S + 60, all_seen=False) == math.inf
    assert due(site, AFTER_S + 60) == NOW + AFTER_S
    site.moves.is_here("another", A)
    later = Moment(NOW + AFTER_S, WALL)
    assert leftbehind.due(site, "d/old", later, 0.0, nobody, all_seen=True) == later.now + AFTER_S, "it was seen since"
    later = Moment(later.now + AFTER_S, WALL)
    assert leftbehind.due(site, "d/old", later, 0.0, nobody, all_seen=True) is None


def test_so_it_does_if_it_was_only_about_to_be_sent(site: Site) -> None:
    site.queue.offer(Upload(M, "new", A))
    assert due(site, AFTER_S) == NOW + LOOK_AGAIN_S
    site.queue.withdraw(M, "new")
    assert due(site, AFTER_S) == NOW + AFTER_S


def test_what_is_not_found_before_all_has_been_looked_at_is_not_lost_then(site: Site) -> None:
    site.moves.is_here("other", A)
    assert due(site, AFTER_S, all_seen=False) == math.inf
    later = Moment(NOW + AFTER_S, WALL)
    assert leftbehind.due(site, "d/old", later, 0.0, nobody, all_seen=True) == later.now + AFTER_S


def test_what_is_sent_in_one_pass_though_it_was_parked_is_looked_at_soon(site: Site) -> None:
    site.queue.offer(Upload(M, "new", A))
    failure = Failure(B, 3, True, WALL, "NameRefusedError", "It was refused.", "", "", WALL)  # noqa: FBT003
    site.ledger.failures.put(site.id, "new", failure)
    assert due(site._replace(one_pass=True), AFTER_S) == NOW + LOOK_AGAIN_S


def test_a_delete_that_failed_under_the_new_name_is_no_try_to_publish_it(site: Site) -> None:
    failure = Failure(None, 3, False, WALL, "TransferFailedError", "It failed.", "", "", WALL)  # noqa: FBT003
    site.ledger.failures.put(site.id, "new", failure)
    assert due(site, AFTER_S) is None


@pytest.mark.parametrize(("path", "found"), [("link", False), ("elsewhere", True)])
def test_another_name_that_it_had_before_does_not_show_that_it_has_arrived(
    site: Site, path: str, *, found: bool
) -> None:
    site.moves.was_cut_off("d/old", CutOff("new", A, ("link",)))
    publish(site, path, A)
    assert due(site, AFTER_S) == (NOW if found else None)


def test_nor_does_it_of_what_is_sent_as_its_old_name_may_leave_with_a_directory() -> None:
    """Deleted before it had arrived, it was no delete under its old name, as it was published under a third one."""
    with Ledger(Path(":memory:")) as ledger:
        ledger.begun.put(Story(ledger).mirror.id, "new", Intent(Kind.DIR, brings=("old",)))
        mirror = Story(ledger).mirror
        site = mirror.site
        for path in ("old/a", "links/a"):
            publish(site, path, A)
        # The other name is to be renamed, too.
        site.queue.offer(Rename(M, "links/b", "links/a", A, SHA, False))  # noqa: FBT003 - as planned
        assert mirror.offers.moved_from("new/a", A, NOW) is None
        assert leftbehind.below(site, "old", nobody, all_seen=False) == ["old/a"]
        assert leftbehind.below(site, "old", nobody, all_seen=True) == []
        site.moves.is_here("links/a", A)
        assert site.moves.left_by("new/a", A) == "old/a", "that is no new name of it"


@pytest.mark.parametrize("now_there", [None, A], ids=["nothing", "another file"])
def test_what_the_server_would_not_rename_is_left_as_long_as_it_is_published_so(
    site: Site, now_there: Fingerprint | None
) -> None:
    site.moves.was_refused("d/other", "elsewhere", B)
    publish(site, "elsewhere", B)
    if now_there is not None:
        publish(site, "d/other", now_there)
    assert leftbehind.due(site, "d/other", AT, AFTER_S, nobody, all_seen=True) is None
    assert "d/other" not in site.moves.all_cut_off


def test_what_was_put_off_is_looked_at_when_one_is_lost(site: Site) -> None:
    """Each found gone in its time, minutes apart, none of them would be one of too many deletes."""
    site.moves.was_cut_off("d/second", CutOff("second", B))
    publish(site, "d/second", B.doubted())
    site.queue.gate.failed(NOW - 1, Breaker.OFFLINE, "No answer.")
    assert due(site, AFTER_S, ["new"]) == NOW + AWAY_AGAIN_S
    site.moves.is_here("second", B)
    assert leftbehind.due(site, "d/second", AT, AFTER_S, nobody, all_seen=True) == NOW + AFTER_S
    assert site.dirty.awaits("d/old")
    assert not site.dirty.awaits("d/second")


def test_where_it_is_by_now_is_where_it_was_seen_last(site: Site) -> None:
    assert site.moves.left_by("new", A) == "d/old"
    site.moves.is_here("newer", B)
    assert site.moves.left_by("newer", B) == ""
    site.moves.is_here("d/old", A)
    assert site.moves.left_by("new", A) == "d/old", "it is there under its old name, which is no new one"
    site.moves.is_here("e/newer", A)
    assert (site.moves.left_by("new", A), site.moves.left_by("e/newer", A)) == ("", "d/old")
    site.moves.moved("e", "f")
    site.moves.moved("d", "c")
    assert (site.moves.left_by("f/newer", A), list(site.moves.all_cut_off)) == ("c/old", ["c/old"])
    site.moves.forget_cut_off("c/old")
    assert site.moves.left_by("f/newer", A) == ""


def test_what_is_known_again_is_remembered_no_more(site: Site) -> None:
    publish(site, "d/known", A)
    site.moves.was_cut_off("d/known", CutOff("elsewhere", A))
    site.moves.was_cut_off("d/dropped", CutOff("elsewhere", A))
    leftbehind.forget_old(site)
    assert list(site.moves.all_cut_off) == ["d/old"]


def test_what_is_published_has_looked_at_what_it_left_behind() -> None:
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        story.mirror.site.moves.was_cut_off("d/old", CutOff("new", A))
        story.apply(Done(Upload(M, "newer", A), Did.PUBLISHED, A, SHA))
        assert story.mirror.dirty.awaits("d/old")


def test_under_which_name_it_is_sent_since_is_known_after_a_crash() -> None:
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        publish(story.mirror.site, "d/old", A.doubted())
        story.mirror.site.moves.was_cut_off("d/old", CutOff("new", A))
        story.mirror.site.moves.is_here("newer", A)
        story.mirror.intents.begin(Upload(M, "newer", A))
        after = Story(ledger)
        assert after.mirror.site.moves.left_by("newer", A) == "d/old"


@pytest.mark.parametrize("published", [True, False])
def test_so_it_is_where_it_was_written_in_place_meanwhile(*, published: bool) -> None:
    written = A._replace(size=30, mtime_ns=3)
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        publish(story.mirror.site, "d/old", A.doubted())
        story.mirror.site.moves.was_cut_off("d/old", CutOff("new", A))
        upload = story.mirror.intents.begin(Upload(M, "new", written))
        if published:
            story.apply(Done(upload, Did.PUBLISHED, written, SHA))
        after = Story(ledger)
        assert after.mirror.site.moves.left_by("new", written) == "d/old"
        assert leftbehind.below(after.mirror.site, "d", nobody, all_seen=True) == ["d/old"] * published


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_of_two_renames_that_were_cut_off_both_old_names_go(names: tuple[str, str, str]) -> None:
    """Published under the third name, it seemed to have had that beside the second one: the first was a delete."""
    first, second, third = names
    with Ledger(Path(":memory:")) as ledger:
        site = Story(ledger).mirror.site
        for old in (first, second):
            publish(site, old, A.doubted())
        publish(site, third, A)
        ledger.begun.put(site.id, second, Intent(Kind.FILE, "", first, (A,)))
        ledger.begun.put(site.id, third, Intent(Kind.FILE, "", second, (A,)))
        moves = Story(ledger).mirror.site.moves
        assert {old: (each.path, each.links) for old, each in moves.all_cut_off.items()} == dict.fromkeys(
            (first, second), (third, ())
        )


def test_what_is_renamed_back_has_not_gone_on(site: Site) -> None:
    for old, new in (("back", "there"), ("there", "back")):
        site.moves.was_cut_off(old, CutOff(new, B))
    assert {old: each.path for old, each in site.moves.all_cut_off.items() if old != "d/old"} == {
        "back": "there",
        "there": "back",
    }


def test_what_was_sent_to_the_old_name_of_a_file_is_another_one(site: Site) -> None:
    """A new file had its place, and its upload was cut off, too: should it go, that is a delete."""
    publish(site, "new", B)
    site.ledger.begun.put(site.id, "new", Intent(Kind.FILE, "", "d/old", (B,)))
    site.ledger.begun.put(site.id, "d/old", Intent(Kind.FILE, "", "", (Fingerprint(5, 5, 5),)))
    assert not Story(site.ledger).mirror.site.moves.all_cut_off


@pytest.mark.parametrize("there", [True, False], ids=["it is there", "nobody could look"])
def test_what_could_not_be_renamed_is_left_behind_unless_it_is_there(*, there: bool) -> None:
    """A hard link was sent as a second file: should it go some day, that is a delete. What nobody sees may have gone."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        site = story.mirror.site
        publish(site, "d/old", A)
        story.apply(Done(Rename(M, "new", "d/old", A, SHA, False), Did.PUBLISHED, A, SHA))  # noqa: FBT003 - as planned
        assert site.moves.cut_off_of(A) == ["d/old"]
        assert leftbehind.below(site, "d", nobody, all_seen=True) == ["d/old"]
        for path in ("d/old", "new") if there else ():
            assert site.dirty.awaits(path), "where it was sent as well: else it would have its old name again"
            story.mirror.waits.settled(path, had_failure=False)
        leftbehind.forget_old(site)
        assert bool(site.moves.all_cut_off) is not there
        assert (leftbehind.due(site, "d/old", AT, AFTER_S, nobody, all_seen=True) is None) is there


def test_what_a_pass_does_not_see_is_remembered() -> None:
    """As in another folder, or on a disk that is away: when that was back, all that had been sent anew was held."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        site, removals = story.mirror.site, story.mirror.removals
        publish(site, "old", A)
        site.moves.was_refused("old", "new", A)
        removals.holding.hold = Hold(HoldKind.REPLACED_SOURCE, WALL, "It is another folder.")
        removals.pass_ended(AT)
        removals.holding.hold = None
        removals.pass_ended(AT)
        assert set(site.moves.all_cut_off) == {"old"}


def test_what_the_server_would_not_rename_is_not_found_under_its_old_name(site: Site) -> None:
    site.moves.was_refused("d/other", "elsewhere", B)
    publish(site, "d/other", B)
    assert leftbehind.due(site, "d/other", AT, AFTER_S, nobody, all_seen=True) is None


def test_what_is_kept_for_somebody_else_under_the_new_name_took_no_place_of_the_old_one() -> None:
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        publish(story.mirror.site, "d/old", A)
        story.apply(Done(Rename(M, "new", "d/old", A, SHA, False), Did.KEPT))  # noqa: FBT003 - as planned
        assert not story.mirror.site.moves.all_cut_off


def test_it_is_awaited_while_it_comes_to_rest_or_waits_for_the_server_until_it_is_published(site: Site) -> None:
    assert leftbehind.awaited(site, "d/old", nobody) == "", "nobody knows of it"
    assert leftbehind.awaited(site, "d/old", ["new"].__contains__) == "new"
    assert leftbehind.awaited(site, "d/other", nobody) == ""
    site.queue.offer(Upload(M, "new", A))
    assert leftbehind.awaited(site, "d/old", nobody) == "new"
    publish(site, "new", A)
    assert leftbehind.awaited(site, "d/old", nobody) == ""
    site.ledger.forget(site.id, "new")
    publish(site, "d/old", A)
    assert leftbehind.awaited(site, "d/old", nobody) == "", "it was sent there again"


@pytest.mark.parametrize("gone_on", [False, True], ids=["it is here", "it has another name"])
def test_what_one_pass_was_told_of_it_does_not_have_the_next_one_forget_what_it_left(*, gone_on: bool) -> None:
    """The server has no such file: what is under the old name may be all that there is of it, until it is sent."""
    with Ledger(Path(":memory:")) as ledger:
        mirror = Story(ledger).mirror
        moves = mirror.site.moves
        intents = Intents(mirror.site._replace(one_pass=True), sweep_twice=False)
        publish(mirror.site, "d/old", A)
        intents.begin(Rename(M, "new", "d/old", A, SHA, False))  # noqa: FBT003 - as planned
        moves.was_cut_off("d/old", CutOff("new", A))
        if gone_on:
            moves.is_here("newer", A)
        intents.end(Sweep(M, "new", ""))
        left = {} if gone_on else {"new": Intent(Kind.FILE, "", "d/old", (A,))}
        assert dict(ledger.begun.of(mirror.id)) == left
        intents.begin(Upload(M, "other", B))
        intents.end(Sweep(M, "other", ""))
        assert dict(ledger.begun.of(mirror.id)) == left, "of what is new nothing is left anywhere"


class TestWhatIsRemembered:
    """Of renames that were cut off, by old names and by files."""

    def test_the_last_rename_from_a_name_counts(self, site: Site) -> None:
        site.moves.was_cut_off("d/old", CutOff("there", B))
        assert (site.moves.cut_off_of(A), site.moves.cut_off_of(B)) == ([], ["d/old"])

    def test_a_rename_of_another_file_does_not_go_on_from_it(self, site: Site) -> None:
        site.moves.was_cut_off("first", CutOff("d/old", B))
        assert site.moves.left_by("d/old", B) == "first"
        site.moves.was_cut_off("new", CutOff("newer", B))
        assert (site.moves.left_by("new", A), site.moves.left_by("newer", B)) == ("d/old", "new")

    def test_one_of_the_same_file_goes_on_whichever_is_known_first(self, site: Site) -> None:
        site.moves.was_cut_off("older", CutOff("d/old", A, ("new", "link")))
        assert site.moves.all_cut_off["older"] == CutOff("new", A, ("link",))

    def test_what_waits_to_be_renamed_in_the_queue_leaves_its_path_too(self, site: Site) -> None:
        site.queue.offer(Rename(M, "x/new", "x/old", B, SHA, False))  # noqa: FBT003 - as planned
        assert [site.moves.leaves(path) for path in ("x/old", "x/new")] == [True, False]

    def test_nor_does_one_of_the_same_file_from_another_name(self, site: Site) -> None:
        site.moves.was_cut_off("second", CutOff("elsewhere", A))
        assert site.moves.left_by("new", A) == "d/old"

    def test_the_first_are_forgotten_where_there_are_very_many(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ftpsyncd.mapping.moves.CUT_OFF_KEPT", 2)
        site.moves.was_cut_off("second", CutOff("there", B))
        assert list(site.moves.all_cut_off) == ["d/old", "second"]
        site.moves.was_cut_off("third", CutOff("there too", B))
        assert list(site.moves.all_cut_off) == ["second", "third"]
        assert site.moves.cut_off_below("d") == {}

    def test_other_settings_do_not_make_a_delete_of_it(self, site: Site) -> None:
        after = Moves(site.queue, M)
        after.go_on_from(site.moves)
        assert after.all_cut_off == {"d/old": CutOff("new", A)}

    @pytest.mark.parametrize("refused", [False, True])
    def test_what_is_there_again_has_been_gone_since_it_goes_once_more(self, site: Site, *, refused: bool) -> None:
        site.moves.was_cut_off("d/old", CutOff("new", A, refused=refused))
        assert site.moves.cut_off("d/old", NOW) is not None
        site.moves.back("d/other")
        site.moves.back("d/old")
        rename = site.moves.cut_off("d/old", NOW + AFTER_S)
        assert (rename is None) is refused
        assert rename is None or rename.gone_since == NOW + AFTER_S

    def test_what_has_its_old_name_again_is_left_behind_where_it_was_sent_unless_it_is_there_too(
        self, site: Site
    ) -> None:
        site.moves.stays_behind("d/second", "elsewhere", B, (), NOW)
        assert site.moves.back("d/second") == "elsewhere"
        back = CutOff("d/second", B, refused=True, lost_since=None)
        assert site.moves.all_cut_off == {"d/old": CutOff("new", A), "elsewhere": back}
        assert site.moves.cut_off("elsewhere", NOW) == back._replace(gone_since=NOW)
        assert site.moves.back("elsewhere") == "d/second"
        assert site.moves.back("d/second") == ""
        assert site.moves.all_cut_off == {"d/old": CutOff("new", A)}
        assert site.moves.back("d/old") == "new"
        assert site.moves.back("d/old") == "", "it is known already"

    def test_another_file_under_the_old_name_is_not_the_one_that_came_back(self, site: Site) -> None:
        site.moves.is_here("d/old", B)
        assert site.moves.back("d/old") == ""
        assert set(site.moves.all_cut_off) == {"d/old"}, "what it was is in doubt still"
        site.moves.cut_off("d/old", NOW)
        site.moves.is_here("d/old", A._replace(size=30, mtime_ns=3))
        assert site.moves.back("d/old") == "new", "written in place, it is"

    def test_what_stays_behind_does_not_take_the_place_of_what_is_known(self, site: Site) -> None:
        site.moves.stays_behind("d/old", "elsewhere", B, (), NOW)
        site.moves.stays_behind("d/second", "elsewhere", B, ("link",), NOW)
        assert site.moves.all_cut_off == {
            "d/old": CutOff("new", A),
            "d/second": CutOff("elsewhere", B, ("link",), gone_since=NOW, refused=True),
        }

    def test_what_is_dealt_with_is_not_looked_at_again(self, site: Site) -> None:
        site.moves.was_cut_off("d/second", CutOff("second", B))
        for path in ("d", "d/old", "d/second"):
            site.moves.put_off(path)
        site.moves.forget_cut_off("d/old")
        assert list(site.moves.cut_off_below("d")) == ["d/second"]
        assert site.moves.take_put_off() == {"d", "d/second"}
        site.moves.put_off("d")
        site.moves.forget_cut_off("d/second")
        assert site.moves.take_put_off() == set()
