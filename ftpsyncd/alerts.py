"""Telling people: a thread that looks at the status, and one that runs a command or calls a webhook.

In: the status that anybody may read. Out: messages, JSON as in docs/alerts.md. Nothing here can delay the engine: the
status is only read, and what cannot be delivered waits in a short queue whose oldest message makes room for the newest.
When is told is decided by `core.alarms`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from ftpsyncd import __version__
from ftpsyncd.core.alarms import OVER, Alarms, Notice, Step, conditions
from ftpsyncd.errors import ConfigError
from ftpsyncd.logs import logger
from ftpsyncd.specs import AlertSpec
from ftpsyncd.status import Status

LOOK_EVERY_S = 2.0
COMMAND_S = 30.0
WEBHOOK_S = 10.0
TRIES = 4
FIRST_PAUSE_S = 2.0
"""Doubled after each try."""
WAITING = 50
"""Messages that may wait to be delivered."""
_REPLY_MAX = 2000


class Alerter:
    """Watches a status and tells people.

    Args:
        spec: whom to tell, and when.
        status: reads the latest status.
        look_every_s: seconds between two looks.
        first_pause_s: seconds before the second try of a delivery.
    """

    def __init__(
        self,
        spec: AlertSpec,
        status: Callable[[], Status],
        *,
        look_every_s: float = LOOK_EVERY_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._spec = spec
        self._status = status
        self._look_every_s = look_every_s
        self._first_pause_s = first_pause_s
        self._alarms = Alarms(spec.limits)
        self._ended = threading.Event()
        self._ready = threading.Condition()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=WAITING)
        self._running: subprocess.Popen[bytes] | None = None
        self._threads = [
            threading.Thread(target=self._watch, name="ftpsyncd-alerts", daemon=True),
            threading.Thread(target=self._deliver_all, name="ftpsyncd-alerts-delivery", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; a command that runs is ended, what waits is dropped."""
        self._ended.set()
        with self._ready:
            self._ready.notify_all()
            if self._running is not None:
                self._running.kill()
        for thread in self._threads:
            thread.join(WEBHOOK_S)

    def _watch(self) -> None:
        while not self._ended.wait(self._look_every_s):
            notices = self._alarms.judge(conditions(self._status(), self._spec.limits), time.monotonic())
            for notice in notices:
                logger.bind(event="alert", kind=notice.kind.value, subject=notice.subject).warning(
                    "alert {}: {}", notice.step.value, notice.message
                )
                with self._ready:
                    self._waiting.append(body(notice))
                    self._ready.notify()

    def _deliver_all(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._ended.is_set())
                if self._ended.is_set():
                    return
                message = self._waiting.popleft()
            for deliver in (self._run_command, self._call_webhook):
                self._try(deliver, message)

    def _try(self, deliver: Callable[[Mapping[str, Any]], str], message: Mapping[str, Any]) -> None:
        """Deliver, again after a pause if that fails; what still fails is in the log, as the alert itself is."""
        pause_s = self._first_pause_s
        for attempt in range(1, TRIES + 1):
            problem = deliver(message)
            if not problem or self._ended.is_set():
                return
            last = attempt == TRIES
            logger.bind(event="alert_delivery").log(
                "ERROR" if last else "WARNING", "an alert could not be delivered (try {}): {}", attempt, problem
            )
            if last or self._ended.wait(pause_s):
                return
            pause_s *= 2

    def _run_command(self, message: Mapping[str, Any]) -> str:
        """Run the command with the message on its standard input; what went wrong, or nothing."""
        if not self._spec.command:
            return ""
        environ = {**os.environ, **{f"FTPSYNCD_ALERT_{key.upper()}": str(value) for key, value in message.items()}}
        try:
            with self._ready:
                if self._ended.is_set():
                    return ""
                self._running = process = subprocess.Popen(  # noqa: S603 - the configuration's own command, without a shell
                    self._spec.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environ,
                    start_new_session=True,
                )
            said, _ = process.communicate(json.dumps(message).encode("ascii") + b"\n", COMMAND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return f"the command did not end within {COMMAND_S:g} s"
        except OSError as error:
            return f"the command cannot be run: {error.strerror}"
        finally:
            with self._ready:
                self._running = None
        if process.returncode:
            words = " ".join(said[:_REPLY_MAX].decode("utf-8", "replace").split())
            return f"the command ended with {process.returncode}: {words}"
        return ""

    def _call_webhook(self, message: Mapping[str, Any]) -> str:
        """POST the message; what went wrong, or nothing. The address is a secret and is not told."""
        if self._spec.webhook is None:
            return ""
        try:
            url = self._spec.webhook()
            if urlsplit(url).scheme not in {"http", "https"}:
                return "the webhook's address does not begin with https://"
            request = urllib.request.Request(  # noqa: S310 - checked above
                url,
                json.dumps(message).encode("ascii"),
                {"Content-Type": "application/json", "User-Agent": f"ftpsyncd/{__version__}"},
            )
            with _OPENER.open(request, timeout=WEBHOOK_S) as response:
                response.read(_REPLY_MAX)
        except ConfigError as error:
            return error.message
        except urllib.error.HTTPError as error:
            error.close()
            return f"the webhook answered {error.code}"
        except urllib.error.URLError as error:
            return f"the webhook cannot be reached: {getattr(error.reason, 'strerror', None) or error.reason}"
        except (OSError, ValueError) as error:
            return f"the webhook cannot be reached: {type(error).__name__}"
        return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that points elsewhere is misconfigured: its message is for nobody else."""

    def redirect_request(self, *_args: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def body(notice: Notice) -> dict[str, Any]:
    """The message as it is delivered (docs/alerts.md)."""
    since = datetime.now(UTC) - timedelta(seconds=notice.lasted_s)
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
