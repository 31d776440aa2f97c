"""What a rename that was cut off may have left under its old name: it is not deleted here, and goes all the same.

After a lost connection or a crash nobody knows whether a file has its new name at the server: it is published there
anew, and what may be under the old name goes once that is done. It is none of so many deletes at once (`toomany`), as
it would have been none if it had been renamed: a line that breaks under hundreds of renames is no mass delete, about
which a person would have to decide. Nor is what the server would not rename, so that it was sent. In: files that are
gone, and how they were to be renamed (`moves`). Out: when they are to be deleted. Used by the `removals` of one
mapping.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from ftpsyncd.core.gate import Breaker
from ftpsyncd.ledger.failures import NO_SPACE
from ftpsyncd.mapping.cutoff import CutOff, Fate
from ftpsyncd.mapping.doubts import is_in_doubt
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.paths import above
from ftpsyncd.specs import DeletePolicy

LOOKED_THROUGH = 100
"""Files of which it is found out whether they are awaited, to say so: for each, the ledger is asked."""
LOOK_AGAIN_S = 5.0
"""Whether it is published under its new name is not looked at more often than this."""
AWAY_AGAIN_S = 300.0
"""The same while its server cannot be reached, or a person has paused it: each look is one at the disk, for days
perhaps. That it is published has it looked at in any case (`done`), and so has that another one is here no more."""
PAUSED_AGAIN_S = 3600.0
"""The same in one pass of what a person has paused, or what has failed and is tried once more: that is for the next
pass."""


def due(
    site: Site, path: str, at: Moment, gone_s: float, comes_to_rest: Callable[[str], bool], *, all_seen: bool
) -> float | None:
    """When what may be left of a file under its old name is to be deleted, or to be asked about again.

    Args:
        site: the mapping.
        path: of a file that is gone.
        at: now.
        gone_s: for how many seconds it has been gone at least.
        comes_to_rest: whether a file waits under a path until it is at rest.
        all_seen: everything was looked at since the start: else it may be found under its new name yet.

    Returns:
        Monotonic seconds, infinite if that is when all has been seen. None: its rename was not cut off, or is not what
        became of it, and it counts as deleted.
    """
    rename = site.moves.cut_off(path, at.now - gone_s)
    if rename is None:
        return None
    fate = _fate(site, path, rename, comes_to_rest, all_seen=all_seen)
    if site.spec.deletes is DeletePolicy.KEEP:
        fate = Fate.NOTHING
    return _goes_at(site, path, rename, fate, at, looked_at=path)


def _fate(
    site: Site,
    source: str,
    rename: CutOff,
    comes_to_rest: Callable[[str], bool],
    *,
    all_seen: bool,
    waits: bool = True,
) -> Fate:
    """What becomes of what may be under an old name; for the arguments see `due` and `CutOff.fate`."""
    left = _is_left(site, source, rename)
    arrived = left and _has_arrived(site, source, rename)
    comes = left and not arrived and waits and _is_on_its_way(site, rename, comes_to_rest)
    return rename.fate(left=left, arrived=arrived, comes=comes, all_seen=all_seen, waits=waits)


def _goes_at(site: Site, source: str, rename: CutOff, fate: Fate, at: Moment, *, looked_at: str) -> float | None:
    """When what may be under an old name is to be deleted, or to be asked about again.

    Args:
        site: the mapping.
        source: the old name.
        rename: from there.
        fate: what becomes of it.
        at: now.
        looked_at: what is looked at for it, which may be a directory that it is in.

    Returns:
        As `due` does.
    """
    if fate is Fate.MISSED:
        rename = site.moves.missed(source, at.now)
        _look_at_put_off(site, at)
    goes = rename.goes_at(fate, site.spec.delete_after_s)
    if fate is Fate.NOTHING or (fate in {Fate.MISSED, Fate.COUNTS} and goes <= at.now):
        site.moves.forget_cut_off(source)
        return None
    if fate is Fate.WAITS:
        site.moves.is_here(rename.path, rename.seen)
        return max(goes, _look_again_at(site, looked_at, rename, at))
    return goes


def _look_at_put_off(site: Site, at: Moment) -> None:
    """Something is not on its way any more: what else is not counts with it, and is not to be found in minutes only."""
    for path in site.moves.take_put_off():
        site.dirty.mark(path, at.now)


def _look_again_at(site: Site, path: str, rename: CutOff, at: Moment) -> float:
    """When it is looked at again whether what is on its way has arrived (monotonic seconds)."""
    paused = bool(site.ledger.decisions.paused_ns(site.id))
    if site.one_pass:
        # Once it has arrived, that is looked at in any case.
        failure = site.ledger.failures.of(site.id, rename.path)
        waits = paused or (failure is not None and not failure.parked)
        return at.now + (PAUSED_AGAIN_S if waits else LOOK_AGAIN_S)
    if not (paused or site.queue.gate.is_doubtful):
        return at.now + LOOK_AGAIN_S
    site.moves.put_off(path)
    return at.now + AWAY_AGAIN_S


def _is_on_its_way(site: Site, rename: CutOff, comes_to_rest: Callable[[str], bool]) -> bool:
    """Whether it is about to be published under its new name, or is tried once more, be that by the next pass.

    Where it lacked space, what lies under the old name may be what has to make that.
    """
    queue, name = site.queue, site.spec.name
    if queue.brings(name, rename.path) or queue.occupied(name, rename.path) or comes_to_rest(rename.path):
        return True
    failure = site.ledger.failures.of(site.id, rename.path)
    if failure is None or failure.parked or failure.kind in NO_SPACE:
        return False
    return rename.is_same_file(failure.fingerprint)


def _has_arrived(site: Site, source: str, rename: CutOff) -> bool:
    """Whether it is published under its new name, as whatever it was made since, or under another one."""
    row = site.ledger.row(site.id, rename.path)
    if row is not None and rename.is_same_file(row.fingerprint):
        return True
    files = site.ledger.inodes.files(site.id, rename.seen)
    return any(path != source and path not in rename.links for path, _ in files)


def _is_left(site: Site, source: str, rename: CutOff) -> bool:
    """Whether the server may have it under its old name: what was sent there since is what is published there."""
    row = site.ledger.row(site.id, source)
    if rename.refused and row is not None and row.fingerprint == rename.fingerprint:
        return True
    return is_in_doubt(site.ledger, site.id, source)


def awaited(site: Site, path: str, comes_to_rest: Callable[[str], bool]) -> str:
    """The name under which a file is to be published before what is left of it under its old one goes; empty: none."""
    rename = site.moves.all_cut_off.get(path)
    if rename is None or _fate(site, path, rename, comes_to_rest, all_seen=True) is not Fate.WAITS:
        return ""
    return rename.path


def first_awaited(site: Site, is_noted: Callable[[str], bool], comes_to_rest: Callable[[str], bool]) -> str:
    """One of the names under which files are to be published before what is left of them goes; empty: there is none.

    Args:
        site: the mapping.
        is_noted: whether a path is noted as gone.
        comes_to_rest: as for `due`.
    """
    noted = (path for path in site.moves.all_cut_off if any(map(is_noted, (path, *above(path)))))
    return next(filter(None, (awaited(site, path, comes_to_rest) for path in islice(noted, LOOKED_THROUGH))), "")


def below(site: Site, directory: str, comes_to_rest: Callable[[str], bool], *, all_seen: bool) -> list[str]:
    """What is not deleted with a directory that is gone, since a rename that was cut off may have left it there.

    So it is with what was here under its new name until `below_due` has not found it for long.

    Args:
        site: the mapping.
        directory: it.
        comes_to_rest: as for `due`.
        all_seen: likewise.
    """
    stays = {Fate.GOES, Fate.WAITS, Fate.SOUGHT, Fate.MISSED}
    found = _fates_below(site, directory, comes_to_rest, all_seen=all_seen)
    return [path for path, (_, fate) in found.items() if fate in stays]


def _fates_below(
    site: Site, directory: str, comes_to_rest: Callable[[str], bool], *, all_seen: bool
) -> dict[str, tuple[CutOff, Fate]]:
    """By old names below a directory, how files were to be renamed, and what becomes of what is there.

    A full server waits for none: what lies there may be what has to make room.
    """
    renames, waits = site.moves.cut_off_below(directory), site.queue.gate.state is not Breaker.FULL
    return {
        path: (rename, _fate(site, path, rename, comes_to_rest, all_seen=all_seen, waits=waits))
        for path, rename in renames.items()
    }


def below_due(
    site: Site, directory: str, at: Moment, comes_to_rest: Callable[[str], bool], *, all_seen: bool
) -> float | None:
    """When a directory that is gone is looked at again, as something in it is still to be published under its new name.

    Else nothing of that would be at the server meanwhile, perhaps for good, and nobody be asked.

    Args:
        site: the mapping.
        directory: it.
        at: now.
        comes_to_rest: as for `due`.
        all_seen: likewise.

    Returns:
        Monotonic seconds; None: nothing in it has to stay, or the server is full, and needs the room.
    """
    fates = _fates_below(site, directory, comes_to_rest, all_seen=all_seen)
    some = {fate: (path, rename) for path, (rename, fate) in fates.items()}
    if Fate.WAITS in some:
        return _goes_at(site, *some[Fate.WAITS], Fate.WAITS, at, looked_at=directory)
    if fates:
        _look_at_put_off(site, at)
    missed = [(path, rename) for path, (rename, fate) in fates.items() if fate is Fate.MISSED]
    dues = [_goes_at(site, *each, Fate.MISSED, at, looked_at=directory) for each in missed]
    return max((each for each in dues if each is not None), default=None)


def forget_old(site: Site) -> None:
    """What became of these is known by now: they are published under their old names again, or not at all."""
    for path, rename in site.moves.all_cut_off.items():
        if not _is_left(site, path, rename):
            site.moves.forget_cut_off(path)
