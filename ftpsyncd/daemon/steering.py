"""What people ask of the running daemon and tell it to do: the engine's side of the control socket.

In: questions and commands from `control`, on its threads. Out: answers from the engine's thread, which is never kept
waiting: a look at the disk is taken beside it. What the engine has not begun when its asker gives up is not done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ftpsyncd import patience
from ftpsyncd.config import Config
from ftpsyncd.control.port import ANSWER_S, MARGIN_S, Daemon, left_s, still_asked
from ftpsyncd.daemon.knows import known_now
from ftpsyncd.engine import again
from ftpsyncd.engine.board import ENGINE_STUCK_S
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.mailbox import BegunError
from ftpsyncd.errors import CommandRefusedError, ControlError, UsageError
from ftpsyncd.inspection.reasons import Known, known_of, together
from ftpsyncd.inspection.survey import history, in_another_mapping, in_no_mapping, located, unknown_mapping
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.questions import CommandName, Health, Why
from ftpsyncd.quoting import as_word
from ftpsyncd.receipts import HistoryPage, HistoryQuery
from ftpsyncd.specs import MappingSpec
from ftpsyncd.status import Status

_T = TypeVar("_T")
SAID_EACH = 10
"""Of more mappings, what is the same of several is said once."""
NAMES_SAID = 3
_DECISIONS = frozenset({CommandName.APPROVE, CommandName.DISCARD})


class Steering(Daemon):
    """The running daemon as the control socket sees it.

    Args:
        config: to find the mapping of a path.
        engine: is asked, and told what to do, on its own thread.
        reload: has the configuration read again; None where that cannot be done.
    """

    def __init__(self, config: Config, engine: Engine, reload: Callable[[], str] | None = None) -> None:
        self.config = config
        """A reload replaces it."""
        self._engine = engine
        self._reload = reload
        self._glances = patience.Glances()

    def status(self) -> Status:
        """The last snapshot."""
        return self._engine.status

    def health(self) -> Health:
        """Whether the engine's loop has turned lately."""
        age_s = max(0.0, time.monotonic() - self._engine.last_woken)
        running = self._engine.alive
        return Health(running and age_s < ENGINE_STUCK_S, running, round(age_s, 3), ENGINE_STUCK_S)

    def history(self, query: HistoryQuery, path: str | None) -> HistoryPage:
        """A page of receipts; read beside the engine, which is not kept waiting by a long search."""
        return history(self.config, query, path)

    def why(self, path: str) -> Why:
        """Why a path is, or is not, at the server."""
        config = self.config
        found = located(config, path)
        return together(config, path, [self._why(config.mappings[name], path, found[name]) for name in found])

    def _why(self, spec: MappingSpec, path: str, relative: str) -> Why:
        engine = self._engine

        def known(at: Moment) -> Why | Known:
            mirror = engine.mirrors.get(spec.name)
            if mirror is None:
                return known_of(spec, path, relative, None, 0)
            return known_now(mirror, path, relative, at)

        answer = self._asked(known, patience.ANSWER_S)
        if isinstance(answer, Why):
            return answer
        try:
            return self._glances.take(spec.local, answer.find)
        except TimeoutError:
            return answer.silent()

    def command(self, name: CommandName, *, mapping: str | None, server: str | None, path: str | None) -> str:
        """Do what a person wants."""
        engine = self._engine
        if name is CommandName.RELOAD:
            return self._reloaded(mapping or server or path)
        found: dict[str, str] = {}
        if path is not None:
            found = located(self.config, path)
            if not found:
                raise in_no_mapping(self.config, path)
            if name not in {CommandName.RETRY, CommandName.RESCAN}:
                raise UsageError(f"{name.value} works on mappings and servers, not on single paths")
            if mapping is not None and mapping not in found:
                raise in_another_mapping(path, found)

        def act(at: Moment) -> str:
            chosen = [each for each in self._chosen(mapping, server) if path is None or each.spec.name in found]
            _require_decidable(name, chosen)
            said = summed([_command(each, name, found.get(each.spec.name), at) for each in chosen])
            said = said or "nothing matches"
            # What a person was told is done outlives whatever happens next.
            engine.ledger.commit()
            # Who asks next how it is sees what he did.
            engine.tell_of(at)
            trouble = engine.ledger.trouble
            return f"{said}; not recorded yet, because {trouble}" if trouble else said

        def some(_at: Moment) -> bool:
            return any(_some(each, name) for each in self._chosen(mapping, server))

        begun = False
        if name in _DECISIONS:
            # What is held may be hundreds of thousands of files: others have their turns between them.
            while self._told(some, begun=begun):
                begun = True
        return self._told(act, begun=begun)

    def repair(self, mapping: str, files: Sequence[str], directories: Sequence[str]) -> str:
        """Publish again what the server does not have as it was published."""
        engine = self._engine
        known = self._told(lambda at: again.publish(self._mirror(mapping), files, directories, at))
        # Whoever asked looks at the status next, to see when it is done.
        with suppress(TimeoutError):
            engine.renew_status(left_s())
        return f"{mapping}: {known} of {len(files) + len(directories)} are published again"

    def learn(self, account: str, learned: Mapping[str, Any]) -> str:
        """Use from now on what was measured of a server."""
        engine = self._engine

        def adopt(at: Moment) -> None:
            keepers = [s.keeper for s in engine.servers.values() if s.account == account and s.keeper is not None]
            if not keepers:
                raise UsageError(
                    f"This ftpsyncd publishes nothing to {account}.",
                    remedy="If the configuration was changed, run `ftpsyncd reload` first.",
                )
            for keeper in keepers:
                keeper.adopt(learned, at.wall_ns / 1e9, at.now)

        self._told(adopt)
        return f"{account}: what was measured is used from now on"

    def _chosen(self, mapping: str | None, server: str | None) -> list[Mirror]:
        """The mappings that a command is about, on the engine's thread: of a name, or a server, or all.

        Raises:
            UnknownNameError: see `_mirror`.
        """
        if mapping is not None:
            self._mirror(mapping)
        return [
            mirror
            for mirror in self._engine.mirrors.values()
            if mapping in {None, mirror.spec.name} and server in {None, mirror.spec.server}
        ]

    def _mirror(self, mapping: str) -> Mirror:
        """A mapping as the engine has it, on its thread.

        Raises:
            UnknownNameError: a reload has removed it since it was asked for.
        """
        mirror = self._engine.mirrors.get(mapping)
        if mirror is None:
            raise unknown_mapping(mapping, self._engine.mirrors)
        return mirror

    def _asked(self, question: Callable[[Moment], _T], spare_s: float) -> _T:
        """The engine's answer to a question, after which ``spare_s`` are left.

        Raises:
            ControlError: there was none in time.
        """
        try:
            return self._whole(question, lambda: max(0.0, left_s() - spare_s))
        except TimeoutError as problem:
            raise ControlError(f"{_no_answer(spare_s)}.") from problem

    def _told(self, act: Callable[[Moment], _T], *, begun: bool = False) -> _T:
        """What came of something that the engine was told to do.

        Args:
            act: it.
            begun: it is the rest of something that was begun.

        Raises:
            ControlError: the engine did not answer in time; says whether it will be done.
        """
        try:
            return self._whole(act, left_s, still_asked())
        except BegunError as problem:
            later = "what it was told has begun, and is done when it answers again"
            raise ControlError(f"{_no_answer()}; {later}.") from problem
        except TimeoutError as problem:
            nothing = "nothing was done, and nothing will be"
            done = "some of it was decided, say it again for the rest" if begun else nothing
            raise ControlError(f"{_no_answer()}; {done}.") from problem

    def _whole(
        self, act: Callable[[Moment], _T], left: Callable[[], float], wanted: Callable[[], bool] = lambda: True
    ) -> _T:
        """Do something on the engine's thread, but not while a reload has taken out mappings that come back.

        A pause of all, for one, would else be none of theirs.

        Raises:
            TimeoutError, BegunError: see `Engine.ask`.
        """
        engine = self._engine

        def unless(at: Moment) -> tuple[_T] | None:
            return (act(at),) if engine.whole.is_set() else None

        while (answer := engine.ask(unless, left(), wanted)) is None:
            engine.whole.wait(left())
        return answer[0]

    def _reloaded(self, scope: str | None) -> str:
        if scope is not None:
            raise UsageError("The configuration is reloaded as a whole.")
        if self._reload is None:
            raise CommandRefusedError("This ftpsyncd was not started by `ftpsyncd run`: it has nothing to reload.")
        try:
            return self._reload()
        except TimeoutError:
            return "reloading; it waits for transfers to end, the log tells when it is done"


def _no_answer(spare_s: float = 0.0) -> str:
    return f"The daemon's engine did not answer within {ANSWER_S - MARGIN_S - spare_s:g} s"


def _require_decidable(name: CommandName, chosen: Sequence[Mirror]) -> None:
    """Make sure that there is a folder that a decision can be about, if it is one.

    Raises:
        CommandRefusedError: there is none.
    """
    undecided = [each.removals.undecided for each in chosen] if name in _DECISIONS else []
    if undecided and all(undecided):
        raise CommandRefusedError("; ".join(undecided))


def _command(mirror: Mirror, name: CommandName, path: str | None, at: Moment) -> str:
    what = mirror.spec.name
    match name:
        case CommandName.RESCAN:
            said = again.rescan(mirror, path, at)
        case CommandName.RETRY:
            said = again.retry(mirror, path, at)
        case CommandName.PAUSE | CommandName.RESUME:
            goes_on = "goes on" if mirror.paused else "was not paused"
            mirror.pause(at.wall_ns if name is CommandName.PAUSE else 0)
            said = f"{what}: {'paused' if mirror.paused else goes_on}"
        case CommandName.APPROVE:
            said = mirror.removals.approve(at)
        case CommandName.DISCARD:
            said = mirror.removals.discard(at)
    if mirror.paused and name in {CommandName.RETRY, CommandName.RESCAN}:
        # Nothing is tried, or published, before that.
        said += f"; it is paused, {_resume(what)} goes on"
    return said


def _resume(mapping: str) -> str:
    return f"`ftpsyncd resume {as_word(mapping)}`"


def summed(said: Sequence[str]) -> str:
    """What was done, of many mappings by what it was, so that what is another thing for one of them is seen.

    Args:
        said: of each mapping, its name first.
    """
    if len(said) <= SAID_EACH:
        return "; ".join(said)
    alike: dict[str, list[str]] = {}
    for each in said:
        name, _, what = each.partition(": ")
        alike.setdefault(what.replace(_resume(name), _resume("MAPPING")), []).append(name)
    parts = []
    # What most have in common comes last.
    for what, names in sorted(alike.items(), key=lambda same: len(same[1])):
        more = f" and {len(names) - NAMES_SAID:,} more" if len(names) > NAMES_SAID else ""
        parts.append(f"{', '.join(names[:NAMES_SAID])}{more}: {what}")
    return "; ".join(parts)


def _some(mirror: Mirror, name: CommandName) -> bool:
    """Before a decision is carried out and answered: some of what it is about, if that may be very much.

    Returns:
        Whether there may be more.
    """
    removals = mirror.removals
    return removals.approve_some() if name is CommandName.APPROVE else removals.discard_some()
