"""``python -m benchmarks.plain put|delete``: what one writes with ftplib alone in an afternoon, done properly.

Some threads with a connection each; every file is stored under a temporary name, renamed, and dated. The account
comes from the environment (``PLAIN_HOST``, ``PLAIN_PORT``, ``PLAIN_USER``, ``PLAIN_PASSWORD``).
"""

from __future__ import annotations

import argparse
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from ftplib import FTP, error_perm
from pathlib import Path

Job = Callable[[FTP], None]


def connect() -> FTP:
    """Log in."""
    ftp = FTP()  # noqa: S321 - that is what is measured
    ftp.connect(os.environ["PLAIN_HOST"], int(os.environ["PLAIN_PORT"]), timeout=60)
    ftp.login(os.environ["PLAIN_USER"], os.environ["PLAIN_PASSWORD"])
    return ftp


def date_command(ftp: FTP) -> str:
    """How this server is told a modification time (vsftpd has no MFMT)."""
    return "MFMT" if "MFMT" in ftp.sendcmd("FEAT").upper() else "MDTM"


def put(local: Path, remote: str, dating: str) -> Job:
    """A job that publishes one file."""

    def job(ftp: FTP) -> None:
        temporary = f"{remote}.part"
        with local.open("rb") as file:
            ftp.storbinary(f"STOR {temporary}", file)
        ftp.rename(temporary, remote)
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(local.stat().st_mtime))
        ftp.sendcmd(f"{dating} {stamp} {remote}")

    return job


def delete(remote: str) -> Job:
    """A job that deletes one file."""

    def job(ftp: FTP) -> None:
        ftp.delete(remote)

    return job


def work_off(jobs: Iterable[Job], first: FTP, connections: int) -> None:
    """Do all jobs, the first connection being there already; raises the first error."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    errors: list[Exception] = []

    def worker(ftp: FTP | None) -> None:
        try:
            ftp = ftp or connect()
            with suppress(queue.Empty):
                while not errors:
                    waiting.get_nowait()(ftp)
            ftp.quit()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=worker, args=(ftp,)) for ftp in [first, *[None] * (connections - 1)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def remote_files(ftp: FTP, directory: str) -> list[str]:
    """The files in the subdirectories of a directory, with their paths."""
    found: list[str] = []
    for each in ftp.nlst(directory):
        folder = f"{directory}/{each.rpartition('/')[2]}"
        found += [f"{folder}/{name.rpartition('/')[2]}" for name in ftp.nlst(folder)]
    return found


def main() -> None:
    """Put or delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("put", "delete"))
    parser.add_argument("local", type=Path)
    parser.add_argument("remote")
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    ftp = connect()
    if options.action == "delete":
        jobs = [delete(path) for path in remote_files(ftp, options.remote)]
    else:
        files = sorted(path for path in options.local.rglob("*") if path.is_file())
        folders = {str(path.parent.relative_to(options.local)) for path in files} - {"."}
        for folder in ["", *sorted(folders)]:
            with suppress(error_perm):
                ftp.mkd(f"{options.remote}/{folder}".rstrip("/"))
        dating = date_command(ftp)
        jobs = [put(path, f"{options.remote}/{path.relative_to(options.local)}", dating) for path in files]
    work_off(jobs, ftp, options.connections)


if __name__ == "__main__":
    main()
