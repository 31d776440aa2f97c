"""Everything at once: random changes, a line that breaks, a daemon that is killed, somebody else's files at the server."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.churn import Changer, Foreigner, torn
from tests.e2e.proxy import Faults, Proxy
from tests.e2e.site import Spy, site, wait_a_moment
from tests.figures import Figures
from tests.servers import running

pytestmark = [pytest.mark.real_server, pytest.mark.lasting(80)]
SECONDS = "FTPSYNCD_STORM_SECONDS"
"""The environment may say how long the long one lasts."""
SEED = "FTPSYNCD_STORM_SEED"
"""And what it does: the number that a failed one has printed."""
PAUSES_S = (0.0, 0.02, 0.1, 0.2)
LONGEST_LIFE_S = 6.0
TO_REST_S = 240.0
"""With nobody breaking anything any more."""


def storm(seconds: float, base: Path, report: Callable[[str], None], figures: Figures) -> None:
    """Let it blow for so long; at the end both sides are equal, and nobody has ever seen or lost what they must not."""
    seed = int(os.environ.get(SEED) or random.getrandbits(32))
    moments = random.Random(seed)
    kills = 0
    report(f"seed {seed}")
    with running("vsftpd") as server, Proxy(server.host, server.port) as proxy:
        keys = {"host": "127.0.0.1", "port": proxy.port, "timeout": "3s"}
        with site(server, base, server_keys=keys, settle="0.2s", delete_after="0.3s") as s:
            s.foreign = Foreigner.PREFIX
            s.published.mkdir()
            s.published.chmod(0o777)
            ends = time.monotonic() + seconds
            with Spy(s.published, rest_s=0.01) as spy:
                with (
                    Changer(s.drop, seed, pauses_s=PAUSES_S, resumable=True) as changer,
                    Foreigner(s.published, seed) as foreigner,
                    Faults(proxy, seed) as faults,
                ):
                    while time.monotonic() < ends:
                        s.start(timeout_s=60)
                        wait_a_moment(moments.uniform(0.5, LONGEST_LIFE_S))
                        s.kill()
                        kills += 1
                # What was held back on the line passes now.
                proxy.cut()
                s.start(timeout_s=60)
                s.until_equal(TO_REST_S)
                s.until_state("in_sync", 60)
                spy.until_seen_all()
            hits = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.done.items()))
            report(
                f"seed {seed}: {kills} kills, {changer.changes} changes, {hits};"
                f" {sum(map(len, spy.seen.values()))} contents of {len(spy.seen)} files seen in {spy.looks} looks,"
                f" {len(foreigner.placed)} foreign files, {proxy.uploaded / 1e6:.0f} MB"
            )
            assert torn(spy, changer.ever) == [], f"seed {seed}"
            assert foreigner.lost() == set(), f"seed {seed}"
    figures.tell("G3", "random churn under fault: duration", round(seconds), unit="s")
    figures.tell("G3", "random churn under fault: kills by SIGKILL", kills)
    figures.tell("G3", "random churn under fault: changes to files and directories", changer.changes)
    for what, words in {"cut": "cut", "reset": "reset", "stalled": "stalled for up to 3 s"}.items():
        figures.tell("G3", f"random churn under fault: connections {words}", faults.count(what))
    figures.tell("G3", "random churn under fault: differences at the end", 0, limit=0)
    figures.tell("G1", "random churn under fault: files seen at the server", len(spy.seen))
    figures.tell("G1", "random churn under fault: contents hashed", sum(map(len, spy.seen.values())))
    figures.tell("G1", "random churn under fault: torn reads", 0, limit=0)
    figures.tell("G4", "random churn under fault: foreign files placed", len(foreigner.placed))
    figures.tell("G4", "random churn under fault: foreign files lost", 0, limit=0)
    # Else it was no storm.
    assert kills > seconds / 20
    assert changer.changes > 2 * seconds
    assert min(faults.count(what) for what in ("cut", "reset", "stalled")) > seconds / 20
    assert len(spy.seen) > seconds / 4
    assert len(foreigner.placed) > seconds / 4


@pytest.mark.timeout(600)
def test_churn_while_the_line_breaks_and_the_daemon_is_killed(
    tmp_path: Path, report: Callable[[str], None], figures: Figures
) -> None:
    storm(40, tmp_path, report, figures)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_quarter_of_an_hour_of_churn_while_the_line_breaks_and_the_daemon_is_killed(
    tmp_path: Path, report: Callable[[str], None], figures: Figures
) -> None:
    storm(float(os.environ.get(SECONDS) or 900), tmp_path, report, figures)
