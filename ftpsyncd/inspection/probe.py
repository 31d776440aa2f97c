"""``probe``: what a server really does, measured with small files of our own that are removed again.

In: an account and a directory. Out: one `Measure` per field, as they are made, and the account's profile filled with
what was learned. FEAT is not believed where it can be tried. Names are ``….<8 hex>.filepart``, as everywhere.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ftpsyncd.errors import (
    NameNotSendableError,
    NameRefusedError,
    ProtocolError,
    RemoteError,
    ServerUnavailableError,
    TooManyConnectionsError,
)
from ftpsyncd.inspection.stage import Stage
from ftpsyncd.remote import facts, hashes, naming, renaming, scratch, trials
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.port import PartlyListedError
from ftpsyncd.remote.profile import SAMPLES, Beyond, Dating, Hashing, Oddity, Paths, Resuming
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.transfer import deliver
from ftpsyncd.remote.undecoded import MOST_ENDS
from ftpsyncd.specs import TlsMode

DATE = 1_234_567_890
BATCHES = 8
"""Repetitions of the commands whose replies tell whether they came in order."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that was measured."""

    field: str
    """One word; docs/servers.md explains it."""
    value: str
    meaning: str = ""
    """For people: what follows from it, where that is not plain."""


class Probing:
    """One probing of one server.

    Args:
        account: with a blank profile, which is filled.
        directory: where the files go; made and removed again if it is not there.
    """

    def __init__(self, account: Account, directory: str) -> None:
        self._stage = Stage(account, directory)
        self.account = account
        self.profile = account.profile

    @property
    def left(self) -> list[str]:
        """What stays there, since the server does not remove it, or may, since there is no connection any more."""
        return self._stage.left

    def run(self) -> Iterator[Measure]:
        """Measure one field after the other.

        Raises:
            RemoteError: the server cannot be reached, or the directory cannot be written.
        """
        fields: dict[str, Callable[[Session], tuple[str, str]]] = {
            "tls": self._tls,
            "paths": self._paths,
            "passive": self._passive,
            "listing": self._listing,
            "size": self._size,
            "dates": self._dates,
            "rename": self._rename,
            "hash": self._hash,
            "resume": self._resume,
            "beyond": self._beyond,
            "names": self._names,
            "pipelining": self._pipelining,
            "idle": self._idle,
            "connections": self._connections,
        }
        stage = self._stage
        try:
            stage.prepare()
            for field, measure in fields.items():
                session = stage.usable()
                try:
                    value, meaning = measure(session)
                except RemoteError as error:
                    stage.failed = True
                    value, meaning = "not measured", error.message
                yield Measure(field, value, meaning)
        except (KeyboardInterrupt, SystemExit):
            stage.broken_off()
            raise
        finally:
            stage.clean()

    def _tls(self, session: Session) -> tuple[str, str]:
        if session.account.spec.tls is TlsMode.OFF:
            return "off", "password and files can be read on the way"
        # `Stage.prepare` has used a data connection.
        how = "session resumed" if session.control.data_resumed else "full handshakes"
        verified = "" if session.account.spec.tls_verify else "the certificate is not verified"
        return f"{session.control.tls_version}, {how}", verified

    def _paths(self, session: Session) -> tuple[str, str]:
        # What `Stage.prepare` has stored is there.
        if session.relative:
            return Paths.RELATIVE.value, "a CWD is said before what is in another directory"
        self.profile.paths = Paths.ABSOLUTE
        return Paths.ABSOLUTE.value, ""

    def _passive(self, session: Session) -> tuple[str, str]:
        extended, plain = session.exchange([b"EPSV"])[0], session.exchange([b"PASV"])[0]
        # `Stage.prepare` has used a data connection: what EPSV names may not be reached.
        named, self.profile.epsv = extended.code == 229, self.profile.epsv and extended.code == 229
        ways = ["EPSV"] * self.profile.epsv + ["PASV"] * (plain.code == 227)
        if self.profile.meanwhile is False:
            return ", ".join(ways), "nothing else is answered until the data connection is made"
        if named and not self.profile.epsv:
            return ", ".join(ways), "ports that EPSV names cannot be reached"
        address = facts.pasv_address(plain)
        elsewhere = bool(address) and address != session.control.peer
        return ", ".join(ways) or "neither", f"PASV names {address}, which is not followed" if elsewhere else ""

    def _listing(self, session: Session) -> tuple[str, str]:
        try:
            entries = session.list_dir(self._stage.directory or "/", dated=False)
        except PartlyListedError as error:
            return "incomplete", f"{error.reply}; publishing does not need listings"
        names = {entry.name for entry in entries}
        if self._stage.path().rpartition("/")[2] not in names:
            return "incomplete", "a file of ours is missing in it; publishing does not need listings"
        return ("MLSD", "") if self.profile.mlsd else ("LIST", "dates are asked for one by one")

    def _size(self, session: Session) -> tuple[str, str]:
        size = facts.parse_size(session.exchange([session.command("SIZE", self._stage.path())])[0])
        self.profile.size = size is not None
        if size is None:
            return "none", "uploads are verified by the server's last words only, and never continued"
        return ("right", "") if size == len(trials.CONTENT) else ("wrong", f"{size} instead of {len(trials.CONTENT)}")

    def _dates(self, session: Session) -> tuple[str, str]:
        session.set_time(self._stage.path(), DATE)
        if self.profile.dating:
            return self.profile.dating.value, ""
        self.profile.dating = Dating.NONE
        return "none", "files get the date of their upload"

    def _rename(self, session: Session) -> tuple[str, str]:
        source, target = self._stage.path(), self._stage.path("ftpsyncd-2")
        deliver(session, session.command("STOR", target), b"in the way")
        over = renaming.one_by_one(session, source, target)
        replaces = over.good and self._is_renamed(session, source, target)
        # Some say yes, and do nothing.
        if not over.good or (not replaces and session.stat(source) is not None):
            session.delete_many([target])
            alone = renaming.one_by_one(session, source, target)
            idle = alone.good and session.stat(target) is None
            if idle or trials.forbids_renaming(session, alone):
                self.profile.renames = False
                return "none", "files are sent under their final names"
            if not alone.good:
                raise session.error(alone, "RNTO", target)
        if not replaces:
            self.profile.rename_over = False
        deliver(session, session.command("STOR", source), trials.CONTENT)
        return ("replaces", "") if replaces else ("does not replace", "an old file is moved aside, or deleted, first")

    def _is_renamed(self, session: Session, source: str, target: str) -> bool:
        """Whether what was in the way has another size now; its content tells where sizes do not.

        An account that may only send cannot fetch it.
        """
        left, there = session.exchange([session.command("SIZE", each) for each in (source, target)])
        if left.code >= 400 and facts.parse_size(there) == len(trials.CONTENT):
            return True
        return trials.holds(session, target, trials.CONTENT)

    def _hash(self, session: Session) -> tuple[str, str]:
        right: list[Hashing] = []
        for way in hashes.offered(self.profile.features):
            told = hashes.ask(session, way, self._stage.path(), len(trials.CONTENT))
            if told is not None and told.digits == hashes.of_bytes(told.algorithm, trials.CONTENT):
                right.append(way)
        self.profile.hashing = right[0] if right else Hashing.NONE
        wrong = [way.value for way in hashes.offered(self.profile.features) if way not in right]
        return ", ".join(right) or "none", f"offered, but not right: {', '.join(wrong)}" if wrong else ""

    def _resume(self, session: Session) -> tuple[str, str]:
        told = {way: trials.continues(session, way, self._stage.path()) for way in (Resuming.REST, Resuming.APPE)}
        ways = [way for way, continues in told.items() if continues]
        if not ways and None in told.values():
            return "not measured", "it could not tell now; it is tried again when a large file breaks off"
        self.profile.resuming = ways[0] if ways else Resuming.NONE
        return ", ".join(ways) or "none", "" if ways else "large files that break off are sent whole"

    def _beyond(self, session: Session) -> tuple[str, str]:
        self.profile.beyond = trials.beyond(session, self._stage.path())
        harmless = self.profile.beyond is Beyond.REFUSED
        return self.profile.beyond.value, "" if harmless else "harmless: SIZE is asked before anything is continued"

    def _names(self, session: Session) -> tuple[str, str]:
        changed, refused = [], []
        meanings = [] if self.profile.utf8 else ["the server does not say that names are UTF-8"]
        for oddity in Oddity:
            try:
                keeps = self._keeps_again(SAMPLES[oddity])
            except (NameRefusedError, NameNotSendableError):
                keeps = None
            if keeps is None:
                refused.append(oddity.value)
                continue
            self.profile.keeps[oddity] = keeps
            if not keeps:
                changed.append(oddity.value)
        session = self._stage.usable()
        if changed or refused:
            meanings.append("files with such names are refused")
        if not self._keeps(session, "é 😀.{}"):
            changed.append("letters beyond ASCII")
            meanings.append("names with such letters are listed otherwise: check `encoding`")
        same = [] if self._tells_case(session) else ["upper and lower case"]
        if same:
            meanings.append("of files whose names differ in that only, the last one is there")
        told = {"changes": changed, "refuses": refused, "does not tell apart": same}
        kept = "; ".join(f"{what} {', '.join(names)}" for what, names in told.items() if names) or "all kept"
        return kept, "; ".join(meanings)

    def _keeps_again(self, sample: str) -> bool | None:
        """`_keeps`, tried on other connections if it ends one: `undecoded` learns why."""
        known = len(self._stage.tried)
        for _ in range(MOST_ENDS):
            with contextlib.suppress(ServerUnavailableError):
                return self._keeps(self._stage.usable(), sample)
            # It may be that no other connection could be opened, so that nothing was tried.
            del self._stage.tried[known:]
        return self._keeps(self._stage.usable(), sample)

    def _tells_case(self, session: Session) -> bool:
        name = f"case.{secrets.token_hex(4)}.filepart"
        self._stage.tried.append(name)
        with scratch.noted(session, [("RMD", f"{self._stage.directory}/{name}")]):
            try:
                session.make_dir(f"{self._stage.directory}/{name}")
            except NameRefusedError:
                return True
            told = session.stat(f"{self._stage.directory}/{name.upper()}") is None
            session.exchange([session.command("RMD", f"{self._stage.directory}/{name}")])
        return told

    def _keeps(self, session: Session, sample: str) -> bool | None:
        self._stage.tried.append(sample.format(f"{secrets.token_hex(4)}.filepart"))
        keeps = naming.keeps_pattern if sample == SAMPLES[Oddity.PATTERN] else naming.keeps_name
        return keeps(session, self._stage.directory, self._stage.tried[-1])

    def _pipelining(self, session: Session) -> tuple[str, str]:
        if self.profile.pipelining:
            absent = session.command("SIZE", self._stage.path("no-such"))
            there = session.command("MDTM", self._stage.path())
            self.profile.pipelining = False  # should the session end under it
            try:
                session.control.send([b"NOOP", absent, b"PWD", there] * BATCHES)
                codes = [reply.code for reply in session.finals(4 * BATCHES)]
                session.control.expect_no_more()
            except (ServerUnavailableError, ProtocolError):
                codes = []
            fitting = all(
                (noop in {200, 250} or noop >= 500) and missing >= 500 and where == 257 and date in {213, 500, 502, 550}
                for noop, missing, where, date in zip(*(codes[n::4] for n in range(4)), strict=True)
            )
            self.profile.pipelining = bool(codes) and fitting
            if not self.profile.pipelining:
                session.abandon()
        return ("works", "") if self.profile.pipelining else ("does not work", "one command at a time, slower")

    def _idle(self, session: Session) -> tuple[str, str]:
        reply = session.exchange([b"SITE IDLE"])[0]
        told = re.search(r"(\d+)\s*(sec|min)", reply.text[3:], re.IGNORECASE) if reply.good else None
        told = told or re.search(r"(\d+)\s*(sec|min)\w* of (?:inactivity|idle)", session.greeting, re.IGNORECASE)
        if told is None:
            return "not told", ""
        self.profile.idle_s = int(told[1]) * (60 if told[2].lower() == "min" else 1)
        return f"{self.profile.idle_s} s", ""

    def _connections(self, _session: Session) -> tuple[str, str]:
        wanted = self.account.spec.connections
        meaning = ""
        with contextlib.ExitStack() as stack:
            granted = 1
            while granted < wanted:
                try:
                    stack.enter_context(self.account())
                except (TooManyConnectionsError, ServerUnavailableError) as error:
                    meaning = error.message
                    self.profile.cap = granted if isinstance(error, TooManyConnectionsError) else 0
                    break
                granted += 1
        return f"{granted} of {wanted}", meaning
