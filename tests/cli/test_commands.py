"""The reading and steering commands against a ledger, and against a daemon on its control socket."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd import patience
from ftpsyncd.claim import Claim
from ftpsyncd.config import load
from ftpsyncd.control.server import ControlServer
from ftpsyncd.core.compare import Drift
from ftpsyncd.errors import CommandRefusedError, NameNotSendableError, ServerUnavailableError
from ftpsyncd.inspection.survey import in_no_mapping, located, offline_status
from ftpsyncd.inspection.verify import Finding
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.local.scan import Scanner
from ftpsyncd.model import Kind
from ftpsyncd.questions import CommandName, Why
from ftpsyncd.quoting import as_word
from ftpsyncd.status import MappingState
from tests import nursery
from tests.cli.terminal import on_a_terminal, park
from tests.control.fakes import STATUS, FakeDaemon
from tests.control.test_control_docs import example

COLOURED = re.compile(r"\x1b\[([0-9]+;)*(3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
"""An escape sequence that sets a colour (ECMA-48, SGR); bold and dim are none."""


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


def test_a_configuration_that_came_through_a_pipe_is_not_called_wrong(ftpsyncd, config_file, daemon):
    reading, writing = os.pipe()
    os.write(writing, config_file.read_bytes())
    os.close(writing)
    ended = ftpsyncd("status", "-c", f"/dev/fd/{reading}")
    os.close(reading)
    assert (ended.code, ended.err) == (0, "")


def test_status_comes_from_the_ledger_without_a_daemon(ftpsyncd, config_file):
    ended = ftpsyncd("status", "--json", "-c", config_file)
    document = json.loads(ended.out)
    assert ended.code == 0
    assert document["daemon"]["running"] is False
    assert [each["name"] for each in document["mappings"]] == ["gallery", "shop"]
    assert "not running" in ftpsyncd("status", "-c", config_file).out


def test_status_without_a_daemon_does_not_wait_for_a_disk_that_hangs(config_file, monkeypatch):
    config, goes_on, look = load(config_file), threading.Event(), Path.stat
    monkeypatch.setattr(patience, "ANSWER_S", 1.5)

    def hangs(path: Path, **how: bool) -> os.stat_result:
        if path == config.mappings["shop"].local:
            goes_on.wait(20)
        return look(path, **how)

    monkeypatch.setattr(Path, "stat", hangs)
    began = time.monotonic()
    shown = {mapping.name: mapping for mapping in offline_status(config).mappings}
    assert time.monotonic() - began < 15
    goes_on.set()
    assert shown["shop"].state is MappingState.SOURCE_MISSING
    assert shown["shop"].message == f"the disk of shop does not answer: {config.mappings['shop'].local}"
    assert "does not answer" not in shown["gallery"].message


def test_plan_and_why_without_a_daemon_do_not_wait_for_a_disk_that_hangs(ftpsyncd, config_file, monkeypatch):
    goes_on, look = threading.Event(), Scanner.root_identity
    monkeypatch.setattr(patience, "ANSWER_S", 1.0)
    shop = load(config_file).mappings["shop"].local

    def root_identity(scanner: Scanner) -> object:
        if scanner.root == shop:
            goes_on.wait(20)
        return look(scanner)

    monkeypatch.setattr(Scanner, "root_identity", root_identity)
    try:
        planned = json.loads(ftpsyncd("plan", "--json", "-c", config_file).out)["planned"]
        assert [each["why"] for each in planned if each["mapping"] == "shop"] == [
            f"the disk of {shop} has not answered for 1 s"
        ]
        said = ftpsyncd("why", str(shop / "a.jpg"), "-c", config_file).out
        assert said == "the disk of the mapping shop does not answer; nothing changes at the server until it does\n"
    finally:
        goes_on.set()


def test_status_of_one_mapping(ftpsyncd, config_file, daemon):
    document = json.loads(ftpsyncd("status", "gallery", "--json", "-c", config_file).out)
    assert [each["name"] for each in document["mappings"]] == ["gallery"]
    assert [each["name"] for each in document["servers"]] == ["web"]
    assert "sheets" not in ftpsyncd("status", "gallery", "-c", config_file).out
    ended = ftpsyncd("status", "galery", "-c", config_file)
    assert (ended.code, ended.out) == (2, "")
    assert "There is no mapping galery." in ended.err


def test_watching_is_readable_on_a_narrow_terminal_without_colours(config_file, daemon):
    width = 44
    written = on_a_terminal("status", "--watch", config_file, width=width, until="Needs you", NO_COLOR="1")
    assert not COLOURED.search(written)
    # Each picture begins where the cursor was sent to: at home.
    screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.replace("\x1b[H", "\n"))
    assert max(map(len, re.split(r"[\r\n]+", screen))) <= width
    for expected in ("gallery", "syncing", "sheets", "source missing", "10%", "ftpsyncd retry gallery"):
        assert expected in screen
    assert "\x1b[?1049l" in written  # the screen is given back


def test_watching_gives_the_screen_back_also_where_it_is_ended_from_outside(config_file, daemon):
    """By timeout(1), for instance: the shell stayed on the other screen, without a cursor."""
    written = on_a_terminal("status", "--watch", config_file, until="Needs you", by=signal.SIGTERM)
    assert "\x1b[?1049l" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_watching_says_what_a_low_terminal_has_no_room_for(config_file, daemon):
    told = "more lines: status without --watch shows all"
    written = on_a_terminal("status", "--watch", config_file, height=8, until=told)
    assert told in written
    # What needs a person comes first then, however many mappings there are.
    assert written.index("Needs you") < written.index(told)
    assert "Servers" not in written


def test_watching_has_colours_where_nobody_minds(config_file, daemon):
    written = on_a_terminal("status", "--watch", config_file, until="Needs you", NO_COLOR="")
    assert COLOURED.search(written)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("status ga", ["gallery"]),
        ("status gallery ", ["gallery", "shop"]),
        ("history ", ["gallery", "shop"]),
        ("history s", ["shop"]),
        ("history --kind pa", ["parked"]),
        ("plan ", ["gallery", "shop"]),
        ("sync sh", ["shop"]),
        ("approve ", ["gallery", "shop"]),
        ("verify g", ["gallery"]),
        ("pause --server ", ["web"]),
        ("retry --server w", ["web"]),
        ("hist", ["history"]),
        ("rescan x", []),
    ],
)
@pytest.mark.parametrize("named", ["by -c", "by the environment"])
def test_the_shell_completes_names(config_file, words, completed, named):
    first, _, rest = words.partition(" ")
    line = (
        f"ftpsyncd -c {as_word(config_file)} {words}"
        if named == "by -c"
        else f"ftpsyncd {first} {rest}"
        if rest
        else f"ftpsyncd {words}"
    )
    environ = {**os.environ, "_FTPSYNCD_COMPLETE": "bash_complete", "COMP_WORDS": line}
    environ["COMP_CWORD"] = str(len(shlex.split(line)) - (0 if line.endswith(" ") else 1))
    environ["FTPSYNCD_CONFIG"] = str(config_file)
    ended = nursery.run([sys.executable, "-m", "ftpsyncd"], env=environ)
    assert ended.stderr == ""
    assert [each.removeprefix("plain,") for each in ended.stdout.split()] == completed


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("why sun", ["file,sun"]),
        ("history --path sun", ["file,sun"]),
        ("retry --path sun", ["file,sun"]),
        ("rescan --path sun", ["file,sun"]),
        ("retry --path = sun", ["file,sun"]),
        ("retry --path = ", ["file,"]),
        ("retry --path =", ["file,"]),
        ("retry --path = sun g", ["plain,gallery"]),
        ("--config = {config} retry g", ["plain,gallery"]),
        ("put w", ["file,w"]),
        ("put a.jpg w", ["file,w", "plain,web:"]),
        ("put a.jpg b.jpg ", ["file,", "plain,web:"]),
    ],
)
def test_the_shell_completes_files_and_behind_one_where_it_is_put(config_file, words, completed):
    """Bash makes three words of an option with its value behind an equals sign."""
    line = f"ftpsyncd {words}".replace("{config}", as_word(config_file))
    environ = {**os.environ, "_FTPSYNCD_COMPLETE": "bash_complete", "COMP_WORDS": line}
    environ |= {"COMP_CWORD": str(len(words.split(" "))), "FTPSYNCD_CONFIG": str(config_file)}
    ended = nursery.run([sys.executable, "-m", "ftpsyncd"], env=environ)
    assert (ended.stdout.split(), ended.stderr) == (completed, "")


def test_watching_without_a_terminal_shows_the_status_once(ftpsyncd, config_file, daemon):
    ended = ftpsyncd("status", "--watch", "-c", config_file)
    assert (ended.code, ended.err) == (0, "")
    assert "gallery" in ended.out


def test_a_terminal_that_cannot_be_drawn_over_shows_the_status_once(config_file, daemon):
    written = on_a_terminal("status", "--watch", config_file, TERM="dumb")
    assert written.count("gallery") == on_a_terminal("status", config_file, TERM="dumb").count("gallery") > 0
    assert "\x1b" not in written


@pytest.mark.parametrize("columns", ["0", "99999999999", "9" * 5000, "-1", "²", "nan", ""])
def test_a_width_that_no_terminal_has_is_passed_over(ftpsyncd, config_file, daemon, monkeypatch, columns):
    monkeypatch.setenv("LINES", columns)
    monkeypatch.setenv("COLUMNS", columns)
    found = ftpsyncd("status", "-c", config_file)
    monkeypatch.setenv("COLUMNS", "80")
    assert found == ftpsyncd("status", "-c", config_file)
    assert "gallery" in found.out


def test_why_asks_the_daemon_about_the_absolute_path(ftpsyncd, config_file, daemon, monkeypatch):
    monkeypatch.chdir(config_file.parent)
    ended = ftpsyncd("why", "gallery/../gallery/a.jpg", "-c", config_file)
    assert ended == (0, "It waits.\n", "")
    assert daemon.asked == [str(config_file.parent / "gallery/a.jpg")]


def test_why_tells_the_time_here_and_programs_that_of_all_places(ftpsyncd, config_file, daemon, monkeypatch):
    sentence = "published 2026-01-02T03:04:05.678+00:00, 8 bytes"
    monkeypatch.setattr(daemon, "why", lambda path: Why(path, "gallery", "published", sentence))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        told = ftpsyncd("why", "a.jpg", "-c", config_file).out
        document = json.loads(ftpsyncd("why", "--json", "a.jpg", "-c", config_file).out)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert told == "published 2026-01-02 12:04:05, 8 bytes\n"
    assert document["sentence"] == sentence


def test_why_answers_without_a_daemon(ftpsyncd, config_file):
    picture = config_file.parent / "gallery" / "notes.xyz"
    picture.write_text("x")
    document = json.loads(ftpsyncd("why", "--json", picture, "-c", config_file).out)
    assert (document["mapping"], document["state"]) == ("gallery", "ignored")


@pytest.fixture
def linked(config_file, monkeypatch):
    """The folder of the mapping is a link to another disk, and so is the way by which a person came there."""
    disk = config_file.parent / "disk"
    (config_file.parent / "gallery").rename(disk)
    (config_file.parent / "gallery").symlink_to("disk")
    (disk / "day").mkdir()
    (disk / "day" / "notes.xyz").write_text("x")
    (disk / "day" / "link.xyz").symlink_to("/nowhere")
    monkeypatch.chdir(disk / "day")
    return config_file


@pytest.mark.parametrize("path", ["notes.xyz", "../../disk/day/notes.xyz", "link.xyz", ".."])
def test_why_knows_a_path_by_any_name(ftpsyncd, linked, path):
    document = json.loads(ftpsyncd("why", "--json", path, "-c", linked).out)
    assert document["mapping"] == "gallery"
    assert document["path"].startswith(str(linked.parent / "gallery"))


def test_why_still_says_that_a_path_is_in_no_mapping(ftpsyncd, linked):
    assert "it is in no mapping's folder" in ftpsyncd("why", linked, "-c", linked).out


@pytest.mark.parametrize("command", ["retry", "rescan"])
def test_a_running_daemon_is_told_a_path_by_the_name_that_it_knows(ftpsyncd, linked, command):
    class Knowing(FakeDaemon):
        def command(self, name, *, mapping, server, path):
            if not located(load(linked), path):
                raise in_no_mapping(load(linked), path)
            return super().command(name, mapping=mapping, server=server, path=path)

    daemon = Knowing()
    with ControlServer(daemon, linked.parent / "control.sock"):
        assert ftpsyncd(command, "--path", "notes.xyz", "-c", linked).code == 0
        assert "is in no mapping" in ftpsyncd(command, "--path", linked, "-c", linked).err
    assert [path for *_, path in daemon.commands] == [str(linked.parent / "gallery/day/notes.xyz")]


def test_history_knows_a_path_by_any_name(ftpsyncd, linked):
    assert ftpsyncd("history", "--path", "notes.xyz", "-c", linked) == (0, "Nothing of that kind has happened.\n", "")
    assert ftpsyncd("history", "--path", linked, "-c", linked).code == 2


def test_why_names_the_key_that_a_link_depends_on(ftpsyncd, config_file):
    gallery = config_file.parent / "gallery"
    (gallery / "folder").mkdir()
    (gallery / "folder" / "a.jpg").write_text("x")
    (gallery / "link.jpg").symlink_to("folder/a.jpg")
    (gallery / "linked").symlink_to("folder")
    for path in (gallery / "link.jpg", gallery / "linked" / "a.jpg"):
        assert "`symlinks: follow`" in ftpsyncd("why", path, "-c", config_file).out
    config_file.write_text(config_file.read_text().replace("settle: 0s", "settle: 0s, symlinks: follow"))
    (gallery / "lost.jpg").symlink_to("nothing")
    for path in (gallery / "link.jpg", gallery / "linked" / "a.jpg"):
        assert "not published yet" in ftpsyncd("why", path, "-c", config_file).out
    assert "to nothing, which is never published" in ftpsyncd("why", gallery / "lost.jpg", "-c", config_file).out
    (config_file.parent / "outside").mkdir()
    (config_file.parent / "outside" / "a.jpg").write_text("x")
    (gallery / "out").symlink_to(config_file.parent / "outside")
    told = ftpsyncd("why", gallery / "out" / "a.jpg", "-c", config_file).out
    assert told.startswith(
        "'out' leads through a symbolic link to a place outside the folder, which is never published"
    )


def test_why_does_not_claim_that_a_file_that_is_gone_was_never_published(ftpsyncd, config_file):
    path = config_file.parent / "gallery" / "gone.jpg"
    told = ftpsyncd("why", path, "-c", config_file).out
    assert "none was published" not in told
    assert f"`ftpsyncd history --path {as_word(path)} -c {as_word(config_file)}`" in told


@pytest.mark.parametrize("path", ["x" * 300, f"{'x' * 300}/a.jpg"])
def test_why_has_plain_words_for_a_name_that_no_file_can_have(ftpsyncd, config_file, path):
    told = ftpsyncd("why", config_file.parent / "gallery" / path, "-c", config_file).out
    assert told.startswith(
        "there is no such file, and none of this name is known to be at the server; `ftpsyncd history"
    )


def test_why_says_what_helps_below_a_folder_that_cannot_be_read(ftpsyncd, config_file, monkeypatch):
    def refuse(*_words, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("ftpsyncd.local.tree.open_directory", refuse)
    told = ftpsyncd("why", config_file.parent / "gallery" / "closed" / "a.jpg", "-c", config_file).out
    assert "let the user that runs ftpsyncd read it" in told


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
    assert "There is no mapping galery." in ended.err
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


def test_a_wrong_configuration_is_told_as_that_also_by_a_reload(ftpsyncd, config_file, daemon):
    daemon.trouble = CommandRefusedError("config.yaml:3:1  mapings: found an unknown key", remedy="Correct it.")
    assert ftpsyncd("reload", "-c", config_file)[::2] == (
        78,
        "ftpsyncd: error: config.yaml:3:1  mapings: found an unknown key\nCorrect it.\n",
    )
    assert ftpsyncd("pause", "-c", config_file).code == 1


def test_a_program_is_told_what_was_asked_for_too(ftpsyncd, config_file, daemon):
    found = json.loads(ftpsyncd("pause", "gallery", "--json", "-c", config_file).out)
    assert found == {**example("ftpsyncd pause --json"), "message": "Did pause."}


def known_mappings(status):
    """The daemon's status with the mappings of the configuration."""
    first, second = status.mappings
    return status._replace(mappings=(first, second._replace(name="shop")))


def test_deciding_needs_a_mapping(ftpsyncd, config_file):
    assert ftpsyncd("approve", "-c", config_file).code == 2


@pytest.mark.parametrize(
    "words", [("pause", "gallery"), ("retry", "--path", "/a"), ("rescan", "gallery", "--path", "/a")]
)
def test_a_server_excludes_everything_else(ftpsyncd, config_file, words):
    ended = ftpsyncd(*words, "--server", "web", "-c", config_file)
    assert ended.code == 2
    assert "--server" in ended.err
    assert "exclude each other" in ended.err


@pytest.mark.parametrize("command", ["retry", "rescan"])
def test_of_a_path_that_several_mappings_publish_one_can_be_meant(ftpsyncd, config_file, daemon, command):
    path = str(config_file.parent / "gallery/a.jpg")
    assert ftpsyncd(command, "gallery", "--path", path, "-c", config_file).code == 0
    assert daemon.commands == [(command, "gallery", None, path)]


def test_what_the_daemon_refuses_is_said(ftpsyncd, config_file, daemon):
    daemon.trouble = CommandRefusedError("Nothing is held.")
    ended = ftpsyncd("approve", "gallery", "-c", config_file)
    assert ended.code == 1
    assert "Nothing is held." in ended.err


@pytest.mark.parametrize("command", ["rescan", "reload"])
def test_what_only_a_daemon_can_do_is_said_to_need_one(ftpsyncd, config_file, command):
    ended = ftpsyncd(command, "-c", config_file)
    assert ended.code == 75
    assert "No daemon answers" in ended.err


def test_without_a_daemon_a_decision_is_noted_for_the_next_pass(ftpsyncd, config_file):
    (config_file.parent / "gallery/a.jpg").write_bytes(b"picture")
    park(config_file, "a.jpg", ServerUnavailableError("no"))
    found = ftpsyncd("retry", "gallery", "--json", "-c", config_file)
    next_pass = f"the next `ftpsyncd sync -c {as_word(config_file)}`, or the daemon when it starts,"
    message = f"gallery: 1 failed path is tried again; no daemon runs: {next_pass} carries it out"
    asked = {"command": "retry", "mapping": "gallery", "server": None, "path": None}
    assert (found.code, json.loads(found.out), found.err) == (0, {**asked, "message": message}, "")
    assert ftpsyncd("retry", "-c", config_file) == (0, "gallery: nothing had failed; shop: nothing had failed\n", "")
    assert ftpsyncd("pause", "--server", "web", "-c", config_file) == (
        0,
        f"gallery: paused; shop: paused; no daemon runs: {next_pass} keeps to it\n",
        "",
    )


def test_without_a_daemon_nothing_is_decided_beside_a_pass(ftpsyncd, config_file):
    (config_file.parent / "gallery/a.jpg").write_bytes(b"picture")
    park(config_file, "a.jpg", ServerUnavailableError("no"))
    with Claim(load(config_file).state_dir):
        ended = ftpsyncd("approve", "gallery", "-c", config_file)
    assert (ended.code, ended.out) == (75, "")
    assert "A `sync` is running, or a daemon that does not answer here" in ended.err


def test_without_a_daemon_a_wrong_configuration_decides_nothing(ftpsyncd, config_file):
    config_file.write_text(config_file.read_text().replace("settle: 0s", "setle: 0s"))
    ended = ftpsyncd("approve", "gallery", "-c", config_file)
    assert (ended.code, ended.out) == (78, "")
    assert "setle" in ended.err


def test_without_a_daemon_a_path_is_known_by_any_name(ftpsyncd, linked):
    park(linked, "day/notes.xyz", ServerUnavailableError("no"))
    ended = ftpsyncd("retry", "--path", "notes.xyz", "-c", linked)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("gallery: day/notes.xyz is tried again; no daemon runs: ")
    assert "is in no mapping" in ftpsyncd("retry", "--path", linked, "-c", linked).err


@pytest.fixture
def broken_file(config_file, daemon):
    """The configuration of a daemon that runs, with a typo made since."""
    config_file.write_text(config_file.read_text().replace("settle: 0s", "setle: 0s"))
    return config_file


@pytest.mark.parametrize(
    "words",
    [
        ["pause", "gallery"],
        ["resume"],
        ["approve", "gallery"],
        ["rescan", "--server", "web"],
        ["retry"],
        ["why", "/srv/a.jpg"],
        ["history", "--limit", "1", "gallery"],
        ["status", "gallery"],
        ["status", "--watch"],
        ["status", "--json"],
    ],
)
def test_a_daemon_is_asked_and_steered_while_the_file_on_disk_is_wrong(ftpsyncd, broken_file, words):
    assert ftpsyncd(*words, "-c", broken_file).code == 0


def test_status_mentions_that_the_file_on_disk_is_wrong(ftpsyncd, broken_file, daemon):
    told = ftpsyncd("status", "-c", broken_file)
    assert f"`ftpsyncd check -c {as_word(broken_file)}`" in told.err
    daemon.answer = daemon.answer._replace(daemon=daemon.answer.daemon._replace(uptime_s=-1.0))
    assert ftpsyncd("status", "-c", broken_file).err == ""  # the daemon read it later, so it took it


@pytest.mark.parametrize("command", ["status", "pause", "approve", "retry"])
def test_a_mapping_that_only_the_file_has_waits_for_a_reload(ftpsyncd, config_file, daemon, command):
    ended = ftpsyncd(command, "shop", "-c", config_file)
    assert (ended.code, ended.out) == (2, "")
    assert "ftpsyncd reload" in ended.err


def test_verify_prints_no_half_document_while_the_server_is_away(ftpsyncd, config_file):
    ended = ftpsyncd("verify", "gallery", "--json", "-c", config_file)
    assert (ended.code, ended.out) == (75, "")


def test_verify_closes_a_document_that_breaks_off(ftpsyncd, config_file, monkeypatch):
    def run(_verification):
        yield Finding(Drift.MISSING, "a.jpg", Kind.FILE, 10, None)
        raise ServerUnavailableError("the line died")

    monkeypatch.setattr("ftpsyncd.cli.verify.Verification.run", run)
    ended = ftpsyncd("verify", "gallery", "--json", "-c", config_file)
    document = json.loads(ended.out)
    assert ended.code == document["exit_code"] == 75
    assert [each["path"] for each in document["findings"]] == ["a.jpg"]
    assert document["error"] == "the line died"


FULL = "the ledger /state/ledger.db cannot be written: no space is left on its disk"


@pytest.fixture
def unknown_file(monkeypatch) -> None:
    """The server has a file that the ledger does not know."""

    def run(verification):
        verification.checked.drift[Drift.UNKNOWN] += 1
        yield Finding(Drift.UNKNOWN, "a.jpg", Kind.FILE, None, 10)

    monkeypatch.setattr("ftpsyncd.cli.verify.Verification.run", run)


@pytest.mark.usefixtures("unknown_file")
def test_verify_of_what_cannot_be_recorded_says_so(ftpsyncd, config_file, daemon):
    assert ftpsyncd("verify", "gallery", "-c", config_file).code == 1
    daemon.answer = STATUS._replace(daemon=STATUS.daemon._replace(message=FULL))
    ended = ftpsyncd("verify", "gallery", "-c", config_file)
    assert (ended.code, ended.out) == (75, "")
    assert FULL in ended.err
    assert "is not recorded, so that it cannot be verified" in " ".join(ended.err.split())


@pytest.mark.usefixtures("unknown_file")
def test_verify_notices_that_recording_has_become_impossible_meanwhile(ftpsyncd, config_file, daemon, monkeypatch):
    full = STATUS._replace(daemon=STATUS.daemon._replace(message=FULL))
    answers = iter([STATUS, full])
    monkeypatch.setattr(daemon, "status", lambda: next(answers))
    ended = ftpsyncd("verify", "gallery", "--json", "-c", config_file)
    document = json.loads(ended.out)
    assert ended.code == document["exit_code"] == 75
    assert FULL in document["error"]


@pytest.mark.usefixtures("unknown_file")
def test_verify_needs_no_daemon_that_answers(ftpsyncd, config_file, daemon):
    daemon.trouble = RuntimeError("it cannot tell")
    assert ftpsyncd("verify", "gallery", "-c", config_file).code == 1


@pytest.mark.parametrize("words", [["history", "--json", "galery"], ["history", "--csv", "galery"]])
def test_an_error_comes_with_no_half_document(ftpsyncd, config_file, words):
    ended = ftpsyncd(*words, "-c", config_file)
    assert (ended.code, ended.out) == (2, "")


def test_a_plan_of_a_ledger_that_cannot_be_read_is_no_half_document(ftpsyncd, config_file):
    (config_file.parent / "state").mkdir()
    (config_file.parent / "state" / "ledger.db").write_bytes(b"junk" * 1000)
    ended = ftpsyncd("plan", "--json", "-c", config_file)
    assert ended.code != 0
    assert ended.out == ""


@pytest.mark.parametrize(
    "words", [["verify", "gallery"], ["probe", "web"], ["check"], ["ls", "web"], ["rm", "web:/x"], ["get", "web:/x"]]
)
def test_a_command_that_ends_does_not_promise_to_try_again(ftpsyncd, config_file, words):
    ended = ftpsyncd(*words, "-c", config_file)
    said = " ".join(f"{ended.out} {ended.err}".split())
    assert ended.code == 75
    assert "Check host, port and network" in said
    assert "It is tried again by itself" not in said
    assert words == ["check"] or "a running daemon" not in said


def test_a_pass_beside_the_daemon_is_told_what_to_type_instead(ftpsyncd, config_file):
    with Claim(load(config_file).state_dir):
        ended = ftpsyncd("sync", "-c", config_file)
    assert ended.code == 75
    assert f"`ftpsyncd rescan -c {as_word(config_file)}`" in ended.err


def test_nobody_is_told_to_start_the_service_of_another_configuration(ftpsyncd, config_file, monkeypatch):
    by_hand = f"Start it with `ftpsyncd run -c {as_word(config_file)}`, or name with -c a configuration that runs."
    assert by_hand in ftpsyncd("rescan", "-c", config_file).err
    monkeypatch.setattr("ftpsyncd.typed.SERVICES", config_file.parent)
    monkeypatch.setenv("FTPSYNCD_CONFIG", str(config_file))
    assert "Start it with `systemctl start ftpsyncd` or `ftpsyncd run`" in ftpsyncd("rescan").err
    named = config_file.rename(config_file.with_name("shop.yaml"))
    monkeypatch.setenv("FTPSYNCD_CONFIG", str(named))
    assert "Start it with `systemctl start ftpsyncd@shop` or `ftpsyncd run`" in ftpsyncd("rescan").err


def test_why_proposes_no_retry_for_a_name_that_cannot_be_sent(ftpsyncd, config_file):
    name = "a\nb.jpg"
    (config_file.parent / "gallery" / name).write_text("x")
    park(config_file, name, NameNotSendableError("The name cannot be sent."))
    told = ftpsyncd("why", config_file.parent / "gallery" / name, "-c", config_file).out
    assert "Rename the file." in told
    assert told.rstrip().endswith("After 1 try: it is published once it has another name."), "and is not published yet"
    assert "retry" not in told


@pytest.mark.parametrize("command", ["status", "history", "plan", "verify gallery", "why gallery/a.jpg"])
def test_who_may_not_read_the_ledger_is_told_what_helps(ftpsyncd, config_file, tmp_path, monkeypatch, command):
    """It is for its owner and group; SQLite only says that it cannot be opened."""
    path = load(config_file).state_dir / LEDGER
    path.parent.mkdir()
    Ledger(path).close()
    monkeypatch.setattr("os.access", lambda asked, *_words, **_options: asked != path)
    monkeypatch.chdir(tmp_path)
    verb, *words = command.split()
    ended = ftpsyncd(verb, "-c", config_file, *words)
    assert (ended.code, ended.out) == (75, "")
    assert f"the ledger {path} cannot be read: Permission denied" in ended.err
    assert "join the group of the service" in ended.err
