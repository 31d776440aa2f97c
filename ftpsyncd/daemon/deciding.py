"""What people decide while no daemon runs: noted in the ledger by the command itself, for the pass that comes next.

In: a configuration and a command (`retry`, `pause`, `resume`, `approve`, `discard`). Out: one sentence, and what a
daemon would have noted of it. It is a daemon that begins nothing: it has the lock, so that there is no other owner of
the ledger, and what is decided goes through the same guards (`steering`). What is held is not in the ledger by name,
and so the folder is looked through, as a daemon has it in mind. Called by the command line where nobody answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ftpsyncd.config import Config
from ftpsyncd.daemon.service import LOOK_AGAIN_S, Service
from ftpsyncd.daemon.steering import Steering, summed
from ftpsyncd.errors import CommandRefusedError, LedgerError, LockHeldError
from ftpsyncd.inspection.survey import in_no_mapping, located
from ftpsyncd.ledger.book import LEDGER
from ftpsyncd.ledger.failures import FailureCounts
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Hold, HoldKind
from ftpsyncd.questions import CommandName

LONG_S = 3.0
"""Who waits for longer is told for what."""

NOTED: Mapping[CommandName, str] = MappingProxyType(
    {
        CommandName.RETRY: "carries it out",
        CommandName.PAUSE: "keeps to it",
        CommandName.RESUME: "publishes what waits",
        CommandName.APPROVE: "carries it out",
        CommandName.DISCARD: "carries it out to its end, and what goes until then stays there, too",
    }
)
"""What can be decided while no daemon runs, and what a pass does about it."""
_HOLDS = frozenset({CommandName.APPROVE, CommandName.DISCARD})


class _Standing(NamedTuple):
    """What there is to be decided about a mapping."""

    hold: Hold | None
    failures: FailureCounts


def decide(
    config: Config,
    name: CommandName,
    *,
    mapping: str | None = None,
    server: str | None = None,
    path: str | None = None,
    long: Callable[[], None] = lambda: None,
) -> str:
    """Note what a person decided.

    Args:
        config: it has the mapping and the server that are named.
        name: one of `NOTED`.
        mapping: of this one only.
        server: of those of this one only.
        path: of this local path only, absolute.
        long: is told, once, if the folder takes long to be looked through.

    Returns:
        What was noted, in a sentence, as a daemon would say it, and who goes on from there.

    Raises:
        LockHeldError: somebody works on the ledger, a `sync` or a daemon.
        LedgerError: it cannot be used.
        UsageError: the path is in no mapping.
        CommandRefusedError: the folder is missing, or held for another reason than people were told of.
    """
    names = _named(config, mapping, server, path)
    if name in {*_HOLDS, CommandName.RETRY} and not _has_ledger(config):
        # Nor need there be one because of that.
        return summed([f"{each}: {'nothing is held' if name in _HOLDS else 'nothing had failed'}" for each in names])
    service = Service(config, one_pass=True, performs=False, mappings=names)
    _start(service)
    try:
        return _Decision(service, long).told(name, mapping, server, path)
    finally:
        service.stop()


def _named(config: Config, mapping: str | None, server: str | None, path: str | None) -> list[str]:
    """The mappings that a command may be about."""
    if path is not None and not located(config, path):
        raise in_no_mapping(config, path)
    return [
        spec.name for spec in config.mappings.values() if mapping in {None, spec.name} and server in {None, spec.server}
    ]


def _has_ledger(config: Config) -> bool:
    """Whether anything was ever recorded, as far as we may know."""
    try:
        return (config.state_dir / LEDGER).exists()
    except OSError:
        # Who opens it says what is wrong.
        return True


def _start(service: Service) -> None:
    try:
        service.start()
    except LockHeldError as error:
        raise LockHeldError(
            f"A `sync` is running, or a daemon that does not answer here: {error.message}.",
            remedy="Nothing was decided. Say it again when that has ended.",
        ) from error
    except LedgerError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        raise LedgerError(
            error.message, remedy="Say it as the user that publishes, which is its owner; with sudo, for instance."
        ) from error


class _Decision:
    """One command, carried out by a service that begins nothing.

    Args:
        service: it, started.
        long: see `decide`.
    """

    def __init__(self, service: Service, long: Callable[[], None]) -> None:
        self._service = service
        self._engine = service.engine
        self._long = long

    def told(self, name: CommandName, mapping: str | None, server: str | None, path: str | None) -> str:
        """Carry it out, and say what came of it."""
        holds = self._service.asked(self._holds) if name in _HOLDS else {}
        if holds or (name in _HOLDS and self._service.asked(self._any_changed)):
            self._service.look()
            self._await(lambda at: all(mirror.looked_through(at.now) for mirror in self._mirrors))
            if undecided := self._service.asked(lambda _at: self._undecided(holds)):
                raise CommandRefusedError(undecided)
        before, passes = self._service.asked(self._standing), self._service.asked(self._passes)
        said = Steering(self._service.config, self._engine).command(name, mapping=mapping, server=server, path=path)
        after = self._service.asked(self._standing)
        if holds and name is CommandName.DISCARD:
            # It takes no server. What goes from now on is not part of it.
            self._await(lambda at: all(self._is_over(mirror, passes, at) for mirror in self._mirrors))
        if trouble := self._engine.ledger.trouble:
            raise LedgerError(trouble)
        if name is CommandName.DISCARD:
            noted = self._service.asked(lambda _at: any(map(_discards, self._mirrors)))
        else:
            noted = name in {CommandName.PAUSE, CommandName.RESUME} or after != before
        later = f"; no daemon runs: the next `ftpsyncd sync`, or the daemon when it starts, {NOTED[name]}"
        return f"{said}{later}" if noted else said

    # ── on the engine's thread ───────────────────────────────────────────────────────────────────────────────

    @property
    def _mirrors(self) -> Collection[Mirror]:
        return self._engine.mirrors.values()

    def _holds(self, _at: Moment) -> dict[str, Hold]:
        """What people were told of."""
        return {mirror.spec.name: hold for mirror in self._mirrors if (hold := mirror.removals.hold)}

    def _any_changed(self, _at: Moment) -> bool:
        """Whether files that are gone here, and were changed at the server, wait for a decision."""
        return any(mirror.ledger.failures.counts(mirror.id).held for mirror in self._mirrors)

    def _standing(self, _at: Moment) -> dict[str, _Standing]:
        return {
            mirror.spec.name: _Standing(mirror.removals.hold, mirror.ledger.failures.counts(mirror.id))
            for mirror in self._mirrors
        }

    def _passes(self, _at: Moment) -> dict[str, int]:
        """How often all of each mapping was compared."""
        return {mirror.spec.name: mirror.looks.passes for mirror in self._mirrors}

    def _undecided(self, told: Mapping[str, Hold]) -> str:
        """Why a decision would not be about what people were told of; empty if it is."""
        return "; ".join(
            f"{mirror.spec.name}: nothing was decided{why}"
            for mirror in self._mirrors
            if (why := _otherwise(mirror, told.get(mirror.spec.name)))
        )

    @staticmethod
    def _is_over(mirror: Mirror, passes: Mapping[str, int], at: Moment) -> bool:
        """Whether all that is gone was forgotten, or has been looked for once more."""
        return not _discards(mirror) or mirror.looked_through(at.now, passes[mirror.spec.name])

    # ── waiting for it ───────────────────────────────────────────────────────────────────────────────────────

    def _await(self, done: Callable[[Moment], bool]) -> None:
        began, told = time.monotonic(), False
        while not self._service.asked(done):
            if not told and time.monotonic() - began > LONG_S:
                told = True
                self._long()
            self._engine.turned.wait(LOOK_AGAIN_S)
            self._engine.turned.clear()


def _discards(mirror: Mirror) -> bool:
    """Whether a decision that what is gone stays at the server is not carried out to its end."""
    return mirror.ledger.decisions.discarding(mirror.id)


def _otherwise(mirror: Mirror, told: Hold | None) -> str:
    """Why what is held is not what people were told of; empty if it is. None: they were told of no hold.

    Of a mass delete the number may be another by now, as it may be with a daemon: that is answered.
    """
    source, hold = mirror.removals.source, mirror.removals.hold
    if source.missing:
        return f": {source.missing}"
    if hold is None:
        return ""
    any_number = hold.kind is HoldKind.MASS_DELETE
    if told is not None and told.kind is hold.kind and (any_number or told.message == hold.message):
        return ""
    return f", because it is not as it was told any more: {hold.message}"
