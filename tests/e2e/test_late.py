"""What a server does long after everybody has given it up: a line that hung moves again when the sender is dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.proxy import Proxy
from tests.e2e.site import Site, site
from tests.figures import Figures
from tests.servers import running
from tests.variants import also
from tests.waiting import until

pytestmark = [pytest.mark.real_server]

LATE_S = 20.0
"""When the daemon of these stories looks once more; by itself it does so after a minute."""


def leftovers(s: Site) -> list[Path]:
    return list(s.published.glob("*.filepart"))


def parts_of(s: Site, name: str) -> list[Path]:
    return [each for each in leftovers(s) if name in each.name]


@pytest.mark.lasting(40)
@pytest.mark.timeout(LATE_S + 120)
def test_what_a_dead_daemon_still_has_made_at_the_server_is_found_and_removed(tmp_path: Path, figures: Figures) -> None:
    """vsftpd makes the file of a STOR before it misses the sender; the next daemon had swept before."""
    with running("vsftpd") as server, Proxy(server.host, server.port) as proxy:
        keys = {"host": "127.0.0.1", "port": proxy.port}
        with site(server, tmp_path, server_keys=keys) as s:
            s.numbers = {"ftpsyncd.mapping.openintents.LATE_S": LATE_S}
            proxy.hold_at = b"STOR "
            (s.drop / "a.jpg").write_bytes(b"picture" * 100)
            s.start()
            until(lambda: proxy.held, "the upload hangs", 20)
            s.kill()
            s.start()
            s.until_equal()
            s.until_state("in_sync")
            assert leftovers(s) == []
            proxy.release()
            until(lambda: leftovers(s), "the server does what it was told long ago", 20)
            until(lambda: not leftovers(s), "it is swept once more", LATE_S + 30)
            assert (s.published / "a.jpg").read_bytes() == b"picture" * 100
            assert s.stop() == 0
    figures.tell("G1", "temporary files left when a STOR came late, after a crash", 0, limit=0)


@pytest.mark.lasting(40)
@pytest.mark.timeout(LATE_S + 120)
def test_what_comes_late_is_found_though_the_server_always_has_something_else_to_do(tmp_path: Path) -> None:
    with running("vsftpd") as server, Proxy(server.host, server.port) as proxy:
        keys = {"host": "127.0.0.1", "port": proxy.port}
        with site(server, tmp_path, server_keys=keys) as s:
            s.numbers = {"ftpsyncd.mapping.openintents.LATE_S": LATE_S}
            proxy.hold_at = b"STOR "
            (s.drop / "a.jpg").write_bytes(b"picture" * 100)
            s.start()
            until(lambda: proxy.held, "the upload hangs", 20)
            s.kill()
            s.start()
            s.until_state("in_sync")
            sent, proxy.slow = proxy.uploaded, True
            with (s.drop / "film.mp4").open("wb") as film:
                film.truncate(1 << 30)
            until(lambda: proxy.uploaded > sent, "a file is sent that takes hours", 20)
            proxy.release()
            until(lambda: parts_of(s, "a.jpg"), "the server does what it was told long ago", 20)
            until(lambda: not parts_of(s, "a.jpg"), "it is swept once more", LATE_S + 30)
            assert parts_of(s, "film.mp4"), "it is still being sent"
            s.kill()


@pytest.mark.parametrize("kind", ["vsftpd", "pure-ftpd", *also("proftpd", "pyftpdlib")])
def test_what_was_on_a_line_that_died_touches_nothing_that_is_sent_afterwards(
    tmp_path: Path, kind: str, figures: Figures
) -> None:
    """vsftpd keeps the file locked for minutes, pyftpdlib would write the old content into the new file."""
    with running(kind) as server, Proxy(server.host, server.port) as proxy:
        keys = {"host": "127.0.0.1", "port": proxy.port}
        with site(server, tmp_path, server_keys=keys) as s:
            proxy.slow = True
            (s.drop / "a.jpg").write_bytes(b"old" * 1000)
            s.start()
            until(lambda: proxy.uploaded, "the server receives it", 20)
            dead = proxy.freeze()
            s.kill()
            proxy.slow = False
            (s.drop / "a.jpg").write_bytes(b"new" * 1000)
            s.start()
            # Far less than the time-out for a reply, or a lock.
            until((s.published / "a.jpg").exists, "it is published", 15)
            s.until_state("in_sync")
            assert (s.published / "a.jpg").read_bytes() == b"new" * 1000
            proxy.thaw(dead)
            until(lambda: not set(dead) & set(proxy.links()), "the server has got all of the old one", 20)
            s.until_state("in_sync")
            assert (s.published / "a.jpg").read_bytes() == b"new" * 1000
            s.until_equal()
            assert s.stop() == 0
    figures.tell("G1", f"new files with old content from a line that had died ({kind})", 0, limit=0)
