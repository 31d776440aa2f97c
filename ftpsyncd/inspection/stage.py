"""What `probe` tries its server with: files of our own, and how they get there and away again, whatever happens.

In: an account and a directory. Out: sessions to measure with; in the end, what may be left at the server.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

from ftpsyncd.errors import DataUnreachableError, FtpsyncdError, PathsRefusedError, ProtocolError, RemoteError
from ftpsyncd.remote import reaching, trials
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.port import PartlyListedError
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.transfer import deliver
from ftpsyncd.remote.undecoded import MOST_ENDS

_TOKEN = re.compile(r"[0-9a-f]{8}(?=\.filepart)")


@contextlib.contextmanager
def _refused(session: Session) -> Iterator[None]:
    """What the server refuses is done without, as long as it answers."""
    try:
        yield
    except RemoteError:
        if not session.usable:
            raise


class Stage:
    """A directory at the server with a file of ours in it.

    Args:
        account: with a blank profile, which is filled.
        directory: where the files go; made and removed again if it is not there.
    """

    def __init__(self, account: Account, directory: str) -> None:
        self.account = account
        self.directory = directory.rstrip("/")
        self._token = secrets.token_hex(4)
        self.tried: list[str] = []
        """Names that directories of ours have had for a moment."""
        self._session: Session | None = None
        self._made: list[str] = []
        self.left: list[str] = []
        """What stays there, since the server does not remove it, or may, since there is no connection any more."""
        self.failed = False
        """Something was broken off, and directories of ours may be there."""

    def usable(self) -> Session:
        """A session that answers: the one before, or a new one.

        Raises:
            RemoteError: the server cannot be reached.
        """
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
        if not self.account.profile.pipelining:
            return session
        with contextlib.suppress(ProtocolError):
            answer = session.exchange([b"SYST"])[0]
            if answer.code == 215 or answer.code >= 500:
                return session
        session.abandon()
        self.account.profile.pipelining = False
        return self.account()

    def path(self, stem: str = "ftpsyncd") -> str:
        """A name of our own in the directory; without a stem, that of the file that is there."""
        return f"{self.directory}/{stem}.{self._token}.filepart"

    def prepare(self) -> None:
        """Store a file; at each address of the host, as long as no data connection comes about."""
        session, missed = self.usable(), 0
        while True:
            try:
                self._prepare_here(session)
            except DataUnreachableError as error:
                if missed >= error.others:
                    raise
                missed += 1
                if self._session is not None:
                    self._session.close()
                session = self.usable()
            else:
                return

    def _prepare_here(self, session: Session) -> None:
        try:
            self._store(session)
        except PathsRefusedError:
            self._store(self.usable())

    def _store(self, session: Session) -> None:
        trials.make_missing(session, self.directory, self._made)
        reply = deliver(session, session.command("STOR", self.path()), trials.CONTENT)
        if not reply.good:
            raise reaching.explained(session, session.error(reply, "STOR", self.path()), self.path())

    def broken_off(self) -> None:
        """It was cut off in the middle of a word: what comes next would be taken for another answer."""
        self.failed = True
        if self._session is not None:
            self._session.abandon()

    def clean(self) -> None:
        """Remove all that is ours, whatever happened."""
        if self._session is None:
            return
        self.left = [self.path(), self.path("ftpsyncd-2")]
        # The connection may have ended in silence while others were opened.
        for _ in range(MOST_ENDS):
            with contextlib.suppress(FtpsyncdError):
                self._remove_all(self.usable())
            if self._session.usable:
                break
        else:
            # The profile that notes what trials have left is not kept of a measurement that came to nothing.
            trials_left = (removal.partition(" ")[2] for removal in self.account.profile.scratch)
            self.left = list(dict.fromkeys((*self.left, *trials_left, *reversed(self._made))))
        self._session.close()

    def _remove_all(self, session: Session) -> None:
        refusals = session.delete_many(self.left)
        stays = [path for path, refused in zip(self.left, refusals, strict=True) if refused is not None]
        if self.failed:
            session.exchange([session.command("RMD", f"{self.directory}/{name}") for name in self.tried])
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
        tokens = {self._token, *(token for name in self.tried for token in _TOKEN.findall(name))}
        try:
            there = session.list_dir(self.directory or "/", dated=False)
        except PartlyListedError as error:
            there = error.entries
        return [f"{self.directory}/{each.name}" for each in there if not tokens.isdisjoint(_TOKEN.findall(each.name))]
