"""Bad input gets one clear message that says what to do, the right exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import nursery
from tests.e2e.site import Site, contents, site
from tests.servers import PASSWORD, Server, running
from tests.variants import also
from tests.waiting import until

pytestmark = pytest.mark.lasting(50)

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
    "syntax": ("servers:\n  web: {host: x\n", ["config.yaml:2:8", "not closed"]),
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
    environ = {**os.environ, "HOME": str(base), **environ}
    return nursery.run([sys.executable, "-m", "ftpsyncd", *words], env=environ, cwd=base)


@pytest.mark.parametrize("command", ["run", "check", *also("sync")])
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
        assert checked.returncode == 1
        assert "550" in checked.stdout
        done = s.command("sync", ok=False)
        assert done.returncode == 1
        assert "550" in s.command("why", s.drop / "a.jpg").stdout


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.real_server
def test_a_full_disk_at_the_server_makes_the_file_wait_and_space_lets_it_through(tmp_path: Path) -> None:
    # Not pyftpdlib: it dies of ENOSPC inside and never answers.
    with running("vsftpd", home_bytes=2 << 20) as server, site(server, tmp_path) as s:
        filler = server.home / "filler"
        filler.write_bytes(b"f" * (1 << 20))
        s.start()
        big = s.drop / "big.jpg"
        big.write_bytes(os.urandom(1_600_000))
        until(lambda: s.mapping_status()["failed"] + s.mapping_status()["parked"], "it failed", 60)
        assert b"site/big.jpg" not in contents(server.home)
        (problem,) = s.status()["problems"]
        assert problem["reply"], "the server's own words"
        until(lambda: problem["reply"] in s.command("why", big).stdout, "why tells the server's words")
        filler.unlink()
        s.command("retry")
        s.until_equal()
        until(lambda: s.mapping_status()["failed"] + s.mapping_status()["parked"] == 0, "nothing failed any more")


@pytest.mark.parametrize("command", ["run", "check", "sync"])
def test_a_missing_password_is_one_message_and_ends_with_78(command: str, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "config.yaml").write_text(broken())
    environ = {"SITE_PASSWORD": ""}
    done = ftpsyncd(command, "-c", "config.yaml", base=tmp_path, **environ)
    said = done.stdout + done.stderr
    assert done.returncode == 78, said
    assert "SITE_PASSWORD" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["run", "check", *also("sync")])
@pytest.mark.parametrize("what", ["no file", "empty", "syntax", "wrong type", "unknown key"])
def test_one_mistake_is_one_message(what: str, command: str, tmp_path: Path) -> None:
    text, _ = CONFIGS[what]
    (tmp_path / "drop").mkdir()
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    done = ftpsyncd(command, "-c", "config.yaml", base=tmp_path, SITE_PASSWORD="x")
    message, *remedy = done.stderr.splitlines()
    assert message.startswith("ftpsyncd: error: ")
    assert len(remedy) <= 1
    assert done.stdout == ""


def test_a_sync_beside_the_daemon_is_refused_with_75_and_a_check_is_not(s: Site) -> None:
    s.start()
    refused = s.command("sync", ok=False)
    assert refused.returncode == 75
    assert "another ftpsyncd" in refused.stderr
    assert s.command("check").returncode == 0


def test_a_state_directory_that_cannot_be_used_is_named_and_ends_with_75(s: Site) -> None:
    (s.base / "state").write_bytes(b"a file")
    for command in ("run", "sync"):
        done = s.command(command, ok=False)
        assert done.returncode == 75, done.stderr
        assert str(s.base / "state") in done.stderr
        assert "Traceback" not in done.stderr


class Refusing:
    """An FTP server that refuses every login and counts them."""

    def __init__(self) -> None:
        self.logins = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._talk, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb", buffering=0) as line:
            line.write(b"220 Hello.\r\n")
            for command in line:
                if command.startswith(b"PASS"):
                    self.logins += 1
                line.write(b"331 And?\r\n" if command.startswith(b"USER") else b"530 Login incorrect.\r\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


def test_a_refused_login_is_tried_once_however_much_waits_and_once_more_after_retry(tmp_path: Path) -> None:
    refusing = Refusing()
    try:
        with running("pyftpdlib") as server, site(server, tmp_path, server_keys={"port": refusing.port}) as s:
            for i in range(50):
                (s.drop / f"{i}.jpg").write_bytes(b"x" * 1000)
            s.start()
            s.until_state("offline")
            for i in range(50, 100):
                (s.drop / f"{i}.jpg").write_bytes(b"x" * 1000)
            until(lambda: s.mapping_status()["pending"] >= 100, "all wait", 30)
            until(lambda: s.status()["daemon"]["uptime_s"] > 8, "some seconds pass", 30)
            assert refusing.logins == 1
            (state,) = s.status()["servers"]
            assert state["state"] == "refused"
            assert "Login incorrect" in state["message"]
            assert "ftpsyncd check" in s.command("status").stdout
            s.command("retry")
            until(lambda: refusing.logins == 2, "one more try", 10)
            began = s.status()["daemon"]["uptime_s"]
            until(lambda: s.status()["daemon"]["uptime_s"] > began + 4, "some seconds pass", 30)
            assert refusing.logins == 2
            assert s.stop() == 0
    finally:
        refusing.close()


def test_a_corrected_password_is_used_after_retry(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    with site(server, tmp_path, server_keys={"password": {"file": str(secret)}}) as s:
        (s.drop / "a.jpg").write_bytes(b"a")
        s.start()
        until(lambda: s.status()["servers"][0]["state"] == "refused", "the login is refused", 30)
        secret.write_text(PASSWORD + "\n")
        s.command("retry", "--server", "web")
        s.until_equal()
        s.until_state("in_sync")
        assert "server web: online" in s.log()


@pytest.fixture
def lacking(server: Server, tmp_path: Path) -> Iterator[Site]:
    """A site of two servers, of which one's password is missing; each has a file to publish."""
    with site(server, tmp_path) as s:
        config = json.loads(s.config.read_text())
        config["servers"]["shop"] = {**config["servers"]["web"], "password": {"file": str(tmp_path / "later")}}
        (tmp_path / "other").mkdir()
        config["mappings"]["other"] = {
            **config["mappings"]["drop"],
            "local": str(tmp_path / "other"),
            "remote": "shop:/shop",
        }
        s.config.write_text(json.dumps(config))
        (s.drop / "a.jpg").write_bytes(b"a")
        (tmp_path / "other" / "b.jpg").write_bytes(b"b")
        yield s


def test_a_password_that_is_missing_keeps_no_other_server_waiting(lacking: Site, tmp_path: Path) -> None:
    lacking.start()
    until(lambda: b"site/a.jpg" in contents(lacking.server.home), "the other server's file is published")
    (shop,) = [each for each in lacking.status()["servers"] if each["name"] == "shop"]
    assert shop["state"] == "offline"
    assert "cannot be read" in shop["message"]
    assert str(tmp_path / "later") in lacking.log()
    assert b"shop/b.jpg" not in contents(lacking.server.home)
    (tmp_path / "later").write_text(PASSWORD + "\n")
    lacking.command("retry", "--server", "shop")
    until(lambda: b"shop/b.jpg" in contents(lacking.server.home), "it is published as soon as its password is there")
    assert lacking.stop() == 0


def test_a_sync_without_one_of_its_passwords_publishes_the_rest_and_ends_with_75(lacking: Site) -> None:
    done = lacking.command("sync", ok=False)
    assert done.returncode == 75, done.stderr
    assert re.search(r"! shop: .+:\d+:\d+  servers\.shop\.password: the file", done.stdout + done.stderr)
    assert set(contents(lacking.server.home)) == {b"site/a.jpg"}
    alone = lacking.command("sync", "other", ok=False)
    assert alone.returncode == 78
    assert "Create it with the secret" in alone.stderr


def test_an_address_for_alerts_that_is_missing_keeps_nothing_from_being_published(s: Site, tmp_path: Path) -> None:
    config = json.loads(s.config.read_text())
    config["alerts"] = {"webhook": {"file": str(tmp_path / "no-address")}}
    s.config.write_text(json.dumps(config))
    (s.drop / "a.jpg").write_bytes(b"a")
    s.start()
    s.until_equal()
    assert s.stop() == 0
    assert re.search(r"alerts cannot be delivered: .+:\d+:\d+  alerts\.webhook: the file", s.log())


def test_the_daemon_lives_on_with_an_unknown_host_and_says_so(s: Site) -> None:
    s.server_keys["host"] = "no-such-host.invalid"
    s.write_config()
    (s.drop / "a.jpg").write_bytes(b"a")
    done = s.command("sync", ok=False)
    assert done.returncode == 75
    assert "host name is not known" in done.stdout + done.stderr
    s.start()
    s.until_state("offline")
    assert "host name is not known" in s.mapping_status()["message"]
    assert "host name is not known" in s.command("why", s.drop / "a.jpg").stdout
    assert s.stop() == 0


@pytest.mark.parametrize("kind", ["pyftpdlib", pytest.param("vsftpd", marks=pytest.mark.real_server)])
def test_the_daemon_lives_on_with_a_certificate_that_does_not_verify_and_says_so(kind: str, tmp_path: Path) -> None:
    with running(kind, tls="explicit") as server, site(server, tmp_path) as s:
        (s.drop / "a.jpg").write_bytes(b"a")
        config = json.loads(s.config.read_text())
        del config["servers"]["web"]["tls_ca"]
        s.config.write_text(json.dumps(config))
        s.start()
        until(lambda: s.status()["servers"][0]["state"] == "refused", "TLS is refused", 30)
        assert "certificate" in s.status()["servers"][0]["message"]
        checked = s.command("check", ok=False)
        assert checked.returncode == 75
        assert "tls_ca" in checked.stdout
        assert contents(server.home) == {}
        assert s.stop() == 0


@pytest.mark.real_server
def test_a_file_parked_for_lack_of_permission_is_published_after_retry(tmp_path: Path) -> None:
    with running("vsftpd", writable=False) as server, site(server, tmp_path) as s:
        (s.drop / "a.jpg").write_bytes(b"a")
        s.start()
        # Until it is parked, it may be on its way once more.
        until(lambda: "ftpsyncd retry" in s.command("why", s.drop / "a.jpg").stdout, "it is parked", 30)
        assert "550" in s.command("why", s.drop / "a.jpg").stdout, "the server's words are told"
        server.home.chmod(0o777)
        s.command("retry")
        s.until_equal()
        until(lambda: s.mapping_status()["parked"] == 0, "nothing is parked any more")
