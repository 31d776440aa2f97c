"""The one client of the control API: blocking, standard library only, cheap to import.

Every reading and steering command uses it. Answers come as the JSON objects of docs/control-api.md; ``shapes`` makes
records of them.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ftpsyncd.control.meant import FIELD, Meant
from ftpsyncd.errors import CommandRefusedError, ControlError, DaemonNotRunningError, UnknownNameError, UsageError

_USAGE = {400, 405, 413}
_UNKNOWN = 404
_UNAVAILABLE = {421, 503}


class ControlClient:
    """Asks and steers the daemon behind a control socket; one connection per request.

    Args:
        socket_path: the daemon's ``control.socket``.
        timeout_s: how long to wait for the daemon's words.
        meant: whose daemon is to answer, and no other one.
        elsewhere: where the daemon may be if nobody listens there, as on a socket that a killed one left.

    Every method raises:
        DaemonNotRunningError: nobody answers on the socket, or not any more; what was told then may have been done.
        ControlError: the socket may not be used, the daemon is silent or another one, or its answer makes no sense.
        UsageError: the daemon knows nothing of what was named.
        CommandRefusedError: the daemon understood, but cannot do it.
    """

    def __init__(
        self,
        socket_path: str | Path,
        timeout_s: float = 30.0,
        *,
        meant: Meant | None = None,
        elsewhere: Callable[[], Path | None] | None = None,
    ) -> None:
        self._socket_path = os.fspath(socket_path)
        self._timeout_s = timeout_s
        self._fields = {} if meant is None else {FIELD: meant.text}
        self._elsewhere = elsewhere

    def status(self) -> dict[str, Any]:
        """Everything at this moment (``shapes.status_from_json``)."""
        return self._checked("GET", "/v1/status")

    def why(self, path: str) -> dict[str, Any]:
        """Why the absolute local ``path`` is, or is not, at the server (``shapes.why_from_json``)."""
        return self._checked("GET", f"/v1/why?path={quote(path, errors='surrogateescape')}")

    def history(
        self,
        *,
        mapping: str | None = None,
        kinds: Sequence[str] = (),
        since: str | None = None,
        until: str | None = None,
        path: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> dict[str, Any]:
        """A page of receipts, newest first (``shapes.history_from_json``)."""
        asked = {
            "mapping": mapping,
            "kind": ",".join(kinds) or None,
            "since": since,
            "until": until,
            "path": path,
            "limit": limit,
            "before": before,
        }
        query = urlencode({key: value for key, value in asked.items() if value is not None}, errors="surrogateescape")
        return self._checked("GET", f"/v1/history?{query}")

    def command(
        self, name: str, *, mapping: str | None = None, server: str | None = None, path: str | None = None
    ) -> str:
        """Tells the daemon to do ``name`` (a ``questions.CommandName``); returns the sentence that says what it did."""
        scope = {"mapping": mapping, "server": server, "path": path}
        asked = {key: value for key, value in scope.items() if value is not None}
        message = self._checked("POST", f"/v1/{name}", asked).get("message")
        return message if isinstance(message, str) else ""

    def repair(self, mapping: str, files: Sequence[str], directories: Sequence[str]) -> str:
        """Has the daemon publish again what the server does not have as it was published; 64 KiB of names at a time."""
        asked = {"mapping": mapping, "files": list(files), "directories": list(directories)}
        return str(self._checked("POST", "/v1/repair", asked).get("message", ""))

    def learn(self, account: str, learned: Mapping[str, Any]) -> str:
        """Has the daemon use what was measured of a server."""
        return str(self._checked("POST", "/v1/profile", {"account": account, "learned": learned}).get("message", ""))

    def _checked(self, method: str, target: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        status, answer = self._exchange(method, target, body)
        if status == http.client.OK:
            return answer
        message = str(answer.get("error") or f"The daemon answered {status} to {method} {target}.")
        remedy = str(answer["remedy"]) if answer.get("remedy") else None
        if status == _UNKNOWN:
            raise UnknownNameError(message, remedy=remedy)
        if status in _USAGE:
            raise UsageError(message, remedy=remedy)
        if status in _UNAVAILABLE:
            raise ControlError(message, remedy=remedy)
        raise CommandRefusedError(message, remedy=remedy)

    def _exchange(self, method: str, target: str, body: Mapping[str, object] | None) -> tuple[int, dict[str, Any]]:
        """One request and its answer: the HTTP status and the JSON object; an empty one if an error carries none."""
        connection = _UnixConnection(self._socket_path, self._timeout_s)
        try:
            payload = None if body is None else json.dumps(body).encode("ascii")
            kind = {"Content-Type": "application/json"} if payload else {}
            connection.request(method, target, payload, {**kind, **self._fields})
            response = connection.getresponse()
            data = response.read()
        except (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead) as problem:
            raise DaemonNotRunningError(f"The daemon on {self._socket_path} ended while it was asked.") from problem
        except OSError as problem:
            error = self._unreachable(problem)
            if not isinstance(error, DaemonNotRunningError) or not self._turns_elsewhere():
                raise error from problem
            return self._exchange(method, target, body)
        except http.client.HTTPException as problem:
            raise ControlError(f"What answers on {self._socket_path} is not ftpsyncd: {problem!r}.") from problem
        finally:
            connection.close()
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return response.status, answer
        if response.status == http.client.OK:
            raise ControlError(f"What answers on {self._socket_path} is not ftpsyncd: its answer is no JSON object.")
        return response.status, {}

    def _turns_elsewhere(self) -> bool:
        """Whether there is another place to ask at, once: who noted that one has the right configuration."""
        look, self._elsewhere = self._elsewhere, None
        place = None if look is None else look()
        if place is None:
            return False
        self._socket_path, self._fields = os.fspath(place), {}
        return True

    def _unreachable(self, problem: OSError) -> ControlError:
        path = self._socket_path
        if problem.errno in {errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED}:
            return DaemonNotRunningError(f"No daemon answers on {path}.")
        if isinstance(problem, PermissionError):
            remedy = "Use sudo, or join the group of the service: `usermod -aG ftpsyncd USER`, then log in again."
            return ControlError(f"You may not use the control socket {path}.", remedy=remedy)
        if isinstance(problem, TimeoutError):
            return ControlError(f"The daemon on {path} did not answer within {self._timeout_s:g} s.")
        return ControlError(f"The daemon on {path} cannot be asked: {problem.strerror or problem}.")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, socket_path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._socket_path = socket_path

    def connect(self) -> None:
        """Connects to the socket in place of a host."""
        # Set first, so that a failing connect leaves it to close().
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)
