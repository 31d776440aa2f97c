"""What the tests of the command line share: running a command in this process, and a configuration."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # pyftpdlib uses asyncore, deprecated in Python 3.11, and brings its own for later ones.
    warnings.simplefilter("ignore", DeprecationWarning)
    import pyftpdlib.handlers  # noqa: F401

from ftpsyncd import logs
from ftpsyncd.cli.app import outcome
from tests.cli.terminal import Ended, write_config


@pytest.fixture
def ftpsyncd(capsys) -> Iterator[Callable[..., Ended]]:
    """Runs a command line in this process, to the exit code and the words."""

    def run(*arguments: object) -> Ended:
        code = outcome([str(each) for each in arguments])
        return Ended(code, *capsys.readouterr())

    yield run
    logs.reset()


@pytest.fixture
def config_file(tmp_path) -> Path:
    """A configuration with two mappings of one server that does not exist."""
    for name in ("gallery", "shop"):
        (tmp_path / name).mkdir()
    return write_config(tmp_path, port=1)
