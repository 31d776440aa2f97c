"""What a person asks a daemon or tells it to do, and what it answers. Immutable; the shapes of docs/control-api.md.

Imported by every command that asks a daemon, so it imports no more of ours than receipts. Nobody asks a `sync`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from ftpsyncd.receipts import Receipt


class CommandName(StrEnum):
    """What the running daemon can be told to do; some of it is noted for the next pass where none runs."""

    RESCAN = "rescan"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    APPROVE = "approve"
    DISCARD = "discard"
    RELOAD = "reload"


class Health(NamedTuple):
    """Whether the engine lives, for who watches over the daemon."""

    healthy: bool
    engine_running: bool
    engine_turn_age_s: float
    """Since its loop turned last."""
    limit_s: float
    """More than this is not healthy."""


class Why(NamedTuple):
    """Why a path is, or is not, at the server; the shape of ``why --json``."""

    path: str
    """As it was asked for."""
    mapping: str | None
    """None if the path lies in no mapping."""
    state: str
    """One of the words that docs/control-api.md explains: ``published``, ``settling``, ``parked`` and others."""
    sentence: str
    """For people: the reason, and what would change it."""
    details: Mapping[str, str | int | float | bool | None] = MappingProxyType({})
    """What the sentence says, for programs: of each state what docs/control-api.md names."""
    receipt: Receipt | None = None
    """Of how a published file came to the server, or of the failed tries that the sentence tells of."""
    also: tuple[Why, ...] = ()
    """The same of the other mappings that publish this folder, to other places."""
