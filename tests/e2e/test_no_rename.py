"""A server where nothing may be renamed: files are sent under their final names, and what is protected stays so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.site import Site, contents, site
from tests.servers import running
from tests.waiting import until

pytestmark = [pytest.mark.real_server, pytest.mark.root]


def stored(s: Site) -> dict[str, bytes]:
    """What is at the server, under which names."""
    return {path.name: path.read_bytes() for path in s.published.iterdir()}


@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_files_are_published_renamed_and_deleted_and_those_of_others_are_left_alone(kind: str, tmp_path: Path) -> None:
    with running(kind, denied=("RNTO",)) as server, site(server, tmp_path, existing="keep") as s:
        s.published.mkdir()
        (s.published / "theirs").write_bytes(b"of somebody else")
        for path in (s.published, s.published / "theirs"):
            os.chown(path, 1, 1)
        for name in ("theirs", "a", "b", "c"):
            (s.drop / name).write_bytes(b"first " + name.encode())
        s.start()
        theirs = {"theirs": b"of somebody else"}
        first = {name: b"first " + name.encode() for name in ("a", "b", "c")}
        until(lambda: stored(s) == {**theirs, **first}, "what is new is published", 60)
        (s.drop / "a").write_bytes(b"second a")
        (s.drop / "b").rename(s.drop / "d")
        now = {"a": b"second a", "c": b"first c", "d": b"first b"}
        until(lambda: stored(s) == {**theirs, **now}, "what changed is published", 60)
        (s.published / "c").write_bytes(b"edited at the server")
        for name in ("c", "d"):
            (s.drop / name).unlink()
        until(lambda: s.mapping_status()["held"] == 1, "what was changed there is held", 60)
        until(lambda: "d" not in stored(s), "the other one is deleted", 60)
        s.kill()
        (s.drop / "e").write_bytes(b"after a crash")
        s.start()
        until(lambda: "e" in stored(s) and stored(s)["e"], "it goes on", 60)
        left = {"a": b"second a", "c": b"edited at the server", "e": b"after a crash"}
        assert stored(s) == {**theirs, **left}
        assert contents(s.drop).keys() == {b"theirs", b"a", b"e"}
