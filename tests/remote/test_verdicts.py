"""What a refusal means on the connection that it came on."""

from __future__ import annotations

import pytest

from ftpsyncd.errors import (
    DataUnreachableError,
    LoginRefusedError,
    NameRefusedError,
    NotFoundError,
    ProtocolError,
    RemoteError,
    TlsError,
    TooManyTransfersError,
    TransferFailedError,
)
from ftpsyncd.remote.replies import Reply
from ftpsyncd.remote.verdicts import Verdict, verdict


def judged(said: str, verb: str, *, protected: bool = True, passive: bool = True) -> Verdict:
    reply = Reply(int(said[:3]), (said.encode(),))
    return verdict(reply, verb, "/a", "utf-8", protected=protected, passive=passive)


@pytest.mark.parametrize(
    ("said", "verb", "kind", "ends"),
    [
        ("550 No such file.", "RETR", NotFoundError, False),
        ("553 Not this name.", "STOR", NameRefusedError, False),
        ("200 Fine.", "STOR", ProtocolError, True),
        ("530 Please log in.", "SIZE", LoginRefusedError, True),
        ("451 Too many transfers.", "STOR", TooManyTransfersError, True),
        ("425 No connection.", "STOR", TransferFailedError, False),
    ],
)
def test_a_session_is_over_where_nobody_knows_what_the_next_answer_is_about(
    said: str, verb: str, kind: type[RemoteError], *, ends: bool
) -> None:
    error, ended = judged(said, verb)
    assert (type(error), ended) == (kind, ends)


@pytest.mark.parametrize("said", ["534 Not that.", "536 Not that.", "533 Not that."])
def test_who_takes_no_data_under_tls_is_sent_none_in_clear_text(said: str) -> None:
    error, ends = judged(said, "STOR")
    assert isinstance(error, TlsError)
    assert ends
    assert "under TLS" in error.message
    assert "clear text" in error.remedy


@pytest.mark.parametrize("said", ["522 TLS please.", "534 TLS please."])
def test_who_wants_tls_for_data_is_told_by_the_way_to_have_it(said: str) -> None:
    error, ends = judged(said, "STOR", protected=False)
    assert isinstance(error, TlsError)
    assert ends
    assert error.remedy == "Set `tls: explicit` for this server."


def test_a_session_goes_on_that_needs_no_data_in_clear_text_for_what_was_said() -> None:
    error, ends = judged("534 TLS please.", "MKD", protected=False)
    assert isinstance(error, TlsError)
    assert not ends


def test_a_522_under_tls_is_about_one_connection_and_to_eprt_about_an_address() -> None:
    assert type(judged("522 No reuse.", "STOR").error) is TransferFailedError
    assert type(judged("522 Use (1).", "PORT", protected=False).error) is TransferFailedError


def test_a_refusal_of_auth_is_no_matter_of_data() -> None:
    error, ends = judged("534 No TLS.", "AUTH", protected=False)
    assert isinstance(error, TlsError)
    assert "data" not in error.message
    assert not ends


def test_what_is_said_under_tls_of_a_command_without_data_ends_nothing() -> None:
    error, ends = judged("534 Not that.", "MKD")
    assert isinstance(error, TlsError)
    assert "data" not in error.message
    assert not ends


def test_a_file_that_is_refused_is_no_matter_of_tls_nor_of_who_listens() -> None:
    error, ends = judged("553 Not this name.", "STOR", protected=False, passive=False)
    assert type(error) is NameRefusedError
    assert not ends


@pytest.mark.parametrize("passive", [True, False])
def test_whom_the_server_cannot_reach_is_told_so_where_it_would_come_to_us(*, passive: bool) -> None:
    error, ends = judged("425 Cannot connect.", "STOR", passive=passive)
    assert isinstance(error, DataUnreachableError) is not passive
    assert ("mode: passive" in error.remedy) is not passive
    assert not ends
