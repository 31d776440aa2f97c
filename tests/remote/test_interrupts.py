"""Ctrl-C in the middle of a word: what has not been answered yet is not taken for the answer to something else."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from pathlib import Path

import pytest

from ftpsyncd.config import load
from ftpsyncd.errors import NotFoundError
from ftpsyncd.inspection.check import check
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.remote import Ftp, agreeing
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.data import DataLine
from ftpsyncd.remote.opening import Listener
from ftpsyncd.remote.wire import Control, Timeouts
from ftpsyncd.specs import DataMode
from tests.contract.remotes import job, publish
from tests.remote.scripted import AT_ANY_MOMENT, Connection, Scripted, account
from tests.servers import KINDS, available, running

QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=1)


def once(verb: str, nth: int = 1):
    """Interrupts us at the nth command of this verb, which the server obeys all the same."""
    left = [nth]

    async def act(connection: Connection, argument: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        await connection.server.default(connection, f"{verb} {argument}".strip())

    return act


@AT_ANY_MOMENT
@pytest.mark.parametrize(("verb", "nth"), [("RNFR", 1), ("RNTO", 1), ("MFMT", 1), ("REST", 1)])
def test_a_measurement_that_is_interrupted_leaves_nothing_at_the_server(verb, nth):
    """It deleted its files over the same connection, and took the answer that was still to come for that to DELE."""
    with Scripted({verb: once(verb, nth)}) as server:
        with pytest.raises(KeyboardInterrupt):
            list(Probing(Account(server.spec(), timeouts=QUICK), "/d/e").run())
        assert server.files == {}
        assert server.dirs == {"/"}
        assert server.connections == 2


class Impatient(Exception):  # noqa: N818 - what a program's own handler of a signal raises
    """Somebody does not want to wait any longer."""


def give_up(_number: int, _frame: object) -> None:
    raise Impatient


@AT_ANY_MOMENT
@pytest.mark.parametrize("call", ["exists", "stat", "list", "delete", "rename", "make_dirs"])
def test_a_call_that_is_broken_off_lends_its_answer_to_no_other(call):
    """The next one took it for its own: what is not at the server existed, what could not be done was done."""
    waited: list[str] = []

    def late(verb: str):
        async def act(connection: Connection, argument: str) -> None:
            if not waited:
                waited.append(verb)
                os.kill(os.getpid(), signal.SIGUSR1)
                await asyncio.sleep(0.3)
            await connection.server.default(connection, f"{verb} {argument}".strip())

        return act

    calls = {
        "exists": lambda ftp: ftp.exists("/a"),
        "stat": lambda ftp: ftp.stat("/a"),
        "list": lambda ftp: ftp.list("/d"),
        "delete": lambda ftp: ftp.delete("/a"),
        "rename": lambda ftp: ftp.rename("/a", "/b"),
        "make_dirs": lambda ftp: ftp.make_dirs("/e/f"),
    }
    script = {verb: late(verb) for verb in ("MLST", "SIZE", "CWD", "PWD", "DELE", "RNFR", "MKD", "EPSV")}
    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with Scripted(**script) as server:
            server.files["/a"] = b"a"
            server.dirs.add("/d")
            acc = Account(server.spec(), timeouts=QUICK)
            waited.append("the login")
            with Ftp(acc(), again=acc) as ftp:
                waited.clear()
                with pytest.raises(Impatient):
                    calls[call](ftp)
                assert waited
                assert not ftp.exists("/nowhere")
                with pytest.raises(NotFoundError):
                    ftp.stat("/nowhere")
                assert ftp.exists("/d")
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("call", ["download", "list"])
def test_nor_does_a_word_that_is_broken_off_while_it_is_said(call, tmp_path: Path, monkeypatch):
    write, answered = Control._write, []

    def interrupted(control: Control, piece: bytes, deadline: float) -> None:
        write(control, piece, deadline)
        if piece.startswith((b"RETR", b"LIST")):
            monkeypatch.undo()
            answered.append(control.await_answer(control.earliest))
            raise KeyboardInterrupt

    async def refuse(connection: Connection, _path: str) -> None:
        await connection.say("550 No.")

    with Scripted(RETR=refuse, LIST=refuse) as server:
        server.files["/a"] = b"content"
        with Ftp(Account(server.spec(), timeouts=QUICK)(), again=Account(server.spec(), timeouts=QUICK)) as ftp:
            monkeypatch.setattr(Control, "_write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                ftp.download("/a", tmp_path / "a") if call == "download" else ftp.list()
            assert answered == [True]
            ftp.rename("/a", "/b")
        assert server.files == {"/b": b"content"}


def test_a_handshake_that_is_broken_off_leaves_no_socket_open(monkeypatch):
    def interrupt(_line: DataLine) -> None:
        raise KeyboardInterrupt

    with Scripted() as server, Account(server.spec(), timeouts=QUICK)() as session:
        server.files["/a"] = b"content"
        monkeypatch.setattr(DataLine, "secure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.fetch("/a", io.BytesIO())
        assert not session.usable
        assert session.control.data is not None
        assert session.control.data.fileno() == -1


@pytest.mark.parametrize("act", ["fetch", "publish"])
def test_nor_does_one_that_was_secured_and_is_not_used_yet(act, monkeypatch):
    def interrupt(_line: DataLine) -> None:
        raise KeyboardInterrupt

    with Scripted() as server, Account(server.spec(), timeouts=QUICK)() as session:
        server.files["/a"] = b"content"
        monkeypatch.setattr(DataLine, "keep_alive" if act == "fetch" else "hold_back", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.fetch("/a", io.BytesIO()) if act == "fetch" else publish(session, job("/b"))
        session.abandon()
        assert session.control.data is not None
        assert session.control.data.fileno() == -1


@AT_ANY_MOMENT
@pytest.mark.parametrize("verb", ["EPRT", "PORT"])
def test_nobody_listens_any_more_where_the_answer_is_not_awaited(verb, monkeypatch):
    made: list[Listener] = []

    class Noted(Listener):
        def __init__(self, control: Control) -> None:
            super().__init__(control)
            made.append(self)

    async def late(_connection: Connection, _argument: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(agreeing, "Listener", Noted)
    with (
        Scripted({"EPRT": "500 What?", verb: late}) as server,
        account(server, mode=DataMode.ACTIVE)() as session,
    ):
        with pytest.raises(KeyboardInterrupt):
            session.list_dir("/")
        (listener,) = made
        assert listener._sock.fileno() == -1


@AT_ANY_MOMENT
@pytest.mark.parametrize("verb", ["RNFR", "RNTO"])
def test_a_check_that_is_interrupted_leaves_nothing_at_the_server(tmp_path: Path, verb):
    (tmp_path / "drop").mkdir()
    with Scripted({verb: once(verb)}) as server:
        path = tmp_path / "config.yaml"
        path.write_text(
            f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: u, password: p, tls: off}}}}\n"
            "mappings: {g: {local: drop, remote: 'web:/d/e'}}\n"
            "state_dir: state\n"
        )
        with pytest.raises(KeyboardInterrupt):
            list(check(load(path), offline=False))
        assert server.files == {}
        assert server.dirs == {"/"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.real_server
def test_nor_does_it_leave_the_odd_names_that_it_tries(kind, monkeypatch):
    """The answer to MKD has come, and was taken for the one to RMD."""
    if not available(kind):
        pytest.skip(f"no {kind}")
    keeps, reply = Probing._keeps, Control.reply
    begun = []

    def begin(self, session, sample):
        begun.append(sample)
        return keeps(self, session, sample)

    def interrupted(self, timeout_s=None):
        answer = reply(self, timeout_s)
        if begun == begun[:1] != []:
            begun.append("once")
            self.queued.appendleft(answer)
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(Probing, "_keeps", begin)
    monkeypatch.setattr(Control, "reply", interrupted)
    with running(kind) as server:
        with pytest.raises(KeyboardInterrupt):
            list(Probing(Account(server.spec()), "/d").run())
        assert begun[1:] == ["once"]
        assert list(server.home.iterdir()) == []
