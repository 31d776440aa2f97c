"""A server whose certificate an authority of its owner has signed: it is trusted alike by every Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsyncd.errors import TlsError
from ftpsyncd.remote.account import Account
from ftpsyncd.specs import TlsMode
from tests.plainest import CA, DAY, ELSEWHERE, HERE, Signed
from tests.remote.scripted import Scripted


@pytest.fixture(scope="module")
def root() -> Signed:
    return Signed("our authority", None, CA)


@pytest.fixture(scope="module")
def between(root: Signed) -> Signed:
    return Signed("our authority for servers", root, CA)


@pytest.fixture
def connected(tmp_path: Path) -> Callable[..., None]:
    """Log in at a server that shows these certificates, the anchor being that one."""

    def connect(anchor: Signed, *shown: Signed) -> None:
        first, *others = shown
        with Scripted(tls=first.serving(tmp_path, *others)) as server:
            spec = server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor.save(tmp_path / "ca.pem"))
            with Account(spec)() as session:
                session.noop()

    return connect


def test_an_authority_of_the_plainest_form_is_trusted(root: Signed, connected: Callable[..., None]) -> None:
    connected(root, Signed("server", root, HERE))


def test_so_is_one_that_it_has_signed(root: Signed, between: Signed, connected: Callable[..., None]) -> None:
    connected(root, Signed("server", between, HERE), between)


def test_that_one_suffices_where_it_is_the_anchor(between: Signed, connected: Callable[..., None]) -> None:
    connected(between, Signed("server", between, HERE))


def test_so_does_the_certificate_of_the_server_itself(between: Signed, connected: Callable[..., None]) -> None:
    server = Signed("server", between, HERE)
    connected(server, server)


def test_what_another_authority_has_signed_is_refused(root: Signed, connected: Callable[..., None]) -> None:
    # It has the same name: only its key is another one.
    with pytest.raises(TlsError, match="does not verify: certificate signature failure"):
        connected(root, Signed("server", Signed("our authority", None, CA), HERE))


def test_so_is_what_was_signed_by_a_certificate_that_is_no_authority(
    root: Signed, connected: Callable[..., None]
) -> None:
    no_authority = Signed("server", root, HERE)
    with pytest.raises(TlsError, match="does not verify: invalid CA certificate"):
        connected(root, Signed("another", no_authority, HERE), no_authority)


@pytest.mark.parametrize("itself", [False, True])
def test_so_is_one_for_another_host(root: Signed, connected: Callable[..., None], *, itself: bool) -> None:
    server = Signed("server", root, ELSEWHERE)
    with pytest.raises(TlsError, match=r"certificate is not valid for '127\.0\.0\.1'"):
        connected(server if itself else root, server)


def test_so_is_one_whose_authority_has_expired(connected: Callable[..., None]) -> None:
    """It is the anchor that is to be renewed here, and the server's certificate is well: OpenSSL does not tell which."""
    expired = Signed("our authority", None, CA, until=-DAY)
    with pytest.raises(TlsError, match="does not verify: certificate has expired") as caught:
        connected(expired, Signed("server", expired, HERE))
    assert "that of its authority (which `tls_ca` may name)" in caught.value.remedy


@pytest.mark.parametrize("itself", [False, True])
def test_so_is_one_that_has_expired(root: Signed, connected: Callable[..., None], *, itself: bool) -> None:
    server = Signed("server", root, HERE, until=-DAY)
    with pytest.raises(TlsError, match="does not verify: certificate has expired"):
        connected(server if itself else root, server)
