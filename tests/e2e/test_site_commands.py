"""The commands on a real site: one pass, plan, status, why, steering, and what systemd is told."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.control.client import ControlClient
from tests.e2e.site import MAPPING, Site, contents, site
from tests.servers import running
from tests.waiting import until

pytestmark = pytest.mark.lasting(90)


@pytest.fixture
def s(tmp_path: Path) -> Iterator[Site]:
    with running("pyftpdlib") as server, site(server, tmp_path, include=["@media"]) as made:
        yield made


def drop(s: Site, name: str, data: bytes = b"x") -> Path:
    path = s.drop / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def why(s: Site, path: Path) -> dict[str, Any]:
    return dict(json.loads(s.command("why", path, "--json").stdout))


def history(s: Site, *words: object) -> list[dict[str, Any]]:
    return list(json.loads(s.command("history", *words, "--json").stdout)["entries"])


# ── one pass ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sync_publishes_what_is_new_changed_and_deleted_then_ends(s: Site) -> None:
    drop(s, "a.jpg", b"one")
    drop(s, "sub/b.jpg", b"two")
    assert "2 files" in s.command("sync").stdout
    assert contents(s.published) == contents(s.drop)
    drop(s, "a.jpg", b"three")
    (s.drop / "sub/b.jpg").unlink()
    s.command("sync")
    assert contents(s.published) == contents(s.drop)
    assert not (s.base / "control.sock").exists()


def test_sync_dry_run_says_what_it_would_do_and_touches_nothing(s: Site) -> None:
    drop(s, "a.jpg")
    assert "a.jpg" in s.command("sync", "--dry-run").stdout
    assert contents(s.published) == {}
    assert not (s.base / "state/ledger.db").exists()


def test_plan_names_every_action_with_its_reason(s: Site) -> None:
    for name in ("keep.jpg", "old.jpg", "gone.jpg", "changed.jpg"):
        drop(s, name, name.encode())
    s.command("sync")
    (s.drop / "old.jpg").rename(s.drop / "new.jpg")
    (s.drop / "gone.jpg").unlink()
    drop(s, "changed.jpg", b"other content")
    s.write_config(settle="0s")
    document = json.loads(s.command("plan", "--json").stdout)
    planned = {(a["verb"], a["path"]): a["why"] for a in document["planned"]}
    assert planned.keys() == {("rename", "new.jpg"), ("delete", "gone.jpg"), ("upload", "changed.jpg")}
    assert planned["rename", "new.jpg"] == "renamed from old.jpg"


def test_sync_exits_with_1_when_a_file_failed(s: Site) -> None:
    drop(s, "bad\nname.jpg")
    drop(s, "good.jpg")
    done = s.command("sync", ok=False)
    assert done.returncode == 1
    assert set(contents(s.published)) == {b"good.jpg"}


def test_sync_exits_with_75_when_the_server_is_not_there(s: Site) -> None:
    drop(s, "a.jpg")
    s.server.stop()
    done = s.command("sync", ok=False)
    assert done.returncode == 75
    assert "Traceback" not in done.stderr
    assert "refused" in done.stdout.lower()
    assert "1 file waits" in done.stdout


def test_sync_of_one_mapping_leaves_the_others_alone(s: Site) -> None:
    other = s.base / "other"
    other.mkdir()
    (other / "b.jpg").write_bytes(b"b")
    drop(s, "a.jpg")
    config = json.loads(s.config.read_text())
    config["mappings"]["other"] = {**config["mappings"][MAPPING], "local": str(other), "remote": "web:/other"}
    s.config.write_text(json.dumps(config))
    done = json.loads(s.command("sync", "other", "--json").stdout)
    assert (done["files_done"], done["exit_code"]) == (1, 0)
    assert set(contents(s.server.home)) == {b"other/b.jpg"}


def test_a_second_sync_does_nothing(s: Site) -> None:
    drop(s, "a.jpg")
    s.command("sync")
    inode = (s.published / "a.jpg").stat().st_ino
    assert json.loads(s.command("sync", "--json").stdout)["files_done"] == 0
    assert (s.published / "a.jpg").stat().st_ino == inode
    assert json.loads(s.command("plan", "--json").stdout)["planned"] == []


def test_sync_dry_run_leaves_disk_server_and_ledger_as_they_were(s: Site) -> None:
    drop(s, "a.jpg")
    drop(s, "gone.jpg")
    s.command("sync")
    (s.drop / "gone.jpg").unlink()
    drop(s, "new.jpg")
    ledger = s.base / "state/ledger.db"
    before = contents(s.server.home), contents(s.drop), ledger.read_bytes()
    said = s.command("sync", "--dry-run").stdout
    assert "gone.jpg" in said
    assert "new.jpg" in said
    assert (contents(s.server.home), contents(s.drop), ledger.read_bytes()) == before


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────

MAPPING_KEYS = {
    "name", "local", "remote", "state", "pending", "in_flight", "failed", "parked", "held", "published_files",
    "published_bytes", "last_publish", "message",
}  # fmt: skip


@pytest.mark.parametrize("alive", [True, False])
def test_status_has_the_documented_shape_with_and_without_a_daemon(s: Site, *, alive: bool) -> None:
    drop(s, "a.jpg", b"12345")
    s.start()
    s.until_equal()
    s.until_state("in_sync")
    if not alive:
        s.stop()
    document = json.loads(s.command("status", "--json").stdout)
    assert document["daemon"]["running"] is alive
    assert document["daemon"].keys() >= {"running", "pid", "version", "uptime_s"}
    (mapping,) = document["mappings"]
    assert mapping.keys() >= MAPPING_KEYS
    assert (mapping["published_files"], mapping["published_bytes"]) == (1, 5)
    (server,) = document["servers"]
    assert server.keys() >= {"name", "state", "connections", "message"}
    assert document["transfers"] == []


# ── why ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_why_explains_every_state(s: Site) -> None:
    s.write_config(settle="1h")
    s.start()
    ignored, settling = drop(s, "a.xyz"), drop(s, "settling.jpg")
    assert "not matched by include: @media" in why(s, ignored)["sentence"]
    until(lambda: why(s, settling)["state"] == "settling", "it settles")
    assert why(s, s.base / "elsewhere.jpg")["mapping"] is None
    s.stop()
    s.write_config(settle="0s")
    published = drop(s, "published.jpg", b"12345")
    failed = drop(s, "failed.jpg")
    (s.published / "failed.jpg").mkdir(parents=True)
    s.start()
    until(lambda: why(s, published)["state"] == "published", "it is published")
    told = why(s, published)
    assert told["details"]["size"] == 5
    receipt = told["receipt"]
    assert (receipt["kind"], receipt["path"], receipt["size"], receipt["at"]) == (
        "published", published.name, 5, told["details"]["at"],
    )  # fmt: skip
    assert receipt == history(s, "--path", published)[0]
    assert told["sentence"].startswith(f"published {receipt['at']}, 5 bytes in ")
    assert told["sentence"].endswith(f" s, sha256 {receipt['sha256']}")
    until(lambda: why(s, failed)["state"] == "parked", "it is parked")
    assert "550" in why(s, failed)["sentence"]
    assert why(s, failed)["receipt"]["kind"] == "parked"
    s.command("pause", MAPPING)
    pending = drop(s, "pending.jpg")
    until(lambda: why(s, pending)["state"] == "pending", "it waits")
    assert "resume" in why(s, pending)["sentence"]


def test_why_does_not_deny_what_is_kept_at_the_server(s: Site) -> None:
    s.write_config(deletes="keep")
    s.start()
    kept = drop(s, "kept.jpg")
    until(lambda: why(s, kept)["state"] == "published", "it is published")
    kept.unlink()
    until(lambda: history(s, "--path", kept)[0]["kind"] == "forgotten", "it is forgotten")
    assert (s.published / "kept.jpg").exists()
    told = why(s, kept)
    assert told["state"] == "absent"
    assert "is at the server from here" not in told["sentence"]
    assert (
        f"`ftpsyncd history --path {kept} -c {s.config}` says whether one was published and kept there"
        in told["sentence"]
    )


def test_why_answers_without_a_daemon_too(s: Site) -> None:
    published, ignored = drop(s, "a.jpg", b"12345"), drop(s, "a.xyz")
    s.command("sync")
    new, excluded = drop(s, "new.jpg"), drop(s, "new.jpg.part")
    assert why(s, published)["state"] == "published"
    assert "5 bytes" in why(s, published)["sentence"]
    assert why(s, published)["receipt"] == history(s, "--path", published)[0]
    assert "not matched by include: @media" in why(s, ignored)["sentence"]
    assert why(s, excluded)["state"] == "ignored"
    assert why(s, new)["state"] in {"pending", "settling"}
    assert why(s, s.drop / "never.jpg")["state"] == "absent"
    assert why(s, s.drop / "never.jpg")["receipt"] is None
    published.unlink()
    assert "still at the server" in why(s, published)["sentence"]
    assert why(s, s.base / "elsewhere.jpg")["state"] == "unmanaged"


def test_why_tells_that_a_path_waits_for_a_server_that_is_away(s: Site) -> None:
    s.start()
    s.server.stop()
    path = drop(s, "a.jpg")
    s.until_state("offline")
    s.environ["COLUMNS"] = "400"
    answer = why(s, path)
    assert answer["state"] == "pending"
    assert "refused" in answer["sentence"].lower()
    helps = re.escape(f"`ftpsyncd check -c {s.config}` says what helps")
    assert re.search(rf"; the server is tried again in (?:less than )?\d+ s, and {helps}$", answer["sentence"])
    shown = s.command("status").stdout
    assert "tried again by itself" in shown
    assert re.search(r"ftpsyncd check -c \S+ or ftpsyncd retry --server \w+ -c ", " ".join(shown.split()))


def test_of_a_folder_that_goes_to_two_places_each_is_told_of_and_tried_again(s: Site) -> None:
    config = json.loads(s.config.read_text())
    [server] = config["servers"].values()
    config["servers"]["away"] = {**server, "port": 1}
    config["mappings"]["second"] = {**config["mappings"][MAPPING], "remote": "away:/second"}
    s.config.write_text(json.dumps(config))
    path = drop(s, "a.jpg")
    s.start()
    until(lambda: contents(s.published), "the file at the server that is there", 60)
    until(lambda: any(each["state"] == "offline" for each in s.status()["servers"]), "the other one is away", 60)
    until(lambda: why(s, path)["state"] == "published", "it is recorded", 60)
    first, second = s.command("why", path).stdout.splitlines()
    assert first.startswith(f"{MAPPING}: published ")
    assert second.startswith("second: waits in the queue of away (new file): The connection was refused")
    [also] = json.loads(s.command("why", "--json", path).stdout)["also"]
    assert (also["mapping"], also["state"], also["also"]) == ("second", "pending", [])
    said = s.command("retry", "--path", path).stdout
    assert said.startswith(f"{MAPPING}: ")
    assert "; second: " in said
    told = ControlClient(s.base / "control.sock").command("rescan", mapping="second", path=str(path))
    assert told.startswith("second: ")
    assert "published" in s.command("history", "--path", path).stdout
    assert "published" not in s.command("history", "second", "--path", path).stdout
    assert s.stop() == 0
    first, second = s.command("why", path).stdout.splitlines()
    assert first.startswith(f"{MAPPING}: published ")
    assert second.startswith("second: not published yet")


def test_why_tells_that_a_file_is_open_for_writing(s: Site) -> None:
    s.start()
    with (s.drop / "a.jpg").open("wb") as file:
        file.write(b"half")
        file.flush()
        until(lambda: "open for writing" in why(s, s.drop / "a.jpg")["sentence"], "it is known to be written", 30)
        assert contents(s.published) == {}
        file.write(b" and half")
    s.until_equal()


def test_what_status_says_to_type_decides_about_what_it_has_told_of(s: Site, tmp_path: Path) -> None:
    """Another service of this machine may have a mapping of the same name, and a hold of its own."""
    s.write_config(max_deletes=0)
    path = drop(s, "a.jpg")
    s.start()
    s.until_equal()
    path.unlink()
    s.until_state("held")
    [discard] = re.findall(r"`ftpsyncd (discard \S+ -c \S+)`", s.command("status").stdout)
    subprocess.run([*s.program, *shlex.split(discard)], cwd=tmp_path, env=s.environment(), check=True, timeout=60)
    until(lambda: not s.mapping_status()["held"], "the decision", 30)
    assert len(contents(s.published)) == 1


def test_why_tells_which_delete_is_held_and_what_releases_it(s: Site) -> None:
    s.write_config(max_deletes=0)
    path = drop(s, "a.jpg")
    s.start()
    s.until_equal()
    path.unlink()
    s.until_state("held")
    assert why(s, path)["state"] == "held"
    assert "ftpsyncd approve" in why(s, path)["sentence"]


# ── steering ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pause_holds_everything_back_until_resume_and_survives_a_restart(s: Site) -> None:
    s.start()
    s.command("pause", MAPPING)
    drop(s, "a.jpg")
    until(lambda: s.mapping_status()["pending"], "it is pending")
    assert s.mapping_status()["state"] == "paused"
    s.stop()
    s.start()
    until(lambda: s.mapping_status()["pending"], "it is pending again")
    assert contents(s.published) == {}
    s.command("resume", MAPPING)
    s.until_equal()


def test_retry_publishes_what_was_parked_once_the_reason_is_gone(s: Site) -> None:
    path = drop(s, "a.jpg")
    s.published.mkdir()
    (s.published / "a.jpg").mkdir()
    s.start()
    until(lambda: s.mapping_status()["parked"] == 1, "it is parked", 30)
    # Who reads of it gets one command, that of its mapping.
    for told in (why(s, path)["sentence"], s.command("status").stdout):
        assert [said.split(" -c ")[0] for said in re.findall("ftpsyncd retry[^`\n]*", told)] == [
            f"ftpsyncd retry {MAPPING}"
        ]
    (s.published / "a.jpg").rmdir()
    assert "tried again" in s.command("retry", "--path", path).stdout
    s.until_equal()
    until(lambda: s.mapping_status()["parked"] == 0, "nothing is parked any more")


def test_retry_of_a_folder_publishes_what_was_parked_in_it(s: Site) -> None:
    for name in ("sub/a.jpg", "sub/deep/b.jpg"):
        drop(s, name)
        (s.published / name).mkdir(parents=True)
    s.start()
    until(lambda: s.mapping_status()["parked"] == 2, "both are parked", 30)
    for name in ("sub/a.jpg", "sub/deep/b.jpg"):
        (s.published / name).rmdir()
    assert "sub: 2 failed paths are tried again" in s.command("retry", "--path", s.drop / "sub").stdout
    s.until_equal()
    assert "nothing of the name nowhere had failed" in s.command("retry", "--path", s.drop / "nowhere").stdout


def test_pause_of_a_server_pauses_its_mappings(s: Site) -> None:
    s.start()
    s.command("pause", "--server", "web")
    drop(s, "a.jpg")
    until(lambda: s.mapping_status()["state"] == "paused" and s.mapping_status()["pending"], "it waits")
    s.command("resume")
    s.until_equal()
    s.until_state("in_sync")


def test_rescan_finds_what_no_event_told(s: Site) -> None:
    # A polling watcher that sleeps for an hour is as good as one that misses everything.
    s.write_config(watch="poll", poll_every="1h")
    s.start()
    s.until_state("in_sync")
    drop(s, "sub/a.jpg")
    assert "comparing everything again" in s.command("rescan").stdout
    s.until_equal()
    drop(s, "b.jpg")
    assert "comparing b.jpg again" in s.command("rescan", "--path", s.drop / "b.jpg").stdout
    s.until_equal()


def test_retry_tries_everything_that_failed_again(s: Site) -> None:
    for name in ("a.jpg", "b.jpg"):
        drop(s, name)
        (s.published / name).mkdir(parents=True)
    s.start()
    until(lambda: s.mapping_status()["parked"] == 2, "both are parked", 30)
    for name in ("a.jpg", "b.jpg"):
        (s.published / name).rmdir()
    assert "2 failed paths are tried again" in s.command("retry").stdout
    s.until_equal()


def test_what_only_a_daemon_can_do_says_how_to_start_it_and_ends_with_75(s: Site) -> None:
    done = s.command("rescan", MAPPING, ok=False)
    assert done.returncode == 75
    assert "ftpsyncd run" in done.stderr
    assert "Traceback" not in done.stderr


def test_approve_and_discard_without_a_hold_say_so(s: Site) -> None:
    s.start()
    for command in ("approve", "discard"):
        assert "nothing is held" in s.command(command, MAPPING).stdout


def test_an_unknown_mapping_is_a_usage_error(s: Site) -> None:
    s.start()
    done = s.command("pause", "dorp", ok=False)
    assert done.returncode == 2
    assert MAPPING in done.stderr


# ── the daemon and systemd ───────────────────────────────────────────────────────────────────────────────────────


def test_systemd_is_told_ready_after_the_first_watch_then_watchdog_and_stopping(s: Site) -> None:
    address = str(s.base / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(address)
        notify.settimeout(20)
        s.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "400000"}
        s.start()
        told = notify.recv(4096).decode()
        while "READY=1" not in told:
            told += "\n" + notify.recv(4096).decode()
        drop(s, "a.jpg")
        while "WATCHDOG=1" not in told or "1 file published" not in told:
            told += "\n" + notify.recv(4096).decode()
        assert s.stop() == 0
        while "STOPPING=1" not in told:
            told += "\n" + notify.recv(4096).decode()


def watches(pid: int) -> int:
    """How many inotify watches a process has (proc(5), fdinfo)."""
    count = 0
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        # Others are opened and closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            count += info.read_text().count("inotify wd:")
    return count


def test_systemd_is_told_ready_only_when_every_directory_is_watched(s: Site) -> None:
    for i in range(2000):
        (s.drop / f"{i % 40}/{i}").mkdir(parents=True)
    address = str(s.base / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(address)
        notify.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "ftpsyncd", "run", "-c", str(s.config)],
            stderr=subprocess.DEVNULL,
            env={**s.environment(), "NOTIFY_SOCKET": address},
        )
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            assert watches(process.pid) > 2000
        finally:
            process.terminate()
            assert process.wait(30) == 0


def test_sigterm_ends_an_idle_daemon_at_once(s: Site) -> None:
    drop(s, "a.jpg")
    s.start()
    s.until_equal()
    began = time.monotonic()
    assert s.stop() == 0
    assert time.monotonic() - began < 5
    assert "stopped" in s.log()
    assert not (s.base / "control.sock").exists()


def test_sigterm_with_a_dead_server_and_a_backlog_ends_at_once_and_loses_nothing(s: Site) -> None:
    s.start()
    s.server.stop()
    for i in range(300):
        drop(s, f"{i}.jpg")
    s.until_state("offline")
    began = time.monotonic()
    assert s.stop() == 0
    assert time.monotonic() - began < 5
    s.server.start()
    s.start()
    s.until_equal()


def test_sigterm_in_the_middle_of_uploads_loses_nothing_and_leaves_nothing_behind(s: Site) -> None:
    for i in range(200):
        drop(s, f"{i % 7}/{i}.jpg", os.urandom(60_000))
    # Three seconds: nobody is to be done before the signal comes.
    s.server_keys["bandwidth"] = "4 MB/s"
    s.write_config()
    s.start()
    until(lambda: len(contents(s.published)) >= 20, "some are there", 30)
    began = time.monotonic()
    assert s.stop() == 0
    assert time.monotonic() - began < 5
    assert len(contents(s.published)) < 200, "it ended in the middle"
    s.start()
    s.until_equal()
    s.until_state("in_sync")


def test_sigterm_in_the_middle_of_a_slow_upload_ends_in_time_and_the_next_start_publishes_it(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path, server_keys={"bandwidth": "200 kB/s"}) as s:
        drop(s, "big.jpg", os.urandom(20_000_000))
        s.start()
        until(lambda: s.status()["transfers"], "it is on its way", 30)
        assert why(s, s.drop / "big.jpg")["state"] == "in_flight"
        began = time.monotonic()
        assert s.stop() == 0
        assert time.monotonic() - began < 30, "less than systemd's patience of 90 s"
        assert b"big.jpg" not in contents(s.published)
        s.server_keys.clear()
        s.write_config()
        s.start()
        s.until_equal()


def test_json_log_lines_are_json_whatever_the_names(s: Site) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ftpsyncd", "run", "-c", str(s.config), "--log-format", "json"],
        stderr=subprocess.PIPE,
        env=s.environment(),
    )
    try:
        until(lambda: s.status()["daemon"]["running"], "the daemon answers", 30)
        drop(s, 'quote" and\nnewline.jpg')
        drop(s, "b.jpg")
        until(lambda: b"b.jpg" in contents(s.published), "it is published", 30)
        until(lambda: s.mapping_status()["parked"] == 1, "the other is parked", 30)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    lines = [json.loads(line) for line in errors.decode().splitlines()]
    assert {"published", "parked"} <= {line["event"] for line in lines}
    assert process.returncode == 0


def test_passwords_appear_nowhere(s: Site) -> None:
    s.environ = {"SITE_PASSWORD": "swordfish-93"}
    drop(s, "a.jpg")
    check = s.command("check", ok=False)
    assert check.returncode == 75
    s.start()
    until(lambda: s.status()["servers"][0]["state"] == "refused", "the login is refused", 30)
    status = s.command("status", "--json").stdout
    s.stop()
    ledger = b"".join(path.read_bytes() for path in (s.base / "state").iterdir())
    for text in (check.stdout, check.stderr, status, s.log(), ledger.decode("latin-1")):
        assert "swordfish" not in text


def test_a_password_that_is_missing_is_named(s: Site) -> None:
    s.environ = {"SITE_PASSWORD": ""}
    environment = {k: v for k, v in s.environment().items() if k != "SITE_PASSWORD"}
    done = subprocess.run(
        [sys.executable, "-m", "ftpsyncd", "run", "-c", os.fspath(s.config)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
        check=False,
    )
    assert done.returncode == 78
    assert "SITE_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr
