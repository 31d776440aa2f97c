"""docs/library.md, run as it stands: the commands with what they print, the Python code with what it prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from ftpsyncd.cli.app import COMMANDS
from ftpsyncd.remote import Ftp
from tests.servers import PASSWORD, USER, certificates, running
from tests.variants import also

pytestmark = pytest.mark.lasting(30)

PAGE = (Path(__file__).parents[2] / "docs/library.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|python)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PREAMBLE = re.search(r"```python\n(from pathlib.*?)with connect", PAGE, re.DOTALL)
OUTSIDE = ("with connect(", "MemoryServer")
"""Blocks that have these open their connection themselves."""


class Command(NamedTuple):
    typed: str
    expected: str


def commands(block: str) -> list[Command]:
    """The lines after ``$``, each with what stands below it."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Command(*part.split("\n", 1)) for part in parts]


def script(block: str) -> str:
    """A block of Python that can run: below a connection, unless it opens one itself."""
    assert PREAMBLE is not None
    if any(mark in block for mark in OUTSIDE):
        return f"from pathlib import Path\n{block}"
    return f"{PREAMBLE[1]}with connect(server) as ftp:\n{textwrap.indent(block, '    ')}"


def promised(block: str) -> list[str]:
    """What the comments behind ``print`` say that it prints; ``;`` separates lines."""
    said = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
    return [line for comment in said for line in comment.split("; ")]


@pytest.fixture
def environment() -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "WEB_PASSWORD": PASSWORD, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@pytest.mark.real_server
@pytest.mark.parametrize("kind", ["vsftpd", *also("pyftpdlib")])
def test_every_example_does_what_the_page_says(kind, tmp_path, environment):
    with running(kind, tls="explicit") as server:
        spec = server.spec()
        (tmp_path / "drop").mkdir()
        shutil.copy(certificates().ca, tmp_path / "ca.pem")
        web = {
            "host": spec.host,
            "port": spec.port,
            "user": USER,
            "password": {"env": "WEB_PASSWORD"},
            "tls_ca": "ca.pem",
        }
        mapping = {"local": str(tmp_path / "drop"), "remote": "web:/drop"}
        config = {"servers": {"web": web}, "mappings": {"drop": mapping}, "state_dir": str(tmp_path / "state")}
        (tmp_path / "config.yaml").write_text(json.dumps(config))

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                words,
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        for language, block in BLOCKS:
            if language == "python":
                code = script(block).replace("port=21", f"port={spec.port}")
                code = code.replace('"ftp.example.com"', repr(spec.host)).replace('"publisher"', repr(USER))
                done = run(sys.executable, "-W", "error", "-c", code)
                assert (done.returncode, done.stderr) == (0, ""), block
                assert done.stdout.splitlines() == promised(block), block
                continue
            for command in commands(block):
                done = run("bash", "-c", command.typed)
                assert done.stdout + done.stderr == command.expected, command.typed
                assert done.returncode == ("error:" in command.expected), command.typed


def test_every_call_and_command_has_its_example():
    python = "".join(block for language, block in BLOCKS if language == "python")
    calls = {name for name, value in vars(Ftp).items() if name[0] != "_" and callable(value)}
    calls -= {"close"}  # `with` closes
    assert calls == {name for name in calls if f"ftp.{name}(" in python}
    assert len(calls) > 12
    typed = [command.typed for language, block in BLOCKS if language == "console" for command in commands(block)]
    named = {words.split()[1] for words in typed if words.startswith("ftpsyncd ")}
    assert named == {"put", "get", "rm", "ls"} <= COMMANDS.keys()
    assert all(promised(block) for language, block in BLOCKS if language == "python")
