"""Paths as texts: relative to a mapping's root, and absolute at a server.

They are ``str`` as the operating system gives them (bytes that are not UTF-8 as surrogates, PEP 383), relative to the
mapping's root, with ``/`` between components and no leading or trailing slash; the root itself is ``""``. Remote paths
are ``str`` of the same kind, absolute, beginning with ``/``.
"""

from __future__ import annotations

from functools import lru_cache


def join(directory: str, name: str) -> str:
    """The path of ``name`` inside ``directory`` (``""`` is the root)."""
    return f"{directory}/{name}" if directory else name


def parent(path: str) -> str:
    """The directory that holds ``path``; the root's parent is the root."""
    return path.rpartition("/")[0]


def above(path: str) -> tuple[str, ...]:
    """The directories above ``path``, the nearest one first and the root last; nothing is above the root."""
    return _levels(path.rpartition("/")[0]) if path else ()


@lru_cache(maxsize=128)  # files come directory by directory; one may have 2,000 above it (PATH_MAX)
def _levels(directory: str) -> tuple[str, ...]:
    """A directory and all above it: each time the same texts, which have been hashed before.

    To make and to hash the texts of a thousand directories costs ten times as much as to look them up.
    """
    levels = [directory]
    while directory:
        levels.append(directory := _above(directory))
    return tuple(levels)


@lru_cache(maxsize=4096)
def _above(directory: str) -> str:
    return parent(directory)


def basename(path: str) -> str:
    """The last component of ``path``."""
    return path.rpartition("/")[2]


def after_rename(path: str, source: str, target: str) -> str:
    """Where something is after the directory ``source`` became ``target``; itself where it is not below it."""
    return f"{target}{path[len(source) :]}" if path.startswith(f"{source}/") else path


def remote_join(base: str, path: str) -> str:
    """The absolute remote path of the relative ``path`` below the remote directory ``base``."""
    if not path:
        return base
    return f"{base.rstrip('/')}/{path}"
