"""What a person at a terminal has: a configuration, a screen of some width; and snapshots of what it shows."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from rich.console import Console, RenderableType

from ftpsyncd.config import load
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.model import Failure
from ftpsyncd.specs import destination

SNAPSHOTS = Path(__file__).parent / "snapshots"

CONFIG = """\
servers:
  web: {{host: 127.0.0.1, port: {port}, user: ftpu, password: secret, tls: "off", timeout: 5s}}
mappings:
  gallery: {{local: {root}/gallery, remote: "web:/gallery", settle: 0s}}
  shop: {{local: {root}/shop, remote: "web:/shop"}}
state_dir: {root}/state
control: {{socket: {root}/control.sock}}
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def write_config(root: Path, *, port: int) -> Path:
    """Write the usual configuration, with the server at a port of loopback."""
    path = root / "config.yaml"
    path.write_text(CONFIG.format(root=root, port=port))
    path.chmod(0o600)
    return path


def park(config_file: Path, path: str, error: FtpsyncdError, mapping: str = "gallery") -> None:
    """Have the ledger know that a file of a mapping, as it is now, has failed a moment ago and is parked."""
    fail(config_file, path, error, parked=True, mapping=mapping)


def fail(
    config_file: Path,
    path: str,
    error: FtpsyncdError,
    *,
    next_try_ns: int = 0,
    parked: bool = False,
    mapping: str = "gallery",
) -> None:
    """Have the ledger know that a file of a mapping, as it is now, has failed a moment ago."""
    config = load(config_file)
    spec = config.mappings[mapping]
    failure = Failure(
        fingerprint_of((spec.local / path).stat()),
        attempts=1,
        parked=parked,
        next_try_ns=next_try_ns,
        kind=type(error).__name__,
        message=error.message,
        reply="",
        remedy=error.remedy,
        failed_ns=time.time_ns(),
    )
    config.state_dir.mkdir(exist_ok=True)
    with Ledger(config.state_dir / LEDGER) as ledger:
        ledger.failures.put(
            ledger.mappings.number(spec.name, destination(spec, config.servers[spec.server])), path, failure
        )


def drawn(picture: RenderableType, width: int) -> str:
    """What a view looks like on a terminal of this width, without colours and trailing blanks."""
    lines = _lines(picture, width)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def longest(picture: RenderableType, width: int) -> int:
    """The columns of the longest line of a view on a terminal of this width, with its trailing blanks."""
    return max(map(len, _lines(picture, width)))


def _lines(picture: RenderableType, width: int) -> list[str]:
    paper = StringIO()
    screen = Console(file=paper, width=width, color_system=None, markup=False, highlight=False, emoji=False)
    screen.print(picture, crop=False)
    return paper.getvalue().splitlines()


def on_a_terminal(
    *words: object,
    width: int = 80,
    height: int = 30,
    until: str = "",
    by: signal.Signals = signal.SIGINT,
    **environ: str,
) -> str:
    """What a command, with the configuration as its last word, writes on a terminal.

    Args:
        words: the command line; the last one is the configuration.
        width: columns.
        height: rows.
        until: end it once this has been written; empty: it ends by itself.
        by: how it is ended, with Ctrl-C for instance.
        environ: variables besides the usual ones.
    """
    *command, config = map(str, words)
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "ftpsyncd", *command, "-c", config],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={
            **{k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}},
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            **environ,
        },
        start_new_session=True,
    )
    os.close(slave)
    written = b""
    ended = threading.Timer(60, process.kill)
    ended.start()
    try:
        while chunk := _read(master):
            written += chunk
            if until and until in written.decode(errors="replace"):
                process.send_signal(by)
                until = ""
        process.wait()
    finally:
        ended.cancel()
        ended.join()
        os.close(master)
    return written.decode(errors="replace")


_CONTROLS = re.compile(r"\x1b\[\??([0-9;]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]")


def shown(written: str, width: int) -> list[str]:
    """The lines that are on a terminal in the end, and above it, without their blanks at the end.

    It knows what pictures need that are drawn over: to go up, back to the beginning of a line, and to empty one.
    """
    rows: list[list[str]] = [[]]
    row = column = 0
    for found in _CONTROLS.finditer(written):
        match found[2], found[0]:
            case "A", _:
                row = max(0, row - int(found[1] or 1))
            case "K", _:
                rows[row] = []
            case (None, "\r"):
                column = 0
            case (None, "\n"):
                row += 1
            case (None, sign):
                if column == width:
                    row, column = row + 1, 0
                rows += [[] for _ in range(row + 1 - len(rows))]
                rows[row] += " " * (column + 1 - len(rows[row]))
                rows[row][column] = sign
                column += 1
            case _:
                pass
        rows += [[] for _ in range(row + 1 - len(rows))]
    lines = ["".join(each).rstrip() for each in rows]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _read(descriptor: int) -> bytes:
    """What a terminal was sent; nothing once nobody has its other end open."""
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO (pty(7))
        return b""


def check_snapshot(name: str, text: str) -> None:
    """Compare with the file of this name; FTPSYNCD_SNAPSHOTS=write renews it, to be read before it is committed."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("FTPSYNCD_SNAPSHOTS") == "write":
        path.write_text(text)
    assert text == path.read_text()
