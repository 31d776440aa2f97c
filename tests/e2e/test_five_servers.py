"""Five servers, of which one is dead, one slow and one full; a refused name; a folder that may not be read: who waits."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.proxy import Proxy
from tests.e2e.site import Site, contents, site, tools_missing
from tests.figures import Figures
from tests.servers import Server, running
from tests.waiting import until

pytestmark = pytest.mark.real_server
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system, or gives up what root may do")
SETTLE_S = 0.2
SOON_S = 5.0
"""A file takes 0.3 s; whoever waits for a neighbour waits at least as long as the first pause of a server, 15 s."""
ROUNDS = 8
DEAD_PORT = 9
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Starts a program as root without any of root's privileges: it may read what is its own, and what everybody may."""


def more(s: Site, name: str, server: Server, **server_keys: Any) -> Path:
    """Another mapping, to another server; returns its folder."""
    config = json.loads(s.config.read_text())
    folder = s.base / name
    folder.mkdir()
    place = {"host": server.host, "port": server.port}
    config["servers"][name] = {**config["servers"]["web"], **place, **server_keys}
    config["mappings"][name] = {**config["mappings"]["drop"], "local": str(folder), "remote": f"{name}:/{name}"}
    s.config.write_text(json.dumps(config))
    return folder


def latencies(live: dict[Path, Path]) -> list[float]:
    """Drop a file into each folder, and again; how long each took until it was at its server."""
    took = []
    for turn in range(ROUNDS):
        began = time.monotonic()
        names = dict.fromkeys(live, f"{turn} {began}.jpg")
        for folder, name in names.items():
            (folder / name).write_bytes(name.encode() * 2000)
        for folder, name in names.items():
            until((live[folder] / name).exists, f"{name} is published", 60)
            took.append(time.monotonic() - began)
    return took


def fill_up(server: Server) -> None:
    """Leave no byte free: some room would be filled by a part of a file, which proftpd answers with 451 and not 452."""
    with (server.home / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)):
            pass


def states(s: Site) -> dict[str, str]:
    """The servers' states by name."""
    return {each["name"]: each["state"] for each in s.status()["servers"]}


@pytest.mark.root
@as_root
@pytest.mark.timeout(240)
def test_of_five_servers_one_is_dead_one_slow_and_one_full_and_two_notice_nothing(
    tmp_path: Path, report: Callable[[str], None], figures: Figures
) -> None:
    with (
        running("vsftpd") as server,
        running("proftpd", home_bytes=1 << 20) as small,
        Proxy(server.host, server.port) as proxy,
        site(server, tmp_path, settle=f"{SETTLE_S}s") as s,
    ):
        proxy.slow = True
        two = more(s, "two", server)
        live = {s.drop: s.published, two: server.home / "two"}
        s.start()
        alone = latencies(live)
        s.stop()

        dead = more(s, "dead", server, port=DEAD_PORT)
        slow = more(s, "slow", server, host="127.0.0.1", port=proxy.port)
        full = more(s, "full", small)
        fill_up(small)
        for number in range(500):
            (dead / f"{number}.jpg").write_bytes(b"waits" * 100)
            (slow / f"{number}.jpg").write_bytes(b"trickles" * 10_000)
        for number in range(5):
            (full / f"{number}.jpg").write_bytes(os.urandom(700_000))
        s.start()
        until(lambda: states(s)["dead"] == "offline", "the dead one is offline", 60)
        until(lambda: states(s)["full"] == "full", "the full one is full", 60)
        until(lambda: proxy.uploaded > 0, "the slow one has received a byte", 60)
        together = latencies(live)
        now = states(s)
        mappings = {each["name"]: each for each in s.status()["mappings"]}
        s.kill()
        assert (now["web"], now["two"], now["dead"], now["full"]) == ("online", "online", "offline", "full")
        assert mappings["slow"]["in_flight"] > 0
        assert mappings["dead"]["pending"] >= 500
        assert proxy.uploaded < 80_000, "the slow one has not finished a file"
    middle, worst = statistics.median(together), max(together)
    report(
        f"two of five servers: median {middle:.2f} s, slowest {worst:.2f} s;"
        f" alone: median {statistics.median(alone):.2f} s, slowest {max(alone):.2f} s"
    )
    figures.tell(
        "G5", "time to publish a file, two servers alone: median", round(statistics.median(alone), 2), unit="s"
    )
    figures.tell(
        "G5", "time to publish a file, beside a dead, a slow and a full server: median", round(middle, 2), unit="s"
    )
    figures.tell(
        "G5",
        "time to publish a file, beside a dead, a slow and a full server: slowest",
        round(worst, 2),
        unit="s",
        limit=SOON_S,
    )
    assert worst < SOON_S


def refuse_one_of(count: int, base: Path, figures: Figures) -> None:
    """One name cannot be written at the server; the others are published, and that one waits for a person."""
    with running("vsftpd") as server, site(server, base, settle=f"{SETTLE_S}s", remote="web:/site") as s:
        for number in range(count):
            directory = s.drop / f"{number % 20:02}"
            directory.mkdir(exist_ok=True)
            (directory / f"{number:05}.jpg").write_bytes(b"%d " % number * 100)
        bad = f"{7 % 20:02}/{7:05}.jpg"
        # A directory in the place of its temporary file: "553 Could not create file."
        blocked = server.home / s.temporary(bad).lstrip("/")
        blocked.mkdir(parents=True)
        for made in (blocked, *blocked.parents):
            if made == server.home:
                break
            made.chmod(0o777)
        began = time.monotonic()
        s.start()
        until(lambda: s.mapping_status()["published_files"] == count - 1, "the others are published", 200)
        took_s = time.monotonic() - began
        until(lambda: s.mapping_status()["parked"] == 1, "it is parked", 60)
        (problem,) = s.status()["problems"]
        assert (problem["path"], problem["parked"]) == (bad, True)
        assert problem["reply"].startswith("553")
        assert "553" in s.command("why", s.drop / bad).stdout
        assert sum(bad in line and "published" not in line for line in s.log().splitlines()) <= 3
        local, remote = contents(s.drop), contents(s.published)
        assert local.keys() - remote.keys() == {os.fsencode(bad)}
        assert remote.items() <= local.items()
        blocked.rmdir()
        s.command("retry")
        s.until_equal()
    figures.tell("G5", "files published beside one that the server refuses (553)", count - 1)
    figures.tell("G5", "seconds that took, with the start", round(took_s, 1), unit="s")


def test_one_refused_name_among_a_thousand_is_parked_and_the_others_are_published(
    tmp_path: Path, figures: Figures
) -> None:
    refuse_one_of(1000, tmp_path, figures)


@pytest.mark.long
def test_one_refused_name_among_ten_thousand_is_parked_and_the_others_are_published(
    tmp_path: Path, figures: Figures
) -> None:
    refuse_one_of(10_000, tmp_path, figures)


@pytest.mark.root
@as_root
@pytest.mark.skipif(tools_missing("setpriv") != "", reason=tools_missing("setpriv"))
def test_a_folder_with_an_unreadable_part_deletes_nothing_there_and_delays_nobody(
    tmp_path: Path, figures: Figures
) -> None:
    with running("vsftpd") as server, site(server, tmp_path, settle=f"{SETTLE_S}s") as s:
        s.program = (*POWERLESS, sys.executable, "-m", "ftpsyncd")
        closed = s.drop / "closed"
        (closed / "below").mkdir(parents=True)
        for number in range(20):
            (closed / f"{number}.jpg").write_bytes(b"%d" % number * 500)
            (closed / f"below/{number}.jpg").write_bytes(b"%d" % number * 600)
        two = more(s, "two", server)
        s.start()
        s.until_equal()
        before = contents(s.published)
        os.chown(closed, 65534, 65534)
        closed.chmod(0o700)
        s.command("rescan")
        until(lambda: [each["path"] for each in s.status()["problems"]] == ["closed"], "it is told", 60)
        s.until_state("in_sync")
        assert "closed cannot be read" in s.mapping_status()["message"]
        assert "nothing is deleted there" in s.mapping_status()["message"]
        took = latencies({s.drop: s.published, two: server.home / "two"})
        s.command("rescan")
        (s.drop / "beside").mkdir()
        (s.drop / "beside/a.jpg").write_bytes(b"beside")
        until((s.published / "beside/a.jpg").exists, "what is beside it is published", 60)
        assert before.items() <= contents(s.published).items()
        assert "drop: deleted" not in s.log()
        said = s.command("why", closed / "1.jpg", ok=False).stdout + s.command("status", ok=False).stdout
        assert said.count("Permission denied") == 2
        assert "All is well" not in said
        assert s.log().count("cannot be read") == 1, "told once, however often it is looked at"
        # Deleted while nobody could look, and found to be gone afterwards.
        shutil.rmtree(closed / "below")
        (closed / "new.jpg").write_bytes(b"new")
        closed.chmod(0o755)
        s.command("rescan")
        s.until_equal()
        until(lambda: not s.status()["problems"], "all is well", 60)
        s.stop()
        closed.chmod(0)
        assert s.command("sync", ok=False).returncode == 1
        assert contents(s.published) == contents(s.drop)
    figures.tell(
        "G5", "time to publish a file beside an unreadable folder: slowest", round(max(took), 2), unit="s", limit=SOON_S
    )
    figures.tell("G4", "files deleted of 40 in a folder that became unreadable", 0, limit=0)
    assert max(took) < SOON_S
