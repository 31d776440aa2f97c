"""Disks that hang under what the daemon itself needs: it says so, goes on with the rest, and obeys signals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.control.client import ControlClient
from ftpsyncd.errors import ControlError
from tests.e2e.site import Site, site, wait_a_moment
from tests.figures import Figures
from tests.hungdisk import hung
from tests.servers import running
from tests.waiting import until

pytestmark = [
    pytest.mark.lasting(100),
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root, and FUSE"),
]


@pytest.fixture
def s(tmp_path: Path) -> Iterator[Site]:
    with running("pyftpdlib", tls="explicit") as server, site(server, tmp_path) as made:
        yield made


def begun(s: Site) -> subprocess.Popen[bytes]:
    """The daemon, of which nobody has heard yet."""
    with s.log_path.open("ab") as log:
        command = [*s.program, "run", "-c", str(s.config)]
        s.process = subprocess.Popen(command, stdout=log, stderr=log, env=s.environment())
    return s.process


def etc(s: Site, file: Path) -> Path:
    """Move a file to a directory of its own, which may hang, and have a link in its place; returns the directory."""
    directory = s.base / "etc"
    directory.mkdir()
    shutil.move(file, directory / file.name)
    file.symlink_to(directory / file.name)
    return directory


def test_a_start_whose_configuration_is_on_a_disk_that_hangs_says_so_and_can_be_ended(s: Site) -> None:
    with hung(etc(s, s.config)):
        process = begun(s)
        said = f"the start waits for the configuration {s.config}: its disk is slow, or does not answer"
        until(lambda: said in s.log(), "what it waits for", 20)
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM
        s.process = None


def test_a_start_goes_on_when_its_configuration_comes(s: Site) -> None:
    text = s.config.read_text()
    s.config.unlink()
    os.mkfifo(s.config)
    # Whoever writes it is there, and takes its time.
    with s.config.open("r+b", buffering=0) as pipe:
        begun(s)
        until(lambda: "the start waits for the configuration" in s.log(), "what it waits for", 20)
        pipe.write(text.encode())
    (s.drop / "a.jpg").write_bytes(b"x")
    s.until_equal()
    assert s.log().count("the start waits for") == 1
    assert s.stop() == 0


def test_a_reload_from_a_disk_that_hangs_is_refused_and_nothing_else_waits(s: Site) -> None:
    """The thread that obeys signals, and feeds the watchdog, would wait for ever."""
    directory = etc(s, s.config)
    s.start()
    said = f"the configuration {s.config} cannot be read: its disk has not answered for 5 s"
    with hung(directory):
        assert s.process is not None
        s.process.send_signal(signal.SIGHUP)
        until(lambda: f"was not reloaded, the old one stays in force: {said}" in s.log(), "it is refused", 20)
        with pytest.raises(ControlError, match=said) as refused:
            ControlClient(s.base / "control.sock").command("reload")
        assert refused.value.remedy == f"Run `ftpsyncd reload -c {s.config}` when it does."
        (s.drop / "a.jpg").write_bytes(b"x")
        s.until_equal()
        began = time.monotonic()
        assert s.stop() == 0
        assert time.monotonic() - began < 10


def test_a_command_says_that_it_waits_for_its_configuration(s: Site) -> None:
    with hung(etc(s, s.config)):
        command = [*s.program, "status", "-c", str(s.config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            said = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
    assert said == f"ftpsyncd: waiting for the configuration {s.config}: its disk is slow, or does not answer\n"


def test_a_start_whose_certificates_are_on_a_disk_that_hangs_says_what_it_waits_for(s: Site) -> None:
    directory = with_anchor(s)
    with hung(directory):
        s.start()
        [server] = s.status()["servers"]
        assert server["state"] == "offline"
        assert f"the file {directory}/ca.pem cannot be read: its disk has not answered for 5 s" in server["message"]
        assert "the start waits for" not in s.log(), "nothing else is waited for"


def test_a_reload_whose_certificates_are_on_a_disk_that_hangs_is_no_wrong_configuration(s: Site) -> None:
    directory = with_anchor(s)
    (s.drop / "first.jpg").write_bytes(b"x")
    s.start()
    s.until_equal()
    s.config.write_text(s.config.read_text().replace('"settle": "0.3s"', '"settle": "0.4s"'))
    with hung(directory):
        done = s.command("reload", ok=False)
        assert done.returncode == 75
        assert "its disk has not answered for 5 s" in done.stderr
        assert "Correct the configuration" not in done.stderr
        (s.drop / "a.jpg").write_bytes(b"x")
        s.until_equal()


def test_certificates_that_hang_when_they_are_first_needed_are_told_of(s: Site) -> None:
    directory = with_anchor(s)
    s.start()
    with hung(directory):
        (s.drop / "a.jpg").write_bytes(b"x")

        def message() -> str:
            [server] = s.status()["servers"]
            return str(server["message"])

        until(
            lambda: f"{directory}/ca.pem" in message() and "its disk has not answered for 5 s" in message(), "told", 20
        )
        began = time.monotonic()
        assert s.stop() == 0
        assert time.monotonic() - began < 10, "nobody hangs"


def test_the_other_mappings_of_its_server_do_not_wait_long_for_a_disk_that_hangs(
    tmp_path: Path, figures: Figures
) -> None:
    """The only connection is in the hands of a worker that opens a file there."""
    keys = {"connections": 1, "bandwidth": "100 kB/s"}
    with running("pyftpdlib") as server, site(server, tmp_path, server_keys=keys) as s:
        other = tmp_path / "other"
        other.mkdir()
        config = json.loads(s.config.read_text())
        config["mappings"]["other"] = {**config["mappings"]["drop"], "local": str(other), "remote": "web:/other"}
        s.config.write_text(json.dumps(config))
        for n in range(15):
            (s.drop / f"{n}.jpg").write_bytes(os.urandom(100_000))
        s.start()
        until(lambda: list(s.published.glob("*.jpg")), "they are on their way", 20)
        with hung(s.drop):
            (other / "a.jpg").write_bytes(b"x")
            began = time.monotonic()
            until((server.home / "other/a.jpg").exists, "the other mapping is published", 60)
            waited_s = time.monotonic() - began
            assert waited_s < 30
            s.until_state("source_missing")
        figures.tell(
            "G5", "seconds that the other mappings of a server wait for a disk that hangs", waited_s, unit="s", limit=30
        )
        s.until_state("in_sync", 120)


def test_a_daemon_at_rest_goes_on_while_the_disk_of_its_state_hangs(s: Site) -> None:
    """Whoever has nothing to record needs nothing of it, and is not killed by the watchdog for it."""
    s.start()
    s.until_state("in_sync")
    with hung(s.base / "state"):
        wait_a_moment(10)
        _, health = ControlClient(s.base / "control.sock")._exchange("GET", "/healthz", None)
        assert health["engine_turn_age_s"] < 5


def test_the_watchdog_is_fed_while_the_disk_of_a_folder_hangs_and_not_while_the_engine_does(s: Site) -> None:
    """A daemon that is started again would find the folder as it is, and could not have sent anything meanwhile."""
    address = str(s.base / "notify")
    s.numbers = {"ftpsyncd.engine.board.ENGINE_STUCK_S": 2.0, "ftpsyncd.mapping.looks.SILENT_S": 4.0}
    s.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(address)
        supervisor.settimeout(0)

        def told() -> set[bytes]:
            found = set()
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.add(supervisor.recv(65536))
            return found

        def is_fed() -> bool:
            """Whether a second brings a sign of life, beside those that had waited to be heard."""
            told()
            wait_a_moment(1)
            return b"WATCHDOG=1" in told()

        s.start()
        s.until_state("in_sync")
        with hung(s.drop):
            s.until_state("source_missing", 60)
            assert is_fed()
        s.until_state("in_sync", 60)
        with hung(s.base / "state"):
            (s.drop / "a.jpg").write_bytes(b"a")
            until(lambda: not is_fed(), "it waits for a disk to record something", 30)
        until(is_fed, "the engine turns again", 30)
        s.until_equal()


def test_a_daemon_whose_state_is_on_a_disk_that_hangs_ends_when_it_is_to(s: Site) -> None:
    s.numbers = {"ftpsyncd.daemon.service.STOP_S": 5.0}
    s.start()
    s.until_state("in_sync")
    with hung(s.base / "state"):
        assert s.process is not None
        s.process.terminate()
        assert s.process.wait(60) == 0
    assert f"the disk of the state directory {s.base}/state does not answer" in s.log()


def with_anchor(s: Site) -> Path:
    """Have the trust anchor in a directory of its own, which may hang; returns that."""
    directory = s.base / "etc"
    directory.mkdir()
    config = json.loads(s.config.read_text())
    shutil.copy(config["servers"]["web"]["tls_ca"], directory / "ca.pem")
    config["servers"]["web"]["tls_ca"] = str(directory / "ca.pem")
    s.config.write_text(json.dumps(config))
    return directory
