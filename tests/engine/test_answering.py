"""What people are told of whether a server answers, and how well: each piece of news once, with the server's name."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ftpsyncd.actions import Did, Done, Failed, Outcome, Probe, Upload
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine import answering
from ftpsyncd.engine.handout import Server
from ftpsyncd.errors import DataUnreachableError, ServerUnavailableError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.model import Fingerprint
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.profile import Profile
from tests.core.vocabulary import NOW, SHA, M

DOWN = Failed(Probe("web"), ServerUnavailableError("Connection refused.", remedy="Start it."), connecting=True)
NO_DATA = Failed(Probe("web"), DataUnreachableError("No data connection."), connecting=True)
SENT = Done(Upload(M, "a", Fingerprint(10, 1, 7)), Did.PUBLISHED, sha256=SHA)


class Story:
    """A server that worked, over whose only connection a file is on its way."""

    connections = 1
    sent = 0

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.server = Server("web", Queue(4, jitter=0.5), cast("Any", self))
        self.gate = self.server.queue.gate
        self.gate.answered()

    def transfers(self) -> list[Progress]:
        """As of a crew."""
        return [Progress(M, "film", 10_000_000, self.sent)]

    def performed(self, outcome: Outcome, now: float = NOW) -> None:
        answering.performed(self.server, outcome, now, self.told.append)

    @property
    def news(self) -> list[EventKind]:
        """What was told since the last time."""
        told, self.told[:] = list(self.told), []
        assert all(event.server == "web" for event in told)
        return [event.kind for event in told]


def test_that_a_server_is_away_is_told_once_with_what_helps() -> None:
    story = Story()
    for now in (NOW, NOW + 1000):
        story.performed(DOWN, now)
    told = Event(EventKind.SERVER_OFFLINE, server="web", message="Connection refused.", remedy="Start it.")
    assert story.told == [told]


def test_a_connection_that_is_opened_shows_that_a_server_is_back() -> None:
    story = Story()
    answering.connected(story.server, story.told.append)
    assert story.news == [], "it was not away"
    story.performed(DOWN)
    answering.connected(story.server, story.told.append)
    assert story.news == [EventKind.SERVER_OFFLINE, EventKind.SERVER_ONLINE]
    assert story.server.is_back
    answering.connected(story.server, story.told.append)
    assert story.news == []


def test_a_connection_that_is_opened_does_not_show_that_data_gets_through() -> None:
    story = Story()
    story.performed(NO_DATA)
    answering.connected(story.server, story.told.append)
    assert story.news == [EventKind.SERVER_OFFLINE]
    assert story.gate.state is Breaker.OFFLINE


@pytest.mark.parametrize(
    ("failed", "shows"), [(DOWN, True), (NO_DATA, False)], ids=["no connection", "no data connection"]
)
def test_what_goes_on_shows_that_a_server_works_only_where_connections_are_refused(
    failed: Failed, *, shows: bool
) -> None:
    """Where data connections are, one that was there before says nothing of others."""
    story = Story()
    for _ in range(3):
        story.performed(failed, story.gate.paused_until or NOW)
        story.sent += 1000
    assert (story.gate.state is Breaker.CLOSED) is shows
    assert story.news == [EventKind.SERVER_OFFLINE, *[EventKind.SERVER_ONLINE] * shows]
    story.performed(SENT)
    assert story.news == [EventKind.SERVER_ONLINE] * (not shows)


def test_a_large_file_that_begins_is_news_of_its_server() -> None:
    story = Story()
    story.performed(DOWN)
    answering.received(story.server, NOW, story.told.append)
    assert story.news == [EventKind.SERVER_OFFLINE, EventKind.SERVER_ONLINE]


def test_that_a_server_renames_nothing_is_told_once_and_again_when_that_is_news() -> None:
    story, profile = Story(), Profile()

    def learned() -> list[str]:
        answering.learned(story.server, story.told.append)
        return [event.message for event in story.told if event.kind is EventKind.NO_RENAMES and event.remedy]

    assert learned() == [], "nothing keeps what is learned of it"
    story.server.keeper = Keeper(profile, "", NOW)
    assert learned() == []
    profile.no_renames.append("/in")
    here = profile.without_renames
    assert learned() == learned() == [here]
    profile.renames = False
    anywhere = profile.without_renames
    assert learned() == learned() == [here, anywhere]
    profile.renames, profile.no_renames = True, []
    assert learned() == [here, anywhere], "that it renames is what is expected"
    profile.renames = False
    assert learned() == [here, anywhere, anywhere]
    assert len(story.news) == 3
