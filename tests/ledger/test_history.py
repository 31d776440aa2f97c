"""The history: a receipt exists exactly if its row does, says what happened, is bounded, and goes when it is old."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.actions import Delete, Did, Done, Failed, Rename, RenameDir, Upload
from ftpsyncd.engine import again
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.outcomes import LOST_CONNECTIONS
from ftpsyncd.engine.upkeep import PRUNE_AGAIN_S, PRUNE_EVERY_S, PRUNE_ROWS
from ftpsyncd.engine.wallclock import PROVEN_S
from ftpsyncd.errors import (
    ChangedAtServerError,
    LedgerError,
    LocalUnreadableError,
    NameNotSendableError,
    NameRefusedError,
    ServerUnavailableError,
)
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger import book as ledger_module
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.history import RECORDED, Recorded
from ftpsyncd.ledger.tables import MIGRATIONS, SCHEMA_VERSION
from ftpsyncd.mapping.site import Clock, Moment
from ftpsyncd.model import Entry, Fingerprint, HoldKind, Kind
from ftpsyncd.receipts import HistoryQuery
from tests.core.vocabulary import NOW, SHA, WALL, M, S
from tests.engine.test_outcomes import Story

A = Fingerprint(10, 1, 7)
DAY_S = 86400.0
AT = Moment(NOW, WALL)
REFUSED = NameRefusedError("Permission denied.", reply="550 Permission denied.")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def story(path: Path) -> Iterator[Story]:
    with Ledger(path) as ledger:
        yield Story(ledger)


def receipts(ledger: Ledger, **wanted: object) -> list[Recorded]:
    """What fits, the oldest first."""
    ledger.history.flush()
    return ledger.history.page(HistoryQuery(**{"limit": 1000, **wanted}))[::-1]  # type: ignore[arg-type]


def happened(path: str = "a", kind: EventKind = EventKind.PUBLISHED, **more: object) -> Event:
    return Event(kind, M, path, "web", **more)  # type: ignore[arg-type]


# ── What has a receipt ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_publish_has_a_receipt_with_everything_that_can_be_known(story: Story):
    story.apply(Done(Upload(M, "d/a", A), Did.PUBLISHED, sha256=SHA, duration_s=2.5, reply="226 Done."))
    [receipt] = receipts(story.ledger)
    assert receipt[1:] == (M, WALL, WALL, "published", "d/a", "", 10, SHA, 2.5, 1, "226 Done.", "")
    row = story.ledger.row(story.id, "d/a")
    assert row is not None
    assert (row.published_ns, row.sha256) == (receipt.at_ns, receipt.sha256)


def test_what_was_done_to_a_directory_is_told_of_a_path_in_it(story: Story):
    """Of a folder that is gone and kept at the server there is one receipt: its files seemed to be published still."""
    for number, each in enumerate(
        (
            happened("2024/a"),
            happened("2024", EventKind.FORGOTTEN),
            happened("2025", EventKind.RENAMED, source="2023"),
            happened("2024", EventKind.FAILED),
            happened("2024b", EventKind.FORGOTTEN),
            happened("b"),
        )
    ):
        story.ledger.history.record(story.id, each, WALL + number)
    told = {
        path: [(each.kind, each.path) for each in receipts(story.ledger, path=path)]
        for path in ("2024/a", "2023/x/y", "2025/x", "b")
    }
    assert told == {
        "2024/a": [("published", "2024/a"), ("forgotten", "2024")],
        "2023/x/y": [("renamed", "2025")],
        "2025/x": [("renamed", "2025")],
        "b": [("published", "b")],
    }


def test_receipt_and_row_are_of_one_commit(story: Story, path: Path):
    story.apply(Done(Upload(M, "d/a", A), Did.PUBLISHED, sha256=SHA))
    with Ledger(path, read_only=True) as other:
        assert other.row(story.id, "d/a") is None
        assert receipts(other) == []
        story.ledger.commit()
    with Ledger(path, read_only=True) as other:
        assert other.row(story.id, "d/a") is not None
        assert len(receipts(other)) == 1


def test_a_commit_that_fails_leaves_neither(story: Story, path: Path):
    story.apply(Done(Upload(M, "d/a", A), Did.PUBLISHED, sha256=SHA))
    story.ledger.history.flush()
    story.ledger._db._db.execute("ROLLBACK")  # the power fails
    story.ledger._db._writing = False
    with Ledger(path, read_only=True) as other:
        assert other.row(story.id, "d/a") is None
        assert receipts(other) == []


def test_renames_and_deletes_say_what_was_there(story: Story):
    story.apply(Done(Upload(M, "a", A), Did.PUBLISHED, sha256=SHA))
    story.apply(Done(Rename(M, "b", "a", A, SHA), Did.RENAMED, reply="250 Done."))
    story.apply(Done(RenameDir(M, "new", "old", 5), Did.RENAMED))
    story.apply(Done(Delete(M, "b"), Did.DELETED, reply="250 Gone."))
    assert [(r.kind, r.path, r.source, r.size, r.sha256, r.reply) for r in receipts(story.ledger)[1:]] == [
        ("renamed", "b", "a", 10, SHA, "250 Done."),
        ("renamed", "new", "old", 0, b"", ""),
        ("deleted", "b", "", 10, SHA, "250 Gone."),
    ]


def test_of_what_was_gone_at_the_server_already_the_receipt_says_so(story: Story):
    story.apply(Done(Upload(M, "a", A), Did.PUBLISHED, sha256=SHA))
    story.apply(Done(Delete(M, "a"), Did.GONE))
    assert [(r.kind, r.size, r.message) for r in receipts(story.ledger)[1:]] == [
        ("deleted", 10, "it was gone at the server already")
    ]


def test_a_hold_and_its_release_have_receipts(story: Story):
    story.mirror.removals.holding.put(HoldKind.MASS_DELETE, "60 files were deleted at once", AT)
    story.mirror.removals.approve(AT)
    held, released = receipts(story.ledger)
    assert (held.kind, held.message, held.at_ns) == ("held", "60 files were deleted at once", WALL)
    assert (released.kind, released.message) == ("released", "approved")


def test_a_delete_that_is_held_by_itself_has_one_receipt_and_each_hold_of_all_has_its_own(story: Story):
    for _ in range(2):
        story.apply(Failed(Delete(M, "d/a", sizes=(4,)), ChangedAtServerError("It is another one.")))
        story.mirror.removals.holding.put(HoldKind.MASS_DELETE, "60 files were deleted at once", AT)
    found = {(each.kind, each.path, each.attempts) for each in receipts(story.ledger)}
    assert found == {("held", "d/a", 2), ("held", "", 1)}
    assert len(receipts(story.ledger)) == 3


def test_names_that_are_no_text_do_not_stop_a_hold(story: Story):
    story.mirror.removals.holding.put(HoldKind.REPLACED_SOURCE, "d\udcff was mounted\n", AT)
    hold = story.ledger.decisions.hold(story.id)
    assert hold is not None
    assert hold.message == r"d\xff was mounted\n"
    assert receipts(story.ledger)[0].message == hold.message


@pytest.mark.parametrize("name", ["a b", "\udcff\udc80", "new\nline", "ü" * 100, "'; DROP TABLE history; --"])
def test_every_name_survives(story: Story, name: str):
    story.apply(Done(Rename(M, name, f"old {name}", A, SHA), Did.RENAMED))
    [receipt] = receipts(story.ledger)
    assert (receipt.path, receipt.source) == (name, f"old {name}")
    assert receipts(story.ledger, path=name) == receipts(story.ledger, path=f"old {name}") == [receipt]


def test_what_is_nobodys_business_later_has_none(story: Story):
    for kind in EventKind:
        story.mirror.site.tell(kind, "a", at_ns=WALL)
    assert {r.kind for r in receipts(story.ledger)} == {kind.value for kind in RECORDED}
    assert {kind.value for kind in EventKind} - {kind.value for kind in RECORDED} == {
        "made", "server_offline", "server_online", "no_renames", "source_missing", "source_back", "watcher", "rescan", "repair", "ledger",
        "ledger_back", "shortage", "shortage_over",
    }  # fmt: skip


def test_replies_are_cut_and_made_text(story: Story):
    story.ledger.history.record(story.id, happened(reply="\udcff" + "x" * 5000, message="y" * 5000), WALL)
    [receipt] = receipts(story.ledger)
    assert receipt.reply.startswith(r"\udcffxxx")
    assert len(receipt.reply) < 1100
    assert len(receipt.message) == 1000


# ── Tries ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_publish_counts_the_tries_before_it(story: Story):
    upload = Upload(M, "a", A)
    story.apply(Failed(upload, LocalUnreadableError("No.")))
    for _ in range(LOST_CONNECTIONS - 1):
        assert story.apply(Failed(upload, ServerUnavailableError("Gone.")))
    story.apply(Done(upload, Did.PUBLISHED, sha256=SHA))
    story.apply(Done(upload, Did.PUBLISHED, sha256=SHA))
    assert [(r.kind, r.attempts) for r in receipts(story.ledger)] == [
        ("failed", 1),
        ("published", LOST_CONNECTIONS + 1),
        ("published", 1),
    ]


def test_a_failure_is_written_at_first_and_at_its_parking_and_counted_in_between(story: Story):
    upload = Upload(M, "a", A)
    for number in range(40):
        story.apply(Failed(upload, ServerUnavailableError("Gone.")), NOW + number)
    tries = receipts(story.ledger)
    assert [r.kind for r in tries] == ["failed"]
    assert tries[0].attempts == 40 // LOST_CONNECTIONS
    assert (tries[0].at_ns, tries[0].last_ns) == (WALL + 2 * S, WALL + 38 * S)
    for number in range(20):
        story.apply(Failed(upload, REFUSED), NOW + 100 + number)
    failed, parked = receipts(story.ledger)
    assert (failed.kind, parked.kind) == ("failed", "parked")
    assert parked.reply == "550 Permission denied."
    assert parked.attempts == 13 + 20


@pytest.mark.parametrize("error", [REFUSED, NameNotSendableError("No."), LocalUnreadableError("No.")])
def test_a_file_that_changes_and_fails_for_days_has_two_receipts(story: Story, error):
    for number in range(2000):
        upload = Upload(M, "a", replace_size(number))
        story.apply(Failed(upload, error), NOW + number * 90)
        story.apply(Failed(upload, error), NOW + number * 90 + 5)
    found = receipts(story.ledger)
    assert 1 <= len(found) <= 2
    assert sum(r.attempts for r in found) >= 4000
    assert max(r.last_ns for r in found) == WALL + (1999 * 90 + 5) * S


def replace_size(number: int) -> Fingerprint:
    return A._replace(size=number)


def test_a_failure_after_a_success_is_a_new_one(story: Story):
    upload = Upload(M, "a", A)
    for number in range(3):
        story.apply(Failed(upload, LocalUnreadableError("No.")), NOW + number * 10)
        story.apply(Done(upload, Did.PUBLISHED, sha256=SHA), NOW + number * 10 + 1)
    assert [(r.kind, r.attempts) for r in receipts(story.ledger)] == [("failed", 1), ("published", 2)] * 3


def test_a_failure_after_a_persons_retry_is_a_new_one(story: Story):
    for number in range(3):
        story.apply(Failed(Upload(M, "a", A), NameNotSendableError("No.")), NOW + number)
        again.retry(story.mirror, None, AT)
    assert [r.kind for r in receipts(story.ledger)] == ["parked"] * 3


def test_trouble_with_the_disk_is_counted_within_the_hour(story: Story):
    for minutes in (0, 5, 64, 123, 190):
        story.mirror.site.tell(EventKind.FAILED, "d", "it cannot be read", at_ns=WALL + minutes * 60 * S)
    found = receipts(story.ledger)
    assert [(r.at_ns, r.last_ns, r.attempts) for r in found] == [
        (WALL, WALL + 123 * 60 * S, 4),
        (WALL + 190 * 60 * S, WALL + 190 * 60 * S, 1),
    ]
    # What goes on, as somebody knows, is counted in the latest of them only.
    story.mirror.site.tell(EventKind.FAILED, "d", "it cannot be read", at_ns=WALL + 300 * 60 * S, again=True)
    assert [(r.last_ns - r.at_ns) // (60 * S) for r in receipts(story.ledger)] == [123, 110]


# ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def filled(story: Story) -> Ledger:
    other = Story(story.ledger, name="sheets")
    for number, (where, kind, name) in enumerate(
        [
            (story, EventKind.PUBLISHED, "d/a"),
            (other, EventKind.PUBLISHED, "d/a"),
            (story, EventKind.DELETED, "d/a"),
            (story, EventKind.PUBLISHED, "d/b/c"),
            (story, EventKind.PUBLISHED, "d0"),
            (other, EventKind.FAILED, "x"),
            (story, EventKind.HELD, ""),
        ]
    ):
        where.mirror.site.tell(kind, name, at_ns=WALL + number * S)
    return story.ledger


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({"mapping": M}, [0, 2, 3, 4, 6]),
        ({"mapping": "sheets"}, [1, 5]),
        ({"mapping": "none"}, []),
        ({"kinds": ("published",)}, [0, 1, 3, 4]),
        ({"kinds": ("deleted", "failed")}, [2, 5]),
        ({"since_ns": WALL + 3 * S}, [3, 4, 5, 6]),
        ({"until_ns": WALL + 3 * S}, [0, 1, 2]),
        ({"since_ns": WALL + S, "until_ns": WALL + 2 * S}, [1]),
        ({"path": "d"}, [0, 1, 2, 3]),
        ({"path": "d/a", "mapping": M}, [0, 2]),
        ({"path": "d/", "mapping": M}, []),
        ({"path": "d/b", "kinds": ("published",)}, [3]),
    ],
)
def test_receipts_can_be_chosen(filled: Ledger, wanted: dict[str, object], found: list[int]):
    assert [(r.at_ns - WALL) // S for r in receipts(filled, **wanted)] == found


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (None, None, ["first", "long", "last"]),
        (0, 10, ["first"]),
        (10, 20, ["long"]),
        (15, 16, ["long"]),
        (50, None, ["long", "last"]),
        (60, 61, ["long"]),
        (61, None, []),
        (20, 55, ["long", "last"]),
    ],
)
def test_a_path_that_goes_on_failing_is_of_all_that_time(story: Story, since, until, found):
    """It was found at its first try only: who asked for the last hour did not hear of it."""
    story.mirror.site.tell(EventKind.PUBLISHED, "first", at_ns=WALL)
    for at in (10, 30, 60):
        story.mirror.site.tell(EventKind.FAILED, "long", "No.", at_ns=WALL + at * S, again=at > 10)
    story.mirror.site.tell(EventKind.PUBLISHED, "last", at_ns=WALL + 50 * S)
    wanted = {
        **({} if since is None else {"since_ns": WALL + since * S}),
        **({} if until is None else {"until_ns": WALL + until * S}),
    }
    assert [receipt.path for receipt in receipts(story.ledger, **wanted)] == found


def test_pages_of_a_period_join_also_where_it_began_before(story: Story):
    for number in range(4):
        for at in (number, 50 + number):
            story.mirror.site.tell(EventKind.FAILED, f"f{number}", "No.", at_ns=WALL + at * S, again=at >= 50)
        story.mirror.site.tell(EventKind.PUBLISHED, f"p{number}", at_ns=WALL + (40 + number) * S)
    story.ledger.history.flush()
    seen: list[str] = []
    before = None
    while page := story.ledger.history.page(HistoryQuery(since_ns=WALL + 30 * S, limit=3, before=before)):
        seen += [r.path for r in page]
        before = page[-1].at_ns, page[-1].id
    assert seen == ["p3", "p2", "p1", "p0", "f3", "f2", "f1", "f0"]


def test_pages_join_without_gap_or_repetition_even_within_one_moment(story: Story):
    for number in range(10):
        story.mirror.site.tell(EventKind.PUBLISHED, str(number), at_ns=WALL + number // 4)
    story.ledger.history.flush()
    seen: list[str] = []
    before = None
    while page := story.ledger.history.page(HistoryQuery(limit=3, before=before)):
        seen += [r.path for r in page]
        before = page[-1].at_ns, page[-1].id
    assert seen == [str(number) for number in range(9, -1, -1)]


def test_a_page_comes_from_the_index(filled: Ledger):
    for wanted in (HistoryQuery(), HistoryQuery(since_ns=1, until_ns=2), HistoryQuery(before=(5, 6))):
        statements: list[str] = []
        filled._db._db.set_trace_callback(statements.append)
        filled.history.page(wanted)
        filled._db._db.set_trace_callback(None)
        plans = [" ".join(r[3] for r in filled._db._db.execute(f"EXPLAIN QUERY PLAN {sql}")) for sql in statements]
        assert "history_time" in plans[0]
        assert "TEMP B-TREE" not in plans[0]
        # What began before and was tried again: few.
        assert all("SEARCH h USING INDEX history_last (last_ns>?)" in plan for plan in plans[1:])
        assert len(plans) == 1 + (wanted.since_ns is not None)


def test_what_is_asked_of_one_path_comes_from_an_index(filled: Ledger):
    mapping = filled.mappings.find(M, "there")
    assert mapping is not None
    filled.history.flush()
    statements: list[str] = []
    filled._db._db.set_trace_callback(statements.append)
    filled.history.of_arrival(mapping, "d/a", WALL)
    filled.history.of_failure(mapping, "d/a")
    filled._db._db.set_trace_callback(None)
    plans = [[row[3] for row in filled._db._db.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in statements]
    assert [plan[0] for plan in plans] == [
        "SEARCH h USING INDEX history_time (at_ns=?)",
        "SEARCH h USING INDEX history_open (mapping=? AND path=?)",
    ]
    assert all(step.startswith(("SEARCH", "USE TEMP")) for plan in plans for step in plan)


def test_the_receipt_of_how_a_file_came_to_the_server_belongs_to_its_row(story: Story):
    def arrived(path: str) -> str | None:
        row = story.ledger.row(story.id, path)
        found = story.ledger.history.of_arrival(story.id, path, row.published_ns if row else 0)
        return found and found.kind

    story.apply(Done(Upload(M, "a", A), Did.PUBLISHED, sha256=SHA))
    assert (arrived("a"), arrived("b")) == ("published", None)
    story.apply(Failed(Upload(M, "a", A._replace(inode=8)), REFUSED), NOW + 1)
    assert arrived("a") == "published"
    story.apply(Done(Upload(M, "a", A._replace(inode=8)), Did.UNCHANGED), NOW + 2)
    assert arrived("a") == "unchanged"
    story.apply(Done(Rename(M, "b", "a", A._replace(inode=8), SHA), Did.RENAMED), NOW + 3)
    assert (arrived("a"), arrived("b")) == (None, "renamed")


def test_the_receipt_of_a_failure_is_the_latest_of_its_tries(story: Story):
    def failed() -> tuple[str, int] | None:
        found = story.ledger.history.of_failure(story.id, "a")
        return found and (found.kind, found.attempts)

    assert failed() is None
    story.apply(Failed(Upload(M, "a", A), REFUSED))
    assert failed() == ("failed", 1)
    story.apply(Failed(Upload(M, "a", A), REFUSED))
    assert failed() == ("parked", 2)


# ── What goes ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_old_receipts_go_a_few_at_a_time(path: Path):
    with Ledger(path, keep_history_s=10) as ledger:
        story = Story(ledger)
        for number in range(20):
            story.mirror.site.tell(EventKind.PUBLISHED, str(number), at_ns=WALL + number * S)
        ledger.commit()
        now = WALL + 25 * S
        assert [ledger.history.prune(now, 6) for _ in range(4)] == [6, 6, 3, 0]
        ledger.commit()
        assert [r.path for r in receipts(ledger)] == [str(number) for number in range(15, 20)]


def test_the_engine_prunes_in_small_steps_and_not_by_a_clock_that_was_just_set(path: Path):
    with Ledger(path, keep_history_s=10 * DAY_S) as ledger:
        story = Story(ledger)
        for number in range(PRUNE_ROWS + 5):
            story.mirror.site.tell(EventKind.PUBLISHED, str(number), at_ns=WALL)
        for days in (9, 11):
            story.mirror.site.tell(EventKind.PUBLISHED, "young", at_ns=WALL + days * int(DAY_S) * S)
        ledger.commit()
        wall_ns, now = WALL, 5000.0
        engine = Engine(ledger, story.events.append, clock=Clock(lambda: now, lambda: wall_ns))
        wall_ns += 11 * int(DAY_S) * S
        left: list[int] = []
        for step in (0.0, PRUNE_AGAIN_S / 2, PRUNE_AGAIN_S, PRUNE_EVERY_S):
            if not left:  # the engine finds that the wall clock jumped since it was made
                engine.turn([])
                assert len(receipts(ledger, limit=5000)) == PRUNE_ROWS + 7
                now += 100
                wall_ns += 100 * S
            now += step
            wall_ns += int(step * S)
            engine.turn([])
            left.append(len(receipts(ledger, limit=5000)))
        assert left == [7, 7, 2, 2]
        assert not ledger.dirty


YEARS_NS = 12 * 365 * int(DAY_S) * S


def test_a_clock_that_is_years_ahead_at_the_start_drops_nothing(path: Path):
    """It is set right as soon as there is a network, or by a person; one that is not set for a day is right."""
    with Ledger(path, keep_history_s=30 * DAY_S) as ledger:
        story = Story(ledger)
        for number in range(5):
            story.mirror.site.tell(EventKind.PUBLISHED, str(number), at_ns=WALL - number * 20 * int(DAY_S) * S)
        ledger.commit()
        now, wall_ns = 5000.0, WALL + YEARS_NS
        engine = Engine(ledger, story.events.append, clock=Clock(lambda: now, lambda: wall_ns))

        def turned(seconds: float, step_ns: int = 0) -> int:
            nonlocal now, wall_ns
            now += seconds
            wall_ns += int(seconds * S) + step_ns
            engine.turn([])
            return len(receipts(ledger))

        # Those that are thirty days older than the newest one are too old, whatever time it is.
        assert turned(0.0) == 2
        story.mirror.site.tell(EventKind.PUBLISHED, "ahead", at_ns=wall_ns)
        assert turned(PROVEN_S - 1) == 3
        assert turned(0.0, -YEARS_NS) == 3
        assert turned(PROVEN_S - 1) == 3
        assert turned(20 * DAY_S) == 2


def test_a_clock_that_is_set_years_ahead_drops_nothing_for_a_day(path: Path):
    assert PROVEN_S == DAY_S
    with Ledger(path, keep_history_s=9 * DAY_S) as ledger:
        story = Story(ledger)
        story.mirror.site.tell(EventKind.PUBLISHED, "a", at_ns=WALL)
        ledger.commit()
        now, wall_ns = 5000.0, WALL
        engine = Engine(ledger, story.events.append, clock=Clock(lambda: now, lambda: wall_ns))
        engine.turn([])
        left = []
        for seconds, step_ns in ((2 * PROVEN_S, 0), (0.0, YEARS_NS), (PROVEN_S - 1, 0), (PRUNE_EVERY_S, 0)):
            now += seconds
            wall_ns += int(seconds * S) + step_ns
            engine.turn([])
            left.append(len(receipts(ledger)))
        assert left == [1, 1, 1, 0]


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_a_clock_that_stays_years_ahead_over_restarts_drops_nothing(path: Path, runs: int):
    """What was published by it, before the next start, does not prove that so much time has gone by."""
    with Ledger(path, keep_history_s=30 * DAY_S) as ledger:
        story = Story(ledger)
        for number in range(5):
            story.mirror.site.tell(EventKind.PUBLISHED, str(number), at_ns=WALL - number * 7 * int(DAY_S) * S)
        ledger.commit()
        wall_ns, now = WALL + YEARS_NS, 5000.0
        for _ in range(runs):
            engine = Engine(ledger, story.events.append, clock=Clock(lambda: now, lambda: wall_ns))  # noqa: B023 - as it is then
            for seconds in (1.0, 3600.0):
                wall_ns += int(seconds * S)
                now += seconds
                story.mirror.site.tell(EventKind.PUBLISHED, "ahead", at_ns=wall_ns)
                engine.turn([])
        assert len(receipts(ledger)) == 5 + 2 * runs


@pytest.mark.parametrize(("every_days", "most"), [(1, 31), (29, 2), (40, 2)])
def test_where_no_process_runs_for_long_receipts_go_all_the_same(path: Path, every_days: int, most: int):
    """`sync` in cron: its clock is never proven."""
    for number in range(50):
        with Ledger(path, keep_history_s=30 * DAY_S) as ledger:
            wall_ns = WALL + number * every_days * int(DAY_S) * S
            story = Story(ledger)
            engine = Engine(ledger, story.events.append, clock=Clock(lambda: NOW, lambda: wall_ns))  # noqa: B023 - used here only
            engine.turn([])
            assert len(receipts(ledger)) <= most
            story.mirror.site.tell(EventKind.PUBLISHED, "a", at_ns=wall_ns)
            ledger.commit()


def test_without_a_history_nothing_is_written_and_what_there_is_goes(path: Path):
    with Ledger(path) as ledger:
        Story(ledger).mirror.site.tell(EventKind.PUBLISHED, "a", at_ns=WALL)
    with Ledger(path, keep_history_s=0) as ledger:
        story = Story(ledger)
        story.apply(Done(Upload(M, "d/a", A), Did.PUBLISHED, sha256=SHA))
        story.apply(Failed(Upload(M, "b", A), REFUSED))
        assert [r.path for r in receipts(ledger)] == ["a"]
        assert ledger.history.prune(WALL + 1, 10) == 1
        assert receipts(ledger) == []


# ── Older files ──────────────────────────────────────────────────────────────────────────────────────────────────

VERSION_1 = """
PRAGMA journal_mode=WAL;
CREATE TABLE mapping(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, destination TEXT NOT NULL, root_inode INTEGER, root_filesystem INTEGER,
    hold_kind TEXT, hold_since_ns INTEGER, hold_message TEXT, paused INTEGER NOT NULL DEFAULT 0,
    files INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, last_publish_ns INTEGER,
    UNIQUE(name, destination)
);
CREATE TABLE entry(
    mapping INTEGER NOT NULL, dir BLOB NOT NULL, name BLOB NOT NULL, kind INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, sha256 BLOB NOT NULL, published_ns INTEGER NOT NULL,
    device INTEGER NOT NULL, PRIMARY KEY(mapping, dir, name)
) WITHOUT ROWID;
CREATE INDEX entry_inode ON entry(mapping, inode, size, mtime_ns);
CREATE TABLE failure(
    mapping INTEGER NOT NULL, dir BLOB NOT NULL, name BLOB NOT NULL, size INTEGER, mtime_ns INTEGER, inode INTEGER,
    attempts INTEGER NOT NULL, parked INTEGER NOT NULL, next_try_ns INTEGER NOT NULL, kind TEXT NOT NULL,
    message TEXT NOT NULL, reply TEXT NOT NULL, remedy TEXT NOT NULL, failed_ns INTEGER NOT NULL,
    PRIMARY KEY(mapping, dir, name)
) WITHOUT ROWID;
CREATE TABLE intent(
    mapping INTEGER NOT NULL, path BLOB NOT NULL, kind INTEGER NOT NULL, temporary BLOB NOT NULL,
    source BLOB NOT NULL, fingerprints TEXT NOT NULL, PRIMARY KEY(mapping, path)
) WITHOUT ROWID;
INSERT INTO mapping VALUES(1, 'gallery', 'there', 5, 6, NULL, NULL, NULL, 0, 1, 10, 1700000000000000000);
INSERT INTO entry VALUES(1, x'64', x'61ff', 0, 10, 1, 7, x'0102', 1700000000000000000, 0);
INSERT INTO failure VALUES(1, x'', x'62', 3, 1, 8, 2, 1, 0, 'NameRefusedError', 'No.', '550 No.', 'Ask.', 5);
PRAGMA user_version=1;
"""


@pytest.fixture
def old(path: Path) -> Path:
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    db.close()
    return path


def test_a_ledger_of_version_1_gets_a_history_and_keeps_everything(old: Path):
    for _ in range(2):
        with Ledger(old) as ledger:
            assert ledger._db.version == SCHEMA_VERSION
            assert ledger.has_history
            story = Story(ledger)
            assert story.id == 1
            row, failure = ledger.row(1, "d/a\udcff"), ledger.failures.of(1, "b")
            assert row is not None
            assert (row.fingerprint, row.sha256) == (Fingerprint(10, 1, 7), b"\x01\x02")
            assert failure is not None
            assert failure.parked
            assert ledger.mappings.totals(1).files == 1
            story.mirror.site.tell(EventKind.PUBLISHED, "a", at_ns=WALL)
    with Ledger(old, read_only=True) as ledger:
        assert len(receipts(ledger)) == 2
    assert sqlite3_version(old) == SCHEMA_VERSION


def sqlite3_version(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def test_an_upgrade_that_is_cut_off_changes_nothing(old: Path, monkeypatch):
    *before, last = MIGRATIONS
    monkeypatch.setattr(ledger_module, "MIGRATIONS", (*before, f"{last} INSERT INTO nowhere VALUES(1);"))
    with pytest.raises(LedgerError, match="nowhere"):
        Ledger(old)
    assert sqlite3_version(old) == 1
    monkeypatch.undo()
    with Ledger(old) as ledger:
        assert ledger.has_history


def test_a_ledger_of_version_1_that_is_only_read_has_no_history_and_stays_as_it_is(old: Path):
    with Ledger(old, read_only=True) as ledger:
        assert not ledger.has_history
        row = ledger.row(1, "d/a\udcff")
        assert row is not None
        assert row.seen_ns == row.published_ns
        assert ledger.rows(1, "d") == ledger.in_bulk.rows_of(1, "d", ["a\udcff"]) == {"a\udcff": row}
        assert ledger.inodes.files(1, row.fingerprint) == [("d/a\udcff", row)]
        assert ledger.in_bulk.beside(1, "d", {"a\udcff": Entry(Kind.FILE, row.fingerprint, 0, 0)}).same == {"a\udcff"}
        # Older than what is told of a part; `verify` reads it beside a daemon that is not started anew yet.
        assert ledger.begun.of(1) == []
    assert sqlite3_version(old) == 1


def test_the_event_of_a_receipt_says_the_same(story: Story):
    story.apply(Done(Upload(M, "a", A), Did.PUBLISHED, sha256=SHA, duration_s=1.5, reply="226"))
    [event], [receipt] = story.events, receipts(story.ledger)
    assert event == event._replace(
        kind=EventKind(receipt.kind), path=receipt.path, size=receipt.size, sha256=receipt.sha256,
        duration_s=receipt.duration_s, attempts=receipt.attempts, reply=receipt.reply
    )  # fmt: skip
