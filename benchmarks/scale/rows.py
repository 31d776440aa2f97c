"""The rows of the table: what is measured, how much of it, and what is to be reached. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.scale.record import OURS, Statistic

SHELL = "inotifywait + curl"
LSYNCD = "lsyncd + curl"


@dataclass(frozen=True)
class Term:
    """One number of the results."""

    quantity: str
    program: str = OURS
    row: str = ""
    """Another row's; empty: the same."""
    variant: str = ""
    statistic: Statistic = "median"


@dataclass(frozen=True)
class Target:
    """An upper bound of a number, or of its ratio or its difference to another one of the same run."""

    words: str
    term: Term
    bound: float
    beside: Term | None = None
    by: Literal["value", "ratio", "difference"] = "value"


@dataclass(frozen=True)
class Row:
    """One thing to measure."""

    key: str
    title: str
    says: str
    """What was done, for the reader of the table."""
    targets: tuple[Target, ...]


ROWS = (
    Row(
        "close",
        "From close() to published",
        "A new file of 50 KB every {interval_ms} ms, {files} files in each repetition; from before its close() to the"
        " moment at which the complete file has its final name in the server's folder. The connection is warm. Server:"
        " {server}.",
        (
            Target("median, `settle: 0s`", Term("latency_ms"), 0.5, Term("latency_ms", SHELL), "ratio"),
            Target("p99, `settle: 0s`", Term("latency_ms", statistic="p99"), 250.0),
            Target(
                "median beyond the default settle",
                Term("beyond_settle_ms"),
                0.5,
                Term("latency_ms", SHELL),
                "ratio",
            ),
            Target("p99 beyond the default settle", Term("beyond_settle_ms", statistic="p99"), 250.0),
        ),
    ),
    Row(
        "start",
        "Start with unchanged files",
        "{files:,} files in {directories:,} directories, in memory, all of them in the ledger (filled through the"
        " product's own ledger module, not by publishing); from the start of the process until its status says"
        " `in_sync`. Beside it `find ROOT -printf '%s %T@ %p'`, its output thrown away.",
        (
            Target(
                "time, beside find's",
                Term("start_s", variant="large"),
                6.0,
                Term("start_s", "find", variant="large"),
                "ratio",
            ),
            Target(
                "CPU, beside find's",
                Term("cpu_s", variant="large"),
                6.0,
                Term("cpu_s", "find", variant="large"),
                "ratio",
            ),
            Target("peak memory", Term("peak_mib", variant="large"), 200.0),
            Target(
                "ten times the files, time",
                Term("start_s", variant="large"),
                11.0,
                Term("start_s", variant="small"),
                "ratio",
            ),
        ),
    ),
    Row(
        "change",
        "One change in that tree",
        "One new file in a directory of a running daemon's tree of {files:,} files; CPU time of the whole process, its"
        " idling included, from before the change until one second after it was published.",
        (
            Target("CPU", Term("cpu_ms", variant="large"), 100.0),
            Target(
                "CPU, beside a tree of a tenth",
                Term("cpu_ms", variant="large"),
                1.5,
                Term("cpu_ms", variant="small"),
                "ratio",
            ),
        ),
    ),
    Row(
        "idle",
        "Idle with that tree",
        "Nothing happens for {seconds:g} s; {files:,} files, no rescan in this time.",
        (Target("CPU", Term("cpu_pct"), 0.2),),
    ),
    Row(
        "burst",
        "A burst of new files",
        "{files:,} files of 2 KB created as fast as possible in {directories} directories below a running daemon with"
        " the default settle; from the first file's creation until the last is published. Beside it programs that are"
        " started on the finished tree, with the same number of connections. Server: {server}.",
        (
            Target("time, beside lftp's", Term("done_s"), 1.1, Term("done_s", "lftp"), "ratio"),
            Target("peak memory", Term("peak_mib"), 200.0),
            Target("files missing or different", Term("wrong", statistic="max"), 0.0),
            Target("files published twice", Term("twice", statistic="max"), 0.0),
        ),
    ),
    Row(
        "flat",
        "One flat directory",
        "{present:,} files in one directory, and a new one of 50 KB every {interval_ms} ms, {files} in each repetition;"
        " as in the first row, `settle: 0s`.",
        (
            Target(
                "median, more than in the first row",
                Term("latency_ms"),
                50.0,
                Term("latency_ms", row="close"),
                "difference",
            ),
        ),
    ),
    Row(
        "huge",
        "One very large file",
        "A file of {gib:g} GiB on loopback, to the server's disk. Memory once a tenth was sent, and at the end. On the"
        " link: {link_gib:g} GiB over an emulated line of 1 Gbit/s, beside curl; sending is what the history"
        " says of it, for curl the whole process.",
        (
            Target("growth of memory", Term("growth_mib", statistic="max"), 2.0),
            Target("steps of progress that were seen, fewer than 3 (1: yes)", Term("blind", statistic="max"), 0.0),
            Target("sending on the link, beside curl's", Term("sending_s"), 1.05, Term("sending_s", "curl"), "ratio"),
        ),
    ),
    Row(
        "many",
        "Many mappings",
        "{mappings} mappings over {servers} servers, each with one published file; from the start of the process until"
        " all are `in_sync`. Then a file appears in each at once. The bound of threads is what"
        " [architecture.md](architecture.md) says: three for each mapping, the connections, and {others} others.",
        (
            Target("start, s", Term("start_s"), 3.0),
            Target("threads beyond those configured", Term("threads_beyond", statistic="max"), 0.0),
            Target("connections beyond those configured", Term("connections_beyond", statistic="max"), 0.0),
        ),
    ),
    Row(
        "churn",
        "Steady churn",
        "{rate} files each second for {minutes:g} minutes: half of them new, a quarter overwritten, a quarter deleted,"
        " so that the tree keeps its size after the first minutes. A line is fitted through the samples of the last two"
        " thirds; its rise over that time is growth, the samples' standard deviation around it is noise.",
        (
            Target("memory, growth in units of noise, or of 1 MiB if that is more", Term("rss_growth"), 2.0),
            Target("descriptors, the same with a unit of 1", Term("descriptors_growth"), 2.0),
            Target("threads, the same with a unit of 1", Term("threads_growth"), 2.0),
        ),
    ),
    Row(
        "rename",
        "Rename of a directory",
        "A published directory with {files:,} files gets another name. Inodes at the server tell whether it was renamed"
        " or sent again.",
        (
            Target("files sent again", Term("sent_again", statistic="max"), 0.0),
            Target("directories made anew", Term("made_anew", statistic="max"), 0.0),
            Target("renames in the history, beyond one", Term("renames_beyond", statistic="max"), 0.0),
        ),
    ),
    Row(
        "commands",
        "Commands",
        "Wall time of a whole process, the daemon of {mappings} mapping running for `status`.",
        (
            Target("`ftpsyncd --version`", Term("version_ms"), 150.0),
            Target("`ftpsyncd status`", Term("status_ms"), 150.0),
            Target("`ftpsyncd status`, no daemon", Term("offline_status_ms"), 150.0),
        ),
    ),
)


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    repeat: int = 3
    latency_files: int = 100
    settle_files: int = 20
    directories: int = 10_000
    files_each: int = 100
    changes: int = 10
    idle_s: float = 60.0
    burst_files: int = 50_000
    burst_directories: int = 500
    flat_files: int = 200_000
    huge_gib: float = 10.0
    link_gib: float = 1.0
    mappings: int = 100
    servers: int = 10
    churn_s: float = 1800.0
    churn_rate: int = 20
    renamed_files: int = 10_000
    commands: int = 10


FULL = Sizes()
QUICK = Sizes(
    repeat=1,
    latency_files=20,
    settle_files=5,
    directories=500,
    changes=3,
    idle_s=5.0,
    burst_files=1_000,
    burst_directories=20,
    flat_files=10_000,
    huge_gib=0.5,
    link_gib=0.125,
    mappings=20,
    servers=4,
    churn_s=15.0,
    renamed_files=500,
    commands=3,
)
