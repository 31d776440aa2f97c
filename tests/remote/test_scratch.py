"""Whatever a session was trying when it ended: the next ones leave nothing of it at the server."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ftpsyncd.core import names
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.remote import naming, reaching, removing, trials
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.profile import SAMPLES, Oddity, Paths, Removing
from ftpsyncd.remote.session import Session
from tests.remote.cutting import Cutting
from tests.servers import running
from tests.waiting import until


def _remove(session: Session, name: str) -> None:
    session.profile.removing = None
    assert session.remove_dir(f"/site/{name}") is False
    assert session.profile.removing is Removing.REFUSES


def _continue(session: Session, name: str) -> None:
    trials.learn_resuming(session, names.trial(f"/site/{name}"))
    assert session.profile.resuming


def _rename(session: Session, name: str) -> None:
    trials.learn_renaming(session, names.trial(f"/site/{name}"), names.trial(f"/site/{name}{name}"))
    assert session.renames


def _reach(session: Session, name: str) -> None:
    session.profile.paths = None
    assert reaching._learn(session, f"/site/{name}")
    assert session.profile.paths is Paths.ABSOLUTE


def _keep(session: Session, name: str) -> None:
    for oddity in (Oddity.LEADING_SPACE, Oddity.PATTERN):
        ours = f"/site/{SAMPLES[oddity].format(f'{name}89abcdef.filepart')}"
        assert naming.keeps(session, oddity, ours) is True


TRIALS = {"remove": _remove, "continue": _continue, "rename": _rename, "reach": _reach, "keep": _keep}


def _left(home: Path) -> list[str]:
    return [str(path.relative_to(home)) for path in home.rglob("*") if ".filepart" in path.name]


def _swept(acc: Account, home: Path) -> bool:
    """What hung on the line may come later."""
    acc().close()
    return not _left(home)


def _undisturbed(acc: Account, proxy: Cutting, act: Callable[[Session, str], None]) -> int:
    """How many commands it takes, the login left away."""
    with acc() as session:
        before = proxy.said
        act(session, "a")
        return proxy.said - before


@pytest.mark.real_server
@pytest.mark.parametrize("kind", ["vsftpd", "pyftpdlib"])
@pytest.mark.parametrize("trial", TRIALS)
def test_nothing_is_left_wherever_the_line_ends(kind: str, trial: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the server gets a command, or right after; what is tried next is somewhere else."""
    monkeypatch.setattr(removing, "spares", lambda _banner: False)
    act = TRIALS[trial]
    with running(kind) as server, Cutting(server.host, server.port) as proxy:
        with Account(server.spec())() as session:
            session.make_dirs("/site/a/theirs")
            session.make_dirs("/site/b/theirs")
        spec = server.spec(host="127.0.0.1", port=proxy.port)
        commands = _undisturbed(Account(spec), proxy, act)
        assert commands > 3
        assert _left(server.home) == []
        for passing in range(commands):
            for proxy.also in (False, True):
                acc = Account(spec)
                with acc() as session:
                    proxy.left = passing
                    with contextlib.suppress(FtpsyncdError):
                        act(session, "a")
                    # How many commands it takes depends on what is answered in time: at the end there may be none left.
                    assert not session.usable or passing > commands // 2
                proxy.left = math.inf
                with acc() as session:
                    act(session, "b")
                until(partial(_swept, acc, server.home), f"nothing is left after {passing} commands", 20)
