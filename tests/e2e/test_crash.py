"""The daemon is killed again and again while things change: nothing is lost, nothing is torn, nothing is left over."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsyncd.core.names import temporary
from tests.e2e.churn import Changer
from tests.e2e.site import MAPPING, REMOTE, Spy, site, wait_a_moment
from tests.servers import Server, running
from tests.waiting import until

KILLS = 20
LONGEST_LIFE_S = 0.8


@pytest.mark.timeout(240)
def test_killed_at_20_random_moments_it_ends_with_both_sides_equal_and_nothing_left_over(
    server: Server, tmp_path: Path, report: Callable[[str], None]
) -> None:
    seed = random.getrandbits(32)
    report(f"{server.kind}: seed {seed}")
    moments = random.Random(seed)
    with site(server, tmp_path, settle="0.1s", delete_after="0.2s") as s, Spy(s.published) as spy:
        # What the last one had begun may come late, and some of what follows waits for that.
        s.numbers["ftpsyncd.mapping.openintents.LATE_S"] = 10.0
        with Changer(s.drop, seed) as changer:
            for _ in range(KILLS):
                s.start()
                wait_a_moment(moments.uniform(0.0, LONGEST_LIFE_S))
                s.kill()
            # On a busy machine whoever changes things has few turns, too.
            until(lambda: changer.changes > 10 * KILLS, "much has changed", 60)
        s.start()
        # Temporary files count as a difference.
        s.until_equal(60)
        s.until_state("in_sync")
        spy.until_seen_all()
        spy.assert_never_torn(changer.ever)
        until(lambda: s.mapping_status()["published_files"] == sum(p.is_file() for p in s.drop.rglob("*")), "counted")


def test_what_a_power_failure_cut_off_is_removed_also_where_the_ledger_has_lost_it(tmp_path: Path) -> None:
    """Its last commits go, and the names of temporary files are others after a boot: the part stayed for good."""
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        s.start()
        s.kill()
        (tmp_path / "state/sender").write_text(json.dumps(["the boot before\0"]))
        part = server.home / temporary(f"{REMOTE}/a.jpg", f"the boot before\0{MAPPING}").lstrip("/")
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"pict")
        (s.drop / "a.jpg").write_bytes(b"picture")
        s.start()
        s.until_equal()
