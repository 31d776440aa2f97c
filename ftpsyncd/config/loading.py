"""From a file to a :class:`ftpsyncd.config.Config`: read, validate section by section, check the whole, convert.

In: a path and the environment. Out: a Config, or one ConfigError with every problem. Called by
:func:`ftpsyncd.config.load`.

A key that does not fit is complained about and left out, so that one mistake does not hide the next one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from ftpsyncd.config import password, rules
from ftpsyncd.config.document import Document, Loc, key_path, read
from ftpsyncd.config.keys import AlertKeys, ControlKeys, LogKeys, MappingKeys, ServerKeys, TopKeys
from ftpsyncd.config.places import Places
from ftpsyncd.config.records import KEEP_HISTORY_S, Config, ControlSpec, LogSpec
from ftpsyncd.config.section import Key, Section
from ftpsyncd.config.unfit import Unfit, UnfitEntries, closest
from ftpsyncd.config.values import NAME_EXPECTED, NAME_PATTERN, Symlinks
from ftpsyncd.errors import ConfigError
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import AlertLimits, AlertSpec, MappingSpec, ServerSpec, TlsMode

_Section = TypeVar("_Section", bound=Section)
_Value = TypeVar("_Value")

_HOMES: Mapping[str, type[Section]] = MappingProxyType(
    {
        "a server": ServerKeys,
        "a mapping": MappingKeys,
        "`control:`": ControlKeys,
        "`log:`": LogKeys,
        "`alerts:`": AlertKeys,
    }
)

_LONGEST_SHOWN = 60
_NEEDED = ("local", "remote")
"""Keys that a mapping must have, or `defaults`."""


def load(path: Path, *, environ: Mapping[str, str], document: Document | None = None) -> Config:
    """See :func:`ftpsyncd.config.load`."""
    if document is None:
        document = read(Path(os.path.abspath(path)))  # noqa: PTH100  # Path.absolute keeps `..`, resolve follows links
    top = _top(document)
    places = Places(document, environ)
    defaults = _entries(document, top, "defaults")
    _fit(document, MappingKeys, ("defaults",), defaults)
    servers = {
        name: None if entry is None else _server(document, places, environ, name, entry)
        for name, entry in _named(document, top, "servers").items()
    }
    mappings = {
        name: _mapping(document, places, name, {**defaults, **entry}, own=entry)
        for name, entry in _named(document, top, "mappings").items()
        if entry is not None
    }
    state_dir = places.state_dir(top.get("state_dir"))
    history_s = _history(document, top)
    control = _control(document, places, _entries(document, top, "control"), state_dir)
    log = _fit(document, LogKeys, ("log",), _entries(document, top, "log")) or LogKeys({})
    passwords = [server.password for server in servers.values() if server is not None]
    alerts = _alerts(document, places, environ, _entries(document, top, "alerts"), passwords)
    if "alerts" in top and not top["alerts"]:
        document.warn(("alerts",), "it is empty, so that nobody is told; `command` or `webhook` says whom to tell")
    rules.check(document, servers, mappings, state_dir, control, alerts)
    if document.problems:
        raise ConfigError(*(document.line(problem) for problem in sorted(document.problems)))
    return Config(
        path=document.path,
        servers=MappingProxyType({name: server for name, server in servers.items() if server}),
        mappings=MappingProxyType({name: mapping for name, mapping in mappings.items() if mapping}),
        state_dir=state_dir,
        control=control,
        history_s=history_s,
        log=LogSpec(str(log.level), str(log.format)),
        alerts=alerts,
        names_state_dir=document.has(("state_dir",)),
        warnings=tuple(document.line(problem) for problem in sorted(document.warnings)),
        places=MappingProxyType(_places(document, servers)),
    )


# ── Sections ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _top(document: Document) -> dict[str, object]:
    """The top-level keys that exist; complains about those that do not."""
    data = document.data if isinstance(document.data, dict) else {}
    for key in data:
        if key not in TopKeys.known:
            _complain_unknown(document, (key,), list(TopKeys.known))
    return {key: value for key, value in data.items() if key in TopKeys.known}


def _entries(document: Document, data: Mapping[str, object], key: str) -> dict[str, object]:
    """The keys of an optional section."""
    value = data.get(key)
    if isinstance(value, dict):
        return value
    if value is not None:
        document.complain((key,), f"found {_shape(value)}; expected keys below `{key}:`")
    return {}


def _named(document: Document, top: Mapping[str, object], section: str) -> dict[str, dict[str, object] | None]:
    """The entries of ``servers`` or ``mappings`` by name; None for one that is no mapping."""
    value = top.get(section)
    one = section.removesuffix("s")
    if not isinstance(value, dict) or not value:
        where: Loc = (section,)
        found = "no such key" if section not in top else _shape(value)
        document.complain(where, f"found {found}; expected at least one {one} with a name, below `{section}:`")
        return {}
    out: dict[str, dict[str, object] | None] = {}
    for name, entry in value.items():
        if not re.fullmatch(NAME_PATTERN, name):
            document.complain((section, name), f"found an unsuitable name; expected {NAME_EXPECTED}", at_key=True)
        if isinstance(entry, dict):
            out[name] = entry
        elif entry is None:
            out[name] = {}
        else:
            out[name] = None
            document.complain((section, name), f"found {_shape(entry)}; expected the keys of a {one}")
    return out


def _fit(
    document: Document,
    section: type[_Section],
    loc: Loc,
    entry: Mapping[str, object],
    origin: Callable[[str], Loc] | None = None,
) -> _Section | None:
    """Complain about every key of one section that does not fit.

    Args:
        document: takes the complaints.
        section: what it accepts.
        loc: of the section.
        entry: its keys.
        origin: where the section of a key is, if not at ``loc``.

    Returns:
        What is right in it; None if a required key is not.
    """
    given: dict[str, object] = {}
    for name, value in entry.items():
        where = (*(origin(name) if origin else loc), name)
        if (key := section.known.get(name)) is None:
            _complain_unknown(document, where, list(section.known))
        elif (parsed := _parsed(document, key, where, value)) is not None:
            given[name] = parsed
    needed = [name for name, key in section.known.items() if key.required]
    for name in needed:
        if name not in entry:
            _complain_missing(document, (*loc, name))
    return section(given) if given.keys() >= set(needed) else None


def _parsed(document: Document, key: Key[_Value], loc: Loc, value: object) -> _Value | None:
    """What a value means; None if it does not fit, which is complained about."""
    if value is None:
        hint = "; one that begins with # or & needs quotes" if loc[-1] == "password" else ""
        left_out = "" if key.required or key.name in _NEEDED else ", or the key left out for its default"
        document.complain(loc, f"found nothing; expected a value{left_out}{hint}")
        return None
    try:
        return key.parse(value)
    except Unfit as unfit:
        _complain(document, loc, value, unfit)
        return None


def _complain(document: Document, loc: Loc, value: object, unfit: Unfit) -> None:
    """Say what stands there and what was expected; text is shown, unless the parser has words of its own for it."""
    if isinstance(unfit, UnfitEntries) and isinstance(value, list):
        for index, each in unfit.entries.items():
            _complain(document, (*loc, index), value[index], each)
        return
    hint = f"; {unfit.hint}" if unfit.hint else ""
    document.complain(loc, f"found {unfit.found or _show(value)}; expected {unfit.expected}{hint}")


def _complain_missing(document: Document, loc: Loc) -> None:
    document.complain(loc, f"found no such key; expected `{loc[-1]}: …`, which has no default")


def _complain_unknown(document: Document, loc: Loc, known: list[str]) -> None:
    key = str(loc[-1])
    hint = ""
    if meant := closest(key, known):
        hint = f"; did you mean `{meant}`?"
    elif ":" in key:
        hint = "; a space is missing after the colon"
    else:
        home = next((name for name, section in _HOMES.items() if key in section.known), "")
        hint = f"; it belongs to {home}" if home else "; it belongs to the top level" if key in TopKeys.known else ""
    document.complain(loc, f"found an unknown key; expected one of {', '.join(known)}{hint}", at_key=True)


def _shape(value: object) -> str:
    """What kind of value it is, without showing any of it."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping (key: value)" if value else "an empty mapping"
        case list():
            return "a list"
        case bool() | int() | float():
            return "a number" if not isinstance(value, bool) else str(value).lower()
        case _:
            return "text"


def _show(value: object) -> str:
    """A value for a message: short, and without the account of a URL."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return _shape(value)
    text = re.sub(r"//[^/\s]*@", "//…@", str(value))
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return text if isinstance(value, int | float) else f"`{text}`"


# ── Records ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _server(
    document: Document, places: Places, environ: Mapping[str, str], name: str, entry: dict[str, object]
) -> ServerSpec | None:
    loc: Loc = ("servers", name)
    # A user or password of digits is text, exactly as it stands in the file (0123, 1e5, true).
    words = {key: document.text((*loc, key)) for key in ("user", "password") if isinstance(entry.get(key), int | float)}
    keys = _fit(document, ServerKeys, loc, {**entry, **words})
    if keys is None:
        return None
    files = {key: places.path((*loc, key), getattr(keys, key)) for key in ("tls_ca", "client_cert", "client_key")}
    if (keys.client_cert is None) != (keys.client_key is None):
        there, missing = ("client_cert", "client_key") if keys.client_cert else ("client_key", "client_cert")
        document.complain((*loc, there), f"found no `{missing}`; expected both: a certificate and its key")
    _warn_about_server(document, loc, keys)
    return ServerSpec(
        name=name,
        host=keys.host,
        user=keys.user,
        port=keys.port or (990 if keys.tls is TlsMode.IMPLICIT else 21),
        password=password.bind(
            keys.password,
            lambda text: places.path((*loc, "password"), text) or Path(text),
            environ,
            document.where((*loc, "password")),
        ),
        tls=keys.tls,
        tls_verify=keys.tls_verify,
        tls_ca=files["tls_ca"],
        client_cert=files["client_cert"],
        client_key=files["client_key"],
        tls_max=keys.tls_max,
        mode=keys.mode,
        connections=keys.connections,
        bandwidth_bytes_s=keys.bandwidth or 0,
        timeout_s=keys.timeout,
        encoding=keys.encoding,
    )


def _warn_about_server(document: Document, loc: Loc, keys: ServerKeys) -> None:
    if keys.tls is TlsMode.OFF and keys.password is not None:
        document.warn((*loc, "tls"), "password and files travel in clear text; use `tls: explicit` if the server can")
    if not keys.tls_verify and keys.tls is not TlsMode.OFF:
        document.warn(
            (*loc, "tls_verify"), "anybody on the way can pose as this server; trust its certificate by `tls_ca`"
        )
    if keys.password is None and keys.client_cert is None and keys.user not in {"anonymous", "ftp"}:
        document.warn((*loc, "user"), "no `password:`; an empty one is sent")
    for key in ("user", "password"):
        document.warn_if_cut((*loc, key))
    _warn_of_readers(document, (*loc, "password"), keys.password)


def _warn_of_readers(document: Document, loc: Loc, secret: password.Reference | None) -> None:
    """Warn of a secret that stands in the file itself: where others may read that, and where it seems not to be one."""
    if secret is None or secret.kind != "text":
        return
    if secret.looks_like_variable:
        document.warn(loc, "variables are not replaced: it is taken as it stands; {env: NAME} reads one")
    try:
        mode = document.path.stat().st_mode
    except OSError:
        return
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        close = f"`chmod 640 {as_word(document.path)}`"
        document.warn(loc, f"every user of this machine can read it; run {close}, or use {{file: PATH}}")


def _mapping(
    document: Document, places: Places, name: str, entry: dict[str, object], *, own: Mapping[str, object]
) -> MappingSpec | None:
    loc: Loc = ("mappings", name)
    keys = _fit(document, MappingKeys, loc, entry, lambda key: loc if key in own or key not in entry else ("defaults",))
    if keys is None:
        return None
    for key in _NEEDED:
        if key not in entry:
            _complain_missing(document, (*loc, key))
        document.warn_if_cut((*loc, key))
    local = places.path((*loc, "local"), keys.local)
    return MappingSpec(
        name=name,
        local=local or Path(),
        server=keys.remote.server if keys.remote else "",
        remote=keys.remote.path if keys.remote else "",
        include=keys.include,
        exclude=keys.exclude,
        settle_s=keys.settle,
        deletes=keys.deletes,
        delete_after_s=keys.delete_after,
        max_deletes=keys.max_deletes,
        existing=keys.existing,
        publish=keys.publish,
        watch=keys.watch,
        poll_every_s=keys.poll_every,
        rescan_s=keys.rescan,
        follow_symlinks=keys.symlinks is Symlinks.FOLLOW,
        empty_dirs=keys.empty_dirs,
    )


def _control(document: Document, places: Places, entry: dict[str, object], state_dir: Path) -> ControlSpec:
    keys = _fit(document, ControlKeys, ("control",), entry) or ControlKeys({})
    socket = places.path(("control", "socket"), keys.socket) or places.default_socket(state_dir)
    return ControlSpec(socket, keys.http)


def _alerts(
    document: Document,
    places: Places,
    environ: Mapping[str, str],
    entry: dict[str, object],
    passwords: Sequence[Callable[[], str]],
) -> AlertSpec | None:
    """Whom to tell; None if nobody.

    Args:
        document: the file.
        places: makes its paths absolute.
        environ: for variables and credentials.
        entry: what stands below ``alerts:``.
        passwords: of the servers, as they are bound.
    """
    loc: Loc = ("alerts",)
    keys = _fit(document, AlertKeys, loc, entry)
    if not entry or keys is None:
        return None
    if not {"command", "webhook"} & entry.keys():
        document.complain(loc, "found neither `command` nor `webhook`; expected one of them, to know whom to tell")
    _warn_of_readers(document, (*loc, "webhook"), keys.webhook)
    webhook = None
    if keys.webhook is not None:
        webhook = password.bind(
            keys.webhook,
            lambda text: places.path((*loc, "webhook"), text) or Path(text),
            environ,
            document.where((*loc, "webhook")),
        )
    limits = AlertLimits(keys.server_offline, keys.oldest_pending, keys.source_missing, keys.paused, keys.remind)
    secret = frozenset(each.name for each in (*passwords, webhook) if isinstance(each, password.Variable))
    return AlertSpec(_program(places, keys.command or ()), webhook, limits, secret)


def _program(places: Places, command: tuple[str, ...]) -> tuple[str, ...]:
    """A command whose program is a name, or a path that no longer depends on where a process was started."""
    if not command or "/" not in command[0]:
        return command
    return (str(places.path(("alerts", "command", 0), command[0])), *command[1:])


def _history(document: Document, top: Mapping[str, object]) -> float:
    """How long receipts are kept, in seconds."""
    if "history" not in top:
        return KEEP_HISTORY_S
    history_s = _parsed(document, TopKeys.history, ("history",), top["history"])
    return KEEP_HISTORY_S if history_s is None else history_s


def _places(document: Document, servers: Mapping[str, object]) -> dict[str, str]:
    """Where the references to files stand that are read later, by key."""
    keys = ("password", "tls_ca", "client_cert", "client_key")
    locs: list[Loc] = [("alerts", "webhook"), *(("servers", name, key) for name in servers for key in keys)]
    return {key_path(loc): document.where(loc) for loc in locs if document.has(loc)}
