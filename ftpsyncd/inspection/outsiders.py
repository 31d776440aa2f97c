"""Who else could change what a daemon goes by: its configuration, its secrets, its memory, the command of alerts.

In: a configuration. Out: a finding for each file or directory that others than root and the user that runs ftpsyncd may
write, since whoever may can have anything published, or run. Whoever may write a directory may replace what is in it,
unless it has the sticky bit. Of a secret that everybody can read the configuration's own warnings tell.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ftpsyncd import patience
from ftpsyncd.config import Config
from ftpsyncd.config.password import File
from ftpsyncd.inspection.findings import Area, Finding, Level
from ftpsyncd.quoting import as_word, quote

_UNMAPPED = 65534
"""Stands for all that have no number here (user_namespaces(7)), as the system's root may have none in a container."""
_NAMES_SHOWN = 3


class _Thing(NamedTuple):
    """Something that a daemon goes by."""

    subject: str
    what: str
    path: Path


class _Person(NamedTuple):
    """Somebody who has an account here."""

    name: str = "every user of this machine"
    uid: int = -1
    groups: frozenset[int] = frozenset()

    def may(self, right: int, facts: os.stat_result) -> bool:
        """Whether the mode of a place gives a right, which is one of those of others."""
        if facts.st_uid == self.uid:
            right <<= 6
        elif facts.st_gid in self.groups:
            right <<= 3
        return bool(facts.st_mode & right)

    def reaches(self, above: Sequence[os.stat_result]) -> bool:
        """Whether what is in all these directories can be got at."""
        return all(self.may(stat.S_IXOTH, facts) for facts in above)


_EVERYBODY = _Person()


def outsiders(config: Config) -> Iterator[Finding]:
    """What others may write; each place once."""
    things, trusted = list(_things(config)), _trusted(config.state_dir)
    # What hangs is told of elsewhere.
    seen = patience.answers({thing: partial(_exposed, thing, trusted) for thing in things})
    told: set[tuple[Path, str]] = set()
    for thing in things:
        for place, who, mend in seen.get(thing, ()):
            if (place, mend) not in told:
                told.add((place, mend))
                message = f"{quote(str(place))} can be written by {who}, who can change {thing.what} thereby."
                remedy = f"`{mend} {as_word(place)}` mends that."
                yield Finding(Level.WARNING, Area.MACHINE, thing.subject, message, remedy)


def _things(config: Config) -> Iterator[_Thing]:
    yield _Thing("config", "the configuration", config.path)
    for server in config.servers.values():
        subject = f"server {server.name}"
        if isinstance(server.password, File):
            yield _Thing(subject, f"the password of {server.name}", server.password.path)
        if server.client_key is not None:
            yield _Thing(subject, f"the key of {server.name}", server.client_key)
        if server.tls_ca is not None:
            yield _Thing(subject, f"which certificates of {server.name} are trusted", server.tls_ca)
    yield _Thing("state_dir", "what is known to be published", config.state_dir)
    if config.alerts is not None:
        if isinstance(config.alerts.webhook, File):
            yield _Thing("alerts", "the address of the webhook", config.alerts.webhook.path)
        if config.alerts.command and "/" in config.alerts.command[0]:
            yield _Thing("alerts", "the command that is run", Path(config.alerts.command[0]))


def _trusted(state_dir: Path) -> frozenset[int]:
    """Root, who asks, by sudo, too, and whose the state directory is: who runs the service may be somebody else."""
    trusted = {0, os.geteuid(), _UNMAPPED}
    if os.geteuid() == 0:
        with suppress(ValueError):
            trusted.add(int(os.environ.get("SUDO_UID", "")))
    with suppress(OSError):
        trusted.add(state_dir.stat().st_uid)
    return frozenset(trusted)


def _exposed(thing: _Thing, trusted: frozenset[int]) -> list[tuple[Path, str, str]]:
    """Of the places on the way to a thing: which one, who else may write it, and what mends that."""
    found = []
    for way in dict.fromkeys((Path(os.path.abspath(thing.path)), Path(os.path.realpath(thing.path)))):  # noqa: PTH100 - with its links, and without
        above: list[os.stat_result] = []
        for place in (*reversed(way.parents), way):
            try:
                facts = place.stat()
            except OSError:
                break
            who, mend = _writers(facts, above, trusted)
            if who:
                found.append((place, who, mend))
            above.append(facts)
    return found


def _writers(facts: os.stat_result, above: Sequence[os.stat_result], trusted: frozenset[int]) -> tuple[str, str]:
    """Who else may write a place, in words, and the command that ends that; empty if nobody may."""
    shared = not (stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX)
    if shared and facts.st_mode & stat.S_IWOTH and _EVERYBODY.reaches(above):
        return _EVERYBODY.name, "chmod o-w"
    people = []
    if facts.st_uid not in trusted:
        people, mend = [each for each in _people(trusted) if each.uid == facts.st_uid], "chown root"
    elif shared and facts.st_mode & stat.S_IWGRP:
        people, mend = [each for each in _people(trusted) if facts.st_gid in each.groups], "chmod g-w"
    names = [each.name for each in people if each.reaches(above)]
    if not names:
        return "", ""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{', '.join(names[:_NAMES_SHOWN])}{more}", mend


def _people(trusted: frozenset[int]) -> list[_Person]:
    """Who has an account here, and is not trusted. The group of root does not count: it has accounts of the system."""
    return [
        _Person(each.pw_name, each.pw_uid, frozenset(os.getgrouplist(each.pw_name, each.pw_gid)) - {0})
        for each in pwd.getpwall()
        if each.pw_uid not in trusted
    ]
