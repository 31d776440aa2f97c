"""Servers that want to be somewhere else on this machine's disk, or to keep it busy for ever."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ftpsyncd.core import sizes
from ftpsyncd.errors import (
    AlreadyExistsError,
    LocalUnwritableError,
    NameRefusedError,
    ProtocolError,
    ServerUnavailableError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.remote import Ftp, Step, fetchtree, listings, whole
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.arrival import REPEATED, Part
from ftpsyncd.remote.fetchtree import unfit
from ftpsyncd.remote.folders import Directory, unwritable
from ftpsyncd.remote.profile import Profile, Removing
from ftpsyncd.remote.trees import DEEPEST, MOST_REPEATED, TOO_DEEP_MAX
from ftpsyncd.remote.wire import Timeouts
from tests.remote.scripted import Connection, Scripted

MOST_LINKS = 40
"""On the way to one file (path_resolution(7))."""
QUICK = Timeouts(connect_s=5, reply_s=5, stall_s=5, final_s=5, close_s=1)
Lines = Callable[[str], list[str]]


def sends(lines: Lines):
    """A listing command whose content depends on its argument, or on where the session went."""

    async def act(connection: Connection, argument: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        writer.write("".join(f"{line}\r\n" for line in lines(argument)).encode("utf-8", "surrogateescape"))
        await writer.drain()
        await connection.end_data()
        await connection.say("226 Done.")

    return act


def mlsd(*names: str, size: int = 5) -> list[str]:
    return [f"type=file;size={size};modify=20200101000000; {name}" for name in names]


def ls(*names: str, kind: str = "-") -> list[str]:
    return [f"{kind}rw-r--r--   1 a b 5 Jan  1  2020 {name}" for name in names]


class Hostile(Scripted):
    """Says whatever the test wants about every directory, and sends ``hello`` for every file."""

    def __init__(self, lines: Lines, plain: Lines = lambda _path: [], **more) -> None:
        async def anywhere(connection: Connection, _argument: str) -> None:
            await connection.say("250 Here.")

        async def hello(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            _, writer = await connection.data()
            writer.write(b"hello")
            await writer.drain()
            await connection.end_data()
            await connection.say("226 Sent.")

        script = {
            "FEAT": "211-Features:\n MLST type*;size*;modify*;\n REST STREAM\n211 End",
            "MLST": "250-\n type=dir; /d\n250 End",
            "CWD": anywhere,
            "MLSD": sends(lines),
            "LIST": sends(plain),
            "RETR": hello,
            "DELE": "250 Gone.",
            "RMD": "250 Gone.",
        }
        super().__init__({**script, **more})


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "deep" / "target"
    path.mkdir(parents=True)
    return path


def account_of(server: Scripted) -> Account:
    """One that is known to remove no directory that holds something: it is not tried."""
    return Account(server.spec(), profile=Profile(removing=Removing.REFUSES), timeouts=QUICK)


def connected(server: Scripted) -> Ftp:
    return Ftp(account_of(server)(), origin="s")


def everything(root) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


BAD = {
    "parent": "../escaped",
    "far": "../../../../../../tmp/ftpsyncd-escaped",
    "absolute": "/tmp/ftpsyncd-escaped",
    "below": "sub/escaped",
    "dots": "..",
    "escape": "a\x1b[2Jb",
    "tab": "a\tb",
    "newline": "a\nb",
    "carriage return": "a\rb",
    "NUL": "a\0b",
    "C1": "a\x9bb",
    "delete": "a\x7fb",
    "long": "x" * 256,
    "long in bytes": "ü" * 128,
}


FORMS = [
    pytest.param(name, form, kind, id=f"{what}-{form}-{kind}")
    for what, name in BAD.items()
    for form in ("MLSD", "LIST")
    for kind in ("file", "dir")
    if (what, form) != ("newline", "LIST")  # there it ends the line
]


@pytest.mark.parametrize(("name", "form", "kind"), FORMS)
def test_a_name_that_is_none_is_refused_and_the_others_come(target, name, form, kind):
    def lines(_path: str) -> list[str]:
        if form == "MLSD":
            return [f"type={kind};size=5;modify=20200101000000; {name}", *mlsd("good")]
        return [f"{'d' if kind == 'dir' else '-'}rw-r--r--   1 a b 5 Jan  1  2020 {name}", *ls("good")]

    more = {} if form == "MLSD" else {"FEAT": "502 No.", "SIZE": "213 5", "MDTM": "213 20200101000000"}
    with Hostile(lines, lines, **more) as server, connected(server) as ftp:
        before = everything(target.parents[1])
        results = list(ftp.download_tree("/", target))
        assert everything(target.parents[1]) - before == {"deep/target/good"}
        assert (target / "good").read_bytes() == b"hello"
    failed = [type(r.error) for r in results if r.step is Step.FAILED]
    # ".." is in every listing and no entry of it.
    assert failed == ([] if name == ".." else [LocalUnwritableError])


@pytest.mark.parametrize(
    "name", ["plain", "with space", "..a", "a..", "...", "-rf", "~", "größe", "a\\b", "\udcff", "x" * 255]
)
def test_other_names_are_fine(name):
    assert unfit(name) == ""


@pytest.mark.parametrize("name", ["", ".", "..", *BAD.values()])
def test_other_words_for_a_place_are_no_names(name):
    assert unfit(name)


def test_a_name_that_this_machine_cannot_spell_is_refused_alone(monkeypatch):
    """Where the locale is of another encoding than UTF-8."""
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1", "surrogateescape"))
    assert unfit("ä.jpg") == ""
    assert unfit("日本.jpg") == "it holds characters that no name here can have"


def test_a_directory_within_itself_ends(target):
    with Hostile(lambda _path: ["type=dir; d"], lambda _path: ls("d", kind="d")) as server:
        with connected(server) as ftp:
            results = list(ftp.download_tree("/", target))
            assert [type(r.error) for r in results] == [NameRefusedError]
            assert len(everything(target)) == MOST_REPEATED + 1
            deleted = list(ftp.delete_tree("/d"))
        assert [r.step for r in deleted] == [Step.FAILED]


def test_what_is_too_deep_ends(target):
    with Hostile(lambda path: [f"type=dir; {path.count('/')}"]) as server, connected(server) as ftp:
        results = list(ftp.download_tree("/", target))
    assert [type(r.error) for r in results] == [NameRefusedError]
    assert len(everything(target)) == DEEPEST


def test_two_directories_within_themselves_end(target):
    names = ("d", "e")
    with Hostile(
        lambda _path: [f"type=dir; {name}" for name in names],
        lambda _path: ls(*names, kind="d"),
    ) as server:
        with connected(server) as ftp:
            results = list(ftp.download_tree("/", target))
            assert len(results) == TOO_DEEP_MAX
            deleted = list(ftp.delete_tree("/d"))
        assert [r.step for r in deleted] == [Step.FAILED] * TOO_DEEP_MAX


def test_links_into_themselves_end_where_the_server_goes_through_no_more_than_forty(target):
    """As Linux does: with two in each, nobody would see the end of it."""
    lists = 0

    def names(path: str) -> tuple[str, ...]:
        nonlocal lists
        lists += 1
        assert lists < 1000, "this goes on for ever"
        return () if path.count("/") > MOST_LINKS else ("d", "e")

    with Hostile(
        lambda path: [f"type=dir; {name}" for name in names(path)], lambda _path: ls("d", "e", kind="d")
    ) as server:
        with connected(server) as ftp:
            results = list(ftp.download_tree("/", target))
        assert [type(r.error) for r in results] == [NameRefusedError] * TOO_DEEP_MAX


def test_a_name_that_comes_twice_is_not_replaced(target):
    def lines(path: str) -> list[str]:
        return [*mlsd("a", "a"), "type=dir; d", "type=dir; d"] if path == "/" else mlsd("x")

    with Hostile(lines) as server, connected(server) as ftp:
        results = list(ftp.download_tree("/", target))
        again = [r.step for r in ftp.download_tree("/", target)]
    assert Counter((r.remote, r.step) for r in results) == {
        ("/a", Step.FETCHED): 1,
        ("/a", Step.FAILED): 1,
        ("/d/x", Step.FETCHED): 1,
        ("/d", Step.FAILED): 1,
    }
    assert {type(r.error) for r in results if r.error} == {AlreadyExistsError}
    assert Counter(again) == {Step.SAME: 2, Step.FAILED: 2}


def test_names_that_are_one_here_are_not_replaced(target):
    # A hard link is what two spellings of a name are on a file system that ignores case.
    (target / "a").write_bytes(b"old")
    os.link(target / "a", target / "A")
    os.utime(target / "a", (1_577_836_800, 1_577_836_800))
    with Hostile(lambda _path: mlsd("A", "a", size=3)) as server, connected(server) as ftp:
        assert [r.step for r in ftp.download_tree("/", target)] == [Step.SAME, Step.FAILED]
    assert (target / "A").read_bytes() == b"old"


def test_a_link_that_is_put_in_the_way_while_we_work_is_not_followed(target, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    listed: list[str] = []

    def lines(path: str) -> list[str]:
        listed.append(path)
        if path == "/":
            return ["type=dir; d"]
        # The directory is looked for after its listing: somebody is quicker.
        if not (target / "d").is_symlink():
            (target / "d").symlink_to(outside)
        return mlsd("x")

    with Hostile(lines) as server, connected(server) as ftp:
        (result,) = ftp.download_tree("/", target)
    assert isinstance(result.error, LocalUnwritableError)
    assert "link" in str(result.error)
    assert listed == ["/", "/d"]
    assert list(outside.iterdir()) == []


def test_a_link_that_takes_a_directorys_place_after_the_look_is_not_followed(target, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "d").mkdir()
    look = Directory.look

    def quicker(self, name):
        found = look(self, name)
        looks.append(name)
        if looks.count("d") == 2:  # the last one before it is opened
            (target / "d").rmdir()
            (target / "d").symlink_to(outside)
        return found

    looks: list[str] = []
    monkeypatch.setattr(Directory, "look", quicker)
    with Hostile(lambda path: ["type=dir; d"] if path == "/" else mlsd("x")) as server, connected(server) as ftp:
        (result,) = ftp.download_tree("/", target)
    assert isinstance(result.error, LocalUnwritableError)
    assert (target / "d").is_symlink()
    assert list(outside.iterdir()) == []


def test_a_directory_that_list_shows_as_a_link_is_neither_fetched_nor_emptied(target):
    def plain(_path: str) -> list[str]:
        return ["lrwxrwxrwx 1 a b 0 Jan  1  2020 d -> /etc"]

    with Hostile(lambda _path: ["type=dir; d"], plain) as server:
        with connected(server) as ftp:
            assert [r.step for r in ftp.download_tree("/", target)] == [Step.SKIPPED]
            assert [r.remote for r in ftp.delete_tree("/d")] == ["/d"]
        assert [line for line in server.log if line.startswith(("DELE", "RMD"))] == ["DELE /d"]


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b"])
def test_nothing_above_is_deleted(name):
    def lines(path: str) -> list[str]:
        return ["type=dir; d"] if path == "/" else mlsd(name)

    def plain(_path: str) -> list[str]:
        return ls("d", kind="d")

    with Hostile(lines, plain) as server, connected(server) as ftp:
        (result,) = ftp.delete_tree("/d")
        assert isinstance(result.error, NameRefusedError)
        assert not [line for line in server.log if line.startswith(("DELE", "RMD"))]


def test_what_is_not_clearly_a_directory_is_not_emptied():
    with Hostile(lambda _path: mlsd("x")) as server, connected(server) as ftp:
        (result,) = ftp.delete_tree("/d")
        assert isinstance(result.error, NameRefusedError)
        assert "does not say" in str(result.error)
        assert not [line for line in server.log if line.startswith(("DELE", "RMD"))]


@pytest.mark.parametrize("size", [3, 9])
def test_more_or_less_than_was_said_does_not_get_a_name(target, size):
    with Hostile(lambda _path: mlsd("a", size=size)) as server, connected(server) as ftp:
        (result,) = ftp.download_tree("/", target)
        assert isinstance(result.error, VerificationError)
        assert everything(target) == set()


@pytest.mark.parametrize("size", [0, 7])
def test_content_without_end_ends(target, monkeypatch, size):
    # At 64 GiB, where the size may be one that is counted in 32 bits; here at 1 MiB.
    monkeypatch.setattr(sizes, "COUNTED", 65_536)

    async def endless(connection: Connection, _argument: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            await connection.end_data()
            await connection.say("426 You did not want it.")

    with Hostile(lambda _path: mlsd("a", size=size), RETR=endless) as server, connected(server) as ftp:
        (result,) = ftp.download_tree("/", target)
        assert isinstance(result.error, VerificationError)
        assert everything(target) == set()
        ftp.session.noop()


def test_a_listing_without_end_ends(target, monkeypatch):
    monkeypatch.setattr(whole, "LISTING_MAX", 1_000_000)

    async def endless(connection: Connection, _argument: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        while True:
            writer.write("".join(f"{line}\r\n" for line in mlsd("a")).encode() * 1000)
            await writer.drain()

    with Hostile(lambda _path: [], MLSD=endless) as server, connected(server) as ftp:
        with pytest.raises(ProtocolError):
            list(ftp.download_tree("/", target))
        assert not ftp.session.usable


class TestContinuing:
    CONTENT = bytes(range(256)) * 8192  # 2 MiB

    def fetched(self, target, *, part: bytes, **script) -> list[str]:
        """Fetch a file of which a part is there; returns the commands of the transfers."""
        with Scripted(
            FEAT="211-Features:\n MLST type*;size*;modify*;\n REST STREAM\n211 End",
            MLST=f"250-\n type=file;size={len(self.CONTENT)};modify=20200101000000; /f\n250 End",
            **script,
        ) as server:
            server.files["/f"] = self.CONTENT
            with connected(server) as ftp:

                class Stop(Exception):  # noqa: N818 - not an error
                    pass

                def stop(count: int) -> None:
                    if count > REPEATED:
                        raise Stop

                server.script["REST"], refusing = None, server.script.get("REST")
                with pytest.raises(Stop):
                    ftp.download("/f", target / "f", progress=stop)
                server.script["REST"] = refusing
            (left,) = target.iterdir()
            left.write_bytes(part)
            server.log.clear()
            with connected(server) as ftp:
                ftp.download("/f", target / "f")
            assert (target / "f").read_bytes() == self.CONTENT
            assert [path.name for path in target.iterdir()] == ["f"]
            return [line for line in server.log if line.startswith(("REST", "RETR"))]

    @pytest.mark.parametrize("refusal", ["502 Not here.", "554 No.", "450 Try again.", "451 Try again."])
    def test_where_it_is_refused_all_is_fetched(self, target, refusal):
        commands = self.fetched(target, part=self.CONTENT[:1_500_000], REST=refusal)
        assert commands == [f"REST {1_500_000 - REPEATED}", "RETR /f"]

    def test_where_it_is_ignored_all_is_fetched(self, target):
        commands = self.fetched(target, part=self.CONTENT[:1_500_001], REST="350 Yes, yes.")
        assert commands == [f"REST {1_500_001 - REPEATED}", "RETR /f", "RETR /f"]

    def test_a_line_that_breaks_again_loses_nothing(self, target):
        async def breaks(connection: Connection, _argument: str) -> None:
            await connection.say("150 Here it comes.")
            await connection.data()
            await connection.end_data(reset=True)
            await connection.hang_up()

        with Scripted(
            FEAT="211-Features:\n MLST type*;size*;modify*;\n REST STREAM\n211 End",
            MLST=f"250-\n type=file;size={len(self.CONTENT)};modify=20200101000000; /f\n250 End",
            REST="350 From there.",
            RETR=breaks,
        ) as server:
            with connected(server) as ftp, pytest.raises(ServerUnavailableError):
                ftp.download("/f", target / "f")
            assert everything(target) == set()
            part = target / "f.00000000.filepart"
            server.script["RETR"] = None
            server.files["/f"] = self.CONTENT

            class Stop(Exception):  # noqa: N818 - not an error
                pass

            def stop(count: int) -> None:
                if count > REPEATED:
                    raise Stop

            with connected(server) as ftp, pytest.raises(Stop):
                ftp.download("/f", target / "f", progress=stop)
            (part,) = target.iterdir()
            held = part.read_bytes()
            server.script["RETR"] = breaks
            with connected(server) as ftp, pytest.raises(ServerUnavailableError):
                ftp.download("/f", target / "f")
            assert part.read_bytes() == held == self.CONTENT[: len(held)]
            assert stat.S_IMODE(part.stat().st_mode) & 0o111 == 0


def tree(path: str) -> list[str]:
    return mlsd("b") if path.endswith("d") else [*mlsd("a"), "type=dir;modify=20200101000000; d"]


@pytest.mark.parametrize("verb", ["RETR", "MLSD"])
@pytest.mark.parametrize("refusals", [1, 2])
def test_a_tree_is_fetched_over_another_connection_where_one_has_no_data_connections_any_more(target, verb, refusals):
    with Hostile(tree) as server:
        usual = server.script[verb]
        # The directory itself is listed before anything is made here.
        first = [usual] if verb == "MLSD" else []
        refused = ["425 Unable to build data connection: Operation not permitted"] * refusals
        server.script[verb] = [*first, *refused, usual, usual]
        with Ftp(connected(server).session, again=account_of(server)) as ftp:
            if refusals == 1:
                assert {result.error for result in ftp.download_tree("/t", target)} == {None}
                assert everything(target) == {"a", "d", "d/b"}
            else:
                with pytest.raises(TransferFailedError, match="425"):
                    list(ftp.download_tree("/t", target))


def test_a_tree_is_fetched_on_though_the_connection_ends_while_a_slow_disk_writes(target, monkeypatch):
    """What came is on the disk before the next file is asked for: a stick takes minutes, and servers wait for five."""
    monkeypatch.setattr(fetchtree, "LONGEST_SILENCE_S", 0.0)
    writes, ended = asyncio.Event(), threading.Event()

    def slow(_descriptor: int) -> None:
        server._loop.call_soon_threadsafe(writes.set)
        assert ended.wait(10)

    monkeypatch.setattr(os, "fsync", slow)

    async def times_out(connection: Connection, path: str) -> None:
        await hello(connection, path)
        await writes.wait()
        await connection.say("421 Timeout.")
        ended.set()
        await connection.hang_up()

    with Hostile(tree) as server:
        hello: Any = server.script["RETR"]
        server.script["RETR"] = [times_out, hello]
        with Ftp(connected(server).session, again=account_of(server)) as ftp:
            assert {result.error for result in ftp.download_tree("/t", target)} == {None}
        assert everything(target) == {"a", "d", "d/b"}


@pytest.mark.parametrize(
    ("code", "of_the_disk"), [(errno.EFBIG, False), (errno.ENOSPC, True), (errno.EDQUOT, True)], ids=errno.errorcode.get
)
def test_a_full_disk_ends_a_tree_and_a_file_that_is_too_large_for_it_does_not(target, monkeypatch, code, of_the_disk):
    """Each further file would cost a connection, to be told the same."""

    def write(_part: Part, _data: bytes) -> None:
        monkeypatch.undo()
        error = OSError(code, os.strerror(code))
        raise unwritable(target, error) from error

    with Hostile(tree) as server, Ftp(connected(server).session, again=account_of(server)) as ftp:
        monkeypatch.setattr(Part, "write", write)
        results = ftp.download_tree("/t", target)
        if of_the_disk:
            with pytest.raises(LocalUnwritableError):
                list(results)
        else:
            assert [type(each.error) for each in results] == [LocalUnwritableError, type(None)]
        assert {path for path in everything(target) if "filepart" not in path} == (
            set() if of_the_disk else {"d", "d/b"}
        )


@pytest.mark.parametrize(("verb", "before"), [("LIST", 0), ("LIST", 1), ("MLSD", 0)])
def test_so_it_is_deleted(verb, before):
    shows = [sends(lambda _argument: ls("d", kind="d")), sends(lambda _argument: ls("a"))]
    script: dict[str, Any] = {"LIST": shows, "MLSD": [sends(lambda _argument: mlsd("a"))]}
    script[verb].insert(before, "425 Unable to build data connection: Operation not permitted")
    with Hostile(tree, **script) as server:
        with Ftp(connected(server).session, again=account_of(server)) as ftp:
            results = list(ftp.delete_tree("/d"))
        assert [(each.remote, each.step) for each in results] == [("/d/a", Step.REMOVED), ("/d", Step.REMOVED)]
        assert server.connections == 2


def test_without_another_connection_the_first_refusal_is_told(target):
    refused = pytest.raises(TransferFailedError, match="425 No")
    with Hostile(tree, RETR="425 No.") as server, connected(server) as ftp, refused:
        list(ftp.download_tree("/t", target))


def test_a_fact_without_end_is_read_at_once():
    """A line of 200 kB took minutes, in which no other thread of the daemon had its turn."""
    began = time.process_time()
    assert not listings.has_facts(b"user" * 50_000 + b" x")
    assert time.process_time() - began < 5
