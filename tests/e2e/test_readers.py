"""What it costs to be looked at: fifty readers of the control socket while five thousand files are published."""

from __future__ import annotations

import ast
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import readers
from tests.e2e.site import Site, site
from tests.figures import Figures
from tests.servers import running

FILES = 5000
READERS = 50
ROUNDS = 16
MOST = 0.10
"""Of the throughput."""


@contextmanager
def read_by(count: int, s: Site) -> Iterator[dict[str, int]]:
    """Readers of the control socket; afterwards, what they were answered."""
    answers: dict[str, int] = {}
    words = [sys.executable, readers.__file__, os.fspath(s.base / "control.sock"), str(count)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        yield answers
        process.stdin.close()
        answers.update(ast.literal_eval(process.stdout.readline()))


def seconds_to_publish(s: Site, number: int) -> float:
    """From the moment that a finished tree is moved into the folder until all of it is at the server."""
    tree = s.base / f"tree{number}"
    for i in range(FILES):
        path = tree / f"{i // 100}/{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(2000))
    published = s.mapping_status()["published_files"]
    began = time.monotonic()
    tree.rename(s.drop / tree.name)
    while s.mapping_status()["published_files"] < published + FILES:
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.real_server
def test_fifty_readers_cost_less_than_a_tenth_of_the_throughput(tmp_path: Path, figures: Figures) -> None:
    alone, read = [], []
    with running("vsftpd") as server, site(server, tmp_path, settle="0s") as s:
        s.start()
        seconds_to_publish(s, 0)  # warm
        for number in range(ROUNDS):
            # Each of the two is first as often as the other: what is published already makes the next ones slower.
            if number % 2:
                alone.append(seconds_to_publish(s, 2 * number + 1))
            with read_by(READERS, s) as answers:
                read.append(seconds_to_publish(s, 2 * number + 2))
            if not number % 2:
                alone.append(seconds_to_publish(s, 2 * number + 1))
            assert answers.keys() == {"200", "event"}
            assert answers["200"] > READERS
    # In pairs, since what else runs on the machine changes by the minute.
    cost = 1 - statistics.median(before / with_readers for before, with_readers in zip(alone, read, strict=True))
    figures.tell("G8", f"throughput lost to {READERS} readers", round(100 * cost, 1), unit="%", limit=100 * MOST)
    assert cost < MOST, f"alone {alone}, read {read}"
