"""A server that takes names only within its working directory: everything works there, from the first file on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.site import contents, digest, site
from tests.servers import running
from tests.waiting import until

pytestmark = pytest.mark.real_server


@pytest.mark.parametrize(
    ("bare", "existing"),
    [("absolute", "keep"), ("slash", "keep"), pytest.param("absolute", "adopt", marks=pytest.mark.long)],
)
def test_everything_is_mirrored_and_files_of_others_are_left_alone(bare: str, existing: str, tmp_path: Path) -> None:
    with running("pyftpdlib", bare=bare) as server, site(server, tmp_path, existing=existing) as s:
        s.published.mkdir()
        (s.published / "theirs").write_bytes(b"of somebody else")
        for name in ("theirs", "a", "b", "c"):
            (s.drop / name).write_bytes(b"first " + name.encode())
        (s.drop / "deep" / "er").mkdir(parents=True)
        for n in range(20):
            (s.drop / "deep" / "er" / f"{n}").write_bytes(b"%d" % n)
        theirs = b"of somebody else" if existing == "keep" else b"first theirs"

        def equal() -> bool:
            return contents(s.published) == contents(s.drop) | {b"theirs": digest(theirs)}

        s.start()
        until(equal, "all is published, and what is protected is left alone", 30)
        (s.drop / "a").write_bytes(b"second a")
        (s.drop / "b").rename(s.drop / "deep" / "d")
        (s.drop / "deep" / "er").rename(s.drop / "other")
        until(equal, "changes and renames are mirrored", 30)
        (s.drop / "c").unlink()
        (s.drop / "other" / "0").unlink()
        until(equal, "so are deletes", 30)
        s.kill()
        (s.drop / "e").write_bytes(b"after a crash")
        s.start()
        until(equal, "it goes on", 30)
        fetched = tmp_path / "fetched"
        s.command("get", "web:/site/", fetched)
        assert contents(fetched) == contents(s.published)
        s.command("rm", "web:/site/a")
        assert not (s.published / "a").exists()


def test_check_says_so_and_directories_may_have_to_be_made(tmp_path: Path) -> None:
    with running("pyftpdlib", bare="slash") as server, site(server, tmp_path, remote="web:/not/yet/there") as s:
        (s.drop / "deep").mkdir()
        (s.drop / "deep" / "a").write_bytes(b"first")
        told = s.command("check").stdout
        assert "takes, renames and deletes files" in told
        assert "names only within the working directory" in told
        assert list(server.home.iterdir()) == []
        s.command("sync")
        assert contents(server.home) == {b"not/yet/there/deep/a": digest(b"first")}
