"""The commands on a real site: one pass, plan, status, why, steering, and what systemd is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import MAPPING, Site, contents, site
from tests.servers import running
from tests.waiting import until


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
    assert why(s, published)["details"]["size"] == 5
    until(lambda: why(s, failed)["state"] == "parked", "it is parked")
    assert "550" in why(s, failed)["sentence"]
    s.command("pause", MAPPING)
    pending = drop(s, "pending.jpg")
    until(lambda: why(s, pending)["state"] == "pending", "it waits")
    assert "resume" in why(s, pending)["sentence"]


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
    (s.published / "a.jpg").rmdir()
    assert "tried again" in s.command("retry", "--path", path).stdout
    s.until_equal()
    until(lambda: s.mapping_status()["parked"] == 0, "nothing is parked any more")


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
        while "WATCHDOG=1" not in told or "1 files published" not in told:
            told += "\n" + notify.recv(4096).decode()
        assert s.stop() == 0
        while "STOPPING=1" not in told:
            told += "\n" + notify.recv(4096).decode()


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
