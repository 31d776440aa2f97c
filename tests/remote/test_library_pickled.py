"""What the library returns goes from one process to another: workers of `multiprocessing`, of Celery and the like."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from ftpsyncd.errors import AlreadyExistsError, ConfigError, MisuseError
from ftpsyncd.remote import PublishResult
from ftpsyncd.remote.library import Ftp
from ftpsyncd.remote.memory import MemoryServer
from tests.servers import PASSWORD, USER, running

WORKER = """
import pickle, sys
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.remote import connect
from ftpsyncd.specs import ServerSpec, TlsMode

port, user, secret, path, remote = sys.argv[1:]
with connect(ServerSpec("web", "127.0.0.1", user, int(port), lambda: secret, TlsMode.OFF)) as ftp:
    try:
        became = ftp.upload(path, remote, overwrite=False)
    except FtpsyncdError as error:
        became = error
sys.stdout.buffer.write(pickle.dumps(became))
"""


@pytest.mark.real_server
def test_a_worker_returns_what_became_of_an_upload(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    with running("pyftpdlib") as server:
        words = [sys.executable, "-c", WORKER, str(server.port), USER, PASSWORD, str(tmp_path / "a.jpg"), "/a.jpg"]
        result, refused = (
            pickle.loads(subprocess.run(words, check=True, capture_output=True, timeout=60).stdout) for _ in range(2)
        )
    assert isinstance(result, PublishResult)
    assert (result.job.path, result.job.size, result.error, result.dated) == ("/a.jpg", 7, None, True)
    assert len(result.sha256) == 32
    assert isinstance(refused, AlreadyExistsError)
    assert "/a.jpg" in refused.message


def test_a_result_tells_the_same_elsewhere_and_its_job_is_not_done_there(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    with Ftp(MemoryServer().connect()) as ftp:
        result = ftp.upload(tmp_path / "a.jpg", "/a.jpg")
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert isinstance(other, PublishResult)
        assert other[1:] == result[1:]
        told = [(name, value) for name, value in result.job._asdict().items() if not callable(value)]
        assert [(name, value) for name, value in other.job._asdict().items() if not callable(value)] == told
        with pytest.raises(MisuseError, match="another process"):
            other.job.open()


def test_errors_tell_the_same_elsewhere() -> None:
    error = ConfigError("a.yaml:1: one", "a.yaml:2: two", remedy="Mend it.")
    other = pickle.loads(pickle.dumps(error))
    assert (other.problems, other.remedy, str(other)) == (error.problems, error.remedy, str(error))
