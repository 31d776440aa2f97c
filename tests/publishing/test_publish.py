"""Actions that a worker performs, in a real folder, at a server in memory."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from ftpsyncd.actions import (
    Action,
    Delete,
    Did,
    Done,
    Failed,
    MakeDir,
    Outcome,
    RemoveDir,
    Rename,
    RenameDir,
    Sweep,
    Upload,
)
from ftpsyncd.core import names
from ftpsyncd.errors import (
    AlreadyExistsError,
    ChangedAtServerError,
    FileChangedError,
    LocalUnreadableError,
    MountPointError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    PlaceTakenError,
    RemoteError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.model import Exposure, Fingerprint, Kind
from ftpsyncd.publishing.existing import BEGINNING, FreshDirectories, require_vacant, swept
from ftpsyncd.publishing.lastlook import RECORDED_NS, Folder
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.publishing.publish import Publisher
from ftpsyncd.remote import hashes, remedies
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.memory import MemoryFile, MemoryServer, MemorySession
from ftpsyncd.remote.port import RemoteEntry
from ftpsyncd.specs import ExistingPolicy, MappingSpec, PublishMode
from tests.publishing.drawn import Drawn
from tests.servers import KINDS, running
from tests.waiting import until

M, BASE = "gallery", "/site"
CONTENT = b"content"
DAY_S = 86_400


class Worker:
    """A worker of one mapping."""

    def __init__(self, local: Path) -> None:
        self.local = local
        self.server = MemoryServer(dirs={"/", BASE})
        self.spec = MappingSpec(M, local, "web", BASE, include=("*",))
        self.shown: list[Progress | None] = []

    def does(self, *actions: Action, fresh: FreshDirectories | None = None) -> list[Outcome]:
        folder = Folder(self.spec, root_identity(self.local))
        publisher = Publisher(lambda _name: folder, FreshDirectories() if fresh is None else fresh, self.shown.append)
        with self.server.connect() as session:
            return list(publisher.perform(session, Drawn(*actions)))

    def sees(self, path: str) -> Fingerprint:
        return fingerprint_of((self.local / path).stat())


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    local = tmp_path / "drop"
    local.mkdir()
    return Worker(local)


def did(outcomes: list[Outcome]) -> list[Did]:
    assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
    return [outcome.did for outcome in outcomes if isinstance(outcome, Done)]


def test_a_transfer_is_known_to_have_moved_when_some_of_it_was_sent(worker: Worker):
    (worker.local / "a").write_bytes(CONTENT)
    assert did(worker.does(Upload(M, "a", worker.sees("a")))) == [Did.PUBLISHED]
    progress = worker.shown[0]
    assert progress is not None
    assert progress.sent_bytes == len(CONTENT)
    assert progress.moved > progress.started


def test_a_link_that_is_followed_is_renamed_like_what_it_leads_to(worker: Worker):
    worker.spec = worker.spec._replace(follow_symlinks=True)
    (worker.local / "data").mkdir()
    (worker.local / "data/x").write_bytes(CONTENT)
    (worker.local / "a").symlink_to("data/x")
    (worker.local / "d").symlink_to("data")
    seen = worker.sees("a")
    uploads = [Upload(M, "a", seen), Upload(M, "d/x", seen)]
    worker.server.dirs.add(f"{BASE}/d")
    assert did(worker.does(*uploads)) == [Did.PUBLISHED, Did.PUBLISHED]
    (worker.local / "a").rename(worker.local / "b")
    (worker.local / "d").rename(worker.local / "e")
    renames: list[Action] = [Rename(M, "b", "a", seen, b""), RenameDir(M, "e", "d", worker.sees("e").inode)]
    assert did(worker.does(*renames)) == [Did.RENAMED, Did.RENAMED]
    assert set(worker.server.files) == {f"{BASE}/b", f"{BASE}/e/x"}


@pytest.mark.parametrize("by", ["its path", "its name, as another try has followed", "that, as its mapping is gone"])
@pytest.mark.parametrize(
    ("newer", "here", "left"),
    [(True, True, [b"newer"]), (True, False, [b"newer"]), (False, True, [b"old"]), (False, False, [b"old"])],
    ids=["the newer one is published", "the newer one is, and gone here", "it is the only one", "it is, and gone here"],
)
def test_what_was_moved_aside_when_a_line_ended_is_put_back_or_swept(
    worker: Worker, *, by: str, newer: bool, here: bool, left: list[bytes]
):
    remote, temporary = f"{BASE}/a", names.temporary(f"{BASE}/a", M)
    worker.server.files[names.aside(remote)] = MemoryFile(b"old")
    worker.server.files[temporary] = MemoryFile(b"newer")
    if newer:
        worker.server.files[remote] = MemoryFile(b"newer")
    if here:
        (worker.local / "a").write_bytes(b"newer")
    path = "a" if by == "its path" else temporary.removeprefix(f"{BASE}/")
    sweep = Sweep("", temporary, temporary) if by.startswith("that") else Sweep(M, path, temporary)
    assert did(worker.does(sweep)) == [Did.SWEPT]
    assert [file.content for file in worker.server.files.values()] == left


@pytest.mark.parametrize("newer", [True, False], ids=["the newer one is published", "it is the only one"])
@pytest.mark.parametrize("apart", [False, True], ids=["", "another try has followed"])
def test_one_of_a_long_name_comes_back_under_that_or_under_none(worker: Worker, *, apart: bool, newer: bool):
    """On its way it lost its end, and that a file without it is not there says nothing: it may be all that there is."""
    name = f"{'ж' * 70}.jpg"
    remote, temporary = f"{BASE}/{name}", names.temporary(f"{BASE}/{name}", M)
    worker.server.files[names.aside(remote)] = MemoryFile(b"old")
    if newer:
        worker.server.files[remote] = MemoryFile(b"newer")
    (worker.local / name).write_bytes(b"newer")
    path = temporary.removeprefix(f"{BASE}/") if apart else name
    assert did(worker.does(Sweep(M, path, temporary))) == [Did.SWEPT]
    there = {names.aside(remote) if apart else remote: b"old"}
    assert {path: file.content for path, file in worker.server.files.items()} == (
        {remote: b"newer"} if newer else there
    )


@pytest.mark.parametrize("apart", [False, True], ids=["", "another try has followed"])
@pytest.mark.parametrize("there", [False, True], ids=["the other is missing, too", "the other is there"])
def test_what_was_moved_aside_is_never_taken_for_that_of_a_name_that_begins_alike(
    worker: Worker, *, apart: bool, there: bool
):
    """One got the content of the other, or lost the only version that was there."""
    remote, other = (f"{BASE}/{'report ' * 20}{number}.jpg" for number in (1, 2))
    swept, moved = (remote, other) if not there else (other, remote)
    temporary = names.temporary(swept, M)
    worker.server.files[temporary] = MemoryFile(b"newer")
    worker.server.files[names.aside(moved)] = MemoryFile(b"the only one")
    if there:
        worker.server.files[other] = MemoryFile(b"of the other")
    left = {path: file.content for path, file in worker.server.files.items() if path != temporary}
    path = temporary if apart else swept
    assert did(worker.does(Sweep(M, path.removeprefix(f"{BASE}/"), temporary))) == [Did.SWEPT]
    assert {path: file.content for path, file in worker.server.files.items()} == left


@pytest.mark.parametrize("trash", ["", names.trash(BASE, "2024-05-01", "a")], ids=["deleted", "to the trash"])
def test_what_was_moved_aside_goes_with_its_file_and_does_not_come_back(worker: Worker, trash: str):
    remote, temporary = f"{BASE}/a", names.temporary(f"{BASE}/a", M)
    for path in (names.aside(remote), temporary):
        worker.server.files[path] = MemoryFile(b"old")
    assert did(worker.does(Delete(M, "a", trash, (3,), left=(temporary,)))) == [Did.GONE]
    assert did(worker.does(Sweep(M, "a", temporary))) == [Did.SWEPT]
    assert not worker.server.files


def test_an_old_version_that_is_left_of_what_was_published_does_not_come_back(worker: Worker):
    aside = names.aside(f"{BASE}/a")
    worker.server.files[aside] = MemoryFile(b"old")
    assert did(worker.does(Sweep(M, aside.removeprefix(f"{BASE}/"), aside))) == [Did.SWEPT]
    assert not worker.server.files


@pytest.mark.parametrize("known", [False, True], ids=["", "and whether the file has arrived"])
def test_what_was_half_sent_goes_also_where_nobody_may_look(worker: Worker, *, known: bool):
    """In a box for what is dropped into it, it was told as what cannot be deleted, and no DELE was said.

    What may be there besides is asked for again: rights change, and the old version may be aside, and the only one.
    """
    remote, temporary = f"{BASE}/a", names.temporary(f"{BASE}/a", M)
    aside = names.aside(remote)
    worker.server.files |= {temporary: MemoryFile(b"half"), aside: MemoryFile(b"old")}
    worker.server.fail("MLST", NameRefusedError("Permission denied.", reply="550 Permission denied."))
    sweep = Sweep(M, "a", temporary, fingerprints=(Fingerprint(9, 9, 9),) if known else ())
    [outcome] = worker.does(sweep)
    assert isinstance(outcome, Failed)
    assert set(worker.server.files) == {aside}
    assert did(worker.does(sweep)) == [Did.SWEPT]
    assert set(worker.server.files) == {remote}


LARGE = bytes(range(1, 256)) * (2 * BEGINNING // 255 + 1)


EXPOSED = Exposure(len(LARGE), 0)


@pytest.mark.parametrize(
    ("there", "dated", "found"),
    [
        (LARGE, 0, Did.SWEPT),
        (b"", 0, Did.SPOILED),
        (None, 0, Did.SPOILED),
        (LARGE, 1, Did.SWEPT),
        (b"\0" * 9 + LARGE[9:], 1, Did.SPOILED),
    ],
    ids=["as it was", "emptied", "gone", "another date", "another content of the same size"],
)
def test_what_was_published_whole_is_looked_at_again(worker: Worker, there: bytes | None, dated: int, found: Did):
    """Where dates cannot be set, the beginning tells."""
    (worker.local / "a").write_bytes(LARGE)
    seen = worker.sees("a")
    if there is not None:
        worker.server.files[f"{BASE}/a"] = MemoryFile(there, seen.mtime_ns // 10**9 + dated)
    assert did(worker.does(Sweep(M, "a", "", published=seen))) == [found]
    assert any(verb == "RETR" for verb, _ in worker.server.log) is bool(dated), "an intact one costs no data connection"


@pytest.mark.parametrize(
    ("there", "dated", "found"),
    [
        (LARGE, 0, Did.SWEPT),
        (b"", 0, Did.SPOILED),
        (None, 0, Did.SPOILED),
        (LARGE, 1, Did.SPOILED),
        (b"\0" * 9 + LARGE[9:], 0, Did.SPOILED),
    ],
    ids=["as it was", "emptied", "gone", "written to", "a hole"],
)
def test_what_was_published_is_looked_at_again(worker: Worker, there: bytes | None, dated: int, found: Did):
    (worker.local / "a").write_bytes(LARGE)
    seen = worker.sees("a")
    if there is not None:
        worker.server.files[f"{BASE}/a"] = MemoryFile(there, seen.mtime_ns // 10**9 + dated)
    assert did(worker.does(Sweep(M, "a", "", exposed=EXPOSED, published=seen))) == [found]
    assert f"{BASE}/a" in worker.server.files or there is None, "nothing is deleted"


@pytest.mark.parametrize("becomes", ["renamed", "replaced", "deleted", "nothing"])
@pytest.mark.parametrize("publish", PublishMode)
def test_a_file_that_is_no_longer_there_is_not_sent_to_its_end(
    worker: Worker, monkeypatch, becomes: str, publish: PublishMode
):
    monkeypatch.setattr("ftpsyncd.publishing.planned.LOOK_EVERY_S", 0.0)
    worker.spec = worker.spec._replace(publish=publish)
    worker.server.block = len(LARGE) // 50
    (worker.local / "a").write_bytes(LARGE)
    seen, sent = worker.sees("a"), 0

    def observe(verb: str, _path: str) -> None:
        nonlocal sent
        sent += verb == "STOR"
        if sent == 5 and verb == "STOR":
            match becomes:
                case "renamed":
                    (worker.local / "a").rename(worker.local / "b")
                case "replaced":
                    (worker.local / "b").write_bytes(LARGE)
                    (worker.local / "b").rename(worker.local / "a")
                case "deleted":
                    (worker.local / "a").unlink()

    worker.server.observer = observe
    [outcome] = worker.does(Upload(M, "a", seen))
    if becomes == "nothing":
        assert did([outcome]) == [Did.PUBLISHED]
        assert sent >= 50
    else:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, FileChangedError)
        assert sent <= 6
        assert not worker.server.files, "nothing of it stays"


def test_what_has_changed_here_meanwhile_is_not_compared(worker: Worker):
    (worker.local / "a").write_bytes(LARGE)
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(LARGE, seen.mtime_ns // 10**9)
    (worker.local / "a").unlink()
    assert did(worker.does(Sweep(M, "a", "", exposed=EXPOSED, published=seen))) == [Did.SWEPT]


def test_where_nobody_may_read_size_and_date_have_to_do(worker: Worker):
    (worker.local / "a").write_bytes(LARGE)
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(LARGE, seen.mtime_ns // 10**9)
    worker.server.fail("RETR", NameRefusedError("Permission denied."))
    assert did(worker.does(Sweep(M, "a", "", exposed=EXPOSED, published=seen))) == [Did.SWEPT]
    worker.server.fail("RETR", ServerUnavailableError("Nothing passes any more."))
    [outcome] = worker.does(Sweep(M, "a", "", exposed=EXPOSED, published=seen))
    assert isinstance(outcome, Failed), "it is asked again"


BROKEN_OFF = [
    "426 Connection closed; transfer aborted.",
    "551 Error on input file.",
    "550 Issue during transfer: write tcp 10.0.0.1:2100->10.0.0.2:471: i/o timeout",
    "550 write EPIPE",
]
"""What servers say of a fetch that broke."""


@pytest.mark.parametrize("exposed", [EXPOSED, None])
@pytest.mark.parametrize("reply", BROKEN_OFF)
def test_a_look_that_breaks_is_not_one_that_is_not_allowed(worker: Worker, exposed: Exposure | None, reply: str):
    """What has a hole counted as whole, and stayed on air."""
    (worker.local / "a").write_bytes(LARGE)
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"\0" * 9 + LARGE[9:], seen.mtime_ns // 10**9 + (exposed is None))
    worker.server.fail("RETR", TransferFailedError(reply, reply=reply))
    sweep = Sweep(M, "a", "", exposed=exposed, published=seen)
    [outcome] = worker.does(sweep)
    assert isinstance(outcome, Failed), "it is asked again"
    assert did(worker.does(sweep)) == [Did.SPOILED]


def test_a_server_that_counts_sizes_in_32_bits_is_believed_about_what_it_has(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
):
    with (worker.local / "a").open("wb") as large:
        large.write(LARGE)
        large.truncate(5 * 2**30)
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(LARGE, seen.mtime_ns // 10**9)
    for told, found in ((2**30, Did.SWEPT), (2**30 + 1, Did.SPOILED)):
        entry = RemoteEntry("a", Kind.FILE, told, seen.mtime_ns // 10**9)
        monkeypatch.setattr(MemorySession, "stat", lambda _self, _path, entry=entry: entry)
        assert did(worker.does(Sweep(M, "a", "", exposed=EXPOSED, published=seen))) == [found]


@pytest.mark.real_server
@pytest.mark.parametrize("size", [7, 40 * BEGINNING])
@pytest.mark.parametrize("kind", KINDS)
def test_the_beginning_of_a_file_is_enough(worker: Worker, kind: str, size: int):
    content = (LARGE * (size // len(LARGE) + 1))[:size]
    (worker.local / "a").write_bytes(content)
    folder = Folder(worker.spec._replace(remote="/"), root_identity(worker.local))
    with running(kind) as server:
        for there, found in ((content, Did.SWEPT), (b"\0" * 5 + content[5:], Did.SPOILED)):
            (server.home / "a").write_bytes(there)
            os.utime(server.home / "a", (worker.sees("a").mtime_ns // 10**9,) * 2)
            with Account(server.spec())() as session:
                sweep = Sweep(M, "a", "", exposed=EXPOSED, published=worker.sees("a"))
                outcomes = list(Publisher(lambda _name: folder, FreshDirectories()).perform(session, Drawn(sweep)))
            assert did(outcomes) == [found]


def test_a_directory_is_made_though_the_one_above_has_been_removed_meanwhile(worker: Worker):
    made = [MakeDir(M, path, 0) for path in ("a", "gone/in", "b")]
    assert did(worker.does(*made)) == [Did.MADE] * 3
    assert worker.server.dirs == {"/", BASE, *(f"{BASE}/{path}" for path in ("a", "gone", "gone/in", "b"))}


@pytest.mark.parametrize("began", [0, 1, 2])
def test_a_file_is_refused_if_nothing_of_it_was_sent_in_either_try(worker: Worker, began: int):
    (worker.local / "a").write_bytes(CONTENT)
    refusal = NameRefusedError("Permission denied.", reply="553 Could not create file.")
    worker.server.fail("STOR", refusal, after=began == 1)
    # Each fault counts the commands that none before it has struck.
    worker.server.fail("STOR", refusal, nth=2 if began == 1 else 1, after=began == 2)
    [outcome] = worker.does(Upload(M, "a", worker.sees("a")))
    assert isinstance(outcome, Failed)
    assert outcome.error is refusal
    assert outcome.refused is (began == 0)


def test_a_directory_that_may_not_be_made_fails_and_no_other_one(worker: Worker):
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 0)
    outcomes = worker.does(MakeDir(M, "a", 0), MakeDir(M, "a/in", 0), MakeDir(M, "b", 0))
    assert {outcome.action.path: type(outcome) for outcome in outcomes} == {"a": Failed, "a/in": Failed, "b": Done}


@pytest.mark.parametrize("renamed", [True, False])
def test_a_directory_rename_that_is_only_asked_about_is_not_tried(worker: Worker, renamed: bool):  # noqa: FBT001
    worker.server.dirs.add(f"{BASE}/{'e' if renamed else 'd'}")
    before = set(worker.server.dirs)
    (worker.local / "e").mkdir()
    [outcome] = worker.does(RenameDir(M, "e", "d", worker.sees("e").inode, interrupted=True, ask_only=True))
    assert isinstance(outcome, Done) is renamed
    assert isinstance(outcome, Failed) is not renamed
    assert worker.server.dirs == before


def test_a_directory_that_is_asked_about_and_is_nowhere_is_told(worker: Worker):
    """A rename came late, and what it had brought was deleted under the new name."""
    (worker.local / "d").mkdir()
    [outcome] = worker.does(RenameDir(M, "e", "d", worker.sees("d").inode, interrupted=True, ask_only=True))
    assert isinstance(outcome, Done)
    assert outcome.did is Did.SPOILED


@pytest.mark.parametrize("likelier", [True, False])
def test_a_directory_that_is_asked_about_and_is_where_it_more_likely_came_to_is_not_here(
    worker: Worker, *, likelier: bool
):
    """Nor is it lost. Where both are, the one that the ledger knows was made."""
    places = ("f", "e") if likelier else ("e", "f")
    asked = RenameDir(M, "e", "d", 0, interrupted=True, ask_only=True, places=places)
    worker.server.dirs.add(f"{BASE}/f")
    assert isinstance(worker.does(asked)[0], Failed)
    worker.server.dirs.add(f"{BASE}/e")
    assert isinstance(worker.does(asked)[0], Failed) is likelier


@pytest.mark.parametrize(("there", "becomes"), [(CONTENT, Did.UNCHANGED), (CONTENT[:3], Did.PUBLISHED)])
def test_a_file_with_a_new_date_is_sent_again_only_if_it_is_not_whole_at_the_server(
    worker: Worker, there: bytes, becomes: Did
):
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(there, 1)
    again = Upload(M, "a", worker.sees("a"), hashlib.sha256(CONTENT).digest(), replaces=True)
    assert did(worker.does(again)) == [becomes]
    assert worker.server.files[f"{BASE}/a"] == MemoryFile(CONTENT, worker.sees("a").mtime_ns // 10**9)


def test_a_file_is_not_sent_twice_in_vain_where_a_directory_has_its_name(worker: Worker):
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.dirs.add(f"{BASE}/a")
    worker.server.files[f"{BASE}/a/theirs"] = MemoryFile(b"theirs", 1)
    (outcome,) = worker.does(Upload(M, "a", worker.sees("a"), replaces=True))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, AlreadyExistsError)
    assert [verb for verb, _ in worker.server.log].count("STOR") == 1


def test_a_file_that_is_refused_does_not_wait_for_all_that_is_sent_without_a_question(worker: Worker):
    """Its directory is missing, perhaps. With `existing: overwrite` a backlog of 100,000 files is one such run."""
    worker.spec = worker.spec._replace(existing=ExistingPolicy.OVERWRITE)
    (worker.local / "d").mkdir()
    paths = ["1", "d/2", "3", "4", "5"]
    for path in paths:
        (worker.local / path).write_bytes(CONTENT)
    outcomes = worker.does(*(Upload(M, path, worker.sees(path)) for path in paths))
    assert did(outcomes) == [Did.PUBLISHED] * 5
    assert [outcome.action.path for outcome in outcomes].index("d/2") <= 2
    assert set(worker.server.files) == {f"{BASE}/{path}" for path in paths}


@pytest.mark.parametrize("content", [CONTENT, b""])
def test_a_file_is_not_sent_twice_in_vain_where_only_its_final_name_is_refused(worker: Worker, content: bytes):
    """A filter of the server: that it has taken the file shows that the directory is there."""
    (worker.local / "a").write_bytes(content)
    worker.server.fail("RNTO", NameRefusedError("No such name here.", reply="553 Forbidden filename"), times=9)
    (outcome,) = worker.does(Upload(M, "a", worker.sees("a"), replaces=True))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, NameRefusedError)
    assert [verb for verb, _ in worker.server.log].count("STOR") == 1


def test_while_it_is_found_out_whether_only_the_date_of_a_file_changed_the_server_hears_from_us(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
):
    """A large one is read for longer than many servers bear silence: each try would end like that."""
    monkeypatch.setattr(hashes, "SIGN_OF_LIFE_S", 0.0)
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    again = Upload(M, "a", worker.sees("a"), hashlib.sha256(CONTENT).digest(), replaces=True)
    assert did(worker.does(again)) == [Did.UNCHANGED]
    assert ("NOOP", "") in worker.server.log


def test_while_a_file_is_read_once_more_after_it_was_sent_the_server_hears_from_us(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
):
    """A backup gave it one more name meanwhile: that changes its ctime, and not its content."""
    monkeypatch.setattr(hashes, "SIGN_OF_LIFE_S", 0.0)
    (worker.local / "a").write_bytes(CONTENT)
    seen = worker.sees("a")

    def observe(verb: str, _path: str) -> None:
        if verb == "STOR":
            (worker.local / "a").chmod(0o600)

    worker.server.observer = observe
    assert did(worker.does(Upload(M, "a", seen, replaces=True))) == [Did.PUBLISHED]
    assert ("NOOP", "") in worker.server.log


def test_a_file_with_a_new_date_is_sent_if_it_has_another_content_of_the_same_size(worker: Worker):
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT[::-1], 1)
    again = Upload(M, "a", worker.sees("a"), hashlib.sha256(CONTENT[::-1]).digest(), replaces=True)
    assert did(worker.does(again)) == [Did.PUBLISHED]
    assert worker.server.files[f"{BASE}/a"].content == CONTENT


def test_a_file_that_changes_while_it_is_found_out_whether_only_its_date_did_is_looked_at_again(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
):
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    again = Upload(M, "a", worker.sees("a"), hashlib.sha256(CONTENT).digest(), replaces=True)
    of_file = hashes.of_file

    def hashed(algorithm: str, file: BinaryIO, sign: Callable[[], None]) -> str:
        found = of_file(algorithm, file, sign)
        (worker.local / "a").write_bytes(CONTENT[::-1])
        return found

    monkeypatch.setattr(hashes, "of_file", hashed)
    (outcome,) = worker.does(again)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, FileChangedError)


@pytest.mark.parametrize("known", [True, False], ids=["whose date only changed", "that is there already"])
def test_a_file_is_not_taken_for_there_under_a_name_that_the_server_changes(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, *, known: bool
):
    """What is found under the name is another file, which ours would be deleted with."""

    def refuse(_session: MemorySession, path: str) -> None:
        raise NameRefusedError(f"The server changes {path}.")

    monkeypatch.setattr(MemorySession, "assure", refuse)
    (worker.local / "a.").write_bytes(CONTENT)
    seen = worker.sees("a.")
    worker.server.files[f"{BASE}/a."] = MemoryFile(CONTENT, 1 if known else seen.mtime_ns // 10**9)
    sha256 = hashlib.sha256(CONTENT).digest() if known else b""
    (failed,) = worker.does(Upload(M, "a.", seen, sha256, replaces=known))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, NameRefusedError)
    assert worker.server.files[f"{BASE}/a."].mtime_s == (1 if known else seen.mtime_ns // 10**9)


@pytest.mark.parametrize("sizes", [(), (1,)])
def test_what_is_deleted_several_times_on_one_day_is_all_in_the_trash(worker: Worker, sizes: tuple[int, ...]):
    trash = names.trash(BASE, "2024-05-01", "a")
    contents = [str(n).encode() for n in range(9)] + [b"x"]
    for content in contents:
        worker.server.files[f"{BASE}/a"] = MemoryFile(content, 1)
        assert did(worker.does(Delete(M, "a", trash, sizes))) == [Did.TRASHED]
    assert sorted(file.content for file in worker.server.files.values()) == contents
    assert worker.server.files[trash].content == contents[0]
    assert did(worker.does(Delete(M, "a", trash, sizes))) == [Did.GONE]


def test_a_file_is_not_told_as_deleted_since_its_place_in_the_trash_is_not_there(worker: Worker):
    """Somebody may clear the trash while something is moved to it; servers have the same words for both."""
    trash = names.trash(BASE, "2024-05-01", "a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"1", 1)
    missing = NotFoundError("No such file or directory.", reply="550 No such file or directory.")
    worker.server.fail("RNTO", missing, path=trash)
    assert did(worker.does(Delete(M, "a", trash, (1,)))) == [Did.TRASHED]
    assert [file.content for file in worker.server.files.values()] == [b"1"]
    assert f"{BASE}/a" not in worker.server.files


def test_where_the_trash_cannot_be_made_what_helps_is_not_a_matter_of_rights(worker: Worker):
    """Of pure-ftpd told to refuse names that begin with a dot (`-x`), with which all else works."""
    trash = names.trash(BASE, "2024-05-01", "a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"1", 1)
    refused = NameRefusedError("Prohibited directory name", reply="553 Prohibited directory name")
    worker.server.fail("MKD", refused, path=f"{BASE}/{names.TRASH}", times=9)
    (failed,) = worker.does(Delete(M, "a", trash, (1,)))
    assert isinstance(failed, Failed)
    assert failed.error.remedy == f"{remedies.NO_TRASH} Then run `ftpsyncd retry`."
    assert worker.server.files[f"{BASE}/a"].content == b"1"


def test_a_name_that_cannot_be_asked_for_keeps_no_other_file_from_being_deleted(worker: Worker):
    names_ = ("a", "b\nb", "c")
    for name in names_:
        worker.server.files[f"{BASE}/{name}"] = MemoryFile(b"1", 1)
    first, second, third = worker.does(*(Delete(M, name, sizes=(1,)) for name in names_))
    assert {outcome.action.path for outcome in (first, second, third) if isinstance(outcome, Done)} == {"a", "c"}
    assert list(worker.server.files) == [f"{BASE}/b\nb"]


@pytest.mark.parametrize("unsendable", ["a\nb", "c\nd", "h\ni"])
def test_a_name_that_cannot_be_asked_for_has_no_other_file_sent_that_is_there_already(worker: Worker, unsendable: str):
    """As after a lost ledger, or at a server to which somebody has copied everything."""
    names_ = sorted(["a", "b", "c", "d", "e", "f", "g", unsendable])
    for name in names_:
        (worker.local / name).write_bytes(CONTENT)
        worker.server.files[f"{BASE}/{name}"] = MemoryFile(CONTENT, int(worker.sees(name).mtime_ns // 10**9))
    outcomes = worker.does(*(Upload(M, name, worker.sees(name)) for name in names_))
    assert {each.action.path for each in outcomes if isinstance(each, Done) and each.did is Did.ADOPTED} == {*"abcdefg"}
    (failed,) = (each for each in outcomes if isinstance(each, Failed))
    assert failed.action.path == unsendable
    assert isinstance(failed.error, NameNotSendableError)


@pytest.mark.parametrize("policy", ExistingPolicy)
@pytest.mark.parametrize("count", [1, 3])
def test_where_one_may_only_write_a_file_is_published_alone_as_with_others(
    worker: Worker, policy: ExistingPolicy, count: int
):
    worker.spec = worker.spec._replace(existing=policy)
    worker.server.fail("MLST", NameRefusedError("No.", reply="550 Permission denied."), times=1000)
    names_ = "abc"[:count]
    for name in names_:
        (worker.local / name).write_bytes(CONTENT)
    outcomes = worker.does(*(Upload(M, name, worker.sees(name)) for name in names_))
    if policy is ExistingPolicy.KEEP:
        assert len(outcomes) == count
        assert not any(isinstance(outcome, Done) for outcome in outcomes), "somebody's file may be there"
        assert not worker.server.files
    else:
        assert did(outcomes) == [Did.PUBLISHED] * count


@pytest.mark.parametrize("refused", [False, True])
def test_what_earlier_tries_have_left_goes_with_a_file_and_decides_nothing_about_it(
    worker: Worker,
    refused: bool,  # noqa: FBT001
):
    for name in ("a", "a.filepart", "b"):
        worker.server.files[f"{BASE}/{name}"] = MemoryFile(b"1", 1)
    worker.server.fail("DELE", NameRefusedError("No."), path=f"{BASE}/{'a.filepart' if refused else 'b'}")
    outcomes = worker.does(Delete(M, "a", sizes=(1,), left=(f"{BASE}/a.filepart",)), Delete(M, "b", sizes=(1,)))
    assert [isinstance(outcome, Done) for outcome in outcomes] == [True, refused]
    assert list(worker.server.files) == [f"{BASE}/{'a.filepart' if refused else 'b'}"]


@pytest.mark.parametrize("refused", [False, True])
def test_nor_does_it_come_into_the_trash(worker: Worker, refused: bool):  # noqa: FBT001
    trash = names.trash(BASE, "2024-05-01", "a")
    for name in ("a", "a.filepart"):
        worker.server.files[f"{BASE}/{name}"] = MemoryFile(b"1", 1)
    if refused:
        worker.server.fail("DELE", NameRefusedError("No."), path=f"{BASE}/a.filepart")
    assert did(worker.does(Delete(M, "a", trash, (1,), left=(f"{BASE}/a.filepart",)))) == [Did.TRASHED]
    assert set(worker.server.files) == {trash, *([f"{BASE}/a.filepart"] * refused)}


@pytest.mark.parametrize(("size", "days", "goes"), [(5, 1, True), (3, 5, True), (3, 1, False), (6, 5, False)])
def test_a_part_of_what_was_sent_under_its_final_name_is_deleted_with_its_file(
    worker: Worker,
    size: int,
    days: int,
    goes: bool,  # noqa: FBT001
):
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"x" * size, days * DAY_S)
    exposed = Exposure(5, 4 * DAY_S * 10**9, 6 * DAY_S * 10**9)
    (outcome,) = worker.does(Delete(M, "a", sizes=(5,), exposed=exposed))
    assert isinstance(outcome, Done) is goes
    assert (not worker.server.files) is goes
    if isinstance(outcome, Failed):
        assert isinstance(outcome.error, ChangedAtServerError)


@pytest.mark.parametrize(
    "action", [Delete(M, "d", sizes=(1,)), Delete(M, "d", names.trash(BASE, "2024-05-01", "d"), sizes=(1,))]
)
def test_a_directory_in_the_place_of_a_file_is_not_deleted_as_that(worker: Worker, action: Delete):
    worker.server.dirs.add(f"{BASE}/d")
    (outcome,) = worker.does(action)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, ChangedAtServerError)
    assert ("it is no file" if action.trash else "there is a directory in its place") in outcome.error.message
    assert ("deletes it all the same" if action.trash else "once you have removed that") in outcome.error.remedy


def test_what_was_looked_at_and_may_not_be_deleted_is_not_looked_at_once_more(worker: Worker):
    """Each look would take a round trip, of ten thousand files in a directory that may not be changed."""
    for name in "abc":
        worker.server.files[f"{BASE}/{name}"] = MemoryFile(CONTENT, 1)
    worker.server.fail("DELE", NameRefusedError("Denied.", reply="550 Permission denied."), times=3)
    for outcome in worker.does(*(Delete(M, name, sizes=(len(CONTENT),)) for name in "abc")):
        assert isinstance(outcome, Failed)
        assert type(outcome.error) is NameRefusedError
    assert [verb for verb, _ in worker.server.log].count("MLST") == 3


def test_a_directory_in_the_place_of_a_file_whose_delete_was_approved_is_told(worker: Worker):
    worker.server.dirs.add(f"{BASE}/d")
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    refused, done = worker.does(Delete(M, "d"), Delete(M, "a"))
    assert isinstance(refused, Failed)
    assert isinstance(refused.error, AlreadyExistsError)
    assert "is a directory at the server" in refused.error.message
    assert "Remove it at the server" in refused.error.remedy
    assert isinstance(done, Done)
    assert f"{BASE}/d" in worker.server.dirs


def test_nor_is_it_removed_where_dele_removes_directories(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    """ftpd of BSD and ftp-srv do, if it is empty: it was to go "once you have removed that directory"."""
    worker.server.dirs.add(f"{BASE}/d")
    monkeypatch.setattr(MemoryServer, "delete", lambda server, path: server.dirs.discard(path))
    (outcome,) = worker.does(Delete(M, "d"))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, AlreadyExistsError)
    assert f"{BASE}/d" in worker.server.dirs


def test_what_was_gone_at_the_server_already_is_told_apart_from_what_is_deleted(worker: Worker):
    """An importer takes files: who reads that they were deleted takes it for a delete of ours."""
    worker.server.files[f"{BASE}/b"] = MemoryFile(CONTENT, 1)
    deletes = [Delete(M, name, sizes=sizes) for name, sizes in (("a", (len(CONTENT),)), ("b", ()), ("c", ()))]
    assert did(worker.does(*deletes)) == [Did.GONE, Did.DELETED, Did.GONE]


def test_what_was_decided_goes_also_where_nobody_may_look(worker: Worker):
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    worker.server.fail("MLST", NameRefusedError("Denied.", reply="550 Permission denied."))
    assert did(worker.does(Delete(M, "a"))) == [Did.DELETED]


@pytest.mark.parametrize(("sizes", "unseen"), [((), "a"), ((), "trash"), ((1,), "a")])
def test_so_it_does_into_the_trash_unless_that_may_not_be_looked_at(
    worker: Worker, sizes: tuple[int, ...], unseen: str
):
    """It was refused for good, whatever a person had approved; an older one in the trash must not be replaced."""
    trash = names.trash(BASE, "2024-05-01", "a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    path = trash if unseen == "trash" else f"{BASE}/a"
    worker.server.fail("MLST", NameRefusedError("Denied.", reply="550 Permission denied."), path=path, times=9)
    (outcome,) = worker.does(Delete(M, "a", trash, sizes))
    goes = not sizes and unseen == "a"
    assert isinstance(outcome, Done) is goes
    assert list(worker.server.files) == [trash if goes else f"{BASE}/a"]


def test_what_nobody_could_look_at_is_not_deleted_and_its_neighbours_are(worker: Worker):
    """Somebody may have changed it there; only a person can tell."""
    for name in "ab":
        worker.server.files[f"{BASE}/{name}"] = MemoryFile(CONTENT, 1)
    refused = NameRefusedError("Denied.", reply="550 Permission denied.")
    worker.server.fail("MLST", refused, path=f"{BASE}/a", times=2)
    failed, done = worker.does(*(Delete(M, name, sizes=(len(CONTENT),)) for name in "ab"))
    assert isinstance(failed, Failed)
    assert (failed.action.path, failed.error) == ("a", refused)
    assert did([done]) == [Did.DELETED]
    assert list(worker.server.files) == [f"{BASE}/a"]


def test_nor_is_anything_deleted_when_the_line_ends_while_it_is_looked_at(worker: Worker):
    for name in "ab":
        worker.server.files[f"{BASE}/{name}"] = MemoryFile(CONTENT, 1)
    cut = ServerUnavailableError("The connection was closed.")
    worker.server.fail("MLST", cut, path=f"{BASE}/b")
    outcomes = worker.does(*(Delete(M, name, sizes=(len(CONTENT),)) for name in "ab"))
    assert [(each.action.path, each.error) for each in outcomes if isinstance(each, Failed)] == [("a", cut), ("b", cut)]
    assert len(worker.server.files) == 2


@pytest.mark.parametrize(
    "action",
    [Delete(M, "a"), Delete(M, "a", names.trash(BASE, "2024-05-01", "a")), RemoveDir(M, "d")],
    ids=["delete", "trash", "directory"],
)
def test_what_is_there_again_is_not_deleted(worker: Worker, action: Action):
    (worker.local / "a").write_bytes(CONTENT)
    (worker.local / "d").mkdir()
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    worker.server.dirs.add(f"{BASE}/d")
    (outcome,) = worker.does(action)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, FileChangedError)
    assert list(worker.server.files) == [f"{BASE}/a"]
    assert f"{BASE}/d" in worker.server.dirs


def test_a_part_that_comes_while_its_directory_is_removed_goes_with_it(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    worker.server.dirs.add(f"{BASE}/d")
    part = f"{BASE}/d/a.filepart"
    remove, tries = MemorySession.remove_dir, list[str]()

    def remove_late(session: MemorySession, path: str) -> bool:
        if not tries:
            worker.server.files[part] = MemoryFile(b"late", 1)
        tries.append(path)
        return remove(session, path)

    monkeypatch.setattr(MemorySession, "remove_dir", remove_late)
    assert did(worker.does(RemoveDir(M, "d", left=(part,)))) == [Did.REMOVED]
    assert (len(tries), worker.server.files) == (2, {})


def test_a_directory_on_which_a_disk_is_mounted_at_the_server_stays(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    def refuse(_session: MemorySession, _path: str) -> bool:
        raise MountPointError("Device or resource busy.")

    monkeypatch.setattr(MemorySession, "remove_dir", refuse)
    assert did(worker.does(RemoveDir(M, "d"))) == [Did.MOUNTED]


def test_a_trash_that_is_said_to_hold_everything_is_not_searched_for_ever(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
):
    def everything(_session: MemorySession, paths: Sequence[str]) -> list[RemoteEntry | None]:
        return [RemoteEntry("a", Kind.FILE, 1, 1) for _ in paths]

    monkeypatch.setattr(MemorySession, "stat_many", everything)
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"1", 1)
    [failed] = worker.does(Delete(M, "a", names.trash(BASE, "2024-05-01", "a")))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, AlreadyExistsError)


def counts_in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server in memory tell sizes as if each file had 5,000,000,000 bytes, of which it can count 705,032,704."""
    stat = MemorySession.stat

    def counted(session: MemorySession, path: str) -> RemoteEntry | None:
        entry = stat(session, path)
        return None if entry is None else entry._replace(size=5_000_000_000 % 2**32)

    monkeypatch.setattr(MemorySession, "stat", counted)


@pytest.mark.parametrize("trash", ["", names.trash(BASE, "2024-05-01", "a")], ids=["deleted", "to the trash"])
@pytest.mark.parametrize("known", [5_000_000_000, 5_000_000_001])
def test_a_large_file_is_known_again_at_a_server_that_counts_in_32_bits(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, known: int, trash: str
):
    counts_in_32_bits(monkeypatch)
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"much", 1)
    (outcome,) = worker.does(Delete(M, "a", trash, (known,)))
    if known == 5_000_000_000:
        assert did([outcome]) == [Did.TRASHED if trash else Did.DELETED]
    else:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, ChangedAtServerError)


def test_of_what_the_server_has_already_it_is_known_which_file_that_was_here(worker: Worker):
    """By when it was recorded, one that was made anew right before that, or after a clock that was ahead, is not told."""
    (worker.local / "a").write_bytes(CONTENT)
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, seen.mtime_ns // 10**9)
    (outcome,) = worker.does(Upload(M, "a", seen))
    assert isinstance(outcome, Done)
    assert (outcome.did, outcome.ctime_ns) == (Did.ADOPTED, (worker.local / "a").stat().st_ctime_ns)


def test_a_large_file_is_adopted_at_a_server_that_counts_in_32_bits(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    counts_in_32_bits(monkeypatch)
    with (worker.local / "a").open("wb") as file:
        file.truncate(5_000_000_000)
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"much", seen.mtime_ns // 10**9)
    worker.server.fail("STOR", NameRefusedError("No."))
    assert did(worker.does(Upload(M, "a", seen))) == [Did.ADOPTED]


@pytest.mark.parametrize("policy", [ExistingPolicy.ADOPT, ExistingPolicy.KEEP])
def test_what_the_server_has_already_of_a_file_that_is_gone_here_is_not_recorded(
    worker: Worker, policy: ExistingPolicy
):
    """It was to be found gone then, and deleted at the server."""
    worker.spec = worker.spec._replace(existing=policy)
    (worker.local / "a").write_bytes(CONTENT)
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, seen.mtime_ns // 10**9)
    (worker.local / "a").unlink()
    (outcome,) = worker.does(Upload(M, "a", seen))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, FileChangedError)


@pytest.mark.parametrize("name", ["b", "b\nb"], ids=["fine", "one that cannot be asked for"])
def test_a_foreign_file_is_kept_whatever_it_is_looked_at_with(worker: Worker, name: str):
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP)
    for each in ("a", name):
        (worker.local / each).write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"somebody else's", 1)
    first, second = worker.does(*(Upload(M, each, worker.sees(each)) for each in ("a", name)))
    assert did([first]) == [Did.KEPT]
    assert isinstance(second, Done if name == "b" else Failed)
    assert worker.server.files[f"{BASE}/a"].content == b"somebody else's"


def test_what_we_published_is_no_foreign_file_though_those_are_kept(worker: Worker):
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP)
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(b"the version before", 1)
    assert did(worker.does(Upload(M, "a", worker.sees("a"), replaces=True))) == [Did.PUBLISHED]
    assert worker.server.files[f"{BASE}/a"].content == CONTENT


def test_a_foreign_file_is_kept_also_in_a_directory_that_we_have_made_empty(worker: Worker):
    """Somebody may have put it there since."""
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP)
    (worker.local / "d").mkdir()
    (worker.local / "d/a").write_bytes(CONTENT)
    fresh = FreshDirectories()
    assert did(worker.does(MakeDir(M, "d", 0), fresh=fresh)) == [Did.MADE]
    assert f"{BASE}/d" in fresh
    worker.server.files[f"{BASE}/d/a"] = MemoryFile(b"somebody else's", 1)
    assert did(worker.does(Upload(M, "d/a", worker.sees("d/a")), fresh=fresh)) == [Did.KEPT]
    assert worker.server.files[f"{BASE}/d/a"].content == b"somebody else's"


@pytest.mark.parametrize("mode", PublishMode)
@pytest.mark.parametrize("comes", [False, True])
def test_a_foreign_file_that_comes_while_ours_waits_or_is_sent_is_kept(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, mode: PublishMode, *, comes: bool
):
    monkeypatch.setattr("ftpsyncd.publishing.planned.LOOK_EVERY_S", 0.0)
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP, publish=mode)
    (worker.local / "a").write_bytes(CONTENT)
    look = MemorySession.stat_many

    def look_too_soon(session: MemorySession, paths: Sequence[str]) -> list[RemoteEntry | None]:
        found = look(session, paths)
        if comes:
            worker.server.files[f"{BASE}/a"] = MemoryFile(b"somebody else's", 1)
        return found

    monkeypatch.setattr(MemorySession, "stat_many", look_too_soon)
    (outcome,) = worker.does(Upload(M, "a", worker.sees("a")))
    content = worker.server.files[f"{BASE}/a"].content
    if comes:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, PlaceTakenError)
        assert content == b"somebody else's"
    else:
        assert did([outcome]) == [Did.PUBLISHED]
        assert content == CONTENT


@pytest.mark.parametrize(
    ("there", "ours", "mode", "becomes"),
    [
        (CONTENT[:3], True, PublishMode.DIRECT, Did.PUBLISHED),
        (b"", True, PublishMode.DIRECT, Did.PUBLISHED),
        (CONTENT[:3], False, PublishMode.DIRECT, Did.KEPT),
        (CONTENT[:3], True, PublishMode.ATOMIC, Did.KEPT),
        (CONTENT[1:3], True, PublishMode.DIRECT, Did.KEPT),
        (CONTENT + b"x", True, PublishMode.DIRECT, Did.KEPT),
        (CONTENT, True, PublishMode.DIRECT, Did.PUBLISHED),
        (CONTENT, True, PublishMode.ATOMIC, Did.PUBLISHED),
        (CONTENT, False, PublishMode.ATOMIC, Did.KEPT),
        (CONTENT.upper(), True, PublishMode.ATOMIC, Did.KEPT),
    ],
)
def test_only_how_a_file_begins_or_is_that_was_being_sent_is_no_foreign_file(
    worker: Worker,
    there: bytes,
    ours: bool,  # noqa: FBT001
    mode: PublishMode,
    becomes: Did,
):
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP, publish=mode)
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(there, 1)
    seen = worker.sees("a")
    assert did(worker.does(Upload(M, "a", seen, ours=(seen,) if ours else ()))) == [becomes]
    assert worker.server.files[f"{BASE}/a"].content == (CONTENT if becomes is Did.PUBLISHED else there)


@pytest.mark.parametrize(
    ("shown", "ours", "becomes"),
    [
        (999_999, True, Did.PUBLISHED),
        (999_998, True, Did.PUBLISHED),
        (1_000_000, True, Did.PUBLISHED),
        (999_998, False, Did.KEPT),
        (999_996, True, Did.KEPT),
        (1_000_001, True, Did.KEPT),
    ],
)
def test_a_file_of_an_odd_second_that_arrived_before_a_crash_is_ours_where_there_are_even_ones_only(
    worker: Worker,
    shown: int,
    ours: bool,  # noqa: FBT001
    becomes: Did,
):
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP)
    (worker.local / "a").write_bytes(CONTENT)
    os.utime(worker.local / "a", (999_999, 999_999))
    seen = worker.sees("a")
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, shown)
    # Meanwhile it has another content here.
    (worker.local / "a").write_bytes(b"newer")
    assert did(worker.does(Upload(M, "a", worker.sees("a"), ours=(seen,) if ours else ()))) == [becomes]


@pytest.mark.parametrize(
    ("size", "days", "own", "becomes"),
    [
        (3, 5, False, Did.PUBLISHED),
        (5, 5, False, Did.PUBLISHED),
        (6, 5, False, Did.KEPT),
        (3, 1, False, Did.KEPT),
        (3, 9, False, Did.KEPT),
        (5, 1, False, Did.KEPT),
        (5, 9, False, Did.KEPT),
        (3, 5, True, Did.KEPT),
    ],
    ids=[
        "a part",
        "all of it",
        "more",
        "older",
        "newer",
        "as large and older",
        "as large and newer",
        "unlike what would be the part",
    ],
)
def test_what_may_be_of_a_content_that_is_gone_here_and_was_sent_under_its_final_name_is_no_foreign_file(
    worker: Worker,
    size: int,
    days: int,
    own: bool,  # noqa: FBT001
    becomes: Did,
):
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP, publish=PublishMode.DIRECT)
    (worker.local / "a").write_bytes(CONTENT)
    there = b"x" * size
    worker.server.files[f"{BASE}/a"] = MemoryFile(there, days * DAY_S)
    seen = worker.sees("a")
    ours = (Fingerprint(5, 1, 1), *([seen] if own else []))
    exposed = Exposure(5, 4 * DAY_S * 10**9, 6 * DAY_S * 10**9)
    assert did(worker.does(Upload(M, "a", seen, ours=ours, exposed=exposed))) == [becomes]
    assert (worker.server.files[f"{BASE}/a"].content == there) is (becomes is Did.KEPT)


SENT = Fingerprint(5, 1000 * DAY_S * 10**9, 7)


@pytest.mark.parametrize(
    ("size", "days", "exposed", "hidden", "becomes"),
    [
        (5, 1000, False, True, SENT),
        (5, 1000, True, False, SENT),
        (5, 5, True, False, SENT),
        (3, 5, True, False, Did.DELETED),
        (6, 5, True, False, Did.SWEPT),
        (3, 1, True, False, Did.KEPT),
        (5, 1, True, False, Did.KEPT),
        (6, 1, True, False, Did.SWEPT),
        (None, 1, True, False, Did.KEPT),
        (3, 5, False, True, Did.SWEPT),
        (3, 5, False, False, Did.KEPT),
        (6, 5, False, False, Did.SWEPT),
        (6, 1000, False, False, Did.SWEPT),
    ],
    ids=[
        "it arrived",
        "it arrived under its final name",
        "it arrived and was not dated",
        "a part",
        "more than was sent",
        "smaller and older",
        "as large and older",
        "larger and older",
        "nobody tells how large",
        "sent under another name",
        "perhaps sent under its final name",
        "larger than what was perhaps sent",
        "larger and of its date",
    ],
)
def test_what_becomes_of_a_file_where_an_upload_was_interrupted(
    size: int | None,
    days: int,
    exposed: bool,  # noqa: FBT001
    hidden: bool,  # noqa: FBT001
    becomes: Did | Fingerprint,
):
    """Only what is a part for certain is deleted: other clients have files, too."""
    sent = Exposure(5, 4 * DAY_S * 10**9, 6 * DAY_S * 10**9) if exposed else None
    sweep = Sweep(M, "a", "", fingerprints=(SENT,), exposed=sent)
    assert swept(RemoteEntry("a", Kind.FILE, size, days * DAY_S), sweep, hidden=hidden) == becomes


def test_a_place_is_taken_by_what_is_not_what_was_sent():
    """Where a server renames nothing, nothing is under the temporary name."""
    server = MemoryServer(files={"/a": MemoryFile(), "/b": MemoryFile(), "/b.filepart": MemoryFile()})
    with server.connect() as session:
        require_vacant(session, "/a", "/a.filepart")
        require_vacant(session, "/c", "/c.filepart")
        require_vacant(session, "/c")
        for path, temporary in (("/b", "/b.filepart"), ("/a", "")):
            with pytest.raises(PlaceTakenError):
                require_vacant(session, path, temporary)


@pytest.mark.parametrize(
    "refusal",
    [NameRefusedError("No."), TransferFailedError("No.", reply="451 Append/Restart not permitted, try again")],
)
def test_a_part_that_nobody_may_read_is_kept(worker: Worker, refusal: RemoteError):
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP, publish=PublishMode.DIRECT)
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT[:3], 1)
    worker.server.fail("RETR", refusal)
    seen = worker.sees("a")
    assert did(worker.does(Upload(M, "a", seen, ours=(seen,)))) == [Did.KEPT]


@pytest.mark.parametrize("reply", BROKEN_OFF)
def test_one_that_could_not_be_read_to_its_end_is_not_kept(worker: Worker, reply: str):
    """By an accident of the data connection it counted as somebody else's, and half a file stayed on air."""
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP, publish=PublishMode.DIRECT)
    (worker.local / "a").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT[:3], 1)
    worker.server.fail("RETR", TransferFailedError(reply, reply=reply))
    seen = worker.sees("a")
    upload = Upload(M, "a", seen, ours=(seen,))
    [outcome] = worker.does(upload)
    assert isinstance(outcome, Failed), "it is tried again"
    assert did(worker.does(upload)) == [Did.PUBLISHED]
    assert worker.server.files[f"{BASE}/a"].content == CONTENT


@pytest.mark.parametrize("refusal", [NameRefusedError("No."), NotFoundError("No."), NotSupportedError("No.")])
def test_a_renamed_file_is_sent_where_the_server_does_not_rename(worker: Worker, refusal: RemoteError):
    (worker.local / "b").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    worker.server.fail("RNFR", refusal, path=f"{BASE}/a")
    assert did(worker.does(Rename(M, "b", "a", worker.sees("b"), b""))) == [Did.PUBLISHED]
    assert worker.server.files[f"{BASE}/b"].content == CONTENT


@pytest.mark.parametrize("refusal", [NameRefusedError("No."), NotSupportedError("No.")])
def test_a_renamed_file_is_sent_where_nobody_is_told_what_is_there(worker: Worker, refusal: RemoteError):
    """In a directory that may be written only, it was parked, though a new file is published there as ever."""
    (worker.local / "b").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    worker.server.fail("MLST", refusal, path=f"{BASE}/a")
    assert did(worker.does(Rename(M, "b", "a", worker.sees("b"), b""))) == [Did.PUBLISHED]
    assert worker.server.files[f"{BASE}/b"].content == CONTENT


@pytest.mark.parametrize("replaces", [False, True], ids=["it had to be made room for", "it would have been replaced"])
def test_that_a_rename_has_lost_the_version_before_is_told_though_the_file_is_sent_instead(
    worker: Worker,
    replaces: bool,  # noqa: FBT001 - a parameter of the cases
):
    """The ledger went on saying that it is published: were it here again, nobody would have sent it."""
    (worker.local / "b").write_bytes(CONTENT)
    worker.server.replaces = replaces
    worker.server.files |= {f"{BASE}/a": MemoryFile(CONTENT, 1), f"{BASE}/b": MemoryFile(b"before", 1)}
    for _ in range(2):
        worker.server.fail("RNTO", NameRefusedError("Refused.", reply="550 No."), path=f"{BASE}/b")
    [failed] = worker.does(Rename(M, "b", "a", worker.sees("b"), b"", replaces=True))
    assert isinstance(failed, Failed)
    assert isinstance(failed.action, Rename)
    assert (f"{BASE}/b" in worker.server.files, failed.gone) == (replaces, not replaces)


@pytest.mark.parametrize("there", [b"theirs", b""], ids=["somebody else's", "emptied"])
def test_what_is_not_as_it_was_published_is_not_renamed(worker: Worker, there: bytes):
    (worker.local / "b").write_bytes(CONTENT)
    worker.server.files[f"{BASE}/a"] = MemoryFile(there, 1)
    assert did(worker.does(Rename(M, "b", "a", worker.sees("b"), b""))) == [Did.PUBLISHED]
    assert {path: file.content for path, file in worker.server.files.items()} == {
        f"{BASE}/a": there,
        f"{BASE}/b": CONTENT,
    }


class Disturbed(Worker):
    """A worker beside whom somebody does something when the bytes of a file have been sent."""

    def __init__(self, local: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
        super().__init__(local)
        do = MemorySession.do

        def disturbed(session: MemorySession, verb: str, path: str, effect: Callable[[], RemoteError | None]) -> None:
            if verb == "SIZE":
                act()
            do(session, verb, path, effect)

        monkeypatch.setattr(MemorySession, "do", disturbed)


@pytest.mark.parametrize(("code", "verdict"), [(errno.ESTALE, FileChangedError), (errno.EIO, LocalUnreadableError)])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_file_server_that_tells_nothing_of_an_open_file(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, *, code: int, verdict: type[Exception], nth: int
):
    """As where another machine has deleted it (NFS), or the mount fails: when it is opened, and when it was sent."""
    (worker.local / "a").write_bytes(CONTENT)
    seen, fstat, told = worker.sees("a"), os.fstat, 0

    def refuse(descriptor: int) -> os.stat_result:
        nonlocal told
        status = fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            told += 1
            if told == nth:
                raise OSError(code, os.strerror(code))
        return status

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "fstat", refuse)
    [failed] = worker.does(Upload(M, "a", seen))
    monkeypatch.undo()
    assert told == nth
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, verdict)
    assert worker.server.files == {}
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def at_rest(path: Path) -> Path:
    """A file that was written before the kernel's clock ticked last, as all are that have been quiet."""
    path.write_bytes(CONTENT)
    aside = path.with_name("aside")

    def ticked() -> bool:
        aside.touch()
        return aside.stat().st_ctime_ns > path.stat().st_ctime_ns

    until(ticked, "the clock of the file system ticks", 5)
    aside.unlink()
    return path


def rewritten_in_place(path: Path) -> None:
    """As taggers of music and pictures do where the size allows it, and they are told to keep the date."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"another")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_rewritten_in_place_while_it_is_sent_is_not_published_though_its_date_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = at_rest(tmp_path / "a")
    worker = Disturbed(tmp_path, monkeypatch, lambda: rewritten_in_place(file))
    seen = worker.sees("a")
    [failed] = worker.does(Upload(M, "a", seen))
    assert worker.sees("a") == seen, "the fingerprint tells of it, and this proves nothing"
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, FileChangedError)
    assert worker.server.files == {}


def test_a_part_of_what_was_rewritten_in_place_is_not_continued_though_its_date_is_set_back(worker: Worker):
    file = at_rest(worker.local / "a")
    seen, then = worker.sees("a"), file.stat().st_ctime_ns
    rewritten_in_place(file)
    assert worker.sees("a") == seen, "the fingerprint tells of it, and this proves nothing"
    assert did(worker.does(Upload(M, "a", seen, resume=then))) == [Did.PUBLISHED]
    assert worker.server.files[f"{BASE}/a"].content == file.read_bytes()


def test_a_chmod_and_a_hard_link_while_a_file_is_sent_do_not_have_it_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = at_rest(tmp_path / "a")
    before = file.stat().st_ctime_ns

    def act() -> None:
        file.chmod(0o600)
        (tmp_path / "b").hardlink_to(file)

    worker = Disturbed(tmp_path, monkeypatch, act)
    assert did(worker.does(Upload(M, "a", worker.sees("a")))) == [Did.PUBLISHED]
    assert file.stat().st_ctime_ns != before


@pytest.mark.parametrize(
    ("published", "mtime_ns", "born", "becomes"),
    [
        (CONTENT.upper(), 10**18, 101, Did.PUBLISHED),
        (CONTENT.upper(), 10**18, None, Did.PUBLISHED),
        (CONTENT.upper(), 10**18, 100, Did.RENAMED),
        (CONTENT.upper(), 10**18 + 1, 101, Did.RENAMED),
        (CONTENT, 10**18, 101, Did.RENAMED),
        (None, 10**18, 101, Did.RENAMED),
    ],
    ids=["made later", "made nobody knows when", "made before", "an odd date", "the same content", "no known content"],
)
def test_another_file_that_got_the_inode_of_one_that_is_gone_is_sent(
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    published: bytes | None,
    mtime_ns: int,
    born: int | None,
    becomes: Did,
):
    """As disks do that give it to the next file, which was copied with its date: from one camera, of the same size."""
    monkeypatch.setattr("ftpsyncd.publishing.lastlook.born_ns", lambda _descriptor: born)
    (worker.local / "b").write_bytes(CONTENT)
    os.utime(worker.local / "b", ns=(mtime_ns, mtime_ns))
    worker.server.files[f"{BASE}/a"] = MemoryFile(published or CONTENT, 1)
    sha256 = hashlib.sha256(published).digest() if published else b""
    assert did(worker.does(Rename(M, "b", "a", worker.sees("b"), sha256, published_ns=RECORDED_NS + 100))) == [becomes]
    expected = CONTENT if becomes is Did.PUBLISHED else published or CONTENT
    assert worker.server.files[f"{BASE}/b"].content == expected
    assert (f"{BASE}/a" in worker.server.files) is (becomes is Did.PUBLISHED)


def test_a_renamed_file_that_may_not_be_read_is_renamed(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    def refuse(_root: Path, path: str, *, follow_symlinks: bool) -> BinaryIO:
        raise LocalUnreadableError(f"{path!r} cannot be read: Permission denied. {follow_symlinks}")

    monkeypatch.setattr("ftpsyncd.publishing.lastlook.open_quietly", refuse)
    (worker.local / "b").write_bytes(CONTENT)
    os.utime(worker.local / "b", (1000, 1000))
    worker.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    assert did(worker.does(Rename(M, "b", "a", worker.sees("b"), hashlib.sha256(CONTENT).digest()))) == [Did.RENAMED]


def test_what_is_at_the_server_is_told_with_the_ctime_of_the_file_that_was_looked_at(worker: Worker):
    path = worker.local / "a"
    path.write_bytes(CONTENT)
    seen, sha256 = worker.sees("a"), hashlib.sha256(CONTENT).digest()
    sent, known = Upload(M, "a", seen), Upload(M, "a", seen, sha256, replaces=True)
    told = [
        outcome.ctime_ns for action in (sent, known) for outcome in worker.does(action) if isinstance(outcome, Done)
    ]
    assert told == [path.stat().st_ctime_ns] * 2
