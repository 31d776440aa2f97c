"""How results look: JSON documents, consoles, and sizes, times and names as people read them. Pure but for `emit`."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, TypeVar

import click

from ftpsyncd.counting import duration, number
from ftpsyncd.expression import Expression
from ftpsyncd.quoting import one_line, quote

# rich is imported where a view is drawn: a `sync` in a script draws none, and need not wait for it.
if TYPE_CHECKING:
    import re

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.measure import Measurement
    from rich.segment import Segment
    from rich.text import Text

_MOMENT = Expression(
    r""""(?:[^"\\]|\\.)*"|(?<!\w)'[^']*'(?!\w)|"""
    r"""(?<![\w"'/.+-])([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}\+00:00)(?![\w"'/+-]|\.\w)"""
)
"""A moment in a sentence (`report.iso`), and not a part of a name; or a name in quotation marks (`quoting.named`)."""
MOST_COLUMNS = 10_000
"""A terminal that is said to be wider than that is not."""
AHEAD_S = 60.0
"""What is to come for longer than that was noted by a clock that was set back since."""
FEW = 24
"""Columns that are too few for both ends of a name."""

_Item = TypeVar("_Item")


def emit(document: Any) -> None:
    r"""Print one JSON document on stdout.

    It is pure ASCII, so that every encoding carries it; bytes of names that are not UTF-8 stand as escaped
    surrogates (``\udc80`` to ``\udcff``, PEP 383).

    Args:
        document: of what JSON knows, and dataclasses.
    """
    click.echo(json.dumps(document, indent=2, default=asdict))


def printer(stream: TextIO) -> Callable[[str], object]:
    """Prints lines of a list that may be long: at once where a person looks, else as many at a time as fit.

    `click.echo` has the kernel write each by itself, and looks at each for colours to take away.
    """
    if stream.isatty():
        return click.echo
    return lambda line: stream.write(f"{line}\n")


def begun(items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items, the first one taken already: an error before it comes without half a document."""
    iterator = iter(items)
    return itertools.chain(list(itertools.islice(iterator, 1)), iterator)


def console(*, stderr: bool = False) -> Console:
    """Where people read: colours only on a terminal and without NO_COLOR, names never taken for markup."""
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    class Screen(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            """Print; for who reads no terminal sentences are not wrapped, and lines are not filled with blanks.

            What has lines that are longer than the terminal is wide has its reasons (`hanging`).
            """
            options.setdefault("crop", False)
            if self.is_terminal:
                super().print(*objects, **options)
                return
            if all(isinstance(each, str | Text) for each in objects):
                options.setdefault("soft_wrap", True)
            with self.capture() as caught:
                super().print(*objects, **options)
            self.file.write("".join(f"{line.rstrip()}\n" for line in caught.get().splitlines()))
            self.file.flush()

        def on_broken_pipe(self) -> None:
            # Rich would end the process with 1; `app.outcome` knows better.
            raise BrokenPipeError

    # A shell in a container may have 0 there, and nothing would be seen; with too many, memory is filled with blanks.
    odd = [name for name in ("COLUMNS", "LINES") if not 0 < _whole(os.environ.get(name, "1")) <= MOST_COLUMNS]
    environ = {name: value for name, value in os.environ.items() if name not in odd}
    return Screen(stderr=stderr, markup=False, highlight=False, emoji=False, _environ=environ)


def _whole(text: str) -> int:
    """The number that a variable holds; 0 if it is none."""
    return int(text) if text.isdecimal() and len(text) <= len(str(MOST_COLUMNS)) else 0


def redraws(screen: Console) -> bool:
    """Whether a picture can be drawn over: on a terminal that is not too simple for that."""
    return screen.is_terminal and not screen.is_dumb_terminal


def is_drawn(stream: TextIO) -> bool:
    """Whether a person looks at a stream, or wants it to look as if: else plain lines do."""
    return stream.isatty() or any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))


class Marks(NamedTuple):
    """The few signs that views use."""

    good: str
    busy: str
    wait: str
    bad: str
    call: str
    """Something wants a person."""
    arrow: str
    full: str
    empty: str
    dots: str


UNICODE = Marks(good="✓", busy="↑", wait="·", bad="✗", call="!", arrow="→", full="━", empty="─", dots="…")
ASCII = Marks(good="+", busy="^", wait=".", bad="x", call="!", arrow=">", full="=", empty="-", dots="...")


def marks(where: Console | TextIO) -> Marks:
    """The signs that this terminal can show."""
    return UNICODE if (where.encoding or "").lower().startswith("utf") else ASCII


class Name:
    """A path as it may stand in a view: on one line, unambiguous, shortened where there is no room for all of it.

    What is left out is the middle: many files that are on their way together begin alike.
    """

    def __init__(self, path: str, signs: Marks, style: str = "") -> None:
        self._text = quote(path)
        self._dots = signs.dots
        self._style = style

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The path within the width that there is."""
        from rich.text import Text  # noqa: PLC0415 - see above

        yield Text(shortened(self._text, options.max_width, self._dots), self._style, no_wrap=True, overflow="crop")

    def __rich_measure__(self, screen: Console, options: ConsoleOptions) -> Measurement:
        """From one character on it makes do with any width."""
        from rich.measure import Measurement  # noqa: PLC0415 - see above
        from rich.text import Text  # noqa: PLC0415 - see above

        return Measurement(1, Text(self._text).cell_len)


class Fitted:
    """As much of a picture as there are rows for; a line at the end says how much is missing.

    Args:
        picture: from its beginning on.
        signs: what the terminal can show.
        all_of_it: how to see the rest, in a few words; empty: there is no way.
        low: the picture where there is no room for all of it, with what matters most at its beginning.
    """

    def __init__(
        self, picture: RenderableType, signs: Marks, all_of_it: str = "", *, low: RenderableType | None = None
    ) -> None:
        self._picture = picture
        self._dots = signs.dots
        self._all_of_it = all_of_it
        self._low = low

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The lines that fit."""
        from rich.segment import Segment, Segments  # noqa: PLC0415 - see above
        from rich.text import Text  # noqa: PLC0415 - see above

        def lines_of(picture: RenderableType) -> list[list[Segment]]:
            whole = Segment.split_lines(screen.render(picture, options.update(height=None)))
            return [row for line in whole for row in _rows(line, options.max_width)]

        rows = options.height or screen.height
        lines = lines_of(self._picture)
        if len(lines) > rows and self._low is not None:
            lines = lines_of(self._low)
        shown = lines if len(lines) <= rows else lines[: max(1, rows - 1)]
        for number_, line in enumerate(shown):
            yield Segments([*line, *([Segment.line()] if number_ < rows - 1 else [])])
        missing = len(lines) - len(shown)
        if missing and rows > 1:
            told = f"{self._dots} {number(missing, 'more line')}{self._all_of_it and f': {self._all_of_it}'}"
            yield Text(told, "yellow", no_wrap=True, overflow="ellipsis", end="")


def _rows(line: list[Segment], width: int) -> Iterator[list[Segment]]:
    """A line in as many rows as it takes, as a terminal shows it."""
    from rich.segment import Segment  # noqa: PLC0415 - see above

    length = Segment.get_line_length(line)
    if length <= width:
        yield line
        return
    yield from Segment.divide(line, [*range(width, length, width), length])


def shortened(text: str, width: int, dots: str) -> str:
    """A text within so many columns: without its middle, or, where these are few, its end."""
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415 - see above

    if cell_len(text) <= width:
        return text
    room = max(0, width - len(dots))
    end = 0 if width < FEW else room * 2 // 3
    tail = text[len(text) - end :]
    while cell_len(tail) > end:
        tail = tail[1:]
    return set_cell_size(text, room - cell_len(tail)) + dots + tail


def words(sentence: str, style: str = "") -> Text:
    """A sentence from elsewhere, made harmless for a terminal."""
    from rich.text import Text  # noqa: PLC0415 - see above

    return Text(one_line(sentence), style=style)


def size(count: float) -> str:
    """Bytes for people, in powers of 1000: ``999 B``, ``3.2 MB``, ``48 GB``."""
    if count < 1000:
        return f"{int(count)} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.1f} {unit}" if count < 9.95 else f"{count:.0f} {unit}"
    return f"{count / 1000:.1f} PB"


def percent(share: float) -> str:
    """A share of 1 for people: ``42%``; ``100%`` is all of it, and nothing less."""
    return f"{int(share * 100 + 1e-9)}%"


def ago(moment: str | None, now: datetime) -> str:
    """How long ago an ISO 8601 moment was: ``just now``, ``5 min ago``; ``never`` for None."""
    if moment is None:
        return "never"
    seconds = (now - datetime.fromisoformat(moment)).total_seconds()
    if seconds < -AHEAD_S:
        return "when the clock was ahead"
    return "just now" if seconds < 5 else f"{duration(seconds)} ago"


def lasted(since: str, now: datetime) -> str:
    """For how long something has lasted that began at an ISO 8601 moment: ``5 min``."""
    return duration((now - datetime.fromisoformat(since)).total_seconds())


def until(moment: str | None, now: datetime) -> str:
    """How long it is to an ISO 8601 moment: ``in 5 min``, ``now``; empty for None."""
    if moment is None:
        return ""
    seconds = (datetime.fromisoformat(moment) - now).total_seconds()
    return "now" if seconds < 1 else f"in {duration(seconds)}"


def local_time(moment: datetime) -> str:
    """``2026-01-31 18:00:00`` where this machine is."""
    try:
        here = moment.astimezone()
    except OverflowError:
        # In the first or last hours of the calendar there is no time elsewhere.
        here = moment
    return here.replace(tzinfo=None).isoformat(" ", "seconds")


def in_local_time(sentence: str) -> str:
    """A sentence as it is for programs, with its moments as people here read them."""

    def here(found: re.Match[str]) -> str:
        try:
            return local_time(datetime.fromisoformat(found[1])) if found[1] else found[0]
        except ValueError:
            # The 13th month of a name that stands alone.
            return found[0]

    return _MOMENT.sub(here, sentence)


def bar(done: float, width: int, signs: Marks) -> Text:
    """A bar that is filled to the share ``done`` of 1."""
    from rich.text import Text  # noqa: PLC0415 - see above

    filled = round(max(0.0, min(1.0, done)) * width)
    return Text.assemble((signs.full * filled, "green"), (signs.empty * (width - filled), "bright_black"))
