"""What goes wrong in one place delays nothing in another."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.e2e.site import Site, contents, site
from tests.servers import Server
from tests.waiting import until

SETTLE_S = 0.3
SOON_S = SETTLE_S + 5
"""Publishing one file takes milliseconds; the rest is room for a slow machine, less than a pause of 15 s."""
DEAD_PORT = 9


def add_dead_server(s: Site) -> Path:
    """Another mapping, to a server where nothing listens; returns its folder."""
    config = json.loads(s.config.read_text())
    folder = s.base / "dead"
    folder.mkdir()
    config["servers"]["dead"] = {**config["servers"]["web"], "port": DEAD_PORT}
    config["mappings"]["dead"] = {**config["mappings"]["drop"], "local": str(folder), "remote": "dead:/site"}
    s.config.write_text(json.dumps(config))
    return folder


def seconds_to_publish(s: Site, name: str) -> float:
    """Drop a file; how long until it is at the server."""
    began = time.monotonic()
    (s.drop / name).write_bytes(name.encode() * 500)
    until((s.published / name).exists, f"{name} is published", 30)
    return time.monotonic() - began


def test_a_dead_server_does_not_delay_a_live_one(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, settle=f"{SETTLE_S}s") as s:
        dead = add_dead_server(s)
        for i in range(2000):
            (dead / f"{i}.jpg").write_bytes(b"waits")
        s.start()
        until(
            lambda: {m["name"]: m["state"] for m in s.status()["mappings"]}["dead"] == "offline", "dead is offline", 20
        )
        assert max(seconds_to_publish(s, f"{i}.jpg") for i in range(5)) < SOON_S
        until(
            lambda: {m["name"]: m["state"] for m in s.status()["servers"]} == {"web": "online", "dead": "offline"},
            "one is online, one offline",
        )
        s.until_equal()


def test_a_file_that_the_server_refuses_by_name_does_not_delay_the_others(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, settle=f"{SETTLE_S}s") as s:
        s.start()
        assert seconds_to_publish(s, "first.jpg") < 10
        # Somebody made a directory there: no file can have its name.
        (s.published / "refused.jpg").mkdir()
        (s.published / "refused.jpg/theirs").write_bytes(b"theirs")
        (s.drop / "refused.jpg").write_bytes(b"refused")
        for i in range(50):
            (s.drop / f"{i}.jpg").write_bytes(b"%d" % i * 1000)
        until(lambda: len(contents(s.published)) == 52, "the others are published", 30)
        until(lambda: s.mapping_status()["parked"] == 1, "it is parked", 20)
        assert max(seconds_to_publish(s, f"later{i}.jpg") for i in range(3)) < SOON_S
        assert (s.published / "refused.jpg/theirs").read_bytes() == b"theirs"
        [problem] = s.status()["problems"]
        assert (problem["path"], problem["parked"]) == ("refused.jpg", True)
        assert "550" in problem["reply"] or "553" in problem["reply"]
        assert sum("refused.jpg" in line for line in s.log().splitlines()) <= 3
        assert not [p for p in s.published.iterdir() if p.name.endswith(".filepart")]
