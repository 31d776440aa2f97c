"""What is declared of each key holds, and a walk over the keys of a section misses none."""

from __future__ import annotations

import json

import pytest

from ftpsyncd.config import KEEP_HISTORY_S
from ftpsyncd.config.keys import AlertKeys, ControlKeys, LogKeys, MappingKeys, ServerKeys, TopKeys
from ftpsyncd.config.section import Key, Keys
from ftpsyncd.config.values import Format, Level

GOOD: dict[type[Keys], dict[str, object]] = {
    ServerKeys: {"host": "h", "user": "u", "password": {"env": "PW"}},
    MappingKeys: {"local": "drop", "remote": "web:/htdocs"},
    ControlKeys: {},
    AlertKeys: {"command": ["tell"]},
    LogKeys: {},
    TopKeys: {},
}
ALL_KEYS = [(declared, name, key) for declared in GOOD for name, key in declared.known.items() if isinstance(key, Key)]
every_key = pytest.mark.parametrize(
    ("declared", "name", "key"), [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in ALL_KEYS]
)


def in_file(declared, keys):
    """A right file with these keys in the section; JSON is YAML."""
    good = {each: {**GOOD[each], **(keys if each is declared else {})} for each in GOOD}
    return json.dumps(
        {
            "servers": {"web": good[ServerKeys]},
            "mappings": {"gallery": good[MappingKeys]},
            "control": good[ControlKeys],
            "alerts": good[AlertKeys],
            "log": good[LogKeys],
            **good[TopKeys],
        }
    )


def problems_of(lines):
    """What was found, without its place and without what was expected."""
    return [line.partition("  ")[2].partition(";")[0] for line in lines]


# ── Declarations ─────────────────────────────────────────────────────────────────────────────────────────────────


@every_key
def test_every_key_says_what_it_is_and_what_it_accepts(declared, name, key):
    assert key.name == name
    assert key.schema["description"].endswith(".")
    assert {"type", "enum", "anyOf"} & key.schema.keys()
    for example in key.schema.get("examples", ()):
        key.parse(example)


@every_key
def test_to_leave_a_key_out_is_to_write_its_default(loaded, declared, name, key):
    shown = {name: key.schema["default"]} if "default" in key.schema else {}
    assert loaded(in_file(declared, shown)) == loaded(in_file(declared, {}))


def test_history_is_kept_by_default_as_the_schema_says():
    assert TopKeys.history.parse(TopKeys.history.default) == KEEP_HISTORY_S


def test_a_section_has_what_the_file_says_and_cannot_be_changed():
    keys = LogKeys({"level": Level.DEBUG})
    assert (keys.level, keys.format) == (Level.DEBUG, Format.TEXT)
    with pytest.raises(AttributeError):
        setattr(keys, "level", Level.INFO)  # noqa: B010  # mypy knows it better


# ── Walks ────────────────────────────────────────────────────────────────────────────────────────────────────────


@every_key
def test_a_key_without_a_value_is_a_mistake(refused, declared, name, key):
    [problem] = problems_of(refused(in_file(declared, {name: None})))
    assert problem.partition(": ")[2] == ("found no path" if name == "state_dir" else "found nothing")


def test_every_problem_of_a_section_is_told_at_once(refused):
    lines = refused("""\
        servers:
          web: {port: 0, tls: of, nonsense:, password: {evn: X}, timeout:}
        mappings: {g: {local: drop, remote: "web:/"}}
        """)
    assert problems_of(lines) == [
        "servers.web.host: found no such key",
        "servers.web.user: found no such key",
        "servers.web.port: found 0",
        "servers.web.tls: found `of`",
        "servers.web.nonsense: found an unknown key",
        "servers.web.password: found an unknown key",
        "servers.web.timeout: found nothing",
    ]


@pytest.mark.parametrize("right", [["*.jpg"], []])
def test_every_entry_that_does_not_fit_is_told(refused, right):
    wrong = {"5": 5, "`@imag`": "@imag", "a list": ["a"], "a mapping (key: value)": {"b": "c"}, "nothing": None}
    lines = refused(in_file(MappingKeys, {"include": [*right, *wrong.values()]}))
    assert problems_of(lines) == [
        f"mappings.gallery.include[{index}]: found {found}" for index, found in enumerate(wrong, len(right))
    ]


@pytest.mark.parametrize("name", ["include", "exclude"])
@pytest.mark.parametrize(
    ("value", "found"), [("a", "`a`"), (5, "5"), ({"a": "b"}, "a mapping (key: value)"), (True, "true")]
)
def test_a_list_is_nothing_else(refused, name, value, found):
    [line] = refused(in_file(MappingKeys, {name: value}))
    assert f'{name}: found {found}; expected a list such as ["@image", "*.pdf"]' in line


def test_only_some_lists_may_be_empty(loaded, refused):
    assert loaded(in_file(MappingKeys, {"exclude": []})).mappings["gallery"].exclude == ()
    [line] = refused(in_file(MappingKeys, {"include": []}))
    assert 'found an empty list; expected at least one entry; "*" is everything' in line


def test_a_mistake_in_the_defaults_is_told_once(refused):
    [line] = refused(in_file(TopKeys, {"defaults": {"include": ["*", 5]}}))
    assert "defaults.include[1]: found 5" in line
