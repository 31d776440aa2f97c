"""A quota that is used up, and what is deleted here to make room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.site import site
from tests.servers import running
from tests.waiting import until

pytestmark = [pytest.mark.real_server, pytest.mark.root, pytest.mark.timeout(120)]


def test_what_is_deleted_here_makes_room_at_once_for_the_files_that_had_none(tmp_path: Path) -> None:
    """They waited for five minutes, behind a server that was told as working again."""
    quota = ("-n", "100:1")  # MiB
    with running("pure-ftpd", directives=quota) as server, site(server, tmp_path, deletes="mirror") as s:
        s.start()
        for number in range(3):
            (s.drop / f"old {number}.jpg").write_bytes(os.urandom(300_000))
        s.until_equal()
        for number in range(3):
            (s.drop / f"new {number}.jpg").write_bytes(os.urandom(300_000))
        until(lambda: s.status()["servers"][0]["state"] == "full", "none of them has room", 30)
        assert not list(s.published.glob("new *"))
        (s.drop / "old 0.jpg").unlink()
        until(lambda: list(s.published.glob("new *")), "one of them has", 30)
        # The others are refused meanwhile, or a moment later: there is room again for what was begun without.
        for number in (1, 2):
            (s.drop / f"old {number}.jpg").unlink()
        s.until_equal()
