"""Who means the daemon of another configuration, which names the same socket, is sent away by the one that answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.control.client import ControlClient
from ftpsyncd.control.meant import FIELD, Meant
from ftpsyncd.control.server import ControlServer
from ftpsyncd.errors import ControlError, ExitCode
from tests.control.fakes import FakeDaemon

OURS = Meant("/etc/ours.yaml", "/var/lib/ours")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    found = FakeDaemon()
    with ControlServer(found, tmp_path / "control.sock", meant=OURS):
        yield found


def test_what_another_daemon_is_to_do_is_not_done(daemon: FakeDaemon, tmp_path: Path):
    """An approval deleted what the wrong one held."""
    client = ControlClient(tmp_path / "control.sock", meant=Meant("/etc/other.yaml", "/var/lib/other"))
    with pytest.raises(ControlError, match=r"another configuration, /etc/ours\.yaml") as caught:
        client.command("approve", mapping="gallery")
    assert caught.value.exit_code == ExitCode.TEMPFAIL
    assert daemon.commands == []
    with pytest.raises(ControlError, match="another `state_dir`, /var/lib/ours"):
        client.status()


@pytest.mark.parametrize(
    "meant",
    [
        None,
        OURS,
        Meant(OURS.config, "/somewhere/else"),  # edited since it was started
        Meant("/home/me/copy.yaml", OURS.state_dir),
    ],
)
def test_its_own_people_are_served_by_whatever_name_they_know_it(
    daemon: FakeDaemon, tmp_path: Path, meant: Meant | None
):
    ControlClient(tmp_path / "control.sock", meant=meant).command("approve", mapping="gallery")
    assert len(daemon.commands) == 1


@pytest.mark.parametrize("text", ["", "nonsense", "5", "[]", "[1, 2, 3]", "null", "[" * 100_000])
def test_what_makes_no_sense_keeps_nobody_out(text: str):
    assert OURS.may_be(text)


def test_a_name_of_any_bytes_can_be_sent(daemon: FakeDaemon, tmp_path: Path):
    assert FIELD.isascii()
    meant = Meant("/etc/\udcff\n.yaml", OURS.state_dir)
    assert ControlClient(tmp_path / "control.sock", meant=meant).status()
