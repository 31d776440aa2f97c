"""What each key accepts, its default and its description.

In: nothing. Out: the sections of the file, for `loading`; and the JSON Schema. Each kind of value has one parser, which
says in words what it expects, and one fragment of JSON Schema beside it.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from ftpsyncd.config import units, values
from ftpsyncd.config.password import NAME_PATTERNS
from ftpsyncd.config.password import parse as parse_password
from ftpsyncd.config.section import (
    Below,
    Keys,
    Kind,
    Section,
    named_subsections,
    optional,
    preset,
    required,
    subsection,
)
from ftpsyncd.config.values import Format, Level, Symlinks
from ftpsyncd.core.filters import GROUPS
from ftpsyncd.specs import DataMode, DeletePolicy, ExistingPolicy, PublishMode, TlsMode, WatchMode

_DAY_S = 86400.0

_Words = TypeVar("_Words", bound=StrEnum)
_Entry = TypeVar("_Entry")


# ── Kinds of values ──────────────────────────────────────────────────────────────────────────────────────────────


def _choice(words: type[_Words]) -> Kind[_Words]:
    return Kind(values.word(words), {"enum": [str(each) for each in words], "type": "string"})


def _duration(shortest_s: float, longest_s: float) -> Kind[float]:
    schema = {
        "anyOf": [
            {"pattern": units.DURATION_PATTERN, "type": "string"},
            {"maximum": longest_s, "minimum": shortest_s, "type": "number"},
        ]
    }
    return Kind(units.duration(shortest_s, longest_s), schema)


def _whole(lowest: int, highest: int) -> Kind[int]:
    return Kind(values.whole(lowest, highest), {"maximum": highest, "minimum": lowest, "type": "integer"})


def _text(expected: str) -> Kind[str]:
    return Kind(values.text(expected), {"minLength": 1, "type": "string"})


def _listing(
    entry: Kind[_Entry], *, least: int = 0, example: str = '["@image", "*.pdf"]', everything: str = '"*" is everything'
) -> Kind[tuple[_Entry, ...]]:
    schema = {"items": entry.schema, **({"minItems": least} if least else {}), "type": "array"}
    return Kind(values.listing(entry.parse, least=least, example=example, everything=everything), schema)


_FLAG = Kind(values.flag, {"type": "boolean"})
_PATH = _text("a path")
_PATTERN = Kind(values.pattern, {"minLength": 1, "type": "string"})
_SECRET = Kind(
    parse_password,
    {
        "anyOf": [
            {"minLength": 1, "type": ["string", "number", "boolean"]},
            *(
                {
                    "additionalProperties": False,
                    "properties": {kind: {"pattern": pattern, "type": "string"}},
                    "required": [kind],
                    "type": "object",
                }
                for kind, pattern in NAME_PATTERNS.items()
            ),
        ]
    },
)
_ADDRESS = _SECRET._replace(parse=partial(parse_password, what="address"))


# ── Sections ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ServerKeys(Section):
    """One FTP account: where it is, how to log in, and its limits."""

    __slots__ = ()

    host = required(
        Kind(values.host, {"minLength": 1, "type": "string"}), "Host name or IP address.", examples=["ftp.example.com"]
    )
    user = required(
        Kind(values.text("a user name"), {"minLength": 1, "type": ["string", "number", "boolean"]}),
        "User name; `anonymous` for a server without accounts.",
        examples=["publisher"],
    )
    port = optional(_whole(1, 65535), "Control port. Default: 21, or 990 with `tls: implicit`.", examples=[21, 2121])
    password = optional(
        _SECRET,
        "Where the password is: an environment variable, a file, a systemd credential; or the password itself.",
        examples=[{"env": "WEB_PASSWORD"}, {"file": "/etc/ftpsyncd/web-password"}, {"credential": "web-password"}],
    )
    tls = preset(
        _choice(TlsMode),
        "explicit",
        "explicit: AUTH TLS on the usual port; implicit: TLS from the first byte; off: clear text.",
    )
    tls_verify = preset(
        _FLAG, default=True, description="Refuse a certificate that does not verify or has another name."
    )
    tls_ca = optional(_PATH, "A file of PEM certificates to trust beside the system's.")
    client_cert = optional(_PATH, "A PEM certificate to present to the server; needs `client_key`.")
    client_key = optional(_PATH, "The PEM key of `client_cert`.")
    tls_max = preset(
        Kind(values.tls_version, {"enum": ["1.2", "1.3", 1.2, 1.3]}),
        "1.3",
        "The highest TLS version to offer; 1.2 for servers whose session resumption is broken.",
    )
    mode = preset(_choice(DataMode), "passive", "Who opens data connections: we (passive) or the server (active).")
    connections = preset(_whole(1, 64), 4, "The most connections at a time; a lower limit of the server is learned.")
    bandwidth = optional(
        Kind(
            units.rate,
            {"anyOf": [{"pattern": units.RATE_PATTERN, "type": "string"}, {"minimum": 1000, "type": "number"}]},
        ),
        "The most bytes per second to send to this server or fetch from it. Default: unlimited.",
        examples=["10 MB/s"],
    )
    timeout = preset(_duration(1, 3600), "30s", "How long to wait for a reply.")
    encoding = preset(
        Kind(values.encoding, {"minLength": 1, "type": "string"}),
        "utf-8",
        "The encoding of file names at the server.",
        examples=["utf-8", "latin-1"],
    )


class MappingKeys(Section):
    """One local folder published to one directory of one server."""

    __slots__ = ()

    local = optional(
        _PATH,
        "The folder to publish. While it is not there, it is waited for.",
        examples=["/srv/drop"],
    )
    remote = optional(
        Kind(values.target, {"pattern": r"^[^\s:/][^\s:/]*:/", "type": "string"}),
        "Where to: SERVER:/PATH.",
        examples=["web:/htdocs/gallery"],
    )
    include = preset(
        _listing(_PATTERN, least=1),
        ["@media"],
        f"What is published: groups ({', '.join(GROUPS)}), gitignore patterns; `*` is everything.",
        examples=[["@image", "reports/**/*.pdf"], ["*"]],
    )
    exclude = preset(
        _listing(_PATTERN),
        [],
        "What is not; added to the built-in list of temporary and system names, `!name` takes one back.",
        examples=[["drafts/", "!keep.tmp"]],
    )
    settle = preset(_duration(0, _DAY_S), "2s", "How long a file must stay unchanged before it is published.")
    deletes = preset(
        _choice(DeletePolicy),
        "mirror",
        "What a local delete does at the server: mirror deletes, trash moves away, keep does nothing.",
    )
    delete_after = preset(
        _duration(0, 30 * _DAY_S), "10s", "How long a file must be gone before it is deleted at the server."
    )
    max_deletes = preset(
        Kind(
            units.delete_limit,
            {"anyOf": [{"minimum": 0, "type": "integer"}, {"pattern": units.PERCENT_PATTERN, "type": "string"}]},
        ),
        50,
        "More deletes than this at once are held until a person approves: a number, or a share of what is published.",
        examples=[50, "30%"],
    )
    existing = preset(
        _choice(ExistingPolicy),
        "adopt",
        "A file at the server that was never published from here: adopt records it if size and date agree and "
        "overwrites it otherwise; overwrite; keep leaves it.",
    )
    publish = preset(
        _choice(PublishMode),
        "atomic",
        "atomic: under a temporary name, then renamed; direct: under the final name.",
    )
    watch = preset(
        _choice(WatchMode),
        "auto",
        "How changes are noticed: native (inotify), poll, or auto (poll on network file systems).",
    )
    poll_every = preset(_duration(0.1, _DAY_S), "15s", "How often to look when polling.")
    rescan = preset(
        _duration(1, 7 * _DAY_S), "15m", "How often to compare everything, whatever was noticed in between."
    )
    symlinks = preset(_choice(Symlinks), "skip", "Symbolic links: skip, or follow those that stay inside the folder.")
    empty_dirs = preset(_FLAG, default=False, description="Also make directories that hold nothing to publish.")


class ControlKeys(Section):
    """Where a running daemon listens for commands."""

    __slots__ = ()

    socket = optional(
        _PATH,
        "Unix socket. Default: control.sock in $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/ftpsyncd (in either, where "
        "state_dir is set: control-<8 hex>.sock, of each state_dir another one), else state_dir.",
    )
    http = optional(
        Kind(values.listen, {"pattern": values.LISTEN_PATTERN, "type": "string"}),
        "HOST:PORT of a TCP listener on this machine's loopback, for monitoring. Default: none.",
        examples=["127.0.0.1:8021"],
    )


class AlertKeys(Section):
    """Whom to tell when something needs a person, and how long it may last before."""

    __slots__ = ()

    command = optional(
        _listing(_text("a word of a command"), least=1, example='["/usr/local/bin/tell"]', everything=""),
        "A program and its arguments; it gets the message as JSON on its standard input.",
        examples=[["/usr/local/bin/tell-the-desk", "--urgent"]],
    )
    webhook = optional(
        _ADDRESS,
        "Where the address is that the message is posted to, like a password: whoever knows it can post there.",
        examples=[{"env": "ALERT_URL"}, {"file": "/etc/ftpsyncd/alert-url"}],
    )
    server_offline = preset(_duration(0, 30 * _DAY_S), "5m", "How long a server may be away.")
    oldest_pending = preset(
        _duration(0, 30 * _DAY_S), "1h", "How long a file may wait, and a folder be closed to the daemon."
    )
    source_missing = preset(
        _duration(0, 30 * _DAY_S), "1m", "How long a folder may be missing, or its disk give no answer."
    )
    paused = preset(_duration(0, 30 * _DAY_S), "1h", "How long a mapping may be paused.")
    remind = preset(_duration(0, 30 * _DAY_S), "1d", "How often to tell again; 0: never.")


class LogKeys(Section):
    """What is logged, and how."""

    __slots__ = ()

    level = preset(_choice(Level), "info", "From which severity on.")
    format = preset(_choice(Format), "text", "text for people, json for machines.")


class TopKeys(Keys):
    """The configuration of ftpsyncd."""

    __slots__ = ()

    servers = named_subsections(ServerKeys, "FTP accounts by name.")
    mappings = named_subsections(MappingKeys, "Folders to publish, by name.")
    defaults = subsection(
        MappingKeys, "Values for every mapping that does not set the key itself (lists are not joined)."
    )
    state_dir = optional(
        _PATH,
        "Where the ledger lives. Default: $STATE_DIRECTORY, else $XDG_STATE_HOME/ftpsyncd, else "
        "~/.local/state/ftpsyncd.",
    )
    history = preset(
        _duration(0, 3650 * _DAY_S),
        "30d",
        "How long receipts of what was published, renamed, deleted or failed are kept; 0: none are written.",
    )
    control = subsection(ControlKeys)
    log = subsection(LogKeys)
    alerts = subsection(AlertKeys)


def schema() -> dict[str, Any]:
    """The JSON Schema of the file (draft 2020-12)."""
    below = {entry.section.__name__: entry.section for entry in TopKeys.known.values() if isinstance(entry, Below)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {name: below[name].schema() for name in sorted(below)},
        **TopKeys.schema(),
        # `local` and `remote` may come from `defaults`; without it there, every mapping needs them.
        "allOf": [
            {
                "if": {"properties": {"defaults": {"type": "object", "required": [key]}}, "required": ["defaults"]},
                "else": {"properties": {"mappings": {"additionalProperties": {"required": [key]}}}},
            }
            for key in ("local", "remote")
        ],
    }
