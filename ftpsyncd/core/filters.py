"""Which files of a mapping are published: include, exclude, media groups, and the built-in exclusions.

In: the ``include`` and ``exclude`` lists of a mapping. Out: :class:`Filter`, which the scanner and `why` ask for every
path. The meaning is gitignore's (gitignore(5)), translated by `pathspec`, with these rules on top:

- *exclude* is the built-in list followed by the mapping's own patterns. The last pattern that matches decides,
  directory by directory from the root down; below an excluded directory nothing can be taken back. This is git's own
  rule, and the safe one: ``!*.tmp`` never publishes the content of ``.git`` or of a waste basket.
- *include* is decided once per file: the last pattern that matches the file or a directory above it.
- ``@group`` matches files by extension without regard to case; patterns are case-sensitive like file names.
- A leading ``#`` is a character, not a comment.

Paths are relative to the mapping's root (:mod:`ftpsyncd.paths`), bytes that are not UTF-8 as surrogates.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from typing import NamedTuple

from ftpsyncd.core.groups import BUILT_IN_EXCLUDE, GROUPS
from ftpsyncd.paths import above, basename
from ftpsyncd.quoting import one_line

__all__ = ["BUILT_IN_EXCLUDE", "GROUPS", "Filter", "parse_pattern"]

_REMEMBERED_DIRECTORIES = 4096
_LITERAL = re.compile(r"[*?\[]")
"""Where what a built-in pattern says literally ends."""
_STARS = re.compile(r"(?:\[\^/\]\*)+")
"""One or more ``*`` of a pattern, as `pathspec` translates them."""
_BRACKETS = re.compile(r"\\.|\[(?!\^/\])\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""A ``[…]`` as it translates it, and what could be taken for a part of one."""
_NO_SLASH = "(?!/)"
_IN_A_NAME = re.compile(
    rf"(?:\\.|(?:{re.escape(_NO_SLASH)})?\[\^?(?:\\.|[^\]\\])+\]|[^\\/()\[\]+*?{{}}|^$.])+", re.DOTALL
)
"""Characters, ``?`` and ``[…]`` as translated: each stands for one character, none for the end of a name."""


class Pattern(NamedTuple):
    """One entry of ``include`` or ``exclude``, ready to match."""

    text: str
    """As written."""
    takes: bool
    """False for a negated pattern (``!``)."""
    dir_only: bool
    extensions: frozenset[str] | None
    """Of a group; None for a path pattern."""
    covers: Callable[[str], object]
    """True if the pattern names this very path (without trailing slash), not merely a directory above it."""
    reaches: Callable[[str], object]
    """True if the pattern names this file or a directory above it."""


def parse_pattern(text: str) -> Pattern:
    """Compile one pattern.

    Args:
        text: a group (``@image``), or a gitignore pattern; both may begin with ``!``.

    Raises:
        ValueError: with a sentence for people, if the pattern cannot mean anything.
    """
    negated = text.startswith("!")
    body = text[1:] if negated else text
    if body in GROUPS:
        extensions = GROUPS[body]

        def in_group(path: str) -> bool:
            return path[path.rfind(".") + 1 :].lower() in extensions and "." in path

        return Pattern(text, not negated, dir_only=False, extensions=extensions, covers=in_group, reaches=in_group)
    _refuse_meaningless(body)
    dir_only = body.endswith("/")
    level = body.rstrip("/") if dir_only else body
    covers = _compile(level)
    # A pattern that ends in ** (or is *) names everything below; any other must match to the end of the path.
    named = covers.search if level == "*" or level.rpartition("/")[2] == "**" else covers.fullmatch
    return Pattern(text, not negated, dir_only, extensions=None, covers=named, reaches=_compile(body).search)


def _refuse_meaningless(body: str) -> None:
    """Refuse what gitignore accepts silently although it can never match."""
    if body.startswith("@"):
        raise ValueError(f"the groups are {', '.join(GROUPS)}; a name that begins with @ is written \\{body}")
    if body.rpartition("/")[2] in GROUPS:
        raise ValueError("a group stands alone, without a folder; list the endings instead: pictures/**/*.jpg")
    if not body.strip("/ "):
        raise ValueError("an empty pattern matches nothing")
    components = body.removeprefix("/").removesuffix("/").split("/")
    if "" in components or "." in components or ".." in components:
        raise ValueError("`//`, `.` and `..` never match; a pattern is relative to the mapping's local folder")


def load() -> None:
    """Load now what patterns of one's own need, for who may have none yet, and cannot load it later: it was updated."""
    _compile("*")


def _compile(body: str) -> re.Pattern[str]:
    """Translate a pattern without ``!`` into a regular expression over paths whose newlines are replaced."""
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # noqa: PLC0415 - few have patterns of their own

    escaped = f"\\{body}" if body[0] in "#!" else body
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # `[[:alpha:]]`: re only warns, but matches something else
            regex = GitIgnoreSpecPattern(escaped).regex
    except (ValueError, re.error, FutureWarning):
        regex = None
    if regex is None:
        raise ValueError("check the brackets `[…]`, and a `\\` at the end")
    # To git, a bracket is never a slash: `a[!b]*` does not name what is in the directory `a`.
    named = _BRACKETS.sub(lambda found: _NO_SLASH * (found[0][0] == "[") + found[0], regex.pattern)
    return re.compile(_bounded(named), regex.flags)


def _bounded(regex: str) -> str:
    """The same expression, in a time that does not grow with a power of the number of its stars.

    Whoever may drop files chooses their names: one of 250 underscores would keep `*_*_*_*_*.jpg` busy for minutes. What
    is between two stars of one name may be taken where it is found first: the second star takes whatever follows.
    """
    before, *behind = _STARS.split(regex)
    last = behind.pop() if behind else None
    taken = [f"(?>[^/]*?{text})" if _IN_A_NAME.fullmatch(text) else f"[^/]*{text}" for text in behind]
    return "".join([before, *taken, "" if last is None else f"[^/]*{last}"])


class _BuiltIn:
    """The built-in names, sorted so that the usual name costs a few string tests instead of sixty expressions."""

    __slots__ = ("_exact", "_firsts", "_inner", "_prefixes", "_rest", "_suffixes", "_written")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._written = {pattern.rstrip("/").lower(): pattern for pattern in patterns}
        exact, prefixes, suffixes, rest, inner = set(), [], [], [], []
        for pattern in self._written:
            stars = sum(pattern.count(char) for char in "*?[")
            if stars == 0:
                exact.add(pattern)
            elif stars == 1 and pattern.endswith("*"):
                prefixes.append(pattern[:-1])
            elif stars == 1 and pattern.startswith("*"):
                suffixes.append(pattern[1:])
            elif pattern.startswith("*"):
                inner.append((_LITERAL.split(pattern[1:])[0], re.compile(translate(pattern))))
            else:
                rest.append(pattern)
        self._exact = frozenset(exact)
        self._prefixes = tuple(prefixes)
        self._suffixes = tuple(suffixes)
        self._firsts = frozenset(pattern[0] for pattern in (*rest, *prefixes))
        self._rest = re.compile("|".join(map(translate, rest)) or r"(?!)")
        self._inner = tuple(inner)

    def match(self, name: str) -> bool:
        """True if the component ``name`` is one of the built-in names."""
        low = name.lower()
        if low in self._exact or low.endswith(self._suffixes):
            return True
        if low[0] in self._firsts and (low.startswith(self._prefixes) or self._rest.match(low) is not None):
            return True
        for text, whole in self._inner:  # noqa: SIM110 - any() costs more than all the rest, for every name
            if text in low and whole.match(low) is not None:
                return True
        return False

    def which(self, name: str) -> str:
        """The pattern that matches ``name``, as written in the list; for messages."""
        low = name.lower()
        return next((text for key, text in self._written.items() if re.match(translate(key), low)), "")


_DIRECTORY_NAMES = _BuiltIn(BUILT_IN_EXCLUDE)
_FILE_NAMES = _BuiltIn(pattern for pattern in BUILT_IN_EXCLUDE if not pattern.endswith("/"))


class Filter:
    """Decides for one mapping which paths are published.

    Safe to share between threads: what it remembers are answers, and at most a few thousand of them.

    Args:
        include: groups and patterns; a file that none of them matches is not published.
        exclude: groups and patterns, added to :data:`BUILT_IN_EXCLUDE`.

    Raises:
        ValueError: if a pattern is not valid.
    """

    __slots__ = ("_closed", "_everything", "_exclude", "_exclude_dirs", "_exclude_files", "_extensions", "_include")

    def __init__(self, include: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self._include = tuple(map(parse_pattern, include))
        self._exclude = tuple(map(parse_pattern, exclude))
        self._exclude_dirs = tuple(p for p in reversed(self._exclude) if p.extensions is None)
        self._exclude_files = tuple(p for p in reversed(self._exclude) if not p.dir_only)
        self._everything = include[-1:] in (["*"], ("*",))
        only_groups = all(p.extensions is not None and p.takes for p in self._include)
        self._extensions = frozenset[str]().union(*(p.extensions or () for p in self._include)) if only_groups else None
        self._closed: dict[str, str] = {"": ""}

    def __repr__(self) -> str:
        include, exclude = ([p.text for p in patterns] for patterns in (self._include, self._exclude))
        return f"Filter({include!r}, {exclude!r})"

    def includes(self, path: str) -> bool:
        """True if the file ``path`` is published."""
        if self._extensions is not None:
            # A dot that belongs to a directory leaves a slash in the "extension": no group has that.
            _, dot, extension = path.rpartition(".")
            if not dot or extension.lower() not in self._extensions:
                return False
        elif not self._everything and not self._matched_by_include(path):
            return False
        directory, _, name = path.rpartition("/")
        closed = self._closed.get(directory)
        if (self._closed_by(directory) if closed is None else closed) != "":
            return False
        if self._exclude_files:
            return not self._file_closed_by(path, name)
        return not _FILE_NAMES.match(name)

    def descend(self, path: str) -> bool:
        """False if nothing in the directory ``path`` or below can be included, so that it need not be listed."""
        return not self._closed_by(path)

    def why_closed(self, path: str) -> str:
        """Why nothing in the directory ``path`` is published, in words; empty if something may be."""
        closed = self._closed_by(path)
        return f"matched by exclude: {closed}" if closed else ""

    def why_not(self, path: str) -> str:
        """Why the file ``path`` is not published, in words; empty if it is."""
        directory, _, name = path.rpartition("/")
        if closed := self._closed_by(directory) or self._file_closed_by(path, name):
            return f"matched by exclude: {closed}"
        if self.includes(path):
            return ""
        refused = next((p for p in reversed(self._include) if p.reaches(_one_line(path))), None)
        if refused is not None:
            return f"matched by include: {refused.text}"
        return f"not matched by include: {', '.join(p.text for p in self._include) or 'the list is empty'}"

    def _matched_by_include(self, path: str) -> bool:
        line = _one_line(path)
        for pattern in reversed(self._include):
            if pattern.reaches(line):
                return pattern.takes
        return False

    def _file_closed_by(self, path: str, name: str) -> str:
        """The exclude pattern that closes this file, were its directory open; empty if none."""
        return _verdict(self._exclude_files, path) or _built_in(_FILE_NAMES, name, self._exclude_files, path)

    def _closed_by(self, directory: str) -> str:
        """The exclude pattern that closes ``directory`` or one above it; empty if it is open."""
        known = self._closed.get(directory)
        if known is not None:
            return known
        # Without recursion: a tree can be deeper than the interpreter's stack.
        levels, closed = [directory], ""
        for level in above(directory):
            if (known := self._closed.get(level)) is not None:
                closed = known
                break
            levels.append(level)
        for level in reversed(levels):
            if not closed:
                closed = _verdict(self._exclude_dirs, level) or _built_in(
                    _DIRECTORY_NAMES, basename(level), self._exclude_dirs, level
                )
            self._remember(level, closed)
        return closed

    def _remember(self, directory: str, closed: str) -> None:
        if len(self._closed) >= _REMEMBERED_DIRECTORIES:
            self._closed = {"": ""}
        self._closed[directory] = closed


def _one_line(path: str) -> str:
    """``path`` with newlines replaced: ``.`` and ``$`` of a regular expression treat them apart, file names do not.

    NUL is the one character (besides the slash) that no path has.
    """
    return path.replace("\n", "\0")


def _verdict(patterns: Sequence[Pattern], path: str) -> str:
    """The text of the last pattern that covers ``path`` if it takes it; empty otherwise. ``patterns`` last first."""
    if not patterns:
        return ""
    line = _one_line(path)
    for pattern in patterns:
        if pattern.covers(line):
            return pattern.text if pattern.takes else ""
    return ""


def _built_in(names: _BuiltIn, name: str, patterns: Sequence[Pattern], path: str) -> str:
    """The built-in pattern that matches ``name``, unless a negated pattern takes ``path`` back; empty if none."""
    if not names.match(name):
        return ""
    line = _one_line(path)
    if any(pattern.covers(line) for pattern in patterns if not pattern.takes):
        return ""
    return f"{one_line(names.which(name))} (built in)"
