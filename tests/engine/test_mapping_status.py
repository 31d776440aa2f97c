"""What a status tells of a mapping and of a server, from the queue, the disk and the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine.report import mapping_status, server_status
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import RootIdentity
from ftpsyncd.status import MappingState, ServerState
from tests.core.vocabulary import DISK, NOW, WALL, M, failed, file, listing, published
from tests.engine.test_outcomes import Story
from tests.mapping.test_slices import Asked

AT = Moment(NOW, WALL)
ROOT = RootIdentity(1, DISK)


@pytest.fixture
def story() -> Iterator[Story]:
    """A mapping whose folder was looked through, and held nothing."""
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        story.mirror.looks.attach(Asked())
        story.mirror.on_answer(WatchReport("native", ROOT, ""), AT)
        story.mirror.on_changes(Changes(frozenset(), frozenset({""})), AT)
        story.mirror.pump(AT)
        story.mirror.on_answer(listing({}, inode=1)._replace(root=ROOT), AT)
        story.mirror.pump(AT)
        assert mapping_status(story.mirror, AT).state is MappingState.IN_SYNC
        yield story


def test_all_that_waits_is_counted_and_so_is_all_that_failed(story: Story) -> None:
    """Whatever it waits for: its turn, to be at rest, or for `delete_after`."""
    for name in ("a", "b", "c"):
        story.queue.offer(Upload(M, name, file().fingerprint))
    story.mirror.on_answer(listing({"new": file(changed_s_ago=0.0)}, names={"new"})._replace(root=ROOT), AT)
    story.mirror.removals.absent.note("gone", 1, NOW)
    story.mirror.removals.absent.note("gone too", 1, NOW)
    story.mirror.removals.absent.note_directory("empty", 0, NOW)
    story.ledger.put(story.id, "old", published(file()))
    story.ledger.failures.put(story.id, "refused", failed(file()))
    story.mirror.unreadable.listed(listing({}, "d", unreadable=("closed", "shut")), AT)
    status = mapping_status(story.mirror, AT)
    assert (status.settling, status.pending, status.failed) == (1, 3 + 1 + 3, 1 + 2)


def test_what_has_nothing_to_send_is_not_offline_with_its_server(story: Story) -> None:
    story.queue.gate.failed(NOW, Breaker.OFFLINE, "it does not answer")
    assert mapping_status(story.mirror, AT).state is MappingState.IN_SYNC
    story.queue.offer(Upload(M, "a", file().fingerprint))
    status = mapping_status(story.mirror, AT)
    assert (status.state, status.message) == (MappingState.OFFLINE, "waits for the server web: it does not answer")


def test_a_server_to_which_there_is_a_connection_is_online_though_nothing_was_done_there_yet() -> None:
    """What is worse than it should be there is told unless something keeps it from working."""
    queue, limits = Queue(4), "it allows one connection only"
    assert server_status("web", queue, 0, AT).state is ServerState.UNKNOWN
    assert server_status("web", queue, 1, AT, limits)[1:4] == (ServerState.ONLINE, 1, limits)
    queue.gate.failed(NOW, Breaker.REFUSED, "the password is wrong")
    assert server_status("web", queue, 1, AT, limits)[1:4] == (ServerState.REFUSED, 1, "the password is wrong")
