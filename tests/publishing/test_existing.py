"""Where something foreign may be at a server and has to stay, and what is there already under the name of an upload."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ftpsyncd.actions import Did, Sweep, Upload
from ftpsyncd.core import names
from ftpsyncd.errors import RemoteError, ServerUnavailableError
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.model import Exposure, Fingerprint, Kind
from ftpsyncd.publishing import existing
from ftpsyncd.publishing.existing import Existing, FreshDirectories, old_version, swept
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.remote.memory import MemoryFile, MemoryServer, MemorySession
from ftpsyncd.remote.port import RemoteEntry
from ftpsyncd.specs import ExistingPolicy, MappingSpec, PublishMode
from tests.core.vocabulary import M


def test_only_the_directories_that_were_made_last_are_known_and_none_after_somebody_was_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(existing, "_FRESH_DIRECTORIES", 2)
    fresh = FreshDirectories()
    for path in ("/a", "/b", "/c"):
        fresh.add(path)
    assert [path in fresh for path in ("/a", "/b", "/c")] == [False, True, True]
    fresh.clear()
    assert "/c" not in fresh


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("policy", ExistingPolicy)
def test_what_is_foreign_is_looked_for_where_it_may_be_and_kept_where_it_has_to_be(
    policy: ExistingPolicy, *, replaces: bool, made: bool
) -> None:
    folder, fresh = Folder(MappingSpec(M, Path("/srv"), "web", "/htdocs", existing=policy)), FreshDirectories()
    fresh.add("/htdocs/d" if made else "/d")
    there, upload = Existing(lambda _name: folder, fresh), Upload(M, "d/a.jpg", Fingerprint(1, 2, 3), replaces=replaces)
    kept = policy is ExistingPolicy.KEEP
    # What has to be kept may have come into a directory of ours since.
    looks = not replaces and (kept or (policy is ExistingPolicy.ADOPT and not made))
    assert there.may_be_foreign(upload) is looks
    assert there.is_free(upload) is (replaces or made)
    assert there.keeps(upload) is (kept and not replaces)


BASE, CONTENT = "/site", b"0123456789"
DATE_S = 1_000_000


class There:
    """A file in a folder, a server in memory, and what is found there under the name of that file."""

    def __init__(self, local: Path, policy: ExistingPolicy, mode: PublishMode = PublishMode.ATOMIC) -> None:
        (local / "a").write_bytes(CONTENT)
        os.utime(local / "a", (DATE_S, DATE_S))
        self.seen = fingerprint_of((local / "a").stat())
        spec = MappingSpec(M, local, "web", BASE, include=("*",), existing=policy, publish=mode)
        folder = Folder(spec, root_identity(local))
        self.server = MemoryServer(dirs={"/", BASE})
        self._existing = Existing(lambda _name: folder, FreshDirectories())

    def needless(self, upload: Upload, there: RemoteEntry | None = None) -> Did | None:
        with self.server.connect() as session:
            done = self._existing.needless(session, upload, there)
        return None if done is None else done.did

    def is_still_published(self, sweep: Sweep) -> bool:
        with self.server.connect() as session:
            return self._existing.is_still_published(session, f"{BASE}/a", sweep)


@pytest.fixture
def adopting(tmp_path: Path) -> There:
    return There(tmp_path, ExistingPolicy.ADOPT)


@pytest.fixture
def keeping(tmp_path: Path) -> There:
    return There(tmp_path, ExistingPolicy.KEEP)


@pytest.mark.parametrize(
    ("size", "date_s", "kind", "did"),
    [
        (len(CONTENT), DATE_S, Kind.FILE, Did.ADOPTED),
        (len(CONTENT) - 1, DATE_S, Kind.FILE, None),
        (None, DATE_S, Kind.FILE, None),
        (len(CONTENT), DATE_S + 1, Kind.FILE, None),
        (len(CONTENT), None, Kind.FILE, None),
        (None, None, Kind.DIR, None),
    ],
)
def test_only_what_has_size_and_date_is_taken_for_the_file(
    adopting: There, size: int | None, date_s: int | None, kind: Kind, did: Did | None
) -> None:
    assert adopting.needless(Upload(M, "a", adopting.seen), RemoteEntry("a", kind, size, date_s)) == did


@pytest.mark.parametrize(
    ("content", "did"),
    [(CONTENT, Did.UNCHANGED), (CONTENT[1:], None), (None, None)],
    ids=["as it was published", "cut meanwhile", "gone meanwhile"],
)
@pytest.mark.parametrize("sized", [True, False])
def test_a_content_that_was_published_is_not_sent_again_if_it_is_there(
    adopting: There, monkeypatch: pytest.MonkeyPatch, content: bytes | None, did: Did | None, *, sized: bool
) -> None:
    """What is gone from there would count as published, and nobody send it."""
    if content is not None:
        adopting.server.files[f"{BASE}/a"] = MemoryFile(content, 1)
    if not sized:
        entry = MemoryServer.entry
        monkeypatch.setattr(
            MemoryServer,
            "entry",
            lambda server, path: None if (there := entry(server, path)) is None else there._replace(size=None),
        )
        did = did if content is None else Did.UNCHANGED
    upload = Upload(M, "a", adopting.seen, hashlib.sha256(CONTENT).digest(), replaces=True)
    assert adopting.needless(upload) == did
    if did is not None:
        assert adopting.server.files[f"{BASE}/a"].mtime_s == DATE_S


def test_a_directory_in_the_place_of_what_was_published_is_not_that(adopting: There) -> None:
    adopting.server.dirs.add(f"{BASE}/a")
    assert adopting.needless(Upload(M, "a", adopting.seen, hashlib.sha256(CONTENT).digest(), replaces=True)) is None
    for exposed in (None, Exposure(len(CONTENT), 0)):
        sweep = Sweep(M, "a", "", exposed=exposed, published=adopting.seen)
        assert not adopting.is_still_published(sweep)


@pytest.mark.parametrize(("error", "asked_again"), [(ServerUnavailableError("No."), True), (RemoteError("No."), False)])
def test_a_server_that_does_not_answer_for_now_is_asked_again_whether_it_has_what_was_published(
    adopting: There, monkeypatch: pytest.MonkeyPatch, error: RemoteError, *, asked_again: bool
) -> None:
    """Also where the session goes on, as where a data connection could not be had."""

    def fetch(_session: MemorySession, _path: str, _into: object) -> int:
        raise error

    adopting.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    monkeypatch.setattr(MemorySession, "fetch", fetch)
    sweep = Sweep(M, "a", "", published=adopting.seen)
    if asked_again:
        with pytest.raises(ServerUnavailableError):
            adopting.is_still_published(sweep)
    else:
        assert adopting.is_still_published(sweep)


@pytest.mark.parametrize("hides", [True, False])
def test_the_beginning_of_a_file_is_ours_only_where_it_is_sent_under_its_final_name(
    keeping: There, monkeypatch: pytest.MonkeyPatch, *, hides: bool
) -> None:
    """A server that renames nothing is sent files so, whatever is configured."""
    monkeypatch.setattr(MemorySession, "hides", lambda _session, path: hides and path == f"{BASE}/a")
    keeping.server.files[f"{BASE}/a"] = MemoryFile(CONTENT[:3], 1)
    upload = Upload(M, "a", keeping.seen, ours=(keeping.seen,))
    assert keeping.needless(upload, RemoteEntry("a", Kind.FILE, 3, 1)) == (Did.KEPT if hides else None)


def test_what_nobody_tells_the_size_of_is_not_ours(keeping: There) -> None:
    keeping.server.files[f"{BASE}/a"] = MemoryFile(CONTENT, 1)
    upload = Upload(M, "a", keeping.seen, ours=(keeping.seen,))
    assert keeping.needless(upload, RemoteEntry("a", Kind.FILE, None, 1)) == Did.KEPT


@pytest.mark.parametrize(
    ("there", "did"), [(b"0123456", None), (b"xxx3456", None), (b"0123x56", Did.KEPT), (b"0123", None), (b"", None)]
)
def test_of_a_long_part_the_end_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bytes, did: Did | None
) -> None:
    """What is before it was sent before it."""
    monkeypatch.setattr(existing, "COMPARED", 4)
    keeping = There(tmp_path, ExistingPolicy.KEEP, PublishMode.DIRECT)
    keeping.server.files[f"{BASE}/a"] = MemoryFile(there, 1)
    upload = Upload(M, "a", keeping.seen, ours=(keeping.seen,))
    assert keeping.needless(upload, RemoteEntry("a", Kind.FILE, len(there), 1)) == did


def test_a_directory_is_none_of_what_was_sent_before_whatever_its_date(keeping: There) -> None:
    upload = Upload(M, "a", keeping.seen, ours=(Fingerprint(5, 1, 1),), exposed=Exposure(5, 0))
    assert keeping.needless(upload, RemoteEntry("a", Kind.DIR, 3, DATE_S)) == Did.KEPT
    assert keeping.needless(upload, RemoteEntry("a", Kind.FILE, 3, DATE_S)) is None


@pytest.mark.parametrize("size", [3, 5, None])
def test_what_was_sent_under_its_final_name_once_stays_where_nobody_knows_whether_it_is_that(size: int | None) -> None:
    """By its date it is none of that: whatever would be sent how by now, nobody told that the part is gone."""
    exposed = Exposure(5, 4 * DATE_S * 10**9)
    there = RemoteEntry("a", Kind.FILE, size, DATE_S)
    for hidden in (False, True):
        for fingerprints in ((), (Fingerprint(2, 1, 1),)):
            assert (
                swept(there, Sweep(M, "a", "", fingerprints=fingerprints, exposed=exposed), hidden=hidden) is Did.KEPT
            )
    assert swept(there._replace(size=6), Sweep(M, "a", "", exposed=exposed), hidden=False) is Did.SWEPT


def test_what_was_moved_aside_goes_only_for_newer_versions_of_names_that_begin_so() -> None:
    """On its way, the name had lost its end."""
    beginning = f"{BASE}/{'report ' * 20}"
    temporary = names.temporary(f"{beginning}1.jpg", M)
    assert names.may_be_cut(temporary)
    cut = names.final(temporary)
    other = f"{BASE}/other.jpg"
    half_sent = f"{cut}.0123abcd{names.SUFFIX}"
    files = {f"{cut}1.jpg": b"newer", other: b"its own", half_sent: b"on its way"}
    files |= {names.aside(path): b"old" for path in files}
    server = MemoryServer(dirs={"/", BASE}, files={path: MemoryFile(content) for path, content in files.items()})
    with server.connect() as session:
        assert old_version(session, temporary, temporary) == [names.aside(f"{cut}1.jpg")]
