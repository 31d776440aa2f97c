"""What `put`, `get`, `rm` and `ls` share: ``SERVER:PATH``, the connection, progress, and the words at the end."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import click
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ftpsyncd.cli.options import given
from ftpsyncd.cli.output import Marks, Name, bar, console, marks, percent, redraws, size
from ftpsyncd.cli.progress import ECHO, Rate
from ftpsyncd.cli.settings import check_name, load_config
from ftpsyncd.config import Config, placed
from ftpsyncd.counting import duration, number
from ftpsyncd.errors import FtpsyncdError, LedgerError, LocalUnreadableError, NotFoundError, UsageError
from ftpsyncd.inspection.survey import open_ledger
from ftpsyncd.quoting import named, one_line, quote
from ftpsyncd.remote import Ftp, Step, TreeResult, connect
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.profile import Profile
from ftpsyncd.remote.remedies import remedy
from ftpsyncd.typed import Typed

FRAME_S = 0.1
_BLOCK = 256 * 1024
"""Bytes between two calls of a progress function at most."""
PAST = {Step.SENT: "sent", Step.FETCHED: "fetched", Step.REMOVED: "removed"}


# ── SERVER:PATH ──────────────────────────────────────────────────────────────────────────────────────────────────


class Place(NamedTuple):
    """``SERVER:PATH`` as it was typed, with the path from the root."""

    server: str
    path: str
    """Absolute, without a slash at its end; ``/`` is the root."""
    inside: bool
    """It ended with a slash, or is the root: what is in it is meant."""

    def __str__(self) -> str:
        return quote(f"{self.server}:{self.path}")


def place(text: str, *, bare: bool = False) -> Place:
    """Read ``SERVER:PATH``; a relative path begins at the root.

    Args:
        text: what was typed.
        bare: ``SERVER`` alone is its root.

    Raises:
        UsageError: it is something else, or the path has ``..``.
    """
    server, colon, path = text.partition(":")
    if not server or "/" in server or not (colon or bare):
        root = f", or {text}:/ for the root of a server {text}" if re.fullmatch(r"[\w-]+", text) else ""
        raise UsageError(f"{quote(text)} is not SERVER:PATH.", remedy=f"For example: web:/htdocs/a.jpg{root}")
    if colon and not path and not bare:
        raise UsageError(f"{quote(text)} names no path.", remedy=f"The root of the server is {server}:/")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise UsageError(
            f"{quote(text)} has `..` in it.", remedy="Name the path from the root: what `..` is, only the server knows."
        )
    return Place(server, "/" + "/".join(parts), not parts or path.endswith(("/", "/.")))


def refuse_swapped(place: str, others: Iterable[str], command: str) -> None:
    """Refuse what is typed for the other direction: the words for the server and for here are each other's.

    Args:
        place: what should be ``SERVER:PATH``.
        others: what should be here.
        command: the one that goes that way.

    Raises:
        UsageError: it is so.
    """
    if ":" not in place and any(":" in other and not os.path.lexists(other) for other in others):
        raise UsageError(f"{quote(place)} is not SERVER:PATH.", remedy=f"The other way goes `ftpsyncd {command}`.")


@contextlib.contextmanager
def literally(where: Place) -> Iterator[None]:
    """What is not there, and was typed with a star, may be meant as a pattern: that there are none is said."""
    try:
        yield
    except NotFoundError as error:
        if "*" in where.path or "?" in where.path:
            error.remedy = "Names are taken as they are, `*` and `?` too: name files one by one, or a directory."
        raise


def config_for(places: Iterable[Place]) -> Config:
    """The configuration, which has the servers.

    Raises:
        ConfigError, UsageError: there is none, or it lacks a server; perhaps a mapping has that name.
    """
    config = load_config(given())
    for each in places:
        mapping = config.mappings.get(each.server)
        if mapping is not None and each.server not in config.servers:
            raise UsageError(
                f"{quote(each.server)} is a mapping, not a server.",
                remedy=f"It publishes to {quote(f'{mapping.server}:{mapping.remote}')}.",
            )
        check_name(each.server, config.servers, "server")
    return config


def is_folder(path: Path) -> bool:
    """Whether it is a folder, as far as that can be seen."""
    try:
        return path.is_dir()
    except OSError:
        return False


@contextlib.contextmanager
def connected(config: Config, server: str) -> Iterator[Ftp]:
    """A connection to a server of the configuration."""
    with placed(config, server), connect(config.servers[server], profile=known(config, server)) as ftp:
        yield ftp


def known(config: Config, server: str) -> Profile:
    """What the ledger remembers of a server: a name is told in the way that this one understands."""
    profile = Profile()
    with contextlib.suppress(LedgerError), contextlib.ExitStack() as stack:
        if (ledger := open_ledger(config)) is not None:
            stack.enter_context(ledger)
            Keeper(profile, ledger.profile(Account(config.servers[server]).key), time.time())
    return profile


# ── Progress ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Moving:
    """What is on its way, on a terminal; elsewhere nothing. Messages go past it.

    Args:
        screen: where to; messages go there, too.
        files: how many there are, if that is known.
        total: bytes of them.
    """

    def __init__(self, screen: Console, *, files: int = 0, total: int = 0) -> None:
        self._screen = screen
        self._live = Live(console=screen, auto_refresh=False, transient=True) if redraws(screen) else None
        self._files = files
        self._total = total
        self._rate = Rate()
        self._moved = 0
        """Bytes that went over the line."""
        self._before = 0
        """Bytes of files that are done."""
        self._done = 0
        self._name = ""
        self._count = 0
        self._drawn_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def moved(self, remote: str, count: int, of: int | None) -> None:
        """A progress function of the library."""
        if remote != self._name:
            self._name, self._count = remote, max(0, count - _BLOCK)  # what came earlier took no time now
        self._moved += max(0, count - self._count)
        self._count = count
        now_s = time.monotonic()
        if self._live is None or (now_s - self._drawn_s < FRAME_S and count != of):
            return
        self._drawn_s = now_s
        rate = self._rate.update(now_s, self._moved)
        known = (self._before + count, self._total) if self._files else (count, of)
        words = self._words(known[0], rate)
        self._live.update(view(remote, *known, words, marks(self._screen), self._screen.width), refresh=True)

    def _words(self, done: int, rate: float) -> str:
        if not self._files:
            parts = [number(self._done, "file"), size(self._before + self._count), f"{size(rate)}/s"]
            return ", ".join(parts)
        parts = [f"{self._done:,} of {number(self._files, 'file')}", f"{size(done)} of {size(self._total)}"]
        parts.append(f"{size(rate)}/s")
        if rate and self._total > done:
            parts.append(f"{duration((self._total - done) / rate)} left")
        return ", ".join(parts)

    def finished(self, amount: int) -> None:
        """A file is done."""
        self._done += 1
        self._before += amount
        self._name, self._count = "", 0

    def say(self, sentence: str, style: str = "") -> None:
        """A message, above what is on its way."""
        if self._live is not None:
            # The terminal breaks it: what somebody copies of it is in one piece.
            said = Text(one_line(sentence), style=style, no_wrap=True, overflow="ignore")
            self._screen.print(Group(said), crop=False)
        else:
            click.echo(one_line(sentence), err=True)


def view(name: str, done: int, total: int | None, said: str, signs: Marks, width: int) -> RenderableType:
    """A bar, the numbers, and the file that is on its way. Pure."""
    table = Table.grid(padding=(0, 1), expand=False)
    if total:
        share = min(1.0, done / total)
        table.add_row(bar(share, max(10, min(40, width - 50)), signs), Text(f"{percent(share):>4}", style="bold"))
    picture = Group(table, Text(said, overflow="fold"), Name(name, signs, "bright_black"))
    return Constrain(picture, width - ECHO)


def moving(*, files: int = 0, total: int = 0) -> Moving:
    """Progress on stderr."""
    return Moving(console(stderr=True), files=files, total=total)


# ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Tally:
    """Results counted, and those that somebody must know of told.

    Args:
        server: its name.
        show: says it.
        typed: how the commands that help are typed.
    """

    def __init__(self, server: str, show: Moving, typed: Typed = Typed()) -> None:  # noqa: B008 - immutable
        self._server = server
        self._show = show
        self._typed = typed
        self.steps: Counter[Step] = Counter()
        self.bytes = 0

    def add(self, result: TreeResult) -> None:
        """Count a result."""
        self.steps[result.step] += 1
        if result.step in {Step.SENT, Step.FETCHED}:
            self.bytes += result.size
        if result.step in {Step.SENT, Step.FETCHED, Step.SAME}:
            self._show.finished(result.size)
        if result.error is not None:
            self._fail(result.remote, result.error)
        elif result.step is Step.SKIPPED:
            self._show.say(f"Skipped {quote(f'{self._server}:{result.remote}')}: {result.note}.")

    def _fail(self, remote: str, error: FtpsyncdError) -> None:
        """Say what one file failed with, and which one that is where the error does not."""
        place = quote(f"{self._server}:{remote}")
        told = any(name in error.message for name in (place, quote(remote), named(remote)))
        # Of what cannot be read here, its name here is what helps.
        told |= isinstance(error, LocalUnreadableError) and error.message.startswith(("'", '"'))
        said = self._typed.text(remedy(error))
        # The server's words may have no full stop.
        end = f"{'' if error.message.endswith(('.', '!', '?')) else '.'} {said}" if said else ""
        self._show.say(f"ftpsyncd: error: {'' if told else f'{place}: '}{error}{end}", "red")

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.steps[Step.FAILED]

    @contextlib.contextmanager
    def told(self, step: Step) -> Iterator[None]:
        """Say at the end what was done; where something puts an end to it before, if anything was."""
        try:
            yield
        except BaseException:
            if self.steps:
                with contextlib.suppress(OSError):  # what has ended it matters more
                    click.echo(self.summary(step))
            raise
        click.echo(self.summary(step))

    def summary(self, step: Step) -> str:
        """What was done, in one line."""
        parts = [f"{number(self.steps[step], 'file')} ({size(self.bytes)}) {PAST[step]}"]
        if self.steps[Step.SAME]:
            parts.append(f"{self.steps[Step.SAME]:,} here already")
        if self.steps[Step.SKIPPED]:
            parts.append(f"{self.steps[Step.SKIPPED]:,} skipped")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts) + "."
