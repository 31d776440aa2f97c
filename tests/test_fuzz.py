"""Fuzzing what reads other people's bytes: replies, listings, features, data ports, hashes, the configuration.

Each target gets real texts that were damaged: cut, doubled, mixed, repeated thousands of times, sprinkled with bytes
that mean something. It must answer or raise one of our typed errors, within a limit of CPU time, in bounded memory.

`make test` gives each target a few hundred examples; `make fuzz` (``FUZZ_SECONDS``) goes on for ten minutes.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ftpsyncd.config import load
from ftpsyncd.errors import ConfigError, FtpsyncdError, NotSupportedError, ProtocolError, RemoteError
from ftpsyncd.remote import facts, listings, replies
from ftpsyncd.remote.replies import MAX_LINE, MAX_REPLY, Reply, ReplyReader
from tests.config.texts import MINIMAL
from tests.figures import Figures

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""For all targets together; 0: a fixed, small number of examples."""
EXAMPLES = 150
EXAMPLES_AT_ONCE = 2000
HANG_S = 5.0
"""CPU time that no example may take; the usual one takes less than a millisecond."""
GROWTH_MIB = 400
"""What all examples together may add to the memory of the process, Hypothesis included."""

REPLIES = [
    b"220 ProFTPD Server (Debian) [::ffff:127.0.0.1]\r\n",
    b"220-\r\n  Welcome\r\n220 You will be disconnected after 15 minutes of inactivity.\r\n",
    b"211-Features:\r\n MDTM\r\n MFMT\r\n MLST type*;size*;modify*;UNIX.mode*;\r\n REST STREAM\r\n UTF8\r\n211 End\r\n",
    b"211-Extensions supported:\r\n HASH SHA-256;SHA-512;MD5*\r\n XCRC\r\n211 End.\r\n",
    b"227 Entering Passive Mode (127,0,0,1,156,64).\r\n",
    b"229 Entering Extended Passive Mode (|||40000|)\r\n",
    b"213 1234567890\r\n213 20260102030405.678\r\n",
    b'257 "/a ""quoted"" name" created\r\n',
    b"250-Listing\r\n type=file;size=5;modify=20200913122640; /a/f\r\n250 End\r\n",
    b"250-Listing\r\n type=cdir;modify=20200913122640; /a\r\n250 End\r\n",
    b"213 SHA-256 0-3 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 a\r\n",
    b"250 D87F7E0C\r\n150 Opening\r\n226 Transfer complete.\r\n",
    b"530 Sorry, the maximum number of clients (3) for this host are already connected.\r\n",
    b"421 Timeout.\r\n500 OOPS: vsftpd: priv_sock_get_cmd\r\n550 No such file or directory.\r\n552 Quota exceeded\r\n",
]
LISTINGS = [
    b"type=file;size=1024990;modify=20200913122640;UNIX.mode=0644; a b.jpg\r\n",
    b"Type=dir;Modify=20200913122640; d\r\ntype=cdir;modify=20200913122640; .\r\ntype=OS.unix=slink:/x; l\r\n",
    b"-rw-r--r--    1 1000     1000            5 Nov 22 23:00 a b\r\n",
    b"drwxr-xr-x+   2 ftp      ftp          4096 Nov 22 2023 d\r\nlrwxrwxrwx 1 0 0 3 Nov 22 23:00 l -> x\r\ntotal 4\r\n",
    b"11-22-26  11:00PM       <DIR>          d e\r\n11-22-2026  11:00AM                 5 f g\r\n",
]
BOMB = b"servers: &a [" + b", ".join([b"x"] * 9) + b"]\n" + b"".join(
    b"k%d: &%c [%s]\n" % (n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 9)) for n in range(9)
)  # fmt: skip
CONFIGS = [
    MINIMAL.encode(),
    (Path(__file__).parents[1] / "config.example.yaml").read_bytes(),
    b"servers: {web: {host: h, user: u, password: {file: x}}}\nmappings: {g: {local: d, remote: 'web:/x'}}\n",
    b"a: &a {b: *a}\n? [x, y]\n: !!python/object:os.system 1\n<<: *a\n--- \n...\n",
    BOMB,
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"\xff\xf4", b" ", b"  ", b"\t", b"-", b"=", b";", b"|", b"(", b")", b",",
    b"0", b"9" * 25, b"-1", b"65536", b"211-", b"211 ", b"\xc3", b"\xed\xb2\x80", b"..", b"/", b" -> ", b"[" * 50,
    b"{" * 50, b"&a ", b"*a ", b"? ", b": ", b"- ", b"!!binary ", b"!x ", b"'", b'"', b"\\", b"#", b"%", b"\x85",
    "é\u2028\U0001f600".encode(), b"size=", b"type=", b"99991231235960", b"00000000000000",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, corpus: list[bytes], most: int) -> bytes:
    """One of the texts after a few edits; at most ``most`` bytes."""
    text = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        match draw(st.integers(0, 5)):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:start] + draw(st.sampled_from(PIECES)) + text[end:]
            case 2:
                text = text[:start] + draw(st.binary(max_size=8)) + text[end:]
            case 3:
                text = text[:end] + draw(st.sampled_from(corpus))
            case 4:
                text = text[:start] + text[start:end] * draw(st.sampled_from([2, 10, 1000, 20_000])) + text[end:]
            case _:
                text = text[start:end] + text[:start] + text[end:]
        text = text[:most]
    return text


# ── Targets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def read(data: bytes, step: int) -> list[Reply]:
    """All replies in a stream that comes in pieces; what the reader holds meanwhile is bounded."""
    reader, found = ReplyReader(), []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while (one := reader.next()) is not None:
            found.append(one)
        assert len(reader._buffer) <= MAX_LINE + step
        assert sum(map(len, reader._lines)) <= MAX_REPLY
    return found


def fuzz_replies(data: bytes, step: int) -> None:
    """The reader, and everything that takes a meaning from a reply."""
    try:
        found = read(data, step)
    except ProtocolError:
        return
    for one in found[:50]:
        assert 100 <= one.code < 700
        assert one.text.isprintable()
        assert len(one.text) <= 401
        for verb in ("", "PASS", "AUTH", "STOR", "RNTO", "MKD", "NOOP"):
            assert isinstance(replies.error_of(one, verb, "x"), RemoteError)
        features = facts.parse_feat(one)
        assert all(name == name.upper() for name in features)
        for parse in (facts.parse_epsv, facts.parse_pasv):
            try:
                assert 0 < parse(one) < 65536
            except ProtocolError:
                continue
        size, date = facts.parse_size(one), facts.parse_mdtm(one)
        assert size is None or size >= 0
        assert date is None or date >= 0
        facts.pasv_address(one)
        facts.parse_257(one)
        facts.parse_hash(one)
        facts.parse_digest(one, 8)
        replies.says_not_empty(one, "/d", "utf-8")
        listings.parse_mlst(one)


def fuzz_listings(data: bytes, step: int) -> None:
    """MLSD and LIST, in UTF-8 and in an encoding of one byte."""
    encoding = "utf-8" if step % 2 else "latin-1"
    for line in data.split(b"\r\n")[:200]:
        entry = listings.parse_facts(line, encoding)
        assert entry is None or entry.size is None or entry.size >= 0
        try:
            for listed in listings.parse_list(iter([line]), encoding):
                assert listed.name
                assert listed.name not in {".", ".."}
                assert listed.name.encode(encoding, "surrogateescape") in line
        except NotSupportedError:
            continue


def fuzz_config(data: bytes, step: int) -> None:
    """The loader, from bytes to records."""
    path = Path(f"{os.environ['FUZZ_FOLDER']}/config.yaml")
    path.write_bytes(data)
    path.chmod(0o600 if step % 2 else 0o644)
    try:
        load(path, environ={"PW": "secret", "HOME": "/nonexistent"})
    except ConfigError as error:
        assert error.message  # noqa: PT017  # any message will do: the point is the class


TARGETS: dict[str, tuple[Callable[[bytes, int], None], list[bytes], int]] = {
    "replies": (fuzz_replies, REPLIES, 300_000),
    "listings": (fuzz_listings, LISTINGS, 100_000),
    "configuration": (fuzz_config, CONFIGS, 20_000),
}


# ── Running them ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def no_hang() -> Iterator[None]:
    """Raise in code that takes more CPU time than it may; a busy machine makes no difference."""

    def hangs(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"more than {HANG_S} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.timeout(SECONDS + 280)
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_read_surprises(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    target, corpus, most = TARGETS[name]
    monkeypatch.setenv("FUZZ_FOLDER", str(tmp_path))
    tried, slowest_s, before_mib = 0, 0.0, memory_mib()
    # Hypothesis finds again what it found before; shrinking a hang takes as many hangs.
    phases = [Phase.explicit, Phase.generate, Phase.shrink]

    @settings(
        max_examples=EXAMPLES_AT_ONCE if SECONDS else EXAMPLES,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(corpus, most) | st.binary(max_size=200), st.sampled_from([1, 7, 4096]))
    def one(data: bytes, step: int) -> None:
        nonlocal tried, slowest_s
        # A byte at a time is for what is short: it only costs.
        step = step if len(data) < 2000 else 4096 + step
        began = time.process_time()
        with no_hang():
            target(data, step)
        tried += 1
        slowest_s = max(slowest_s, time.process_time() - began)

    end = time.monotonic() + SECONDS / len(TARGETS)
    run: Callable[[], Any] = one
    run()
    while time.monotonic() < end:
        run()
    grown_mib = memory_mib() - before_mib
    assert tried >= EXAMPLES // 2
    assert grown_mib < GROWTH_MIB
    figures.tell("G7", f"damaged texts read without a surprise: {name}", tried)
    figures.tell("G7", f"slowest of them: {name}", round(slowest_s, 3), unit="s of CPU", limit=HANG_S)
    figures.tell("G7", f"memory added by all of them: {name}", round(grown_mib), unit="MiB", limit=GROWTH_MIB)


def test_a_hang_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by its name: pytest has this module under another one.
    monkeypatch.setitem(globals(), "HANG_S", 0.2)
    with pytest.raises(AssertionError, match=re.escape("more than 0.2 s of CPU time")), no_hang():
        hang()


def hang() -> None:
    while True:
        pass


def test_a_surprise_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not one of our errors gets through."""

    def broken(_reply: Reply) -> int:
        raise IndexError

    monkeypatch.setattr(facts, "parse_epsv", broken)
    assert not issubclass(IndexError, FtpsyncdError)
    with pytest.raises(IndexError):
        fuzz_replies(REPLIES[5], 1)
