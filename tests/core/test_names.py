"""Temporary names and the trash at the server: at most 143 bytes, always the same, never shared."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftpsyncd.core.names import TRASH, cases, folded, temporary, trash, trash_apart
from ftpsyncd.paths import parent

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONGEST = 143
TAIL = re.compile(r"\.[0-9a-f]{8}\.filepart\Z")

NAMES = st.binary(min_size=1, max_size=LONGEST).map(lambda b: os.fsdecode(b.replace(b"/", b"_").replace(b"\0", b"_")))
LONG_NAMES = st.builds(
    lambda char, count, end: (os.fsencode(char) * count)[: LONGEST - len(end)] + end,
    st.sampled_from(["a", "é", "€", "😀", "e\u0301", "\udcff"]),
    st.integers(50, 255),
    st.sampled_from([b"", b".jpg"]),
).map(os.fsdecode)


def size(name: str) -> int:
    return len(os.fsencode(name))


def test_it_stands_beside_the_file_and_tells_its_name():
    name = temporary("/htdocs/gallery/IMG_1.jpg", "gallery")
    assert parent(name) == "/htdocs/gallery"
    assert name.startswith("/htdocs/gallery/IMG_1.jpg.")
    assert TAIL.search(name)


def test_a_file_in_the_root_of_the_server():
    assert re.fullmatch(r"/a\.jpg\.[0-9a-f]{8}\.filepart", temporary("/a.jpg", "gallery"))


def test_it_is_always_the_same():
    """Also in the next version: a retry after an update finds its own leftover."""
    assert temporary("/htdocs/a.jpg", "gallery") == "/htdocs/a.jpg.05ee555c.filepart"


def test_another_owner_or_another_directory_has_another_name():
    names = {temporary(path, owner) for path in ("/x/a", "/y/a") for owner in ("one", "two")}
    assert len({name.rpartition("/")[2] for name in names}) == 4


def test_owner_and_path_are_not_run_together():
    assert temporary("/b/c", "a")[-17:] != temporary("/c", "a/b")[-17:]
    assert len({temporary("/a", "b"), temporary("/a", "b\0"), temporary("/a", "")}) == 3


@pytest.mark.parametrize("count", [1, 124, 125, 126, 127, 142, 143, 255])
def test_a_long_name_is_cut_only_as_far_as_needed(count: int):
    name = temporary("/d/" + "n" * count, "gallery").removeprefix("/d/")
    assert size(name) == min(LONGEST, count + 18)
    assert TAIL.search(name)


@given(NAMES | LONG_NAMES)
@QUICK
def test_it_fits_and_is_cut_between_characters(name: str):
    result = temporary(f"/d/{name}", "gallery").removeprefix("/d/")
    assert size(result) <= LONGEST
    kept = result[:-18]
    assert TAIL.search(result)
    assert name.startswith(kept)
    assert kept == name or size(name[: len(kept) + 1]) + 18 > LONGEST, "it was cut too short"
    assert os.fsdecode(os.fsencode(kept)) == kept


@given(st.sets(NAMES | LONG_NAMES, min_size=2, max_size=30))
@QUICK
def test_different_files_have_different_names(names: set[str]):
    assert len({temporary(f"/d/{name}", "gallery") for name in names}) == len(names)


def test_names_that_differ_only_behind_the_cut_do_not_collide():
    names = ["n" * 250 + f"{n:05}" for n in range(5000)]
    assert len({temporary(f"/d/{name}", "gallery") for name in names}) == len(names)


@given(NAMES)
@QUICK
def test_nothing_new_comes_into_a_name(name: str):
    """No line break, no slash, no leading dot that the file did not bring itself."""
    result = temporary(f"/d/{name}", "gallery").removeprefix("/d/")
    assert "/" not in result
    assert set(result) <= set(name) | set("0123456789abcdef.filepart")
    assert result.startswith(".") == name.startswith(".")


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("/htdocs", f"/htdocs/{TRASH}/2024-05-01/d/a.jpg"),
        ("/htdocs/", f"/htdocs/{TRASH}/2024-05-01/d/a.jpg"),
        ("/", f"/{TRASH}/2024-05-01/d/a.jpg"),
    ],
)
def test_the_trash_keeps_day_and_path(base: str, expected: str):
    assert trash(base, "2024-05-01", "d/a.jpg") == expected


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("Ab.1", [(b"A", b"a"), (b"b", b"B"), (b".",), (b"1",)]),
        ("\xc4", [("\xc4".encode(), "\xe4".encode())]),
        ("\xdf", [("\xdf".encode(),)]),
        ("\udce4", [(b"\xe4",)]),
        ("", []),
    ],
)
def test_a_name_in_other_cases(name: str, spelled: list[tuple[bytes, ...]]):
    assert cases(name) == spelled


@pytest.mark.parametrize("name", ["\xc4.JPG", "A\u0308.jpg", "\xe4.jpg..", "\xe4.jpg. ."])
def test_what_some_disk_takes_for_one_name_is_folded_to_one(name: str):
    assert folded(name) == "\xe4.jpg"


@pytest.mark.parametrize("name", ["...", " ", "\udce4"])
def test_no_name_is_folded_to_nothing(name: str):
    assert folded(name) == name


@pytest.mark.parametrize("base", ["/", "/site"])
def test_what_finds_no_room_in_the_trash_gets_a_place_that_no_other_path_has(base: str):
    places = {trash_apart(trash(base, "2024-05-01", path)) for path in ("a", "a/1", "a/1/x", "b")}
    assert len({place.split(f"/{TRASH}/")[1].split("/")[0] for place in places}) == 4
    assert all(place.startswith(f"{base.rstrip('/')}/{TRASH}/2024-05-01.") for place in places)
    assert {place.split("/", base.count("/") + (base != "/") + 2)[-1] for place in places} == {"a", "a/1", "a/1/x", "b"}


def test_there_is_a_place_apart_for_each_that_finds_no_room():
    places = [trash_apart(trash("/site", "2024-05-01", path), number) for path in ("a", "b") for number in range(1, 9)]
    assert len(set(places)) == len(places)
    assert places[1] == places[0].replace("/a", ".2/a")
