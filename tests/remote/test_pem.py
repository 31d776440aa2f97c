"""Files for TLS that cannot be loaded: which of them it is, what is wrong with it, and what helps."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme

from ftpsyncd.errors import TlsFileError
from ftpsyncd.remote.sockets import translate
from ftpsyncd.remote.tls import tls_context
from ftpsyncd.specs import ServerSpec


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """What is right, by the names of keys; and others."""
    authority = trustme.CA()
    ours, another = (authority.issue_cert("publisher.example.com") for _ in range(2))
    other_kind = authority.issue_cert("publisher.example.com", key_type=trustme.KeyType.RSA)
    certificate, key = ours.cert_chain_pems[0].bytes(), ours.private_key_pem.bytes()
    content = {
        "tls_ca": authority.cert_pem.bytes(),
        "client_cert": certificate,
        "client_key": key,
        "another": another.private_key_pem.bytes(),
        "of another kind": other_kind.private_key_pem.bytes(),
        "empty": b"",
        "certificate.der": ssl.PEM_cert_to_DER_cert(certificate.decode()),
        "half a certificate": certificate[:300],
        "half a key": key[:100],
        "both": another.private_key_pem.bytes() + certificate,
    }
    for name, each in content.items():
        (tmp_path / name).write_bytes(each)
    (tmp_path / "directory").mkdir()
    return {name: tmp_path / name for name in (*content, "directory", "none")}


@pytest.mark.parametrize(
    ("wrong", "key", "said"),
    [
        ({"tls_ca": "empty"}, "tls_ca", "{tls_ca} cannot be loaded: it holds no certificate in text form (PEM)."),
        ({"tls_ca": "certificate.der"}, "tls_ca", "it holds no certificate in text form (PEM)."),
        ({"tls_ca": "client_key"}, "tls_ca", "it holds no certificate in text form (PEM)."),
        ({"tls_ca": "directory"}, "tls_ca", "{tls_ca} cannot be loaded: Is a directory."),
        ({"client_cert": "certificate.der"}, "client_cert", "it holds no certificate in text form (PEM)."),
        ({"client_cert": "client_key"}, "client_cert", "it holds no certificate in text form (PEM)."),
        ({"client_key": "empty"}, "client_key", "{client_key} cannot be loaded: it holds no private key in text form"),
        ({"client_key": "client_cert"}, "client_key", "it holds no private key in text form (PEM)."),
        ({"client_key": "none"}, "client_key", "{client_key} cannot be loaded: No such file or directory."),
        ({"client_key": "another"}, "client_cert", "{client_cert} cannot be loaded: its key is not {client_key}."),
        ({"client_key": "of another kind"}, "client_cert", "its key is not {client_key}."),
        ({"client_cert": "half a certificate"}, "client_cert", "it or {client_key} is damaged or not complete."),
        ({"client_key": "half a key"}, "client_cert", "it or {client_key} is damaged or not complete."),
        ({"client_cert": "both", "client_key": "both"}, "client_cert", "its key is not that of its certificate."),
    ],
    ids=lambda value: " and ".join(value.values()) if isinstance(value, dict) else None,
)
def test_it_is_said_which_it_is_and_what_is_wrong(files, wrong, key, said):
    named = {each: files[wrong.get(each, each)] for each in ("tls_ca", "client_cert", "client_key")}
    with pytest.raises(TlsFileError) as caught:
        tls_context(ServerSpec("web", "h", "u", **named))
    assert caught.value.key == key
    assert said.format(**named) in caught.value.message
    assert "_ssl" not in caught.value.message


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
@pytest.mark.parametrize("key", ["tls_ca", "client_cert"])
def test_the_command_that_is_given_makes_one_that_is_loaded(files, key):
    named = {each: files[each] for each in ("tls_ca", "client_cert", "client_key")}
    with pytest.raises(TlsFileError) as caught:
        tls_context(ServerSpec("web", "h", "u", **{**named, key: files["certificate.der"]}))
    command = caught.value.remedy.split("`")[1].replace("FILE", str(files["none"]))
    subprocess.run(["sh", "-ec", command], check=True)
    tls_context(ServerSpec("web", "h", "u", **{**named, key: files["none"]}))


def test_a_chain_that_is_not_complete_is_thought_of():
    error = ssl.SSLCertVerificationError("x")
    error.verify_code, error.verify_message = 20, "unable to get local issuer certificate"
    assert "have the server send the certificates in between" in translate(error, "beginning TLS").remedy
