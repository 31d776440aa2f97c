"""Files for TLS that cannot be loaded: which of them it is, what is wrong with it, and what helps."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from ftpsyncd.errors import TlsFileError
from ftpsyncd.quoting import as_word
from ftpsyncd.remote import pem
from ftpsyncd.remote.sockets import translate
from ftpsyncd.remote.tls import tls_context
from ftpsyncd.specs import ServerSpec

DER = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8


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
        "der certificate": ssl.PEM_cert_to_DER_cert(certificate.decode()),
        "der key": serialization.load_pem_private_key(key, None).private_bytes(*DER, serialization.NoEncryption()),
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
        ({"tls_ca": "der certificate"}, "tls_ca", "it holds no certificate in text form (PEM)."),
        ({"tls_ca": "client_key"}, "tls_ca", "it holds no certificate in text form (PEM)."),
        ({"tls_ca": "directory"}, "tls_ca", "{tls_ca} cannot be loaded: Is a directory."),
        ({"client_cert": "der certificate"}, "client_cert", "it holds no certificate in text form (PEM)."),
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
@pytest.mark.parametrize(
    ("key", "der"), [("tls_ca", "der certificate"), ("client_cert", "der certificate"), ("client_key", "der key")]
)
def test_the_command_that_is_given_makes_one_that_is_loaded(files, key, der):
    named = {each: files[each] for each in ("tls_ca", "client_cert", "client_key")}
    with pytest.raises(TlsFileError) as caught:
        tls_context(ServerSpec("web", "h", "u", **{**named, key: files[der]}))
    command = caught.value.remedy.split("`")[1].replace("FILE", as_word(files["none"]))
    subprocess.run(["sh", "-ec", command], check=True)
    tls_context(ServerSpec("web", "h", "u", **{**named, key: files["none"]}))


def test_no_command_is_given_for_what_is_in_neither_form(files):
    with pytest.raises(TlsFileError) as caught:
        tls_context(ServerSpec("web", "h", "u", tls_ca=files["empty"]))
    assert caught.value.remedy == TlsFileError.remedy


@pytest.mark.parametrize(
    ("key", "label"),
    [("tls_ca", f"{kind}CERTIFICATE") for kind in ("", "X509 ", "TRUSTED ")]
    + [("tls_ca", "X509 CRL")]
    + [("client_key", f"{kind}PRIVATE KEY") for kind in ("", "EC ", "RSA ", "ENCRYPTED ")],
)
def test_whatever_openssl_takes_for_one_is_left_to_it(tmp_path, key, label):
    (tmp_path / "file").write_text(f"-----BEGIN {label}-----\n")
    with pem.loading(**{key: tmp_path / "file"}):
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory."),
        (ssl.SSLError(9, "[X509] unsupported algorithm (_ssl.c:4102)"), "[X509] unsupported algorithm."),
    ],
)
def test_what_else_is_wrong_is_told_as_it_is(files, error, said):
    """As a file that has gone since it was looked at."""
    if isinstance(error, ssl.SSLError):
        error.reason = "UNSUPPORTED_ALGORITHM"
    with (
        pytest.raises(TlsFileError) as caught,
        pem.loading(client_cert=files["client_cert"], client_key=files["client_key"]),
    ):
        raise error
    assert caught.value.message == f"{files['client_cert']} cannot be loaded: {said}"


def test_a_chain_that_is_not_complete_is_thought_of():
    error = ssl.SSLCertVerificationError("x")
    error.verify_code, error.verify_message = 20, "unable to get local issuer certificate"
    assert "have the server send the certificates in between" in translate(error, "beginning TLS").remedy
