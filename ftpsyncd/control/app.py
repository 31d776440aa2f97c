"""The control API as an ASGI application: HTTP in, calls of the daemon's port, JSON out (docs/control-api.md).

``server`` serves it. Every answer, errors included, is one JSON object in ASCII; bytes of paths that are not UTF-8
stand in it as the escaped surrogates of PEP 383, and may be given as those in a body or percent-encoded in a query.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ftpsyncd.control import shapes
from ftpsyncd.control.answers import answer, encoded, json_response, refusal
from ftpsyncd.control.metrics import CONTENT_TYPE, Metrics
from ftpsyncd.control.port import Daemon, still_asked
from ftpsyncd.control.requests import (
    DOCS,
    BadRequestError,
    absolute_path,
    body_of,
    fields_of,
    findings_of,
    history_query,
    measured_of,
    scope_of,
)
from ftpsyncd.control.sharing import Few, Sharing, in_time
from ftpsyncd.control.sse import SUBSCRIBERS_MAX, Broadcast, EventStream
from ftpsyncd.counting import duration
from ftpsyncd.errors import ControlError, ExitCode, FtpsyncdError, UnknownNameError, UsageError
from ftpsyncd.logs import logger, quote
from ftpsyncd.questions import CommandName

THREADS = 5
"""Calls of the daemon at the same time."""
_WAITING_MAX = THREADS - 1
"""Of these, those that may wait, for a disk or the engine: who asks for the status is answered whatever hangs."""
_WHY_MAX = 2
"""Of the server's threads; those who ask for paths on disks that do not answer keep only each other waiting."""
_HISTORY_MAX = 2
"""Likewise; the history is in the ledger's file, whose disk may not answer: a call that waits for it has no end."""
_RELOAD_MAX = 2
"""Likewise; a reload may take long, and the next one is enough for all who want one by then."""

_Answer = TypeVar("_Answer")
_Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(daemon: Daemon, broadcast: Broadcast, metrics: Metrics) -> Starlette:
    """The application that speaks for ``daemon``."""
    waiting = Few(_WAITING_MAX)
    reader = _Reader(daemon, broadcast, metrics, waiting)
    routes = [
        Route("/healthz", _guarded(reader.health), methods=["GET"]),
        Route("/metrics", _guarded(reader.metrics), methods=["GET"]),
        Route("/v1/status", _guarded(reader.status), methods=["GET"]),
        Route("/v1/mappings/{name}", _guarded(reader.mapping), methods=["GET"]),
        Route("/v1/why", _guarded(reader.why), methods=["GET"]),
        Route("/v1/history", _guarded(reader.history), methods=["GET"]),
        Route("/v1/events", _guarded(reader.events), methods=["GET"]),
    ]
    routes += [
        Route(f"/v1/{name}", _guarded(_Command(daemon, name, waiting)), methods=["POST"]) for name in CommandName
    ]
    routes.append(Route("/v1/repair", _guarded(_Repair(daemon, waiting)), methods=["POST"]))
    routes.append(Route("/v1/profile", _guarded(_Learn(daemon, waiting)), methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False  # a redirect is no JSON, and curl does not follow it
    return app


class _Reader:
    """The routes that only look."""

    def __init__(self, daemon: Daemon, broadcast: Broadcast, metrics: Metrics, waiting: Few) -> None:
        self._daemon = daemon
        self._broadcast = broadcast
        self._metrics = metrics
        self._sharing = Sharing()
        self._whys = Few(_WHY_MAX, waiting)
        self._histories = Few(_HISTORY_MAX, waiting)

    async def health(self, _request: Request) -> Response:
        """200 while the engine turns, 503 when it has not turned lately."""
        health = self._daemon.health()
        found = shapes.health_to_json(health)
        if health.healthy:
            return answer(found)
        error = f"The engine has not turned for {duration(health.engine_turn_age_s)}."
        if not health.engine_running:
            error = "The engine has ended."
        remedy = "Restart the daemon; its log may say why."
        return answer({**found, "error": error, "remedy": remedy}, 503)

    async def metrics(self, _request: Request) -> Response:
        return Response(await self._sharing.ask("metrics", self._metrics.exposition), media_type=CONTENT_TYPE)

    async def status(self, _request: Request) -> Response:
        return json_response(await self._sharing.ask("status in JSON", self._status_in_json))

    def _status_in_json(self) -> bytes:
        return encoded(shapes.status_to_json(self._daemon.status()))

    async def mapping(self, request: Request) -> Response:
        name = request.path_params["name"]
        status = await self._sharing.ask("status", self._daemon.status)
        found = shapes.mapping_to_json(status, name)
        if found is None:
            raise _unknown("mapping", name, (mapping.name for mapping in status.mappings))
        return answer(found)

    async def why(self, request: Request) -> Response:
        path = fields_of(request, ("path",)).get("path")
        if not path:
            raise BadRequestError(400, "The query needs one `path`, as in /v1/why?path=/srv/drop/a.jpg.")
        path = absolute_path(path)
        return answer(shapes.why_to_json(await in_time(self._whys.run(lambda: self._daemon.why(path)))))

    async def history(self, request: Request) -> Response:
        fields = fields_of(request, ("mapping", "kind", "since", "until", "path", "limit", "before"))
        query, path = history_query(fields), fields.get("path")
        if path is not None:
            path = absolute_path(path)

        def page() -> bytes:
            return encoded(shapes.history_to_json(self._daemon.history(query, path)))

        return json_response(await self._sharing.ask((query, path), page, self._histories.run))

    async def events(self, request: Request) -> Response:
        fields_of(request, ())
        if self._broadcast.full:
            raise BadRequestError(503, f"{SUBSCRIBERS_MAX} readers listen already.", remedy="Try again later.")
        return EventStream(self._broadcast, request.headers.get("last-event-id"))


class _Command:
    """A route that steers."""

    def __init__(self, daemon: Daemon, name: CommandName, waiting: Few) -> None:
        self._daemon = daemon
        self._name = name
        self._few = Few(_RELOAD_MAX, waiting) if name is CommandName.RELOAD else waiting

    async def __call__(self, request: Request) -> Response:
        scope = scope_of(await body_of(request))
        sentence = await _ask(lambda: self._perform(**scope), self._few.run)
        return answer({"message": sentence})

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


class _Repair:
    """Publishes again what ``ftpsyncd verify`` found not to be as it should be."""

    def __init__(self, daemon: Daemon, waiting: Few) -> None:
        self._daemon = daemon
        self._few = waiting

    async def __call__(self, request: Request) -> Response:
        mapping, files, directories = findings_of(await body_of(request))
        return answer({"message": await _ask(lambda: self._perform(mapping, files, directories), self._few.run)})

    def _perform(self, mapping: str, files: list[str], directories: list[str]) -> str:
        known = [each.name for each in self._daemon.status().mappings]
        if mapping not in known:
            raise _unknown("mapping", mapping, known)
        return self._daemon.repair(mapping, files, directories)


class _Learn:
    """Takes what ``ftpsyncd probe`` measured."""

    def __init__(self, daemon: Daemon, waiting: Few) -> None:
        self._daemon = daemon
        self._few = waiting

    async def __call__(self, request: Request) -> Response:
        account, learned = measured_of(await body_of(request))
        return answer({"message": await _ask(lambda: self._daemon.learn(account, learned), self._few.run)})


def _guarded(endpoint: _Endpoint) -> _Endpoint:
    """``endpoint`` with every failure made an answer; none reaches the server's own error page."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except FtpsyncdError as problem:
            status = _status_of(problem)
            # The rest of a body that is too large is not waited for.
            headers = {"Connection": "close"} if status == 413 else None
            return refusal(status, problem.message, problem.remedy, headers)
        except ClientDisconnect:
            return refusal(400, "The body ended early.", DOCS)  # nobody hears it
        except Exception:  # a mistake of ours: the daemon goes on, the log has the trace
            logger.bind(event="control").exception(f"{request.method} {quote(request.scope['path'])} failed")
            return refusal(500, "The daemon made a mistake; its log says which.", "Please report it.")

    return guarded


def _status_of(problem: FtpsyncdError) -> int:
    match problem:
        case BadRequestError():
            return problem.status
        case UnknownNameError():
            return 404
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
        return refusal(status, f"There is no {path}.", DOCS)
    if status == 405:
        allowed = (headers or {}).get("Allow", "")
        return refusal(status, f"{path} is not for {quote(request.method)}.", f"Use {allowed}.", headers)
    return refusal(status, f"{quote(request.method)} {path} cannot be served.", DOCS, headers)


async def _ask(call: Callable[[], _Answer], run: Callable[[Callable[[], _Answer]], Awaitable[_Answer]]) -> _Answer:
    """Calls the daemon in a thread, since it may wait for a lock or the disk, and not for ever, since it may hang.

    Nothing is done for somebody who has left: he has given up while the daemon was stopped, or all threads were busy.
    """
    is_there = still_asked()

    def called() -> _Answer:
        if not is_there():
            raise ControlError("Whoever asked has left; nothing was done.")
        return call()

    return await in_time(run(called))


def _unknown(kind: str, name: str, known: Iterable[str]) -> BadRequestError:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names) or 'none'}."
    return BadRequestError(404, f"There is no {kind} {quote(name)}.", remedy=remedy)
