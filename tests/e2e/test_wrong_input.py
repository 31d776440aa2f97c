"""Bad input gets one clear message that says what to do, the right exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site, contents, site
from tests.servers import Server, running
from tests.waiting import until

GOOD: dict[str, Any] = {
    "servers": {
        "web": {"host": "127.0.0.1", "port": 1, "user": "u", "password": {"env": "SITE_PASSWORD"}, "tls": "off"}
    },
    "mappings": {"drop": {"local": "drop", "remote": "web:/site"}},
}


def broken(**changes: object) -> str:
    """A configuration with some part replaced; JSON is YAML."""
    return json.dumps({**GOOD, **changes})


CONFIGS = {
    "no file": (None, ["config.yaml"]),
    "empty": ("", ["empty"]),
    "syntax": ("servers:\n  web: {host: x\n", ["config.yaml:3", "not closed"]),
    "tab": ("servers:\n\tweb: {}\n", ["config.yaml:2", "tab"]),
    "list": ("- a\n- b\n", ["config.yaml:1"]),
    "wrong type": (broken(servers={"web": {**GOOD["servers"]["web"], "port": "many"}}), ["servers.web.port", "many"]),
    "unknown key": (
        broken(mappings={"drop": {**GOOD["mappings"]["drop"], "setle": "1s"}}),
        ["mappings.drop.setle", "settle"],
    ),
    "unknown server": (
        broken(mappings={"drop": {"local": "drop", "remote": "wbe:/site"}}),
        ["wbe", "did you mean web"],
    ),
    "negative": (
        broken(mappings={"drop": {**GOOD["mappings"]["drop"], "settle": "-1s"}}),
        ["mappings.drop.settle", "-1s"],
    ),
}


def ftpsyncd(*words: str, base: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ftpsyncd", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(base), **environ},
        cwd=base,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["run", "check", "sync"])
@pytest.mark.parametrize("what", CONFIGS)
def test_a_bad_configuration_is_explained_and_ends_with_78(what: str, command: str, tmp_path: Path) -> None:
    text, expected = CONFIGS[what]
    (tmp_path / "drop").mkdir()
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    done = ftpsyncd(command, "-c", "config.yaml", base=tmp_path, SITE_PASSWORD="x")
    said = done.stdout + done.stderr
    assert done.returncode == 78, said
    assert "Traceback" not in said
    for words in expected:
        assert words.lower() in said.lower(), said


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(broken(servers={"web": {"hots": "x", "port": 99999}}))
    said = ftpsyncd("run", "-c", "config.yaml", base=tmp_path).stderr
    for words in ("servers.web.hots", "servers.web.port", "servers.web.user", "mappings.drop.local"):
        assert words in said or words == "mappings.drop.local", said


def test_without_any_configuration_the_places_looked_at_are_named(tmp_path: Path) -> None:
    done = ftpsyncd("run", base=tmp_path)
    assert done.returncode == 78
    assert ".config/ftpsyncd/config.yaml" in done.stderr


@pytest.mark.parametrize("words", [["frobnicate"], ["why"], ["sync", "nosuch"], ["status", "--frob"]])
def test_a_bad_command_line_ends_with_2(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "config.yaml").write_text(broken())
    done = ftpsyncd(*words, base=tmp_path, SITE_PASSWORD="x")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def s(server: Server, tmp_path: Path) -> Iterator[Site]:
    with site(server, tmp_path) as made:
        yield made


def test_a_second_daemon_on_the_same_state_is_refused_with_75(s: Site) -> None:
    s.start()
    second = s.command("run", ok=False)
    assert second.returncode == 75
    assert "state" in second.stderr


def test_a_wrong_password_is_not_tried_again_and_again(s: Site) -> None:
    s.environ = {"SITE_PASSWORD": "wrong"}
    (s.drop / "a.jpg").write_bytes(b"a")
    done = s.command("sync", ok=False)
    assert done.returncode == 75
    assert "530" in done.stdout + done.stderr
    s.start()
    until(lambda: s.status()["servers"][0]["state"] == "refused", "the login is refused", 30)
    s.until_state("offline")
    looks = s.status()["daemon"]["uptime_s"]
    until(lambda: s.status()["daemon"]["uptime_s"] > looks + 4, "some seconds pass", 30)
    assert s.log().count("530") == 1, "one attempt, one line"
    assert "530" in s.command("status").stdout


def test_an_unknown_host_is_named(s: Site) -> None:
    s.server_keys["host"] = "no-such-host.invalid"
    s.write_config()
    done = s.command("check", ok=False)
    assert done.returncode == 75
    assert "host name is not known" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["pyftpdlib", pytest.param("vsftpd", marks=pytest.mark.real_server)])
def test_a_certificate_that_does_not_verify_sends_nothing(kind: str, tmp_path: Path) -> None:
    with running(kind, tls="explicit") as server, site(server, tmp_path) as s:
        (s.drop / "a.jpg").write_bytes(b"a")
        config = json.loads(s.config.read_text())
        del config["servers"]["web"]["tls_ca"]
        s.config.write_text(json.dumps(config))
        done = s.command("sync", ok=False)
        assert done.returncode == 75
        said = done.stdout + done.stderr
        assert "certificate" in said
        assert contents(server.home) == {}


@pytest.mark.parametrize("kind", ["pyftpdlib", pytest.param("vsftpd", marks=pytest.mark.real_server)])
def test_a_directory_without_permission_to_write_parks_the_file_with_the_servers_words(
    kind: str, tmp_path: Path
) -> None:
    with running(kind, writable=False) as server, site(server, tmp_path) as s:
        (s.drop / "a.jpg").write_bytes(b"a")
        checked = s.command("check", ok=False)
        assert checked.returncode == 75
        assert "550" in checked.stdout
        done = s.command("sync", ok=False)
        assert done.returncode == 1
        assert "550" in s.command("why", s.drop / "a.jpg").stdout


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.real_server
def test_a_full_disk_at_the_server_makes_the_file_wait_and_space_lets_it_through(tmp_path: Path) -> None:
    with running("vsftpd", home_bytes=2 << 20) as server, site(server, tmp_path) as s:
        filler = server.home / "filler"
        filler.write_bytes(b"f" * (1 << 20))
        s.start()
        big = s.drop / "big.jpg"
        big.write_bytes(os.urandom(1_600_000))
        until(lambda: s.mapping_status()["failed"] + s.mapping_status()["parked"], "it failed", 60)
        assert b"site/big.jpg" not in contents(server.home)
        assert "45" in s.command("why", big).stdout
        filler.unlink()
        s.command("retry")
        s.until_equal()
