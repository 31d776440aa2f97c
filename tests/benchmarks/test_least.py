"""What the round trips of transfers take at least, reckoned by hand."""

from __future__ import annotations

import pytest

from benchmarks.least import least_s, windows


@pytest.mark.parametrize(
    ("size", "count"),
    [(0, 1), (1, 1), (14_480, 1), (14_481, 2), (43_440, 2), (43_441, 3), (60_000, 3)],
)
def test_the_window_doubles_from_ten_packets(size: int, count: int):
    assert windows(size, 1500) == count


@pytest.mark.parametrize(
    ("size", "count"), [(44 * 1448, 1), (44 * 1448 + 1, 2), (3 * 44 * 1448, 2), (3 * 44 * 1448 + 1, 3)]
)
def test_it_begins_with_as_many_packets_as_the_route_says(size: int, count: int):
    assert windows(size, 1500, 44) == count


def test_the_files_share_the_connections():
    # Two and three round trips, on one connection and on two.
    assert least_s([1_000, 20_000], connections=1, rtt_ms=50, mtu=1500) == pytest.approx(0.25)
    assert least_s([1_000, 20_000], connections=2, rtt_ms=50, mtu=1500) == pytest.approx(0.125)
