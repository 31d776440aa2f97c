"""Another encoding of names at a server: the ledger tells under which paths what is published is reached now."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.core.names import on_the_wire
from ftpsyncd.errors import NameNotSendableError, NameRefusedError
from ftpsyncd.ledger import book
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.tables import row_of
from ftpsyncd.mapping import spelling
from ftpsyncd.model import MISSING, Failure, Fingerprint, Kind, Row
from ftpsyncd.specs import MappingSpec, ServerSpec, TlsMode

SERVER = ServerSpec("web", "127.0.0.1", "u", port=21, tls=TlsMode.OFF)
SPEC = MappingSpec("m", Path("/srv/m"), "web", "/site")
NOT_SENDABLE = Failure(None, 1, True, 0, NameNotSendableError.__name__, "no", "", "", 1)  # noqa: FBT003


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as made:
        yield made


def taken_over(ledger: Ledger, encoding: str, spec: MappingSpec = SPEC) -> str:
    turns = spelling.take_over(ledger, mapping(ledger), spec, SERVER._replace(encoding=encoding))
    while True:
        try:
            next(turns)
        except StopIteration as end:
            ledger.commit()
            return str(end.value)


def mapping(ledger: Ledger) -> int:
    return ledger.mappings.number("m", "u@127.0.0.1:21/site")


def publish(ledger: Ledger, *paths: str) -> None:
    for number, path in enumerate(paths, 1):
        kind = Kind.DIR if path.endswith("/") else Kind.FILE
        ledger.put(mapping(ledger), path.rstrip("/"), Row(kind, Fingerprint(number, 1, number), b"", 1))


def rows(ledger: Ledger) -> dict[str, Row]:
    return dict(ledger.walk(mapping(ledger)))


def test_what_was_published_before_anybody_knew_of_encodings_is_left_alone(ledger: Ledger):
    publish(ledger, "ü.jpg")
    before = rows(ledger)
    assert taken_over(ledger, "latin-1") == ""
    assert rows(ledger) == before


@pytest.mark.parametrize(
    ("before", "now"), [("latin-1", "utf-8"), ("utf-8", "latin-1"), ("utf-8", "cp1252"), ("cp1252", "cp437")]
)
def test_each_path_leads_to_the_bytes_that_were_sent(ledger: Ledger, before: str, now: str):
    names = ["a.jpg", "d/", "d/ü.jpg", "ß/", "ß/a.jpg"]
    taken_over(ledger, before)
    publish(ledger, *names)
    sent = {on_the_wire(path, before): row for path, row in rows(ledger).items()}
    assert taken_over(ledger, now).endswith(f"is published under 3 paths gets its names in {codecs.lookup(now).name}")
    assert {on_the_wire(path, now): row for path, row in rows(ledger).items()} == sent
    assert {"a.jpg", "d"} < set(rows(ledger))
    taken_over(ledger, before)
    assert set(rows(ledger)) == {name.rstrip("/") for name in names}


def test_the_new_path_of_one_may_be_the_old_path_of_another(ledger: Ledger):
    taken_over(ledger, "utf-8")
    once, twice = "Ã¼.jpg", "ü.jpg"
    assert once.encode("latin-1") == twice.encode()
    publish(ledger, once, twice)
    before = rows(ledger)
    taken_over(ledger, "latin-1")
    after = rows(ledger)
    assert after[once] == before[twice]
    assert len(after) == 2


def test_two_that_were_one_name_at_the_server_are_one_path_and_counted_once(ledger: Ledger):
    taken_over(ledger, "latin-1")
    publish(ledger, "ü.jpg", "\udcfc.jpg", "a.jpg")
    assert on_the_wire("ü.jpg", "latin-1") == on_the_wire("\udcfc.jpg", "latin-1")
    taken_over(ledger, "utf-8")
    assert set(rows(ledger)) == {"\udcfc.jpg", "a.jpg"}
    sizes = [row.fingerprint.size for row in rows(ledger).values()]
    assert ledger.mappings.totals(mapping(ledger))[:2] == (2, sum(sizes))


@pytest.mark.parametrize("remote", ["/site", "/ü"])
def test_many_rows_are_gone_through_in_turns_and_written_in_the_last_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, remote: str
):
    """200,000 rows took 13 s in one turn of the engine, in which nobody was answered and nothing published."""
    monkeypatch.setattr(spelling, "ROWS_AT_ONCE", 100)
    there = SPEC._replace(remote=remote)
    taken_over(ledger, "latin-1", there)
    publish(ledger, *(f"{number % 7}/ü{number}.jpg" for number in range(1000)))
    ledger.commit()
    ledger._rows.clear()
    before = rows(ledger)
    read: list[Row] = []

    def counted(values: Any) -> Row:
        read.append(row_of(values))
        return read[-1]

    monkeypatch.setattr(book, "row_of", counted)
    turns = spelling.take_over(ledger, mapping(ledger), there, SERVER._replace(encoding="utf-8"))
    for number, _ in enumerate(turns, 1):
        assert len(read) == 100 * number
        assert not ledger.dirty, "whoever is killed now has changed nothing"
    assert number == 10
    assert len(read) == 1000, "no row is asked for by itself"
    assert len(ledger._db._statements) < 10, "none is written by itself"
    ledger.commit()
    assert len(rows(ledger)) == 1000
    assert not rows(ledger).items() & before.items()


def test_the_same_encoding_under_another_name_is_no_other_one(ledger: Ledger):
    taken_over(ledger, "latin-1")
    publish(ledger, "ü.jpg")
    ledger.failures.put(mapping(ledger), "€.jpg", NOT_SENDABLE)
    assert not list(spelling.take_over(ledger, mapping(ledger), SPEC, SERVER._replace(encoding="ISO-8859-1")))
    assert ledger.failures.of(mapping(ledger), "€.jpg") == NOT_SENDABLE, "it still cannot be told"


def test_what_is_the_same_in_both_encodings_is_told_by_nobody(ledger: Ledger):
    taken_over(ledger, "latin-1")
    publish(ledger, "a.jpg", "ü.jpg", "ß/")
    before = rows(ledger)
    assert taken_over(ledger, "cp1252") == ""
    assert rows(ledger) == before
    assert ledger.mappings.encoding(mapping(ledger)) == "cp1252"


def test_what_could_not_be_told_in_the_encoding_of_before_is_published_anew(ledger: Ledger):
    taken_over(ledger, "latin-1")
    publish(ledger, "€.jpg")
    assert "under 1 path " in taken_over(ledger, "utf-8")
    assert rows(ledger)["€.jpg"].fingerprint.is_doubted


def test_what_nothing_leads_to_any_more_is_published_anew_and_told(ledger: Ledger):
    """Of two spellings that an encoding has for one character, no path leads to the rarer."""
    taken_over(ledger, "latin-1")
    publish(ledger, "ú@.jpg", "ú@/")
    assert "ú@".encode("latin-1") == b"\xfa@" != b"\xfa@".decode("cp932").encode("cp932")
    published = rows(ledger)["ú@.jpg"].fingerprint
    said = taken_over(ledger, "cp932")
    assert "of 2 of them under their names in iso8859-1 stays" in said
    assert rows(ledger)["ú@.jpg"].fingerprint == published.doubted()
    assert rows(ledger)["ú@"].fingerprint == MISSING


def test_what_means_nothing_in_the_encoding_of_now_is_published_anew_and_told(ledger: Ledger):
    """Its sequence does not end: such a name kept the daemon from its work."""
    taken_over(ledger, "latin-1")
    publish(ledger, "ü+x.jpg")
    with pytest.raises(UnicodeDecodeError):
        "ü+x.jpg".encode("latin-1").decode("utf-7", "surrogateescape")
    assert "under their names in iso8859-1 stays" in taken_over(ledger, "utf-7")
    assert rows(ledger)["ü+x.jpg"].fingerprint.is_doubted


def test_in_a_directory_that_has_another_name_now_all_is_published_anew(ledger: Ledger):
    there = SPEC._replace(remote="/ü")
    taken_over(ledger, "latin-1", there)
    publish(ledger, "a.jpg", "d/")
    said = taken_over(ledger, "utf-8", there)
    assert "under 2 paths" in said
    assert "stays" in said
    assert rows(ledger)["a.jpg"].fingerprint.is_doubted
    assert rows(ledger)["d"].fingerprint == MISSING


@pytest.mark.parametrize("path", ["a+b.jpg", "a+/", "a~b+c.jpg"])
def test_ascii_that_is_told_otherwise_now_is_published_anew(ledger: Ledger, path: str):
    """It passed for what it was: a changed file was sent beside it, and what was deleted here stayed there."""
    taken_over(ledger, "latin-1")
    publish(ledger, path, "a.jpg")
    assert on_the_wire("a+b.jpg", "utf-7") == b"a+-b.jpg"
    assert "under 1 path " in taken_over(ledger, "utf-7")
    doubted = {path for path, row in rows(ledger).items() if row.fingerprint.is_doubted or row.fingerprint == MISSING}
    assert doubted == {path.rstrip("/")}


def test_another_path_may_lead_to_what_was_published_in_ascii(ledger: Ledger):
    taken_over(ledger, "latin-1")
    publish(ledger, "a~b.jpg", "a.jpg")
    before = rows(ledger)
    assert "under 1 path " in taken_over(ledger, "shift_jis_2004")
    assert rows(ledger) == {"a‾b.jpg": before["a~b.jpg"], "a.jpg": before["a.jpg"]}


@pytest.mark.parametrize(
    ("remote", "now", "stays"),
    [("/ü", "cp1252", True), ("/ü", "utf-8", False), ("/a~b", "cp1252", True), ("/a~b", "shift_jis_2004", False)],
)
def test_all_stays_where_it_is_if_the_directory_is_told_as_before(
    ledger: Ledger, remote: str, now: str, *, stays: bool
):
    """All was sent anew, and said to stay behind, where the name of the directory was not in ASCII."""
    there = SPEC._replace(remote=remote)
    taken_over(ledger, "latin-1", there)
    publish(ledger, "a.jpg", "ü.jpg")
    before = rows(ledger)
    said = taken_over(ledger, now, there)
    assert (said == "") is stays
    assert (rows(ledger) == before) is stays


def test_names_that_could_not_be_told_are_tried_again_and_no_others(ledger: Ledger):
    taken_over(ledger, "latin-1")
    refused = NOT_SENDABLE._replace(kind=NameRefusedError.__name__)
    for path, failure in (("€.jpg", NOT_SENDABLE), ("b.jpg", refused)):
        ledger.failures.put(mapping(ledger), path, failure)
    taken_over(ledger, "utf-8")
    assert [path for path, _ in ledger.failures.all(mapping(ledger))] == ["b.jpg"]
