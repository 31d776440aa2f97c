"""What people decide while no daemon runs, and what the next pass makes of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ftpsyncd.claim import SENDER, Claim
from ftpsyncd.config import load
from ftpsyncd.core.names import temporary
from ftpsyncd.daemon import deciding
from ftpsyncd.daemon.onepass import Progress
from ftpsyncd.daemon.service import Service
from ftpsyncd.errors import CommandRefusedError, LedgerError, LockHeldError, NameRefusedError, UsageError
from ftpsyncd.inspection.survey import offline_status
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.ledger.database import _OPEN
from ftpsyncd.local.scan import Scanner, fingerprint_of
from ftpsyncd.mapping import looks, mirror
from ftpsyncd.model import Failure, Hold, HoldKind, Intent, Kind, Listing
from ftpsyncd.questions import CommandName
from ftpsyncd.remote import account
from ftpsyncd.specs import destination
from ftpsyncd.status import STOPPED, MappingState
from tests.servers import PASSWORD, USER, Server, running

NEXT = "no daemon runs: the next `ftpsyncd sync`, or the daemon when it starts,"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("pyftpdlib") as found:
        yield found


class Site:
    """A folder that is published by passes only; two deletes at once are allowed."""

    def __init__(self, top: Path, server: Server) -> None:
        self.drop, self.there = top / "drop", server.home / top.name
        self.drop.mkdir()
        self.server, self.file = server, top / "config.yaml"
        self.file.write_text(
            f"servers: {{web: {{host: 127.0.0.1, port: {server.port}, user: {USER}, tls: 'off',"
            " password: {env: PASSWORD_OF_CRON}}}\n"
            f"mappings: {{m: {{local: {self.drop}, remote: 'web:/{top.name}', settle: 0s, delete_after: 0s,"
            " max_deletes: 2, include: ['*']}}\n"
            f"state_dir: {top}/state\ncontrol: {{socket: {top}/s}}\n"
        )
        self.file.chmod(0o600)
        self.config = load(self.file)

    def write(self, *names: str) -> None:
        for name in names:
            (self.drop / name).parent.mkdir(exist_ok=True)
            (self.drop / name).write_text(f"content of {name}")

    def delete(self, *names: str) -> None:
        for name in names:
            (self.drop / name).unlink()

    def sync(self) -> Progress:
        service = Service(self.config, one_pass=True)
        service.start()
        try:
            progress = service.await_end(60)
        finally:
            service.stop()
        assert progress.finished
        return progress

    def decide(self, name: CommandName, mapping: str | None = "m", path: str | None = None) -> str:
        return deciding.decide(self.config, name, mapping=mapping, path=path)

    def refused(self, name: CommandName) -> str:
        with pytest.raises(CommandRefusedError) as caught:
            self.decide(name)
        return caught.value.message

    @property
    def published(self) -> set[str]:
        return {str(path.relative_to(self.there)) for path in self.there.rglob("*") if path.is_file()}

    def ledger(self) -> tuple[Ledger, int]:
        spec = self.config.mappings["m"]
        ledger = Ledger(self.config.state_dir / LEDGER)
        return ledger, ledger.mappings.number("m", destination(spec, self.config.servers["web"]))

    def hold(self) -> Hold | None:
        ledger, number = self.ledger()
        with ledger:
            return ledger.decisions.hold(number)


@pytest.fixture
def site(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("PASSWORD_OF_CRON", PASSWORD)
    return Site(tmp_path, server)


@pytest.fixture
def held(site: Site) -> Site:
    """One of which four deletes are held, of five files."""
    site.write("a", "b", "c", "d", "e")
    site.sync()
    site.delete("a", "b", "c", "d")
    assert site.sync().held == 4
    return site


def test_what_is_approved_is_deleted_by_the_next_pass_and_nothing_before(held: Site, monkeypatch: pytest.MonkeyPatch):
    held.write("new")
    ledger, number = held.ledger()
    with ledger:
        # What was cut off, also in a mapping that is gone: a daemon would see to it.
        gone = ledger.mappings.number("gone", f"{USER}@127.0.0.1:{held.server.port}/gone")
        for mapping in (number, gone):
            ledger.begun.put(mapping, "cut", Intent(Kind.FILE, "/gone/cut.filepart"))
    with monkeypatch.context() as patch:
        connections = list[tuple[object, ...]]()
        patch.delenv("PASSWORD_OF_CRON")
        patch.setattr(account, "Control", lambda *where: connections.append(where))
        assert held.decide(CommandName.APPROVE) == f"m: 4 deletes approved; {NEXT} carries it out"
        assert connections == []
    assert held.published == {"a", "b", "c", "d", "e"}
    (status,) = offline_status(held.config).mappings
    assert (status.state, status.held, status.pending) == (MappingState.PAUSED, 0, 4)
    assert status.message.startswith(f"{STOPPED}; 4 approved deletes wait for the next `ftpsyncd sync`")
    passed = held.sync()
    assert (passed.held, passed.deletes_done, held.published) == (0, 4, {"e", "new"})
    (status,) = offline_status(held.config).mappings
    assert (status.pending, status.message) == (0, STOPPED)


def cut_off_by_power(site: Site) -> None:
    """``a`` was published; of ``new`` a part is at the server, of which the power failure left no note."""
    site.write("a")
    site.sync()
    state = site.config.state_dir
    with closing(sqlite3.connect(state / LEDGER, isolation_level=None)) as database:
        database.execute(f"PRAGMA application_id={_OPEN}")
    (state / SENDER).write_text(json.dumps(["the boot before\0"]))
    part = site.there / temporary(f"/{site.there.name}/new", "the boot before\0m").rpartition("/")[2]
    part.write_bytes(b"cont")


@pytest.mark.parametrize("between", ["a decision", "a pass", "a pass, and another"])
def test_what_a_power_failure_cut_off_is_removed_also_where_something_else_comes_first(site: Site, between: str):
    """Each closes the ledger in order, so that nobody looked under the names of the boot before, for good."""
    cut_off_by_power(site)
    if between == "a decision":
        site.decide(CommandName.PAUSE)
        site.decide(CommandName.RESUME)
    for _ in range(between.count("pass") + between.count("another")):
        site.sync()
    site.write("new")
    site.sync()
    assert site.published == {"a", "new"}


@pytest.mark.parametrize("became", ["damaged", "damaged, with what was paused in it", "empty", "gone"])
def test_what_a_power_failure_cut_off_is_removed_also_where_it_took_the_ledger(site: Site, became: str):
    """A new one counted as one that knows of all that was begun."""
    cut_off_by_power(site)
    ledger = site.config.state_dir / LEDGER
    with closing(sqlite3.connect(ledger, isolation_level=None)) as database:
        if "paused" in became:
            database.execute("UPDATE mapping SET paused=1")
        database.execute("PRAGMA journal_mode=DELETE")
        [[page]] = database.execute("SELECT rootpage FROM sqlite_master WHERE name='history'")
        [[size]] = database.execute("PRAGMA page_size")
    if became == "gone":
        ledger.unlink()
    elif became == "empty":
        ledger.write_bytes(b"")
    else:
        content = bytearray(ledger.read_bytes())
        content[(page - 1) * size : page * size] = b"\xff" * size
        ledger.write_bytes(content)
    if "paused" in became:
        assert site.sync().paused
        site.decide(CommandName.RESUME)
    site.write("new")
    site.sync()
    assert site.published == {"a", "new"}


def test_what_was_deleted_after_an_approval_is_not_part_of_it(held: Site):
    held.write("f", "g")
    held.sync()
    held.decide(CommandName.APPROVE)
    held.delete("e", "f", "g")
    assert held.sync().held
    assert {"e", "f", "g"} <= held.published


def test_an_approval_is_also_about_what_has_gone_since_people_were_told(held: Site):
    """As with a daemon, which answers how many there are by now."""
    held.delete("e")
    assert held.decide(CommandName.APPROVE) == f"m: 5 deletes approved; {NEXT} carries it out"
    assert held.sync().deletes_done == 5


def test_what_is_there_again_after_an_approval_stays(held: Site):
    held.decide(CommandName.APPROVE)
    held.write("a")
    assert held.sync().deletes_done == 3
    assert held.published == {"a", "e"}


def test_a_folder_that_is_replaced_after_an_approval_is_not_emptied_at_the_server(held: Site):
    held.decide(CommandName.APPROVE)
    held.drop.rename(held.drop.with_name("before"))
    held.drop.mkdir()
    assert held.sync().held == 5
    assert held.published == {"a", "b", "c", "d", "e"}


def test_what_is_discarded_stays_and_what_goes_later_does_not(held: Site):
    """It is carried out to its end: else the pass would take what went in the meantime for a part of it."""
    assert held.decide(CommandName.DISCARD) == "m: 4 deletes discarded; the files stay at the server"
    held.delete("e")
    passed = held.sync()
    assert (passed.held, passed.deletes_done, held.published) == (0, 1, {"a", "b", "c", "d"})


def test_a_discard_about_many_directories_is_carried_out_to_its_end(site: Site):
    every = [f"{number}/a" for number in range(60)]
    site.write(*every)
    site.sync()
    shutil.rmtree(site.drop / "0")
    site.delete(*every[1:])
    assert site.sync().held == 60
    assert site.decide(CommandName.DISCARD) == "m: 60 deletes discarded; the files stay at the server"
    ledger, number = site.ledger()
    with ledger:
        assert ledger.mappings.totals(number).files == 0
    assert site.sync().held == 0
    assert site.published == set(every)


@pytest.mark.parametrize("name", [CommandName.APPROVE, CommandName.DISCARD])
def test_a_decision_is_not_about_another_folder_than_people_were_told_of(held: Site, name: CommandName):
    held.drop.rename(held.drop.with_name("before"))
    held.drop.mkdir()
    said = held.refused(name)
    hold = held.hold()
    assert hold is not None
    assert "is not the folder that was published before" in hold.message
    assert said == f"m: nothing was decided, because it is not as it was told any more: {hold.message}"
    assert held.sync().held == 5
    # Now it was told.
    assert "nothing was decided" not in held.decide(name)
    assert held.sync().held == 0
    assert held.published == (set() if name is CommandName.APPROVE else {"a", "b", "c", "d", "e"})


@pytest.mark.parametrize(
    ("told", "now", "decided"),
    [
        ((HoldKind.REPLACED_SOURCE, "one disk"), (HoldKind.REPLACED_SOURCE, "one disk"), True),
        ((HoldKind.REPLACED_SOURCE, "one disk"), (HoldKind.REPLACED_SOURCE, "one disk (and 1 more)"), False),
        ((HoldKind.REPLACED_SOURCE, "one disk"), (HoldKind.UNMOUNTED_SOURCE, "one disk"), False),
        ((HoldKind.MASS_DELETE, "4 deletes"), (HoldKind.MASS_DELETE, "5 deletes"), True),
        (None, (HoldKind.MASS_DELETE, "4 deletes"), False),
        ((HoldKind.MASS_DELETE, "4 deletes"), None, True),
    ],
)
def test_a_decision_is_about_the_hold_that_people_were_told_of(
    told: tuple[HoldKind, str] | None, now: tuple[HoldKind, str] | None, *, decided: bool
):
    before, hold = (None if each is None else Hold(each[0], 0, each[1]) for each in (told, now))
    at_work = SimpleNamespace(removals=SimpleNamespace(source=SimpleNamespace(missing=""), hold=hold))
    why = deciding._otherwise(cast("mirror.Mirror", at_work), before)
    assert why == ("" if decided else f", because it is not as it was told any more: {now and now[1]}")


def test_nor_about_deletes_in_the_folder_that_is_back_when_people_were_told_of_another_one(held: Site):
    before = held.drop.rename(held.drop.with_name("before"))
    held.drop.mkdir()
    assert held.sync().held == 5
    held.drop.rmdir()
    before.rename(held.drop)
    assert "nothing was decided, because it is not as it was told any more" in held.refused(CommandName.APPROVE)
    assert held.sync().held == 4
    assert held.published == {"a", "b", "c", "d", "e"}


def test_nothing_is_decided_about_a_folder_that_is_missing(held: Site):
    held.drop.rename(held.drop.with_name("elsewhere"))
    assert held.refused(CommandName.APPROVE) == f"m: nothing was decided: the folder {held.drop} is not there"
    held.drop.with_name("elsewhere").rename(held.drop)
    assert held.sync().held == 4


@pytest.mark.parametrize("name", [CommandName.APPROVE, CommandName.DISCARD])
def test_nothing_is_decided_about_what_was_changed_at_the_server_while_the_folder_is_missing(
    site: Site, name: CommandName
):
    site.write("a", "b")
    site.sync()
    (site.there / "a").write_text("changed by somebody else")
    site.delete("a")
    assert site.sync().held == 1
    site.drop.rename(site.drop.with_name("elsewhere"))
    assert site.refused(name) == f"m: nothing was decided: the folder {site.drop} is not there"
    site.drop.with_name("elsewhere").rename(site.drop)
    assert site.sync().held == 1
    assert site.published == {"a", "b"}


@pytest.mark.parametrize(("mapping", "of"), [("m", None), (None, "web")])
def test_a_decision_is_about_what_is_named_whatever_there_is_besides(held: Site, mapping: str | None, of: str | None):
    config = held.config
    far = config.servers["web"]._replace(name="far", host="far.test")
    other = config.mappings["m"]._replace(name="other", server="far", local=held.drop.with_name("missing"))
    both = config._replace(servers={**config.servers, "far": far}, mappings={**config.mappings, "other": other})
    said = deciding.decide(both, CommandName.APPROVE, mapping=mapping, server=of)
    assert said == f"m: 4 deletes approved; {NEXT} carries it out"


def test_a_hold_that_has_nothing_left_is_none(held: Site):
    held.write("a", "b", "c", "d")
    assert held.decide(CommandName.APPROVE) == "m: nothing is held"
    assert held.sync().held == 0


@pytest.mark.parametrize(
    ("name", "said", "left"),
    [
        (CommandName.APPROVE, f"m: 1 delete approved; {NEXT} carries it out", {"b"}),
        (CommandName.DISCARD, "m: 1 delete discarded; the files stay at the server", {"a", "b"}),
    ],
)
def test_what_was_changed_at_the_server_is_decided_about(site: Site, name: CommandName, said: str, left: set[str]):
    site.write("a", "b")
    site.sync()
    (site.there / "a").write_text("changed by somebody else")
    site.delete("a")
    assert site.sync().held == 1
    assert site.decide(name) == said
    assert site.sync().held == 0
    assert site.published == left


def test_what_there_is_no_room_to_look_at_follows_the_usual_rules(held: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(looks, "QUEUE_ROOM", 3)
    monkeypatch.setattr(mirror, "QUEUE_ROOM", 3)
    held.write(*(f"new {number}/a" for number in range(9)))
    said = held.decide(CommandName.APPROVE)
    rules = "not everything was looked at yet: other deletes follow the usual rules"
    assert said == f"m: 4 deletes approved; {rules}; {NEXT} carries it out"


def test_a_discard_that_could_not_be_carried_out_to_its_end_is_told_until_it_is(
    held: Site, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(looks, "QUEUE_ROOM", 3)
        patch.setattr(mirror, "QUEUE_ROOM", 3)
        held.write(*(f"new {number}/a" for number in range(9)))
        said = held.decide(CommandName.DISCARD)
    assert said.endswith(f"; {NEXT} carries it out to its end, and what goes until then stays there, too")
    waits = "a discard waits for the next `ftpsyncd sync`, or for the daemon's start: what goes until then stays at the server, too"
    (status,) = offline_status(held.config).mappings
    assert (status.state, status.message) == (MappingState.PAUSED, f"{STOPPED}; {waits}")
    held.decide(CommandName.PAUSE)
    (status,) = offline_status(held.config).mappings
    assert status.message == f"paused by a person; `ftpsyncd resume m` goes on; {waits}"
    held.decide(CommandName.RESUME)
    held.delete("e")
    assert held.sync().held == 0
    assert {"a", "b", "c", "d", "e"} <= held.published
    (status,) = offline_status(held.config).mappings
    assert status.message == STOPPED


def test_who_waits_for_long_is_told_so(held: Site, monkeypatch: pytest.MonkeyPatch):
    told, goes_on, look = list[bool](), threading.Event(), Scanner.list_dir

    def list_dir(scanner: Scanner, directory: str) -> Listing:
        told.append(goes_on.wait(30))
        return look(scanner, directory)

    monkeypatch.setattr(deciding, "LONG_S", 0.01)
    monkeypatch.setattr(Scanner, "list_dir", list_dir)
    assert "4 deletes approved" in deciding.decide(held.config, CommandName.APPROVE, mapping="m", long=goes_on.set)
    assert all(told)


def test_what_had_failed_is_tried_again_by_the_next_pass(site: Site):
    site.write("a", "b")
    site.sync()
    ledger, number = site.ledger()
    with ledger:
        for path in ("a", "b"):
            ledger.failures.put(number, path, Failure(None, 2, True, 0, NameRefusedError.__name__, "no", "", "", 1))  # noqa: FBT003
    here = str(site.drop / "a")
    assert site.decide(CommandName.RETRY, None, here) == f"m: a is tried again; {NEXT} carries it out"
    assert site.decide(CommandName.RETRY, None, here) == "m: nothing of the name a had failed"
    assert site.decide(CommandName.RETRY) == f"m: 1 failed path is tried again; {NEXT} carries it out"
    assert site.decide(CommandName.RETRY) == "m: nothing had failed"
    with pytest.raises(UsageError, match="is in no mapping"):
        site.decide(CommandName.RETRY, None, "/elsewhere")


def test_what_is_parked_is_not_tried_by_a_decision_about_something_else(held: Site):
    held.write("new")
    ledger, number = held.ledger()
    failed = fingerprint_of((held.drop / "new").stat())
    with ledger:
        ledger.failures.put(number, "new", Failure(failed, 2, True, 0, NameRefusedError.__name__, "no", "", "", 1))  # noqa: FBT003
    held.decide(CommandName.APPROVE)
    ledger, number = held.ledger()
    with ledger:
        assert ledger.failures.counts(number).parked == 1


def test_a_pass_keeps_to_a_pause_and_goes_on_after_it(site: Site):
    assert site.decide(CommandName.PAUSE, None) == f"m: paused; {NEXT} keeps to it"
    site.write("a")
    assert site.sync().paused
    assert not site.there.exists()
    assert site.decide(CommandName.RESUME) == f"m: goes on; {NEXT} publishes what waits"
    assert site.decide(CommandName.RESUME) == f"m: was not paused; {NEXT} publishes what waits"
    site.sync()
    assert site.published == {"a"}


def test_where_nothing_was_ever_published_nothing_is_made(site: Site):
    assert site.decide(CommandName.APPROVE) == "m: nothing is held"
    assert site.decide(CommandName.RETRY, None) == "m: nothing had failed"
    with pytest.raises(UsageError, match="is in no mapping"):
        site.decide(CommandName.RETRY, None, "/elsewhere")
    spec = site.config.mappings["m"]
    many = site.config._replace(mappings={f"m{number}": spec._replace(name=f"m{number}") for number in range(20)})
    assert deciding.decide(many, CommandName.RETRY) == "m0, m1, m2 and 17 more: nothing had failed"
    assert not site.config.state_dir.exists()


def test_beside_a_pass_nothing_is_decided(held: Site):
    with Claim(held.config.state_dir), pytest.raises(LockHeldError, match=r"^A `sync` is running, or a") as caught:
        held.decide(CommandName.APPROVE)
    assert caught.value.remedy == "Nothing was decided. Say it again when that has ended."
    assert held.hold() is not None


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_the_state_directory_of_another_user_is_said_to_be_one(held: Site, monkeypatch: pytest.MonkeyPatch, code: int):
    open_file = Path.open

    def refuse(path: Path, *words: str, **options: str) -> object:
        if path.name == "lock":
            raise OSError(code, os.strerror(code))
        return open_file(path, *words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(LedgerError, match=rf"cannot be used: {os.strerror(code)}$") as caught:
        held.decide(CommandName.APPROVE)
    assert caught.value.remedy.startswith("Say it as the user that publishes") is (code == errno.EACCES)


def test_what_cannot_be_recorded_is_not_said_to_be_decided(held: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Ledger, "trouble", property(lambda _self: "the ledger cannot be written: no space"))
    with pytest.raises(LedgerError, match=r"^the ledger cannot be written: no space$"):
        held.decide(CommandName.APPROVE)
