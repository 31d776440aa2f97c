"""Telling people: a thread that looks at the status, one that runs a command, and one that calls a webhook.

In: the status that anybody may read. Out: messages, JSON as in docs/alerts.md. Nothing here can delay the engine: the
status is only read. When is told is decided by `core.alarms`; how long a delivery is tried, by `courier`.
"""

from __future__ import annotations

import codecs
import http.client
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from ftpsyncd import __version__
from ftpsyncd.core.alarms import OVER, Alarms, Notice, Step, conditions
from ftpsyncd.courier import FIRST_PAUSE_S, Courier
from ftpsyncd.errors import ConfigError
from ftpsyncd.logs import logger, one_line, quote
from ftpsyncd.remote import tls
from ftpsyncd.specs import AlertSpec
from ftpsyncd.status import Status
from ftpsyncd.threads import begin
from ftpsyncd.typed import Typed

LOOK_EVERY_S = 2.0
COMMAND_S = 30.0
WEBHOOK_S = 10.0
_REPLY_MAX = 2000
_READ_BYTES = 65536
_LOOK_S = 0.1
"""How often a delivery that runs is asked whether it is done."""
_KILLED_S = 1.0
_FIRST_LINE = 256
"""Bytes that the kernel reads of a script (execve(2))."""
_FILES = 1024
"""How many files a command may have open, as in a shell: select(2) takes no more."""
_OF_THE_SERVICE = frozenset(
    {
        "CREDENTIALS_DIRECTORY",
        "JOURNAL_STREAM",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)
"""Variables by which systemd hands something to the service's own process (systemd.exec(5))."""


class Alerter:
    """Watches a status and tells people.

    Args:
        spec: whom to tell, and when.
        status: reads the latest status.
        unheard: is told why a message could not be delivered, and with nothing that one was again.
        typed: how the commands that messages name are typed for this service.
        look_every_s: seconds between two looks.
        first_pause_s: seconds before the second try of a delivery.
    """

    def __init__(
        self,
        spec: AlertSpec,
        status: Callable[[], Status],
        unheard: Callable[[str], None] = lambda _trouble: None,
        *,
        typed: Typed = Typed(),  # noqa: B008 - immutable
        look_every_s: float = LOOK_EVERY_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._spec = spec
        self._status = status
        self._unheard = unheard
        self._typed = typed
        self._look_every_s = look_every_s
        self._alarms = Alarms(spec.limits)
        self._due: deque[Notice] = deque()
        """What is to be told, and was not handed over yet."""
        self._fails = False
        """The last look has failed."""
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self._call: threading.Thread | None = None
        """Calls the webhook; one that was given up may still hang."""
        # One that fails, or hangs, does not keep the other one waiting.
        self._couriers = [
            Courier(deliver, self._ended, self._tell_trouble, first_pause_s=first_pause_s)
            for deliver, wanted in ((self._run_command, spec.command), (self._call_webhook, spec.webhook))
            if wanted
        ]
        self._thread = threading.Thread(target=self._watch, name="ftpsyncd-alerts", daemon=True)

    def start(self) -> None:
        """Begin."""
        for courier in self._couriers:
            courier.start()
        begin(self._thread)

    def adopt(self, spec: AlertSpec) -> bool:
        """Go on by other limits, if it is the same people who are told, and know what they have been told."""
        if spec != self._spec._replace(limits=spec.limits, secret_variables=spec.secret_variables):
            return False
        self._spec = spec
        return True

    def stop(self) -> None:
        """End; a command that runs is ended, what waits is dropped."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(WEBHOOK_S)
        for courier in self._couriers:
            courier.join(WEBHOOK_S)

    def _watch(self) -> None:
        while not self._ended.wait(self._look_every_s):
            try:
                self._look()
            except Exception as error:  # no memory, or a mistake of ours: nobody would be told of anything any more
                if not self._fails:
                    logger.bind(event="alert").opt(exception=error).error("it cannot be seen whether to alert anybody")
                self._fails = True
                # Whatever was wrong with it, the others have their turn before.
                self._due.rotate(-1)
            else:
                self._fails = False

    def _look(self) -> None:
        """See whether anybody is to be told of anything, and have it delivered."""
        limits = self._alarms.limits = self._spec.limits
        self._due.extend(self._alarms.judge(conditions(self._status(), limits), time.monotonic()))
        while self._due:
            notice = self._typed.record(self._due[0])
            message = body(notice)
            logger.bind(event="alert", kind=notice.kind.value, subject=notice.subject).warning(
                "alert {}: {}", notice.step.value, notice.message
            )
            for courier in self._couriers:
                courier.take(message)
            self._due.popleft()

    def _tell_trouble(self) -> None:
        """What a courier could not deliver, or could again."""
        with self._telling:
            self._unheard("; ".join(courier.trouble for courier in self._couriers if courier.trouble))

    def _run_command(self, message: Mapping[str, Any]) -> str:
        """Run the command with the message on its standard input; what went wrong, or nothing."""
        _reap()
        try:
            # In memory: whoever does not read it does not keep us waiting.
            with os.fdopen(os.memfd_create("alert"), "w+b") as words:
                words.write(json.dumps(message).encode("ascii") + b"\n")
                words.seek(0)
                process = subprocess.Popen(  # noqa: S603 - the configuration's own command, without a shell
                    self._spec.command,
                    stdin=words,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment(os.environ, self._spec.secret_variables, message),
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            helps = unfit_program(self._spec.command[0]) if isinstance(error, OSError) else None
            return f"the command cannot be run: {why}" + (f". {' '.join(helps)}" if helps else "")
        with suppress(OSError):  # it may be over, or not be ours any more
            soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (min(soft, _FILES), hard))
        said = self._await(process)
        if said is None:
            return f"the command did not end within {COMMAND_S:g} s"
        if process.returncode:
            complaint = " ".join(said.decode("utf-8", "replace").split())
            return f"the command ended with {process.returncode}" + (f": {complaint}" if complaint else "")
        return ""

    def _await(self, process: subprocess.Popen[bytes]) -> bytes | None:
        """The beginning of what a command says until it ends; None if that takes too long, and it was killed.

        What it leaves behind may keep its output open: its own end counts.
        """
        said, deadline = b"", time.monotonic() + COMMAND_S
        with cast("BinaryIO", process.stdout) as output:
            # Not `select`: a daemon may have descriptors whose numbers it does not take.
            readable, ended = select.poll(), False
            readable.register(output, select.POLLIN)
            while not ended:
                if time.monotonic() > deadline or self._ended.is_set():
                    # Nobody has waited for it yet, so its number is still that of its group.
                    with suppress(PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_KILLED_S)
                    return None
                ready = readable.poll(_LOOK_S * 1000)
                ended = process.poll() is not None
                if ended:
                    # What it said before its end is in the pipe by now, and may not have been when that was looked at.
                    ready = readable.poll(0)
                if ready:
                    more = os.read(output.fileno(), _READ_BYTES)
                    said = (said + more)[:_REPLY_MAX]
                    if not more:
                        readable.unregister(output)
        return said

    def _call_webhook(self, message: Mapping[str, Any]) -> str:
        """POST the message; what went wrong, or nothing. The address is a secret and is not told.

        The limits of sockets begin anew with every byte: one for the whole needs a thread that can be given up.
        """
        if self._spec.webhook is None:
            return ""
        if self._call is not None and self._call.is_alive():
            return "the last call of the webhook has not ended"
        said: list[str] = []
        webhook = self._spec.webhook
        name = "ftpsyncd-alerts-webhook"
        self._call = threading.Thread(target=lambda: said.append(_post(webhook, message)), name=name, daemon=True)
        try:
            self._call.start()
        except RuntimeError:
            # That no thread can begin is one of the things to be told: without one, each word may take so long.
            return _post(webhook, message)
        deadline = time.monotonic() + WEBHOOK_S
        while self._call.is_alive() and time.monotonic() < deadline and not self._ended.is_set():
            self._call.join(_LOOK_S)
        return said[0] if said else f"the webhook did not answer within {WEBHOOK_S:g} s"


def environment(
    inherited: Mapping[str, str], secret_variables: Collection[str], message: Mapping[str, Any]
) -> dict[str, str]:
    """The environment of a command: what it would write into a mail or a log of its own is to be fit for that.

    Args:
        inherited: that of the daemon.
        secret_variables: what of it holds secrets.
        message: whose fields are added.
    """
    hidden = {*_OF_THE_SERVICE, *secret_variables}
    fields = {f"FTPSYNCD_ALERT_{key.upper()}": one_line(str(value)) for key, value in message.items()}
    return {name: value for name, value in inherited.items() if name not in hidden} | fields


def unfit_program(name: str) -> tuple[str, str] | None:
    """Why a program cannot be run, and what helps; None if it looks right."""
    path = shutil.which(name)
    if path is None and os.sep in name and _is_on_noexec(name):
        return f"{quote(name)} is on a disk that is mounted with `noexec`.", "Put it on another one (/usr/local/bin)."
    if path is None:
        remedy = "Correct the first word of `alerts.command`, or make the file executable."
        return f"There is no program {quote(name)} that can be run.", remedy
    first: bytes | None = None
    with suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - a name, as it is run
        first = file.readline(_FIRST_LINE)
    if first is None or first.startswith(b"\x7fELF"):
        return None
    words = first[2:].split()
    if first.startswith(codecs.BOM_UTF8):
        # As editors for Windows write it; nobody sees it there.
        return f"{quote(name)} begins with a byte order mark, with which it cannot be run.", "Save it without one."
    if not first.startswith(b"#!") or not words:
        return f"{quote(name)} is no program.", "Begin a script with the line `#!/bin/sh`, or whatever runs it."
    if first.endswith(b"\r\n"):
        return f"{quote(name)} has line ends of Windows, with which it cannot be run.", "Save it with those of Unix."
    interpreter = os.fsdecode(words[0])
    if not os.path.exists(interpreter):  # noqa: PTH110 - Path.exists raises: one is closed
        return f"{quote(interpreter)}, which is to run {quote(name)}, is not there.", "Correct its first line."
    return None


def _is_on_noexec(path: str) -> bool:
    """Whether a program could be run if its disk was mounted otherwise (mount(8)); false where nobody can tell."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a name, as it is run
        return stat.S_ISREG(mode) and bool(mode & 0o111) and bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    except (OSError, ValueError):
        return False


def unfit(url: str) -> str:
    """Why nothing can be posted to an address, in words that do not hold it; empty if it looks right."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in {"http", "https"}:
        return "does not begin with https://"
    if parts.username is not None:
        return "has a user in it, who would not be told: have `alerts.command` call it"
    if " " in url or not f"{parts.path}{parts.query}".isascii():
        return "holds a character that has to be percent-encoded"
    return "" if host else "names no host"


def _reap() -> None:
    """As the first process of a container: take note of the end of what earlier commands have left behind (wait(2)).

    Nobody else would, and each would keep its number. The daemon has no other children, and none of its own now.
    """
    with suppress(ChildProcessError):
        while os.getpid() == 1 and os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _post(webhook: Callable[[], str], message: Mapping[str, Any]) -> str:
    try:
        url = webhook()
        if problem := unfit(url):
            return f"the webhook's address {problem}"
        request = urllib.request.Request(  # noqa: S310 - checked above
            url,
            json.dumps(message).encode("ascii"),
            {"Content-Type": "application/json", "User-Agent": f"ftpsyncd/{__version__}"},
        )
        with _OPENER.open(request, timeout=WEBHOOK_S):
            return ""
    except ConfigError as error:
        return error.message
    except urllib.error.HTTPError as error:
        error.close()
        return f"the webhook answered {error.code}"
    except urllib.error.URLError as error:
        reason = str(getattr(error.reason, "strerror", None) or error.reason)
        # OpenSSL quotes the name for which a certificate is not valid: as it was written, or as the DNS has it.
        hidden = rf"'[^']*'|{re.escape(urlsplit(url).hostname or url)}"
        return f"the webhook cannot be reached: {re.sub(hidden, '…', reason, flags=re.IGNORECASE)}"
    except Exception as error:  # whatever it is: its words may hold the address
        return f"the webhook cannot be called: {type(error).__name__}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that points elsewhere is misconfigured: its message is for nobody else."""

    def redirect_request(self, *_args: Any) -> None:
        return None


class _Verifying(urllib.request.HTTPSHandler):
    """Verifies by the anchors of the system as they are then.

    From Python 3.12 on, its base reads them when it is made: a quarter of a second of every `check`, and once for all.
    """

    def __init__(self) -> None:
        urllib.request.AbstractHTTPHandler.__init__(self)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(http.client.HTTPSConnection, req, context=tls.verifying())


_OPENER = urllib.request.build_opener(_NoRedirect, _Verifying)


def body(notice: Notice) -> dict[str, Any]:
    """The message as it is delivered (docs/alerts.md)."""
    since = datetime.now(UTC) - timedelta(seconds=notice.lasted_s + notice.over_s)
    # The step says that it is over.
    message = notice.message.removeprefix(OVER) if notice.step is Step.RECOVERED else notice.message
    words = f"{message.rstrip('.')}. {notice.remedy}".strip()
    host = socket.gethostname()
    return {
        "step": notice.step.value,
        "kind": notice.kind.value,
        "subject": notice.subject,
        "message": notice.message,
        "remedy": notice.remedy,
        "since": since.isoformat(timespec="seconds"),
        "lasted_s": notice.lasted_s,
        "host": host,
        "version": __version__,
        # What chat services show.
        "text": f"[ftpsyncd on {host}] {notice.step.value}: {words}",
    }
