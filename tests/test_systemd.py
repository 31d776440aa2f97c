"""What the service tells systemd (sd_notify(3))."""

import os
import socket
import time

import pytest

from ftpsyncd import systemd
from tests.fewfiles import no_number_left
from tests.supervisor import hung_up


@pytest.fixture(autouse=True)
def _hung_up():
    with hung_up():
        yield


@pytest.fixture(params=["file", "abstract"])
def supervisor(request, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        if request.param == "file":
            address = str(tmp_path / "notify")
            sock.bind(address)
        else:
            sock.bind("")  # the kernel picks an abstract name
            address = "@" + sock.getsockname()[1:].decode()
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield lambda: sock.recv(65536).decode()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (systemd.ready, "READY=1"),
        (systemd.stopping, "STOPPING=1"),
        (systemd.watchdog, "WATCHDOG=1"),
        (lambda: systemd.status("3 files wait: é"), "STATUS=3 files wait: é"),
        (lambda: systemd.extend_timeout(1.5), "EXTEND_TIMEOUT_USEC=1500000"),
        (lambda: systemd.extend_timeout(-1), "EXTEND_TIMEOUT_USEC=0"),
    ],
)
def test_each_message_reaches_the_supervisor(supervisor, call, expected):
    assert call() is True
    assert supervisor() == expected


def test_reloading_carries_the_monotonic_time(supervisor):
    before = time.monotonic_ns() // 1000
    assert systemd.reloading()
    state, stamp = supervisor().split("\n")
    assert state == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_name_in_the_status_cannot_add_another_assignment(supervisor):
    systemd.status("published a\nMAINPID=1\r\0\udcff.jpg")
    assert supervisor() == "STATUS=published a MAINPID=1   .jpg"


@pytest.mark.parametrize(
    "address", [None, "", "relative", "/nowhere/notify", "/" + "x" * 200, "vsock:2:1", "@" + "x" * 200]
)
def test_nothing_happens_without_a_supervisor(monkeypatch, address):
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not systemd.ready()
    assert not systemd.status("well")


def test_that_it_is_alive_is_told_also_where_no_further_file_can_be_opened(supervisor):
    """Of all files open on this machine, say: the watchdog killed a daemon that waited for the end of that."""
    assert systemd.ready()
    with no_number_left():
        assert systemd.watchdog()
    assert [supervisor(), supervisor()] == ["READY=1", "WATCHDOG=1"]


def test_where_there_was_none_for_the_first_word_the_next_one_is_said(supervisor):
    with no_number_left():
        assert not systemd.watchdog()
    assert systemd.watchdog()
    assert supervisor() == "WATCHDOG=1"


def test_a_supervisor_that_does_not_read_is_not_waited_for_long(supervisor, monkeypatch):
    monkeypatch.setattr(systemd, "_SEND_TIMEOUT_S", 0.01)
    began = time.monotonic()
    while systemd.watchdog():
        assert time.monotonic() - began < 30
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", None, 30.0),
        ("60000000", "own", 30.0),
        ("60000000", "1", None),
        ("60000000", "", 30.0),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_fed_twice_per_period_of_this_process(monkeypatch, usec, pid, expected):
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval_s() == expected


# ── The journal ──────────────────────────────────────────────────────────────────────────────────────────────────


def read_back(datagram):
    """A record of the journal's native protocol, as systemd describes it."""
    fields = {}
    while datagram:
        head, _, rest = datagram.partition(b"\n")
        if b"=" in head:
            name, _, value = head.partition(b"=")
            datagram = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            name, value, datagram = head, rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value
    return fields


@pytest.fixture
def journal(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind(str(tmp_path / "journal"))
        yield sock


def test_a_record_reaches_the_journal_with_its_fields(journal):
    fields = {"MESSAGE": "drop: published é=1", "FTPSYNCD_PATH": "a\nPRIORITY=0\n\udcff", "PRIORITY": "6"}
    assert systemd.journal(fields, journal.getsockname())
    assert read_back(journal.recv(65536)) == {
        "MESSAGE": "drop: published é=1".encode(),
        "FTPSYNCD_PATH": b"a\nPRIORITY=0\n\xff",
        "PRIORITY": b"6",
    }


def test_a_record_too_large_or_without_a_journal_is_not_taken(journal, tmp_path):
    assert not systemd.journal({"MESSAGE": "x" * 10_000_000}, journal.getsockname())
    assert not systemd.journal({"MESSAGE": "x"}, str(tmp_path / "nobody"))
