"""The version before of a file, moved aside for the new one at servers that replace nothing, where that goes wrong."""

from __future__ import annotations

import os
import signal

import pytest

from ftpsyncd.actions import Did, Done, Rename
from ftpsyncd.core import names
from ftpsyncd.errors import FtpsyncdError, NameRefusedError
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.publishing.existing import FreshDirectories
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.publishing.publish import Publisher
from ftpsyncd.remote.library import Ftp
from ftpsyncd.specs import MappingSpec
from tests.contract.remotes import job, publish
from tests.publishing.drawn import Drawn
from tests.remote.scripted import AT_ANY_MOMENT, Act, Connection, Scripted, account, hang_up
from tests.waiting import until

ASIDE = names.aside("/a")
WAYS = {
    "upload": lambda ftp, path: ftp.upload(path, "/a"),
    "upload_many": lambda ftp, path: list(ftp.upload_many([(path, "/a"), (path, "/b")])),
    "rename": lambda ftp, _path: ftp.rename("/new", "/a"),
}


class Careful(Scripted):
    """One that replaces nothing; of the renames to the published name it ends the line at the second one."""

    def __init__(self, *, does: bool, **more) -> None:
        super().__init__(**more)
        self.does = does
        """It does that rename."""
        self.left = 2

    async def do_rnto(self, c: Connection, path: str) -> str:
        if path in self.files:
            return "550 File exists."
        if path != "/a" or self.left <= 0:
            return await super().do_rnto(c, path)
        if self.does:
            await super().do_rnto(c, path)
        self.left = 0
        await c.hang_up()
        return ""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"new")
    return path


@pytest.mark.parametrize("does", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("way", WAYS)
def test_it_comes_back_where_the_line_ends_just_then(way: str, does: bool, path):  # noqa: FBT001
    with Careful(does=does) as server:
        server.files.update({"/a": b"old", "/new": b"new"})
        acc = account(server)
        with Ftp(acc(), origin="s", again=acc) as ftp:
            with pytest.raises(FtpsyncdError) as caught:
                WAYS[way](ftp, path)
            assert ASIDE not in caught.value.remedy
        assert server.files.pop("/new", b"new") == b"new"
        assert server.files == {"/a": b"new" if does else b"old"}


class Impatient(Scripted):
    """One that replaces nothing; at the nth rename somebody presses Ctrl-C, and it may be done yet."""

    def __init__(self, *, verb: str, nth: int) -> None:
        super().__init__()
        self.verb = verb
        self.left = nth

    def _pressed(self, verb: str) -> None:
        self.left -= verb == self.verb
        if not self.left and verb == self.verb:
            os.kill(os.getpid(), signal.SIGINT)

    async def do_rnfr(self, c: Connection, path: str) -> str:
        self._pressed("RNFR")
        return await super().do_rnfr(c, path)

    async def do_rnto(self, c: Connection, path: str) -> str:
        self._pressed("RNTO")
        return "550 File exists." if path in self.files else await super().do_rnto(c, path)


@AT_ANY_MOMENT
@pytest.mark.parametrize("verb", ["RNFR", "RNTO"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
@pytest.mark.parametrize("way", WAYS)
def test_it_comes_back_after_ctrl_c(way: str, nth: int, verb: str, path):
    with Impatient(verb=verb, nth=nth) as server:
        server.files |= {"/a": b"old"} | ({"/new": b"new"} if way == "rename" else {})
        with pytest.raises(KeyboardInterrupt) as caught, Ftp(account(server)(), again=account(server)) as ftp:
            WAYS[way](ftp, path)
        assert not hasattr(caught.value, "__notes__")
        new = server.files.pop("/new", None) is None and way == "rename"
        assert server.files == {"/a": b"new"} or (server.files == {"/a": b"old"} and not new)


@AT_ANY_MOMENT
@pytest.mark.parametrize("way", WAYS)
def test_else_it_is_told_after_ctrl_c_too(way: str, path):
    with Impatient(verb="RNTO", nth=3) as server:
        server.files |= {"/a": b"old"} | ({"/new": b"new"} if way == "rename" else {})
        with pytest.raises(KeyboardInterrupt) as caught, Ftp(account(server)()) as ftp:
            WAYS[way](ftp, path)
        assert caught.value.__notes__ == [f"What was there before as '/a' may be at the server as '{ASIDE}'."]
        until(lambda: server.files.get(ASIDE) == b"old", "it is there")


@pytest.mark.parametrize("way", WAYS)
def test_else_it_is_told_where_it_is(way: str, path):
    with Careful(does=False, GREETING=[None, *10 * ["421 Not now."]]) as server:
        server.files.update({"/a": b"old", "/new": b"new"})
        acc = account(server)
        with Ftp(acc(), origin="s", again=acc) as ftp, pytest.raises(FtpsyncdError) as caught:
            WAYS[way](ftp, path)
        assert f"'{ASIDE}'" in caught.value.remedy
        assert server.files[ASIDE] == b"old"


def test_a_name_that_is_refused_for_what_it_looks_like_keeps_its_file():
    async def filtered(connection: Connection, path: str) -> None:
        if path == "/a":
            await connection.say("550 /a: Forbidden filename")
        else:
            await connection.server.default(connection, f"RNTO {path}")

    with Scripted(RNTO=filtered) as server, account(server)() as session:
        server.files["/a"] = b"old"
        (result,) = publish(session, job("/a"))
        assert type(result.error) is NameRefusedError
        assert server.files == {"/a": b"old"}
        assert not result.gone


def test_so_does_not_one_that_only_looks_like_such_words():
    async def careful(connection: Connection, path: str) -> None:
        if path in connection.server.files:
            await connection.say(f"550 {path}: File exists")
        else:
            await connection.server.default(connection, f"RNTO {path}")

    with Scripted(RNTO=careful) as server, account(server)() as session:
        server.files["/file type.jpg"] = b"old"
        (result,) = publish(session, job("/file type.jpg"))
        assert result.error is None


def test_one_that_may_not_have_its_name_again_is_told_of():
    async def refused(connection: Connection, path: str) -> None:
        if path == "/a":
            await connection.say("550 Permission denied.")
        else:
            await connection.server.default(connection, f"RNTO {path}")

    with Scripted(RNTO=refused) as server, account(server)() as session:
        server.files["/a"] = b"old"
        (result,) = publish(session, job("/a"))
        assert type(result.error) is NameRefusedError
        assert f"What was there before is at the server as '{ASIDE}'." in str(result.error)
        assert result.gone
        assert server.files == {ASIDE: b"old"}


def kept(end: str | Act) -> Scripted:
    """A server that replaces nothing, and where the version before cannot be deleted any more, once."""
    ends = [end]

    async def careful(connection: Connection, path: str) -> None:
        if path in connection.server.files:
            await connection.say("550 File exists.")
        else:
            await connection.server.default(connection, f"RNTO {path}")

    async def dele(connection: Connection, path: str) -> None:
        act = ends.pop() if path == ASIDE and path in connection.server.files and ends else None
        if isinstance(act, str):
            await connection.say(act)
        elif act is not None:
            await act(connection, path)
        else:
            await connection.server.default(connection, f"DELE {path}")

    server = Scripted(RNTO=careful, DELE=dele)
    server.files["/a"] = b"old"
    return server


@pytest.mark.parametrize("end", ["550 Permission denied.", hang_up], ids=["refused", "lost"])
def test_one_that_cannot_be_deleted_any_more_is_told_of_with_the_published_file(end: str | Act):
    with kept(end) as server, account(server)() as session:
        (result,) = publish(session, job("/a"))
        assert (result.error, result.left) == (None, ASIDE)
        assert server.files == {"/a": b"content", ASIDE: b"old"}


@pytest.mark.parametrize("end", ["550 Permission denied.", hang_up], ids=["refused", "lost"])
def test_so_is_that_of_a_file_that_is_renamed_so_that_it_is_swept(end: str | Act, path):
    """It stayed at the server for good."""
    with kept(end) as server:
        server.files.update({"/new": b"new"})
        spec = MappingSpec("m", path.parent, "s", "/", include=("*",))
        rename = Rename("m", "a", "new", fingerprint_of(path.stat()), b"", replaces=True)
        publisher = Publisher(lambda _name: Folder(spec, root_identity(path.parent)), FreshDirectories())
        with account(server)() as session:
            (outcome,) = publisher.perform(session, Drawn(rename))
        assert isinstance(outcome, Done)
        assert (outcome.did, outcome.left) == (Did.RENAMED, ASIDE)
        assert server.files == {"/a": b"new", ASIDE: b"old"}


@pytest.mark.parametrize("way", ["upload", "rename"])
def test_it_is_cleared_up_over_another_connection(way: str, path):
    with kept(hang_up) as server:
        server.files["/new"] = b"new"
        acc = account(server)
        with Ftp(acc(), origin="s", again=acc) as ftp:
            WAYS[way](ftp, path)
        assert server.files["/a"] == b"new"
        assert ASIDE not in server.files


class Blind(Scripted):
    """One that does not tell upper from lower case, and replaces nothing: not even a file by itself."""

    def at(self, path: str) -> str:
        return next((each for each in self.files if each.lower() == path.lower()), path)

    async def do_size(self, c: Connection, path: str) -> str:
        return await super().do_size(c, self.at(path))

    async def do_rnfr(self, c: Connection, path: str) -> str:
        return await super().do_rnfr(c, self.at(path))

    async def do_rnto(self, c: Connection, path: str) -> str:
        if self.at(path) in self.files:
            return f"553 Target name already exists ({path})."
        return await super().do_rnto(c, path)


def test_a_name_of_which_only_the_case_changes_is_reached_by_another_one():
    with Blind() as server, account(server)() as session:
        server.files.update({"/A.jpg": b"a", "/b.jpg": b"b"})
        session.rename("/A.jpg", "/a.jpg")
        assert server.files == {"/a.jpg": b"a", "/b.jpg": b"b"}


def test_of_two_files_whose_names_differ_in_that_one_takes_the_place_of_the_other():
    async def careful(connection: Connection, path: str) -> None:
        if path in connection.server.files:
            await connection.say("550 File exists.")
        else:
            await connection.server.default(connection, f"RNTO {path}")

    with Scripted(RNTO=careful) as server, account(server)() as session:
        server.files.update({"/A.jpg": b"new", "/a.jpg": b"old"})
        session.rename("/A.jpg", "/a.jpg")
        assert server.files == {"/a.jpg": b"new"}


@pytest.mark.parametrize("does", [False, True], ids=["not done", "done"])
def test_a_line_that_ends_on_that_way_costs_no_file(does: bool):  # noqa: FBT001
    class Dying(Blind):
        async def do_rnto(self, c: Connection, path: str) -> str:
            ends = path == "/a.jpg" and self.at(path) == path and not self.log.count("QUIT") and not dead
            if not ends:
                return await super().do_rnto(c, path)
            dead.append(path)
            if does:
                await super().do_rnto(c, path)
            await c.hang_up()
            return ""

    dead: list[str] = []
    with Dying() as server:
        server.files["/A.jpg"] = b"a"
        acc = account(server)
        with Ftp(acc(), origin="s", again=acc) as ftp, pytest.raises(FtpsyncdError):
            ftp.rename("/A.jpg", "/a.jpg")
        assert server.files == {"/a.jpg": b"a"}


def test_the_only_version_of_a_file_stays_while_one_whose_name_begins_alike_is_replaced(path):
    """When that was moved aside, the line ended, and its next try has not come yet."""
    first, second = (f"/{'report ' * 20}{number}.jpg" for number in (1, 2))
    with Careful(does=True) as server:
        server.files |= {first: b"old", names.aside(second): b"the only one"}
        with Ftp(account(server)(), origin="s") as ftp:
            ftp.upload(path, first)
        assert server.files == {first: b"new", names.aside(second): b"the only one"}
