"""Names: whatever a disk can hold is published intact, or parked with a reason; never a command."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from ftpsyncd.control.client import ControlClient
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


ODD = {
    "trailing space": b"trailing .jpg ",
    "backslash": b"back\\slash\\.jpg",
    "tab": b"tab\tulator.jpg",
    "escape": b"\x1b[31mred\x07.jpg",
    "delete": b"del\x7f.jpg",
    "dots and no more": b"...",
    "dots and a space": b".. ",
    "dots before": b"..up.jpg",
    "tilde alone": b"~.jpg",
    "composed": "ä.jpg".encode(),
    "decomposed": "a\u0308.jpg".encode(),
    "line separator": "line\u2028separator.jpg".encode(),
    "next line": "next\x85line.jpg".encode(),
    "255 bytes of four-byte characters": "🎉".encode() * 62 + b"abc.jpg",
    "Latin-1": b"caf\xe9.jpg",
    "telnet": b"a\xffb\xff\xffc.jpg",
    "telnet interrupt": b"\xff\xf4\xff\xf2ABOR.jpg",
    "half a character": "é".encode()[:1] + b".jpg",
    "a quoted path": b'"" is current directory.jpg',
    "an option": b"--help",
    "a pattern that matches the others": b"*",
    "newline at the end": b"end.jpg\n",
    "only a line break": b"\r\n",
    "a rename": b"x\nRNFR victim.jpg\r\nRNTO gone.jpg",
    "a delete with a full path": b"\r\nDELE victim.jpg\r\n",
}
"""Published as they are or parked, whatever the server makes of them."""


def why_of(s: Site, path: bytes) -> dict[str, object]:
    answer = ControlClient(s.base / "control.sock").why(os.fsdecode(path))
    return dict(answer)


def assert_published_intact_or_parked(s: Site) -> set[bytes]:
    """Every file is at the server as it is, or `why` tells why not; returns the names that are not."""
    local, remote = contents(s.drop), contents(s.published)
    assert {name: local.get(name) for name in remote} == remote, "a name or a content was changed on the way"
    parked = local.keys() - remote.keys()
    for name in parked:
        why = why_of(s, os.path.join(os.fsencode(s.drop), name))  # noqa: PTH118 - bytes
        assert why["state"] == "parked", f"{name!r} is neither published nor parked: {why}"
        assert len(str(why["sentence"])) > 40
    assert s.mapping_status()["parked"] == len(parked)
    return set(parked)


def test_odd_names_are_published_intact_or_parked_with_a_reason(s: Site) -> None:
    drop(s, b"victim.jpg", b"victim")
    s.until_equal()
    for name in ODD.values():
        drop(s, name, b"content of " + name)
    until(lambda: len(contents(s.published)) + s.mapping_status()["parked"] == len(ODD) + 1, "all are dealt with", 60)
    until_settled(s)
    parked = assert_published_intact_or_parked(s)
    must_park = {name for name in ODD.values() if set(name) & set(b"\r\n\xff")}
    assert must_park <= parked
    may_park = must_park | {name for name in ODD.values() if b"~" in name or not name.isascii()}
    assert parked <= may_park | {ODD["tab"], ODD["escape"], ODD["delete"]}, "these are no trouble for any server"
    assert b"victim.jpg" in contents(s.published)


def test_odd_names_are_changed_renamed_and_deleted_like_others(s: Site) -> None:
    sendable = [name for name in ODD.values() if not set(name) & set(b"\r\n\xff") and name.isascii()]
    sendable = [name for name in sendable if name.strip() == name and name.decode().isprintable()]
    for name in sendable:
        drop(s, name, b"first " + name)
    until(lambda: len(contents(s.published)) == len(sendable), "all are there", 60)
    root = os.fsencode(s.drop)
    for i, name in enumerate(sendable):
        path = os.path.join(root, name)  # noqa: PTH118 - bytes
        match i % 3:
            case 0:
                drop(s, name, b"second " + name)
            case 1:
                os.rename(path, path + b" [renamed] #1")  # noqa: PTH104 - bytes
            case _:
                os.unlink(path)  # noqa: PTH108 - bytes
    s.until_equal()
    s.until_state("in_sync")
    assert s.mapping_status()["parked"] == 0


def test_a_parked_name_is_published_when_it_is_renamed_and_forgotten_when_it_is_deleted(s: Site) -> None:
    one, other = drop(s, b"bad\nname.jpg", b"one"), drop(s, b"bad\rname.jpg", b"other")
    until(lambda: s.mapping_status()["parked"] == 2, "they are parked", 30)
    os.rename(one, one.replace(b"\n", b" "))  # noqa: PTH104 - bytes
    os.unlink(other)  # noqa: PTH108 - bytes
    s.until_equal()
    until(lambda: s.mapping_status()["parked"] == 0, "nothing is parked", 30)


DIRECTORIES = {
    "line break": b"dir\nDELE victim.jpg",
    "carriage return": b"dir\r",
    "telnet": b"\xff",
    "Latin-1": b"caf\xe9",
    "dots": b"...",
    "tab": b"tab\t",
    "spaces around": b" dir ",
    "254 bytes": "é".encode() * 127,
    "pattern": b"[*]?",
    "tilde": b"~user",
}


@pytest.mark.parametrize("what", DIRECTORIES)
def test_a_directory_with_an_odd_name_is_published_or_parked_with_its_files(s: Site, what: str) -> None:
    drop(s, b"victim.jpg", b"victim")
    s.until_equal()
    name = DIRECTORIES[what]
    inside = os.path.join(os.fsencode(s.drop), name)  # noqa: PTH118 - bytes
    os.mkdir(inside)  # noqa: PTH102 - bytes
    os.mkdir(inside + b"/in")  # noqa: PTH102 - bytes
    drop(s, name + b"/a.jpg", b"a")
    drop(s, name + b"/in/b.jpg", b"b")
    until(lambda: len(contents(s.published)) == 3 or s.mapping_status()["parked"], "published or parked", 60)
    until_settled(s)
    local, remote = contents(s.drop), contents(s.published)
    assert {each: local.get(each) for each in remote} == remote
    assert b"victim.jpg" in remote
    for missing in local.keys() - remote.keys():
        why = why_of(s, os.path.join(os.fsencode(s.drop), missing))  # noqa: PTH118 - bytes
        assert why["state"] == "parked", why
    shutil.rmtree(inside)
    until(lambda: os.listdir(os.fsencode(s.published)) == [b"victim.jpg"], "it is gone", 30)  # noqa: PTH208 - bytes
    until(lambda: s.mapping_status()["parked"] == 0, "nothing is parked any more", 30)


def test_every_event_about_an_odd_name_is_one_line_of_the_log(s: Site) -> None:
    for name in (b"x\r\nDELE victim.jpg", b"a\n2026-01-01 00:00:00 ERROR    forged", b"\x1b[2Jcleared.jpg", b"ok.jpg"):
        drop(s, name, b"x")
    until(lambda: len(contents(s.published)) + s.mapping_status()["parked"] == 4, "all are dealt with", 30)
    log = s.log_path.read_bytes().decode()
    assert "\x1b" not in log
    assert "\r" not in log
    for line in log.split("\n")[:-1]:
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING|ERROR) ", line), line
    assert not [line for line in log.splitlines() if line.endswith("forged")]
