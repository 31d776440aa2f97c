"""Many files at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.site import contents, site
from tests.servers import Server
from tests.variants import also
from tests.waiting import until


@pytest.fixture
def server(some_server: Server) -> Server:
    """What is tested here happens on this side, whichever the server is."""
    return some_server


DIRECTORIES = 20
MEMORY_OF_ONE = 7_500
"""Bytes that a file may cost, above what the daemon has at rest."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("files", [3_000, *also(10_000)])
def test_thousands_of_files_dropped_at_once_are_published_in_bounded_memory(
    server: Server, tmp_path: Path, report: Callable[[str], None], files: int
) -> None:
    with site(server, tmp_path) as s:
        s.start()
        started, at_rest = time.monotonic(), s.memory_mib()
        for i in range(DIRECTORIES):
            (s.drop / f"{i:02}").mkdir()
        for i in range(files):
            (s.drop / f"{i % DIRECTORIES:02}/{i:05}.jpg").write_bytes(b"%d " % i * 200)
        until(lambda: s.mapping_status()["published_files"] == files, "all are published", 180)
        took_s, memory = time.monotonic() - started, s.memory_mib()
        s.until_equal()
        report(
            f"{server.kind}: {files} files in {took_s:.1f} s, daemon's memory at most {memory:.0f} MiB"
            f" ({at_rest:.0f} at rest), {s.cpu_s():.1f} CPU s"
        )
        assert len(contents(s.published)) == files
        assert (memory - at_rest) * 1024**2 < files * MEMORY_OF_ONE
