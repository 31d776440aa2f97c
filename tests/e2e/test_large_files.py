"""Large files that break off are continued by the daemon: a cut line, a lost 226, a crash; and never mixed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsyncd.engine.outcomes import LOST_CONNECTIONS
from ftpsyncd.remote.resume import REPEATED
from tests.e2e.proxy import Proxy
from tests.e2e.site import REMOTE, Site, Spy, contents, digest, site
from tests.figures import Figures
from tests.servers import running
from tests.variants import also
from tests.waiting import until

pytestmark = [pytest.mark.real_server, pytest.mark.lasting(110)]
SIZE = 64 * 1024 * 1024
MOST = 1.25 * SIZE
"""Bytes in total: the file, the MiB that is repeated, what was in buffers when the line was cut."""
SLOW = {"bandwidth": "16 MB/s"}


@contextmanager
def proxied(kind: str, base: Path, **server_keys: object) -> Iterator[tuple[Site, Proxy]]:
    with running(kind) as server, Proxy(server.host, server.port) as proxy:
        keys = {"host": "127.0.0.1", "port": proxy.port, **server_keys}
        with site(server, base, server_keys=keys) as s:
            yield s, proxy


def large(seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(SIZE)


def rate(s: Site) -> float:
    """Bytes per second of the file that is on its way; 0 if there is none."""
    return max((each["rate_bytes_s"] for each in s.status()["transfers"]), default=0.0)


@pytest.mark.parametrize("kind", ["vsftpd", "proftpd", *also("pure-ftpd", "pyftpdlib")])
def test_a_cut_line_costs_little(kind: str, tmp_path: Path):
    with proxied(kind, tmp_path) as (s, proxy):
        proxy.cut_at = SIZE * 2 // 3
        (s.drop / "film.mp4").write_bytes(large())
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        assert proxy.cuts == 1
        assert SIZE < proxy.uploaded < MOST


@pytest.mark.parametrize("tls", ["explicit", *also("off")])
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd", *also("pure-ftpd", "pyftpdlib")])
def test_a_film_that_gets_another_name_is_not_sent_twice(kind: str, tls: str, tmp_path: Path):
    """It was sent to its end, and what had arrived then was dropped."""
    with running(kind, tls=tls) as server, site(server, tmp_path, server_keys=SLOW) as s:
        s.start()
        (s.drop / "film.mp4").write_bytes(large())
        until(lambda: rate(s) > 0, "it is sent", 30)
        (s.drop / "film.mp4").rename(s.drop / "final.mp4")
        sent = 0

        def given_up() -> bool:
            nonlocal sent
            on_its_way = {each["path"]: each["sent_bytes"] for each in s.status()["transfers"]}
            sent = max(sent, on_its_way.get("film.mp4", 0))
            return on_its_way.keys() == {"final.mp4"}

        until(given_up, "only the other one is sent", 30)
        assert sent < 0.9 * SIZE
        s.until_equal()
        s.until_state("in_sync")
        assert set(contents(s.published)) == {b"final.mp4"}


def test_a_line_that_breaks_again_and_again_brings_it_there_at_last(tmp_path: Path):
    cuts = 2 * LOST_CONNECTIONS
    with proxied("vsftpd", tmp_path) as (s, proxy):
        proxy.cut_every = SIZE // (cuts + 1)
        (s.drop / "film.mp4").write_bytes(large())
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        assert proxy.cuts >= cuts
        assert "ERROR" not in s.log()
        assert "WARNING" not in s.log()
        assert SIZE < proxy.uploaded < 1.6 * SIZE


@pytest.mark.parametrize("kind", ["proftpd", "pure-ftpd", *also("vsftpd", "pyftpdlib")])
def test_a_lost_226_costs_next_to_nothing(kind: str, tmp_path: Path):
    with proxied(kind, tmp_path) as (s, proxy):
        proxy.lose_226 = True
        (s.drop / "film.mp4").write_bytes(large())
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        assert proxy.cuts == 1
        # A server that tells no hash gets its end once more.
        assert SIZE <= proxy.uploaded < SIZE + REPEATED + 100_000


@pytest.mark.parametrize("kind", ["vsftpd", *also("proftpd")])
def test_a_killed_daemon_goes_on_where_it_was(kind: str, tmp_path: Path):
    with proxied(kind, tmp_path, **SLOW) as (s, proxy):
        (s.drop / "film.mp4").write_bytes(large())
        s.start()
        until(lambda: proxy.uploaded > SIZE // 2, "half of it is sent", 30)
        s.kill()
        part = next(s.published.glob("*.filepart"))
        s.start()
        rates = [0.0]

        def over() -> bool:
            rates.append(rate(s))
            return bool(max(rates) and not rates[-1])

        until(over, "it is shown how fast it goes on, to the end", 30)
        # Of the first moment no rate can be told: what the limit allows at once may have been sent, or nothing.
        slowest = min(shown for shown in rates if shown)
        assert slowest < 1.5 * 16_000_000, "what was there already was not sent in this moment"
        s.until_equal()
        s.until_state("in_sync")
        assert SIZE < proxy.uploaded < MOST
        assert not part.exists()


@pytest.mark.parametrize("kind", ["proftpd", *also("pure-ftpd")])  # vsftpd locks the file for minutes
def test_what_hung_on_lines_that_died_leaves_no_hole_in_what_is_continued(kind: str, tmp_path: Path, figures: Figures):
    """The first try's line freezes under its data, the second one's before the server knows what is to be continued."""
    with proxied(kind, tmp_path, **SLOW) as (s, proxy):
        content = large()
        (s.drop / "film.mp4").write_bytes(content)
        s.start()
        with Spy(s.published) as spy:
            until(lambda: proxy.uploaded > SIZE // 3, "a third of it is sent", 30)
            dead = proxy.freeze()
            s.kill()
            proxy.hold_at = f"STOR {REMOTE}/film.mp4".encode()
            s.start()
            until(lambda: proxy.held, "the second try hangs", 30)
            s.kill()
            sent = proxy.uploaded
            s.start()
            until(lambda: proxy.uploaded > sent + SIZE // 4, "the third one has gone on", 30)
            proxy.release()
            until(lambda: proxy.uploaded > sent + SIZE // 3, "and does, beside the second", 30)
            proxy.thaw(dead)
            s.until_equal()
            s.until_state("in_sync")
            until(lambda: not set(dead) & set(proxy.links()), "the server has got all of the first one", 20)
            spy.until_seen_all()
        spy.assert_never_torn({"film.mp4": {digest(content)}})
        s.until_equal()
        assert proxy.uploaded < MOST
    seen = len(spy.seen["film.mp4"])
    figures.tell(
        "G1", f"contents of a large file seen while it was continued beside two dead lines ({kind})", seen, limit=1
    )


def test_a_file_that_changed_behind_its_date_meanwhile_is_never_mixed(tmp_path: Path):
    with proxied("vsftpd", tmp_path, **SLOW) as (s, proxy):
        path = s.drop / "film.mp4"
        before, after = large(1), large(2)
        path.write_bytes(before)
        times = path.stat()
        s.start()
        with Spy(s.published) as spy:
            until(lambda: proxy.uploaded > SIZE // 2, "half of it is sent", 30)
            s.kill()
            # In place, of the same size, and with its date set back: the same fingerprint.
            with path.open("r+b") as file:
                file.write(after)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == (times.st_ino, times.st_mtime_ns)
            s.start()
            s.until_equal()
            spy.until_seen_all()
        spy.assert_never_torn({"film.mp4": {digest(after)}})
        assert proxy.uploaded > 1.4 * SIZE


def test_a_file_that_is_replaced_while_its_part_waits_is_sent_whole_and_nothing_stays(tmp_path: Path):
    with proxied("vsftpd", tmp_path, **SLOW) as (s, proxy):
        path = s.drop / "film.mp4"
        path.write_bytes(large(1))
        s.start()
        until(lambda: proxy.uploaded > SIZE // 2, "half of it is sent", 30)
        s.kill()
        replacement = tmp_path / "new"
        replacement.write_bytes(large(2)[: SIZE - 5])
        replacement.replace(path)
        s.start()
        s.until_equal()
        s.until_state("in_sync")
        assert list(contents(s.published)) == [b"film.mp4"]


def test_the_part_of_a_file_that_is_deleted_meanwhile_is_removed(tmp_path: Path):
    with proxied("vsftpd", tmp_path, **SLOW) as (s, proxy):
        path = s.drop / "film.mp4"
        path.write_bytes(large())
        s.start()
        until(lambda: proxy.uploaded > SIZE // 2, "half of it is sent", 30)
        s.kill()
        path.unlink()
        s.start()
        s.until_equal()
        assert contents(s.published) == {}
