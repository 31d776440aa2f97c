"""What holds for every test: no thread and no descriptor outlives it."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ftpsyncd.local import mounts
from tests.figures import figures, pytest_runtest_makereport
from tests.nursery import open_nursery
from tests.onecase import one_case

__all__ = ["figures", "one_case", "pytest_runtest_makereport"]

GRACE_S = 5.0
E2E_S, ELSE_S = 3.0, 0.1
"""What a test takes, about, in `tests/e2e` and elsewhere, where its module is not marked with how long it lasts."""

# An example may take as long as a busy machine makes it; what must be quick has a limit of its own, in CPU time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Who starts tests in the background, or with nohup, has these ignored, and all that they start would inherit that.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# Of who starts tests with another umask: vsftpd and proftpd do not start with files that everybody may write.
os.umask(0o022)

# The descriptor by which the kernel tells of mounts is one for the life of the process.
mounts.current()
open_nursery()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What mostly waits runs beside what computes, from the beginning to the end, and what takes longest begins first.

    Where all that waits ran first, the processors had half of the time nothing to do, and then too much; and nobody is to
    wait for a worker that is left alone with a long module. Otherwise the order is random, as it was.
    """
    marked: dict[Path, float] = {}
    lasts: dict[Path, float] = {}
    for item in items:
        marker = item.get_closest_marker("lasting")
        if marker is not None:
            marked[item.path] = max(marked.get(item.path, 0.0), marker.args[0])
        lasts[item.path] = lasts.get(item.path, 0.0) + (E2E_S if _waits(item.path) else ELSE_S)
    lasts |= marked
    begins: dict[Path, float] = {}
    for waits in (True, False):
        modules = sorted((path for path in lasts if _waits(path) is waits), key=lambda path: -lasts[path])
        whole, before = sum(lasts[path] for path in modules), 0.0
        for path in modules:
            # The share of its kind that has begun by then.
            begins[path] = before / whole
            before += lasts[path]
    items.sort(key=lambda item: begins[item.path])


def _waits(path: Path) -> bool:
    return path.parent.name == "e2e"


def _descriptors() -> set[tuple[int, str]]:
    # Twice for each test: with Path it would be a quarter of what a short one costs.
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))  # noqa: PTH115
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return found


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Threads and descriptors after a test are those before it; what is ending may take a moment."""
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    deadline = time.monotonic() + GRACE_S
    while True:
        left: set[object] = {*(set(threading.enumerate()) - threads), *(_descriptors() - descriptors)}
        if not left:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {left}")
        gc.collect()
        time.sleep(0.01)
