"""A reload: what did not change is not disturbed, what is wrong changes nothing, and nothing is ever lost or leaked."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.control.client import ControlClient
from ftpsyncd.quoting import as_word
from tests import servers
from tests.e2e.site import MAPPING, Site, contents, site, sizes
from tests.servers import Server
from tests.waiting import until

pytestmark = pytest.mark.lasting(160)


@pytest.fixture
def server(some_server: Server) -> Server:
    """What is tested here happens on this side, whichever the server is."""
    return some_server


@pytest.fixture
def running(server: Server, tmp_path: Path) -> Iterator[Site]:
    with site(server, tmp_path) as s:
        s.start()
        yield s


def edit(s: Site, **sections: Any) -> None:
    """Change the configuration file; a section that is a dict is merged, None removes an entry."""
    config = json.loads(s.config.read_text())
    for section, changes in sections.items():
        for name, entry in changes.items():
            if entry is None:
                del config[section][name]
            else:
                config[section][name] = {**config[section].get(name, {}), **entry}
    # Never seen half: the daemon may read it at any time.
    fresh = s.config.with_suffix(".new")
    fresh.write_text(json.dumps(config, indent=1))
    fresh.replace(s.config)


def reloads(s: Site) -> int:
    return s.log().count("reloaded: ")


def hang_up(s: Site) -> None:
    """SIGHUP, and wait until it was answered."""
    assert s.process is not None
    before = reloads(s)
    s.process.send_signal(signal.SIGHUP)
    until(lambda: reloads(s) > before, "the reload", 30)


def resources(s: Site) -> tuple[int, int]:
    """Threads and descriptors of the daemon."""
    assert s.process is not None
    base = Path(f"/proc/{s.process.pid}")
    return len(list((base / "task").iterdir())), len(list((base / "fd").iterdir()))


def test_a_mapping_is_added_and_removed(running: Site) -> None:
    s = running
    other = s.base / "other"
    other.mkdir()
    (other / "b.jpg").write_bytes(b"b")
    edit(s, mappings={"second": {"local": str(other), "remote": "web:/second", "settle": "0.1s"}})
    said = s.command("reload").stdout
    assert "added second" in said
    published = s.server.home / "second"
    until(lambda: contents(published).keys() == {b"b.jpg"}, "the new mapping publishes", 20)
    edit(s, mappings={"second": None})
    assert "removed second" in s.command("reload").stdout
    assert [m["name"] for m in s.status()["mappings"]] == [MAPPING]
    (other / "c.jpg").write_bytes(b"c")
    (s.drop / "a.jpg").write_bytes(b"a")
    s.until_equal()
    # What it published stays, and it publishes nothing more.
    assert contents(published).keys() == {b"b.jpg"}


def test_a_mapping_that_comes_back_goes_on_from_what_it_had_published(running: Site) -> None:
    s = running
    (s.drop / "a.jpg").write_bytes(b"a")
    (s.drop / "gone.jpg").write_bytes(b"gone")
    s.until_equal()
    mapping = json.loads(s.config.read_text())["mappings"][MAPPING]
    (s.base / "other").mkdir()
    edit(s, mappings={MAPPING: None, "other": {"local": str(s.base / "other"), "remote": "web:/other"}})
    s.command("reload")
    (s.drop / "gone.jpg").unlink()
    (s.drop / "new.jpg").write_bytes(b"new")
    edit(s, mappings={MAPPING: mapping})
    s.command("reload")
    s.until_equal()
    assert s.log().count("published a.jpg") == 1


def test_a_mapping_with_another_name_sends_nothing_that_is_there(running: Site) -> None:
    s = running
    (s.drop / "deep").mkdir()
    for path in ("a.jpg", "deep/b.jpg"):
        (s.drop / path).write_bytes(b"picture")
    s.until_equal()
    until(lambda: s.mapping_status()["published_files"] == 2, "both are recorded")
    mapping = json.loads(s.config.read_text())["mappings"][MAPPING]
    edit(s, mappings={MAPPING: None, "other": mapping})
    assert "added other; removed drop" in s.command("reload").stdout
    until(lambda: s.mapping_status()["published_files"] == 2, "the other one knows them", 20)
    assert "other: published" not in s.log()


def test_a_server_with_another_name_sends_nothing_that_is_there(running: Site) -> None:
    s = running
    (s.drop / "a.jpg").write_bytes(b"picture")
    s.until_equal()
    mapping = json.loads(s.config.read_text())["mappings"][MAPPING]
    web = json.loads(s.config.read_text())["servers"]["web"]
    remote = mapping["remote"].removeprefix("web")
    (s.base / "other").mkdir()
    other = {"local": str(s.base / "other"), "remote": "web:/other"}
    # Beside the old one, which has another mapping; then without it.
    edit(s, servers={"beside": web}, mappings={MAPPING: {"remote": f"beside{remote}"}, "other": other})
    assert s.command("reload").stdout == f"reloaded: added other; changed {MAPPING}\n"
    (s.drop / "b.jpg").write_bytes(b"b")
    s.until_equal()
    assert sorted(each["name"] for each in s.status()["servers"]) == ["beside", "web"]
    after = {MAPPING: {"remote": f"after{remote}"}, "other": None}
    edit(s, servers={"beside": None, "after": web, "web": None}, mappings=after)
    assert s.command("reload").stdout == f"reloaded: removed other; changed {MAPPING}\n"
    (s.drop / "a.jpg").unlink()
    s.until_equal()
    assert s.log().count("published ") == 2


def test_new_settings_are_in_force_and_running_transfers_go_on(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, server_keys={"bandwidth": "1 MB/s"}) as s:
        s.start()
        (s.drop / "film.mov").write_bytes(os.urandom(3_000_000))
        until(lambda: s.status()["transfers"], "the transfer runs", 20)
        edit(s, mappings={MAPPING: {"exclude": ["*.bak"], "deletes": "keep"}})
        assert f"changed {MAPPING}" in s.command("reload").stdout
        (s.drop / "a.bak").write_bytes(b"x")
        (s.drop / "b.jpg").write_bytes(b"b")
        until(lambda: contents(s.published).keys() == {b"film.mov", b"b.jpg"}, "only what is wanted", 30)
        until(lambda: s.mapping_status()["published_files"] == 2, "both are recorded", 30)
        assert s.log().count("published film.mov") == 1
        (s.drop / "b.jpg").unlink()
        until(lambda: "kept at the server" in s.log(), "the delete is not mirrored", 20)
        assert (s.published / "b.jpg").exists()
        assert "abandoned" not in s.log()


@pytest.mark.parametrize("tls", ["off", "explicit"])
def test_another_bandwidth_is_in_force_for_transfers_that_run(tls: str, tmp_path: Path) -> None:
    """Whoever lowers it for the day and raises it for the night has large files arrive."""
    with (
        servers.running("pyftpdlib", tls=tls) as server,
        site(server, tmp_path, server_keys={"bandwidth": "50 kB/s"}) as s,
    ):
        s.start()
        (s.drop / "film.mov").write_bytes(os.urandom(10_000_000))
        until(lambda: s.status()["transfers"], "the transfer runs", 20)
        # Slow enough for the other one to be still under way when the next reload comes, on whatever machine.
        edit(s, servers={"web": {"bandwidth": "3 MB/s"}})
        assert "sends at another rate to web" in s.command("reload").stdout
        until(lambda: s.mapping_status()["published_files"] == 1, "it is published", 30)
        (s.drop / "more.mov").write_bytes(os.urandom(60_000_000))
        until(lambda: s.status()["transfers"], "another transfer runs", 20)
        edit(s, servers={"web": {"bandwidth": "10 kB/s"}})
        s.command("reload")
        until(lambda: s.status()["transfers"], "it is still running", 20)
        [before] = s.status()["transfers"]
        time.sleep(3)
        [after] = s.status()["transfers"]
        assert after["sent_bytes"] - before["sent_bytes"] <= 2_000_000
        edit(s, servers={"web": {"bandwidth": "50 MB/s"}})
        s.command("reload")
        until(lambda: s.mapping_status()["published_files"] == 2, "that one, too", 30)
        assert contents(s.published) == contents(s.drop)
        assert "abandoned" not in s.log()
        assert "continued" not in s.log()


def test_a_reload_begins_no_new_minute_for_deletes(server: Server, tmp_path: Path) -> None:
    """Else a mass delete would pass in portions beside somebody who edits the configuration."""
    with site(server, tmp_path, max_deletes=4) as s:
        for i in range(9):
            (s.drop / f"{i}.jpg").write_bytes(b"picture")
        s.start()
        s.until_equal()
        for i in range(3):
            (s.drop / f"{i}.jpg").unlink()
        s.until_equal()
        edit(s, mappings={MAPPING: {"exclude": ["nothing"]}})
        hang_up(s)
        for i in range(3, 6):
            (s.drop / f"{i}.jpg").unlink()
        told = "3 files were deleted at once, and 3 in the minute before"
        until(lambda: told in s.mapping_status()["message"], "all of it is held")
        assert len(contents(s.published)) == 6


def test_another_remote_directory_is_published_to_and_the_old_one_left_alone(running: Site) -> None:
    s = running
    (s.drop / "a.jpg").write_bytes(b"a")
    s.until_equal()
    edit(s, mappings={MAPPING: {"remote": "web:/elsewhere"}})
    assert f"moved {MAPPING}" in s.command("reload").stdout
    elsewhere = s.server.home / "elsewhere"
    until(lambda: contents(elsewhere) == contents(s.drop), "the new directory is filled", 20)
    (s.drop / "a.jpg").unlink()
    until(lambda: not contents(elsewhere), "the delete goes to the new directory", 20)
    assert contents(s.published).keys() == {b"a.jpg"}


def test_two_mappings_that_change_places_and_back_publish_what_is_theirs(running: Site) -> None:
    s = running
    other = s.base / "other"
    other.mkdir()
    for name, folder in (("drop", s.drop), ("other", other)):
        (folder / "index.html").write_text(f"of {name}")
    (s.drop / "gone.html").write_text("gone")
    edit(s, mappings={"other": {"local": str(other), "remote": "web:/other", "settle": "0.1s", "include": ["*"]}})
    s.command("reload")

    def published(place: str, content: str) -> bool:
        index = s.server.home / place / "index.html"
        return index.exists() and index.read_text() == content

    until(lambda: published("site", "of drop") and published("other", "of other"), "each in its place", 20)
    edit(s, mappings={MAPPING: {"remote": "web:/other"}, "other": {"remote": "web:/site"}})
    s.command("reload")
    until(lambda: published("site", "of other") and published("other", "of drop"), "each in the other's", 20)
    until(lambda: published_files(s) == {MAPPING: 2, "other": 1}, "all is recorded", 20)
    (s.drop / "gone.html").unlink()
    until(lambda: published_files(s) == {MAPPING: 1, "other": 1}, "it is deleted there", 20)
    edit(s, mappings={MAPPING: {"remote": "web:/site"}, "other": {"remote": "web:/other"}})
    s.command("reload")
    until(lambda: published("site", "of drop") and published("other", "of other"), "each in its place again", 20)
    until(lambda: contents(s.published).keys() == {b"index.html"}, "what went meanwhile is deleted here, too", 20)


def published_files(s: Site) -> dict[str, int]:
    return {mapping["name"]: mapping["published_files"] for mapping in s.status()["mappings"]}


def test_a_move_gives_up_a_transfer_that_does_not_end_and_nothing_is_lost(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, server_keys={"bandwidth": "100 KB/s"}) as s:
        s.start()
        (s.drop / "film.mov").write_bytes(os.urandom(8_000_000))
        until(lambda: s.status()["transfers"], "the transfer runs", 20)
        edit(s, servers={"web": {"bandwidth": "100 MB/s"}}, mappings={MAPPING: {"remote": "web:/elsewhere"}})
        hang_up(s)
        until(lambda: contents(s.server.home / "elsewhere") == contents(s.drop), "it is published anew", 40)


def test_a_mapping_can_be_paused_while_a_reload_connects_anew_for_it(server: Server, tmp_path: Path) -> None:
    """It was gone for a second, and to pause all was to pause none."""
    with site(server, tmp_path, server_keys={"bandwidth": "100 KB/s"}) as s:
        s.numbers = {"ftpsyncd.daemon.reloading.RETIRE_S": 0.2}
        s.start()
        (s.drop / "film.mov").write_bytes(os.urandom(8_000_000))
        until(lambda: s.status()["transfers"], "the transfer runs", 20)
        edit(s, servers={"web": {"connections": 7}})
        assert s.process is not None
        s.process.send_signal(signal.SIGHUP)
        client, told = ControlClient(s.base / "control.sock"), set()
        while not reloads(s):
            told |= {client.command(name) for name in ("pause", "resume")}
            assert [each["name"] for each in client.status()["mappings"]] == [MAPPING]
        assert told == {f"{MAPPING}: paused", f"{MAPPING}: goes on"}


def test_a_reload_that_is_refused_leaves_the_log_as_it_is(running: Site) -> None:
    s = running
    config = json.loads(s.config.read_text())
    config["servers"]["web"]["password"] = {"env": "NOT_SET_ANYWHERE"}
    s.config.write_text(json.dumps({**config, "log": {"level": "error"}}))
    assert "NOT_SET_ANYWHERE" in s.command("reload", ok=False).stderr
    (s.drop / "a.jpg").write_bytes(b"a")
    s.until_equal()
    until(lambda: "published a.jpg" in s.log(), "it is in the log")


def test_a_rotated_password_is_used_at_once(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong")
    with site(server, tmp_path / "s", server_keys={"password": {"file": str(secret)}}) as s:
        s.start()
        (s.drop / "a.jpg").write_bytes(b"a")
        until(lambda: s.status()["servers"][0]["state"] == "refused", "the login is refused", 20)
        secret.write_text("secret")
        s.command("reload")
        s.until_equal()


WHILE_LOADED = """
import os, signal, sys
from ftpsyncd import cli

wanted = sys.argv.pop(1)

class Loading:
    def find_spec(self, name, path, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, Loading())
cli.main()
"""
"""The program, which gets a signal when it begins to load a module: the first word."""


@pytest.mark.parametrize("module", ["ftpsyncd.cli.app", "ftpsyncd.daemon.process", "ftpsyncd.daemon.outside"])
def test_a_wish_for_a_reload_during_the_start_is_granted_after_it(server: Server, tmp_path: Path, module: str) -> None:
    """It ended the process."""
    with site(server, tmp_path) as s:
        s.program = (sys.executable, "-c", WHILE_LOADED, module)
        s.start()
        until(lambda: reloads(s) == 1, "the reload", 30)
        assert s.stop() == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("mappings: [", "config.yaml:"),
        ('{"servers": {}, "mappings": {}}', "config.yaml:"),
        (None, "SITE_PASSWORT"),
    ],
)
def test_a_wrong_configuration_changes_nothing_and_says_why(running: Site, wrong: str | None, words: str) -> None:
    s = running
    right = s.config.read_text()
    s.config.write_text(right.replace("SITE_PASSWORD", "SITE_PASSWORT") if wrong is None else wrong)
    assert s.process is not None
    s.process.send_signal(signal.SIGHUP)
    until(lambda: "was not reloaded" in s.log(), "the refusal", 20)
    assert words in s.log().rpartition("was not reloaded")[2]
    (s.drop / "a.jpg").write_bytes(b"a")
    s.until_equal()
    s.config.write_text(right)
    hang_up(s)
    (s.drop / "b.jpg").write_bytes(b"b")
    s.until_equal()


def test_the_command_fails_with_the_reason(running: Site) -> None:
    s = running
    s.config.write_text(s.config.read_text().replace("SITE_PASSWORD", "SITE_PASSWORT"))
    done = s.command("reload", ok=False)
    assert done.returncode == 78
    assert "SITE_PASSWORT" in done.stderr
    assert "Traceback" not in done.stderr + s.log()


@pytest.mark.timeout(240)
def test_100_reloads_while_publishing_lose_nothing_and_leak_nothing(running: Site) -> None:
    s = running
    names = {}
    for i in range(10):
        (s.drop / f"warm{i}.jpg").write_bytes(b"warm")
    s.until_equal()
    hang_up(s)
    s.until_equal()
    threads, descriptors = resources(s)
    for i in range(100):
        for k in range(5):
            names[f"{i}-{k}.jpg"] = os.urandom(2000)
            (s.drop / f"{i}-{k}.jpg").write_bytes(names[f"{i}-{k}.jpg"])
        edit(s, mappings={MAPPING: {"exclude": [f"*.no{i}"]}})
        hang_up(s)
    s.until_equal(90)
    assert len(contents(s.published)) == 510
    until(lambda: resources(s)[0] <= threads + 1, f"no more than {threads} threads", 90)
    assert resources(s)[1] <= descriptors + 4
    assert reloads(s) == 101
    assert "Traceback" not in s.log()
    # Nothing was sent twice.
    sent = [line for line in s.log().splitlines() if ": published " in line]
    assert len(sent) == 510


def test_alerts_are_told_by_the_running_daemon_and_follow_a_reload(running: Site) -> None:
    s = running
    out = s.base / "alerts.jsonl"
    config = json.loads(s.config.read_text())
    config["alerts"] = {"command": ["sh", "-c", f"cat >> {as_word(out)}"], "paused": "0s"}
    s.config.write_text(json.dumps(config))
    hang_up(s)
    s.command("pause")
    until(lambda: out.exists() and '"kind": "paused"' in out.read_text(), "the alert", 20)
    assert json.loads(out.read_text().splitlines()[0])["subject"] == MAPPING


def test_a_message_that_is_not_delivered_is_told_by_status_until_another_command_is_to_do_it(running: Site) -> None:
    s = running
    config = json.loads(s.config.read_text())
    config["alerts"] = {"command": ["sh", "-c", "echo no mail today; exit 3"], "paused": "0s"}
    s.config.write_text(json.dumps(config))
    assert s.command("reload").returncode == 0
    s.command("pause")
    until(lambda: s.status()["daemon"]["alerts"], "the status says so", 40)
    assert s.status()["daemon"]["alerts"] == "the command ended with 3: no mail today"
    shown = " ".join(s.command("status").stdout.split())
    assert "! alerts: the last message was not delivered: the command ended with 3: no mail today" in shown
    s.config.write_text(json.dumps({**config, "alerts": {"command": ["true"]}}))
    assert s.command("reload").returncode == 0
    until(lambda: not s.status()["daemon"]["alerts"], "nothing is known against the new command", 20)


@pytest.mark.parametrize("left", [False, True], ids=["nothing is there", "a killed daemon left one there"])
def test_a_control_socket_that_moves_is_found_before_and_after_the_reload(running: Site, *, left: bool) -> None:
    s = running
    assert s.process is not None
    old, new = s.base / "control.sock", s.base / "elsewhere" / "control.sock"
    if left:
        new.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(new))
    config = json.loads(s.config.read_text())
    s.config.write_text(json.dumps({**config, "control": {"socket": str(new)}}))
    # Edited, and not in force: the commands find the daemon where it is.
    assert json.loads(s.command("status", "--json").stdout)["daemon"]["pid"] == s.process.pid
    assert s.command("reload").stdout == "reloaded: took over the new `control.socket`\n"
    assert new.is_socket()
    assert not old.exists()
    assert json.loads(s.command("status", "--json").stdout)["daemon"]["pid"] == s.process.pid
    assert s.command("reload").stdout == "reloaded: nothing changed\n"
    assert s.stop() == 0
    assert not new.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("file/control.sock", "cannot be made: "), ("file", "is in the way of the control socket")],
)
def test_a_control_socket_that_cannot_move_changes_nothing(running: Site, name: str, words: str) -> None:
    s = running
    (s.base / "file").touch()
    config = json.loads(s.config.read_text())
    control = {"socket": str(s.base / name)}
    s.config.write_text(json.dumps({**config, "mappings": {"other": config["mappings"][MAPPING]}, "control": control}))
    refused = s.command("reload", ok=False)
    assert refused.returncode == 75
    assert words in refused.stderr
    assert "the old one stays in force" in s.log()
    assert [mapping["name"] for mapping in s.status()["mappings"]] == [MAPPING]


@pytest.mark.parametrize("publish", ["atomic", "direct"])
@pytest.mark.parametrize("what", ["removed", "moved", "removed while nothing ran"])
def test_what_a_mapping_that_goes_leaves_half_sent_is_swept(
    server: Server, publish: str, what: str, tmp_path: Path
) -> None:
    """By the connections of another mapping to the same server."""
    with site(server, tmp_path, publish=publish, server_keys={"bandwidth": "200 kB/s"}) as s:
        other = s.base / "other"
        other.mkdir()
        edit(s, mappings={"second": {"local": str(other), "remote": "web:/second", "settle": "0.1s"}})
        s.start()
        (s.drop / "a").write_bytes(b"a")
        until(lambda: s.published.exists() and sizes(s.published) == {b"a": 1}, "the first file", 30)
        until(lambda: s.mapping_status()["published_files"] == 1, "it is recorded", 30)
        (s.drop / "film").write_bytes(os.urandom(10_000_000))
        until(lambda: max(sizes(s.published).values()) > 200_000, "a part is there", 30)
        if what == "removed while nothing ran":
            s.kill()
        edit(s, mappings={MAPPING: {"remote": "web:/elsewhere"} if what == "moved" else None})
        if what == "removed while nothing ran":
            s.start()
        else:
            hang_up(s)
        # When there is nothing else to do at the server: the file may be on its way to its new place before, for 50 s.
        until(lambda: sizes(s.published) == {b"a": 1}, "nothing of it stays", 100)


def test_what_is_left_half_sent_where_no_server_leads_any_more_is_told(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, server_keys={"bandwidth": "200 kB/s"}) as s:
        s.start()
        (s.drop / "film").write_bytes(os.urandom(10_000_000))
        until(lambda: s.published.exists() and contents(s.published), "a part is there", 30)
        s.kill()
        edit(s, servers={"web": {"host": "localhost"}})
        s.start()
        until(lambda: "no server of the configuration leads there any more" in s.log(), "it is told", 30)
        [line] = [line for line in s.log().splitlines() if "leads there any more" in line]
        assert s.temporary("film") in line


def test_a_control_socket_that_somebody_removed_is_there_again_and_a_reload_can_be_wished_for(running: Site) -> None:
    s = running
    (s.base / "control.sock").unlink()
    until(lambda: s.status()["daemon"]["running"], "it can be asked again", 20)
    assert s.log().count("was removed, and is made anew") == 1
    assert "nothing changed" in s.command("reload").stdout
