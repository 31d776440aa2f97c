"""A server where nothing may be renamed: files are sent under their final names, and what is protected stays so."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from tests.e2e.proxy import Proxy
from tests.e2e.site import Site, contents, site
from tests.servers import running
from tests.variants import also
from tests.waiting import until

pytestmark = [pytest.mark.real_server, pytest.mark.root]


def stored(s: Site) -> dict[str, bytes]:
    """What is at the server, under which names; not what vanishes meanwhile."""
    found = {}
    for path in s.published.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.read_bytes()
    return found


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


@pytest.mark.parametrize("how", ["nothing may be renamed", *also("direct")])
@pytest.mark.parametrize("trouble", ["the line dies", "the daemon is killed"])
def test_a_part_of_ours_under_the_final_name_is_not_kept_as_somebody_elses(
    how: str, trouble: str, tmp_path: Path
) -> None:
    film = os.urandom(3_000_000)
    denied, publish = ((), "direct") if how == "direct" else (("RNTO",), "atomic")
    with (
        running("vsftpd", denied=denied) as server,
        Proxy(server.host, server.port) as proxy,
        site(
            server,
            tmp_path,
            existing="keep",
            publish=publish,
            server_keys={"host": "127.0.0.1", "port": proxy.port, "bandwidth": "1 MB/s"},
        ) as s,
    ):
        s.start()
        (s.drop / "first").write_bytes(b"first")
        until(lambda: (s.published / "first").exists() and s.mapping_status()["published_files"] == 1, "the first", 30)
        if trouble == "the line dies":
            proxy.cut_at = proxy.uploaded + 1_000_000
        (s.drop / "film.mov").write_bytes(film)
        if trouble == "the daemon is killed":
            until(lambda: len(stored(s).get("film.mov", b"")) > 500_000, "a part is there", 30)
            s.kill()
            s.start()
        s.until_equal()
        assert "that ftpsyncd never published" not in s.log()


@pytest.mark.parametrize("how", ["nothing may be renamed", *also("direct")])
@pytest.mark.parametrize("trouble", ["the line dies", "the daemon is killed"])
@pytest.mark.parametrize("before", [b"", b"an earlier version"], ids=["new", "replaced"])
def test_a_part_under_the_final_name_goes_with_the_file(how: str, trouble: str, before: bytes, tmp_path: Path) -> None:
    denied, publish = ((), "direct") if how == "direct" else (("RNTO",), "atomic")
    with (
        running("vsftpd", denied=denied) as server,
        Proxy(server.host, server.port) as proxy,
        site(
            server,
            tmp_path,
            publish=publish,
            server_keys={"host": "127.0.0.1", "port": proxy.port, "bandwidth": "1 MB/s"},
        ) as s,
    ):
        s.start()
        film, first = s.drop / "film.mov", {"first": b"first", **({"film.mov": before} if before else {})}
        for name, content in first.items():
            (s.drop / name).write_bytes(content)
        until(lambda: s.published.exists() and stored(s) == first, "what comes first", 30)
        until(lambda: s.mapping_status()["published_files"] == len(first), "it is recorded", 30)
        film.write_bytes(os.urandom(3_000_000))
        until(lambda: len(stored(s).get("film.mov", b"")) > 500_000, "a part is there", 30)
        if trouble == "the daemon is killed":
            s.kill()
        film.unlink()
        if trouble == "the daemon is killed":
            s.start()
        else:
            proxy.cut()
        until(lambda: stored(s) == {"first": b"first"}, "nothing of it stays", 30)
        s.until_state("in_sync")


def test_a_file_of_somebody_else_stays_where_a_transfer_was_cut_off(tmp_path: Path) -> None:
    with (
        running("vsftpd") as server,
        Proxy(server.host, server.port) as proxy,
        site(
            server,
            tmp_path,
            existing="keep",
            publish="direct",
            server_keys={"host": "127.0.0.1", "port": proxy.port, "bandwidth": "1 MB/s"},
        ) as s,
    ):
        s.start()
        (s.drop / "film.mov").write_bytes(os.urandom(3_000_000))
        until(lambda: len(stored(s).get("film.mov", b"")) > 500_000 if s.published.exists() else False, "a part", 30)
        s.kill()
        (s.published / "film.mov").write_bytes(b"of somebody else")
        s.start()
        until(lambda: "that ftpsyncd never published" in s.log(), "it is kept", 30)
        assert stored(s)["film.mov"] == b"of somebody else"
