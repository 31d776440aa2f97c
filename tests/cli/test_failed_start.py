"""A daemon that does not start: told where a service's troubles are looked for, with priority and in the log's format."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from ftpsyncd.claim import Claim
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.systemd import JOURNAL

unserved = pytest.mark.skipif(Path(JOURNAL).exists(), reason="the records would go to this machine's journal")


@contextmanager
def locked(base: Path) -> Iterator[None]:
    with Claim(base / "state"):
        yield


@contextmanager
def newer(base: Path) -> Iterator[None]:
    (base / "state").mkdir()
    Ledger(base / "state" / LEDGER).close()
    db = sqlite3.connect(base / "state" / LEDGER)
    db.execute("PRAGMA user_version=99")
    db.close()
    yield


@contextmanager
def unreadable_secret(base: Path) -> Iterator[None]:
    (base / "password").unlink()
    yield


@contextmanager
def wrong(base: Path) -> Iterator[None]:
    text = (base / "config.yaml").read_text()
    (base / "config.yaml").write_text(text.replace("user:", "usr:").replace("local:", "locl:"))
    yield


Trouble = Callable[[Path], AbstractContextManager[None]]
TROUBLES = pytest.mark.parametrize(
    ("trouble", "code", "said"),
    [
        (locked, 75, "another ftpsyncd uses the state directory"),
        (newer, 78, "written by a newer ftpsyncd"),
        (unreadable_secret, 78, "password"),
        (wrong, 78, "servers.web.user"),
    ],
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "password").write_text("hunter22")
    (tmp_path / "config.yaml").write_text(
        f"servers: {{web: {{host: 127.0.0.1, port: 1, user: u, password: {{file: {tmp_path}/password}}}}}}\n"
        f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/'}}}}\n"
        f"state_dir: {tmp_path}/state\n"
        f"control: {{socket: {tmp_path}/control.sock}}\n"
    )
    return tmp_path


def run(base: Path, *words: str, journal: bool = False) -> tuple[int, list[str]]:
    """The exit code of a command, and what it wrote on standard error, which may be the journal's."""
    with (base / "stderr").open("w+b") as stderr:
        status = os.fstat(stderr.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"} if journal else {}
        command = [sys.executable, "-m", "ftpsyncd", words[0], "-c", str(base / "config.yaml"), *words[1:]]
        done = subprocess.run(command, stderr=stderr, env={**os.environ, **stream}, timeout=60, check=False)
        stderr.seek(0)
        return done.returncode, stderr.read().decode().splitlines()


@unserved
@TROUBLES
def test_in_the_journal_it_is_one_error(trouble: Trouble, code: int, said: str, base: Path) -> None:
    with trouble(base):
        ended, lines = run(base, "run", journal=True)
    assert ended == code
    (error,) = [line for line in lines if line.startswith("<3>")]
    assert error.startswith("<3>the daemon does not start: ")
    assert said in error
    assert [line for line in lines if not line.startswith("<")] == []


@TROUBLES
def test_where_the_log_is_json_it_is_a_record(trouble: Trouble, code: int, said: str, base: Path) -> None:
    with trouble(base):
        ended, lines = run(base, "run", "--log-format", "json")
    assert ended == code
    (record,) = [each for each in map(json.loads, lines) if each["level"] == "error"]
    assert record["event"] == "failed"
    assert said in record["message"]


@TROUBLES
def test_who_starts_it_by_hand_is_told_once(trouble: Trouble, code: int, said: str, base: Path) -> None:
    with trouble(base):
        ended, lines = run(base, "run")
    assert ended == code
    assert lines[0].startswith("ftpsyncd: error: ")
    assert len([line for line in lines if said in line]) == 1


def test_the_format_of_the_configuration_counts_as_soon_as_it_is_known(base: Path) -> None:
    with (base / "config.yaml").open("a") as config:
        config.write("log: {format: json}\n")
    with locked(base):
        ended, lines = run(base, "run")
    assert ended == 75
    assert [json.loads(line)["level"] for line in lines] == ["error"]


def test_whatever_a_command_complains_of_in_the_journal_is_an_error(base: Path) -> None:
    """`reload` of the unit, and a wrong option of `run`."""
    ended, lines = run(base, "reload", journal=True)
    assert (ended, [line[:3] for line in lines]) == (75, ["<3>"] * len(lines))
    assert "No daemon" in lines[0]
    ended, lines = run(base, "run", "--lgo-level", "info", journal=True)
    assert (ended, {line[:3] for line in lines}) == (2, {"<3>"})
