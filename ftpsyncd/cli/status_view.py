"""A `Status` as a person reads it in two seconds: one verdict, what is fine, what waits, what needs you. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from textwrap import shorten
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ftpsyncd.cli.hanging import AND, Commands, Hanging, names
from ftpsyncd.cli.output import Marks, Name, ago, bar, lasted, percent, size, until, words
from ftpsyncd.counting import deletes, duration, number
from ftpsyncd.errors import NameNotSendableError
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.status import (
    STOPPED,
    DaemonStatus,
    MappingState,
    MappingStatus,
    Problem,
    ServerState,
    ServerStatus,
    Status,
    Transfer,
)

INDENT = "  "
NAME_COLUMNS = 24
"""Names that are longer are not aligned with."""
NARROW, WIDE = 70, 100
"""Columns below and above which details of healthy mappings are left out and added."""
PROBLEMS_SHOWN = 5
_WHY_CHARACTERS = 300
TRANSFERS_SHOWN = 8
LATE_S = 600.0
"""A file that has waited for longer is named, whatever else is under way."""
STILL_S = 5.0
"""A transfer that has not moved for so long has no pace any more."""

SERVER_TROUBLE = frozenset({ServerState.OFFLINE, ServerState.REFUSED, ServerState.FULL})

MAPPING_LOOKS = {
    MappingState.IN_SYNC: ("good", "green", "in sync"),
    MappingState.SYNCING: ("busy", "cyan", "syncing"),
    MappingState.SETTLING: ("wait", "cyan", "settling"),
    MappingState.OFFLINE: ("bad", "yellow", "offline"),
    MappingState.HELD: ("call", "bold yellow", "held"),
    MappingState.SOURCE_MISSING: ("call", "bold red", "source missing"),
    MappingState.PAUSED: ("call", "yellow", "paused"),
}
SERVER_LOOKS = {
    ServerState.IDLE: ("good", "green", "ready"),
    ServerState.ONLINE: ("good", "green", "online"),
    ServerState.OFFLINE: ("bad", "yellow", "offline"),
    ServerState.REFUSED: ("call", "bold red", "refused"),
    ServerState.FULL: ("call", "bold red", "full"),
    ServerState.UNKNOWN: ("wait", "bright_black", "not tried yet"),
}


class Typed(NamedTuple):
    """How commands are typed that are to be about the same daemon."""

    start: str = "`systemctl start ftpsyncd`, or `ftpsyncd run`"
    option: str = ""
    """What stands behind each."""


def view(
    status: Status,
    now: datetime,
    signs: Marks,
    width: int,
    typed: Typed = Typed(),  # noqa: B008 - immutable
    *,
    calls_first: bool = False,
) -> RenderableType:
    """Everything about one moment.

    Args:
        status: what is shown.
        now: to say how long ago things were; with an offset.
        signs: what the terminal can show.
        width: of the terminal, columns.
        typed: for the commands that are named.
        calls_first: begin with what needs a person, since there may be no room for what is further down.
    """
    parts: list[RenderableType] = [headline(status, signs, typed.start)]
    calls = ("Needs you", _calls(status, signs, typed))
    for title, body in (
        *([calls] if calls_first else ()),
        ("", _mappings(status, now, signs, width)),
        # What the last daemon, or a `sync`, found of them is no longer known.
        ("Servers", _servers(status, now, signs, typed) if status.daemon.running else None),
        ("On their way", _transfers(status.transfers, signs, width)),
        *(() if calls_first else [calls]),
        ("Failed", _problems([each for each in status.problems if not each.held], now, signs, typed)),
        ("Held", _problems([each for each in status.problems if each.held], now, signs, typed)),
    ):
        if body is None:
            continue
        parts.append(Text())
        if title:
            parts.append(Text(title, style="bold"))
        parts.append(body)
    return Group(*parts)


def headline(status: Status, signs: Marks, start: str) -> RenderableType:
    """The verdict on the first line, the daemon itself on the second."""
    mappings = status.mappings
    calls = sum(1 for _ in calling(status))
    settling = sum(each.pending for each in mappings if each.state is MappingState.SETTLING)
    waiting = sum(each.pending + each.in_flight for each in mappings) - settling
    if status.daemon.at_work:
        sign, style, verdict = signs.busy, "bold cyan", "Another ftpsyncd is at work, as a `sync` is"
    elif not status.daemon.running:
        sign, style, verdict = signs.bad, "bold yellow", "The daemon is not running"
    elif calls:
        sign, style, verdict = signs.call, "bold yellow", f"{number(calls, 'thing needs', 'things need')} you"
    elif any(each.state in SERVER_TROUBLE for each in status.servers):
        sign, style, verdict = signs.bad, "bold yellow", "A server does not answer; it is tried again by itself"
    elif any(each.failed for each in mappings):
        failed = sum(each.failed for each in mappings)
        sign, style, verdict = signs.bad, "bold yellow", f"{number(failed, 'path')} failed and will be tried again"
    elif waiting:
        sign, style, verdict = signs.busy, "bold cyan", f"{number(waiting, 'change')} on the way"
    elif any(each.state is MappingState.SETTLING for each in mappings):
        waits = number(settling, "change waits", "changes wait") if settling else "Waiting for files"
        sign, style, verdict = signs.wait, "bold cyan", f"{waits} to settle"
    else:
        sign, style, verdict = signs.good, "bold green", "All is well"
    daemon = status.daemon
    about = (
        f"ftpsyncd {daemon.version}, up {duration(daemon.uptime_s)}, pid {daemon.pid}"
        if daemon.running
        else f"{'no daemon answers' if daemon.at_work else f'start it: {start}'}; the ledger says:"
    )
    lines = [Hanging(Text(f"{sign} ", style), Text(verdict, style)), Hanging(Text(INDENT), Text(about, "bright_black"))]
    if daemon.notice:
        lines.append(Hanging(Text(INDENT), words(daemon.notice, "yellow")))
    return Group(*lines)


def calling(status: Status) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What wants a person: (about what, what is wrong, the commands that settle it)."""
    yield from _calling_itself(status.daemon)
    for server in status.servers:
        if server.state in {ServerState.REFUSED, ServerState.FULL}:
            yield f"server {server.name}", *_what_helps(server)
    goes_on = "it goes on by itself" if status.daemon.running else "a sync, or the daemon, goes on"
    for each in status.mappings:
        if each.state is MappingState.SOURCE_MISSING:
            yield (
                each.name,
                f"{each.message or f'{each.local} is not there'}; {goes_on} when that is mended",
                # Nothing can be decided about a folder that is not there; where another one is, the message says what.
                (),
            )
        elif each.held or each.directories_held or each.state is MappingState.HELD:
            # In another state its sentence is about something else: that it is paused, for instance.
            told = each.message if each.state is MappingState.HELD else ""
            waits = deletes(each.held, each.directories_held, "waits", "wait")
            wait = told or f"{waits} for your decision"
            yield each.name, wait, (f"ftpsyncd approve {as_word(each.name)}", f"ftpsyncd discard {as_word(each.name)}")
        # Without a daemon nothing is published: the headline says so.
        if each.state is MappingState.PAUSED and not each.message.startswith(STOPPED):
            yield each.name, each.message or "paused", (f"ftpsyncd resume {as_word(each.name)}",)
        if each.parked:
            remedies = [p.remedy for p in status.problems if p.parked and p.mapping == each.name]
            # Of more than are listed it is not known whether it helps all.
            helps = remedies[0] if len(remedies) == each.parked and len(set(remedies)) == 1 else ""
            yield (
                each.name,
                f"{number(each.parked, 'path is', 'paths are')} parked{helps and f': {helps}'}",
                # Trying again would not help a name that cannot be sent.
                () if helps == NameNotSendableError.remedy else (f"ftpsyncd retry {as_word(each.name)}",),
            )


def _calling_itself(daemon: DaemonStatus) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What of that is about the daemon, and not about what it publishes."""
    if daemon.stuck:
        yield "daemon", f"{daemon.stuck}; if it does, start the daemon again", ()
    if daemon.message:
        yield "ledger", f"{daemon.message}; renames and deletes wait until it can be", ()
    if daemon.shortage:
        yield "this machine", f"{daemon.shortage} It goes on when it can.", ("ftpsyncd check",)
    if daemon.alerts:
        # A command that fails may say much.
        why = shorten(daemon.alerts, _WHY_CHARACTERS, placeholder=" …")
        yield "alerts", f"the last message was not delivered: {why}; what it was is in the log", ()


def _what_helps(server: ServerStatus) -> tuple[str, tuple[str, ...]]:
    """What is wrong with a server that needs a person, in words that say what is to be done, and the commands."""
    said, retry = (server.message or server.state.value).rstrip("."), f"ftpsyncd retry --server {as_word(server.name)}"
    if server.state is ServerState.FULL:
        # What `check` publishes is so small that it has room.
        return f"{said}. Free space there, or raise the quota.", (retry,)
    # A daemon goes by the configuration that it has read; a file that this names may have been corrected, too.
    return f"{said}. When that is mended, have it read and tried.", ("ftpsyncd check", f"ftpsyncd reload{AND}{retry}")


def _for_server(server: ServerStatus) -> tuple[str, ...]:
    """The commands for one that does not work: what was mended meanwhile would be tried minutes later only."""
    return ("ftpsyncd check", f"ftpsyncd retry --server {as_word(server.name)}")


def _mappings(status: Status, now: datetime, signs: Marks, width: int) -> RenderableType:
    if not status.mappings:
        return Text(f"{INDENT}no mappings", style="bright_black")
    heads = []
    for each in status.mappings:
        sign, style, word = MAPPING_LOOKS[each.state]
        if each.state is MappingState.PAUSED and each.message.startswith(STOPPED):
            sign, style, word = "wait", "bright_black", "stopped"
        elif each.state is MappingState.IN_SYNC and (each.failed or each.parked):
            # Nothing is under way; who sees a tick thinks that all is there.
            sign, style, word = "bad", "yellow", "incomplete"
        heads.append((getattr(signs, sign), each.name, word, style))
    servers = {each.name: each for each in status.servers}
    bodies = [
        _mapping_details(each, servers.get(each.remote.partition(":")[0]), now, width) for each in status.mappings
    ]
    return Group(*map(Hanging, _heads(heads), bodies))


def _heads(rows: Sequence[tuple[str, str, str, str]]) -> list[Text]:
    """Signs, names and states below one another; a long name, which may have to be typed, is shown whole."""
    broadest = min(NAME_COLUMNS, max(cell_len(name) for _, name, _, _ in rows))
    states = max(cell_len(word) for _, _, word, _ in rows)
    return [
        Text.assemble(
            INDENT,
            (sign, style),
            "  ",
            words(name, "bold"),
            " " * (max(0, broadest - cell_len(name)) + 2),
            (word, style),
            " " * (states - cell_len(word) + 2),
        )
        for sign, name, word, style in rows
    ]


def _mapping_details(each: MappingStatus, server: ServerStatus | None, now: datetime, width: int) -> Text:
    waits = [f"for {lasted(each.since, now)}"] if each.since is not None else []
    waits += [
        text
        for count, text in (
            (each.in_flight, f"{each.in_flight:,} on the way"),
            (each.pending, f"{each.pending:,} waiting"),
            (each.failed, f"{each.failed:,} failed"),
            (each.parked, f"{each.parked:,} parked"),
            (each.held, f"{each.held:,} held"),
            (each.directories_held and not each.held, f"{deletes(0, each.directories_held)} held"),
        )
        if count
    ]
    line = Text(", ".join(waits))
    if not waits or width >= WIDE:
        line.append(f"{'; ' if waits else ''}{_published(each, now, width)}", style="bright_black")
    if message := _message(each, server):
        line.append_text(words(f"; {message}", "yellow"))
    return line


def _published(each: MappingStatus, now: datetime, width: int) -> str:
    """What a mapping has at its server."""
    if each.published_files:
        last = f", last {ago(each.last_publish, now)}" if width >= NARROW else ""
        return f"{number(each.published_files, 'file')}, {size(each.published_bytes)}{last}"
    if each.last_publish is not None:
        return f"nothing there now, last published {ago(each.last_publish, now)}"
    return "nothing published yet"


def _message(each: MappingStatus, server: ServerStatus | None) -> str:
    """What a mapping waits for, or what is wrong with it, as far as nothing below says it."""
    if each.message.startswith(STOPPED):
        return each.message if each.message != STOPPED else ""
    if each.state in {MappingState.SOURCE_MISSING, MappingState.PAUSED}:
        return ""
    late = _late(each)
    if each.held or each.state is MappingState.HELD:
        # What is to be published waits for no decision.
        return late
    # What is wrong with the server is told there.
    said = each.message.removesuffix(f": {server.message}") if server is not None and server.message else each.message
    # Of a folder at rest, it says what one of the files waits for that are not.
    return "; ".join(filter(None, ("" if late and each.state is MappingState.SETTLING else said, late)))


def _late(each: MappingStatus) -> str:
    """Which file has been waiting for long, and what for; empty if none has, or what all wait for is told."""
    waited_s = each.oldest_pending_s or 0.0
    if waited_s <= LATE_S or not each.oldest_pending or each.state is MappingState.OFFLINE:
        return ""
    return f"{each.oldest_pending} (for {duration(waited_s)})"


def _servers(status: Status, now: datetime, signs: Marks, typed: Typed) -> RenderableType | None:
    if not status.servers:
        return None
    heads = []
    for each in status.servers:
        sign, style, word = SERVER_LOOKS[each.state]
        heads.append((getattr(signs, sign), each.name, word, style))
    parts: list[RenderableType] = []
    for each, head in zip(status.servers, _heads(heads), strict=True):
        parts.append(Hanging(head, _server_details(each, now)))
        if each.state is ServerState.OFFLINE:
            # One that refuses, or is full, is among what needs a person.
            parts.append(_line(_for_server(each), signs, typed, head.cell_len))
    return Group(*parts)


def _server_details(each: ServerStatus, now: datetime) -> Text:
    line = Text(number(each.connections, "connection") if each.connections else "", style="bright_black")
    if each.message:
        line.append_text(words(f"{'; ' if line.plain else ''}{each.message}"))
    if each.since is not None:
        tried = f"tried again {until(each.next_try, now)}" if each.next_try is not None else "being tried"
        line.append(f" (for {lasted(each.since, now)}; {tried})", style="bright_black")
    return line


def _transfers(transfers: tuple[Transfer, ...], signs: Marks, width: int) -> RenderableType | None:
    if not transfers:
        return None
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    for each in transfers[:TRANSFERS_SHOWN]:
        share = each.sent_bytes / each.size_bytes if each.size_bytes else 1.0
        table.add_row(
            Name(f"{each.mapping}/{each.path}", signs),
            bar(share, 10 if width < NARROW else 20, signs),
            Text(percent(share)),
            _pace(each),
        )
    more = len(transfers) - TRANSFERS_SHOWN
    said = Text(f"and {more:,} more", style="bright_black")
    return Padding(Group(table, said) if more > 0 else table, (0, 0, 0, len(INDENT)))


def _pace(transfer: Transfer) -> Text:
    """How quick a transfer has been so far, or for how long it has not been at all."""
    if transfer.still_s < STILL_S:
        return Text(f"{size(transfer.rate_bytes_s)}/s", style="bright_black")
    what = "no reply" if transfer.sent_bytes == transfer.size_bytes else "nothing sent"
    return Text(f"{what} for {duration(transfer.still_s)}", style="yellow")


def _calls(status: Status, signs: Marks, typed: Typed) -> RenderableType | None:
    parts: list[RenderableType] = []
    named: set[str] = set()
    for subject, what, commands in calling(status):
        said = words(subject, "bold").append(": ", style="not bold").append_text(words(what, "not bold"))
        parts.append(Hanging(Text.assemble(INDENT, (f"{signs.call} ", "bold yellow")), said))
        # One that is about everything, such as `check`, is typed once, whatever wants it; so is what is named already.
        if news := [each for each in commands if each not in named and not names(what, each)]:
            parts.append(_line(news, signs, typed, len(INDENT) + 2))
        named.update(commands)
    return Group(*parts) if parts else None


def _line(commands: Sequence[str], signs: Marks, typed: Typed, indent: int) -> Commands:
    """What to type: one of these."""
    each = [AND.join(f"{part}{typed.option}" for part in command.split(AND)) for command in commands]
    return Commands(each, signs.arrow, indent)


def _problems(problems: Sequence[Problem], now: datetime, signs: Marks, typed: Typed) -> RenderableType | None:
    if not problems:
        return None
    parts: list[RenderableType] = []
    for each in problems[:PROBLEMS_SHOWN]:
        sign, style = (signs.call, "bold yellow") if each.held else (signs.bad, "red")
        name = Text(quote(f"{each.mapping}/{each.path}"), "bold")
        parts.append(Hanging(Text.assemble(INDENT, (f"{sign} ", style)), name))
        parts.append(Hanging(Text(f"{INDENT}  "), _problem_words(each, now)))
    more = len(problems) - PROBLEMS_SHOWN
    if more > 0:
        told = f"and {more:,} more: `ftpsyncd status --json{typed.option}`"
        parts.append(Hanging(Text(f"{INDENT}  "), Text(told, style="bright_black")))
    return Group(*parts)


def _problem_words(each: Problem, now: datetime) -> Text:
    text = words(each.message)
    if each.reply and each.reply not in each.message:
        text.append_text(words(f" The server said: {each.reply}"))
    if each.held:
        # What to do about it is among what needs a person.
        return text.append(f" ({ago(each.failed, now)})" if each.failed is not None else "", style="bright_black")
    if each.next_try is None and not each.parked:
        text.append(" (looked at again by itself)", style="bright_black")
        return text
    when = "parked" if each.parked else f"tried again {each.awaits or until(each.next_try, now)}"
    if each.awaits and each.next_try is not None and until(each.next_try, now) != "now":
        when += f", {until(each.next_try, now)} at the earliest"
    if each.parked and each.failed is not None:
        when += f" {ago(each.failed, now)}"
    text.append(f" ({number(each.attempts, 'try', 'tries')}, {when})", style="bright_black")
    return text
