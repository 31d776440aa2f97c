"""What an outcome means: the next try of a path, the ledger's rows and failures, and the state of the server."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import pytest

from ftpsyncd.actions import (
    Action,
    Delete,
    Did,
    Done,
    Failed,
    MakeDir,
    Outcome,
    Probe,
    RemoveDir,
    Rename,
    RenameDir,
    Sweep,
    Upload,
)
from ftpsyncd.core import names
from ftpsyncd.core.gate import FIRST_PAUSE_S, FULL_PAUSE_S, LOGIN_PAUSE_S, PAUSE_FACTOR, TLS_PAUSE_S, Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.settle import BUSY_AGAIN_S
from ftpsyncd.core.space import SPACE_RETRY_S
from ftpsyncd.engine import again
from ftpsyncd.engine.gating import apply_to_server
from ftpsyncd.engine.outcomes import (
    LOOK_AGAIN_S,
    LOST_CONNECTIONS,
    QUICK_TRIES,
    Outcomes,
    retry_after,
)
from ftpsyncd.engine.report import RATE_OVER_S, iso, mapping_status, problems_of, server_status, transfer_of
from ftpsyncd.errors import (
    ChangedAtServerError,
    ConfigError,
    DataUnreachableError,
    FileBusyError,
    FileChangedError,
    FtpsyncdError,
    LocalUnreadableError,
    LoginRefusedError,
    NameNotSendableError,
    NameRefusedError,
    NoDescriptorError,
    NoMemoryError,
    Retry,
    ServerFullError,
    ServerUnavailableError,
    TlsError,
    TooManyConnectionsError,
    TooManyTransfersError,
    TransferFailedError,
)
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.decisions import UNDATED
from ftpsyncd.ledger.failures import FailureCounts
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment, Step
from ftpsyncd.mapping.stalls import ENOUGH_BYTES
from ftpsyncd.model import Exposure, Failure, Fingerprint, Hold, HoldKind, Kind, Row
from ftpsyncd.paths import join, parent, remote_join
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.specs import MappingSpec
from ftpsyncd.status import MappingState, ServerState, ServerStatus
from tests.core.vocabulary import NOW, SHA, WALL, M, S, Without

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
A = Fingerprint(10, 1, 7)
UPLOAD = Upload(M, "d/a", A)

REFUSED = NameRefusedError("Permission denied.", reply="550 Permission denied.")
FULL = ServerFullError("No space left.", reply="552 Quota exceeded.")
BROKEN = TransferFailedError("The transfer was cut.", reply="426 Aborted.")
DOWN = ServerUnavailableError("Connection refused.")
TOO_MANY = TooManyConnectionsError("Too many connections.", reply="421 Too many connections.")
WRONG_PASSWORD = LoginRefusedError("Login refused.", reply="530 Login incorrect.")


# ── When a path is tried again ───────────────────────────────────────────────────────────────────────────────────


def waits(retry: Retry, most: int = 100) -> list[float]:
    """The waits between the tries of a path that fails each time, until it is parked."""
    found: list[float] = []
    while len(found) < most and (wait := retry_after(retry, len(found) + 1)) is not None:
        found.append(wait)
    return found


def test_a_file_has_five_quick_tries_then_one_each_hour_for_a_day():
    assert waits(Retry.FILE) == [1, 2, 4, 8, *[HOUR_S] * 24]
    assert sum(waits(Retry.FILE)[4:]) == DAY_S


def test_a_name_has_two_tries():
    assert waits(Retry.NAME) == [1]


def test_what_no_retry_can_mend_is_parked_at_once():
    assert waits(Retry.NEVER) == []


def test_a_full_server_is_asked_again_for_ever():
    assert waits(Retry.SPACE, 1000) == [SPACE_RETRY_S] * 1000


@pytest.mark.parametrize("retry", [Retry.SERVER, Retry.LOGIN, Retry.CAP, Retry.REPLAN, Retry.MACHINE])
def test_what_is_no_fault_of_the_file_counts_as_its_own_only_if_it_stays_so(retry: Retry):
    assert waits(retry) == waits(Retry.FILE)


# ── What an outcome says about the server ────────────────────────────────────────────────────────────────────────


def queue_in(state: Breaker) -> Queue:
    queue = Queue(4, jitter=0.5)
    if state is Breaker.CLOSED:
        queue.gate.answered()
    elif state is not Breaker.UNKNOWN:
        queue.gate.failed(NOW - 1000, state, "before")
    return queue


DONE = Done(UPLOAD, Did.PUBLISHED)
DELETED = Done(Delete(M, "d/a"), Did.DELETED)
ANSWERED = Done(Probe("web"), Did.ANSWERED)


def failed(error: FtpsyncdError, *, connecting: bool = False) -> Failed:
    return Failed(UPLOAD, error, connecting)


ONLINE, OFFLINE = EventKind.SERVER_ONLINE, EventKind.SERVER_OFFLINE
VERDICTS: dict[str, tuple[Breaker, Outcome, Breaker, EventKind | None]] = {
    "the first success is no news": (Breaker.UNKNOWN, DONE, Breaker.CLOSED, None),
    "another success is no news": (Breaker.CLOSED, DONE, Breaker.CLOSED, None),
    "a success after an outage is": (Breaker.OFFLINE, DONE, Breaker.CLOSED, ONLINE),
    "an answered probe after an outage is": (Breaker.OFFLINE, ANSWERED, Breaker.CLOSED, ONLINE),
    "a delete that is done after an outage is": (Breaker.OFFLINE, DELETED, Breaker.CLOSED, ONLINE),
    "a success after refused logins is": (Breaker.REFUSED, DONE, Breaker.CLOSED, ONLINE),
    "a success at a server that was full is": (Breaker.FULL, DONE, Breaker.CLOSED, ONLINE),
    "a refused name is an answer": (Breaker.OFFLINE, failed(REFUSED), Breaker.CLOSED, ONLINE),
    "a transfer that was refused is an answer": (Breaker.CLOSED, failed(BROKEN), Breaker.CLOSED, None),
    "a local failure says nothing": (Breaker.OFFLINE, failed(FileChangedError("x")), Breaker.OFFLINE, None),
    "an unreadable file says nothing": (Breaker.OFFLINE, failed(LocalUnreadableError("x")), Breaker.OFFLINE, None),
    "a full server is judged by its files": (Breaker.OFFLINE, failed(FULL), Breaker.OFFLINE, None),
    "a connection that ended says nothing yet": (Breaker.CLOSED, failed(DOWN), Breaker.CLOSED, None),
    "no connection: offline": (Breaker.CLOSED, failed(DOWN, connecting=True), Breaker.OFFLINE, OFFLINE),
    "no connection from the start: offline": (Breaker.UNKNOWN, failed(DOWN, connecting=True), Breaker.OFFLINE, OFFLINE),
    "still no connection: no news": (Breaker.OFFLINE, failed(DOWN, connecting=True), Breaker.OFFLINE, None),
    "a refused login: refused": (Breaker.CLOSED, failed(WRONG_PASSWORD, connecting=True), Breaker.REFUSED, OFFLINE),
    "a bad certificate: refused": (Breaker.CLOSED, failed(TlsError("x"), connecting=True), Breaker.REFUSED, OFFLINE),
    "offline, then refused: news": (Breaker.OFFLINE, failed(WRONG_PASSWORD, connecting=True), Breaker.REFUSED, OFFLINE),
    "no connection for want of this machine's: nothing": (
        Breaker.CLOSED,
        failed(NoDescriptorError("x"), connecting=True),
        Breaker.CLOSED,
        None,
    ),
    "a password that cannot be read: offline": (
        Breaker.CLOSED,
        failed(ConfigError("x"), connecting=True),
        Breaker.OFFLINE,
        OFFLINE,
    ),
}


@pytest.mark.parametrize(("before", "outcome", "after", "news"), VERDICTS.values(), ids=VERDICTS.keys())
def test_verdict_on_the_server(before: Breaker, outcome: Outcome, after: Breaker, news: EventKind | None):
    queue = queue_in(before)
    assert apply_to_server(queue, outcome, 2, NOW) is news
    assert queue.gate.state is after


@pytest.mark.parametrize(
    ("error", "pause_s"), [(DOWN, FIRST_PAUSE_S), (WRONG_PASSWORD, LOGIN_PAUSE_S), (TlsError("x"), TLS_PAUSE_S)]
)
def test_a_server_that_cannot_be_reached_is_left_alone(error: FtpsyncdError, pause_s: float):
    queue = queue_in(Breaker.CLOSED)
    apply_to_server(queue, failed(error, connecting=True), 0, NOW)
    assert queue.next_due(NOW) == NOW + pause_s
    assert queue.gate.message == error.message


def test_too_many_connections_lower_the_cap_while_others_are_open():
    queue = queue_in(Breaker.CLOSED)
    assert apply_to_server(queue, failed(TOO_MANY, connecting=True), 3, NOW) is None
    assert queue.gate.cap == 3
    assert queue.gate.state is Breaker.CLOSED


def test_too_many_connections_at_the_very_first_one_is_an_outage():
    queue = queue_in(Breaker.CLOSED)
    assert apply_to_server(queue, failed(TOO_MANY, connecting=True), 0, NOW) is OFFLINE
    assert queue.gate.cap == 4


def test_too_many_connections_at_a_cap_of_one_is_an_outage():
    queue = Queue(1)
    assert apply_to_server(queue, failed(TOO_MANY, connecting=True), 1, NOW) is OFFLINE


def test_too_many_transfers_lower_the_cap_until_there_is_one_and_are_an_outage_then():
    queue = queue_in(Breaker.CLOSED)
    refused = failed(TooManyTransfersError("Too many transfers.", reply="451 Too many transfers."))
    for connections in (4, 3, 2):
        assert apply_to_server(queue, refused, connections, NOW) is None
    assert queue.gate.cap == 1
    assert apply_to_server(queue, refused, 2, NOW) is None, "another transfer may be under way"
    alone = refused._replace(alone=True)
    assert apply_to_server(queue, alone, 1, NOW) is OFFLINE, "its own connection may be counted still"
    assert apply_to_server(queue, alone, 0, NOW) is None, "that is known"


def test_where_other_connections_work_the_further_ones_are_refused_and_no_server_is_down():
    queue = queue_in(Breaker.CLOSED)
    assert apply_to_server(queue, failed(DOWN, connecting=True), 2, NOW) is OFFLINE
    assert queue.gate.cap == 4, "it may be dead"
    assert apply_to_server(queue, DONE, 2, NOW) is ONLINE
    assert (queue.gate.state, queue.gate.cap) == (Breaker.CLOSED, 2)


def test_a_server_that_is_back_has_all_its_connections():
    queue = queue_in(Breaker.CLOSED)
    apply_to_server(queue, failed(DOWN, connecting=True), 0, NOW)
    assert queue.gate.connected()
    assert apply_to_server(queue, DONE, 1, NOW) is None
    assert queue.gate.cap == 4


@pytest.mark.parametrize("state", [Breaker.REFUSED, Breaker.FULL])
def test_what_has_nothing_to_do_with_the_number_of_connections_lowers_no_cap(state: Breaker):
    queue = queue_in(Breaker.CLOSED)
    queue.gate.failed(NOW, state, "No.", connects=state is Breaker.FULL)
    assert apply_to_server(queue, DONE, 1, NOW) is ONLINE
    assert queue.gate.cap == 4


# ── What an outcome says about its path ──────────────────────────────────────────────────────────────────────────


class Asked:
    """A disk that only remembers which names it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def list_dir(self, directory: str) -> None:
        raise AssertionError("no directory has to be looked through")

    def probe(self, _directory: str, names: Collection[str]) -> None:
        self.names.update(names)

    def check(self) -> None:
        raise AssertionError("nobody had a reason to doubt the root")

    def answers(self) -> bool:
        raise AssertionError("nobody had a reason to doubt the disk")


class Story:
    """A mirror with a ledger, and what the log is told."""

    def __init__(
        self, ledger: Ledger, *, name: str = M, queue: Queue | None = None, follow_symlinks: bool = False
    ) -> None:
        self.events: list[Event] = []
        self.ledger = ledger
        self.queue = queue or queue_in(Breaker.CLOSED)
        self.outcomes = Outcomes()
        self._spec = MappingSpec(name, Path("/srv/gallery"), "web", "/htdocs", follow_symlinks=follow_symlinks)
        self.id = ledger.mappings.number(name, "there")
        self.mirror = self._mirror()

    def _mirror(self) -> Mirror:
        return Mirror(
            self._spec,
            Without(),
            self.id,
            self.ledger,
            self.queue,
            Folder(self._spec),
            self.events.append,
            today=lambda: "2024-05-01",
        )

    def adjust(self) -> None:
        """The settings are other ones, by a reload."""
        before, self.mirror = self.mirror, self._mirror()
        self.mirror.go_on_from(before)

    def apply(self, outcome: Outcome, now: float = NOW) -> bool:
        return self.outcomes.apply(self.mirror, outcome, Moment(now, WALL + int((now - NOW) * S)))

    def told(self) -> list[EventKind]:
        return [event.kind for event in self.events]


@pytest.fixture
def story() -> Iterator[Story]:
    with Ledger(Path(":memory:")) as ledger:
        yield Story(ledger)


class TestAFileWhoseTransferMovedNothing:
    """As all do where packets above a certain size are lost; when that is mended, each would wait for an hour."""

    @staticmethod
    def stall(story: Story, now: float = NOW, *, path: str = "d/a", size: int = 1_000_000) -> None:
        error = TransferFailedError("Nothing moved.")
        error.__cause__ = TimeoutError()
        story.apply(Failed(UPLOAD._replace(path=path, fingerprint=Fingerprint(size, 1, 1)), error), now)

    @staticmethod
    def arrives(story: Story, size: int, now: float) -> None:
        story.apply(Done(Upload(M, "b", Fingerprint(size, 1, 2)), Did.PUBLISHED, Fingerprint(size, 1, 2), SHA), now)

    @staticmethod
    def waits_s(story: Story, path: str = "d/a") -> float:
        failure = story.ledger.failures.of(story.id, path)
        assert failure is not None
        return max(0.0, (failure.next_try_ns - failure.failed_ns) / S)

    def test_is_tried_again_when_another_one_arrives_that_is_as_large(self, story: Story):
        for _ in range(QUICK_TRIES):
            self.stall(story)
        self.arrives(story, 1000, NOW + 900)
        assert self.waits_s(story) == HOUR_S, "small ones came through all the time"
        story.mirror.dirty.clear()
        self.arrives(story, ENOUGH_BYTES, NOW + 1000)
        assert self.waits_s(story) == 0
        assert story.mirror.dirty.next_due() == NOW + 1000

    def test_is_tried_again_when_one_of_another_mapping_of_its_server_arrives(self, story: Story):
        """The network is the same; it waited for its hour where nothing else came into its own folder."""
        for _ in range(QUICK_TRIES):
            self.stall(story)
        stirred: list[str] = []
        other = Story(story.ledger, name="other", queue=story.queue)
        other.outcomes = Outcomes(lambda _mirror: [story.mirror], stirred.append)
        for size, waits_s, named in ((1000, HOUR_S, []), (ENOUGH_BYTES, 0, [M]), (ENOUGH_BYTES, 0, [M])):
            found = Fingerprint(size, 1, 2)
            other.apply(Done(Upload("other", "b", found), Did.PUBLISHED, found, SHA), NOW + 1000)
            assert (self.waits_s(story), stirred) == (waits_s, named)

    def test_waits_ever_longer_where_it_alone_stalls(self, story: Story):
        """Each try takes a connection for two minutes."""
        now, brought = NOW, list[float]()
        for _ in range(QUICK_TRIES):
            self.stall(story, now)
        while now < NOW + 7500:
            now += 30
            self.arrives(story, 5_000_000, now)
            if self.waits_s(story) == 0:
                brought.append(now - NOW)
                self.stall(story, now)
        assert brought == [30, 90, 210, 450, 930, 1890, 3810, 7410], "after an hour at the latest"

    def test_is_tried_again_when_one_arrives_that_is_as_small_if_it_is_small_itself(self, story: Story):
        self.stall(story, size=1000)
        self.arrives(story, 999, NOW + 1)
        assert self.waits_s(story) > 0
        self.arrives(story, 1000, NOW + 2)
        assert self.waits_s(story) == 0

    def test_is_remembered_no_more_when_it_has_arrived(self, story: Story):
        self.stall(story)
        story.apply(Done(UPLOAD, Did.PUBLISHED, UPLOAD.fingerprint, SHA), NOW + 1)
        assert repr(story.mirror.stalls) == "<Stalls 0>"

    def test_of_very_many_those_that_stalled_first_wait_for_their_own_tries(
        self, story: Story, monkeypatch: pytest.MonkeyPatch
    ):
        """One that stalls again has stalled last."""
        monkeypatch.setattr("ftpsyncd.mapping.stalls.KEPT", 2)
        for path in ("d/b", "d/c", "d/b", "d/a"):
            self.stall(story, path=path)
        self.arrives(story, 5_000_000, NOW + 1)
        assert {path: self.waits_s(story, path) > 0 for path in ("d/a", "d/b", "d/c")} == {
            "d/a": False,
            "d/b": False,
            "d/c": True,
        }

    def test_goes_on_waiting_for_that_under_other_settings(self, story: Story):
        for _ in range(QUICK_TRIES):
            self.stall(story)
        story.adjust()
        self.arrives(story, 5_000_000, NOW + 1000)
        assert self.waits_s(story) == 0


@pytest.mark.parametrize(("refused", "asked"), [(True, []), (False, ["d/a"])])
def test_only_what_may_be_at_the_server_of_a_file_that_failed_is_asked_for(
    story: Story,
    refused: bool,  # noqa: FBT001 - a case
    asked: list[str],
):
    """At a server that refuses a folder of 50,000 files, each would be remembered, and swept in the end."""
    begun = story.mirror.intents.begin(UPLOAD)
    story.apply(Failed(begun, REFUSED, refused=refused))
    assert [path for path, _ in story.ledger.begun.of(story.id)] == asked
    story.mirror.intents.inquiries.ask((), NOW)
    assert [path for path in ("d/a",) if story.queue.waiting(M, path) is not None] == asked


@pytest.mark.parametrize("error", [FileChangedError("It changed."), LocalUnreadableError("It cannot be read.")])
@pytest.mark.parametrize("unanswered", [True, False])
def test_what_the_server_may_still_receive_of_a_try_does_not_get_into_the_next_one(
    story: Story, error: FtpsyncdError, *, unanswered: bool
):
    """The disk was to blame for the try, but the connection has ended, too."""
    begun = story.mirror.intents.begin(UPLOAD)
    usual = story.ledger.begun.of(story.id)[0][1].temporary
    story.apply(Failed(begun, error, unanswered=unanswered))
    again = story.mirror.intents.begin(UPLOAD)
    assert isinstance(again, Upload)
    assert (again.temporary not in {"", usual}) is unanswered
    assert again.left == ((usual,) if unanswered else ())
    assert again.afresh is unanswered


def test_a_published_file_is_recorded_with_what_was_planned(story: Story):
    story.ledger.failures.put(story.id, "d/a", _any_failure())
    assert not story.apply(Done(UPLOAD, Did.PUBLISHED, sha256=SHA, duration_s=2.5, reply="226 Done."))
    assert story.ledger.row(story.id, "d/a") == Row(Kind.FILE, A, SHA, WALL)
    assert story.ledger.failures.of(story.id, "d/a") is None
    (event,) = story.events
    assert (event.kind, event.path, event.size, event.reply) == (EventKind.PUBLISHED, "d/a", 10, "226 Done.")


DIRECTORY = Row(Kind.DIR, Fingerprint(0, 0, 50), b"", WALL)
CHANGES: dict[str, tuple[Outcome, set[str]]] = {
    "a file is written in place": (Done(UPLOAD._replace(fingerprint=A._replace(size=11)), Did.PUBLISHED), {"link"}),
    "another file is put in its place": (
        Done(UPLOAD._replace(fingerprint=Fingerprint(9, 2, 8)), Did.PUBLISHED),
        {"link"},
    ),
    "a file is renamed": (Done(Rename(M, "d/b", "d/a", A, SHA), Did.RENAMED), {"link"}),
    "a file is deleted": (Done(Delete(M, "d/a"), Did.DELETED), {"link"}),
    "a directory is renamed": (Done(RenameDir(M, "e", "d", 50), Did.RENAMED), {"folder"}),
    "a directory is removed": (Done(RemoveDir(M, "d"), Did.REMOVED), {"folder"}),
    "a directory is made": (Done(MakeDir(M, "d/new", 60), Did.MADE), {"folder/new"}),
    "a new file is published": (Done(Upload(M, "d/new", Fingerprint(9, 2, 8)), Did.PUBLISHED), {"folder/new"}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("follow", [False, True])
def test_names_that_lead_to_what_changed_are_looked_at_where_links_are_followed(change: str, *, follow: bool):
    outcome, expected = CHANGES[change]
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger, follow_symlinks=follow)
        for path in ("d", "folder"):
            ledger.put(story.id, path, DIRECTORY)
        for path in ("d/a", "link"):
            ledger.put(story.id, path, Row(Kind.FILE, A, SHA, WALL))
        story.apply(outcome)
        looks = []
        while (work := story.mirror.dirty.take(NOW)) is not None:
            looks += [join(work.directory, name) for name in work.names or ()]
        assert (expected <= set(looks)) is follow


@pytest.mark.parametrize(
    "done",
    [
        Done(Upload(M, "x/y/a", A), Did.PUBLISHED),
        Done(Rename(M, "x/y/a", "old", A, SHA), Did.RENAMED),
        Done(RenameDir(M, "x/y/a", "old", 5), Did.RENAMED),
        Done(MakeDir(M, "x/y/a", 5), Did.MADE),
        Done(Sweep(M, "x/y/a", "", fingerprints=(A,)), Did.ADOPTED, A),
    ],
    ids=lambda done: type(done.action).__name__,
)
def test_the_directories_of_what_the_server_has_are_recorded_with_it(story: Story, done: Done):
    """Otherwise, should the daemon die now, nobody would ever notice when they go."""
    kind = Kind.DIR if isinstance(done.action, RenameDir) else Kind.FILE
    story.ledger.put(story.id, "old", Row(kind, A, SHA, WALL))
    story.ledger.put(story.id, "x", Row(Kind.DIR, Fingerprint(0, 0, 9), b"", WALL))
    story.apply(done)
    rows = dict(story.ledger.walk(story.id))
    assert rows["x"].fingerprint.inode == 9, "it was recorded already"
    assert rows["x/y"].kind is Kind.DIR
    assert "x/y/a" in rows
    looks = []
    while (work := story.mirror.dirty.take(NOW)) is not None:
        looks += [join(work.directory, name) for name in work.names or ()]
    assert "x/y" in looks, "which directory it is, or whether it is gone, is still to be seen"
    assert "x" not in looks


def test_a_directory_rename_that_ends_the_connection_each_time_is_only_asked_about_in_the_end(story: Story):
    story.ledger.put(story.id, "d", Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
    story.mirror.intents.begin(RenameDir(M, "e", "d", 5))
    asked = RenameDir(M, "e", "d", 5)
    for _ in range(LOST_CONNECTIONS):
        assert not story.apply(Failed(asked, DOWN))
        again = story.queue.waiting(M, "e")
        assert isinstance(again, RenameDir)
        assert again.interrupted
        asked = again
    for left in range(LOST_CONNECTIONS, 0, -1):
        assert story.queue.waiting(M, "e") == asked
        assert asked.ask_only, f"it may end {left} connections more"
        assert not story.mirror.offers.any_not_renamed("e")
        assert not story.apply(Failed(asked, DOWN))
    assert story.queue.waiting(M, "e") is None
    assert story.mirror.offers.any_not_renamed("e")
    assert story.mirror.intents.inquiries.moves("d"), "it is still not known, and asked again later"
    assert not story.mirror.intents.inquiries.settles_first(Upload(M, "e/a", A)), "which keeps nothing waiting"


def test_a_directory_that_came_late_has_the_place_of_a_file_that_was_recorded_there(story: Story):
    """Which had been deleted at the server, without our hearing of it."""
    story.ledger.put(story.id, "d", Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
    story.ledger.put(story.id, "d/a", Row(Kind.FILE, A, SHA, WALL))
    story.ledger.put(story.id, "e", Row(Kind.FILE, A.doubted(), b"", WALL))
    story.apply(Done(RenameDir(M, "e", "d", 0, interrupted=True, ask_only=True), Did.RENAMED))
    assert [(path, row.kind) for path, row in story.ledger.walk(story.id)] == [("e", Kind.DIR), ("e/a", Kind.FILE)]


def test_a_directory_whose_rename_was_cut_off_is_asked_for_before_it_is_renamed_again(story: Story):
    story.ledger.put(story.id, "d", Row(Kind.DIR, Fingerprint(0, 0, 5), b"", WALL))
    rename = RenameDir(M, "e", "d", 5)
    story.mirror.intents.begin(rename)
    assert not story.apply(Failed(rename, DOWN))
    assert story.queue.waiting(M, "e") == RenameDir(M, "e", "d", 0, interrupted=True)
    assert story.mirror.intents


def test_what_a_published_file_has_left_at_the_server_is_swept(story: Story):
    left = names.aside(remote_join(story.mirror.spec.remote, "d/a"))
    story.apply(Done(story.mirror.intents.begin(UPLOAD), Did.PUBLISHED, sha256=SHA, left=left))
    story.mirror.intents.inquiries.ask((), NOW)
    (sweep,) = [
        action for path, _ in story.ledger.begun.of(story.id) if (action := story.queue.waiting(M, path)) is not None
    ]
    assert isinstance(sweep, Sweep)
    assert sweep.temporary == left


def test_a_file_that_another_protects_is_parked_and_not_recorded(story: Story):
    """Recorded, it would one day be deleted at the server although we never published it."""
    story.apply(Done(UPLOAD, Did.KEPT))
    assert story.ledger.row(story.id, "d/a") is None
    failure = story.ledger.failures.of(story.id, "d/a")
    assert failure is not None
    assert failure.parked
    assert failure.fingerprint == A


def test_what_stays_at_the_server_is_told_in_words_that_fit_it(story: Story):
    """One of them is somebody else's; the other may be a part of what was being sent."""
    story.apply(Done(UPLOAD, Did.KEPT))
    story.apply(Done(Sweep(M, "d/b", "", exposed=Exposure(10, 5, 6)), Did.KEPT))
    story.apply(Done(Sweep(M, "d/c", "part"), Did.SWEPT))
    told = {event.path: event.message for event in story.events}
    assert told["d/a"] == "the server has a file of this name that ftpsyncd never published"
    assert told["d/b"].endswith("does not show, by its size and date, that it is of that: it stays")
    assert not told.get("d/c")


def test_what_somebody_was_told_to_stay_is_not_asked_about_once_more(story: Story):
    """What was cut off may come late all the same; but it is told, and a person's, by then."""
    begun = story.mirror.intents.begin(UPLOAD)
    assert story.apply(Failed(begun, DOWN))
    begun = story.mirror.intents.begin(UPLOAD)
    story.apply(Done(begun, Did.KEPT))
    assert "d/a" not in [path for path, _ in story.ledger.begun.of(story.id)]


def test_a_renamed_file_moves_in_the_ledger(story: Story):
    story.apply(Done(UPLOAD, Did.PUBLISHED, sha256=SHA))
    story.apply(Done(Rename(M, "b", "d/a", A, SHA), Did.RENAMED))
    assert [path for path, _ in story.ledger.walk(story.id)] == ["b", "d"]
    assert story.events[-1].source == "d/a"


def test_a_renamed_file_is_known_by_its_ctime_of_before_since_the_rename_has_changed_it(story: Story):
    story.apply(Done(UPLOAD, Did.PUBLISHED, sha256=SHA, ctime_ns=5))
    for source, path in (("d/a", "b"), ("b", "c")):
        story.apply(Done(Rename(M, path, source, A, SHA), Did.RENAMED))
        row = story.ledger.row(story.id, path)
        assert row is not None
        assert row.ctime_ns == 5


@pytest.mark.parametrize(("did", "recorded"), [(Did.PUBLISHED, ["b", "d", "d/a"]), (Did.KEPT, ["d", "d/a"])])
def test_a_rename_that_became_an_upload_leaves_the_old_path_to_another_look(
    story: Story, did: Did, recorded: list[str]
):
    story.apply(Done(UPLOAD, Did.PUBLISHED, sha256=SHA))
    story.mirror.dirty.clear()
    story.apply(Done(Rename(M, "b", "d/a", A, SHA), did, sha256=SHA))
    assert [path for path, _ in story.ledger.walk(story.id)] == recorded
    work = story.mirror.dirty.take(NOW)
    assert work is not None
    assert work.directory == "d"
    assert work.names == frozenset("a")


def test_a_deleted_file_is_looked_at_again_because_it_may_be_back(story: Story):
    story.apply(Done(UPLOAD, Did.PUBLISHED))
    story.mirror.dirty.clear()
    story.apply(Done(Delete(M, "d/a"), Did.DELETED))
    assert story.ledger.row(story.id, "d/a") is None
    assert story.mirror.dirty.due_by(NOW)


@pytest.mark.parametrize("did", [Did.DELETED, Did.TRASHED])
def test_a_file_whose_name_differs_in_case_only_from_a_deleted_one_is_looked_for_at_the_server(story: Story, did: Did):
    """Where they are one name, it is gone with the other."""
    for path in ("d/IMG.JPG", "d/img.jpg", "d/img.png"):
        story.ledger.put(story.id, path, Row(Kind.FILE, A, SHA, WALL))
    disk = Asked()
    story.mirror.looks.attach(disk)
    story.apply(Done(Delete(M, "d/IMG.JPG"), did))
    story.mirror.pump(Moment(NOW, WALL))
    assert story.ledger.row(story.id, "d/img.jpg") == Row(Kind.FILE, A.doubted(), SHA, WALL)
    assert story.ledger.row(story.id, "d/img.png") == Row(Kind.FILE, A, SHA, WALL)
    assert disk.names == {"IMG.JPG", "img.jpg"}


LOST = Row(Kind.FILE, A.doubted(), SHA, WALL)


def looked_for(story: Story) -> set[str]:
    """What may be gone from the server with others."""
    story.mirror.other_cases.look_at_them(Moment(NOW, WALL))
    return {path for path, row in story.ledger.walk(story.id) if row.fingerprint == A.doubted()}


def published(story: Story, *paths: str) -> None:
    """Files and the directories that they are in."""
    for path in paths:
        story.ledger.put(story.id, path, Row(Kind.FILE, A, SHA, WALL))
        while path := parent(path):
            story.ledger.put(story.id, path, DIRECTORY)


@pytest.mark.parametrize(("gone", "other"), [("fotos", "Fotos"), ("myPics", "MyPics"), ("MYPICS", "myPics")])
def test_a_file_in_a_directory_whose_name_differs_in_case_only_is_looked_for_at_the_server(
    story: Story, gone: str, other: str
):
    """Where they are one name, the directories are one, too."""
    published(story, f"{gone}/in/a.jpg", f"{other}/IN/a.jpg", f"{other}/in/b.jpg")
    story.apply(Done(Delete(M, f"{gone}/in/a.jpg"), Did.DELETED))
    story.mirror.other_cases.look_at_them(Moment(NOW, WALL))
    assert story.ledger.row(story.id, f"{other}/IN/a.jpg") == LOST
    assert story.ledger.row(story.id, f"{other}/in/b.jpg") == Row(Kind.FILE, A, SHA, WALL)


def test_what_a_rename_may_have_taken_along_is_looked_for_at_the_server(story: Story):
    published(story, "fotos/a.jpg", "Fotos/b.jpg", "Fotos/in/c.jpg", "d/x.jpg", "d/X.jpg", "d/y.jpg")
    story.apply(Done(RenameDir(M, "bilder", "fotos", 50), Did.RENAMED))
    story.apply(Done(Rename(M, "d/z.jpg", "d/x.jpg", A, SHA), Did.RENAMED))
    assert looked_for(story) == {"Fotos/b.jpg", "Fotos/in/c.jpg", "d/X.jpg"}


def test_what_is_renamed_to_another_case_of_its_name_is_not_looked_for(story: Story):
    published(story, "fotos/a.jpg", "d/x.jpg")
    for rename in (RenameDir(M, "Fotos", "fotos", 50), Rename(M, "d/X.jpg", "d/x.jpg", A, SHA)):
        story.queue.offer(rename)
        assert story.queue.take(NOW) == rename
        story.apply(Done(rename, Did.RENAMED))
        story.queue.finish(rename)
    assert looked_for(story) == set()


def test_what_was_looked_for_and_is_published_again_is_not_looked_for_once_more(story: Story):
    """It would be sent anew in every turn."""
    published(story, "d/IMG.JPG", "d/img.jpg")
    story.apply(Done(Delete(M, "d/IMG.JPG"), Did.DELETED))
    assert looked_for(story) == {"d/img.jpg"}
    published(story, "d/img.jpg")
    assert looked_for(story) == set()


def test_what_is_back_under_a_deleted_name_is_not_looked_for(story: Story):
    published(story, "d/IMG.JPG")
    story.apply(Done(Delete(M, "d/IMG.JPG"), Did.DELETED))
    published(story, "d/IMG.JPG")
    assert looked_for(story) == set()


def test_what_is_gone_here_is_not_looked_for(story: Story):
    """That it is not at the server, either, is no loss; in doubt, it would be deleted by other rules."""
    published(story, "d/IMG.JPG", "d/img.jpg")
    story.mirror.removals.gone("d/img.jpg", Kind.FILE, Moment(NOW, WALL), gone_s=0.0)
    story.apply(Done(Delete(M, "d/IMG.JPG"), Did.DELETED))
    assert looked_for(story) == set()


def test_what_is_being_published_into_a_directory_is_looked_for_when_another_case_of_it_was_renamed(story: Story):
    published(story, "fotos/a.jpg")
    upload = UPLOAD._replace(path="Fotos/b.jpg")
    story.queue.offer(upload)
    assert story.queue.take(NOW) == upload
    story.apply(Done(RenameDir(M, "bilder", "fotos", 50), Did.RENAMED))
    story.queue.finish(upload)
    published(story, "Fotos/b.jpg")
    assert looked_for(story) == {"Fotos/b.jpg"}


def test_what_is_being_published_is_looked_for_when_that_has_ended(story: Story):
    """Its row is written then, and it may have come to the server before the delete."""
    published(story, "d/IMG.JPG")
    upload = UPLOAD._replace(path="D/img.jpg")
    story.queue.offer(upload)
    assert story.queue.take(NOW) == upload
    story.apply(Done(Delete(M, "d/IMG.JPG"), Did.DELETED))
    story.mirror.other_cases.look_at_them(Moment(NOW, WALL))
    story.queue.finish(upload)
    story.apply(Done(upload, Did.PUBLISHED, sha256=SHA))
    story.mirror.other_cases.look_at_them(Moment(NOW, WALL))
    assert story.ledger.row(story.id, "D/img.jpg") == LOST


def test_what_may_be_gone_with_another_is_looked_for_though_its_mapping_goes(story: Story):
    """It may be back: a reload that connects anew takes it out and in again."""
    published(story, "d/IMG.JPG", "D/img.jpg")
    story.mirror.leave()
    story.apply(Done(Delete(M, "d/IMG.JPG"), Did.DELETED))
    story.mirror.pump(Moment(NOW, WALL))
    assert story.ledger.row(story.id, "D/img.jpg") == LOST


def test_what_is_being_published_while_the_settings_change_is_looked_for_when_that_has_ended(story: Story):
    published(story, "d/IMG.JPG")
    upload = UPLOAD._replace(path="D/img.jpg")
    story.queue.offer(upload)
    assert story.queue.take(NOW) == upload
    story.apply(Done(Delete(M, "d/IMG.JPG"), Did.DELETED))
    story.mirror.pump(Moment(NOW, WALL))
    story.adjust()
    story.queue.finish(upload)
    story.apply(Done(upload, Did.PUBLISHED, sha256=SHA))
    story.mirror.pump(Moment(NOW, WALL))
    assert story.ledger.row(story.id, "D/img.jpg") == LOST


@pytest.mark.parametrize("did", [Did.REMOVED, Did.LEFT, Did.MOUNTED])
def test_a_made_directory_is_recorded_and_a_removed_one_forgotten(story: Story, did: Did):
    story.apply(Done(MakeDir(M, "d", 50, mount_point=True), Did.MADE))
    assert story.ledger.row(story.id, "d") == Row(Kind.DIR, Fingerprint(0, 0, 50), b"", WALL, 1)
    story.apply(Done(RemoveDir(M, "d"), did))
    assert story.ledger.is_empty(story.id)


@pytest.mark.parametrize("did", [Did.LEFT, Did.MOUNTED])
def test_a_directory_that_is_left_because_something_was_published_in_it_is_not_forgotten(story: Story, did: Did):
    """Forgotten, the file would stay at the server for ever."""
    story.apply(Done(MakeDir(M, "d", 50), Did.MADE))
    story.apply(Done(UPLOAD, Did.PUBLISHED))
    story.mirror.dirty.clear()
    story.apply(Done(RemoveDir(M, "d"), did))
    assert {path for path, _ in story.ledger.walk(story.id)} == {"d", "d/a"}
    work = story.mirror.dirty.take(NOW)
    assert work is not None
    assert (work.directory, work.names) == ("", frozenset("d"))


@pytest.mark.parametrize("error", [FileChangedError("x"), REFUSED])
def test_what_a_rename_did_not_take_away_is_looked_at_again(story: Story, error: FtpsyncdError):
    story.apply(Done(UPLOAD, Did.PUBLISHED, sha256=SHA))
    story.mirror.dirty.clear()
    story.apply(Failed(Rename(M, "b", "d/a", A, SHA), error))
    looks = [story.mirror.dirty.take(NOW + LOOK_AGAIN_S) for _ in range(2)]
    assert ("d", frozenset("a")) in {(work.directory, work.names) for work in looks if work is not None}


def test_what_a_rename_of_a_file_that_is_written_did_not_take_away_is_looked_at_when_that_may_be_over(story: Story):
    """Two files that change names are each the other's source: at once, they would be looked at again and again."""
    story.apply(Failed(Rename(M, "b", "d/a", A, SHA), FileBusyError("A program writes it.")))
    assert not story.mirror.dirty.due_by(NOW + BUSY_AGAIN_S - 0.1)
    looks = [story.mirror.dirty.take(NOW + BUSY_AGAIN_S) for _ in range(2)]
    assert ("d", frozenset("a")) in {(work.directory, work.names) for work in looks if work is not None}


@pytest.mark.parametrize(
    ("how", "doubted"),
    [({}, False), ({"in_place": True}, True), ({"gone": True}, True)],
    ids=["beside it", "in its place", "behind its delete"],
)
def test_what_was_published_where_a_file_did_not_arrive_is_in_doubt_for_all(
    story: Story, how: dict[str, bool], *, doubted: bool
):
    """Also for a mapping that is not there now, and had published to the same place."""
    place = "u@host:21/htdocs"
    other, mapping = story.ledger.mappings.number("other", place), story.ledger.mappings.number("this", place)
    for each in (other, mapping):
        story.ledger.put(each, "d/a", Row(Kind.FILE, A, SHA, WALL))
    spec = MappingSpec("this", Path("/srv/gallery"), "web", "/htdocs")
    mirror = Mirror(
        spec, Without(), mapping, story.ledger, story.queue, Folder(spec), story.events.append, today=lambda: ""
    )
    upload = Upload("this", "d/a", A._replace(size=11))
    story.outcomes.apply(mirror, Failed(upload, TransferFailedError("It broke off."), **how), Moment(NOW, WALL))
    row = story.ledger.row(mapping, "d/a")
    assert row is not None
    assert row.fingerprint.is_doubted is doubted
    assert (story.ledger.row(other, "d/a") is None) is doubted


def test_of_a_file_that_was_sent_under_its_final_name_and_did_not_arrive_it_is_noted_when(story: Story):
    upload = Upload(M, "d/a", A)
    story.mirror.intents.begin(upload)
    story.apply(Failed(upload, TransferFailedError("It broke off."), in_place=True), NOW + 5)
    assert dict(story.ledger.begun.of(story.id))["d/a"].exposed == Exposure(A.size, WALL + 5 * S, WALL + 5 * S)


def test_what_fails_for_good_is_looked_at_once_more(story: Story):
    """Gone while it was tried, it would be a problem for ever."""
    story.apply(failed(NameNotSendableError("It has a line break.")))
    work = story.mirror.dirty.take(NOW + LOOK_AGAIN_S)
    assert work is not None
    assert (work.directory, work.names) == ("d", frozenset("a"))


@pytest.mark.parametrize(
    "outcome", [Done(UPLOAD, Did.PUBLISHED), failed(DOWN, connecting=True)], ids=["done", "failed"]
)
def test_what_ran_under_settings_that_are_over_is_looked_at_under_the_new_ones(story: Story, outcome: Outcome):
    story.mirror.inherited.add("d/a")
    assert not story.apply(outcome), "it is not queued again as it was"
    assert not story.mirror.inherited
    looks = [story.mirror.dirty.take(NOW) for _ in range(3)]
    assert ("d", frozenset("a")) in {(work.directory, work.names) for work in looks if work is not None}


def test_a_renamed_directory_moves_with_all_below_and_is_scanned(story: Story):
    story.apply(Done(MakeDir(M, "d", 50), Did.MADE))
    story.apply(Done(UPLOAD, Did.PUBLISHED))
    story.apply(Done(RenameDir(M, "new", "d", 50), Did.RENAMED))
    assert {path for path, _ in story.ledger.walk(story.id)} == {"new", "new/a"}
    assert story.mirror.dirty.scanning_deep(NOW)


def test_a_path_that_was_noticed_meanwhile_is_looked_at_again(story: Story):
    story.mirror.offers.again.update({"d/a", "other"})
    story.apply(failed(DOWN, connecting=True))
    assert story.mirror.offers.again == {"other"}
    assert story.mirror.dirty.due_by(NOW)


def test_without_a_connection_the_action_is_queued_again_and_nothing_is_held_against_it(story: Story):
    for _ in range(10):
        assert story.apply(failed(DOWN, connecting=True))
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)
    assert story.events == []


def test_an_action_under_which_the_connection_always_ends_is_treated_as_the_cause(story: Story):
    for _ in range(LOST_CONNECTIONS - 1):
        assert story.apply(failed(DOWN))
    assert not story.apply(failed(DOWN))
    assert story.told() == [EventKind.FAILED]
    assert story.apply(failed(DOWN)), "counted anew"


def test_a_server_that_lets_us_in_and_answers_nothing_pauses(story: Story):
    """Each file by itself would be tried again and again, and each try is a login."""
    gate = story.queue.gate
    assert story.apply(failed(DOWN)._replace(mute=True))
    assert story.told() == [EventKind.SERVER_OFFLINE]
    assert gate.state is Breaker.OFFLINE
    assert gate.message.startswith("Connection refused. Check host")
    assert apply_to_server(story.queue, failed(DOWN, connecting=True), 0, NOW) is None, "others did not even try"
    assert not gate.connected(), "that it lets us in is known"
    later = story.queue.next_due(NOW)
    assert later == NOW + FIRST_PAUSE_S
    assert not story.apply(failed(DOWN)._replace(mute=True), later), "another one has its turn next"
    assert story.told() == [EventKind.SERVER_OFFLINE, EventKind.FAILED]
    assert story.queue.next_due(later) == later + FIRST_PAUSE_S * PAUSE_FACTOR
    assert apply_to_server(story.queue, DONE, 1, later) is ONLINE
    assert gate.cap == 4


def test_what_is_lost_while_no_connection_can_be_had_is_held_against_nothing(story: Story):
    story.queue.gate.failed(NOW, Breaker.OFFLINE, "down")
    for _ in range(LOST_CONNECTIONS - 1):
        assert story.apply(failed(DOWN))
    assert story.events == []


UNREACHABLE = DataUnreachableError("Time-out.", remedy="Open the ports.")


@pytest.mark.parametrize("error", [UNREACHABLE, TlsError("No data.", remedy="Ask.")], ids=["firewall", "TLS"])
def test_where_no_data_gets_through_the_server_pauses_and_no_file_is_at_fault(story: Story, error: FtpsyncdError):
    """Where TLS is what the server, or its certificate, is at odds with for data, files by themselves were blamed."""
    queue = story.mirror.queue
    for _ in range(LOST_CONNECTIONS - 1):
        assert story.apply(failed(error))
    assert queue.gate.state is not Breaker.OFFLINE
    assert story.apply(failed(error))
    assert (queue.gate.state, queue.gate.message) == (Breaker.OFFLINE, f"{error.message} {error.remedy}")
    assert apply_to_server(queue, Done(MakeDir(M, "e", 7), Did.MADE), 1, NOW) is None
    for _ in range(20):
        assert story.apply(failed(error)), "one try after each pause"
    assert story.told() == [EventKind.SERVER_OFFLINE]
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)


@pytest.mark.parametrize(
    "outcome",
    [
        Done(Delete(M, "d/b"), Did.DELETED),
        Failed(Delete(M, "d/b"), REFUSED),
        Done(MakeDir(M, "e", 7), Did.MADE),
        Done(Rename(M, "d/b", "d/c", A, SHA), Did.RENAMED),
        Done(UPLOAD, Did.ADOPTED, A),
        Failed(UPLOAD, REFUSED, refused=True),
        Failed(UPLOAD, TransferFailedError("No.", reply="425 Cannot open file.")),
        Failed(Rename(M, "d/b", "d/c", A, SHA), REFUSED, refused=True),
    ],
    ids=lambda outcome: type(outcome.action).__name__ + outcome.__class__.__name__,
)
def test_what_needs_no_data_connection_does_not_tell_that_there_are_some(story: Story, outcome: Outcome):
    """The server was told to answer again, and tried again after 15 s, with each delete, while no file could be sent."""
    gate = story.queue.gate
    for _ in range(LOST_CONNECTIONS):
        story.apply(failed(UNREACHABLE))
    assert apply_to_server(story.queue, outcome, 1, NOW) is None
    assert gate.state is Breaker.OFFLINE
    later = story.queue.next_due(NOW)
    assert later == NOW + FIRST_PAUSE_S
    assert apply_to_server(story.queue, outcome, 1, later) is None
    story.apply(failed(UNREACHABLE), later)
    assert story.queue.next_due(later) == later + FIRST_PAUSE_S * PAUSE_FACTOR
    assert story.told() == [EventKind.SERVER_OFFLINE]
    assert apply_to_server(story.queue, DONE, 1, later) is ONLINE


@pytest.mark.parametrize(("reply", "turns"), [("425 Unable to build data connection", True), ("", False)])
def test_whether_each_file_is_refused_a_data_connection_is_tried_with_one_after_the_other(
    story: Story, reply: str, *, turns: bool
):
    """Where it was some of them only, the first of these was tried for ever, and none of the others was ever sent."""
    queue, error, now = story.queue, DataUnreachableError("None.", reply=reply), NOW
    for path in "abc":
        queue.offer(other_file(path))
    tried: list[str] = []
    for _ in range(LOST_CONNECTIONS + 3):
        action = queue.take(now)
        assert action is not None
        tried.append(action.path)
        queue.finish(action, requeue=story.apply(Failed(action, error), now))
        now = queue.next_due(now) or now
    assert tried == [*"aaa", *("bca" if turns else "aaa")]


@pytest.mark.parametrize("error", [REFUSED, BROKEN])
def test_a_file_that_fails_after_it_had_a_data_connection_tells_that_there_are_some(story: Story, error: FtpsyncdError):
    for _ in range(LOST_CONNECTIONS):
        story.apply(failed(UNREACHABLE))
    assert apply_to_server(story.queue, Failed(UPLOAD, error, reached=True), 1, NOW) is ONLINE


def test_where_nothing_waits_an_answer_is_all_that_tells_of_data_connections(story: Story):
    for _ in range(LOST_CONNECTIONS):
        story.apply(failed(UNREACHABLE))
    assert apply_to_server(story.queue, Done(Probe("web"), Did.ANSWERED), 1, NOW) is ONLINE


def test_while_the_server_is_away_one_try_without_data_is_enough(story: Story):
    queue = story.mirror.queue
    queue.gate.failed(NOW, Breaker.OFFLINE, "down")
    later = queue.next_due(NOW)
    assert later is not None
    assert story.apply(failed(UNREACHABLE), now=later)
    again = queue.next_due(later)
    assert again is not None
    assert again > later, "the pause has begun anew"


def test_a_large_file_that_comes_forward_with_each_try_is_never_at_fault(story: Story):
    for kept in range(1, 5 * LOST_CONNECTIONS):
        assert story.apply(Failed(UPLOAD, DOWN, kept=kept))
    assert story.told() == []


def test_a_large_file_that_stays_where_it_is_is_at_fault(story: Story):
    tries = [story.apply(Failed(UPLOAD, DOWN, kept=7)) for _ in range(LOST_CONNECTIONS)]
    assert tries == [True] * (LOST_CONNECTIONS - 1) + [False]
    assert story.told() == [EventKind.FAILED]


def test_a_large_file_that_came_forward_has_its_quick_tries_again(story: Story):
    for kept, attempts in ((0, 1), (0, 2), (5, 1), (5, 2), (9, 1)):
        assert not story.apply(Failed(UPLOAD, BROKEN, kept=kept))
        failure = story.ledger.failures.of(story.id, "d/a")
        assert failure is not None
        assert failure.attempts == attempts


def test_a_success_in_between_clears_the_action(story: Story):
    for _ in range(5):
        assert story.apply(failed(DOWN))
        story.apply(DONE)
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)


def test_a_failure_says_when_it_is_tried_again(story: Story):
    assert not story.apply(failed(BROKEN))
    failure = story.ledger.failures.of(story.id, "d/a")
    assert failure is not None
    assert (failure.fingerprint, failure.attempts, failure.parked) == (A, 1, False)
    assert failure.next_try_ns == WALL + S
    assert (failure.kind, failure.message, failure.reply) == ("TransferFailedError", BROKEN.message, "426 Aborted.")
    assert story.mirror.dirty.next_due() == NOW + 1
    assert story.told() == [EventKind.FAILED]


def test_a_file_that_fails_for_ever_is_parked_after_a_day(story: Story):
    now, tries = NOW, 0
    while EventKind.PARKED not in story.told():
        story.apply(failed(BROKEN), now)
        tries += 1
        assert tries < 100
        failure = story.ledger.failures.of(story.id, "d/a")
        assert failure is not None
        if not failure.parked:
            now = NOW + (failure.next_try_ns - WALL) / S
    assert tries == 29
    assert now - NOW == pytest.approx(DAY_S, abs=60)
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 1)


def test_a_refused_name_is_parked_after_two_tries_and_counts_anew_when_the_file_changes(story: Story):
    story.apply(failed(REFUSED))
    story.apply(failed(REFUSED))
    assert story.told() == [EventKind.FAILED, EventKind.PARKED]
    story.apply(Failed(UPLOAD._replace(fingerprint=Fingerprint(11, 2, 7)), REFUSED))
    assert story.told()[-1] is EventKind.FAILED


def test_who_is_told_of_a_failure_hears_what_would_mend_it_and_what_the_server_said(story: Story):
    story.apply(failed(REFUSED))
    [event] = story.events
    assert event.remedy
    assert (event.message, event.reply, event.size) == (REFUSED.message, REFUSED.reply, A.size)
    kept = story.ledger.failures.of(story.id, UPLOAD.path)
    assert kept is not None
    assert event.remedy == kept.remedy


def test_an_unsendable_name_is_parked_at_once(story: Story):
    story.apply(failed(NameNotSendableError("It has a line break.")))
    assert story.told() == [EventKind.PARKED]


def test_a_stale_plan_is_no_failure_but_another_look(story: Story):
    assert not story.apply(failed(FileChangedError("It changed.")))
    assert story.events == []
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)
    assert story.mirror.dirty.due_by(NOW + 1)


def test_nobody_is_told_that_all_is_in_sync_before_a_stale_plan_was_looked_at_again(story: Story):
    story.mirror.looks.passes = 1
    story.mirror.dirty.clear()
    assert mapping_status(story.mirror, Moment(NOW, WALL)).state is MappingState.IN_SYNC
    story.apply(failed(FileChangedError("It changed.")))
    assert mapping_status(story.mirror, Moment(NOW, WALL)).state is MappingState.SYNCING
    assert story.mirror.dirty.take(NOW + 1) is not None
    assert mapping_status(story.mirror, Moment(NOW + 1, WALL)).state is MappingState.IN_SYNC


def test_a_directory_that_cannot_be_renamed_is_taken_file_by_file(story: Story):
    story.apply(Failed(RenameDir(M, "new", "d", 50), REFUSED))
    assert story.mirror.offers.any_not_renamed("new")
    assert story.mirror.dirty.scanning_deep(NOW)
    assert story.mirror.dirty.due_by(NOW)
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)


@pytest.mark.parametrize("action", [Probe("web"), Sweep(M, "d/a", "/x.filepart")])
def test_probes_and_sweeps_leave_no_failure(story: Story, action: Action):
    story.apply(Failed(action, REFUSED))
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)
    assert story.events == []


def test_a_leftover_that_cannot_be_deleted_is_told_once(story: Story):
    story.mirror.intents.begin(Upload(M, "d/a", A))
    temporary = story.ledger.begun.of(story.id)[0][1].temporary
    sweep = Sweep(M, "d/a", temporary)
    for _ in range(2):
        story.apply(Failed(sweep, REFUSED))
    [event] = story.events
    assert (event.kind, event.path) == (EventKind.FAILED, "d/a")
    assert temporary in event.message
    assert REFUSED.message in event.message
    assert story.ledger.failures.counts(story.id) == FailureCounts(0, 0)
    story.apply(Done(sweep, Did.SWEPT))
    story.mirror.intents.begin(Upload(M, "d/a", A))
    story.apply(Failed(sweep, REFUSED))
    assert story.told() == [EventKind.FAILED] * 2, "another one"


@pytest.mark.parametrize("action", [UPLOAD, Rename(M, "d/a", "d/b", A, b"")])
def test_of_a_name_that_cannot_be_sent_nothing_is_left_to_be_swept(story: Story, action: Upload | Rename):
    """It would be tried with each pass, told each time, and stay for ever."""
    story.mirror.intents.begin(action)
    story.apply(Failed(action, NameNotSendableError("It has a line break.")))
    assert story.ledger.begun.of(story.id) == []
    story.mirror.intents.begin(action)
    story.mirror.intents.doubt(action, Moment(NOW, WALL))
    story.mirror.intents.begin(action)
    story.apply(Failed(action, NameNotSendableError("The encoding lacks it.")))
    assert any(left.temporary for _, left in story.ledger.begun.of(story.id)), (
        "an earlier try may have left something, when it could be sent"
    )


def test_a_swept_leftover_does_not_clear_the_failure_that_left_it(story: Story):
    story.apply(failed(BROKEN))
    story.apply(Done(Sweep(M, "d/a", "/x.filepart"), Did.SWEPT))
    assert story.ledger.failures.counts(story.id) == FailureCounts(1, 0)


@pytest.mark.parametrize(
    ("error", "is_tried"), [(TlsError("The certificate is not yet valid."), True), (WRONG_PASSWORD, False)]
)
def test_a_clock_that_is_set_has_certificates_judged_again_and_no_password_told(
    error: FtpsyncdError, *, is_tried: bool
):
    queue = queue_in(Breaker.CLOSED)
    apply_to_server(queue, Failed(UPLOAD, error, connecting=True), 0, NOW)
    assert not queue.gate.may_try(NOW + 1, trying=False)
    queue.gate.clock_was_set(NOW + 1)
    assert queue.gate.may_try(NOW + 1, trying=False) is is_tried


def test_what_was_judged_right_before_the_clock_was_set_is_judged_again_once():
    """Its outcome comes when the clock has been set already: it was still on its way."""
    queue = queue_in(Breaker.CLOSED)
    judged = Failed(UPLOAD, TlsError("The certificate is not yet valid."), connecting=True)
    queue.gate.clock_was_set(NOW)
    apply_to_server(queue, judged, 0, NOW + 0.1)
    assert queue.gate.may_try(NOW + 0.1, trying=False)
    apply_to_server(queue, judged, 0, NOW + 0.2)
    assert not queue.gate.may_try(NOW + TLS_PAUSE_S, trying=False)
    assert queue.gate.may_try(NOW + 0.2 + TLS_PAUSE_S, trying=False)


def test_a_certificate_that_is_judged_long_after_the_clock_was_set_is_not_judged_again_at_once():
    queue = queue_in(Breaker.CLOSED)
    queue.gate.clock_was_set(NOW - 60)
    apply_to_server(queue, Failed(UPLOAD, TlsError("It has expired."), connecting=True), 0, NOW)
    assert not queue.gate.may_try(NOW + 1, trying=False)


@pytest.mark.parametrize("error", [WRONG_PASSWORD, TlsError("The certificate does not verify.")])
def test_a_retry_during_a_login_with_what_was_corrected_meanwhile_is_not_lost(story: Story, error: FtpsyncdError):
    """pure-ftpd takes seconds to refuse a password: the right one was tried a quarter of an hour later."""
    queue = story.queue
    for path in "ab":
        queue.offer(Upload(M, path, A))
    running = [queue.take(NOW), queue.take(NOW)]
    again.retry(story.mirror, None, Moment(NOW, WALL))
    for action in running:
        assert isinstance(action, Upload)
        told = apply_to_server(queue, Failed(action, error, connecting=True), 0, NOW + 5)
        assert told is (OFFLINE if action.path == "a" else None)
        queue.finish(action, requeue=True)
    trial = queue.take(NOW + 5)
    assert isinstance(trial, Upload)
    assert queue.take(NOW + 5) is None, "one at a time"
    apply_to_server(queue, Failed(trial, error, connecting=True), 0, NOW + 5)
    queue.finish(trial, requeue=True)
    assert queue.take(NOW + 200) is None, "nobody tells a wrong password again and again"


def test_what_begins_at_the_old_name_of_a_rename_that_a_retry_has_overtaken_is_not_overtaken(story: Story):
    queue = story.queue
    queue.offer(Rename(M, "new", "old", A, SHA))
    rename = queue.take(NOW)
    assert rename is not None
    again.retry(story.mirror, None, Moment(NOW, WALL))
    queue.finish(rename)
    assert not queue.is_overtaken(Upload(M, "old", A))


# ── No space at the server ───────────────────────────────────────────────────────────────────────────────────────


def other_file(path: str = "b", mapping: str = M) -> Upload:
    return Upload(mapping, path, A)


def test_one_file_without_space_waits_and_the_server_goes_on(story: Story):
    for _ in range(3):
        assert not story.apply(failed(FULL))
    assert story.queue.gate.state is Breaker.CLOSED
    assert story.mirror.dirty.next_due() == NOW + SPACE_RETRY_S


def test_a_second_file_without_space_pauses_the_server(story: Story):
    story.apply(failed(FULL))
    story.apply(Failed(other_file(), FULL))
    assert story.queue.gate.state is Breaker.FULL
    assert story.queue.next_due(NOW) == NOW + FULL_PAUSE_S
    assert EventKind.SERVER_OFFLINE in story.told()


def test_that_a_server_is_full_is_told_once_however_many_files_were_under_way(story: Story):
    """Four connections said it twice in one moment, sixteen eight times."""
    for path in "abcdefgh":
        story.apply(Failed(other_file(path), FULL))
    assert story.told().count(EventKind.SERVER_OFFLINE) == 1


def test_while_others_are_sent_a_mapping_tells_of_what_finds_no_space(story: Story):
    story.outcomes = Outcomes(lambda _mirror: [story.mirror])
    for name in "abc":
        story.apply(Failed(other_file(f"{name}/1"), FULL))
    assert story.queue.space.awaits(M, "z", NOW)
    story.queue.offer(other_file("d/1"))
    status = mapping_status(story.mirror, Moment(NOW, WALL))
    assert status.state is MappingState.SYNCING
    assert status.message.startswith("there is no space at the server for what is in ")


def test_since_when_is_told_only_of_what_needs_a_person(story: Story):
    """A hold about nothing that is known any more does not show: the mapping is not held."""
    story.mirror.looks.passes = 1
    story.mirror.dirty.clear()
    story.mirror.removals.holding.put(HoldKind.MASS_DELETE, "Too many.", Moment(NOW, WALL))
    status = mapping_status(story.mirror, Moment(NOW, WALL))
    assert (status.state, status.since) == (MappingState.IN_SYNC, None)


def test_a_file_that_found_space_since_does_not_count(story: Story):
    story.apply(failed(FULL))
    story.apply(DONE)
    story.apply(Failed(other_file(), FULL))
    assert story.queue.gate.state is Breaker.CLOSED


def test_a_file_that_found_space_in_between_shows_that_the_server_is_not_full(story: Story):
    """A limit for one file is told in the same words: small files are not to wait for large ones."""
    for _ in range(3):
        story.apply(failed(FULL))
        story.apply(Done(other_file("small"), Did.PUBLISHED, sha256=SHA))
        story.apply(Failed(other_file(), FULL))
        story.apply(Done(other_file("small too"), Did.PUBLISHED, sha256=SHA))
    assert story.queue.gate.state is Breaker.CLOSED


@pytest.mark.parametrize(
    "done",
    [
        Done(Upload(M, "empty", Fingerprint(0, 1, 7)), Did.PUBLISHED, sha256=SHA),
        Done(Upload(M, "known", A), Did.ADOPTED),
        Done(MakeDir(M, "new", 60), Did.MADE),
    ],
    ids=["empty", "adopted", "directory"],
)
def test_what_takes_no_space_shows_nothing(story: Story, done: Done):
    story.apply(failed(FULL))
    story.apply(done)
    story.apply(Failed(other_file(), FULL))
    assert story.queue.gate.state is Breaker.FULL


def test_files_of_the_same_name_in_two_mappings_are_two_files(story: Story):
    shop = Story(story.ledger, name="shop", queue=story.queue)
    shop.outcomes = story.outcomes
    story.apply(Failed(other_file("a"), FULL))
    shop.apply(Failed(other_file("a", "shop"), FULL))
    assert story.queue.gate.state is Breaker.FULL


def test_a_full_directory_pauses_nothing_else(story: Story):
    """A quota, or a disk, of one directory: the server goes on with all others, and says which one it is."""
    story.apply(Done(other_file("b/1"), Did.PUBLISHED, sha256=SHA))
    story.apply(Failed(other_file("d/1"), FULL))
    story.apply(Failed(other_file("d/2"), FULL))
    assert story.queue.gate.state is Breaker.CLOSED
    assert story.queue.space.awaits(M, "d/3", NOW)
    assert not story.queue.space.awaits(M, "b/2", NOW)
    (told,) = [event for event in story.events if event.path == "d"]
    assert "552 Quota exceeded" in told.message
    shown = server_status("web", story.queue, 1, Moment(NOW, WALL))
    assert shown.state is ServerState.FULL
    assert f"{M}/d" in shown.message
    assert mapping_status(story.mirror, Moment(NOW, WALL)).pending == 1


@pytest.mark.parametrize(
    ("lacking", "doubted"),
    [(NoDescriptorError("None is left."), False), (NoMemoryError("None is left."), True)],
)
def test_what_this_machine_lacked_counts_against_no_file(story: Story, lacking: FtpsyncdError, *, doubted: bool):
    """A file is opened before anything is said to the server; memory may be lacking at any moment after that."""
    story.ledger.put(story.id, "d/a", Row(Kind.FILE, A, SHA, WALL))
    begun = story.mirror.intents.begin(UPLOAD)
    assert story.apply(Failed(begun, lacking)), "it is queued again as it is"
    assert story.ledger.failures.of(story.id, "d/a") is None
    row = story.ledger.row(story.id, "d/a")
    assert row is not None
    assert row.fingerprint.is_doubted is doubted


def test_since_when_a_server_does_not_work_is_told_and_when_it_is_tried_again(story: Story):
    def shown(later_s: float) -> ServerStatus:
        return server_status("web", story.queue, 0, Moment(NOW + later_s, WALL + int(later_s) * S))

    assert (shown(0).since, shown(0).next_try) == (None, None)
    gate = story.queue.gate
    gate.failed(NOW, Breaker.OFFLINE, "no answer")
    gate.failed(NOW + 20, Breaker.REFUSED, "wrong password")
    assert shown(25).since == iso(WALL)
    assert shown(25).next_try == iso(WALL + int((gate.paused_until - NOW) * S))
    assert shown(20 + LOGIN_PAUSE_S).next_try is None, "it may be tried now"
    gate.answered()
    assert (shown(30).since, shown(30).next_try) == (None, None)


def test_a_delete_that_waits_for_a_decision_is_held_and_not_parked(story: Story):
    refused = ChangedAtServerError("It is not the one that was published.")
    story.apply(Failed(Delete(M, "a", sizes=(4,)), refused))
    story.apply(Failed(other_file("b"), NameNotSendableError("It has a line break.")))
    shown = {each.path: each for each in problems_of(story.ledger, {M: story.mirror.id}, WALL)}
    assert [(shown[path].held, shown[path].parked) for path in "ab"] == [(True, False), (False, True)]
    assert {each.next_try for each in shown.values()} == {None}
    assert {each.failed for each in shown.values()} == {iso(WALL)}
    assert story.told() == [EventKind.HELD, EventKind.PARKED]
    status = mapping_status(story.mirror, Moment(NOW, WALL))
    assert (status.held, status.parked) == (1, 1)


@pytest.mark.parametrize("back_s", [1, 3600, 3 * 365 * 86400])
def test_what_failed_by_a_clock_that_was_ahead_is_not_told_as_tried_again_in_years(story: Story, back_s: int):
    """It is tried at the next look, and when it failed nobody knows any more."""
    story.apply(failed(BROKEN))
    now_ns = WALL - back_s * S
    [shown] = problems_of(story.ledger, {M: story.mirror.id}, now_ns)
    assert (shown.next_try, shown.failed) == (iso(now_ns), None)
    later_ns = WALL + 3 * S
    [shown] = problems_of(story.ledger, {M: story.mirror.id}, later_ns)
    failure = story.ledger.failures.of(story.id, "d/a")
    assert failure is not None
    assert (shown.next_try, shown.failed) == (iso(failure.next_try_ns), iso(WALL))


def test_of_many_mappings_with_problems_only_those_are_read_that_a_status_shows(
    story: Story, monkeypatch: pytest.MonkeyPatch
):
    """All of a hundred mappings were, a hundred problems of each, four times a second."""
    failures, read, one = story.ledger.failures, list[int](), _any_failure()
    numbers = {f"m{n}": story.ledger.mappings.number(f"m{n}", "there") for n in range(30)}
    for n, number in enumerate(numbers.values()):
        for path in range(60 if n else 3):
            failures.put(number, f"{path}", one._replace(parked=n in {2, 5, 9}, failed_ns=path))
    expected = [
        (name, path)
        for parked in (True, False)
        for name, number in numbers.items()
        for path, failure in failures.worst(number, 100)
        if failure.parked is parked
    ]
    worst = failures.worst

    def asked(mapping: int, limit: int) -> list[tuple[str, Failure]]:
        read.append(mapping)
        return worst(mapping, limit)

    monkeypatch.setattr(failures, "worst", asked)
    shown = [(each.mapping, each.path) for each in problems_of(story.ledger, numbers, WALL)]
    assert shown == expected[:100]
    assert read == [numbers[name] for name in ("m0", "m1", "m2", "m5")]
    for path in range(60):
        failures.clear(numbers["m5"], f"{path}")
    read.clear()
    assert [each.mapping for each in problems_of(story.ledger, numbers, WALL)] == ["m2"] * 60 + ["m9"] * 40
    assert read == [numbers[name] for name in ("m0", "m1", "m2", "m9")]


def test_since_a_time_to_come_nothing_is_held_or_paused(story: Story):
    """The clock was ahead when that began, and was set back."""
    status = partial(mapping_status, story.mirror)
    story.mirror.pause(WALL)
    assert status(Moment(NOW, WALL)).since == iso(WALL)
    assert status(Moment(NOW, WALL - S)).since is None
    story.mirror.pause(0)
    story.mirror.removals.holding.put(HoldKind.REPLACED_SOURCE, "It is another folder.", Moment(NOW, WALL))
    assert status(Moment(NOW, WALL)).since == iso(WALL)
    assert status(Moment(NOW, WALL - S)).since is None


@pytest.mark.parametrize("by_s", [3 * 365 * 86400, -3 * 365 * 86400, -3600])
def test_what_this_run_noted_is_told_by_the_clock_as_it_is_set_now(story: Story, by_s: int):
    """As on a machine that starts in 1970: nothing is held for decades, or tried again in some."""
    later = story.ledger.mappings.number("later", "elsewhere")
    for mapping in (story.id, later):
        story.ledger.failures.put(mapping, "old", Failure(A, 1, True, 5, "Error", "x", "", "", 5))  # noqa: FBT003
    story.apply(failed(BROKEN))
    story.apply(Done(other_file("b"), Did.PUBLISHED, A))
    story.mirror.pause(WALL)
    story.mirror.removals.holding.put(HoldKind.REPLACED_SOURCE, "It is another folder.", Moment(NOW, WALL))
    before = {path: each._asdict() for path, each in story.ledger.failures.all(story.id)}
    story.mirror.clock_was_set(Step(WALL - 10 * S, WALL + 10 * S, by_s * S), NOW)
    at = Moment(NOW, WALL + by_s * S)
    after = dict(story.ledger.failures.all(story.id))
    assert after["old"]._asdict() == before["old"]
    for field in ("failed_ns", "next_try_ns"):
        assert getattr(after["d/a"], field) == before["d/a"][field] + by_s * S
    assert mapping_status(story.mirror, at).since == iso(at.wall_ns)
    assert mapping_status(story.mirror, at).last_publish == iso(at.wall_ns)
    assert story.ledger.decisions.paused_ns(story.id) == at.wall_ns
    assert story.mirror.removals.hold == Hold(HoldKind.REPLACED_SOURCE, at.wall_ns, "It is another folder.")
    assert story.ledger.decisions.hold(story.id) == story.mirror.removals.hold
    story.mirror.clock_was_set(Step(at.wall_ns - 10 * S, at.wall_ns + 10 * S, -by_s * S), NOW)
    assert {path: each._asdict() for path, each in story.ledger.failures.all(story.id)} == before
    assert story.mirror.paused_ns == WALL


def test_since_when_a_mapping_waits_for_a_person_is_told(story: Story):
    def since(later_s: int) -> str | None:
        return mapping_status(story.mirror, Moment(NOW + later_s, WALL + later_s * S)).since

    assert since(0) is None
    story.mirror.source_missing("it is not there", NOW + 5)
    story.mirror.source_missing("it is not there", NOW + 8)
    assert since(9) == iso(WALL + 5 * S)


def test_since_when_a_person_has_paused_a_mapping_is_told(story: Story):
    def since(later_s: int) -> str | None:
        return mapping_status(story.mirror, Moment(NOW + later_s, WALL + later_s * S)).since

    story.mirror.pause(WALL + 5 * S)
    story.mirror.pause(WALL + 8 * S)
    assert since(9) == iso(WALL + 5 * S)
    story.mirror.pause(0)
    assert since(9) is None
    story.mirror.pause(UNDATED)
    assert story.mirror.paused
    assert since(9) is None, "an older version noted no time"


def test_since_when_a_directory_is_full_is_told_and_when_it_is_tried_again(story: Story):
    story.queue.gate.answered()

    def shown(later_s: float) -> ServerStatus:
        return server_status("web", story.queue, 1, Moment(NOW + later_s, WALL + round(later_s * S)))

    for later_s, path in ((0, "d/e/1"), (1, "d/e/2"), (5, "d/3")):
        story.apply(Failed(other_file(path), FULL), NOW + later_s)
    assert shown(6).state is ServerState.FULL
    assert shown(6).since == iso(WALL + S)
    assert shown(6).next_try == iso(WALL + (5 + int(SPACE_RETRY_S)) * S)
    assert shown(5 + SPACE_RETRY_S).next_try is None, "it may be tried now"


def test_a_mapping_without_space_pauses_its_server_only_where_there_is_no_other(story: Story):
    story.outcomes = Outcomes(lambda _mirror: [story.mirror])
    for name in "abc":
        story.apply(Failed(other_file(f"{name}/1"), FULL))
    assert story.queue.gate.state is Breaker.CLOSED
    assert story.queue.space.awaits(M, "z", NOW)
    assert not story.queue.space.awaits("shop", "z", NOW)


def test_deletes_go_on_at_a_full_server_and_when_the_last_is_done_one_file_is_tried(story: Story):
    """Who has published too much makes room by deleting it here: that may not wait behind what has no room."""
    story.apply(Failed(other_file("1"), FULL))
    story.apply(Failed(other_file("2"), FULL))
    queue = story.queue
    for name in "abc":
        queue.offer(other_file(f"new {name}"))
    for name in "xy":
        queue.offer(Delete(M, name))
    assert [queue.take(NOW), queue.take(NOW), queue.take(NOW)] == [Delete(M, "x"), Delete(M, "y"), None]
    queue.offer(Delete(M, "z"))
    for name in "xy":
        done = Done(Delete(M, name), Did.DELETED)
        assert apply_to_server(queue, done, 1, NOW) is None
        story.apply(done)
        queue.finish(done.action)
        assert queue.gate.state is Breaker.FULL
    assert queue.take(NOW) == Delete(M, "z")
    assert queue.take(NOW) is None
    story.apply(Done(Delete(M, "z"), Did.DELETED))
    queue.finish(Delete(M, "z"))
    assert queue.take(NOW) == other_file("new a")
    assert queue.take(NOW) is None
    apply_to_server(queue, Done(other_file("new a"), Did.PUBLISHED, sha256=SHA), 1, NOW)
    assert queue.gate.state is Breaker.CLOSED


def test_what_is_deleted_in_a_full_directory_has_one_file_of_it_tried_at_once(story: Story):
    """When nothing more is to be deleted; else there may soon be more room."""
    for name in ("d/1", "d/2"):
        story.apply(Failed(other_file(name), FULL))
    for name in ("d/x", "d/y"):
        story.queue.offer(Delete(M, name))
    for name in ("d/x", "d/y"):
        delete = story.queue.take(NOW)
        assert delete == Delete(M, name)
        assert story.queue.space.awaits(M, "d/3", NOW)
        story.apply(Done(delete, Did.DELETED))
        story.queue.finish(delete)
    assert not story.queue.space.awaits(M, "d/3", NOW)
    assert story.queue.space.admits(M, "d/3", NOW)
    assert not story.queue.space.admits(M, "d/4", NOW)


def test_retry_tries_a_full_directory_at_once(story: Story):
    story.apply(Failed(other_file("d/1"), FULL))
    story.apply(Failed(other_file("d/2"), FULL))
    assert story.queue.space.awaits(M, "d/3", NOW)
    again.retry(story.mirror, None, Moment(NOW, WALL))
    assert story.queue.space.admits(M, "d/3", NOW)


def _any_failure() -> Failure:
    with Ledger(Path(":memory:")) as ledger:
        story = Story(ledger)
        story.apply(failed(BROKEN))
        failure = ledger.failures.of(story.id, "d/a")
    assert failure is not None
    return failure


# ── How long files wait ──────────────────────────────────────────────────────────────────────────────────────────


def waited_s(mirror: Mirror, now: float) -> float | None:
    """For how long the file that waits longest has been waiting."""
    longest = mirror.waits.longest()
    return None if longest is None else now - longest.since


def test_the_oldest_wait_is_that_of_a_file_that_still_waits(story: Story):
    mirror = story.mirror
    assert waited_s(mirror, NOW) is None
    mirror.waits.offered = {"vanished": NOW - 50, "d/a": NOW - 10, "b": NOW - 5}
    story.queue.offer(UPLOAD)
    story.queue.offer(other_file())
    assert waited_s(mirror, NOW) == 10
    assert "vanished" not in mirror.waits.offered
    story.apply(Failed(UPLOAD, BROKEN))
    story.queue.withdraw(M, "d/a")
    assert waited_s(mirror, NOW) == 10  # it is tried again
    story.apply(Done(UPLOAD, Did.PUBLISHED))
    assert waited_s(mirror, NOW) == 5
    story.queue.withdraw(M, "b")
    assert waited_s(mirror, NOW) is None


def test_a_parked_file_waits_for_a_person_and_is_not_pending(story: Story):
    story.mirror.waits.offered = {"d/a": NOW - 10}
    story.apply(Failed(UPLOAD, NameNotSendableError("No.")))
    assert waited_s(story.mirror, NOW) is None


def test_a_file_that_settles_waits_too(story: Story):
    mirror = story.mirror
    mirror.waits.for_writer("b", A, Moment(NOW, WALL))
    mirror.waits.for_writer("b", A, Moment(NOW + 20, WALL))
    assert waited_s(mirror, NOW + 30) == 30
    mirror.waits.offered = {"d/a": NOW - 10}
    story.queue.offer(UPLOAD)
    assert waited_s(mirror, NOW + 30) == 40


def test_what_waits_for_longest_is_named_while_others_are_published(story: Story):
    """Whoever was alerted, and asked, was told that a file is on its way, and nothing of the one that is written."""
    mirror, later = story.mirror, Moment(NOW + 4000, WALL)
    mirror.waits.for_writer("day 1/film", A, Moment(NOW, WALL))
    mirror.waits.offered = {"d/a": NOW + 3990}
    story.queue.offer(UPLOAD)
    status = mapping_status(mirror, later)
    assert (status.state, status.message) == (MappingState.SYNCING, "")
    assert (status.oldest_pending_s, status.oldest_pending) == (
        4000.0,
        '"day 1/film": a program has it open for writing',
    )
    mirror.waits.present("day 1/film")
    assert mapping_status(mirror, later).oldest_pending == "d/a: it waits for its turn"
    story.queue.gate.failed(NOW + 3990, Breaker.OFFLINE, "away")
    assert mapping_status(mirror, later).oldest_pending == f"d/a: it waits for the server {mirror.spec.server}"
    story.queue.gate.answered()
    story.queue.take(NOW)
    assert mapping_status(mirror, later).oldest_pending == "d/a: it is on its way"


def test_what_has_failed_is_named_among_the_problems_only(story: Story):
    story.mirror.waits.offered = {"d/a": NOW - 10}
    story.apply(Failed(UPLOAD, BROKEN))
    status = mapping_status(story.mirror, Moment(NOW, WALL))
    assert (status.oldest_pending_s, status.oldest_pending) == (10.0, "")


def test_a_missing_source_has_nothing_that_waits(story: Story):
    story.mirror.waits.offered = {"d/a": NOW - 10}
    story.queue.offer(UPLOAD)
    story.mirror.source_missing("not there", NOW)
    assert story.mirror.waits.offered == {}


@pytest.mark.parametrize(
    ("after_s", "rate"),
    [(-0.01, 2_000_000.0), (0.001, 2_000_000.0), (RATE_OVER_S, 2_000_000.0), (5.0, 100_000.0)],
    ids=["the turn began before", "at once", "a moment", "later"],
)
def test_what_went_into_a_buffer_at_once_is_no_rate(after_s: float, rate: float) -> None:
    progress = Progress(M, "film.mp4", 60_000_000, 30_500_000, NOW, 30_000_000)
    assert transfer_of(progress, NOW + after_s).rate_bytes_s == rate


def test_a_transfer_tells_for_how_long_it_has_not_moved() -> None:
    progress = Progress(M, "film.mp4", 60_000_000, 30_500_000, NOW, moved=NOW + 3)
    assert [transfer_of(progress, NOW + after_s).still_s for after_s in (2.0, 3.0, 15.04)] == [0.0, 0.0, 12.0]
