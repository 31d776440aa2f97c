"""Sentences that hang beside a head, and commands, which stay in one piece. Pure.

Whoever copies a command has to get it on one line, however long it is: where there is no room for it, the terminal
continues it in the next row, and not we. So the lines that are made here may be longer than the terminal is wide, and
are printed without being cropped (`output.console`); `output.Fitted` does what a terminal does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions
from rich.text import Text

from ftpsyncd.typed import WORDS

AND = " && "
"""Between commands of which one follows the other."""
LEAST = 24
"""Columns that are too few for a sentence beside its head: it goes below that."""
BELOW = 5
"""Columns before what stands below its head."""
_COMMAND = re.compile(rf"`(?:ftpsyncd|systemctl) {WORDS}`")
_PIECE = re.compile(rf"(?:{_COMMAND.pattern}|\S)+")
"""What is not broken where there is room for it: a word, or a command with what is before and behind it."""


class Hanging:
    """A sentence beside a head, in lines that begin below one another.

    Args:
        head: stands before the first one.
        body: with line breaks where they have to be.
    """

    def __init__(self, head: Text, body: Text) -> None:
        self._head = head
        self._body = body

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines."""
        head, indent = self._head.copy(), self._head.cell_len
        if self._body.plain and options.max_width - indent < LEAST < options.max_width:
            head.rstrip()
            yield _line(head)
            head, indent = Text(" " * BELOW), BELOW
        for body in _wrapped(self._body, max(1, options.max_width - indent)) or [Text()]:
            line = head + body
            line.rstrip()
            yield _line(line)
            head = Text(" " * indent)


class Commands:
    """What to type: one of these; on one line where there is room, else each on its own.

    Args:
        commands: one or more.
        arrow: stands before them.
        indent: columns before that, where there is room.
    """

    def __init__(self, commands: Sequence[str], arrow: str, indent: int) -> None:
        self._commands = commands
        self._arrow = f"{arrow} "
        self._indent = indent

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines."""
        commands = [Text(command, "cyan") for command in self._commands]
        together = Text(self._arrow) + Text("  or  ", "bright_black").join(commands)
        for indent in (self._indent, BELOW - 1):
            if indent + together.cell_len <= options.max_width:
                yield _line(Text(" " * indent) + together)
                return
        for index, command in enumerate(commands):
            before = Text("or ", "bright_black") if index else Text(self._arrow)
            yield _line(Text(" " * (BELOW + 1 - before.cell_len)) + before + command)


def names(sentence: str, command: str) -> bool:
    """Whether a sentence names a command already, perhaps with what makes it reach a certain service."""
    return re.search(rf"`{re.escape(command)}[ `]", sentence) is not None


def _line(text: Text) -> Text:
    """A text that is neither wrapped nor cropped any more."""
    text.no_wrap, text.overflow = True, "ignore"
    return text


def _wrapped(text: Text, width: int) -> list[Text]:
    """The lines of a text, none of which is wider but for a command that is."""
    return [line for part in text.split("\n", allow_blank=True) for line in _lines(part, width)]


def _lines(text: Text, width: int) -> list[Text]:
    """Those of a text without line breaks."""
    plain, cuts, begin = text.plain, [], 0
    for piece in _PIECE.finditer(text.plain):
        if cell_len(plain[begin : piece.end()]) <= width:
            continue
        if piece.start() > begin:
            cuts.append(piece.start())
            begin = piece.start()
        if _COMMAND.search(piece[0]) is None:
            for part in chop_cells(piece[0], width)[:-1]:
                begin += len(part)
                cuts.append(begin)
    lines = list(text.divide(cuts))
    for line in lines:
        line.rstrip()
    return lines
