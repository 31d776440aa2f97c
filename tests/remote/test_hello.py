"""What a TLS server asks for in its first answer, taken from answers of a real TLS."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.remote.hello import GROUPS, LONGEST, wanted_group
from ftpsyncd.remote.keeping import Keeper
from ftpsyncd.remote.profile import Profile
from tests.servers import certificates

WEEK_S = 7 * 86400.0


def first_answer(group: str = "", *, key: str = "", most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first bytes of a server that takes one group only, to a client that offers all, or one, and its key."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificates().server)
    server.maximum_version = most
    if group:
        server.set_ecdh_curve(group)
    client = ssl.create_default_context(cafile=certificates().ca)
    if key:
        client.set_ecdh_curve(key)
    hello, answer, nothing = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    for context, to, out, serves in ((client, nothing, hello, False), (server, hello, answer, True)):
        name = None if serves else "localhost"
        with pytest.raises(ssl.SSLWantReadError):
            context.wrap_bio(to, out, server_side=serves, server_hostname=name).do_handshake()
    return answer.read()


@pytest.mark.parametrize("group", ["prime256v1", "secp384r1", "secp521r1"])
def test_the_group_that_a_server_asks_for(group):
    answer = first_answer(group)
    assert wanted_group(answer[:LONGEST]) == group
    assert wanted_group(answer + b"what comes behind it") == group


def test_no_group_from_a_server_that_takes_what_it_gets():
    assert wanted_group(first_answer()[:LONGEST]) == ""
    # Its own key is of the group that it was offered one for: it asks for nothing.
    assert wanted_group(first_answer("prime256v1", key="prime256v1")[:LONGEST]) == ""


@pytest.mark.parametrize("place", [0, 5], ids=["no handshake", "no ServerHello"])
def test_no_group_in_what_only_looks_like_an_answer_of_this_kind(place):
    assert wanted_group(bytes([*ANSWER[:place], ANSWER[place] ^ 1, *ANSWER[place + 1 :]])) == ""


def test_no_group_in_older_tls():
    assert wanted_group(first_answer("prime256v1", most=ssl.TLSVersion.TLSv1_2)[:LONGEST]) == ""


def test_half_an_answer_names_none():
    answer = first_answer("prime256v1")
    length = 5 + int.from_bytes(answer[3:5], "big")
    assert [n for n in range(length) if wanted_group(answer[:n])] == []
    assert wanted_group(answer[:length]) == "prime256v1"


@given(st.binary(max_size=300))
def test_any_bytes_are_borne(data):
    assert wanted_group(data) in {"", *GROUPS.values()}


@given(st.integers(0, 100), st.integers(0, 255))
def test_so_is_an_answer_with_a_wrong_byte(place, byte):
    answer = bytearray(ANSWER)
    answer[min(place, len(answer) - 1)] = byte
    assert wanted_group(bytes(answer)) in {"", *GROUPS.values()}


ANSWER = first_answer("prime256v1")


@pytest.mark.parametrize("name", GROUPS.values())
def test_python_knows_the_names(name):
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ecdh_curve(name)


def test_it_is_remembered_for_a_week_and_no_other_word_is():
    keeper = Keeper(Profile(), "", 0)
    keeper.profile = Profile(tls_group="prime256v1")
    text = keeper.tend(0)
    assert text is not None

    def later(text: str, at: float) -> str:
        profile = Profile()
        Keeper(profile, text, at).tend(at)
        return profile.tls_group

    assert later(text, WEEK_S - 1) == "prime256v1"
    assert later(text, WEEK_S + 1) == ""
    assert later(text.replace("prime256v1", "rot13"), 1) == ""
