"""One worker as the others see it: what it has taken, whether it hangs, and what it leaves when it is given up."""

from __future__ import annotations

import time

import pytest

from ftpsyncd.actions import Delete
from ftpsyncd.publishing.planned import Progress
from ftpsyncd.publishing.workers import Worker
from ftpsyncd.remote.memory import MemoryServer
from tests.core.vocabulary import M

ONE, ANOTHER = Delete(M, "a"), Delete(M, "b")
LONG_S = 60.0


@pytest.fixture
def worker() -> Worker:
    return Worker(lambda _worker: None, "works")


def test_what_it_has_taken_is_its_own_until_it_says_what_came_of_it(worker: Worker) -> None:
    assert (worker.has_taken(), worker.works_for(M)) == (False, False)
    assert worker.takes(ONE)
    assert worker.takes(ANOTHER)
    assert (worker.has_taken(), worker.works_for(M), worker.works_for("another")) == (True, True, False)
    assert worker.leaves(ONE)
    assert worker.leaves_all() == [ANOTHER]
    assert not worker.has_taken()
    assert worker.leaves_all() == []


def test_one_that_is_given_up_leaves_its_connection_and_what_it_had_and_nothing_it_does_counts(worker: Worker) -> None:
    session = MemoryServer().connect()
    with worker.at_work():
        worker.uses(session)
        assert worker.takes(ONE)
        worker.show(Progress(M, "a", 10))
        assert worker.give_up() == (session, [ONE])
        assert (worker.given_up, worker.progress, worker.has_taken()) == (True, None, False)
        # It finds that out, and somebody else has said it.
        assert not worker.leaves(ONE)
        assert not worker.takes(ANOTHER)
        assert not worker.has_taken()
    # The next one to use the connection is not its business.
    assert worker.give_up() == (None, [])


def test_it_hangs_when_it_shows_no_sign_for_so_long_while_it_has_something_to_do(worker: Worker) -> None:
    later = time.monotonic() + 1000.0
    assert not worker.is_at_work()
    assert not worker.hangs(later, LONG_S), "it has nothing to do"
    with worker.at_work():
        began = time.monotonic()
        assert worker.is_at_work()
        assert not worker.hangs(began + LONG_S / 2, LONG_S)
        assert worker.hangs(began + LONG_S + 1, LONG_S)
        worker.sign()
        assert worker.hangs(later, LONG_S)
    assert not worker.is_at_work()
    assert not worker.hangs(later, LONG_S)


def test_that_something_of_a_file_is_sent_is_a_sign_but_not_of_one_that_has_nothing_to_do(worker: Worker) -> None:
    progress = Progress(M, "film.mp4", 10**12)
    worker.show(progress)
    progress.sent_bytes = 1
    assert not worker.hangs(time.monotonic() + 1000.0, LONG_S)
    assert not worker.is_at_work()
    with worker.at_work():
        now = time.monotonic() + 1000.0
        for sent in (2, 3):
            progress.sent_bytes = sent
            assert not worker.hangs(now, LONG_S)
            assert not worker.hangs(now + LONG_S, LONG_S)
            assert worker.hangs(now + LONG_S + 1, LONG_S)
            now += 1000.0
