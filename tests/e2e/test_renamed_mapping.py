"""A mapping that gets another name in the configuration, and its old one back: both have published the same."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.site import MAPPING, Site, contents, site
from tests.servers import running


def call_it(s: Site, before: str, name: str) -> None:
    config = json.loads(s.config.read_text())
    config["mappings"][name] = config["mappings"].pop(before)
    s.config.write_text(json.dumps(config))


def test_what_a_person_wanted_to_stay_at_the_server_stays_there_under_the_old_name_too(tmp_path: Path) -> None:
    """Under it, fewer files had been published than could be deleted without asking."""
    with running("pyftpdlib") as server, site(server, tmp_path, max_deletes=3) as s:
        (s.drop / "a").mkdir()
        for name in ("1.jpg", "a/2.jpg"):
            (s.drop / name).write_bytes(b"first")
        s.command("sync")
        call_it(s, MAPPING, "other")
        for name in ("3.jpg", "a/4.jpg", "5.jpg"):
            (s.drop / name).write_bytes(b"second")
        s.command("sync")
        there = contents(s.published)
        assert len(there) == 5
        for path in s.drop.rglob("*.jpg"):
            path.unlink()
        (s.drop / "a").rmdir()
        s.command("sync", ok=False)
        assert "discarded" in s.command("discard", "other").stdout
        s.command("sync")
        call_it(s, "other", MAPPING)
        s.command("sync")
        assert contents(s.published) == there


def test_what_was_changed_at_the_server_and_is_to_stay_there_is_not_held_once_more_under_the_old_name(
    tmp_path: Path,
) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        (s.drop / "1.jpg").write_bytes(b"first")
        s.command("sync")
        call_it(s, MAPPING, "other")
        s.command("sync")
        (s.published / "1.jpg").write_bytes(b"of somebody else")
        (s.drop / "1.jpg").unlink()
        assert s.command("sync", ok=False).returncode == 1
        assert "discarded" in s.command("discard", "other").stdout
        call_it(s, "other", MAPPING)
        s.command("sync")
        assert contents(s.published).keys() == {b"1.jpg"}
