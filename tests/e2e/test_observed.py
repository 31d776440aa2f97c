"""What people and programs see of a real site: receipts, events, metrics, the guarded port."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.control.client import ControlClient, _UnixConnection
from ftpsyncd.errors import ControlError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.model import Kind
from ftpsyncd.quoting import as_word
from ftpsyncd.receipts import HistoryQuery
from tests.e2e.site import MAPPING, Site, site
from tests.servers import Server, free_port, running
from tests.variants import also
from tests.waiting import until


def set_keys(s: Site, **keys: Any) -> None:
    """Set top-level keys of the configuration."""
    config = json.loads(s.config.read_text())
    for key, value in keys.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    s.config.write_text(json.dumps(config))


def receipts(s: Site, *words: object) -> list[dict[str, Any]]:
    """What `history --json` prints, the oldest first."""
    found = json.loads(s.command("history", "--json", "--limit", 0, *words).stdout)
    assert found["next"] is None
    return list(reversed(found["entries"]))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_publish_rename_and_delete_has_its_receipt(server: Server, tmp_path: Path) -> None:
    # What is gone is waited for under another name for so long.
    with site(server, tmp_path, delete_after="3s") as s:
        s.start()
        data = {f"d{number % 3}/{number}.jpg": os.urandom(1 + 7919 * number) for number in range(40)}
        data["d0/bé; c.jpg"] = b"odd name"
        for name, content in data.items():
            path = s.drop / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        s.until_equal()
        until(lambda: len(receipts(s)) >= len(data), "all receipts")
        found = receipts(s)
        assert sorted((r["path"], r["sha256"], r["size"]) for r in found) == sorted(
            (name, sha256(content), len(content)) for name, content in data.items()
        )
        for receipt in found:
            assert (receipt["kind"], receipt["mapping"], receipt["attempts"]) == ("published", MAPPING, 1)
            assert receipt["duration_s"] > 0
            assert re.match(r"2\d\d ", receipt["reply"])

        (s.drop / "d0/0.jpg").rename(s.drop / "d1/moved.jpg")
        (s.drop / "d2/2.jpg").unlink()
        (s.drop / "d1/1.jpg").write_bytes(b"changed")
        s.until_equal()
        until(lambda: len(receipts(s)) == len(found) + 3, "three more receipts")
        news = {r["kind"]: r for r in receipts(s)[len(found) :]}
        assert (news["renamed"]["source"], news["renamed"]["path"]) == ("d0/0.jpg", "d1/moved.jpg")
        assert news["renamed"]["sha256"] == sha256(data["d0/0.jpg"])
        assert (news["deleted"]["path"], news["deleted"]["sha256"]) == ("d2/2.jpg", sha256(data["d2/2.jpg"]))
        assert (news["published"]["path"], news["published"]["sha256"]) == ("d1/1.jpg", sha256(b"changed"))
        # By the name that it had as well as by the one that it has.
        assert [r["kind"] for r in receipts(s, "--path", s.drop / "d0/0.jpg")] == ["published", "renamed"]
        assert s.stop() == 0
        assert len(receipts(s)) == len(found) + 3
        assert "d2/2.jpg" in s.command("history", "--kind", "deleted").stdout
        assert len(s.command("history", "--csv", "--limit", 0).stdout.splitlines()) == len(found) + 4


@pytest.mark.parametrize("after", [60, *also(5, 150)])
def test_after_a_crash_receipts_and_rows_are_the_same(tmp_path: Path, after: int) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        s.start()
        for number in range(300):
            (s.drop / f"{number}.jpg").write_bytes(b"%d" % number * 500)
        until(lambda: s.mapping_status()["published_files"] >= after, "some are published", 30)
        s.kill()
        with Ledger(s.base / "state/ledger.db", read_only=True) as ledger:
            mapping = int(ledger._read("SELECT id FROM mapping", ()).fetchone()[0])
            rows = {(path, row.published_ns, row.sha256) for path, row in ledger.walk(mapping) if row.kind is Kind.FILE}
            found = ledger.history.page(HistoryQuery(limit=1000))
        assert len(rows) >= after
        assert {(r.path, r.at_ns, r.sha256) for r in found} == rows
        assert len(found) == len(rows)
        s.start()
        s.until_equal()
        until(lambda: len({r["path"] for r in receipts(s)}) == 300, "a receipt for each")


def test_a_history_of_nothing_is_kept_if_none_is_wanted(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        set_keys(s, history=0)
        s.start()
        (s.drop / "a.jpg").write_bytes(b"a")
        s.until_equal()
        until(lambda: s.mapping_status()["published_files"] == 1, "it is recorded")
        assert receipts(s) == []


# ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Stream:
    """Reads the events of a daemon in a thread."""

    def __init__(self, socket_path: Path) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._connection = _UnixConnection(str(socket_path), 60)
        self._connection.request("GET", "/v1/events")
        self._answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        until(lambda: self.named("hello"), "the stream begins")

    def _read(self) -> None:
        name = ""
        for line in self._answer:
            if line.startswith(b"event: "):
                name = line.decode()[7:-1]
            elif line.startswith(b"data: "):
                self.events.append((name, json.loads(line[6:])))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [data for found, data in list(self.events) if found == name]

    def close(self) -> None:
        """Wait for the end, which is the daemon's."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._connection.close()
        self._answer.close()


def test_a_transfer_can_be_followed_to_its_end(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    with running("pyftpdlib") as server, site(server, tmp_path, server_keys={"bandwidth": "1 MB/s"}) as s:
        s.start()
        s.until_state("in_sync")
        stream = Stream(s.base / "control.sock")
        (s.drop / "film.mp4").write_bytes(data)
        until(lambda: stream.named("published"), "it is published", 60)
        s.until_state("in_sync")
        until(lambda: [e["state"] for e in stream.named("mapping_state")][-1:] == ["in_sync"], "that is told")
        until(lambda: stream.named("transfers")[-1] == {"transfers": []}, "none is left")
        s.stop()
        stream.close()
    [published] = stream.named("published")
    assert (published["path"], published["size"], published["sha256"]) == ("film.mp4", len(data), sha256(data))
    sent = [each["sent_bytes"] for look in stream.named("transfers") for each in look["transfers"]]
    assert len(sent) >= 3
    assert sent == sorted(sent)
    assert 0 < sent[len(sent) // 2] < len(data)
    assert len(sent) <= 4 * published["duration_s"] + 2
    assert "syncing" in [e["state"] for e in stream.named("mapping_state")]


# ── Metrics and the guarded port ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def port() -> Iterator[int]:
    with free_port() as found:
        yield found


@pytest.fixture
def watched(tmp_path: Path, port: int) -> Iterator[Site]:
    """A site that listens on a port, too."""
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        set_keys(s, control={"http": f"127.0.0.1:{port}"})
        s.start()
        yield s


def ask(port: int, method: str, target: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def metric(port: int, name: str, **labels: str) -> float | None:
    """One sample, None if there is none."""
    status, text = ask(port, "GET", "/metrics")
    assert status == 200
    shown = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    found = re.search(
        rf"^{re.escape(f'ftpsyncd_{name}' + (f'{{{shown}}}' if shown else ''))} (\S+)$", text, re.MULTILINE
    )
    return float(found[1]) if found else None


def test_prometheus_sees_what_is_published(watched: Site, port: int) -> None:
    place = {"mapping": MAPPING, "server": "web"}
    for number in range(20):
        (watched.drop / f"{number}.jpg").write_bytes(b"x" * 1000)
    watched.until_equal()
    until(lambda: metric(port, "files_published_total", **place) == 20, "all are counted")
    assert metric(port, "published_bytes_total", **place) == 20_000
    assert metric(port, "transfer_duration_seconds_count", **place) == 20
    until(lambda: metric(port, "files", **place) == 20, "the status says so, too")
    until(lambda: metric(port, "mapping_state", state="in_sync", **place) == 1, "and that it is in sync")
    assert metric(port, "server_up", server="web") == 1
    assert metric(port, "watcher", kind="native", **place) == 1
    age = metric(port, "engine_turn_age_seconds")
    assert age is not None
    assert age < 30
    status, text = ask(port, "GET", "/healthz")
    assert (status, json.loads(text)["healthy"]) == (200, True)


def test_the_command_of_the_page_tells_that_a_daemon_does_not_answer(watched: Site) -> None:
    """It waited for ever for one that was stopped, or hung."""
    page = (Path(__file__).parents[2] / "docs/control-api.md").read_text()
    commands = re.findall(r"^(?:\$ )?(curl .* http://localhost/healthz .*)$", page, re.MULTILINE)
    assert len(commands) == 1
    command = commands[0].replace("/run/ftpsyncd/control.sock", as_word(watched.base / "control.sock"))
    command = command.replace("--max-time 20", "--max-time 2")

    def said() -> str:
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=40).stdout

    assert said() == ""
    with watched.suspended():
        assert said() == "ftpsyncd does not answer\n"
    watched.stop()
    assert said() == "ftpsyncd does not answer\n"


def test_over_the_port_only_those_who_know_the_token_may_steer(watched: Site, port: int) -> None:
    assert ask(port, "POST", "/v1/pause")[0] == 401
    assert ask(port, "GET", "/v1/status")[0] == 401
    assert watched.mapping_status()["state"] != "paused"
    token_file = watched.base / "state/control.token"
    assert token_file.stat().st_mode & 0o777 == 0o600
    authorization = f"Bearer {token_file.read_text().strip()}"
    assert ask(port, "POST", "/v1/pause", Authorization=authorization)[0] == 200
    watched.until_state("paused")
    assert ask(port, "POST", "/v1/resume", Authorization=authorization, Origin="http://evil.example")[0] == 403
    assert ask(port, "GET", "/metrics", Host=f"evil.example:{port}")[0] == 403
    token = token_file.read_text().strip()
    watched.stop()
    assert token not in watched.log()
    assert "Traceback" not in watched.log()
    watched.start()
    assert ask(port, "POST", "/v1/resume", Authorization=authorization)[0] == 200


def test_a_command_that_nobody_waits_for_any_more_is_not_carried_out(tmp_path: Path) -> None:
    """The daemon was stopped, or its machine asleep, and who had asked has given up."""
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        s.start()
        with s.suspended():
            for _ in range(10):
                with pytest.raises(ControlError, match="did not answer within"):
                    ControlClient(s.base / "control.sock", timeout_s=0.2).command("pause")
                with pytest.raises(ControlError, match="did not answer within"):
                    ControlClient(s.base / "control.sock", timeout_s=0.2).command("reload")
        assert "comparing everything again" in s.command("rescan").stdout
        (s.drop / "a.jpg").write_bytes(b"x")
        s.until_equal()
        assert s.mapping_status()["state"] != "paused"
        assert "reloaded" not in s.log()


def test_a_server_that_is_down_is_seen_with_how_long_files_wait(tmp_path: Path, port: int) -> None:
    with running("pyftpdlib") as server, free_port() as wrong, site(server, tmp_path) as s:
        s.write_config()
        config = json.loads(s.config.read_text())
        right = config["servers"]["web"]["port"]
        config["servers"]["web"]["port"] = wrong
        config["control"]["http"] = f"127.0.0.1:{port}"
        s.config.write_text(json.dumps(config))
        s.start()
        assert s.mapping_status()["oldest_pending_s"] is None
        (s.drop / "a.jpg").write_bytes(b"a")
        until(lambda: metric(port, "server_up", server="web") == 0, "it is down")
        until(lambda: (s.mapping_status()["oldest_pending_s"] or 0) > 0.5, "the file waits")
        waited = metric(port, "oldest_pending_age_seconds", mapping=MAPPING, server="web")
        assert waited is not None
        assert waited >= 0.5
        assert metric(port, "queue_depth", mapping=MAPPING, server="web") == 2  # the directory and the file
        assert metric(port, "server_outages_total", server="web") == 1
        s.stop()
        # It is another mapping to the ledger, as the account is another one.
        config["servers"]["web"]["port"] = right
        s.config.write_text(json.dumps(config))
        s.start()
        s.until_equal()
        until(lambda: s.mapping_status()["oldest_pending_s"] is None, "nothing waits any more")
        assert metric(port, "server_up", server="web") == 1


def test_a_port_that_is_taken_ends_the_start_with_one_line(tmp_path: Path, port: int) -> None:
    with socket.socket() as other, running("pyftpdlib") as server, site(server, tmp_path) as s:
        other.bind(("127.0.0.1", port))
        other.listen()
        set_keys(s, control={"http": f"127.0.0.1:{port}"})
        done = s.command("run", ok=False)
        assert done.returncode == 75
        assert f"cannot be offered on 127.0.0.1:{port}: Address already in use" in done.stderr
        assert "Traceback" not in done.stderr
