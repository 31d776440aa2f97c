"""What programs may get wrong: each has one sentence that says what was expected, and nothing is sent before it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from ftpsyncd.errors import (
    ConfigError,
    FtpsyncdError,
    InUseError,
    LocalUnreadableError,
    LocalUnwritableError,
    MisuseError,
    NameNotSendableError,
    NotFoundError,
    RemoteError,
    Retry,
    ServerFullError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.remote import Ftp, MemoryServer, Step, connect
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.remedies import remedy
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import ServerSpec
from tests.remote.scripted import Connection, Scripted
from tests.servers import KINDS, available, running

BUSY = "The connection is in the midst of another call."
QUICK = Timeouts(connect_s=2, reply_s=2, stall_s=2, final_s=2, close_s=0.3)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"picture" * 100_000)
    return path


@pytest.fixture
def memory() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def ftp(memory):
    with Ftp(memory.connect(), again=memory.connect) as ftp:
        yield ftp


# ── One call at a time ───────────────────────────────────────────────────────────────────────────────────────────


INTRUDERS: dict[str, Callable[[Ftp, Path], Any]] = {
    "delete": lambda ftp, _path: ftp.delete("/no"),
    "delete_tree": lambda ftp, _path: next(ftp.delete_tree("/d")),
    "download": lambda ftp, path: ftp.download("/p", path.with_name("down")),
    "download_tree": lambda ftp, path: next(ftp.download_tree("/", path.with_name("tree"))),
    "exists": lambda ftp, _path: ftp.exists("/p"),
    "list": lambda ftp, _path: ftp.list(),
    "look": lambda ftp, _path: ftp.look("/p"),
    "make_dirs": lambda ftp, _path: ftp.make_dirs("/e"),
    "remove_dir": lambda ftp, _path: ftp.remove_dir("/d"),
    "rename": lambda ftp, _path: ftp.rename("/p", "/q"),
    "stat": lambda ftp, _path: ftp.stat("/p"),
    "upload": lambda ftp, path: ftp.upload(path, "/new"),
    "upload_many": lambda ftp, path: next(ftp.upload_many([(path, "/new")])),
    "upload_tree": lambda ftp, path: next(ftp.upload_tree(path.parent, "/up")),
}


def test_every_call_is_tried():
    assert INTRUDERS.keys() == {name for name, value in vars(Ftp).items() if name[0] != "_" and callable(value)} - {
        "close"
    }


@pytest.mark.parametrize("call", INTRUDERS)
def test_a_call_from_another_thread_is_refused_and_disturbs_nothing(ftp, memory, picture, call):
    said: list[str] = []

    def intrude(_sent: int) -> None:
        def other() -> None:
            with pytest.raises(MisuseError) as caught:
                INTRUDERS[call](ftp, picture)
            said.append(str(caught.value))
            assert caught.value.retry is Retry.NEVER
            assert "open another one" in caught.value.remedy

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)

    ftp.upload(picture, "/p", progress=intrude)
    assert said
    assert set(said) == {BUSY}
    assert list(memory.files) == ["/p"]
    assert ftp.exists("/p")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.real_server
def test_threads_that_share_a_connection_are_told_so_by_every_server(kind, tmp_path):
    """It was RuntimeError, ProtocolError, and whatever else came of two that read each other's replies."""
    if not available(kind):
        pytest.skip(f"no {kind}")
    errors: list[Exception] = []
    done: list[str] = []
    (tmp_path / "a").write_bytes(b"a" * 300_000)
    start = threading.Barrier(3)

    def work(name: str) -> None:
        start.wait(10)
        for n in range(10):
            try:
                shared.upload(tmp_path / "a", f"/{name}{n}")
                done.append(f"/{name}{n}")
            except FtpsyncdError as error:
                errors.append(error)

    with running(kind) as server, connect(server.spec()) as shared:
        threads = [threading.Thread(target=work, args=(name,)) for name in "xyz"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert {(type(error), str(error)) for error in errors} == {(MisuseError, BUSY)}
        assert {f"/{entry.name}" for entry in shared.list()} == set(done) != set()


def test_a_progress_function_may_not_use_the_connection_that_it_is_told_about(ftp, memory, picture):
    with pytest.raises(MisuseError) as caught:
        ftp.upload(picture, "/p", progress=lambda _sent: ftp.exists("/p"))
    assert str(caught.value) == BUSY
    assert memory.files == {}
    ftp.upload(picture, "/p")


@pytest.mark.parametrize("way", ["collected", "dropped"])
def test_results_that_are_abandoned_while_a_call_is_going_on_end_after_it(picture, way):
    """Python collects what refers to itself at any moment, and another thread may be the last one that had them."""

    class Holder:
        pass

    with Scripted() as server:
        account = Account(server.spec(), timeouts=QUICK)
        with Ftp(account(), again=account) as ftp:
            holder = Holder()
            holder.itself = holder  # type: ignore[attr-defined]
            holder.results = ftp.upload_many([(picture, f"/{n}") for n in range(4)])  # type: ignore[attr-defined]
            assert next(holder.results).remote == "/0"  # type: ignore[attr-defined]
            held = [holder]
            del holder

            def let_go(_sent: int) -> None:
                if held and way == "dropped":
                    thread = threading.Thread(target=vars(held[0]).clear)
                    thread.start()
                    thread.join(10)
                held.clear()
                gc.collect()
                assert not [line for line in server.log if line.startswith("DELE")]

            ftp.upload(picture, "/p", progress=let_go)
            assert server.files.keys() == {"/0", "/p"}
            assert server.early == []
            assert server.connections == 1
            assert ftp.exists("/p")


def test_between_two_results_and_two_files_there_is_room_for_other_calls(ftp, memory, picture):
    def pairs():
        for n in range(5):
            ftp.make_dirs(f"/d{n}")
            yield picture, f"/d{n}/p"

    for result in ftp.upload_many(pairs()):
        assert ftp.stat(result.remote).size == 700_000
    for result in ftp.download_tree("/", picture.with_name("back")):
        assert ftp.exists(result.remote)
    for result in ftp.delete_tree("/d0"):
        assert not ftp.exists(result.remote)
    assert len(memory.files) == 4


def test_results_survive_a_refusal(ftp, memory, picture):
    """Who takes the next one a moment too early can take it later."""
    results = ftp.upload_many([(picture, f"/{n}") for n in range(4)])

    def take(_sent: int) -> None:
        with pytest.raises(MisuseError):
            next(results)
        with pytest.raises(MisuseError):
            results.close()

    ftp.upload(picture, "/other", progress=take)
    assert [result.step for result in results] == [Step.SENT] * 4
    assert len(memory.files) == 5


def test_a_pair_that_fails_to_be_made_frees_the_connection(ftp, picture):
    def pairs():
        yield picture, "/a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(ftp.upload_many(pairs()))
    assert not [entry.name for entry in ftp.list() if entry.name.endswith(".filepart")]


def test_closing_ends_a_call_of_another_thread(picture):
    async def silent(connection: Connection, _path: str) -> None:
        await connection.say("150 Go on.")

    picture.write_bytes(b"small")
    with Scripted(STOR=silent) as server:
        account = Account(server.spec(), timeouts=Timeouts(final_s=60))
        ftp = Ftp(account())
        ended: list[FtpsyncdError] = []
        began = threading.Event()

        def work() -> None:
            with pytest.raises(ServerUnavailableError) as caught:
                ftp.upload(picture, "/p", progress=lambda _sent: began.set())
            ended.append(caught.value)

        thread = threading.Thread(target=work)
        thread.start()
        assert began.wait(10)
        ftp.close()
        thread.join(10)
        assert not thread.is_alive()
        assert len(ended) == 1


def test_a_call_that_is_ended_by_closing_leaves_no_socket_open():
    asked = threading.Event()

    async def silent(connection: Connection, _argument: str) -> None:
        asked.set()
        await connection.silence()

    with Scripted(MKD=silent) as server:
        session = Account(server.spec(), timeouts=Timeouts(reply_s=60))()
        ftp = Ftp(session)

        def work() -> None:
            with pytest.raises(ServerUnavailableError):
                ftp.make_dirs("/d")

        thread = threading.Thread(target=work)
        thread.start()
        assert asked.wait(10)
        ftp.close()
        thread.join(10)
        assert session.control._sock.fileno() == -1


# ── Arguments ────────────────────────────────────────────────────────────────────────────────────────────────────


class Named:
    """Stands for a path (`os.PathLike`)."""

    def __init__(self, path: Any) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        return self._path


@pytest.mark.parametrize("form", [str, Path, Named], ids=["text", "Path", "PathLike"])
def test_local_paths_come_in_any_form(ftp, memory, picture, form):
    ftp.upload(form(str(picture)), "/p")
    down = picture.with_name("down")
    ftp.download("/p", form(str(down)))
    assert down.read_bytes() == picture.read_bytes()
    assert [r.step for r in ftp.upload_many([(form(str(picture)), "/q"), [form(str(picture)), "/r"]])] == [
        Step.SENT
    ] * 2
    assert {r.step for r in ftp.upload_tree(form(str(picture.parent)), "/t")} == {Step.SENT}
    assert {r.step for r in ftp.download_tree("/t", form(str(picture.with_name("tree"))))} == {Step.FETCHED}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda ftp, _p: ftp.upload(None, "/p"), "`path` is None; expected a `str` or a `Path`."),
        (lambda ftp, _p: ftp.upload(b"p", "/p"), "`path` is of type bytes; expected a `str` or a `Path`."),
        (lambda ftp, _p: ftp.upload(Named(b"p"), "/p"), "`path` is of type Named; expected a `str` or a `Path`."),
        (lambda ftp, p: ftp.upload(p, p), "`remote` is of type PosixPath; expected a `str`."),
        (lambda ftp, p: ftp.upload(p, b"/p"), "`remote` is of type bytes; expected a `str`."),
        (lambda ftp, p: ftp.upload(p, "/p", overwrite="no"), "`overwrite` is of type str; expected True or False."),
        (lambda ftp, p: ftp.upload(p, "/p", progress=None), "`progress` is None; expected a function."),
        (lambda ftp, _p: ftp.upload_many([], overwrite=0), "`overwrite` is of type int; expected True or False."),
        (lambda ftp, _p: ftp.upload_many([], progress=3), "`progress` is of type int; expected a function."),
        (lambda ftp, _p: ftp.upload_many(None), "`pairs` is None; expected something that yields pairs."),
        (
            lambda ftp, p: list(ftp.upload_many((p, "/p"))),
            "A pair is of type PosixPath; expected a local and a remote path.",
        ),
        (lambda ftp, _p: list(ftp.upload_many(["ab"])), "A pair is of type str; expected a local and a remote path."),
        (lambda ftp, p: list(ftp.upload_many([("/p", p)])), "`remote` is of type PosixPath; expected a `str`."),
        (lambda ftp, _p: list(ftp.upload_many([(3, "/p")])), "`path` is of type int; expected a `str` or a `Path`."),
        (lambda ftp, _p: ftp.upload_tree(3, "/p"), "`path` is of type int; expected a `str` or a `Path`."),
        (lambda ftp, _p: ftp.download("/p", None), "`path` is None; expected a `str` or a `Path`."),
        (lambda ftp, p: ftp.download_tree(p, p), "`remote` is of type PosixPath; expected a `str`."),
        (lambda ftp, _p: ftp.exists(PurePosixPath("/p")), "`remote` is of type PurePosixPath; expected a `str`."),
        (lambda ftp, _p: ftp.list(None), "`remote` is None; expected a `str`."),
        (lambda ftp, _p: ftp.rename("/p", None), "`remote` is None; expected a `str`."),
        (lambda ftp, _p: ftp.delete_tree(3), "`remote` is of type int; expected a `str`."),
    ],
)
def test_a_wrong_type_is_told_before_anything_is_done(ftp, memory, picture, call, said):
    before = list(memory.log)
    with pytest.raises(MisuseError) as caught:
        call(ftp, picture)
    assert str(caught.value) == said
    assert caught.value.remedy == ""
    assert memory.log == before
    ftp.upload(picture, "/p")


def test_a_wrong_type_among_many_leaves_nothing_half(ftp, memory, picture):
    wrong: Any = [(picture, "/a"), (picture, "/b"), (picture, "/c"), (None, "/d")]
    with pytest.raises(MisuseError):
        list(ftp.upload_many(wrong))
    assert {name for name in memory.files if name.endswith(".filepart")} == set()
    assert {entry.name for entry in ftp.list()} <= {"a", "b", "c"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "A path is empty."),
        ("a\0b", r'"a\x00b" holds NUL, which no name here can have.'),
        ("a\ud800b", r'"a\ud800b" holds characters that no name here can have.'),
    ],
)
def test_what_no_path_can_be_is_an_error_of_that_file(ftp, picture, path, said):
    ftp.upload(picture, "/p")
    for kind, call in (
        (LocalUnreadableError, lambda: ftp.upload(path, "/q")),
        (LocalUnreadableError, lambda: list(ftp.upload_tree(path, "/q"))),
        (LocalUnwritableError, lambda: ftp.download("/p", path)),
        (LocalUnwritableError, lambda: list(ftp.download_tree("/", path))),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert str(caught.value) == said
    results = list(ftp.upload_many([(path, "/q"), (picture, "/r")]))
    assert [(r.remote, r.step) for r in results] == [("/q", Step.FAILED), ("/r", Step.SENT)]
    assert str(results[0].error) == said


UP = "/d/../p"
UPWARDS: dict[str, Callable[[Ftp, Path], Any]] = {
    "delete": lambda ftp, _path: ftp.delete(UP),
    "delete_tree": lambda ftp, _path: list(ftp.delete_tree(UP)),
    "download": lambda ftp, path: ftp.download(UP, path.with_name("down")),
    "download_tree": lambda ftp, path: list(ftp.download_tree(UP, path.with_name("tree"))),
    "exists": lambda ftp, _path: ftp.exists(UP),
    "list": lambda ftp, _path: ftp.list(UP),
    "look": lambda ftp, _path: ftp.look(UP),
    "make_dirs": lambda ftp, _path: ftp.make_dirs(UP),
    "remove_dir": lambda ftp, _path: ftp.remove_dir(UP),
    "rename": lambda ftp, _path: ftp.rename(UP, "/q"),
    "rename to": lambda ftp, _path: ftp.rename("/p", UP),
    "stat": lambda ftp, _path: ftp.stat(UP),
    "upload": lambda ftp, path: ftp.upload(path, UP),
    "upload_tree": lambda ftp, path: list(ftp.upload_tree(path.parent, UP)),
}


@pytest.mark.parametrize("call", UPWARDS)
def test_no_call_takes_a_path_that_leads_upwards(ftp, memory, picture, call):
    memory.dirs.add("/d")
    ftp.upload(picture, "/p")
    before = dict(memory.files)
    with pytest.raises(NameNotSendableError, match=r"has `\.\.` in it"):
        UPWARDS[call](ftp, picture)
    assert memory.files == before
    assert memory.dirs == {"/", "/d"}
    assert {path.name for path in picture.parent.iterdir()} == {picture.name}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.real_server
def test_a_path_means_the_same_at_every_server(kind, picture):
    """With `..` pure-ftpd and proftpd took the file to another place than they confirmed, and pure-ftpd kept its part;
    a directory whose name ended with a slash was not deleted, "the server does not say" what it is."""
    if not available(kind):
        pytest.skip(f"no {kind}")
    with running(kind) as server, connect(server.spec()) as ftp:
        for path, said in (("/d/../a", "'/d/../a' has `..` in it."), ("/a/", "'/a/' is no name of a file.")):
            with pytest.raises(NameNotSendableError) as caught:
                ftp.upload(picture, path)
            assert str(caught.value) == said
            (result,) = ftp.upload_many([(picture, path)])
            assert str(result.error) == said
        assert list(server.home.iterdir()) == []
        ftp.make_dirs("//d/./e/")
        ftp.upload(picture, "//d//e/./a")
        assert (server.home / "d/e/a").exists()
        assert ftp.stat("/d/e/").name == "e"
        ftp.rename("/d/e/a", "//d/e/a")
        assert (server.home / "d/e/a").exists()
        with pytest.raises(NotFoundError):
            ftp.rename("/d/e/no", "/d/e/no")
        assert [(r.remote, r.step) for r in ftp.delete_tree("/d/")][-1] == ("/d", Step.REMOVED)
        assert list(server.home.iterdir()) == []


# ── Accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────

HOST = "expected a host name such as 'ftp.example.com', or an IP address without brackets"
FUNCTION = "expected a function that gives it, such as lambda: os.environ['PASSWORD']"
ENCODING = "expected a character encoding that contains ASCII, such as 'utf-8' or 'latin-1'"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tls": "ssl"}, "`tls` is 'ssl'; expected one of explicit, implicit, off."),
        ({"tls": True}, "`tls` is True; expected one of explicit, implicit, off."),
        ({"mode": "pasv"}, "`mode` is 'pasv'; expected one of passive, active."),
        ({"host": ""}, f"`host` is ''; {HOST}."),
        ({"host": None}, f"`host` is None; {HOST}."),
        ({"host": "ftp://u:secret@h/"}, f"`host` is a URL; {HOST}."),
        (
            {"host": "192.168.001.010"},
            f"`host` is '192.168.001.010'; {HOST}: an IPv4 address is four numbers from 0 to 255, without zeros in front.",
        ),
        (
            {"host": "straße.example"},
            "`host` is 'straße.example'; expected the one of these that is meant: xn--strae-oqa.example or strasse.example.",
        ),
        ({"host": "localhost:21"}, f"`host` is 'localhost:21'; {HOST}: `port` is a field of its own."),
        ({"host": "[::1]"}, f"`host` is '[::1]'; {HOST}."),
        ({"host": "ftp..example.com"}, f"`host` is 'ftp..example.com'; {HOST}."),
        ({"host": "ö" * 70}, f"`host` is '{'ö' * 70}'; {HOST}."),
        ({"user": ""}, "`user` is ''; expected text that is not empty."),
        ({"user": 3}, "`user` is of type int; expected text that is not empty."),
        ({"port": "21"}, "`port` is '21'; expected a whole number from 1 to 65535."),
        ({"port": 0}, "`port` is 0; expected a whole number from 1 to 65535."),
        ({"port": 65536}, "`port` is 65536; expected a whole number from 1 to 65535."),
        ({"port": True}, "`port` is True; expected a whole number from 1 to 65535."),
        ({"password": "secret"}, f"`password` is of type str; {FUNCTION}."),
        ({"password": None}, f"`password` is None; {FUNCTION}."),
        ({"tls_verify": "no"}, "`tls_verify` is 'no'; expected True or False."),
        ({"tls_ca": 3}, "`tls_ca` is of type int; expected the path of a file."),
        ({"client_cert": ""}, "`client_cert` is ''; expected the path of a file."),
        ({"client_key": b"k"}, "`client_key` is of type bytes; expected the path of a file."),
        ({"tls_max": "1.1"}, "`tls_max` is '1.1'; expected one of '1.2', '1.3'."),
        ({"tls_max": 1.2}, "`tls_max` is 1.2; expected one of '1.2', '1.3'."),
        ({"connections": 0}, "`connections` is 0; expected a whole number from 1 on."),
        (
            {"bandwidth_bytes_s": "10 MB/s"},
            "`bandwidth_bytes_s` is '10 MB/s'; expected whole bytes per second, 0 for unlimited.",
        ),
        ({"bandwidth_bytes_s": -5}, "`bandwidth_bytes_s` is -5; expected whole bytes per second, 0 for unlimited."),
        ({"timeout_s": "30"}, "`timeout_s` is '30'; expected a number of seconds, more than 0."),
        ({"timeout_s": 0}, "`timeout_s` is 0; expected a number of seconds, more than 0."),
        ({"timeout_s": float("nan")}, "`timeout_s` is nan; expected a number of seconds, more than 0."),
        ({"encoding": "nope"}, f"`encoding` is 'nope'; {ENCODING}."),
        ({"encoding": "utf-16"}, f"`encoding` is 'utf-16'; {ENCODING}."),
        ({"encoding": "idna"}, f"`encoding` is 'idna'; {ENCODING}."),
        ({"encoding": None}, f"`encoding` is None; {ENCODING}."),
    ],
)
def test_an_account_that_cannot_be_meant_is_refused_before_anything_is_sent(wrong, said):
    with Scripted() as server, pytest.raises(ConfigError) as caught:
        connect(server.spec()._replace(**wrong))
    assert str(caught.value) == said
    assert server.connections == 0


@pytest.mark.parametrize("server", ["ftp://u:secret@ftp.example.com", None, ("web", "ftp.example.com", "u")])
def test_what_is_no_account_is_not_repeated(server):
    with pytest.raises(ConfigError) as caught:
        connect(server)
    assert str(caught.value) == f"An account is of type {type(server).__name__}; expected a ServerSpec."


def test_what_is_no_profile_is_told():
    wrong: Any = "x"
    with Scripted() as server, pytest.raises(MisuseError) as caught:
        connect(server.spec(), profile=wrong)
    assert str(caught.value) == "`profile` is of type str; expected a `Profile` or None."
    assert server.connections == 0


@pytest.mark.parametrize(("secret", "kind"), [(None, "None"), (b"secret", "of type bytes")])
def test_a_password_that_is_no_text_is_told_without_it(secret, kind):
    with Scripted() as server, pytest.raises(ConfigError) as caught:
        Account(server.spec(password=lambda: secret), timeouts=QUICK)()
    assert str(caught.value) == f"`password` is a function whose value is {kind}; expected text."
    assert not [line for line in server.log if line.startswith("PASS")]


def test_certificates_may_be_named_as_text(tmp_path):
    with running("pyftpdlib", tls="explicit") as server:
        spec = server.spec()
        with connect(spec._replace(tls_ca=str(spec.tls_ca))) as ftp:
            assert ftp.list() == []


# ── What helps ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (
            InUseError("A program at the server uses '/p'.", reply="550 The file is in use."),
            "Close the program that has the file open at the server, then try again.",
        ),
        (
            TransferFailedError("The server could not complete '/p'.", reply="451 Failure writing to local file."),
            "Perhaps the server's disk is full: see to that, then try again.",
        ),
        (
            TransferFailedError(
                "The server could not complete '/p'.", reply="451 Rename/move failure: Invalid argument"
            ),
            "",
        ),
    ],
)
def test_what_helps_is_what_a_program_can_do_and_has_to_do_with_it(error: RemoteError, helps: str) -> None:
    assert remedy(error) == helps


def test_what_helps_is_said_to_a_program_and_not_for_a_service(ftp, memory, picture):
    """No daemon tries again, no user of a service may not read, and `ftpsyncd retry` retries nothing of it."""

    caught: list[FtpsyncdError] = []
    for call in (
        lambda: ftp.upload(picture.with_name("no"), "/p"),
        lambda: ftp.upload(picture, "/no/p"),
        lambda: ftp.stat("/no"),
        lambda: ftp.delete("/"),
        lambda: connect(ServerSpec("s", "127.0.0.1", "u", port=1)),
    ):
        with pytest.raises(FtpsyncdError) as raised:
            call()
        caught.append(raised.value)
    memory.fail("STOR", ServerFullError("No space.", reply="452 No space."))
    caught += [result.error for result in ftp.upload_many([(picture, "/p")]) if result.error is not None]
    assert [error.remedy for error in caught] == [
        "",
        "",
        "",
        "",
        "Check host, port and network, then try again.",
        "Free space at the server, then try again.",
    ]
