"""What a line that hung still brings under the final name, where a file is sent directly to that."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.e2e.proxy import Proxy
from tests.e2e.site import Site, site
from tests.e2e.test_late import LATE_S
from tests.servers import running
from tests.variants import also
from tests.waiting import until

pytestmark = [pytest.mark.real_server]


def stored(s: Site) -> bytes | None:
    """What is at the server under the final name."""
    with contextlib.suppress(FileNotFoundError):
        return (s.published / "a.jpg").read_bytes()
    return None


@pytest.mark.lasting(25)
@pytest.mark.timeout(LATE_S + 120)
@pytest.mark.parametrize("what", ["a STOR", *also("the rest of an older content")])
@pytest.mark.parametrize("kind", ["vsftpd", "pure-ftpd", *also("proftpd", "pyftpdlib")])
def test_what_comes_late_under_a_final_name_is_found_and_mended(tmp_path: Path, kind: str, what: str) -> None:
    """With `publish: direct` there is no other name that it could go to."""
    old, new = b"old" * 1000, b"new" * 1000
    with running(kind) as server, Proxy(server.host, server.port) as proxy:
        keys = {"host": "127.0.0.1", "port": proxy.port}
        with site(server, tmp_path, server_keys=keys, publish="direct") as s:
            s.numbers = {"ftpsyncd.mapping.openintents.LATE_S": LATE_S}
            proxy.hold_at, proxy.slow = (b"STOR ", False) if what == "a STOR" else (b"", True)
            (s.drop / "a.jpg").write_bytes(old)
            s.start()
            # What is sent may be on its way before STOR is.
            until(lambda: proxy.held if what == "a STOR" else proxy.uploaded, "the upload hangs", 20)
            dead = [] if proxy.held else proxy.freeze()
            s.kill()
            proxy.slow = False
            (s.drop / "a.jpg").write_bytes(new)
            s.start()
            until((s.published / "a.jpg").exists, "it is sent", 20)
            s.until_equal()
            s.until_state("in_sync")
            proxy.release()
            proxy.thaw(dead)
            if dead:
                until(lambda: not set(dead) & set(proxy.links()), "the server has got all of the old one", 20)
                assert stored(s) == new, "it went to a file that has no name any more"
            elif kind != "pure-ftpd":
                until(lambda: stored(s) != new, "the server does what it was told", 20)
            until(lambda: stored(s) == new, "it is published once more", LATE_S + 30)
            s.until_state("in_sync")
            assert s.stop() == 0
