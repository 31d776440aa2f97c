"""Files for which there was no space at the server: what is full because of them, and when they are tried again.

In: such a failure, a delete that has made room, or one that will not. Out: what `core.space` and the gate know, events,
marks on what is looked at next. Used by `outcomes`, and by `handout` for what shows by no outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ftpsyncd.actions import Action
from ftpsyncd.core.extent import LARGE_BYTES, MAKES_ROOM, is_large
from ftpsyncd.core.gate import Breaker
from ftpsyncd.core.schedule import Queue
from ftpsyncd.core.space import SERVER, SPACE_RETRY_S
from ftpsyncd.errors import FtpsyncdError, RemoteError
from ftpsyncd.events import EventKind
from ftpsyncd.ledger.failures import NO_SPACE
from ftpsyncd.mapping.mirror import Mirror
from ftpsyncd.mapping.site import Moment
from ftpsyncd.model import Failure


def no_space(mirror: Mirror, action: Action, error: FtpsyncdError, at: Moment, *, alone: bool) -> None:
    """Nothing more is sent for a while to where there is none; to the server at all if that is everywhere.

    Args:
        mirror: of its mapping.
        action: for which there was none.
        error: what the server said.
        at: now.
        alone: the server has no other mapping.
    """
    space, name = mirror.queue.space, mirror.spec.name
    said = error.reply if isinstance(error, RemoteError) and error.reply else error.message
    full = space.refused(name, action.path, said, at.now)
    if full is None:
        return
    key, is_news = full
    if key == SERVER or (key == name and alone):
        space.clear()
        message = f"no space left at the server: {error.message}"
        if mirror.queue.gate.failed(at.now, Breaker.FULL, message, connects=True):
            mirror.site.tell(EventKind.SERVER_OFFLINE, message=message)
    elif is_news:
        message = (
            f"there is no space at the server for what is in it ({said}): one file of it is tried every"
            f" {SPACE_RETRY_S / 60:.0f} minutes, and all else is sent"
        )
        directory = key[len(name) + 1 :]
        mirror.site.tell(EventKind.FAILED, directory, message, remedy=error.remedy, error=type(error).__name__)


def made(mirror: Mirror, beside: Collection[Mirror], action: Action, at: Moment, *, deleted: bool) -> list[str]:
    """What may make room at the server has ended: whether there is space again is tried when nothing more is to.

    Also with what has failed already, since there may be nothing else; of what failed by itself, in no full directory,
    with one file.

    Args:
        mirror: of its mapping.
        beside: the other mappings of its server.
        action: what has ended.
        at: now.
        deleted: a file was deleted.

    Returns:
        The names of mappings of which something is looked at now.
    """
    queue = mirror.queue
    if deleted:
        queue.space.freed(mirror.spec.name, action.path)
    return _use(queue, (mirror, *beside), at)


def left(queue: Queue, mirrors: Iterable[Mirror], at: Moment) -> list[str]:
    """What waited to make more room is not to be done any more, or is paused: what was made is used as in `made`.

    Not while such a thing runs: its end sees to that.

    Args:
        queue: of the server, from which what may begin was taken.
        mirrors: all there are.
        at: now.

    Returns:
        The names of mappings of which something is looked at now.
    """
    if not queue.space.is_freed or queue.makes_room or queue.under_way.any_of(MAKES_ROOM):
        return []
    return _use(queue, [mirror for mirror in mirrors if mirror.queue is queue], at)


def _use(queue: Queue, every: Sequence[Mirror], at: Moment) -> list[str]:
    """Try what may have space if nothing more waits that makes room; of a server's mappings, the first one first."""
    if queue.makes_room:
        return []
    places = queue.space.to_try(at.now)
    if not places:
        return []
    queue.room_made()
    if queue.gate.state is Breaker.FULL:
        queue.gate.retry_now(at.now)
        return [each.spec.name for each in every if _try_again(each, "", at)]
    stirred = _try_next(every, at) if SERVER in places else []
    for each in every:
        name = each.spec.name
        full = [key[len(name) + 1 :] for key in places if key == name or key.startswith(f"{name}/")]
        looked_at = [_try_again(each, directory, at) for directory in full]  # in each of them
        if any(looked_at):
            stirred.append(name)
    return stirred


def found(mirror: Mirror, beside: Collection[Mirror], action: Action, at: Moment) -> list[str]:
    """A file was sent: if it had failed for want of space, another one that failed by itself is tried.

    Args:
        mirror: of its mapping.
        beside: the other mappings of its server.
        action: what was done, and is still among the failures if it was.
        at: now.

    Returns:
        The names of mappings of which something is looked at now.
    """
    mirror.queue.space.found(action.mapping, action.path)
    failures = mirror.ledger.failures
    failure = failures.of(mirror.id, action.path) if failures.tries(mirror.id, action.path) else None
    return _try_next((mirror, *beside), at) if failure is not None and failure.kind in NO_SPACE else []


def is_overtaken(mirror: Mirror, action: Action, at: Moment) -> bool:
    """Whether room was made since a file was begun that found none, so that it is sent again; unless that takes long.

    Nor where that has just been done in vain, if nothing is known to be full (`tried_soon`).
    """
    queue = mirror.queue
    if not queue.began_before_room(action) or is_large(action):
        return False
    return _is_full(queue, action.mapping, action.path) or not queue.space.tries_in_s(
        action.mapping, action.path, at.now
    )


def tried_soon(mirror: Mirror, action: Action, at: Moment) -> None:
    """A file is among the failures for want of space: if room was made since it was begun, it is not for long."""
    queue = mirror.queue
    if queue.began_before_room(action) and not is_large(action) and not _is_full(queue, action.mapping, action.path):
        failure = mirror.ledger.failures.of(mirror.id, action.path)
        if failure is not None:
            _try_at(mirror, action.path, failure, at)


def _is_full(queue: Queue, mapping: str, path: str) -> bool:
    """Whether more than a file by itself is known to find no space."""
    return queue.gate.state is Breaker.FULL or queue.space.lack(mapping, path) is not None


def _try_at(mirror: Mirror, path: str, failure: Failure, at: Moment) -> bool:
    """Have a file that found no space by itself looked at as soon as may be; whether that is now."""
    in_s = mirror.queue.space.tries_in_s(mirror.spec.name, path, at.now)
    if in_s:
        next_try_ns = at.wall_ns + int(in_s * 1e9)
        if next_try_ns < failure.next_try_ns:
            mirror.ledger.failures.put(mirror.id, path, failure._replace(next_try_ns=next_try_ns))
            mirror.dirty.mark(path, at.now + in_s)
        return False
    mirror.ledger.failures.release(mirror.id, path)
    mirror.dirty.mark(path, at.now)
    return True


def _try_again(mirror: Mirror, directory: str, at: Moment) -> bool:
    """Look at what is in a directory and found no space; whether there is anything."""
    failures = mirror.ledger.failures
    found = failures.without_space(mirror.id, below=directory)
    for path in found:
        failures.release(mirror.id, path)
        mirror.dirty.mark(path, at.now)
    return bool(found)


def _try_next(every: Iterable[Mirror], at: Moment) -> list[str]:
    """Look at the file that found no space by itself and has waited longest, in the first mapping that has one.

    Not at all of them: a server that takes no file beyond some size has them sent in vain, however much is deleted. So
    large ones wait for their time.
    """
    for each in every:
        if each.suspended:
            continue  # nothing would be sent, nor be tried after that
        failures = each.ledger.failures
        for path in failures.without_space(each.id):
            failure = failures.of(each.id, path)
            if failure is None or failure.next_try_ns <= at.wall_ns:
                continue
            is_small = failure.fingerprint is None or failure.fingerprint.size < LARGE_BYTES
            if is_small and each.queue.space.lack(each.spec.name, path) is None and _try_at(each, path, failure, at):
                return [each.spec.name]
    return []


def shows_by_files(queue: Queue, mirrors: Iterable[Mirror], now: float) -> bool:
    """Whether a full server is tried with the files that it had no space for: that it answers says nothing of that.

    Args:
        queue: of the server, of which nothing that waits can be used to try it.
        mirrors: of all its mappings.
        now: monotonic seconds.
    """
    if queue.gate.state is not Breaker.FULL:
        return False
    if not any(mirror.queue is queue and mirror.ledger.failures.without_space(mirror.id, 1) for mirror in mirrors):
        return False
    # They have their own time, or wait for a person; that is asked again later on.
    queue.gate.retry_now(now)
    return True
