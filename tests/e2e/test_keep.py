"""`existing: keep`: what somebody else puts at the server while we are at work stays, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.site import Site, site
from tests.servers import running
from tests.waiting import until

THEIRS = b"put there while we were sending"
SLOW = {"bandwidth": "200 kB/s", "connections": 1}
MUCH = 1_000_000
"""Some five seconds."""


def kept(s: Site, name: str) -> bool:
    return any(problem["path"] == name and problem["parked"] for problem in s.status()["problems"])


@pytest.mark.parametrize("publish", ["atomic", "direct"])
def test_what_comes_to_its_place_while_a_file_waits_for_its_turn_or_is_sent_stays(publish: str, tmp_path: Path) -> None:
    with (
        running("pyftpdlib") as server,
        site(server, tmp_path, server_keys=SLOW, existing="keep", publish=publish) as s,
    ):
        (s.drop / "a.mov").write_bytes(os.urandom(MUCH))
        (s.drop / "b.jpg").write_bytes(b"ours")
        s.start()
        until(lambda: any(each["sent_bytes"] for each in s.status()["transfers"]), "the first one is on its way")
        names = {"b.jpg"} if publish == "direct" else {"a.mov", "b.jpg"}
        for name in names:
            (s.published / name).write_bytes(THEIRS)
        s.until_state("in_sync", 60)
        until(lambda: all(kept(s, name) for name in names), "it is told that they are kept")
        assert {name: (s.published / name).read_bytes() for name in names} == dict.fromkeys(names, THEIRS)
        assert {path.name for path in s.published.iterdir()} == {"a.mov", "b.jpg"}
        assert "kept b.jpg" in s.log()
