"""What a worker takes together: actions of one kind that follow one another, and never more than one round trip's worth."""

from __future__ import annotations

import pytest

from ftpsyncd.actions import Action, Delete, MakeDir, Upload
from ftpsyncd.core.extent import LARGE_BYTES
from ftpsyncd.model import Fingerprint
from ftpsyncd.publishing.batches import (
    DELETES_AT_ONCE,
    DIRECTORIES_AT_ONCE,
    UPLOADS_AT_ONCE,
    more_deletes,
    more_directories,
    more_uploads,
)
from tests.core.vocabulary import M
from tests.publishing.drawn import Drawn


def upload(path: str, size: int = 10) -> Upload:
    return Upload(M, path, Fingerprint(size, 1, 7))


FILE, GONE, MADE = upload("f"), Delete(M, "g"), MakeDir(M, "d", 50)


def test_those_that_follow_are_taken_in_order_and_no_more_than_go_together():
    uploads = [upload(f"{n}") for n in range(UPLOADS_AT_ONCE + 2)]
    stream = Drawn(*uploads[1:])
    assert more_uploads(stream, uploads[0]) == uploads[:-2]
    assert [*stream.left] == uploads[-2:]
    deletes = [Delete(M, f"{n}") for n in range(DELETES_AT_ONCE + 2)]
    stream = Drawn(*deletes[1:])
    assert more_deletes(stream, deletes[0]) == deletes[:-2]
    assert [*stream.left] == deletes[-2:]
    directories = [MakeDir(M, f"{n}", n) for n in range(DIRECTORIES_AT_ONCE + 2)]
    stream = Drawn(*directories[1:])
    assert more_directories(stream, directories[0]) == directories[:-2]
    assert [*stream.left] == directories[-2:]


@pytest.mark.parametrize("another", [GONE, MADE])
def test_an_action_of_another_kind_ends_uploads_and_goes_back(another: Action):
    stream = Drawn(upload("b"), another, upload("c"))
    assert more_uploads(stream, FILE) == [FILE, upload("b")]
    assert [*stream.left] == [another, upload("c")]


@pytest.mark.parametrize("another", [FILE, MADE, Delete(M, "t", trash="/trash/t")])
def test_so_it_does_deletes_and_what_goes_into_the_trash_is_of_another_kind(another: Action):
    stream = Drawn(Delete(M, "h"), another, Delete(M, "i"))
    assert more_deletes(stream, GONE) == [GONE, Delete(M, "h")]
    assert [*stream.left] == [another, Delete(M, "i")]


@pytest.mark.parametrize("another", [FILE, GONE, MakeDir(M, "", 1)])
def test_so_it_does_directories_and_that_of_the_mapping_is_of_another_kind(another: Action):
    stream = Drawn(MakeDir(M, "d/e", 51), another, MakeDir(M, "x", 52))
    assert more_directories(stream, MADE) == [MADE, MakeDir(M, "d/e", 51)]
    assert [*stream.left] == [another, MakeDir(M, "x", 52)]


def test_nobody_is_behind_a_large_file_nor_behind_many_that_are_large_together():
    half = LARGE_BYTES // 2
    stream = Drawn(upload("b", half - 1), upload("c", 0), upload("d", 1))
    assert [each.path for each in more_uploads(stream, upload("a", half))] == ["a", "b", "c"]
    assert [each.path for each in stream.left] == ["d"]
    stream = Drawn(upload("b", LARGE_BYTES), upload("c"))
    assert more_uploads(stream, FILE) == [FILE]
    stream = Drawn(upload("b"))
    assert more_uploads(stream, upload("a", LARGE_BYTES)) == [upload("a", LARGE_BYTES)]
