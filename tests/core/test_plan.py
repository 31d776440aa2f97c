"""The decision table, case by case in words, and what holds for every directory and every tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftpsyncd.actions import Adopt, Forget, MakeDir, Rename, Upload
from ftpsyncd.core.plan import AWAITED, KEPT, Ask, Decision, Enter, Gone, Look, Settled, Wait, plan_directory
from ftpsyncd.core.settle import BUSY_AGAIN_S, Sighting
from ftpsyncd.core.swapped import Swapped
from ftpsyncd.model import MISSING, MIXED, Entry, Fingerprint, Kind, Row
from ftpsyncd.paths import join, parent
from ftpsyncd.specs import ExistingPolicy
from tests.core.vocabulary import (
    DISK,
    NOW,
    OTHER_DISK,
    SETTLE_S,
    SHA,
    WALL,
    M,
    S,
    Scene,
    Without,
    failed,
    fifo,
    file,
    folder,
    listing,
    made,
    mounted,
    published,
    seen,
    spec,
)

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

A = file(size=10, mtime=1, inode=7)
LINKED = A._replace(device=OTHER_DISK)
A_TOUCHED = file(size=10, mtime=2, inode=7)
A_GROWN = file(size=11, mtime=2, inode=7)
A_NOW = file(size=10, mtime=1, inode=7, changed_s_ago=0.5)
A_COARSE_NOW = file(size=10, mtime=S, inode=7, changed_s_ago=0)
A_SINCE = file(size=10, mtime=1, inode=7, changed_s_ago=SETTLE_S)
"""Changed after what failed, and quiet since."""
A_FROM_THE_FUTURE = file(size=10, mtime=1, inode=7, changed_s_ago=-3600)
RENEWED = made(inode=51)
MISSED = made()._replace(fingerprint=MISSING)
DISK_A = 1 << 40
"""A number for a file system."""
HIDDEN = "and some of what is published below it was there when it was otherwise"


def moved(entry: Entry, source: str):
    """The ledger knows a path with this entry's content that may be gone."""
    return lambda _path, fingerprint: (source, published(entry)) if fingerprint == entry.fingerprint else None


def upload(entry: Entry, path: str = "a") -> Upload:
    return Upload(M, path, entry.fingerprint)


def replace(entry: Entry, known: bytes = b"", path: str = "a") -> Upload:
    return Upload(M, path, entry.fingerprint, known, replaces=True, why="changed")


def forget(kind: Kind, path: str = "a") -> Forget:
    return Forget(M, path, kind, "no longer included")


def settled(path: str = "a", *, had_failure: bool = False) -> Settled:
    return Settled(path, had_failure)


def retry_in(seconds: float, path: str = "a") -> Wait:
    return Wait(path, NOW + seconds, "the last try failed: Permission denied.")


def moved_in(seconds: float, entry: Entry, since_s_ago: float = 0.0) -> Wait:
    had = "has, or had," if entry.linked else "had"
    why = f"it {had} the name a, and whether that is written anew is awaited first"
    return Wait("b", NOW + seconds, why, seen(entry, since_s_ago=since_s_ago), source="a")


def quiet_in(seconds: float, entry: Entry, since_s_ago: float = 0.0, sighting: Sighting | None = None) -> Wait:
    return Wait("a", NOW + seconds, "it changed a moment ago", sighting or seen(entry, since_s_ago=since_s_ago))


# ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────

FILES = {
    "a new file is uploaded": (Scene({"a": A}), [upload(A)]),
    "an unchanged file needs nothing": (Scene({"a": A}, {"a": published(A)}), [settled()]),
    "a grown file is uploaded": (Scene({"a": A_GROWN}, {"a": published(A)}), [replace(A_GROWN)]),
    "a touched file may have the known content": (
        Scene({"a": A_TOUCHED}, {"a": published(A)}),
        [replace(A_TOUCHED, known=SHA)],
    ),
    "a touched file that was adopted has no known content": (
        Scene({"a": A_TOUCHED}, {"a": published(A, sha256=b"")}),
        [replace(A_TOUCHED)],
    ),
    "a replaced file of the same size and date has another inode": (
        Scene({"a": file(inode=8)}, {"a": published(A)}),
        [replace(file(inode=8), known=SHA)],
    ),
    "a file is named by its directory, too": (
        Scene({"a": A}, directory="d/e"),
        [upload(A, "d/e/a")],
    ),
    "a deleted file is gone": (Scene({}, {"a": published(A)}), [Gone("a", Kind.FILE)]),
    "a deleted directory is gone": (Scene({}, {"d": made()}), [Gone("d", Kind.DIR)]),
    "what is nowhere is settled": (Scene({}, names={"a"}), [settled()]),
}

PUBLISHED_NS = published(A).published_ns

RENAMES = {
    "a file under a new name is renamed": (
        Scene({"b": A}, moved_from=moved(A, "a")),
        [Rename(M, "b", "a", A.fingerprint, SHA, why="renamed from a", published_ns=PUBLISHED_NS)],
    ),
    "a file that has another name, too, since a moment ago waits: it is not said that it has no longer the first one": (
        Scene({"b": A_NOW._replace(linked=True)}, moved_from=moved(A, "a")),
        [moved_in(SETTLE_S - 0.5, A_NOW._replace(linked=True))],
    ),
    "a file that has another name since a moment ago waits: its old one may be written anew": (
        Scene({"b": A_NOW}, moved_from=moved(A, "a")),
        [moved_in(SETTLE_S - 0.5, A_NOW)],
    ),
    "but not for longer than what is gone is not deleted": (
        Scene({"b": A_NOW}, moved_from=moved(A, "a"), settle_s=3600, delete_after_s=5),
        [moved_in(4.5, A_NOW)],
    ),
    "and not at all where nothing has to settle": (
        Scene({"b": A_NOW}, moved_from=moved(A, "a"), settle_s=0),
        [Rename(M, "b", "a", A.fingerprint, SHA, why="renamed from a", published_ns=PUBLISHED_NS)],
    ),
    "also where the file system keeps whole seconds, of which two more would be awaited": (
        Scene({"b": A_COARSE_NOW}, moved_from=moved(A_COARSE_NOW, "a"), settle_s=0),
        [Rename(M, "b", "a", A_COARSE_NOW.fingerprint, SHA, why="renamed from a", published_ns=PUBLISHED_NS)],
    ),
    "it waits since its old name was seen to be gone, which may have been there again meanwhile": (
        Scene({"b": A}, moved_from=moved(A, "a"), gone_s=0.5),
        [moved_in(SETTLE_S - 0.5, A)],
    ),
    "a renamed file whose old name has been gone for long enough need not settle again": (
        Scene({"b": A_NOW}, moved_from=moved(A, "a"), gone_s=SETTLE_S),
        [Rename(M, "b", "a", A.fingerprint, SHA, why="renamed from a", published_ns=PUBLISHED_NS)],
    ),
    "where the clock that stamps files is another one, a renamed file waits since it was seen": (
        Scene({"b": A}, moved_from=moved(A, "a"), clock_trusted=False, seen={"b": seen(A, since_s_ago=0.5)}),
        [moved_in(SETTLE_S - 0.5, A, since_s_ago=0.5)],
    ),
    "a renamed file may be open for writing": (
        Scene({"b": A}, moved_from=moved(A, "a"), names={"b"}, busy={"b"}),
        [Rename(M, "b", "a", A.fingerprint, SHA, why="renamed from a", published_ns=PUBLISHED_NS)],
    ),
    "a rename over a published file says so": (
        Scene({"b": A}, {"b": published(file(inode=8))}, moved_from=moved(A, "d/a")),
        [Rename(M, "b", "d/a", A.fingerprint, SHA, replaces=True, why="renamed from d/a", published_ns=PUBLISHED_NS)],
    ),
    "a path is not renamed to itself": (
        Scene({"a": A}, moved_from=moved(A, "a")),
        [upload(A)],
    ),
    "another fingerprint is no rename": (
        Scene({"b": A_TOUCHED}, moved_from=moved(A, "a")),
        [upload(A_TOUCHED, "b")],
    ),
    "a rename that failed waits": (
        Scene({"b": A}, failures={"b": failed(A)}, moved_from=moved(A, "a")),
        [retry_in(30, "b")],
    ),
    "the old name of a rename is gone all the same": (
        Scene({"b": A}, {"a": published(A)}, moved_from=moved(A, "a")),
        [
            Rename(M, "b", "a", A.fingerprint, SHA, why="renamed from a", published_ns=PUBLISHED_NS),
            Gone("a", Kind.FILE),
        ],
    ),
}

REPLACED = {
    "a directory where a file was: the file goes first": (
        Scene({"a": folder()}, {"a": published(A)}),
        [Gone("a", Kind.FILE)],
    ),
    "a file where a directory was: the directory goes first": (
        Scene({"a": A}, {"a": made()}),
        [Gone("a", Kind.DIR)],
    ),
    "a file that looks like the row of a directory is no directory": (
        Scene({"a": file(0, 0, 50)}, {"a": made(50)}),
        [Gone("a", Kind.DIR)],
    ),
    "an excluded file where a directory was: the directory goes": (
        Scene({"a": A}, {"a": made()}, excluded={"nothing"}),
        [Gone("a", Kind.DIR)],
    ),
    "a FIFO where a file was: the file goes": (Scene({"a": fifo()}, {"a": published(A)}), [Gone("a", Kind.FILE)]),
    "a FIFO where a directory was: the directory goes": (Scene({"a": fifo()}, {"a": made()}), [Gone("a", Kind.DIR)]),
    "a FIFO is nothing to publish": (Scene({"a": fifo()}), [settled()]),
    "an excluded directory where a file was: the file goes": (
        Scene({"a": folder()}, {"a": published(A)}, excluded_folders={"a"}),
        [Gone("a", Kind.FILE)],
    ),
    "a delete that failed holds up the directory in its place": (
        Scene({"a": folder()}, {"a": published(A)}, {"a": failed(None)}),
        [retry_in(30)._replace(gone=True)],
    ),
    "a removal that failed holds up the file in its place": (
        Scene({"a": A}, {"a": made()}, {"a": failed(None, parked=True)}),
        [settled()._replace(gone=True)],
    ),
}

EXCLUDED = {
    "an excluded file needs nothing": (Scene({"a": A}, excluded={"a"}), [settled()]),
    "a newly excluded file is forgotten": (
        Scene({"a": A}, {"a": published(A)}, excluded={"a"}),
        [forget(Kind.FILE)],
    ),
    "a newly excluded file that changed is forgotten": (
        Scene({"a": A_GROWN}, {"a": published(A)}, excluded={"a"}),
        [forget(Kind.FILE)],
    ),
    "a newly excluded file that was deleted is forgotten": (
        Scene({}, {"a": published(A)}, excluded={"a"}),
        [forget(Kind.FILE)],
    ),
    "a newly excluded directory is forgotten": (
        Scene({"d": folder()}, {"d": made()}, excluded={"d"}, deep=True),
        [forget(Kind.DIR, "d")],
    ),
    "a newly excluded directory that was deleted is forgotten": (
        Scene({}, {"d": made()}, excluded={"d"}),
        [forget(Kind.DIR, "d")],
    ),
    "a newly excluded file with a FIFO in its place is forgotten": (
        Scene({"a": fifo()}, {"a": published(A)}, excluded={"a"}),
        [forget(Kind.FILE)],
    ),
    "a newly excluded file with a directory in its place is forgotten": (
        Scene({"a": folder()}, {"a": published(A)}, excluded={"a"}),
        [forget(Kind.FILE)],
    ),
    "a newly excluded directory with an excluded file in its place is forgotten": (
        Scene({"a": A}, {"a": made()}, excluded={"a"}),
        [forget(Kind.DIR)],
    ),
    "a newly excluded directory with a file in its place is forgotten": (
        Scene({"a": A}, {"a": made()}, excluded_folders={"a"}),
        [forget(Kind.DIR)],
    ),
    "an excluded directory is not entered": (
        Scene({"d": folder()}, excluded={"d"}, deep=True, empty_dirs=True),
        [settled("d")],
    ),
    "the failure of an excluded file is over": (
        Scene({"a": A}, failures={"a": failed(A, parked=True)}, excluded={"a"}),
        [settled(had_failure=True)],
    ),
    "the failure at the place of an excluded directory is over": (
        Scene({"d": folder()}, failures={"d": failed(A, parked=True)}, excluded={"d"}),
        [settled("d", had_failure=True)],
    ),
}

FAILURES = {
    "a parked file stays parked": (Scene({"a": A}, failures={"a": failed(A, parked=True)}), [settled()]),
    "a parked file that was published before stays parked": (
        Scene({"a": A_GROWN}, {"a": published(A)}, {"a": failed(A_GROWN, parked=True)}),
        [settled()],
    ),
    "a file that could not be read is tried again when its rights changed": (
        Scene({"a": A_SINCE}, failures={"a": failed(A, parked=True)._replace(kind="LocalUnreadableError")}),
        [upload(A_SINCE)],
    ),
    "and not before": (
        Scene({"a": A}, failures={"a": failed(A, parked=True)._replace(kind="LocalUnreadableError")}),
        [settled()],
    ),
    "nor because its change is still to come": (
        Scene({"a": A_FROM_THE_FUTURE}, failures={"a": failed(A)._replace(kind="LocalUnreadableError")}),
        [retry_in(30)],
    ),
    "new rights mean nothing to a server": (
        Scene({"a": A_SINCE}, failures={"a": failed(A, parked=True)}),
        [settled()],
    ),
    "a failed file waits for its next try": (Scene({"a": A}, failures={"a": failed(A)}), [retry_in(30)]),
    "a failed file is tried when its time has come": (
        Scene({"a": A}, failures={"a": failed(A, next_try_s=0)}),
        [upload(A)],
    ),
    "a parked file that changed is tried again": (
        Scene({"a": A_TOUCHED}, failures={"a": failed(A, parked=True)}),
        [upload(A_TOUCHED)],
    ),
    "a failed file that changed is tried at once": (
        Scene({"a": A_TOUCHED}, failures={"a": failed(A)}),
        [upload(A_TOUCHED)],
    ),
    "a failed file that is as it was published needs nothing more": (
        Scene({"a": A}, {"a": published(A)}, {"a": failed(A_GROWN)}),
        [settled(had_failure=True)],
    ),
    "a failure whose file is gone is over": (
        Scene({}, failures={"a": failed(A, parked=True)}),
        [settled(had_failure=True)],
    ),
    "a failure whose file is gone is over, asked by name": (
        Scene({}, failures={"a": failed(A)}, names={"a"}),
        [settled(had_failure=True)],
    ),
    "a failure of the content does not hold up the delete": (
        Scene({}, {"a": published(A)}, {"a": failed(A_GROWN, parked=True)}),
        [Gone("a", Kind.FILE)],
    ),
    "a delete that failed waits": (
        Scene({}, {"a": published(A)}, {"a": failed(None)}),
        [retry_in(30)._replace(gone=True)],
    ),
    "a delete that is parked stays parked": (
        Scene({}, {"a": published(A)}, {"a": failed(None, parked=True)}),
        [settled()._replace(gone=True)],
    ),
    "a delete that failed is tried when its time has come": (
        Scene({}, {"a": published(A)}, {"a": failed(None, next_try_s=-1)}),
        [Gone("a", Kind.FILE)],
    ),
    "a delete that failed does not hold up the file when it is back": (
        Scene({"a": A_GROWN}, {"a": published(A)}, {"a": failed(None, parked=True)}),
        [replace(A_GROWN)],
    ),
    "a clock that was set back does not make a failure wait for years": (
        Scene({"a": A}, failures={"a": failed(A, next_try_s=10**8, ago_s=-(10**8))}),
        [upload(A)],
    ),
    "an empty directory that could not be made waits": (
        Scene({"d": folder()}, failures={"d": failed(None)}, empty_dirs=True),
        [Enter("d", 50, known=False), retry_in(30.0, "d")],
    ),
    "the failure of a file is over when a directory has its name, and does not keep that from being made": (
        Scene({"d": folder()}, failures={"d": failed(A, parked=True)}, empty_dirs=True),
        [settled("d", had_failure=True), MakeDir(M, "d", 50), Enter("d", 50, known=False)],
    ),
    "nor is it told for ever of a directory that is not to be made": (
        Scene({"d": folder()}, failures={"d": failed(A, parked=True)}, deep=True),
        [settled("d", had_failure=True), Enter("d", 50, known=False)],
    ),
    "a delete that failed is over when its directory is back, also where only a deep scan tells": (
        Scene({"d": folder()}, {"d": made()}, {"d": failed(None, parked=True)}, deep=True),
        [settled("d", had_failure=True), Enter("d", 50, known=True)],
    ),
}

UNSETTLED = {
    "a file changed half a second ago waits for the rest": (Scene({"a": A_NOW}), [quiet_in(1.5, A_NOW)]),
    "a file changed two seconds ago is quiet": (
        Scene({"a": file(changed_s_ago=2.0)}),
        [upload(file(changed_s_ago=2.0))],
    ),
    "a change of the inode alone counts: a copy keeps its date": (
        Scene({"a": file(mtime=1, changed_s_ago=0.0)}),
        [quiet_in(2.0, file(changed_s_ago=0.0))],
    ),
    "a file from the future is watched instead": (
        Scene({"a": A_FROM_THE_FUTURE}),
        [quiet_in(2.0, A_FROM_THE_FUTURE)],
    ),
    "a file from the future is quiet when it was watched": (
        Scene({"a": A_FROM_THE_FUTURE}, seen={"a": seen(A_FROM_THE_FUTURE, since_s_ago=2.0)}),
        [upload(A_FROM_THE_FUTURE)],
    ),
    "where the clock cannot be compared, an old file is watched, too": (
        Scene({"a": A}, clock_trusted=False),
        [quiet_in(2.0, A)],
    ),
    "where the clock cannot be compared, watching counts": (
        Scene({"a": A}, clock_trusted=False, seen={"a": seen(A, since_s_ago=1.5)}),
        [quiet_in(0.5, A, since_s_ago=1.5)],
    ),
    "a file that was watched for the quiet time is quiet": (
        Scene({"a": A}, clock_trusted=False, seen={"a": seen(A, since_s_ago=2.0)}),
        [upload(A)],
    ),
    "a change while watching begins anew, but the first look is remembered": (
        Scene({"a": A_GROWN}, clock_trusted=False, seen={"a": seen(A, since_s_ago=1.9, first_s_ago=60)}),
        [
            Wait(
                "a",
                NOW + 2.0,
                "it changed a moment ago",
                seen(A_GROWN, since_s_ago=0.0, first_s_ago=60),
            )
        ],
    ),
    "an unchanged file need not be quiet": (Scene({"a": A_NOW}, {"a": published(A)}), [settled()]),
}

DIRECTORIES = {
    "a new directory is entered": (Scene({"d": folder()}), [Enter("d", 50, known=False)]),
    "a new directory is made if empty ones are mirrored": (
        Scene({"d": folder()}, empty_dirs=True),
        [MakeDir(M, "d", 50), Enter("d", 50, known=False)],
    ),
    "a new mount point is recorded as one": (
        Scene({"d": mounted()}, empty_dirs=True),
        [MakeDir(M, "d", 50, mount_point=True), Enter("d", 50, known=False)],
    ),
    "a known directory needs nothing": (Scene({"d": folder()}, {"d": made()}, empty_dirs=True), [settled("d")]),
    "a known directory is entered by a deep scan": (
        Scene({"d": folder()}, {"d": made()}, deep=True),
        [Enter("d", 50, known=True)],
    ),
    "a directory made anew is recorded and entered": (
        Scene({"d": folder(51)}, {"d": made(50)}),
        [
            Adopt(M, "d", RENEWED._replace(published_ns=WALL), "the directory was made anew"),
            Enter("d", 51, known=False),
        ],
    ),
    "also by a deep scan, once": (
        Scene({"d": folder(51)}, {"d": made(50)}, deep=True),
        [
            Adopt(M, "d", RENEWED._replace(published_ns=WALL), "the directory was made anew"),
            Enter("d", 51, known=False),
        ],
    ),
    "one that could not be made is tried again with what is in it, where empty ones are not published": (
        Scene({"d": folder()}, failures={"d": failed(None)}),
        [Enter("d", 50, known=False)],
    ),
    "what failed is over when the directory is another one": (
        Scene({"d": folder(51)}, {"d": made(50)}, {"d": failed(None)}),
        [
            settled("d", had_failure=True),
            Adopt(M, "d", RENEWED._replace(published_ns=WALL), "the directory was made anew"),
            Enter("d", 51, known=False),
        ],
    ),
    "a mount that is gone is no delete": (
        Scene({"d": folder()}, {"d": made(mount_point=True)}),
        [Swapped("d", "d was mounted when it was published and is not mounted now")],
    ),
    "a mount that took its mount point with it is no delete": (
        Scene({}, {"d": made(mount_point=True)}, {"d": failed(None)}),
        [Swapped("d", "d was mounted when it was published and is not there now", gone=True)],
    ),
    "nor is one in whose place there is a file": (
        Scene({"d": A}, {"d": made(mount_point=True)}),
        [Swapped("d", "d was mounted when it was published and is not there now", gone=True)],
    ),
    "a bind mount has the device of what is around it": (
        Scene({"d": folder(51)}, {"d": made(50)}, bound={"d"}),
        [Swapped("d", "d was a plain directory when it was published and is a mount point now", mounted=True)],
    ),
    "and is recorded as a mount point": (
        Scene({"d": folder()}, empty_dirs=True, bound={"d"}),
        [MakeDir(M, "d", 50, mount_point=True), Enter("d", 50, known=False)],
    ),
    "that a link leads to a file on another disk is recorded": (
        Scene({"a": LINKED}, {"a": published(A)}),
        [settled(), Adopt(M, "a", published(A)._replace(device=1), "a link leads to it on another disk")],
    ),
    "also where that is a bind mount": (
        Scene({"a": A}, {"a": published(A)}, bound={"a"}),
        [settled(), Adopt(M, "a", published(A)._replace(device=1), "a link leads to it on another disk")],
    ),
    "once": (Scene({"a": LINKED}, {"a": published(A)._replace(device=1)}), [settled()]),
    "and that it does no more": (
        Scene({"a": A}, {"a": published(A)._replace(device=1)}),
        [settled(), Adopt(M, "a", published(A), "a link leads to it on the same disk")],
    ),
    "a link to a disk that is not there is no delete": (
        Scene({"a": fifo()}, {"a": published(A)._replace(device=1)}),
        [Swapped("a", "a led to another disk when it was published and leads nowhere now", gone=True, link=True)],
    ),
    "but one that is gone itself is": (Scene({}, {"a": published(A)._replace(device=1)}), [Gone("a", Kind.FILE)]),
    "and one that led nowhere else is": (Scene({"a": fifo()}, {"a": published(A)}), [Gone("a", Kind.FILE)]),
    "a mount that is excluded is forgotten": (
        Scene({}, {"d": made(mount_point=True)}, excluded={"d"}),
        [Forget(M, "d", Kind.DIR, "no longer included")],
    ),
    "a mount over a directory is no delete, and is entered by a deep scan": (
        Scene({"d": mounted(2)}, {"d": made(50)}, deep=True),
        [
            Swapped("d", "d was a plain directory when it was published and is a mount point now", mounted=True),
            Enter("d", 2, known=True),
        ],
    ),
    "of what was published on a disk and under it, some is always hidden: the disk is gone": (
        Scene({"d": folder()}, {"d": made()._replace(device=MIXED)}),
        [Swapped("d", f"d is not mounted now, {HIDDEN}")],
    ),
    "of what was published on a disk and under it, some is always hidden: the disk is there": (
        Scene({"d": mounted()}, {"d": made()._replace(device=MIXED)}),
        [Swapped("d", f"d is mounted now, {HIDDEN}", mounted=True)],
    ),
    "of what was published on a disk and under it, none is deleted with the directory": (
        Scene({}, {"d": made()._replace(device=MIXED)}),
        [Swapped("d", "d was mounted when it was published and is not there now", gone=True)],
    ),
    "the same mount point again": (Scene({"d": mounted()}, {"d": made(mount_point=True)}), [settled("d")]),
    "another directory at a mount point whose disk is not known is made anew": (
        Scene({"d": mounted(60)}, {"d": made(50, mount_point=True)}),
        [
            Adopt(M, "d", made(60, mount_point=True)._replace(published_ns=WALL), "the directory was made anew"),
            Enter("d", 60, known=False),
        ],
    ),
    "at one whose disk is known, that is kept: the look at itself tells which it is now": (
        Scene({"d": mounted(60)}, {"d": made(50)._replace(device=DISK_A)}),
        [
            Adopt(M, "d", made(60)._replace(device=DISK_A, published_ns=WALL), "the directory was made anew"),
            Enter("d", 60, known=False),
        ],
    ),
    "so it is while it is made again at the server": (
        Scene({"d": mounted()}, {"d": MISSED._replace(device=DISK_A)}),
        [
            Enter("d", 50, known=False),
            MakeDir(M, "d", 50, mount_point=True, why="missing at the server", filesystem=DISK_A),
        ],
    ),
    "a directory that nobody has looked at since it was made is a mount point as well as not": (
        Scene({"d": mounted(60)}, {"d": made(0)}),
        [
            Adopt(M, "d", made(60, mount_point=True)._replace(published_ns=WALL), "the directory was made anew"),
            Enter("d", 60, known=False),
        ],
    ),
    "a directory that could not be made again at the server is tried again in its time": (
        Scene({"d": folder()}, {"d": MISSED}, {"d": failed(None, next_try_s=-1.0)}, deep=True),
        [Enter("d", 50, known=False), MakeDir(M, "d", 50, why="missing at the server")],
    ),
    "and not before": (
        Scene({"d": folder()}, {"d": MISSED}, {"d": failed(None, next_try_s=5.0)}),
        [Enter("d", 50, known=False), Wait("d", NOW + 5.0, "the last try failed: Permission denied.")],
    ),
    "nor does it wait for what a file failed of that had its name": (
        Scene({"d": folder()}, {"d": MISSED}, {"d": failed(A, next_try_s=5.0)}),
        [Enter("d", 50, known=False), MakeDir(M, "d", 50, why="missing at the server")],
    ),
    "a directory that may be missing at the server is made there": (
        Scene({"d": folder()}, {"d": MISSED}),
        [Enter("d", 50, known=False), MakeDir(M, "d", 50, why="missing at the server")],
    ),
    "but a mount point only while it is mounted": (
        Scene({"d": folder()}, {"d": MISSED._replace(device=1)}),
        [Swapped("d", "d was mounted when it was published and is not mounted now")],
    ),
    "a directory that may be missing at the server is gone like any other": (
        Scene({}, {"d": MISSED}),
        [Gone("d", Kind.DIR)],
    ),
    "a directory inside a mount is no mount point itself": (
        Scene({"e": mounted()}, directory="d", device=OTHER_DISK, empty_dirs=True),
        [MakeDir(M, "d/e", 50), Enter("d/e", 50, known=False)],
    ),
}

PARTIAL = {
    "nothing is concluded from a name that could not be looked at": (
        Scene({}, {"a": published(A)}, unreadable={"a"}),
        [],
    ),
    "nothing is concluded from an unreadable name that was asked for": (
        Scene({}, {"a": published(A)}, {"a": failed(A)}, names={"a"}, unreadable={"a"}),
        [],
    ),
    "the failure of an unreadable name stays": (Scene({}, failures={"a": failed(A)}, unreadable={"a"}), []),
    "names that were not asked for are not gone": (
        Scene({"a": A}, {"a": published(A), "b": published(A), "d": made()}, {"c": failed(A)}, names={"a"}),
        [settled()],
    ),
    "a name that was asked for is gone": (
        Scene({"b": A}, {"a": published(A), "b": published(A)}, names={"a"}),
        [Gone("a", Kind.FILE)],
    ),
    "names come in their order, whatever the set": (
        Scene(dict.fromkeys("edcba", A), names=set("ecabd")),
        [upload(A, n) for n in "abcde"],
    ),
    "a whole listing tells about every name": (
        Scene({"b": A}, {"a": published(A), "b": published(A)}, {"c": failed(A)}),
        [settled("b"), Gone("a", Kind.FILE), settled("c", had_failure=True)],
    ),
}

WRITERS = {
    "a file that a program writes waits, however old it is": (
        Scene({"a": A}, names={"a"}, busy={"a"}),
        [Wait("a", NOW + BUSY_AGAIN_S, "a program has it open for writing", seen(A, since_s_ago=0, busy=True))],
    ),
    "a file that is open for writing and unchanged needs nothing": (
        Scene({"a": A}, {"a": published(A)}, names={"a"}, busy={"a"}),
        [settled()],
    ),
    "an empty file whose content is being downloaded waits, however old it is": (
        Scene({"a": A}, {"a": published(A_GROWN)}, awaited={"a"}),
        [Wait("a", NOW + BUSY_AGAIN_S, AWAITED, seen(A, since_s_ago=0, busy=True))],
    ),
    "an excluded file may be written": (Scene({"a": A}, names={"a"}, busy={"a"}, excluded={"a"}), [settled()]),
    "a file that was being written is watched for the quiet time from then on": (
        Scene({"a": A}, names={"a"}, seen={"a": seen(A, since_s_ago=9, busy=True)}),
        [quiet_in(2.0, A, sighting=seen(A, since_s_ago=0, first_s_ago=9, written=True))],
    ),
    "a file that was written once and closed for the quiet time is quiet": (
        Scene({"a": A}, names={"a"}, seen={"a": seen(A, since_s_ago=2.0, first_s_ago=9, written=True)}),
        [upload(A)],
    ),
}

WHOLE = file(mtime=5 * S)
"""Of a date in whole seconds."""
IN_PART = file(mtime=5 * S + 1)
WHOLE_ROW, PART_ROW = published(WHOLE)._replace(ctime_ns=WHOLE.ctime_ns), published(IN_PART)._replace(ctime_ns=1)
SINCE_NS, LONG_AGO_NS = WALL - 30 * S, WALL - 86_400 * S


def changed(entry: Entry, *, born_ns: int | None = None) -> Entry:
    """It was changed since it was published, in a way that its fingerprint does not show."""
    return entry._replace(ctime_ns=SINCE_NS, born_ns=born_ns)


def seen_again(row: Row) -> Adopt:
    return Adopt(M, "a", row._replace(ctime_ns=SINCE_NS), "it is the same file")


AHEAD_ROW = WHOLE_ROW._replace(ctime_ns=WALL + 86_400 * S)
DOUBTED_ROW = WHOLE_ROW._replace(fingerprint=WHOLE.fingerprint.doubted())
ANEW = {
    "a file that looks unchanged is asked when it was made if it has been changed since": (
        Scene({"a": changed(WHOLE)}, {"a": WHOLE_ROW}),
        [Ask("a")],
    ),
    "so it is where an older version recorded when it was published only": (
        Scene({"a": changed(WHOLE)}, {"a": published(WHOLE)}),
        [Ask("a")],
    ),
    "but for that, one that has not been changed since that is taken for what it looks like": (
        Scene({"a": WHOLE}, {"a": published(WHOLE)}),
        [settled()],
    ),
    "whatever was noted about it stays until it is known": (
        Scene({"a": changed(WHOLE)}, {"a": WHOLE_ROW}, {"a": failed(WHOLE)}),
        [Ask("a")],
    ),
    "a date that no other file has by accident is believed": (
        Scene({"a": changed(IN_PART)}, {"a": PART_ROW}),
        [settled()],
    ),
    "a file that was made since is another one, and read before it is sent": (
        Scene({"a": changed(WHOLE, born_ns=SINCE_NS)}, {"a": WHOLE_ROW}),
        [Adopt(M, "a", DOUBTED_ROW, "the file was made anew"), replace(WHOLE, known=SHA)],
    ),
    "one that was made before is the same, and not asked again": (
        Scene({"a": changed(WHOLE, born_ns=LONG_AGO_NS)}, {"a": WHOLE_ROW}),
        [settled(), seen_again(WHOLE_ROW)],
    ),
    "one that was made before its ctime of then is the same": (
        Scene({"a": changed(WHOLE, born_ns=WHOLE.ctime_ns)}, {"a": WHOLE_ROW}),
        [settled(), seen_again(WHOLE_ROW)],
    ),
    "one whose ctime was ahead is asked for, too": (
        Scene({"a": changed(WHOLE)}, {"a": AHEAD_ROW}),
        [Ask("a")],
    ),
    "it may have been made anew after the clock was set back, and is read": (
        Scene({"a": changed(WHOLE, born_ns=LONG_AGO_NS)}, {"a": AHEAD_ROW}),
        [
            Adopt(M, "a", AHEAD_ROW._replace(fingerprint=WHOLE.fingerprint.doubted()), "the file was made anew"),
            replace(WHOLE, known=SHA),
        ],
    ),
    "but not where the file system does not tell, and perhaps changes the ctime as it likes": (
        Scene({"a": changed(WHOLE, born_ns=0)}, {"a": AHEAD_ROW}),
        [settled(), seen_again(AHEAD_ROW)],
    ),
    "where the file system does not tell, it counts as the same": (
        Scene({"a": changed(WHOLE, born_ns=0)}, {"a": WHOLE_ROW}),
        [settled(), seen_again(WHOLE_ROW)],
    ),
    "an excluded one is asked nothing": (
        Scene({"a": changed(WHOLE)}, {"a": WHOLE_ROW}, excluded={"a"}),
        [forget(Kind.FILE)],
    ),
}

CASES = ANEW | WRITERS | FILES | RENAMES | REPLACED | EXCLUDED | FAILURES | UNSETTLED | DIRECTORIES | PARTIAL


@pytest.mark.parametrize(("scene", "expected"), CASES.values(), ids=CASES.keys())
def test_decision(scene: Scene, expected: list[Decision]):
    assert scene.decisions() == expected


def test_a_wait_for_a_retry_counts_from_the_wall_clock_not_from_the_failure():
    (wait,) = Scene({"a": A}, failures={"a": failed(A, next_try_s=12.5, ago_s=3000)}).decisions()
    assert isinstance(wait, Wait)
    assert wait.at == NOW + 12.5


@pytest.mark.parametrize("existing", ExistingPolicy)
def test_what_another_policy_protected_at_the_server_is_in_the_way_no_more(existing: ExistingPolicy):
    failures = {"a": failed(A, parked=True)._replace(kind=KEPT)}
    look = Look(spec()._replace(existing=existing), Without(), NOW, WALL, WALL)
    expected = settled() if existing is ExistingPolicy.KEEP else upload(A)
    assert list(plan_directory(listing({"a": A}), {}, failures, look)) == [expected]


def test_the_plan_is_lazy_so_that_a_large_directory_costs_no_list():
    entries = {str(n): A for n in range(100)}
    decisions = plan_directory(listing(entries), {}, {}, Look(spec(), Without(), NOW, WALL, WALL))
    assert next(decisions) == upload(A, "0")


# ── What holds for every directory ───────────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(["a", "b", "c", "a-b", "%", "\udcff", "new\nline"])
# Sampled, not built: drawing stays cheap.
SOME_FILES = [
    file(size, mtime, inode, changed_s_ago=ago)
    for size, mtime, inode in [(0, 1, 1), (1, 1, 1), (1, 2, 1), (1, 2, 2), (2, 1, 3)]
    for ago in [3600.0, -10.0, 0.0, 1.0]
]
SOME_FOLDERS = [folder(inode, device=device) for device in (DISK, OTHER_DISK) for inode in (50, 51)]
PRESENT = st.sampled_from([*SOME_FILES, *SOME_FOLDERS])
ENTRIES = st.sampled_from([*SOME_FILES, *SOME_FOLDERS, fifo()])
ROWS = st.sampled_from(
    [*(published(f) for f in SOME_FILES), *(made(i, mount_point=m) for m in (False, True) for i in (50, 51))]
)
FAILED = st.sampled_from(
    [
        failed(entry, parked=parked, next_try_s=next_try_s, ago_s=10)
        for entry in (None, SOME_FILES[0], SOME_FILES[4])
        for parked, next_try_s in [(True, 0), (False, -5), (False, 5)]
    ]
)
SCENES = st.builds(
    Scene,
    st.dictionaries(NAMES, ENTRIES),
    st.dictionaries(NAMES, ROWS),
    st.dictionaries(NAMES, FAILED),
    directory=st.sampled_from(["", "d", "d/e"]),
    names=st.none() | st.sets(NAMES),
    unreadable=st.just(()),
    excluded=st.just(()) | st.sets(st.sampled_from(["a", "b", "d/c", "d/e/a"])),
    excluded_folders=st.just(()) | st.sets(st.sampled_from(["c", "d/a"])),
    empty_dirs=st.booleans(),
    deep=st.booleans(),
    clock_trusted=st.booleans(),
)


def selected(scene: Scene, path: str, kind: Kind) -> bool:
    selection = Without(scene.excluded, scene.excluded_folders)
    return selection.includes(path) if kind is Kind.FILE else selection.descend(path)


def paths_of(scene: Scene) -> set[str]:
    """Every path that the scene allows to say something about."""
    names = {*scene.disk, *scene.rows, *scene.failures} if scene.names is None else set(scene.names)
    return {join(scene.directory, name) for name in names - set(scene.unreadable)}


@given(SCENES)
@QUICK
def test_the_same_facts_give_the_same_plan(scene: Scene):
    assert scene.decisions() == scene.decisions()


@given(SCENES)
@QUICK
def test_a_path_gets_at_most_one_decision_besides_its_entering(scene: Scene):
    decisions = [d for d in scene.decisions() if not isinstance(d, Enter)]
    # What had failed under its name is over when a directory is there, or another one.
    new = {d.path for d in decisions if isinstance(d, Adopt | MakeDir)}
    counts = Counter(d.path for d in decisions if not (isinstance(d, Settled) and d.path in new))
    assert all(count == 1 for count in counts.values())


@given(SCENES)
@QUICK
def test_nothing_is_said_about_paths_that_were_not_looked_at(scene: Scene):
    assert {d.path for d in scene.decisions()} <= paths_of(scene)


@given(SCENES, st.sets(NAMES, max_size=3))
@QUICK
def test_unreadable_names_change_nothing_for_the_others(scene: Scene, unreadable: set[str]):
    seen_names = {join(scene.directory, name) for name in unreadable}
    disk = {name: entry for name, entry in scene.disk.items() if name not in unreadable}
    dimmed = Scene(
        **{**{f: getattr(scene, f) for f in scene.__dataclass_fields__}, "disk": disk, "unreadable": unreadable}
    )
    assert dimmed.decisions() == [d for d in scene.decisions() if d.path not in seen_names]


@given(SCENES)
@QUICK
def test_absent_paths_are_gone_if_included_and_forgotten_if_not(scene: Scene):
    decisions = {d.path: d for d in scene.decisions() if not isinstance(d, Enter)}
    for name, row in scene.rows.items():
        path = join(scene.directory, name)
        if name in scene.disk or path not in paths_of(scene):
            continue
        decision = decisions[path]
        if not selected(scene, path, row.kind):
            assert decision == forget(row.kind, path)
        elif row.device:
            assert isinstance(decision, Swapped)
        elif (failure := scene.failures.get(name)) is not None and failure.fingerprint is None:
            assert isinstance(decision, Gone | Wait | Settled)
        else:
            assert decision == Gone(path, row.kind)


@given(SCENES)
@QUICK
def test_a_path_is_never_gone_while_it_is_there(scene: Scene):
    for decision in scene.decisions():
        if isinstance(decision, Gone):
            name = decision.path.rpartition("/")[2]
            entry = scene.disk.get(name)
            assert entry is None or entry.kind is not decision.kind
            assert scene.rows[name].kind is decision.kind


@given(SCENES)
@QUICK
def test_what_is_excluded_is_never_deleted_nor_published(scene: Scene):
    for decision in scene.decisions():
        if isinstance(decision, Gone):
            assert selected(scene, decision.path, decision.kind)
        if isinstance(decision, Upload | Rename):
            assert selected(scene, decision.path, Kind.FILE)
        if isinstance(decision, MakeDir | Enter):
            assert selected(scene, decision.path, Kind.DIR)


@given(SCENES)
@QUICK
def test_every_included_file_is_published_waits_or_is_parked(scene: Scene):
    """Nothing lost: each file that differs is acted on, or says what it waits for."""
    decisions = {d.path: d for d in scene.decisions()}
    for name, entry in scene.disk.items():
        path = join(scene.directory, name)
        if entry.kind is not Kind.FILE or path not in paths_of(scene) or not selected(scene, path, Kind.FILE):
            continue
        row, failure = scene.rows.get(name), scene.failures.get(name)
        if row is not None and row.kind is Kind.DIR:
            continue
        if row is not None and row.fingerprint == entry.fingerprint:
            assert decisions[path] == settled(path, had_failure=failure is not None)
        elif failure is not None and failure.parked and failure.fingerprint == entry.fingerprint:
            assert decisions[path] == settled(path)
        else:
            assert isinstance(decisions[path], Upload | Wait)


@given(st.dictionaries(NAMES, PRESENT), st.booleans(), st.booleans())
@QUICK
def test_an_identical_disk_needs_nothing(disk: dict[str, Entry], deep: bool, empty_dirs: bool):  # noqa: FBT001
    rows = {
        name: published(entry)
        if entry.kind is Kind.FILE
        else made(entry.fingerprint.inode, mount_point=entry.device != DISK)
        for name, entry in disk.items()
    }
    decisions = Scene(disk, rows, deep=deep, empty_dirs=empty_dirs).decisions()
    assert all(isinstance(d, Settled | Enter) for d in decisions)
    assert {d.path for d in decisions if isinstance(d, Enter)} == {
        name for name, entry in disk.items() if deep and entry.kind is Kind.DIR
    }


# ── What holds for every tree ────────────────────────────────────────────────────────────────────────────────────

Tree = dict[str, Entry]
Rows = dict[str, Row]
TREE_FILES = st.sampled_from([file(s, m, i) for i in range(1, 6) for s, m in [(1, 1), (1, 2), (2, 1)]])
T = TypeVar("T")

PATHS = st.lists(st.sampled_from(["a", "b", "a-b", "ab"]), min_size=1, max_size=3).map("/".join)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A disk: every path's parent is a directory, every directory has its own inode."""
    tree: Tree = {}
    for path in draw(st.lists(PATHS, max_size=8)):
        directory = parent(path)
        while directory:
            tree[directory] = folder(1000 + sum(directory.encode()) + draw(st.integers(0, 1)))
            directory = parent(directory)
        tree.setdefault(path, draw(TREE_FILES))
    return {path: entry for path, entry in tree.items() if _kind(tree, parent(path)) is Kind.DIR}


def _kind(tree: Tree, path: str) -> Kind:
    return tree[path].kind if path else Kind.DIR


class World:
    """A model of the rest of the program: a ledger as a dict, a server that does whatever it is told."""

    def __init__(self, selection: Without, *, empty_dirs: bool) -> None:
        self.rows: Rows = {}
        self.selection = selection
        self.empty_dirs = empty_dirs
        self.actions: list[Decision] = []

    def reconcile(self, tree: Tree) -> list[Decision]:
        """One pass over the whole tree; returns what was done."""
        self.actions = []
        to_enter = [("", 0)]
        while to_enter:
            directory, inode = to_enter.pop()
            shown = listing(children(tree, directory), directory, inode=inode)
            look = Look(
                spec(empty_dirs=self.empty_dirs),
                self.selection,
                NOW,
                WALL,
                WALL,
                deep=True,
                moved_from=lambda _path, fingerprint: self._same_file(fingerprint, tree),
            )
            for decision in plan_directory(shown, children(self.rows, directory), {}, look):
                if isinstance(decision, Enter):
                    to_enter.append((decision.path, decision.inode))
                elif not isinstance(decision, Settled):
                    self.actions.append(decision)
                    self._apply(decision, tree)
        return self.actions

    def _same_file(self, fingerprint: Fingerprint, tree: Tree) -> tuple[str, Row] | None:
        for path, row in self.rows.items():
            if row.kind is Kind.FILE and row.fingerprint == fingerprint and path not in tree:
                return path, row
        return None

    def _apply(self, decision: Decision, tree: Tree) -> None:
        match decision:
            case Upload(path=path, fingerprint=fingerprint):
                self._make_parents(path, tree)
                self.rows[path] = Row(Kind.FILE, fingerprint, SHA, WALL)
            case Rename(path=path, source=source):
                self._make_parents(path, tree)
                self.rows[path] = self.rows.pop(source)
            case MakeDir(path=path, inode=inode, mount_point=mount_point):
                self.rows[path] = made(inode, mount_point=mount_point)
            case Gone(path=path) | Forget(path=path):
                self.rows = {p: r for p, r in self.rows.items() if p != path and not p.startswith(f"{path}/")}
            case Adopt(path=path, row=row):
                self.rows[path] = row
            case _:
                pytest.fail(f"nothing is unsettled or mounted here: {decision}")

    def _make_parents(self, path: str, tree: Tree) -> None:
        while path := parent(path):
            self.rows.setdefault(path, made(tree[path].fingerprint.inode))


def children(paths: Mapping[str, T], directory: str) -> dict[str, T]:
    return {path.rpartition("/")[2]: value for path, value in paths.items() if parent(path) == directory}


def included_files(tree: Tree, selection: Without) -> dict[str, Fingerprint]:
    return {
        path: entry.fingerprint for path, entry in tree.items() if entry.kind is Kind.FILE and selection.includes(path)
    }


SELECTIONS = st.builds(Without, st.just(()) | st.sets(PATHS, max_size=2), st.just(()) | st.sets(PATHS, max_size=1))


@given(st.lists(trees(), min_size=1, max_size=3), st.lists(SELECTIONS, min_size=3, max_size=3), st.booleans())
@settings(QUICK, max_examples=40)
def test_passes_converge_to_the_disk(history: list[Tree], selections: list[Without], empty_dirs: bool):  # noqa: FBT001
    """Whatever was published before, under whatever selection: soon nothing is left to do, and all is right."""
    world = World(selections[0], empty_dirs=empty_dirs)
    for tree, selection in zip(history, selections, strict=False):
        world.selection = selection
        passes = 1
        while world.reconcile(tree):
            passes += 1
            assert passes <= 4, world.actions
        files = {path: row.fingerprint for path, row in world.rows.items() if row.kind is Kind.FILE}
        assert files == included_files(tree, selection)
        for path, row in world.rows.items():
            assert _kind(tree, path) is row.kind
        if empty_dirs:
            wanted = {p for p, e in tree.items() if e.kind is Kind.DIR and selection.descend(p)}
            assert wanted == {p for p, row in world.rows.items() if row.kind is Kind.DIR}


@given(trees(), st.booleans())
@QUICK
def test_an_empty_ledger_is_filled_in_one_pass_without_deletes(tree: Tree, empty_dirs: bool):  # noqa: FBT001
    world = World(Without(), empty_dirs=empty_dirs)
    actions = world.reconcile(tree)
    assert all(isinstance(action, Upload | MakeDir) for action in actions)
    assert world.reconcile(tree) == []


@given(trees())
@QUICK
def test_an_emptied_disk_empties_the_ledger(tree: Tree):
    world = World(Without(), empty_dirs=False)
    world.reconcile(tree)
    actions = world.reconcile({})
    assert all(isinstance(action, Gone) for action in actions)
    assert world.rows == {}
