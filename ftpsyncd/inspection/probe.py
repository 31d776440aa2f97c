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
    DataUnreachableError,
    FtpsyncdError,
    NameNotSendableError,
    NameRefusedError,
    PathsRefusedError,
    ProtocolError,
    RemoteError,
    ServerUnavailableError,
    TooManyConnectionsError,
)
from ftpsyncd.remote import facts, hashes, naming, reaching, renaming, scratch, trials
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.port import PartlyListedError
from ftpsyncd.remote.profile import SAMPLES, Beyond, Dating, Hashing, Oddity, Paths, Resuming
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.transfer import deliver
from ftpsyncd.remote.undecoded import MOST_ENDS
from ftpsyncd.specs import TlsMode

DATE = 1_234_567_890
_TOKEN = re.compile(r"[0-9a-f]{8}(?=\.filepart)")
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


@contextlib.contextmanager
def _refused(session: Session) -> Iterator[None]:
    """What the server refuses is done without, as long as it answers."""
    try:
        yield
    except RemoteError:
        if not session.usable:
            raise


class Probing:
    """One probing of one server.

    Args:
        account: with a blank profile, which is filled.
        directory: where the files go; made and removed again if it is not there.
    """

    def __init__(self, account: Account, directory: str) -> None:
        self.account = account
        self.profile = account.profile
        self.directory = directory.rstrip("/")
        self._token = secrets.token_hex(4)
        self._directories: list[str] = []
        self._session: Session | None = None
        self._made: list[str] = []
        self.left: list[str] = []
        """What stays there, since the server does not remove it, or may, since there is no connection any more."""
        self._failed = False
        """Something was broken off, and directories of ours may be there."""

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
        try:
            self._prepare(self._usable())
            for field, measure in fields.items():
                session = self._usable()
                try:
                    value, meaning = measure(session)
                except RemoteError as error:
                    self._failed = True
                    value, meaning = "not measured", error.message
                yield Measure(field, value, meaning)
        except (KeyboardInterrupt, SystemExit):
            # It was cut off in the middle of a word: what comes next would be taken for another answer.
            self._failed = True
            if self._session is not None:
                self._session.abandon()
            raise
        finally:
            self._clean()

    # ── the scene ────────────────────────────────────────────────────────────────────────────────────────────────

    def _usable(self) -> Session:
        if self._session is None or not self._session.usable:
            if self._session is not None:
                self._session.close()
            self._session = self.account()
            # Whether it bears several commands in one write is measured, too: until then, nothing relies on it.
            self._session.patient = True
            self._session = self._answered_once(self._session)
        return self._session

    def _answered_once(self, session: Session) -> Session:
        """A session whose login has no answer too many: one that comes late would be taken for that to SYST."""
        if not self.profile.pipelining:
            return session
        with contextlib.suppress(ProtocolError):
            answer = session.exchange([b"SYST"])[0]
            if answer.code == 215 or answer.code >= 500:
                return session
        session.abandon()
        self.profile.pipelining = False
        return self.account()

    def _path(self, stem: str = "ftpsyncd") -> str:
        return f"{self.directory}/{stem}.{self._token}.filepart"

    def _prepare(self, session: Session) -> None:
        """Store a file; at each address of the host, as long as no data connection comes about."""
        missed = 0
        while True:
            try:
                self._prepare_here(session)
            except DataUnreachableError as error:
                if missed >= error.others:
                    raise
                missed += 1
                if self._session is not None:
                    self._session.close()
                session = self._usable()
            else:
                return

    def _prepare_here(self, session: Session) -> None:
        try:
            self._store(session)
        except PathsRefusedError:
            self._store(self._usable())

    def _store(self, session: Session) -> None:
        trials.make_missing(session, self.directory, self._made)
        reply = deliver(session, session.command("STOR", self._path()), trials.CONTENT)
        if not reply.good:
            raise reaching.explained(session, session.error(reply, "STOR", self._path()), self._path())

    def _clean(self) -> None:
        """Remove all that is ours, whatever happened."""
        if self._session is None:
            return
        self.left = [self._path(), self._path("ftpsyncd-2")]
        # The connection may have ended in silence while others were opened.
        for _ in range(MOST_ENDS):
            with contextlib.suppress(FtpsyncdError):
                self._remove_all(self._usable())
            if self._session.usable:
                break
        else:
            # The profile that notes what trials have left is not kept of a measurement that came to nothing.
            trials_left = (removal.partition(" ")[2] for removal in self.profile.scratch)
            self.left = list(dict.fromkeys((*self.left, *trials_left, *reversed(self._made))))
        self._session.close()

    def _remove_all(self, session: Session) -> None:
        refusals = session.delete_many(self.left)
        stays = [path for path, refused in zip(self.left, refusals, strict=True) if refused is not None]
        if self._failed:
            session.exchange([session.command("RMD", f"{self.directory}/{name}") for name in self._directories])
        if stays or self.account.dirs_stay:
            with _refused(session):
                # What is not listed may be there all the same: a server may list only some, or hide such names.
                stays = list(dict.fromkeys((*stays, *self._ours(session))))
        for directory in reversed(self._made):
            gone = False
            with _refused(session):
                gone = session.remove_dir(directory)
            if not gone:
                stays.append(directory)
        self.left = stays

    def _ours(self, session: Session) -> list[str]:
        """What is listed of what was made: a server may have given it other names, but the token is in each."""
        tokens = {self._token, *(token for name in self._directories for token in _TOKEN.findall(name))}
        try:
            there = session.list_dir(self.directory or "/", dated=False)
        except PartlyListedError as error:
            there = error.entries
        return [f"{self.directory}/{each.name}" for each in there if not tokens.isdisjoint(_TOKEN.findall(each.name))]

    # ── the fields ───────────────────────────────────────────────────────────────────────────────────────────────

    def _tls(self, session: Session) -> tuple[str, str]:
        if session.account.spec.tls is TlsMode.OFF:
            return "off", "password and files can be read on the way"
        # `_prepare` has used a data connection.
        how = "session resumed" if session.control.data_resumed else "full handshakes"
        verified = "" if session.account.spec.tls_verify else "the certificate is not verified"
        return f"{session.control.tls_version}, {how}", verified

    def _paths(self, session: Session) -> tuple[str, str]:
        # What `_prepare` has stored is there.
        if session.relative:
            return Paths.RELATIVE.value, "a CWD is said before what is in another directory"
        self.profile.paths = Paths.ABSOLUTE
        return Paths.ABSOLUTE.value, ""

    def _passive(self, session: Session) -> tuple[str, str]:
        extended, plain = session.exchange([b"EPSV"])[0], session.exchange([b"PASV"])[0]
        # `_prepare` has used a data connection: what EPSV names may not be reached.
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
            entries = session.list_dir(self.directory or "/", dated=False)
        except PartlyListedError as error:
            return "incomplete", f"{error.reply}; publishing does not need listings"
        names = {entry.name for entry in entries}
        if self._path().rpartition("/")[2] not in names:
            return "incomplete", "a file of ours is missing in it; publishing does not need listings"
        return ("MLSD", "") if self.profile.mlsd else ("LIST", "dates are asked for one by one")

    def _size(self, session: Session) -> tuple[str, str]:
        size = facts.parse_size(session.exchange([session.command("SIZE", self._path())])[0])
        self.profile.size = size is not None
        if size is None:
            return "none", "uploads are verified by the server's last words only, and never continued"
        return ("right", "") if size == len(trials.CONTENT) else ("wrong", f"{size} instead of {len(trials.CONTENT)}")

    def _dates(self, session: Session) -> tuple[str, str]:
        session.set_time(self._path(), DATE)
        if self.profile.dating:
            return self.profile.dating.value, ""
        self.profile.dating = Dating.NONE
        return "none", "files get the date of their upload"

    def _rename(self, session: Session) -> tuple[str, str]:
        source, target = self._path(), self._path("ftpsyncd-2")
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
            told = hashes.ask(session, way, self._path(), len(trials.CONTENT))
            if told is not None and told.digits == hashes.of_bytes(told.algorithm, trials.CONTENT):
                right.append(way)
        self.profile.hashing = right[0] if right else Hashing.NONE
        wrong = [way.value for way in hashes.offered(self.profile.features) if way not in right]
        return ", ".join(right) or "none", f"offered, but not right: {', '.join(wrong)}" if wrong else ""

    def _resume(self, session: Session) -> tuple[str, str]:
        told = {way: trials.continues(session, way, self._path()) for way in (Resuming.REST, Resuming.APPE)}
        ways = [way for way, continues in told.items() if continues]
        if not ways and None in told.values():
            return "not measured", "it could not tell now; it is tried again when a large file breaks off"
        self.profile.resuming = ways[0] if ways else Resuming.NONE
        return ", ".join(ways) or "none", "" if ways else "large files that break off are sent whole"

    def _beyond(self, session: Session) -> tuple[str, str]:
        self.profile.beyond = trials.beyond(session, self._path())
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
        session = self._usable()
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
        known = len(self._directories)
        for _ in range(MOST_ENDS):
            with contextlib.suppress(ServerUnavailableError):
                return self._keeps(self._usable(), sample)
            # It may be that no other connection could be opened, so that nothing was tried.
            del self._directories[known:]
        return self._keeps(self._usable(), sample)

    def _tells_case(self, session: Session) -> bool:
        name = f"case.{secrets.token_hex(4)}.filepart"
        self._directories.append(name)
        with scratch.noted(session, [("RMD", f"{self.directory}/{name}")]):
            try:
                session.make_dir(f"{self.directory}/{name}")
            except NameRefusedError:
                return True
            told = session.stat(f"{self.directory}/{name.upper()}") is None
            session.exchange([session.command("RMD", f"{self.directory}/{name}")])
        return told

    def _keeps(self, session: Session, sample: str) -> bool | None:
        self._directories.append(sample.format(f"{secrets.token_hex(4)}.filepart"))
        keeps = naming.keeps_pattern if sample == SAMPLES[Oddity.PATTERN] else naming.keeps_name
        return keeps(session, self.directory, self._directories[-1])

    def _pipelining(self, session: Session) -> tuple[str, str]:
        if self.profile.pipelining:
            absent = session.command("SIZE", self._path("no-such"))
            there = session.command("MDTM", self._path())
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
