"""What disk and ledger tell without a daemon: its status, the history, and which mapping a path belongs to.

In: a configuration. Out: plain records. Called by reading commands, and by `preview` and `reasons`; opens the ledger
read-only and never a connection.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from posixpath import normpath

from ftpsyncd import __version__, patience
from ftpsyncd.claim import is_taken
from ftpsyncd.config import Config
from ftpsyncd.counting import number
from ftpsyncd.engine.report import changed_message, iso, iso_of_past, iso_of_pause, problems_of
from ftpsyncd.errors import LedgerError, UnknownNameError, UsageError
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.ledger.history import Recorded
from ftpsyncd.model import Failure, HoldKind
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.receipts import HistoryPage, HistoryQuery, Receipt
from ftpsyncd.specs import MappingSpec, destination
from ftpsyncd.status import STOPPED, DaemonStatus, MappingState, MappingStatus, ServerState, ServerStatus, Status


def open_ledger(config: Config) -> Ledger | None:
    """The ledger for reading; None if nothing was ever published."""
    path = config.state_dir / LEDGER
    try:
        return Ledger(path, read_only=True) if _is_there(path) else None
    except OSError as error:
        raise _closed(path, error) from error


def ledger_to_try(config: Config) -> Ledger:
    """A copy of the ledger for trying what comes of something; empty if nothing was ever published."""
    path = config.state_dir / LEDGER
    try:
        _is_there(path)
        return Ledger(path, scratch=True, keep_history_s=0)
    except OSError as error:
        raise _closed(path, error) from error


def _is_there(path: Path) -> bool:
    """Whether there is a file.

    Raises:
        PermissionError: it may not be read, which SQLite would call something that cannot be opened.
    """
    there = path.exists()
    if there and not os.access(path, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return there


def _closed(path: Path, error: OSError) -> LedgerError:
    remedy = "Use sudo, or join the group of the service: `usermod -aG ftpsyncd USER`, then log in again."
    return LedgerError(f"the ledger {path} cannot be read: {error.strerror}", remedy=remedy)


def located(config: Config, path: str) -> dict[str, str]:
    """The mappings that a local path belongs to, each with the path relative to its root.

    Of folders inside one another the inner one counts; one that is published to several places has several mappings.
    """
    absolute = os.path.abspath(path)  # noqa: PTH100 - keeps symlinks as they are, unlike resolve()
    found: dict[str, str] = {}
    longest = ""
    for spec in config.mappings.values():
        root = str(spec.local)
        inside = absolute == root or absolute.startswith(root.rstrip("/") + "/")
        if inside and len(root) > len(longest):
            found, longest = {}, root
        if inside and root == longest:
            found[spec.name] = absolute[len(root) :].strip("/")
    return found


def name_in_mapping(config: Config, path: str) -> str | None:
    """A path that `located` does not find as the configuration writes it, where links lead to a mapping's folder.

    Not for a daemon: a disk that does not answer would keep it waiting.
    """
    if located(config, path):
        return None
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - as above
    tops = {os.path.realpath(spec.local): spec.local for spec in config.mappings.values()}
    # What it names may be a link that lies in the folder; else it leads to the folder itself.
    for real in (Path(os.path.realpath(folder), name), Path(os.path.realpath(path))):
        for top in sorted(tops, key=len, reverse=True):
            if real.is_relative_to(top):
                return str(tops[top] / real.relative_to(top))
    return None


def source_of(config: Config, place: str) -> str | None:
    """The local path of what ``SERVER:PATH`` is published from; None if it names no server.

    Raises:
        UsageError: nothing is published there.
    """
    server, _, path = place.partition(":")
    if server not in config.servers:
        return None
    remote = normpath("/" + path.lstrip("/"))
    specs = [spec for spec in config.mappings.values() if spec.server == server]
    for spec in specs:
        if remote == spec.remote or remote.startswith(spec.remote.rstrip("/") + "/"):
            return str(spec.local / remote[len(spec.remote) :].lstrip("/"))
    directories = ", ".join(quote(f"{server}:{spec.remote}") for spec in specs)
    remedy = f"The directories are: {directories}." if specs else ""
    raise UsageError(f"No mapping publishes to {quote(f'{server}:{remote}')}.", remedy=remedy)


def in_no_mapping(config: Config, path: str) -> UsageError:
    """What is said of a path that `located` does not find."""
    folders = ", ".join(quote(str(spec.local)) for spec in config.mappings.values())
    return UsageError(f"{quote(path)} is in no mapping.", remedy=f"The folders are: {folders}.")


def in_another_mapping(path: str, names: Collection[str]) -> UsageError:
    """What is said of a path that lies in the mappings ``names`` and was asked for in another one."""
    return UsageError(f"{quote(path)} is in the mapping {' and '.join(names)}.", remedy="Leave out one of the two.")


# ── history ──────────────────────────────────────────────────────────────────────────────────────────────────────


def history(config: Config, query: HistoryQuery, path: str | None, cursor: str | None = None) -> HistoryPage:
    """A page of receipts from the ledger.

    Args:
        config: to find the mapping of a path.
        query: which ones; its ``path`` is not used.
        path: only what is about this local path or below it.
        cursor: `next` of the page before; else the query's ``before`` counts.

    Raises:
        UnknownNameError: there is no such mapping, and there was none.
        UsageError: the path lies in no mapping, or in another one than the query names.
        LedgerError: the ledger cannot be read.
    """
    if cursor is not None:
        at_ns, _, number = cursor.partition(".")
        query = query._replace(before=(int(at_ns), int(number)))
    if path is not None:
        found = located(config, path)
        if not found:
            raise in_no_mapping(config, path)
        if query.mapping is not None and query.mapping not in found:
            raise in_another_mapping(path, found)
        query = query._replace(path=next(iter(found.values())))
        if query.mapping is None:
            query = query._replace(among=tuple(found))
    ledger = open_ledger(config)
    try:
        known = {*config.mappings, *(ledger.history.mappings() if ledger is not None else ())}
        if query.mapping is not None and query.mapping not in known:
            raise unknown_mapping(query.mapping, known)
        if ledger is None or not ledger.has_history:
            return HistoryPage(())
        found_rows = ledger.history.page(query._replace(limit=query.limit + 1))
    finally:
        if ledger is not None:
            ledger.close()
    shown = found_rows[: query.limit]
    more = len(found_rows) > query.limit
    return HistoryPage(tuple(map(_receipt, shown)), f"{shown[-1].at_ns}.{shown[-1].id}" if more else None)


def unknown_mapping(name: str, known: Collection[str]) -> UnknownNameError:
    """What is said of a mapping that there is not."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed for a typing mistake only

    close = get_close_matches(name, known, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(sorted(known)) or 'none'}."
    return UnknownNameError(f"There is no mapping {quote(name)}.", remedy=remedy)


def receipt_if(found: Recorded | None) -> Receipt | None:
    """What the history recorded, for whoever asks; None stays None."""
    return None if found is None else _receipt(found)


def _receipt(found: Recorded) -> Receipt:
    at = iso(found.at_ns)
    return Receipt(
        id=found.id,
        at=at,
        mapping=found.mapping,
        kind=found.kind,
        path=found.path,
        source=found.source,
        size=found.size,
        sha256=found.sha256.hex(),
        duration_s=round(found.duration_s, 6),
        attempts=found.attempts,
        last=at if found.last_ns == found.at_ns else iso(found.last_ns),
        reply=found.reply,
        message=found.message,
    )


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────


def offline_status(config: Config) -> Status:
    """The status without a running daemon, from the ledger."""
    ledger = open_ledger(config)
    try:
        ids: dict[str, int] = {}
        if ledger is not None:
            for spec in config.mappings.values():
                found = ledger.mappings.find(spec.name, destination(spec, config.servers[spec.server]))
                if found is not None:
                    ids[spec.name] = found
        there = patience.answers({spec.name: partial(_lacks, spec.local) for spec in config.mappings.values()})
        return Status(
            DaemonStatus(False, 0, __version__, 0.0, at_work=is_taken(config.state_dir)),  # noqa: FBT003
            tuple(
                _offline_mapping(spec, ledger, ids.get(spec.name), _missing(spec, there.get(spec.name)))
                for spec in config.mappings.values()
            ),
            tuple(ServerStatus(name, ServerState.UNKNOWN, 0, "") for name in config.servers),
            (),
            problems_of(ledger, ids, time.time_ns(), partial(_awaited, ledger, ids)) if ledger is not None else (),
        )
    finally:
        if ledger is not None:
            ledger.close()


def _awaited(ledger: Ledger, ids: Mapping[str, int], name: str, _path: str, _failure: Failure) -> str:
    """Who tries something again that failed, since no daemon runs."""
    if ledger.decisions.paused_ns(ids[name]):
        return f"after `ftpsyncd resume {as_word(name)}`"
    return f"by the next `ftpsyncd sync {as_word(name)}`, or the daemon"


def _lacks(folder: Path) -> str:
    """What is wrong with a folder, as far as whoever asks can see: the service may be allowed more. Empty: nothing."""
    try:
        return "" if stat.S_ISDIR(folder.stat().st_mode) else f"{folder} is no folder"
    except (FileNotFoundError, NotADirectoryError):
        return f"{folder} is not there"
    except OSError as error:
        return f"{folder} cannot be looked at: {error.strerror}"


def _missing(spec: MappingSpec, lacks: str | None) -> str:
    """What is said of a folder that lacks something, or whose disk does not answer (None)."""
    return f"the disk of {spec.name} does not answer: {spec.local}" if lacks is None else lacks


def _offline_mapping(spec: MappingSpec, ledger: Ledger | None, mapping_id: int | None, missing: str) -> MappingStatus:
    files = size = retrying = parked = changed = approved = 0
    last = since = None
    state, message = MappingState.PAUSED, STOPPED
    if missing:
        state, message = MappingState.SOURCE_MISSING, missing
    if ledger is not None and mapping_id is not None:
        files, size, last = ledger.mappings.totals(mapping_id)
        retrying, parked, changed = ledger.failures.counts(mapping_id)
        hold = ledger.decisions.hold(mapping_id)
        paused_ns = ledger.decisions.paused_ns(mapping_id)
        approved = ledger.decisions.approved_files(mapping_id)
        if not missing and paused_ns:
            since = iso_of_pause(paused_ns, time.time_ns())
            message = f"paused by a person; `ftpsyncd resume {as_word(spec.name)}` goes on"
        if not missing:
            message += _decided(ledger, mapping_id, approved)
        if changed and not missing:
            state, message, since = MappingState.HELD, changed_message(spec.name, changed), None
        if hold is not None and not missing:
            unmounted = hold.kind is HoldKind.UNMOUNTED_SOURCE
            state, message = MappingState.SOURCE_MISSING if unmounted else MappingState.HELD, hold.message
            since = iso_of_past(hold.since_ns, time.time_ns())
    return MappingStatus(
        name=spec.name,
        local=str(spec.local),
        remote=f"{spec.server}:{spec.remote}",
        state=state,
        pending=approved,
        in_flight=0,
        failed=retrying,
        parked=parked,
        held=changed,
        published_files=files,
        published_bytes=size,
        last_publish=iso(last) if last else None,
        message=message,
        since=since,
    )


def _decided(ledger: Ledger, mapping_id: int, approved: int) -> str:
    """What a person decided and a pass is still to carry out, to be put after a sentence; empty if that is nothing."""
    later = "for the next `ftpsyncd sync`, or for the daemon's start"
    said = f"; {number(approved, 'approved delete waits', 'approved deletes wait')} {later}" if approved else ""
    if ledger.decisions.discarding(mapping_id):
        said += f"; a discard waits {later}: what goes until then stays at the server, too"
    return said
