"""A server that goes away while things change: what waits costs next to nothing, and all is made good by itself."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.site import Site, Spy, contents, digest, site, wait_a_moment
from tests.servers import Server
from tests.waiting import until

pytestmark = pytest.mark.lasting(40)

SETTLED_S = 2.0
"""After the last change: what the daemon does from then on is waiting."""
CPU_SHARE = 0.02
LINES = 15


def arrive(s: Site) -> None:
    """300 files, some of which the server has already, arrive, change, move and go; some in directories that do."""
    source = random.Random(300)
    for i in range(200):
        directory = s.drop / f"day{i % 10}"
        directory.mkdir(exist_ok=True)
        (directory / f"new{i}.jpg").write_bytes(source.randbytes(3000))
    for i in range(50):
        (s.drop / f"old/{i}.jpg").write_bytes(source.randbytes(2000))
        (s.drop / f"day{i % 10}/new{i}.jpg").write_bytes(source.randbytes(4000))
    for i in range(50, 75):
        (s.drop / f"old/{i}.jpg").unlink()
        (s.drop / f"day{i % 10}/new{i}.jpg").unlink()
    for i in range(75, 100):
        (s.drop / f"old/{i}.jpg").rename(s.drop / f"day{i % 10}/renamed{i}.jpg")
    (s.drop / "day1").rename(s.drop / "day one")
    (s.drop / "old").rename(s.drop / "older")
    shutil.rmtree(s.drop / "day2")


def live_through_an_outage(server: Server, base: Path, outage_s: float, report: Callable[[str], None]) -> None:
    with site(server, base) as s:
        (s.drop / "old").mkdir()
        for i in range(100):
            (s.drop / f"old/{i}.jpg").write_bytes(b"%d" % i * 500)
        s.start()
        s.until_equal()
        pid = s.status()["daemon"]["pid"]
        server.stop()
        lines, cpu_s = s.log().count("\n"), s.cpu_s()
        arrive(s)
        s.until_state("offline")
        wait_a_moment(SETTLED_S)
        burst_s, cpu_s = s.cpu_s() - cpu_s, s.cpu_s()
        wait_a_moment(outage_s)
        waiting_s = s.cpu_s() - cpu_s
        logged = s.log().count("\n") - lines
        report(
            f"{server.kind}: burst {burst_s:.2f} CPU s, {outage_s:g} s of waiting {waiting_s:.2f} CPU s, {logged} lines"
        )
        assert waiting_s <= CPU_SHARE * outage_s
        assert logged < LINES
        assert s.mapping_status()["state"] == "offline"
        server.start()
        s.until_equal(90)
        s.until_state("in_sync")
        assert s.status()["daemon"]["pid"] == pid


@pytest.mark.timeout(180)
def test_what_happened_during_an_outage_is_made_good_and_cost_next_to_nothing(
    server: Server, tmp_path: Path, report: Callable[[str], None]
) -> None:
    live_through_an_outage(server, tmp_path, 10, report)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_happened_during_an_outage_of_a_minute_is_made_good(
    server: Server, tmp_path: Path, report: Callable[[str], None]
) -> None:
    live_through_an_outage(server, tmp_path, 60, report)


@pytest.mark.timeout(180)
def test_a_server_that_dies_during_a_transfer_shows_nothing_torn_and_no_file_is_lost(
    server: Server, tmp_path: Path
) -> None:
    with site(server, tmp_path, server_keys={"connections": 2, "bandwidth": "10 MB/s"}) as s, Spy(s.published) as spy:
        # It is not about how long a server is left alone.
        s.numbers = {"ftpsyncd.core.gate.FIRST_PAUSE_S": 3.0}
        s.start()
        for i in range(20):
            (s.drop / f"{i}.mov").write_bytes(bytes([i]) * 4_000_000)
        until(lambda: contents(s.published), "the first bytes arrive", 20)
        server.stop()
        s.until_state("offline")
        server.start()
        s.until_equal(60)
        spy.until_seen_all()
        spy.assert_never_torn({f"{i}.mov": {digest(bytes([i]) * 4_000_000)} for i in range(20)})
        assert "failed" not in s.log()


def test_what_went_while_the_server_was_away_waits_no_more(some_server: Server, tmp_path: Path) -> None:
    """More names of one directory than are remembered, of files that were never sent."""
    with site(some_server, tmp_path) as s:
        some_server.stop()
        for i in range(300):
            (s.drop / f"{i}.jpg").write_bytes(b"never sent")
        s.start()
        until(lambda: s.mapping_status()["pending"] == 301, "all of them wait, and the directory")
        with s.suspended():
            for i in range(1, 300):
                (s.drop / f"{i}.jpg").unlink()
        until(lambda: s.mapping_status()["pending"] == 2, "one of them waits", 20)
        some_server.start()
        s.command("retry")
        s.until_equal()
