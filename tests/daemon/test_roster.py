"""How long disks that are stopped are awaited, which may answer late, or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ftpsyncd.daemon.roster import LOOK_AGAIN_S, _stop_disks
from ftpsyncd.local.disk import DiskThread


class Disk:
    """One that has ended when it is asked for the so-manieth time."""

    def __init__(self, ends_at: int) -> None:
        self._ends_at = ends_at
        self.waits_s: list[float] = []

    def stop(self, timeout_s: float) -> bool:
        self.waits_s.append(timeout_s)
        return len(self.waits_s) >= self._ends_at


NEVER = 1_000_000


def stop(disks: list[Disk], timeout_s: float, enough: Callable[[], bool] = lambda: False) -> None:
    _stop_disks(cast("list[DiskThread]", disks), timeout_s, enough)


def test_all_disks_are_told_at_once_and_awaited_in_turn() -> None:
    disks = [Disk(4), Disk(3)]
    stop(disks, 3600)
    assert [len(disk.waits_s) for disk in disks] == [4, 3]
    for disk in disks:
        assert disk.waits_s == [0.0] + [LOOK_AGAIN_S] * (len(disk.waits_s) - 1)


def test_one_that_does_not_answer_is_not_awaited_beyond_the_time_for_all() -> None:
    disks = [Disk(NEVER), Disk(NEVER)]
    stop(disks, 0)
    assert [disk.waits_s for disk in disks] == [[0.0, 0.0], [0.0]]


def test_nor_longer_than_is_enough() -> None:
    disk, asked = Disk(NEVER), list[int]()

    def enough() -> bool:
        asked.append(1)
        return len(asked) == 3

    stop([disk], 3600, enough)
    assert len(disk.waits_s) == 4
