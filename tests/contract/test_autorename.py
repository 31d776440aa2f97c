"""pure-ftpd that is told to rename what is sent again (``-r``): ``NAME.1`` is stored beside it, and confirmed as ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.errors import NameRefusedError
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper, kept
from ftpsyncd.remote.profile import Profile
from tests.contract.remotes import job, publish
from tests.e2e.site import contents, site
from tests.servers import Server, running

pytestmark = [pytest.mark.real_server, pytest.mark.root]


@pytest.fixture
def server() -> Iterator[Server]:
    with running("pure-ftpd", directives=("-r",)) as server:
        yield server


def held(server: Server) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in server.home.iterdir()}


@pytest.mark.parametrize("again", [b"second", b"of another size"])
def test_what_is_sent_under_its_final_name_is_replaced(server: Server, again: bytes) -> None:
    with Account(server.spec())() as session:
        for content in (b"first.", again):
            (result,) = publish(session, job("/a", content, temporary="/a"))
            assert result.error is None
        assert session.profile.stores_over is False
    assert held(server) == {"a": again}


def test_what_has_a_temporary_name_needs_no_trial(server: Server) -> None:
    with Account(server.spec())() as session:
        for content in (b"first.", b"second"):
            publish(session, job("/a", content))
        assert session.profile.stores_over is None
    assert held(server) == {"a": b"second"}


def test_a_probe_leaves_nothing(server: Server) -> None:
    Probing(Account(server.spec()), "/").run()
    assert held(server) == {}


def test_a_mapping_that_publishes_directly(server: Server, tmp_path: Path) -> None:
    with site(server, tmp_path, publish="direct") as s:
        for content in (b"first.", b"second", b"third, longer"):
            (s.drop / "a.jpg").write_bytes(content)
            s.command("sync")
            assert contents(s.published) == contents(s.drop)
        s.command("verify", "drop")


def test_where_nothing_may_be_deleted_either_no_file_is_told_as_replaced() -> None:
    with running("pure-ftpd", directives=("-r", "-K")) as server, Account(server.spec())() as session:
        (new,) = publish(session, job("/a", b"first.", temporary="/a"))
        assert new.error is None
        assert held(server) == {"a": b"first."}, "nothing is tried before something is to be replaced"
        (result,) = publish(session, job("/a", b"second", temporary="/a"))
        assert isinstance(result.error, NameRefusedError)
        assert held(server)["a"] == b"first."
        assert "a.1" not in held(server)


def test_elsewhere_nothing_is_deleted_first() -> None:
    with running("pure-ftpd") as server, Account(server.spec())() as session:
        for content in (b"first.", b"second"):
            publish(session, job("/a", content, temporary="/a"))
        assert session.profile.stores_over is True
        assert held(server) == {"a": b"second"}
        later = Profile()
        Keeper(later, kept(session.profile, 1e9), 1e9)
        assert later.stores_over is None, "an administrator may change it, and nothing would tell"
