"""Ctrl-C in the middle of a word: what has not been answered yet is not taken for the answer to something else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ftpsyncd.check import check
from ftpsyncd.config import load
from ftpsyncd.probe import Probing
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.wire import Control, Timeouts
from tests.remote.scripted import Connection, Scripted
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


@pytest.mark.parametrize(("verb", "nth"), [("RNFR", 1), ("RNTO", 1), ("MFMT", 1), ("REST", 1)])
def test_a_measurement_that_is_interrupted_leaves_nothing_at_the_server(verb, nth):
    """It deleted its files over the same connection, and took the answer that was still to come for that to DELE."""
    with Scripted({verb: once(verb, nth)}) as server:
        with pytest.raises(KeyboardInterrupt):
            list(Probing(Account(server.spec(), timeouts=QUICK), "/d/e").run())
        assert server.files == {}
        assert server.dirs == {"/"}
        assert server.connections == 2


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
