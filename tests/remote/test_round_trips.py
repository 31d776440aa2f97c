"""What costs a round trip, and what does not any more: logins, directories, dates, the end."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Generator

import pytest

from ftpsyncd.errors import NameNotSendableError, NameRefusedError
from ftpsyncd.remote import account as accounts
from ftpsyncd.remote import sending
from ftpsyncd.remote import session as sessions
from ftpsyncd.remote.pool import Pool
from ftpsyncd.remote.profile import Dating, Paths
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import DataMode
from tests.contract.remotes import job, make_many, publish
from tests.remote.scripted import Connection, Scripted, account

PATIENT = Timeouts(connect_s=60, reply_s=60, stall_s=60, final_s=60, close_s=60)
LOGIN = ["USER", "PASS", "FEAT", "TYPE", "OPTS"]
TAIL = ".0123abcd.filepart"


class TestFeatures:
    def test_sessions_opened_together_ask_once(self):
        with Scripted() as server:
            acc = account(server)
            with acc(), acc() as second:
                assert server.verbs() == [*LOGIN, "USER", "PASS", "TYPE", "OPTS"]
                assert "MFMT" in second.profile.features

    def test_a_greeting_that_counts_its_users_is_known_again(self):
        greetings = [
            "220-You are user number 3 of 50.\n220 Local time is now 02:20.",
            "220-You are user number 4 of 50.",
        ]
        greetings[1] += "\n220 Local time is now 02:21."
        with Scripted(GREETING=greetings) as server:
            acc = account(server)
            with acc(), acc():
                assert server.verbs().count("FEAT") == 1

    def test_another_server_behind_the_same_name_is_asked(self):
        with Scripted(GREETING=["220 Hello.", "220 Salut."], FEAT=[None, "211-Features:\n SIZE\n211 End"]) as server:
            acc = account(server)
            with acc(), acc() as second:
                assert server.verbs().count("FEAT") == 2
                assert "MFMT" not in second.profile.features

    def test_what_was_told_long_ago_is_asked_again(self, monkeypatch):
        monkeypatch.setattr(accounts, "FEATURES_LAST_S", 0.0)
        with Scripted() as server:
            acc = account(server)
            with acc(), acc():
                assert server.verbs().count("FEAT") == 2


class TestReady:
    def test_the_data_connection_is_there_before_the_file(self):
        with Scripted() as server, account(server)() as session:
            session.make_ready()
            assert server.verbs() == [*LOGIN, "EPSV", "NOOP"]  # the first one at this server
            publish(session, job("/warm"))
            session.make_ready()
            assert server.verbs()[-1] == "EPSV"
            server.log.clear()
            (result,) = publish(session, job("/a"))
            assert result.error is None
            assert server.verbs()[0] == "STOR"
            assert "/a" in server.files

    def test_it_is_agreed_on_while_a_session_of_those_who_publish_begins(self):
        with Scripted() as server:
            acc = account(server)
            acc.ahead = True
            with acc() as session:
                assert server.verbs() == [
                    "USER",
                    "PASS",
                    "FEAT",
                    "EPSV",
                    "TYPE",
                    "OPTS",
                ]  # the first one at this server
                assert server.batches[2] == 4  # one write for all behind the password
                assert acc.profile.meanwhile
                session.make_ready()
                assert server.verbs().count("EPSV") == 1
                session.make_dir("/d")
                (result,) = publish(session, job("/d/a"))
                assert result.error is None
                assert server.verbs().count("EPSV") == 1
            server.log.clear()
            with acc():
                assert server.verbs() == ["USER", "PASS", "TYPE", "OPTS", "EPSV"]

    def test_where_it_is_refused_then_it_is_asked_for_in_all_ways_later(self):
        with Scripted(EPSV="500 What?") as server:
            acc = account(server)
            acc.ahead = True
            with acc() as session:
                (result,) = publish(session, job("/a"))
                assert result.error is None
                assert not acc.profile.epsv
            with acc() as another:
                server.log.clear()
                (result,) = publish(another, job("/b"))
                assert result.error is None
                assert server.verbs()[0] == "STOR"

    def test_it_is_used_once(self):
        with Scripted() as server, account(server)() as session:
            session.make_ready()
            server.log.clear()
            for name in ("/a", "/b"):
                (result,) = publish(session, job(name))
                assert result.error is None
            assert server.verbs().count("EPSV") == 1

    def test_an_old_one_is_not_used(self, monkeypatch):
        monkeypatch.setattr(sessions, "AHEAD_LASTS_S", 0.0)
        with Scripted() as server, account(server)() as session:
            session.make_ready()
            server.log.clear()
            (result,) = publish(session, job("/a"))
            assert result.error is None
            assert server.verbs()[:2] == ["EPSV", "STOR"]

    def test_one_that_the_server_has_forgotten_is_not_used(self):
        with Scripted(LIST="550 Not now.") as server, account(server)() as session:
            session.make_ready()
            with pytest.raises(NameRefusedError):
                session.list_dir("/")
            server.log.clear()
            (result,) = publish(session, job("/a"))
            assert result.error is None
            assert server.verbs()[:2] == ["EPSV", "STOR"]

    def test_who_opens_the_data_connections_has_nothing_to_do(self):
        with Scripted() as server, account(server, mode=DataMode.ACTIVE)() as session:
            session.make_ready()
            assert server.verbs() == LOGIN


class TestDirectories:
    def test_new_ones_cost_one_answer_each(self):
        with Scripted() as server, account(server)() as session:
            server.log.clear()
            assert make_many(session, ["/a", "/b", "/c"]) == [True, True, True]
            assert server.log == ["MKD /a", "MKD /b", "MKD /c"]

    def test_each_is_told_as_soon_as_its_answer_is_there(self):
        """What is in the first ones need not wait for the last answers, which TCP may hold back for a round trip."""
        held = threading.Event()

        async def hold(connection: Connection, _words: str) -> None:
            await asyncio.to_thread(held.wait, 10)
            await connection.say("257 Made.")

        with Scripted(MKD=[None, None, hold]) as server, account(server)() as session:
            verdicts = session.make_dir_many(["/a", "/b", "/c"])
            assert [next(verdicts), next(verdicts)] == [(0, True), (1, True)]
            held.set()
            assert list(verdicts) == [(2, True)]
            assert session.usable

    def test_answers_that_nobody_waits_for_end_the_session(self):
        with Scripted() as server, account(server)() as session:
            verdicts = session.make_dir_many(["/a", "/b", "/c"])
            assert next(verdicts) == (0, True)
            assert isinstance(verdicts, Generator)
            verdicts.close()
            assert not session.usable

    def test_only_refused_ones_are_visited(self):
        with Scripted() as server, account(server)() as session:
            server.dirs.add("/b")
            server.files["/d"] = b"a file"
            server.script["MKD"] = [None, None, None, "553 Not this one."]
            session.profile.paths = Paths.ABSOLUTE
            server.log.clear()
            *made, refused = make_many(session, ["/a", "/b", "/c", "/d"])
            assert made == [True, False, True]
            assert isinstance(refused, NameRefusedError)
            # Of what is no directory it is told what is there.
            mkd, visits = ["MKD /a", "MKD /b", "MKD /c", "MKD /d"], ["CWD /b", "CWD /d", "CWD /"]
            assert server.log == [*mkd, *visits, "SIZE /d", "MDTM /d", "SIZE /"]


class TestBatches:
    """Of up to 64 commands: what lies unread at the server, and its answers here, has to fit any buffer."""

    THREE = (*range(64, 0, -1), *range(64, 0, -1), *range(22, 0, -1))
    """What is there when each command is read, itself included, if no batch is sent before the one before is answered."""

    def test_of_deletes(self):
        with Scripted() as server, account(server)() as session:
            server.files.update({f"/{n}": b"" for n in range(150)})
            server.batches.clear()
            assert session.delete_many([f"/{n}" for n in range(150)]) == [None] * 150
            assert server.batches == [*self.THREE]
            assert server.files == {}

    def test_of_new_directories(self):
        with Scripted() as server, account(server)() as session:
            server.batches.clear()
            assert make_many(session, [f"/{n}" for n in range(150)]) == [True] * 150
            assert server.batches == [*self.THREE]

    def test_not_where_one_command_is_taken_at_a_time(self):
        with Scripted() as server, account(server)() as session:
            session.profile.pipelining = False
            server.files.update({f"/{n}": b"" for n in range(5)})
            server.batches.clear()
            assert session.delete_many([f"/{n}" for n in range(5)]) == [None] * 5
            assert make_many(session, [f"/{n}" for n in range(5)]) == [True] * 5
            assert server.batches == [1] * 10


class TestDates:
    @pytest.mark.parametrize(("features", "way"), [(None, "MFMT"), ("211-Features:\n SIZE\n211 End", "MDTM")])
    def test_how_they_are_set_is_found_out_together_with_the_size(self, features, way):
        async def dated(connection: Connection, words: str) -> None:
            stamp, _, path = words.partition(" ")
            if path:
                connection.server.dates[path] = stamp
            await connection.say(f"213 {connection.server.dates[path or words]}")

        with Scripted(FEAT=[features], MDTM=dated) as server:
            acc = account(server)
            with acc() as session:
                server.log.clear()
                (result,) = publish(session, job("/a"))
            assert result.dated
            assert acc.profile.dating is Dating(way)
            stamp = "20200913122640"
            assert server.log == [
                *["EPSV", f"STOR /a{TAIL}"],
                *[f"SIZE /a{TAIL}", f"{way} {stamp} /a{TAIL}", f"MDTM /a{TAIL}"],
                *[f"RNFR /a{TAIL}", "RNTO /a", "QUIT"],
            ]

    def test_a_way_that_changes_nothing_is_not_tried_twice(self):
        with Scripted(MFMT="213 Of course.", MDTM="213 20010101000000", SITE="500 What?") as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, job("/a"), job("/b"))
            assert [r.error for r in results] == [None, None]
            assert not any(r.dated for r in results)
            assert server.verbs().count("MFMT") == 1
            assert acc.profile.dating is Dating.NONE

    def test_where_none_is_set_a_name_that_cannot_be_sent_is_told_all_the_same(self):
        with Scripted() as server, account(server)() as session:
            session.profile.dating = Dating.NONE
            assert session.set_time("/a", 0) is False
            with pytest.raises(NameNotSendableError):
                session.set_time("/a\r\nDELE b", 0)


class TestLargeFiles:
    def test_those_before_have_their_names_when_a_large_one_begins(self):
        """It may take hours."""
        large, seen = b"x" * (sending.SMALL + 1), []
        done: list[str] = []

        def opened() -> io.BytesIO:
            seen.extend(done)
            return io.BytesIO(large)

        with Scripted() as server, account(server)() as session:
            jobs = [job("/a"), job("/b"), job("/large", large, open=opened), job("/c")]
            for result in session.publish(jobs):
                assert result.error is None
                done.append(result.job.path)
        assert seen == ["/a", "/b"]
        assert set(server.files) == {"/a", "/b", "/large", "/c"}


class TestTheEnd:
    def test_who_is_impatient_says_quit_and_goes(self):
        told = threading.Event()

        async def farewell(connection: Connection, _words: str) -> None:
            told.set()
            await connection.silence()

        with Scripted(QUIT=farewell) as server:
            pool = Pool(account(server, None, PATIENT))
            with pool.lease():
                pass
            # Waiting for the answer would take a minute, and there is none.
            pool.close(patient=False)
            assert told.wait(10)
            assert pool.open_count == 0

    def test_who_is_patient_waits_for_the_answer(self):
        answered = []

        async def farewell(connection: Connection, _words: str) -> None:
            answered.append(True)
            await connection.say("221 Bye.")

        with Scripted(QUIT=farewell) as server:
            pool = Pool(account(server, None, PATIENT))
            with pool.lease():
                pass
            pool.close()
            assert answered == [True]
