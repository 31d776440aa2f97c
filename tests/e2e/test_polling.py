"""A folder that has to be polled: what changes between two looks is published, however much it is."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.site import site
from tests.servers import running

FOLDERS = 80
"""More than the names that are remembered of one directory."""


def test_what_changes_in_many_folders_between_two_looks_is_published(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path, watch="poll", poll_every="500ms", rescan="1h") as s:
        folders = [s.drop / f"many/{number}" for number in range(FOLDERS)]
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "a.jpg").write_bytes(b"before")
        s.start()
        s.until_equal()
        for folder in folders:
            (folder / "a.jpg").write_bytes(b"changed since")
            (folder / "b.jpg").write_bytes(b"new")
        s.until_equal(20)
