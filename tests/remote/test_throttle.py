"""The bandwidth limit holds for all connections together, and is shared."""

from __future__ import annotations

import io
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsyncd.remote import Account, RemoteSession
from ftpsyncd.remote.pour import LARGE
from ftpsyncd.remote.throttle import Throttle
from ftpsyncd.specs import TlsMode
from tests.contract.remotes import job, publish
from tests.remote.scripted import Scripted
from tests.servers import certificates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_rate_is_kept_over_ten_seconds():
    clock = Clock()
    throttle = Throttle(1_000_000, clock=clock, sleep=clock.sleep)
    portion = throttle.portion(262_144)
    assert portion == 10_000
    sent = 0
    while clock.now < 110:
        throttle.take(portion)
        sent += portion
    assert sent == pytest.approx(10_000_000, rel=0.05)


def test_time_that_passed_unused_is_not_made_up_for():
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    clock.now += 3600
    throttle.take(1000)
    throttle.take(1000)
    throttle.take(1000)
    # Nothing but what a busy machine is late.
    assert clock.now == pytest.approx(3702, abs=0.1)


def test_what_a_busy_machine_is_late_is_made_up_for():
    clock = Clock()

    def late(seconds: float) -> None:
        clock.now += seconds + 0.003

    rate = 20_000_000
    throttle = Throttle(rate, clock=clock, sleep=late)
    portion = throttle.portion(262_144)
    began, sent = clock.now, 0
    while clock.now < began + 10:
        throttle.take(portion)
        sent += portion
    assert sent == pytest.approx(10 * rate, rel=0.05)


@pytest.mark.parametrize("rate", [50_000, 1_000_000, 20_000_000, 1_000_000_000])
def test_portions_are_equal_however_much_one_could_send_at_once(rate):
    throttle = Throttle(rate)
    assert throttle.portion(131_072) == throttle.portion(262_144) == throttle.portion(1_048_576) <= rate / 20
    assert throttle.portion(500) == 500


def test_no_limit_waits_for_nothing():
    throttle = Throttle(0, sleep=lambda _: pytest.fail("waited"))
    assert throttle.portion(262_144) == 262_144
    for _ in range(1000):
        throttle.take(10**9)


def test_another_limit_does_not_wait_for_the_turns_of_the_one_before():
    """Those who have taken them wait for them; whoever comes after that is not one of these."""
    waited = list[float]()
    throttle = Throttle(1000, clock=Clock(), sleep=waited.append)
    for _ in range(10):
        throttle.take(1000)
    assert waited[-1] == pytest.approx(9, abs=0.1)
    throttle.limit(1_000_000)
    waited.clear()
    throttle.take(1000)
    assert sum(waited) < 0.1


@contextmanager
def kept_to(account: Account, size: int, rate: int) -> Iterator[None]:
    """What is moved meanwhile takes as long as the rate allows.

    It is no faster; that it is no slower than a busy machine makes it is seen by what it took turns for: for each byte once.
    """
    taken, take, began = list[int](), account.throttle.take, time.monotonic()

    def noted(count: int) -> None:
        taken.append(count)
        take(count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account.throttle, "take", noted)
        yield
    assert sum(taken) == size
    # The last portions are not waited for; a busy machine may be late before the first.
    assert time.monotonic() - began > 0.8 * size / rate


def test_connections_share_it():
    rate = 4_000_000
    with Scripted() as server:
        account = Account(server.spec(bandwidth_bytes_s=rate))
        sent: dict[str, int] = {}

        def send(path: str) -> None:
            with account() as session:
                publish(session, job(path, b"x" * 3_000_000, progress=lambda n: sent.__setitem__(path, n)))

        threads = [threading.Thread(target=send, args=[f"/{n}"]) for n in range(2)]
        with kept_to(account, 6_000_000, rate):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sent == {"/0": 3_000_000, "/1": 3_000_000}


def turns(account: Account, *moves: Callable[[RemoteSession], object]) -> list[tuple[float, int]]:
    """What each of some connections that work side by side takes a turn for, on the average, and altogether: bytes.

    Turns come one after the other to all (`Throttle.take`), however a busy machine shares its processor.
    """
    begin, take = threading.Barrier(len(moves)), account.throttle.take
    taken: dict[int, list[int]] = {}

    def noted(count: int) -> None:
        taken.setdefault(threading.get_ident(), []).append(count)
        take(count)

    def run(move: Callable[[RemoteSession], object]) -> tuple[float, int]:
        with account() as session:
            begin.wait(10)
            move(session)
        mine = taken[threading.get_ident()]
        return sum(mine) / len(mine), sum(mine)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(moves)) as threads:
        patch.setattr(account.throttle, "take", noted)
        return [done.result(30) for done in [threads.submit(run, move) for move in moves]]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_nobody_gets_more_for_the_way_in_which_he_sends_or_fetches(tmp_path: Path, tls):
    """A large file is sent by the kernel if there is no TLS, one in memory is not; TLS hands out little at a time."""
    large, size = tmp_path / "large", LARGE
    with large.open("wb") as file:
        file.truncate(size)

    def send_large(session: RemoteSession) -> None:
        sent = job("/large", b"", size=size, open=lambda: large.open("rb", buffering=0))
        assert [result.error for result in publish(session, sent)] == [None]

    def send(session: RemoteSession) -> None:
        assert [result.error for result in publish(session, job("/f", b"x" * size))] == [None]

    def fetch(session: RemoteSession) -> None:
        assert session.fetch("/there", io.BytesIO()) == size

    protection = {"tls": TlsMode.EXPLICIT, "tls_ca": certificates().ca} if tls else {}
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates().server)
    with Scripted(tls=context) as server:
        server.files["/there"] = b"x" * size
        account = Account(server.spec(bandwidth_bytes_s=6_000_000, **protection))
        taken = turns(account, send_large, send, fetch)
    assert [whole for _, whole in taken] == [size] * 3
    average = [each for each, _ in taken]
    assert min(average) > 0.75 * max(average), average


def test_what_is_fetched_keeps_to_it():
    rate = 4_000_000
    with Scripted() as server:
        server.files["/f"] = b"x" * 3_000_000
        account = Account(server.spec(bandwidth_bytes_s=rate))
        into = io.BytesIO()
        with account() as session, kept_to(account, 3_000_000, rate):
            assert session.fetch("/f", into) == 3_000_000
        assert into.getvalue() == server.files["/f"]


def test_so_do_many_small_files_that_are_fetched():
    rate, count = 1_000_000, 60
    with Scripted() as server, Account(server.spec(bandwidth_bytes_s=rate))() as session:
        server.files["/f"] = b"x" * 9_000
        assert Throttle(rate).portion(9_999_999) > 9_000
        began = time.monotonic()
        for _ in range(count):
            assert session.fetch("/f", io.BytesIO()) == 9_000
        # Faster only by the last one, and by what a busy machine is allowed to be late.
        assert time.monotonic() - began > count * 9_000 / rate - 0.1


@pytest.mark.parametrize("way", ["by the kernel", "by us", "fetched"])
@pytest.mark.parametrize(
    ("first", "then", "least_s", "most_s"), [(0, 4_000_000, 0.7, 40), (50_000, 100_000_000, 0, 40)]
)
def test_another_limit_counts_for_what_is_under_way(tmp_path: Path, way, first, then, least_s, most_s):
    """By the limit before it were no time at all, or 80 s."""
    large, size = tmp_path / "large", LARGE
    with large.open("wb") as file:
        file.truncate(size)
    with Scripted() as server:
        server.files["/there"] = b"x" * size
        account = Account(server.spec(bandwidth_bytes_s=first))

        limits = [then]

        def progress(_count: int) -> None:
            if limits:
                account.throttle.limit(limits.pop())

        with account() as session:
            began = time.monotonic()
            if way == "fetched":
                assert session.fetch("/there", io.BytesIO(), progress=progress) == size
            else:
                opens = {"open": lambda: large.open("rb", buffering=0)} if way == "by the kernel" else {}
                content = b"" if opens else b"x" * size
                sent = job("/large", content, size=size, progress=progress, **opens)
                assert [result.error for result in publish(session, sent)] == [None]
            assert least_s < time.monotonic() - began < most_s
