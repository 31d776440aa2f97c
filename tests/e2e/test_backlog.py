"""A long outage and a large backlog: memory stays flat, the server is left in peace, the log stays short."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsyncd.core.gate import FIRST_PAUSE_S, PAUSE_FACTOR
from tests.e2e.site import Site, site
from tests.figures import Figures
from tests.servers import Server, running
from tests.waiting import until

pytestmark = pytest.mark.real_server
MEMORY_MIB = 120
LINES = 15
IN_FOLDER = 500
JITTER = 0.1
"""A pause is at most so much shorter."""


class Dying:
    """What is left of a server: it takes connections, and hangs up without a word. It counts them."""

    def __init__(self, server: Server) -> None:
        self.came: list[float] = []
        self._listener = socket.create_server((server.host, server.port))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self.came.append(time.monotonic())
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def dying(server: Server) -> Iterator[Dying]:
    """The server's place, taken while it does not run."""
    server.stop()
    taken = Dying(server)
    try:
        yield taken
    finally:
        taken.close()
    server.start()


def drop(s: Site, count: int) -> None:
    for number in range(count):
        folder = s.drop / f"{number // IN_FOLDER:03}"
        if number % IN_FOLDER == 0:
            folder.mkdir()
        (folder / f"{number:06}.jpg").write_bytes(b"%d " % number * 10)


def wait_for_a_server(
    count: int, attempts: int, base: Path, report: Callable[[str], None], figures: Figures, *, patience_s: float
) -> None:
    with running("vsftpd") as server, site(server, base) as s:
        (s.drop / "first.jpg").write_bytes(b"first")
        s.start()
        s.until_equal()
        at_rest = s.memory_mib()
        lines = s.log().count("\n")
        with dying(server) as left:
            drop(s, count)
            s.until_state("offline", 60)
            until(lambda: len(left.came) >= attempts, f"{attempts} attempts", 400)
            memory, pending = s.memory_mib(), s.mapping_status()["pending"]
            logged = s.log().count("\n") - lines
            gaps = [after - before for before, after in zip(left.came, left.came[1:], strict=False)]
        s.command("retry")
        until(lambda: s.mapping_status()["published_files"] == count + 1, "all are published", patience_s)
        s.until_equal(120)
        afterwards = s.memory_mib()
        listed = ", ".join(f"{gap:.1f}" for gap in gaps)
        report(
            f"{count} files waited ({pending} of them queued): {memory:.0f} MiB ({at_rest:.0f} at rest,"
            f" {afterwards:.0f} until all were published), {logged} lines, attempts after {listed} s"
        )
        assert pending > 0
        for step, gap in enumerate(gaps):
            assert gap > FIRST_PAUSE_S * PAUSE_FACTOR**step * (1 - JITTER) - 0.5, listed
        assert logged < LINES
        assert max(memory, afterwards) < MEMORY_MIB
    figures.tell("G6", "files waiting for a dead server", count)
    figures.tell("G6", "memory at rest", round(at_rest), unit="MiB")
    figures.tell("G6", "memory with them waiting", round(memory), unit="MiB", limit=MEMORY_MIB)
    figures.tell("G6", "memory until all of them were published", round(afterwards), unit="MiB", limit=MEMORY_MIB)
    figures.tell("G6", "lines in the log meanwhile", logged, limit=LINES)
    figures.tell("G6", "connection attempts meanwhile", len(gaps) + 1)
    figures.tell("G6", "shortest time between two attempts", round(min(gaps), 1), unit="s")


@pytest.mark.long
@pytest.mark.timeout(200)
def test_a_thousand_files_that_wait(tmp_path: Path, report: Callable[[str], None], figures: Figures) -> None:
    wait_for_a_server(1000, 2, tmp_path, report, figures, patience_s=100)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_a_hundred_thousand_files_that_wait(tmp_path: Path, report: Callable[[str], None], figures: Figures) -> None:
    wait_for_a_server(100_000, 4, tmp_path, report, figures, patience_s=1500)
