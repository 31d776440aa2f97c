"""Large uploads that break are continued by every server that can, and come out right."""

from __future__ import annotations

import hashlib
import random

import pytest

from ftpsyncd.errors import TransferFailedError
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.profile import Beyond, Hashing
from ftpsyncd.remote.resume import REPEATED
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.trials import beyond, small_file
from tests.contract.remotes import Remote, job, publish, put
from tests.servers import KINDS, running

CONTENT = random.Random(7).randbytes(32_000_000)
BREAK = 20_000_000
LEAST = 5_000_000
"""So much of it is there at least: a reset takes with it what waits in buffers."""


def break_off(remote: Remote) -> None:
    """An upload that breaks in the middle and leaves a part."""

    def breaking(sent: int) -> None:
        if sent > BREAK:
            raise TransferFailedError("The line broke.")

    begun: list[bool] = []
    with remote.connect() as session:
        (broken,) = publish(
            session,
            job(f"{remote.base}/f", CONTENT, keep_part=True, progress=breaking, begun=lambda _: begun.append(True)),
        )
    assert isinstance(broken.error, TransferFailedError)
    assert begun == [True]
    (name,) = remote.names()
    part = remote.read(f"{remote.base}/{name}")
    assert name.endswith(".filepart")
    assert len(part) > LEAST
    assert part == CONTENT[: len(part)]


def test_a_part_is_continued(remote: Remote):
    break_off(remote)
    seen: list[int] = []
    with remote.connect() as session:
        put(session, f"{remote.base}/before")
        again = job(f"{remote.base}/f", CONTENT, resume=True, progress=seen.append)
        results = publish(session, again, job(f"{remote.base}/after"))
        assert [r.error for r in results] == [None, None]
    assert results[0].sha256 == hashlib.sha256(CONTENT).digest()
    assert remote.read(f"{remote.base}/f") == CONTENT
    assert remote.names() == {"before", "f", "after"}
    assert seen[0] > LEAST - REPEATED


def test_a_part_of_an_earlier_try_is_continued_under_the_name_of_this_one(remote: Remote):
    """What comes late of that try, a REST and a STOR say, finds nothing under the name that it knows."""
    break_off(remote)
    (old,) = remote.names()
    seen: list[set[str]] = []
    with remote.connect() as session:
        again = job(
            f"{remote.base}/f",
            CONTENT,
            resume=True,
            temporary=f"{remote.base}/f.89abcdef.filepart",
            parts=(f"{remote.base}/f.00000000.filepart", f"{remote.base}/{old}"),
            progress=lambda _: seen.append(remote.names()),
        )
        (result,) = publish(session, again)
    assert result.error is None
    assert result.kept > LEAST - REPEATED
    assert result.sha256 == hashlib.sha256(CONTENT).digest()
    assert seen
    assert not any(old in names for names in seen)
    assert remote.read(f"{remote.base}/f") == CONTENT
    assert remote.names() == {"f"}


def test_what_is_no_part_of_it_goes_before_anything_is_sent(remote: Remote):
    """It is not worth continuing, or too much; whoever sent it last may still give it the final name."""
    earlier = [f"{remote.base}/f.{n}{n}{n}{n}abcd.filepart" for n in range(2)]
    seen: list[set[str]] = []
    with remote.connect() as session:
        for path, content in zip(earlier, (CONTENT + b"too long", CONTENT[:1000]), strict=True):
            put(session, path, content)
        again = job(
            f"{remote.base}/f", CONTENT, resume=True, parts=earlier, progress=lambda _: seen.append(remote.names())
        )
        (result,) = publish(session, again)
    assert result.error is None
    assert result.kept <= 1000
    assert seen
    assert not any("abcd.filepart" in name for names in seen for name in names if "0123" not in name)
    assert remote.read(f"{remote.base}/f") == CONTENT
    assert remote.names() == {"f"}


def test_a_part_that_nobody_vouches_for_is_replaced(remote: Remote):
    break_off(remote)
    other = CONTENT[::-1]
    with remote.connect() as session:
        put(session, f"{remote.base}/f", other)
    assert remote.read(f"{remote.base}/f") == other
    assert remote.names() == {"f"}


def test_of_a_complete_part_no_more_than_its_end_is_sent_again(remote: Remote):
    seen: list[int] = []
    with remote.connect() as session:
        put(session, f"{remote.base}/x", CONTENT)
        session.rename(f"{remote.base}/x", f"{remote.base}/f.0123abcd.filepart")
        (result,) = publish(session, job(f"{remote.base}/f", CONTENT, resume=True, progress=seen.append))
    assert result.error is None
    assert all(count > len(CONTENT) - REPEATED for count in seen)
    assert remote.read(f"{remote.base}/f") == CONTENT
    assert remote.names() == {"f"}


BEYOND = {
    "vsftpd": Beyond.ZEROS,
    "proftpd": Beyond.REFUSED,
    "pure-ftpd": Beyond.APPENDED,
    "pyftpdlib": Beyond.REFUSED,
}


@pytest.mark.real_server
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_rest_beyond_the_end_does(kind: str):
    with running(kind) as server, Account(server.spec())() as session, small_file(session, "/trial") as path:
        assert beyond(session, path) is BEYOND[kind]


@pytest.mark.real_server
@pytest.mark.parametrize("tls", ["off", "explicit"])
def test_proftpds_hashes_guard_what_was_continued(tls: str):
    with running("proftpd", tls=tls, digests=True) as server, Account(server.spec())() as session:
        remote = Remote("", "/d", server, account=session.account)
        session.make_dir("/d")
        break_off(remote)
        (part,) = (server.home / "d").iterdir()
        damaged = bytearray(part.read_bytes())
        damaged[1000] ^= 1
        part.write_bytes(damaged)
        (result,) = publish(session, job("/d/f", CONTENT, resume=True))
        assert isinstance(result.error, TransferFailedError)
        assert "SHA-256" in result.error.message
        assert remote.names() == set()
        assert isinstance(session, Session)
        assert session.profile.hashing is Hashing.HASH
        put(session, "/d/f", CONTENT)
