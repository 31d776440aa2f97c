"""What is told to be typed can be copied into a shell, whatever the mapping, the server and the configuration are called."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from ftpsyncd.cli.app import cli
from ftpsyncd.cli.output import UNICODE
from ftpsyncd.cli.status_view import Typed as TypedView
from ftpsyncd.cli.status_view import view
from ftpsyncd.core.alarms import conditions
from ftpsyncd.daemon.onepass import paused_message
from ftpsyncd.engine.report import changed_message
from ftpsyncd.errors import NameRefusedError
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import AlertLimits
from ftpsyncd.status import DaemonStatus, MappingState, MappingStatus, ServerState, ServerStatus, Status
from ftpsyncd.typed import WORDS, Typed
from tests.cli.terminal import drawn, park

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NAME, SERVER = "it's&co`s", "a$b;c"
CONFIG = """\
servers:
  "{server}": {{host: 127.0.0.1, port: 1, user: ftpu, password: secret, tls: "off", timeout: 5s}}
mappings:
  "{name}": {{local: {root}/gallery, remote: "{server}:/gallery", settle: 0s}}
state_dir: {root}/state
control: {{socket: {root}/control.sock}}
"""
_TOLD = re.compile(rf"`(ftpsyncd {WORDS})`")
_BELOW = re.compile(r"^ *(?:→|or) (ftpsyncd .*)$", re.MULTILINE)


def told(text: str) -> Iterator[dict[str, object]]:
    """What a shell, and then the program, make of each command in a text."""
    lines = [part for line in _BELOW.findall(text) for part in re.split(r"  or  | && ", line)]
    for line in (*_TOLD.findall(text), *lines):
        name, *words = shlex.split(line)[1:]
        context = click.Context(cli, info_name="ftpsyncd")
        found = cli.get_command(context, name)
        assert found is not None
        yield found.make_context(name, words, parent=context).params


def about(text: str) -> set[object]:
    """The mappings and servers that the commands in a text are about."""
    named = [each.get(key) for each in told(text) for key in ("mapping", "mappings", "server")]
    return {each[0] if isinstance(each, tuple) else each for each in named if each}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "gallery").mkdir()
    path = tmp_path / "my own.yaml"
    path.write_text(CONFIG.format(root=tmp_path, name=NAME, server=SERVER))
    path.chmod(0o600)
    return path


def test_commands_of_commands(ftpsyncd, config):
    picture = config.parent / "gallery/a.jpg"
    picture.write_text("x")
    park(config, "a.jpg", NameRefusedError("The server refuses the name."), mapping=NAME)
    for words in (
        ["why", picture],
        ["status"],
        ["pause", NAME],
        ["status"],
        ["plan"],
        ["sync"],
        ["why", picture],
    ):
        ended = ftpsyncd(*words, "-c", config)
        text = f"{ended.out}\n{ended.err}"
        named = about(text)
        if words != ["pause", NAME]:
            assert named == {NAME}, text
        assert text.count("ftpsyncd ") == text.count(f" -c '{config}'") or words == ["sync"], text


def test_commands_of_a_daemon():
    mapping = MappingStatus(NAME, "/a", f"{SERVER}:/a", MappingState.HELD, 0, 0, 0, 1, 1, 1, 1, None, "")
    paused = mapping._replace(state=MappingState.PAUSED, held=0, parked=0)
    for state in (ServerState.OFFLINE, ServerState.REFUSED, ServerState.FULL):
        server = ServerStatus(SERVER, state, 0, "No.", NOW.isoformat(), None)
        for each in (mapping, paused):
            status = Status(DaemonStatus(True, 1, "0", 0.0), (each,), (server,), ())  # noqa: FBT003
            raised = " ".join(condition.remedy for condition in conditions(status, AlertLimits()).values())
            assert about(raised) == {NAME, SERVER}
            assert about(drawn(view(status, NOW, UNICODE, 80, TypedView()), 80)) == {NAME, SERVER}
            assert about(Typed(" -c '/my own.yaml'").text(raised)) == {NAME, SERVER}
    assert about(changed_message(NAME, 2)) == about(paused_message(NAME, 0)) == {NAME}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("gallery-2", "gallery-2"),
        ("Müller", "Müller"),
        (Path("/srv/a b"), "'/srv/a b'"),
        ("~x", "'~x'"),
        ("a\nb", r"$'a\nb'"),
        ("", "''"),
        # No file, argument or configuration has half of a pair in a name: it is no reason to tell nothing.
        ("a\ud83d", r"$'a\355\240\275'"),
    ],
)
def test_only_what_a_shell_would_take_apart_is_quoted(text: object, word: str) -> None:
    assert as_word(text) == word


@pytest.mark.parametrize(
    "name",
    [
        "a\nb",
        "\x1b[31mred",
        "\x011",
        "it's\t'so'",
        "back\\slash\n\\",
        "x\udcff7",
        "no\u00a0break",
        "\u202e`$x`!\r",
        "é\x7f",
    ],
)
def test_a_shell_makes_the_name_of_its_word_also_where_that_does_not_print(name: str) -> None:
    """In plain quotes an escape stays what it is: the command was about another file, which nobody knows."""
    word = as_word(name)
    assert word.isprintable()
    found = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert os.fsdecode(found.stdout) == name
    command = f"`ftpsyncd history --path {word}` says it"
    assert Typed(" -c x.yaml").text(command) == f"`ftpsyncd history --path {word} -c x.yaml` says it"


def test_the_option_goes_behind_a_command_with_a_backtick_in_it() -> None:
    sentence = "`ftpsyncd history --path '/srv/a`b.jpg'` says whether, `ftpsyncd status` too"
    assert Typed(" -c x.yaml").text(sentence) == (
        "`ftpsyncd history --path '/srv/a`b.jpg' -c x.yaml` says whether, `ftpsyncd status -c x.yaml` too"
    )
