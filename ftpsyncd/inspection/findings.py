"""What `check` finds: records with a remedy each, and the exit code that they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ftpsyncd.errors import ExitCode


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Area(StrEnum):
    """Where a finding was made; decides the exit code."""

    CONFIG = "config"
    MACHINE = "machine"
    SERVER = "server"
    DIRECTORY = "directory"
    """Of a server, which works, and refuses something there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    area: Area
    subject: str
    """``config``, ``mapping NAME``, ``server NAME`` and so on."""
    message: str
    """One sentence."""
    remedy: str = ""
    """What a person can do; empty when nothing is to be done."""


def exit_code(findings: Iterable[Finding]) -> int:
    """78 if the configuration or this machine must be mended, else 75 for a server, 1 for a directory there, else 0."""
    areas = {finding.area for finding in findings if finding.level is Level.ERROR}
    if areas & {Area.CONFIG, Area.MACHINE}:
        return ExitCode.CONFIG
    if Area.SERVER in areas:
        return ExitCode.TEMPFAIL
    return ExitCode.SOME_FAILED if areas else ExitCode.DONE
