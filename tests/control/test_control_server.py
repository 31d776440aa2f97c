"""The control socket itself: who may use it, what it leaves behind, how it starts and stops."""

import asyncio
import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from loguru import logger

from ftpsyncd.control import app, server, sharing
from ftpsyncd.control.client import ControlClient
from ftpsyncd.control.listening import listen_tcp
from ftpsyncd.control.protocol import CONNECTIONS_MAX
from ftpsyncd.control.server import ControlServer
from ftpsyncd.control.whereabouts import note, noted
from ftpsyncd.errors import ControlError, ControlSocketError, DaemonNotRunningError, ExitCode, ThreadLimitError
from ftpsyncd.quoting import quote
from tests.control.fakes import FakeDaemon, healthy
from tests.waiting import until


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "control.sock"


@pytest.fixture(autouse=True)
def no_socket_left_behind(path):
    yield
    assert not path.exists() or not stat.S_ISSOCK(path.lstat().st_mode)


@pytest.fixture
def said(capfd):
    """What was logged; and that nothing was printed."""
    messages: list[str] = []
    logger.remove()
    sink = logger.add(messages.append, format="{message}")
    yield messages
    logger.remove(sink)
    assert capfd.readouterr() == ("", "")


class HangingDaemon(FakeDaemon):
    """Answers when it is let go; the status at once if only what looks at disks hangs."""

    def __init__(self, *, why_only=False):
        super().__init__()
        self._why_only = why_only
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def why(self, path):
        self.entered.set()
        assert self.let_go.wait(60)
        return super().why(path)

    def command(self, name, *, mapping, server, path):
        self.entered.set()
        assert self.let_go.wait(60)
        return super().command(name, mapping=mapping, server=server, path=path)

    def history(self, query, path):
        self.entered.set()
        assert self.let_go.wait(60)
        return super().history(query, path)

    def status(self):
        if not self._why_only:
            self.entered.set()
            assert self.let_go.wait(60)
        return super().status()


def test_only_owner_and_group_may_use_the_socket(path):
    old = os.umask(0)
    try:
        with ControlServer(FakeDaemon(), path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    finally:
        os.umask(old)


def test_the_socket_is_open_to_nobody_else_not_even_for_a_moment(path, monkeypatch):
    monkeypatch.setattr(Path, "chmod", lambda _path, _mode: None)
    old = os.umask(0)
    try:
        with ControlServer(FakeDaemon(), path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(old)


def test_a_tight_umask_does_not_shut_the_group_out(path):
    old = os.umask(0o077)
    try:
        with ControlServer(FakeDaemon(), path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(old)


def test_it_starts_answers_and_stops_quietly_and_again(path, said, monkeypatch):
    monkeypatch.setattr(server, "_STOP_S", 30.0)
    control = ControlServer(FakeDaemon(), path)
    for _ in range(3):
        control.start()
        assert healthy(path)
        began = time.monotonic()
        control.stop()
        control.stop()
        assert time.monotonic() - began < 5
        assert not path.exists()
    assert said == []


def test_no_signal_handler_is_touched(path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with ControlServer(FakeDaemon(), path):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_socket_left_by_a_killed_daemon_is_replaced(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with ControlServer(FakeDaemon(), path):
        assert healthy(path)


@pytest.mark.parametrize("busy", [False, True])
def test_a_socket_on_which_somebody_answers_is_left_alone(path, busy):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as waiting:
        other.bind(str(path))
        other.listen(0)
        if busy:
            waiting.connect(str(path))  # the backlog is full
        with pytest.raises(ControlSocketError, match="Another daemon answers on"):
            ControlServer(FakeDaemon(), path).start()
        assert path.exists()
    path.unlink()


def test_a_socket_of_another_user_is_not_told_of_as_a_daemon_that_answers(path, monkeypatch):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.EACCES, raising=False)
    with pytest.raises(ControlSocketError, match="in the way of the control socket: this user may not ask") as caught:
        ControlServer(FakeDaemon(), path).start()
    assert "remove the socket" in caught.value.remedy
    assert path.exists()
    path.unlink()


def test_a_socket_whose_daemon_ends_meanwhile_is_in_nobodys_way(path, monkeypatch):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as ending:
        ending.bind(str(path))

    def gone(*_):
        path.unlink()
        return errno.ENOENT

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect_ex", gone, raising=False)
        serving = ControlServer(FakeDaemon(), path)
        serving.start()
    try:
        assert healthy(path)
    finally:
        serving.stop()


def test_nothing_but_a_socket_is_ever_removed(path):
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(ControlSocketError, match="is in the way") as caught:
        ControlServer(FakeDaemon(), path).start()
    assert path.read_text() == "precious"
    assert caught.value.exit_code == ExitCode.TEMPFAIL
    assert caught.value.remedy


def test_a_path_that_is_too_long_says_so(path):
    with pytest.raises(ControlSocketError, match="too long") as caught:
        ControlServer(FakeDaemon(), path.with_name("x" * 120)).start()
    assert "107 bytes" in caught.value.remedy
    with pytest.raises(ControlError, match="too long"):
        ControlClient(path.with_name("x" * 120)).status()


def test_a_directory_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ControlSocketError, match=r"cannot be made: (Not a directory|File exists)"):
        ControlServer(FakeDaemon(), tmp_path / "file" / "control.sock").start()


def test_a_successors_socket_is_not_removed(path):
    old = ControlServer(FakeDaemon(), path)
    old.start()
    path.unlink()
    with ControlServer(FakeDaemon(), path):
        old.stop()
        assert healthy(path)


def loop_of(serving):
    assert serving._server is not None
    assert serving._server._loop is not None
    return serving._server._loop


def test_a_socket_moves_and_what_was_asked_at_the_old_one_is_answered(path, tmp_path):
    daemon, answers = HangingDaemon(), []
    place = tmp_path / "quite" / "else" / "where"
    with ControlServer(daemon, path, state_dir=tmp_path) as moving:
        asking = threading.Thread(target=lambda: answers.append(ControlClient(path).status()))
        asking.start()
        assert daemon.entered.wait(60)
        assert noted(tmp_path) == path
        moving.move(place)
        assert not path.exists()
        assert noted(tmp_path) == place
        assert stat.S_IMODE(place.lstat().st_mode) == 0o660
        assert healthy(place)
        daemon.let_go.set()
        asking.join(60)
        assert answers
    assert not place.exists()
    assert noted(tmp_path) is None


def test_who_has_connected_before_a_move_is_answered(path, tmp_path):
    goes_on, place = threading.Event(), tmp_path / "elsewhere"
    with ControlServer(FakeDaemon(), path) as moving, ExitStack() as asking:
        loop_of(moving).call_soon_threadsafe(goes_on.wait, 60)
        waiting = [asking.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(20)]
        for each in waiting:
            each.settimeout(60)
            each.connect(str(path))
            each.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        move = threading.Thread(target=moving.move, args=(place,))
        move.start()
        until(place.exists, "it is on its way", 60)
        goes_on.set()
        move.join(60)
        assert [each.recv(15) for each in waiting] == [b"HTTP/1.1 200 OK"] * 20


def test_the_note_of_a_socket_that_was_removed_right_away_leads_nowhere(tmp_path: Path) -> None:
    note(tmp_path, tmp_path / "run.sock", None)
    assert noted(tmp_path) is None
    (tmp_path / "run.sock").touch()
    assert noted(tmp_path) is None


def test_a_socket_where_another_daemon_answers_is_not_moved_to(path, tmp_path):
    with ControlServer(FakeDaemon(), path, state_dir=tmp_path) as moving, ControlServer(FakeDaemon(), tmp_path / "s"):
        with pytest.raises(ControlSocketError, match="Another daemon answers on"):
            moving.move(tmp_path / "s")
        assert healthy(path)
        assert noted(tmp_path) == path


def test_the_same_socket_under_another_name_is_no_other_daemon(path, tmp_path):
    (tmp_path / "link").symlink_to("run")
    with ControlServer(FakeDaemon(), path, state_dir=tmp_path) as moving:
        moving.move(tmp_path / "link" / path.name)
        assert healthy(path)
        assert noted(tmp_path) == tmp_path / "link" / path.name


def test_a_port_is_taken_at_once_from_a_daemon_that_has_ended_and_whoever_asks_waits():
    with socket.create_server(("127.0.0.1", 0)) as last, socket.create_connection(last.getsockname()) as asking:
        http = last.getsockname()
        last.accept()[0].close()
        assert asking.recv(1) == b"", "the kernel has its end for a minute more"
    with listen_tcp(*http):
        socket.create_connection(http).close()


def test_a_port_is_closed_at_the_end_also_when_the_socket_has_moved(path, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        http = free.getsockname()
    with ControlServer(FakeDaemon(), path, http=http, token_file=tmp_path / "token") as moving:
        for place in (tmp_path / "one", tmp_path / "other"):
            moving.move(place)
            assert healthy(place)
            socket.create_connection(http).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(http)


def test_what_hangs_moves_nowhere_and_goes_on_where_it_is(path, tmp_path, monkeypatch):
    goes_on = threading.Event()
    with ControlServer(FakeDaemon(), path, state_dir=tmp_path) as moving:
        monkeypatch.setattr(server, "_START_S", 0.1)
        loop_of(moving).call_soon_threadsafe(goes_on.wait, 60)
        with pytest.raises(ControlSocketError, match=r"cannot be served on .*: what answers there hangs\."):
            moving.move(tmp_path / "elsewhere")
        goes_on.set()
        assert not (tmp_path / "elsewhere").exists()
        assert noted(tmp_path) == path
        assert healthy(path)
        monkeypatch.undo()
        moving.move(tmp_path / "elsewhere")
        assert healthy(tmp_path / "elsewhere")


def test_a_move_that_has_begun_is_not_given_up_halfway(path, tmp_path, monkeypatch):
    """The loop hangs in the middle of it until the time for it is over."""
    begun, goes_on, ask = threading.Event(), threading.Event(), asyncio.run_coroutine_threadsafe

    def asked(*of):
        answer = ask(*of)
        assert begun.wait(60)
        result = answer.result

        def once_more(_timeout_s):
            goes_on.set()
            return result(60)

        def in_vain(_timeout_s):
            monkeypatch.setattr(answer, "result", once_more)
            raise TimeoutError

        monkeypatch.setattr(answer, "result", in_vain)
        return answer

    with ControlServer(FakeDaemon(), path) as moving, ExitStack() as stack:
        stack.callback(goes_on.set)
        really = loop_of(moving).create_server

        async def slow(*of, **how):
            made = await really(*of, **how)
            begun.set()
            goes_on.wait(60)
            await asyncio.sleep(0)
            return made

        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", asked)
        monkeypatch.setattr(loop_of(moving), "create_server", slow)
        moving.move(tmp_path / "elsewhere")
        assert healthy(tmp_path / "elsewhere")


def test_a_move_that_the_system_does_not_allow_leaves_all_as_it_was(path, tmp_path, monkeypatch):
    async def refuse(*_of: object, **_how: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ControlServer(FakeDaemon(), path) as moving:
        with monkeypatch.context() as full:
            full.setattr(loop_of(moving), "create_server", refuse)
            with pytest.raises(ControlSocketError, match=r"cannot be served on .*No space left"):
                moving.move(tmp_path / "elsewhere")
        assert healthy(path)
        moving.move(tmp_path / "elsewhere")
        assert healthy(tmp_path / "elsewhere")


def test_a_socket_that_could_not_be_made_anew_at_once_is_made_anew_later(path, monkeypatch, said):
    async def refuse(*_of: object, **_how: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ControlServer(FakeDaemon(), path) as served:
        path.unlink()
        with monkeypatch.context() as full:
            full.setattr(loop_of(served), "create_server", refuse)
            served.restore()
            served.restore()
        assert len(said) == 1
        assert "No space left" in said[0]
        served.restore()
        assert healthy(path)


def test_a_start_for_which_nothing_more_can_be_opened_says_so_and_leaves_nothing(path, monkeypatch):
    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("asyncio.events.new_event_loop", refuse)
    with pytest.raises(ControlSocketError, match=r"cannot be served on .*Too many open files"):
        ControlServer(FakeDaemon(), path).start()
    assert not path.exists()


def test_a_socket_that_somebody_removed_is_made_anew(path):
    with ControlServer(FakeDaemon(), path) as moving:
        path.unlink()
        moving.move(path)
        assert healthy(path)


@pytest.mark.parametrize("with_directory", [False, True])
def test_a_socket_that_somebody_removed_is_made_anew_without_being_wished_for(path, tmp_path, said, with_directory):
    with ControlServer(FakeDaemon(), path, state_dir=tmp_path) as served:
        served.restore()
        assert said == []
        path.unlink()
        if with_directory:
            path.parent.rmdir()
        served.restore()
        assert healthy(path)
        assert noted(tmp_path) == path
        served.restore()
    assert [line.strip() for line in said] == [f"the control socket {quote(str(path))} was removed, and is made anew"]
    served.restore()
    assert not path.exists()


def test_a_socket_that_cannot_be_made_anew_is_told_of_once_and_made_when_it_can(path, said):
    with ControlServer(FakeDaemon(), path) as served:
        path.unlink()
        path.parent.rmdir()
        path.parent.touch()
        for _ in range(3):
            served.restore()
        assert len(said) == 1
        assert f"the control socket was removed: The control socket {quote(str(path))} cannot be made" in said[0]
        path.parent.unlink()
        served.restore()
        assert healthy(path)
        path.unlink()
        path.parent.rmdir()
        path.parent.touch()
        served.restore()
        assert [line for line in said if "cannot be made" in line] == [said[0], said[-1]], "it is told anew"


def test_a_socket_is_not_made_anew_before_the_directory_is_there_in_which_its_own_is(tmp_path, said):
    """$XDG_RUNTIME_DIR has gone when its user has logged out: one that we made would be in the way when he comes back."""
    above = tmp_path / "of-a-user"
    path = above / "run" / "s"
    with ControlServer(FakeDaemon(), path) as served:
        path.unlink()
        path.parent.rmdir()
        above.rmdir()
        served.restore()
        assert not above.exists()
        assert said == []
        above.mkdir()
        served.restore()
        assert healthy(path)


def test_a_socket_that_is_removed_when_no_descriptor_is_left_is_made_anew_later(path, monkeypatch, said):
    def none_left(*_args):
        raise OSError(errno.EMFILE, "Too many open files")

    with ControlServer(FakeDaemon(), path) as served:
        path.unlink()
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socket", none_left)
            served.restore()
        assert "cannot be made: Too many open files" in said[0]
        served.restore()
        assert healthy(path)


def test_a_disk_that_fails_for_a_while_does_not_end_who_looks_after_the_socket(path, tmp_path, monkeypatch):
    real = os.stat

    def fails(place, *args, **more):
        if str(place).startswith(str(tmp_path)):
            raise OSError(errno.EIO, "Input/output error")
        return real(place, *args, **more)

    with ControlServer(FakeDaemon(), path) as served:
        with monkeypatch.context() as patched:
            patched.setattr(os, "stat", fails)
            served.restore()
        path.unlink()
        served.restore()
        assert healthy(path)


def test_that_no_descriptor_is_left_is_told_once_and_tried_again_in_its_time(path, monkeypatch, said):
    accept, tries, short = socket.socket.accept, 0, True

    def none_left(listener):
        nonlocal tries
        if not short:
            return accept(listener)
        tries += 1
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with ControlServer(FakeDaemon(), path):
        monkeypatch.setattr(socket.socket, "accept", none_left)
        with pytest.raises(ControlError, match="did not answer"):
            ControlClient(path, timeout_s=2.5).status()
        short = False
        assert healthy(path)
    assert 1 < tries < 9  # in three or four turns; in each of them Python 3.14 tries twice
    assert [line.strip() for line in said] == ["nobody is let in at the control socket: Too many open files"]


def test_a_mistake_that_nobody_waits_for_is_told_in_the_log(path, caplog):
    with ControlServer(FakeDaemon(), path) as serving:
        loop_of(serving).call_soon_threadsafe(lambda: 1 / 0)
        until(lambda: "ZeroDivisionError" in caplog.text, "it is told", 30)
        assert "Unhandled error" not in caplog.text
        assert healthy(path)


def test_as_many_are_let_in_as_have_connected_before_the_stop(path):
    with ExitStack() as stack:
        served = ControlServer(FakeDaemon(), path)
        served.listen()
        waiting = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(40)]
        for each in waiting:
            each.connect(str(path))
        served.start()
        late = stack.enter_context(socket.socket(socket.AF_UNIX))
        late.connect(str(path))
        served.stop()
        for each in (*waiting, late):
            each.settimeout(10)
            assert each.recv(1) == b""


def test_a_successors_socket_is_not_replaced(path):
    with ControlServer(FakeDaemon(), path) as served:
        path.unlink()
        with ControlServer(FakeDaemon(), path):
            made = path.lstat()
            served.restore()
            assert os.path.samestat(path.lstat(), made)


def test_a_note_of_a_killed_daemon_leads_to_no_other(path, tmp_path):
    note(tmp_path, path, (1, 2))
    with ControlServer(FakeDaemon(), path):
        assert noted(tmp_path) is None


def test_a_note_is_for_those_who_may_use_the_socket(path, tmp_path):
    """Also where an older version was killed while it wrote one."""
    before = os.umask(0)
    try:
        (tmp_path / "control.place.new").touch(0o666)
        note(tmp_path, path, (1, 2))
    finally:
        os.umask(before)
    assert (tmp_path / "control.place").stat().st_mode & 0o777 == 0o640


def test_a_note_leads_to_a_socket_whose_path_has_blanks(tmp_path):
    path = tmp_path / "a b c"
    with ControlServer(FakeDaemon(), path, state_dir=tmp_path):
        assert noted(tmp_path) == path


def test_who_connects_right_before_the_stop_hears_of_it(path):
    """That no connection is left open is for `conftest` to see."""
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as late:
            with ControlServer(FakeDaemon(), path):
                late.connect(str(path))
            late.settimeout(60)
            assert late.recv(1) == b""


def test_a_client_that_stalls_does_not_hold_up_the_stop(path, said, monkeypatch):
    monkeypatch.setattr(server, "_STOP_S", 30.0)
    with socket.socket(socket.AF_UNIX) as idle, socket.socket(socket.AF_UNIX) as half:
        with ControlServer(FakeDaemon(), path):
            idle.connect(str(path))
            half.connect(str(path))
            half.sendall(b"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            assert healthy(path)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert idle.recv(1) == b""
    assert said == []


def test_an_answer_on_its_way_still_arrives_when_the_server_stops(path):
    daemon, answers = HangingDaemon(), []
    control = ControlServer(daemon, path)
    control.start()
    asking = threading.Thread(target=lambda: answers.append(ControlClient(path).status()))
    asking.start()
    assert daemon.entered.wait(30)
    stopping = threading.Thread(target=control.stop)
    stopping.start()
    daemon.let_go.set()
    for thread in (asking, stopping):
        thread.join(30)
    assert answers[0]["daemon"]["pid"] == 4711


def test_a_daemon_that_hangs_is_named_and_does_not_hold_up_the_stop(path, monkeypatch, said):
    monkeypatch.setattr(sharing, "ANSWER_S", 0.01)
    daemon = HangingDaemon()
    control = ControlServer(daemon, path)
    control.start()
    [serving] = [thread for thread in threading.enumerate() if thread.name == "control"]

    def hangs():
        with pytest.raises(ControlError, match="engine did not answer within"):
            ControlClient(path).status()
        return daemon.entered.is_set()

    until(hangs, "a call hangs")  # one that has not begun in time does not
    assert healthy(path)  # others are answered
    monkeypatch.setattr(server, "_STOP_S", 0.5)
    control.stop()
    assert [str(message).strip() for message in said] == ["The control API did not stop in time."]
    daemon.let_go.set()
    serving.join(30)


def test_why_paths_are_where_disks_do_not_answer_keeps_nobody_waiting_who_asks_something_else(path):
    daemon = HangingDaemon(why_only=True)
    with ControlServer(daemon, path), ExitStack() as asking:
        askers = [asking.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(app.THREADS + 2)]
        for number, asker in enumerate(askers):
            asker.connect(str(path))
            asker.sendall(f"GET /v1/why?path=/srv/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        try:
            assert healthy(path)  # so the earlier ones were read, too
            assert daemon.entered.wait(30)
            assert ControlClient(path, timeout_s=10.0).status()["daemon"]["pid"] == 4711
            assert daemon.asked == []
        finally:
            daemon.let_go.set()
        for asker in askers:
            assert asker.recv(100).startswith(b"HTTP/1.1 200 ")
    assert sorted(daemon.asked) == [f"/srv/{number}" for number in range(len(askers))]


def test_histories_whose_disk_does_not_answer_keep_nobody_waiting_who_asks_something_else(path, monkeypatch):
    """Each that was given up kept its thread, until there was none left for the status and the metrics."""
    monkeypatch.setattr(sharing, "ANSWER_S", 1.0)
    daemon = HangingDaemon(why_only=True)
    with ControlServer(daemon, path):
        try:
            for number in range(app.THREADS + 1):
                with pytest.raises(ControlError, match="did not answer"):
                    ControlClient(path).history(limit=number + 1)
            assert daemon.entered.is_set()
            assert ControlClient(path).status()["daemon"]["pid"] == 4711
        finally:
            daemon.let_go.set()
        until(lambda: len(daemon.queries) == 2, "they end when it answers")
        assert ControlClient(path).history(limit=9)["entries"]


def test_who_waits_for_a_reload_that_takes_long_keeps_nobody_waiting_who_asks_something_else(path):
    """Four of them had all threads: the engine, which turned, was said not to answer."""
    daemon = HangingDaemon(why_only=True)
    with ControlServer(daemon, path), ExitStack() as asking:
        askers = [asking.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(app.THREADS + 1)]
        for asker in askers:
            asker.connect(str(path))
            asker.sendall(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        try:
            assert healthy(path)  # so the earlier ones were read, too
            assert daemon.entered.wait(30)
            assert ControlClient(path, timeout_s=10.0).status()["daemon"]["pid"] == 4711
        finally:
            daemon.let_go.set()
        for asker in askers:
            assert asker.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "requests",
    [
        [b"POST /v1/pause", b"POST /v1/resume", b"POST /v1/retry"],
        [b"GET /v1/why?path=/srv/a", b"GET /v1/history", b"POST /v1/reload", b"POST /v1/rescan"],
    ],
    ids=["commands", "some of each"],
)
def test_what_a_daemon_that_hangs_is_told_or_asked_leaves_a_thread_for_its_status(path, requests):
    """Four commands had all threads for as long as anybody waits: `status`, which needs no engine, was not answered."""
    daemon = HangingDaemon(why_only=True)
    with ControlServer(daemon, path), ExitStack() as asking:
        askers = [asking.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2 * app.THREADS)]
        for number, asker in enumerate(askers):
            asker.connect(str(path))
            asker.sendall(requests[number % len(requests)] + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        try:
            assert healthy(path)  # so the earlier ones were read, too
            assert daemon.entered.wait(30)
            assert ControlClient(path, timeout_s=10.0).status()["daemon"]["pid"] == 4711
        finally:
            daemon.let_go.set()
        for asker in askers:
            assert asker.recv(100).startswith(b"HTTP/1.1 200 ")


def test_many_may_ask_at_once(path):
    answers = []

    def ask():
        for _ in range(5):
            answers.append(ControlClient(path).status()["daemon"]["pid"])  # noqa: PERF401 - seen as they come

    with ControlServer(FakeDaemon(), path):
        askers = [threading.Thread(target=ask) for _ in range(50)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(60)
    assert answers == [4711] * 250


def said_to(path, words):
    """Status and body of the answer to a request that somebody typed."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(60)
        asker.connect(str(path))
        asker.sendall(words)
        answer = b"".join(iter(lambda: asker.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    return int(head.split()[1]), json.loads(body)


def test_what_is_no_http_is_answered_in_the_shape_of_all_errors(path):
    with ControlServer(FakeDaemon(), path):
        answer = said_to(path, b"how are you?\r\n\r\n")
    assert answer == (
        400,
        {"error": "Invalid HTTP request received.", "remedy": "The control API speaks HTTP/1.1."},
    )


def test_who_comes_when_many_are_connected_is_answered_in_the_shape_of_all_errors(path, said):
    with ControlServer(FakeDaemon(), path), ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        answer = said_to(path, b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer == (
            503,
            {"error": f"More than {CONNECTIONS_MAX} connections are open.", "remedy": "Try again later."},
        )
        stack.close()
        until(lambda: healthy(path), "room for who asks", 10)
    assert said == []


def no_thread_begins(_thread):
    raise RuntimeError("can't start new thread")


def test_it_answers_where_the_system_allows_no_further_thread(path, monkeypatch, said):
    with ControlServer(FakeDaemon(), path):
        monkeypatch.setattr(threading.Thread, "start", no_thread_begins)
        assert ControlClient(path).status()
        monkeypatch.undo()
    assert said == []


@pytest.mark.parametrize("begun", [0, 1, 3])
def test_a_start_without_threads_says_which_limit_to_raise(path, monkeypatch, said, begun):
    start, left = threading.Thread.start, iter(range(begun))

    def start_so_many(thread):
        if next(left, None) is None:
            no_thread_begins(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_so_many)
    server = ControlServer(FakeDaemon(), path)
    with pytest.raises(ThreadLimitError) as refused:
        server.start()
    server.stop()
    assert "TasksMax" in refused.value.remedy
    assert said == []


def test_nothing_wakes_while_nobody_asks(path):
    with ControlServer(FakeDaemon(), path):
        assert healthy(path)
        [task] = [thread.native_id for thread in threading.enumerate() if thread.name == "control"]

        def switches():
            status = Path(f"/proc/self/task/{task}/status").read_text(encoding="ascii")
            return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary"))

        def sleeps():
            before = switches()
            threading.Event().wait(0.5)  # the time in which it must not wake
            return switches() - before <= 1

        # It settles after the last answer, which takes some time on a busy machine.
        assert any(sleeps() for _ in range(10))


def test_who_leaves_in_the_middle_of_a_body_is_no_mistake_of_the_daemon(path, said):
    with ControlServer(FakeDaemon(), path), socket.socket(socket.AF_UNIX) as other:
        other.connect(str(path))
        other.sendall(b"POST /v1/pause HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 100 ")  # the body is awaited
        other.sendall(b"{")
        other.close()
        ControlClient(path).status()
    assert said == []


# ── The client, where no daemon answers as it should ─────────────────────────────────────────────────────────────


def test_no_daemon_is_a_clear_error(path):
    with pytest.raises(DaemonNotRunningError, match="No daemon answers on") as caught:
        ControlClient(path).status()
    assert caught.value.exit_code == ExitCode.TEMPFAIL
    assert "systemctl start" in caught.value.remedy
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(DaemonNotRunningError):
        ControlClient(path).status()
    path.unlink()


@pytest.mark.parametrize("read", [0, 65536], ids=["unread", "read"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"])
def test_a_daemon_that_is_killed_while_it_is_asked_is_one_that_does_not_run(path, read, answer):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            with listener.accept()[0] as sock:
                sock.recv(read)
                sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(DaemonNotRunningError, match="ended while it was asked"):
            ControlClient(path).status()
        thread.join(30)
    path.unlink()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not ftpsyncd"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is no JSON object"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "is no JSON object"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", "answered 503 to GET /v1/status"),
        (None, "did not answer within 0.2 s"),
    ],
)
def test_strange_answers_are_clear_errors(path, answer, error):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            with listener.accept()[0] as sock:
                sock.recv(65536)
                if answer is None:
                    sock.recv(1)  # until the client gives up
                else:
                    sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ControlError, match=error):
            ControlClient(path, timeout_s=0.2 if answer is None else 30).status()
        thread.join(30)
    path.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.root
def test_a_stranger_is_told_how_to_get_in(path):
    program = (
        "import os, sys; from ftpsyncd.control.client import ControlClient\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: ControlClient(sys.argv[1]).status()\n"
        "except Exception as problem: print(type(problem).__name__, problem, problem.remedy)"
    )
    with ControlServer(FakeDaemon(), path):
        command = [sys.executable, "-c", program, path]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert printed.startswith("ControlError You may not use the control socket")
    assert "usermod -aG ftpsyncd" in printed


def test_the_client_does_not_pay_for_the_server():
    program = "import sys, ftpsyncd.control.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    dear = {"starlette", "uvicorn", "asyncio", "loguru", "anyio", "yaml", "rich", "dataclasses"}
    assert not dear & set(loaded)
