"""``ftpsyncd probe``: the table, the document, what is stored and what is not; and that the daemon begins with it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.claim import SENDER, Claim
from ftpsyncd.config import load
from ftpsyncd.daemon.service import Service
from ftpsyncd.inspection.stage import Stage
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.remote.keeping import _READ
from ftpsyncd.remote.profile import Resuming
from tests.cli.terminal import write_config
from tests.servers import PASSWORD, USER, Server, running
from tests.waiting import until

SERVED = f"{USER}@127.0.0.1"


@pytest.fixture
def server():
    with running("pyftpdlib") as started:
        yield started


@pytest.fixture
def config(tmp_path: Path, server: Server) -> Path:
    for name in ("gallery", "shop"):
        (tmp_path / name).mkdir()
    return write_config(tmp_path, port=server.port)


def stored(config: Path, server: Server) -> dict[str, Any]:
    with Ledger(config.parent / "state" / "ledger.db", read_only=True) as ledger:
        return dict(json.loads(ledger.profile(f"{SERVED}:{server.port}") or "{}"))


def test_a_person_sees_a_table_and_it_is_stored(ftpsyncd, config, server):
    ended = ftpsyncd("probe", "web", "-c", config)
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert f"web: {SERVED}:{server.port}" in lines
    assert "resume REST, APPE" in lines
    assert "Stored" in lines[-1]
    assert PASSWORD not in ended.out
    assert stored(config, server)["learned"]["resuming"] == "REST"
    assert list(server.home.iterdir()) == []
    assert (config.parent / "state" / SENDER).exists(), "whose the ledger was, which is closed in order now"


def test_a_program_gets_one_document(ftpsyncd, config, server):
    ended = ftpsyncd("probe", "web", "--json", "--directory", "/elsewhere", "-c", config)
    document = json.loads(ended.out)
    assert document.keys() == {"server", "directory", "measures", "left", "profile", "stored", "message"}
    assert (document["server"], document["directory"], document["stored"]) == ("web", "/elsewhere", True)
    assert {measure["field"] for measure in document["measures"]} >= {"tls", "resume", "connections"}
    assert document["profile"]["dating"] == "MFMT"
    assert "MLST" in document["profile"]["features"]
    assert list(server.home.iterdir()) == []


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_ledger_that_is_lost_is_not_begun_anew_without_a_word(ftpsyncd, config, how):
    """The daemon found the new one in order: neither its log nor an alert told that the one before was lost."""
    ledger = config.parent / "state" / "ledger.db"
    assert ftpsyncd("probe", "web", "-c", config).code == 0
    ledger.unlink()
    if how == "empty":
        ledger.touch()
    ended = ftpsyncd("probe", "web", "--json", "-c", config)
    document = json.loads(ended.out)
    assert (ended.code, document["stored"]) == (0, False)
    assert str(ledger) in document["message"]
    service = Service(load(config))
    service.start()
    try:
        assert str(ledger) in service.engine.status.daemon.notice
    finally:
        service.stop()


def test_it_is_not_stored_while_somebody_has_the_ledger_who_cannot_be_told(ftpsyncd, config):
    with Claim(config.parent / "state"):
        ended = ftpsyncd("probe", "web", "--json", "-c", config)
    document = json.loads(ended.out)
    assert (ended.code, document["stored"]) == (0, False)
    assert "running ftpsyncd" in document["message"]
    assert "No daemon answers" in document["message"]
    assert not (config.parent / "state" / "ledger.db").exists()


def test_a_running_daemon_is_told_uses_it_and_keeps_it(ftpsyncd, config, server):
    service = Service(load(config))
    service.start()
    try:
        keeper = service.engine.servers["web"].keeper
        assert keeper is not None
        profile = keeper.profile
        # What ours alone can know stays; what was refused once and works now is used again.
        profile.renames, profile.overlapping, profile.cap = False, False, 2
        ended = ftpsyncd("probe", "web", "--json", "-c", config)
        document = json.loads(ended.out)
        assert (ended.code, document["stored"]) == (0, True)
        assert "running ftpsyncd" in document["message"]
        assert (profile.resuming, profile.renames) == (Resuming.REST, True)
        assert profile.overlapping is False
        assert service.engine.servers["web"].queue.gate.cap == load(config).servers["web"].connections
    finally:
        service.stop()
    assert stored(config, server)["learned"]["resuming"] == "REST"


def test_what_it_may_have_left_a_running_daemon_removes(ftpsyncd, config, server, monkeypatch):
    """A STOR that hung on a line comes when all has been cleaned up: that was forgotten with the measurement."""

    class Late(Stage):
        def clean(self) -> None:
            super().clean()
            late = f"{self.directory}/x.0a1b2c3d.filepart"
            self.account.profile.scratch = {f"DELE {late}": time.monotonic()}
            (server.home / late.strip("/")).parent.mkdir(exist_ok=True)
            (server.home / late.strip("/")).write_bytes(b"late")

    monkeypatch.setattr("ftpsyncd.inspection.probe.Stage", Late)
    service = Service(load(config))
    service.start()
    try:
        assert ftpsyncd("probe", "web", "-c", config).code == 0
        until(lambda: not list(server.home.rglob("*.filepart")))
    finally:
        service.stop()


def test_a_daemon_that_publishes_to_another_account_says_so(ftpsyncd, config):
    service = Service(load(config))
    service.start()
    try:
        config.write_text(config.read_text().replace("127.0.0.1", "localhost"))
        ended = ftpsyncd("probe", "web", "--json", "-c", config)
        document = json.loads(ended.out)
        assert (ended.code, document["stored"]) == (0, False)
        assert "publishes nothing to" in document["message"]
    finally:
        service.stop()


def test_the_daemon_begins_with_it_and_keeps_what_it_learns(ftpsyncd, config, server):
    ftpsyncd("probe", "web", "-c", config)
    service = Service(load(config), one_pass=True)
    service.start()
    try:
        keeper = service.engine.servers["web"].keeper
        assert keeper is not None
        profile = keeper.profile
        assert profile.resuming is Resuming.REST
        profile.renames = False
        (config.parent / "gallery" / "a.jpg").write_bytes(b"picture")
        assert service.await_end(30).finished
    finally:
        service.stop()
    document = stored(config, server)
    assert document["learned"]["renames"] is False
    assert "renames" in document["since"]


def test_a_cap_that_was_learned_is_where_the_daemon_begins(ftpsyncd, tmp_path):
    for name in ("gallery", "shop"):
        (tmp_path / name).mkdir()
    with running("pyftpdlib", max_clients=2) as small:
        config = write_config(tmp_path, port=small.port)
        assert ftpsyncd("probe", "web", "-c", config).code == 0
        service = Service(load(config), one_pass=True)
        service.start()
        try:
            assert service.engine.servers["web"].queue.gate.cap == 2
        finally:
            service.stop()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 2, "The configuration has: web."),
        (["web", "--directory", "relative"], 2, "absolute"),
        ([], 2, "SERVER"),
    ],
)
def test_wrong_words_are_told(ftpsyncd, config_file, words, code, said):
    ended = ftpsyncd("probe", *words, "-c", config_file)
    assert ended.code == code
    assert said in ended.err


def test_a_server_that_cannot_be_reached_is_75(ftpsyncd, config_file):
    ended = ftpsyncd("probe", "web", "-c", config_file)
    assert ended.code == 75
    assert "refused" in ended.err
    assert "then try again" in ended.err
    assert ended.out == ""


def test_a_directory_that_cannot_be_written_is_1_as_it_is_for_put(ftpsyncd, tmp_path):
    for name in ("gallery", "shop"):
        (tmp_path / name).mkdir()
    with running("pyftpdlib", writable=False) as locked:
        config = write_config(tmp_path, port=locked.port)
        ended = ftpsyncd("probe", "web", "--directory", "/", "-c", config)
        assert ftpsyncd("put", config, "web:/", "-c", config).code == 1
    assert ended.code == 1
    assert "550" in ended.err
    assert ended.err.splitlines()[-1] == "Name a directory that this account may write to with --directory."


def test_a_bad_configuration_is_78(ftpsyncd, config_file):
    config_file.write_text("servers: 7\n")
    assert ftpsyncd("probe", "web", "-c", config_file).code == 78


@pytest.mark.parametrize("name", sorted({*_READ, "face", "keeps", "features"}))
def test_every_field_of_the_profile_is_named_on_the_page(name):
    assert f"`{name}`" in (Path(__file__).parents[2] / "docs/servers.md").read_text()
