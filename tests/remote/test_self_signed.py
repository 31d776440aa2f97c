"""A server whose certificate nobody but itself has signed: what a user is told, and the commands that the page gives."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from ftpsyncd.errors import TlsError
from ftpsyncd.remote.account import Account
from ftpsyncd.specs import TlsMode
from tests.remote.scripted import Scripted

PAGE = Path(__file__).parent.parent.parent / "docs/config.md"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


@pytest.fixture
def signed_by_itself(tmp_path: Path) -> ssl.SSLContext:
    made = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"),
    ]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return context


def test_the_commands_of_the_page_fetch_a_certificate_that_is_trusted_then(
    tmp_path: Path, signed_by_itself: ssl.SSLContext
) -> None:
    [commands] = re.findall(r"^```sh\n(openssl .*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with Scripted(tls=signed_by_itself) as server:
        spec = {"host": "localhost", "tls": TlsMode.EXPLICIT}
        with pytest.raises(TlsError, match="does not verify: self-signed certificate") as caught:
            Account(server.spec(**spec))()
        assert caught.value.remedy.startswith("If this is the right server, save its certificate in a file")
        script = commands.replace("ftp.example.com:21", f"localhost:{server.port}")
        done = subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert "DNS:localhost" in done.stdout
        assert "ingerprint=" in done.stdout
        with Account(server.spec(**spec, tls_ca=tmp_path / "web.pem"))() as session:
            session.noop()
