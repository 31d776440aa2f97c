"""Real FTP servers for the benchmark, at the far end of a network; started and ended by `serve`.

In: kind, TLS, the server's home. Out: `Site`, what a client must know to log in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.link import Network

ROOT = Path(__file__).parent.parent
REMOTE = "/site"
"""Where every contender publishes to; it does not exist beforehand."""


@dataclass(frozen=True)
class Site:
    """An account at a running server."""

    kind: str
    version: str
    tls: str
    host: str
    port: int
    user: str
    password: str
    tls_ca: Path | None
    home: Path

    @property
    def published(self) -> Path:
        """The directory REMOTE as it lies on the server's disk."""
        return self.home / REMOTE.strip("/")


def missing(kind: str) -> str:
    """Why a server cannot be started here; empty if it can."""
    from tests.servers import missing as reason  # noqa: PLC0415 - needs the tests, which a reader of results does not

    return reason(kind)


@contextmanager
def serving(kind: str, home: Path, network: Network, *, tls: str = "off") -> Iterator[Site]:
    """Run a server at the far end of a network."""
    home.mkdir(parents=True, exist_ok=True)
    module = (sys.executable, "-m", "benchmarks.serve", kind)
    process = subprocess.Popen(
        [*network.at_far, *module, "--host", network.far_address, "--tls", tls, "--home", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{kind} did not start")
        facts: dict[str, Any] = json.loads(line)
        ca = facts.pop("tls_ca")
        facts["home"] = Path(facts["home"])
        yield Site(**facts, tls_ca=Path(ca) if ca else None)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)
