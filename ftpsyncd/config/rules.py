"""What the keys mean together: rules over several mappings, servers and the disk.

In: the specs made so far (None where one cannot be made). Out: complaints. Called by `loading`. Looks at the disk, at
the mappings' folders through `disks` only, but opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from ftpsyncd.config import disks
from ftpsyncd.config.document import Document, Loc
from ftpsyncd.config.password import File
from ftpsyncd.config.places import too_long_for_socket
from ftpsyncd.config.records import ControlSpec
from ftpsyncd.config.unfit import closest
from ftpsyncd.core.filters import GROUPS, Filter
from ftpsyncd.core.names import on_the_wire
from ftpsyncd.errors import NameNotSendableError
from ftpsyncd.expression import Expression
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import AlertSpec, MappingSpec, ServerSpec, plain_host

_Mappings = list[MappingSpec]
_ENDINGS = frozenset(ending for endings in GROUPS.values() for ending in endings)
_BRACES = Expression(r"(.*)\{([^{}]*,[^{}]*)\}(.*)")
_BETWEEN = Expression(r"\s*[,;|]\s*|\s+")
_LIKE_WINDOWS = Expression(r"\\\w|[^\\/]\\\*\.")
"""A backslash before what means nothing special, or an asterisk that is more likely one than a letter."""


def check(
    document: Document,
    servers: Mapping[str, ServerSpec | None],
    mappings: Mapping[str, MappingSpec | None],
    state_dir: Path,
    control: ControlSpec,
    alerts: AlertSpec | None,
) -> None:
    """Complain about everything that only shows when the parts are seen together."""
    known = [mapping for mapping in mappings.values() if mapping is not None]
    local = [mapping for mapping in known if _has_local(mapping)]
    seen = disks.look({mapping.name: (mapping.local, [word for _, word, _ in _words(mapping)]) for mapping in local})
    real = {name: each.real for name, each in seen.items()}
    for mapping in known:
        _check_server(document, mapping, servers)
        _check_encoding(document, mapping, servers.get(mapping.server))
        if mapping.name in seen:
            _check_local(document, mapping, seen[mapping.name])
            _check_words(document, mapping, seen[mapping.name])
            _check_spelling(document, mapping)
    _check_same_account(document, [mapping for mapping in known if mapping.server], servers)
    routed = [(mapping, server) for mapping in local if (server := servers.get(mapping.server))]
    _check_same_host(document, routed, real)
    secret = list(_secret_files(document, [server for server in servers.values() if server], alerts))
    places = disks.find([state_dir, control.socket, *(path for _, path in secret)])
    _check_own_files(document, local, real, places, state_dir, control)
    _check_secret_files(document, local, real, places, secret)


def _loc(mapping: MappingSpec, key: str) -> Loc:
    return ("mappings", mapping.name, key)


def _has_local(mapping: MappingSpec) -> bool:
    return mapping.local != Path()


# ── One mapping ──────────────────────────────────────────────────────────────────────────────────────────────────


def _check_encoding(document: Document, mapping: MappingSpec, server: ServerSpec | None) -> None:
    """Of a directory whose name the server cannot be told, no file could be published."""
    if server is None:
        return
    try:
        on_the_wire(mapping.remote, server.encoding)
    except NameNotSendableError as error:
        why = f"{error.message[:1].lower()}{error.message[1:].rstrip('.')}"
        text = (
            f"found a directory of which the server cannot be told: {why}; expected another one, or another `encoding`"
        )
        document.complain(_loc(mapping, "remote"), text)


def _check_server(document: Document, mapping: MappingSpec, servers: Mapping[str, object]) -> None:
    if "\\" in mapping.remote:
        # A name may hold one, but a directory that is called so is hardly ever meant.
        meant = mapping.remote.replace("\\", "/")
        text = (
            f"a backslash is part of the name; between directories stands `/`: did you mean {mapping.server}:{meant}?"
        )
        document.warn(_loc(mapping, "remote"), text)
    if not mapping.server or mapping.server in servers or not servers:
        return  # without any server, that is the complaint
    meant = closest(mapping.server, servers)
    hint = f"; did you mean {meant}:{mapping.remote}?" if meant else ""
    names = ", ".join(servers)
    document.complain(
        _loc(mapping, "remote"), f"found the unknown server `{mapping.server}`; expected one of {names}{hint}"
    )


def _check_local(document: Document, mapping: MappingSpec, seen: disks.Seen) -> None:
    loc = _loc(mapping, "local")
    if seen.trouble:
        document.warn(loc, seen.trouble)
        return
    if seen.lacks:
        # Written wrongly, or its disk is not mounted now: that must keep no other mapping from being published.
        dollar = "; variables such as $HOME are not replaced here" if "$" in str(mapping.local) else ""
        document.warn(loc, f"the folder `{mapping.local}` is not there: {seen.lacks}{dollar}")
    for key, patterns in (("include", mapping.include), ("exclude", mapping.exclude)):
        for index, pattern in enumerate(patterns):
            if pattern.lstrip("!").startswith(f"{mapping.local}/"):
                relative = pattern.lstrip("!").removeprefix(str(mapping.local))
                text = f"found `{pattern}`; expected a pattern relative to `local`; did you mean {relative}?"
                document.complain((*_loc(mapping, key), index), text)


def _words(mapping: MappingSpec) -> Iterator[tuple[int, str, str]]:
    """Patterns that are plain names, each with its index, and with what was probably meant."""
    for index, pattern in enumerate(mapping.include):
        word = pattern.removeprefix(".").lower()
        if meant := f"@{word}" if f"@{word}" in GROUPS else f"*.{word}" if word in _ENDINGS else "":
            yield index, pattern, meant


def _check_spelling(document: Document, mapping: MappingSpec) -> None:
    """What a shell, a form or Windows would understand is to gitignore a name that hardly any file has."""
    for key, patterns in (("include", mapping.include), ("exclude", mapping.exclude)):
        for index, pattern in enumerate(patterns):
            if text := _spelled_for_others(pattern):
                document.warn((*_loc(mapping, key), index), text)


def _spelled_for_others(pattern: str) -> str:
    """What is wrong with a pattern that is written in another language; empty if it is not."""
    parts = _BETWEEN.compiled.split(pattern)
    braces = _BRACES.fullmatch(pattern)
    if braces is not None:
        before, inside, behind = braces.groups()
        parts = [f"{before}{each.strip()}{behind}" for each in inside.split(",")]
        what = "braces are letters of a name"
    elif len(parts) > 1 and all(part.lstrip("!").startswith(("*.", "@")) for part in parts):
        what = "this is one pattern"
    elif _LIKE_WINDOWS.search(pattern):
        parts = [pattern.replace("\\", "/")]
        what = "a backslash only has what follows taken as it is"
    else:
        return ""
    meant = ", ".join(f'"{part}"' for part in parts)
    return f"`{pattern}`: {what}; did you mean {meant}?"


def _check_words(document: Document, mapping: MappingSpec, seen: disks.Seen) -> None:
    """A group without its @, or an ending without its asterisk, is a name to gitignore: nothing would be published."""
    for index, pattern, meant in _words(mapping):
        if pattern not in seen.there:
            text = f'`{pattern}` matches only what is called exactly that; did you mean "{meant}"?'
            document.warn((*_loc(mapping, "include"), index), text)
    if mapping.include and all(pattern.startswith("!") for pattern in mapping.include):
        text = (
            'nothing is published: `!` takes back what an earlier pattern matched, and there is none; begin with "*"'
            " or a group, or write these to `exclude:` without `!`"
        )
        document.warn(_loc(mapping, "include"), text)


# ── Mappings that meet at a server ───────────────────────────────────────────────────────────────────────────────


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return inner[: len(outer)] == outer


def _components(remote: str) -> tuple[str, ...]:
    return tuple(component for component in remote.split("/") if component)


def _host_port(server: ServerSpec) -> tuple[str, int]:
    return plain_host(server.host), server.port


def _check_same_account(document: Document, mappings: _Mappings, servers: Mapping[str, ServerSpec | None]) -> None:
    """Two mappings that write into one tree of one account would delete what the other one publishes."""
    taken: dict[tuple[object, ...], MappingSpec] = {}
    ways = []
    for mapping in mappings:
        server = servers.get(mapping.server)
        account = (*_host_port(server), server.user) if server else mapping.server
        way = _components(mapping.remote)
        ways.append((mapping, account, way))
        other = taken.setdefault((account, way), mapping)
        if other is not mapping:
            _complain_overlap(document, mapping, other, "the same directory as")
    for mapping, account, way in ways:
        for depth in range(len(way)):
            if above := taken.get((account, way[:depth])):
                _complain_overlap(document, mapping, above, "inside")


def _check_same_host(
    document: Document, routed: list[tuple[MappingSpec, ServerSpec]], real: Mapping[str, Path]
) -> None:
    """Nested local folders that two accounts of one host publish to one tree: every file would have two owners."""
    for (one, here), (two, there) in combinations(routed, 2):
        if _host_port(here) != _host_port(there) or here.user == there.user:
            continue
        ways = _components(one.remote), _components(two.remote)
        if not (_within(*ways) or _within(*reversed(ways))):
            continue
        folders = real[one.name].parts, real[two.name].parts
        if _within(*folders) or _within(*reversed(folders)):
            text = (
                f"found `{two.local}`, overlapping `{one.local}` of mapping {one.name} (line {_line(document, one)}), "
                "while both publish to the same place; expected separate folders or separate places"
            )
            document.complain(_loc(two, "local"), text)


def _complain_overlap(document: Document, mapping: MappingSpec, other: MappingSpec, how: str) -> None:
    text = (
        f"found `{mapping.server}:{mapping.remote}`, {how} `{other.server}:{other.remote}` of mapping {other.name} "
        f"(line {_line(document, other)}); expected directories that do not overlap"
    )
    document.complain(_loc(mapping, "remote"), text)


def _line(document: Document, mapping: MappingSpec) -> int:
    return document.key_place(("mappings", mapping.name)).line


# ── Our own files in a watched folder ────────────────────────────────────────────────────────────────────────────


def _check_own_files(
    document: Document,
    mappings: _Mappings,
    real: Mapping[str, Path],
    places: Mapping[Path, disks.Place],
    state_dir: Path,
    control: ControlSpec,
) -> None:
    """The ledger and the socket change all the time: below a watched folder they would wake us for ever.

    The other way round is fine: a drop folder below the state directory (StateDirectory= of systemd) disturbs nobody.
    """
    own: list[tuple[Loc, Path]] = [(("state_dir",), state_dir), (("control", "socket"), control.socket)]
    if too_long_for_socket(control.socket):
        complain = document.complain if document.has(("control", "socket")) else document.warn
        complain(("control", "socket"), f"found `{control.socket}`; expected at most 107 bytes, a limit of sockets")
    for loc, path in own:
        place = places[path].real
        if loc != ("state_dir",) and not document.has(loc) and place.is_relative_to(places[state_dir].real):
            continue
        for mapping in mappings:
            if place.is_relative_to(real[mapping.name]):
                text = f"found `{path}`, inside `{mapping.local}` of mapping {mapping.name}; expected a place outside"
                document.complain(loc, text)


def _check_secret_files(
    document: Document,
    mappings: _Mappings,
    real: Mapping[str, Path],
    places: Mapping[Path, disks.Place],
    secret: list[tuple[Loc, Path]],
) -> None:
    """A file with a secret in it must not be published by one of our own mappings."""
    for loc, path in secret:
        place = places[path].real
        if loc and places[path].is_open:
            document.warn(loc, f"every user of this machine can read {path}; run `chmod 640 {as_word(path)}`")
        for mapping in mappings:
            if not place.is_relative_to(real[mapping.name]):
                continue
            relative = str(place.relative_to(real[mapping.name]))
            if Filter(mapping.include, mapping.exclude).includes(relative):
                text = (
                    f"found `{path}`, which mapping {mapping.name} would publish; expected a place outside its folder"
                )
                document.complain(loc, text)


def _secret_files(
    document: Document, servers: list[ServerSpec], alerts: AlertSpec | None
) -> Iterator[tuple[Loc, Path]]:
    yield (), document.path
    if alerts is not None and isinstance(alerts.webhook, File):
        yield ("alerts", "webhook"), alerts.webhook.path
    for server in servers:
        if isinstance(server.password, File):
            yield ("servers", server.name, "password"), server.password.path
        if server.client_key is not None:
            yield ("servers", server.name, "client_key"), server.client_key
