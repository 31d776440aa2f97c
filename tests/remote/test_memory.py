"""The faults of the in-memory server do what a test's script says."""

from __future__ import annotations

import pytest

from ftpsyncd.errors import (
    NameRefusedError,
    NotFoundError,
    ServerFullError,
    ServerUnavailableError,
    TooManyConnectionsError,
    TransferFailedError,
)
from ftpsyncd.remote import MemoryServer
from tests.contract.remotes import job, publish, put


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def session(server):
    with server.connect() as session:
        yield session


def test_the_nth_command_fails_and_only_that(server, session):
    server.fail("STOR", TransferFailedError("426"), nth=2)
    results = publish(session, job("/a"), job("/b"), job("/c"))
    assert [type(r.error) for r in results] == [type(None), TransferFailedError, type(None)]
    assert set(server.files) == {"/a", "/c"}


def test_a_path_can_be_singled_out_several_times(server, session):
    server.fail("DELE", NameRefusedError("550"), path="/b", times=2)
    for path in ("/a", "/b"):
        put(session, path)
    assert isinstance(session.delete_many(["/b"])[0], NameRefusedError)
    assert isinstance(session.delete_many(["/b"])[0], NameRefusedError)
    assert session.delete_many(["/b", "/a"]) == [None, None]


def test_a_lost_reply_has_its_effect(server, session):
    server.fail("RNTO", ServerUnavailableError("gone"), after=True)
    results = publish(session, job("/a"), job("/b"))
    assert [type(r.error) for r in results] == [ServerUnavailableError]
    assert set(server.files) == {"/a"}
    assert not session.usable


def test_an_offline_server_ends_sessions_and_opens_none(server, session):
    server.online = False
    with pytest.raises(ServerUnavailableError):
        session.noop()
    assert not session.usable
    with pytest.raises(ServerUnavailableError):
        server.connect()


def test_sessions_are_limited(server, session):
    server.max_sessions = 1
    with pytest.raises(TooManyConnectionsError):
        server.connect()


def test_a_full_server_keeps_no_part(server, session):
    server.capacity = 100
    (result,) = publish(session, job("/a", b"x" * 101))
    assert isinstance(result.error, ServerFullError)
    assert server.files == {}


def test_a_read_only_directory_refuses(server, session):
    put(session, "/a")
    server.read_only.add("/")
    assert isinstance(publish(session, job("/b"))[0].error, NameRefusedError)
    assert isinstance(session.delete_many(["/a"])[0], NameRefusedError)
    with pytest.raises(NameRefusedError):
        session.make_dir("/d")


def test_without_replacing_the_target_goes_first(server, session):
    server.replaces = False
    put(session, "/a", b"1")
    put(session, "/a", b"2")
    assert server.files["/a"].content == b"2"
    assert ("DELE", "/a") in server.log


def test_without_dates_nothing_is_dated(server, session):
    server.dates = False
    (result,) = publish(session, job("/a"))
    assert result.error is None
    assert not result.dated


def test_the_observer_sees_no_part_under_a_final_name(server, session):
    seen: list[int] = []

    def observe(_verb, _path):
        for path, file in server.files.items():
            seen.append(len(file.content))
            assert path.endswith(".filepart") or len(file.content) == 600_000

    server.observer = observe
    put(session, "/a", b"x" * 600_000)
    assert {0, 262_144, 524_288, 600_000} <= set(seen)


def test_missing_things_are_not_found(session):
    with pytest.raises(NotFoundError):
        session.rename("/a", "/b")
    with pytest.raises(NotFoundError):
        session.make_dir("/no/d")
