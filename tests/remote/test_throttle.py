"""The bandwidth limit holds for all connections together, and is shared."""

from __future__ import annotations

import io
import threading
import time

import pytest

from ftpsyncd.remote import Account
from ftpsyncd.remote.throttle import Throttle
from tests.contract.remotes import job, publish
from tests.remote.scripted import Scripted


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
    assert portion == 50_000
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
    assert clock.now == pytest.approx(3702)


def test_no_limit_waits_for_nothing():
    throttle = Throttle(0, sleep=lambda _: pytest.fail("waited"))
    assert throttle.portion(262_144) == 262_144
    for _ in range(1000):
        throttle.take(10**9)


def test_connections_share_it():
    rate = 4_000_000
    with Scripted() as server:
        account = Account(server.spec(bandwidth_bytes_s=rate))
        sent: dict[str, int] = {}

        def send(path: str) -> None:
            with account() as session:
                publish(session, job(path, b"x" * 3_000_000, progress=lambda n: sent.__setitem__(path, n)))

        threads = [threading.Thread(target=send, args=[f"/{n}"]) for n in range(2)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        assert sent == {"/0": 3_000_000, "/1": 3_000_000}
        assert took == pytest.approx(6_000_000 / rate, rel=0.2)


def test_what_is_fetched_keeps_to_it():
    rate = 4_000_000
    with Scripted() as server, Account(server.spec(bandwidth_bytes_s=rate))() as session:
        server.files["/f"] = b"x" * 3_000_000
        into = io.BytesIO()
        began = time.monotonic()
        assert session.fetch("/f", into) == 3_000_000
        took = time.monotonic() - began
        assert into.getvalue() == server.files["/f"]
        # The last portion is not waited for.
        assert took == pytest.approx(3_000_000 / rate, rel=0.3)
