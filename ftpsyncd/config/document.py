"""YAML with positions: the only import of yaml.

In: the path of a file. Out: :class:`Document`, plain data plus the line and column of every key and value, so that
`loading` can say where a problem is. Called by `loading`.

Scalars follow YAML 1.2: only ``true`` and ``false`` are booleans, so ``tls: off`` is the word it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import yaml

from ftpsyncd.config.mistakes import explained, is_where_it_began, odd_blank
from ftpsyncd.config.reading import content
from ftpsyncd.errors import ConfigError
from ftpsyncd.expression import Expression

Loc = tuple[str | int, ...]
"""The way to a value: keys and list indices."""

_MAX_BYTES = 1 << 20
_MAX_NODES = 100_000
_LONGEST_KEY = 64

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONTROL = Expression("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")

_MERGE = "tag:yaml.org,2002:merge"
"""Of the key `<<`."""
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

_QUOTED_OTHERWISE = Expression("[\u00ab\u00bb\u2018-\u201e\u2039\u203a].*[\u00ab\u00bb\u2018-\u201e\u2039\u203a]")
"""In quotation marks that are none to YAML."""
_COMMENT_AT_ONCE = re.compile(r"[ \t]+#[^\s#]")
"""What ends a plain value in YAML, and was hardly meant to: people put a space behind the # of a comment."""


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """Something wrong at one place of the file."""

    place: Place
    key: str
    text: str


def key_path(loc: Loc) -> str:
    """``servers.web.port``, ``mappings.gallery.include[0]``."""
    out = ""
    for part in loc:
        if isinstance(part, int):
            out += f"[{part}]"
            continue
        # `password:secret` without a space is a key: what follows the colon is not for messages.
        word, colon, _ = part.partition(":")
        shown = word[:_LONGEST_KEY] + ("…" if colon or len(word) > _LONGEST_KEY else "")
        out += f".{shown}" if out else shown
    return out


class Document:
    """One configuration file as plain data (dict, list, str, int, float, bool, None), with positions.

    Args:
        path: for messages.
        text: the file's content.

    Raises:
        ConfigError: the text is not YAML.
    """

    __slots__ = (
        "_cut", "_keys", "_nodes", "_open", "_source", "_texts", "_values", "data", "path", "problems", "warnings",
    )  # fmt: skip

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._source = text
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._keys: dict[Loc, Place] = {}
        self._values: dict[Loc, Place] = {}
        self._texts: dict[Loc, str] = {}
        self._cut: set[Loc] = set()
        self._nodes = 0
        self._open: set[int] = set()
        root = _compose(path, text)
        try:
            self.data = None if root is None else self._plain(root, ())
        except RecursionError:
            raise ConfigError(f"{path}: nested too deeply") from None

    def key_place(self, loc: Loc) -> Place:
        """Where the last key of ``loc`` stands; for a key that is not there, its nearest parent."""
        while loc and loc not in self._keys:
            loc = loc[:-1]
        return self._keys.get(loc, Place(1, 1))

    def value_place(self, loc: Loc) -> Place:
        """Where the value at ``loc`` begins; for one that is not there, its nearest parent."""
        return self._values[loc] if loc in self._values else self.key_place(loc)

    def has(self, loc: Loc) -> bool:
        """True if the file has a value at ``loc``."""
        return loc in self._values

    def text(self, loc: Loc) -> str | None:
        """The characters of the scalar at ``loc`` as they stand in the file (``0123`` stays that); else None."""
        return self._texts.get(loc)

    def warn_if_cut(self, loc: Loc) -> None:
        """Warn if the value at ``loc`` ends at a # that probably belongs to it."""
        if loc in self._cut:
            self.warn(
                loc, "it ends before ` #`, which begins a comment; put it in quotes if what follows belongs to it"
            )

    def complain(self, loc: Loc, text: str, *, at_key: bool = False) -> None:
        """Note a problem with the value (or the key) at ``loc``, unless one is known: a second would be its echo."""
        place = self.key_place(loc) if at_key else self.value_place(loc)
        problem = Problem(place, key_path(loc), text + odd_blank(self._source, place.line, place.line))
        if all((known.place, known.key) != (place, problem.key) for known in self.problems):
            self.problems.append(problem)

    def warn(self, loc: Loc, text: str) -> None:
        """Note that the value at ``loc`` is allowed, but probably not wanted."""
        self.warnings.append(Problem(self.value_place(loc), key_path(loc), text))

    def line(self, problem: Problem) -> str:
        """``file:line:col  key.path: text``."""
        key = f"{problem.key}: " if problem.key else ""
        return f"{self.path}:{problem.place.line}:{problem.place.column}  {key}{problem.text}"

    def where(self, loc: Loc) -> str:
        """``file:line:col  key.path`` of a value: how whatever is found out of it later begins."""
        place = self.value_place(loc)
        return f"{self.path}:{place.line}:{place.column}  {key_path(loc)}"

    def _plain(self, node: yaml.Node, loc: Loc) -> object:
        self._values[loc] = _place(node.start_mark)
        self._nodes += 1
        if id(node) in self._open or self._nodes > _MAX_NODES:
            raise ConfigError(
                f"{self.path}:{node.start_mark.line + 1}: an anchor (&) contains itself, or too many values"
            )
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self.complain(
                loc, 'found a YAML tag; expected a plain value; quote a pattern that begins with !: "!keep.tmp"'
            )
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, loc)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._plain(item, (*loc, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, loc)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> object:
        text: str = node.value
        if not text.isprintable() and (found := _CONTROL.search(text)):
            what = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab"}.get(
                found[0], f"the control character U+{ord(found[0]):04X}"
            )
            self.complain(loc, f"found {what} in the value; expected visible characters on one line")
            text = _CONTROL.sub("?", text)
        self._texts[loc] = text
        end = node.end_mark
        if node.style is None and end.buffer is not None and _COMMENT_AT_ONCE.match(end.buffer, end.pointer):
            self._cut.add(loc)
        if node.style is None and not text.isascii() and _QUOTED_OTHERWISE.fullmatch(text):
            self.warn(loc, "its quotation marks are a part of it: YAML knows ' and \" only")
        if node.style is not None or node.tag == "tag:yaml.org,2002:str":
            return text
        return _resolve(text)

    def _mapping(self, node: yaml.Node, loc: Loc) -> dict[str, object]:
        out: dict[str, object] = {}
        own: dict[str, int] = {}
        first, *again = [key for key, _ in node.value if key.tag == _MERGE] or [None]
        for key_node in again:
            # Which of the two gives way is another one with each program that reads YAML.
            self._keys[*loc, "<<"] = _place(key_node.start_mark)
            line = first.start_mark.line + 1
            told = f"found the key again; expected it once, with a list: `<<: [*one, *two]`; it is in line {line} too"
            self.complain((*loc, "<<"), told, at_key=True)
        for key_node, value_node, merged in _pairs(node, set()):
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._keys[(*loc, "?")] = _place(key_node.start_mark)
                self.complain((*loc, "?"), "found a list or mapping as key; expected a word", at_key=True)
                continue
            key = key_node.value
            if not key.isprintable():
                key = _CONTROL.sub("?", key)
            inner = (*loc, key)
            if merged and key in out:
                continue
            self._keys[inner] = _place(key_node.start_mark)
            if key in own:
                self.complain(
                    inner, f"found the key again; expected it once; it is in line {own[key]} too", at_key=True
                )
                continue
            own[key] = line
            if key != key_node.value:
                self.complain(inner, "found a control character in the key; expected visible characters", at_key=True)
            out[key] = self._plain(value_node, inner)
        return out


def read(path: Path) -> Document:
    """Read and parse a file.

    Raises:
        ConfigError: one sentence: see `raw` and `parse`.
    """
    return parse(path, raw(path))


def raw(path: Path) -> bytes:
    """The bytes of a file; of one that is too large, so many that this can be seen.

    Raises:
        ConfigError: one sentence: not there, not readable, a directory, a socket, or a pipe that nobody writes into.
    """
    try:
        return content(path, _MAX_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; expected a YAML file") from None
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except PermissionError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}",
            remedy="Let the user who runs ftpsyncd read it: use sudo, or join its group.",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise ConfigError(f"{path}: cannot be read: {reason}", remedy="Name a YAML file with -c.") from None


def parse(path: Path, raw: bytes) -> Document:
    """The document of a file with these bytes.

    Raises:
        ConfigError: one sentence: not UTF-8, too large, empty, not YAML, or something else than a mapping at the top.
    """
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than 1 MiB; this is no configuration file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text", remedy="Save the file as UTF-8.") from None
    document = Document(path, text)
    if document.data is None and not document.problems:
        raise ConfigError(
            f"{path}: is empty; expected at least `servers:` and `mappings:`",
            remedy="Start from config.example.yaml.",
        )
    if not isinstance(document.data, dict) and not document.problems:
        found = "a list" if isinstance(document.data, list) else "a single value"
        raise ConfigError(f"{path}:1: found {found} at the top; expected keys such as `servers:` and `mappings:`")
    return document


def salvage(path: Path, raw: bytes, keys: Collection[str]) -> Document | None:
    """Some entries of a file that is wrong as a whole: those that begin at the margin with these keys.

    Args:
        path: of the file.
        raw: what is in it.
        keys: of the entries.

    Returns:
        None where that is not sure: such a key stands elsewhere, too, or its entry is wrong itself.
    """
    text = raw[:_MAX_BYTES].decode("utf-8-sig", "replace")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    named = re.compile(rf"""["']?(?:{"|".join(map(re.escape, keys))})["']?\s*:""")
    wanted, inside = [], False
    for line in lines:
        if line[:1].strip():
            inside = named.match(line) is not None
        if inside:
            wanted.append(line)
    if sum(len(named.findall(line)) for line in lines) != sum(named.match(line) is not None for line in wanted):
        return None
    try:
        return Document(path, "\n".join(wanted))
    except ConfigError:
        return None


def _compose(path: Path, text: str) -> yaml.Node | None:
    """The tree of nodes of the one document in ``text``; None if it is empty."""
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        message = _explain(path, error, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"{path}:{line}: a control character (U+{int(error.character):04X}) in the file; remove it"
    except RecursionError:
        message = f"{path}: nested too deeply"
    except (yaml.YAMLError, ValueError, OverflowError, IndexError):
        # Escapes such as "\UFFFFFFFF" and version numbers of thousands of digits get past PyYAML's own checks.
        message = f"{path}: is not valid YAML; check escapes (\\x, \\u) in double quotes, and lines that begin with %"
    else:
        return node
    finally:
        if loader is not None:
            loader.dispose()
    raise ConfigError(message)


def _explain(path: Path, error: yaml.MarkedYAMLError, text: str) -> str:
    context, problem = error.context or "", error.problem or ""
    mark, begun = error.problem_mark or error.context_mark, error.context_mark
    if mark and begun and begun.line < mark.line and is_where_it_began(context):
        mark = begun
    if "flow node" in context and "'<stream end>'" in problem:
        mark = _left_open(text) or mark
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
    # The line before may go on here because of one.
    blank = odd_blank(text, mark.line, mark.line + 1) if mark else ""
    return f"{where}  not valid YAML: {explained(context, problem)}{blank}"


def _left_open(text: str) -> yaml.Mark | None:
    """Where the last bracket is that nothing closes: behind a # none does. PyYAML names the end of the file."""
    left: list[yaml.Mark] = []
    for token in yaml.scan(text):
        if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
            left.append(token.start_mark)
        elif isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken):
            left.pop()
    return left[-1] if left else None


def _pairs(node: yaml.Node, known: set[int]) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
    """Keys and values of a mapping; its own first, then those merged in by ``<<`` (True), which give way.

    Args:
        node: of the mapping.
        known: the nodes merged in by now: what each has need not be gone through again.
    """
    merges: list[yaml.Node] = []
    for key, value in node.value:
        merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if key.tag == _MERGE and all(isinstance(merge, yaml.MappingNode) for merge in merged):
            merges.extend(merged)
        else:
            yield key, value, False
    for merge in merges:
        if id(merge) not in known:
            known.add(id(merge))
            yield from ((key, value, True) for key, value, _ in _pairs(merge, known))


def _resolve(text: str) -> object:
    """The value of a plain (unquoted) scalar by the YAML 1.2 core schema, decimal numbers only."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and isfinite(float(text)):
        return float(text)
    return text


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)
