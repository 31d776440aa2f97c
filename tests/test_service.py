"""One pass in this process: it ends when there is nothing left to do, not when somebody happens to look."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ftpsyncd import engine, service
from ftpsyncd.config import load
from ftpsyncd.service import Service
from tests.servers import PASSWORD, USER, running


@pytest.mark.parametrize("files", [0, 3])
def test_the_end_of_a_pass_is_told(files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "STATUS_EVERY_S", 120.0)
    monkeypatch.setattr(service, "LOOK_AGAIN_S", 120.0)
    monkeypatch.setenv("FTP_PASSWORD", PASSWORD)
    (tmp_path / "in").mkdir()
    for i in range(files):
        (tmp_path / f"in/{i}.jpg").write_bytes(b"picture")
    with running("pyftpdlib") as server:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: {USER}, tls: 'off',"
            " password: {env: FTP_PASSWORD}}}\n"
            f"mappings: {{m: {{local: {tmp_path}/in, remote: 'web:/m', settle: 0s}}}}\nstate_dir: {tmp_path}/state\n"
        )
        one = Service(load(config), one_pass=True)
        one.start()
        try:
            began = time.monotonic()
            assert one.await_end(120).finished
            assert time.monotonic() - began < 60
            assert one.progress().files_done == files
        finally:
            one.stop()
