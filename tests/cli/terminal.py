"""What a person at a terminal has: a configuration, a screen of some width; and snapshots of what it shows."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from rich.console import Console, RenderableType

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


def drawn(picture: RenderableType, width: int) -> str:
    """What a view looks like on a terminal of this width, without colours and trailing blanks."""
    paper = StringIO()
    screen = Console(file=paper, width=width, color_system=None, markup=False, highlight=False, emoji=False)
    screen.print(picture)
    text = paper.getvalue()
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def check_snapshot(name: str, text: str) -> None:
    """Compare with the file of this name; FTPSYNCD_SNAPSHOTS=write renews it, to be read before it is committed."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("FTPSYNCD_SNAPSHOTS") == "write":
        path.write_text(text)
    assert text == path.read_text()
