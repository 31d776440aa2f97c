"""Failures of sockets and TLS have a type, whatever raises them."""

from __future__ import annotations

import ftplib
import inspect
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ftpsyncd import errors
from ftpsyncd.remote import wire
from ftpsyncd.remote.sockets import FAILURES, end_by_reset, translate, undelivered
from ftpsyncd.remote.tls import certified, tls_context
from ftpsyncd.remote.wire import Control, Timeouts
from ftpsyncd.specs import ServerSpec
from tests.servers import certificates
from tests.waiting import until


def exceptions_of(module) -> list[type[Exception]]:
    found = {c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, Exception)}
    return sorted(found, key=lambda c: c.__name__)


def descendants(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(descendants(c) for c in kind.__subclasses__()))


LOWER = sorted(
    {
        *exceptions_of(ssl),
        *(c for c in exceptions_of(socket) if not c.__name__.startswith("_")),
        # (_GiveupOnSendfile never leaves socket.sendfile.)
        *(c for c in descendants(OSError) if c.__module__ in {"builtins", "socket", "ssl"}),
        EOFError,
        ValueError,
    },
    key=lambda c: c.__name__,
)


def test_a_peer_that_resets_before_it_is_asked_for_its_address(monkeypatch):
    def hasty(*_where) -> socket.socket:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sock = socket.socket()
            sock.connect(listener.getsockname())
            peer, _ = listener.accept()
        end_by_reset(peer)
        peer.close()
        return sock

    monkeypatch.setattr(wire, "connected", hasty)
    with pytest.raises(errors.ServerUnavailableError):
        Control("h", 21, Timeouts())


def test_an_address_of_version_6_is_told_from_its_port():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as closed:
            port = closed.getsockname()[1]
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with pytest.raises(errors.ServerUnavailableError, match=rf"connecting to \[::1\]:{port}\."):
        Control("::1", port, Timeouts())


class TestTranslate:
    @pytest.mark.parametrize("kind", LOWER, ids=lambda c: c.__name__)
    def test_every_lower_exception_is_caught_and_mapped(self, kind):
        assert issubclass(kind, FAILURES)
        error = translate(kind(1, "words") if issubclass(kind, OSError) else kind("words"), "testing")
        assert isinstance(error, errors.ServerUnavailableError | errors.TlsError)
        assert "testing" in error.message or isinstance(error, errors.TlsError) or "host name" in error.message

    def test_ftplib_has_none_that_could_come_from_here(self):
        # It is not imported; its errors are its own class beside OSError and EOFError.
        assert {c for c in ftplib.all_errors if not issubclass(c, FAILURES)} == {ftplib.Error}
        sources = Path(inspect.getfile(Control)).parent.glob("*.py")
        assert not [path.name for path in sources if "import ftplib" in path.read_text()]

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (ssl.SSLCertVerificationError(1, "bad"), errors.TlsError),
            (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), errors.ServerUnavailableError),
            (ssl.SSLEOFError(8, "EOF"), errors.ServerUnavailableError),
            (ssl.SSLZeroReturnError(6, "closed"), errors.ServerUnavailableError),
            (ConnectionRefusedError(111, "refused"), errors.ServerUnavailableError),
            (socket.gaierror(-2, "Name or service not known"), errors.ServerUnavailableError),
            (TimeoutError(), errors.ServerUnavailableError),
        ],
    )
    def test_trust_is_told_from_reachability(self, error, kind):
        assert type(translate(error, "x")) is kind

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            (10, "renewed"),
            (9, "clock"),
            (18, "`tls_ca`"),
            (20, "`tls_ca`"),
            (62, "`host`"),
            (66, "weak"),
            (68, "weak"),
            (1, "`tls`"),
        ],
    )
    def test_what_helps_depends_on_what_is_wrong_with_the_certificate(self, code, said):
        error = ssl.SSLCertVerificationError(1, "bad")
        error.verify_code, error.verify_message = code, "it is bad"
        assert said in translate(error, "x").remedy

    @pytest.mark.parametrize(
        ("reason", "said", "misleads"),
        [
            ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "set `client_cert` and `client_key`", "tls_ca"),
            ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "has expired: have it renewed", "tls_ca"),
            ("SSLV3_ALERT_CERTIFICATE_REVOKED", "was revoked: have a new one made", "tls_ca"),
            ("TLSV1_ALERT_UNKNOWN_CA", "does not know who has signed", "tls_ca"),
            ("SSLV3_ALERT_BAD_CERTIFICATE", "if the server wants one, `client_cert`", "expired"),
        ],
    )
    def test_a_server_that_wants_another_certificate_of_ours_is_not_asked_again_and_again(self, reason, said, misleads):
        """Under TLS 1.3 that is said after the handshake, wherever we are by then.

        Who had let his own run out was told to check `host`, `tls` and `tls_ca`.
        """
        error = ssl.SSLError(1, f"[SSL: {reason}]")
        error.reason = reason
        told = translate(error, "x")
        assert type(told) is errors.TlsError
        assert told.retry is errors.Retry.LOGIN
        assert "client_cert" in told.remedy
        assert said in told.remedy
        assert misleads not in told.remedy

    def test_a_typed_error_stays(self):
        error = errors.ServerFullError("full")
        assert translate(error, "x") is error


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("ftp.example.com", "ftp.example.com"),
        ("ftp.example.com.", "ftp.example.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_certificate_knows_a_host_without_what_is_for_this_machine_only(host: str, name: str):
    assert certified(host) == name


class TestContext:
    @pytest.mark.parametrize("group", ["", "prime256v1"])
    def test_it_verifies_names_and_certificates(self, group):
        context = tls_context(ServerSpec("s", "h", "u"), group)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2

    def test_verification_can_be_switched_off(self):
        context = tls_context(ServerSpec("s", "h", "u", tls_verify=False))
        assert context.verify_mode is ssl.CERT_NONE

    def test_it_is_the_certificate_that_is_named_where_it_is_wrong_and_the_anchor_is_not(self, tmp_path):
        (tmp_path / "junk.pem").write_text("no certificate\n")
        spec = ServerSpec("s", "h", "u", tls_ca=certificates().ca, client_cert=tmp_path / "junk.pem")
        with pytest.raises(errors.TlsFileError, match=r"junk\.pem") as caught:
            tls_context(spec._replace(client_key=certificates().client))
        assert str(certificates().ca) not in caught.value.message

    def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(self, tmp_path):
        client = certificates().client
        key = serialization.load_pem_private_key(client.read_bytes(), None)
        words = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
        (tmp_path / "a key.pem").write_bytes(words)
        with pytest.raises(errors.TlsFileError, match="passphrase") as caught:
            tls_context(ServerSpec("s", "h", "u", client_cert=client, client_key=tmp_path / "a key.pem"))
        assert f"openssl pkey -in '{tmp_path / 'a key.pem'}'" in caught.value.remedy
        assert caught.value.key == "client_key"

    def test_the_version_can_be_limited(self):
        assert tls_context(ServerSpec("s", "h", "u", tls_max="1.2")).maximum_version is ssl.TLSVersion.TLSv1_2

    def test_an_anchor_that_cannot_be_read_is_an_error(self, tmp_path):
        for spec in (
            ServerSpec("s", "h", "u", tls_ca=tmp_path / "none.pem"),
            ServerSpec("s", "h", "u", client_cert=tmp_path / "none.pem"),
        ):
            with pytest.raises(errors.TlsError, match=r"none\.pem"):
                tls_context(spec)


class TestControl:
    def test_no_connection_is_unavailable(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        with pytest.raises(errors.ServerUnavailableError):
            Control("127.0.0.1", port, Timeouts())

    def test_an_unknown_host_is_unavailable(self):
        with pytest.raises(errors.ServerUnavailableError, match="not known"):
            Control("host.invalid", 21, Timeouts())

    def test_silence_ends_the_line(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            control = Control("127.0.0.1", server.getsockname()[1], Timeouts(reply_s=0.05))
            with pytest.raises(errors.ServerUnavailableError, match="Time-out"):
                control.reply()
            assert control.broken
            with pytest.raises(errors.ServerUnavailableError):
                control.send([b"NOOP"])
            control.close()

    def test_a_trickle_is_silence(self):
        stop = threading.Event()

        def trickle(server: socket.socket) -> None:
            peer, _ = server.accept()
            with peer:
                while not stop.wait(0.01):
                    peer.sendall(b"2")

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=trickle, args=[server])
            thread.start()
            control = Control("127.0.0.1", server.getsockname()[1], Timeouts(reply_s=0.2))
            with pytest.raises(errors.ServerUnavailableError):
                control.reply()
            stop.set()
            thread.join()
            control.close()

    def test_what_was_not_delivered_is_taken_back(self):
        """The kernel would deliver it minutes later, when somebody else has long done what it said."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            control = Control("127.0.0.1", server.getsockname()[1], Timeouts(reply_s=0.2))
            peer, _ = server.accept()
            sent = 64 << 20
            with pytest.raises(errors.ServerUnavailableError):
                control.send([b"DELE " + b"a" * sent])
            with pytest.raises(errors.ServerUnavailableError, match="finished"):
                control.send([b"NOOP"])
            control.close()
            arrived: list[int] = []
            with peer, pytest.raises(ConnectionResetError):
                arrived.extend(iter(lambda: len(peer.recv(1 << 20)), 0))
            assert sum(arrived) < sent

    def test_who_had_to_wait_until_all_was_sent_waits_for_the_answer_without_a_turn(self):
        sent = 16 << 20

        def take(peer: socket.socket) -> None:
            left = sent
            while left > 0 and (read := len(peer.recv(1 << 20))):
                left -= read

        with socket.create_server(("127.0.0.1", 0)) as server:
            control = Control("127.0.0.1", server.getsockname()[1], Timeouts())
            peer, _ = server.accept()
            with peer:
                reader = threading.Thread(target=take, args=[peer])
                reader.start()
                control.send([b"DELE " + b"a" * sent])
                reader.join()
                assert control._poll.poll(0) == []
            control.close()

    def test_it_is_taken_back_when_the_process_is_killed(self):
        """By the kernel: nobody else is left."""
        send = f"Control('127.0.0.1', int(sys.argv[1]), Timeouts()).send([b'DELE ' + b'a' * {64 << 20}])"
        with socket.create_server(("127.0.0.1", 0)) as server:
            program = f"import sys; from ftpsyncd.remote.wire import Control, Timeouts; {send}"
            with subprocess.Popen([sys.executable, "-c", program, str(server.getsockname()[1])]) as sender:
                peer, _ = server.accept()
                with peer:
                    assert peer.recv(1000) == b"DELE " + b"a" * 995
                    sender.kill()
                    sender.wait()
                    with pytest.raises(ConnectionResetError):
                        list(iter(lambda: peer.recv(1 << 20), b""))

    def test_where_all_was_delivered_the_end_is_no_reset(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            control = Control("127.0.0.1", server.getsockname()[1], Timeouts())
            peer, _ = server.accept()
            control.send([b"NOOP"])
            with peer:
                assert peer.recv(100) == b"NOOP\r\n"
                until(lambda: undelivered(control._sock) == 0, "it is acknowledged")
                control.close()
                assert peer.recv(100) == b""

    def test_the_last_word_of_an_orderly_end_arrives(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            control = Control("127.0.0.1", server.getsockname()[1], Timeouts())
            peer, _ = server.accept()
            control.send([b"QUIT"])
            control.close(orderly=True)
            with peer:
                assert (peer.recv(100), peer.recv(100)) == (b"QUIT\r\n", b"")

    @pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="what is delayed cannot be told here")
    def test_no_reply_of_a_server_without_nodelay_waits_for_an_acknowledgement(self):
        """It would be 40 ms for each batch: the second reply is kept back until the first one is acknowledged."""
        batches = 40

        def serve(listener: socket.socket) -> None:
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as lines:
                for _line in lines:
                    peer.send(b"200 Yes.\r\n")

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
            control = Control("127.0.0.1", listener.getsockname()[1], Timeouts())
            took_s = []
            for _ in range(batches):
                began = time.monotonic()
                control.send([b"NOOP", b"NOOP", b"NOOP"])
                assert [control.reply().code for _ in range(3)] == [200] * 3
                took_s.append(time.monotonic() - began)
            control.close(orderly=True)
            thread.join()
        # A busy machine is late now and then, and not by the same time.
        assert statistics.median(took_s) < 0.02
