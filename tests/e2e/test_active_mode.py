"""Active mode that a server refuses for a while, behind NAT or a firewall that is being changed: nothing is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.site import contents, site
from tests.servers import running

pytestmark = [pytest.mark.real_server, pytest.mark.root]


@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_files_are_published_when_active_mode_works_again(kind: str, tmp_path: Path) -> None:
    with (
        running(kind, denied=("PORT", "EPRT")) as server,
        site(server, tmp_path, server_keys={"mode": "active"}) as s,
    ):
        for n in range(5):
            (s.drop / f"{n}.jpg").write_bytes(b"%d" % n)
        told = s.command("sync", ok=False)
        assert told.returncode != 0
        assert "`mode: passive`" in told.stdout + told.stderr
        assert contents(s.published) == {}
        server.stop()
        server.denied = ()
        server.start()
        s.command("sync")
        assert contents(s.published) == contents(s.drop)
