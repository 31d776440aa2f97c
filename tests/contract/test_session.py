"""What every remote promises (`ftpsyncd.remote.port`): one suite for memory and for all real servers."""

from __future__ import annotations

import hashlib
import io
import random
import threading
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from ftpsyncd.errors import (
    AlreadyExistsError,
    FileChangedError,
    LocalUnreadableError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    RemoteError,
    ServerUnavailableError,
)
from ftpsyncd.model import Kind
from ftpsyncd.remote.port import PublishJob, PublishResult
from tests.contract.remotes import DATE, Remote, job, make_many, publish, put, raiser

pytestmark = pytest.mark.lasting(60)

THERE = {2, 3, 4, 5, 6, 7, 9, 11, 70, 149}
"""Of 150 names those that are there: one after the other, every second one, after many that are not, and the last."""


class TestPublish:
    def test_a_file_arrives_whole_with_its_digest(self, remote, session):
        sizes = [0, 1, 4096, 256 * 1024, 256 * 1024 + 1, 3_000_000]
        for size in sizes:
            content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            (result,) = publish(session, job(f"{remote.base}/{size}", content))
            assert result.error is None
            assert remote.read(f"{remote.base}/{size}") == content
            assert result.sha256 == hashlib.sha256(content).digest()
            assert result.reply.startswith("226")
        assert remote.names() == set(map(str, sizes))

    def test_a_large_file_from_a_disk_arrives_whole_with_its_digest(self, remote, session, tmp_path):
        content = random.Random(8).randbytes(9_000_001)
        path = tmp_path / "large"
        path.write_bytes(content)
        seen: list[int] = []
        large = job(f"{remote.base}/new", content, open=lambda: path.open("rb", buffering=0), progress=seen.append)
        (result,) = publish(session, large)
        assert result.error is None
        assert remote.read(f"{remote.base}/new") == content
        assert result.sha256 == hashlib.sha256(content).digest()
        assert seen == sorted(set(seen))
        assert seen[-1] == len(content)

    def test_a_file_is_replaced(self, remote, session):
        for content in (b"first", b"the second", b"3"):
            put(session, f"{remote.base}/f", content)
            assert remote.read(f"{remote.base}/f") == content
        assert remote.names() == {"f"}

    def test_a_file_gets_its_date(self, remote, session):
        results = publish(session, *(job(f"{remote.base}/{n}", mtime_s=DATE + n) for n in range(3)))
        assert all(result.dated for result in results)
        assert [remote.mtime(f"{remote.base}/{n}") for n in range(3)] == [DATE, DATE + 1, DATE + 2]

    def test_many_files_in_one_go_arrive_in_order(self, remote, session):
        jobs = [job(f"{remote.base}/{n}", str(n).encode() * n) for n in range(100)]
        assert [(r.job, r.error) for r in session.publish(jobs)] == [(j, None) for j in jobs]
        assert remote.names() == {str(n) for n in range(100)}
        assert all(remote.read(j.path) == str(n).encode() * n for n, j in enumerate(jobs))

    def test_a_session_that_was_made_ready_publishes(self, remote, session):
        session.make_ready()
        (result,) = session.publish([job(f"{remote.base}/a.jpg", b"first")])
        assert result.error is None
        session.make_ready()
        assert session.make_dir(f"{remote.base}/d")
        session.list_dir(remote.base)
        (result,) = session.publish([job(f"{remote.base}/d/b.jpg", b"second")])
        assert result.error is None
        assert remote.read(f"{remote.base}/a.jpg") == b"first"
        assert remote.read(f"{remote.base}/d/b.jpg") == b"second"

    def test_jobs_are_asked_for_only_when_they_can_be_started(self, remote, session):
        asked: list[int] = []
        finished: list[int] = []

        def jobs() -> Iterator[PublishJob]:
            for n in range(5):
                assert len(asked) - len(finished) <= 2, "asked ahead"
                asked.append(n)
                yield job(f"{remote.base}/{n}")

        for n, result in enumerate(session.publish(jobs())):
            assert result.error is None
            finished.append(n)
        assert finished == asked == list(range(5))

    def test_direct_publish_needs_no_rename(self, remote, session):
        (result,) = publish(session, job(f"{remote.base}/f", b"direct", temporary=f"{remote.base}/f"))
        assert result.error is None
        assert remote.read(f"{remote.base}/f") == b"direct"

    def test_what_an_earlier_try_may_still_write_to_is_out_of_the_way(self, remote, session):
        path, others = f"{remote.base}/f", [f"{remote.base}/{n}" for n in range(2)]
        put(session, path, b"before")
        if remote.server is not None:
            held = (remote.server.home / path.lstrip("/")).open("r+b")
        again = job(path, b"the next", temporary=path, afresh=True)
        assert [result.error for result in publish(session, job(others[0]), again, job(others[1]))] == [None] * 3
        if remote.server is not None:
            with held:
                held.write(b"BEFORE, and more")
        assert remote.read(path) == b"the next"
        assert remote.names() == {"f", "0", "1"}

    def test_what_is_published_stays_if_the_next_try_does_not_begin(self, remote, session):
        path = f"{remote.base}/f"
        put(session, path, b"before")
        (result,) = publish(session, job(path, temporary=path, afresh=True, open=raiser(LocalUnreadableError("No."))))
        assert isinstance(result.error, LocalUnreadableError)
        assert remote.read(path) == b"before"

    def test_progress_is_told(self, remote, session):
        seen: list[int] = []
        publish(session, job(f"{remote.base}/f", b"x" * 600_000, progress=seen.append))
        assert seen == sorted(seen)
        assert seen[-1] == 600_000
        assert len(seen) <= 3

    def test_that_a_part_may_stand_under_its_final_name_is_told_of_a_small_file_too(self, remote):
        path, told = f"{remote.base}/f", list[bool]()
        changes = {"temporary": path, "exposed": told.append, "progress": raiser(FileChangedError("It goes on."))}
        with remote.connect() as session:
            (result,) = publish(session, job(path, b"x" * 600_000, **changes))
        assert isinstance(result.error, FileChangedError)
        # Once more where the server has not answered the reset in time.
        assert (told[0], set(told[1:])) == (False, {True})

    def test_content_that_looks_like_text_is_not_changed(self, remote, session):
        content = b"a\r\nb\nc\r\xff\xf4\x1a\0"
        put(session, f"{remote.base}/f", content)
        assert remote.read(f"{remote.base}/f") == content


class TestResume:
    CONTENT = random.Random(7).randbytes(3_000_000)

    def resumed(self, remote, session, there: bytes, **changes) -> tuple[PublishResult, int]:
        """Publish over a part that is there; the result and the bytes that were sent."""
        path = f"{remote.base}/f"
        put(session, f"{path}.0123abcd.filepart", there)
        seen: list[int] = []
        (result,) = publish(session, job(path, self.CONTENT, resume=True, progress=seen.append, **changes))
        return result, len(seen)

    def test_a_part_is_continued_and_the_whole_is_right(self, remote, session):
        for size in (1, 1_000_000, 1_200_000, 2_999_999, 3_000_000, 3_000_001):
            there = (self.CONTENT + b"x")[:size]
            result, blocks = self.resumed(remote, session, there)
            assert result.error is None, size
            assert remote.read(f"{remote.base}/f") == self.CONTENT, size
            assert result.sha256 == hashlib.sha256(self.CONTENT).digest(), size
            assert remote.names() == {"f"}, size
            assert blocks < 12 or size in {1, 1_000_000, 3_000_001}
            assert session.delete_many([f"{remote.base}/f"]) == [None]

    def test_the_end_of_a_part_is_not_trusted(self, remote, session):
        for there in (self.CONTENT[:2_000_000] + bytes(500_000), self.CONTENT[:-500_000] + bytes(500_000)):
            result, _ = self.resumed(remote, session, there)
            assert result.error is None
            assert remote.read(f"{remote.base}/f") == self.CONTENT

    def test_a_file_that_changed_meanwhile_is_taken_back(self, remote, session):
        result, _ = self.resumed(remote, session, self.CONTENT[:2_000_000], confirm=raiser(FileChangedError("changed")))
        assert isinstance(result.error, FileChangedError)
        assert remote.names() == set()

    def test_nothing_there_is_a_normal_upload(self, remote, session):
        results = publish(session, job(f"{remote.base}/a", resume=True), job(f"{remote.base}/b", resume=True))
        assert [r.error for r in results] == [None, None]
        assert remote.names() == {"a", "b"}


class TestPublishThatFails:
    """Whatever fails, the final name shows the old content or nothing, and no part stays."""

    def test_a_file_that_cannot_be_opened_is_the_result_and_nothing_is_sent(self, remote, session):
        results = publish(
            session,
            job(f"{remote.base}/a"),
            job(f"{remote.base}/b", open=raiser(LocalUnreadableError("no"))),
            job(f"{remote.base}/c"),
        )
        assert [type(r.error) for r in results] == [type(None), LocalUnreadableError, type(None)]
        assert remote.names() == {"a", "c"}

    def test_a_file_that_changed_meanwhile_is_taken_back(self, remote, session):
        put(session, f"{remote.base}/b", b"old")
        results = publish(
            session,
            job(f"{remote.base}/a"),
            job(f"{remote.base}/b", b"new", confirm=raiser(FileChangedError("changed"))),
            job(f"{remote.base}/c"),
        )
        assert [type(r.error) for r in results] == [type(None), FileChangedError, type(None)]
        assert remote.names() == {"a", "b", "c"}
        assert remote.read(f"{remote.base}/b") == b"old"
        assert session.usable

    def test_the_last_file_of_a_batch_is_taken_back_too(self, remote, session):
        (result,) = publish(session, job(f"{remote.base}/b", confirm=raiser(FileChangedError("changed"))))
        assert isinstance(result.error, FileChangedError)
        assert remote.names() == set()

    def test_a_file_that_shrank_is_not_published(self, remote, session):
        results = publish(session, job(f"{remote.base}/a", b"short", size=600_000), job(f"{remote.base}/b"))
        assert isinstance(results[0].error, FileChangedError)
        assert results[1].error is None
        assert remote.names() == {"b"}

    def test_a_file_that_cannot_be_read_to_its_end_is_not_published(self, remote, session):
        class Broken(io.BytesIO):
            def readinto(self, _buffer):
                if self.tell():
                    raise OSError(5, "Input/output error")
                return super().readinto(_buffer)

            def read(self, size=-1):
                if self.tell():
                    raise LocalUnreadableError("Input/output error")
                return super().read(size)

        content = b"x" * 700_000
        results = publish(
            session, job(f"{remote.base}/a", content, open=lambda: Broken(content)), job(f"{remote.base}/b")
        )
        assert isinstance(results[0].error, LocalUnreadableError)
        assert results[1].error is None
        assert remote.names() == {"b"}

    def test_a_missing_directory_is_a_refused_name(self, remote, session):
        results = publish(
            session, job(f"{remote.base}/a"), job(f"{remote.base}/no/such/dir/x"), job(f"{remote.base}/b")
        )
        assert isinstance(results[1].error, NameRefusedError)
        assert [results[0].error, results[2].error] == [None, None]
        assert remote.names() == {"a", "b"}
        assert session.usable

    def test_a_directory_in_the_way_of_a_file_without_a_temporary_name_is_told(self, remote, session):
        session.make_dir(f"{remote.base}/d")
        results = publish(session, job(f"{remote.base}/d", temporary=f"{remote.base}/d"), job(f"{remote.base}/b"))
        assert isinstance(results[0].error, AlreadyExistsError)
        assert "is a directory" in str(results[0].error).lower()
        assert results[1].error is None

    def test_a_directory_in_the_way_is_a_refused_name(self, remote, session):
        session.make_dir(f"{remote.base}/d")
        for size in (10, 3_000_000):
            results = publish(session, job(f"{remote.base}/d", b"x" * size), job(f"{remote.base}/{size}"))
            assert isinstance(results[0].error, NameRefusedError), size
            assert results[1].error is None, size
        assert remote.names() == {"d", "10", "3000000"}

    def test_an_abandoned_iteration_leaves_no_part(self, remote, session):
        results = session.publish([job(f"{remote.base}/a"), job(f"{remote.base}/b"), job(f"{remote.base}/c")])
        assert next(results).error is None
        results.close()
        if session.usable:
            session.noop()
        assert remote.names() <= {"a", "b"}

    def test_opened_files_are_closed(self, remote, session):
        files: list[io.BytesIO] = []

        def opener():
            files.append(io.BytesIO(b"content"))
            return files[-1]

        publish(
            session,
            job(f"{remote.base}/a", open=opener),
            job(f"{remote.base}/no/b", open=opener),
            job(f"{remote.base}/c", open=opener, confirm=raiser(FileChangedError("changed"))),
        )
        # Where one has to go to a directory, that it is missing is known before.
        assert len(files) == (2 if remote.name.startswith("bare") else 3)
        assert all(file.closed for file in files)


NAMES = [
    "with space",
    "-dash",
    "--all -R",
    "quote'\"",
    "[a]*?{b}",
    "#hash",
    "%41%",
    "$HOME;`x`|&",
    "😀.jpg",
    "é.jpg",
    "é.jpg",
    "~user",
    ".hidden",
    "...",
    " leading",
    "trailing ",
    "tab\there",
    "bell\x07",
    "back\\slash",
    "not-utf8-\udce9\udcfe",
    "ÿ",
    "x" * 255,
    "€" * 85,
]


class TestNames:
    def test_a_name_is_kept_exactly_or_refused(self, remote, session):
        for name in NAMES:
            path = f"{remote.base}/{name}"
            (result,) = publish(session, job(path))
            if result.error is None:
                assert remote.names() == {name}
                assert session.stat(path).size == 7, name
                assert [e.name for e in session.list_dir(remote.base)] == [name]
                assert session.delete_many([path]) == [None], name
            else:
                assert isinstance(result.error, NameRefusedError), name
                assert remote.kind in {"pure-ftpd", "pyftpdlib", "ftp-srv"}, name
            assert remote.names() == set(), name
            session.noop()

    def test_no_name_can_hold_a_command(self, remote, session):
        put(session, f"{remote.base}/b")
        for name in ("a\r\nDELE b", "a\nb", "a\rb", "a\0b"):
            path = f"{remote.base}/{name}"
            (result,) = publish(session, job(path))
            assert isinstance(result.error, NameNotSendableError), name
            assert isinstance(session.delete_many([path])[0], NameNotSendableError), name
            for act in (session.make_dir, session.make_dirs, session.remove_dir, session.list_dir, session.stat):
                with pytest.raises(NameNotSendableError):
                    act(path)
            with pytest.raises(NameNotSendableError):
                session.rename(path, f"{remote.base}/c")
            with pytest.raises(NameNotSendableError):
                session.rename(f"{remote.base}/b", path)
            with pytest.raises(NameNotSendableError):
                session.set_time(path, DATE)
            session.noop()
            assert remote.names() == {"b"}, name

    def test_directories_keep_their_names(self, remote, session):
        names = ["dir with space", "[x]", "-r", "😀", "d" * 255]
        for name in names:
            assert session.make_dirs(f"{remote.base}/{name}/sub"), name
            put(session, f"{remote.base}/{name}/sub/f")
            assert [e.name for e in session.list_dir(f"{remote.base}/{name}")] == ["sub"], name
        assert remote.names() == set(names)

    def test_an_odd_one_can_be_made_below_a_new_one(self, remote, session):
        assert session.make_dirs(f"{remote.base}/new/ odd/sub")
        assert remote.names(f"{remote.base}/new") == {" odd"}
        assert remote.names(f"{remote.base}/new/ odd") == {"sub"}
        (result,) = publish(session, job(f"{remote.base}/ f"))
        assert result.error is None


class TestLooking:
    def test_a_file_has_size_and_date(self, remote, session):
        put(session, f"{remote.base}/f", b"12345")
        entry = session.stat(f"{remote.base}/f")
        assert (entry.name, entry.kind, entry.size, entry.mtime_s) == ("f", Kind.FILE, 5, DATE)

    def test_a_directory_is_one(self, remote, session):
        session.make_dir(f"{remote.base}/d")
        assert session.stat(f"{remote.base}/d").kind is Kind.DIR

    def test_nothing_is_none(self, remote, session):
        assert session.stat(f"{remote.base}/nothing") is None
        assert session.stat(f"{remote.base}/no/thing") is None

    def test_many_are_looked_at_in_order(self, remote, session):
        publish(session, *(job(f"{remote.base}/{n}", b"x" * n) for n in THERE))
        session.make_dir(f"{remote.base}/1")
        entries = session.stat_many([f"{remote.base}/{n}" for n in range(150)])
        assert [e and e.size for e in entries[2:]] == [n if n in THERE else None for n in range(2, 150)]
        assert entries[1].kind is Kind.DIR
        assert session.stat_many([]) == []

    def test_a_directory_is_listed(self, remote, session):
        put(session, f"{remote.base}/f", b"123")
        session.make_dirs(f"{remote.base}/d/e")
        entries = {e.name: e for e in session.list_dir(remote.base)}
        assert set(entries) == {"f", "d"}
        assert (entries["f"].kind, entries["f"].size, entries["f"].mtime_s) == (Kind.FILE, 3, DATE)
        assert entries["d"].kind is Kind.DIR
        assert session.list_dir(f"{remote.base}/d/e") == []

    def test_a_missing_directory_cannot_be_listed(self, remote, session):
        with pytest.raises(NotFoundError):
            session.list_dir(f"{remote.base}/no")
        session.noop()


class TestMuchInOneGo:
    """More than a server reads at once: 4,102 bytes under TLS (proftpd)."""

    @pytest.mark.parametrize("size", [400, 900, 1900])
    def test_what_has_a_long_path_is_published_and_goes(self, remote, session, size: int):
        deep = f"{remote.base}/" + "/".join(["d" * 99] * (size // 100))
        session.make_dirs(deep)
        paths = [f"{deep}/{n}" for n in range(12)]
        assert [result.error for result in publish(session, *map(job, paths))] == [None] * 12
        assert remote.names(deep) == {str(n) for n in range(12)}
        assert [entry.size for entry in session.stat_many(paths)] == [len(b"content")] * 12
        session.rename(paths[0], f"{deep}/a")
        assert session.delete_many([*paths, f"{deep}/a"]) == [None] * 13
        assert remote.names(deep) == set()
        if remote.account is not None:
            assert remote.account.profile.pipelining
            assert remote.account.profile.doubts == 0


class TestLeftovers:
    def test_what_an_earlier_try_left_goes_before_the_file_is_sent(self, remote, session):
        left = f"{remote.base}/b.4567cdef.filepart"
        put(session, f"{remote.base}/x", b"part")
        session.rename(f"{remote.base}/x", left)

        def fine(_file, _sha256) -> None:
            assert left.rpartition("/")[2] not in remote.names()

        jobs = [
            job(f"{remote.base}/a"),
            job(f"{remote.base}/b", b"new", left=[left], confirm=fine),
            job(f"{remote.base}/c"),
        ]
        assert [result.error for result in publish(session, *jobs)] == [None] * 3
        assert remote.names() == {"a", "b", "c"}
        assert remote.read(f"{remote.base}/b") == b"new"

    def test_it_need_not_be_there(self, remote, session):
        (result,) = publish(session, job(f"{remote.base}/a", left=[f"{remote.base}/a.4567cdef.filepart"]))
        assert result.error is None
        assert remote.names() == {"a"}


class TestChanging:
    def test_a_directory_is_made_once(self, remote, session):
        assert session.make_dir(f"{remote.base}/d") is True
        assert session.make_dir(f"{remote.base}/d") is False
        assert remote.names() == {"d"}

    def test_parents_are_made(self, remote, session):
        assert session.make_dirs(f"{remote.base}/a/b/c") is True
        assert session.make_dirs(f"{remote.base}/a/b/c") is False
        assert session.make_dirs(f"{remote.base}/a/b/d") is True
        assert remote.names(f"{remote.base}/a/b") == {"c", "d"}

    def test_many_directories_are_made_at_once_with_a_verdict_for_each(self, remote, session):
        session.make_dirs(f"{remote.base}/old")
        paths = [f"{remote.base}/{name}" for name in ("old", "new", "new/below", "absent/below", *map(str, range(70)))]
        old, new, below, refused, *others = make_many(session, paths)
        assert (old, new, below) == (False, True, True)
        assert isinstance(refused, NameRefusedError)
        assert others == [True] * 70
        assert session.stat(f"{remote.base}/69").kind is Kind.DIR

    def test_a_directory_without_parent_is_refused(self, remote, session):
        with pytest.raises(NameRefusedError):
            session.make_dir(f"{remote.base}/no/d")
        assert session.usable

    def test_a_file_in_the_way_of_a_directory_is_refused(self, remote, session):
        put(session, f"{remote.base}/f")
        with pytest.raises(NameRefusedError):
            session.make_dir(f"{remote.base}/f")
        with pytest.raises(NameRefusedError):
            session.make_dirs(f"{remote.base}/f/d")
        assert remote.names() == {"f"}

    def test_only_an_empty_directory_is_removed(self, remote, session):
        session.make_dir(f"{remote.base}/d")
        put(session, f"{remote.base}/d/f")
        assert session.remove_dir(f"{remote.base}/d") is False
        session.delete_many([f"{remote.base}/d/f"])
        assert session.remove_dir(f"{remote.base}/d") is True
        assert session.remove_dir(f"{remote.base}/d") is True
        assert remote.names() == set()

    def test_a_file_is_no_directory_to_remove(self, remote, session):
        put(session, f"{remote.base}/f")
        with pytest.raises(NameRefusedError):
            session.remove_dir(f"{remote.base}/f")
        assert remote.names() == {"f"}

    def test_rename_moves_and_replaces(self, remote, session):
        session.make_dir(f"{remote.base}/d")
        put(session, f"{remote.base}/a", b"a")
        put(session, f"{remote.base}/b", b"b")
        session.rename(f"{remote.base}/a", f"{remote.base}/d/c")
        session.rename(f"{remote.base}/b", f"{remote.base}/d/c")
        assert remote.names() == {"d"}
        assert remote.read(f"{remote.base}/d/c") == b"b"

    def test_a_directory_is_renamed_with_its_content(self, remote, session):
        session.make_dirs(f"{remote.base}/d/e")
        put(session, f"{remote.base}/d/e/f")
        session.rename(f"{remote.base}/d", f"{remote.base}/x")
        assert remote.names(f"{remote.base}/x/e") == {"f"}

    def test_renaming_nothing_is_refused_and_keeps_the_target(self, remote, session):
        put(session, f"{remote.base}/b", b"b")
        with pytest.raises(NameRefusedError):
            session.rename(f"{remote.base}/a", f"{remote.base}/b")
        assert remote.read(f"{remote.base}/b") == b"b"

    def test_renaming_over_a_directory_is_refused(self, remote, session):
        session.make_dirs(f"{remote.base}/d/e")
        put(session, f"{remote.base}/a")
        with pytest.raises(NameRefusedError):
            session.rename(f"{remote.base}/a", f"{remote.base}/d")
        assert remote.names() == {"a", "d"}

    def test_a_directory_takes_no_files_place(self, remote, session):
        session.make_dirs(f"{remote.base}/d/e")
        put(session, f"{remote.base}/a", b"a")
        with pytest.raises(RemoteError):
            session.rename(f"{remote.base}/d", f"{remote.base}/a")
        assert remote.names() == {"a", "d"}
        assert remote.read(f"{remote.base}/a") == b"a"
        assert remote.names(f"{remote.base}/d") == {"e"}

    def test_deleting_has_a_verdict_for_each(self, remote, session):
        publish(session, *(job(f"{remote.base}/{n}") for n in THERE))
        session.make_dir(f"{remote.base}/d")
        verdicts = session.delete_many([f"{remote.base}/{n}" for n in range(150)] + [f"{remote.base}/d"])
        assert verdicts[:150] == [None] * 150
        assert isinstance(verdicts[150], NameRefusedError)
        assert remote.names() == {"d"}
        assert session.delete_many([]) == []

    def test_a_date_is_set(self, remote, session):
        put(session, f"{remote.base}/f")
        assert session.set_time(f"{remote.base}/f", DATE + 77)
        assert remote.mtime(f"{remote.base}/f") == DATE + 77

    def test_a_missing_file_has_no_date(self, remote, session):
        assert session.set_time(f"{remote.base}/no", DATE) is False


class TestFetch:
    def test_content_comes_back(self, remote, session):
        for size in (0, 10, 1_000_000):
            content = b"\r\n\xff" * (size // 3) + b"x" * (size % 3)
            put(session, f"{remote.base}/f", content)
            into = io.BytesIO()
            assert session.fetch(f"{remote.base}/f", into) == size
            assert into.getvalue() == content

    def test_it_continues_from_an_offset(self, remote, session):
        put(session, f"{remote.base}/f", b"0123456789")
        into = io.BytesIO()
        seen: list[int] = []
        assert session.fetch(f"{remote.base}/f", into, offset=4, progress=seen.append) == 6
        assert into.getvalue() == b"456789"
        assert seen[-1] == 10

    def test_what_is_not_there_is_refused(self, remote, session):
        with pytest.raises(NameRefusedError):
            session.fetch(f"{remote.base}/no", io.BytesIO())
        session.noop()


class TestTheSession:
    def test_it_answers(self, remote, session):
        session.noop()
        assert session.usable

    def test_closing_twice_is_fine_and_ends_its_use(self, remote):
        session = remote.connect()
        session.close()
        session.close()
        assert not session.usable
        with pytest.raises(ServerUnavailableError):
            session.noop()

    def test_sessions_do_not_disturb_each_other(self, remote, session):
        with remote.connect() as other:
            first = session.publish(job(f"{remote.base}/a{n}") for n in range(10))
            second = other.publish(job(f"{remote.base}/b{n}") for n in range(10))
            for one, two in zip(first, second, strict=True):
                assert one.error is two.error is None
        assert len(remote.names()) == 20

    def test_its_errors_keep_the_servers_words(self, remote, session):
        (result,) = publish(session, job(f"{remote.base}/no/x"))
        assert isinstance(result.error, RemoteError)
        assert result.error.reply[:3] in {"550", "553"}


class TestCut:
    """Whoever uses a connection that another thread has ended finds that out, and nothing of it comes later."""

    def test_a_connection_at_rest(self, remote, session):
        put(session, f"{remote.base}/f", b"first")
        session.cut()
        assert not session.usable
        for use in (session.noop, lambda: session.stat(f"{remote.base}/f"), lambda: session.make_dir("/d")):
            with pytest.raises(ServerUnavailableError):
                use()
        session.close()
        assert remote.names() == {"f"}

    def test_a_connection_that_waits_for_a_file_to_be_read(self, remote, session, tmp_path):
        path = tmp_path / "f"
        path.write_bytes(b"x" * 300_000)
        reading, cut = threading.Event(), threading.Event()

        def slow() -> BinaryIO:
            file: BinaryIO = path.open("rb")
            reading.set()
            assert cut.wait(10)
            return file

        def cut_it() -> None:
            assert reading.wait(10)
            session.cut()
            cut.set()

        cutter = threading.Thread(target=cut_it)
        cutter.start()
        (result,) = publish(session, job(f"{remote.base}/f", b"x" * 300_000, open=slow))
        cutter.join()
        assert isinstance(result.error, ServerUnavailableError)
        session.close()
        assert "f" not in remote.names()
        with remote.connect() as another:
            put(another, f"{remote.base}/g", b"another")
        assert remote.read(f"{remote.base}/g") == b"another"


def test_remote_is_printable(remote: Remote):
    assert "secret" not in repr(remote.account)


class TestManyDirectories:
    def test_each_has_its_verdict_in_order(self, remote, session):
        put(session, f"{remote.base}/file")
        session.make_dir(f"{remote.base}/old")
        names = [f"new{n}" for n in range(80)]
        paths = [f"{remote.base}/{name}" for name in ("old", "file", "no/parent", "new0/below", "a\nb", *names)]
        verdicts = make_many(session, paths)
        assert verdicts[0] is False
        assert [type(v) for v in verdicts[1:5]] == [
            NameRefusedError,
            type(verdicts[2]),
            type(verdicts[3]),
            NameNotSendableError,
        ]
        assert isinstance(verdicts[2], NameRefusedError)
        assert isinstance(verdicts[3], NameRefusedError)
        assert verdicts[5:] == [True] * 80
        assert remote.names() == {"file", "old", *names}
        assert make_many(session, []) == []

    def test_parents_before_children(self, remote, session):
        paths = [f"{remote.base}/a", f"{remote.base}/a/b", f"{remote.base}/a/b/c"]
        assert make_many(session, paths) == [True] * 3
        assert make_many(session, paths) == [False] * 3

    def test_who_stops_listening_to_verdicts_has_no_session_any_more(self, remote, session):
        """Unless it was all known: replies that still come would be taken for answers to other commands."""
        paths = [f"{remote.base}/{name}" for name in ("a", "b", "c")]
        verdicts = session.make_dir_many(paths)
        assert next(verdicts) == (0, True)
        verdicts.close()
        assert session.usable == (remote.server is None)
        with remote.connect() as another:
            assert another.stat(paths[0]).kind is Kind.DIR
