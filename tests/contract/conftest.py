"""Every remote the contract suite runs against, behind one face: `remote`."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ftpsyncd.errors import PathsRefusedError
from ftpsyncd.remote import Account, MemoryServer, RemoteSession
from tests.contract.remotes import COMBINED, REMOTES, Remote, settings
from tests.others import deviations
from tests.servers import Server, missing, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What another server does otherwise is declared, test by test, and has to fail there."""
    for item in items:
        if isinstance(item, pytest.Function) and "fleet" in item.fixturenames and "remote" in item.callspec.params:
            name = str(item.callspec.params["remote"])
            test = item.nodeid.partition("::")[2].replace(f"{name}-", "").replace(f"[{name}]", "")
            for declared, why, always in deviations.of(settings(name)["kind"]) if name != "memory" else ():
                if declared == test:
                    item.add_marker(pytest.mark.xfail(reason=why, strict=always))


@pytest.fixture(autouse=True, scope="module")
def _no_authorities_of_the_system() -> Iterator[None]:
    """OpenSSL reads no certificates but those of the servers (`SSL_CTX_set_default_verify_paths`, openssl-env(7)).

    Each of hundreds of accounts would read those of all authorities of the world, which is half of the suite's work.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            patch.setenv(name, "/nonexistent")
        yield


@pytest.fixture(scope="session")
def fleet(request: pytest.FixtureRequest) -> Iterator[dict[str, Server]]:
    """The servers that the selected tests need, all started beforehand so that no test is blamed for their handles."""
    # Other tests may have a parameter of that name.
    wanted = {
        str(item.callspec.params["remote"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "fleet" in item.fixturenames and "remote" in item.callspec.params
    }
    with ExitStack() as stack:
        servers = {}
        for name in sorted(wanted - {"memory"}):
            wishes = settings(name)
            if not missing(wishes["kind"], wishes["tls"]):
                servers[name] = stack.enter_context(running(**wishes))
        yield servers


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.real_server] * (name != "memory") + [pytest.mark.long] * (name in COMBINED)


@pytest.fixture(params=[pytest.param(name, marks=_marks(name)) for name in REMOTES])
def remote(request: pytest.FixtureRequest, fleet: dict[str, Server]) -> Iterator[Remote]:
    name = request.param
    base = f"/{secrets.token_hex(4)}"
    if name == "memory":
        memory = MemoryServer(dirs={"/", base})
        yield Remote(name, base, memory=memory)
        assert memory.sessions == 0, "a session was left open"
        return
    if name not in fleet:
        # Skips with the reason, or fails where servers are required.
        with running(**settings(name)):
            raise AssertionError
    server = fleet[name]
    account = Account(server.spec())
    if server.bare:
        # It is found out with the first name that is refused.
        with account() as session, pytest.raises(PathsRefusedError):
            session.make_dir(base)
    # As the account would make it, but for a login more, which is half of what most tests cost.
    place, home = server.home / base.lstrip("/"), server.home.stat()
    place.mkdir(mode=0o755)
    os.chown(place, home.st_uid, home.st_gid)
    yield Remote(name, base, server, account=account)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def session(remote: Remote) -> Iterator[RemoteSession]:
    with remote.connect() as session:
        yield session
