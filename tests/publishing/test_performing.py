"""What a worker does with one action after the other where something is otherwise than it was planned for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftpsyncd.actions import Action, Delete, Did, Done, Failed, MakeDir, Outcome, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core import names
from ftpsyncd.errors import (
    FileChangedError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    RemoteError,
    ServerFullError,
    ServerUnavailableError,
)
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.model import Exposure, Fingerprint, Kind
from ftpsyncd.publishing import deleting, publish
from ftpsyncd.publishing.existing import FreshDirectories
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.publish import Publisher
from ftpsyncd.remote.memory import MemoryFile, MemoryServer, MemorySession
from ftpsyncd.remote.port import PublishJob, PublishResult
from ftpsyncd.remote.remedies import NO_TRASH
from ftpsyncd.specs import ExistingPolicy, MappingSpec, PublishMode
from tests.core.vocabulary import M
from tests.publishing.drawn import Drawn

BASE, CONTENT = "/site", b"content"


class Worker:
    """A worker, its folder with a file ``b``, and a server in memory."""

    def __init__(self, local: Path) -> None:
        self.local = local
        (local / "b").write_bytes(CONTENT)
        self.seen = fingerprint_of((local / "b").stat())
        self.server = MemoryServer(dirs={"/", BASE})
        self.spec = MappingSpec(M, local, "web", BASE, include=("*",))
        self.fresh = FreshDirectories()
        self.received: list[tuple[Upload, int]] = []
        self.exposed: list[Upload] = []

    def does(self, *actions: Action) -> list[Outcome]:
        folder = Folder(self.spec, root_identity(self.local))
        publisher = Publisher(
            lambda _name: folder,
            self.fresh,
            received=lambda upload, ctime_ns: self.received.append((upload, ctime_ns)),
            exposed=self.exposed.append,
        )
        with self.server.connect() as session:
            return list(publisher.perform(session, Drawn(*actions)))

    def did(self, *actions: Action) -> list[Did]:
        outcomes = self.does(*actions)
        assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
        return [outcome.did for outcome in outcomes if isinstance(outcome, Done)]

    def put(self, name: str, content: bytes = CONTENT) -> None:
        self.server.files[f"{BASE}/{name}"] = MemoryFile(content, 1)

    @property
    def there(self) -> dict[str, bytes]:
        """What the server has, by names."""
        return {path.removeprefix(f"{BASE}/"): file.content for path, file in self.server.files.items()}

    @property
    def verbs(self) -> set[str]:
        return {verb for verb, _ in self.server.log}


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


# ── Renames ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("policy", "replaces", "did", "left"),
    [
        (ExistingPolicy.KEEP, False, Did.KEPT, {"a": CONTENT, "b": b"foreign"}),
        (ExistingPolicy.KEEP, True, Did.RENAMED, {"b": CONTENT}),
        (ExistingPolicy.ADOPT, False, Did.RENAMED, {"b": CONTENT}),
        (ExistingPolicy.OVERWRITE, False, Did.RENAMED, {"b": CONTENT}),
    ],
)
def test_nothing_is_renamed_over_what_has_to_be_kept(
    worker: Worker, policy: ExistingPolicy, did: Did, left: dict[str, bytes], *, replaces: bool
) -> None:
    worker.spec = worker.spec._replace(existing=policy)
    worker.put("a")
    worker.put("b", b"foreign")
    assert worker.did(Rename(M, "b", "a", worker.seen, b"", replaces)) == [did]
    assert worker.there == left


def test_where_nothing_has_to_be_kept_what_is_free_is_renamed_to_with_keep_too(worker: Worker) -> None:
    worker.spec = worker.spec._replace(existing=ExistingPolicy.KEEP)
    worker.put("a")
    assert worker.did(Rename(M, "b", "a", worker.seen, b"")) == [Did.RENAMED]


@pytest.mark.parametrize("there", ["another size", "a directory", "nothing", "nobody tells"])
def test_what_is_not_there_as_it_was_published_is_sent_and_not_renamed(worker: Worker, there: str) -> None:
    if there == "a directory":
        worker.server.dirs.add(f"{BASE}/a")
    elif there == "nobody tells":
        worker.put("a")
        worker.server.fail("MLST", NameRefusedError("No."), path=f"{BASE}/a")
    elif there == "another size":
        worker.put("a", b"foreign.")
    before = dict(worker.there)
    assert worker.did(Rename(M, "b", "a", worker.seen, b"")) == [Did.PUBLISHED]
    assert worker.there == before | {"b": CONTENT}
    assert "STOR" in worker.verbs


def test_of_what_is_still_under_its_old_name_here_there_are_two(worker: Worker) -> None:
    (worker.local / "a").hardlink_to(worker.local / "b")
    worker.put("a")
    assert worker.did(Rename(M, "b", "a", worker.seen, b"")) == [Did.PUBLISHED]
    assert worker.there == {"a": CONTENT, "b": CONTENT}


def test_what_earlier_tries_left_of_it_goes_before_a_rename(worker: Worker) -> None:
    worker.put("a")
    left = f"{BASE}/b.0123abcd.filepart"
    worker.server.files[left] = MemoryFile(b"half")
    assert worker.did(Rename(M, "b", "a", worker.seen, b"", left=(left,))) == [Did.RENAMED]
    assert worker.there == {"b": CONTENT}
    verbs = [verb for verb, _ in worker.server.log]
    assert verbs.index("DELE") < verbs.index("RNFR")


@pytest.mark.parametrize("here", ["nothing", "a file", "a directory"])
def test_a_directory_is_renamed_if_it_is_there_as_one(worker: Worker, here: str) -> None:
    worker.server.dirs.add(f"{BASE}/d")
    if here == "a file":
        (worker.local / "e").touch()
    elif here == "a directory":
        (worker.local / "e").mkdir()
    (outcome,) = worker.does(RenameDir(M, "e", "d", 7))
    if here == "a directory":
        assert isinstance(outcome, Done)
        assert f"{BASE}/e" in worker.server.dirs
    else:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, FileChangedError)
        assert f"{BASE}/d" in worker.server.dirs


def test_a_file_in_the_place_of_a_directory_is_not_the_one_that_was_renamed(worker: Worker) -> None:
    (worker.local / "e").mkdir()
    worker.put("e", b"foreign")
    asked = RenameDir(M, "e", "d", 7, interrupted=True, ask_only=True)
    assert worker.did(asked) == [Did.SPOILED]
    del worker.server.files[f"{BASE}/e"]
    worker.server.dirs.add(f"{BASE}/e")
    assert worker.did(asked) == [Did.RENAMED]
    assert "RNFR" not in worker.verbs


# ── Sweeps ───────────────────────────────────────────────────────────────────────────────────────────────────────

OURS = Fingerprint(5, 10**15, 7)


@pytest.mark.parametrize(
    ("kind", "there", "sent", "did"),
    [
        (Kind.DIR, "directory", False, Did.ADOPTED),
        (Kind.DIR, "file", False, Did.SWEPT),
        (Kind.DIR, "nothing", False, Did.SWEPT),
        (Kind.FILE, "directory", True, Did.SWEPT),
        (Kind.FILE, "nothing", True, Did.SWEPT),
        (Kind.FILE, "file", False, Did.SWEPT),
        (Kind.FILE, "file", True, OURS),
    ],
)
def test_only_what_was_on_its_way_is_recorded_after_an_accident(
    worker: Worker, kind: Kind, there: str, did: Did | Fingerprint, *, sent: bool
) -> None:
    if there == "directory":
        worker.server.dirs.add(f"{BASE}/x")
    elif there == "file":
        worker.server.files[f"{BASE}/x"] = MemoryFile(b"a jpg", OURS.mtime_ns // 10**9)
    (done,) = worker.does(Sweep(M, "x", "", kind=kind, fingerprints=(OURS,) if sent else ()))
    assert isinstance(done, Done)
    assert (done.fingerprint if isinstance(did, Fingerprint) else done.did) == did
    assert (done.did is Did.ADOPTED) is (did is OURS or did is Did.ADOPTED)
    assert worker.there.keys() == ({"x"} if there == "file" else set())


def test_of_what_cannot_be_at_its_final_name_nobody_asks_the_server(worker: Worker) -> None:
    worker.put("x")
    assert worker.did(Sweep(M, "x", f"{BASE}/t.filepart")) == [Did.SWEPT]
    assert ("MLST", f"{BASE}/x") not in worker.server.log[:1]
    worker.server.log.clear()
    assert worker.did(Sweep(M, "x", "")) == [Did.SWEPT]
    assert worker.verbs == {"CONNECT"}


def test_what_the_server_takes_for_another_file_is_not_taken_for_ours(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not tell case apart, it shows that one."""

    def assure(_session: MemorySession, path: str) -> None:
        raise NameRefusedError(f"That is {path.upper()}.")

    worker.server.files[f"{BASE}/x"] = MemoryFile(b"a jpg", OURS.mtime_ns // 10**9)
    sweep = Sweep(M, "x", "", fingerprints=(OURS,))
    monkeypatch.setattr(MemorySession, "assure", assure)
    (done,) = worker.does(sweep)
    assert isinstance(done, Done)
    assert (done.did, done.fingerprint) == (Did.SWEPT, None)


@pytest.mark.parametrize(
    ("mapping", "mode", "hides", "exposed", "did"),
    [
        (M, PublishMode.ATOMIC, True, False, Did.SWEPT),
        (M, PublishMode.ATOMIC, False, False, Did.KEPT),
        (M, PublishMode.DIRECT, True, False, Did.KEPT),
        ("", PublishMode.DIRECT, False, True, Did.KEPT),
    ],
)
def test_what_is_smaller_than_what_was_sent_may_be_a_part_of_it_unless_that_had_another_name(
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    mapping: str,
    mode: PublishMode,
    did: Did,
    *,
    hides: bool,
    exposed: bool,
) -> None:
    monkeypatch.setattr(MemorySession, "hides", lambda _session, path: hides and path == f"{BASE}/x")
    worker.spec = worker.spec._replace(publish=mode)
    worker.put("x", b"abc")
    # By its date it is none.
    sent = Exposure(5, 10**15) if exposed else None
    path = "x" if mapping else f"{BASE}/x"
    assert worker.did(Sweep(mapping, path, "", fingerprints=(OURS,), exposed=sent)) == [did]
    assert worker.there == {"x": b"abc"}


# ── The trash ────────────────────────────────────────────────────────────────────────────────────────────────────

IN_TRASH = names.trash(BASE, "2024-05-01", "x")


@pytest.mark.parametrize(
    ("refusal", "places"), [(ServerFullError("Full."), 1), (NameRefusedError("No."), 2), (NotFoundError("No."), 2)]
)
def test_another_place_in_the_trash_is_tried_where_the_first_one_is_at_fault(
    worker: Worker, refusal: RemoteError, places: int
) -> None:
    worker.put("x")
    worker.server.fail("RNTO", refusal, path=IN_TRASH)
    (outcome,) = worker.does(Delete(M, "x", IN_TRASH, (len(CONTENT),)))
    assert [verb for verb, _ in worker.server.log].count("RNTO") == places
    if places == 1:
        assert isinstance(outcome, Failed)
        assert outcome.error is refusal
        assert "x" in worker.there
    else:
        assert isinstance(outcome, Done)
        assert set(worker.server.files) == {names.trash_apart(IN_TRASH)}


@pytest.mark.parametrize("refusal", [NameRefusedError("No."), NameNotSendableError("It holds a line break.")])
def test_that_there_can_be_no_trash_is_told_unless_the_name_is_what_is_wrong(
    worker: Worker, refusal: NameRefusedError
) -> None:
    worker.put("x")
    worker.server.fail("MKD", refusal, path=names.trash(BASE, "2024-05-01", "x").rpartition("/")[0], times=9)
    worker.server.fail("MKD", refusal, path=names.trash_apart(IN_TRASH).rpartition("/")[0], times=9)
    (outcome,) = worker.does(Delete(M, "x", IN_TRASH, (len(CONTENT),)))
    assert isinstance(outcome, Failed)
    assert (NO_TRASH in outcome.error.remedy) is (type(refusal) is NameRefusedError)


def test_of_deletes_that_were_told_together_each_took_its_share(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "time", SimpleNamespace(monotonic=iter([100.0, 106.0]).__next__))
    for name in "xy":
        worker.put(name)
    outcomes = worker.does(*(Delete(M, name, "", (len(CONTENT),)) for name in "xy"))
    assert [outcome.duration_s for outcome in outcomes if isinstance(outcome, Done)] == [3.0, 3.0]


# ── Directories ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_directory_that_was_made_is_known_to_be_empty_and_one_that_was_there_is_not(worker: Worker) -> None:
    worker.server.dirs.add(f"{BASE}/old")
    assert worker.did(MakeDir(M, "new", 1), MakeDir(M, "old", 2), MakeDir(M, "gone/new", 3)) == [Did.MADE] * 3
    assert [f"{BASE}/{name}" in worker.fresh for name in ("new", "old", "gone/new")] == [True, False, True]
    assert f"{BASE}/gone/new" in worker.server.dirs


def test_one_directory_that_cannot_be_made_costs_no_other_one(worker: Worker) -> None:
    worker.server.fail("MKD", ServerFullError("Full."), path=f"{BASE}/b")
    outcomes = worker.does(*(MakeDir(M, name, 1) for name in "abc"))
    assert [(o.action.path, type(o)) for o in outcomes] == [("a", Done), ("b", Failed), ("c", Done)]
    assert f"{BASE}/b" not in worker.fresh


def test_every_directory_that_was_not_made_when_the_line_ended_has_failed(worker: Worker) -> None:
    worker.server.fail("MKD", NameRefusedError("No."), path=f"{BASE}/a")
    worker.server.fail("MKD", ServerUnavailableError("Gone."), path=f"{BASE}/c")
    outcomes = worker.does(*(MakeDir(M, name, 1) for name in "abcd"))
    assert {o.action.path: type(o) for o in outcomes} == {"b": Done, "a": Failed, "c": Failed, "d": Failed}
    assert all(isinstance(o.error, ServerUnavailableError) for o in outcomes if isinstance(o, Failed))


# ── Uploads ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[PublishJob]:
    """What a session is told to publish, and says is done."""
    told: list[PublishJob] = []

    def publish(_session: MemorySession, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        for job in jobs:
            told.append(job)
            yield PublishResult(job, None)

    monkeypatch.setattr(MemorySession, "publish", publish)
    return told


@pytest.mark.parametrize(
    ("policy", "replaces", "known"),
    [
        (ExistingPolicy.OVERWRITE, False, False),
        (ExistingPolicy.OVERWRITE, True, True),
        (ExistingPolicy.ADOPT, False, True),
        (ExistingPolicy.KEEP, False, True),
    ],
)
def test_a_part_is_taken_for_ours_only_where_nothing_foreign_was(
    worker: Worker, jobs: list[PublishJob], policy: ExistingPolicy, *, replaces: bool, known: bool
) -> None:
    """Before anything of ours is there, what is under the name may be somebody's; afterwards, nothing of that is left."""
    worker.spec = worker.spec._replace(existing=policy, publish=PublishMode.DIRECT)
    upload = Upload(M, "b", worker.seen, replaces=replaces)
    worker.does(upload)
    (job,) = jobs
    job.exposed(False)  # noqa: FBT003 - the port's
    assert worker.exposed == [upload] * known
    job.exposed(True)  # noqa: FBT003 - the port's
    assert worker.exposed == [upload] * (known + 1)


@pytest.mark.parametrize("same", [True, False])
def test_a_part_is_continued_only_if_it_is_of_what_the_file_holds_by_now(
    worker: Worker, jobs: list[PublishJob], *, same: bool
) -> None:
    ctime_ns = (worker.local / "b").stat().st_ctime_ns
    upload = Upload(M, "b", worker.seen, resume=ctime_ns if same else 1, left=("/l",), parts=("/p",), afresh=True)
    worker.does(upload)
    (job,) = jobs
    assert (job.resume, job.parts, job.left) == ((True, ("/p",), ("/l",)) if same else (False, (), ("/l", "/p")))
    assert (job.keep_part, job.afresh) == (True, True)
    job.open().close()
    job.begun(True)  # noqa: FBT003 - the port's
    job.begun(False)  # noqa: FBT003 - the port's
    assert worker.received == [(upload, ctime_ns), (upload, 0)]


def test_under_its_final_name_no_part_stays_to_be_continued(worker: Worker, jobs: list[PublishJob]) -> None:
    worker.spec = worker.spec._replace(publish=PublishMode.DIRECT)
    worker.does(Upload(M, "b", worker.seen, resume=(worker.local / "b").stat().st_ctime_ns, parts=("/p",)))
    (job,) = jobs
    assert (job.path, job.temporary) == (f"{BASE}/b", f"{BASE}/b")
    assert (job.keep_part, job.resume, job.left) == (False, False, ("/p",))


def test_what_follows_an_upload_is_done_after_it(worker: Worker) -> None:
    """It was taken to see whether it is another one that can be sent along."""
    upload = Upload(M, "b", worker.seen, replaces=True)
    assert worker.did(upload, MakeDir(M, "d", 1), upload) == [Did.PUBLISHED, Did.MADE, Did.PUBLISHED]


@pytest.mark.parametrize("nth", [1, 2])
def test_that_a_try_has_cost_the_version_before_is_told_whichever_of_the_two_it_was(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    tries = 0

    def publish(_session: MemorySession, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        nonlocal tries
        for job in jobs:
            tries += 1
            yield PublishResult(job, NameRefusedError("No."), gone=tries == nth, refused=tries != nth)

    monkeypatch.setattr(MemorySession, "publish", publish)
    (outcome,) = worker.does(Upload(M, "b", worker.seen, replaces=True))
    assert isinstance(outcome, Failed)
    assert (tries, outcome.gone, outcome.refused) == (2, True, False)


@pytest.mark.parametrize("displaced", [True, False])
@pytest.mark.parametrize("gone", [True, False])
def test_so_it_is_where_a_file_is_sent_that_could_not_be_renamed(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, *, displaced: bool, gone: bool
) -> None:
    def rename(_session: MemorySession, _source: str, target: str) -> str:
        error = NotSupportedError("No.")
        error.aside = names.aside(target) if displaced else ""
        raise error

    def publish(_session: MemorySession, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        for job in jobs:
            yield PublishResult(job, RemoteError("No."), gone=gone)

    worker.put("a")
    monkeypatch.setattr(MemorySession, "rename", rename)
    monkeypatch.setattr(MemorySession, "publish", publish)
    (outcome,) = worker.does(Rename(M, "b", "a", worker.seen, b"", replaces=True))
    assert isinstance(outcome, Failed)
    assert outcome.gone is (displaced or gone)


def test_how_long_something_took_is_told(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1000, 9000, 3))
    monkeypatch.setattr(publish, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    (worker.local / "d").mkdir()
    worker.put("a")
    worker.server.files[f"{BASE}/x"] = MemoryFile(b"a jpg", OURS.mtime_ns // 10**9)
    for action in (Rename(M, "b", "a", worker.seen, b""), MakeDir(M, "", 1), Sweep(M, "x", "", fingerprints=(OURS,))):
        (done,) = worker.does(action)
        assert isinstance(done, Done)
        assert done.duration_s == 3.0
