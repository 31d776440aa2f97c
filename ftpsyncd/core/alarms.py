"""When a person is to be told: conditions that last raise an alert, are recalled, and are told to be over. Pure.

Level-triggered like everything here: `judge` is asked again and again what the status shows now, and remembers only
what it has told. A condition that comes and goes within its patience is never told; one that is over for `CALM_S` is.
Nothing is lost by the limit: what may not be told now and lasts is told when there is room again.

Times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from ftpsyncd.counting import deletes, duration, number
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import AlertLimits
from ftpsyncd.status import DaemonStatus, MappingState, ServerState, Status

CALM_S = 60.0
"""A condition must be gone for so long before it is told to be over: flapping makes two messages, not two hundred."""
STUCK_S = 10.0
"""A daemon that was stopped as a whole, as its machine may be, goes on a moment after that is seen."""
MOST = 30
"""Messages in `WINDOW_S`."""
WINDOW_S = 3600.0


OVER = "over: "
"""Begins the message of a condition that is."""


class AlertKind(StrEnum):
    """What an alert is about."""

    SERVER_OFFLINE = "server_offline"
    OLDEST_PENDING = "oldest_pending"
    SOURCE_MISSING = "source_missing"
    HELD = "held"
    PARKED = "parked"
    PAUSED = "paused"
    LEDGER = "ledger"
    NEW_LEDGER = "new_ledger"
    SHORTAGE = "shortage"
    STUCK = "stuck"


class Step(StrEnum):
    """What is told of a condition."""

    RAISED = "raised"
    REMINDER = "reminder"
    RECOVERED = "recovered"


Key = tuple[AlertKind, str]
"""Kind, and the mapping or server."""


class Condition(NamedTuple):
    """Something that is not as it should be now."""

    message: str
    remedy: str
    patience_s: float = 0.0
    """How long it may last before it is told."""
    once: bool = False
    """It has happened, and will not be over: there is nothing to recall."""


class Notice(NamedTuple):
    """A message for a person."""

    step: Step
    kind: AlertKind
    subject: str
    message: str
    remedy: str
    lasted_s: float
    """Since it was first seen, until it was over."""
    over_s: float = 0.0
    """How long it has been over."""


_REMEDIES = {
    ServerState.OFFLINE: "Everything for it waits and is published when it is back; {} tries it now.",
    ServerState.REFUSED: (
        "`ftpsyncd check` says what to correct, `ftpsyncd reload` takes it from the configuration, {} tries it then."
        " Everything for it waits."
    ),
    ServerState.FULL: "Free space there, or raise the quota; what waits is tried again by itself, or now by {}.",
}


def conditions(status: Status, limits: AlertLimits) -> dict[Key, Condition]:
    """What is not as it should be."""
    found = _of_itself(status.daemon)
    for server in status.servers:
        if server.state in _REMEDIES:
            found[AlertKind.SERVER_OFFLINE, server.name] = Condition(
                f"server {server.name} is {server.state.value}: {server.message}",
                _REMEDIES[server.state].format(f"`ftpsyncd retry --server {as_word(server.name)}`"),
                limits.server_offline_s,
            )
    for mapping in status.mappings:
        name, typed = mapping.name, as_word(mapping.name)
        if mapping.state is MappingState.SOURCE_MISSING:
            found[AlertKind.SOURCE_MISSING, name] = Condition(
                f"{name}: {mapping.message or 'the folder is not there'}",
                "Mount the disk, put the folder back, or let the service read it.",
                limits.source_missing_s,
            )
        if mapping.held or mapping.directories_held or mapping.state is MappingState.HELD:
            # In another state its sentence is about something else: that it is paused, for instance.
            why = f": {mapping.message}" if mapping.state is MappingState.HELD else ""
            # Most reasons name both, with what they do.
            named = f"`ftpsyncd approve {typed}`" in why
            remedy = "" if named else f"Decide: `ftpsyncd approve {typed}` or `ftpsyncd discard {typed}`."
            if mapping.state is MappingState.SOURCE_MISSING:
                # Nothing is decided about one that is not there; where another one is, its own alert says what does.
                remedy = "See to the folder first: `ftpsyncd status` says what is wrong with it."
            # What is held may not be known: another folder is there, or a part of it cannot be read.
            known = mapping.held or mapping.directories_held
            what = deletes(mapping.held, mapping.directories_held, "is", "are") if known else "whatever is deleted is"
            found[AlertKind.HELD, name] = Condition(f"{name}: {what} held{why}", remedy)
        if mapping.parked:
            found[AlertKind.PARKED, name] = Condition(
                f"{name}: {number(mapping.parked, 'file')} cannot be published without you",
                f"`ftpsyncd status` names them with reasons; `ftpsyncd retry {typed}` tries them again.",
            )
        if mapping.state is MappingState.PAUSED:
            found[AlertKind.PAUSED, name] = Condition(
                f"{name} is paused", f"`ftpsyncd resume {typed}` goes on.", limits.paused_s
            )
        elif mapping.oldest_pending_s is not None and mapping.oldest_pending_s > limits.oldest_pending_s:
            which = f": {mapping.oldest_pending}" if mapping.oldest_pending else ""
            found[AlertKind.OLDEST_PENDING, name] = Condition(
                f"{name}: a file or folder has been waiting for {duration(mapping.oldest_pending_s)}{which}",
                "`ftpsyncd status` tells what it waits for.",
            )
    return found


def _of_itself(daemon: DaemonStatus) -> dict[Key, Condition]:
    found: dict[Key, Condition] = {}
    if daemon.stuck:
        found[AlertKind.STUCK, ""] = Condition(
            daemon.stuck, "See whether that disk answers; if it does, start the daemon again.", STUCK_S
        )
    if daemon.shortage:
        found[AlertKind.SHORTAGE, ""] = Condition(
            daemon.shortage, "Nothing is lost: what is to be done waits until that is possible."
        )
    if daemon.message:
        found[AlertKind.LEDGER, ""] = Condition(
            daemon.message, "Free space on the disk of the state directory; it is tried again by itself."
        )
    if daemon.notice:
        found[AlertKind.NEW_LEDGER, ""] = Condition(
            daemon.notice,
            "`ftpsyncd status` tells when all is in sync again. Find out what became of the old one.",
            once=True,
        )
    return found


@dataclass(slots=True)
class _Seen:
    since: float
    condition: Condition
    told_at: float | None = None
    gone_since: float | None = None


@dataclass(slots=True)
class Alarms:
    """What was seen and told."""

    limits: AlertLimits
    _seen: dict[Key, _Seen] = field(default_factory=dict)
    _told: deque[float] = field(default_factory=deque)
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)
    """From when to when mappings were paused last, as far as that was seen."""
    _paused: frozenset[str] = frozenset()
    """Those that are."""

    def judge(self, now_shown: Mapping[Key, Condition], now: float) -> list[Notice]:
        """What is to be told now.

        Args:
            now_shown: the conditions of this moment.
            now: monotonic seconds.
        """
        while self._told and self._told[0] <= now - WINDOW_S:
            self._told.popleft()
        self._note_pauses(now_shown, now)
        notices = []
        for key, condition in now_shown.items():
            seen = self._seen.setdefault(key, _Seen(now, condition))
            seen.condition, seen.gone_since = condition, None
        # What is new goes first: reminders must not take the room.
        for step in (Step.RAISED, Step.REMINDER):
            for key in now_shown:
                seen = self._seen[key]
                if self._due(key, seen, now) is step and len(self._told) < MOST:
                    notices.append(self._notice(step, key, seen, now))
                    seen.told_at = now
        # What waits in a mapping that is paused is not shown, and waits all the same.
        hidden = {(AlertKind.OLDEST_PENDING, subject) for subject in self._paused}
        for key in self._seen.keys() - now_shown.keys() - hidden:
            seen = self._seen[key]
            seen.gone_since = now if seen.gone_since is None else seen.gone_since
            if seen.told_at is None:
                del self._seen[key]
            elif now - seen.gone_since >= CALM_S and len(self._told) < MOST:
                del self._seen[key]
                notices.append(self._notice(Step.RECOVERED, key, seen, now))
        return notices

    def _note_pauses(self, now_shown: Mapping[Key, Condition], now: float) -> None:
        paused = frozenset(subject for kind, subject in now_shown if kind is AlertKind.PAUSED)
        for subject in paused:
            self._pauses[subject] = (self._pauses[subject][0] if subject in self._paused else now, now)
        self._paused = paused

    def _due(self, key: Key, seen: _Seen, now: float) -> Step | None:
        kind, subject = key
        if seen.told_at is None:
            if kind is AlertKind.OLDEST_PENDING and subject in self._pauses:
                began, ended = self._pauses[subject]
                if now - ended <= min(ended - began, self.limits.oldest_pending_s):
                    # So much of the waiting was the pause, of which whoever ended it knows.
                    return None
            return Step.RAISED if now - seen.since >= seen.condition.patience_s else None
        remind_s = self.limits.remind_s
        return Step.REMINDER if remind_s and not seen.condition.once and now - seen.told_at >= remind_s else None

    def _notice(self, step: Step, key: Key, seen: _Seen, now: float) -> Notice:
        self._told.append(now)
        until = seen.gone_since if step is Step.RECOVERED and seen.gone_since is not None else now
        message = f"{OVER}{seen.condition.message}" if step is Step.RECOVERED else seen.condition.message
        remedy = "" if step is Step.RECOVERED else seen.condition.remedy
        return Notice(step, *key, message, remedy, round(until - seen.since, 1), now - until)
