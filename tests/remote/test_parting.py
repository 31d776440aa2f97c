"""A reset right behind the end of a file: nothing is lost by it, and what it breaks is sent once more, unseen."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import select
import socket
import struct

import pytest

from ftpsyncd.errors import ProtocolError, ServerUnavailableError, TransferFailedError
from ftpsyncd.remote import parting, sending
from ftpsyncd.remote.keeping import Keeper, refusals
from ftpsyncd.remote.parting import part
from ftpsyncd.remote.profile import Paths, Profile, lingers
from tests.contract.remotes import ends_in_haste, job, publish, raiser
from tests.remote.scripted import Connection, Scripted, account

KNOWN = "220 (vsFTPd 3.0.3)"
TAIL = ".0123abcd.filepart"
CREDIT = Profile().parting_credit
SIOCOUTQNSD = 0x894B


@pytest.fixture
def line():
    """Both ends of a connection: ours and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(5)
        yield ours, theirs


def wait_for(sock: socket.socket, events: int) -> bool:
    poll = select.poll()
    poll.register(sock, events)
    return bool(poll.poll(5000))


def never(_at_most_s: float | None = None) -> bool:
    raise AssertionError("nothing has to be waited for")


def end(sock: socket.socket, *, room=never, accepted=lambda: True, news=never) -> bool:
    """End our stream; nothing needs to be said above TCP."""
    return part(sock, room, lambda: True, accepted, news)


def to_the_end(sock: socket.socket) -> bytes:
    content = b""
    while block := sock.recv(65536):
        content += block
    return content


def fill(sock: socket.socket) -> int:
    """Write as much as the kernel takes; how much that is."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            count += sock.send(b"x" * 65536)
    return count


def is_reset(sock: socket.socket) -> bool:
    """Whether the peer's end of the connection is gone altogether, not only its stream ended."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(1000))


class TestTheEnd:
    @pytest.mark.parametrize("size", [0, 1, 20_000, 60_000])
    def test_all_that_came_before_is_there_and_then_the_end(self, line, size):
        ours, theirs = line
        if size:
            ours.sendall(b"x" * size)
        assert end(ours)
        ours.close()
        assert is_reset(theirs)
        assert to_the_end(theirs) == b"x" * size

    def test_it_is_not_said_before_all_is_sent(self, line, monkeypatch):
        ours, theirs = line
        # On a busy machine even this connection may send something twice.
        real = parting._state
        monkeypatch.setattr(parting, "_state", lambda sock: real(sock)._replace(sacked=0, retransmitted=0))
        count = fill(ours)
        asked: list[int] = []
        got = bytearray()

        def read_all() -> bool:
            asked.append(parting._state(ours).unsent)
            # Else there would be room at once, again and again.
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 1
            while len(got) < count:
                got.extend(theirs.recv(count))
            return wait_for(ours, select.POLLOUT)

        assert end(ours, room=read_all)
        ours.close()
        assert asked[0] > 0
        assert to_the_end(theirs) == b""

    @pytest.mark.parametrize("gives_up", [lambda: False, raiser(TimeoutError())])
    def test_who_waits_no_longer_ends_in_order(self, line, gives_up):
        ours, theirs = line
        count = fill(ours)
        with contextlib.suppress(TimeoutError):
            assert not end(ours, room=gives_up)
        ours.close()
        assert len(to_the_end(theirs)) == count

    @pytest.mark.parametrize("comes", [True, False])
    def test_an_end_that_has_to_wait_for_its_turn_is_not_taken_back(self, line, monkeypatch, comes):
        ours, theirs = line
        ours.sendall(b"x" * 1000)
        real = parting._state
        looks = []
        waited = []

        def waiting(sock: socket.socket) -> parting._State:
            looks.append(real(sock))
            return looks[-1]._replace(unsent=int(1 < len(looks) < 4 or (len(looks) > 1 and not comes)))

        def news(at_most_s: float | None) -> bool:
            waited.append(at_most_s)
            return len(waited) < 3

        monkeypatch.setattr(parting, "_state", waiting)
        assert end(ours, news=news) is comes
        assert waited == [parting._GLANCE_S] * (2 if comes else 3)
        ours.close()
        assert is_reset(theirs) is comes
        assert to_the_end(theirs) == b"x" * 1000

    # 8: the server has ended already.
    @pytest.mark.parametrize("fault", [{"sacked": 1}, {"retransmitted": 1}, {"state": 8}])
    def test_not_on_a_line_that_loses_or_has_ended(self, line, monkeypatch, fault):
        ours, theirs = line
        told = parting._state(ours)._replace(**fault)
        monkeypatch.setattr(parting, "_state", lambda _sock: told)
        assert not end(ours)
        ours.close()
        assert not is_reset(theirs)

    @pytest.mark.parametrize(
        ("fault", "accepted"),
        [
            ({"sacked": 1}, True),
            ({"retransmitted": 1}, True),
            ({"retransmitted": 1}, False),
            # The server has ended, too: its answer is due.
            ({"state": 7}, False),
        ],
    )
    def test_not_if_that_is_in_vain_by_now(self, line, monkeypatch, fault, accepted):
        ours, theirs = line
        real = parting._state
        ended = []

        def losing(sock: socket.socket) -> parting._State:
            ended.append(real(sock))
            return ended[-1]._replace(**(fault if len(ended) > 1 else {}))

        monkeypatch.setattr(parting, "_state", losing)
        assert not end(ours, accepted=lambda: accepted)
        ours.close()
        assert not is_reset(theirs)

    @pytest.mark.parametrize("comes", [True, False])
    def test_not_before_the_server_has_accepted_it(self, line, comes):
        ours, theirs = line
        ours.sendall(b"x" * 1000)
        waited: list[float | None] = []

        def news(at_most_s: float | None) -> bool:
            # The end is not held back meanwhile.
            if not waited:
                assert to_the_end(theirs) == b"x" * 1000
            waited.append(at_most_s)
            return bool(comes)

        assert end(ours, accepted=lambda: bool(waited), news=news) is comes
        assert waited == [None]
        ours.close()
        assert is_reset(theirs) is comes

    def test_not_to_a_peer_that_has_ended(self, line):
        ours, theirs = line
        fill(ours)
        theirs.shutdown(socket.SHUT_WR)
        assert wait_for(ours, select.POLLIN)
        assert ours.recv(1) == b""
        assert not end(ours)

    def test_not_where_the_kernel_cannot_tell(self, line, monkeypatch):
        ours, _ = line
        monkeypatch.setattr(parting, "_INFO", None)
        assert not end(ours)

    def test_a_kernel_that_tells_too_little_is_an_error(self, line, monkeypatch):
        monkeypatch.setattr(parting, "_LAYOUT", struct.Struct("1000x"))
        with pytest.raises(OSError, match="does not tell"):
            parting._state(line[0])

    def test_what_is_unsent_is_what_the_kernel_calls_so(self, line):
        ours, _ = line
        fill(ours)
        (unsent,) = struct.unpack("i", fcntl.ioctl(ours, SIOCOUTQNSD, struct.pack("i", 0)))
        assert parting._state(ours).unsent == unsent > 0


@pytest.mark.parametrize(
    ("greeting", "gains"),
    [("220 (vsFTPd 3.0.3)", True), ("220 ProFTPD Server", False), ("220 Pure-FTPd", False), ("220 Hello.", False)],
)
def test_who_gains_by_it(greeting, gains):
    assert lingers(greeting) is gains


def test_credit_is_used_up_by_many_losses_only():
    profile = Profile()
    for _ in range(1000):
        for _ in range(20):
            profile.parted(well=True)
        profile.parted(well=False)
    assert profile.parting
    files = 0
    while profile.parting and files < 1000:
        files += 11
        for _ in range(10):
            profile.parted(well=True)
        profile.parted(well=False)
    assert files < 200
    assert profile.parting_credit == CREDIT, "after a week it begins anew"


def test_two_losses_at_first_are_enough():
    profile = Profile()
    seen = []
    for _ in range(2):
        profile.parted(well=False)
        seen.append(profile.parting)
    assert seen == [True, False]
    assert "parting" in refusals(profile)


def test_that_it_does_not_work_is_remembered_for_a_week():
    profile = Profile(parting=False)
    keeper = Keeper(Profile(), "", 0)
    keeper.profile = profile
    text = keeper.tend(0)
    assert text is not None
    again = Profile()
    week = 7 * 86400
    Keeper(again, text, week - 1).tend(week - 1)
    assert not again.parting
    Keeper(again, text, week + 1).tend(week + 1)
    assert again.parting


@pytest.fixture
def hasty(monkeypatch):
    """Data connections end in haste if they may; whether each did."""
    return ends_in_haste(monkeypatch)


async def broken(connection: Connection, path: str) -> None:
    """Only a part of the file arrives."""
    connection.server.files[path] = (await connection.receive())[:5]
    await connection.end_data()
    await connection.say("426 Failure reading network stream.")


def stored(server: Scripted) -> list[str]:
    return [line.removeprefix("STOR ").removesuffix(TAIL) for line in server.log if line.startswith("STOR")]


class TestFiles:
    def test_each_arrives_whole(self, hasty):
        contents = {f"/{n}": bytes([n]) * (n * 3001) for n in range(40)}
        with Scripted(GREETING=KNOWN) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, *(job(path, content) for path, content in contents.items()))
            assert [r.error for r in results] == [None] * 40
            assert server.files == contents
        assert hasty == [True] * 40
        assert acc.profile.parting_credit == CREDIT + 40

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_one_that_breaks_is_sent_once_more(self, hasty, place):
        opened: list[str] = []

        def noted(path: str):
            def open_it() -> io.BytesIO:
                opened.append(path)
                return io.BytesIO(b"content")

            return open_it

        names = ["/a", "/b", "/c"]
        with Scripted(GREETING=KNOWN, STOR=[None] * place + [broken]) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, *(job(path, open=noted(path)) for path in names))
                assert session.usable
            assert [(r.job.path, r.error, len(r.sha256)) for r in results] == [(path, None, 32) for path in names]
            assert server.files == dict.fromkeys(names, b"content")
            assert stored(server) == [*names[: place + 1], *names[place:]]
            assert opened == names, "a job's file is opened once"
        assert acc.profile.parting
        assert acc.profile.parting_credit < CREDIT

    def test_where_all_break_none_is_hasty_in_the_end(self, hasty):
        with Scripted(GREETING=KNOWN, STOR=[broken, broken]) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, job("/a"), job("/b"), job("/c"))
            assert [r.error for r in results] == [None] * 3
            assert stored(server) == ["/a", "/a", "/a", "/b", "/c"]
        assert hasty == [True, True]
        assert not acc.profile.parting

    @pytest.mark.parametrize("size", ["213 3", "550 Not now.", "502 No."])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_one_whose_size_is_not_confirmed_is_sent_once_more_in_order(self, hasty, size, place):
        names = ["/a", "/b", "/c"]
        with Scripted(GREETING=KNOWN, SIZE=[None] * place + [size]) as server:
            acc = account(server)
            with acc() as session:
                results = publish(session, *map(job, names))
                assert session.usable
            assert {r.job.path: r.error for r in results} == dict.fromkeys(names)
            assert server.files == dict.fromkeys(names, b"content")
            assert stored(server).count(names[place]) == 2
        assert not acc.profile.parting
        assert acc.profile.size, "a word about a hasty file tells nothing about the command"

    def test_an_answer_to_something_else_ends_the_session(self, hasty):
        """What follows would be taken for the answers to other commands."""
        with Scripted(GREETING=KNOWN, SIZE="226 Stored.") as server:
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/a"))
                assert not session.usable
            assert isinstance(result.error, ProtocolError)
            assert stored(server) == ["/a"]

    def test_another_failure_is_told(self, hasty):
        with Scripted(GREETING=KNOWN, STOR=["553 No.", None]) as server:
            acc = account(server)
            acc.profile.paths = Paths.ABSOLUTE
            with acc() as session:
                first, second = publish(session, job("/a"), job("/b"))
            assert first.error is not None
            assert not isinstance(first.error, TransferFailedError)
            assert second.error is None
            assert stored(server) == ["/a", "/b"]

    def test_a_connection_that_ends_meanwhile_has_an_outcome_for_each(self, hasty):
        with Scripted(GREETING=KNOWN, STOR=[None, broken], DELE="421 Enough.") as server:
            with account(server)() as session:
                results = publish(session, job("/a"), job("/b"), job("/c"))
                assert not session.usable
            assert [r.job.path for r in results] == ["/a", "/b"]
            assert all(r.error is not None for r in results)

    def test_a_connection_that_dies_of_it_counts(self, hasty):
        async def die(connection: Connection, _path: str) -> None:
            await connection.receive()
            await connection.hang_up()

        with Scripted(GREETING=KNOWN, STOR=[die]) as server:
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/a"))
            assert isinstance(result.error, ServerUnavailableError)
        assert acc.profile.parting_credit == 0

    def test_an_iteration_that_is_left_closes_its_files(self, hasty):
        files: list[io.BytesIO] = []

        def opened() -> io.BytesIO:
            files.append(io.BytesIO(b"content"))
            return files[-1]

        with Scripted(GREETING=KNOWN, STOR=[None, broken]) as server:
            with account(server)() as session:
                results = session.publish([job("/a", open=opened), job("/b", open=opened), job("/c", open=opened)])
                assert next(iter(results)).error is None
                results.close()  # type: ignore[attr-defined]
            assert len(files) == 2
            assert all(file.closed for file in files)

    def test_what_can_no_longer_be_sent_is_told(self, hasty, monkeypatch):
        """The second try needs a data connection, too."""
        with Scripted(GREETING=KNOWN, STOR=[broken], EPSV=[None, "229 Nowhere.", "550 No."], PASV="550 No.") as server:
            files: list[io.BytesIO] = []

            def opened() -> io.BytesIO:
                files.append(io.BytesIO(b"content"))
                return files[-1]

            acc = account(server)
            acc.profile.overlapping = False
            with acc() as session:
                (result,) = publish(session, job("/a", open=opened))
            assert result.error is not None
            assert [file.closed for file in files] == [True]


class TestNotHasty:
    def test_before_the_server_says_that_it_has_the_connection(self, monkeypatch):
        """A reset that comes before that is a connection that never was (425 at vsftpd)."""
        decided = ends_in_haste(monkeypatch, patient=False)

        async def late(connection: Connection, path: str) -> None:
            reader, _ = await connection.data()
            connection.server.files[path] = await reader.read()
            await connection.end_data()
            while not decided:  # noqa: ASYNC110 - another thread decides
                await asyncio.sleep(0.001)
            await connection.say("150 Go on.\n226 Stored.")

        with Scripted(GREETING=KNOWN, STOR=late) as server:
            with account(server)() as session:
                (result,) = publish(session, job("/a"))
            assert result.error is None
            assert server.files == {"/a": b"content"}
        assert decided == [False]

    def test_one_that_has_answered_before_the_end(self, hasty):
        async def early(connection: Connection, path: str) -> None:
            reader, _ = await connection.data()
            await connection.say("150 Go on.\n226 Stored.")
            connection.server.files[path] = await reader.read()
            await connection.end_data()

        with Scripted(GREETING=KNOWN, STOR=early) as server, account(server)() as session:
            publish(session, job("/a"))
            assert server.files == {"/a": b"content"}
        assert hasty == [False]

    def test_a_server_that_is_not_known_for_it(self, hasty):
        with Scripted() as server, account(server)() as session:
            publish(session, job("/a"))
        assert hasty == []

    def test_a_file_under_its_final_name(self, hasty):
        with Scripted(GREETING=KNOWN) as server, account(server)() as session:
            publish(session, job("/a", temporary="/a"))
        assert hasty == []

    def test_a_large_file(self, hasty):
        with Scripted(GREETING=KNOWN) as server, account(server)() as session:
            publish(session, job("/a", b"x" * (sending.SMALL + 1)))
        assert hasty == []

    def test_where_no_size_can_be_asked_for(self, hasty):
        with Scripted(GREETING=KNOWN, SIZE="502 No.") as server:
            acc = account(server)
            acc.profile.size = False
            with acc() as session:
                publish(session, job("/a"))
        assert hasty == []

    def test_on_a_short_line(self, hasty, monkeypatch):
        monkeypatch.setattr(sending, "PARTING_S", 60.0)
        with Scripted(GREETING=KNOWN) as server, account(server)() as session:
            publish(session, job("/a"))
        assert hasty == []
