"""The example, the reference and the JSON Schema say what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ftpsyncd.config import load, schema
from ftpsyncd.config.password import NAME_PATTERNS
from ftpsyncd.core.filters import BUILT_IN_EXCLUDE, GROUPS
from ftpsyncd.errors import ConfigError
from ftpsyncd.quoting import one_line
from tests.config.texts import MAPPINGS, MINIMAL, SERVERS

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs/config.md").read_text(encoding="utf-8")
SCHEMA = schema()
SECTIONS = SCHEMA["$defs"]
COMMENTED_KEY = re.compile(r"^(?P<indent> *)# (?P<key> *[a-z_]+:.*)$")


def keys_of(section):
    return [(section, key, facts) for key, facts in SECTIONS[section]["properties"].items()]


ALL_KEYS = [
    *(("TopKeys", key, facts) for key, facts in SCHEMA["properties"].items()),
    *(entry for section in SECTIONS for entry in keys_of(section)),
]


def uncommented(*, examples):
    """The example file with its commented keys switched on: those that show defaults, or all of them."""
    head, _, body = EXAMPLE.partition("\nservers:")
    lines = []
    in_example = False
    for line in body.split("\n"):
        match = COMMENTED_KEY.match(line)
        # The keys of a section that is commented out as a whole belong to it.
        in_example = "# example" in line or (in_example and match is not None and match["key"].startswith(" "))
        if match is None or (not examples and (in_example or not match["indent"])):
            lines.append(line)
        else:
            lines.append(f"{match['indent']}{match['key']}")
    return head + "\nservers:" + "\n".join(lines)


@pytest.fixture
def example(home, environ):
    def load_example(text):
        path = home / "config.yaml"
        path.write_text(text.replace("/srv/", f"{home}/").replace("/var/lib", f"{home}/lib"), encoding="utf-8")
        return load(path, environ=environ)

    return load_example


def test_the_example_loads_as_it_is(example):
    config = example(EXAMPLE)
    assert list(config.servers) == ["web"]
    assert list(config.mappings) == ["gallery"]
    assert config.warnings == ()


def test_the_example_shows_the_defaults(example):
    text = uncommented(examples=False)
    assert len(re.findall(r"^ +[a-z_]+:", text, re.MULTILINE)) > 20
    plain, shown = example(EXAMPLE), example(text)
    assert shown.servers["web"] == plain.servers["web"]
    assert shown.mappings["gallery"] == plain.mappings["gallery"]


def test_the_example_loads_with_everything_switched_on(example):
    config = example(uncommented(examples=True))
    assert config.control.http == ("127.0.0.1", 8021)
    assert config.servers["web"].bandwidth_bytes_s == 10**7


@pytest.mark.parametrize(
    ("section", "key", "facts"), ALL_KEYS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_key_is_documented(section, key, facts):
    assert re.search(rf"^ *(# *)?{key}:", EXAMPLE, re.MULTILINE), f"config.example.yaml lacks {key}"
    assert facts.get("description"), f"the schema does not describe {key}"
    if section == "TopKeys":
        assert f"## `{key}`" in REFERENCE
        return
    [row] = [line for line in REFERENCE.split("\n") if re.match(rf"\| (`\w+`, )?`{key}`", line)]
    for word in facts.get("enum", ()):
        assert f"{word}" in row
    if "default" in facts:
        default = facts["default"]
        assert (default if isinstance(default, str) else json.dumps(default)) in row


RANGES = re.findall(r"^\| `(\w+)` \| (\S+) to (\S+) \|", REFERENCE, re.MULTILINE)
BEYOND = {"0": "-1", "1": "0", "64": "65", "65535": "65536", "1s": "999ms", "100ms": "99ms"}
"""What is just outside of a limit; of the others, a second more."""


@pytest.mark.parametrize(("key", "least", "most"), RANGES, ids=[key for key, _, _ in RANGES])
def test_a_range_of_the_reference_is_what_is_accepted(loaded, key, least, most):
    owner = SERVERS if key in SECTIONS["ServerKeys"]["properties"] else MAPPINGS

    def taken(value):
        return loaded(MINIMAL.replace(owner, owner.replace("}\n", f", {key}: {value}}}\n")))

    for value in (least, most):
        assert taken(value)
    for value in (BEYOND[least], BEYOND.get(most, f"{most} 1s")):
        with pytest.raises(ConfigError, match=f"{key}: found"):
            taken(value)


def test_the_reference_names_ranges():
    assert {key for key, _, _ in RANGES} == {
        "port",
        "connections",
        "timeout",
        "settle",
        "delete_after",
        "poll_every",
        "rescan",
    }


def test_the_reference_lists_no_key_that_does_not_exist():
    rows = re.findall(r"^\| `([a-z_]+)`(?:, `([a-z_]+)`)? \| .* \| .* \| .* \|$", REFERENCE, re.MULTILINE)
    documented = {key for row in rows for key in row if key}
    assert documented == {key for section, key, _ in ALL_KEYS if section != "TopKeys"}


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "@media"])
def test_the_reference_lists_the_groups(group):
    assert f"| `{group}` | {' '.join(sorted(GROUPS[group]))} |" in REFERENCE


def test_the_reference_lists_the_built_in_exclusions():
    section = REFERENCE.partition("### Built-in exclusions")[2].partition("\n## ")[0].partition("never published")[2]
    for pattern in BUILT_IN_EXCLUDE:
        assert f"`{one_line(pattern)}`" in section, pattern


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL), ids=lambda block: block.split(":")[0]
)
def test_every_example_of_the_reference_loads(example, block):
    text = block
    if "servers:" not in text:
        text = SERVERS + text
    if "mappings:" not in text:
        text += MAPPINGS
    assert example(text).servers


def test_the_schema_is_plain_json_without_leftovers():
    text = json.dumps(SCHEMA)
    assert json.loads(text) == SCHEMA
    assert "title" not in text
    assert SCHEMA["additionalProperties"] is False
    assert all(section["additionalProperties"] is False for section in SECTIONS.values())
    assert SCHEMA["required"] == ["servers", "mappings"]
    assert SECTIONS["ServerKeys"]["required"] == ["host", "user"]


def test_the_schema_allows_empty_sections_and_shared_keys():
    for key in ("defaults", "control", "log"):
        assert {"type": "null"} in SCHEMA["properties"][key]["anyOf"]
    assert len(SCHEMA["allOf"]) == 2
    assert "required" not in SECTIONS["MappingKeys"]


def test_the_schema_allows_a_mapping_whose_keys_are_all_shared(loaded):
    text = (
        f"servers: {{s: {{host: h, user: u}}}}\ndefaults: {{local: {Path.cwd()}, remote: 's:/'}}\nmappings: {{m: }}\n"
    )
    assert loaded(text).mappings["m"].remote == "/"
    [mapping] = SCHEMA["properties"]["mappings"]["patternProperties"].values()
    assert {"type": "null"} in mapping["anyOf"]


def test_the_schema_knows_the_three_references_to_a_password():
    options = SECTIONS["ServerKeys"]["properties"]["password"]["anyOf"]
    assert [list(option["properties"]) for option in options if option.get("type") == "object"] == [
        [key] for key in NAME_PATTERNS
    ]


def test_defaults_in_the_schema_are_what_load_fills_in(loaded):
    shown = {key: facts["default"] for _, key, facts in keys_of("MappingKeys") if "default" in facts}
    text = json.dumps(shown)
    explicit = loaded(SERVERS + f"mappings:\n  gallery: {text[:-1]}, 'local': drop, 'remote': 'web:/htdocs'}}\n")
    assert explicit.mappings["gallery"] == loaded(SERVERS + MAPPINGS).mappings["gallery"]
