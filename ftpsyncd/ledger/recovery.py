"""What is done about a ledger that is damaged: found early, set aside, begun anew.

In: the ledger's path. Out: a ledger to work with. Used by `service` at its start, and in a thread beside the engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from ftpsyncd.claim import Claim
from ftpsyncd.errors import LedgerDamagedError, LedgerError
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.ledger.sqlitefile import COMPANIONS, check
from ftpsyncd.threads import begin

_DAMAGED = ".damaged-"
"""What is appended to the name of a damaged ledger, with the time at which that was found."""
_BEGUN_ANEW = (
    "a new one was begun: nothing is deleted at the servers for it, and what they have already is treated as `existing`"
    " says (`adopt` records it again where size and date agree; with `keep` it counts as somebody else's)"
)
_DRAFT = ".begun"
"""What is appended to the name of a new ledger until it holds all that it is begun with."""
_PAUSES_LOST = "; what a person paused is paused no more"

_Paused = tuple[str, str, int]
"""Name and destination of a mapping that a person paused, and when (wall clock, ns)."""


def open_for_work(
    path: Path, *, keep_history_s: float, now: datetime, claim: Claim | None = None
) -> tuple[Ledger, str]:
    """Open the ledger, or begin a new one in place of a damaged one, which is kept under another name.

    What is at the servers is found there again (`existing: adopt`); what people paused stays paused, if that can still
    be read. One that is gone is told of where its directory shows that there was one.

    Args:
        path: the file.
        keep_history_s: see `Ledger`.
        now: names the damaged file.
        claim: see `Ledger`.

    Returns:
        The ledger and, if it is a new one in place of another, a sentence that says so.

    Raises:
        LedgerError: as `Ledger` does, except for damage.
    """
    if claim is not None:
        with suppress(OSError):
            claim.close_to_others(_all_of(path))
    _remove_draft(path)
    gone = is_lost(path, claim)
    notice = f"{gone}; {_BEGUN_ANEW}{_PAUSES_LOST}" if gone else ""
    try:
        return Ledger(path, keep_history_s=keep_history_s, claim=claim), notice
    except LedgerDamagedError as damage:
        if claim is not None:
            # Damage may show when the ledger is used already, and what is used has to stay in its place.
            for companion in COMPANIONS:
                claim.let_go(path.with_name(path.name + companion))
        kept = set_aside(path, now)
        # Before there is a new one, which the next start would take for one in order: a disk that fails may take long.
        paused = _paused_in(kept)
        _begin_with(paused or (), path)
        ledger = Ledger(path, keep_history_s=keep_history_s, claim=claim)
        # Once more, where there was no room for that.
        _pause(ledger, paused or ())
        lost = _PAUSES_LOST if paused is None else ""
        return ledger, f"{damage.message}; it is kept as {kept}, and {_BEGUN_ANEW}{lost}"


def is_lost(path: Path, claim: Claim | None) -> str:
    """That a ledger is gone which somebody had, in half a sentence; empty where it is there, or there was none.

    Whoever begins a new one has to tell of it: the next one finds that in order.
    """
    if _is_empty(path):
        return f"the ledger {path} is an empty file"
    if claim is not None and claim.used_before and not path.exists():
        return f"there is no ledger {path}, though its directory was used before"
    return ""


def set_aside(path: Path, now: datetime) -> Path:
    """Give a damaged database, with all that belongs to it, another name; returns that.

    Raises:
        LedgerError: that cannot be done.
    """
    stem = f"{path.name}{_DAMAGED}{now:%Y%m%d-%H%M%S}"
    kept, count = path.with_name(stem), 1
    while kept.exists():
        count += 1
        kept = path.with_name(f"{stem}-{count}")
    try:
        # The database last: as long as it is there, so is the damage.
        for companion in reversed(COMPANIONS):
            file = path.with_name(path.name + companion)
            if file.exists():
                file.rename(kept.with_name(kept.name + companion))
    except OSError as error:
        raise LedgerError(f"the damaged ledger {path} cannot be set aside: {error.strerror}") from error
    return kept


def _all_of(path: Path) -> Iterator[Path]:
    """The files of a ledger, there or not, and those of damaged ones before it."""
    yield from (path.with_name(path.name + companion) for companion in COMPANIONS)
    yield from path.parent.glob(f"{path.name}{_DAMAGED}*")


def _is_empty(path: Path) -> bool:
    """Whether a power failure, or a restore that broke off, has left nothing of a ledger but its name.

    What is in a write-ahead log beside it is lost, too: SQLite deletes that.
    """
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


class Checkup:
    """Checks a ledger while others work with it, in a thread of its own.

    Args:
        path: the file.
        tell: is told what is wrong, from that thread, if anything is.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self._path = path
        self._tell = tell
        self._interrupt: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="ftpsyncd-checkup", daemon=True)

    def __enter__(self) -> Self:
        begin(self._thread)
        return self

    def __exit__(self, *_exc: object) -> None:
        while self._thread.is_alive():
            # Again and again: it may not have begun.
            self._interrupt()
            self._thread.join(0.05)

    def _begun(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt

    def _run(self) -> None:
        problem = check(self._path, self._begun)
        self._interrupt = lambda: None
        if problem:
            self._tell(problem)


def _begin_with(paused: Collection[_Paused], path: Path) -> None:
    """Begin a ledger with what a person had paused, whole or, where that cannot be written, not at all.

    Who is killed in between leaves none in its place, of which the next start tells.
    """
    if not paused:
        return
    draft = path.with_name(f"{path.name}{_DRAFT}")
    try:
        with Ledger(draft) as ledger:
            _pause(ledger, paused)
            # It knows no more of what was begun than any other new one.
            ledger.distrust()
        draft.rename(path)
    except (LedgerError, OSError):
        _remove_draft(path)


def _remove_draft(path: Path) -> None:
    """Leave nothing of a ledger that somebody had begun beside its place when it was killed."""
    for companion in COMPANIONS:
        with suppress(OSError):
            path.with_name(f"{path.name}{_DRAFT}{companion}").unlink(missing_ok=True)


def _pause(ledger: Ledger, paused: Collection[_Paused]) -> None:
    for name, destination, at_ns in paused:
        ledger.decisions.set_paused(ledger.mappings.number(name, destination), at_ns)
    ledger.commit()


def _paused_in(path: Path) -> list[_Paused] | None:
    """Name and destination of the mappings that a person paused, and when; None if a damaged ledger does not tell."""
    try:
        with Ledger(path, read_only=True) as damaged:
            return damaged.decisions.paused_mappings()
    except LedgerError:
        return None
