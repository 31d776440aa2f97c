"""What comes in, checked: bodies, queries, paths. Everything that is wrong is a `BadRequestError` with its status."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from urllib.parse import parse_qs

from starlette.requests import Request

from ftpsyncd.control.moments import parse_moment
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.ledger.history import RECORDED
from ftpsyncd.logs import quote
from ftpsyncd.receipts import HistoryQuery

BODY_MAX = 64 * 1024
"""Bytes of a request's body."""
DOCS = "The routes are in docs/control-api.md."
PAGE_MAX = 1000
"""Receipts in one answer."""

_SCOPE = ("mapping", "server", "path")
_FINDINGS = ("mapping", "files", "directories")
_MEASURED = ("account", "learned")
_PAGE = 50


class BadRequestError(FtpsyncdError):
    """A request that cannot be served, with its HTTP status."""

    def __init__(self, status: int, message: str, *, remedy: str = DOCS) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


def fields_of(request: Request, known: Sequence[str]) -> dict[str, str]:
    """The fields of the query, each at most once; bytes that are not UTF-8 as surrogates."""
    query = request.scope["query_string"].decode("utf-8", "surrogateescape")
    try:
        fields = parse_qs(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=16)
    except ValueError as problem:
        raise BadRequestError(400, "The query has too many fields.") from problem
    for name, values in fields.items():
        if name not in known:
            allowed = f"it may have {', '.join(known)}" if known else "it takes none"
            raise BadRequestError(400, f"The query has {quote(name)}; {allowed}.")
        if len(values) > 1:
            raise BadRequestError(400, f"The query has {name} {len(values)} times.")
    return {name: values[0] for name, values in fields.items()}


def history_query(fields: dict[str, str]) -> HistoryQuery:
    """Which receipts the fields of a query ask for."""
    for name, value in fields.items():
        if not value:
            raise BadRequestError(400, f"`{name}` is empty.")
    kinds = tuple(fields["kind"].split(",")) if "kind" in fields else ()
    for kind in kinds:
        if kind not in RECORDED:
            names = ", ".join(sorted(RECORDED))
            raise BadRequestError(400, f"There is no kind {quote(kind)}.", remedy=f"There are: {names}.")
    limit = fields.get("limit", str(_PAGE))
    if not re.fullmatch(r"[0-9]{1,4}", limit, re.ASCII) or not 1 <= int(limit) <= PAGE_MAX:
        raise BadRequestError(400, f"`limit` must be a number from 1 to {PAGE_MAX}.")
    before = re.fullmatch(r"(-?[0-9]{1,19})\.([0-9]{1,19})", fields.get("before", "0.0"), re.ASCII)
    if before is None or max(abs(int(part)) for part in before.groups()) >= 1 << 63:
        raise BadRequestError(400, "`before` must be what `next` of an answer was.")
    now_ns = time.time_ns()
    return HistoryQuery(
        mapping=fields.get("mapping"),
        kinds=kinds,
        since_ns=parse_moment(fields["since"], "since", now_ns) if "since" in fields else None,
        until_ns=parse_moment(fields["until"], "until", now_ns) if "until" in fields else None,
        before=(int(before[1]), int(before[2])) if "before" in fields else None,
        limit=int(limit),
    )


async def body_of(request: Request) -> object:
    """The JSON body; an empty one is an empty object."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_MAX:
            raise BadRequestError(413, f"The body is larger than {BODY_MAX} bytes.")
    if not data.strip():
        return {}
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadRequestError(400, f"The body is no JSON: {problem}.") from problem


def scope_of(body: object) -> dict[str, str | None]:
    """What a command is about, checked: ``mapping``, ``server`` and ``path``, each a text or None."""
    if not isinstance(body, dict):
        raise BadRequestError(400, "The body must be a JSON object.")
    for key, value in body.items():
        if key not in _SCOPE:
            raise BadRequestError(400, f"The body has {quote(key)}; it may have {', '.join(_SCOPE)}.")
        if value is not None and (not isinstance(value, str) or not value):
            raise BadRequestError(400, f"`{key}` must be a text that is not empty.")
    scope: dict[str, str | None] = {key: body.get(key) for key in _SCOPE}
    if scope["path"] is not None:
        absolute_path(scope["path"])
    return scope


def findings_of(body: object) -> tuple[str, list[str], list[str]]:
    """What is to be published again, checked: a mapping, files and directories relative to its folder."""
    if not isinstance(body, dict):
        raise BadRequestError(400, "The body must be a JSON object.")
    for key in body:
        if key not in _FINDINGS:
            raise BadRequestError(400, f"The body has {quote(key)}; it may have {', '.join(_FINDINGS)}.")
    mapping = body.get("mapping")
    if not isinstance(mapping, str) or not mapping:
        raise BadRequestError(400, "`mapping` must be a text that is not empty.")
    return mapping, _paths(body, "files"), _paths(body, "directories")


def measured_of(body: object) -> tuple[str, dict[str, object]]:
    """What was measured of a server, checked as far as its shape goes: an account and a profile."""
    if not isinstance(body, dict):
        raise BadRequestError(400, "The body must be a JSON object.")
    for key in body:
        if key not in _MEASURED:
            raise BadRequestError(400, f"The body has {quote(key)}; it may have {', '.join(_MEASURED)}.")
    account, learned = body.get("account"), body.get("learned")
    if not isinstance(account, str) or not account:
        raise BadRequestError(400, "`account` must be a text that is not empty.")
    if not isinstance(learned, dict):
        raise BadRequestError(400, "`learned` must be a JSON object.")
    return account, learned


def _paths(body: dict[str, object], key: str) -> list[str]:
    paths = body.get(key, [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadRequestError(400, f"`{key}` must be a list of texts.")
    return [checked_path(path) for path in paths]


def absolute_path(path: str) -> str:
    """``path`` if it is one from the root: another one would be in whatever directory the daemon was started in."""
    if not checked_path(path).startswith("/"):
        raise BadRequestError(400, f"The path {quote(path)} is not absolute.")
    return path


def checked_path(path: str) -> str:
    """``path`` if it is one that can be on a disk."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError as problem:  # a surrogate that stands for no byte
        raise BadRequestError(400, f"The path {quote(path)} holds half a character.") from problem
    if "\0" in path:
        raise BadRequestError(400, f"The path {quote(path)} holds a NUL.")
    return path
