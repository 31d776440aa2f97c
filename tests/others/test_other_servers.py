"""`make test-servers`: what a user does all day, at every other server that can be had."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from ftpsyncd.errors import NameRefusedError
from ftpsyncd.inspection.probe import Probing
from ftpsyncd.remote.account import Account
from tests import measured
from tests.e2e.proxy import Proxy
from tests.e2e.site import Site, contents, site
from tests.others.starters import OTHERS, version
from tests.servers import running
from tests.waiting import until

NAMES = [
    b"  two  spaces .jpg", b"-rf.jpg", b'it\'s "quoted".jpg', b"[a]*?.jpg", b"#1.jpg", b"100%25.jpg", b"a;b&c|d.jpg",
    b"~user.jpg", b"...jpg", b"back\\slash.jpg", b"tab\there.jpg", b"latin-1 \xe9.jpg", "🎉.jpg".encode(), "é.jpg".encode(),
    "cafe\u0301.jpg".encode(), b"x" * 251 + b".jpg", b"DELE victim.jpg", b"226 done.jpg", b"Artist - Title -x.mp3", b"a -l",
]  # fmt: skip
FILM = 5_000_000


def fill(folder: Path) -> None:
    for number in range(20):
        place = folder / f"album {number % 3}" / f"{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(random.Random(number).randbytes(number * 20_000))


def change(folder: Path) -> None:
    """Rename a file, one to another directory, one over another, and a directory; replace, and delete."""
    (folder / "album 0/0/0.jpg").rename(folder / "album 0/0/first.jpg")
    (folder / "album 0/3/3.jpg").rename(folder / "album 1/1/moved.jpg")
    (folder / "album 1/4/4.jpg").rename(folder / "album 1/4/19.jpg")
    (folder / "album 2").rename(folder / "best of")
    (folder / "album 0/1/6.jpg").write_bytes(b"another")
    (folder / "album 1/2/7.jpg").unlink()
    shutil.rmtree(folder / "best of/0")


def until_settled(s: Site) -> None:
    """Every path is published, or told as one that cannot be."""

    def settled() -> bool:
        mapping = s.mapping_status()
        return mapping["state"] == "in_sync" and not mapping["pending"] and not mapping["failed"]

    until(settled, "nothing is pending", 120)


def test_the_documentation_says_what_is_measured() -> None:
    found: dict[str, dict[str, str]] = {}
    for kind in OTHERS:
        with running(kind) as server:
            before = set(server.home.iterdir())
            measures = Probing(Account(server.spec()), "/made/for/this").run()
            found[kind] = {"version": version(OTHERS[kind])} | {each.field: each.value for each in measures}
            assert set(server.home.iterdir()) == before
    measured.compare("others", found)


OPEN = {
    "zope": "Now and then it breaks off a file that it sends (426), which `get` tells: called again, it fetches that."
}
"""At these it does not hold each time."""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.xfail(reason=OPEN.get(kind, ""), strict=False)] * (kind in OPEN))
        for kind in OTHERS
    ],
)
def test_a_folder_is_kept_equal_through_all_that_happens_to_it(kind: str, tmp_path: Path) -> None:
    with running(kind) as server, Proxy(server.host, server.port) as proxy:
        keys = {"host": "127.0.0.1", "port": proxy.port}
        with site(server, tmp_path / "site", server_keys=keys) as s:
            fill(s.drop)
            s.start()
            s.until_equal(120)
            change(s.drop)
            s.until_equal(120)
            proxy.cut_at = proxy.uploaded + FILM * 2 // 3
            (s.drop / "film.mp4").write_bytes(random.Random(kind).randbytes(FILM))
            s.until_equal(120)
            assert proxy.cuts == 1
            for number in range(1000):
                (s.drop / f"{number}.jpg").write_bytes(b"%d" % number)
            s.until_equal(240)
            until_settled(s)
            for number in range(1000):
                (s.drop / f"{number}.jpg").unlink()
            s.until_equal(120)
            s.command("get", "web:/site/", tmp_path / "back", timeout_s=120)
            assert contents(s.drop) == contents(tmp_path / "back")
            names(s)
            s.stop()
            s.command("verify", "drop", timeout_s=120)
            assert json.loads(s.command("probe", "web", "--json", timeout_s=120).stdout)["stored"]
            assert not [path for path in contents(server.home) if path.endswith(b".filepart")]


def test_a_server_that_has_lost_its_ls_lists_no_empty_directories() -> None:
    with running("netkit") as server:
        (server.home / "d/empty").mkdir(parents=True)
        (server.home / "d/a.jpg").write_bytes(b"content")
        (server.home / "bin/ls").unlink()
        for path in ("/", "/d"):
            with Account(server.spec())() as session, pytest.raises(NameRefusedError, match="LIST does not work"):
                session.list_dir(path)
        with Account(server.spec())() as session:
            assert session.list_dir("/d/empty") == []


def names(s: Site) -> None:
    """Names with a meaning elsewhere are published as they are, or parked; whatever they are called at the disk."""
    for name in NAMES:
        path_of(s, name).write_bytes(b"content of " + name)
    until(lambda: accounted(s) == len(contents(s.drop)), "each is published or parked", 120)
    until_settled(s)
    there, held = set(contents(s.published).values()), contents(s.drop)
    for name in NAMES:
        if held[name] not in there:
            assert '"parked"' in s.command("why", path_of(s, name), "--json").stdout, name
            path_of(s, name).unlink()
    until(lambda: not s.mapping_status()["parked"], "what is not there is not told any more", 60)
    assert sorted(contents(s.drop).values()) == sorted(contents(s.published).values())


def accounted(s: Site) -> int:
    mapping = s.mapping_status()
    return int(mapping["published_files"] + mapping["parked"])


def path_of(s: Site, name: bytes) -> Path:
    return s.drop / os.fsdecode(name)
