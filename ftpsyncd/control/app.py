"""The control API as an ASGI application: HTTP in, calls of the daemon's port, JSON out (docs/control-api.md).

``server`` serves it. Every answer, errors included, is one JSON object in ASCII; bytes of paths that are not UTF-8
stand in it as the escaped surrogates of PEP 383, and may be given as those in a body or percent-encoded in a query.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs

from loguru import logger
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ftpsyncd.control import shapes
from ftpsyncd.control.port import Daemon
from ftpsyncd.errors import ControlError, ExitCode, FtpsyncdError, UsageError
from ftpsyncd.logs import quote
from ftpsyncd.model import CommandName

BODY_MAX = 64 * 1024
"""Bytes of a request's body."""

_ANSWER_S = 20.0
"""How long the daemon may take; less than the client waits, so that people read our words."""

_SCOPE = ("mapping", "server", "path")
_DOCS = "The routes are in docs/control-api.md."

_Answer = TypeVar("_Answer")
_Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(daemon: Daemon) -> Starlette:
    """The application that speaks for ``daemon``."""
    reader = _Reader(daemon)
    routes = [
        Route("/healthz", _guarded(reader.health), methods=["GET"]),
        Route("/v1/status", _guarded(reader.status), methods=["GET"]),
        Route("/v1/mappings/{name}", _guarded(reader.mapping), methods=["GET"]),
        Route("/v1/why", _guarded(reader.why), methods=["GET"]),
    ]
    routes += [Route(f"/v1/{name}", _guarded(_Command(daemon, name)), methods=["POST"]) for name in CommandName]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False  # a redirect is no JSON, and curl does not follow it
    return app


class _BadRequestError(FtpsyncdError):
    """A request that cannot be served, with its HTTP status."""

    def __init__(self, status: int, message: str, *, remedy: str = _DOCS) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class _Reader:
    """The routes that only look."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def health(self, _request: Request) -> Response:
        """200 while the engine turns, 503 when it has not turned lately."""
        if self._daemon.alive():
            return _json({"healthy": True})
        error, remedy = "The engine has not turned lately.", "Restart the daemon: `systemctl restart ftpsyncd`."
        return _json({"healthy": False, "error": error, "remedy": remedy}, 503)

    async def status(self, _request: Request) -> Response:
        return _json(shapes.status_to_json(await _ask(self._daemon.status)))

    async def mapping(self, request: Request) -> Response:
        name = request.path_params["name"]
        status = await _ask(self._daemon.status)
        found = shapes.mapping_to_json(status, name)
        if found is None:
            raise _unknown("mapping", name, (mapping.name for mapping in status.mappings))
        return _json(found)

    async def why(self, request: Request) -> Response:
        query = request.scope["query_string"].decode("utf-8", "surrogateescape")
        try:
            fields = parse_qs(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=16)
        except ValueError as problem:
            raise _BadRequestError(400, "The query has too many fields.") from problem
        match fields.get("path", []):
            case [path] if path:
                path = _path(path)
            case _:
                raise _BadRequestError(400, "The query needs one `path`, as in /v1/why?path=/srv/drop/a.jpg.")
        return _json(shapes.why_to_json(await _ask(lambda: self._daemon.why(path))))


class _Command:
    """A route that steers."""

    def __init__(self, daemon: Daemon, name: CommandName) -> None:
        self._daemon = daemon
        self._name = name

    async def __call__(self, request: Request) -> Response:
        scope = _scope(await _body(request))
        sentence = await _ask(lambda: self._perform(**scope))
        return _json({"message": sentence})

    def _perform(self, *, mapping: str | None, server: str | None, path: str | None) -> str:
        # Checked here once for all commands, so that every one of them names the names that exist.
        if mapping is not None or server is not None:
            status = self._daemon.status()
            mappings = [known.name for known in status.mappings]
            if mapping is not None and mapping not in mappings:
                raise _unknown("mapping", mapping, mappings)
            servers = [known.name for known in status.servers]
            if server is not None and server not in servers:
                raise _unknown("server", server, servers)
        return self._daemon.command(self._name, mapping=mapping, server=server, path=path)


def _guarded(endpoint: _Endpoint) -> _Endpoint:
    """``endpoint`` with every failure made an answer; none reaches the server's own error page."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except FtpsyncdError as problem:
            status = _status_of(problem)
            # The rest of a body that is too large is not waited for.
            headers = {"Connection": "close"} if status == 413 else None
            return _problem(status, problem.message, problem.remedy, headers)
        except Exception:  # a mistake of ours: the daemon goes on, the log has the trace
            logger.bind(event="control").exception(f"{request.method} {quote(request.scope['path'])} failed")
            return _problem(500, "The daemon made a mistake; its log says which.", "Please report it.")

    return guarded


def _status_of(problem: FtpsyncdError) -> int:
    match problem:
        case _BadRequestError():
            return problem.status
        case UsageError():
            return 400
        case _ if problem.exit_code == ExitCode.TEMPFAIL:
            return 503
        case _:
            return 409


async def _refused(request: Request, problem: Exception) -> Response:
    """Starlette's own refusals: no such route, no such method."""
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    headers = problem.headers if isinstance(problem, HTTPException) else None
    path = quote(request.scope["path"])
    if status == 404:
        return _problem(status, f"There is no {path}.", _DOCS)
    if status == 405:
        allowed = (headers or {}).get("Allow", "")
        return _problem(status, f"{path} is not for {quote(request.method)}.", f"Use {allowed}.", headers)
    return _problem(status, f"{quote(request.method)} {path} cannot be served.", _DOCS, headers)


async def _ask(call: Callable[[], _Answer]) -> _Answer:
    """Calls the daemon in a thread, since it may wait for a lock or the disk, and not for ever, since it may hang."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(call), _ANSWER_S)
    except TimeoutError as problem:
        raise ControlError(f"The daemon's engine did not answer within {_ANSWER_S:g} s.") from problem


async def _body(request: Request) -> object:
    """The JSON body; an empty one is an empty object."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_MAX:
            raise _BadRequestError(413, f"The body is larger than {BODY_MAX} bytes.")
    if not data.strip():
        return {}
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise _BadRequestError(400, f"The body is no JSON: {problem}.") from problem


def _scope(body: object) -> dict[str, str | None]:
    """What a command is about, checked: ``mapping``, ``server`` and ``path``, each a text or None."""
    if not isinstance(body, dict):
        raise _BadRequestError(400, "The body must be a JSON object.")
    for key, value in body.items():
        if key not in _SCOPE:
            raise _BadRequestError(400, f"The body has {quote(key)}; it may have {', '.join(_SCOPE)}.")
        if value is not None and (not isinstance(value, str) or not value):
            raise _BadRequestError(400, f"`{key}` must be a text that is not empty.")
    scope: dict[str, str | None] = {key: body.get(key) for key in _SCOPE}
    if scope["path"] is not None:
        _path(scope["path"])
    return scope


def _path(path: str) -> str:
    """``path`` if it is one that can be on a disk."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError as problem:  # a surrogate that stands for no byte
        raise _BadRequestError(400, f"The path {quote(path)} holds half a character.") from problem
    if "\0" in path:
        raise _BadRequestError(400, f"The path {quote(path)} holds a NUL.")
    return path


def _unknown(kind: str, name: str, known: Iterable[str]) -> _BadRequestError:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names) or 'none'}."
    return _BadRequestError(404, f"There is no {kind} {quote(name)}.", remedy=remedy)


def _problem(status: int, error: str, remedy: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json({"error": error, "remedy": remedy}, status, headers)


def _json(content: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """One JSON object in ASCII, with the newline that a terminal wants."""
    data = json.dumps(content, allow_nan=False).encode("ascii") + b"\n"
    return Response(data, status, headers, media_type="application/json")
