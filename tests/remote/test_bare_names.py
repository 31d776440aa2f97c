"""Servers that take the names of files only within the working directory: found out, told from refusals, served."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping

import pytest

from ftpsyncd.errors import (
    AlreadyExistsError,
    NameRefusedError,
    NotFoundError,
    PathsRefusedError,
    ServerUnavailableError,
)
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.model import Kind
from ftpsyncd.remote import Ftp, connect, hashes, standing
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import REFUSALS_LAST_S, Keeper
from ftpsyncd.remote.profile import Dating, Hashing, Paths, Profile, Resuming
from ftpsyncd.remote.trials import MOST_TRIALS
from tests.contract.remotes import job, make_many, publish, put
from tests.remote.scripted import PATIENT, Behaviour, Connection, Scripted
from tests.servers import running

REFUSED = "553 Requested action not taken: file name not allowed."
TAIL = ".0123abcd.filepart"


class Bare(Scripted):
    """Refuses every path in commands about files, but in CWD.

    Args:
        refusal: what it says.
        verbs: of the commands that it refuses.
    """

    def __init__(
        self,
        script: Mapping[str, Behaviour] | None = None,
        *,
        refusal: str = REFUSED,
        verbs: str = "STOR APPE RETR DELE RNFR RNTO SIZE MDTM MFMT MKD RMD",
        **more: Behaviour,
    ) -> None:
        super().__init__({**(script or {}), **more})
        self.refusal = refusal
        self.bare = frozenset(verbs.split())
        self.dirs |= {"/d", "/d/e", "/f"}

    async def default(self, connection: Connection, line: str) -> None:
        verb, _, argument = line.partition(" ")
        if verb in self.bare and "/" in argument:
            await connection.say(self.refusal)
        else:
            await super().default(connection, line)


def account(server: Scripted, **changes) -> Account:
    return Account(server.spec(**changes), timeouts=PATIENT)


def knowing(server: Scripted) -> Account:
    """It is known what this server does."""
    profile = Profile(paths=Paths.RELATIVE, dating=Dating.MFMT, reached=True, renamed=True)
    return Account(server.spec(), profile=profile, timeouts=PATIENT)


class TestFindingOut:
    @pytest.mark.parametrize("refusal", [REFUSED, "550 Permission denied.", "550 No such file.", "501 Syntax error."])
    @pytest.mark.parametrize("verbs", ["STOR", "STOR SIZE RNFR RNTO MKD DELE MFMT MDTM"])
    def test_the_next_session_publishes(self, refusal, verbs):
        with Bare(refusal=refusal, verbs=verbs) as server:
            acc, asked = account(server), []

            def jobs():
                for name in ("a", "b", "c"):
                    asked.append(name)
                    yield job(f"/d/{name}")

            with acc() as session:
                (result,) = list(session.publish(jobs()))
                assert isinstance(result.error, PathsRefusedError)
                assert result.error.reply == refusal
                assert not session.usable
            assert asked == ["a"], "no other file was begun in the way that does not work"
            assert server.files == {}, "nothing is left of the trial"
            assert acc.profile.paths is Paths.RELATIVE
            with acc() as session:
                results = publish(session, job("/d/a"), job("/d/b"), job("/f/c"))
                assert [result.error for result in results] == [None] * 3
                assert all(result.dated for result in results)
            assert server.files == dict.fromkeys(("/d/a", "/d/b", "/f/c"), b"content")

    def test_a_directory_that_has_to_be_made_shows_it_too(self):
        with Bare() as server:
            acc = account(server)
            with acc() as session:
                verdicts = dict(session.make_dir_many(["/d", "/d/new", "/f/new"]))
                assert verdicts[0] is False
                assert {type(verdicts[n]) for n in (1, 2)} == {PathsRefusedError}
                assert not session.usable
            with acc() as session:
                assert make_many(session, ["/d", "/d/new", "/f/new"]) == [False, True, True]
                assert session.make_dirs("/x/y/z") is True
            assert server.dirs >= {"/d/new", "/f/new", "/x", "/x/y", "/x/y/z"}
            assert server.files == {}

    def test_so_do_several_of_which_none_is_there(self):
        with Bare() as server:
            acc = account(server)
            with acc() as session, pytest.raises(PathsRefusedError):
                session.make_dirs("/d/x/y/z")
            with acc() as session:
                assert session.make_dirs("/d/x/y/z") is True
            assert server.dirs >= {"/d/x", "/d/x/y", "/d/x/y/z"}
            assert server.files == {}

    def test_a_session_that_began_before_ends_with_its_first_refusal(self):
        with Bare() as server:
            acc = account(server)
            with acc() as one, acc() as two:
                publish(one, job("/d/a"))
                server.log.clear()
                (result,) = publish(two, job("/d/b"))
                assert isinstance(result.error, PathsRefusedError)
                assert not two.usable
                assert not [line for line in server.log if "STOR ftpsyncd" in line]

    def test_what_is_read_shows_it_as_well(self):
        with Bare() as server:
            server.files["/d/a"] = b"content"
            acc = account(server)
            with acc() as session, pytest.raises(PathsRefusedError):
                session.stat("/d/a")
            assert acc.profile.paths is Paths.RELATIVE
            with acc() as session:
                assert session.stat("/d/a") == ("a", Kind.FILE, 7, None)
                assert session.stat("/d/b") is None
                assert session.delete_many(["/d/a", "/d/b"]) == [None, None]
            assert server.files == {}

    def test_a_path_that_is_taken_for_one_below_the_working_directory(self):
        """And there is a directory of this name, so that nothing is refused."""

        class Below(Bare):
            async def default(self, connection: Connection, line: str) -> None:
                verb, _, argument = line.partition(" ")
                if verb in self.bare:
                    line = f"{verb} {argument.lstrip('/')}" if verb != "MFMT" else line.replace(" /", " ")
                await Scripted.default(self, connection, line)

        refused: list[str | None] = [REFUSED, None]
        with Below(STOR=refused) as server:
            server.dirs.add("/d/d")
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/d/a"))
                assert isinstance(result.error, PathsRefusedError)
            assert server.files == {}
            with acc() as session:
                put(session, "/d/a")
            assert server.files == {"/d/a": b"content"}


class TestPlainRefusals:
    """They are told as ever, and nothing is learned of them."""

    @pytest.mark.parametrize("reply", ["550 Permission denied.", "553 No.", "500 What?", "552 Full.", "450 Not now."])
    def test_one_of_all_files(self, reply):
        with Scripted(STOR=reply) as server:
            server.dirs.add("/d")
            acc = account(server)
            with acc() as session:
                first, second = publish(session, job("/d/a"), job("/d/b"))
                assert not isinstance(first.error, PathsRefusedError)
                assert first.error is not None
                assert second.error is not None
                assert session.usable
            assert acc.profile.paths is None
            # It is looked into once in a directory.
            assert len([line for line in server.log if line.startswith("STOR ftpsyncd.")]) == (
                reply[:3] in {"550", "553", "500"}
            )

    def test_one_of_a_missing_directory(self):
        with Scripted(STOR="550 Not there.") as server:
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/none/a"))
                assert isinstance(result.error, NameRefusedError)
                assert session.usable
            assert acc.profile.paths is None
            assert [line for line in server.log if line.startswith("STOR")] == [f"STOR /none/a{TAIL}"]

    def test_one_of_a_name(self):
        async def strict(connection: Connection, path: str) -> None:
            if "bad" in path:
                await connection.say("553 Not this name.")
            else:
                await connection.server.default(connection, f"STOR {path}")

        with Scripted(STOR=strict) as server:
            server.dirs.add("/d")
            acc = account(server)
            with acc() as session:
                first, second = publish(session, job("/d/bad"), job("/d/good"))
                assert isinstance(first.error, NameRefusedError)
                assert second.error is None
            assert acc.profile.paths is Paths.ABSOLUTE
            assert server.files == {"/d/good": b"content"}

    def test_one_where_files_were_stored_before_is_not_looked_into(self):
        with Scripted(STOR=[None, "550 Permission denied."]) as server:
            server.dirs.add("/d")
            acc = account(server)
            with acc() as session:
                first, second = publish(session, job("/d/a"), job("/d/b"))
                assert first.error is None
                assert isinstance(second.error, NameRefusedError)
            assert acc.profile.paths is Paths.ABSOLUTE
            assert not [line for line in server.log if line.startswith(("CWD", "PWD"))]

    def test_a_yes_to_cwd_that_changes_nothing_is_not_believed(self):
        with Bare(CWD="250 Fine.") as server:
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/d/a"))
                assert isinstance(result.error, NameRefusedError)
            assert acc.profile.paths is None
            assert server.files == {}

    def test_a_trial_that_ends_the_session_teaches_nothing(self):
        async def hang_up(connection: Connection, _argument: str) -> None:
            await connection.hang_up()

        with Bare(PWD=hang_up) as server:
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/d/a"))
                assert isinstance(result.error, ServerUnavailableError)
                assert not session.usable
            assert acc.profile.paths is None
            assert server.files == {}

    def test_one_that_is_about_a_full_disk_teaches_nothing(self):
        with Bare(STOR=[None, None, "452 Full."]) as server:
            acc = account(server)
            with acc() as session:
                (result,) = publish(session, job("/d/a"))
                assert isinstance(result.error, NameRefusedError)
            assert acc.profile.paths is None
            assert server.files == {}


class TestCommands:
    def test_those_in_one_directory_travel_together_as_ever(self):
        with Bare() as server, knowing(server)() as session:
            server.log.clear()
            server.batches.clear()
            assert [r.error for r in publish(session, *(job(f"/d/{n}") for n in range(2)))] == [None, None]
            date = "MFMT 20200913122640"
            assert server.log == [
                "CWD /d",
                "EPSV", f"STOR 0{TAIL}",
                f"SIZE 0{TAIL}", f"{date} 0{TAIL}", "EPSV",
                f"RNFR 0{TAIL}", "RNTO 0", f"STOR 1{TAIL}",
                f"SIZE 1{TAIL}", f"{date} 1{TAIL}",
                f"RNFR 1{TAIL}", "RNTO 1",
            ]  # fmt: skip

    def test_another_directory_is_gone_to_when_all_is_done_in_the_last_one(self):
        with Bare() as server, knowing(server)() as session:
            server.log.clear()
            assert [r.error for r in publish(session, job("/d/a"), job("/f/b"), job("/c"))] == [None] * 3
            assert [line for line in server.log if line[:4] in {"CWD ", "RNTO", "STOR"}] == [
                "CWD /d", f"STOR a{TAIL}", "RNTO a", "CWD /f", f"STOR b{TAIL}", "RNTO b", "CWD /", f"STOR c{TAIL}", "RNTO c",
            ]  # fmt: skip
            assert server.files == dict.fromkeys(("/d/a", "/f/b", "/c"), b"content")

    def test_nothing_follows_a_cwd_before_its_answer(self):
        with Bare() as server, knowing(server)() as session:
            server.files["/a"] = server.files["/d/a"] = b"theirs"
            server.script["CWD"] = "550 Permission denied."
            (verdict,) = session.delete_many(["/d/a"])
            assert isinstance(verdict, NameRefusedError)
            (result,) = publish(session, job("/d/b"))
            assert isinstance(result.error, NameRefusedError)
            assert server.files == {"/a": b"theirs", "/d/a": b"theirs"}
            assert session.usable

    def test_a_refused_cwd_answers_only_what_is_about_that_directory(self):
        with Bare() as server, knowing(server)() as session:
            server.files["/d/a"] = b"content"
            assert session.stat_many(["/none/x", "/d/a", "/f"]) == [
                None, ("a", Kind.FILE, 7, None), ("f", Kind.DIR, None, None),
            ]  # fmt: skip

    def test_it_is_said_again_after_a_rename_of_another_session_and_after_a_while(self, monkeypatch):
        with Bare() as server:
            acc = knowing(server)
            with acc() as session, acc() as other:
                put(session, "/d/a")
                server.log.clear()
                put(session, "/d/b")
                assert "CWD /d" not in server.log
                other.rename("/d/a", "/d/c")
                server.log.clear()
                put(session, "/d/e2")
                assert server.log.count("CWD /d") == 1
                monkeypatch.setattr(standing, "LASTS_S", 0.0)
                put(session, "/f/g")
                server.log.clear()
                put(session, "/d/h")
                assert server.log.count("CWD /d") > 1

    def test_a_rename_goes_from_the_directory_that_both_are_below(self):
        with Bare(refusal="550 No absolute path.") as server, knowing(server)() as session:
            server.bare = frozenset()
            server.files.update({"/d/e/a": b"a", "/d/b": b"b"})
            server.log.clear()
            session.rename("/d/e/a", "/d/x")
            session.rename("/d/b", "/f/y")
            assert server.log == ["CWD /d", "RNFR e/a", "RNTO x", "CWD /", "RNFR d/b", "RNTO f/y"]
            assert server.files == {"/d/x": b"a", "/f/y": b"b"}

    @pytest.mark.parametrize("way", [Resuming.REST, Resuming.APPE])
    def test_nothing_comes_between_rest_and_stor(self, monkeypatch, way):
        content = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(250)) * 500

        class Resumable(Bare):
            offset = 0

            async def do_rest(self, _c: Connection, argument: str) -> str:
                self.offset = int(argument)
                return "350 Go on."

            async def do_retr(self, c: Connection, path: str) -> str:
                offset, self.offset = self.offset, 0
                await c.say("150 Here it comes.")
                _, writer = await c.data()
                writer.write(self.files[c.at(path)][offset:])
                await writer.drain()
                await c.end_data()
                return "226 Sent."

            async def do_appe(self, c: Connection, path: str) -> str:
                return await self._take(c, c.at(path), len(self.files[c.at(path)]))

            async def do_stor(self, c: Connection, path: str) -> str:
                offset, self.offset = self.offset, 0
                return await self._take(c, c.at(path), offset)

            async def _take(self, c: Connection, path: str, offset: int) -> str:
                self.files[path] = self.files.get(path, b"")[:offset] + await c.receive()
                await c.end_data()
                return "226 Stored."

        monkeypatch.setattr(standing, "LASTS_S", 0.0)
        with Resumable() as server:
            acc = knowing(server)
            acc.profile.resuming, acc.profile.hashing = way, Hashing.NONE
            with acc() as session:
                server.files[f"/d/a{TAIL}"] = content[:2_000_000]
                (result,) = publish(session, job("/d/a", content, resume=True))
                assert result.error is None
                assert result.kept > 0
            assert server.files == {"/d/a": content}
            if way is Resuming.REST:
                place = next(n for n, line in enumerate(server.log) if line.startswith("REST"))
                assert server.log[place + 1] == f"STOR a{TAIL}"

    def test_a_hash_is_asked_for_under_a_bare_name_with_its_quotes(self):
        async def digest(connection: Connection, name: str) -> None:
            content = connection.server.files[connection.at(name.strip('"'))]
            await connection.say(f"250 {hashlib.md5(content).hexdigest()}")

        with Bare(XMD5=digest, FEAT="211-Features:\n XMD5\n211 End") as server, knowing(server)() as session:
            server.files["/d/a b"] = b"content"
            told = hashes.ask(session, Hashing.XMD5, "/d/a b", 7)
            assert told is not None
            assert told.digits == hashlib.md5(b"content").hexdigest()
            assert server.log[-1] == 'XMD5 "a b"'

    def test_others_hear_what_they_ever_heard(self):
        with Scripted() as server, account(server)() as session:
            server.dirs.add("/d")
            publish(session, job("/d/a"), job("/d/b"))
            session.delete_many(["/d/a"])
            session.stat("/d/b")
            assert not [line for line in server.log if line.startswith(("CWD", "PWD"))]


class TestHowLong:
    def known(self, paths: Paths) -> tuple[Profile, Keeper]:
        profile = Profile()
        keeper = Keeper(profile, "", 0.0)
        profile.paths = paths
        assert keeper.tend(0.0) is not None
        return profile, keeper

    def test_it_outlives_a_restart(self):
        keeper = Keeper(Profile(), "", 0.0)
        keeper.profile.paths = Paths.RELATIVE
        again = Profile()
        Keeper(again, keeper.tend(0.0) or "", 1.0)
        assert again.paths is Paths.RELATIVE
        assert again.relative

    @pytest.mark.parametrize("mended", [True, False])
    def test_after_a_week_it_is_tried_again_while_all_goes_on(self, mended):
        profile, keeper = self.known(Paths.RELATIVE)
        keeper.tend(REFUSALS_LAST_S + 1)
        assert profile.paths is Paths.DOUBTED
        with Bare() as server:
            if mended:
                server.bare = frozenset()
            acc = Account(server.spec(), profile=profile, timeouts=PATIENT)
            with acc() as session:
                assert session.relative
                assert [r.error for r in publish(session, job("/d/a"), job("/d/b"))] == [None, None]
                assert len([line for line in server.log if line.startswith("STOR /d/ftpsyncd.")]) == 1
            assert acc.profile.paths is (Paths.ABSOLUTE if mended else Paths.RELATIVE)
            with acc() as session:
                put(session, "/d/c")
            assert server.files == dict.fromkeys(("/d/a", "/d/b", "/d/c"), b"content")
            assert (f"STOR /d/c{TAIL}" in server.log) is mended

    def test_it_is_tried_where_the_session_stands_already_and_the_server_has_other_words_for_that(self):
        class Elsewhere(Bare):
            async def do_pwd(self, c: Connection, _a: str) -> str:
                return f'257 "/data{c.directory}" is where you are.'

        with Elsewhere() as server:
            server.bare = frozenset()
            acc = knowing(server)
            with acc() as session:
                put(session, "/d/a")
                acc.profile.paths = Paths.DOUBTED
                put(session, "/d/b")
            assert acc.profile.paths is Paths.ABSOLUTE

    def test_another_server_is_first_told_names_in_the_way_that_works_everywhere(self):
        profile = Profile(paths=Paths.RELATIVE)
        profile.recall("another")
        profile.met("220 New.", {})
        assert profile.paths is Paths.DOUBTED
        profile = Profile(paths=Paths.ABSOLUTE)
        profile.recall("another")
        profile.met("220 New.", {})
        assert profile.paths is None


LOST = ServerUnavailableError


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (1, [LOST, PathsRefusedError, None]),
        (MOST_TRIALS, [LOST] * MOST_TRIALS + [PathsRefusedError]),
        (MOST_TRIALS + 1, [LOST] * MOST_TRIALS + [NameRefusedError]),
    ],
)
def test_a_line_that_breaks_while_it_is_found_out_is_nothing_against_the_file(breaks, told):
    async def leave(connection: Connection, _argument: str) -> None:
        await connection.hang_up()

    with Bare(PWD=[*(leave for _ in range(breaks)), None]) as server:
        acc = account(server)
        for error in told:
            with acc() as session:
                (result,) = publish(session, job("/d/a"))
                assert (type(result.error) if result.error else None) is error
        assert acc.profile.paths is (None if NameRefusedError in told else Paths.RELATIVE)
        assert server.files == ({"/d/a": b"content"} if None in told else {})


class TestTheLibrary:
    def test_it_begins_anew_by_itself(self, tmp_path):
        local = tmp_path / "a"
        local.write_bytes(b"content")
        with Bare() as server, connect(server.spec()) as ftp:
            result = ftp.upload(local, "/d/a")
            assert result.error is None
            ftp.make_dirs("/d/new")
            assert server.files == {"/d/a": b"content"}
            assert "/d/new" in server.dirs

    def test_many_files_each_once(self, tmp_path):
        pairs = []
        for name in "abc":
            (tmp_path / name).write_bytes(name.encode())
            pairs.append((tmp_path / name, f"/d/{name}"))
        with Bare() as server, connect(server.spec()) as ftp:
            results = list(ftp.upload_many(pairs))
            assert [(r.remote, r.error) for r in results] == [(remote, None) for _, remote in pairs]
            assert server.files == {"/d/a": b"a", "/d/b": b"b", "/d/c": b"c"}

    def test_a_directory_is_made_first(self, tmp_path):
        (tmp_path / "a").write_bytes(b"content")
        with Bare() as server, connect(server.spec()) as ftp:
            assert [r.error for r in ftp.upload_tree(tmp_path, "/d/new")] == [None]
            assert server.files == {"/d/new/a": b"content"}

    def test_what_is_there_is_not_replaced_against_the_will(self, tmp_path):
        local = tmp_path / "a"
        local.write_bytes(b"content")
        with Bare() as server, connect(server.spec()) as ftp:
            server.files["/d/a"] = b"theirs"
            with pytest.raises(AlreadyExistsError):
                ftp.upload(local, "/d/a", overwrite=False)
            assert server.files == {"/d/a": b"theirs"}

    @pytest.mark.parametrize("theirs", ["a", "b", "c"])
    def test_nor_is_any_of_many(self, tmp_path, theirs):
        pairs = []
        for name in "abc":
            (tmp_path / name).write_bytes(name.encode())
            pairs.append((tmp_path / name, f"/d/{name}"))
        with Bare() as server, connect(server.spec()) as ftp:
            server.files[f"/d/{theirs}"] = b"theirs"
            results = {result.remote: result.error for result in ftp.upload_many(pairs, overwrite=False)}
            assert isinstance(results.pop(f"/d/{theirs}"), AlreadyExistsError)
            assert list(results.values()) == [None, None]
            assert server.files == {f"/d/{name}": name.encode() for name in "abc"} | {f"/d/{theirs}": b"theirs"}

    def test_what_is_there_is_fetched(self, tmp_path):
        with Bare() as server, connect(server.spec()) as ftp:
            server.files["/d/a"] = b"content"
            ftp.download("/d/a", tmp_path / "a")
            assert (tmp_path / "a").read_bytes() == b"content"
            with pytest.raises(NotFoundError):
                ftp.stat("/d/none")

    def test_a_session_of_ones_own_tells(self, tmp_path):
        local = tmp_path / "a"
        local.write_bytes(b"content")
        with Bare() as server, Ftp(account(server)()) as ftp, pytest.raises(PathsRefusedError):
            ftp.upload(local, "/d/a")


def test_probe_tells():
    with Bare() as server:
        acc = account(server, connections=1)
        found = {measure.field: measure.value for measure in Probing(acc, "/d").run()}
        assert found["paths"] == "relative"
        assert found == found | {"size": "right", "dates": "MFMT", "rename": "replaces", "pipelining": "works"}
        assert acc.profile.paths is Paths.RELATIVE
        assert server.files == {}
    with Scripted() as server:
        acc = account(server, connections=1)
        assert next(m.value for m in Probing(acc, "/").run() if m.field == "paths") == "absolute"
        assert acc.profile.paths is Paths.ABSOLUTE


def test_probe_makes_the_directory_there_too():
    with Bare() as server:
        acc = account(server, connections=1)
        found = {measure.field: measure.value for measure in Probing(acc, "/d/x/y").run()}
        assert found["paths"] == "relative"
        assert server.files == {}
        assert server.dirs == {"/", "/d", "/d/e", "/f"}


def test_probe_of_a_directory_that_cannot_be_written_is_an_error():
    with Bare(STOR="550 Permission denied.") as server, pytest.raises(NameRefusedError):
        list(Probing(account(server), "/d").run())


def test_a_line_that_breaks_loses_nothing():
    with Bare() as server:
        acc = knowing(server)
        with acc() as session:

            async def leave(connection: Connection, _argument: str) -> None:
                await connection.hang_up()

            server.script["CWD"] = [None, leave]
            results = publish(session, job("/d/a"), job("/f/b"))
            assert results[0].error is None
            assert isinstance(results[1].error, ServerUnavailableError)
        assert server.files == {"/d/a": b"content"}


@pytest.mark.real_server
@pytest.mark.parametrize("bare", ["absolute", "slash", "below"])
def test_at_a_real_server(bare):
    with running("pyftpdlib", bare=bare) as server:
        for directory in ("d", "f", "d/d"):
            (server.home / directory).mkdir()
        acc = Account(server.spec())
        if bare == "below":
            acc.profile.paths = Paths.RELATIVE
        else:
            with acc() as session:
                (result,) = publish(session, job("/d/a"))
                assert isinstance(result.error, PathsRefusedError)
        paths = [posixpath.join("/d", name) for name in ("a", "b", "ü.jpg")] + ["/f/a", "/root"]
        with acc() as session:
            assert session.relative
            results = publish(session, *(job(path, path.encode()) for path in paths))
            assert [result.error for result in results] == [None] * 5
            assert all(result.dated for result in results)
            assert session.delete_many(["/f/a", "/f/none"]) == [None, None]
        there = {f"/{p.relative_to(server.home)}": p.read_bytes() for p in server.home.rglob("*") if p.is_file()}
        assert there == {path: path.encode() for path in paths if path != "/f/a"}
