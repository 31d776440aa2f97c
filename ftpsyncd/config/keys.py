"""What each key accepts, its default and its description: the only import of pydantic.

In: plain data of one section. Out: a validated model, or pydantic's list of what does not fit, which `loading` turns
into sentences; and the JSON Schema. Each kind of value has one parser, which says in words what it expects, and one
fragment of JSON Schema beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ftpsyncd.config import units, values
from ftpsyncd.config.password import NAME_PATTERNS, Reference
from ftpsyncd.config.password import parse as parse_password
from ftpsyncd.config.values import NAME_PATTERN, Format, Level, Symlinks, Target
from ftpsyncd.core.filters import GROUPS
from ftpsyncd.specs import DataMode, DeleteLimit, DeletePolicy, ExistingPolicy, PublishMode, TlsMode, WatchMode

_DAY_S = 86400.0
HISTORY_LONGEST_S = 3650 * _DAY_S


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """Tells pydantic to validate with ``parse`` alone, and to describe the value by ``schema``."""

    parse: Callable[[object], object]
    schema: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook for validation."""
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook for the JSON Schema."""
        return dict(self.schema)


# ── Kinds of values ──────────────────────────────────────────────────────────────────────────────────────────────


def _choice(words: type[StrEnum]) -> Parsed:
    return Parsed(values.word(words), {"type": "string", "enum": [str(each) for each in words]})


def _duration(shortest_s: float, longest_s: float) -> Parsed:
    schema = {
        "anyOf": [
            {"type": "string", "pattern": units.DURATION_PATTERN},
            {"type": "number", "minimum": shortest_s, "maximum": longest_s},
        ]
    }
    return Parsed(units.duration(shortest_s, longest_s), schema)


def _word(expected: str) -> Parsed:
    return Parsed(values.text(expected), {"type": "string", "minLength": 1})


_PASSWORD_SCHEMA = {
    "anyOf": [
        {"type": ["string", "number", "boolean"], "minLength": 1},
        *(
            {
                "type": "object",
                "properties": {kind: {"type": "string", "pattern": pattern}},
                "required": [kind],
                "additionalProperties": False,
            }
            for kind, pattern in NAME_PATTERNS.items()
        ),
    ]
}

Port = Annotated[int, Parsed(values.whole(1, 65535), {"type": "integer", "minimum": 1, "maximum": 65535})]
Listen = Annotated[tuple[str, int], Parsed(values.listen, {"type": "string", "pattern": values.LISTEN_PATTERN})]
Flag = Annotated[bool, Parsed(values.flag, {"type": "boolean"})]
FilePath = Annotated[str, _word("a path")]
Word = Annotated[str, _word("a word of a command")]
Pattern = Annotated[str, Parsed(values.pattern, {"type": "string", "minLength": 1})]


def _key(description: str, default: Any = ..., *, examples: list[Any] | None = None, required: bool = False) -> Any:
    """A key with its default as it would stand in the file, so that the JSON Schema shows it like that."""
    if required:
        return Field(description=description, examples=examples)
    return Field(default=default, validate_default=default is not None, description=description, examples=examples)


# ── Sections ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Section(BaseModel):
    """A mapping with known keys only."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerKeys(Section):
    """One FTP account: where it is, how to log in, and its limits."""

    host: Annotated[str, Parsed(values.host, {"type": "string", "minLength": 1})] = _key(
        "Host name or IP address.", required=True, examples=["ftp.example.com"]
    )
    user: Annotated[
        str, Parsed(values.text("a user name"), {"type": ["string", "number", "boolean"], "minLength": 1})
    ] = _key("User name; `anonymous` for a server without accounts.", required=True, examples=["publisher"])
    port: Port | None = _key("Control port. Default: 21, or 990 with `tls: implicit`.", None, examples=[21, 2121])
    password: Annotated[Reference, Parsed(parse_password, _PASSWORD_SCHEMA)] | None = _key(
        "Where the password is: an environment variable, a file, a systemd credential; or the password itself.",
        None,
        examples=[{"env": "WEB_PASSWORD"}, {"file": "/etc/ftpsyncd/web.password"}, {"credential": "web"}],
    )
    tls: Annotated[TlsMode, _choice(TlsMode)] = _key(
        "explicit: AUTH TLS on the usual port; implicit: TLS from the first byte; off: clear text.", "explicit"
    )
    tls_verify: Flag = _key("Refuse a certificate that does not verify or has another name.", default=True)
    tls_ca: FilePath | None = _key("A file of PEM certificates to trust beside the system's.", None)
    client_cert: FilePath | None = _key("A PEM certificate to present to the server; needs `client_key`.", None)
    client_key: FilePath | None = _key("The PEM key of `client_cert`.", None)
    tls_max: Annotated[str, Parsed(values.tls_version, {"enum": ["1.2", "1.3", 1.2, 1.3]})] = _key(
        "The highest TLS version to offer; 1.2 for servers whose session resumption is broken.", "1.3"
    )
    mode: Annotated[DataMode, _choice(DataMode)] = _key(
        "Who opens data connections: we (passive) or the server (active).", "passive"
    )
    connections: Annotated[int, Parsed(values.whole(1, 64), {"type": "integer", "minimum": 1, "maximum": 64})] = _key(
        "The most connections at a time; a lower limit of the server is learned.", 4
    )
    bandwidth: (
        Annotated[
            int,
            Parsed(
                units.rate,
                {"anyOf": [{"type": "string", "pattern": units.RATE_PATTERN}, {"type": "number", "minimum": 1000}]},
            ),
        ]
        | None
    ) = _key("The most bytes per second to send to this server. Default: unlimited.", None, examples=["10 MB/s"])
    timeout: Annotated[float, _duration(1, 3600)] = _key("How long to wait for a reply.", "30s")
    encoding: Annotated[str, Parsed(values.encoding, {"type": "string", "minLength": 1})] = _key(
        "The encoding of file names at the server.", "utf-8", examples=["utf-8", "latin-1"]
    )


class MappingKeys(Section):
    """One local folder published to one directory of one server."""

    local: FilePath | None = _key(
        "The folder to publish. Its parent must exist; the folder itself may come later.", None, examples=["/srv/drop"]
    )
    remote: Annotated[Target, Parsed(values.target, {"type": "string", "pattern": r"^[^\s:/][^\s:/]*:/"})] | None = (
        _key("Where to: SERVER:/PATH.", None, examples=["web:/htdocs/gallery"])
    )
    include: Annotated[tuple[Pattern, ...], Field(min_length=1)] = _key(
        f"What is published: groups ({', '.join(GROUPS)}), gitignore patterns; `*` is everything.",
        ["@media"],
        examples=[["@image", "reports/**/*.pdf"], ["*"]],
    )
    exclude: tuple[Pattern, ...] = _key(
        "What is not; added to the built-in list of temporary and system names, `!name` takes one back.",
        [],
        examples=[["drafts/", "!keep.tmp"]],
    )
    settle: Annotated[float, _duration(0, _DAY_S)] = _key(
        "How long a file must stay unchanged before it is published.", "2s"
    )
    deletes: Annotated[DeletePolicy, _choice(DeletePolicy)] = _key(
        "What a local delete does at the server: mirror deletes, trash moves away, keep does nothing.", "mirror"
    )
    delete_after: Annotated[float, _duration(0, 30 * _DAY_S)] = _key(
        "How long a file must be gone before it is deleted at the server.", "10s"
    )
    max_deletes: Annotated[
        DeleteLimit,
        Parsed(
            units.delete_limit,
            {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": units.PERCENT_PATTERN}]},
        ),
    ] = _key(
        "More deletes than this at once are held until a person approves: a number, or a share of what is published.",
        50,
        examples=[50, "30%"],
    )
    existing: Annotated[ExistingPolicy, _choice(ExistingPolicy)] = _key(
        "A file at the server that was never published from here: adopt records it if size and date agree and "
        "overwrites it otherwise; overwrite; keep leaves it.",
        "adopt",
    )
    publish: Annotated[PublishMode, _choice(PublishMode)] = _key(
        "atomic: under a temporary name, then renamed; direct: under the final name.", "atomic"
    )
    watch: Annotated[WatchMode, _choice(WatchMode)] = _key(
        "How changes are noticed: native (inotify), poll, or auto (poll on network file systems).", "auto"
    )
    poll_every: Annotated[float, _duration(0.1, _DAY_S)] = _key("How often to look when polling.", "15s")
    rescan: Annotated[float, _duration(1, 7 * _DAY_S)] = _key(
        "How often to compare everything, whatever was noticed in between.", "15m"
    )
    symlinks: Annotated[Symlinks, _choice(Symlinks)] = _key(
        "Symbolic links: skip, or follow those that stay inside the folder.", "skip"
    )
    empty_dirs: Flag = _key("Also make directories that hold nothing to publish.", default=False)


class ControlKeys(Section):
    """Where a running daemon listens for commands."""

    socket: FilePath | None = _key(
        "Unix socket. Default: control.sock in $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/ftpsyncd, else state_dir.",
        None,
    )
    http: Listen | None = _key(
        "HOST:PORT of a TCP listener on this machine's loopback, for monitoring. Default: none.",
        None,
        examples=["127.0.0.1:8021"],
    )


class AlertKeys(Section):
    """Whom to tell when something needs a person, and how long it may last before."""

    command: Annotated[tuple[Word, ...], Field(min_length=1)] | None = _key(
        "A program and its arguments; it gets the message as JSON on its standard input.",
        None,
        examples=[["/usr/local/bin/tell-the-desk", "--urgent"]],
    )
    webhook: Annotated[Reference, Parsed(parse_password, _PASSWORD_SCHEMA)] | None = _key(
        "Where the address is that the message is posted to, like a password: whoever knows it can post there.",
        None,
        examples=[{"env": "ALERT_URL"}, {"file": "/etc/ftpsyncd/alert-url"}],
    )
    server_offline: Annotated[float, _duration(0, 30 * _DAY_S)] = _key("How long a server may be away.", "5m")
    oldest_pending: Annotated[float, _duration(0, 30 * _DAY_S)] = _key("How long a file may wait.", "1h")
    source_missing: Annotated[float, _duration(0, 30 * _DAY_S)] = _key("How long a folder may be missing.", "1m")
    paused: Annotated[float, _duration(0, 30 * _DAY_S)] = _key("How long a mapping may be paused.", "1h")
    remind: Annotated[float, _duration(0, 30 * _DAY_S)] = _key("How often to tell again; 0: never.", "1d")


class LogKeys(Section):
    """What is logged, and how."""

    level: Annotated[Level, _choice(Level)] = _key("From which severity on.", "info")
    format: Annotated[Format, _choice(Format)] = _key("text for people, json for machines.", "text")


class TopKeys(Section):
    """The configuration of ftpsyncd."""

    servers: dict[Annotated[str, Field(pattern=NAME_PATTERN)], ServerKeys] = Field(
        min_length=1, description="FTP accounts by name."
    )
    mappings: dict[Annotated[str, Field(pattern=NAME_PATTERN)], MappingKeys] = Field(
        min_length=1, description="Folders to publish, by name."
    )
    defaults: MappingKeys | None = Field(
        default=None, description="Values for every mapping that does not set the key itself (lists are not joined)."
    )
    state_dir: FilePath | None = _key(
        "Where the ledger lives. Default: $STATE_DIRECTORY, else $XDG_STATE_HOME/ftpsyncd, else "
        "~/.local/state/ftpsyncd.",
        None,
    )
    history: Annotated[float, _duration(0, HISTORY_LONGEST_S)] = _key(
        "How long receipts of what was published, renamed, deleted or failed are kept; 0: none are written.", "30d"
    )
    control: ControlKeys | None = Field(default=None, description=ControlKeys.__doc__)
    log: LogKeys | None = Field(default=None, description=LogKeys.__doc__)
    alerts: AlertKeys | None = Field(default=None, description=AlertKeys.__doc__)


def schema() -> dict[str, Any]:
    """The JSON Schema of the file (draft 2020-12)."""
    out = TopKeys.model_json_schema()
    out = _tidy(out, nullable=frozenset({"defaults", "control", "log", "alerts"}))
    # `local` and `remote` may come from `defaults`; without it there, every mapping needs them.
    out["allOf"] = [
        {
            "if": {"properties": {"defaults": {"type": "object", "required": [key]}}, "required": ["defaults"]},
            "else": {"properties": {"mappings": {"additionalProperties": {"required": [key]}}}},
        }
        for key in ("local", "remote")
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **out}


def _tidy(node: Any, nullable: frozenset[str]) -> Any:
    """Drop what pydantic adds for Python's sake: titles of keys, and null where the file accepts no null."""
    if isinstance(node, list):
        return [_tidy(item, nullable) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: _tidy(value, nullable) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    for key, value in out.get("properties", {}).items():
        options = value.get("anyOf", []) if isinstance(value, dict) else []
        if key not in nullable and {"type": "null"} in options:
            rest = [option for option in options if option != {"type": "null"}]
            del value["anyOf"]
            value.pop("default", None)
            value.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
    return out
