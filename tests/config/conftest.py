"""A folder with a drop folder, and a way to write a configuration into it and load it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsyncd.config import Config, load
from ftpsyncd.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    return {"HOME": str(home / "home")}


@pytest.fixture
def loaded(home: Path, environ: dict[str, str]) -> Callable[[str], Config]:
    """Loads a configuration from its text."""

    def load_text(text: str) -> Config:
        path = home / "config.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        path.chmod(0o600)
        return load(path, environ=environ)

    return load_text


@pytest.fixture
def refused(loaded: Callable[[str], Config], home: Path) -> Callable[[str], list[str]]:
    """The lines of the message with which a configuration is refused, without the name of the folder."""

    def message(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text)
        assert caught.value.exit_code == 78
        return caught.value.message.replace(f"{home}/", "").split("\n")

    return message
