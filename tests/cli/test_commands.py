"""The reading and steering commands against a ledger, and against a daemon on its control socket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ftpsyncd.control.server import ControlServer
from ftpsyncd.errors import CommandRefusedError
from ftpsyncd.model import CommandName
from tests.control.fakes import FakeDaemon


@pytest.fixture
def daemon(config_file) -> Iterator[FakeDaemon]:
    """A daemon that listens where the configuration says."""
    fake = FakeDaemon()
    with ControlServer(fake, config_file.parent / "control.sock"):
        yield fake


def test_schema_is_json(ftpsyncd):
    ended = ftpsyncd("schema")
    assert ended.code == 0
    assert json.loads(ended.out)["type"] == "object"


def test_status_comes_from_the_daemon(ftpsyncd, config_file, daemon):
    document = json.loads(ftpsyncd("status", "--json", "-c", config_file).out)
    assert document["daemon"]["running"] is True
    assert document["transfers"][0]["path"] == "a\udcff.jpg"
    assert "gallery" in ftpsyncd("status", "-c", config_file).out


def test_status_comes_from_the_ledger_without_a_daemon(ftpsyncd, config_file):
    ended = ftpsyncd("status", "--json", "-c", config_file)
    document = json.loads(ended.out)
    assert ended.code == 0
    assert document["daemon"]["running"] is False
    assert [each["name"] for each in document["mappings"]] == ["gallery", "shop"]
    assert "not running" in ftpsyncd("status", "-c", config_file).out


def test_watching_without_a_terminal_shows_the_status_once(ftpsyncd, config_file, daemon):
    ended = ftpsyncd("status", "--watch", "-c", config_file)
    assert (ended.code, ended.err) == (0, "")
    assert "gallery" in ended.out


def test_why_asks_the_daemon_about_the_absolute_path(ftpsyncd, config_file, daemon, monkeypatch):
    monkeypatch.chdir(config_file.parent)
    ended = ftpsyncd("why", "gallery/../gallery/a.jpg", "-c", config_file)
    assert ended == (0, "It waits.\n", "")
    assert daemon.asked == [str(config_file.parent / "gallery/a.jpg")]


def test_why_answers_without_a_daemon(ftpsyncd, config_file):
    picture = config_file.parent / "gallery" / "notes.xyz"
    picture.write_text("x")
    document = json.loads(ftpsyncd("why", "--json", picture, "-c", config_file).out)
    assert (document["mapping"], document["state"]) == ("gallery", "ignored")


def test_plan_tells_what_would_be_done_and_why(ftpsyncd, config_file):
    (config_file.parent / "gallery" / "a.jpg").write_bytes(b"x" * 1500)
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    uploads = [each for each in document["planned"] if each["verb"] == "upload"]
    assert [(each["mapping"], each["path"], each["size"]) for each in uploads] == [("gallery", "a.jpg", 1500)]
    assert all(each["why"] for each in document["planned"])
    assert document["totals"]["upload"] == 1
    assert document["bytes"] == 1500
    ended = ftpsyncd("sync", "--dry-run", "gallery", "-c", config_file)
    assert "gallery: a.jpg" in ended.out
    assert "1 upload" in ended.out


def test_plan_carries_names_that_are_not_utf_8(ftpsyncd, config_file):
    with open(os.fsencode(config_file.parent / "gallery") + b"/caf\xe9.jpg", "wb"):  # noqa: PTH123 - a name in bytes
        pass
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    assert "caf\udce9.jpg" in [each["path"] for each in document["planned"]]
    assert '"caf\\xe9.jpg"' in ftpsyncd("plan", "gallery", "-c", config_file).out


@pytest.mark.parametrize("command", ["plan", "sync", "rescan", "approve"])
def test_an_unknown_mapping_is_a_usage_error_that_names_the_known_ones(ftpsyncd, config_file, command):
    ended = ftpsyncd(command, "galery", "-c", config_file)
    assert ended.code == 2
    assert "No such mapping: galery." in ended.err
    assert "gallery, shop" in ended.err


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["retry"], (CommandName.RETRY, None, None, None)),
        (["retry", "gallery"], (CommandName.RETRY, "gallery", None, None)),
        (["rescan", "--path", "/srv/x/../a"], (CommandName.RESCAN, None, None, "/srv/a")),
        (["pause", "--server", "web"], (CommandName.PAUSE, None, "web", None)),
        (["resume", "shop"], (CommandName.RESUME, "shop", None, None)),
        (["approve", "shop"], (CommandName.APPROVE, "shop", None, None)),
        (["discard", "shop"], (CommandName.DISCARD, "shop", None, None)),
    ],
)
def test_the_daemon_is_told(ftpsyncd, config_file, daemon, words, asked):
    daemon.answer = known_mappings(daemon.answer)
    ended = ftpsyncd(*words, "-c", config_file)
    assert ended == (0, f"Did {asked[0]}.\n", "")
    assert daemon.commands == [asked]


def known_mappings(status):
    """The daemon's status with the mappings of the configuration."""
    first, second = status.mappings
    return replace(status, mappings=(first, replace(second, name="shop")))


def test_deciding_needs_a_mapping(ftpsyncd, config_file):
    assert ftpsyncd("approve", "-c", config_file).code == 2


def test_a_mapping_and_a_server_exclude_each_other(ftpsyncd, config_file):
    ended = ftpsyncd("pause", "gallery", "--server", "web", "-c", config_file)
    assert ended.code == 2
    assert "exclude each other" in ended.err


def test_what_the_daemon_refuses_is_said(ftpsyncd, config_file, daemon):
    daemon.trouble = CommandRefusedError("Nothing is held.")
    ended = ftpsyncd("approve", "gallery", "-c", config_file)
    assert ended.code == 1
    assert "Nothing is held." in ended.err


def test_steering_without_a_daemon_says_so(ftpsyncd, config_file):
    ended = ftpsyncd("retry", "-c", config_file)
    assert ended.code == 75
    assert "No daemon answers" in ended.err
