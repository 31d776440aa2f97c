"""How answers look: one JSON object in ASCII on one line, errors included (docs/control-api.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


def refusal(status: int, error: str, remedy: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error: what is wrong, and what helps."""
    return answer({"error": error, "remedy": remedy}, status, headers)


def answer(content: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """One JSON object in ASCII, with the newline that a terminal wants."""
    return json_response(encoded(content), status, headers)


def encoded(content: dict[str, Any]) -> bytes:
    """The body of an answer."""
    return json.dumps(content, allow_nan=False).encode("ascii") + b"\n"


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer whose body is encoded already."""
    return Response(body, status, headers, media_type="application/json")
