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

# An example may take as long as a busy machine makes it; what must be quick has a limit of its own, in CPU time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Who starts tests in the background, or with nohup, has these ignored, and all that they start would inherit that.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# The descriptor by which the kernel tells of mounts is one for the life of the process.
mounts.current()
open_nursery()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no worker is left alone with it; otherwise the order is random, as it was."""
    lasting: dict[Path, float] = {}
    for item in items:
        marker = item.get_closest_marker("lasting")
        if marker is not None:
            lasting[item.path] = max(lasting.get(item.path, 0.0), marker.args[0])
    items.sort(key=lambda item: -lasting.get(item.path, 0.0))


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
