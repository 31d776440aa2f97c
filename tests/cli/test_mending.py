"""How long `verify --repair` waits for a running daemon."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ftpsyncd.cli import mending
from ftpsyncd.control import shapes
from ftpsyncd.control.client import ControlClient
from ftpsyncd.status import MappingState, MappingStatus
from tests.control.fakes import GALLERY, STATUS

AT_REST = GALLERY._replace(
    state=MappingState.IN_SYNC, pending=0, in_flight=0, message="", oldest_pending_s=None, comparing=False
)
WRITTEN = AT_REST._replace(
    state=MappingState.SETTLING, pending=1, settling=1, oldest_pending="a.mxf: a program has it open for writing"
)
SAID = "gallery: a.mxf: a program has it open for writing"


class Daemon:
    """Tells one status after another; the last one for good."""

    def __init__(self, *told: MappingStatus) -> None:
        self.left = list(told)

    def status(self) -> dict[str, Any]:
        each = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return shapes.status_to_json(STATUS._replace(mappings=(each,)))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is: that of what was waited for."""
    now = [1000.0]
    passed = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(mending, "time", passed)
    return now


def waits(*told: MappingStatus) -> tuple[str, Daemon]:
    daemon = Daemon(*told)
    return mending.DaemonHand(cast("ControlClient", daemon), "gallery", "web", 2.0).wait(), daemon


@pytest.mark.parametrize("state", [MappingState.SETTLING, MappingState.HELD])
def test_a_file_that_is_written_all_the_time_is_not_awaited_for_an_hour(
    clock: list[float], state: MappingState
) -> None:
    """A recording of some other file kept the command, which said nothing of it."""
    assert waits(WRITTEN._replace(state=state))[0] == SAID
    assert clock[0] - 1000 < 2 * mending.SETTLES_S


@pytest.mark.parametrize(
    "change",
    [
        {"comparing": True},
        {"pending": 2},
        {"in_flight": 1},
        {"state": MappingState.SYNCING},
        {"state": MappingState.HELD, "comparing": True},
        {},
    ],
)
def test_what_is_published_or_comes_to_rest_is_awaited(change: dict[str, Any]) -> None:
    said, daemon = waits(*[WRITTEN._replace(**change)] * 20, AT_REST)
    assert (said, len(daemon.left)) == ("", 1)
    assert daemon.left == [AT_REST]
