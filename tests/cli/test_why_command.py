"""`why` and `status` without a daemon, of folders on disk and a ledger that was filled by hand."""

from __future__ import annotations

import json
import os
import re
import shutil
import time

import pytest

from ftpsyncd.claim import Claim
from ftpsyncd.engine.report import iso
from ftpsyncd.errors import NameRefusedError
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.quoting import as_word
from tests.cli.terminal import fail
from tests.cli.test_plan_command import PAUSED_NS, publish


def sentence(ftpsyncd, config_file, path: str) -> str:
    ended = ftpsyncd("why", config_file.parent / "gallery" / path, "-c", config_file)
    assert ended.code == 0
    return str(ended.out).rstrip("\n")


def test_a_directory_in_the_place_of_a_published_file_is_not_called_published(ftpsyncd, config_file):
    publish(config_file, ["x.jpg"])
    (config_file.parent / "gallery" / "x.jpg").mkdir()
    said = sentence(ftpsyncd, config_file, "x.jpg")
    assert said.startswith("a file was published under this name: it is deleted at the server first; no daemon runs: ")


@pytest.mark.parametrize("date_ns", [5 * 10**9, 5 * 10**9 + 1])
def test_a_file_that_looks_as_it_was_published_and_was_made_since_is_not_called_published(
    ftpsyncd, config_file, monkeypatch, date_ns
):
    """Its fingerprint is that of the one before; dates agree by accident in whole seconds only."""
    monkeypatch.setattr("ftpsyncd.local.birth.named_ns", lambda _name, _directory: time.time_ns())
    path = config_file.parent / "gallery" / "x.jpg"
    path.write_text("x")
    os.utime(path, ns=(date_ns, date_ns))
    publish(config_file, ["x.jpg"], fingerprint=fingerprint_of(path.stat()))
    anew = "changed since it was published; no daemon runs: "
    assert sentence(ftpsyncd, config_file, "x.jpg").startswith("published " if date_ns % 10**9 else anew)


def test_a_file_in_the_place_of_a_published_directory_did_not_change(ftpsyncd, config_file):
    publish(config_file, ["x.jpg/a.jpg"])
    (config_file.parent / "gallery" / "x.jpg").write_text("x")
    said = sentence(ftpsyncd, config_file, "x.jpg")
    assert said.startswith("a directory was published under this name, and is deleted at the server first")


@pytest.mark.parametrize(
    ("name", "encoding", "said"),
    [
        ("a\nb.jpg", "utf-8", "holds a line break or NUL, which FTP cannot carry. Rename the file."),
        ("\udcff.jpg", "utf-8", "holds the byte 0xFF, which servers read differently. Rename the file."),
        ("\u20ac.jpg", "latin-1", "cannot be written in the server's encoding latin-1. Rename the file."),
    ],
)
def test_of_a_name_that_no_server_can_be_told_it_is_not_promised_that_it_is_published(
    ftpsyncd, config_file, name, encoding, said
):
    (config_file.parent / "gallery" / name).write_text("x")
    config_file.write_text(config_file.read_text().replace("user: ftpu", f"user: ftpu, encoding: {encoding}"))
    assert sentence(ftpsyncd, config_file, name).endswith(said)


@pytest.mark.parametrize("path", ["drafts", "drafts/of/today"])
def test_the_pattern_that_excludes_a_directory_is_named(ftpsyncd, config_file, path):
    (config_file.parent / "gallery" / path).mkdir(parents=True)
    config_file.write_text(config_file.read_text().replace("settle: 0s}", 'settle: 0s, exclude: ["*.x", drafts/]}'))
    assert sentence(ftpsyncd, config_file, path) == "this directory is excluded: matched by exclude: drafts/"


def test_what_is_gone_and_no_longer_included_stays_at_the_server(ftpsyncd, config_file):
    publish(config_file, ["a.jpg"])
    assert "still at the server; deletes: mirror" in sentence(ftpsyncd, config_file, "a.jpg")
    config_file.write_text(config_file.read_text().replace("settle: 0s}", 'settle: 0s, exclude: ["*.jpg"]}'))
    said = sentence(ftpsyncd, config_file, "a.jpg")
    assert said == "it is gone here, and stays at the server: it is no longer included"


def goes_on(config_file, does: str) -> str:
    return f"no daemon runs: the next `ftpsyncd sync gallery -c {as_word(config_file)}`, or the daemon when it starts, {does}"


def test_without_a_daemon_nobody_is_said_to_publish_before_the_next_pass(ftpsyncd, config_file):
    """It said that the daemon publishes it."""
    gallery = config_file.parent / "gallery"
    (gallery / "a.jpg").write_text("x")
    assert sentence(ftpsyncd, config_file, "a.jpg") == f"not published yet; {goes_on(config_file, 'publishes it')}"
    with (gallery / "b.jpg").open("w"):
        said = sentence(ftpsyncd, config_file, "b.jpg")
    wants = "publishes it if that program has closed it by then"
    assert said == f"a program has it open for writing; {goes_on(config_file, wants)}"
    config_file.write_text(config_file.read_text().replace("settle: 0s", "settle: 1h"))
    said = sentence(ftpsyncd, config_file, "a.jpg")
    assert said.endswith(f"and has to be quiet for 1 h; {goes_on(config_file, 'publishes it')}")


def test_while_a_pass_is_at_work_it_is_not_said_that_the_next_one_publishes(ftpsyncd, config_file):
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    with Claim(config_file.parent / "state"):
        said = sentence(ftpsyncd, config_file, "a.jpg")
        assert json.loads(ftpsyncd("status", "--json", "-c", config_file).out)["daemon"]["at_work"]
    assert not json.loads(ftpsyncd("status", "--json", "-c", config_file).out)["daemon"]["at_work"]
    assert said == (
        "not published yet; another ftpsyncd is at work, as a `sync` is: that, or the next"
        f" `ftpsyncd sync gallery -c {as_word(config_file)}`, publishes it"
    )


def test_without_a_daemon_it_is_not_promised_when_a_failed_file_is_tried_again(ftpsyncd, config_file):
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    fail(config_file, "a.jpg", NameRefusedError("No."), next_try_ns=PAUSED_NS)
    said = sentence(ftpsyncd, config_file, "a.jpg")
    assert " After 1 try: it is tried again, but not before 20" in said
    assert said.endswith(f"; {goes_on(config_file, 'tries it')}")


@pytest.mark.parametrize("remedy", ["Give it: `chmod u+r '/srv/two  spaces/a.jpg'`.", ""])
def test_the_spaces_of_a_name_that_failed_stay_as_they_are(ftpsyncd, config_file, remedy):
    """Each row of them became one space: a command that was told with such a name was about another file."""
    path = "two  spaces/a.jpg"
    (config_file.parent / "gallery/two  spaces").mkdir()
    (config_file.parent / "gallery" / path).write_text("x")
    fail(config_file, path, NameRefusedError(f"No: {path!r}.", remedy=remedy), parked=True)
    said = sentence(ftpsyncd, config_file, path)
    assert said.startswith(" ".join(filter(None, (f"No: {path!r}.", remedy, "After 1 try: it is tried"))))


@pytest.mark.parametrize("paused", [False, True])
def test_a_status_without_a_daemon_does_not_promise_when_a_failed_file_is_tried_again(ftpsyncd, config_file, paused):
    publish(config_file, [], paused=paused)
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    fail(config_file, "a.jpg", NameRefusedError("No."), next_try_ns=PAUSED_NS)
    told = " ".join(ftpsyncd("status", "-c", config_file).out.split())
    who = f"by the next `ftpsyncd sync gallery -c {as_word(config_file)}`, or the daemon"
    who = f"after `ftpsyncd resume gallery -c {as_word(config_file)}`" if paused else who
    assert f"No. (1 try, tried again {who})" in told


@pytest.mark.parametrize(
    ("decided", "said"),
    [
        ({}, "deletes: mirror decides what follows"),
        ({"approved": {"d/a.jpg": 1}}, "a person approved that it is deleted there"),
        ({"approved": {"d": 1}}, "a person approved that it is deleted there"),
        ({"approved": {"d/b.jpg": 1}}, "deletes: mirror decides what follows"),
        ({"discarding": True}, "a person decided that what was gone stays there"),
    ],
)
def test_without_a_daemon_it_is_told_what_was_decided_about_what_is_gone(ftpsyncd, config_file, decided, said):
    publish(config_file, ["d/a.jpg", "d/b.jpg"], **decided)
    told = sentence(ftpsyncd, config_file, "d/a.jpg")
    assert told == f"it is gone here and still at the server; {said}; {goes_on(config_file, 'goes on')}"


def test_without_a_daemon_what_is_gone_is_told_to_be_held(ftpsyncd, config_file):
    publish(config_file, ["a.jpg"], held=True)
    asked = ("why", "--json", config_file.parent / "gallery/a.jpg", "-c", config_file)
    told = json.loads(ftpsyncd(*asked).out)
    assert (told["state"], told["sentence"]) == ("held", "Too many.")


@pytest.mark.parametrize("paused", [False, True])
def test_nothing_of_a_paused_mapping_is_told_to_be_published_by_a_sync(ftpsyncd, config_file, paused):
    publish(config_file, [], paused=paused)
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    said = sentence(ftpsyncd, config_file, "a.jpg")
    assert ("ftpsyncd sync gallery" in said) is not paused
    assert (f"gallery is paused, `ftpsyncd resume gallery -c {as_word(config_file)}`" in said) is paused


def test_what_changed_by_a_clock_that_was_ahead_does_not_settle_for_years(ftpsyncd, config_file, monkeypatch):
    config_file.write_text(config_file.read_text().replace("settle: 0s}", "settle: 1h}"))
    publish(config_file, [])
    changed = config_file.parent / "gallery" / "a.jpg"
    changed.write_text("x")
    assert "has to be quiet for 1 h" in sentence(ftpsyncd, config_file, "a.jpg")
    back_ns = time.time_ns() - 3 * 365 * 86400 * 10**9
    monkeypatch.setattr("ftpsyncd.inspection.reasons.time.time_ns", lambda: back_ns)
    assert sentence(ftpsyncd, config_file, "a.jpg").startswith("not published yet; no daemon runs")


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


@pytest.mark.parametrize(
    "words", [["why", "wbe:/gallery/a.jpg"], ["history", "--path", "wbe:gallery"], ["retry", "--path", "wbe:/gallery"]]
)
def test_a_server_that_there_is_not_is_not_taken_for_a_local_folder(ftpsyncd, config_file, words):
    ended = ftpsyncd(*words, "-c", config_file)
    assert (ended.code, ended.out) == (2, "")
    assert "There is no server wbe. Did you mean 'web'?" in ended.err


def test_a_deleted_name_with_a_colon_is_one(ftpsyncd, config_file, monkeypatch):
    folder = config_file.parent / "gallery"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    assert ftpsyncd("why", "wbe:a.jpg", "-c", config_file).out.startswith("there is no such file")


def test_a_local_name_with_a_colon_is_one(ftpsyncd, config_file, monkeypatch):
    folder = config_file.parent / "gallery" / "web:"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_text("x")
    monkeypatch.chdir(folder.parent)
    assert ftpsyncd("why", "web:/a.jpg", "-c", config_file).out.startswith("not published yet")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sync", "gallery"], "cannot be opened: Not a directory"),
        (["plan", "gallery"], "cannot be opened: Not a directory; nothing is deleted at the server meanwhile"),
        (["status", "gallery"], "gallery is no folder; a sync, or the daemon, goes on when that is mended"),
    ],
)
def test_of_a_file_in_the_place_of_the_folder_it_is_not_told_that_nothing_is_there(ftpsyncd, config_file, words, said):
    gallery = config_file.parent / "gallery"
    shutil.rmtree(gallery, ignore_errors=True)
    gallery.write_text("x")
    ended = ftpsyncd(*words, "-c", config_file)
    told = " ".join((ended.out + ended.err).split())
    assert said in told
    assert "is not there" not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("command", ["sync", "plan"])
def test_of_a_link_of_somebody_else_it_is_told_that_it_is_one(ftpsyncd, config_file, tmp_path, command):
    gallery, elsewhere = config_file.parent / "gallery", tmp_path / "elsewhere"
    shutil.rmtree(gallery, ignore_errors=True)
    elsewhere.mkdir()
    gallery.symlink_to(elsewhere)
    os.chown(gallery, 65534, 65534, follow_symlinks=False)
    ended = ftpsyncd(command, "gallery", "-c", config_file)
    told = " ".join((ended.out + ended.err).split())
    assert "gallery cannot be opened: " in told
    assert "chown -h root" in told


def test_a_status_without_a_daemon_tells_first_that_the_folder_is_missing(ftpsyncd, config_file):
    """It named the commands that decide about the hold, and decide nothing while the folder is missing."""
    publish(config_file, ["a.jpg"], held=True)
    shutil.rmtree(config_file.parent / "gallery")
    told = ftpsyncd("status", "-c", config_file).out
    assert "gallery  source missing" in told
    away = f"{config_file.parent}/gallery is not there; a sync, or the daemon, goes on when that is mended"
    assert away in " ".join(told.split())
    assert "approve" not in told
