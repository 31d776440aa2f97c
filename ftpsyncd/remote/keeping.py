"""A profile between two runs: what of it is kept, as text, and for how long a refusal counts.

`Keeper` tends the profile of one account: servers are mended, so a refusal that has grown old is forgotten, in a
running daemon too. The ledger has the text. Pure.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ftpsyncd.remote import hello
from ftpsyncd.remote.profile import (
    MOST_WITHOUT_RENAMES,
    Beyond,
    Dating,
    Hashing,
    Oddity,
    Paths,
    Profile,
    Removing,
    Resuming,
)

_NOT_MEASURED = frozenset({"cap", "joined", "overlapping", "parting", "no_renames", "renames_joined"})

_NO_RENAMES = "no renames in "

REFUSALS_LAST_S = 7 * 86400.0
"""A refusal that is older is tried anew."""


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _refusal(value: object) -> bool | None:
    """That a server does not do something; that it did is tried again, since nothing else would tell of a change."""
    return False if value is False else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _directories(value: object) -> list[str] | None:
    known = value if isinstance(value, list) else []
    found = dict.fromkeys(each for each in known if isinstance(each, str) and each.startswith("/"))
    return list(found)[:MOST_WITHOUT_RENAMES]


def _group(value: object) -> str | None:
    return value if isinstance(value, str) and value in hello.GROUPS.values() else None


_READ: Mapping[str, Callable[[Any], Any]] = {
    "paths": Paths,
    "pipelining": _flag,
    "overlapping": _flag,
    "parting": _flag,
    "epsv": _flag,
    "meanwhile": _flag,
    "reached": _flag,
    "joined": _flag,
    "size": _flag,
    "sizes_dirs": _flag,
    "stats": _flag,
    "listings": _flag,
    "renames": _flag,
    "no_renames": _directories,
    "renamed": _flag,
    "renames_joined": _flag,
    "rename_over": _flag,
    "stores_over": _refusal,
    "removing": Removing,
    "dating": Dating,
    "resuming": Resuming,
    "beyond": Beyond,
    "hashing": Hashing,
    "utf8": _flag,
    "too_long": _count,
    "bytes_borne": _flag,
    "tls_group": _group,
    "closes_tls": _flag,
    "cap": _count,
    "idle_s": _count,
}
"""The fields that outlive a run, and how each is read back."""

_SCRATCH = re.compile(r"(?:DELE|RMD) /(?:.*/)?[^/]*[0-9a-f]{8}\.filepart[^/]*", re.DOTALL)
"""What removes something that a trial may have left, by a name that only such things have."""

_HOPELESS: Mapping[str, object] = {
    "paths": Paths.RELATIVE,
    "pipelining": False,
    "overlapping": False,
    "parting": False,
    "epsv": False,
    "meanwhile": False,
    "joined": False,
    "size": False,
    "stats": False,
    "listings": False,
    "renames": False,
    "renames_joined": False,
    "rename_over": False,
    "stores_over": False,
    "removing": Removing.EMPTIES,
    "bytes_borne": False,
    "dating": Dating.NONE,
    "resuming": Resuming.NONE,
    "hashing": Hashing.NONE,
}
"""The values after which nothing is tried any more. (A learned cap grows back by itself.)"""

_OF_THE_SERVER = frozenset({"tls_group", "too_long"})
"""What is refused is all but, or beyond, a value that the server has; whatever it is, that is forgotten."""

_HOPES: Mapping[str, object] = {"paths": Paths.DOUBTED}
"""What takes their place when they are old, where that is not what everything begins with."""


def _understood(read: Callable[[Any], Any], value: object) -> Any:
    try:
        return read(value)
    except ValueError:
        return None


def learned(profile: Profile) -> dict[str, Any]:
    """What is worth keeping, as JSON knows it; what was not learned yet is left out."""
    values = {name: getattr(profile, name) for name in _READ}
    known = {name: value for name, value in values.items() if value is not None}
    keeps = {str(oddity): kept for oddity, kept in profile.keeps.items()}
    return {**known, "face": profile.face, "keeps": keeps}


def found(profile: Profile) -> dict[str, Any]:
    """The same with what trials may have left at the server, for who is to remove it."""
    return {**learned(profile), "scratch": [*profile.scratch]}


def _scratch(value: object) -> dict[str, float]:
    """`Profile.scratch`, as it was kept."""
    known = value if isinstance(value, list) else []
    return {each: -math.inf for each in known if isinstance(each, str) and _SCRATCH.fullmatch(each)}


def _take_over(profile: Profile, known: Mapping[str, Any]) -> None:
    """Take over what `learned` told, but not of whom; what is not understood is left as it is."""
    for name, read in _READ.items():
        if name in known and (value := _understood(read, known[name])) is not None:
            setattr(profile, name, value)
    keeps = known.get("keeps")
    for name, value in keeps.items() if isinstance(keeps, dict) else ():
        if (oddity := _understood(Oddity, name)) is not None and isinstance(value, bool):
            profile.keeps[oddity] = value


def refusals(profile: Profile) -> set[str]:
    """What the server refused or lacks: the names of fields, and of oddities that it does not keep."""
    refused = {name for name, hopeless in _HOPELESS.items() if getattr(profile, name) == hopeless}
    refused |= {name for name in _OF_THE_SERVER if getattr(profile, name)}
    refused |= {f"{_NO_RENAMES}{directory}" for directory in profile.no_renames}
    return refused | {f"keeps {oddity}" for oddity, kept in profile.keeps.items() if not kept}


def hope(profile: Profile, refusal: str) -> None:
    """Forget one of `refusals`: it is tried anew."""
    if refusal in _HOPELESS:
        setattr(profile, refusal, _HOPES.get(refusal, getattr(Profile(), refusal)))
    if refusal in _OF_THE_SERVER:
        setattr(profile, refusal, getattr(Profile(), refusal))
    profile.no_renames = [known for known in profile.no_renames if f"{_NO_RENAMES}{known}" != refusal]
    profile.keeps = {oddity: kept for oddity, kept in profile.keeps.items() if f"keeps {oddity}" != refusal}


class Keeper:
    """A profile between runs, and the age of what it does not hope for.

    Args:
        profile: filled with what was kept.
        text: from `tend` of an earlier run; empty: nothing was kept.
        now_s: wall clock.
        scratching: whoever has it changes `Profile.scratch`, as in `Account`.
    """

    def __init__(self, profile: Profile, text: str, now_s: float, scratching: threading.Lock | None = None) -> None:
        self.profile = profile
        self._scratching = scratching or threading.Lock()
        self._since: dict[str, float] = {}
        self._saved_since: dict[str, Any] = {}
        self._saved: dict[str, Any] = learned(profile)
        try:
            document = json.loads(text) if text else {}
        except ValueError:
            document = {}
        document = document if isinstance(document, dict) else {}
        known, since, scratch = (document.get(each) for each in ("learned", "since", "scratch"))
        profile.scratch = profile.scratch | _scratch(scratch)
        self._saved_scratch = [*profile.scratch]
        if isinstance(known, dict):
            _take_over(profile, known)
            face = known.get("face")
            profile.recall(face if isinstance(face, str) else "")
            self._saved = learned(profile)
            self._saved_since = since if isinstance(since, dict) else {}
            self._since = {key: _moment(self._saved_since.get(key), now_s) for key in refusals(profile)}

    def adopt(self, measured: Mapping[str, Any], now_s: float, at_s: float = -math.inf) -> None:
        """Take over what somebody measured just now beside the sessions that use the profile.

        Not how many connections are allowed, since ours were in the way, and not what only publishing shows. What the
        measurement may have left at the server is to be removed.

        Args:
            measured: as from `found`.
            now_s: wall clock.
            at_s: monotonic seconds, since when something may have been left.
        """
        told = {name: value for name, value in measured.items() if name not in _NOT_MEASURED}
        _take_over(self.profile, told)
        self._since = dict.fromkeys(refusals(self.profile), now_s)
        with self._scratching:
            self.profile.scratch = self.profile.scratch | dict.fromkeys(_scratch(measured.get("scratch")), at_s)

    def tend(self, now_s: float) -> str | None:
        """Let old refusals go; what is to be kept, if that has changed.

        Args:
            now_s: wall clock.
        """
        profile = self.profile
        since = {key: min(self._since.get(key, now_s), now_s) for key in refusals(profile)}
        for key in [key for key, moment in since.items() if now_s - moment > REFUSALS_LAST_S]:
            hope(profile, key)
            del since[key]
        known, scratch = learned(profile), [*profile.scratch]
        # A moment that was to come, by a clock that was set back, is now; each time, if that were not kept.
        if known == self._saved and since == self._saved_since and scratch == self._saved_scratch:
            return None
        self._saved, self._since, self._saved_since, self._saved_scratch = known, since, since, scratch
        return json.dumps({"learned": known, "since": since, "scratch": scratch})


def kept(profile: Profile, now_s: float, before: str = "") -> str:
    """What `Keeper` takes: a profile as it was learned just now.

    Args:
        profile: of the server.
        now_s: wall clock.
        before: what was kept of it until now; trials may have left something.
    """
    Keeper(earlier := Profile(), before, now_s)
    since, scratch = dict.fromkeys(sorted(refusals(profile)), now_s), [*(earlier.scratch | profile.scratch)]
    return json.dumps({"learned": learned(profile), "since": since, "scratch": scratch})


def _moment(value: object, now_s: float) -> float:
    """A moment that was kept; one that is none, or still to come, is now."""
    return min(float(value), now_s) if isinstance(value, int | float) else now_s
