"""`plan` of folders on disk and a ledger that was filled by hand."""

from __future__ import annotations

import json

import pytest

from ftpsyncd.errors import NameNotSendableError, NameRefusedError
from tests.cli.terminal import park


def planned(ended) -> list[tuple[str, str]]:
    return [(each["verb"], each["path"]) for each in json.loads(ended.out)["planned"]]


def test_what_is_parked_is_listed(ftpsyncd, config_file):
    name = "a\nb.jpg"
    (config_file.parent / "gallery" / name).write_text("x")
    park(config_file, name, NameNotSendableError("It cannot be sent."))
    assert planned(ftpsyncd("plan", "--json", "-c", config_file)) == [("parked", name)]
    told = ftpsyncd("plan", "-c", config_file).out
    assert "It cannot be sent. Rename the file." in told
    assert "1 path is parked" in told
    assert "the servers have everything" not in told


def test_what_is_parked_counts_as_no_action(ftpsyncd, config_file):
    for name in ("a.jpg", "b.jpg"):
        (config_file.parent / "gallery" / name).write_text("x")
    park(config_file, "a.jpg", NameRefusedError("No."))
    assert ("upload", "b.jpg") in planned(ftpsyncd("plan", "--json", "-c", config_file))
    assert "1 path is parked" in ftpsyncd("plan", "-c", config_file).out


@pytest.mark.parametrize("names", [["a.jpg"], ["a.jpg", "b.jpg", "c.jpg"]])
def test_a_file_that_a_program_writes_waits(ftpsyncd, config_file, names):
    for name in names:
        (config_file.parent / "gallery" / name).write_text("x")
    with (config_file.parent / "gallery" / "a.jpg").open("a"):
        found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert ("wait", "a.jpg") in found
    assert [path for verb, path in found if verb == "upload"] == names[1:]
