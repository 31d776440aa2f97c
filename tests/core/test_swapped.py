"""Whether another disk is where a published directory was."""

from __future__ import annotations

import pytest

from ftpsyncd.core.swapped import swapped_away, swapped_directory
from ftpsyncd.model import MIXED, Fingerprint, Kind, Row
from tests.core.vocabulary import WALL

UUID, OTHER = 1 << 20, 1 << 21


def recorded(device: int, inode: int = 5) -> Row:
    return Row(Kind.DIR, Fingerprint(0, 0, inode), b"", WALL, device)


@pytest.mark.parametrize("mount_point", [True, False])
def test_what_is_as_it_was_is_not_swapped(*, mount_point: bool) -> None:
    row = recorded(UUID if mount_point else 0)
    assert swapped_directory("d", row, mount_point=mount_point, filesystem=UUID * mount_point) is None


@pytest.mark.parametrize(
    ("device", "mount_point", "why"),
    [
        (UUID, False, "d was mounted when it was published and is not mounted now"),
        (0, True, "d was a plain directory when it was published and is a mount point now"),
    ],
)
def test_what_was_mounted_and_is_not_or_was_not_and_is_has_another_disk(
    device: int, why: str, *, mount_point: bool
) -> None:
    swapped = swapped_directory("d", recorded(device), mount_point=mount_point)
    assert swapped is not None
    assert (swapped.why, swapped.mounted, swapped.gone) == (why, mount_point, False)


def test_another_disk_is_known_by_its_number_or_by_the_one_that_it_was_recorded_under() -> None:
    row = recorded(UUID)
    swapped = swapped_directory("d", row, mount_point=True, filesystem=OTHER)
    assert swapped is not None
    assert "on another disk" in swapped.why
    assert swapped.filesystem == OTHER
    assert swapped_directory("d", row, mount_point=True, filesystem=OTHER, device=UUID) is None
    assert swapped_directory("d", row, mount_point=True) is None, "nobody told which it is"


@pytest.mark.parametrize("mount_point", [True, False])
def test_what_was_published_of_both_is_never_there_in_all(*, mount_point: bool) -> None:
    swapped = swapped_directory("d", recorded(MIXED), mount_point=mount_point)
    assert swapped is not None
    assert swapped.mounted is mount_point


@pytest.mark.parametrize("filesystem", [0, UUID], ids=["not told", "told"])
def test_what_nobody_has_looked_at_has_no_disk_yet(filesystem: int) -> None:
    assert swapped_directory("d", recorded(0, inode=0), mount_point=True, filesystem=filesystem) is None


def test_a_disk_of_which_nobody_told_the_number_is_not_another_one_when_it_is_told() -> None:
    assert swapped_directory("d", recorded(1), mount_point=True, filesystem=UUID) is None


@pytest.mark.parametrize(("device", "why"), [(0, "is a mount point now"), (UUID, "is not mounted now")])
def test_which_disk_it_is_says_nothing_of_a_directory_that_was_none_or_is_none(device: int, why: str) -> None:
    swapped = swapped_directory("d", recorded(device), mount_point=not device, filesystem=OTHER)
    assert swapped is not None
    assert swapped.why.endswith(why)


def test_a_mount_point_that_is_not_there_took_its_disk_with_it() -> None:
    swapped = swapped_away("d")
    assert swapped.gone
    assert not swapped.mounted
