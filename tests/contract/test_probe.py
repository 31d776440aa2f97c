"""`probe` at real servers: what it finds is documented, what it leaves is nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import pytest

from ftpsyncd.errors import DataUnreachableError, NameRefusedError, ServerUnavailableError
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import Keeper, kept, refusals
from ftpsyncd.remote.profile import Dating, Hashing, Oddity, Profile, Resuming
from tests import measured
from tests.remote.scripted import PATIENT, Behaviour, Connection, Scripted
from tests.servers import KINDS, running


def values(account: Account, directory: str = "/") -> dict[str, str]:
    return {measure.field: measure.value for measure in Probing(account, directory).run()}


@pytest.mark.real_server
def test_the_documentation_says_what_is_measured():
    found: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        with running(kind, tls="explicit", digests=kind == "proftpd") as server:
            found[kind] = values(Account(server.spec()), "/made/for/this")
            assert list(server.home.iterdir()) == []
    measured.compare("measured", found)


@pytest.mark.real_server
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_measured_is_what_a_later_run_begins_with(kind: str):
    with running(kind) as server:
        account = Account(server.spec())
        (server.home / "theirs").write_bytes(b"of somebody else")
        found = values(account)
        assert [path.name for path in server.home.iterdir()] == ["theirs"]
        profile = Profile()
        Keeper(profile, kept(account.profile, 1e9), 1e9)
        assert profile.resuming is Resuming.REST
        assert profile.dating in {Dating.MFMT, Dating.MDTM}
        assert profile.hashing is Hashing.NONE
        refused = {Oddity.BACKSLASH} if kind == "pure-ftpd" else set()
        assert profile.keeps.keys() == set(Oddity) - refused
        with Account(server.spec(), profile=profile)():
            assert profile.resuming is Resuming.REST
        assert found["tls"] == "off"


@pytest.mark.real_server
@pytest.mark.parametrize("kind", KINDS)
def test_a_cap_is_found(kind: str):
    with running(kind, max_clients=2) as server:
        account = Account(server.spec())
        assert values(account)["connections"] == "2 of 4"
        assert account.profile.cap == 2


@pytest.mark.real_server
@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_that_cannot_be_written_is_an_error(kind: str):
    with running(kind, writable=False) as server, pytest.raises(NameRefusedError):
        values(Account(server.spec()))


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize("denied", ["RNFR", "RNTO"])
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_one_where_nothing_may_be_renamed(kind: str, denied: str):
    with running(kind, denied=(denied,)) as server:
        account = Account(server.spec())
        assert values(account)["rename"] == "none"
        assert "renames" in refusals(account.profile)
        assert list(server.home.iterdir()) == []


@pytest.mark.real_server
@pytest.mark.root
def test_where_directories_may_be_made_and_not_removed_names_are_tried_with_files_after_the_first():
    """And upper and lower case with another directory."""
    with running("proftpd", directives=("<Limit RMD XRMD>", "DenyAll", "</Limit>")) as server:
        found = values(Account(server.spec()))
        assert found["names"] == "all kept"
        assert [path.is_dir() for path in server.home.iterdir()] == [True, True]


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize("lines", [("<Limit RETR>", "DenyAll", "</Limit>"), ("MaxRetrieveFileSize 1 Kb",)])
def test_an_account_that_may_only_send_is_not_said_to_replace_nothing(lines: tuple[str, ...]):
    with running("proftpd", directives=lines) as server:
        account = Account(server.spec())
        assert values(account)["rename"] == "replaces"
        assert account.profile.rename_over is not False
        assert list(server.home.iterdir()) == []


class TestServersThatLack:
    def probed(
        self, script: Mapping[str, Behaviour] | None = None, directory: str = "/", **options
    ) -> tuple[dict[str, str], Scripted, Profile]:
        with Scripted(script, **options) as server:
            timeouts = PATIENT._replace(reply_s=2) if server.hangs else PATIENT
            account = Account(server.spec(connections=2), timeouts=timeouts)
            found = values(account, directory)
            return found, server, account.profile

    def test_everything_that_can_be_missing(self):
        refused = dict.fromkeys(("EPSV", "SIZE", "MFMT", "MDTM", "SITE", "RNFR", "REST", "APPE", "PWD"), "502 No.")
        found, server, profile = self.probed(refused)
        assert server.files == {}
        assert found == found | {
            "passive": "PASV",
            "size": "none",
            "dates": "none",
            "rename": "none",
            "hash": "none",
            "resume": "none",
            "pipelining": "does not work",
            "idle": "not told",
        }
        assert refusals(profile) >= {"epsv", "size", "dating", "renames", "hashing", "resuming", "pipelining"}

    def test_one_that_does_not_replace(self):
        async def refuse(c: Connection, path: str) -> None:
            if path in c.server.files:
                await c.say("550 File exists.")
            else:
                await c.server.default(c, f"RNTO {path}")

        found, server, profile = self.probed(RNTO=refuse)
        assert found["rename"] == "does not replace"
        assert profile.rename_over is False
        assert server.files == {}

    @pytest.mark.parametrize("reply", ["502 No.", "550 Permission denied."])
    @pytest.mark.parametrize("verb", ["RNFR", "RNTO"])
    def test_one_that_renames_nothing(self, verb: str, reply: str):
        found, server, profile = self.probed({verb: reply})
        assert found["rename"] == "none"
        assert (profile.renames, profile.rename_over) == (False, None)
        assert server.files == {}

    def test_one_that_says_yes_to_a_rename_and_does_nothing(self):
        found, server, profile = self.probed(RNTO="250 Renamed.")
        assert found["rename"] == "none"
        assert (profile.renames, profile.rename_over) == (False, None)
        assert server.files == {}

    @pytest.mark.parametrize("verb", ["RNFR", "RNTO"])
    def test_one_that_does_not_rename_now(self, verb: str):
        found, server, profile = self.probed({verb: "450 Not now."})
        assert found["rename"] == "not measured"
        assert refusals(profile) & {"renames", "rename_over"} == set()
        assert server.files == {}

    def test_one_whose_extended_ports_are_closed(self):
        found, server, profile = self.probed(EPSV="229 Here (|||1|)")
        assert found["passive"] == "PASV"
        assert profile.epsv is False
        assert server.files == {}

    def test_a_pasv_that_names_another_address_is_told(self):
        async def elsewhere(c: Connection, _a: str) -> None:
            port = await c.listen()
            await c.say(f"227 There (10,9,8,7,{port // 256},{port % 256})")

        with Scripted(PASV=elsewhere) as server:
            measures = list(Probing(Account(server.spec(), timeouts=PATIENT), "/").run())
            assert "10.9.8.7" in next(measure.meaning for measure in measures if measure.field == "passive")

    def test_one_that_loses_commands_that_come_together(self):
        async def lose(c: Connection, path: str) -> None:
            c.reader._buffer.clear()  # type: ignore[attr-defined]
            await c.server.default(c, f"NOOP {path}")

        found, server, profile = self.probed(NOOP=lose, hangs=True)
        assert found["pipelining"] == "does not work"
        assert profile.pipelining is False
        assert server.files == {}

    @pytest.mark.parametrize("pause_s", [0.0, 0.05])
    @pytest.mark.parametrize("verb", ["SIZE", "MDTM", "NOOP", "TYPE"])
    def test_one_that_answers_twice_to_what_comes_together(self, verb: str, pause_s: float):
        """With a pause, the last answer comes when the last command was taken for answered."""

        async def twice(c: Connection, argument: str) -> None:
            together = c.server.batches[-1] > 1
            await c.server.default(c, f"{verb} {argument}")
            if together:
                await c.say("200 And again.")
                await asyncio.sleep(pause_s)

        found, server, profile = self.probed({verb: twice}, "/made/for/this")
        assert found == {**self.probed()[0], "pipelining": "does not work"}
        assert profile.pipelining is False
        assert (server.files, server.dirs) == ({}, {"/"})

    @pytest.mark.parametrize(
        "script",
        [
            {"SITE": "200 The current idle time-out is 15 minutes."},
            {"GREETING": "220-Welcome.\n220 You will be disconnected after 900 seconds of inactivity."},
        ],
    )
    def test_the_idle_time_is_read(self, script):
        found, _, profile = self.probed(script)
        assert (found["idle"], profile.idle_s) == ("900 s", 900)

    @pytest.mark.parametrize("verb", ["RETR", "REST", "MKD", "RNTO", "PWD"])
    def test_one_that_hangs_up_under_a_command_is_measured_as_far_as_possible_and_left_clean(self, verb: str):
        async def hang_up(c: Connection, _a: str) -> None:
            await c.hang_up()

        found, server, _ = self.probed({verb: hang_up})
        assert len(found) == 14
        assert server.files == {}
        assert server.dirs == {"/"}

    def test_one_that_goes_away_ends_the_probing(self):
        async def leave(c: Connection, _a: str) -> None:
            c.server.script["GREETING"] = "421 Closed."
            await c.hang_up()

        with Scripted(RNFR=leave) as server, pytest.raises(ServerUnavailableError):
            values(Account(server.spec(), timeouts=PATIENT))


def test_where_a_host_has_other_addresses_one_without_data_connections_is_passed_over(monkeypatch: pytest.MonkeyPatch):
    """Whoever probes again comes to the first one again."""
    with socket.socket() as kept, Scripted() as shut, Scripted() as good:
        kept.bind(("127.0.0.1", 0))
        shut.script |= {"EPSV": f"229 Here (|||{kept.getsockname()[1]}|)", "PASV": "425 None."}
        ways = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", each.port)) for each in (shut, good)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_where, **_how: list(ways))
        found = values(Account(shut.spec(), timeouts=PATIENT))
        ways.pop()
        with pytest.raises(DataUnreachableError):
            values(Account(shut.spec(), timeouts=PATIENT))
    assert found["size"] != "not measured"
    assert good.files == {}
