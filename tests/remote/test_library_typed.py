"""The library's types, for a program of somebody else that is checked with `mypy --strict`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ftpsyncd import remote

PROGRAM = """\
from pathlib import Path

from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.remote import Ftp, MemoryServer, Step, TreeResult, connect
from ftpsyncd.specs import ServerSpec, TlsMode

server = ServerSpec("web", "ftp.example.com", "publisher", password=lambda: "x", tls=TlsMode.EXPLICIT)


def told(name: str, done: int, size: int | None) -> None:
    print(name, done, size)


def work(ftp: Ftp) -> list[str]:
    sent = ftp.upload("a.jpg", "/a.jpg", overwrite=False, progress=print)
    hexadecimal: str = sent.sha256.hex()
    size: int | None = ftp.stat("/a.jpg").size
    fetched: int = ftp.download("/a.jpg", Path("b.jpg")).size
    results: list[TreeResult] = [*ftp.upload_many([(Path("a"), "/a"), ("b", "/b")], progress=told)]
    failed: list[FtpsyncdError] = [each.error for each in results if each.error is not None]
    done = all(each.step is Step.SENT for each in ftp.upload_tree("g", "/g"))
    print(hexadecimal, size, fetched, failed, done)
    return [entry.name for entry in ftp.list("/")]


with connect(server) as ftp, Ftp(MemoryServer().connect()) as other:
    work(ftp) + work(other)
"""
WRONG = """
from ftpsyncd.remote import conect
"""


def checked(program: Path) -> list[str]:
    """The errors that mypy finds in a program."""
    words = ["-m", "mypy", "--strict", "--config-file=", f"--cache-dir={program.parent}/cache", "--no-error-summary"]
    ended = subprocess.run(
        [sys.executable, *words, str(program)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=program.parent,
        env={**os.environ, "MYPYPATH": str(Path(remote.__file__).parents[2])},
    )
    return [line for line in ended.stdout.splitlines() if ": error: " in line]


def test_a_right_program_is_right_and_a_name_that_is_not_there_is_wrong(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert checked(program) == []
    program.write_text(PROGRAM + WRONG)
    [wrong] = checked(program)
    assert 'has no attribute "conect"; maybe "connect"?' in wrong
