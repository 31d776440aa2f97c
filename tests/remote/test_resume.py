"""Large uploads that broke are continued only where that is known to be right, at servers that behave and others."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import zlib
from collections.abc import Callable

import pytest

from ftpsyncd.errors import FileChangedError, ServerUnavailableError, TransferFailedError, VerificationError
from ftpsyncd.remote import hashes, remedies
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.port import RESUMABLE, PublishJob
from ftpsyncd.remote.profile import Hashing, Paths, Profile, Resuming
from ftpsyncd.remote.resume import REPEATED, take_over
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.trials import CONTENT as TRIAL
from tests.contract.remotes import job, publish, raiser
from tests.remote.scripted import PATIENT, Connection, Scripted, listing
from tests.variants import also

CONTENT = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() * 1024 for n in range(321))
"""10.5 MB in which no block is like another."""
BREAK = 6_000_000
TEMPORARY = "/a.0123abcd.filepart"


class Resumable(Scripted):
    """A server that continues, and counts what it is sent.

    Args:
        fill: continues after the byte that REST names, but has lost what was before it (ftp-srv).
        rest: whether it knows REST.
        appe: whether it knows APPE.
        hashing: what it tells for HASH, XSHA256, XMD5, XCRC; given the content.
        breaks_at: the first large STOR ends after so many bytes; 0: never.
        how: what happens then.
    """

    def __init__(
        self,
        *,
        fill: bool = False,
        rest: bool = True,
        appe: bool = False,
        hashing: dict[str, Callable[[bytes], str]] | None = None,
        breaks_at: int = 0,
        how: str = "426",
        **script,
    ) -> None:
        super().__init__(**script)
        self.fill, self.rest, self.appe, self.breaks_at, self.how = fill, rest, appe, breaks_at, how
        self.hashing = hashing or {}
        self.received = 0
        """Bytes of large files."""
        self._start = 0
        self.unreadable = False
        self.whole = False
        """RETR takes no notice of REST."""

    async def do_feat(self, c: Connection, a: str) -> str:
        reply = await super().do_feat(c, a)
        told = (f"\n {verb}" + " SHA-1*;SHA-256" * (verb == "HASH") for verb in self.hashing)
        return reply.replace("\n211", "".join(told) + "\n211")

    async def default(self, connection: Connection, line: str) -> None:
        verb, _, argument = line.partition(" ")
        if verb in self.hashing and argument in self.files:
            code = 213 if verb == "HASH" else 250
            await connection.say(f"{code} {self.hashing[verb](self.files[argument])}")
        else:
            await super().default(connection, line)

    async def do_rest(self, _c: Connection, argument: str) -> str:
        if not self.rest:
            return "502 Not here."
        self._start = int(argument)
        return "350 Go on."

    async def do_stor(self, c: Connection, path: str) -> str:
        start, self._start = self._start, 0
        before = self.files.get(path, b"")[:start] if start else b""
        if self.fill:
            before = bytes(start)
        return await self._take(c, path, before)

    async def do_appe(self, c: Connection, path: str) -> str:
        return await self._take(c, path, self.files.get(path, b"")) if self.appe else "502 Not here."

    async def do_retr(self, c: Connection, path: str) -> str:
        # As ftp-srv has it: REST is of the next transfer, and a refusal is none.
        if self.unreadable:
            return "550 Permission denied."
        start, self._start = self._start, 0
        if start and self.whole:
            start = 0
        await c.say("150 Here it comes.")
        with contextlib.suppress(ConnectionError):
            _, writer = await c.data()
            writer.write(self.files[path][start:])
            await writer.drain()
        await c.end_data()
        return "226 Sent."

    async def _take(self, c: Connection, path: str, before: bytes) -> str:
        large = path == TEMPORARY
        count, self.breaks_at = (self.breaks_at, 0) if large else (0, self.breaks_at)
        data = await c.receive(count or -1)
        self.files[path] = before + data
        self.received += len(data) * large
        if count and self.how == "426":
            await c.end_data(reset=True)
            return "426 Connection lost."
        if count or (large and self.how == "no 226"):
            self.how = ""
            await c.hang_up()
        await c.end_data()
        return "226 Stored."


def account(server: Scripted) -> Account:
    return Account(server.spec(), profile=Profile(renamed=True), timeouts=PATIENT)


def first(content: bytes = CONTENT, **changes) -> PublishJob:
    return job("/a", content, keep_part=True, **changes)


def again(content: bytes = CONTENT, **changes) -> PublishJob:
    return first(content, resume=True, **changes)


def nothing_else(server: Scripted) -> bool:
    """Only the file is there: no trial, no part."""
    return set(server.files) == {"/a"} and server.files["/a"] == CONTENT and server.early == []


@pytest.mark.parametrize("how", ["426", "hangup"])
@pytest.mark.parametrize(
    ("server", "way"),
    [({}, Resuming.REST), ({"fill": True, "appe": True}, Resuming.APPE)],
    ids=["REST", "APPE"],
)
def test_a_part_stays_and_is_continued(server, way, how):
    with Resumable(breaks_at=BREAK, how=how, **server) as s:
        acc = account(s)
        with acc() as session:
            (broken,) = publish(session, first())
        assert isinstance(broken.error, TransferFailedError | ServerUnavailableError)
        assert s.files[TEMPORARY] == CONTENT[:BREAK]
        with acc() as session:
            (result,) = publish(session, again())
        assert result.error is None
        assert result.sha256 == hashlib.sha256(CONTENT).digest()
        assert nothing_else(s)
        assert acc.profile.resuming is way
        assert s.received == len(CONTENT) + (REPEATED if way is Resuming.REST else 0)


def test_what_is_smaller_than_worthwhile_is_not_kept():
    content = CONTENT[: RESUMABLE - 1]
    with Resumable(breaks_at=BREAK) as s, account(s)() as session:
        (broken,) = publish(session, first(content))
        assert isinstance(broken.error, TransferFailedError)
        assert s.files == {}


def test_nothing_is_kept_where_nobody_asked_for_it():
    with Resumable(breaks_at=BREAK) as s, account(s)() as session:
        (broken,) = publish(session, job("/a", CONTENT))
        assert isinstance(broken.error, TransferFailedError)
        assert s.files == {}


def test_no_part_stays_under_a_final_name():
    async def breaks(c: Connection, path: str) -> None:
        c.server.files[path] = await c.receive(BREAK)
        await c.end_data(reset=True)
        await c.say("426 Connection lost.")

    with Resumable(STOR=breaks) as s, account(s)() as session:
        session.profile.renames = False
        (broken,) = publish(session, first())
        assert type(broken.error) is TransferFailedError
        assert broken.in_place
        assert "STOR /a" in s.log
        assert s.files == {}


def test_a_part_is_not_continued_where_nobody_vouches_for_it():
    with Resumable() as s, account(s)() as session:
        s.files[TEMPORARY] = b"of something else" * 500_000
        (result,) = publish(session, first())
        assert result.error is None
        assert nothing_else(s)
        assert s.received == len(CONTENT)


@pytest.mark.parametrize("way", [Resuming.REST, Resuming.APPE])
@pytest.mark.parametrize("more", [1, 2 * REPEATED])
def test_what_is_longer_than_the_file_is_no_part_of_it(more, way):
    with Resumable(appe=True) as s, account(s)() as session:
        session.profile.resuming, session.profile.hashing = way, Hashing.NONE
        s.files[TEMPORARY] = CONTENT + bytes(more)
        (result,) = publish(session, again())
        assert (result.error, result.kept) == (None, 0)
        assert nothing_else(s)
        assert s.received == len(CONTENT)


def test_the_server_is_tried_once():
    with Resumable() as s, account(s)() as session:
        for _ in range(2):
            s.files[TEMPORARY] = CONTENT[:BREAK]
            (result,) = publish(session, again())
            assert result.error is None
            assert nothing_else(s)
        assert sum(line.startswith("STOR /ftpsyncd.") for line in s.log) == 3
        assert s.received == 2 * (len(CONTENT) - BREAK + REPEATED)


@pytest.mark.parametrize(
    "server",
    [
        {"fill": True},
        {"fill": True, "hashing": {"XMD5": lambda data: hashlib.md5(data).hexdigest()}},
        {"rest": False},
        {"unreadable": True},
    ],
    ids=["zeros", "zeros, and a hash that tells", "no way", "nothing can be read back"],
)
def test_a_server_that_cannot_be_trusted_is_sent_the_whole(server):
    unreadable = server.pop("unreadable", False)
    with Resumable(**server) as s, account(s)() as session:
        s.unreadable = unreadable
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert result.error is None
        assert nothing_else(s)
        assert s.received == len(CONTENT)
        assert session.profile.resuming is Resuming.NONE


def test_a_hash_is_enough_where_nothing_can_be_read_back():
    with Resumable(hashing={"XMD5": lambda data: hashlib.md5(data).hexdigest()}) as s, account(s)() as session:
        s.unreadable = True
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert result.error is None
        assert nothing_else(s)
        assert s.received < len(CONTENT)
        assert session.profile.hashing is Hashing.XMD5


def test_where_nothing_is_continued_no_part_stays():
    with Resumable(breaks_at=BREAK) as s, account(s)() as session:
        session.profile.resuming = Resuming.NONE
        (result,) = publish(session, first())
        assert isinstance(result.error, TransferFailedError)
        assert s.files == {}


HASHES = {
    "HASH": lambda data: f"SHA-256 0-{len(data)} {hashlib.sha256(data).hexdigest()} /a",
    "XSHA256": lambda data: hashlib.sha256(data).hexdigest().upper(),
    "XMD5": lambda data: f'"/a" {hashlib.md5(data).hexdigest()}',
    "XCRC": lambda data: f"{zlib.crc32(data):X}",
}


@pytest.mark.parametrize("verb", HASHES)
@pytest.mark.parametrize("there", [BREAK, len(CONTENT)], ids=["a part", "all"])
def test_a_damaged_part_is_found_out_by_the_hash_and_never_published(verb, there):
    with Resumable(hashing={verb: HASHES[verb]}) as s, account(s)() as session:
        s.files[TEMPORARY] = bytes(1000) + CONTENT[1000:there]
        (result,) = publish(session, again())
        assert isinstance(result.error, VerificationError)
        assert s.files == {}
        assert session.profile.resuming is Resuming.NONE
        (whole,) = publish(session, again())
        assert whole.error is None
        assert nothing_else(s)


@pytest.mark.parametrize("verb", HASHES)
def test_the_hash_is_asked_before_the_rename(verb):
    with Resumable(hashing={verb: HASHES[verb]}) as s, account(s)() as session:
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert result.error is None
        assert nothing_else(s)
        assert s.log.index(f"{verb} {TEMPORARY}") < s.log.index(f"RNFR {TEMPORARY}")


def test_a_way_that_tells_no_hash_is_passed_over():
    with Resumable(hashing={"XSHA256": lambda _data: "Not for you.", "XMD5": HASHES["XMD5"]}) as s:
        with account(s)() as session:
            s.files[TEMPORARY] = CONTENT[:BREAK]
            (result,) = publish(session, again())
        assert result.error is None
        assert session.profile.hashing is Hashing.XMD5
        assert nothing_else(s)


@pytest.mark.parametrize("verb", HASHES)
def test_a_name_with_a_space_is_quoted_but_for_hash(verb):
    """Else some take its words for offsets; to HASH, which has none, the quotes would be a part of the name."""
    word = "/a b" if verb == "HASH" else '"/a b"'
    with Resumable(hashing={verb: HASHES[verb]}) as s, account(s)() as session:
        s.files[word] = CONTENT[:3]
        told = hashes.ask(session, Hashing(verb), "/a b", 3)
        assert told is not None
        assert told.digits == hashes.of_bytes(told.algorithm, CONTENT[:3])
        assert ("OPTS HASH SHA-256" in s.log) is (verb == "HASH")


def test_a_server_that_reads_a_large_file_for_its_hash_has_as_long_as_for_its_last_words():
    class Slow(Resumable):
        async def default(self, connection: Connection, line: str) -> None:
            if line == f"XMD5 {TEMPORARY}":
                await asyncio.sleep(2 * patient.reply_s)
            await super().default(connection, line)

    patient = PATIENT._replace(reply_s=1)
    with Slow(hashing={"XMD5": HASHES["XMD5"]}) as s:
        s.files[TEMPORARY] = CONTENT[:BREAK]
        with Account(s.spec(), profile=Profile(renamed=True), timeouts=patient)() as session:
            (result,) = publish(session, again())
        assert result.error is None
        assert nothing_else(s)
        assert s.log.count(f"XMD5 {TEMPORARY}") == 1


def test_while_much_is_read_here_the_server_hears_from_us(monkeypatch):
    """Many servers end a session that is silent for some minutes: what is there may be a terabyte."""
    monkeypatch.setattr(hashes, "SIGN_OF_LIFE_S", 0.0)
    with Resumable() as s, account(s)() as session:
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert result.error is None
        assert nothing_else(s)
        # Neither between REST and STOR, nor while the file is on its way.
        begun = s.log.index(f"STOR {TEMPORARY}")
        assert "NOOP" in s.log[:begun]
        assert s.log[begun - 1].startswith("REST ")


def test_a_hash_command_that_lies_is_not_used():
    with Resumable(hashing={"XMD5": lambda _data: "0" * 32}) as s, account(s)() as session:
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert result.error is None
        assert nothing_else(s)
        assert session.profile.hashing is Hashing.NONE


def test_an_appended_file_that_became_too_long_is_not_published():
    async def twice(c: Connection, path: str) -> None:
        # The server's process of the old connection still wrote something.
        if path == TEMPORARY:
            c.server.files[path] += b"late"
        await c.server.default(c, f"APPE {path}")

    with Resumable(fill=True, appe=True, APPE=twice) as s, account(s)() as session:
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert isinstance(result.error, VerificationError)
        assert s.files == {}
        assert session.profile.resuming is Resuming.NONE


def test_a_lost_226_is_answered_by_size_and_not_by_sending_all_of_it_again():
    with Resumable(how="no 226") as s:
        acc = account(s)
        with acc() as session:
            (lost,) = publish(session, first())
            assert isinstance(lost.error, ServerUnavailableError)
        with acc() as session:
            (result,) = publish(session, again())
        assert result.error is None
        assert result.sha256 == hashlib.sha256(CONTENT).digest()
        assert nothing_else(s)
        assert s.received == len(CONTENT) + REPEATED


def test_the_end_of_a_complete_part_is_sent_again_where_no_hash_proves_it():
    """The server had lost its power before it said 226, and what it wrote last is zeros; the size is right."""
    with Resumable() as s, account(s)() as session:
        s.files[TEMPORARY] = CONTENT[:-1000] + bytes(1000)
        (result,) = publish(session, again())
        assert result.error is None
        assert result.kept == len(CONTENT) - REPEATED
        assert nothing_else(s)


def test_a_complete_part_of_a_file_that_changed_is_removed():
    with Resumable() as s, account(s)() as session:
        s.files[TEMPORARY] = CONTENT
        (result,) = publish(session, again(confirm=raiser(FileChangedError("changed"))))
        assert isinstance(result.error, FileChangedError)
        assert s.files == {}


def test_a_rest_that_is_refused_all_of_a_sudden_starts_anew():
    with Resumable() as s, account(s)() as session:
        session.profile.resuming, session.profile.hashing = Resuming.REST, Hashing.NONE
        s.rest = False
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert result.error is None
        assert result.sha256 == hashlib.sha256(CONTENT).digest(), "of what was sent, and nothing read before"
        assert nothing_else(s)


@pytest.mark.parametrize("way", [Resuming.REST, Resuming.APPE])
def test_a_part_stays_where_its_file_alone_is_refused_a_data_connection(way):
    """It was deleted, since the session is used on where a listing has one, and the file was sent from its beginning."""
    refused = "425 Unable to build data connection: Operation not permitted"
    with Resumable(appe=True, STOR=refused, APPE=refused, LIST=listing) as s:
        acc = account(s)
        acc.profile.resuming, acc.profile.hashing, acc.profile.paths = way, Hashing.NONE, Paths.ABSOLUTE
        acc.refused_alone.add("/a")
        s.files[TEMPORARY] = CONTENT[:BREAK]
        with acc() as session:
            (result,) = publish(session, again())
        assert result.error is not None
        assert "A listing had a data connection" in remedies.remedy(result.error)
        assert s.files == {TEMPORARY: CONTENT[:BREAK]}


@pytest.mark.parametrize(
    "words", ["451 STOR: Append/Restart not permitted, try again", *also("550 Can't restart.", "504 Not with REST.")]
)
def test_where_only_the_stor_behind_rest_is_refused_the_file_is_sent_whole_the_next_time(words):
    """proftpd's AllowStoreRestart is of a directory: it may be allowed where it was tried."""

    async def strict(connection: Connection, path: str) -> None:
        if s._start:
            s._start = 0
            await connection.say(words)
        else:
            await s.default(connection, f"STOR {path}")

    with Resumable(STOR=strict) as s, account(s)() as session:
        session.profile.resuming, session.profile.hashing = Resuming.REST, Hashing.NONE
        session.profile.paths = Paths.ABSOLUTE
        s.files[TEMPORARY] = CONTENT[:BREAK]
        (result,) = publish(session, again())
        assert result.error is not None
        assert not result.refused, "there was something"
        assert s.files == {}
        (result,) = publish(session, again())
        assert result.error is None
        assert nothing_else(s)


OLD = "/a.89abcdef.filepart"


def test_a_part_that_cannot_be_renamed_is_deleted_and_the_file_sent_whole():
    """Somebody else was faster, say: an earlier try whose rename came late."""
    with Resumable(RNTO=["553 Not now."]) as s, account(s)() as session:
        s.files[OLD] = CONTENT[:BREAK]
        (result,) = publish(session, again(parts=[OLD]))
        assert result.error is None
        assert result.kept == 0
        assert s.log.index(f"DELE {OLD}") < s.log.index(f"STOR {TEMPORARY}")
        assert s.received == len(CONTENT)
        assert nothing_else(s)


def test_where_one_part_is_continued_the_others_are_deleted():
    """Whoever sent them last may still give them their final name."""
    other = "/a.00000000.filepart"
    with Resumable() as s, account(s)() as session:
        s.files |= {OLD: CONTENT[:BREAK], other: CONTENT[:1000]}
        (result,) = publish(session, again(parts=[other, OLD]))
        assert result.error is None
        assert result.kept == BREAK - REPEATED
        assert s.log.index(f"DELE {other}") < s.log.index(f"STOR {TEMPORARY}")
        assert f"DELE {OLD}" not in s.log
        assert nothing_else(s)


def test_where_nothing_may_be_continued_parts_are_deleted():
    with Resumable() as s, account(s)() as session:
        session.profile.resuming, session.profile.hashing = Resuming.NONE, Hashing.NONE
        s.files[OLD] = CONTENT[:BREAK]
        (result,) = publish(session, again(parts=[OLD]))
        assert result.error is None
        assert s.log.index(f"DELE {OLD}") < s.log.index(f"STOR {TEMPORARY}")
        assert nothing_else(s)


class NothingOver(Resumable):
    """proftpd with its own default: AllowOverwrite off."""

    async def do_stor(self, c: Connection, path: str) -> str:
        return "550 Overwrite permission denied." if path in self.files else await super().do_stor(c, path)


def test_a_part_that_may_not_be_written_over_goes_before_the_file_is_sent_whole():
    with NothingOver(breaks_at=BREAK) as s, account(s)() as session:
        (broken,) = publish(session, first())
        assert type(broken.error) is TransferFailedError
        assert set(s.files) == {TEMPORARY}
        (result,) = publish(session, again())
        assert (result.error, result.kept) == (None, 0)
        assert session.profile.resuming is Resuming.NONE
        assert nothing_else(s)


class TestAppended:
    """What of an APPE comes late would be appended to what came after, even when that has its final name."""

    def test_it_is_told_that_it_may_not_be_continued(self):
        said: list[bool] = []
        with Resumable(fill=True, appe=True) as s, account(s)() as session:
            s.files[TEMPORARY] = CONTENT[:BREAK]
            (result,) = publish(session, again(begun=said.append))
            assert result.error is None
            assert result.kept == BREAK
            assert said == [False]

    def test_nor_does_it_stay(self):
        with Resumable(fill=True, appe=True) as s, account(s)() as session:
            session.profile.resuming, session.profile.hashing = Resuming.APPE, Hashing.NONE
            s.files[TEMPORARY] = CONTENT[:3_000_000]
            s.breaks_at = 4_000_000
            (broken,) = publish(session, again())
            assert isinstance(broken.error, TransferFailedError)
            assert s.files == {}

    @pytest.mark.parametrize(("way", "there"), [(Resuming.APPE, 0), (Resuming.REST, 2**30 - 2**20)])
    def test_nothing_is_appended_to_what_may_be_more_than_is_told(self, way, there):
        """5 GiB of the file, counted in 32 bits, are 1 GiB; REST names a byte, wherever the end is."""
        with Resumable(SIZE=f"213 {2**30}") as server:
            acc = account(server)
            acc.profile.resuming, acc.profile.hashing = way, Hashing.NONE
            with acc() as session:
                kept = take_over(session, again()._replace(size=6 * 2**30))
            assert kept.size == there


class TestAnEndThatIsNotSentAgain:
    """It is compared: the server may have lost its power, and what it wrote last be zeros; the size is right."""

    def known(self, session: Session, way: Resuming = Resuming.APPE) -> None:
        session.profile.resuming, session.profile.hashing = way, Hashing.NONE

    @pytest.mark.parametrize("there", [BREAK, len(CONTENT)], ids=["a part", "all"])
    @pytest.mark.parametrize("way", [Resuming.APPE, Resuming.NONE])
    def test_zeros_at_it_are_found_and_the_file_is_sent_whole(self, there, way):
        with Resumable(fill=True, appe=True) as s, account(s)() as session:
            self.known(session, way)
            s.files[TEMPORARY] = CONTENT[: there - 1000] + bytes(1000)
            (result,) = publish(session, again())
            assert (result.error, result.kept) == (None, 0)
            assert result.sha256 == hashlib.sha256(CONTENT).digest()
            assert nothing_else(s)

    @pytest.mark.parametrize("way", [Resuming.APPE, Resuming.NONE])
    def test_all_of_it_is_not_sent_again_where_it_ends_as_it_should(self, way):
        with Resumable(fill=True, appe=True) as s, account(s)() as session:
            self.known(session, way)
            s.files[TEMPORARY] = CONTENT
            (result,) = publish(session, again())
            assert (result.error, result.kept) == (None, len(CONTENT))
            assert result.sha256 == hashlib.sha256(CONTENT).digest()
            assert nothing_else(s)
            assert s.received == 0

    @pytest.mark.parametrize("there", [BREAK, len(CONTENT)], ids=["a part", "all"])
    @pytest.mark.parametrize("why", ["no REST", "unreadable", "whole"])
    def test_what_cannot_be_compared_is_not_believed(self, why, there):
        with Resumable(fill=True, appe=True, rest=why != "no REST") as s, account(s)() as session:
            self.known(session)
            s.unreadable, s.whole = why == "unreadable", why == "whole"
            s.files[TEMPORARY] = CONTENT[:there]
            (result,) = publish(session, again())
            assert (result.error, result.kept) == (None, 0)
            assert session.usable
            assert nothing_else(s)
            assert s.received == len(CONTENT)
            assert s.log.index(f"DELE {TEMPORARY}") < s.log.index(f"STOR {TEMPORARY}")

    @pytest.mark.parametrize("way", [Resuming.REST, Resuming.APPE])
    def test_a_hash_that_is_refused_for_a_file_of_this_size_proves_nothing(self, way):
        """proftpd can be told up to which size it reads files for that."""
        with Resumable(fill=way is Resuming.APPE, appe=True) as s, account(s)() as session:
            session.profile.resuming, session.profile.hashing = way, Hashing.XMD5
            s.files[TEMPORARY] = CONTENT[:-1000] + bytes(1000)
            (result,) = publish(session, again())
            assert result.error is None
            assert (f"XMD5 {TEMPORARY}" in s.log) is (way is Resuming.REST), "what was sent whole needs none"
            assert nothing_else(s)

    @pytest.mark.parametrize("way", [Resuming.APPE, Resuming.NONE])
    def test_a_comparison_that_ends_the_session_is_not_repeated_for_ever(self, way):
        async def choke(c: Connection, _path: str) -> None:
            s._start = 0  # what REST says ends with its session
            await c.hang_up()

        with Resumable(fill=True, appe=True, RETR=choke) as s:
            acc = account(s)
            acc.profile.resuming, acc.profile.hashing = way, Hashing.NONE
            s.files[TEMPORARY] = CONTENT
            for _ in range(2):
                with acc() as session:
                    (result,) = publish(session, again())
                    assert isinstance(result.error, ServerUnavailableError)
                assert s.files == {TEMPORARY: CONTENT}
            with acc() as session:
                (result,) = publish(session, again())
                assert (result.error, result.kept) == (None, 0)
            assert nothing_else(s)

    def test_one_that_ended_the_session_counts_no_more_after_one_that_did_not(self):
        async def choke(c: Connection, _path: str) -> None:
            s._start = 0  # what REST says ends with its session
            await c.hang_up()

        with Resumable(fill=True, appe=True, RETR=[choke, None, choke, None]) as s:
            acc = account(s)
            acc.profile.resuming, acc.profile.hashing = Resuming.APPE, Hashing.NONE
            for _ in range(2):
                s.files[TEMPORARY] = CONTENT
                with acc() as session:
                    (result,) = publish(session, again())
                    assert isinstance(result.error, ServerUnavailableError)
                with acc() as session:
                    (result,) = publish(session, again())
                    assert (result.error, result.kept) == (None, len(CONTENT))
            assert nothing_else(s)


def test_others_before_and_after_are_published_in_order():
    with Resumable() as s, account(s)() as session:
        s.files[TEMPORARY] = CONTENT[:BREAK]
        results = publish(session, job("/x"), again(), job("/y"), job("/z"))
        assert [(r.job.path, r.error) for r in results] == [(p, None) for p in ("/x", "/a", "/y", "/z")]
        assert set(s.files) == {"/x", "/a", "/y", "/z"}
        assert s.early == []


def test_trials_that_end_together_count_once():
    """The line was cut while several large files were to be continued."""
    both = threading.Barrier(2)

    async def cut(connection: Connection, _offset: str) -> None:
        await asyncio.to_thread(both.wait, 10)
        await connection.hang_up()

    with Resumable(REST=[cut, cut]) as s:
        acc = account(s)
        with acc() as one, acc() as other:
            threads = [
                threading.Thread(target=publish, args=(session, again(parts=[f"/{i}.89abcdef.filepart"])))
                for i, session in enumerate((one, other))
            ]
            s.files.update({f"/{i}.89abcdef.filepart": CONTENT[:BREAK] for i in range(2)})
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert (one.usable, other.usable) == (False, False)
        assert acc.profile.resuming is None
        with acc() as session:
            (result,) = publish(session, again(parts=["/0.89abcdef.filepart"]))
            assert (result.error, result.kept > 0) == (None, True)


def test_a_trial_that_ends_the_session_is_not_repeated_for_ever():
    async def choke(c: Connection, path: str) -> None:
        if path.startswith("/ftpsyncd."):
            await c.hang_up()
        await c.server.default(c, f"STOR {path}")

    with Resumable(STOR=choke) as s:
        acc = account(s)
        for _ in range(2):
            s.files[TEMPORARY] = CONTENT[:BREAK]
            with acc() as session:
                (result,) = publish(session, again())
                assert isinstance(result.error, ServerUnavailableError)
        with acc() as session:
            (result,) = publish(session, again())
            assert result.error is None
        assert s.files["/a"] == CONTENT


class TestBegun:
    """`PublishJob.begun` is the proof on which a later try relies."""

    def told(self, act=None, content: bytes = CONTENT, **changes) -> list[str]:
        said: list[str] = []
        with Resumable(**({"STOR": act} if act else {})) as s, account(s)() as session:
            publish(session, job("/a", content, begun=lambda _: said.append(" ".join(sorted(s.files))), **changes))
        return said

    def test_it_is_told_once_and_when_the_old_part_is_gone(self):
        async def stor(c: Connection, path: str) -> None:
            c.server.files[path] = b""
            await c.server.default(c, f"STOR {path}")

        assert self.told(stor) == [TEMPORARY]

    def test_it_is_not_told_of_small_or_direct_files(self):
        assert self.told(content=CONTENT[: RESUMABLE - 1]) == []
        assert self.told(temporary="/a") == []

    def test_it_is_not_told_when_the_server_refuses(self):
        async def refuse(c: Connection, _path: str) -> None:
            await c.say("553 No.")

        assert self.told(refuse) == []

    def test_a_server_that_says_nothing_before_the_end_is_sent_the_file_all_the_same(self):
        async def quiet(c: Connection, path: str) -> None:
            reader, _ = await c.data()
            c.server.files[path] = await asyncio.wait_for(reader.read(), 20)
            await c.end_data()
            await c.say("226 Stored.")

        assert self.told(quiet) == []


def test_the_trial_content_shows_what_is_lost():
    assert len({TRIAL[n : n + 32] for n in range(0, len(TRIAL), 32)}) == len(TRIAL) // 32
