"""A server that ends sessions after a time, also in the midst of a file (``TimeoutSession`` of proftpd)."""

from __future__ import annotations

import os

import pytest

from ftpsyncd.errors import ServerUnavailableError
from ftpsyncd.remote import replies
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.port import RESUMABLE
from tests.contract.remotes import job, publish
from tests.servers import running

pytestmark = [pytest.mark.real_server, pytest.mark.root]


@pytest.mark.parametrize(
    ("tls", "words"), [("off", "421 Session Timeout"), ("explicit", "The server closed the connection while listening")]
)
def test_who_ended_the_line_is_told(tls: str, words: str) -> None:
    """Under TLS proftpd says nothing; it was told that the connection is finished, and not by whom."""
    limits = ("TimeoutSession 2", "TransferRate STOR 300")
    with running("proftpd", tls=tls, directives=limits) as server, Account(server.spec())() as session:
        (result,) = publish(session, job("/a", os.urandom(3_000_000)))
        assert isinstance(result.error, ServerUnavailableError)
        assert words in result.error.message
        # It was told to look at host, port and network.
        assert (result.error.remedy == replies.SESSION_ENDS) is (tls == "off")


def test_the_size_from_which_files_are_continued_is_told_as_it_is() -> None:
    assert f"less than {RESUMABLE >> 20} MiB" in replies.SESSION_ENDS
