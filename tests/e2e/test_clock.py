"""The machine's clock is set while the daemon runs: forward, back, years wrong. It must change nothing for anybody.

libfaketime (Debian's package of that name) shows the daemon another time of day, which a file says; its files' dates
and its monotonic clock are the machine's. That is what a step by NTP or by hand looks like from within.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from ftpsyncd.control.client import _UnixConnection
from tests.e2e.site import Site, site
from tests.figures import Figures
from tests.servers import running
from tests.waiting import until

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
DAY_S = 86_400
STEPS_S = (3_600, -3_600, 400 * DAY_S, -400 * DAY_S, 5 * 365 * DAY_S, 0)
"""Each is how far the daemon's clock is from the true one."""
SOON_S = 20.0

pytestmark = [
    pytest.mark.lasting(60),
    pytest.mark.real_server,
    pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime (apt-get install libfaketime)"),
]


@pytest.fixture(autouse=True)
def _nothing_of_the_library_left() -> Iterator[None]:
    """What it keeps for the children of a process stays when that is killed."""
    yield
    for left in Path("/dev/shm").glob("*faketime_s*_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)


class Clock:
    """The time of day as the daemon sees it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set(0)

    def set(self, offset_s: int) -> None:
        # As a whole: it is read before every look at the clock.
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{offset_s:+d}\n")
        fresh.replace(self.file)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Its repair for an old glibc ends every timed wait at once: the interpreter's threads would spin.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }


def said_time(s: Site) -> float:
    """When the last thing happened, by the daemon's clock, in seconds since the epoch."""
    entries = json.loads(s.command("history", "--json", "--limit", 0).stdout)["entries"]
    newest = max(entries, key=lambda entry: int(entry["id"]))
    return datetime.fromisoformat(newest["at"]).timestamp()


def test_a_start_years_ahead_costs_no_history(tmp_path: Path) -> None:
    """A clock whose battery is dead, until there is a network: receipts of today seem to be years old, at each start."""
    with running("vsftpd") as server, site(server, tmp_path) as s:
        clock = Clock(tmp_path / "clock")
        s.environ = clock.environ
        (s.drop / "a.jpg").write_bytes(b"a")
        s.start()
        s.until_equal()
        s.stop()
        for number, offset_s in enumerate((12 * 365 * DAY_S, 12 * 365 * DAY_S, 0)):
            clock.set(offset_s)
            s.start()
            (s.drop / "a.jpg").write_bytes(b"%d" % number)
            s.until_equal()
            entries = json.loads(s.command("history", "--json", "--limit", 0).stdout)["entries"]
            assert min(abs(datetime.fromisoformat(each["at"]).timestamp() - time.time()) for each in entries) < DAY_S
            s.stop()
        assert len([each for each in entries if each["kind"] == "published"]) == 4


@pytest.mark.timeout(300)
def test_steps_of_the_clock_change_nothing(tmp_path: Path, figures: Figures) -> None:
    with running("vsftpd") as server, site(server, tmp_path) as s:
        clock = Clock(tmp_path / "clock")
        s.environ = clock.environ
        (s.drop / "stays.jpg").write_bytes(b"stays")
        (s.drop / "again.jpg").write_bytes(b"before")
        s.start()
        s.until_equal()
        untouched = (s.published / "stays.jpg").stat()
        slowest = 0.0
        for number, offset_s in enumerate(STEPS_S):
            clock.set(offset_s)
            began = time.monotonic()
            (s.drop / "again.jpg").write_bytes(b"%d" % number * (number + 2))
            (s.drop / f"{number}.jpg").write_bytes(b"%d" % number * 100)
            s.until_equal(SOON_S)
            (s.drop / f"{number}.jpg").rename(s.drop / f"renamed{number}.jpg")
            s.until_equal(SOON_S)
            (s.drop / f"renamed{number}.jpg").unlink()
            s.until_equal(SOON_S)
            s.until_state("in_sync", SOON_S)
            assert abs(said_time(s) - time.time() - offset_s) < SOON_S * 4, "the daemon sees that clock"
            slowest = max(slowest, time.monotonic() - began)
            assert s.status()["problems"] == []
            assert s.status()["daemon"]["uptime_s"] >= 0
        for offset_s in STEPS_S:
            # And it may be wrong from the start, another time than when the ledger was written.
            s.kill()
            clock.set(offset_s)
            s.start()
            s.until_state("in_sync", SOON_S)
            (s.drop / "again.jpg").write_bytes(b"%d" % offset_s)
            s.until_equal(SOON_S)
        after = (s.published / "stays.jpg").stat()
        assert (after.st_ino, after.st_mtime_ns) == (untouched.st_ino, untouched.st_mtime_ns)
        assert s.stop() == 0
    figures.tell("G2", "steps of the clock, up to 5 years, while files changed", len(STEPS_S))
    figures.tell(
        "G2",
        "longest time from four changes after such a step until both sides were equal",
        round(slowest, 1),
        unit="s",
    )


def test_a_certificate_that_is_judged_by_a_wrong_clock_is_judged_again_when_that_is_set(tmp_path: Path) -> None:
    """A machine without a battery starts in another year; the network that sets its clock comes a moment later."""
    with running("vsftpd", tls="explicit") as server, site(server, tmp_path) as s:
        clock = Clock(tmp_path / "clock")
        clock.set(-35 * 365 * DAY_S)
        s.environ = clock.environ
        (s.drop / "a.jpg").write_bytes(b"a")
        s.start()
        until(lambda: s.status()["servers"][0]["state"] == "refused", "the certificate does not verify", 30)
        assert "not yet valid" in s.status()["servers"][0]["message"]
        clock.set(0)
        s.until_equal(SOON_S)


def test_what_is_told_after_a_clock_that_was_years_ahead_is_no_nonsense(tmp_path: Path) -> None:
    """What waits for a person waits on, and is done when he has decided."""
    ahead_s = 3 * 365 * DAY_S
    with running("vsftpd") as server, site(server, tmp_path, max_deletes=1) as s:

        def ago_s(moment: str | None) -> float:
            assert moment is not None
            return time.time() - datetime.fromisoformat(moment).timestamp()

        clock = Clock(tmp_path / "clock")
        s.environ = clock.environ
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            (s.drop / name).write_bytes(name.encode())
        s.start()
        s.until_equal()
        clock.set(ahead_s)
        (s.drop / "not\nsendable.jpg").write_bytes(b"x")
        (s.drop / "ahead.jpg").write_bytes(b"x")
        (s.drop / "a.jpg").unlink()
        (s.drop / "b.jpg").unlink()
        until(lambda: (s.mapping_status()["held"], s.mapping_status()["parked"]) == (2, 1), "two wait for a person", 20)
        until((s.published / "ahead.jpg").exists, "it is published", SOON_S)
        assert abs(started(s) - time.time() - ahead_s) < DAY_S
        assert abs(ago_s(s.mapping_status()["since"]) + ahead_s) < DAY_S
        clock.set(0)
        until(lambda: abs(ago_s(s.mapping_status()["since"])) < DAY_S, "it is told by the clock as it is now", SOON_S)
        assert 0 <= ago_s(s.mapping_status()["last_publish"]) < DAY_S
        assert 0 <= ago_s(s.status()["problems"][0]["failed"]) < DAY_S
        assert abs(started(s) - time.time()) < DAY_S
        told = s.command("status").stdout
        assert re.search(r"drop  held +for (?:less than )?[0-9]+ s, 1 parked, 2 held", told), told
        assert re.search(r"\(1 try, parked (just now|[0-9]+ s ago)\)", told), told
        assert s.mapping_status()["held"] == 2
        (s.drop / "not\nsendable.jpg").unlink()
        assert "2 deletes approved" in s.command("approve", "drop").stdout
        s.until_equal(SOON_S)
        assert s.stop() == 0


def started(s: Site) -> float:
    """When the daemon was started, as it tells Prometheus."""
    connection = _UnixConnection(str(s.base / "control.sock"), 10)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return float(next(line for line in lines if line.startswith("ftpsyncd_start_time_seconds")).split()[1])


@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_no_file_fails_of_a_ticket_that_has_expired_by_a_clock_that_was_set(tmp_path: Path, kind: str) -> None:
    """OpenSSL leaves a ticket of TLS 1.3 away that is too old by this clock; these refuse what comes without."""
    keys = {"connections": 2}
    with running(kind, tls="explicit") as server, site(server, tmp_path, server_keys=keys) as s:
        clock = Clock(tmp_path / "clock")
        s.environ = clock.environ
        (s.drop / "a.jpg").write_bytes(b"a")
        s.start()
        s.until_equal()
        for number, offset_s in enumerate((30 * DAY_S, 60 * DAY_S, -30 * DAY_S, 30 * DAY_S)):
            clock.set(offset_s)
            for name in "bcde":
                (s.drop / f"{name}{number}.jpg").write_bytes(name.encode() * 1000)
            s.until_equal(SOON_S)
        entries = json.loads(s.command("history", "--json", "--limit", 0).stdout)["entries"]
        assert [entry["path"] for entry in entries if entry["kind"] == "failed"] == []
        assert s.stop() == 0
