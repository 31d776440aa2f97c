"""Status and Why as JSON, there and back."""

import json
from types import MappingProxyType
from typing import get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftpsyncd.control import shapes
from ftpsyncd.errors import ControlError
from ftpsyncd.questions import Why
from ftpsyncd.status import MappingStatus, Problem, ServerStatus, Status, Transfer
from tests.control.fakes import STATUS

_BYTES = st.characters(categories=["Cs"], min_codepoint=0xDC80, max_codepoint=0xDCFF)
"""What Python makes of bytes in names that are no text (PEP 383)."""
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | _BYTES, max_size=5)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


def there_and_back(data):
    return json.loads(json.dumps(data))


def _few(kind):
    """None of them, one or two: what each says is what matters, and there is much of it."""
    return st.lists(st.builds(kind), max_size=2).map(tuple)


STATUSES = st.builds(
    Status, mappings=_few(MappingStatus), servers=_few(ServerStatus), transfers=_few(Transfer), problems=_few(Problem)
)
_DETAILS = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | st.from_type(float) | TEXT, max_size=3)


def _whys(also):
    return st.builds(Why, details=_DETAILS, also=also)


WHYS = _whys(st.lists(_whys(st.just(())), max_size=2).map(tuple))
"""Those of other mappings have none of others."""


@given(STATUSES)
@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine one status may take seconds to make
def test_a_status_survives_json(status):
    assert shapes.status_from_json(there_and_back(shapes.status_to_json(status))) == status


@given(WHYS)
def test_a_why_survives_json(why):
    assert shapes.why_from_json(there_and_back(shapes.why_to_json(why))) == why


def test_the_details_of_a_why_may_be_read_only():
    why = Why("a", None, "ignored", "No.", MappingProxyType({"pattern": "*.tmp"}))
    assert shapes.why_to_json(why)["details"] == {"pattern": "*.tmp"}


def test_a_status_has_the_documented_fields():
    data = there_and_back(shapes.status_to_json(STATUS))
    assert set(data) == {"daemon", "mappings", "servers", "transfers", "problems"}
    assert set(data["daemon"]) == {
        "running",
        "pid",
        "version",
        "uptime_s",
        "message",
        "notice",
        "alerts",
        "shortage",
        "at_work",
        "stuck",
    }
    assert set(data["mappings"][0]) == set(get_type_hints(MappingStatus))
    assert data["mappings"][0]["state"] == "syncing"
    assert data["transfers"][0] == {
        "mapping": "gallery",
        "path": "a\udcff.jpg",
        "sent_bytes": 10,
        "size_bytes": 100,
        "rate_bytes_s": 5.5,
        "still_s": 0.0,
    }


def test_one_mapping_comes_with_its_transfers_and_problems():
    data = shapes.mapping_to_json(STATUS, "gallery")
    assert data is not None
    assert len(data["transfers"]) == len(data["problems"]) == 1
    data = shapes.mapping_to_json(STATUS, "sheets")
    assert data is not None
    assert data["transfers"] == data["problems"] == []
    assert shapes.mapping_to_json(STATUS, "other") is None


def test_fields_of_a_newer_daemon_are_passed_over():
    data = there_and_back(shapes.status_to_json(STATUS))
    data["news"] = 1
    data["mappings"][0]["news"] = 1
    assert shapes.status_from_json(data) == STATUS


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("daemon"),
        lambda data: data["daemon"].pop("pid"),
        lambda data: data.update(daemon=None),
        lambda data: data.update(mappings=None),
        lambda data: data.update(mappings=[3]),
        lambda data: data["mappings"][0].update(state="new_state"),
    ],
)
def test_another_shape_is_a_clear_error(spoil):
    data = there_and_back(shapes.status_to_json(STATUS))
    spoil(data)
    with pytest.raises(ControlError, match="The daemon's answer") as caught:
        shapes.status_from_json(data)
    assert "versions" in caught.value.remedy


@pytest.mark.parametrize("answer", [None, [], "no", 3])
def test_what_is_no_object_is_a_clear_error_too(answer: object):
    with pytest.raises(ControlError, match="The daemon's answer is no object") as caught:
        shapes.history_from_json(answer)
    assert "versions" in caught.value.remedy
