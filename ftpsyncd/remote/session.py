"""One logged-in connection to an FTP or FTPS server: the port's words turned into commands and back.

`Session` is :class:`ftpsyncd.remote.port.RemoteSession`; `account` opens them, and `login` begins them. Looking is in
`looking`, publishing in `upload`, fetching in `transfer`, meanings in `replies` and `verdicts`, the control line in
`wire`, data connections in `agreeing`, `opening` and `data`.

Commands travel in batches: one write, one reply each, in order. An answer that fits no command finishes the session,
since nobody knows which command the next one would answer.

Sources: RFC 959 §4, §5.4.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ftpsyncd.core import names
from ftpsyncd.errors import (
    AlreadyExistsError,
    FtpsyncdError,
    LoginRefusedError,
    NameRefusedError,
    NotFoundError,
    NotSupportedError,
    ProtocolError,
    RemoteError,
    ServerUnavailableError,
)
from ftpsyncd.model import Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote import (
    addresses,
    agreeing,
    dating,
    directories,
    lengths,
    looking,
    making,
    naming,
    reaching,
    removing,
    renaming,
    saying,
    scratch,
    transfer,
    undecoded,
    upload,
)
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteEntry, Sink
from ftpsyncd.remote.profile import lingers, reads_in_turn
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.standing import VISIT, Placed, Standing
from ftpsyncd.remote.unmet import Unmet
from ftpsyncd.remote.verdicts import Verdict, verdict
from ftpsyncd.remote.wire import Control
from ftpsyncd.specs import DataMode

if TYPE_CHECKING:
    from ftpsyncd.remote.account import Account

AHEAD_LASTS_S = 10.0
"""For so long, a data connection that was agreed on ahead of a file is used; servers and firewalls give up on it."""
FORGETS_AFTER_S = 60.0
"""No server forgets a login before: what it refuses in words of that is a right."""


class Session:
    """One logged-in connection; made by `account.Account`."""

    def __init__(self, account: Account, control: Control) -> None:
        self.account = account
        self.control = control
        self._inquiry = addresses.Inquiry(account.spec.host, account.spec.port)
        self._found_before = frozenset[str]()
        """The addresses of its host when it was asked last whether it is elsewhere."""
        self.profile = account.profile
        self._doubts = self.profile.doubts
        self.missed = self.profile.stats_missed
        self._answered_twice = self.profile.answered_twice
        self._extended_seen = self.profile.extended_seen
        self.patient = False
        """It says one command at a time, to see whether batches are to blame."""
        self.batching = False
        """Several commands are on their way; still True afterwards if their replies did not all come, or do not fit."""
        self.batched_until = 0.0
        """Until then what nobody asked for may answer one of several commands once more, which were the last words."""
        self.batch: Sequence[bytes] = ()
        """These."""
        self.told_password = False
        """It has told the server who we are."""
        self.greeting = ""
        self.reads_in_turn = self.lingers = False
        """As far as the greeting tells (`profile`)."""
        self.is_passive = account.spec.mode is DataMode.PASSIVE
        """The server listens for data connections, and not we."""
        self.relative = self.profile.relative
        """Names are told only within the working directory; as it began: what it was told of others it would have to
        ask anew."""
        self._standing = Standing(self)
        self.refused_in: str | None = None
        """The directory in which a file was refused last, whichever way its name was told."""
        self.displaced: tuple[str, str] | None = None
        """See `port.RemoteSession.displaced`."""
        self.renames = False
        """It has renamed something: only then is a file deleted to make room for another, and only else may a refused
        rename mean that the server renames nothing."""
        self.offers = 0
        """Data connections that were agreed on (`agreeing.prepare`)."""
        self.announces = True
        """It says that it receives a file (150) before the content has come, as far as is known."""
        self.waited_in_vain = False
        """A file that had arrived was not shown in a while: the next one is not waited for."""
        self.shown = directories.Shown()
        self.tidied = -math.inf
        """When it has removed what trials had left (monotonic seconds)."""
        self.extended = False
        """EPSV was sent for the last of them."""
        self.unmet = Unmet(self)
        self._ahead: agreeing.Offer | None = None
        """Agreed on before there was a file for it."""
        self._ahead_until = 0.0

    def __repr__(self) -> str:
        return f"Session({self.account!r}, {'usable' if self.usable else 'finished'})"

    @property
    def usable(self) -> bool:
        """False once anything makes the state of the connection doubtful."""
        return not self.control.broken

    @property
    def expiring(self) -> bool:
        """See `port.RemoteSession.expiring`."""
        return self.control.ticket_expiring

    def is_elsewhere(self) -> bool:
        """See `port.RemoteSession.is_elsewhere`."""
        try:
            found = frozenset(str(each[4][0]) for each in self._inquiry.told())
        except OSError:
            return False
        before, self._found_before = self._found_before, found
        # Of many machines, name servers tell some at a time: what has moved is told alike the next time.
        return self.control.peer not in found and found == before

    def stirs(self) -> bool:
        """See `port.RemoteSession.stirs`."""
        return self.control.stirs()

    @property
    def pipelines(self) -> bool:
        """Whether several commands may be said in one write."""
        return self.profile.pipelining and not self.patient

    @property
    def overlaps(self) -> bool:
        """Whether the EPSV for the next file may follow STOR in one write."""
        profile = self.profile
        if not (self.reads_in_turn and profile.overlapping and profile.pipelining and profile.epsv):
            return False
        return self.is_passive and self.joins

    @property
    def may_part(self) -> bool:
        """Whether a data connection may be reset right behind its end (`parting`): its size has to be told then."""
        profile = self.profile
        return self.lingers and profile.parting and profile.size

    @property
    def joins(self) -> bool:
        """Whether a data connection may be agreed on in one write with other commands.

        In active mode firewalls and NAT, at our end as a rule, have to read of it, where TLS does not hide it: Linux's
        read only how a packet begins.
        """
        return self.profile.joined and (self.is_passive or self.control.context is not None)

    @property
    def agrees_ahead(self) -> bool:
        """Whether a data connection may be agreed on before there is a file for it, and other commands be said."""
        return self.is_passive and self.profile.meanwhile is not False

    def greeted(self, banner: str) -> None:
        """Conclude from the server's greeting."""
        self.greeting = banner
        self.reads_in_turn, self.lingers = reads_in_turn(banner), lingers(banner)
        self.profile.greeted(banner)

    def doubt(self, *, renames: bool = True) -> None:
        """A batch may have ended this session, one with a rename in it or not.

        What ends several that are open side by side counts once.
        """
        if self.profile.doubts == self._doubts and not self.control.was_cut:
            self.profile.doubt(renames=renames)

    def answered_twice(self, *, renames: bool) -> None:
        """There was an answer too many to a batch, one with a rename in it or not; counted as in `doubt`."""
        self.doubt(renames=renames)
        if self.profile.answered_twice == self._answered_twice:
            self.profile.answers_twice()

    def misses_epsv(self) -> None:
        """EPSV may have ended this session, or was not answered; counted as in `doubt`."""
        if self.profile.extended_seen == self._extended_seen:
            self.profile.misses_epsv()

    def abandon(self) -> None:
        """Close without a word, as nothing that it says can be trusted. Never raises."""
        self.control.close()

    # ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────

    def command(self, words: str, path: str, after: str = "", *, quotes: str = "") -> bytes:
        """A command about a path, which may be in quotes and followed by more words.

        Raises:
            NameNotSendableError: as `name`.
        """
        before, name, behind = f"{words} {quotes}".encode("ascii"), self.name(path), f"{quotes}{after}".encode("ascii")
        return Placed.of(before, name, behind) if self.relative else before + name + behind

    def visit(self, path: str) -> bytes:
        """The command that goes to a directory.

        Raises:
            NameNotSendableError: as `name`.
        """
        return VISIT + self.name(path)

    def stand(self, command: bytes) -> None:
        """Be where a command has to be said that is sent past `answers`.

        Raises:
            RemoteError: one may not go there, or the session ended.
        """
        if isinstance(command, Placed) and (refusal := self._standing.go(command.directory)) is not None:
            where = names.off_the_wire(command.directory, self.account.spec.encoding)
            raise self.error(refusal, "CWD", where)

    def name(self, path: str) -> bytes:
        """A path as it travels.

        Raises:
            NameNotSendableError: as `names.on_the_wire`, or this server does not bear it.
        """
        name, profile = names.on_the_wire(path, self.account.spec.encoding), self.profile
        if profile.too_long:
            lengths.require(self, name)
        if profile.bytes_borne is False:
            undecoded.require(name)
        return name

    def exchange(self, commands: Sequence[bytes], timeout_s: float | None = None) -> list[Reply]:
        """Send commands, read one final reply each: in one write where the server can take it.

        Raises:
            ServerUnavailableError: the line broke or the server said 421; the session is finished.
        """
        return list(self.answers(commands, timeout_s))

    def answers(self, commands: Sequence[bytes], timeout_s: float | None = None) -> Generator[Reply, None, None]:
        """`exchange`, each reply as soon as it comes; the session is busy until the last one was taken.

        Raises:
            ServerUnavailableError: the line broke or the server said 421; the session is finished.
        """
        return self._standing.answers(commands, timeout_s) if self.relative else self.said(commands, timeout_s)

    def say(self, commands: Sequence[bytes]) -> None:
        """Send commands, whose answers are not awaited here.

        Raises:
            ServerUnavailableError: the line is broken.
            ProtocolError: the server has said what nobody asked for.
        """
        saying.say(self, commands)

    def said(self, commands: Sequence[bytes], timeout_s: float | None = None) -> Generator[Reply, None, None]:
        """`answers`, wherever the session stands."""
        return saying.said(self, commands, timeout_s)

    def finals(self, count: int) -> list[Reply]:
        """The next replies that are not preliminary."""
        return [self.final() for _ in range(count)]

    def final(self, timeout_s: float | None = None) -> Reply:
        """The next reply that is not preliminary."""
        reply = self.first(timeout_s)
        return self.check(reply, timeout_s) if reply.preliminary else reply

    def first(self, timeout_s: float | None = None) -> Reply:
        """The next reply, whatever it is; 421 finishes the session (RFC 959 §4.2)."""
        if self.profile.meanwhile is None:
            self.unmet.before_answer()
        reply = self.control.reply(timeout_s)
        if reply.code == 421:
            self.abandon()
            raise self.error(reply, "")
        return reply

    def check(self, reply: Reply, timeout_s: float | None = None) -> Reply:
        """The final reply that follows preliminary ones, all of which together have that time.

        Raises:
            ServerUnavailableError: none came, however many announced it; or the session ended otherwise.
        """
        if reply.preliminary:
            deadline = time.monotonic() + (self.control.timeouts.reply_s if timeout_s is None else timeout_s)
            while reply.preliminary:
                if (left_s := deadline - time.monotonic()) <= 0.0:
                    self.abandon()
                    raise ServerUnavailableError(
                        f"The server announces its answer again and again, and gives none: {reply.text}",
                        reply=reply.text,
                    )
                reply = self.first(left_s)
        return reply

    def error(self, reply: Reply, verb: str, subject: str = "") -> RemoteError:
        """The typed error for a reply; the session is finished if it is over by that (`verdicts`)."""
        error, ends = self._verdict(reply, verb, subject)
        if isinstance(error, ProtocolError):
            self.doubt()
        if ends:
            self.abandon()
        return error

    def _verdict(self, reply: Reply, verb: str, subject: str) -> Verdict:
        protected, encoding = self.control.context is not None, self.account.spec.encoding
        return verdict(reply, verb, subject, encoding, protected=protected, passive=self.is_passive)

    def refusal(self, reply: Reply, verb: str, subject: str = "") -> RemoteError:
        """`error`, where all that was said is answered: of a 530 it is found out what it means.

        Servers have it for a login that they have forgotten, which another session mends, and some for a right that is
        lacking. That it is, where the login is fresh and we are still told where we are: then it is about the subject,
        as 550 is, and no session ends for it. What is missing by its words is a user, or a session: not the subject.
        """
        if reply.code != 530 or not isinstance(self._verdict(reply, verb, subject).error, LoginRefusedError):
            return self.error(reply, verb, subject)
        with contextlib.suppress(RemoteError):
            if self.control.age_s < FORGETS_AFTER_S and self.exchange([b"PWD"])[0].code == 257:
                error = self.error(reply._replace(code=550), verb, subject)
                if not isinstance(error, NotFoundError | AlreadyExistsError):
                    return error
                return NameRefusedError(f"The server refuses {named(subject)}: {reply.text}", reply=reply.text)
        return self.error(reply, verb, subject)

    def blames_connection(self, first: Reply, reply: Reply) -> bool:
        """Whether a transfer may have failed by its data connection, so that only another session mends it.

        A TLS session that expired, or that the server has forgotten, fails every later data connection, too. Not all
        servers say 425 or 522 then: FileZilla Server 0.9 says 450.

        Args:
            first: the first answer to the command.
            reply: the final one.
        """
        forgotten = first.preliminary and reply.passing and self.control.is_forgotten
        return reply.code in {425, 522} or forgotten

    def expect(self, verb: str, command: bytes, *codes: int) -> Reply:
        """Send one command and insist on one of the codes."""
        reply = self.exchange([command])[0]
        if reply.code not in codes:
            raise self.error(reply, verb)
        return reply

    # ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    def stat(self, path: str) -> RemoteEntry | None:
        """See `port.RemoteSession.stat`."""
        try:
            entry = self.stat_many([path])[0]
        except RemoteError as error:
            raise reaching.explained_by_looking(self, error, path) from error.__cause__
        if entry is None:
            reaching.confirm_absent(self, [path])
        return entry

    def stat_many(self, paths: Sequence[str]) -> list[RemoteEntry | None]:
        """See `port.RemoteSession.stat_many`."""
        return looking.stat_many(self, paths)

    def list_dir(self, path: str, *, dated: bool = True) -> list[RemoteEntry]:
        """See `port.RemoteSession.list_dir`."""
        return directories.list_dir(self, path, dated=dated)

    def list_kinds(self, path: str) -> dict[str, Kind]:
        """See `port.RemoteSession.list_kinds`: LIST shows links on every server, MLSD of pyftpdlib does not."""
        # What it does not understand has no kind: whoever asks leaves that alone.
        return {entry.name: entry.kind for entry in directories.entries(self, path, strict=False)}

    # ── Changing ─────────────────────────────────────────────────────────────────────────────────────────────────

    def make_dir(self, path: str) -> bool:
        """See `port.RemoteSession.make_dir`."""
        return making.make(self, [path])

    def make_dir_many(self, paths: Sequence[str]) -> Iterator[tuple[int, bool | FtpsyncdError]]:
        """See `port.RemoteSession.make_dir_many`."""
        return making.many(self, paths)

    def make_dirs(self, path: str) -> bool:
        """See `port.RemoteSession.make_dirs`."""
        return making.chain(self, path)

    def assure(self, path: str) -> None:
        """Make sure that the server keeps this name as it is (`naming.assure`)."""
        naming.assure(self, path)

    def remove_dir(self, path: str) -> bool:
        """See `port.RemoteSession.remove_dir`."""
        return removing.directory(self, path)

    def rename(self, source: str, target: str) -> str:
        """See `port.RemoteSession.rename`."""
        try:
            return renaming.rename(self, source, target)
        except RemoteError as error:
            raise reaching.explained_by_looking(self, error, source) from error.__cause__

    def delete_many(self, paths: Sequence[str]) -> list[FtpsyncdError | None]:
        """See `port.RemoteSession.delete_many`."""
        return removing.files(self, paths)

    def set_time(self, path: str, mtime_s: int) -> bool:
        """See `port.RemoteSession.set_time`."""
        return dating.set_time(self, path, mtime_s)

    def noop(self) -> None:
        """See `port.RemoteSession.noop`: to say that it does not know the command is a sign of life, too."""
        scratch.clear_up(self)
        reply = self.exchange([b"NOOP"])[0]
        if reply.code not in {200, 220, 250}:
            error = self.error(reply, "NOOP")
            if not isinstance(error, NotSupportedError):
                raise error

    def make_ready(self) -> None:
        """See `port.RemoteSession.make_ready`: the data connection is agreed on."""
        if self.agrees_ahead and (self._ahead is None or time.monotonic() >= self._ahead_until):
            command, listener = agreeing.prepare(self)
            offer = agreeing.agree(self, self.exchange([command])[0], listener)
            if self.profile.meanwhile is None:
                self.noop()
            if offer.number == self.offers:
                self.keep_ready(offer)

    def keep_ready(self, offer: agreeing.Offer) -> None:
        """Remember a data connection that was agreed on for the next file."""
        self._ahead = offer
        self._ahead_until = time.monotonic() + AHEAD_LASTS_S

    def take_ready(self) -> agreeing.Offer | None:
        """What `make_ready` has agreed on, if it is fresh; `agreeing.Offer.number` tells whether it still holds."""
        offer, self._ahead = self._ahead, None
        return offer if time.monotonic() < self._ahead_until else None

    # ── Content ──────────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        """See `port.RemoteSession.publish`."""
        return upload.publish(self, jobs)

    def hides(self, path: str) -> bool:
        """See :meth:`ftpsyncd.remote.port.RemoteSession.hides`."""
        return self.profile.renames_at(path)

    def fetch(self, path: str, into: Sink, *, offset: int = 0, progress: Callable[[int], None] = lambda _: None) -> int:
        """See `port.RemoteSession.fetch`."""
        try:
            return transfer.fetch(self, path, into, offset=offset, progress=progress)
        except RemoteError as error:
            raise reaching.explained_by_looking(self, error, path) from error.__cause__

    # ── End ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self, *, patient: bool = True) -> None:
        """See `port.RemoteSession.close`."""
        orderly = False
        if self.usable:
            with contextlib.suppress(FtpsyncdError):
                self.control.send([b"QUIT"])
                orderly = True
                if patient:
                    self.control.reply(self.control.timeouts.close_s)
        self.control.close(orderly=orderly)

    def leave(self) -> None:
        """See `port.RemoteSession.leave`."""
        self.control.leave()
        self.account.leave()

    def cut(self) -> None:
        """See `port.RemoteSession.cut`."""
        self.control.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
