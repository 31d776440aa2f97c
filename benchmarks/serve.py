"""``python -m benchmarks.serve KIND``: a real FTP server that runs until standard input closes.

Prints where it is as one line of JSON (the fields of `servers.Site`). A process of its own, so that it can run in
another network namespace; the servers themselves are those of the tests.
"""

from __future__ import annotations

import argparse
import gzip
import json
import signal
import sys
from pathlib import Path

from tests.servers import ANY_PORTS, KINDS, PASSWORD, USER, certificates, running


def version(pid: int) -> str:
    """Debian's version of a running daemon, from the changelog that lies beside it; "unknown" without one."""
    program = Path(f"/proc/{pid}/exe").readlink()
    for name in (program.name, f"{program.name}-core"):
        changelog = program.parents[1] / f"share/doc/{name}/changelog.Debian.gz"
        if changelog.exists():
            with gzip.open(changelog, "rt") as lines:
                return next(lines).split("(")[1].partition(")")[0]
    return "unknown"


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--tls", choices=("off", "explicit"), default="off")
    parser.add_argument("--home", type=Path, required=True, help="what the account sees as /")
    options = parser.parse_args()
    # Ctrl-C reaches the whole foreground group; the end comes from the caller, who still compares.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with running(options.kind, tls=options.tls, home=options.home, host=options.host, data_ports=ANY_PORTS) as server:
        ca = certificates().ca if options.tls != "off" else None
        site = {
            "kind": options.kind,
            "version": version(server.pid),
            "tls": options.tls,
            "host": server.host,
            "port": server.port,
            "user": USER,
            "password": PASSWORD,
            "tls_ca": str(ca) if ca else None,
            "home": str(server.home),
        }
        sys.stdout.write(json.dumps(site) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
