"""What is not deleted although it is gone here: changed at the server, no longer managed, or not to be seen."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site, contents, site, tools_missing
from tests.e2e.test_source import copies, delete_too_many, fill, some_checks_later, watchful
from tests.figures import Figures
from tests.servers import Server, running
from tests.waiting import until

pytestmark = pytest.mark.lasting(45)

# ── Changed at the server ────────────────────────────────────────────────────────────────────────────────────────


def change_and_delete(s: Site) -> None:
    """Somebody edits two files at the server; here one is deleted, and a folder with the other."""
    fill(s.drop)
    s.start()
    s.until_equal()
    for path in ("a.jpg", "sub/b.jpg"):
        (s.published / path).write_bytes(b"edited at the server")
    (s.drop / "a.jpg").unlink()
    (s.drop / "c.jpg").unlink()
    shutil.rmtree(s.drop / "sub")
    until(lambda: s.mapping_status()["held"] == 2, "what was changed is held", 60)
    until(lambda: contents(s.published).keys() == left_over(), "the others are deleted", 60)


def left_over() -> set[bytes]:
    return {b"a.jpg", b"b.jpg", b"d.jpg", b"e.jpg", b"sub/b.jpg"}


@pytest.fixture
def s(server: Server, tmp_path: Path) -> Iterator[Site]:
    with watchful(server, tmp_path) as made:
        yield made


def test_what_was_changed_at_the_server_is_held_also_over_a_restart_and_approve_deletes(
    s: Site, figures: Figures
) -> None:
    change_and_delete(s)
    assert s.mapping_status()["state"] == "held"
    message = s.mapping_status()["message"]
    assert "2 files were deleted here and changed at the server" in message
    assert f"`ftpsyncd approve drop -c {s.config}`" in message
    assert f"`ftpsyncd discard drop -c {s.config}`" in message
    told = s.command("why", s.drop / "a.jpg").stdout
    assert "20 bytes instead of 1,000" in told
    assert "ftpsyncd approve drop" in told
    planned = json.loads(s.command("plan", "--json").stdout)["planned"]
    assert {p["path"]: p["why"] for p in planned if p["verb"] == "delete"} == {
        "a.jpg": "held: it was changed at the server",
        "sub/b.jpg": "held: it was changed at the server",
    }
    s.command("rescan")
    s.stop()
    assert '"held": 2' in s.command("status", "--json").stdout
    s.start()
    s.until_state("held")
    some_checks_later(s)
    assert contents(s.published).keys() == left_over(), "a restart releases nothing"
    assert (s.published / "a.jpg").read_bytes() == b"edited at the server"
    assert "drop: 2 deletes approved" in s.command("approve", "drop").stdout
    s.until_equal()
    s.until_state("in_sync")
    assert not (s.published / "sub").exists()
    figures.tell("G4", "files changed at the server that were deleted before a person approved", 0, limit=0)


def test_discard_keeps_what_was_changed_at_the_server(s: Site) -> None:
    change_and_delete(s)
    assert "drop: 2 deletes discarded; the files stay at the server" in s.command("discard", "drop").stdout
    s.until_state("in_sync")
    some_checks_later(s)
    assert contents(s.published).keys() == left_over()
    assert s.mapping_status()["published_files"] == 3
    s.stop()
    s.start()
    s.until_state("in_sync")
    assert contents(s.published).keys() == left_over()


def test_with_deletes_trash_what_was_changed_at_the_server_stays_where_it_is(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path, deletes="trash") as s:
        fill(s.drop)
        s.start()
        s.until_equal()
        (s.published / "a.jpg").write_bytes(b"edited at the server")
        for name in "ab":
            (s.drop / f"{name}.jpg").unlink()
        until(lambda: not (s.published / "b.jpg").exists(), "the other one goes")
        s.until_state("held")
        assert (s.published / "a.jpg").read_bytes() == b"edited at the server"
        (s.drop / "a.jpg").write_bytes(b"put back here")
        until(lambda: (s.published / "a.jpg").read_bytes() == b"put back here", "it is published again", 60)
        s.until_state("in_sync")


def test_with_deletes_trash_what_somebody_has_deleted_at_the_server_is_done_with(
    server: Server, tmp_path: Path
) -> None:
    with site(server, tmp_path, deletes="trash") as s:
        fill(s.drop)
        s.command("sync")
        (s.published / "a.jpg").unlink()
        for name in "ab":
            (s.drop / f"{name}.jpg").unlink()
        s.command("sync")
        assert json.loads(s.command("plan", "--json").stdout)["planned"] == []
        assert sorted(path.rpartition(b"/")[2] for path in contents(s.published) if b"-trash/" in path) == [b"b.jpg"]


def test_a_sync_holds_what_was_changed_at_the_server_and_says_so(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        (s.published / "a.jpg").write_bytes(b"edited at the server")
        (s.drop / "a.jpg").unlink()
        for _ in range(2):
            done = s.command("sync", ok=False)
            assert done.returncode == 1
            assert "1 file was deleted here and changed at the server" in " ".join((done.stdout + done.stderr).split())
        assert (s.published / "a.jpg").exists()


# ── Held, whatever is done here ──────────────────────────────────────────────────────────────────────────────────


def test_neither_a_new_folder_nor_a_marker_nor_a_restart_releases_a_hold(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, watchful(server, tmp_path, max_deletes=5) as s:
        before = delete_too_many(s)
        message = s.mapping_status()["message"]
        assert f"e.jpg, f.jpg and 1 more; `ftpsyncd plan drop -c {s.config}` lists all" in message
        planned = json.loads(s.command("plan", "--json").stdout)["planned"]
        gone = [p for p in planned if p["verb"] == "delete"]
        assert len(gone) == 11, "what would go, one by one"
        assert {p["why"] for p in gone} == {f"deleted locally; held for `ftpsyncd approve drop -c {s.config}`"}
        (s.drop / "sub").mkdir()
        (s.drop / ".released").touch()
        (s.drop / "sub/.keep").touch()
        os.utime(s.drop)
        s.command("rescan")
        some_checks_later(s)
        s.stop()
        s.start()
        s.until_state("held")
        some_checks_later(s)
        assert before.items() <= copies(s.published).items()
        s.write_config(max_deletes=6)
        s.command("reload")
        some_checks_later(s)
        assert s.mapping_status()["state"] == "held"
        assert before.items() <= copies(s.published).items()


# ── No longer managed ────────────────────────────────────────────────────────────────────────────────────────────


def plan_of(s: Site) -> list[tuple[str, str]]:
    """Verbs and paths."""
    return sorted((p["verb"], p["path"]) for p in json.loads(s.command("plan", "--json").stdout)["planned"])


def test_what_an_include_list_leaves_out_is_forgotten_and_stays_at_the_server(s: Site) -> None:
    fill(s.drop)
    (s.drop / "a.txt").write_bytes(b"text")
    s.start()
    s.until_equal()
    before = copies(s.published)
    s.write_config(include=["*.txt"], exclude=["sub/"])
    assert plan_of(s) == sorted([("forget", "sub"), *(("forget", f"{name}.jpg") for name in "abcde")])
    s.command("reload")
    until(lambda: s.mapping_status()["published_files"] == 1, "the pictures are forgotten", 60)
    (s.drop / "a.jpg").unlink()
    shutil.rmtree(s.drop / "sub")
    some_checks_later(s)
    assert copies(s.published) == before
    s.stop()
    s.start()
    s.until_state("in_sync")
    assert copies(s.published) == before
    s.write_config()
    s.command("reload")
    until(lambda: s.mapping_status()["published_files"] == 5, "what is here is ours again", 60)
    assert copies(s.published) == before, "and is adopted, not sent"


def test_a_mapping_that_is_removed_or_moves_deletes_nothing_and_plan_shows_what_is_left(tmp_path: Path) -> None:
    with running("pyftpdlib") as server, site(server, tmp_path) as s:
        fill(s.drop)
        s.command("sync")
        before = copies(s.published)
        config = json.loads(s.config.read_text())
        config["mappings"]["drop"]["remote"] = "web:/elsewhere"
        s.config.write_text(json.dumps(config))
        planned = json.loads(s.command("plan", "--json").stdout)["planned"]
        (left,) = (p for p in planned if p["verb"] == "unmanaged")
        assert (left["mapping"], left["size"]) == ("drop", 15000)
        assert "10 files" in left["why"]
        assert "/site: this mapping publishes to another place now; they stay there" in left["why"]
        s.command("sync")
        assert contents(server.home / "elsewhere") == contents(s.drop)
        config["mappings"] = {"new": {**config["mappings"]["drop"], "remote": "web:/new"}}
        s.config.write_text(json.dumps(config))
        s.command("sync")
        (s.drop / "a.jpg").unlink()
        s.command("sync")
        assert copies(s.published) == before
        assert (server.home / "elsewhere/a.jpg").exists()
        shown = s.command("plan").stdout
        assert shown.count("this mapping is no longer in the configuration; they stay there") == 2
        assert "Nothing to do" in shown


# ── Not to be seen ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="takes rights away from root")
def test_below_a_folder_that_cannot_be_read_nothing_is_deleted_and_the_rest_goes_on(tmp_path: Path) -> None:
    if absent := tools_missing("setpriv"):
        pytest.skip(absent)
    with running("pyftpdlib") as server, watchful(server, tmp_path) as s:
        s.under = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
        fill(s.drop)
        (s.drop / "sub/deep").mkdir()
        (s.drop / "sub/deep/x.jpg").write_bytes(b"x")
        s.start()
        s.until_equal()
        before = copies(s.published)
        (s.drop / "sub").chmod(0)
        try:
            (s.drop / "a.jpg").unlink()
            (s.drop / "new.jpg").write_bytes(b"new")
            s.command("rescan")
            until((s.published / "new.jpg").exists, "the rest goes on", 60)
            until(lambda: not (s.published / "a.jpg").exists(), "deletes beside it, too", 60)
            until(lambda: "cannot be read" in s.log(), "it is told", 60)
            s.stop()
            s.start()
            some_checks_later(s)
            after = copies(s.published)
            hidden = {path for path in before if path.startswith("sub/")}
            assert {path: after[path] for path in hidden} == {path: before[path] for path in hidden}
        finally:
            (s.drop / "sub").chmod(0o755)
        (s.drop / "sub/b.jpg").unlink()
        s.until_equal()
        s.until_state("in_sync")
        s.stop()
