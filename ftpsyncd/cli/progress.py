"""How a pass shows its progress: a bar on a terminal, occasional lines elsewhere, and the summary at its end."""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from ftpsyncd.cli.output import Marks, Name, bar, marks, percent, size
from ftpsyncd.counting import deletes, duration, number
from ftpsyncd.daemon.onepass import Progress
from ftpsyncd.logs import one_line
from ftpsyncd.quoting import as_word
from ftpsyncd.status import ServerState, Status, Transfer

# rich is imported where a picture is drawn, as in `output`.
if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINE_EVERY_S = 10.0
RATE_OVER_S = 5.0
"""The rate is that of the last seconds: it follows the line, and does not jump."""
TRANSFERS_SHOWN = 4
MESSAGES_SHOWN = 10
LINES_KEPT = 10_000
"""Of the log, for a terminal that takes nothing at the moment; more are counted as lost (`logs`)."""
ECHO = 2
"""Columns that stay free for the ``^C`` that a terminal echoes: in a full line it would begin another one, and the
picture's first line would stay behind."""


class Rate:
    """Bytes per second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def update(self, now_s: float, done: int) -> float:
        """Note how much is done, and return the rate in bytes per second."""
        self._seen.append((now_s, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - RATE_OVER_S:
            del self._seen[0]
        first_s, first = self._seen[0]
        # A transfer that broke off takes its bytes back.
        return max(0, done - first) / (now_s - first_s) if now_s > first_s else 0.0


class Show(Protocol):
    """Something that shows progress while it is open."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and leave the terminal as it was."""

    def update(self, progress: Progress, transfers: Sequence[Transfer]) -> None:
        """Show this moment."""

    @property
    def aside(self) -> Aside | None:
        """Where the log goes meanwhile; None: where it goes else."""

    def tell(self) -> None:
        """Show what went there."""


class Aside(io.StringIO):
    """Lines of the log, for a terminal on which a picture is drawn: whoever draws that puts them above it.

    Nobody who logs waits for the terminal, which may be stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun = ""
        self._lines: deque[str] = deque()

    def isatty(self) -> bool:
        """It is for one."""
        return True

    def write(self, text: str, /) -> int:
        """Take a line, or a piece of one; `logs` lets one thread in at a time."""
        if len(self._lines) >= LINES_KEPT:
            self._begun = ""
            raise BlockingIOError
        self._begun += text
        if self._begun.endswith("\n"):
            self._lines.append(self._begun[:-1])
            self._begun = ""
        return len(text)

    def taken(self) -> list[str]:
        """The lines so far; each is told once."""
        return [self._lines.popleft() for _ in range(len(self._lines))]


class Silent:
    """Shows nothing."""

    @property
    def aside(self) -> Aside | None:
        """Nothing is in the way of the log."""
        return None

    def tell(self) -> None:
        """There is nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, progress: Progress, transfers: Sequence[Transfer]) -> None:
        """Show nothing."""


class Lines(Silent):
    """A line every few seconds, for logs and pipes."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._last_s = time.monotonic()

    def update(self, progress: Progress, transfers: Sequence[Transfer]) -> None:
        """Print a line if it is time for one."""
        now_s = time.monotonic()
        sent = sent_bytes(progress, transfers)
        rate = self._rate.update(now_s, sent)
        if now_s - self._last_s >= LINE_EVERY_S:
            self._last_s = now_s
            click.echo(counted(progress, sent, rate), err=True)


class Picture(Silent):
    """A bar with the files that are on their way, redrawn in place."""

    def __init__(self, screen: Console) -> None:
        from rich.live import Live  # noqa: PLC0415 - see above

        self._aside = Aside()
        self._screen = screen
        self._rate = Rate()
        self._live = Live(console=screen, auto_refresh=False, transient=True)

    @property
    def aside(self) -> Aside:
        """Lines that are to stand above the picture."""
        return self._aside

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self) -> None:
        """Put what was logged meanwhile above the picture, or in its place when that is gone."""
        from rich.console import Group  # noqa: PLC0415 - see above
        from rich.text import Text  # noqa: PLC0415 - see above

        lines = [Text.from_ansi(line, no_wrap=True, overflow="ignore") for line in self._aside.taken()]
        if lines:
            # In a group they stay as they are: whoever copies a command has it on one line, which the terminal breaks.
            self._screen.print(Group(*lines), crop=False)

    def update(self, progress: Progress, transfers: Sequence[Transfer]) -> None:
        """Redraw."""
        self.tell()
        rate = self._rate.update(time.monotonic(), sent_bytes(progress, transfers))
        self._live.update(view(progress, transfers, rate, marks(self._screen), self._screen.width), refresh=True)


def view(
    progress: Progress, transfers: Sequence[Transfer], rate_bytes_s: float, signs: Marks, width: int
) -> RenderableType:
    """The bar, the numbers, and the files on their way. Pure."""
    from rich.console import Group  # noqa: PLC0415 - see above
    from rich.constrain import Constrain  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    sent = sent_bytes(progress, transfers)
    if progress.bytes_total:
        share = sent / progress.bytes_total
    else:
        share = progress.files_done / progress.files_total if progress.files_total else 0.0
    line = Table.grid(padding=(0, 1), expand=False)
    line.add_row(bar(share, max(10, min(40, width - 50)), signs), Text(f"{percent(share):>4}", style="bold"))
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for each in transfers[:TRANSFERS_SHOWN]:
        done = percent(each.sent_bytes / each.size_bytes) if each.size_bytes else ""
        table.add_row(Name(f"{each.mapping}/{each.path}", signs, "bright_black"), Text(done, style="bright_black"))
    words = Text(counted(progress, sent, rate_bytes_s), overflow="fold")
    # There is no share of nothing: all is still looked through, or only deleted.
    return Constrain(Group(*([line] if progress.files_total else []), words, table), width - ECHO)


def sent_bytes(progress: Progress, transfers: Sequence[Transfer]) -> int:
    """What has left this machine, with the files that are on their way: one large file moves the bar, too."""
    return min(progress.bytes_total, progress.bytes_done + sum(each.sent_bytes for each in transfers))


def counted(progress: Progress, sent: int, rate_bytes_s: float) -> str:
    """Files, bytes, rate and time left on one line, and what else was done."""
    parts = ["looking for what is to be sent"]
    if progress.files_total:
        parts = [
            f"{progress.files_done:,} of {number(progress.files_total, 'file')}",
            f"{size(sent)} of {size(progress.bytes_total)}",
            f"{size(rate_bytes_s)}/s",
        ]
    left = progress.bytes_total - sent
    if rate_bytes_s > 0 and left > 0:
        parts.append(f"{duration(left / rate_bytes_s)} left")
    for count, done in (
        (progress.files_adopted, "adopted"),
        (progress.renames_done, "renamed"),
        (progress.deletes_done, "deleted"),
        (progress.failed, "failed"),
    ):
        if count:
            parts.append(f"{count:,} {done}")
    return ", ".join(parts)


Line = tuple[tuple[str, str], ...]
"""Pieces of text, each with its style."""


def summary(progress: Progress, status: Status, duration_s: float, signs: Marks, option: str = "") -> RenderableType:
    """What `summary_lines` says, for a screen. Pure."""
    from rich.console import Group  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    from ftpsyncd.cli.hanging import Hanging  # noqa: PLC0415 - see above

    lines = [Text.assemble(*line) for line in summary_lines(progress, status, duration_s, signs, option)]
    # Each begins with a sign, or with blanks.
    return Group(*(Hanging(*line.divide([2])) for line in lines))


def summary_lines(progress: Progress, status: Status, duration_s: float, signs: Marks, option: str) -> list[Line]:
    """What a pass has done, and what it could not do; ``option`` stands behind the commands that it names. Pure."""
    done = []
    if progress.files_done:
        done.append(f"{number(progress.files_done, 'file')} ({size(progress.bytes_done)}) published")
    if progress.files_adopted:
        had = "it" if progress.files_adopted == 1 else "them"
        done.append(f"{number(progress.files_adopted, 'file')} adopted (the server had {had} already)")
    if progress.renames_done:
        done.append(f"{progress.renames_done:,} renamed")
    if progress.deletes_done:
        done.append(f"{number(progress.deletes_done, 'file')} deleted")
    is_held = progress.held or progress.directories_held
    well = not (is_held or progress.failed or progress.unavailable or progress.paused or progress.source_missing)
    # What is held may have the place of something else.
    nothing = "nothing to publish" if well else "nothing published"
    well = well and not progress.holds
    took = duration(duration_s)
    sign = (f"{signs.good} ", "bold green") if well else (f"{signs.call} ", "bold yellow")
    lines: list[Line] = [(sign, (f"{', '.join(done)} in {took}." if done else f"{nothing}; that took {took}.", "bold"))]
    waiting = progress.files_total - progress.files_done
    if progress.unavailable and waiting > 0:
        waits = number(waiting, "file waits", "files wait")
        lines.append(((f"{signs.call} {waits} for the server", "yellow"),))
    if progress.failed:
        lines.append(((f"{signs.bad} {number(progress.failed, 'path')} failed: `ftpsyncd status{option}`", "red"),))
    if is_held:
        held = deletes(progress.held, progress.directories_held, "is", "are")
        # Most are named by the messages, with what they do.
        names = [each.name for each in status.mappings if each.held or each.directories_held]
        approve = [f"`ftpsyncd approve {as_word(name)}{option}`" for name in names]
        commands = " or ".join(each for each in approve if not any(each in said for said in progress.messages))
        lines.append(((f"{signs.call} {held} held{': ' if commands else ''}{commands}", "yellow"),))
    lines += [((one_line(f"{signs.call} {message}"), "yellow"),) for message in progress.messages[:MESSAGES_SHOWN]]
    more = len(progress.messages) - MESSAGES_SHOWN
    if more > 0:
        lines.append(((f"  {signs.dots} and {more:,} more messages", "bright_black"),))
    if progress.unavailable:
        lines.append(_what_helps(status, signs, option))
    return lines


def _what_helps(status: Status, signs: Marks, option: str) -> Line:
    """What a person can do about the servers that are not available."""
    down = {each.state for each in status.servers} & {ServerState.OFFLINE, ServerState.REFUSED, ServerState.FULL}
    if down == {ServerState.FULL}:
        # What `check` publishes is so small that it has room.
        return ((f"  {signs.arrow} Free space there, or raise the quota", "cyan"),)
    return ((f"  {signs.arrow} `ftpsyncd check{option}`", "cyan"), (" says what helps", "bright_black"))
