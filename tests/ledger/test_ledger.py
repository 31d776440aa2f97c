"""The ledger: every name, every number, all or nothing; and a dict that knows what must be in it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ftpsyncd.errors import ExitCode, LedgerDamagedError, LedgerError
from ftpsyncd.ledger.alike import Alike
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.database import Cursor
from ftpsyncd.ledger.failures import FailureCounts
from ftpsyncd.ledger.mappings import Totals
from ftpsyncd.ledger.tables import MIGRATIONS, SCHEMA_VERSION, among
from ftpsyncd.mapping.leftovers import left_behind
from ftpsyncd.model import Entry, Exposure, Failure, Fingerprint, Hold, HoldKind, Intent, Kind, RootIdentity, Row
from ftpsyncd.paths import basename, join, parent
from ftpsyncd.remote.account import Account
from ftpsyncd.specs import MappingSpec, ServerSpec, destination, plain_host

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SHA = b"\x00" + b"s" * 31
NS = 1_700_000_000 * 10**9
LARGEST = 2**63 - 1
"""Of SQLite's integers: inodes beyond it are folded where the disk tells them (`local.tree.fold`)."""


def file(size: int = 10, mtime_ns: int = NS, inode: int = 7, published_ns: int = NS) -> Row:
    return Row(Kind.FILE, Fingerprint(size, mtime_ns, inode), SHA, published_ns)


def folder(inode: int = 50, device: int = 0) -> Row:
    return Row(Kind.DIR, Fingerprint(0, 0, inode), b"", NS, device)


def failure(
    fingerprint: Fingerprint | None = None, *, parked: bool = False, message: str = "Permission denied.", at: int = NS
) -> Failure:
    return Failure(
        fingerprint, 3, parked, NS + 60, "NameRefusedError", message, "550 No.", "Check the permissions.", at
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as ledger:
        yield ledger


@pytest.fixture
def mapping(ledger: Ledger) -> int:
    return ledger.mappings.number("gallery", "ftp://web/htdocs")


def fill(ledger: Ledger, mapping: int, *paths: str) -> None:
    """Files under these paths, with the directories above them."""
    for one in paths:
        above = parent(one)
        while above:
            if ledger.row(mapping, above) is None:
                ledger.put(mapping, above, folder())
            above = parent(above)
        ledger.put(mapping, one, file())


def paths_of(ledger: Ledger, mapping: int) -> list[str]:
    return [found for found, _ in ledger.walk(mapping)]


# ── Names and numbers ────────────────────────────────────────────────────────────────────────────────────────────

STRANGE_NAMES = [
    "a",
    " leading space",
    "-dash",
    "%",
    "_",
    "100%_sure",
    'it\'s "quoted"',
    "[]*?#;--",
    "new\nline",
    "carriage\rreturn",
    "tab\t\x01\x7f",
    "é",
    "e\u0301",
    "😀",
    "\udcff\udcfe",
    "half\udcc3",
    "x" * 255,
    "ÿ" * 127,
]


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=ascii)
@pytest.mark.parametrize("directory", ["", "d", "d\n/\udcff"], ids=ascii)
def test_every_name_comes_back_as_it_was(ledger: Ledger, mapping: int, directory: str, name: str):
    one = join(directory, name)
    ledger.put(mapping, one, file())
    ledger.failures.put(mapping, one, failure())
    intent = Intent(
        Kind.FILE,
        f"/htdocs/{name}.filepart",
        f"old/{name}",
        (file().fingerprint,),
        5,
        ("/p", f"/{name}"),
        Exposure(7, 8, 9),
        (f"older/{name}", name),
    )
    ledger.begun.put(mapping, one, intent)
    assert ledger.row(mapping, one) == file()
    assert ledger.rows(mapping, directory) == {name: file()}
    assert paths_of(ledger, mapping) == [one]
    assert ledger.inodes.files(mapping, file().fingerprint) == [(one, file())]
    assert ledger.failures.of_names(mapping, directory, [name]) == {name: failure()}
    assert ledger.failures.names_in(mapping, directory) == [name]
    assert ledger.failures.worst(mapping, 9) == [(one, failure())]
    assert ledger.begun.of(mapping) == [(one, intent)]


@given(st.binary(min_size=1, max_size=255), st.binary(min_size=1, max_size=64))
@QUICK
def test_any_bytes_that_can_be_a_name_come_back(first: bytes, second: bytes):
    names = [os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_")) for raw in (first, second)]
    one, target = "/".join(names), f"{names[1]}/moved/here"
    with Ledger(Path(":memory:")) as ledger:
        mapping = ledger.mappings.number("m", "d")
        ledger.put(mapping, names[0], folder())
        ledger.put(mapping, one, file())
        assert dict(ledger.walk(mapping)) == {names[0]: folder(), one: file()}
        assert ledger.in_bulk.files_below(mapping, "") == ledger.in_bulk.files_below(mapping, names[0]) == 1
        if names[0] != names[1]:
            ledger.move(mapping, names[0], target)
            assert dict(ledger.walk(mapping)) == {target: folder(), join(target, names[1]): file()}


@pytest.mark.parametrize("inode", [0, 1, 2**31, LARGEST])
def test_inodes_use_63_bits(ledger: Ledger, mapping: int, inode: int):
    ledger.put(mapping, "a", file(inode=inode))
    ledger.put(mapping, "d", folder(inode))
    ledger.failures.put(mapping, "a", failure(Fingerprint(1, 2, inode)))
    ledger.mappings.set_root(mapping, RootIdentity(inode, inode))
    assert ledger.row(mapping, "a") == file(inode=inode)
    assert ledger.inodes.files(mapping, file(inode=inode).fingerprint) == [("a", file(inode=inode))]
    assert ledger.inodes.directories(mapping, inode) == ["d"]
    assert ledger.failures.of(mapping, "a") == failure(Fingerprint(1, 2, inode))
    assert ledger.mappings.root(mapping) == RootIdentity(inode, inode)


@pytest.mark.parametrize("mtime_ns", [0, -1, -(10**18), 2**63 - 1, 2**63, 10**20, -(10**20)])
def test_dates_may_be_as_far_away_as_file_systems_allow(ledger: Ledger, mapping: int, mtime_ns: int):
    """A file from the year 2400 must not end the daemon."""
    row = file(mtime_ns=mtime_ns)
    ledger.put(mapping, "a", row)
    ledger.failures.put(mapping, "a", failure(row.fingerprint))
    assert ledger.row(mapping, "a") == row
    assert ledger.inodes.files(mapping, row.fingerprint) == [("a", row)]
    assert ledger.failures.of(mapping, "a") == failure(row.fingerprint)


def test_large_files_are_counted(ledger: Ledger, mapping: int):
    ledger.put(mapping, "a", file(size=2**40))
    ledger.put(mapping, "b", file(size=2**40))
    assert ledger.mappings.totals(mapping) == Totals(2, 2**41, NS)


def test_sparse_files_may_have_more_bytes_together_than_sqlite_counts(path: Path):
    """Whoever may write into a folder makes one of 8 EiB at once; two that the server had ended the daemon."""
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        for inode, name in enumerate(("a", "b", "d/c", "d/e", "x"), 1):
            ledger.put(mapping, name, file(size=LARGEST, inode=inode))
        ledger.commit()
        assert ledger.mappings.totals(mapping) == Totals(5, 5 * LARGEST, NS)
    with Ledger(path) as ledger:
        assert ledger.mappings.all() == [("gallery", "here", 5, 5 * LARGEST)]
        ledger.rename_all(mapping, [("a", "y", file(size=LARGEST, inode=1))])
        ledger.forget_tree(mapping, "d")
        ledger.put(mapping, "x", file(size=1))
        assert ledger.mappings.totals(mapping) == Totals(3, 2 * LARGEST + 1, NS)
        ledger.forget(mapping, "b")
        ledger.commit()
        assert ledger.mappings.totals(mapping) == Totals(2, LARGEST + 1, NS)


@pytest.mark.parametrize("host", ["FTP.Example.com", "ftp.example.com."])
def test_a_host_is_the_same_in_capitals_and_with_a_dot(path: Path, host: str):
    """As written in another way, everything was published anew, and what was deleted meanwhile stayed there."""
    account, told = f"joe@Example.org@{host}:21", "joe@Example.org@ftp.example.com:21/Htdocs"
    written = f"{account}/Htdocs"
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", written)
        other = ledger.mappings.number("shop", "A/b@::1:21/")
        ledger.put_profile(account, "learned")
    with Ledger(path, read_only=True) as ledger:
        assert ledger.mappings.find("gallery", told) == mapping
    with Ledger(path) as ledger:
        assert ledger.mappings.number("gallery", told) == mapping
        assert ledger.mappings.number("shop", "A/b@::1:21/") == other
        assert [place for _, place, _, _ in ledger.mappings.all()] == [told, "A/b@::1:21/"]
        assert ledger.profile("joe@Example.org@ftp.example.com:21") == "learned"


BOOKS = ("bücher.example", "BÜCHER.example.", "xn--bcher-kva.example", "XN--bcher-kva.example")


@pytest.mark.parametrize("host", BOOKS)
def test_a_host_beyond_ascii_is_the_same_as_it_is_asked_for(path: Path, host: str):
    """Written in the other way, all was published anew, and what was deleted meanwhile stayed there."""
    spec = MappingSpec("gallery", Path("/srv"), "web", "/b")
    assert destination(spec, ServerSpec("web", host, "joe")) == "joe@xn--bcher-kva.example:21/b"
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", f"joe@{host}:21/b")
    with Ledger(path) as ledger:
        assert ledger.mappings.number("gallery", "joe@xn--bcher-kva.example:21/b") == mapping


def test_what_is_no_host_is_known_as_it_is_written():
    assert plain_host("ü" * 70) == "ü" * 70


def test_an_older_ledger_with_both_spellings_of_a_host_has_two_mappings_of_one_place(path: Path):
    """What either had begun would have been nobody's."""
    with Ledger(path) as ledger:
        numbers = [ledger.mappings.number("gallery", f"joe@{host}:21/b") for host in BOOKS]
        ledger.begun.put(numbers[0], "a.jpg", Intent(Kind.FILE, "/b/a.jpg.00000001.filepart"))
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "joe@xn--bcher-kva.example:21/b")
        others = {number: each.inside for number, each in ledger.mappings.overlaps(mapping)}
        assert others == {number: "" for number in numbers if number != mapping}
        assert [left.is_of("joe@xn--bcher-kva.example:21") for left in left_behind(ledger, {mapping})] == [True]


def test_a_host_is_the_same_with_a_dot_at_its_end(path: Path):
    """Written so (a name that is complete, RFC 1034 §3.1), all was published anew, and what was deleted stayed there."""
    dotted, plain = ServerSpec("web", "ftp.example.com.", "joe@a."), ServerSpec("web", "ftp.example.com", "joe@a.")
    spec = MappingSpec("gallery", Path("/srv"), "web", "/a.:21/b")
    assert destination(spec, dotted) == destination(spec, plain) == "joe@a.@ftp.example.com:21/a.:21/b"
    assert Account(dotted).key == Account(plain).key
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "joe@a.@ftp.example.com.:21/a.:21/b")
        ledger.put_profile("joe@a.@ftp.example.com.:21", "learned")
    with Ledger(path) as ledger:
        assert ledger.mappings.number("gallery", destination(spec, plain)) == mapping
        assert ledger.profile(Account(plain).key) == "learned"


def test_a_directory_keeps_whether_it_was_a_mount_point(ledger: Ledger, mapping: int):
    ledger.put(mapping, "d", folder(device=1))
    assert ledger.row(mapping, "d") == folder(device=1)


def test_the_root_has_a_row_of_its_own_that_is_in_no_directory(ledger: Ledger, mapping: int):
    ledger.put(mapping, "", folder(2))
    assert ledger.row(mapping, "") == folder(2)
    assert ledger.rows(mapping, "") == {}
    assert not ledger.holds_any(mapping, "")
    assert ledger.is_empty(mapping)


# ── Mappings ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mapping_is_known_by_name_and_destination(ledger: Ledger):
    first = ledger.mappings.number("gallery", "here")
    assert ledger.mappings.number("gallery", "here") == first
    assert ledger.mappings.number("gallery", "there") != first
    assert ledger.mappings.find("gallery", "here") == first
    assert ledger.mappings.find("shop", "here") is None


def test_mappings_do_not_see_each_other(ledger: Ledger, mapping: int):
    other = ledger.mappings.number("shop", "ftp://web/shop")
    fill(ledger, mapping, "d/a")
    ledger.failures.put(mapping, "d/a", failure())
    ledger.begun.put(mapping, "d/a", Intent(Kind.FILE, "/x"))
    assert ledger.is_empty(other)
    assert ledger.mappings.totals(other) == Totals(0, 0, None)
    assert ledger.rows(other, "d") == {}
    assert ledger.in_bulk.files_below(other, "") == 0
    assert ledger.inodes.files(other, file().fingerprint) == []
    assert ledger.inodes.directories(other, 50) == []
    assert ledger.failures.names_in(other, "d") == []
    assert ledger.begun.of(other) == []
    ledger.forget_tree(other, "d")
    ledger.move(other, "d", "e")
    ledger.failures.clear_all(other)
    assert paths_of(ledger, mapping) == ["d", "d/a"]
    assert ledger.failures.counts(mapping) == FailureCounts(1, 0)


def test_a_hold_is_kept_until_it_is_released(ledger: Ledger, mapping: int):
    assert ledger.decisions.hold(mapping) is None
    hold = Hold(HoldKind.MASS_DELETE, NS, "51 files were deleted at once")
    ledger.decisions.set_hold(mapping, hold)
    assert ledger.decisions.hold(mapping) == hold
    ledger.decisions.set_hold(mapping, None)
    assert ledger.decisions.hold(mapping) is None


def test_a_mass_delete_behind_another_hold_is_known_of_each_mapping(ledger: Ledger, mapping: int):
    other = ledger.mappings.number("shop", "there")
    ledger.decisions.set_behind(other, "Too many.")
    assert (ledger.decisions.behind(mapping), ledger.decisions.behind(other)) == (None, "Too many.")
    ledger.decisions.set_behind(mapping, None)
    assert ledger.decisions.behind(other) == "Too many."
    ledger.decisions.set_behind(other, None)
    assert ledger.decisions.behind(other) is None


def test_a_pause_is_kept(ledger: Ledger, mapping: int):
    assert ledger.decisions.paused_ns(mapping) == 0
    ledger.decisions.set_paused(mapping, NS)
    assert ledger.decisions.paused_ns(mapping) == NS
    ledger.decisions.set_paused(mapping, 0)
    assert ledger.decisions.paused_ns(mapping) == 0


def test_a_pause_is_that_of_the_name_wherever_it_publishes_to(ledger: Ledger):
    here, other = ledger.mappings.number("gallery", "here"), ledger.mappings.number("shop", "here")
    ledger.decisions.set_paused(here, NS)
    there = ledger.mappings.number("gallery", "there")
    assert ledger.decisions.paused_ns(there) == NS
    assert ledger.decisions.paused_ns(other) == 0
    ledger.decisions.set_paused(there, 0)
    assert ledger.decisions.paused_ns(here) == 0


def test_the_root_is_unknown_at_first(ledger: Ledger, mapping: int):
    assert ledger.mappings.root(mapping) is None


def test_everything_is_there_after_reopening(path: Path):
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        fill(ledger, mapping, "d/a")
        ledger.failures.put(mapping, "b", failure())
        ledger.begun.put(mapping, "c", Intent(Kind.DIR, "/c.filepart", "b"))
        ledger.mappings.set_root(mapping, RootIdentity(2, LARGEST))
        ledger.decisions.set_hold(mapping, Hold(HoldKind.REPLACED_SOURCE, NS, "another disk"))
        ledger.decisions.set_paused(mapping, NS)
    with Ledger(path) as ledger:
        assert ledger.mappings.find("gallery", "here") == mapping
        assert dict(ledger.walk(mapping)) == {"d": folder(), "d/a": file()}
        assert ledger.mappings.totals(mapping) == Totals(1, 10, NS)
        assert ledger.failures.of(mapping, "b") == failure()
        assert ledger.begun.of(mapping) == [("c", Intent(Kind.DIR, "/c.filepart", "b"))]
        assert ledger.mappings.root(mapping) == RootIdentity(2, LARGEST)
        assert ledger.decisions.hold(mapping) == Hold(HoldKind.REPLACED_SOURCE, NS, "another disk")
        assert ledger.decisions.paused_ns(mapping) == NS


# ── Entries ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_never_put_is_not_there(ledger: Ledger, mapping: int):
    assert ledger.row(mapping, "a") is None
    assert ledger.is_empty(mapping)
    ledger.forget(mapping, "a")
    ledger.forget_tree(mapping, "d")
    ledger.move(mapping, "a", "b")
    assert ledger.mappings.totals(mapping) == Totals(0, 0, None)


def test_a_directory_holds_what_is_directly_in_it(ledger: Ledger, mapping: int):
    fill(ledger, mapping, "a", "d/a", "d/e/a", "d-/a")
    assert ledger.rows(mapping, "").keys() == {"a", "d", "d-"}
    assert ledger.rows(mapping, "d").keys() == {"a", "e"}
    assert ledger.holds_any(mapping, "d/e")
    assert not ledger.holds_any(mapping, "d/e/a")
    assert not ledger.is_empty(mapping)


def test_putting_again_replaces_the_row_and_counts_once(ledger: Ledger, mapping: int):
    ledger.put(mapping, "a", file(size=10))
    ledger.put(mapping, "a", file(size=3, published_ns=NS + 5))
    assert ledger.mappings.totals(mapping) == Totals(1, 3, NS + 5)
    ledger.put(mapping, "a", folder())
    assert ledger.mappings.totals(mapping) == Totals(0, 0, NS + 5)


def test_what_is_forgotten_right_after_it_was_recorded_does_not_come_back(ledger: Ledger, mapping: int):
    """Rows are written some at a time: one that waits for that must not be written after it was dropped."""
    fill(ledger, mapping, "a", "b")
    ledger.commit()
    ledger.put(mapping, "c", file(inode=9))
    ledger.forget(mapping, "c")
    ledger.put(mapping, "a", file(inode=10))
    ledger.forget(mapping, "a")
    ledger.commit()
    assert ledger.rows(mapping, "").keys() == {"b"}
    assert ledger.mappings.totals(mapping).files == 1


@pytest.mark.parametrize(("ctime_ns", "same"), [(-1, False), (0, True), (1, False)])
def test_a_file_with_the_ctime_that_was_recorded_is_not_looked_at_more_closely(
    ledger: Ledger, mapping: int, ctime_ns: int, *, same: bool
):
    """Each file with a date in whole seconds would be, at each look at its directory."""
    row = file(mtime_ns=10**9)._replace(ctime_ns=NS)
    ledger.put(mapping, "a", row)
    found = {"a": Entry(Kind.FILE, row.fingerprint, NS + ctime_ns, 0)}
    assert ledger.in_bulk.beside(mapping, "", found).same == ({"a"} if same else set())


def test_the_last_publish_does_not_go_back(ledger: Ledger, mapping: int):
    ledger.put(mapping, "a", file(published_ns=NS + 5))
    ledger.put(mapping, "b", file(published_ns=NS))
    assert ledger.mappings.totals(mapping).last_publish_ns == NS + 5


def test_only_the_very_same_content_is_the_same_file(ledger: Ledger, mapping: int):
    ledger.put(mapping, "a", file(10, 1, 7))
    ledger.put(mapping, "hard link", file(10, 1, 7))
    ledger.put(mapping, "d", Row(Kind.DIR, Fingerprint(10, 1, 7), b"", NS))
    assert [p for p, _ in ledger.inodes.files(mapping, Fingerprint(10, 1, 7))] == ["a", "hard link"]
    for other in (Fingerprint(11, 1, 7), Fingerprint(10, 2, 7), Fingerprint(10, 1, 8)):
        assert ledger.inodes.files(mapping, other) == []
    assert ledger.inodes.directories(mapping, 7) == ["d"]


def test_all_names_of_a_file_are_known_by_its_inode(ledger: Ledger, mapping: int):
    ledger.put(mapping, "a", file(10, 1, 7))
    ledger.put(mapping, "b/c", file(11, 2, 7))
    ledger.put(mapping, "other", file(10, 1, 8))
    ledger.put(mapping, "d", Row(Kind.DIR, Fingerprint(10, 1, 7), b"", NS))
    assert sorted(ledger.inodes.names(mapping, 7)) == [("a", Fingerprint(10, 1, 7)), ("b/c", Fingerprint(11, 2, 7))]


def test_names_outside_a_directory_are_those_of_files_that_have_one_inside_it(
    ledger: Ledger, mapping: int, monkeypatch: pytest.MonkeyPatch
):
    for path, inode in {
        "d/a": 7,
        "d/sub/b": 8,
        "d/c": 9,
        "d.a": 7,
        "d0": 8,
        "e/c": 10,
        "d/sub/x": 11,
        "d/x": 11,
    }.items():
        ledger.put(mapping, path, file(10, 1, inode))
    ledger.put(mapping, "f", Row(Kind.DIR, Fingerprint(10, 1, 7), b"", NS))
    ledger.put(mapping, "d/doubted", file(10, 0, 0))
    ledger.put(mapping, "doubted", file(10, 0, 0))
    other = ledger.mappings.number("other", "there")
    ledger.put(other, "elsewhere", file(10, 1, 7))
    for most in (1, 2, 3, 100):
        monkeypatch.setattr("ftpsyncd.ledger.inodes.ROWS_AT_ONCE", most)
        for directory, outside in (("d", {"d.a", "d0"}), ("d/sub", {"d/x", "d0"}), ("e", set[str]())):
            steps = list(ledger.inodes.names_outside(mapping, directory))
            assert {name for some, _ in steps for name in some} == outside
            files = ledger.in_bulk.files_below(mapping, directory)
            assert files <= sum(count for _, count in steps) <= files + 1, "at most with the directory in it"
        assert len(list(ledger.inodes.names_outside(mapping, "d"))) == {1: 8, 2: 5, 3: 3, 100: 2}[most]


TRAPS = ["a/b", "a/b/c", "a-b", "a-b/c", "a.b/c", "a0/c", "ab", "ab/c", "A/c", "a%/c", "a_/c", "%/c", "a\udcff/c"]
"""Names that sort close to "a/", or that a pattern would match."""


@pytest.mark.parametrize("directory", ["a", "a-b", "a%", "_", "%", "a/b", "a\udcff"], ids=ascii)
def test_below_a_directory_is_only_what_is_below_it(ledger: Ledger, mapping: int, directory: str):
    for trap in TRAPS:
        ledger.put(mapping, trap, file())
    below = [trap for trap in TRAPS if trap.startswith(f"{directory}/")]
    assert ledger.in_bulk.files_below(mapping, directory) == len(below)
    assert ledger.in_bulk.files_below(mapping, "") == len(TRAPS)
    ledger.forget_tree(mapping, directory)
    left = [trap for trap in TRAPS if trap not in {*below, directory}]
    assert sorted(paths_of(ledger, mapping)) == sorted(left)
    assert ledger.mappings.totals(mapping).files == len(left)


@pytest.mark.parametrize("name", ["\udcff" * 8, "\udcff" * 9 + "x", "\udcff" * 255, "\x01"], ids=ascii)
def test_the_root_holds_directories_of_every_name(ledger: Ledger, mapping: int, name: str):
    fill(ledger, mapping, f"{name}/{name}/a")
    assert ledger.in_bulk.files_below(mapping, "") == 1
    ledger.forget_tree(mapping, "")
    assert ledger.is_empty(mapping)
    assert ledger.mappings.totals(mapping).files == 0


def test_names_that_differ_in_case_only_are_found_whatever_is_beside_them(ledger: Ledger, mapping: int):
    fill(ledger, mapping, "d/aB.jpg", "d/Ab.JPG", "d/ab.jpg.jpg", "d/a", "d/ac.jpg", "D/ab.jpg", "d/\xc4", "d/a\u0308")
    ledger.put(mapping, "d/AB.JPG", folder())
    assert set(ledger.alike.files(mapping, "d", "ab.jpg")) == {"d/aB.jpg", "d/Ab.JPG"}
    assert set(ledger.alike.files(mapping, "d", "aB.jpg")) == {"d/aB.jpg", "d/Ab.JPG"}
    assert set(ledger.alike.files(mapping, "d", "\xe4")) == {"d/\xc4", "d/a\u0308"}
    assert set(ledger.alike.files(mapping, "d", "A\u0308")) == {"d/\xc4", "d/a\u0308"}
    assert ledger.alike.files(mapping, "d", "\udce4") == []


def test_names_that_differ_in_case_only_are_found_with_a_question_for_each_letter(ledger: Ledger, mapping: int):
    """Not one for each way to write the name, which are twice as many with every letter."""
    fill(ledger, mapping, "d/Abc 1234567890.Jpg", "d/other")
    asked: list[str] = []

    def counted(sql: str, values: Sequence[object]) -> Cursor:
        asked.append(sql)
        return ledger.alike._read(sql, values)

    assert Alike(counted).files(mapping, "d", "abc 1234567890.jpg") == ["d/Abc 1234567890.Jpg"]
    assert len(asked) < 20


def test_directories_that_differ_in_case_only_are_found_at_any_depth(ledger: Ledger, mapping: int):
    for path in ("Fotos", "fotos", "Fotos/in", "fotos/IN", "fotos/inn", "fo"):
        ledger.put(mapping, path, folder())
    fill(ledger, mapping, "Fotos/in/a.jpg", "fotos/IN/a.jpg", "fotos/inn/a.jpg")
    places = ledger.alike.directories(mapping, "fotos/in")
    assert {place for place in places if ledger.row(mapping, place)} == {"Fotos/in", "fotos/IN"}
    assert ledger.alike.directories(mapping, "") == {""}


def test_forgetting_a_tree_forgets_its_failures(ledger: Ledger, mapping: int):
    for one in ("d/a", "d/e/a", "d-/a", "a"):
        ledger.failures.put(mapping, one, failure())
    ledger.forget_tree(mapping, "d")
    assert [p for p, _ in ledger.failures.worst(mapping, 9)] == ["a", "d-/a"]


def test_moving_a_file_keeps_its_row(ledger: Ledger, mapping: int):
    ledger.put(mapping, "a", file())
    ledger.put(mapping, "b", file(size=99))
    ledger.move(mapping, "a", "b")
    assert dict(ledger.walk(mapping)) == {"b": file()}
    assert ledger.mappings.totals(mapping) == Totals(1, 10, NS)


def test_moving_a_directory_moves_all_below_it_and_nothing_else(ledger: Ledger, mapping: int):
    fill(ledger, mapping, "a/b/c", "a/d", "a-b/c", "ab/c", "a%/c")
    ledger.failures.put(mapping, "a/b/f", failure())
    ledger.failures.put(mapping, "a-b/f", failure())
    before = ledger.mappings.totals(mapping)
    ledger.move(mapping, "a", "a")
    assert ledger.mappings.totals(mapping) == before, "what has its name already is not lost"
    ledger.move(mapping, "a", "x/y")
    moved, others = {"x/y", "x/y/b", "x/y/b/c", "x/y/d"}, {"a-b", "a-b/c", "ab", "ab/c", "a%", "a%/c"}
    assert set(paths_of(ledger, mapping)) == moved | others
    assert ledger.mappings.totals(mapping) == before
    assert [p for p, _ in ledger.failures.worst(mapping, 9)] == ["a-b/f", "x/y/b/f"]


def test_moving_a_directory_over_another_forgets_the_other(ledger: Ledger, mapping: int):
    fill(ledger, mapping, "a/x", "b/x", "b/y/z")
    ledger.move(mapping, "a", "b")
    assert set(paths_of(ledger, mapping)) == {"b", "b/x"}
    assert ledger.mappings.totals(mapping).files == 1


def test_moving_to_the_same_path_changes_nothing(ledger: Ledger, mapping: int):
    fill(ledger, mapping, "a/x")
    ledger.move(mapping, "a", "a")
    ledger.move(mapping, "a/x", "a/x")
    assert paths_of(ledger, mapping) == ["a", "a/x"]
    assert ledger.mappings.totals(mapping).files == 1


# ── Failures and intents ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_kept_until_it_is_cleared(ledger: Ledger, mapping: int):
    ledger.failures.put(mapping, "d/a", failure(Fingerprint(1, 2, 3)))
    assert ledger.failures.of(mapping, "d/a") == failure(Fingerprint(1, 2, 3))
    ledger.failures.put(mapping, "d/a", failure(None, parked=True))
    assert ledger.failures.of(mapping, "d/a") == failure(None, parked=True)
    ledger.failures.clear(mapping, "d/b")
    assert ledger.failures.of_names(mapping, "d", ["a", "b"]) == {"a": failure(None, parked=True)}
    ledger.failures.clear(mapping, "d/a")
    assert ledger.failures.of(mapping, "d/a") is None


def test_the_failures_below_a_directory_are_cleared_at_any_depth_and_no_others(ledger: Ledger, mapping: int):
    other = ledger.mappings.number("shop", "ftp://web/shop")
    kept = ["d", "d.jpg", "d0/a", "e/d/a"]
    for path in [*kept, "d/a", "d/deeper/still/b"]:
        ledger.failures.put(mapping, path, failure())
    ledger.failures.put(other, "d/a", failure())
    ledger.failures.clear_below(mapping, "d")
    assert sorted(path for path, _ in ledger.failures.worst(mapping, 9)) == kept
    assert ledger.failures.counts(other) == FailureCounts(1, 0)


def test_an_empty_fingerprint_is_a_fingerprint(ledger: Ledger, mapping: int):
    ledger.failures.put(mapping, "a", failure(Fingerprint(0, 0, 0)))
    assert ledger.failures.of(mapping, "a") == failure(Fingerprint(0, 0, 0))


def test_failures_are_counted_and_the_worst_come_first(ledger: Ledger, mapping: int):
    assert ledger.failures.counts(mapping) == FailureCounts(0, 0)
    ledger.failures.put(mapping, "retrying", failure(at=NS))
    ledger.failures.put(mapping, "parked later", failure(parked=True, at=NS + 2))
    ledger.failures.put(mapping, "parked", failure(parked=True, at=NS + 1))
    assert ledger.failures.counts(mapping) == FailureCounts(retrying=1, parked=2)
    assert [p for p, _ in ledger.failures.worst(mapping, 2)] == ["parked", "parked later"]
    assert ledger.failures.clear_all(mapping) == 3
    assert ledger.failures.counts(mapping) == FailureCounts(0, 0)


def test_an_intent_is_known_until_it_is_settled(ledger: Ledger, mapping: int):
    first, second, third = Intent(Kind.FILE, "/a.filepart"), Intent(Kind.DIR), Intent(Kind.FILE, "/b.filepart", "c")
    ledger.begun.put(mapping, "a", first)
    ledger.begun.put(mapping, "a", second)
    ledger.begun.put(mapping, "b", third)
    assert ledger.begun.of(mapping) == [("a", second), ("b", third)]
    ledger.begun.clear(mapping, "a")
    ledger.begun.clear(mapping, "never heard of")
    assert ledger.begun.of(mapping) == [("b", third)]


def test_where_something_was_seen_that_is_to_be_published_is_known_of_each_mapping_until_it_does_not_matter(
    ledger: Ledger, mapping: int
):
    other = ledger.mappings.number("shop", "there")
    for each in (mapping, other):
        ledger.begun.set_elsewhere(each, "a", "")
        ledger.begun.set_elsewhere(each, "card/b", "card")
    ledger.begun.set_elsewhere(mapping, "a", "disk")
    assert ledger.begun.elsewhere(mapping) == {"a": "disk", "card/b": "card"}
    assert ledger.begun.elsewhere(other) == {"a": "", "card/b": "card"}
    ledger.begun.clear_elsewhere(other, ["a", "card/b"])
    assert ledger.begun.elsewhere(mapping) == {"a": "disk", "card/b": "card"}
    assert ledger.begun.elsewhere(other) == {}


# ── All or nothing ───────────────────────────────────────────────────────────────────────────────────────────────


def reader(path: Path) -> Ledger:
    return Ledger(path, read_only=True)


def test_nothing_is_seen_before_the_commit_and_all_after_it(ledger: Ledger, mapping: int, path: Path):
    with reader(path) as other:
        fill(ledger, mapping, "d/a")
        assert paths_of(other, mapping) == []
        assert other.mappings.totals(mapping) == Totals(0, 0, None)
        ledger.commit()
        assert paths_of(other, mapping) == ["d", "d/a"]
        assert other.mappings.totals(mapping).files == 1


def test_it_is_dirty_from_the_first_change_to_the_commit(ledger: Ledger, mapping: int):
    states = [ledger.dirty]
    ledger.put(mapping, "a", file())
    states.append(ledger.dirty)
    ledger.commit()
    assert [*states, ledger.dirty] == [False, True, False]


def test_a_reader_sees_one_moment_while_it_walks(ledger: Ledger, mapping: int, path: Path):
    fill(ledger, mapping, "a", "b")
    ledger.commit()
    with reader(path) as other:
        walk = other.walk(mapping)
        assert next(walk)[0] == "a"
        ledger.forget(mapping, "b")
        ledger.put(mapping, "c", file())
        ledger.commit()
        assert [p for p, _ in walk] == ["b"]
        assert paths_of(other, mapping) == ["a", "c"]


def test_a_reader_does_not_hold_up_the_writer(ledger: Ledger, mapping: int, path: Path):
    fill(ledger, mapping, "a")
    ledger.commit()
    with reader(path) as other:
        walk = other.walk(mapping)
        next(walk)
        for n in range(50):
            ledger.put(mapping, str(n), file())
            ledger.commit()
    assert ledger.mappings.totals(mapping).files == 51


def test_a_reader_cannot_write(ledger: Ledger, mapping: int, path: Path):
    with reader(path) as other, pytest.raises(LedgerError, match="cannot write the ledger"):
        other.put(mapping, "a", file())
    assert ledger.is_empty(mapping)


def test_closing_commits(path: Path):
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        ledger.put(mapping, "a", file())
    with reader(path) as other:
        assert paths_of(other, mapping) == ["a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.model import Fingerprint, Kind, Row

ledger = Ledger(Path(sys.argv[1]))
mapping = ledger.mappings.number("gallery", "here")
row = Row(Kind.FILE, Fingerprint(10, 1, 7), b"", 1)
for n in range(100):
    ledger.put(mapping, f"committed{n}", row)
ledger.commit()
for n in range(3000):  # more than fits into SQLite's cache: some of it is on disk already
    ledger.put(mapping, f"lost{n}" * 40, row)
ledger.forget(mapping, "committed0")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_before_the_commit_nothing_of_it_remains(path: Path):
    killed = subprocess.run([sys.executable, "-c", KILLED, path], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        assert ledger.mappings.totals(mapping) == Totals(100, 1000, 1)
        assert set(paths_of(ledger, mapping)) == {f"committed{n}" for n in range(100)}
        ledger.put(mapping, "and on it goes", file())


# ── What cannot be opened ────────────────────────────────────────────────────────────────────────────────────────


def set_version(path: Path, version: int) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={version}")
    db.close()


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
def test_a_newer_schema_is_refused_with_a_remedy(path: Path, read_only: bool):  # noqa: FBT001
    Ledger(path).close()
    set_version(path, SCHEMA_VERSION + 1)
    with pytest.raises(LedgerError, match=f"newer ftpsyncd .schema {SCHEMA_VERSION + 1}") as raised:
        Ledger(path, read_only=read_only)
    assert str(path) in raised.value.message
    assert "Install the newer version" in raised.value.remedy
    assert raised.value.exit_code == ExitCode.CONFIG, "waiting cannot help: the service stays down"


def as_version_1(path: Path) -> None:
    """Write a ledger as the first version did, with something of everything that later versions changed."""
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0])
    db.execute("INSERT INTO mapping(name, destination) VALUES('gallery', 'here')")
    db.execute("INSERT INTO intent VALUES(1, x'61', 0, x'2f612e66696c6570617274', x'', '[[10, 1, 7]]')")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()


def test_a_ledger_of_the_first_version_is_migrated_with_all_that_is_in_it(path: Path):
    as_version_1(path)
    for _ in range(2):
        with Ledger(path) as ledger:
            mapping = ledger.mappings.find("gallery", "here")
            assert mapping is not None
            assert ledger.begun.of(mapping) == [("a", Intent(Kind.FILE, "/a.filepart", "", (Fingerprint(10, 1, 7),)))]
            assert ledger.profile("u@host:21") == ""
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
        ledger.put_profile("u@host:21", "{}")
        ledger.begun.put(mapping, "a", Intent(Kind.FILE, received=2**70))
    with Ledger(path) as ledger:
        assert ledger.profile("u@host:21") == "{}"
        assert ledger.begun.of(mapping)[0][1].received == 2**70
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()


GOING = ("a", "card/in/b", "car/c", "shop/d")
"""On its way: in the root, below a mount point, in a directory that is none, and in one that is one of another mapping."""


@pytest.mark.parametrize(
    ("kind", "message", "elsewhere"),
    [
        ("replaced_source", "/srv/drop is not the folder that was published before", dict.fromkeys(GOING, "")),
        ("unmounted_source", "/srv/drop is on another file system", dict.fromkeys(GOING, "")),
        ("replaced_source", "card was mounted when it was published and is not mounted now", {"card/in/b": "card"}),
        ("replaced_source", "card is on another disk now than when it was published", {"card/in/b": "card"}),
        ("replaced_source", "0 was mounted when it was published (and 1 more): nothing", {"card/in/b": "card"}),
        ("replaced_source", "0 was mounted when it was published: nothing", {}),
        ("two_sources", "/srv/drop is the folder that was published before", {}),
        ("mass_delete", "Too many.", {}),
        (None, None, {}),
    ],
)
def test_what_was_on_its_way_under_an_older_version_was_seen_where_its_hold_says(
    path: Path, kind: str | None, message: str | None, elsewhere: dict[str, str]
):
    """That was killed, and ours was back by the start after the update: it was deleted at the server once it arrived."""
    db = sqlite3.connect(path)
    before = next(version for version, script in enumerate(MIGRATIONS) if "CREATE TABLE elsewhere" in script)
    db.executescript("".join(MIGRATIONS[:before]))
    db.execute(
        "INSERT INTO mapping(name, destination, hold_kind, hold_message) VALUES('m', 'd', ?, ?)", (kind, message)
    )
    for name, device in ((b"card", 1), (b"car", 0)):
        db.execute("INSERT INTO entry VALUES(1, x'', ?, 1, 0, 0, 50, x'', 1, ?, 0)", (name, device))
    db.execute("INSERT INTO entry VALUES(1, ?, ?, 1, 0, 0, 51, x'', 1, 0, 0)", (b"card", b"in"))
    db.execute("INSERT INTO mapping(name, destination) VALUES('other', 'd')")
    db.execute("INSERT INTO entry VALUES(2, x'', ?, 1, 0, 0, 50, x'', 1, 1, 0)", (b"shop",))
    for going in GOING:
        db.execute(
            "INSERT INTO intent(mapping, path, kind, temporary, source, fingerprints)"
            " VALUES(1, ?, 0, x'', x'', '[[1,1,1]]')",
            (going.encode(),),
        )
    db.execute(f"PRAGMA user_version={before}")
    db.commit()
    db.close()
    with Ledger(path) as ledger:
        assert ledger.begun.elsewhere(1) == elsewhere
        assert ledger.begun.elsewhere(2) == {}


def test_a_migration_that_breaks_off_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch):
    as_version_1(path)
    before = sqlite_schema(path)
    with monkeypatch.context() as patch:
        patch.setattr("ftpsyncd.ledger.book.MIGRATIONS", (*MIGRATIONS[:-1], f"{MIGRATIONS[-1]}; no SQL at all;"))
        with pytest.raises(LedgerError):
            Ledger(path)
    assert sqlite_schema(path) == before
    Ledger(path).close()
    assert sqlite_schema(path) != before


def test_a_new_ledger_and_a_migrated_one_are_the_same(path: Path, tmp_path: Path):
    as_version_1(path)
    Ledger(path).close()
    Ledger(tmp_path / "new").close()
    assert sqlite_schema(path) == sqlite_schema(tmp_path / "new")


def sqlite_schema(path: Path) -> list[tuple[str, ...]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
    db.close()
    return found


def test_a_profile_is_replaced(path: Path):
    with Ledger(path) as ledger:
        ledger.put_profile("a@host:21", "first")
        ledger.put_profile("b@host:21", "other")
        ledger.put_profile("a@host:21", "second")
    with Ledger(path, read_only=True) as ledger:
        assert [ledger.profile(f"{user}@host:21") for user in "abc"] == ["second", "other", ""]


def test_a_refused_ledger_is_left_as_it_is(path: Path):
    Ledger(path).close()
    set_version(path, SCHEMA_VERSION + 1)
    with pytest.raises(LedgerError):
        Ledger(path)
    set_version(path, SCHEMA_VERSION)
    with Ledger(path) as ledger:
        assert ledger.mappings.find("gallery", "here") is None


@pytest.mark.parametrize("read_only", [False, True], ids=["to write", "to read"])
@pytest.mark.parametrize("content", [b"this is no database, " * 100, None], ids=["garbage", "a directory"])
def test_what_is_no_ledger_is_refused(path: Path, content: bytes | None, read_only: bool):  # noqa: FBT001
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(LedgerError, match="cannot open the ledger" if content is None else "is damaged") as raised:
        Ledger(path, read_only=read_only)
    assert isinstance(raised.value, LedgerDamagedError) == (content is not None)


def test_a_reader_makes_no_ledger(path: Path):
    with pytest.raises(LedgerError):
        reader(path)
    assert not path.exists()


def test_a_missing_directory_is_an_error_with_the_path(tmp_path: Path):
    with pytest.raises(LedgerError, match="no/where"):
        Ledger(tmp_path / "no" / "where")


def test_a_name_with_a_question_mark_can_be_the_state_directory(tmp_path: Path):
    (tmp_path / "a?b#c%20").mkdir()
    path = tmp_path / "a?b#c%20" / "ledger.db"
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "here")
    with reader(path) as other:
        assert other.mappings.find("gallery", "here") == mapping


# ── A model: whatever happens, a dict would hold the same ────────────────────────────────────────────────────────

PATHS = st.lists(st.sampled_from(["a", "a-b", "%", "\udcff"]), min_size=1, max_size=3).map("/".join)
ROWS = st.sampled_from(
    [
        *(file(size, mtime, inode) for size in (0, 5) for mtime in (1, 2) for inode in (7, LARGEST)),
        folder(),
        folder(51),
    ]
)


def below(path: str, directory: str) -> bool:
    return not directory or path.startswith(f"{directory}/")


class LedgerMachine(RuleBasedStateMachine):
    """A ledger beside a dict of rows and a dict of failures."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(Path(":memory:"))
        self.other = self.ledger.mappings.number("other", "place")
        self.ledger.put(self.other, "a", file())
        self.mapping = self.ledger.mappings.number("gallery", "here")
        self.rows: dict[str, Row] = {}
        self.failures: dict[str, Failure] = {}

    @rule(path=PATHS, row=ROWS)
    def put(self, path: str, row: Row) -> None:
        self.ledger.put(self.mapping, path, row)
        self.rows[path] = row

    @rule(path=PATHS)
    def forget(self, path: str) -> None:
        self.ledger.forget(self.mapping, path)
        self.rows.pop(path, None)

    @rule(path=PATHS | st.just(""))
    def forget_tree(self, path: str) -> None:
        self.ledger.forget_tree(self.mapping, path)
        self.rows = {p: r for p, r in self.rows.items() if p != path and not below(p, path)}
        self.failures = {p: f for p, f in self.failures.items() if not below(p, path)}

    @rule(source=PATHS, place=PATHS)
    def move(self, source: str, place: str) -> None:
        if below(source, place) or below(place, source):
            return  # no server can do that
        self.ledger.move(self.mapping, source, place)
        if source == place or source not in self.rows:
            return
        tree = self.rows[source].kind is Kind.DIR
        self.rows = {p: r for p, r in self.rows.items() if p != place and not below(p, place)}
        self.failures = {p: f for p, f in self.failures.items() if not below(p, place)}
        self.rows[place] = self.rows.pop(source)
        if tree:
            self.rows = {_moved(p, source, place): r for p, r in self.rows.items()}
            self.failures = {_moved(p, source, place): f for p, f in self.failures.items()}

    @rule(path=PATHS, parked=st.booleans())
    def put_failure(self, path: str, parked: bool) -> None:  # noqa: FBT001
        self.failures[path] = failure(parked=parked)
        self.ledger.failures.put(self.mapping, path, self.failures[path])

    @rule(path=PATHS)
    def clear_failure(self, path: str) -> None:
        self.ledger.failures.clear(self.mapping, path)
        self.failures.pop(path, None)

    @rule()
    def commit(self) -> None:
        self.ledger.commit()

    @invariant()
    def rows_agree(self) -> None:
        assert dict(self.ledger.walk(self.mapping)) == self.rows
        assert self.ledger.is_empty(self.mapping) == (not self.rows)

    @invariant()
    def totals_agree(self) -> None:
        sizes = [row.fingerprint.size for row in self.rows.values() if row.kind is Kind.FILE]
        totals = self.ledger.mappings.totals(self.mapping)
        assert (totals.files, totals.bytes) == (len(sizes), sum(sizes))

    @invariant()
    def look_ups_agree(self) -> None:
        for directory in ("", "a", "a/b", "%", "\udcff/a"):
            files = [p for p, r in self.rows.items() if r.kind is Kind.FILE and below(p, directory)]
            assert self.ledger.in_bulk.files_below(self.mapping, directory) == len(files)
            assert self.ledger.rows(self.mapping, directory) == {
                basename(p): r for p, r in self.rows.items() if parent(p) == directory
            }
        same = {p for p, r in self.rows.items() if r.kind is Kind.FILE and r.fingerprint == Fingerprint(5, 1, LARGEST)}
        found = {p for p, _ in self.ledger.inodes.files(self.mapping, Fingerprint(5, 1, LARGEST))}
        assert found <= same
        assert len(found) == min(8, len(same))

    @invariant()
    def failures_agree(self) -> None:
        assert dict(self.ledger.failures.worst(self.mapping, 999)) == self.failures
        parked = sum(each.parked for each in self.failures.values())
        assert self.ledger.failures.counts(self.mapping) == FailureCounts(len(self.failures) - parked, parked)

    def teardown(self) -> None:
        assert dict(self.ledger.walk(self.other)) == {"a": file()}
        assert self.ledger.mappings.totals(self.other).files == 1
        self.ledger.close()


def _moved(path: str, source: str, target: str) -> str:
    return target + path[len(source) :] if below(path, source) else path


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(QUICK, max_examples=60, stateful_step_count=30)


# ── Some of many rows at a time ──────────────────────────────────────────────────────────────────────────────────

TREE = ("d/a", "d/b", "d/\udcff", "d/e/a", "d/e/f/a", "d/e-/a", "d/e0/a", "d-/a", "d0", "d0/a", "c/a", "dd/a", "a")


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_rows_of_a_directory_are_read_some_at_a_time(ledger: Ledger, mapping: int, most: int):
    fill(ledger, mapping, *TREE)
    ledger.put(mapping, "", folder())
    for directory in ("", "d", "d/e", "nothing"):
        found: dict[str, Row] = {}
        while some := ledger.rows(mapping, directory, after=next(reversed(found), ""), most=most):
            assert len(some) <= most
            found |= some
        assert list(found.items()) == list(ledger.rows(mapping, directory).items())
        assert list(found) == sorted(found, key=os.fsencode)


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_what_is_below_a_directory_is_read_some_at_a_time(ledger: Ledger, mapping: int, most: int):
    fill(ledger, mapping, *TREE)
    ledger.put(mapping, "", folder())
    for directory in ("d", "d/e", "d0", "nothing"):
        found: list[tuple[str, str, Kind]] = []
        after: tuple[str, str] | None = None
        while some := ledger.in_bulk.some_below(mapping, directory, after=after, most=most):
            assert len(some) <= most
            found += some
            after = some[-1][:2]
        assert len({(above, name) for above, name, _ in found}) == len(found)
        below = {(join(above, name), kind) for above, name, kind in found}
        assert below == set(ledger.in_bulk.below(mapping, directory))


@pytest.mark.parametrize("most", [1, 2, 3, 100])
@pytest.mark.parametrize("crash", [False, True])
def test_a_directory_is_moved_some_rows_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch, most: int, crash: bool):  # noqa: FBT001
    """Wherever it is broken off, the directory itself has its old path, and what is left of it goes on later."""
    monkeypatch.setattr("ftpsyncd.ledger.book.MOVED_AT_ONCE", most)
    with Ledger(path) as ledger:
        mapping = ledger.mappings.number("gallery", "there")
        fill(ledger, mapping, *TREE)
        ledger.failures.put(mapping, "d/e/a", failure())
        ledger.failures.put(mapping, "new/of-others", failure())
        rows, steps = dict(ledger.walk(mapping)), 0
    known = [f"new{one[1:]}" for one in rows if below(one, "d")]
    ledger = Ledger(path)
    while ledger.move_some(mapping, "d", "new"):
        steps += 1
        assert steps < 20
        moved = {f"d{one[3:]}" if below(one, "new") else one: row for one, row in ledger.walk(mapping)}
        assert moved == rows
        assert {one: row for one in (*rows, *known) if (row := ledger.row(mapping, one))} == dict(ledger.walk(mapping))
        assert ledger.row(mapping, "d") is not None
        assert ledger.row(mapping, "new") is None
        assert ledger.mappings.totals(mapping).files == 13
        if crash:
            ledger.commit()
            ledger._db._db.close()
            ledger = Ledger(path)
    assert steps == {1: 11, 2: 5, 3: 3, 100: 0}[most]
    ledger.move(mapping, "d", "new", begun=True)
    expected = {f"new{one[1:]}" if one == "d" or below(one, "d") else one: row for one, row in rows.items()}
    assert dict(ledger.walk(mapping)) == expected
    assert [one for one, _ in ledger.failures.all(mapping)] == ["new/e/a"]
    assert not ledger.move_some(mapping, "d", "new"), "it is not there any more"
    ledger.close()


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_a_directory_is_forgotten_some_rows_at_a_time(
    ledger: Ledger, mapping: int, monkeypatch: pytest.MonkeyPatch, most: int
):
    monkeypatch.setattr("ftpsyncd.ledger.book.MOVED_AT_ONCE", most)
    fill(ledger, mapping, *TREE)
    steps, before = 0, len(paths_of(ledger, mapping))
    while ledger.forget_some(mapping, "d"):
        steps += 1
        left = paths_of(ledger, mapping)
        assert before - 2 * most < len(left) <= before - most
        before = len(left)
        assert ledger.row(mapping, "d") is not None
        assert {parent(one) for one in left} <= {"", *left}, "what is left can be found gone"
        assert ledger.mappings.totals(mapping).files == sum(row.kind is Kind.FILE for _, row in ledger.walk(mapping))
    assert steps == {1: 11, 2: 5, 3: 3, 100: 0}[most]
    ledger.forget_tree(mapping, "d")
    assert paths_of(ledger, mapping) == sorted(
        ["a", "c", "c/a", "d-", "d-/a", "d0", "d0/a", "dd", "dd/a"], key=in_order
    )
    assert ledger.mappings.totals(mapping).files == 6


def in_order(path: str) -> tuple[str, str]:
    """As `walk` tells paths."""
    return parent(path), basename(path)


@pytest.mark.parametrize(
    ("source", "target"), [("d/e", "d"), ("d", "d/e/new"), ("d", "d0")], ids=["up", "into itself", "where something is"]
)
def test_what_cannot_be_moved_some_rows_at_a_time_is_not(
    ledger: Ledger, mapping: int, monkeypatch: pytest.MonkeyPatch, source: str, target: str
):
    """The rows that have moved would be among those that are to move; or nobody could tell them from what was there."""
    monkeypatch.setattr("ftpsyncd.ledger.book.MOVED_AT_ONCE", 1)
    fill(ledger, mapping, *TREE)
    before = dict(ledger.walk(mapping))
    assert not ledger.move_some(mapping, source, target)
    assert dict(ledger.walk(mapping)) == before


# ── What it costs ────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_that_concerns_a_path_reads_all_rows_of_a_mapping(
    ledger: Ledger, mapping: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ftpsyncd.ledger.book.MOVED_AT_ONCE", 1)
    fill(ledger, mapping, "a/b/c.jpg", "a/d.jpg", "e.jpg")
    said: list[str] = []
    ledger._db._db.set_trace_callback(said.append)
    ledger.put(mapping, "a/new.jpg", file(inode=8))
    ledger.put(mapping, "a", folder(51))
    ledger.row(mapping, "unknown")
    ledger.rows(mapping, "a")
    ledger.in_bulk.beside(mapping, "a", {})
    ledger.in_bulk.beside(mapping, "a", {}, after="b", most=2)
    ledger.in_bulk.some_below(mapping, "a", most=2)
    ledger.in_bulk.some_below(mapping, "a", after=("a/b", "c"), most=2)
    while ledger.move_some(mapping, "a", "b"):
        pass
    ledger.in_bulk.rows_of(mapping, "a", ["d.jpg", "e.jpg", "f.jpg"])
    ledger.in_bulk.unknown(mapping, ["a/d.jpg", "a/e.jpg", "e.jpg"])
    ledger.holds_any(mapping, "a")
    ledger.is_empty(mapping)
    ledger.in_bulk.files_below(mapping, "a")
    ledger.inodes.files(mapping, Fingerprint(10, NS, 7))
    ledger.inodes.directories(mapping, 50)
    ledger.failures.put(mapping, "e.jpg", failure())
    ledger.failures.of(mapping, "e.jpg")
    ledger.failures.names_in(mapping, "")
    ledger.failures.of_names(mapping, "", ["e.jpg", "f.jpg", "g.jpg"])
    ledger.failures.tries(mapping, "e.jpg")
    ledger.failures.clear(mapping, "e.jpg")
    ledger.failures.clear_below(mapping, "a")
    ledger.begun.put(mapping, "e.jpg", Intent(Kind.FILE))
    ledger.begun.clear(mapping, "e.jpg")
    ledger.move(mapping, "e.jpg", "f.jpg")
    ledger.move(mapping, "a", "g")
    ledger.forget(mapping, "f.jpg")
    while ledger.forget_some(mapping, "g"):
        pass
    ledger.forget_tree(mapping, "g")
    ledger.mappings.totals(mapping)
    ledger.commit()
    ledger._db._db.set_trace_callback(None)
    statements = [sql for sql in said if sql.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}]
    assert len(statements) > 30
    for sql in statements:
        for *_, plan in ledger._db._db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall():
            is_first_row = "EXISTS" in sql or sql.endswith("LIMIT 1")
            assert is_first_row or not plan.endswith("(mapping=?)"), f"{plan}: {sql}"
            assert not plan.startswith("SCAN") or plan == "SCAN CONSTANT ROW", f"{plan}: {sql}"


def test_what_a_status_asks_of_failures_comes_from_an_index():
    """Four times a second while anything happens, of perhaps very many, each with its words."""
    with Ledger(Path(":memory:")) as ledger:
        mapping, said = ledger.mappings.number("gallery", "there"), list[str]()
        for number in range(10):
            parked = failure()._replace(parked=number % 2 == 0, failed_ns=number)
            ledger.failures.put(mapping, f"{number}", parked)
        ledger._db._db.set_trace_callback(said.append)
        assert ledger.failures.counts(mapping) == (5, 5, 0)
        assert [path for path, _ in ledger.failures.worst(mapping, 7)] == ["0", "2", "4", "6", "8", "1", "3"]
        assert ledger.failures.changed_at_server(mapping) == []
        ledger._db._db.set_trace_callback(None)
        plans = [[step[3] for step in ledger._db._db.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in said]
    indexed = "INDEX failure_worst (mapping=?)"
    assert plans == [[f"SEARCH failure USING {how}{indexed}"] for how in ("COVERING ", "", "COVERING ")]


@pytest.mark.parametrize("count", [1, 2, 3, 500, 501, 1300])
def test_many_paths_are_asked_for_at_once(count: int):
    with Ledger(Path(":memory:")) as ledger:
        mapping = ledger.mappings.number("gallery", "there")
        paths = [join("d" if number % 3 else "", f"{number}\udcff") for number in range(count)]
        for path in paths[::2]:
            ledger.put(mapping, path, file())
        assert sorted(ledger.in_bulk.unknown(mapping, paths)) == sorted(paths[1::2])
        below = [basename(path) for path in paths if path.startswith("d/")]
        assert ledger.in_bulk.rows_of(mapping, "d", below) == ledger.rows(mapping, "d")
    assert len(among(["name"] * count)[1]) < 2 * count


_KNOWN = st.one_of(
    st.builds(
        lambda row, ctime_ns: row._replace(ctime_ns=ctime_ns),
        st.builds(file, st.integers(0, 2), st.sampled_from([0, NS, NS + 1, 2**70]), st.sampled_from([1, 2, LARGEST])),
        st.sampled_from([0, 5, LARGEST]),
    ),
    st.builds(folder, st.integers(1, 2)),
)
_NAMES = st.sampled_from(["a", "b", "\udcff", "é", "x\ny"])
_FOUND = st.builds(
    lambda row, other, ctime_ns: Entry(Kind.OTHER if other else row.kind, row.fingerprint, ctime_ns, 6),
    _KNOWN,
    st.booleans(),
    st.sampled_from([4, 5, 6, LARGEST]),
)


@QUICK
@given(st.dictionaries(_NAMES, _KNOWN), st.dictionaries(_NAMES, _FOUND), st.sampled_from(["", "dir"]))
def test_beside_tells_the_same_as_comparing_row_by_row(known: dict[str, Row], found: dict[str, Entry], directory: str):
    with Ledger(Path(":memory:")) as ledger:
        mapping = ledger.mappings.number("gallery", "there")
        ledger.put(mapping, "", folder())
        for name, row in known.items():
            ledger.put(mapping, join(directory, name), row)
        others, same, last = ledger.in_bulk.beside(mapping, directory, found)
        assert not last
        rows = ledger.in_bulk.rows_of(mapping, directory, others)
        unchanged = {
            name
            for name, row in known.items()
            if row.kind is Kind.FILE and name in found and found[name][:2] == (Kind.FILE, row.fingerprint)
            if not row.may_be_another(found[name])
        }
        # What is stored in another form than it is read may be told as different: it is compared again.
        assert same <= unchanged
        plain = {n for n in unchanged if known[n].fingerprint.mtime_ns < 2**63}
        assert plain <= same
        assert rows == {name: row for name, row in known.items() if name not in same}


def test_rows_are_compared_some_at_a_time_until_none_is_left(ledger: Ledger, mapping: int):
    """What lies behind the first ones would never be found gone, nor changed."""
    fill(ledger, mapping, "a", "b", "c", "d", "d/x")
    same = {name: Entry(Kind.FILE, file().fingerprint, 0, 0) for name in "ac"}
    first = ledger.in_bulk.beside(mapping, "", same, most=2)
    assert (first.others, first.same, first.last) == (["b"], {"a"}, "b")
    second = ledger.in_bulk.beside(mapping, "", same, after=first.last, most=2)
    assert (second.others, second.same, second.last) == (["d"], {"c"}, "d")
    assert ledger.in_bulk.beside(mapping, "", same, after=second.last, most=2) == ([], set(), "")


@pytest.mark.parametrize(
    ("row", "entry", "same"),
    [
        (file(), Entry(Kind.FILE, file().fingerprint, NS, 0), True),
        (file(), Entry(Kind.FILE, file().fingerprint, NS + 1, 0), False),
        (file(mtime_ns=NS + 5), Entry(Kind.FILE, file(mtime_ns=NS + 5).fingerprint, NS + 1, 0), True),
        (file(), Entry(Kind.OTHER, file().fingerprint, NS, 0), False),
        (folder(), Entry(Kind.FILE, folder().fingerprint, NS, 0), False),
    ],
    ids=["as it was", "changed since", "changed since, with a date of its own", "no file now", "was a directory"],
)
def test_what_is_recorded_as_it_is_need_not_be_compared(
    ledger: Ledger, mapping: int, row: Row, entry: Entry, *, same: bool
):
    ledger.put(mapping, "a", row)
    assert ledger.in_bulk.beside(mapping, "", {"a": entry}).same == ({"a"} if same else set())
