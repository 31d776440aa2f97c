"""A full server, of whose files all have failed: when is it tried, and what shows that it has space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Action, Delete, Did, Done, Failed, MakeDir, Probe, RemoveDir, Rename, Sweep, Upload
from ftpsyncd.core.extent import LARGE_BYTES
from ftpsyncd.core.gate import ASKED_AFTER_S, FULL_PAUSE_S, Breaker
from ftpsyncd.core.space import SPACE_RETRY_S
from ftpsyncd.engine import again, handout, room
from ftpsyncd.engine.gating import apply_to_server
from ftpsyncd.engine.handout import Server
from ftpsyncd.engine.outcomes import Outcomes
from ftpsyncd.errors import RemoteError, UnwrittenError
from ftpsyncd.events import EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Fingerprint, Kind, Row
from tests.core.vocabulary import NOW, SHA, WALL, M, S
from tests.engine.test_outcomes import BROKEN, FULL, REFUSED, Story, other_file


@pytest.fixture
def story() -> Iterator[Story]:
    """Two files found no space, so that the server is full; nothing else is to be sent."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        story.apply(Failed(other_file("a"), FULL))
        story.apply(Failed(other_file("d/b"), UnwrittenError("The server could not write it.")))
        assert story.queue.gate.state is Breaker.FULL
        yield story


def at(now: float) -> Moment:
    return Moment(now, WALL + int((now - NOW) * S))


def handed(story: Story, now: float) -> list[Action]:
    """What the workers of the server get."""
    mirrors = {each.spec.name: each for each in (story.mirror, *story.outcomes._beside(story.mirror))}
    return handout.take(Server("web", story.queue, None), mirrors, story.ledger, at(now))[0]  # type: ignore[arg-type]


def deleted(story: Story, path: str, now: float = NOW) -> None:
    story.queue.offer(Delete(story.mirror.spec.name, path))
    next_deleted(story, now)


def next_deleted(story: Story, now: float = NOW) -> None:
    """The first delete that waits is done."""
    delete = story.queue.take(now)
    assert isinstance(delete, Delete)
    done = Done(delete, Did.DELETED)
    assert apply_to_server(story.queue, done, 1, now) is None
    story.apply(done, now)
    story.queue.finish(delete)


def waits_s(story: Story, path: str) -> float:
    failure = story.ledger.failures.of(story.id, path)
    assert failure is not None
    return (failure.next_try_ns - failure.failed_ns) / S


def test_what_has_failed_is_tried_when_a_delete_has_made_room(story: Story):
    """It waited for its five minutes, and nothing told why."""
    story.apply(Failed(other_file("refused"), REFUSED))
    assert waits_s(story, "a") == waits_s(story, "d/b") == SPACE_RETRY_S
    story.mirror.dirty.clear()
    deleted(story, "old", NOW + 5)
    assert waits_s(story, "a") == waits_s(story, "d/b") == 0
    assert waits_s(story, "refused") > 0, "that is not for want of space"
    assert story.mirror.dirty.next_due() == NOW + 5
    story.queue.offer(other_file("a"))
    assert story.queue.take(NOW + 5) == other_file("a")


def test_what_has_failed_in_another_mapping_of_the_server_is_tried_then_too(story: Story):
    shop, stirred = Story(story.ledger, name="shop", queue=story.queue), list[str]()
    shop.outcomes = Outcomes(lambda _mirror: [story.mirror], stirred.append)
    story.mirror.dirty.clear()
    deleted(shop, "old", NOW + 5)
    assert waits_s(story, "a") == 0
    assert story.mirror.dirty.next_due() == NOW + 5
    assert stirred == [M]


def test_in_a_full_directory_what_has_failed_there_is_tried_then(story: Story):
    story.queue.gate.answered()
    for path in ("e/1", "e/2"):
        story.apply(Failed(other_file(path), FULL))
    assert story.queue.gate.state is Breaker.CLOSED
    deleted(story, "e/old")
    assert waits_s(story, "e/1") == waits_s(story, "e/2") == 0
    assert waits_s(story, "a") == SPACE_RETRY_S
    assert story.queue.space.admits(M, "e/1", NOW), "before the time of its directory is over"


def test_what_has_failed_in_a_full_directory_is_tried_however_many_wait_in_another_one(story: Story):
    """Of those that had waited longest 64 were asked for: with as many in another full directory, none was in this one."""
    story.queue.gate.answered()
    for number in range(64):
        story.apply(Failed(other_file(f"f/{number}"), FULL))
    story.queue.space.found(M, "other")
    for path in ("e/1", "e/2"):
        story.apply(Failed(other_file(path), FULL), NOW + 1)
    assert [lack.key for lack in story.queue.space.lacks()] == [f"{M}/e", f"{M}/f"]
    deleted(story, "e/old", NOW + 2)
    assert waits_s(story, "e/1") == waits_s(story, "e/2") == 0
    assert waits_s(story, "f/0") == SPACE_RETRY_S


def test_nothing_is_tried_before_all_has_been_deleted_that_makes_room(story: Story):
    """Each of a thousand deletes would have all looked at that has failed, and the first file sent too early."""
    for path in ("old 1", "old 2"):
        story.queue.offer(Delete(M, path))
    next_deleted(story)
    assert waits_s(story, "a") == SPACE_RETRY_S
    next_deleted(story)
    assert waits_s(story, "a") == 0


@pytest.mark.parametrize(
    "last",
    [
        Done(RemoveDir(M, "old"), Did.REMOVED),
        Done(RemoveDir(M, "old"), Did.LEFT),
        Failed(RemoveDir(M, "old"), REFUSED),
        Failed(Delete(M, "old/2"), REFUSED),
    ],
    ids=["its directory is removed", "its directory stays", "its directory is refused", "the last file is refused"],
)
def test_what_a_delete_has_freed_is_used_whatever_ends_the_deletes(story: Story, last: Done | Failed):
    """Room was made that nobody tried for five minutes: what came last was no file, as of several folders, or stayed."""
    for action in (Delete(M, "old/1"), last.action):
        story.queue.offer(action)
    next_deleted(story)
    assert waits_s(story, "a") == SPACE_RETRY_S, "more may be free in a moment"
    assert story.queue.take(NOW + 1) == last.action
    story.apply(last, NOW + 1)
    assert waits_s(story, "a") == waits_s(story, "d/b") == 0
    story.queue.offer(other_file("a"))
    assert story.queue.take(NOW + 1) == other_file("a")


@pytest.mark.parametrize("how", ["taken back", "paused", "not wanted any more"])
def test_so_it_is_where_what_waited_to_be_deleted_is_not_to_be_any_more(story: Story, how: str):
    """Nothing ended then, and room that was made was tried by nobody for five minutes."""
    shop = Story(story.ledger, name="shop", queue=story.queue)
    story.outcomes = Outcomes(lambda _mirror: [shop.mirror])
    shop.outcomes = Outcomes(lambda _mirror: [story.mirror])
    story.queue.offer(Delete(M, "old"))
    if how != "not wanted any more":
        story.ledger.put(shop.id, "old", Row(Kind.FILE, Fingerprint(1, 1, 1), SHA, WALL))
    story.queue.offer(Delete("shop", "old"))
    next_deleted(story)
    assert waits_s(story, "a") == SPACE_RETRY_S
    if how == "taken back":
        story.queue.withdraw("shop", "old")
    if how == "paused":
        story.queue.suspend("shop", suspended=True)
    assert handed(story, NOW + 1) == []
    assert waits_s(story, "a") == waits_s(story, "d/b") == 0
    story.queue.offer(other_file("a"))
    assert story.queue.take(NOW + 1) == other_file("a")


def test_what_is_being_deleted_is_awaited(story: Story):
    story.ledger.put(story.id, "old 2", Row(Kind.FILE, Fingerprint(1, 1, 1), SHA, WALL))
    for path in ("old 1", "old 2"):
        story.queue.offer(Delete(M, path))
    next_deleted(story)
    [last] = handed(story, NOW + 1)
    assert handed(story, NOW + 1) == []
    assert waits_s(story, "a") == SPACE_RETRY_S, "more may be free in a moment"
    story.apply(Done(last, Did.DELETED), NOW + 1)
    assert waits_s(story, "a") == 0


def test_a_full_directory_is_tried_also_where_the_last_delete_is_elsewhere(story: Story):
    story.queue.gate.answered()
    for path in ("e/1", "e/2"):
        story.apply(Failed(other_file(path), FULL))
    for path in ("e/old", "elsewhere"):
        story.queue.offer(Delete(M, path))
    next_deleted(story)
    assert waits_s(story, "e/1") == SPACE_RETRY_S
    next_deleted(story)
    assert waits_s(story, "e/1") == waits_s(story, "e/2") == 0
    assert story.queue.space.admits(M, "e/1", NOW)


def test_so_it_is_where_all_around_it_is_found_to_be_full_between_the_deletes(story: Story):
    """What was noted was the smaller one, which nobody knew any more: all waited for five minutes."""
    # Of another mapping there is none that would make the server full.
    shop = Story(story.ledger, name="shop", queue=story.queue)
    story.outcomes = Outcomes(lambda _mirror: [shop.mirror])
    story.queue.gate.answered()
    story.queue.space.clear()
    for path in ("g/e/1", "g/e/2"):
        story.apply(Failed(other_file(path), FULL))
    for path in ("g/e/old", "elsewhere"):
        story.queue.offer(Delete(M, path))
    next_deleted(story)
    story.apply(Failed(other_file("g/f/1"), FULL))
    assert [lack.key for lack in story.queue.space.lacks()] == [f"{M}/g"]
    next_deleted(story)
    assert waits_s(story, "g/e/1") == waits_s(story, "g/e/2") == waits_s(story, "g/f/1") == 0
    assert story.queue.space.admits(M, "g/e/1", NOW)


def test_a_removal_that_frees_nothing_has_nothing_tried(story: Story):
    story.apply(Done(RemoveDir(M, "empty"), Did.REMOVED))
    assert waits_s(story, "a") == SPACE_RETRY_S


def test_the_deletes_of_a_paused_mapping_are_not_waited_for(story: Story):
    """Room that was made in another mapping was tried by nobody, for as long as this one was paused."""
    shop = Story(story.ledger, name="shop", queue=story.queue)
    shop.outcomes = Outcomes(lambda _mirror: [story.mirror])
    shop.apply(Failed(other_file("a", "shop"), FULL))
    story.queue.offer(Delete(M, "old"))
    story.queue.suspend(M, suspended=True)
    deleted(shop, "old", NOW + 5)
    assert waits_s(shop, "a") == 0
    story.queue.suspend(M, suspended=False)
    assert story.queue.makes_room


@pytest.mark.parametrize(
    ("error", "said"),
    [(FULL, FULL.reply), (UnwrittenError("The server could not write it."), "The server could not write it.")],
    ids=["a reply", "no reply"],
)
def test_that_a_directory_is_full_is_told_once_with_what_was_said(story: Story, error: RemoteError, said: str):
    story.queue.gate.answered()
    for path in ("e/1", "e/2", "e/3"):
        story.apply(Failed(other_file(path), error))
    [event] = [event for event in story.events if event.path == "e"]
    assert f"({said})" in event.message


def begun(story: Story, file: Upload) -> Upload:
    """A worker has it."""
    story.queue.gate.answered()
    story.queue.offer(file)
    assert story.queue.take(NOW) == file
    return file


def test_what_was_begun_before_room_was_made_is_sent_again_at_once(story: Story):
    """It was refused a moment before the delete was answered, and waited for five minutes in which there was room."""
    file = begun(story, other_file("new"))
    deleted(story, "old", NOW + 5)
    assert story.apply(Failed(file, FULL), NOW + 5)
    assert story.ledger.failures.of(story.id, "new") is None
    story.queue.finish(file, requeue=True)
    assert story.queue.take(NOW + 5) == file
    assert not story.apply(Failed(file, FULL), NOW + 6), "nothing was deleted since"
    assert waits_s(story, "new") == SPACE_RETRY_S


@pytest.mark.parametrize(
    ("size", "error", "again"), [(LARGE_BYTES - 1, FULL, True), (LARGE_BYTES, FULL, False), (10, REFUSED, False)]
)
def test_large_files_and_what_was_refused_for_another_reason_wait_their_time(
    story: Story,
    size: int,
    error: RemoteError,
    again: bool,  # noqa: FBT001 - a parameter of the cases
):
    file = begun(story, other_file("new")._replace(fingerprint=Fingerprint(size, 1, 7)))
    deleted(story, "old", NOW + 5)
    assert story.apply(Failed(file, error), NOW + 5) is again


def test_while_more_is_to_be_deleted_nothing_is_sent_in_vain(story: Story):
    file = begun(story, other_file("new"))
    deletes = [Delete(M, "old 1"), Delete(M, "old 2")]
    for each in deletes:
        story.queue.offer(each)
    assert story.queue.take(NOW) == deletes[0]
    story.apply(Done(deletes[0], Did.DELETED))
    assert not story.apply(Failed(file, FULL))


@pytest.fixture
def alone() -> Iterator[Story]:
    """In each of three directories a file found no space, and others found some in between: nothing is full."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        for number, path in enumerate(("a/1", "b/1", "c/1")):
            story.apply(Failed(other_file(path), FULL), NOW + number / 10)
            story.queue.space.found(M, f"{path[0]}/other")
            story.queue.space.found(M, "other")
        assert not story.queue.space.lacks()
        story.mirror.dirty.clear()
        yield story


def test_of_files_that_found_no_space_by_themselves_a_delete_has_one_tried_and_if_that_is_sent_the_next(alone: Story):
    """They waited for five minutes: where one file only is new, there is no other to show that there is space again."""
    deleted(alone, "old", NOW + 5)
    assert [waits_s(alone, path) for path in ("a/1", "b/1", "c/1")] == [0, SPACE_RETRY_S, SPACE_RETRY_S]
    assert alone.mirror.dirty.next_due() == NOW + 5
    alone.apply(Done(other_file("a/1"), Did.PUBLISHED, sha256=SHA), NOW + 6)
    assert [waits_s(alone, path) for path in ("b/1", "c/1")] == [0, SPACE_RETRY_S]
    alone.apply(Done(other_file("unknown"), Did.PUBLISHED, sha256=SHA), NOW + 7)
    assert waits_s(alone, "c/1") == SPACE_RETRY_S, "that shows nothing"
    alone.apply(Failed(other_file("refused"), REFUSED), NOW + 7)
    alone.apply(Done(other_file("refused"), Did.PUBLISHED, sha256=SHA), NOW + 8)
    assert waits_s(alone, "c/1") == SPACE_RETRY_S, "nor does what had failed for another reason"


def test_another_delete_has_another_one_tried(alone: Story):
    """A file beyond the size that the server takes would be the only one that is ever tried."""
    for number, tried in enumerate(("a/1", "b/1", "c/1")):
        deleted(alone, "old", NOW + 5 + number)
        assert waits_s(alone, tried) == 0
        alone.apply(Failed(other_file(tried), FULL), NOW + 5.5 + number)
        alone.queue.space.found(M, "other")


def test_a_large_one_and_one_in_a_full_directory_wait_their_time(alone: Story):
    """The one would be sent in vain for each file that is deleted; of the other it is known that there is no space."""
    large = other_file("a/1")._replace(fingerprint=Fingerprint(LARGE_BYTES, 1, 7))
    alone.apply(Failed(large, FULL), NOW + 0.05)
    for path in ("a/other", "other"):
        alone.queue.space.found(M, path)
    for path in ("b/2", "b/3"):
        alone.apply(Failed(other_file(path), FULL), NOW + 1)
    assert [lack.key for lack in alone.queue.space.lacks()] == [f"{M}/b"]
    deleted(alone, "old", NOW + 5)
    assert [waits_s(alone, path) for path in ("a/1", "b/1", "c/1")] == [SPACE_RETRY_S, SPACE_RETRY_S, 0]


def test_where_this_mapping_has_none_one_of_another_mapping_of_the_server_is_tried(alone: Story):
    shop, stirred = Story(alone.ledger, name="shop", queue=alone.queue), list[str]()
    shop.outcomes = Outcomes(lambda _mirror: [alone.mirror], stirred.append)
    deleted(shop, "old", NOW + 5)
    assert waits_s(alone, "a/1") == 0
    assert stirred == [M]


def test_a_paused_mapping_keeps_no_other_one_from_being_tried(alone: Story):
    """Its file was to be tried and never was, so that none came after it: the others waited for five minutes."""
    shop = Story(alone.ledger, name="shop", queue=alone.queue)
    shop.apply(Failed(other_file("a", "shop"), FULL), NOW + 1)
    for path in ("a/other", "other"):
        shop.queue.space.found(M, path)
    camera, stirred = Story(alone.ledger, name="camera", queue=alone.queue), list[str]()
    camera.outcomes = Outcomes(lambda _mirror: [alone.mirror, shop.mirror], stirred.append)
    alone.mirror.pause(WALL)
    deleted(camera, "old", NOW + 5)
    assert waits_s(alone, "a/1") == SPACE_RETRY_S
    assert waits_s(shop, "a") == 0
    assert stirred == ["shop"]


@pytest.mark.parametrize("alone", [True, False])
def test_where_a_mapping_has_no_space_the_server_is_full_if_it_has_no_other_one(*, alone: bool):
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        for path in ("a", "b", "c"):
            room.no_space(story.mirror, other_file(path), FULL, at(NOW), alone=alone)
        assert (story.queue.gate.state is Breaker.FULL) is alone
        assert [lack.key for lack in story.queue.space.lacks()] == [M] * (not alone)
        assert [event.kind for event in story.events] == [EventKind.SERVER_OFFLINE if alone else EventKind.FAILED]


def test_where_two_mappings_have_no_space_the_server_is_full():
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        shop = Story(ledger, name="shop", queue=story.queue)
        for each in (story, shop):
            assert story.queue.gate.state is not Breaker.FULL
            room.no_space(each.mirror, other_file("a", each.mirror.spec.name), FULL, at(NOW), alone=False)
        assert story.queue.gate.state is Breaker.FULL
        assert [event.kind for event in shop.events] == [EventKind.SERVER_OFFLINE]


def test_a_full_server_that_is_away_is_asked_whether_it_is_back_though_files_wait_for_space(story: Story):
    """Left to them, which have a time of their own, it would be away for as long."""
    story.queue.gate.answered()
    story.queue.gate.failed(NOW, Breaker.OFFLINE, "gone", connects=False)
    due = story.queue.next_due(NOW)
    assert due is not None
    assert handed(story, due) == [Probe("web")]


@pytest.mark.parametrize("how", ["its pause is over", "a delete has made room", "a person says so"])
def test_that_a_full_server_answers_does_not_show_that_it_has_space(story: Story, how: str):
    """It was told as working again, and as full again by the next file."""
    now = NOW + 5
    if how == "its pause is over":
        now = NOW + FULL_PAUSE_S
    elif how == "a delete has made room":
        deleted(story, "old", now)
    else:
        story.queue.gate.retry_now(now)
    for _ in range(3):
        assert handed(story, now) == []
        assert story.queue.gate.state is Breaker.FULL
        due = story.queue.next_due(now)
        assert due is not None
        assert due > now, "nobody asks again and again"
        now = due


def test_a_full_server_is_asked_when_nothing_has_to_be_sent_there_any_more(story: Story):
    again.retry(story.mirror, None, at(NOW + 5))
    assert handed(story, NOW + 5) == [], "what has failed is looked at first"
    assert handed(story, NOW + 5 + ASKED_AFTER_S) == [Probe("web")]


def test_files_that_wait_for_space_at_another_server_say_nothing_of_this_one(story: Story):
    """It was asked by nobody, and none of its own files waited for space any more: it was full for good."""
    shop = Story(story.ledger, name="shop")
    shop.apply(Failed(other_file("a", "shop"), FULL))
    story.outcomes = Outcomes(lambda _mirror: [shop.mirror])
    again.retry(story.mirror, None, at(NOW + 5))
    assert handed(story, NOW + 5 + ASKED_AFTER_S) == [Probe("web")]


@pytest.mark.parametrize(
    "done",
    [
        Done(Sweep(M, "a", "/htdocs/a.0a1b2c3d.filepart"), Did.SWEPT),
        Done(MakeDir(M, "new", 60), Did.MADE),
        Done(Rename(M, "new", "old", Fingerprint(1, 2, 3), SHA), Did.RENAMED),
        Done(other_file("known"), Did.ADOPTED),
        Done(Upload(M, "empty", Fingerprint(0, 1, 7)), Did.PUBLISHED, sha256=SHA),
    ],
    ids=["a leftover is removed", "a directory is made", "a file is renamed", "it was there", "it is empty"],
)
def test_what_takes_no_space_does_not_show_that_a_full_server_has_some(story: Story, done: Done):
    """What was left of the very file that had none is removed first: then all were tried again, and refused."""
    assert apply_to_server(story.queue, done, 1, NOW + FULL_PAUSE_S) is None
    assert story.queue.gate.state is Breaker.FULL
    published = Done(other_file("a"), Did.PUBLISHED, sha256=SHA)
    assert apply_to_server(story.queue, published, 1, NOW + FULL_PAUSE_S) is EventKind.SERVER_ONLINE


@pytest.mark.parametrize(
    "failed",
    [
        Failed(other_file("refused"), REFUSED, refused=True),
        Failed(other_file("refused"), REFUSED, reached=True),
        Failed(other_file("cut"), BROKEN, reached=True),
        Failed(MakeDir(M, "new", 60), REFUSED),
    ],
    ids=["its name", "its final name", "its transfer", "a directory"],
)
def test_what_is_refused_does_not_show_that_a_full_server_has_space(story: Story, failed: Failed):
    """It was told as working again, all were sent, of which none had space, and then it was full for another pause."""
    now = NOW + FULL_PAUSE_S
    assert apply_to_server(story.queue, failed, 1, now) is None
    assert story.queue.gate.state is Breaker.FULL
    story.queue.offer(other_file("next"))
    assert story.queue.take(now) == other_file("next"), "it is tried with another one at once"


def test_a_file_that_was_sent_in_place_of_its_rename_shows_that_there_is_space(story: Story):
    """The old version was not there any more, say. The server was told as full until another file was sent."""
    sent = Done(Rename(M, "new", "old", Fingerprint(1, 2, 3), SHA), Did.PUBLISHED, sha256=SHA)
    assert apply_to_server(story.queue, sent, 1, NOW + FULL_PAUSE_S) is EventKind.SERVER_ONLINE
    for path in ("e/1", "e/2"):
        story.apply(Failed(other_file(path), FULL))
    assert story.queue.space.lacks()
    story.apply(sent._replace(action=Rename(M, "e/new", "old", Fingerprint(1, 2, 3), SHA)))
    assert not story.queue.space.lacks()


def in_vain(story: Story, path: str, seconds: int) -> list[int]:
    """When a file is sent, if one is deleted each second, and the server never takes it."""
    sent = []
    for second in range(seconds):
        now = NOW + 5 + second
        deleted(story, "old", now)
        failure = story.ledger.failures.of(story.id, path)
        assert failure is not None
        if failure.next_try_ns <= at(now).wall_ns:
            sent.append(second)
            story.apply(Failed(other_file(path), FULL), now + 0.5)
            story.queue.space.found(M, "other")
    return sent


def test_a_file_that_is_never_taken_is_sent_ever_more_rarely_where_something_is_deleted_all_the_time(alone: Story):
    """It was sent for each delete: where a camera's pictures are replaced every second, without end."""
    for path in ("b/1", "c/1"):
        alone.ledger.failures.clear(alone.id, path)
    sent = in_vain(alone, "a/1", 1000)
    assert sent[:4] == [0, 1, 3, 7]
    assert len(sent) <= 12
    assert sent[-1] > 600, "nor is it forgotten"


def test_a_file_that_has_just_been_sent_in_vain_is_sent_again_for_a_later_delete_soon(alone: Story):
    """Though there may be no further delete that would tell."""
    for path in ("b/1", "c/1"):
        alone.ledger.failures.clear(alone.id, path)
    deleted(alone, "old", NOW + 5)
    alone.apply(Failed(other_file("a/1"), FULL), NOW + 5.25)
    alone.queue.space.found(M, "other")
    alone.mirror.dirty.clear()
    deleted(alone, "old", NOW + 5.5)
    assert waits_s(alone, "a/1") == 0.75
    assert alone.mirror.dirty.awaits("a/1")


def test_what_is_refused_again_and_again_while_room_is_made_is_told_and_not_sent_without_end(story: Story):
    """It was sent at once each time, and nobody heard of it: it had a connection for as long as files were deleted."""
    file = begun(story, other_file("new"))
    story.queue.space.clear()
    deleted(story, "old", NOW + 5)
    assert story.apply(Failed(file, FULL), NOW + 5)
    story.queue.finish(file, requeue=True)
    assert story.queue.take(NOW + 5) == file
    deleted(story, "old", NOW + 5.5)
    story.mirror.dirty.clear()
    assert not story.apply(Failed(file, FULL), NOW + 5.5)
    assert [event.path for event in story.events][-1] == "new"
    assert waits_s(story, "new") == 0.5
    assert story.mirror.dirty.awaits("new")
