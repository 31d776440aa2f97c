"""Rights at the server that were wrong for a while: what was parked meanwhile is published without a person here."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.site import contents, site
from tests.servers import running
from tests.waiting import until

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="the server has users of its own"),
]
SOON = {"ftpsyncd.mapping.mended.FIRST_AGAIN_S": 1.0}
"""In the place of a quarter of an hour."""


@pytest.mark.parametrize("name", ["vsftpd", "proftpd", "pure-ftpd"])
def test_rights_that_are_mended_at_the_server_need_no_retry(name: str, tmp_path: Path) -> None:
    with running(name) as server, site(server, tmp_path) as s:
        s.numbers = SOON
        s.start()
        for folder in ("open", "closed"):
            (s.drop / folder).mkdir()
            (s.drop / folder / "first.jpg").write_bytes(b"first")
        s.until_equal()
        (s.published / "closed").chmod(0o555)
        for number in range(20):
            (s.drop / "closed" / f"{number}.jpg").write_bytes(os.urandom(1000))
        (s.drop / "closed" / "new folder").mkdir()
        (s.drop / "closed" / "new folder" / "in it.jpg").write_bytes(b"in it")
        until(lambda: s.mapping_status()["parked"] >= 21, "all of them are parked", 60)
        s.command("rescan")
        until(lambda: s.mapping_status()["failed"] == 0 and s.mapping_status()["in_flight"] == 0, "tried in vain", 30)
        assert contents(s.published / "closed").keys() == {b"first.jpg"}
        (s.published / "closed").chmod(0o755)
        until(lambda: bool(s.command("rescan")) and len(contents(s.published / "closed")) == 22, "it is mended", 60)
        s.until_equal()
        until(lambda: s.mapping_status()["parked"] + s.mapping_status()["failed"] == 0, "nothing is left", 30)


def test_a_directory_within_another_that_may_not_be_removed_is_parked_and_no_sync_goes_on_for_ever(
    tmp_path: Path,
) -> None:
    with running("vsftpd") as server, site(server, tmp_path) as s:
        (s.drop / "gone/within").mkdir(parents=True)
        (s.drop / "gone/within/a.jpg").write_bytes(b"a")
        s.command("sync")
        # What is in it may be deleted, and it may not.
        (s.published / "gone").chmod(0o555)
        shutil.rmtree(s.drop / "gone")
        ended = s.command("sync", ok=False, timeout_s=40)
        assert ended.returncode == 1, ended.stdout
        assert "parked gone/within" in ended.stderr
        assert contents(s.published) == {}
        assert s.command("sync", ok=False, timeout_s=40).returncode == 1
        tries = json.loads(s.command("history", "--json").stdout)["entries"]
        assert [each["path"] for each in tries if each["kind"] in {"failed", "parked"}] == ["gone/within"] * 2
        (s.published / "gone").chmod(0o755)
        s.command("retry", "drop")
        s.command("sync")
        assert list(s.published.iterdir()) == []
