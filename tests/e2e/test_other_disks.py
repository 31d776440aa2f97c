"""Servers whose disks take other names for the same: what is published stays there, whatever is deleted or renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.proxy import Proxy
from tests.e2e.site import MAPPING, REMOTE, Site, contents, digest, site
from tests.servers import running
from tests.variants import also
from tests.waiting import until

pytestmark = pytest.mark.lasting(50)

OUTSIDE = "..\\index.html"
"""The name of a file here; to Windows a path."""


@pytest.fixture(params=["mac", "windows", *also("folding")])
def s(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with running("pyftpdlib", disk=request.param) as server, site(server, tmp_path, delete_after="0s") as made:
        yield made


def drop(s: Site, path: str, content: str) -> Path:
    (s.drop / path).parent.mkdir(parents=True, exist_ok=True)
    (s.drop / path).write_text(content)
    return s.drop / path


def settle(s: Site) -> None:
    """Two passes: what the first one leaves to a later one is done, too."""
    for _ in range(2):
        s.command("sync")


def assert_server_has_all(s: Site) -> None:
    """Each file under its own name or one that is the same to the server."""
    server = {path.lower(): held for path, held in contents(s.published).items()}
    assert {path.lower(): held for path, held in contents(s.drop).items()} == server


def test_a_directory_is_deleted_beside_one_whose_name_differs_in_case_only(s: Site) -> None:
    drop(s, "MyPics/in/a.jpg", "one")
    drop(s, "mypics/in/a.jpg", "two")
    drop(s, "MyPics/b.jpg", "b")
    settle(s)
    shutil.rmtree(s.drop / "mypics")
    settle(s)
    assert_server_has_all(s)


def test_a_directory_is_replaced_by_a_copy_whose_name_differs_in_case_only(s: Site) -> None:
    drop(s, "fotos/in/a.jpg", "a")
    drop(s, "fotos/b.jpg", "b")
    settle(s)
    shutil.copytree(s.drop / "fotos", s.drop / "FoTos")
    shutil.rmtree(s.drop / "fotos")
    settle(s)
    assert_server_has_all(s)


def test_a_name_is_replaced_by_a_copy_whose_accents_are_spelled_otherwise(s: Site) -> None:
    composed = drop(s, "gr\xf6\xdfe/\xe9.jpg", "a")
    settle(s)
    drop(s, "gro\u0308\xdfe/e\u0301.jpg", "a")
    settle(s)
    shutil.rmtree(composed.parent)
    settle(s)
    assert {held for path, held in contents(s.published).items()} == {digest(b"a")}
    s.command("verify", MAPPING)


def test_what_the_server_lists_under_another_name_is_not_unknown(s: Site) -> None:
    drop(s, "fotos/a.jpg", "a")
    drop(s, "fotos/\xe4.jpg", "b")
    drop(s, "Co./c.jpg", "c")
    settle(s)
    (s.published / "fotos").rename(s.published / "FOTOS")
    s.command("verify", MAPPING)
    (s.published / "FOTOS" / "stranger.jpg").write_text("?")
    assert "1 unknown" in s.command("verify", MAPPING, ok=False).stdout


def test_verify_tells_of_files_that_share_one_place_at_the_server(s: Site) -> None:
    for path, content in (("a.jpg", "one"), ("A.JPG", "another"), ("d/b.jpg", "b"), ("D/B.jpg", "b")):
        drop(s, path, content)
        s.command("sync")
    answer = json.loads(s.command("verify", MAPPING, "--repair", "--json", ok=False).stdout)
    found = {(finding["drift"], finding["path"].lower()) for finding in answer["findings"]}
    assert {("same_name", "a.jpg"), ("same_name", "d")} <= found
    assert answer["exit_code"] == 1
    assert answer["repair"] is None or answer["repair"]["files"] == 0
    assert "rename one of them" in s.command("verify", MAPPING, ok=False).stdout


def test_names_are_changed_in_case_only(s: Site) -> None:
    drop(s, "fotos/in/a.jpg", "a")
    b = drop(s, "b.jpg", "b")
    settle(s)
    (s.drop / "fotos").rename(s.drop / "Fotos")
    b.rename(s.drop / "B.jpg")
    settle(s)
    assert contents(s.drop) == contents(s.published)


def test_a_directory_is_renamed_beside_one_whose_name_differs_in_case_only(s: Site) -> None:
    drop(s, "Fotos/a.jpg", "a")
    drop(s, "fotos/b.jpg", "b")
    settle(s)
    (s.drop / "fotos").rename(s.drop / "Bilder")
    settle(s)
    assert contents(s.drop).items() <= contents(s.published).items()


@pytest.mark.parametrize("then", ["published", "deleted", "not mounted"])
def test_a_version_that_was_moved_aside_when_the_daemon_was_killed_goes_or_comes_back_with_its_file(
    tmp_path: Path, then: str
) -> None:
    with (
        running("pyftpdlib", disk="windows") as server,
        Proxy(server.host, server.port) as proxy,
        site(server, tmp_path, server_keys={"host": "127.0.0.1", "port": proxy.port}) as s,
    ):
        drop(s, "a.jpg", "first")
        s.start()
        s.until_equal()
        proxy.hold_at = f"RNTO {REMOTE}/a.jpg.".encode()
        drop(s, "a.jpg", "the second")
        until(lambda: proxy.held, "the first one is about to be moved aside", 20)
        s.kill()
        proxy.release()
        until(lambda: not (s.published / "a.jpg").exists(), "it is", 20)
        assert digest(b"first") in contents(s.published).values()
        if then == "deleted":
            (s.drop / "a.jpg").unlink()
        elif then == "not mounted":
            s.drop.rename(tmp_path / "away")
            s.drop.mkdir()
            s.start()
            until(lambda: contents(s.published) == {b"a.jpg": digest(b"first")}, "it has its name again", 20)
            s.until_state("held")
            return
        s.start()
        # Temporary files count as a difference.
        s.until_equal()
        s.until_state("in_sync")


@pytest.fixture
def windows(tmp_path: Path) -> Iterator[Site]:
    with running("pyftpdlib", disk="windows") as server, site(server, tmp_path) as made:
        made.start()
        yield made


def test_a_film_that_is_shown_is_replaced_and_deleted_when_that_ends(windows: Site) -> None:
    film, shown = windows.drop / "film.mp4", windows.published / "film.mp4"
    film.write_text("first")
    windows.until_equal()
    in_use(shown, used=True)
    film.write_text("the second")
    # Where two tries decided, it was given up after them.
    until(lambda: tries(windows) > 2, "it is tried again and again", 60)
    assert windows.mapping_status()["parked"] == 0
    assert shown.read_text() == "first"
    in_use(shown, used=False)
    windows.until_equal()
    in_use(shown, used=True)
    film.unlink()
    until(lambda: tries(windows) > 2, "it is tried again and again", 60)
    in_use(shown, used=False)
    windows.until_equal()
    windows.until_state("in_sync")


def test_no_name_leads_out_of_the_mapped_directory(windows: Site) -> None:
    theirs = windows.server.home / "index.html"
    theirs.write_text("somebody else's")
    drop(windows, OUTSIDE, "from the drop folder")
    drop(windows, "plain.jpg", "plain")
    until(lambda: set(contents(windows.published)) == {b"plain.jpg"}, "the other one is published", 60)
    until(lambda: windows.mapping_status()["parked"] or theirs.read_text() != "somebody else's", "it is dealt with", 60)
    assert theirs.read_text() == "somebody else's"
    assert sorted(path.name for path in windows.server.home.iterdir()) == ["index.html", "site"]


def test_nor_is_a_file_out_there_adopted_and_deleted_with_the_one_here(tmp_path: Path) -> None:
    with running("pyftpdlib", disk="windows") as server, site(server, tmp_path, delete_after="0s") as s:
        theirs, ours = server.home / "index.html", drop(s, OUTSIDE, "the same")
        theirs.write_text("the same")
        plain = drop(s, "plain.jpg", "plain")
        s.published.mkdir()
        for path in (theirs, ours):
            os.utime(path, (1_600_000_000, 1_600_000_000))
        for _ in range(2):
            s.command("sync", ok=False)
        assert set(contents(s.published)) == {b"plain.jpg"}
        ours.unlink()
        settle(s)
        # One that goes later is deleted: so the other one would have been.
        plain.unlink()
        settle(s)
        assert contents(s.published) == {}
        assert theirs.read_text() == "the same"


@pytest.mark.parametrize(
    ("disk", "names", "meaning"),
    [
        (
            "windows",
            (
                "changes bytes that are not UTF-8, a trailing space; refuses a backslash, a double quote;"
                " does not tell apart upper and lower case"
            ),
            "files with such names are refused",
        ),
        (
            "mac",
            "changes bytes that are not UTF-8, letters beyond ASCII; does not tell apart upper and lower case",
            "files with such names are refused; names with such letters are listed otherwise: check `encoding`",
        ),
    ],
)
def test_probe_finds_out_what_the_disk_does_to_names(tmp_path: Path, disk: str, names: str, meaning: str) -> None:
    meaning += "; of files whose names differ in that only, the last one is there"
    with running("pyftpdlib", disk=disk) as server, site(server, tmp_path) as s:
        measures = json.loads(s.command("probe", "web", "--json").stdout)["measures"]
        assert [(each["value"], each["meaning"]) for each in measures if each["field"] == "names"] == [(names, meaning)]
        assert not list(server.home.rglob("*.filepart"))
        drop(s, " a leading space/ in.jpg", "a")
        settle(s)
        assert contents(s.drop) == contents(s.published)


def in_use(path: Path, *, used: bool) -> None:
    """A program at the server has a file open, or has it no longer (`otherdisks`)."""
    path.chmod(0o444 if used else 0o644)


def tries(s: Site) -> int:
    """Of the one file that fails."""
    failures = s.status()["problems"]
    return int(failures[0]["attempts"]) if failures else 0


def test_what_others_have_put_into_a_directory_stays_where_the_server_would_remove_it(tmp_path: Path) -> None:
    with running("pyftpdlib", disk="emptying") as server, site(server, tmp_path, delete_after="0s") as s:
        drop(s, "fotos/a.jpg", "a")
        drop(s, "fotos/in/b.jpg", "b")
        settle(s)
        (s.published / "fotos/theirs.jpg").write_text("theirs")
        shutil.rmtree(s.drop / "fotos")
        settle(s)
        assert contents(s.published) == {b"fotos/theirs.jpg": digest(b"theirs")}
        assert [path.name for path in s.published.rglob("*") if path.is_dir()] == ["fotos"]
