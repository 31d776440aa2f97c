"""Fixtures for the end-to-end tests: each test meets a real vsftpd and, by `make test-long`, pyftpdlib."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers import Server, missing, running


@pytest.fixture(
    params=[
        pytest.param("vsftpd", marks=pytest.mark.real_server),
        # Where there is no real server, this one is met always.
        pytest.param("pyftpdlib", marks=() if missing("vsftpd") else pytest.mark.long),
    ]
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running server with a home of its own."""
    with running(request.param) as started:
        yield started


@pytest.fixture
def some_server() -> Iterator[Server]:
    """A running server, for tests of what happens on this side: a real one, where there is one.

    A module that takes it for its ``server`` runs once, not once for each kind.
    """
    with running("pyftpdlib" if missing("vsftpd") else "vsftpd") as started:
        yield started


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line past pytest's capture: figures are worth reading when a test passes, too."""

    def show(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")  # noqa: T201 - that is its purpose

    return show
