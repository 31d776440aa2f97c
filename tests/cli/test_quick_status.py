"""`status` beside a running daemon asks it, and loads nothing that this does not take."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.cli.daemon import client
from ftpsyncd.config import document, glance, load
from ftpsyncd.control import shapes
from ftpsyncd.control.meant import Meant
from ftpsyncd.control.server import ControlServer
from ftpsyncd.errors import ConfigError, ControlError
from tests.control.fakes import FakeDaemon

CONFIG = """
servers: {web: {host: ftp.example.com, user: me, password: {env: NOWHERE}}}
mappings: {gallery: {local: DROP, remote: "web:/site"}}
state_dir: state
"""
OF_STATE = "228933a6"
"""What tells the socket of `state_dir: /state` from others."""
SLOW = [
    "ftpsyncd.config.loading",
    "loguru",
    "rich",
    "pathspec",
    "sqlite3",
    "starlette",
    "ftpsyncd.engine.loop",
    "ftpsyncd.inspection.survey",
]
_RUN = """
import sys
from ftpsyncd.cli.app import outcome
code = outcome(sys.argv[2:])
print("loaded:", *(name for name in sys.argv[1].split() if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("DROP", str(tmp_path)))
    return path


@pytest.fixture
def daemon(config: Path) -> Iterator[FakeDaemon]:
    control = FakeDaemon()
    socket = glance(config, environ={})[0]
    assert socket is not None
    socket.parent.mkdir()
    with ControlServer(control, socket):
        yield control


def status(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _RUN, " ".join(SLOW), "status", "-c", str(config), *words],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(config.parent), "PATH": ""},
        timeout=60,
    )


def test_a_daemon_that_answers_is_asked_without_loading_what_it_consists_of(daemon: FakeDaemon, config: Path):
    done = status(config, "--json")
    assert done.returncode == 0, done.stderr
    assert shapes.status_from_json(json.loads(done.stdout)) == daemon.status()
    assert done.stderr.split() == ["loaded:"]


def test_what_was_found_wrong_is_not_repaired_by_the_daemon_of_another_configuration(config: Path):
    config.write_text(CONFIG.replace("DROP", "drop"))
    loaded, other = load(config, environ={}), FakeDaemon()
    loaded.control.socket.parent.mkdir()
    with (
        ControlServer(other, loaded.control.socket, meant=Meant("/etc/other.yaml", "/var/lib/other")),
        pytest.raises(ControlError, match="another configuration"),
    ):
        client(loaded).repair("gallery", ["a.jpg"], [])
    assert other.repairs == []


def test_the_daemon_of_another_configuration_is_not_taken_for_ones_own(config: Path):
    """That runs, while one's own may have ended."""
    socket = glance(config, environ={})[0]
    assert socket is not None
    socket.parent.mkdir()
    with ControlServer(FakeDaemon(), socket, meant=Meant("/etc/other.yaml", "/var/lib/other")):
        done = status(config, "--json")
    assert (done.returncode, done.stdout) == (75, "")
    assert "/etc/other.yaml" in done.stderr


def test_without_a_daemon_the_configuration_is_validated(config: Path):
    config.write_text(config.read_text() + "nonsense: 1\n")
    done = status(config)
    assert done.returncode == 78
    assert "nonsense" in done.stderr
    assert "ftpsyncd.config.loading" in done.stderr


def test_without_a_daemon_the_file_is_parsed_once(ftpsyncd, config: Path, monkeypatch: pytest.MonkeyPatch):
    parsed: list[str] = []

    def compose(path: Path, text: str) -> object:
        parsed.append(text)
        return original(path, text)

    original = document._compose
    monkeypatch.setattr(document, "_compose", compose)
    for command in (["status"], ["history"], ["why", config]):
        parsed.clear()
        ftpsyncd(*command, "-c", config)
        assert parsed == [config.read_text()]


def test_a_file_that_does_not_say_where_the_daemon_listens_is_complained_of_once(ftpsyncd, config: Path):
    config.write_text(config.read_text() + "control: {socket: 5}\n")
    done = ftpsyncd("status", "-c", config)
    assert done.code == 78
    assert done.err.count("control.socket") == 1


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("state_dir: state", {}, "state/control.sock"),
        ("state_dir: /state", {}, "/state/control.sock"),
        ("state_dir: /state", {"XDG_RUNTIME_DIR": "/run/me"}, f"/run/me/ftpsyncd/control-{OF_STATE}.sock"),
        ("state_dir: /state", {"RUNTIME_DIRECTORY": "/run/a:/run/b"}, f"/run/a/control-{OF_STATE}.sock"),
        ("control: {socket: own.sock}", {}, "own.sock"),
        ("control: {socket: ~/own.sock}", {"HOME": "/home/me"}, "/home/me/own.sock"),
        ("control: {http: 127.0.0.1:8021}", {"XDG_STATE_HOME": "/s"}, "/s/ftpsyncd/control.sock"),
        ("control:", {"XDG_STATE_HOME": "/s"}, "/s/ftpsyncd/control.sock"),
        ("control: {socket: 5}", {}, None),
        ("control: [socket]", {}, None),
        ("control: {socket: ~other/x}", {}, None),
        ("state_dir: 5", {}, None),
    ],
)
def test_the_socket_is_the_one_that_loading_finds(
    tmp_path: Path, text: str, environ: dict[str, str], expected: str | None
):
    path = tmp_path / "config.yaml"
    path.write_text(text + "\n")
    assert glance(path, environ=environ)[0] == (None if expected is None else tmp_path / expected)


_BROKEN = "servers:\n  web: {host: x\nmappings:\n\tdrop: [\n"


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        (_BROKEN, {"RUNTIME_DIRECTORY": "/run/a"}, "/run/a/control.sock"),
        (_BROKEN + "state_dir: /state  # there\n", {}, "/state/control.sock"),
        ("control:\n  # here\n  socket: own.sock\n\n" + _BROKEN, {}, "own.sock"),
        ("'control': {socket: own.sock}\n# state_dir: other\n" + _BROKEN, {}, "own.sock"),
        ("", {"RUNTIME_DIRECTORY": "/run/a"}, "/run/a/control.sock"),
    ],
)
def test_a_file_that_is_no_yaml_still_says_where_the_daemon_listens(
    tmp_path: Path, text: str, environ: dict[str, str], expected: str
):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert glance(path, environ=environ)[0] == tmp_path / expected


@pytest.mark.parametrize(
    "text",
    [
        "{control: {socket: own.sock}, " + _BROKEN,
        "  state_dir: /indented\n" + _BROKEN,
        "control: {socket: own.sock\n" + _BROKEN,
        "state_dir: /a\nstate_dir: [\n" + _BROKEN,
    ],
)
def test_where_that_is_not_sure_the_mistake_is_told(tmp_path: Path, text: str):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not valid YAML"):
        glance(path, environ={"HOME": "/home/me"})[0]


def test_a_daemon_is_asked_although_the_file_is_no_yaml_by_now(daemon: FakeDaemon, config: Path):
    config.write_text(config.read_text() + "servers: {web: [\n")
    done = status(config)
    assert done.returncode == 0, done.stderr
    assert "gallery" in done.stdout
    assert "The configuration on disk is wrong" in done.stderr
