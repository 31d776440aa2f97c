"""Sending, fetching and deleting files on FTP and FTPS servers: usable on its own, and all that the daemon needs.

    from pathlib import Path
    from ftpsyncd.specs import ServerSpec
    from ftpsyncd.remote import connect

    server = ServerSpec("web", "ftp.example.com", "publisher", password=lambda: "…")
    with connect(server) as ftp:
        ftp.make_dirs("/htdocs/gallery")
        ftp.upload(Path("a.jpg"), "/htdocs/gallery/a.jpg")

docs/library.md has an example of each call. Read on in this order:

- what a session can do: `port`; one of them: `account` (what all of an account share), `described` (what a program says
  of it), `login`, `session` (commands), `pool` (kept open), `throttle` (their bandwidth);
- sockets: `wire` (the control line), `addresses` and `hello` (its beginning), `agreeing`, `opening`, `data` and
  `parting` (data connections), `sockets`, `tls` and `pem`;
- commands and answers: `saying`, `lengths` and `undecoded` (what can be said), `unmet` (when), `standing` (where),
  `replies`, `verdicts`, `facts` and `listings` (what is meant);
- publishing: `upload` (the cycle), `outgoing` (one file in it), `verifying` (is it complete?), `sending`, `pour` and
  `crowded` (its content), `dating`, `renaming`, `resume` and `hashes`;
- all else: `looking`, `directories` and `whole` (what is there), `transfer` (fetching), `making`, `removing`;
- what servers are like: `profile`, `keeping` (what of it is kept), `trials`, `naming`, `reaching` and `scratch` (what
  is found out by trying, and what that leaves);
- without a daemon: `library`, with `arguments`, `line`, `dispatch` and `localfile` (sending), `landing`, `arrival` and
  `folders` (where downloads land), `trees`, `fetchtree` and `deletetree` (whole directories), `remedies`;
- for tests: `memory` (a server in memory), `memorytree` and `memoryupload`.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftpsyncd.remote.account import Account
    from ftpsyncd.remote.landing import Fetched
    from ftpsyncd.remote.library import Ftp, connect
    from ftpsyncd.remote.memory import MemoryServer
    from ftpsyncd.remote.pool import Pool
    from ftpsyncd.remote.port import Connector, PublishJob, PublishResult, RemoteEntry, RemoteSession
    from ftpsyncd.remote.trees import Step, TreeResult

__all__ = [
    "Account",
    "Connector",
    "Fetched",
    "Ftp",
    "MemoryServer",
    "Pool",
    "PublishJob",
    "PublishResult",
    "RemoteEntry",
    "RemoteSession",
    "Step",
    "TreeResult",
    "connect",
]

_HOMES = MappingProxyType(
    {
        "Account": "account",
        "Connector": "port",
        "Fetched": "landing",
        "Ftp": "library",
        "MemoryServer": "memory",
        "Pool": "pool",
        "PublishJob": "port",
        "PublishResult": "port",
        "RemoteEntry": "port",
        "RemoteSession": "port",
        "Step": "trees",
        "TreeResult": "trees",
        "connect": "library",
    }
)
"""The module of each name: loaded when it is asked for, since the daemon needs few of them."""


if not TYPE_CHECKING:
    # For type checkers it would make a name of anything: a typing mistake in a program would be right.

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
