"""The options that every command shares, accepted before and after the command's name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ftpsyncd.typed import Typed, option_for, unit_for

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(slots=True)
class Given:
    """What the shared options said; None where they were not given."""

    config: Path | None = None
    log_level: str | None = None
    log_format: str | None = None
    found: Path | None = None
    """Where the configuration is, once somebody has looked (`settings.find`)."""
    alone: bool = False
    """The command has no use for a configuration, and is part of no service."""

    @property
    def option(self) -> str:
        """What stands behind a command that is to be about the same configuration; empty where ``-c`` was not given."""
        return "" if self.config is None else option_for(os.fspath(self.config))

    @property
    def typed(self) -> Typed:
        """How commands are typed here that are to be about the same configuration."""
        if self.alone:
            return Typed(unit="", configured=False)
        place = self.found or self.config
        if place is None:
            return Typed()
        return Typed(self.option, unit_for(Path(absolute(os.fspath(place))), os.environ))


class _Unseen(click.Path):
    """A path at which nobody has looked yet: a file that cannot be read is no wrong usage, and its disk may hang."""

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> Path:
        """Take it as it is."""
        return Path(value)


class Count(click.IntRange):
    """A whole number within bounds, called that where it is none."""

    name = "whole number"


class Seconds(click.FloatRange):
    """Seconds within bounds, called that where it is no number."""

    name = "number of seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As its parent, which finds no bound that `nan` would be beyond."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return seconds


def _remember(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    given = ctx.ensure_object(Given)
    if value is not None and option.name is not None:
        setattr(given, option.name, value)


def given() -> Given:
    """The shared options of the running command."""
    return click.get_current_context().ensure_object(Given)


def common_options(command: Decorated) -> Decorated:
    """Add ``-c``, ``--log-level`` and ``--log-format``; read them with `given`."""
    config = click.option(
        "-c",
        "--config",
        type=_Unseen(path_type=Path),
        callback=_remember,
        expose_value=False,
        help="The configuration file.",
    )
    return config(log_options(command))


def log_options(command: Decorated) -> Decorated:
    """Add ``--log-level`` and ``--log-format`` only, for who has no use for a configuration."""
    level = click.option(
        "--log-level",
        type=click.Choice(LOG_LEVELS),
        callback=_remember,
        expose_value=False,
        help="How much to log to stderr; `run` takes the configuration's by default, others tell what goes wrong.",
    )
    form = click.option(
        "--log-format",
        type=click.Choice(("text", "json")),
        callback=_remember,
        expose_value=False,
        help="Log lines for people, or one JSON object per line.",
    )
    return level(form(command))


def json_option(command: Decorated) -> Decorated:
    """Add ``--json``, passed to the command as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def examples(*lines: str) -> str:
    """The epilog of a command's help: what one would type, and what it is for."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def absolute(path: str) -> str:
    """The path from the root, without resolving links: mappings are named as the configuration names them."""
    return os.path.abspath(path)  # noqa: PTH100 - Path.absolute() keeps ".."
