"""What is known of a server that has failed: which of what it does shows that it works again."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ftpsyncd.core.gate import Breaker, Gate
from tests.core.vocabulary import NOW


class Shows(NamedTuple):
    """What a gate tells."""

    refuses_others: bool = False
    lets_in: bool = False
    lacks_data: bool = False
    begins_in_vain: bool = False


def shown(gate: Gate) -> Shows:
    return Shows(gate.refuses_others, gate.lets_in, gate.lacks_data, gate.begins_in_vain)


@pytest.mark.parametrize(
    ("state", "failed", "shows"),
    [
        (Breaker.OFFLINE, (), Shows(refuses_others=True)),
        (Breaker.REFUSED, (), Shows()),
        (Breaker.OFFLINE, ("connects",), Shows(lets_in=True)),
        (Breaker.OFFLINE, ("connects", "begins_in_vain"), Shows(lets_in=True)),
        (Breaker.OFFLINE, ("connects", "lacks_data"), Shows(lets_in=True, lacks_data=True)),
        (
            Breaker.OFFLINE,
            ("connects", "lacks_data", "begins_in_vain"),
            Shows(lets_in=True, lacks_data=True, begins_in_vain=True),
        ),
        (Breaker.FULL, ("connects",), Shows(lets_in=True, begins_in_vain=True)),
        (Breaker.FULL, (), Shows(lets_in=True, begins_in_vain=True)),
    ],
)
def test_how_a_server_failed_is_known_until_it_has_answered(state: Breaker, failed: tuple[str, ...], shows: Shows):
    gate = Gate(4)
    assert shown(gate) == Shows()
    assert gate.failed(NOW, state, "No.", **dict.fromkeys(failed, True))
    assert shown(gate) == shows
    assert gate.answered()
    assert shown(gate) == Shows()


@pytest.mark.parametrize("state", [Breaker.REFUSED, Breaker.FULL])
def test_another_failure_is_judged_by_itself(state: Breaker):
    """What was known of the data connections says nothing of a full disk, nor of a password."""
    gate = Gate(4)
    gate.failed(NOW, Breaker.OFFLINE, "No data.", connects=True, lacks_data=True, begins_in_vain=True)
    gate.failed(NOW + 1, state, "No.")
    assert not gate.lacks_data
    assert gate.begins_in_vain is (state is Breaker.FULL)
    gate.failed(NOW + 2, Breaker.OFFLINE, "gone")
    assert shown(gate) == Shows(refuses_others=True)


def test_a_connection_is_news_only_where_none_could_be_opened():
    gate = Gate(4)
    assert not gate.connected(), "it was not known to fail"
    gate.failed(NOW, Breaker.FULL, "No space.", connects=True)
    assert not gate.connected()
    gate.failed(NOW, Breaker.OFFLINE, "gone")
    assert gate.connected()
    assert gate.state is Breaker.CLOSED
    assert not gate.connected()
