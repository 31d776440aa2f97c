"""`verify` finds what the server has lost, changed or gained, mends what is ours, and never deletes anything."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.config import load
from ftpsyncd.core.names import temporary
from ftpsyncd.errors import DataUnreachableError
from ftpsyncd.inspection.verify import Verification
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.model import Intent, Kind, Row
from ftpsyncd.remote.session import Session
from ftpsyncd.specs import destination
from tests.e2e.site import REMOTE, Site, contents, site
from tests.e2e.test_source import copies, fill
from tests.figures import Figures
from tests.remote.scripted import Connection, Scripted
from tests.servers import running

pytestmark = pytest.mark.lasting(65)

ON_BOTH = pytest.mark.parametrize(
    "s", ["pyftpdlib", pytest.param("vsftpd", marks=pytest.mark.real_server)], indirect=True
)
NONE = {"missing": 0, "wrong_kind": 0, "wrong_size": 0, "wrong_content": 0, "same_name": 0, "unknown": 0}


@pytest.fixture
def s(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Ten files published, no daemon running."""
    with running(getattr(request, "param", "pyftpdlib")) as server, site(server, tmp_path, empty_dirs=True) as made:
        fill(made.drop)
        (made.drop / "empty").mkdir()
        made.command("sync")
        yield made


def verify(s: Site, *options: str, code: int) -> dict[str, Any]:
    """`verify --json`, with the exit code that it must have."""
    done = s.command("verify", "drop", "--json", *options, ok=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    answer = dict(json.loads(done.stdout))
    assert answer["exit_code"] == code
    return answer


def drift(answer: dict[str, Any]) -> dict[str, str]:
    return {finding["path"]: finding["drift"] for finding in answer["findings"]}


def spoil(s: Site) -> dict[str, str]:
    """Change something of every kind at the server; what must be found."""
    (s.published / "a.jpg").unlink()
    (s.published / "b.jpg").write_bytes(b"shorter")
    (s.published / "c.jpg").write_bytes(b"C" * 1000)  # the size it had
    shutil.rmtree(s.published / "sub")
    (s.published / "empty").rmdir()
    (s.published / "foreign.jpg").write_bytes(b"from somebody else")
    (s.published / "theirs").mkdir()
    (s.published / "theirs/file").write_bytes(b"from somebody else")
    return {
        "a.jpg": "missing",
        "b.jpg": "wrong_size",
        "sub": "missing",
        **{f"sub/{name}.jpg": "missing" for name in "abcde"},
        "empty": "missing",
        "foreign.jpg": "unknown",
        "theirs": "unknown",
    }


def test_an_equal_server_is_found_equal(s: Site) -> None:
    answer = verify(s, code=0)
    assert answer["findings"] == []
    assert answer["totals"] == NONE
    assert answer["checked"] == {"directories": 3, "files": 10, "hashed": 0, "unsettled": 0}
    assert (answer["mapping"], answer["server"], answer["remote"]) == ("drop", "web", "/site")
    assert answer["repair"] is None
    assert "all is as it should be" in s.command("verify", "drop").stdout


@ON_BOTH
def test_all_drift_is_found_and_nothing_is_changed(s: Site) -> None:
    expected = spoil(s)
    before, ledger = copies(s.published), verify(s, code=1)
    assert drift(ledger) == expected
    assert ledger["totals"] == {**NONE, "missing": 8, "wrong_size": 1, "unknown": 2}
    sizes = {each["path"]: (each["kind"], each["expected"], each["found"]) for each in ledger["findings"]}
    assert sizes["a.jpg"] == ("file", 1000, None)
    assert sizes["b.jpg"] == ("file", 1000, 7)
    assert sizes["sub"] == ("dir", None, None)
    assert sizes["foreign.jpg"] == ("file", None, 18)
    assert copies(s.published) == before
    shown = s.command("verify", "drop", ok=False)
    assert shown.returncode == 1
    assert "missing        1.0 kB  a.jpg" in shown.stdout
    assert "b.jpg  (7 bytes instead of 1,000)" in shown.stdout
    assert "theirs/" in shown.stdout
    assert "8 missing, 1 wrong size, 2 unknown" in shown.stdout
    assert f"`ftpsyncd verify drop --repair -c {s.config}`" in shown.stdout
    assert drift(verify(s, "--ignore-unknown", code=1)).keys() == expected.keys() - {"foreign.jpg", "theirs"}


@ON_BOTH
def test_repair_without_a_daemon_mends_and_leaves_what_is_unknown(s: Site, figures: Figures) -> None:
    spoil(s)
    answer = verify(s, "--repair", code=1)
    assert answer["repair"] == {"files": 7, "directories": 2, "left": {**NONE, "unknown": 2}, "unsettled": 0}
    local, remote = contents(s.drop), contents(s.published)
    assert {path: remote[path] for path in local if path != b"c.jpg"} == {p: local[p] for p in local if p != b"c.jpg"}
    assert remote.keys() - local.keys() == {b"foreign.jpg", b"theirs/file"}
    assert (s.published / "empty").is_dir()
    assert verify(s, "--ignore-unknown", code=0)["findings"] == []
    figures.tell("G4", "unknown files deleted by `verify --repair`", 0, limit=0)


@ON_BOTH
def test_repair_by_a_running_daemon(s: Site) -> None:
    s.start()
    s.until_state("in_sync")
    expected = spoil(s)
    assert drift(verify(s, code=1)) == expected
    answer = verify(s, "--repair", "--ignore-unknown", code=0)
    assert answer["repair"] == {"files": 7, "directories": 2, "left": NONE, "unsettled": 0}
    assert contents(s.published)[b"b.jpg"] == contents(s.drop)[b"b.jpg"]
    assert (s.published / "sub/a.jpg").exists()
    assert (s.published / "empty").is_dir()
    assert (s.published / "theirs/file").exists()
    assert s.mapping_status()["published_files"] == 10
    assert "drop: repair - 9 paths are not at the server as published, and published again" in s.log()
    assert s.stop() == 0


@pytest.mark.parametrize("daemon", [True, False])
def test_a_repair_that_waits_for_a_person_says_what_for(s: Site, *, daemon: bool) -> None:
    if daemon:
        s.start()
    s.command("pause", "drop")
    (s.published / "a.jpg").unlink()
    done = s.command("verify", "drop", "--repair", ok=False)
    assert done.returncode == 1
    assert "drop: paused by a person" in done.stderr
    assert f"`ftpsyncd resume drop -c {s.config}` goes on" in done.stderr


@pytest.mark.parametrize("held", ["one", "all"])
def test_a_repair_is_awaited_also_while_deletes_are_held(s: Site, held: str) -> None:
    """A daemon that publishes slowly is not done when the command asks the first time."""
    s.server_keys["bandwidth"] = "10 kB/s"
    s.write_config(settle="200ms", delete_after="200ms", max_deletes=0 if held == "all" else 50)
    if held == "one":
        (s.published / "c.jpg").write_bytes(b"changed by somebody")
    (s.drop / "c.jpg").unlink()
    s.start()
    s.until_state("held")
    shutil.rmtree(s.published / "sub")
    answer = verify(s, "--repair", code=1 if held == "one" else 0)
    assert answer["repair"]["unsettled"] == 0
    assert answer["repair"]["left"] == {**NONE, "wrong_size": 1 if held == "one" else 0}
    assert len(list((s.published / "sub").iterdir())) == 5
    assert s.mapping_status()["state"] == "held"
    s.stop()


def test_of_what_is_gone_here_and_held_no_repair_says_that_it_is_to_be_published(s: Site) -> None:
    """As after a backup of the ledger was put back: it was told to wait for what could never come."""
    s.write_config(max_deletes=0)
    (s.published / "a.jpg").unlink()
    (s.drop / "a.jpg").unlink()
    done = s.command("verify", "drop", "--repair", ok=False)
    assert done.returncode == 1
    assert "1 still to be published, or deleted if gone here" in done.stdout
    assert "drop: 1 file was deleted at once (a.jpg)" in done.stderr


def test_what_is_gone_here_meanwhile_is_not_published_again(s: Site) -> None:
    """Missing at the server and here: nothing is to be done, and the ledger learns it."""
    s.write_config(deletes="keep", empty_dirs=True)
    (s.published / "a.jpg").unlink()
    (s.drop / "a.jpg").unlink()
    answer = verify(s, "--repair", code=0)
    assert drift(answer) == {"a.jpg": "missing"}
    assert not (s.published / "a.jpg").exists()


@ON_BOTH
def test_while_the_daemon_publishes_nothing_is_found(s: Site) -> None:
    """Rows and listing are not of the same moment; what is on its way is no drift."""
    s.start()
    s.until_state("in_sync")
    for round_ in range(3):
        folder = s.drop / f"round {round_}"
        folder.mkdir()
        for n in range(100):
            (folder / f"{n}.jpg").write_bytes(b"x" * n)
            (s.drop / f"again {n}.jpg").write_bytes(b"y" * (n + round_))
        found = verify(s, code=0)
        assert found["findings"] == []
    s.until_equal()
    assert verify(s, code=0)["checked"]["files"] == 410


class Recorder(Ledger):
    """Opened for reading; just before the n-th look at a path, the daemon records what it did there."""

    def __init__(self, path: Path, moment: int, record: Callable[[], None]) -> None:
        super().__init__(path, read_only=True)
        self._looks_left, self._record = moment, record
        self._begun_of = self.begun.of
        self.begun.of = self._look_at_begun  # type: ignore[method-assign]

    def _look(self) -> None:
        self._looks_left -= 1
        if self._looks_left == 0:
            self._record()

    def row(self, mapping: int, path: str) -> Row | None:
        self._look()
        return super().row(mapping, path)

    def _look_at_begun(self, mapping: int) -> list[tuple[str, Intent]]:
        self._look()
        return self._begun_of(mapping)


@pytest.mark.parametrize("moment", range(5), ids=["never", "first look", "second look", "third look", "fourth look"])
@pytest.mark.parametrize("gone", [False, True], ids=["published", "deleted"])
def test_what_is_recorded_while_it_is_judged_is_no_finding(s: Site, moment: int, *, gone: bool) -> None:
    """At whatever moment the daemon records it: an upload it has just done, or a delete."""
    config = load(s.config, environ=s.environment())
    path = config.state_dir / LEDGER
    with Ledger(path) as daemon:
        mapping = daemon.mappings.find("drop", destination(config.mappings["drop"], config.servers["web"]))
        assert mapping is not None
        row = daemon.row(mapping, "a.jpg")
        assert row is not None
        if gone:
            (s.published / "a.jpg").unlink()
        else:
            daemon.forget(mapping, "a.jpg")
        daemon.begun.put(mapping, "a.jpg", Intent(Kind.FILE))
        daemon.commit()

        def record() -> None:
            if gone:
                daemon.forget(mapping, "a.jpg")
            else:
                daemon.put(mapping, "a.jpg", row)
            daemon.begun.clear(mapping, "a.jpg")
            daemon.commit()

        with Recorder(path, moment, record) as ledger:
            assert list(Verification(config, "drop", ledger).run()) == []


@pytest.mark.parametrize("moment", range(5), ids=["never", "first look", "second look", "third look", "fourth look"])
def test_a_temporary_file_that_gets_its_name_while_it_is_judged_is_no_finding(s: Site, moment: int) -> None:
    """No row of its own shows that its upload has ended."""
    config = load(s.config, environ=s.environment())
    path = config.state_dir / LEDGER
    with Ledger(path) as daemon:
        mapping = daemon.mappings.find("drop", destination(config.mappings["drop"], config.servers["web"]))
        assert mapping is not None
        row = daemon.row(mapping, "a.jpg")
        assert row is not None
        remote = temporary(f"{REMOTE}/a.jpg", "drop")
        part = s.published / remote.rpartition("/")[2]
        (s.published / "a.jpg").rename(part)
        daemon.forget(mapping, "a.jpg")
        daemon.begun.put(mapping, "a.jpg", Intent(Kind.FILE, remote))
        daemon.commit()

        def record() -> None:
            part.rename(s.published / "a.jpg")
            daemon.put(mapping, "a.jpg", row)
            daemon.begun.clear(mapping, "a.jpg")
            daemon.commit()

        with Recorder(path, moment, record) as ledger:
            assert list(Verification(config, "drop", ledger).run()) == []


@pytest.mark.parametrize(
    ("brings", "found"), [(("sub",), set()), ((), {"sub", *(f"sub/{name}.jpg" for name in "abcde")})]
)
def test_what_a_rename_that_comes_late_has_taken_along_is_no_finding(
    s: Site, brings: tuple[str, ...], found: set[str]
) -> None:
    """The server is asked about it by the daemon, which mends it; neither is what it has brought to the new name."""
    config = load(s.config, environ=s.environment())
    with Ledger(config.state_dir / LEDGER) as ledger:
        mapping = ledger.mappings.find("drop", destination(config.mappings["drop"], config.servers["web"]))
        assert mapping is not None
        ledger.begun.put(mapping, "new", Intent(Kind.DIR, brings=brings))
        (s.published / "sub").rename(s.published / "new")
        assert {finding.path for finding in Verification(config, "drop", ledger).run()} == found


def test_a_connection_that_grows_too_old_is_replaced(s: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After hours: proftpd refuses all data connections of one whose TLS session is too old."""
    config = load(s.config, environ=s.environment())
    asked: list[Session] = []

    def first(session: Session) -> bool:
        asked.append(session)
        return session is asked[0]

    monkeypatch.setattr(Session, "expiring", property(first))
    with Ledger(config.state_dir / LEDGER) as ledger:
        assert list(Verification(config, "drop", ledger).run()) == []
    assert len(set(asked)) == 2
    assert not asked[0].usable


@pytest.mark.parametrize("reached", [False, True], ids=["", "where data ports were reached before"])
def test_addresses_of_the_host_without_data_connections_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reached: bool
) -> None:
    """However many: the daemon publishes at the one that is left."""

    async def shows(connection: Connection, _path: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        writer.write(b"-rw-r--r-- 1 u u 1 Jan 1 2026 theirs.jpg\r\n")
        await connection.end_data()
        await connection.say("226 That is all.")

    with running("pyftpdlib") as unused, site(unused, tmp_path) as s, contextlib.ExitStack() as stack:
        config = load(s.config, environ=s.environment())
        kept = stack.enter_context(socket.socket())
        kept.bind(("127.0.0.1", 0))
        nowhere = {"EPSV": f"229 Here (|||{kept.getsockname()[1]}|)", "PASV": "425 None."}
        servers = [stack.enter_context(Scripted({**way, "LIST": shows})) for way in (nowhere, nowhere, {})]
        ways = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", each.port)) for each in servers]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_where, **_how: list(ways))
        for each in servers:
            each.dirs.add(REMOTE)
            each.files[f"{REMOTE}/theirs.jpg"] = b"x"
        spec = servers[0].spec(name="web")

        def found() -> set[str]:
            verification = Verification(config._replace(servers={"web": spec}), "drop", None)
            verification.account.profile.reached = reached
            return {finding.path for finding in verification.run()}

        assert found() == {"theirs.jpg"}
        del ways[-1]
        with pytest.raises(DataUnreachableError):
            found()


def test_a_server_that_is_not_there_is_75_and_a_wrong_name_is_2(s: Site) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        s.server_keys["port"] = nobody.getsockname()[1]
        s.write_config()
        done = s.command("verify", "drop", ok=False)
        assert done.returncode == 75
        assert "refused" in done.stderr
    assert s.command("verify", "no-such", ok=False).returncode == 2
    s.config.write_text("servers: []")
    assert s.command("verify", "drop", ok=False).returncode == 78


def test_before_anything_was_published_all_is_unknown(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        assert verify(s, code=0)["findings"] == []
        s.published.mkdir()
        (s.published / "theirs.jpg").write_bytes(b"x")
        os.chown(s.published, 1, 1) if os.geteuid() == 0 else None
        assert drift(verify(s, code=1)) == {"theirs.jpg": "unknown"}
        assert not (tmp_path / "state/ledger.db").exists()


def test_the_trash_is_not_unknown(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path, deletes="trash") as s:
        fill(s.drop)
        s.command("sync")
        (s.drop / "a.jpg").unlink()
        s.command("sync")
        assert (s.published / ".ftpsyncd-trash").exists()
        assert verify(s, code=0)["findings"] == []


@pytest.mark.real_server
def test_a_name_that_cannot_be_asked_for_is_unknown_and_hides_nothing(s: Site) -> None:
    (s.published / "two\nlines.jpg").write_bytes(b"x")
    (s.published / "sub" / "a.jpg").unlink()
    answer = verify(s, code=1)
    assert drift(answer).pop("two\nlines.jpg") == "unknown"
    assert answer["totals"] == NONE | {"missing": 1, "unknown": 1}
    assert verify(s, "--repair", code=1)["repair"]["left"] == NONE | {"unknown": 1}


def test_contents_are_compared_where_the_server_tells_hashes(tmp_path: Path) -> None:
    with running("proftpd", digests=True) as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        assert verify(s, "--hash", code=0)["checked"]["hashed"] == 10
        (s.published / "c.jpg").write_bytes(b"C" * 1000)
        assert verify(s, code=0)["findings"] == [], "size alone shows nothing"
        answer = verify(s, "--hash", code=1)
        assert drift(answer) == {"c.jpg": "wrong_content"}
        assert verify(s, "--hash", "--repair", code=0)["repair"]["left"] == NONE
        assert contents(s.published) == contents(s.drop)


def test_where_the_server_tells_no_hashes_that_is_said(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        shown = s.command("verify", "drop", "--hash").stdout
        assert "0 of them by content (the server tells no hashes)" in shown
        assert "filepart" not in "".join(map(str, s.published.rglob("*")))
