"""Another `encoding` in the configuration: what is published has its names in that, and nothing is left under others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site, site
from tests.servers import running
from tests.waiting import until

pytestmark = pytest.mark.real_server
NAMES = ("plain.jpg", "gr\u00fc\u00dfe.jpg", "d\u00fcne/plain.jpg", "d\u00fcne/\u00e4 b.jpg")
PARKED = "\u20ac.jpg"
"""Latin-1 lacks it."""


@pytest.fixture(params=["vsftpd", "pure-ftpd"])
def s(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    with running(request.param) as server, site(server, tmp_path) as made:
        yield made


def at_the_server(s: Site) -> set[bytes]:
    found = set()
    for directory, _, names in os.walk(os.fsencode(s.published)):
        found |= {os.path.relpath(os.path.join(directory, name), os.fsencode(s.published)) for name in names}  # noqa: PTH118 - bytes
    return found


def publish(s: Site, encoding: str, names: tuple[str, ...]) -> None:
    """Have the daemon publish files in an encoding."""
    s.server_keys["encoding"] = encoding
    s.write_config()
    for name in names:
        (s.drop / name).parent.mkdir(exist_ok=True)
        (s.drop / name).write_bytes(name.encode() * 100)
    s.start()
    until_named(s, encoding, NAMES)


def until_named(s: Site, encoding: str, names: tuple[str, ...]) -> None:
    wanted = {name.encode(encoding) for name in names}
    until(lambda: at_the_server(s) == wanted, f"all names are in {encoding}, and no other is there", 30)
    until(lambda: s.mapping_status()["state"] == "in_sync", "nothing is pending", 30)


def published(s: Site) -> int:
    """Files that were sent; a rename sends none."""
    return s.log().count(": published ")


@pytest.mark.parametrize("way", ["restart", "reload"])
def test_what_is_published_is_renamed_and_what_could_not_be_named_is_published(s: Site, way: str) -> None:
    publish(s, "latin-1", (*NAMES, PARKED))
    assert s.mapping_status()["parked"] == 1
    assert published(s) == len(NAMES)
    s.server_keys["encoding"] = "utf-8"
    s.write_config()
    if way == "reload":
        s.command("reload")
    else:
        s.stop()
        s.start()
    until_named(s, "utf-8", (*NAMES, PARKED))
    assert s.mapping_status()["parked"] == 0
    assert published(s) == len(NAMES) + 1
    assert "names are told to the server in utf-8 now, and were in iso8859-1" in s.log()


def test_a_plan_tells_of_the_renames_and_it_goes_back_again(s: Site) -> None:
    publish(s, "utf-8", NAMES)
    s.stop()
    s.server_keys["encoding"] = "cp1252"
    s.write_config()
    plan = s.command("plan").stdout
    assert "rename" in plan
    assert "delete" not in plan
    (s.drop / "gr\u00fc\u00dfe.jpg").write_bytes(b"changed meanwhile")
    (s.drop / "d\u00fcne/\u00e4 b.jpg").unlink()
    s.start()
    left = tuple(name for name in NAMES if name != "d\u00fcne/\u00e4 b.jpg")
    until_named(s, "cp1252", left)
    assert (s.published / os.fsdecode("gr\u00fc\u00dfe.jpg".encode("cp1252"))).read_bytes() == b"changed meanwhile"
    assert s.command("verify", "drop", ok=False).returncode == 0
