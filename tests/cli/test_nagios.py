"""The plugin for Nagios in contrib: what it ends with, and the one line that it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.control.shapes import status_to_json
from ftpsyncd.quoting import as_word
from ftpsyncd.status import DaemonStatus, MappingState, MappingStatus, ServerState, ServerStatus, Status

PLUGIN = Path(__file__).parents[2] / "contrib/check_ftpsyncd"
GALLERY = MappingStatus("gallery", "/a", "web:/a", MappingState.IN_SYNC, 0, 0, 0, 0, 0, 9, 9, None, "")
WEB = ServerStatus("web", ServerState.ONLINE, 1, "")
WELL = Status(DaemonStatus(running=True, pid=1, version="0", uptime_s=1), (GALLERY,), (WEB,), ())


def checked(tmp_path: Path, program: str, *words: str) -> tuple[int, str]:
    """What the plugin makes of a ``ftpsyncd`` that does this."""
    (tmp_path / "ftpsyncd").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "ftpsyncd").chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(PLUGIN), *words],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout.strip()


def of(tmp_path: Path, **changes: Any) -> tuple[int, str]:
    (tmp_path / "status").write_text(json.dumps(status_to_json(WELL._replace(**changes))))
    return checked(tmp_path, f"cat {as_word(tmp_path / 'status')}")


NUMBERS = "| gallery_pending=0 gallery_failed=0 gallery_parked=0 gallery_held=0 gallery_directories_held=0"


def test_all_is_well(tmp_path: Path) -> None:
    assert of(tmp_path) == (0, f"FTPSYNCD OK: all is well {NUMBERS}")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"daemon": WELL.daemon._replace(running=False)}, 2, "CRITICAL: the daemon is not running"),
        ({"daemon": WELL.daemon._replace(message="full")}, 2, "CRITICAL: full"),
        ({"daemon": WELL.daemon._replace(stuck="it has done nothing")}, 2, "CRITICAL: it has done nothing"),
        ({"daemon": WELL.daemon._replace(shortage="No file can be opened.")}, 2, "CRITICAL: No file can be opened."),
        ({"mappings": (GALLERY._replace(failed=2),)}, 0, "OK: gallery: 2 failed, and tried again"),
        (
            {"mappings": (GALLERY._replace(failed=1, oldest_pending_s=2400.0),)},
            2,
            "CRITICAL: gallery: a file or folder has been waiting for 40 minutes; gallery: 1 failed, and tried again",
        ),
        (
            {"mappings": (GALLERY._replace(oldest_pending_s=2.6 * 86400),)},
            2,
            "CRITICAL: gallery: a file or folder has been waiting for 3 days",
        ),
        (
            {"mappings": (GALLERY._replace(oldest_pending_s=2400.0, oldest_pending="a.mxf: it is written"),)},
            2,
            "CRITICAL: gallery: a file or folder has been waiting for 40 minutes: a.mxf: it is written",
        ),
        (
            {"mappings": (GALLERY._replace(state=MappingState.PAUSED, oldest_pending_s=2400.0),)},
            1,
            "WARNING: gallery is paused",
        ),
        ({"mappings": (GALLERY._replace(oldest_pending_s=1700.0),)}, 0, "OK: all is well"),
        ({"daemon": WELL.daemon._replace(notice="a new ledger was begun")}, 1, "WARNING: a new ledger was begun"),
        ({"daemon": WELL.daemon._replace(alerts="no")}, 1, "WARNING: the last alert was not delivered: no"),
        (
            {"servers": (WEB._replace(state=ServerState.REFUSED, message="530 No|"),)},
            2,
            "CRITICAL: server web is refused: 530 No/",
        ),
        (
            {"mappings": (GALLERY._replace(state=MappingState.SOURCE_MISSING),)},
            2,
            "CRITICAL: gallery: its folder is missing",
        ),
        ({"mappings": (GALLERY._replace(state=MappingState.HELD, held=7),)}, 1, "WARNING: gallery: 7 deletes are held"),
        ({"mappings": (GALLERY._replace(held=1),)}, 1, "WARNING: gallery: 1 delete is held"),
        ({"mappings": (GALLERY._replace(directories_held=2),)}, 1, "WARNING: gallery: 2 directories are held"),
        (
            {"mappings": (GALLERY._replace(state=MappingState.HELD, message="this is another folder"),)},
            1,
            "WARNING: gallery: this is another folder",
        ),
        (
            {"mappings": (GALLERY._replace(state=MappingState.HELD, message="ä\udcff is gone"),)},
            1,
            r"WARNING: gallery: \xe4\udcff is gone",
        ),
        ({"mappings": (GALLERY._replace(parked=2),)}, 1, "WARNING: gallery: 2 files cannot be published"),
        ({"mappings": (GALLERY._replace(parked=1),)}, 1, "WARNING: gallery: 1 file cannot be published"),
        ({"mappings": (GALLERY._replace(state=MappingState.PAUSED),)}, 1, "WARNING: gallery is paused"),
        (
            {
                "daemon": WELL.daemon._replace(alerts="no"),
                "servers": (WEB._replace(state=ServerState.FULL, message="x"),),
            },
            2,
            "CRITICAL: server web is full: x; the last alert was not delivered: no",
        ),
    ],
)
def test_what_is_wrong_is_told_worst_first(tmp_path: Path, changes: dict[str, Any], code: int, words: str) -> None:
    ended, line = of(tmp_path, **changes)
    assert (ended, line.partition(" |")[0]) == (code, f"FTPSYNCD {words}")


def test_it_says_that_it_cannot_ask(tmp_path: Path) -> None:
    refused = checked(tmp_path, 'echo "no right\nto ask $*" >&2; exit 75', "-c", "a.yaml")
    assert refused == (3, "FTPSYNCD UNKNOWN: no right to ask status --json -c a.yaml")
    code, line = checked(tmp_path, "echo nothing")
    assert (code, line.partition(":")[0]) == (3, "FTPSYNCD UNKNOWN")


def test_no_name_of_a_mapping_breaks_the_numbers(tmp_path: Path) -> None:
    code, line = of(tmp_path, mappings=(GALLERY._replace(name="it's=a|b"),))
    assert (code, line) == (0, f"FTPSYNCD OK: all is well {NUMBERS.replace('gallery', 'it_s_a_b')}")
