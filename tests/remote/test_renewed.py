"""Certificates that are renewed while a program or the daemon runs: who connects next has the new ones."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from ftpsyncd import patience
from ftpsyncd.errors import Retry, TlsError, TlsFileError
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import TlsMode
from tests.remote.scripted import Scripted
from tests.servers import certificates, running

QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=0.3)


def server_of(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def replace(path: Path, content: bytes) -> None:
    """As programs do that renew certificates."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


class TestTheServers:
    """`tls_ca` names what the server's certificate comes from."""

    @pytest.fixture
    def before(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def after(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def anchor(self, before: trustme.CA, tmp_path: Path) -> Path:
        path = tmp_path / "ca.pem"
        path.write_bytes(before.cert_pem.bytes())
        return path

    def test_the_anchor_that_is_there_counts(self, before, after, anchor):
        with Scripted(tls=server_of(before)) as server:
            account = Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor), timeouts=QUICK)
            account().close()
            server.tls = server_of(after)
            with pytest.raises(TlsError, match="does not verify"):
                account()
            replace(anchor, after.cert_pem.bytes())
            account().close()
            server.tls = server_of(before)
            with pytest.raises(TlsError, match="does not verify"):
                account()

    def test_so_does_that_of_the_system(self, before, after, anchor, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(anchor))
        with Scripted(tls=server_of(before)) as server:
            account = Account(server.spec(tls=TlsMode.EXPLICIT), timeouts=QUICK)
            account().close()
            server.tls = server_of(after)
            replace(anchor, after.cert_pem.bytes())
            account().close()

    def test_a_session_that_lasts_is_not_disturbed(self, before, after, anchor, tmp_path):
        with Scripted(tls=server_of(before)) as server:
            account = Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor), timeouts=QUICK)
            with account() as lasting:
                replace(anchor, after.cert_pem.bytes())
                server.tls = server_of(after)
                with account() as another:
                    assert another.stat("/") is not None
                server.files["/f"] = b"content"
                with (tmp_path / "f").open("wb") as into:
                    assert lasting.fetch("/f", into) == 7

    def test_while_a_file_is_written_the_one_before_it_counts(self, before, after, anchor):
        with Scripted(tls=server_of(before)) as server:
            account = Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor), timeouts=QUICK)
            account().close()
            anchor.write_bytes(after.cert_pem.bytes()[:300])
            account().close()
            anchor.unlink()
            account().close()
            replace(anchor, after.cert_pem.bytes())
            server.tls = server_of(after)
            account().close()

    def test_if_that_does_not_do_any_more_it_is_said_what_is_wrong_with_the_new_one(self, before, after, anchor):
        with Scripted(tls=server_of(before)) as server:
            account = Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor), timeouts=QUICK)
            account().close()
            anchor.write_text("no certificate")
            server.tls = server_of(after)
            with pytest.raises(TlsFileError, match=r"ca\.pem cannot be loaded") as caught:
                account()
            assert caught.value.retry is Retry.LOGIN

    @pytest.mark.parametrize("changed", [False, True])
    def test_it_is_read_again_only_if_it_is_another_one(self, before, anchor, monkeypatch, changed):
        with Scripted(tls=server_of(before)) as server:
            account = Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor), timeouts=QUICK)
            account().close()
            first = account.context
            if changed:
                os.utime(anchor, (1, 1))
            account().close()
            assert (account.context is not first) is changed

    def test_a_disk_that_hangs_later_keeps_nobody_from_connecting(self, before, anchor, monkeypatch):
        answers = threading.Event()
        look = os.stat

        def hang(path, **options):
            if path == anchor:
                answers.wait(20)
            return look(path, **options)

        with Scripted(tls=server_of(before)) as server:
            account = Account(server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor), timeouts=QUICK)
            account().close()
            monkeypatch.setattr(patience, "ANSWER_S", 0.2)
            monkeypatch.setattr(os, "stat", hang)
            try:
                account().close()
            finally:
                answers.set()


@pytest.mark.real_server
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_a_certificate_of_ours_that_is_renewed_is_shown(kind, tmp_path):
    """The one before it is refused, as one that has expired is."""
    ours = tmp_path / "client.pem"
    ours.write_bytes(trustme.CA().issue_cert("publisher.example.com").private_key_and_cert_chain_pem.bytes())
    with running(kind, tls="explicit", client_certificate=True) as server:
        account = Account(server.spec(client_cert=ours, client_key=ours), timeouts=QUICK)
        with pytest.raises(TlsError):
            account()
        replace(ours, certificates().client.read_bytes())
        with account() as session:
            assert session.stat("/") is not None
