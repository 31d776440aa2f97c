"""What is done next at one server: a queue keyed by path, with lanes, behind the server's `gate`. Pure.

- Latest wins: a new action for a path replaces the one that waits, and waits for the one that is being performed.
- Ancestors block (`blocking`).
- Mappings take turns, so that a large backlog of one does not delay another; and so does what one mapping found in
  different ways (`turn`), in the order of names.
- Large uploads leave one connection free for small ones.
- When the server fails, everything stays queued; one action is let through when the pause is over, whatever else may
  still be under way. At a server that is only full deletes go on, and beside a large file a small one is let through:
  whether there is space again shows at its end.

Times are monotonic seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice
from types import UnionType

from ftpsyncd.actions import Action, MakeDir, Probe, Upload
from ftpsyncd.core.backlog import Backlog, Load
from ftpsyncd.core.blocking import Blocking
from ftpsyncd.core.extent import (
    MAKES_ROOM,
    MOVES,
    SENDS,
    UNITS_PER_CONNECTION,
    Key,
    arrives,
    is_large,
    keys_of,
)
from ftpsyncd.core.gate import Breaker, Gate
from ftpsyncd.core.space import Space
from ftpsyncd.core.turn import Lane, Order, Place, Places, Turn
from ftpsyncd.model import Fingerprint

_ADDITIONS = (Upload, MakeDir, Probe)
PARKED_AT_ONCE = 2000
"""Actions that are found to wait for another one in one go, some milliseconds: all that is in a new folder does."""
WITHDRAWN_AT_ONCE = 5000
"""Actions that are taken back in one go: some twenty milliseconds."""


class Queue:
    """The queue of one server.

    Args:
        connections: the configured upper bound of connections.
        jitter: a number in 0..1 for each pause, so that many servers do not come back in step.
    """

    def __init__(self, connections: int, *, jitter: float = 0.0) -> None:
        self.gate = Gate(connections, jitter=jitter)
        self.space = Space()
        self.only_additions = False
        """Start nothing but what adds to the server: uploads and directories."""
        self._blocking = Blocking(self._may_start_now)
        self.under_way = self._blocking.under_way
        self._waiting: dict[Key, Action] = {}
        # Every waiting key is in its mapping's turn or parked behind what blocks it (where stale ones may stay).
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._places = Places()
        self._cut_short = False
        """Not all that waits was looked at."""
        self._suspended: set[str] = set()
        self._backlog = Backlog()
        self._marked: dict[str, int] = {}
        """What of that waits and was marked by itself, deletes aside."""
        self._freed: dict[str, set[str]] = {}
        self._makes_room: dict[Key, None] = {}
        """Of what waits, what makes room at the server: at a full one, nothing else has to be looked through."""
        self._makes_room_of: dict[str, int] = {}
        """How much of that is of which mapping."""
        self._overtaken: set[Key] = set()
        """What was under way when somebody had mended something: it may still fail of that."""
        self._before_room: set[Key] = set()
        """What was under way when room had been made: that it found none may have been before that."""

    def __repr__(self) -> str:
        return f"<Queue waiting={len(self._waiting)} running={len(self.under_way)} {self.gate!r}>"

    # ── what is in it ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def idle(self) -> bool:
        """Nothing runs, and nothing waits but what is of suspended mappings."""
        return not self.under_way and len(self._waiting) == sum(self.load(name).waiting for name in self._suspended)

    @property
    def in_flight(self) -> int:
        """Actions handed out and not finished."""
        return len(self.under_way)

    def load(self, mapping: str) -> Load:
        """How much of one mapping waits and runs."""
        return self._backlog.load(mapping)

    def marked(self, mapping: str) -> int:
        """How much of what waits of one mapping was marked by itself (`turn.Lane`); deletes are not counted."""
        return self._marked.get(mapping, 0)

    def backlog(self) -> tuple[int, int]:
        """Files that wait or run to be uploaded, and their bytes."""
        return self._backlog.files, self._backlog.bytes

    def waiting(self, mapping: str, path: str) -> Action | None:
        """The action that waits under this path."""
        return self._waiting.get((mapping, path))

    def occupied(self, mapping: str, path: str) -> bool:
        """Whether a running action has to do with this path."""
        return (mapping, path) in self.under_way

    def at_work(self, mapping: str, path: str) -> Action | None:
        """The running action that has to do with this path."""
        return self.under_way.at((mapping, path))

    def files(self, mapping: str, path: str) -> Iterator[Fingerprint]:
        """Of the files that wait to be sent to this path, or are being sent."""
        key = (mapping, path)
        for action in (self._waiting.get(key), self.under_way.at(key)):
            # What runs may also be a rename away from it.
            if isinstance(action, SENDS) and action.path == path:
                yield action.fingerprint

    def makes(self, mapping: str, path: str) -> bool:
        """Whether a directory waits to be made under this path, or is being made."""
        key = (mapping, path)
        return isinstance(self._waiting.get(key) or self.under_way.at(key), MakeDir)

    def busy_below(self, mapping: str, path: str) -> bool:
        """Whether anything below this path, or a removal of it, waits or runs."""
        key = (mapping, path)
        under_way, waiting_below = self.under_way, self._blocking.waiting_below
        return key in self._waiting or key in under_way or key in waiting_below or key in under_way.below

    def moves_from(self, mapping: str, path: str) -> bool:
        """Whether a rename away from this path waits or runs."""
        return self._backlog.is_left((mapping, path))

    def leaving(self, mapping: str, directory: str) -> list[str]:
        """The paths below a directory that renames away from there, which wait or run, will leave."""
        return self._backlog.left_below((mapping, directory))

    def waiting_paths(self, mapping: str) -> list[str]:
        """The paths of a mapping under which something waits, in no order."""
        return [path for each, path in self._waiting if each == mapping]

    def brings(self, mapping: str, path: str) -> bool:
        """Whether something waits to be sent, made or renamed to this path."""
        key = (mapping, path)
        action = self._waiting.get(key)
        return action is not None and arrives(key, action)

    def freed(self, mapping: str) -> set[str]:
        """Paths that a rename was to leave and that stay, since it was taken back or replaced; each is told once."""
        return self._freed.pop(mapping, set())

    # ── putting in and taking back ───────────────────────────────────────────────────────────────────────────

    def offer(self, action: Action, order: Order | None = None) -> None:
        """Queue an action; it replaces one that waits under the same path, and takes its place.

        Args:
            action: what is to be done.
            order: when it has its turn; None: after all that waits and was not found in a whole directory.
        """
        key = (action.mapping, action.path)
        before = self._waiting.get(key)
        if before is None:
            self._turn_of(action.mapping).add(self._places.give(action, order))
        else:
            self._count_waiting(before, -1)
        self._waiting[key] = action
        self._count_waiting(action, 1)
        if before is not None:
            self._given_up(before)

    def withdraw(self, mapping: str, path: str) -> None:
        """Take back the action that waits under a path."""
        action = self._waiting.pop((mapping, path), None)
        if action is not None:
            self._turn_of(mapping).discard((mapping, path))
            self._count_waiting(action, -1)
            running = self.under_way.at((mapping, path))
            if running is None or running.path != path:
                self._places.drop((mapping, path))
                # Nothing will come of it that could tell of space.
                self.space.over(mapping, path)
            self._given_up(action)

    def withdraw_below(self, mapping: str, directory: str, kinds: type[Action] | UnionType | None = None) -> None:
        """Take back what waits below a directory: everything, or actions of some kinds."""
        if (mapping, directory) not in self._blocking.waiting_below:
            return
        prefix = f"{directory}/"
        for key, action in list(self._waiting.items()):
            if key[0] == mapping and key[1].startswith(prefix) and (kinds is None or isinstance(action, kinds)):
                self.withdraw(*key)

    def withdraw_mapping(self, mapping: str) -> None:
        """Take back everything of one mapping."""
        while self.withdraw_some(mapping):
            pass

    def drop(self, mapping: str) -> None:
        """A mapping, of which nothing is started any more, is not here any more."""
        self.withdraw_mapping(mapping)
        self.space.drop(mapping)
        self._suspended.discard(mapping)
        self._freed.pop(mapping, None)

    def withdraw_some(self, mapping: str, kinds: type[Action] | UnionType | None = None) -> bool:
        """Take back some of what waits of one mapping, or of some kinds of it: `WITHDRAWN_AT_ONCE` actions.

        Returns:
            Whether there may be more.
        """
        waiting = ((key, action) for key, action in self._waiting.items() if key[0] == mapping)
        found = (key for key, action in waiting if kinds is None or isinstance(action, kinds))
        some = list(islice(found, WITHDRAWN_AT_ONCE))
        for key in some:
            self.withdraw(*key)
        return len(some) == WITHDRAWN_AT_ONCE

    def suspend(self, mapping: str, *, suspended: bool) -> None:
        """Start nothing more of this mapping, or go on with it."""
        (self._suspended.add if suspended else self._suspended.discard)(mapping)

    # ── handing out ──────────────────────────────────────────────────────────────────────────────────────────

    def take(self, now: float) -> Action | None:
        """The next action to perform, or None if nothing can start now, as far as was looked (`next_due`)."""
        self._cut_short = False
        self.gate.grow(now)
        small_only = False
        if not self.gate.lets_through(now, trying=self._is_trying):
            full = self.gate.state is Breaker.FULL
            if self.makes_room and full:
                return self._take_removal()
            small_only = self.gate.lets_in and self._is_trying_with_large(now)
            if not small_only:
                return None
        for mapping in list(self._turns):
            self._turns.move_to_end(mapping)
            turn = self._turns[mapping]
            action = None if mapping in self._suspended else self._take_from(turn, small_only=small_only)
            if not turn:
                del self._turns[mapping]
            if action is not None:
                return action
        return None

    @property
    def makes_room(self) -> bool:
        """Whether anything waits that makes room at the server; what is of suspended mappings does not for now."""
        return any(mapping not in self._suspended for mapping in self._makes_room_of)

    def _take_removal(self) -> Action | None:
        """The first action that makes room and may start: all else waits for that."""
        passed: list[Key] = []
        for key in self._makes_room:
            action = self._waiting[key]
            if not self.under_way.has_room_for(action, self.gate.cap):
                # Nor for any other: they all take the same.
                return None
            if (
                key[0] in self._suspended
                or not self.may_start(action)
                or self._blocking.blocker(key, action) is not None
            ):
                passed.append(key)
                continue
            for each in passed:
                # Behind the others, so that it is not passed again for each of these.
                self._makes_room[each] = self._makes_room.pop(each)
            self._turn_of(key[0]).discard(key)
            return self._start(key, action)
        return None

    def may_start(self, action: Action) -> bool:
        """Whether actions of this kind are started now."""
        return not self.only_additions or isinstance(action, _ADDITIONS)

    def _take_from(self, turn: Turn, *, small_only: bool) -> Action | None:
        skipped: list[Place] = []
        action = None
        for lane in turn.lanes():
            action = self._take_from_lane(turn, lane, skipped, small_only=small_only)
            if action is not None:
                turn.had(lane)
                break
        for each in skipped:
            turn.add(each)
        return action

    def _take_from_lane(self, turn: Turn, lane: Lane, skipped: list[Place], *, small_only: bool) -> Action | None:
        """The first action of a lane that may start; those before it that have no room are noted."""
        large, parked = 0, 0
        while (place := turn.pop(lane)) is not None:
            key = place.key
            candidate = self._waiting[key]
            blocker = self._blocking.blocker(key, candidate)
            if blocker is not None:
                self._blocking.park(key, blocker)
                parked += 1
                if parked == PARKED_AT_ONCE:
                    self._cut_short = True
                    break
            elif not self.may_start(candidate):
                skipped.append(place)
            elif (small_only and is_large(candidate)) or not self.under_way.has_room_for(candidate, self.gate.cap):
                skipped.append(place)
                large += 1
                if not is_large(candidate) or large > UNITS_PER_CONNECTION:
                    break
            else:
                return self._start(key, candidate)
        return None

    def _start(self, key: Key, action: Action) -> Action:
        del self._waiting[key]
        self._backlog.begins(action)
        self._count_marked(action, -1)
        self._makes_room_no_more(key)
        self._blocking.waits_no_more(action)
        self._run(action)
        return action

    def _run(self, action: Action) -> None:
        only_makes_room = self.gate.state is Breaker.FULL and isinstance(action, MAKES_ROOM)
        tries = self.gate.is_doubtful and not only_makes_room
        self.under_way.begin(action, outage=self.gate.outages if tries else None)

    def try_again(self, now: float) -> None:
        """A person has mended something, and wants the server to be tried at once, also if a try is under way."""
        self._overtaken = self.under_way.keys()
        self.gate.retry_now(now)

    def is_overtaken(self, action: Action) -> bool:
        """Whether something that runs was handed out before somebody had mended something."""
        return (action.mapping, action.path) in self._overtaken

    def room_made(self) -> None:
        """Something was deleted at the server."""
        self._before_room = self.under_way.keys()

    def began_before_room(self, action: Action) -> bool:
        """Whether something that runs was handed out before the last time that something was deleted at the server."""
        return (action.mapping, action.path) in self._before_room

    # ── what became of it ────────────────────────────────────────────────────────────────────────────────────

    def goes_behind(self, action: Action) -> None:
        """A running action, should it be queued again, has its turn after all that waits: it may be its own fault."""
        if (action.mapping, action.path) not in self._waiting:
            self._places.give(action, None)

    def finish(self, action: Action, *, requeue: bool = False) -> None:
        """A running action ended; with ``requeue`` it is queued again, at its old place, unless a newer waits."""
        self._backlog.count(action, running=-1)
        left = self.under_way.end(action)
        key = (action.mapping, action.path)
        self._overtaken.difference_update(left)
        self._before_room.difference_update(left)
        if requeue and not isinstance(action, Probe) and key not in self._waiting:
            self._waiting[key] = action
            self._count_waiting(action, 1)
            self._turn_of(action.mapping).add(self._places.of(key))
        elif key not in self._waiting:
            self._places.drop(key)
        if not requeue:
            self.space.over(*key)
        self._blocking.over(left)

    def next_due(self, now: float) -> float | None:
        """When `take` should be called again although nothing else happens; None if only events can help."""
        if self._cut_short:
            return now
        return self.gate.next_due(now, trying=self._is_trying, waiting=bool(self._waiting))

    @property
    def _is_trying(self) -> bool:
        return self.under_way.is_trying(self.gate.outages)

    def _is_trying_with_large(self, now: float) -> bool:
        return self.gate.may_try(now, trying=False) and self.under_way.is_trying_with_large(self.gate.outages)

    def wants_probe(self, now: float) -> bool:
        """The pause is over and nothing that waits can be used to try the server (ask after `take`)."""
        return self.gate.may_ask(now, trying=self._is_trying)

    def start_probe(self, probe: Probe) -> None:
        """Count a probe as running."""
        self._backlog.count(probe, running=1)
        self._run(probe)

    # ── counting ─────────────────────────────────────────────────────────────────────────────────────────────

    def _turn_of(self, mapping: str) -> Turn:
        turn = self._turns.get(mapping)
        if turn is None:
            turn = self._turns[mapping] = Turn()
        return turn

    def _count_marked(self, action: Action, step: int) -> None:
        mapping = action.mapping
        if isinstance(action, MAKES_ROOM) or self._places.of((mapping, action.path)).lane is not Lane.MARKED:
            return
        count = self._marked.get(mapping, 0) + step
        if count:
            self._marked[mapping] = count
        else:
            del self._marked[mapping]

    def _count_waiting(self, action: Action, step: int) -> None:
        self._backlog.count(action, waiting=step)
        self._count_marked(action, step)
        if step < 0:
            self._makes_room_no_more((action.mapping, action.path))
            self._blocking.waits_no_more(action)
            return
        if isinstance(action, MAKES_ROOM):
            self._makes_room[action.mapping, action.path] = None
            self._makes_room_of[action.mapping] = self._makes_room_of.get(action.mapping, 0) + 1
        self._blocking.waits(action)

    def _makes_room_no_more(self, key: Key) -> None:
        if key not in self._makes_room:
            return
        del self._makes_room[key]
        self._makes_room_of[key[0]] -= 1
        if not self._makes_room_of[key[0]]:
            del self._makes_room_of[key[0]]

    def _given_up(self, action: Action) -> None:
        """A waiting action will not be performed: what waits for its end may start now."""
        self._blocking.over(keys_of(action))
        if isinstance(action, MOVES) and not self.moves_from(action.mapping, action.source):
            self._freed.setdefault(action.mapping, set()).add(action.source)

    def _may_start_now(self, mapping: str, parked: Iterable[Key]) -> None:
        """What was parked may start now: back to its place, as far as it waits still."""
        waiters = [key for key in parked if key in self._waiting]
        if waiters:
            turn = self._turn_of(mapping)
            for waiter in waiters:
                turn.add(self._places.of(waiter))
