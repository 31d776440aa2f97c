"""A file system that does not tell upper from lower case (exFAT, shares of Samba, many NAS), played by the usual one."""

from __future__ import annotations

import os
from typing import Any

import pytest


@pytest.fixture
def one_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is looked at is found under its name in any case; directories list it in its own."""
    stat, open_ = os.stat, os.open

    def spelled(name: str, place: str | int) -> str:
        names = os.listdir(place)  # noqa: PTH208 - of a descriptor, too
        return name if name in names else next((each for each in names if each.lower() == name.lower()), name)

    def look(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        try:
            return stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        except FileNotFoundError:
            place = ""
            for name in os.fspath(path).strip("/").split("/"):
                place = spelled(name, dir_fd) if dir_fd is not None else f"{place}/{spelled(name, place or '/')}"
            return stat(place, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def open_it(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        try:
            return open_(path, flags, mode, dir_fd=dir_fd)
        except FileNotFoundError:
            if dir_fd is None:
                raise
            return open_(spelled(path, dir_fd), flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_it)
    monkeypatch.setattr(os, "stat", look)
    monkeypatch.setattr(os, "lstat", lambda path, *, dir_fd=None: look(path, dir_fd=dir_fd, follow_symlinks=False))
