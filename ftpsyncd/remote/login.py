"""How a session begins: greeting, protection, login, and what is agreed on.

`account` begins sessions with it.

Sources: RFC 959 §5.4, RFC 2228 and 4217 (TLS), RFC 2389 (FEAT), RFC 2640 (UTF-8).
"""

from __future__ import annotations

import codecs
import contextlib
import re
from typing import TYPE_CHECKING

from ftpsyncd.errors import (
    LoginRefusedError,
    NameNotSendableError,
    ProtocolError,
    RemoteError,
    ServerUnavailableError,
    TlsError,
)
from ftpsyncd.expression import Expression
from ftpsyncd.remote import agreeing, described, facts
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.saying import BEGIN_TLS
from ftpsyncd.remote.tls import TlsContext
from ftpsyncd.specs import TlsMode

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

_PORTS = frozenset({227, 229})
"""Answers to PASV and EPSV."""
_MAIL = Expression(r"\bE?SMTP\b")
_SSH = ": 'SSH-"
"""As what is no reply is told; RFC 4253 §4.2."""
_WANTS_TLS = Expression(r"\b(?:encryption|TLS|SSL|secure|cleartext|clear text)\b", re.IGNORECASE)


def begin(session: Session) -> None:
    """Greet, protect, log in, agree on binary and the encoding of names."""
    try:
        _begin(session)
    except RemoteError as error:
        remedy = _remedy(session, error)
        if remedy:
            error.remedy = remedy
        raise


def _remedy(session: Session, error: RemoteError) -> str:
    """What helps where `tls` does not fit the server, or it is none; empty where it is something else."""
    tls, protected = session.account.spec.tls, session.control.context is not None
    if _MAIL.search(session.greeting):
        return "Correct `host` or `port`: what answers there greets as a mail server (SMTP)."
    if isinstance(error, ProtocolError) and not session.greeting and _SSH in error.message:
        return "Correct `host` or `port`: what answers there is SSH; its SFTP is another protocol than FTP and FTPS."
    if tls is TlsMode.OFF and _WANTS_TLS.search(error.reply):
        return "Set `tls: explicit` for this server: it takes no login in clear text."
    if isinstance(error, LoginRefusedError) and not session.told_password and error.reply[:3] in {"500", "502"}:
        return "Check host and port: what answers there does not know USER, which all FTP servers do."
    if protected and isinstance(error, TlsError) and error.reply:
        return "The server does not encrypt data, so that files would travel in clear text: ask whoever runs it."
    said_no = tls is TlsMode.EXPLICIT and not protected and session.greeting
    if said_no and isinstance(error, ServerUnavailableError) and re.match("4(?!21)", error.reply):
        return (
            "If it lasts, ask whoever runs the server: it knows TLS, and lacks something for it, such as its"
            " certificate. Neither password nor files are sent without. A running daemon tries again by itself."
        )
    if said_no and isinstance(error, TlsError) and error.reply:
        return (
            "If this server has no TLS, only `tls: off` is left, which sends password and files in clear text: ask"
            " whoever runs it."
        )
    if tls is not TlsMode.IMPLICIT and not session.greeting and isinstance(error.__cause__, TimeoutError):
        return (
            "Check host and port, and `tls`: where TLS is expected from the first byte (as a rule on port 990), set"
            " `tls: implicit`. A running daemon tries again by itself."
        )
    return ""


def _begin(session: Session) -> None:
    account, spec = session.account, session.account.spec
    context, refusals, admissions = account.context, account.refusals, account.admissions
    if spec.tls is TlsMode.IMPLICIT and context is not None:
        _protect(session, context)
    (greeting,) = session.finals(1)
    if not greeting.good:
        raise session.error(greeting, "")
    session.greeted(greeting.text)
    if spec.tls is TlsMode.EXPLICIT and context is not None:
        # The user's name is a secret, too: refused TLS ends here (RFC 4217 §4.2, no silent downgrade).
        # 334 wants something more in RFC 2228, and nothing with TLS; VxWorks says 200.
        session.expect("AUTH", BEGIN_TLS, 234, 334, 200)
        _protect(session, context)
    account.greeted()
    reply = session.exchange([_secret("USER", spec.user)])[0]
    if reply.code != 331:
        _judge(session, reply)
        _agree(session)
        return
    together = session.pipelines and session.reads_in_turn
    with account.entrance(refusals, admissions):
        password = described.secret(spec.password)
        login = _secret("PASS", password)
        session.control.hide(login.removeprefix(b"PASS "))
        session.told_password = True
        if together:
            _agree(session, login)
        else:
            _judge(session, session.exchange([login])[0])
    if not together:
        _agree(session)


def _protect(session: Session, context: TlsContext) -> None:
    session.control.secure(context)
    if session.control.wanted_group:
        # The handshake that followed has proved that the server has said this.
        session.profile.tls_group = session.control.wanted_group


def _agree(session: Session, *login: bytes) -> None:
    """Agree on protection, features, binary, UTF-8 and the first data connection; with ``login`` in one go."""
    account, profile = session.account, session.profile
    in_batches = session.pipelines  # another session may find out meanwhile that there must be none
    protect = [b"PBSZ 0", b"PROT P"] if session.control.context is not None else []
    # Where another session has just asked, the answer is known: at some servers it is more packets than TCP sends
    # at once on a new line.
    known = account.met_lately(session.greeting)
    ask = [] if known else [b"FEAT"]
    is_ahead = account.ahead and session.agrees_ahead and session.joins and in_batches
    ahead = [agreeing.prepare(session)[0]] if is_ahead else []
    number = session.offers
    # At first something follows it, which shows whether other commands are answered while nobody uses what it names.
    first, last = (ahead, []) if profile.meanwhile is None else ([], ahead)
    # proftpd would take names in another encoding for UTF-8 from then on.
    names = [b"OPTS UTF8 ON"] if codecs.lookup(account.spec.encoding).name == "utf-8" else []
    commands = [*login, *protect, *ask, *first, b"TYPE I", *names, *last]
    with contextlib.closing(session.answers(commands)) as coming:
        for _ in login:
            _judge(session, next(coming))
        answers = list(coming)
    agreed = answers.pop() if last else None
    utf8 = bool(names) and answers.pop().good
    *protected, binary = answers
    agreed = protected.pop() if first else agreed
    features = None if known else protected.pop()
    # No server is without these two: then the answers may have come in another order (aioftp).
    session.batching = in_batches and not all(_is_plain(reply) for reply in (binary, *protected[-1:]))
    if protected and not protected[-1].good:
        # Without PROT P the data would travel in clear text.
        raise session.error(protected[-1], "PROT")
    if not _is_plain(binary):
        error = session.error(binary, "TYPE")
        if isinstance(error, LoginRefusedError):
            # The password was taken: it is the server that is out of order, and nobody else's login is refused.
            error = ServerUnavailableError(error.message, reply=error.reply, remedy=error.remedy)
        raise error
    if features is not None:
        profile.met(session.greeting, facts.parse_feat(features))
        account.met(session.greeting)
    profile.utf8 = "UTF8" in profile.features or utf8
    # A refusal says nothing yet: it is asked for again when there is a file, and then in all ways.
    if agreed is not None and agreed.code in _PORTS and session.offers == number:
        session.keep_ready(agreeing.agree(session, agreed, None, joined=True))


def _is_plain(reply: Reply) -> bool:
    """Whether it is a yes, and not that to another command."""
    return reply.good and reply.code not in _PORTS


def _judge(session: Session, reply: Reply) -> None:
    if not reply.good:
        # 332 wants an account, which no server of today has: a person must look.
        raise session.error(reply._replace(code=530) if reply.more else reply, "PASS", session.account.spec.user)


def _secret(verb: str, word: str) -> bytes:
    if any(c in word for c in "\r\n\0"):
        raise NameNotSendableError(f"The argument of {verb} holds a line break or NUL.", remedy="Correct it.")
    try:
        return f"{verb} {word}".encode(errors="surrogateescape")
    except UnicodeEncodeError:  # which holds the word
        raise NameNotSendableError(f"The argument of {verb} is no text in UTF-8.", remedy="Correct it.") from None
