"""The programs that are compared, each as the command line that does a `Job`, with its best settings.

In: `Job`. Out: `Command`. ftpsyncd runs with its default settings but for the number of connections (and, where
thousands of files are deleted, `max_deletes`, which exists to stop exactly that); its state is fresh every time.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Literal

from benchmarks.servers import REMOTE, Site

Action = Literal["upload", "delete"]
OURS = "ftpsyncd"


@dataclass(frozen=True)
class Job:
    """What is to be done once."""

    action: Action
    """delete: the source is empty now, what was published is to go."""
    source: Path
    site: Site
    connections: int
    work: Path
    """A directory of its own for settings and state."""


@dataclass(frozen=True)
class Command:
    """A command line and what its environment has besides the common part."""

    words: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """A program in the comparison."""

    name: str
    program: str
    """What must be there to run it."""
    command: Callable[[Job], Command]
    does: str
    """What it does for every file, for the reader of a table."""
    publishes: bool = True
    """It is compared; else it only shows what a part of the work takes."""

    @property
    def missing(self) -> str:
        """Why it cannot take part; empty if it can."""
        return "" if shutil.which(self.program) else f"{self.program} is not installed"


def environment(work: Path) -> dict[str, str]:
    """The environment of every contender: nothing of the caller's settings, and this checkout of ours.

    What is installed may be another one, as where several share an environment.
    """
    return {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "XDG_RUNTIME_DIR": str(work),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }


def ftpsyncd(job: Job) -> Command:
    """``ftpsyncd sync``: atomic, verified and dated."""
    site = job.site
    server = {
        "host": site.host,
        "port": site.port,
        "user": site.user,
        "password": {"env": "FTP_PASSWORD"},
        "tls": site.tls,
        "connections": job.connections,
    }
    if site.tls_ca:
        server["tls_ca"] = str(site.tls_ca)
    mapping: dict[str, object] = {"local": str(job.source), "remote": f"bench:{REMOTE}"}
    if job.action == "delete":
        mapping["max_deletes"] = 1_000_000
    config = job.work / "config.yaml"
    # JSON is YAML, too.
    config.write_text(
        json.dumps({"servers": {"bench": server}, "mappings": {"tree": mapping}, "state_dir": str(job.work / "state")})
    )
    words = [sys.executable, "-m", "ftpsyncd", "sync", "--config", str(config)]
    return Command(words, {"FTP_PASSWORD": site.password})


def lftp(job: Job) -> Command:
    """``lftp mirror -R``, commands sent ahead of replies (``ftp:sync-mode off``), no permissions set."""
    site = job.site
    settings = ["set cmd:fail-exit yes", "set ftp:sync-mode off", f"set net:connection-limit {job.connections}"]
    if site.tls_ca:
        settings += ["set ftp:ssl-force yes", "set ftp:ssl-protect-data yes", f"set ssl:ca-file {site.tls_ca}"]
    else:
        settings.append("set ftp:ssl-allow no")
    account = f"open -u {site.user},{site.password} -p {site.port} {site.host}"
    options = f"--parallel={job.connections} --no-perms" + (" --delete" if job.action == "delete" else "")
    mirror = f"mirror -R {options} {shlex.quote(str(job.source))} {REMOTE}"
    return Command(["lftp", "--norc", "-c", "; ".join([*settings, account, mirror])])


def rclone(job: Job) -> Command:
    """``rclone copy`` (``sync`` to delete); one connection more, which it needs not to block itself."""
    site = job.site
    environ = {
        "RCLONE_CONFIG": str(job.work / "rclone.conf"),
        "RCLONE_FTP_HOST": site.host,
        "RCLONE_FTP_PORT": str(site.port),
        "RCLONE_FTP_USER": site.user,
        "RCLONE_FTP_PASS": _output(["rclone", "obscure", site.password]),
        "RCLONE_FTP_CONCURRENCY": str(job.connections + 1),
    }
    (job.work / "rclone.conf").touch()
    parallel = str(job.connections)
    verb = "sync" if job.action == "delete" else "copy"
    options = ["--check-first", "--transfers", parallel, "--checkers", parallel]
    return Command(["rclone", verb, *options, str(job.source), f":ftp:{REMOTE}"], environ)


def ftplib(job: Job) -> Command:
    """Plain ftplib with threads; see `plain`."""
    site = job.site
    environ = {
        "PLAIN_HOST": site.host,
        "PLAIN_PORT": str(site.port),
        "PLAIN_USER": site.user,
        "PLAIN_PASSWORD": site.password,
    }
    script = str(Path(__file__).with_name("plain.py"))
    verb = "delete" if job.action == "delete" else "put"
    words = [sys.executable, "-P", script, verb, str(job.source), REMOTE, "--connections", str(job.connections)]
    return Command(words, environ)


def bare(job: Job) -> Command:
    """The same words in one loop, and nothing else; see `bare`."""
    words = [sys.executable, "-m", "benchmarks.bare", str(job.source), REMOTE, "--connections", str(job.connections)]
    return Command(words, ftplib(job).environ)


def curl(job: Job) -> Command:
    """``curl -T`` for a tree of one file."""
    site = job.site
    (file,) = (path for path in job.source.rglob("*") if path.is_file())
    netrc = job.work / "netrc"
    netrc.write_text(f"machine {site.host} login {site.user} password {site.password}\n")
    secure = ["--ssl-reqd", "--cacert", str(site.tls_ca)] if site.tls_ca else []
    url = f"ftp://{site.host}:{site.port}{REMOTE}/{file.relative_to(job.source)}"
    words = ["curl", "--disable", "--silent", "--show-error", "--netrc-file", str(netrc), "--ftp-create-dirs", *secure]
    return Command([*words, "--upload-file", str(file), url])


def openssl(job: Job) -> Command:
    """``openssl dgst -sha256`` of a tree of one file: what the hash in a receipt takes by itself."""
    (file,) = (path for path in job.source.rglob("*") if path.is_file())
    return Command(["openssl", "dgst", "-sha256", str(file)])


CONTENDERS: Mapping[str, Contender] = {
    each.name: each
    for each in (
        Contender(OURS, sys.executable, ftpsyncd, "temporary name, size checked, renamed, dated, recorded"),
        Contender("lftp", "lftp", lftp, "stored under its final name, dated"),
        Contender("rclone", "rclone", rclone, "stored under its final name, size checked, dated"),
        Contender("ftplib", sys.executable, ftplib, "temporary name, renamed, dated"),
        Contender("bare", sys.executable, bare, "temporary name, size checked, renamed, dated; nothing else"),
        Contender("curl", "curl", curl, "stored under its final name"),
        Contender("openssl", "openssl", openssl, "read and hashed (SHA-256), not sent", publishes=False),
    )
}


def versions() -> dict[str, str]:
    """Of the contenders that are here; asking also brings the programs into memory."""
    found = {OURS: package_version("ftpsyncd"), "ftplib": f"Python {sys.version.split()[0]}"}
    for name, words in {"lftp": ["lftp", "-v"], "rclone": ["rclone", "version"], "curl": ["curl", "-V"]}.items():
        if not CONTENDERS[name].missing:
            match = re.search(r"\d+(\.\d+)+", _output(words))
            found[name] = match[0] if match else "unknown"
    return found


def _output(words: list[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
