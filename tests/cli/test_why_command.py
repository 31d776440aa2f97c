"""`why` and `status` without a daemon, of folders on disk and a ledger that was filled by hand."""

from __future__ import annotations

import json
import re

import pytest

from ftpsyncd.engine.report import iso
from tests.cli.test_plan_command import PAUSED_NS, publish


def sentence(ftpsyncd, config_file, path: str) -> str:
    ended = ftpsyncd("why", config_file.parent / "gallery" / path, "-c", config_file)
    assert ended.code == 0
    return str(ended.out).rstrip("\n")


def test_a_directory_in_the_place_of_a_published_file_is_not_called_published(ftpsyncd, config_file):
    publish(config_file, ["x.jpg"])
    (config_file.parent / "gallery" / "x.jpg").mkdir()
    said = sentence(ftpsyncd, config_file, "x.jpg")
    assert said == "a file was published under this name: it is deleted at the server first"


def test_a_file_in_the_place_of_a_published_directory_did_not_change(ftpsyncd, config_file):
    publish(config_file, ["x.jpg/a.jpg"])
    (config_file.parent / "gallery" / "x.jpg").write_text("x")
    said = sentence(ftpsyncd, config_file, "x.jpg")
    assert said.startswith("a directory was published under this name, and is deleted at the server first")


def test_what_is_gone_and_no_longer_included_stays_at_the_server(ftpsyncd, config_file):
    publish(config_file, ["a.jpg"])
    assert "still at the server; deletes: mirror" in sentence(ftpsyncd, config_file, "a.jpg")
    config_file.write_text(config_file.read_text().replace("settle: 0s}", 'settle: 0s, exclude: ["*.jpg"]}'))
    said = sentence(ftpsyncd, config_file, "a.jpg")
    assert said == "it is gone here, and stays at the server: it is no longer included"


@pytest.mark.parametrize("paused", [False, True])
def test_nothing_of_a_paused_mapping_is_told_to_be_published_by_a_sync(ftpsyncd, config_file, paused):
    publish(config_file, [], paused=paused)
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    said = sentence(ftpsyncd, config_file, "a.jpg")
    assert ("ftpsyncd sync gallery" in said) is not paused
    assert (f"gallery is paused, `ftpsyncd resume gallery -c {config_file}`" in said) is paused


def test_a_status_without_a_daemon_tells_that_a_person_paused_a_mapping(ftpsyncd, config_file):
    publish(config_file, [], paused=True)
    told = ftpsyncd("status", "-c", config_file).out
    assert re.search(r"gallery  paused +for [0-9,]+ days", told)
    assert "ftpsyncd resume gallery" in told
    assert "shop     stopped" in told
    shown = {each["name"]: each for each in json.loads(ftpsyncd("status", "--json", "-c", config_file).out)["mappings"]}
    assert shown["gallery"]["message"].startswith("paused by a person")
    assert shown["shop"]["message"] == "no daemon is running"
    assert (shown["gallery"]["since"], shown["shop"]["since"]) == (iso(PAUSED_NS), None)


@pytest.mark.parametrize("place", ["web:/gallery/d/a.jpg", "web:gallery//d/./a.jpg"])
def test_a_place_at_the_server_stands_for_what_is_published_there(ftpsyncd, config_file, place):
    publish(config_file, ["d/a.jpg"])
    here = ftpsyncd("why", config_file.parent / "gallery" / "d" / "a.jpg", "-c", config_file)
    there = ftpsyncd("why", place, "-c", config_file)
    assert (there.code, there.out) == (0, here.out)
    receipts = ftpsyncd("history", "--path", place, "-c", config_file)
    assert (receipts.code, receipts.err) == (0, "")


def test_a_place_at_the_server_that_nothing_is_published_to_is_refused_with_those_that_there_are(ftpsyncd, config_file):
    ended = ftpsyncd("why", "web:/galleries/a.jpg", "-c", config_file)
    assert (ended.code, ended.out) == (2, "")
    assert "No mapping publishes to web:/galleries/a.jpg." in ended.err
    assert "web:/gallery" in ended.err


def test_a_local_name_with_a_colon_is_one(ftpsyncd, config_file, monkeypatch):
    folder = config_file.parent / "gallery" / "web:"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_text("x")
    monkeypatch.chdir(folder.parent)
    assert ftpsyncd("why", "web:/a.jpg", "-c", config_file).out.startswith("not published yet")
