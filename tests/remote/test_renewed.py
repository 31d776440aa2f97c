"""Certificates that are renewed while a program or the daemon runs: who connects next has the new ones."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from ftpsyncd import patience
from ftpsyncd.errors import NoSocketError, Retry, TlsError, TlsFileError
from ftpsyncd.remote import tls
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.tls import Credentials, tls_context
from ftpsyncd.remote.wire import Timeouts
from ftpsyncd.specs import ServerSpec, TlsMode
from tests.fewfiles import no_number_left
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
                assert answers.wait(20), "it was waited for"
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


class TestCredentials:
    """When the files of an account are loaded; nobody connects."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, Path]:
        authority = trustme.CA()
        ours = authority.issue_cert("publisher.example.com")
        found = {
            "tls_ca": authority.cert_pem.bytes(),
            "client_cert": ours.cert_chain_pems[0].bytes(),
            "client_key": ours.private_key_pem.bytes(),
        }
        for name, content in found.items():
            (tmp_path / name).write_bytes(content)
        return {name: tmp_path / name for name in found}

    @pytest.fixture
    def credentials(self, files: dict[str, Path]) -> Credentials:
        spec = ServerSpec("web", "127.0.0.1", "u", tls_ca=files["tls_ca"])
        return Credentials(spec._replace(client_cert=files["client_cert"], client_key=files["client_key"]))

    @pytest.mark.parametrize("name", ["tls_ca", "client_cert", "client_key"])
    def test_each_file_that_is_another_one_is_read_again(self, credentials, files, name):
        """Also one of the same size and date, as `cp -p` and rsync leave it."""
        first, before = credentials.context(""), files[name].stat()
        assert credentials.look_again() is None
        assert credentials.context("") is first
        replace(files[name], files[name].read_bytes())
        os.utime(files[name], ns=(before.st_atime_ns, before.st_mtime_ns))
        assert credentials.look_again() is None
        assert credentials.context("") is not first

    def test_where_no_file_can_be_opened_none_is_to_blame_and_they_are_read_later(self, credentials):
        with no_number_left(), pytest.raises(NoSocketError):
            credentials.context("")
        assert credentials.context("").cert_store_stats()["x509_ca"] > 0

    def test_what_changes_while_it_is_read_is_read_again(self, credentials, files, monkeypatch):
        def load(spec: ServerSpec, group: str) -> ssl.SSLContext:
            context = tls_context(spec, group)
            replace(files["tls_ca"], files["tls_ca"].read_bytes())
            return context

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(tls, "tls_context", load)
            first = credentials.context("")
        assert credentials.look_again() is None
        assert credentials.context("") is not first

    def test_another_group_has_another_context(self, credentials):
        first, second = credentials.context(""), credentials.context("secp384r1")
        assert second is not first
        assert credentials.context("secp384r1") is second

    def test_a_certificate_whose_key_is_not_there_yet_has_the_one_before_it_do_for_another_group_too(
        self, credentials, files
    ):
        """A server that asks for a group does so at the first login: the second one failed then, and all waited."""
        first = credentials.context("")
        renewed = trustme.CA().issue_cert("publisher.example.com")
        replace(files["client_cert"], renewed.cert_chain_pems[0].bytes())
        assert isinstance(credentials.look_again(), TlsFileError)
        assert credentials.context("secp384r1") is first
        replace(files["client_key"], renewed.private_key_pem.bytes())
        assert credentials.context("secp384r1") is not first

    @pytest.mark.parametrize("group", ["", "secp384r1"])
    def test_a_key_that_was_removed_counts_for_as_long_as_the_daemon_runs(self, credentials, files, group):
        first = credentials.context("")
        files["client_key"].unlink()
        assert isinstance(credentials.look_again(), TlsFileError)
        assert credentials.context(group) is first


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
