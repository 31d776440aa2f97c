"""Programs that write slowly, with a quiet time far below their pauses: nothing goes out before the last byte."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site, Spy, contents, digest, site, tools_missing
from tests.figures import Figures
from tests.servers import running
from tests.waiting import until

pytestmark = pytest.mark.real_server
SETTLE_S = 0.2
BLOCK = bytes(range(256)) * 1000
OLD_S = 1_300_000_000
IN_2090_S = 3_800_000_000
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

_PAUSES = """
import sys, time
with open(sys.argv[1], "wb", buffering=0) as file:
    file.write(bytes(range(256)) * 1000)
    time.sleep(5)
    file.write(bytes(range(256)) * 1000)
"""
# smbd: opens, sets the size, writes in pieces wherever the client is, sets the dates, closes.
_SAMBA = """
import os, sys, time
block = bytes(range(256)) * 1000
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 4 * len(block))
for part in (1, 0, 3, 2):
    time.sleep(0.8)
    os.pwrite(fd, block, part * len(block))
os.utime(fd, (1300000000, 1300000000))
time.sleep(0.8)
os.close(fd)
"""
# nfsd without a file cache: opens and closes the file for each piece; the client sets the date at the end.
_NFS = """
import os, sys, time
block = bytes(range(256)) * 1000
with open(sys.argv[1], "wb"):
    pass
os.truncate(sys.argv[1], 40 * len(block))
for part in range(40):
    fd = os.open(sys.argv[1], os.O_WRONLY)
    os.pwrite(fd, block, part * len(block))
    os.close(fd)
    time.sleep(0.02)
os.utime(sys.argv[1], (1300000000, 1300000000))
"""
# Renders into memory that is mapped; the descriptor is closed long before.
_MAPPED = """
import mmap, sys, time
block = bytes(range(256)) * 1000
with open(sys.argv[1], "wb+") as file:
    file.truncate(2 * len(block))
    mapped = mmap.mmap(file.fileno(), 0)
mapped[: len(block)] = block
time.sleep(3)
mapped[len(block) :] = block
mapped.close()
"""


class Slow(http.server.BaseHTTPRequestHandler):
    """Sends a body in two halves, with a pause between them that is longer than any quiet time here."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(2 * len(BLOCK)))
        self.end_headers()
        self.wfile.write(BLOCK)
        self.wfile.flush()
        time.sleep(3)
        self.wfile.write(BLOCK)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def slow_download() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Writer:
    """A program that makes one file."""

    name: str
    words: list[str | Path]
    before: bytes = b""
    """What was there and published before."""
    started: float = 0.0
    ended: float = 0.0
    visible: float = 0.0

    def run(self) -> None:
        """Until it has ended."""
        self.started = time.monotonic()
        subprocess.run(self.words, check=True, capture_output=True)
        self.ended = time.monotonic()


def python(code: str, path: Path) -> list[str | Path]:
    return [sys.executable, "-c", code, path]


def writers(s: Site, url: str) -> list[Writer]:
    """Those whose programs are there."""
    drop = s.drop
    found = [
        Writer("paused.mp4", python(_PAUSES, drop / "paused.mp4")),
        Writer("samba.mov", python(_SAMBA, drop / "samba.mov")),
        Writer("nfs.mov", python(_NFS, drop / "nfs.mov")),
        Writer("mapped.raw", python(_MAPPED, drop / "mapped.raw")),
    ]
    if not tools_missing("curl"):
        found.append(Writer("download.zip", ["curl", "-sS", "-o", drop / "download.zip", url]))
    if not tools_missing("ffmpeg"):
        # In real time, so that the encoder pauses as one that is fed by a camera does; the index is moved at the end.
        picture = "testsrc=size=320x240:rate=10:duration=4"
        options = ["-movflags", "+faststart", "-y"]
        found.append(Writer("film.mp4", ["ffmpeg", "-re", "-f", "lavfi", "-i", picture, *options, drop / "film.mp4"]))
    if not tools_missing("rsync"):
        (s.base / "source.bin").write_bytes(os.urandom(2_000_000))
        before = bytes(1_000_000)
        (drop / "inplace.bin").write_bytes(before)
        ends: list[str | Path] = [s.base / "source.bin", drop / "inplace.bin"]
        found.append(Writer("inplace.bin", ["rsync", "--inplace", "--no-whole-file", "--bwlimit=700", *ends], before))
    return found


@pytest.mark.timeout(180)
def test_programs_that_pause_for_longer_than_the_quiet_time_are_waited_for(
    tmp_path: Path, report: Callable[[str], None], figures: Figures
) -> None:
    with (
        running("vsftpd") as server,
        slow_download() as url,
        site(server, tmp_path, settle=f"{SETTLE_S}s") as s,
    ):
        s.published.mkdir()
        s.published.chmod(0o777)
        at_work = writers(s, url)
        s.start()
        s.until_equal()
        with Spy(s.published) as spy:
            spy.until_seen_all()
            threads = [threading.Thread(target=writer.run) for writer in at_work]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            s.until_equal()
            spy.until_seen_all()
        final = {os.fsdecode(path): held for path, held in contents(s.drop).items()}
        assert final.keys() == {writer.name for writer in at_work}
        for writer in at_work:
            assert writer.ended > 0, f"{writer.name}: its program failed"
            allowed = {final[writer.name]} | ({digest(writer.before)} if writer.before else set())
            assert spy.seen[writer.name] == allowed, writer.name
            assert writer.ended - writer.started > 4 * SETTLE_S, f"{writer.name} was no slow writer"
        receipts = [line for line in s.log().splitlines() if "drop: published" in line]
        before = sum(bool(writer.before) for writer in at_work)
        assert len(receipts) == len(at_work) + before, "each was published once"
    report(", ".join(f"{w.name} {w.ended - w.started:.1f} s" for w in at_work))
    figures.tell("G2", "slow writers (settle 0.2 s)", ", ".join(sorted(writer.name for writer in at_work)))
    figures.tell("G2", "files published before their writer had ended", 0, limit=0)
    figures.tell("G2", "longest pause with the file open", 5, unit="s")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives up what root may do, and makes files of somebody else")
@pytest.mark.skipif(tools_missing("setpriv") != "", reason=tools_missing("setpriv"))
def test_without_the_right_to_leases_the_quiet_time_decides(tmp_path: Path, figures: Figures) -> None:
    with running("vsftpd") as server, site(server, tmp_path, settle="1s") as s:
        s.program = (*POWERLESS, sys.executable, "-m", "ftpsyncd")
        s.start()
        with Spy(s.published) as spy, (s.drop / "a.mov").open("wb", buffering=0) as file:
            os.chown(s.drop / "a.mov", 65534, 65534)
            began = time.monotonic()
            for _ in range(20):
                file.write(BLOCK)
                time.sleep(0.1)
            wrote_s = time.monotonic() - began
            # Open all the time: its owner being somebody else, nobody can tell, and the quiet time has to do.
            until((s.published / "a.mov").exists, "it is published although it is open", 60)
            s.until_equal()
            spy.until_seen_all()
        assert wrote_s > 1.5
        assert spy.seen == {"a.mov": {digest(BLOCK * 20)}}
        # One of its own is waited for, also without the right.
        with (s.drop / "mine.mov").open("wb", buffering=0) as file:
            file.write(BLOCK)
            until(lambda: "open for writing" in s.mapping_status()["message"], "it is waited for", 60)
            assert not (s.published / "mine.mov").exists()
        s.until_equal()
    figures.tell("G2", "files of another owner published before the quiet time, without CAP_LEASE", 0, limit=0)


def test_dates_in_the_future_and_the_past_and_things_that_are_no_files(tmp_path: Path) -> None:
    with running("vsftpd") as server, site(server, tmp_path, settle=f"{SETTLE_S}s") as s:
        os.mkfifo(s.drop / "fifo.jpg")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(os.fspath(s.drop / "s.jpg"))
        if os.geteuid() == 0:
            # /dev/full: reading it never ends.
            os.mknod(s.drop / "device.jpg", 0o020666, os.makedev(1, 7))
        (s.drop / "future.jpg").write_bytes(b"future" * 100)
        os.utime(s.drop / "future.jpg", (IN_2090_S, IN_2090_S))
        s.start()
        (s.drop / "past.jpg").write_bytes(b"past" * 100)
        os.utime(s.drop / "past.jpg", (OLD_S, OLD_S))
        (s.drop / "future2.jpg").write_bytes(b"future" * 200)
        os.utime(s.drop / "future2.jpg", (IN_2090_S, IN_2090_S))
        # By their names: a file that was given its date after it had come to rest is on its way a second time.
        published = {b"future.jpg", b"past.jpg", b"future2.jpg"}
        until(lambda: contents(s.published).keys() == published, "the files are published", 60)
        s.until_state("in_sync")
        assert contents(s.published).keys() == published
        assert (s.published / "past.jpg").stat().st_mtime == OLD_S
        assert "it is a FIFO, which is never published" in s.command("why", s.drop / "fifo.jpg", ok=False).stdout
        # A FIFO that turns into a file is one.
        (s.drop / "fifo.jpg").unlink()
        (s.drop / "fifo.jpg").write_bytes(b"a file now" * 100)
        until((s.published / "fifo.jpg").exists, "it is published", 60)
        shutil.rmtree(s.drop)
