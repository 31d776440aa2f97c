"""docs/control-api.md says what the API does."""

import json
import re
from pathlib import Path

import pytest
from starlette.routing import Route

from ftpsyncd.control import shapes
from ftpsyncd.control.app import create_app
from ftpsyncd.model import MappingState, ServerState
from tests.control.fakes import STATUS, FakeDaemon

TEXT = (Path(__file__).parents[2] / "docs/control-api.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(example) for example in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]


def keys(value):
    """The shape of a JSON value: its fields, and those of the first of each list."""
    if isinstance(value, dict):
        return {name: keys(item) for name, item in value.items()}
    if isinstance(value, list):
        return [keys(item) for item in value[:1]]
    return None


def test_the_example_of_a_status_is_one_and_has_every_field():
    example = EXAMPLES[0]
    assert shapes.status_to_json(shapes.status_from_json(example)) == {
        **example,
        **{name: tuple(example[name]) for name in ("mappings", "servers", "transfers", "problems")},
    }
    assert keys(example) == keys(json.loads(json.dumps(shapes.status_to_json(STATUS))))


def test_the_example_of_a_why_is_one_and_has_every_field():
    assert shapes.why_to_json(shapes.why_from_json(EXAMPLES[1])) == EXAMPLES[1]


@pytest.mark.parametrize("state", [*MappingState, *ServerState])
def test_every_state_is_documented(state):
    assert f"`{state}`" in TEXT


def test_every_route_is_documented():
    headings = " ".join(re.findall(r"^## (?:GET|POST) (.*)$", TEXT, re.MULTILINE))
    documented = {path.removeprefix("/v1") for path in re.findall(r"/[a-z0-9/]+", headings.replace("/NAME", ""))}
    served = [route.path for route in create_app(FakeDaemon()).routes if isinstance(route, Route)]
    assert documented == {path.removeprefix("/v1").replace("/{name}", "") for path in served}
