"""What goes wrong for a moment teaches nothing about a server that would last for a week."""

from __future__ import annotations

import contextlib

import pytest

from ftpsyncd.errors import ServerUnavailableError
from ftpsyncd.remote import renaming
from ftpsyncd.remote.keeping import refusals
from ftpsyncd.remote.profile import Resuming
from ftpsyncd.remote.trials import learn_resuming
from tests.contract.remotes import job, publish
from tests.remote.scripted import Connection, Scripted, account, choking, hang_up, silence

IN_USE = "550 The process cannot access the file because it is being used by another process."


def direct(path: str):
    return job(path, temporary=path)


class TestBatches:
    def test_two_lines_that_died_with_files_published_in_between_are_two_accidents(self):
        """Under their final names: no rename shows that batches are answered."""
        with Scripted() as server:
            acc = account(server)
            for number in range(4):
                with acc() as session:
                    (result,) = publish(session, direct(f"/{number}"))
                    assert result.error is None
                    server.script["SIZE"] = [hang_up]
                    with pytest.raises(ServerUnavailableError):
                        session.stat_many(["/a", "/b"])
            assert acc.profile.pipelining
            assert acc.profile.doubts <= 1

    def test_a_server_that_takes_no_renames_in_batches_is_found_out_beside_files_without_a_rename(self):
        with Scripted(RNFR=choking("RNFR")) as server:
            acc = account(server)
            for number in range(3):
                with acc() as session:
                    publish(session, job(f"/hidden{number}"))
                with acc() as session:
                    publish(session, direct(f"/direct{number}"))
            assert not acc.profile.pipelining
            assert "/hidden2" in server.files

    def test_so_is_one_that_takes_none_at_all_and_no_renames(self):
        with Scripted(SIZE=choking("SIZE")) as server:
            acc = account(server)
            for number in range(3):
                with acc() as session:
                    publish(session, direct(f"/{number}"))
            assert not acc.profile.pipelining
            assert "/2" in server.files


class TestEpsv:
    @pytest.mark.parametrize("end", [hang_up, silence])
    def test_connections_that_end_side_by_side_count_once(self, end):
        """A router has forgotten them all."""
        with Scripted(hangs=True) as server:
            acc = account(server)
            with acc() as session:
                publish(session, job("/a"))
            with contextlib.ExitStack() as stack:
                sessions = [stack.enter_context(acc()) for _ in range(5)]
                server.script["EPSV"] = end
                for session in sessions:
                    with pytest.raises(ServerUnavailableError):
                        session.make_ready()
                assert acc.profile.epsv
            del server.script["EPSV"]
            with acc() as session:
                (result,) = publish(session, job("/b"))
                assert result.error is None
            assert refusals(acc.profile) == set()
            assert "PASV" not in server.verbs()


class Scanned(Scripted):
    """A program at the server looks into each file that has come, and nobody may touch it meanwhile.

    Args:
        looks: so often a file that is there cannot be written to.
        words: what the server says then.
    """

    def __init__(self, looks: int, words: str) -> None:
        super().__init__()
        self.looks = looks
        self.words = words
        self._start = 0

    async def do_rest(self, _c: Connection, argument: str) -> str:
        self._start = int(argument)
        return "350 Go on."

    async def do_stor(self, c: Connection, path: str) -> str:
        if path in self.files and self.looks:
            self.looks -= 1
            return self.words
        start, self._start = self._start, 0
        before = self.files.get(path, b"")[:start]
        self.files[path] = before + await c.receive()
        await c.end_data()
        return "226 Stored."


class TestResuming:
    @pytest.mark.parametrize(
        "words",
        [
            IN_USE,
            "450 File busy.",
            "425 No port is free.",
            "452 No space.",
            "150 Here.\n551 Error on output file.",
            "150 Here.\n550 Issue during transfer: read tcp 10.0.0.1:2100->10.0.0.2:471: i/o timeout",
        ],
    )
    def test_a_refusal_that_passes_does_not_mean_that_nothing_is_continued(self, words):
        with Scanned(1, words) as server:
            acc = account(server)
            with acc() as session:
                learned = []
                for _ in range(2):
                    learn_resuming(session, "/trial")
                    learned.append(acc.profile.resuming)
                assert learned == [None, Resuming.REST]
            assert server.files == {}

    def test_a_part_that_is_looked_into_cannot_be_continued_now(self):
        with Scanned(0, IN_USE) as server:
            acc = account(server)
            with acc() as session:
                receives = server.do_stor

                async def busy_when_continued(c: Connection, path: str) -> str:
                    return IN_USE if server._start else await receives(c, path)

                server.do_stor = busy_when_continued  # type: ignore[method-assign]
                learn_resuming(session, "/trial")
            assert acc.profile.resuming is None

    def test_a_server_that_lets_nothing_be_continued_is_known_for_that(self):
        """proftpd with `AllowStoreRestart off` refuses so."""

        with Scripted(
            REST="451 Append/Restart not permitted, try again", APPE="451 a: Append/Restart not permitted, try again"
        ) as server:
            acc = account(server)
            with acc() as session:
                learn_resuming(session, "/trial")
            assert acc.profile.resuming is Resuming.NONE


class TestReplacing:
    def test_a_file_that_somebody_reads_is_not_deleted_first_for_a_week(self, monkeypatch):
        """On Windows an open file may be renamed, and not be replaced."""
        monkeypatch.setattr(renaming, "WAITS_S", (0.01, 0.01))
        read = True

        async def held(connection: Connection, path: str) -> None:
            if read and path in connection.server.files:
                await connection.say(IN_USE)
            else:
                await connection.server.default(connection, f"RNTO {path}")

        with Scripted(RNTO=held) as server:
            server.files["/a"] = b"old"
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/a", b"new"))
                assert result.error is None
                assert server.files == {"/a": b"new"}
                read = False
                server.log.clear()
                (result,) = publish(session, job("/a", b"newer"))
                assert result.error is None
            assert server.files == {"/a": b"newer"}
            assert "DELE" not in server.verbs()
            assert refusals(acc.profile) == set()
