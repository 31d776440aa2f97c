"""docs/control-api.md says what the API does."""

import json
import re
from pathlib import Path

import pytest
from starlette.routing import Route

from ftpsyncd.control import shapes
from ftpsyncd.control.app import create_app
from ftpsyncd.control.feed import ROOM, Feed, event_to_json
from ftpsyncd.control.meter import Meter
from ftpsyncd.control.metrics import Metrics
from ftpsyncd.control.protocol import CONNECTIONS_MAX, REQUEST_S, TCP_MAX
from ftpsyncd.control.requests import PAGE_MAX
from ftpsyncd.control.sse import HEARTBEAT_S, SUBSCRIBERS_MAX, Broadcast
from ftpsyncd.events import Event, EventKind
from ftpsyncd.ledger.history import RECORDED
from ftpsyncd.status import MappingState, ServerState
from tests.control.fakes import PAGE, STATUS, FakeDaemon

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/control-api.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")}


def example(heading):
    """The JSON in the section of this heading."""
    [section] = [part for name, part in SECTIONS.items() if heading in name]
    return json.loads(re.findall(r"```json\n(.*?)```", section, re.DOTALL)[0])


def keys(value):
    """The shape of a JSON value: its fields, and those of the first of each list."""
    if isinstance(value, dict):
        return {name: keys(item) for name, item in value.items()}
    if isinstance(value, list):
        return [keys(item) for item in value[:1]]
    return None


def test_the_example_of_a_status_is_one_and_has_every_field():
    found = example("/v1/status")
    assert shapes.status_to_json(shapes.status_from_json(found)) == found
    assert keys(found) == keys(json.loads(json.dumps(shapes.status_to_json(STATUS))))


def test_the_example_of_a_why_is_one_and_has_every_field():
    found = example("/v1/why")
    assert shapes.why_to_json(shapes.why_from_json(found)) == found


def test_each_state_of_a_path_is_documented():
    sources = [ROOT / "ftpsyncd/inspection/reasons.py", ROOT / "ftpsyncd/daemon/knows.py"]
    told = r'(?:_say\(|Why\([^"()]*)\s*"(\w+)"|state = "(\w+)" if .* else "(\w+)"'
    states = {state for each in sources for found in re.findall(told, each.read_text()) for state in found if state}
    rows = re.findall(r"^\| `(\w+)` \|", SECTIONS["GET /v1/why?path=PATH"], re.MULTILINE)
    assert {*rows} - {"state"} == states


def test_the_example_of_a_history_is_one_and_has_every_field():
    found = example("/v1/history")
    assert shapes.history_to_json(shapes.history_from_json(found)) == found
    assert keys(found) == keys(shapes.history_to_json(PAGE))


def test_the_example_of_an_event_has_every_field():
    event = Event(EventKind.PUBLISHED)
    assert keys(example("/v1/events")) == keys(event_to_json(event, 0))


def test_the_example_of_health_has_every_field():
    assert keys(example("/healthz")) == keys(shapes.health_to_json(FakeDaemon().health()))


def test_every_metric_is_documented_and_no_other():
    daemon = FakeDaemon()
    families = re.findall(r"^# TYPE (ftpsyncd_\w+)", Metrics(daemon, Meter()).exposition().decode(), re.MULTILINE)
    assert len(families) > 20
    assert set(re.findall(r"`(ftpsyncd_\w+)`", SECTIONS["GET /metrics"])) == set(families)


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_is_documented(kind):
    assert f"`{kind}`" in SECTIONS["GET /v1/events"] + SECTIONS["GET /v1/history"]


@pytest.mark.parametrize("kind", sorted(RECORDED))
def test_every_kind_of_the_history_is_documented(kind):
    assert f"`{kind}`" in SECTIONS["GET /v1/history"]


def test_the_limits_are_the_documented_ones():
    assert f"last {ROOM} events" in TEXT
    assert f"At most {SUBSCRIBERS_MAX} may listen" in TEXT
    assert f"every {HEARTBEAT_S:.0f} seconds" in TEXT
    assert f"1 to {PAGE_MAX}" in TEXT
    assert f"{CONNECTIONS_MAX} connections are open" in TEXT
    assert f"At most {TCP_MAX} connections come over TCP at a time, and each has {REQUEST_S:.0f} seconds" in TEXT


@pytest.mark.parametrize("state", [*MappingState, *ServerState])
def test_every_state_is_documented(state):
    assert f"`{state}`" in TEXT


def test_every_route_is_documented():
    headings = " ".join(re.findall(r"^## (?:GET|POST) (.*)$", TEXT, re.MULTILINE))
    documented = {path.removeprefix("/v1") for path in re.findall(r"/[a-z0-9/]+", headings.replace("/NAME", ""))}
    daemon = FakeDaemon()
    app = create_app(daemon, Broadcast(Feed()), Metrics(daemon, Meter()))
    served = [route.path for route in app.routes if isinstance(route, Route)]
    assert documented == {path.removeprefix("/v1").replace("/{name}", "") for path in served}
