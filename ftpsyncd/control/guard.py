"""Who may ask over TCP: the loopback port is open to every user and every browser of the machine.

So a request must name this machine as its Host (or a web page could come here by a DNS name of its own), must not come
from a web page of elsewhere (Origin, Sec-Fetch-Site), and needs the token unless what it asks tells no names of files:
`OPEN` is what monitoring needs. Requests over the Unix socket pass: its permissions have decided already.
"""

from __future__ import annotations

import secrets

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ftpsyncd.control.answers import refusal
from ftpsyncd.control.meant import FIELD, Meant
from ftpsyncd.logs import quote

OPEN = frozenset({"/metrics", "/healthz"})
"""Answered over TCP without the token."""

_DOCS = "docs/control-api.md says how to ask over TCP."


class Guard:
    """An ASGI application in front of another one.

    Args:
        app: who answers.
        host: the address of the TCP listener.
        port: its port.
        token: what a request has to know.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str) -> None:
        self._app = app
        self._token = token.encode()
        names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
        self._hosts = {f"{name}:{port}" for name in names} | (names if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        refused = None if _over_unix_socket(scope) else self._refusal(scope)
        await (refused or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        fields: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            fields.setdefault(name.lower(), []).append(value.decode("latin-1").strip())
        hosts = fields.get(b"host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            shown = ", ".join(map(quote, hosts)) or "none"
            return refusal(403, f"The Host of the request ({shown}) is not this daemon.", _DOCS)
        for origin in fields.get(b"origin", []):
            if origin.lower() not in {f"http://{name}" for name in self._hosts}:
                return refusal(403, f"Requests from web pages ({quote(origin)}) are refused.", _DOCS)
        if not set(fields.get(b"sec-fetch-site", [])) <= {"same-origin", "none"}:
            return refusal(403, "Requests from web pages of elsewhere are refused.", _DOCS)
        if scope["path"] in OPEN and scope["method"] in {"GET", "HEAD"}:
            return None
        return self._without_token(fields.get(b"authorization", []))

    def _without_token(self, given: list[str]) -> Response | None:
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        # latin-1 as it was decoded; compared in constant time, so that it cannot be guessed letter by letter.
        known = secrets.compare_digest(token.strip().encode("latin-1"), self._token)
        if scheme.lower() == "bearer" and known:
            return None
        error = "The token is wrong." if given else "This needs the token."
        remedy = "Send `Authorization: Bearer TOKEN` with what is in control.token in the state directory."
        return refusal(401, error, remedy, {"WWW-Authenticate": "Bearer"})


class Porter:
    """An ASGI application in front of another one: sends away who means another daemon (`meant`).

    Args:
        app: who answers.
        daemon: who we are.
    """

    def __init__(self, app: ASGIApp, daemon: Meant) -> None:
        self._app = app
        self._daemon = daemon
        self._field = FIELD.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        fields = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name.lower() == self._field]
        app = self._app if all(map(self._daemon.may_be, fields)) else self._elsewhere()
        await app(scope, receive, send)

    def _elsewhere(self) -> Response:
        config, state_dir = quote(self._daemon.config), quote(self._daemon.state_dir)
        error = (
            f"The daemon that answers there has another configuration, {config}, and another `state_dir`, {state_dir}."
        )
        return refusal(421, error, "Give each configuration its own `control.socket`; or name that one with `-c`.")


def _over_unix_socket(scope: Scope) -> bool:
    """The server's side of the connection is a path without a port; what is not known counts as TCP."""
    server = scope.get("server")
    return server is not None and server[1] is None
