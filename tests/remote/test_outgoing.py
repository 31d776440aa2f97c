"""What a file on its way says of itself when its try is over: what it leaves, and what it has cost."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ftpsyncd.errors import (
    AlreadyExistsError,
    FtpsyncdError,
    LocalUnreadableError,
    NameRefusedError,
    ServerUnavailableError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.model import Kind
from ftpsyncd.remote.outgoing import Outgoing
from ftpsyncd.remote.port import RemoteEntry
from ftpsyncd.remote.profile import Resuming
from ftpsyncd.remote.resume import REPEATED, Kept
from tests.contract.remotes import DATE, job

PATH, HIDDEN = "/d/a", "/d/a.0123abcd.filepart"
BROKEN = TransferFailedError("The line broke.")


def outgoing(*, hidden: bool = True, **changes: Any) -> Outgoing:
    upload = Outgoing(job(PATH), HIDDEN if hidden else PATH, io.BytesIO(b"content"), 1000.0)
    for name, value in changes.items():
        setattr(upload, name, value)
    return upload


def aside(error: FtpsyncdError) -> FtpsyncdError:
    error.aside = "/d/a.old"  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("changes", "worth"),
    [
        ({}, True),
        ({"kept": Kept(5, Resuming.REST)}, True),
        ({"hidden": False}, False),
        ({"sent": REPEATED}, False),
        ({"error": VerificationError("It is another one.")}, False),
        ({"error": None}, False),
        ({"unwelcome": True}, False),
        ({"kept": Kept(5, Resuming.APPE)}, False),
    ],
    ids=["much", "with REST", "in its place", "little", "not well", "done", "unwelcome", "with APPE"],
)
def test_what_of_it_is_worth_to_be_continued(changes: dict[str, Any], *, worth: bool) -> None:
    assert outgoing(**{"error": BROKEN, "sent": REPEATED + 1, **changes}).worth_continuing is worth


@pytest.mark.parametrize(
    ("changes", "costs"),
    [
        ({}, False),
        ({"alone": True}, True),
        ({"cleared": True}, True),
        ({"hidden": False}, False),
        ({"error": LocalUnreadableError("It cannot be read.")}, False),
        ({"touched": True}, False),
        ({"touched": True, "hidden": False}, True),
        ({"error": aside(NameRefusedError("No."))}, True),
        # Nobody has said what became of it.
        ({"error": aside(ServerUnavailableError("It is gone."))}, False),
    ],
    ids=["hidden", "replaced", "cleared", "in place", "unread", "touched beside", "touched", "moved", "perhaps moved"],
)
def test_what_was_there_before_is_gone_if_the_server_has_said_so_and_nothing_came(
    changes: dict[str, Any], *, costs: bool
) -> None:
    assert outgoing(**{"error": BROKEN, **changes}).result().gone is costs
    if "error" not in changes:
        assert not outgoing(**changes).result().gone, "it has come"


@pytest.mark.parametrize(
    ("changes", "dated", "it"),
    [({}, True, True), ({}, False, False), ({"size": 8}, True, False), ({"mtime_s": DATE + 3600}, True, False)],
    ids=["it", "not dated", "another size", "another date"],
)
def test_which_file_of_the_server_it_may_be(changes: dict[str, Any], *, dated: bool, it: bool) -> None:
    entry = RemoteEntry(PATH, Kind.FILE, 7, DATE)
    assert outgoing(dated=dated).is_shown_as(entry._replace(**changes)) is it


def test_how_much_is_sent_is_noted_and_shown() -> None:
    shown: list[int] = []
    upload = outgoing()
    upload.job = job(PATH, progress=shown.append)
    upload.moved(3)
    assert (upload.sent, shown) == (3, [3])


def test_of_one_that_failed_its_date_and_hash_are_told_only_as_far_as_they_are_true() -> None:
    whole = outgoing(dated=True, sent=7, ended=1003.0)
    result = whole.result()
    assert (result.dated, result.duration_s, len(result.sha256)) == (True, 3.0, 32)
    assert whole.file.closed
    result = outgoing(dated=True, sent=6, error=BROKEN).result()
    assert (result.dated, result.sha256) == (False, b"")


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"stored": True, "hidden": False, "error": BROKEN}, True),
        ({"stored": True, "hidden": False}, False),
        ({"stored": True, "error": BROKEN}, False),
        ({"hidden": False, "error": BROKEN}, False),
        ({"removed_in_place": True, "error": AlreadyExistsError("It is a directory.")}, True),
    ],
    ids=["failed", "done", "hidden", "not begun", "removed"],
)
def test_whether_something_of_it_was_in_its_place(changes: dict[str, Any], *, there: bool) -> None:
    assert outgoing(**changes).result().in_place is there


@pytest.mark.parametrize("hidden", [True, False])
def test_that_a_part_will_be_seen_is_said_before(*, hidden: bool) -> None:
    said: list[bool] = []
    upload = outgoing(hidden=hidden)
    upload.job = job(PATH, exposed=said.append)
    upload.expose()
    assert said == ([] if hidden else [False])
