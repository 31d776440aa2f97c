"""docs/control-api.md says what commands print with `--json` that no part of the API answers."""

from __future__ import annotations

import json

import pytest

from ftpsyncd.cli import plan
from ftpsyncd.inspection.findings import Area, Level
from ftpsyncd.inspection.preview import Planned
from tests.control.test_control_docs import SECTIONS, example, keys


def printed(ended):
    return json.loads(ended.out)


def test_what_a_pass_has_done(ftpsyncd, config_file):
    found = printed(ftpsyncd("sync", "--json", "-c", config_file))
    assert keys(found) == {**keys(example("ftpsyncd sync --json")), "messages": []}
    for field in found:
        assert f"`{field}`" in SECTIONS["ftpsyncd sync --json"] or field == "duration_s"


def test_what_a_missing_folder_does_to_a_pass(ftpsyncd, config_file):
    (config_file.parent / "shop").rmdir()
    ended = ftpsyncd("sync", "--json", "-c", config_file)
    assert (ended.code, printed(ended)["exit_code"], printed(ended)["source_missing"]) == (1, 1, True)


def test_what_is_planned(capsys):
    shown = example("ftpsyncd plan --json")
    plan.print_json([Planned(**each) for each in shown["planned"]])
    assert json.loads(capsys.readouterr().out) == shown


@pytest.mark.parametrize("verb", sorted(plan.NO_ACTIONS | plan.COLOURS.keys()))
def test_every_verb_of_a_plan_is_explained(verb):
    assert f"`{verb}`" in SECTIONS["ftpsyncd plan --json"]


def test_what_was_found(ftpsyncd, config_file):
    found = printed(ftpsyncd("check", "--offline", "--json", "-c", config_file))
    assert keys(found) == keys(example("ftpsyncd check --json"))
    for word in (*Level, *Area):
        assert f"`{word}`" in SECTIONS["ftpsyncd check --json"]
