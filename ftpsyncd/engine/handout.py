"""What is handed to the workers of a server, and what not: the last decision before an action goes out.

In: a server's queue, the mirrors, and the ledger as it is now. Out: actions, noted as intents. All of it runs on the
engine's thread, which commits between `take` and `hand`, so that what begins is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ftpsyncd.actions import Action, Delete, MakeDir, Probe, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core.extent import SENDS, Key, is_large
from ftpsyncd.core.schedule import Queue
from ftpsyncd.engine import room
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.mapping.leftovers import Leftovers
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Kind
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.scratch import LATE_S
from ftpsyncd.specs import PublishMode

BUSY_ACTIONS = 16
"""Actions handed out from which on the workers are busy."""
SMALL_ON_AVERAGE = 128 * 1024
"""Bytes of a file up to which most of its cost is the interpreter's."""


class Hands(Protocol):
    """Who performs actions at one server (`crew.Crew`)."""

    @property
    def connections(self) -> int:
        """Open connections."""

    def hand(self, actions: Sequence[Action], *, afresh: bool = False, expected: int = 0) -> None:
        """Take actions, and be ready for as many files at a time as are expected."""

    def recall(self, mapping: str) -> list[Action]:
        """Take back what was handed over for a mapping and nobody has begun."""

    def give_up(self, mapping: str) -> None:
        """The disk of a mapping does not answer: wait for nobody who waits for it."""

    def spare(self) -> None:
        """Close what connections nobody uses now."""

    def transfers(self) -> list[Progress]:
        """Files on their way."""


@dataclass(slots=True)
class Server:
    """One server as the engine sees it."""

    name: str
    queue: Queue
    crew: Hands
    account: str = ""
    """Under which the ledger keeps what is learned of it."""
    keeper: Keeper | None = None
    leftovers: Leftovers | None = None
    """Of mappings that are not there any more."""
    limits: str = ""
    """What of it is worse than it should be, in a sentence; as it was told last."""
    sent: dict[Key, int] = field(default_factory=dict)
    """How much was sent of the files on their way when a further connection could not be opened, once more."""
    tidy_at: float = -math.inf
    """Not before then is somebody sent again to remove what trials have left (monotonic seconds)."""
    is_back: bool = False
    """It answers again, and the workers have not heard of that yet."""


def take(
    server: Server,
    mirrors: Mapping[str, Mirror],
    ledger: Ledger,
    at: Moment,
    took: Callable[[str], None] = lambda _mapping: None,
) -> tuple[list[Action], bool]:
    """What may be handed to a server's workers now, and whether to try the server that failed with it.

    Args:
        server: that one.
        mirrors: all there are, by name.
        ledger: as it is now.
        at: now.
        took: is told of each mapping of which something does not wait any more, or is to be looked at.
    """
    taken: list[Action] = []
    q = server.queue
    afresh = q.gate.is_doubtful or server.is_back
    while not ledger.overfull and (action := q.take(at.now)) is not None:
        mirror = mirrors.get(action.mapping)
        if mirror is not None:
            took(action.mapping)
        if mirror is None and isinstance(action, Sweep):
            taken.append(action)
        elif mirror is None or not _still_wanted(mirror, action) or not _has_space(q, action, at):
            q.finish(action)
            if mirror is not None:
                mirror.offers.not_performed(action, at)
        else:
            taken.append(_begun(mirror, action, at))
    for name in room.left(q, mirrors.values(), at):
        took(name)
    asks = q.wants_probe(at.now) and not room.shows_by_files(q, mirrors.values(), at.now)
    probe = Probe(server.name) if asks else _to_tidy(server, at)
    if probe is not None:
        q.start_probe(probe)
        taken.append(probe)
    return taken, afresh


def _to_tidy(server: Server, at: Moment) -> Probe | None:
    """What has a connection opened or used for what trials have left, where nothing else is to be done."""
    if server.keeper is None or not server.keeper.profile.scratch or at.now < server.tidy_at:
        return None
    if not server.queue.idle or server.queue.gate.is_doubtful:
        return None
    # The second time, it has come if it hung on the line.
    server.tidy_at = at.now + LATE_S
    return Probe(server.name, why="what have trials left?")


def _begun(mirror: Mirror, action: Action, at: Moment) -> Action:
    """An action that is handed out, with its intent."""
    if isinstance(action, SENDS) and not action.replaces:
        # While it waited, a file of ours may have come to its name: with the directory that it is in, for one.
        row = mirror.ledger.row(mirror.id, action.path)
        action = action._replace(replaces=row is not None and row.kind is Kind.FILE)
    action = mirror.intents.begin(action, elsewhere=bool(mirror.removals.source.places.seen_elsewhere(action.path)))
    if isinstance(action, SENDS) and action.replaces and mirror.spec.publish is PublishMode.DIRECT:
        # What has its name is ours, and known before a worker could tell.
        mirror.intents.exposures.begun(action, at)
    return action


def ask_what_is_left(server: Server, mirrors: Iterable[Mirror], at: Moment) -> None:
    """Have what was interrupted at a server looked for and cleaned up, if nothing else is to be done there.

    What may come late is looked for in any case: a backlog of days, or a file that takes hours, settles nothing of it.

    Args:
        server: that one; what was taken of it runs.
        mirrors: those of which something is open, also those of other servers.
        at: now.
    """
    if server.queue.only_additions:
        return
    idle = server.queue.idle
    for mirror in mirrors:
        # Not before the first pass: what it finds on disk goes on with what is there.
        if mirror.queue is not server.queue or mirror.suspended or not (mirror.intents and mirror.looks.passes):
            continue
        if not idle:
            mirror.intents.inquiries.ask_meanwhile(mirror.waits.pending, at.now)
        elif not mirror.busy_looking(at.now):
            mirror.intents.inquiries.ask(mirror.waits.pending, at.now)
    if idle and server.leftovers:
        server.leftovers.ask(at.now)


def hand(server: Server, taken: Sequence[Action], *, afresh: bool) -> None:
    """Have a server's workers do what was taken, as far as it may still start after the commit."""
    startable = [action for action in taken if _may_start(server, action)]
    if startable:
        expected = 0 if afresh else min(server.queue.gate.cap, server.queue.backlog()[0])
        server.crew.hand(startable, afresh=afresh, expected=expected)
        server.is_back = False


def go_on_without(server: Server, mirror: Mirror) -> None:
    """A mapping's disk does not answer: its server is there for the other mappings."""
    for action in reversed(server.crew.recall(mirror.spec.name)):
        server.queue.finish(action, requeue=True)
    server.crew.give_up(mirror.spec.name)


def busy(servers: Iterable[Server]) -> bool:
    """Whether so much was handed out that outcomes follow one another closely."""
    return sum(server.queue.in_flight for server in servers) >= BUSY_ACTIONS


def many_small_files(servers: Sequence[Server]) -> bool:
    """Whether the workers are busy with files whose cost is mostly the interpreter's."""
    if not busy(servers):
        return False
    backlogs = [server.queue.backlog() for server in servers]
    files, size = sum(files for files, _ in backlogs), sum(size for _, size in backlogs)
    return 0 < size < files * SMALL_ON_AVERAGE


def _may_start(server: Server, action: Action) -> bool:
    """Whether an action that was taken may be handed out; if not, it waits again."""
    if server.queue.may_start(action):
        return True
    # It was taken before the commit showed that it cannot be recorded.
    server.queue.finish(action, requeue=True)
    return False


def _has_space(queue: Queue, action: Action, at: Moment) -> bool:
    """Whether an action may begin as far as the server's space is known; what may not is noted to wait for it."""
    if not isinstance(action, Upload):
        return True
    return queue.space.admits(action.mapping, action.path, at.now, large=is_large(action))


def _still_wanted(mirror: Mirror, action: Action) -> bool:
    """Whether the ledger still calls for an action that may have waited for long."""
    match action:
        case Delete() | RemoveDir():
            if mirror.removals.hold is not None or mirror.removals.source.missing:
                return False
            row = mirror.ledger.row(mirror.id, action.path)
            return row is not None and (row.kind is Kind.FILE) == isinstance(action, Delete)
        case Upload() | Rename():
            row = mirror.ledger.row(mirror.id, action.path)
            if row is not None and row.fingerprint == action.fingerprint:
                return False
            # Another file may have come to the old path at the server while the rename waited.
            source = mirror.ledger.row(mirror.id, action.source) if isinstance(action, Rename) else None
            return isinstance(action, Upload) or (source is not None and source.fingerprint == action.fingerprint)
        case RenameDir():
            return mirror.ledger.row(mirror.id, action.source) is not None
        case MakeDir():
            row = mirror.ledger.row(mirror.id, action.path)
            # Without an inode: made for what is in it, or missing at the server.
            return row is None or row.kind is not Kind.DIR or not row.fingerprint.inode
        case _:
            return True
