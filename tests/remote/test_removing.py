"""Directories at servers whose RMD removes what is in them, too: MinIO, FTP servers of phones, and others."""

from __future__ import annotations

import pytest

from ftpsyncd.errors import (
    AlreadyExistsError,
    InUseError,
    MountPointError,
    NameRefusedError,
    RemoteError,
    ServerUnavailableError,
)
from ftpsyncd.remote.keeping import hope, refusals
from ftpsyncd.remote.library import Ftp
from ftpsyncd.remote.profile import Profile, Removing
from tests.remote.scripted import Connection, Scripted, account, hang_up

FOREIGN = {"/d/theirs": b"theirs", "/d.jpg": b"theirs", "/e": b"theirs"}


class Tree(Scripted):
    """One with a directory in which something of somebody else's is, and which can be listed."""

    def __init__(self, end: str | None = "/", **more) -> None:
        super().__init__(**more)
        self.end = end
        """What is behind the name of a directory in all that RMD removes; None: it removes no full one."""
        self.dirs.add("/d")
        self.files.update(FOREIGN)

    async def do_rmd(self, c: Connection, path: str) -> str:
        if self.end is None or path not in self.dirs:
            return await super().do_rmd(c, path)
        self.dirs = {each for each in self.dirs if each != path and not each.startswith(path + self.end)}
        self.files = {each: self.files[each] for each in self.files if not each.startswith(path + self.end)}
        return "250 Removed."

    async def do_list(self, c: Connection, _a: str) -> str:
        await c.say("150 Here it comes.")
        _, writer = await c.data()
        here = f"{c.directory.rstrip('/')}/"
        for path in sorted({f"{here}.", *self.files, *self.dirs} - {"/"}):
            if path.startswith(here) and "/" not in path.removeprefix(here):
                kind = "-" if path in self.files else "d"
                writer.write(f"{kind}rwxr-xr-x 1 a b 6 Jan  1  2020 {path.removeprefix(here)}\r\n".encode("latin-1"))
        await writer.drain()
        await c.end_data()
        return "226 Done."


def test_what_is_in_it_stays_with_it():
    with Tree() as server, account(server, Profile())() as session:
        assert session.remove_dir("/d") is False
        assert server.files == FOREIGN
        assert server.dirs == {"/", "/d"}
        assert session.profile.removing is Removing.EMPTIES


def test_an_empty_one_is_removed():
    with Tree() as server, account(server, Profile())() as session:
        del server.files["/d/theirs"]
        assert session.remove_dir("/d") is True
        assert server.dirs == {"/"}
        assert session.remove_dir("/d") is True  # it is not there


def test_nothing_is_removed_where_more_goes_than_what_is_in_it():
    """MinIO removes all objects whose names begin like that of the directory."""
    with Tree(end="") as server, account(server, Profile())() as session:
        del server.files["/d/theirs"]
        before = dict(server.files)
        with pytest.raises(NameRefusedError, match="begins with its name"):
            session.remove_dir("/d")
        assert session.usable
        assert server.files == before
        assert server.dirs == {"/", "/d"}


def test_it_is_tried_once():
    with Tree(end=None) as server, account(server, Profile())() as session:
        assert session.remove_dir("/d") is False
        assert session.profile.removing is Removing.REFUSES
        assert server.files == FOREIGN
        assert server.dirs == {"/", "/d"}
        del server.files["/d/theirs"], server.log[:]
        assert session.remove_dir("/d") is True
        assert server.verbs() == ["RMD"]


def test_nothing_is_tried_at_servers_that_are_known():
    with Tree(end=None, GREETING="220 (vsFTPd 3.0.3)") as server, account(server, Profile())() as session:
        assert session.remove_dir("/d") is False
        assert session.profile.removing is Removing.REFUSES
        assert "MKD" not in server.verbs()


@pytest.mark.parametrize("ends", [1, 2])
def test_what_was_not_found_out_is_not_relied_upon(ends: int):
    """Once is an accident. What was left of a try goes when the next session begins."""
    with Tree(RMD=[hang_up, None] * ends) as server:
        acc = account(server, Profile())
        for _ in range(ends):
            with acc() as session, pytest.raises(ServerUnavailableError):
                session.remove_dir("/d")
            assert server.files.keys() > FOREIGN.keys()
        assert refusals(acc.profile) == ({"removing"} if ends == 2 else set())
        with acc() as session:
            assert session.remove_dir("/d") is False
        assert acc.profile.removing is Removing.EMPTIES
        assert server.files == FOREIGN
        assert server.dirs == {"/", "/d"}
        hope(acc.profile, "removing")
        assert acc.profile.removing is None


@pytest.mark.parametrize(("verb", "done"), [("DELE", 0), ("DELE", 1), ("RMD", 1)])
def test_nothing_is_left_where_the_session_ends_while_the_try_is_cleared_up(verb: str, done: int):
    """What the server does is known by then."""
    with Tree(end=None, **{verb: [*done * [None], hang_up]}) as server:
        acc = account(server, Profile())
        with acc() as session, pytest.raises(ServerUnavailableError):
            session.remove_dir("/d")
        acc.profile.scratch.clear()  # as if that process had been killed
        with acc() as session:
            assert session.remove_dir("/d") is False
        assert acc.profile.removing is Removing.REFUSES
        assert server.files == FOREIGN
        assert server.dirs == {"/", "/d"}


def test_without_data_connections_nothing_is_left_of_the_try():
    refused = "425 No port is free."
    with Tree(EPSV=[refused], PASV=[refused]) as server, account(server, Profile())() as session:
        with pytest.raises(ServerUnavailableError):
            session.remove_dir("/d")
        assert session.profile.removing is None
        assert server.dirs == {"/", "/d"}
        assert session.remove_dir("/d") is False
        assert server.files == FOREIGN


def test_where_nothing_may_be_stored_it_is_listed_and_tried_another_time():
    with Tree(STOR="550 Permission denied.") as server, account(server, Profile())() as session:
        assert session.remove_dir("/d") is False
        assert session.profile.removing is None
        assert server.files == FOREIGN
        assert server.dirs == {"/", "/d"}


def test_where_sizes_are_not_told_it_is_listed():
    with Tree(end=None, SIZE="502 Not here.") as server, account(server, Profile())() as session:
        assert session.remove_dir("/d") is False
        assert session.profile.removing is Removing.EMPTIES
        assert server.files == FOREIGN
        assert server.dirs == {"/", "/d"}


def test_one_that_nobody_may_look_into_is_left_alone():
    refused = "550 Permission denied."
    with Tree(LIST=refused) as server, account(server, Profile(removing=Removing.EMPTIES))() as session:
        with pytest.raises(NameRefusedError):
            session.remove_dir("/d")
        assert "RMD" not in server.verbs()


def test_by_hand():
    with Tree() as server, Ftp(account(server, Profile())(), origin="s") as ftp:
        with pytest.raises(AlreadyExistsError, match="not empty"):
            ftp.remove_dir("/d")
        assert server.files == FOREIGN


def test_names_that_are_too_long_to_try_it_do_not_keep_one_that_is_not():
    path = f"/{'d' * 40}"
    with Tree() as server, account(server, Profile(too_long=145))() as session:
        server.dirs.add(path)
        assert session.remove_dir(path) is True
        assert session.profile.removing is None
        assert "MKD" not in server.verbs()


@pytest.mark.parametrize(
    ("above", "here", "error"),
    [("5g1", "6g1", MountPointError), ("5g1", "5g2", InUseError), ("", "6g1", InUseError), ("5g1", "", InUseError)],
    ids=["another disk", "the same", "not told above", "not told here"],
)
def test_a_busy_directory_is_a_mount_point_only_as_far_as_the_server_tells_of_disks(above: str, here: str, error):
    async def mlst(connection: Connection, path: str) -> None:
        unique = {"/": above, "/d": here}[path]
        await connection.say(f"250-\n type=dir;{unique and f'unique={unique};'} {path}\n250 End")

    busy = Tree(FEAT="211-F\n MLST type*;unique*;\n211 End", MLST=mlst, RMD="550 Device or resource busy")
    with busy as server, account(server)() as session:
        del server.files["/d/theirs"]
        with pytest.raises(error) as caught:
            session.remove_dir("/d")
        assert type(caught.value) is error


def test_nor_is_it_one_where_no_server_tells_of_disks():
    with Tree(RMD="550 Device or resource busy", MLST="500 What?") as server, account(server)() as session:
        del server.files["/d/theirs"]
        with pytest.raises(InUseError):
            session.remove_dir("/d")
        assert "MLST" not in server.verbs()


@pytest.mark.parametrize("verb", ["RMD", "DELE"])
def test_what_nobody_may_see_is_not_told_as_removed(verb: str):
    """In a directory that nobody is let into, pure-ftpd shows nothing, and removes nothing."""
    denied = "550 Permission denied."
    with Scripted({"CWD": denied, verb: denied}) as server, account(server)() as session:
        if verb == "RMD":
            with pytest.raises(NameRefusedError):
                session.remove_dir("/closed/d")
        else:
            paths = [f"/closed/{name}" for name in "abcd"]
            assert [type(each) for each in session.delete_many(paths)] == [NameRefusedError] * 4
            assert server.log.count("CWD /closed") < 4, "each is gone to"


@pytest.mark.parametrize("verb", ["RMD", "DELE"])
def test_but_what_is_seen_not_to_be_there_is(verb: str):
    with Scripted({verb: "550 Permission denied."}) as server, account(server)() as session:
        server.files["/a"] = b"content"
        if verb == "RMD":
            assert session.remove_dir("/d") is True
            return
        gone, there = session.delete_many(["/b", "/a"])
        assert (gone, type(there)) == (None, NameRefusedError)


def test_the_late_word_of_a_transfer_is_not_that_something_was_removed():
    late = "226 Transfer complete."
    with Scripted(RMD=late) as server, account(server)() as session:
        server.dirs.add("/d")
        with pytest.raises(RemoteError):
            session.remove_dir("/d")
    with Scripted(DELE=late) as server, account(server)() as session:
        server.files["/a"] = b"content"
        with pytest.raises(RemoteError):
            session.delete_many(["/a"])
