"""A disk that fails in the middle of an upload: it is the file that cannot be read, whatever the kernel calls that."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import threading
from pathlib import Path

import pytest

from ftpsyncd.errors import LocalUnreadableError
from ftpsyncd.remote import connect
from tests.servers import available, running
from tests.userdisk import disk
from tests.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.real_server,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="needs root and /dev/fuse"),
]
CONTENT = bytes(range(256)) * (96 * 1024)  # 24 MiB: the kernel sends it
KINDS = [("vsftpd", "off"), ("pyftpdlib", "off"), ("proftpd", "explicit")]


@pytest.mark.parametrize(("kind", "tls"), KINDS)
def test_a_file_system_whose_program_dies_is_not_a_connection_that_broke(kind, tls, tmp_path):
    """The kernel says ENOTCONN then, as of a connection."""
    if not available(kind, tls):
        pytest.skip(f"no {kind}")
    with running(kind, tls=tls) as server, disk(tmp_path, CONTENT) as lost, connect(server.spec()) as ftp:

        def die(sent: int) -> None:
            if sent > 5_000_000:
                lost.die()

        with pytest.raises(LocalUnreadableError, match=r"cannot be read: (Transport|Software)"):
            ftp.upload(lost.file, "/f", progress=die)
        assert ftp.list("/") == []
        assert ftp.session.usable


@pytest.mark.parametrize("code", [errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.ECONNABORTED])
@pytest.mark.parametrize(("kind", "tls"), KINDS)
def test_nor_is_what_a_file_server_far_away_lacks(kind, tls, code, tmp_path):
    if not available(kind, tls):
        pytest.skip(f"no {kind}")
    with (
        running(kind, tls=tls) as server,
        disk(tmp_path, CONTENT, fails_at=20_000_000, code=code) as far,
        connect(server.spec()) as ftp,
    ):
        with pytest.raises(LocalUnreadableError, match=os.strerror(code)):
            ftp.upload(far.file, "/f")
        assert ftp.list("/") == []
        assert ftp.session.usable


def test_such_a_disk_ends_though_another_mount_namespace_has_it(tmp_path):
    """A server of another test may have been given one of its own meanwhile: the thread of the disk stayed."""
    before = set(threading.enumerate())
    with contextlib.ExitStack() as stack:
        with disk(tmp_path, CONTENT):
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 60"]
            other = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(other.kill)
            assert other.stdout is not None
            assert other.stdout.read(1) == b"\n"
        until(lambda: set(threading.enumerate()) <= before, "the disk's thread has ended")
