"""What the control API says names commands that go to the daemon that says it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ftpsyncd.control.feed import Feed
from ftpsyncd.control.port import Daemon
from ftpsyncd.control.spoken import Spoken
from ftpsyncd.errors import CommandRefusedError, UsageError
from ftpsyncd.events import Event, EventKind
from ftpsyncd.questions import CommandName, Why
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.typed import Typed
from tests.control.fakes import GALLERY, PAGE, STATUS, FakeDaemon

TYPED = Typed(" -c own.yaml")
PLAIN, FOR_IT = "see `ftpsyncd status`", "see `ftpsyncd status -c own.yaml`"
ASKED: dict[str, Callable[[Daemon], object]] = {
    "status": lambda daemon: daemon.status(),
    "why": lambda daemon: daemon.why("/a"),
    "command": lambda daemon: daemon.command(CommandName.RETRY, mapping=None, server=None, path=None),
    "repair": lambda daemon: daemon.repair("gallery", [], []),
    "learn": lambda daemon: daemon.learn("a@b:21", {}),
    "history": lambda daemon: daemon.history(HistoryQuery(), None),
}


class Talking(FakeDaemon):
    """Says the same sentence everywhere."""

    def why(self, path: str) -> Why:
        return super().why(path)._replace(sentence=PLAIN)

    def command(self, name: CommandName, **scope: str | None) -> str:
        return super().command(name, **scope) and PLAIN

    def repair(self, *asked: object) -> str:
        return super().repair(*asked) and PLAIN  # type: ignore[arg-type]

    def learn(self, *asked: object) -> str:
        return super().learn(*asked) and PLAIN  # type: ignore[arg-type]


def talking(trouble: Exception | None = None) -> Spoken:
    mapping = GALLERY._replace(message=PLAIN)
    page = HistoryPage((PAGE.entries[0]._replace(message=PLAIN),))
    return Spoken(Talking(STATUS._replace(mappings=(mapping,)), page=page, trouble=trouble), TYPED)


@pytest.mark.parametrize("question", ASKED)
def test_every_answer_does(question: str) -> None:
    said = repr(ASKED[question](talking()))
    assert FOR_IT in said
    assert PLAIN not in said


@pytest.mark.parametrize("question", ASKED)
def test_every_refusal_does(question: str) -> None:
    with pytest.raises(CommandRefusedError) as refused:
        ASKED[question](talking(CommandRefusedError(PLAIN, remedy=PLAIN)))
    assert (refused.value.message, refused.value.remedy) == (FOR_IT, FOR_IT)


def test_a_refusal_stays_what_it_is() -> None:
    with pytest.raises(UsageError):
        talking(UsageError("No.")).status()


def test_health_is_passed_on() -> None:
    assert talking().health() == FakeDaemon().health()


def test_events_and_changes_of_state_do() -> None:
    feed = Feed(typed=TYPED)
    start = feed.now()
    feed.tell(Event(EventKind.HELD, "gallery", message=PLAIN, remedy=PLAIN))
    feed.show(STATUS._replace(mappings=(GALLERY._replace(message=PLAIN),), transfers=()))
    held, mapping, _server = (each.decode("ascii") for each in feed.after(start).events)
    assert held.count(FOR_IT) == 2
    assert mapping.count(FOR_IT) == 1
