"""One logged-in connection to an FTP or FTPS server: the port's words turned into commands and back.

`Session` is :class:`ftpsyncd.remote.port.RemoteSession`; `account` opens them. Publishing is in `upload`, fetching in
`transfer`, meanings in `replies`, sockets in `wire` and `data`.

Commands travel in batches: one write, one reply each, in order. An answer that fits no command finishes the session,
since nobody knows which command the next one would answer.

Sources: RFC 959, RFC 2228 and 4217 (TLS), RFC 2389 (FEAT), RFC 2640 (UTF-8), RFC 3659 (SIZE, MDTM, MLST).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from ftpsyncd.errors import (
    AlreadyExistsError,
    FtpsyncdError,
    NameNotSendableError,
    NameRefusedError,
    NotFoundError,
    ProtocolError,
    RemoteError,
    ServerUnavailableError,
)
from ftpsyncd.model import Kind, basename
from ftpsyncd.remote import naming, renaming, replies, transfer, upload
from ftpsyncd.remote.outgoing import dating
from ftpsyncd.remote.port import PublishJob, PublishResult, RemoteEntry
from ftpsyncd.remote.profile import Dating, reads_in_turn
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.wire import Control
from ftpsyncd.specs import DataMode, TlsMode

if TYPE_CHECKING:
    from ftpsyncd.remote.account import Account

BATCH = 64
"""Commands in one write at most: their replies fit any socket buffer."""
AHEAD_LASTS_S = 10.0
"""For so long, a data connection that was agreed on ahead of a file is used; servers and firewalls give up on it."""
_IAC = b"\xff"
_HOME = b"CWD /"
"""Follows every visit: pure-ftpd ends a session whose working directory was removed."""


class Session:
    """One logged-in connection; made by `account.Account`."""

    def __init__(self, account: Account, control: Control) -> None:
        self.account = account
        self.control = control
        self.profile = account.profile
        self.batching = False
        """Several commands are on their way; still True afterwards if their replies did not all come."""
        self.greeting = ""
        self._known_refusals = account.refusals
        self.offers = 0
        """Data connections that were agreed on (`transfer.prepare`)."""
        self._ahead: transfer.Offer | None = None
        """Agreed on before there was a file for it."""
        self._ahead_until = 0.0

    def __repr__(self) -> str:
        return f"Session({self.account!r}, {'usable' if self.usable else 'finished'})"

    @property
    def usable(self) -> bool:
        """False once anything makes the state of the connection doubtful."""
        return not self.control.broken

    @property
    def overlaps(self) -> bool:
        """Whether the EPSV for the next file may follow STOR in one write."""
        profile = self.profile
        if not (profile.overlapping and profile.pipelining and profile.epsv and reads_in_turn(self.greeting)):
            return False
        return self._is_passive

    @property
    def _is_passive(self) -> bool:
        return self.account.spec.mode is DataMode.PASSIVE

    def abandon(self) -> None:
        """Close without a word: nothing that this connection says can be trusted any more."""
        self.control.close()

    # ── Beginning ────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Greet, protect, log in, agree on binary and UTF-8."""
        context = self.account.context
        if self.account.spec.tls is TlsMode.IMPLICIT and context is not None:
            self.control.secure(context)
        (greeting,) = self.finals(1)
        if not greeting.good:
            raise self.error(greeting, "")
        self.greeting = greeting.text
        self.profile.greeted(self.greeting)
        if self.account.spec.tls is TlsMode.EXPLICIT and context is not None:
            # The user's name is a secret, too: refused TLS ends here (RFC 4217 §4.2, no silent downgrade).
            self.expect("AUTH", b"AUTH TLS", 234)
            self.control.secure(context)
        self.account.greeted()
        reply = self.exchange([self._secret("USER", self.account.spec.user)])[0]
        if reply.code != 331:
            self._judge_login(reply)
            self._agree()
            return
        together = self.profile.pipelining and reads_in_turn(self.greeting)
        with self.account.entrance(self._known_refusals):
            password = self.account.spec.password()
            self.control.hide(password.encode(errors="surrogateescape"))
            login = self._secret("PASS", password)
            if together:
                self._agree(login)
            else:
                self._judge_login(self.exchange([login])[0])
        if not together:
            self._agree()

    def _agree(self, *login: bytes) -> None:
        """Agree on protection, features, binary, UTF-8 and the first data connection; with ``login`` in one go."""
        context = self.control.context
        protect = [b"PBSZ 0", b"PROT P"] if context is not None else []
        # Where another session has just asked, the answer is known: at some servers it is more packets than TCP sends
        # at once on a new line.
        known = self.account.met_lately(self.greeting)
        ask = [] if known else [b"FEAT"]
        ahead = (
            [transfer.prepare(self)[0]] if self.account.ahead and self._is_passive and self.profile.pipelining else []
        )
        commands = [*login, *protect, *ask, b"TYPE I", b"OPTS UTF8 ON", *ahead]
        with contextlib.closing(self.answers(commands)) as coming:
            for _ in login:
                self._judge_login(next(coming))
            answers = list(coming)
        agreed = answers.pop() if ahead else None
        *protected, binary, utf8 = answers
        features = None if known else protected.pop()
        if protected and not protected[-1].good:
            # Without PROT P the data would travel in clear text.
            raise self.error(protected[-1], "PROT")
        if not binary.good:
            raise self.error(binary, "TYPE")
        if features is not None:
            self.profile.met(self.greeting, replies.parse_feat(features))
            self.account.met(self.greeting)
        self.profile.utf8 = "UTF8" in self.profile.features or utf8.good
        # A refusal says nothing yet: it is asked for again when there is a file, and then in all ways.
        if agreed is not None and agreed.code in {227, 229}:
            self._keep_ready(transfer.agree(self, agreed, None))

    def _judge_login(self, reply: Reply) -> None:
        if not reply.good:
            # 332 wants an account, which no server of today has: a person must look.
            raise self.error(reply._replace(code=530) if reply.more else reply, "PASS", self.account.spec.user)

    def _secret(self, verb: str, word: str) -> bytes:
        if any(c in word for c in "\r\n\0"):
            raise NameNotSendableError(f"The argument of {verb} holds a line break or NUL.", remedy="Correct it.")
        return f"{verb} {word}".encode(errors="surrogateescape")

    # ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────

    def command(self, words: str, path: str) -> bytes:
        """A command about a path.

        Raises:
            NameNotSendableError: as `name`.
        """
        return words.encode("ascii") + b" " + self.name(path)

    def name(self, path: str) -> bytes:
        """A path as it travels.

        Raises:
            NameNotSendableError: the path holds CR, LF or NUL, or characters that the server's encoding lacks.
        """
        if not path.isprintable() and any(c in path for c in "\r\n\0"):
            raise NameNotSendableError(f"The name {path!r} holds a line break or NUL, which FTP cannot carry.")
        try:
            name = path.encode(self.account.spec.encoding, "surrogateescape")
        except UnicodeEncodeError as error:
            raise NameNotSendableError(
                f"The name {path!r} cannot be written in the server's encoding {self.account.spec.encoding}."
            ) from error
        if _IAC in name:
            # Telnet's escape (RFC 854): proftpd wants it doubled, vsftpd and pyftpdlib would store the doubled byte.
            raise NameNotSendableError(f"The name {path!r} holds the byte 0xFF, which servers read differently.")
        return name

    def exchange(self, commands: Sequence[bytes]) -> list[Reply]:
        """Send commands, read one final reply each: in one write where the server can take it.

        Raises:
            ServerUnavailableError: the line broke or the server said 421; the session is finished.
        """
        return list(self.answers(commands))

    def answers(self, commands: Sequence[bytes]) -> Generator[Reply, None, None]:
        """`exchange`, each reply as soon as it comes; the session is busy until the last one was taken.

        Raises:
            ServerUnavailableError: the line broke or the server said 421; the session is finished.
        """
        size = BATCH if self.profile.pipelining else 1
        for start in range(0, len(commands), size):
            part = commands[start : start + size]
            self.batching = len(part) > 1
            try:
                self.control.send(part)
                for _ in part:
                    yield self.final()
            except ServerUnavailableError as error:
                if self.batching and error.reply[:3] != "421":
                    self.profile.doubt()
                raise
            except GeneratorExit:
                # What still comes would be taken for answers to other commands. Not that the batch was to blame.
                self.batching = False
                self.abandon()
                raise
            self.batching = False

    def finals(self, count: int) -> list[Reply]:
        """The next replies that are not preliminary."""
        return [self.final() for _ in range(count)]

    def final(self) -> Reply:
        """The next reply that is not preliminary."""
        while (reply := self.first()).preliminary:
            pass
        return reply

    def first(self, timeout_s: float | None = None) -> Reply:
        """The next reply, whatever it is; 421 finishes the session (RFC 959 §4.2)."""
        reply = self.control.reply(timeout_s)
        if reply.code == 421:
            self.abandon()
            raise self.error(reply, "")
        return reply

    def check(self, reply: Reply, timeout_s: float | None = None) -> Reply:
        """The final reply that follows a preliminary one."""
        while reply.preliminary:
            reply = self.first(timeout_s)
        return reply

    def error(self, reply: Reply, verb: str, subject: str = "") -> RemoteError:
        """The typed error for a reply; one that fits no command finishes the session."""
        error = replies.error_of(reply, verb, subject)
        if isinstance(error, ProtocolError):
            self.profile.doubt()
            self.abandon()
        return error

    def expect(self, verb: str, command: bytes, *codes: int, subject: str = "") -> Reply:
        """Send one command and insist on one of the codes."""
        reply = self.exchange([command])[0]
        if reply.code not in codes:
            raise self.error(reply, verb, subject)
        return reply

    # ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    def stat(self, path: str) -> RemoteEntry | None:
        """See `port.RemoteSession.stat`."""
        return self.stat_many([path])[0]

    def stat_many(self, paths: Sequence[str]) -> list[RemoteEntry | None]:
        """See `port.RemoteSession.stat_many`."""
        if self.profile.mlst:
            answers = self.exchange([self.command("MLST", path) for path in paths])
            return [self._entry(path, reply) for path, reply in zip(paths, answers, strict=True)]
        commands = [self.command(verb, path) for path in paths for verb in ("SIZE", "MDTM")]
        answers = self.exchange(commands)
        entries: list[RemoteEntry | None] = []
        for path, size, date in zip(paths, answers[::2], answers[1::2], strict=True):
            self._sane(size, "SIZE", {213})
            known = replies.parse_size(size)
            if known is not None:
                entries.append(RemoteEntry(basename(path), Kind.FILE, known, replies.parse_mdtm(date)))
            else:
                entries.append(None)
        unknown = [i for i, entry in enumerate(entries) if entry is None]
        # What has no size may be a directory: one can go there.
        visits = self.exchange([*(self.command("CWD", paths[i] or "/") for i in unknown), _HOME]) if unknown else []
        for i, visit in zip(unknown, visits, strict=False):
            if visit.good:
                entries[i] = RemoteEntry(basename(paths[i]), Kind.DIR, None, None)
        return entries

    def _sane(self, reply: Reply, verb: str, codes: set[int]) -> None:
        """A success code of another command means that replies and commands are out of step."""
        if reply.code < 400 and reply.code not in codes:
            self.profile.doubt()
            self.abandon()
            raise ProtocolError(f"The server answers {verb} with: {reply.text}", reply=reply.text)

    def _entry(self, path: str, reply: Reply) -> RemoteEntry | None:
        self._sane(reply, "MLST", {250})
        if reply.code == 250:
            entry = replies.parse_mlst(reply, self.account.spec.encoding)
            if entry is None:
                raise self.error(Reply(599, reply.lines), "")
            return entry._replace(name=basename(path))
        error = self.error(reply, "MLST", path)
        if isinstance(error, NameRefusedError) and "denied" not in reply.text:
            return None
        raise error

    def list_dir(self, path: str) -> list[RemoteEntry]:
        """See `port.RemoteSession.list_dir`."""
        encoding = self.account.spec.encoding
        if self.profile.mlst:
            text = transfer.read_all(self, self.command("MLSD", path), "MLSD", path)
            facts = [replies.parse_facts(line, encoding) for line in text.split(b"\r\n") if line]
            return [entry for entry in facts if entry is not None and entry.name not in {".", ".."}]
        entries = self._listed(path)
        asked: dict[str, bytes] = {}
        for entry in entries:
            # What cannot be asked for has no date; the other names have theirs.
            with contextlib.suppress(NameNotSendableError):
                if entry.kind is Kind.FILE:
                    asked[entry.name] = self.command("MDTM", f"{path.rstrip('/')}/{entry.name}")
        dates = dict(zip(asked, map(replies.parse_mdtm, self.exchange(list(asked.values()))), strict=True))
        return [entry._replace(mtime_s=dates.get(entry.name)) for entry in entries]

    def list_kinds(self, path: str) -> dict[str, Kind]:
        """See `port.RemoteSession.list_kinds`: LIST shows links on every server, MLSD of pyftpdlib does not."""
        return {entry.name: entry.kind for entry in self._listed(path)}

    def _listed(self, path: str) -> list[RemoteEntry]:
        """The entries as LIST shows them, without dates."""
        # LIST with a name would be parsed as options and patterns: go there and list without one.
        visit = self.exchange([self.command("CWD", path)])[0]
        if not visit.good:
            error = self.error(visit, "CWD", path)
            raise NotFoundError(error.message, reply=error.reply) if isinstance(error, NameRefusedError) else error
        text = transfer.read_all(self, b"LIST -a", "LIST", path)
        self.exchange([_HOME])
        return list(replies.parse_list(iter(text.replace(b"\r\n", b"\n").split(b"\n")), self.account.spec.encoding))

    # ── Changing ─────────────────────────────────────────────────────────────────────────────────────────────────

    def make_dir(self, path: str) -> bool:
        """See `port.RemoteSession.make_dir`."""
        return self._make([path])

    def make_dir_many(self, paths: Sequence[str]) -> Iterator[tuple[int, bool | FtpsyncdError]]:
        """See `port.RemoteSession.make_dir_many`."""
        commands: dict[int, bytes] = {}
        for i, path in enumerate(paths):
            try:
                commands[i] = self.command("MKD", path)
                self.assure(path)
            except FtpsyncdError as error:
                if not self.usable:
                    raise
                commands.pop(i, None)
                yield i, error
        refused: dict[int, Reply] = {}
        for i, reply in zip(commands, self.answers(list(commands.values())), strict=True):
            if reply.good:
                yield i, True
            else:
                refused[i] = reply
        # Asked for only now: each answer is a packet, and more than ten at once cost another round trip on a new line.
        visits = self.exchange([*(self.command("CWD", paths[i]) for i in refused), _HOME]) if refused else []
        for (i, reply), visit in zip(refused.items(), visits, strict=False):
            verdict: bool | FtpsyncdError
            try:
                verdict = self._made(paths[i], reply, visit)
            except RemoteError as error:
                verdict = error
            yield i, verdict

    def make_dirs(self, path: str) -> bool:
        """See `port.RemoteSession.make_dirs`."""
        parts = [part for part in path.split("/") if part]
        return self._make(["/" + "/".join(parts[:n]) for n in range(1, len(parts) + 1)]) if parts else False

    def assure(self, path: str) -> None:
        """Make sure that the server keeps this name as it is (`naming.assure`)."""
        naming.assure(self, path)

    def _make(self, chain: Sequence[str]) -> bool:
        """Make directories from the top. A refused MKD says little: being able to go there says that it exists."""
        commands = [*(self.command("MKD", path) for path in chain), self.command("CWD", chain[-1]), _HOME]
        self.assure(chain[-1])
        *_, made, visit, _home = self.exchange(commands)
        return self._made(chain[-1], made, visit)

    def _made(self, path: str, made: Reply, visit: Reply) -> bool:
        """What the answers to MKD and CWD mean; raises if the directory is not there."""
        if made.good:
            return True
        if visit.good:
            return False
        error = self.error(made, "MKD", path)
        if isinstance(error, AlreadyExistsError):
            raise NameRefusedError(
                f"{path!r} is at the server already and is no directory: {made.text}", reply=made.text
            )
        raise error

    def remove_dir(self, path: str) -> bool:
        """See `port.RemoteSession.remove_dir`."""
        reply = self.exchange([self.command("RMD", path)])[0]
        if reply.good:
            return True
        error = self.error(reply, "RMD", path)
        if not isinstance(error, NameRefusedError):
            raise error
        if replies.says_not_empty(reply):
            return False
        there = self.stat(path)
        if there is None:
            return True
        if there.kind is Kind.DIR and self.list_dir(path):
            return False
        raise error

    def rename(self, source: str, target: str) -> None:
        """See `port.RemoteSession.rename`."""
        renaming.rename(self, source, target)

    def delete_many(self, paths: Sequence[str]) -> list[FtpsyncdError | None]:
        """See `port.RemoteSession.delete_many`."""
        verdicts: list[FtpsyncdError | None] = [None] * len(paths)
        commands: list[tuple[int, bytes]] = []
        for i, path in enumerate(paths):
            try:
                commands.append((i, self.command("DELE", path)))
            except NameNotSendableError as error:
                verdicts[i] = error
        doubtful: list[int] = []
        for (i, _), reply in zip(commands, self.exchange([c for _, c in commands]), strict=True):
            if not reply.good:
                refusal = self.error(reply, "DELE", paths[i])
                if isinstance(refusal, NotFoundError):
                    continue
                verdicts[i] = refusal
                if isinstance(refusal, NameRefusedError):
                    doubtful.append(i)
        # vsftpd says "Delete operation failed." for every reason: look which of them are there.
        for i, entry in zip(doubtful, self.stat_many([paths[i] for i in doubtful]), strict=True):
            if entry is None:
                verdicts[i] = None
        return verdicts

    def set_time(self, path: str, mtime_s: int, *, tried: Dating | None = None) -> bool:
        """See `port.RemoteSession.set_time`. ``tried``: a way that was tried just now, in vain."""
        known = self.profile.dating
        if known is not None:
            return known is not Dating.NONE and self.exchange([dating(known, self.name(path), mtime_s)])[0].good
        for way in Dating:
            if way in {Dating.NONE, tried} or (way is Dating.MFMT and "MFMT" not in self.profile.features):
                continue
            # A server that takes the command for something else may say yes: read back once.
            said, shown = self.exchange([dating(way, self.name(path), mtime_s), self.command("MDTM", path)])
            if said.good and replies.parse_mdtm(shown) == mtime_s:
                self.profile.dating = way
                return True
        if self.stat(path) is not None:
            self.profile.dating = Dating.NONE
        return False

    def noop(self) -> None:
        """See `port.RemoteSession.noop`."""
        self.expect("NOOP", b"NOOP", 200, 250)

    def make_ready(self) -> None:
        """See `port.RemoteSession.make_ready`: the data connection is agreed on."""
        if self._is_passive and (self._ahead is None or time.monotonic() >= self._ahead_until):
            command, listener = transfer.prepare(self)
            self._keep_ready(transfer.agree(self, self.exchange([command])[0], listener))

    def _keep_ready(self, offer: transfer.Offer) -> None:
        self._ahead = offer
        self._ahead_until = time.monotonic() + AHEAD_LASTS_S

    def take_ready(self) -> transfer.Offer | None:
        """What `make_ready` has agreed on, if it is fresh; `transfer.Offer.number` tells whether it still holds."""
        offer, self._ahead = self._ahead, None
        return offer if time.monotonic() < self._ahead_until else None

    # ── Content ──────────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        """See `port.RemoteSession.publish`."""
        return upload.publish(self, jobs)

    def fetch(
        self, path: str, into: BinaryIO, *, offset: int = 0, progress: Callable[[int], None] = lambda _: None
    ) -> int:
        """See `port.RemoteSession.fetch`."""
        return transfer.fetch(self, path, into, offset=offset, progress=progress)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
