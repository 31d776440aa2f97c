"""A mapping's disk thread: in order of urgency, and never dead."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.errors import NoDescriptorError, NoMemoryError, ThreadLimitError
from ftpsyncd.local import disk, tree
from ftpsyncd.local.changes import Changes, WatchReport
from ftpsyncd.local.disk import Delivery, DiskThread
from ftpsyncd.local.scan import Scanner
from ftpsyncd.local.watch import RootWatcher
from ftpsyncd.model import Listing, Presence
from ftpsyncd.specs import WatchMode
from tests.waiting import until


class _SlowScanner(Scanner):
    """Waits where a hung disk would."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.hangs = threading.Event()
        self.goes_on = threading.Event()
        self.asked: list[str] = []

    def list_dir(self, directory: str) -> Listing:
        self.asked.append(f"list {directory}")
        if directory == "hang":
            self.hangs.set()
            self.goes_on.wait(20)
        if directory == "bug":
            raise ValueError("a bug")
        if directory == "few" and self.asked.count("list few") < 3:
            raise NoDescriptorError("None is left.")
        return super().list_dir(directory)

    def probe(self, directory, names):
        self.asked.append(f"probe {directory} {sorted(names)}")
        return super().probe(directory, names)


class _Setup:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.got: list[Delivery] = []
        self.changes: list[Changes] = []
        self.scanner = _SlowScanner(root)
        self.watcher = RootWatcher(
            root, mode=WatchMode.NATIVE, poll_every_s=1, descend=lambda _path: True, deliver=self.changes.append
        )
        self.thread = DiskThread("test", self.scanner, self.watcher, self.got.append)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[_Setup]:
    found = _Setup(tmp_path)
    found.thread.start()
    until(lambda: found.got and found.changes)
    yield found
    found.scanner.goes_on.set()
    assert found.thread.stop()
    assert found.thread.stop()


def test_it_starts_the_watcher_and_says_how_that_went(setup: _Setup) -> None:
    assert isinstance(setup.got[0], WatchReport)
    assert setup.got[0].kind == "native"


def test_listings_and_probes_are_answered(setup: _Setup) -> None:
    (setup.root / "a").touch()
    setup.thread.list_dir("")
    setup.thread.probe("", ["a"])
    until(lambda: len(setup.got) == 3)
    answers = [answer for answer in setup.got if isinstance(answer, Listing)]
    assert {answer.names for answer in answers} == {None, frozenset({"a"})}
    assert all("a" in answer.entries for answer in answers)


def test_while_the_disk_hangs_requests_merge_and_the_urgent_go_first(setup: _Setup) -> None:
    setup.thread.list_dir("hang")
    assert setup.scanner.hangs.wait(10)
    for _ in range(3):
        setup.thread.list_dir("a")
        setup.thread.list_dir("b")
        setup.thread.check()
        setup.thread.probe("a", ["x"])
        setup.thread.probe("a", ["y"])
    setup.scanner.goes_on.set()
    until(lambda: len(setup.got) == 6)
    assert setup.scanner.asked == ["list hang", "probe a ['x', 'y']", "list a", "list b"]
    assert sum(isinstance(answer, WatchReport) for answer in setup.got) == 2


def test_a_listing_does_not_wait_for_ever_while_more_names_are_asked_for(setup: _Setup) -> None:
    """Of a slow disk, names of files that change all the time are asked for faster than it tells of them."""
    answered = setup.thread._deliver
    left = iter(range(5 * disk.PROBES_IN_A_ROW))

    def ask_again(answer: Delivery) -> None:
        if isinstance(answer, Listing) and answer.names and (number := next(left, None)) is not None:
            setup.thread.probe(f"busy {number}", ["x"])
        answered(answer)

    setup.thread._deliver = ask_again
    setup.thread.list_dir("hang")
    assert setup.scanner.hangs.wait(10)
    setup.thread.list_dir("a")
    for number in range(3):
        setup.thread.probe(f"{number}", ["x"])
    setup.scanner.goes_on.set()
    until(lambda: "list a" in setup.scanner.asked)
    assert setup.scanner.asked.index("list a") == 1 + disk.PROBES_IN_A_ROW


def told_and_asked(setup: _Setup, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the disk and what is told of it, in the order in which that happens."""
    order = setup.scanner.asked
    deliver = setup.thread._deliver

    def told(answer: Delivery) -> None:
        order.append(f"told {answer.directory}" if isinstance(answer, Listing) else "report")
        deliver(answer)

    monkeypatch.setattr(setup.thread, "_deliver", told)
    return order


def test_directories_that_are_listed_one_right_after_the_other_are_told_of_together(
    setup: _Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes the answers does not work on one while the thread works on the next: they have one interpreter."""
    monkeypatch.setattr(disk, "TOGETHER_S", 60.0)
    order = told_and_asked(setup, monkeypatch)
    setup.thread.list_dir("hang")
    assert setup.scanner.hangs.wait(10)
    setup.thread.list_dir("a")
    setup.thread.list_dir("b")
    setup.scanner.goes_on.set()
    until(lambda: order[-1:] == ["told b"])
    assert order == ["list hang", "list a", "list b", "told hang", "told a", "told b"]
    setup.thread.list_dir("c")
    until(lambda: order[-1:] == ["told c"], "nothing follows that it would wait for")


def test_a_listing_waits_for_no_other_that_takes_long(setup: _Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "TOGETHER_S", 0.0)
    order = told_and_asked(setup, monkeypatch)
    setup.thread.list_dir("hang")
    assert setup.scanner.hangs.wait(10)
    setup.thread.list_dir("a")
    setup.scanner.goes_on.set()
    until(lambda: order[-1:] == ["told a"])
    assert order == ["list hang", "told hang", "list a", "told a"]


@pytest.mark.parametrize("urgent", ["check", "probe"])
def test_what_was_listed_before_is_told_before_what_is_more_urgent(
    setup: _Setup, monkeypatch: pytest.MonkeyPatch, urgent: str
) -> None:
    monkeypatch.setattr(disk, "TOGETHER_S", 60.0)
    order = told_and_asked(setup, monkeypatch)
    listed = setup.scanner.list_dir

    def list_dir(directory: str) -> Listing:
        if directory == "b":
            setup.thread.check() if urgent == "check" else setup.thread.probe("d", ["x"])
        return listed(directory)

    monkeypatch.setattr(setup.scanner, "list_dir", list_dir)
    setup.thread.list_dir("hang")
    assert setup.scanner.hangs.wait(10)
    for directory in "abc":
        setup.thread.list_dir(directory)
    setup.scanner.goes_on.set()
    until(lambda: order[-1:] == ["told c"])
    between = ["report"] if urgent == "check" else ["probe d ['x']", "told d"]
    before = ["list hang", "list a", "list b", "told hang", "told a", "told b"]
    assert order == [*before, *between, "list c", "told c"]


def test_a_bug_is_an_answer_and_not_the_end(setup: _Setup) -> None:
    setup.thread.list_dir("bug")
    until(lambda: len(setup.got) == 2)
    answer = setup.got[1]
    assert isinstance(answer, Listing)
    assert (answer.presence, answer.directory) == (Presence.UNREADABLE, "bug")
    assert "ValueError: a bug" in answer.problem
    setup.thread.list_dir("")
    until(lambda: len(setup.got) == 3)


def test_where_nothing_can_be_opened_that_is_said_and_it_is_looked_again(
    setup: _Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "AGAIN_S", 0.01)
    setup.got.clear()
    setup.thread.list_dir("few")
    until(lambda: len(setup.got) == 3)
    assert [type(each) for each in setup.got] == [NoDescriptorError, NoDescriptorError, Listing]


def test_that_nothing_can_be_opened_does_not_make_the_folder_missing(
    setup: _Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "AGAIN_S", 0.01)
    setup.got.clear()

    def none_left(_root: Path) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(tree, "open_root", none_left)
        setup.thread.check()
        setup.thread.probe("", ["a"])
        setup.thread.list_dir("")
        until(lambda: len(setup.got) > 5)
        assert {type(each) for each in setup.got} == {NoDescriptorError}
    until(lambda: isinstance(setup.got[-1], Listing) and setup.got[-1].names is None)
    assert [each.presence for each in setup.got if isinstance(each, Listing)] == [Presence.PRESENT] * 2
    assert [each.root for each in setup.got if isinstance(each, WatchReport)] == [setup.scanner.root_identity()]


def test_a_check_that_fails_is_a_report(setup: _Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> WatchReport:
        raise ValueError("a bug")

    monkeypatch.setattr(setup.watcher, "check", fail)
    setup.thread.check()
    until(lambda: len(setup.got) == 2)
    assert setup.got[1] == WatchReport("none", None, "watching failed: ValueError: a bug")


def none_begins(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_that_no_thread_may_begin_does_not_make_the_folder_missing(
    setup: _Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.got.clear()
    with setup.watcher._using:
        # As where one has died.
        setup.watcher._close()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_begins)
        for count in (1, 2):
            setup.thread.check()
            until(lambda count=count: len(setup.got) == count)  # type: ignore[misc]
    assert {type(each) for each in setup.got} == {ThreadLimitError}
    assert not setup.watcher._sources
    setup.thread.check()
    until(lambda: isinstance(setup.got[-1], WatchReport))
    assert setup.got[-1] == WatchReport("native", setup.scanner.root_identity(), "", tree.numbered_identity(setup.root))


def test_that_there_is_no_memory_for_a_check_does_not_make_the_folder_missing(
    setup: _Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.got.clear()
    with monkeypatch.context() as patched:
        patched.setattr(tree, "root_identity", lambda _root: bytearray(1 << 62))
        setup.thread.check()
        until(lambda: setup.got)
    assert [type(each) for each in setup.got] == [NoMemoryError]


def test_stopping_does_not_wait_for_a_hung_disk(setup: _Setup) -> None:
    setup.thread.list_dir("hang")
    assert setup.scanner.hangs.wait(10)
    assert not setup.thread.stop(timeout_s=0.01)
    setup.scanner.goes_on.set()
    until(lambda: not setup.thread.is_alive())


def test_a_thread_that_never_started_can_be_stopped(tmp_path: Path) -> None:
    assert _Setup(tmp_path).thread.stop()


class _Waiting:
    """A watcher that has much to look at."""

    def __init__(self, goes_on: threading.Event) -> None:
        self._goes_on = goes_on

    def start(self) -> WatchReport:
        self._goes_on.wait(20)
        return WatchReport("native", None, "")

    check = start

    def stop(self) -> None:
        pass


@pytest.mark.parametrize("hung", [False, True])
def test_a_disk_that_does_not_answer_is_told_from_one_with_much_on_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hung: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(disk, "ANSWER_S", 1.0)
    goes_on = threading.Event()
    scanner = Scanner(tmp_path)
    if hung:
        monkeypatch.setattr(scanner, "root_identity", lambda: goes_on.wait(20))
    thread = DiskThread("test", scanner, _Waiting(goes_on), lambda _delivery: None)
    thread.start()
    began = time.monotonic()
    assert thread.answers()
    until(lambda: time.monotonic() - began > 1.2)
    assert (thread.begun, thread.answers()) == (False, not hung)
    goes_on.set()
    until(lambda: thread.begun and thread.answers())
    assert thread.stop()


def test_a_disk_that_hangs_below_the_root_is_told_from_one_with_much_on_it(
    setup: _Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "STILL_S", 1.0)  # a busy machine lets a thread stand still for some time, too
    over = threading.Event()

    def take_long(_scanner: Scanner, _directory: str, names: frozenset[str]) -> Listing:
        while not over.wait(0.01):
            pass
        return Listing("", Presence.ABSENT, {}, names)

    monkeypatch.setattr(_SlowScanner, "probe", take_long)
    setup.thread.probe("", {"a"})
    until_s = time.monotonic() + 1.5
    while time.monotonic() < until_s:
        assert setup.thread.answers()
    over.set()
    setup.thread.list_dir("hang")
    assert setup.scanner.hangs.wait(10)
    until(lambda: not setup.thread.answers(), "it is noticed")
    setup.scanner.goes_on.set()
    until(setup.thread.answers, "it is over")
    until_s = time.monotonic() + 0.5
    while time.monotonic() < until_s:
        assert setup.thread.answers(), "nothing is asked of it"
