"""The TCP listener: who is let in, what the token guards, and the file it lies in."""

import errno
import http.client
import json
import os
import resource
import socket
import stat
import tempfile
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from ftpsyncd.control import protocol, sse
from ftpsyncd.control.client import ControlClient
from ftpsyncd.control.guard import OPEN, Guard
from ftpsyncd.control.server import ControlServer
from ftpsyncd.control.tokenfile import token_in, unfit
from ftpsyncd.errors import ControlSocketError
from ftpsyncd.questions import CommandName
from ftpsyncd.quoting import as_word
from tests.control.fakes import FakeDaemon
from tests.servers import free_port

LOOPBACK = "127.0.0.1"
READING = ["/v1/status", "/v1/mappings/gallery", "/v1/why?path=/a", "/v1/history", "/v1/events"]
CHANGING = [f"/v1/{name}" for name in CommandName]


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def port():
    with free_port(LOOPBACK) as found:
        yield found


@pytest.fixture
def token_file(tmp_path):
    return tmp_path / "control.token"


@pytest.fixture
def token(daemon, tmp_path, port, token_file):
    """A server that answers over TCP; what one has to know there."""
    with ControlServer(daemon, tmp_path / "control.sock", http=(LOOPBACK, port), token_file=token_file):
        yield token_file.read_text(encoding="ascii").strip()


@pytest.fixture
def ask(port):
    """One request over TCP: status, headers, body."""

    def exchange(method, target, *, host=LOOPBACK, **headers):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        try:
            connection.request(method, target, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            streams = answer.getheader("Content-Type", "").startswith("text/event-stream")
            return answer.status, answer.headers, b"" if streams else answer.read()
        finally:
            connection.close()

    return exchange


# ── The token ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", sorted(OPEN))
def test_monitoring_needs_no_token(token, ask, target):
    assert token
    assert ask("GET", target)[0] == 200
    assert ask("HEAD", target)[0] == 200


@pytest.mark.parametrize("target", READING)
def test_what_names_files_needs_the_token(token, ask, daemon, target):
    status, headers, body = ask("GET", target)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert set(json.loads(body)) == {"error", "remedy"}
    assert daemon.asked == daemon.queries == []
    assert ask("GET", target, Authorization=f"Bearer {token}")[0] == 200


@pytest.mark.parametrize("target", CHANGING)
def test_what_changes_something_needs_the_token(token, ask, daemon, target):
    assert ask("POST", target)[0] == 401
    assert daemon.commands == []
    assert ask("POST", target, Authorization=f"bearer {token}")[0] == 200
    assert len(daemon.commands) == 1


@pytest.mark.parametrize(
    "given",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer {token}x",
        "Bearer x{token}",
        "Bearer {start}",
        "Bearer \xff",
        "Basic {token}",
        "{token}",
        "Token {token}",
        "Bearer {token}, Bearer {token}",
    ],
)
def test_a_wrong_token_is_refused(token, ask, daemon, given):
    status, _, body = ask("POST", "/v1/pause", Authorization=given.format(token=token, start=token[:-1]))
    assert status == 401
    assert json.loads(body)["error"] == "The token is wrong."
    assert token.encode() not in body
    assert daemon.commands == []


def test_two_tokens_are_none(token, port, daemon):
    with socket.create_connection((LOOPBACK, port), 30) as sock:
        lines = f"Host: localhost:{port}\r\nConnection: close\r\n" + f"Authorization: Bearer {token}\r\n" * 2
        sock.sendall(f"POST /v1/pause HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")
    assert daemon.commands == []


@pytest.mark.parametrize(
    "target", ["/", "/v1/none", "/metrics/", "//metrics", "/metrics%2F..%2Fv1%2Fstatus", "/METRICS"]
)
def test_without_the_token_nobody_learns_which_routes_there_are(token, ask, target):
    assert token
    assert ask("GET", target)[0] == 401


def test_open_routes_are_open_for_reading_only(token, ask):
    assert ask("POST", "/metrics")[0] == 401
    assert ask("POST", "/metrics", Authorization=f"Bearer {token}")[0] == 405


def test_the_unix_socket_needs_no_token(token, tmp_path, daemon):
    assert token
    client = ControlClient(tmp_path / "control.sock")
    assert client.command("pause") == "Did pause."
    assert client.status()
    assert len(daemon.commands) == 1


# ── Host and Origin ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_this_machine_may_be_called_by_its_names(token, ask, port, host):
    assert token
    assert ask("GET", "/healthz", Host=host.format(port=port))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "localhost",
        "localhost:1",
        "localhost.evil.example:{port}",
        "127.0.0.1.nip.io:{port}",
        "localhost:{port}@evil.example",
        "127.0.0.2:{port}",
        "",
    ],
)
@pytest.mark.parametrize("target", ["/metrics", "/v1/status"])
def test_a_foreign_host_is_refused_whatever_it_knows(token, ask, port, host, target):
    status, _, body = ask("GET", target, Host=host.format(port=port), Authorization=f"Bearer {token}")
    assert status == 403
    assert set(json.loads(body)) == {"error", "remedy"}


@pytest.mark.parametrize(
    ("host", "port", "asked", "refused"),
    [
        (LOOPBACK, 80, b"localhost", False),
        (LOOPBACK, 8080, b"localhost", True),
        ("127.0.0.5", 8080, b"127.0.0.5:8080", False),
        ("127.0.0.5", 8080, b"127.0.0.6:8080", True),
    ],
)
def test_a_host_is_where_it_listens_and_the_usual_port_may_be_left_away(host, port, asked, refused):
    guard = Guard(Response(), host, port, "a token")
    found = guard._refusal({"headers": [(b"host", asked)], "path": "/metrics", "method": "GET"})
    assert (found is not None) is refused


@pytest.mark.parametrize("lines", ["", "Host: localhost:{port}\r\nHost: evil.example\r\n"])
def test_no_host_and_two_hosts_are_refused(token, port, lines):
    assert token
    with socket.create_connection((LOOPBACK, port), 30) as sock:
        sock.sendall(f"GET /metrics HTTP/1.0\r\n{lines.format(port=port)}\r\n".encode())
        assert sock.recv(65536).split()[1] in {b"400", b"403"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://localhost:{port}"},
        {"Origin": "http://localhost"},
        {"Origin": "http://localhost:{port}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "target"), [("GET", "/metrics"), ("POST", "/v1/pause"), ("OPTIONS", "/v1/pause")])
def test_a_request_from_a_web_page_is_refused_whatever_it_knows(token, ask, port, daemon, headers, method, target):
    fields = {name: text.format(port=port) for name, text in headers.items()}
    status, answered, _ = ask(method, target, Authorization=f"Bearer {token}", **fields)
    assert status == 403
    assert not [name for name in answered if name.lower().startswith("access-control")]
    assert daemon.commands == []


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://localhost:{port}"}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}]
)
def test_its_own_origin_is_none_of_elsewhere(token, ask, port, headers):
    fields = {name: text.format(port=port) for name, text in headers.items()}
    assert ask("POST", "/v1/pause", Authorization=f"Bearer {token}", **fields)[0] == 200


# ── The listener ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_fifty_readers_at_once(token, port):
    wrong = []

    # One connection each: of two, the server may not have seen the end of the first yet, and 64 is the most.
    def read():
        with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=30)) as connection:
            for target, headers in (("/metrics", {}), ("/v1/status", {"Authorization": f"Bearer {token}"})):
                connection.request("GET", target, headers=headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    wrong.append(answer.status)

    threads = [threading.Thread(target=read) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_idle_strangers_cannot_shut_out_those_at_the_socket(token, ask, tmp_path, port, monkeypatch):
    monkeypatch.setattr(protocol, "REQUEST_S", 1.0)
    assert token
    client = ControlClient(tmp_path / "control.sock")
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((LOOPBACK, port), 30)) for _ in range(200)]
        idle[0].sendall(b"GET /metrics HTTP/1.1\r\nHo")
        assert client.status()
        assert client.status()
        for sock in idle:  # the last ones at once, the others when they have said nothing for long enough
            with suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert ask("GET", "/metrics")[0] == 200


def test_half_a_request_keeps_no_place_also_after_an_answer(token, port, monkeypatch):
    monkeypatch.setattr(protocol, "REQUEST_S", 0.2)
    assert token
    whole = f"GET /healthz HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\n\r\n".encode()
    with socket.create_connection((LOOPBACK, port), 4) as sock:
        for _ in range(3):  # who asks again in time is answered
            sock.sendall(whole[:20])
            sock.sendall(whole[20:])
            answer = b""
            while not answer.endswith(b"}\n"):
                part = sock.recv(65536)
                assert part, "it is still there"
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 ")
        sock.sendall(whole[:20])
        with suppress(ConnectionResetError):
            assert sock.recv(1) == b""


def test_a_connection_that_has_asked_may_stay(token, port, monkeypatch):
    monkeypatch.setattr(protocol, "REQUEST_S", 0.05)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.02)
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    connection.request("GET", "/v1/events", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    assert answer.readline().startswith(b"id: ")
    other = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    other.connect()
    assert other.sock.recv(1) == b""  # the one that has said nothing is gone
    assert all(answer.readline() for _ in range(20))  # and this one is still told that the daemon lives
    for each in (connection, other):
        each.close()
    answer.close()


def test_it_listens_on_the_given_address_only(token, port):
    assert token
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), 30)


def test_it_listens_on_ipv6_too(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with free_port("::1") as port, ControlServer(FakeDaemon(), tmp_path / "control.sock", http=("::1", port)):
        connection = http.client.HTTPConnection("::1", port, timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_port_that_is_taken_is_a_clear_error_and_leaves_nothing(tmp_path, port):
    with socket.socket() as other:
        other.bind((LOOPBACK, port))
        other.listen()
        with pytest.raises(
            ControlSocketError, match=f"cannot be offered on 127.0.0.1:{port}: Address already in use"
        ) as caught:
            ControlServer(FakeDaemon(), tmp_path / "control.sock", http=(LOOPBACK, port)).start()
    assert "control.http" in caught.value.remedy
    assert not (tmp_path / "control.sock").exists()


@pytest.mark.parametrize("asked", [socket.AF_INET6, socket.AF_UNIX])
@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EMFILE])
def test_where_there_is_no_such_socket_that_is_told_as_what_it_is(tmp_path, port, monkeypatch, asked, code):
    """Of a kernel that was started without IPv6 the daemon ended with a traceback."""
    real = socket.socket

    def make(family=socket.AF_INET, *more, **options):
        if family == asked:
            raise OSError(code, os.strerror(code))
        return real(family, *more, **options)

    monkeypatch.setattr("ftpsyncd.control.listening.socket.socket", make)
    http = ("::1", port) if asked == socket.AF_INET6 else None
    with pytest.raises(ControlSocketError, match=os.strerror(code)) as caught:
        ControlServer(FakeDaemon(), tmp_path / "control.sock", http=http).listen()
    if http is not None:
        assert caught.value.message.startswith(f"The control API cannot be offered on [::1]:{port}: ")
        assert ("127.0.0.1" in caught.value.remedy) is (code == errno.EAFNOSUPPORT)
    assert not (tmp_path / "control.sock").exists()


def test_it_comes_back_at_once_after_a_stop(tmp_path, port):
    for _ in range(3):
        control = ControlServer(FakeDaemon(), tmp_path / "control.sock", http=(LOOPBACK, port))
        with control, socket.create_connection((LOOPBACK, port), 30) as sock:
            sock.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_without_it_there_is_no_token_either(tmp_path, token_file):
    with ControlServer(FakeDaemon(), tmp_path / "control.sock", token_file=token_file):
        assert not token_file.exists()


# ── The file of the token ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_token_is_made_for_its_owner_only_and_kept(token_file, umask):
    old = os.umask(umask)
    try:
        token = token_in(token_file)
    finally:
        os.umask(old)
    assert len(token) >= 40
    assert not token_file.stat().st_mode & 0o077
    assert token_in(token_file) == token
    assert [entry.name for entry in token_file.parent.iterdir()] == ["control.token"]
    token_file.unlink()
    assert token_in(token_file) != token


def test_what_a_start_that_was_killed_had_begun_to_write_is_in_nobodys_way(token_file):
    """In a container each process may have the number of the one before."""
    token_file.with_name(f"{token_file.name}.{os.getpid()}.new").write_text("half a to")
    assert len(token_in(token_file)) >= 40
    assert [entry.name for entry in token_file.parent.iterdir()] == ["control.token"]


def test_all_of_it_is_on_the_disk_before_it_has_its_name(token_file, monkeypatch):
    """A power failure in the first half minute left an empty file, with which the daemon did not start any more."""
    kept = []

    def keep(descriptor):
        assert not token_file.exists()
        kept.append(Path(f"/proc/self/fd/{descriptor}").read_text())

    monkeypatch.setattr(os, "fsync", keep)
    token = token_in(token_file)
    assert kept == [f"{token}\n"]
    assert token_in(token_file) == token
    assert len(kept) == 1, "one that is there is only read"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused(token_file, mode):
    token_in(token_file)
    token_file.chmod(mode)
    with pytest.raises(ControlSocketError, match="others can read it") as caught:
        token_in(token_file)
    assert "Remove" in caught.value.remedy


def test_a_token_of_another_user_is_refused(token_file, monkeypatch):
    token_in(token_file)
    monkeypatch.setattr(os, "geteuid", lambda: token_file.stat().st_uid + 1)
    with pytest.raises(ControlSocketError, match="it belongs to another user") as caught:
        token_in(token_file)
    assert f"chown -R ftpsyncd: {as_word(token_file.parent)}`" in caught.value.remedy
    assert "Remove" not in caught.value.remedy, "that would be made anew for who runs it now, and not for the service"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="root reads everything of others")
def test_of_a_token_that_root_has_made_it_is_said_whose_it_has_to_be():
    """A service was told to let its user write the directory, which he did."""
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        token_in(Path(place, "control.token"))
        os.seteuid(65534)
        try:
            with pytest.raises(ControlSocketError, match="Permission denied") as caught:
                token_in(Path(place, "control.token"))
        finally:
            os.seteuid(0)
    assert f"chown -R ftpsyncd: {as_word(place)}`" in caught.value.remedy


@pytest.mark.parametrize("content", ["", "short", "a" * 19, "two words are no token at all", "é" * 30, "a\x01" * 20])
def test_what_is_no_token_is_refused(token_file, content):
    token_file.write_text(content)
    token_file.chmod(0o600)
    with pytest.raises(ControlSocketError, match="it holds no token"):
        token_in(token_file)


def test_a_token_of_ones_own_is_taken(token_file):
    token_file.write_text("my-own-token-of-30-letters-and-more\n")
    token_file.chmod(0o600)
    assert token_in(token_file) == "my-own-token-of-30-letters-and-more"


def test_what_is_no_file_is_refused(token_file, tmp_path):
    token_file.mkdir(0o700)
    with pytest.raises(ControlSocketError, match="cannot be used"):
        token_in(token_file)
    token_file.rmdir()
    (tmp_path / "elsewhere").write_text("x" * 40)
    (tmp_path / "elsewhere").chmod(0o600)
    token_file.symlink_to("elsewhere")
    with pytest.raises(ControlSocketError, match="cannot be used"):
        token_in(token_file)
    token_file.unlink()
    os.mkfifo(token_file, 0o600)
    assert stat.S_ISFIFO(token_file.stat().st_mode)
    with pytest.raises(ControlSocketError, match="it is no file"):
        token_in(token_file)


def test_a_full_disk_is_not_littered_with_half_made_tokens(token_file):
    with (
        resource_limit(resource.RLIMIT_FSIZE, 10),
        pytest.raises(ControlSocketError, match="cannot be used: File too large"),
    ):
        token_in(token_file)
    assert list(token_file.parent.iterdir()) == []


@contextmanager
def resource_limit(what, value):
    """Files may not grow beyond it; a full disk says the same in other words."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ControlSocketError, match="No such file or directory"):
        token_in(tmp_path / "nowhere" / "control.token")


def test_a_connection_of_unknown_kind_counts_as_tcp():
    async def app(_scope, _receive, send):
        await send({"type": "passed"})

    async def never():
        raise AssertionError("no body is read")

    for server, passes in ((None, False), (("/run/x.sock", None), True), (("127.0.0.1", 8021), False)):
        sent: list[str] = []

        async def send(message, sent=sent):
            sent.append(message["type"])

        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/v1/status", "headers": [], "server": server}
        coroutine: Any = Guard(app, LOOPBACK, 8021, "t" * 30)(scope, never, send)
        with pytest.raises(StopIteration):  # it never waits
            coroutine.send(None)
        assert (sent == ["passed"]) is passes


def test_whether_a_token_could_be_used_is_told_without_making_one(token_file):
    assert unfit(token_file) is None
    assert not token_file.exists()
    token_in(token_file)
    assert unfit(token_file) is None
    token_file.chmod(0o640)
    assert "others can read it" in str(unfit(token_file))
    token_file.chmod(0o600)
    token_file.write_text("short")
    assert "it holds no token" in str(unfit(token_file))
    token_file.unlink()
    token_file.symlink_to("nowhere")
    assert unfit(token_file) is not None
    assert "it is no file" in str(unfit(token_file.parent))


def test_whose_it_is_matters_to_who_is_to_use_it_only(token_file, monkeypatch):
    """Root may ask about a service's."""
    token_in(token_file)
    monkeypatch.setattr(os, "geteuid", lambda: token_file.stat().st_uid + 1)
    assert unfit(token_file) is None
