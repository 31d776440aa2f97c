"""Commands leave nothing at a server, wherever the line ends."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpsyncd.config import Config, ControlSpec, load
from ftpsyncd.core import names
from ftpsyncd.errors import FtpsyncdError
from ftpsyncd.inspection.check import check
from ftpsyncd.inspection.findings import Finding, Level
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.quoting import quote
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.keeping import kept
from ftpsyncd.remote.profile import Profile
from ftpsyncd.specs import DeletePolicy, MappingSpec, ServerSpec
from tests.cli.terminal import write_config
from tests.remote.cutting import Cutting
from tests.remote.scripted import Connection, Scripted, hang_up
from tests.servers import running
from tests.waiting import until


def _check(spec: ServerSpec, place: Path) -> list[Finding]:
    mapping = MappingSpec("m", place, spec.name, "/site/made/here", deletes=DeletePolicy.TRASH)
    config = Config(place / "c.yaml", {spec.name: spec}, {"m": mapping}, place, ControlSpec(place / "socket"))
    return list(check(config, offline=False))


def _probe(spec: ServerSpec, _place: Path) -> None:
    for _ in Probing(Account(spec), "/site/made/here").run():
        pass


@pytest.mark.real_server
@pytest.mark.parametrize(
    ("ask", "places"),
    [(_check, slice(None)), (_probe, slice(13)), (_probe, slice(-17, -1))],
    ids=["check", "probe begins", "probe ends"],
)
def test_what_was_made_for_it_goes_over_another_connection(
    ask: Callable[[ServerSpec, Path], object], places: slice, tmp_path: Path
) -> None:
    """Behind the last word nobody listens any more."""
    with running("pyftpdlib") as server, Cutting(server.host, server.port) as proxy:
        (server.home / "site").mkdir()
        spec = server.spec(host="127.0.0.1", port=proxy.port)
        ask(spec, tmp_path)
        commands = proxy.said
        for passing in range(commands)[places]:
            for proxy.also in (False, True):
                proxy.left = passing
                with contextlib.suppress(FtpsyncdError):
                    ask(spec, tmp_path)
                proxy.left = math.inf
                until(lambda: not list((server.home / "site").iterdir()), f"nothing is left after {passing}", 30)


def test_what_a_check_cannot_remove_any_more_is_named(tmp_path: Path) -> None:
    """The server has gone away for good."""
    with Scripted(RNTO=hang_up, GREETING=[None, *9 * [hang_up]]) as server:
        (error,) = [each for each in _check(server.spec(), tmp_path) if each.level is Level.ERROR]
        (stays,) = [path for path in server.files if "ftpsyncd-check-" in path]
    made = "/site/made/here and /site/made and /site"
    assert f"Have {stays} and {names.final(stays)} and {made}, of this check, removed there" in error.remedy


def test_what_a_probe_cannot_remove_any_more_is_named(tmp_path: Path, config_file: Path, ftpsyncd) -> None:
    with Scripted(LIST=hang_up, GREETING=[None, *99 * [hang_up]]) as server:
        write_config(tmp_path, port=server.port)
        ended = ftpsyncd("probe", "web", "-c", config_file)
        (stays,) = server.files
        assert "/gallery" in server.dirs
    assert ended.code == 75
    told = " ".join(ended.err.split())
    assert f"Have {stays} and " in told
    assert " and /gallery removed there, if any has stayed." in told


def test_so_it_is_where_somebody_breaks_the_probe_off(tmp_path: Path, config_file: Path, ftpsyncd, monkeypatch) -> None:
    def give_up(_probing: Probing, _session: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Probing, "_listing", give_up)
    with Scripted(GREETING=[None, *99 * [hang_up]]) as server:
        write_config(tmp_path, port=server.port)
        ended = ftpsyncd("probe", "web", "-c", config_file)
        (stays,) = server.files
    assert ended.code == 130
    assert f"Have {stays} and " in " ".join(ended.err.split())


def test_so_is_what_it_made_to_see_whether_case_is_told_apart(tmp_path: Path, config_file: Path, ftpsyncd) -> None:
    async def gone(connection: Connection, path: str) -> None:
        if "CASE" in path:
            connection.server.script["GREETING"] = hang_up
            await connection.hang_up()
        await connection.server.default(connection, f"SIZE {path}")

    async def listed(connection: Connection, _path: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        place = f"{connection.directory.rstrip('/')}/"
        there = [path.removeprefix(place) for path in connection.server.dirs if path.startswith(place)]
        lines = (f"drwxr-xr-x 1 u u 1 Jan 1 2026 {name}\r\n" for name in there if name)
        writer.write("".join(lines).encode("latin-1"))
        await connection.end_data()
        await connection.say("226 That is all.")

    with Scripted(SIZE=gone, LIST=listed) as server:
        write_config(tmp_path, port=server.port)
        ended = ftpsyncd("probe", "web", "-c", config_file)
        (stays,) = [path for path in server.dirs if path.startswith("/gallery/case")]
    assert ended.code == 75
    assert f" and {stays} and " in " ".join(ended.err.split())


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
@pytest.mark.parametrize("denied", [("DELE",), ("DELE", "RMD", "XRMD"), ("RMD", "XRMD")])
def test_what_a_server_does_not_remove_after_a_probe_is_named(
    tmp_path: Path, config_file: Path, ftpsyncd, kind: str, denied: tuple[str, ...]
) -> None:
    with running(kind, denied=denied) as server:
        write_config(tmp_path, port=server.port)
        ended = ftpsyncd("probe", "web", "--json", "-c", config_file)
        stays = {f"/{path.relative_to(server.home)}" for path in server.home.rglob("*")}
    assert ended.code == 0
    assert stays
    assert sorted(json.loads(ended.out)["left"]) == sorted(stays)
    assert all(quote(path) in " ".join(ended.err.split()) for path in stays)


@pytest.mark.real_server
@pytest.mark.root
def test_so_is_what_a_server_does_not_even_list(tmp_path: Path, config_file: Path, ftpsyncd) -> None:
    """pure-ftpd shows so many names of a directory; with KeepAllFiles, nothing is deleted."""
    with running("pure-ftpd", directives=("-K", "-L", "8:3")) as server:
        directory = server.home / "d"
        directory.mkdir()
        for number in range(40):
            (directory / f"{number}.jpg").touch()
        directory.chmod(0o777)
        write_config(tmp_path, port=server.port)
        ended = ftpsyncd("probe", "web", "--json", "--directory", "/d", "-c", config_file)
        stays = {f"/d/{path.name}" for path in directory.iterdir() if path.suffix != ".jpg"}
    assert ended.code == 0
    assert stays
    assert set(json.loads(ended.out)["left"]) >= stays


def test_what_a_trial_of_names_may_have_left_is_named_too(tmp_path: Path, config_file: Path, ftpsyncd) -> None:
    """The profile in which such is noted is not kept of a measurement that came to nothing."""
    with Scripted(MKD=[None, hang_up], GREETING=[None, *99 * [hang_up]]) as server:
        write_config(tmp_path, port=server.port)
        ended = ftpsyncd("probe", "web", "-c", config_file)
        made, tried = (line.partition(" ")[2] for line in server.log if line.startswith("MKD "))
    assert ended.code == 75
    assert tried.startswith(f"{made}/")
    assert ended.err.count(quote(tried)) == 1


@pytest.mark.real_server
def test_a_sync_that_has_nothing_to_publish_removes_what_a_trial_of_the_one_before_has_left(
    tmp_path: Path, config_file: Path, ftpsyncd
) -> None:
    with running("pyftpdlib") as server:
        config = load(write_config(tmp_path, port=server.port))
        assert ftpsyncd("sync", "-c", config.path).code == 0
        with Ledger(config.state_dir / LEDGER) as ledger:
            key = Account(config.servers["web"]).key
            left = Profile(scratch={"DELE /gallery/ftpsyncd.0123abcd.filepart": 0.0, "RMD / 89abcdef.filepart": 0.0})
            ledger.put_profile(key, kept(left, 0.0, ledger.profile(key)))
        (server.home / "gallery").mkdir(exist_ok=True)
        (server.home / "gallery/ftpsyncd.0123abcd.filepart").write_bytes(b"ours")
        (server.home / " 89abcdef.filepart").mkdir()
        before = sorted(server.home.rglob("*"))
        assert ftpsyncd("sync", "-c", config.path).code == 0
        assert len(before) - len(sorted(server.home.rglob("*"))) == 2
        assert not list(server.home.rglob("*.filepart"))
        with Ledger(config.state_dir / LEDGER) as ledger:
            assert not json.loads(ledger.profile(key))["scratch"]
