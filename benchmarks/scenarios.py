"""What is measured, and what is to be reached: data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from benchmarks.contenders import OURS, Action
from benchmarks.least import INITIAL_WINDOW
from benchmarks.trees import TreeSpec

GIB = 1 << 30
MIB = 1 << 20
MIRRORS = (OURS, "lftp", "rclone", "ftplib")
DAEMONS = ("vsftpd", "proftpd", "pure-ftpd")


@dataclass(frozen=True)
class Target:
    """A bound of the ratio ours ÷ theirs of medians; theirs is the best of the peers'.

    ``rate`` is the ratio of transfer rates, theirs ÷ ours of wall times, and a lower bound.
    """

    quantity: Literal["time", "cpu", "rate"]
    peers: tuple[str, ...]
    bound: float
    servers: tuple[str, ...] = DAEMONS
    tls: tuple[str, ...] = ("off", "explicit")


@dataclass(frozen=True)
class Scenario:
    """One thing to measure, with each of some servers."""

    key: str
    title: str
    tree: TreeSpec
    connections: int
    rtt_ms: float | None
    """None: loopback."""
    servers: tuple[str, ...]
    contenders: tuple[str, ...] = MIRRORS
    tls: tuple[str, ...] = ("off",)
    action: Action = "upload"
    targets: tuple[Target, ...] = ()
    first_window: int = INITIAL_WINDOW
    """Packets that the clients' side sends before the first acknowledgement: the route's ``initcwnd`` (ip-route(8))."""
    gone_s: float = 0.0
    """For how long what is to be deleted has been gone when the contenders start."""
    unable: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """Contender and server that do not get on, and what happens: left out, and said so."""


_PICTURES = TreeSpec(files=500, smallest=5_000, largest=60_000, directories=20)

SCENARIOS = (
    Scenario(
        "a",
        "500 pictures of 5–60 KB in 20 directories, 50 ms round trip",
        _PICTURES,
        connections=8,
        rtt_ms=50,
        servers=DAEMONS,
        targets=(
            Target("time", ("lftp",), 0.50, servers=("proftpd", "pure-ftpd")),
            Target("time", ("lftp",), 0.60, servers=("vsftpd",)),
        ),
    ),
    Scenario(
        "b",
        "The same pictures, 5 ms round trip",
        _PICTURES,
        connections=8,
        rtt_ms=5,
        servers=DAEMONS,
        targets=(Target("time", ("lftp",), 0.70),),
    ),
    Scenario(
        "c",
        "One file of 1 GiB on loopback",
        TreeSpec(files=1, smallest=GIB, largest=GIB, suffix=".mp4"),
        connections=1,
        rtt_ms=None,
        servers=("vsftpd",),
        contenders=(OURS, "lftp", "curl", "openssl"),
        tls=("off", "explicit"),
        targets=(
            Target("time", ("lftp", "curl"), 1.0, tls=("off",)),
            Target("cpu", ("curl",), 1.3, tls=("off",)),
            Target("rate", ("lftp", "curl"), 0.9, tls=("explicit",)),
        ),
    ),
    Scenario(
        "d",
        "3,000 files of 20 KB on loopback",
        TreeSpec(files=3_000, smallest=20_000, largest=20_000, directories=20),
        connections=4,
        rtt_ms=None,
        servers=DAEMONS,
        contenders=(*MIRRORS, "bare"),
        targets=(Target("time", ("lftp",), 1.0),),
    ),
    Scenario(
        "e",
        "Deleting 5,000 files, 50 ms round trip",
        TreeSpec(files=5_000, smallest=100, largest=100, directories=20),
        connections=8,
        rtt_ms=50,
        servers=("proftpd",),
        action="delete",
        targets=(Target("time", ("lftp",), 0.1),),
        gone_s=11.0,  # the default of delete_after, and one more
    ),
    Scenario(
        "f",
        "The pictures of (a) over a route with `initcwnd 44`",
        _PICTURES,
        connections=8,
        rtt_ms=50,
        servers=DAEMONS,
        contenders=(OURS, "lftp"),
        first_window=44,
    ),
    Scenario(
        "g",
        "The pictures of (a) with TLS",
        _PICTURES,
        connections=8,
        rtt_ms=50,
        servers=DAEMONS,
        contenders=(OURS, "lftp"),
        tls=("explicit",),
        unable={
            ("lftp", "vsftpd"): "many of its uploads are answered with 426, and sent again without end",
        },
    ),
)


def quick(scenario: Scenario) -> Scenario:
    """A small version, to try things out with one server."""
    tree = scenario.tree
    files = {"a": 20, "b": 20, "c": 1, "d": 200, "e": 20, "f": 20, "g": 20}[scenario.key]
    size = min(tree.smallest, 64 * MIB), min(tree.largest, 64 * MIB)
    small = replace(tree, files=files, smallest=size[0], largest=size[1], directories=min(tree.directories, 4))
    return replace(scenario, tree=small, servers=("proftpd",), title=f"{scenario.title} (quick: {files} files)")
