"""EPSV behind STOR in one write, to servers known to read it after the transfer: two round trips, the same guarantees."""

from __future__ import annotations

import asyncio
import errno
import io
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from ftpsyncd.errors import (
    DataUnreachableError,
    NoSocketError,
    ServerUnavailableError,
    TlsError,
    VerificationError,
)
from ftpsyncd.remote import opening, renaming, sending
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import refusals
from ftpsyncd.remote.profile import Paths, reads_in_turn
from ftpsyncd.specs import DataMode, TlsMode
from tests.contract.remotes import job, publish
from tests.remote.scripted import QUICK, Connection, Scripted, account
from tests.servers import certificates

KNOWN = "220 ProFTPD Server ready."
TAIL = ".0123abcd.filepart"


def paths(*names: str):
    return [job(f"/{name}") for name in names]


@pytest.mark.parametrize(
    ("greeting", "known"),
    [
        ("220 (vsFTPd 3.0.3)", True),
        ("220 ProFTPD Server (Debian) [::ffff:10.0.0.1]", True),
        ("220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------", True),
        ("220 pyftpdlib 2.2.0 ready.", False),
        ("220 Microsoft FTP Service", False),
        ("220 Hello.", False),
    ],
)
def test_who_is_known(greeting, known):
    assert reads_in_turn(greeting) is known


class TestTheCycle:
    def test_two_round_trips_per_file(self):
        with Scripted(GREETING=KNOWN) as server:
            acc = account(server)
            with acc() as session:
                publish(session, job("/warm"))
                server.log.clear()
                results = publish(session, *paths("0", "1", "2", "3"))
            assert [r.error for r in results] == [None] * 4
            assert all(r.dated for r in results)
            date = "MFMT 20200913122640"
            assert server.log == [
                "EPSV",
                *[f"STOR /0{TAIL}", "EPSV"],
                *[f"SIZE /0{TAIL}", f"{date} /0{TAIL}", f"STOR /1{TAIL}", "EPSV"],
                *[f"RNFR /0{TAIL}", "RNTO /0"],
                *[f"SIZE /1{TAIL}", f"{date} /1{TAIL}", f"STOR /2{TAIL}", "EPSV"],
                *[f"RNFR /1{TAIL}", "RNTO /1"],
                *[f"SIZE /2{TAIL}", f"{date} /2{TAIL}", f"STOR /3{TAIL}", "EPSV"],
                # Nothing follows: the last two are flushed.
                *[f"RNFR /2{TAIL}", "RNTO /2", f"SIZE /3{TAIL}", f"{date} /3{TAIL}"],
                *[f"RNFR /3{TAIL}", "RNTO /3"],
                "QUIT",
            ]

    @pytest.mark.parametrize("greeting", [KNOWN, "220 Hello."])
    @pytest.mark.parametrize(("limit_s", "waits"), [(0.0, True), (60.0, False)])
    def test_on_a_slow_line_a_name_does_not_wait_for_the_next_file(self, monkeypatch, greeting, limit_s, waits):
        monkeypatch.setattr(sending, "SLOW_S", limit_s)
        monkeypatch.setattr(sending, "SLOW_ROUND_TRIPS", 0)
        with Scripted(GREETING=greeting) as server:
            told: list[str] = []

            def noted(name: str):
                def opened():
                    told.append(name)
                    return io.BytesIO(b"x" * 1000)

                return opened

            jobs = [job(f"/{name}", b"x" * 1000, open=noted(name)) for name in ("0", "1", "2")]
            with account(server)() as session:
                for result in session.publish(jobs):
                    assert result.error is None
                    told.append(f"{result.job.path} is there")
                    assert "/0" in server.files
            order = [line for line in server.log if line.startswith(("STOR", "RNTO"))]
        if waits:
            assert told == ["0", "/0 is there", "1", "/1 is there", "2", "/2 is there"]
            assert order == [f"STOR /0{TAIL}", "RNTO /0", f"STOR /1{TAIL}", "RNTO /1", f"STOR /2{TAIL}", "RNTO /2"]
        else:
            assert told[:2] == ["0", "1"]

    def test_the_time_of_a_transfer_is_its_own(self):
        async def slow(connection: Connection, path: str) -> None:
            connection.server.files[path] = await connection.receive()
            await connection.end_data()
            await asyncio.sleep(1.0)
            await connection.say("226 Stored.")

        with Scripted(GREETING=KNOWN, STOR=[None, slow]) as server:
            acc = Account(server.spec(), timeouts=QUICK._replace(final_s=20))
            with acc() as session:
                first, second = publish(session, *paths("0", "1"))
        assert (first.error, second.error) == (None, None)
        assert second.duration_s >= 1.0 > first.duration_s

    def test_nothing_but_epsv_travels_with_stor(self):
        with Scripted(GREETING=KNOWN) as server, account(server)() as session:
            publish(session, *paths("a", "b", "c", "d"))
            assert set(server.early) == {b"EPSV\r\n"}

    def test_who_is_not_known_gets_nothing_ahead(self):
        with Scripted() as server, account(server)() as session:
            publish(session, *paths("a", "b", "c"))
            assert server.early == []

    def test_neither_does_who_opens_the_data_connections(self):
        with Scripted(GREETING=KNOWN) as server, account(server, mode=DataMode.ACTIVE)() as session:
            assert not session.overlaps

    def test_no_rename_before_the_size_was_judged(self, monkeypatch):
        monkeypatch.setattr(renaming, "WAITS_S", (0.01,))
        sizes = [None, "213 3", "213 3", None, None]
        with Scripted(GREETING=KNOWN, SIZE=sizes) as server, account(server)() as session:
            results = publish(session, *paths("a", "b", "c", "d"))
            errors = {r.job.path: type(r.error) for r in results if r.error}
            assert errors == {"/b": VerificationError}
            assert set(server.files) == {"/a", "/c", "/d"}
            assert f"RNFR /b{TAIL}" not in server.log

    def test_a_trial_in_between_uses_up_the_data_connection(self):
        """What finds out about an odd name lists a directory: the agreement of before is void."""
        with Scripted(GREETING=KNOWN, LIST="550 Not now.") as server, account(server)() as session:
            results = publish(session, job("/a"), job("/b\x01"), job("/c"))
            assert [r.job.path for r in results if r.error is None] == ["/a", "/c"]
            assert {"/a", "/c"} <= set(server.files)

    def test_a_file_that_waits_for_its_name_is_told_by_what_the_session_ended(self):
        """It was blamed, and host, port and network were to be checked, for a server that takes no data under TLS."""
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificates().server)
        script = {"GREETING": KNOWN, "STOR": [None, "534 Policy denies SSL."]}
        with (
            Scripted(script, tls=tls) as server,
            account(server, tls=TlsMode.EXPLICIT, tls_ca=certificates().ca)() as session,
        ):
            before, refused = publish(session, *paths("a", "b"))
        assert isinstance(refused.error, TlsError)
        assert isinstance(before.error, DataUnreachableError)
        assert "before the file had its final name: The server takes no data under TLS" in before.error.message
        assert before.error.remedy == refused.error.remedy

    def test_a_file_that_waits_for_its_name_is_not_blamed_where_this_machine_has_no_socket_left(self, monkeypatch):
        """It counted as a failure of its own, where the file behind it was put off."""

        def none_left(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with Scripted(GREETING=KNOWN) as server, account(server)() as session:
            jobs = paths("a", "b")
            second = jobs[1].open

            def opened() -> Any:
                monkeypatch.setattr(opening, "socket", SimpleNamespace(**{**vars(socket), "socket": none_left}))
                return second()

            jobs[1] = jobs[1]._replace(open=opened)
            assert [type(result.error) for result in publish(session, *jobs)] == [NoSocketError, NoSocketError]


class TestServersThatCannot:
    def test_one_that_reads_it_in_the_middle_and_refuses(self):
        async def busy(connection: Connection, path: str) -> None:
            await connection.say("150 Go on.")
            following = (await connection.reader.readline()).decode() if connection.reader._buffer else ""  # type: ignore[attr-defined]
            if following:
                await connection.say(f"450 {following.strip()}: data transfer in progress")
            reader, _ = await connection.data()
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            await connection.say("226 Stored.")

        with Scripted(GREETING=KNOWN, STOR=busy) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, *paths("a", "b", "c"))
                assert [r.error for r in results] == [None] * 3
                assert session.usable
            assert set(server.files) == {"/a", "/b", "/c"}
            assert acc.profile.overlapping is False
            assert "overlapping" in refusals(acc.profile)

    def test_one_that_swallows_it(self):
        async def swallow(connection: Connection, path: str) -> None:
            connection.server.files[path] = await connection.receive()
            connection.reader._buffer.clear()  # type: ignore[attr-defined]
            await connection.end_data()
            await connection.say("226 Stored.")

        with Scripted(GREETING=KNOWN, STOR=swallow, hangs=True) as server:
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, *paths("a"))
                assert isinstance(result.error, ServerUnavailableError)
                assert not session.usable
            assert acc.profile.overlapping is False
            with acc() as session:
                assert [r.error for r in publish(session, *paths("a", "b", "c"))] == [None] * 3
            assert {"/a", "/b", "/c"} <= set(server.files)

    def test_a_server_that_goes_away_is_not_blamed(self):
        async def farewell(connection: Connection, path: str) -> None:
            await connection.server.default(connection, f"STOR {path}")
            await connection.say("421 Service shutting down.")
            await connection.hang_up()

        with Scripted(GREETING=KNOWN, STOR=farewell) as server:
            acc = account(server)
            with acc() as session:
                publish(session, *paths("a"))
                assert not session.usable
            assert acc.profile.overlapping is True

    def test_a_refused_transfer_leaves_the_next_one_its_data_connection(self):
        with Scripted(GREETING=KNOWN, STOR=["550 No.", None, None]) as server:
            acc = account(server)
            acc.profile.paths = Paths.ABSOLUTE
            with acc() as session:
                results = publish(session, *paths("a", "b", "c"))
                assert [r.error is None for r in results] == [False, True, True]
            assert server.verbs().count("EPSV") == 4
            assert acc.profile.overlapping is True

    def test_one_that_has_no_port_free_for_a_moment_is_not_blamed(self):
        with Scripted(GREETING=KNOWN, EPSV=[None, "425 No port is free."]) as server:
            acc = account(server)
            with acc() as session:
                assert [r.error for r in publish(session, *paths("a", "b", "c"))] == [None] * 3
            assert acc.profile.overlapping is True
            assert acc.profile.epsv is True
