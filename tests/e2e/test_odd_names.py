"""Names: whatever a disk can hold is published intact, or parked with a reason; never a command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.site import Site, contents, site
from tests.servers import Server
from tests.waiting import until

NAMES = {
    "spaces": b"  two  spaces .jpg",
    "leading dash": b"-rf.jpg",
    "quotes": b'it\'s "quoted".jpg',
    "glob": b"[a]*?.jpg",
    "hash": b"#1.jpg",
    "percent": b"100%25.jpg",
    "semicolon": b"a;b&c|d.jpg",
    "leading dot": b".hidden.jpg",
    "tilde": b"~user.jpg",
    "dots": b"...jpg",
    "emoji": "🎉👩‍👩‍👧.jpg".encode(),
    "composed": "caf\u00e9.jpg".encode(),
    "decomposed": "cafe\u0301 2.jpg".encode(),
    "right to left": "\u202egpj.exe.jpg".encode(),
    "255 bytes": b"x" * 251 + b".jpg",
    "255 bytes of two-byte characters": "é".encode() * 125 + b"x.jpg",
    "a command": b"DELE victim.jpg",
    "looks like a reply": b"226 done.jpg",
}
UNSENDABLE = {
    "newline": b"new\nline.jpg",
    "carriage return": b"carriage\rreturn.jpg",
    "an injected command": b"x\r\nDELE victim.jpg",
}


def drop(s: Site, name: bytes, data: bytes) -> bytes:
    path = os.path.join(os.fsencode(s.drop), name)  # noqa: PTH118 - bytes
    with open(path, "wb") as file:  # noqa: PTH123 - bytes
        file.write(data)
    return path


def until_settled(s: Site) -> None:
    """Every path is published or parked."""
    until(
        lambda: (m := s.mapping_status())["state"] == "in_sync" and not m["pending"] and not m["failed"],
        "nothing is pending",
        60,
    )


@pytest.fixture
def s(server: Server, tmp_path: Path):
    with site(server, tmp_path, exclude=["!.*"]) as made:
        made.start()
        yield made


def test_names_with_a_meaning_elsewhere_are_published_intact(s: Site) -> None:
    refused_by_server = {b"~user.jpg"} if s.server.kind == "vsftpd" else set()
    for name in NAMES.values():
        drop(s, name, b"content of " + name)
    s.until_state("in_sync")
    until(lambda: len(contents(s.published)) >= len(NAMES) - len(refused_by_server), "all are there", 60)
    until_settled(s)
    local, remote = contents(s.drop), contents(s.published)
    for name in local.keys() - remote.keys():
        why = s.command("why", os.fsdecode(os.path.join(os.fsencode(s.drop), name)), "--json").stdout  # noqa: PTH118
        assert '"parked"' in why, f"{name!r} is neither published nor parked: {why}"
        assert name in refused_by_server, f"{name!r} was not published: {why}"
    assert {name: local[name] for name in remote} == remote


def test_names_that_no_command_can_carry_are_parked_with_a_reason_and_never_become_a_command(s: Site) -> None:
    drop(s, b"victim.jpg", b"victim")
    s.until_equal()
    paths = [drop(s, name, b"x") for name in UNSENDABLE.values()]
    until(lambda: s.mapping_status()["parked"] == len(UNSENDABLE), "they are parked", 30)
    until_settled(s)
    assert set(contents(s.published)) == {b"victim.jpg"}
    for path in paths:
        answer = s.command("why", os.fsdecode(path)).stdout
        assert "cannot" in answer
        assert "Rename the file" in answer
    assert not [line for line in s.log().splitlines() if line.startswith("DELE")], "a log line was split by a name"


def test_names_that_are_not_utf8_are_published_intact_or_parked(s: Site) -> None:
    for i, name in enumerate([b"latin1 \xe9.jpg", b"\xff\xfe.jpg", b"\x80.jpg", b"ok.jpg"]):
        drop(s, name, b"%d" % i)
    until(lambda: b"ok.jpg" in contents(s.published), "the plain one is there", 30)
    until_settled(s)
    local, remote = contents(s.drop), contents(s.published)
    assert {name: local.get(name) for name in remote} == remote, "a name was changed on the way"
    assert len(remote) + s.mapping_status()["parked"] == len(local)
    if s.server.kind == "vsftpd":
        assert local.keys() - remote.keys() <= {b"\xff\xfe.jpg"}, "vsftpd takes any bytes but 0xFF, a telnet command"


def test_directories_with_odd_names_are_published_renamed_and_deleted(s: Site) -> None:
    for name in ("a b", "-d", "[x]*?", "ünï", "#%"):
        (s.drop / name / "in").mkdir(parents=True)
        (s.drop / name / "in" / "f.jpg").write_bytes(name.encode())
    s.until_equal()
    (s.drop / "a b").rename(s.drop / "c  d")
    (s.drop / "[x]*?").rename(s.drop / "-d" / "[y]")
    (s.drop / "ünï" / "in" / "f.jpg").unlink()
    s.until_equal()
    assert s.log().count("parked") == 0
