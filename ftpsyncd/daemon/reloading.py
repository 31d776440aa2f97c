"""A reload: from the parts that run to those that are wanted, while the engine goes on turning.

In: the roster and a configuration. Out: what was done. `service` calls it from its own thread; what concerns the
engine's state is done on the engine's thread, and what takes long there in several turns.

A reload touches only what differs. A mapping whose settings changed, but not what it publishes where, goes on at once:
its transfers run to their end under the new settings, and are planned anew if they fail. One that publishes something
else somewhere else, or is gone, starts nothing more, and what runs may end for `RETIRE_S`; if it does not, the
connections of its server are given up, which is as harmless as an outage: the ledger knows what was begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from ftpsyncd.config import Config
from ftpsyncd.daemon.difference import Difference, difference
from ftpsyncd.daemon.roster import LOOK_AGAIN_S, Roster, stop_crew
from ftpsyncd.engine.loop import Engine
from ftpsyncd.engine.mailbox import BegunError
from ftpsyncd.mapping.site import Moment
from ftpsyncd.specs import ServerSpec, destination
from ftpsyncd.threads import side_by_side

TURN_S = 5.0
"""While the engine has not come to a part of a reload, it is seen so often whether that is still to be."""
RETIRE_S = 10.0
"""How long a reload waits for transfers of mappings that go."""
CLOSE_S = 1.0
"""How long the crew of a server that goes may take to end."""

_T = TypeVar("_T")


class Reload:
    """One reload.

    Args:
        engine: it turns.
        roster: its running parts.
        ending: whether the end is wanted: then nothing is waited for any more.
    """

    def __init__(self, engine: Engine, roster: Roster, ending: Callable[[], bool]) -> None:
        self._engine = engine
        self._roster = roster
        self._ending = ending

    def change(self, config: Config) -> Difference:
        """Run another configuration from now on.

        Raises:
            TimeoutError: the engine has ended, or the end is wanted before all is in force.
            ThreadLimitError: the system allows too few threads.
        """
        self._on_engine(lambda: setattr(self._engine.ledger.history, "keep_s", config.history_s))
        roster = self._roster
        specs, accounts = roster.specs, roster.accounts
        wanted = {name: config.servers[name] for name in {spec.server for spec in config.mappings.values()}}
        found = difference(specs, config.mappings, accounts, wanted)
        closing = {*found.servers, *(name for name in accounts if name not in wanted)}
        leaving = {*found.removed, *found.moved, *(name for name, spec in specs.items() if spec.server in closing)}
        # Its files are where they were, but it has the queue and the connections of another entry.
        leaving |= {name for name in found.adjusted if specs[name].server != config.mappings[name].server}
        adjusted = [name for name in found.adjusted if name not in leaving]
        roster.take_out_disks([*leaving, *adjusted], self._ending)
        for name in adjusted:
            if self._ending():
                # Each takes some turns, of which hundreds take longer than the end may.
                raise TimeoutError
            # At once: what the others are waited for is nothing to it.
            self._adjust(config, name)
        late = {specs[name].server for name in self._retire(leaving, RETIRE_S)}
        coming = [spec for name, spec in config.mappings.items() if name not in specs or name in leaving]
        late |= self._leave_leftovers({destination(spec, config.servers[spec.server]) for spec in coming})
        if late:
            # What they do there cannot be told from what others do on the same connections, once it is not awaited.
            closing |= late
            dragged = {name for name, spec in specs.items() if spec.server in closing} - leaving
            roster.take_out_disks(dragged, self._ending)
            self._retire(dragged, 0.0)
            leaving |= dragged
        self._engine.whole.clear()
        try:
            self._exchange(config, leaving, closing, [wanted[name] for name in found.paced])
        finally:
            self._engine.whole.set()
        # A person at work: what waits for a pause to end is tried again now, perhaps with a new password.
        self._on_engine(self._retry_now)
        self._on_engine(lambda: roster.take_leftovers(config))
        self._asked(self._engine.tell_of)
        return found

    def _exchange(
        self, config: Config, leaving: Collection[str], closing: Collection[str], paced: Collection[ServerSpec]
    ) -> None:
        """Take out mappings and servers, and put in those that are wanted: first those that come back."""
        roster = self._roster
        left = {name: self._on_engine(lambda name=name: roster.take_out(name)) for name in leaving}  # type: ignore[misc]
        self._close(closing)
        for account in paced:
            roster.pace(account)
        for name in sorted(
            (name for name in config.mappings if name not in roster.specs), key=lambda name: name not in left
        ):
            if name not in left:
                self._engine.whole.set()
            self._in_turns(roster.respell(config, name))
            self._on_engine(lambda name=name: roster.add(config, name, left.get(name)))  # type: ignore[misc]
            roster.start_disk(name)

    def _adjust(self, config: Config, name: str) -> None:
        """Give a mapping new settings; transfers that run go on."""
        self._on_engine(lambda: self._roster.suspend(name))
        self._take_back(name)
        self._on_engine(lambda: self._roster.adjust(config, name))
        self._roster.start_disk(name)

    def _retire(self, names: set[str], patience_s: float) -> set[str]:
        """Start nothing more of these mappings and wait for what runs; those of which something still runs."""

        def suspend() -> None:
            for name in names:
                self._roster.suspend(name)

        def running() -> set[str]:
            mirrors = self._engine.mirrors
            return {name for name in names if mirrors[name].queue.load(name).running}

        if not names:
            return set()
        self._on_engine(suspend)
        for name in names:
            self._take_back(name)
        return self._await_end(running, patience_s)

    def _take_back(self, name: str) -> None:
        """Take back what waits of a mapping that begins nothing more: others have their turns in between."""
        queue = self._engine.mirrors[name].queue
        while self._on_engine(lambda: queue.withdraw_some(name)):
            pass

    def _leave_leftovers(self, coming: Collection[str]) -> set[str]:
        """Sweep nothing more for a while where other mappings come to (`specs.destination`).

        Returns:
            The servers where something is being swept there still.
        """

        def at_work() -> set[str]:
            return {
                name
                for name, server in self._engine.servers.items()
                for path in server.queue.under_way.own_paths("")
                if any(f"{server.account}{path}".startswith(f"{place.rstrip('/')}/") for place in coming)
            }

        if not coming:
            return set()
        self._on_engine(self._roster.suspend_leftovers)
        return self._await_end(at_work, RETIRE_S)

    def _close(self, servers: Collection[str]) -> None:
        """Give up the connections of servers that no mapping has any more, or that get other ones."""
        crews = [self._on_engine(lambda name=name: self._roster.take_out_server(name)) for name in servers]  # type: ignore[misc]
        # Each may be awaited for some seconds.
        side_by_side(lambda crew: stop_crew(crew, CLOSE_S, "they are done again"), crews)

    def _retry_now(self) -> None:
        for server in self._engine.servers.values():
            server.queue.try_again(time.monotonic())
            server.queue.space.clear()

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────

    def _await_end(self, running: Callable[[], set[str]], patience_s: float) -> set[str]:
        """Wait until nothing runs any more; what runs still when the patience is over."""
        deadline = time.monotonic() + patience_s
        while still := self._on_engine(running):
            self._engine.turned.clear()
            if self._ending() or time.monotonic() >= deadline:
                return still
            self._engine.turned.wait(LOOK_AGAIN_S)
        return set()

    def _in_turns(self, work: Iterator[None]) -> None:
        """Do something on the engine's thread, each part of it in a turn of its own: others have theirs in between."""
        while self._on_engine(lambda: next(work, True)) is None:
            pass

    def _on_engine(self, act: Callable[[], _T]) -> _T:
        return self._asked(lambda _at: act())

    def _asked(self, question: Callable[[Moment], _T]) -> _T:
        """What the engine answers, however long that takes: half a reload is none.

        The names of a million files in another encoding take a quarter of a minute; the ledger's disk may be slow.

        Raises:
            TimeoutError: the engine has ended, or does not turn and the end is wanted.
        """
        while True:
            try:
                return self._engine.ask(question, TURN_S, to_its_end=True)
            except BegunError:
                raise
            except TimeoutError:
                if self._ending() or not self._engine.alive:
                    raise
