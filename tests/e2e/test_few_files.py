"""The running daemon may open no further file, as where something else on the machine has them all: nobody is blamed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site, site
from tests.servers import running
from tests.waiting import until

pytestmark = pytest.mark.real_server
AFTER_S = 20.0
"""Much less than the hour after which a file that fails again and again is tried the next time."""


@pytest.fixture
def s(tmp_path: Path) -> Iterator[Site]:
    with running("vsftpd") as server, site(server, tmp_path) as made:
        yield made


def allow(s: Site, files: int) -> None:
    """Let the daemon have so many files open."""
    assert s.process is not None
    resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def opened(s: Site) -> int:
    assert s.process is not None
    return len(list(Path(f"/proc/{s.process.pid}/fd").iterdir()))


def drop(s: Site, name: str) -> None:
    for number in range(60):
        (s.drop / f"{name}{number % 3}").mkdir(exist_ok=True)
        (s.drop / f"{name}{number % 3}" / f"{number}.jpg").write_bytes(b"%d" % number * 100)


def nobody_is_blamed(s: Site) -> None:
    for word in ("failed", "parked", "source missing", "offline", "may not read"):
        assert word not in s.log()
    assert s.log().count("shortage -") == 1


def test_what_needs_a_file_that_cannot_be_opened_waits_until_it_can(s: Site) -> None:
    s.start()
    drop(s, "before")
    s.until_equal()
    allow(s, opened(s))
    drop(s, "meanwhile")
    until(lambda: s.status()["daemon"]["shortage"], "the status says so", AFTER_S)
    assert "this machine: This process may have" in " ".join(s.command("status").stdout.split())
    allow(s, 1024)
    s.until_equal(AFTER_S)
    nobody_is_blamed(s)


def test_with_few_files_it_makes_do_with_fewer_connections(s: Site) -> None:
    s.start()
    drop(s, "before")
    s.until_equal()
    # What is open stays so; of four connections, each would need two more.
    allow(s, opened(s) + 3)
    drop(s, "meanwhile")
    s.until_equal()
    nobody_is_blamed(s)


def allowing(files: int) -> tuple[str, ...]:
    """What runs a command with so many open files at most."""
    script = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files})); os.execv(sys.argv[1], sys.argv[1:])"
    return (sys.executable, "-c", script)


def test_a_configuration_that_needs_more_files_than_there_may_be_is_told_at_the_start(s: Site) -> None:
    s.under = allowing(40)
    s.start()
    told = "This process may have 40 files open; this configuration needs up to 56."
    until(lambda: told in s.log(), "the log says so")
    command = [*s.under, *s.program, "check", "--offline", "-c", os.fspath(s.config)]
    done = subprocess.run(command, capture_output=True, text=True, env=s.environment(), check=False)
    assert told in " ".join(done.stdout.split())
    assert "Up to 56 are needed" in s.command("check", "--offline").stdout


@pytest.mark.parametrize("command", ["run", "sync"])
def test_with_too_few_files_for_anything_it_does_not_start(s: Site, command: str) -> None:
    words = [*allowing(20), *s.program, command, "-c", os.fspath(s.config)]
    done = subprocess.run(words, capture_output=True, text=True, env=s.environment(), check=False, timeout=60)
    assert done.returncode == 75
    assert "This process may have 20 files open; this configuration needs up to 56." in " ".join(done.stderr.split())
    assert "Raise the limit: `ulimit -n`;" in done.stderr, "no service has this configuration"
