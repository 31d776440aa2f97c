"""`plan` of folders on disk and a ledger that was filled by hand."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

from ftpsyncd.cli import plan
from ftpsyncd.config import load
from ftpsyncd.core.names import temporary as temporary_name
from ftpsyncd.errors import NameNotSendableError, NameRefusedError
from ftpsyncd.inspection import rehearsal
from ftpsyncd.inspection.preview import Planned
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.ledger.tables import APPROVED_SINCE
from ftpsyncd.local.scan import fingerprint_of
from ftpsyncd.local.tree import root_identity
from ftpsyncd.model import Exposure, Fingerprint, Hold, HoldKind, Intent, Kind, RootIdentity, Row
from ftpsyncd.publishing import lastlook
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import destination
from tests.cli.terminal import park

PAUSED_NS = 1_700_000_000_000_000_000


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


def test_a_file_whose_folder_moved_is_renamed_also_where_a_link_has_the_old_name(ftpsyncd, config_file):
    """As a `sync` does: what is seen through a link that is not followed is not there."""
    gallery = config_file.parent / "gallery"
    (gallery / "new").mkdir()
    (gallery / "new/a.jpg").write_text("x")
    (gallery / "old").symlink_to("new")
    publish(config_file, ["old/a.jpg"], fingerprint=fingerprint_of((gallery / "new/a.jpg").stat()))
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert ("rename", "new/a.jpg") in found
    assert "upload" not in dict(found)


def test_what_was_exposed_when_a_daemon_died_and_was_published_since_is_planned_about(ftpsyncd, config_file):
    """Whether it is there still, the server is asked, and what it has of it is read: nobody knows here."""
    config_file.write_text(config_file.read_text().replace("gallery:\n", "gallery:\n    publish: direct\n", 1))
    (config_file.parent / "gallery/a.jpg").write_text("x")
    print_ = fingerprint_of((config_file.parent / "gallery/a.jpg").stat())
    publish(config_file, ["a.jpg"], fingerprint=print_)
    config = load(config_file)
    spec = config.mappings["gallery"]
    with Ledger(config.state_dir / LEDGER) as ledger:
        mapping = ledger.mappings.number("gallery", destination(spec, config.servers[spec.server]))
        ledger.begun.put(mapping, "a.jpg", Intent(Kind.FILE, fingerprints=(print_,), exposed=Exposure(1, 1)))
    ended = ftpsyncd("plan", "--json", "-c", config_file)
    assert ended.code == 0, ended.err
    assert planned(ended) == []


def test_of_a_long_name_what_an_upload_left_is_planned_to_be_swept(ftpsyncd, config_file):
    """Which file it was of, it does not tell any more: whether one that begins so is there, the server is asked."""
    name = f"{'report ' * 20}1.jpg"
    temporary = temporary_name(f"/gallery/{name}", "somebody")
    publish(config_file, [])
    config = load(config_file)
    spec = config.mappings["gallery"]
    with Ledger(config.state_dir / LEDGER) as ledger:
        mapping = ledger.mappings.number("gallery", destination(spec, config.servers[spec.server]))
        ledger.begun.put(mapping, temporary.removeprefix("/gallery/"), Intent(Kind.FILE, temporary))
    ended = ftpsyncd("plan", "--json", "-c", config_file)
    assert ended.code == 0, ended.err
    assert planned(ended) == [("sweep", temporary.removeprefix("/gallery/"))]


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


def publish(
    config_file: Path,
    paths: list[str],
    *,
    held: bool = False,
    paused: bool = False,
    root: int = 0,
    approved: dict[str, int] | None = None,
    discarding: bool = False,
    fingerprint: Fingerprint = Fingerprint(1, 1, 1),  # noqa: B008 - immutable
) -> None:
    """Have the ledger know files of the gallery, none of which is on disk, of directories that are known, too."""
    config = load(config_file)
    spec = config.mappings["gallery"]
    config.state_dir.mkdir(exist_ok=True)
    with Ledger(config.state_dir / LEDGER) as ledger:
        mapping = ledger.mappings.number(spec.name, destination(spec, config.servers[spec.server]))
        for directory in {path.rpartition("/")[0] for path in paths}:
            ledger.put(mapping, directory, Row(Kind.DIR, Fingerprint(0, 0, 1), b"", 1))
        for path in paths:
            ledger.put(mapping, path, Row(Kind.FILE, fingerprint, b"", 1))
        if held:
            ledger.decisions.set_hold(mapping, Hold(HoldKind.MASS_DELETE, 1, "Too many."))
        if root:
            ledger.mappings.set_root(mapping, RootIdentity(root, root))
        ledger.decisions.set_paused(mapping, PAUSED_NS if paused else 0)
        ledger.decisions.set_approved(mapping, (approved or {}).items())
        ledger.decisions.set_discarding(mapping, discarding=discarding)


def limit_deletes(config_file: Path, most: int) -> None:
    text = config_file.read_text()
    config_file.write_text(text.replace("settle: 0s}", f"settle: 0s, max_deletes: {most}}}"))


PATHS = ["c.jpg", "sub/a.jpg", "sub/b.jpg"]
GONE = [("delete", "c.jpg"), ("delete", "sub/a.jpg"), ("delete", "sub/b.jpg"), ("remove_dir", "sub")]


def test_deletes_that_may_go_are_actions(ftpsyncd, config_file):
    publish(config_file, PATHS)
    limit_deletes(config_file, 3)
    assert planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file)) == GONE
    told = ftpsyncd("plan", "gallery", "-c", config_file).out
    assert "4 actions: 3 delete, 1 remove dir" in told
    assert "approve" not in told


@pytest.mark.parametrize(
    ("most", "why"), [(3, "held for `ftpsyncd approve gallery "), (2, "held: 3 files at once are more")]
)
def test_too_many_deletes_that_another_folder_was_held_in_front_of_are_told_of_when_ours_is_back(
    ftpsyncd, config_file, most, why
):
    """Together with those of the minute before they were too many; now they were said to be more than what they are."""
    publish(config_file, PATHS)
    limit_deletes(config_file, most)
    config = load(config_file)
    spec = config.mappings["gallery"]
    with Ledger(config.state_dir / LEDGER) as ledger:
        mapping = ledger.mappings.number(spec.name, destination(spec, config.servers[spec.server]))
        root = root_identity(spec.local)
        assert root is not None
        ledger.mappings.set_root(mapping, root)
        ledger.decisions.set_hold(mapping, Hold(HoldKind.REPLACED_SOURCE, 1, "Another one."))
        ledger.decisions.set_behind(mapping, "Too many.")
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    held = [each["why"] for each in document["planned"] if each["held"]]
    assert len(held) == len(GONE)
    assert all(why in each for each in held), held


@pytest.mark.parametrize(("after", "waits"), [("1h", True), ("40s", True), ("20s", False)])
def test_deletes_that_a_pass_leaves_to_a_later_one_wait(ftpsyncd, config_file, after, waits):
    publish(config_file, PATHS)
    config_file.write_text(config_file.read_text().replace("settle: 0s}", f"settle: 0s, delete_after: {after}}}"))
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    expected = [("wait", "c.jpg"), ("wait", "sub")] if waits else GONE
    assert [(each["verb"], each["path"]) for each in document["planned"]] == expected
    assert not waits or all("`delete_after`" in each["why"] for each in document["planned"])


@pytest.mark.parametrize("approved", [{"sub": 2}, {"sub/a.jpg": 1, "sub/b.jpg": 1}, {"sub": 2, "other": 7}])
def test_deletes_that_a_person_approved_do_not_count(ftpsyncd, config_file, approved):
    publish(config_file, PATHS, approved=approved)
    limit_deletes(config_file, 1)
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    assert [each["held"] for each in document["planned"] if each["verb"] != "wait"] == [False] * len(GONE)
    config_file.write_text(config_file.read_text().replace("max_deletes: 1", "max_deletes: 0"))
    told = ftpsyncd("plan", "gallery", "-c", config_file).out
    assert "held: 3 files at once are more than max_deletes (0) allows" in told


def test_a_ledger_that_knows_no_approvals_yet_is_read_all_the_same(ftpsyncd, config_file):
    publish(config_file, PATHS)
    db = sqlite3.connect(load(config_file).state_dir / LEDGER)
    later = (
        "DROP TABLE approved; DROP INDEX history_last; DROP INDEX failure_worst; ALTER TABLE intent DROP COLUMN exposed;"
        " ALTER TABLE intent DROP COLUMN brings; ALTER TABLE mapping DROP COLUMN encoding;"
        " ALTER TABLE entry DROP COLUMN ctime_ns; DROP TABLE elsewhere;"
        " ALTER TABLE mapping DROP COLUMN behind"
    )
    db.executescript(f"{later}; PRAGMA user_version={APPROVED_SINCE - 1}")
    db.close()
    assert planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file)) == GONE


@pytest.mark.parametrize(
    ("how", "limit", "why"),
    [
        ({"held": True}, 100, "held for `ftpsyncd approve gallery -c {}`"),
        ({}, 2, "held: 3 files at once are more than max_deletes (2) allows"),
        ({"root": 7}, 100, "held: this is another folder"),
    ],
)
def test_held_deletes_are_listed_and_no_actions(ftpsyncd, config_file, how, limit, why):
    publish(config_file, PATHS, **how)
    limit_deletes(config_file, limit)
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    found = [each for each in document["planned"] if each["verb"] != "wait"]
    assert [(each["verb"], each["path"]) for each in found] == GONE
    assert all(each["held"] and each["why"].endswith(why.format(as_word(config_file))) for each in found)
    told = ftpsyncd("plan", "gallery", "-c", config_file).out
    # Files, as `status`, `approve` and the reasons count them.
    approve, discard = (f"`ftpsyncd {command} gallery -c {as_word(config_file)}`" for command in ("approve", "discard"))
    assert f"3 deletes wait for a person: {approve} or {discard} decides." in told
    assert told.count(f"held for {approve}") == 0, "it is named once, and not with every path"
    assert told.endswith("Nothing else to do.\n")


def test_what_is_new_does_not_count_when_it_is_decided_whether_deletes_are_too_many(ftpsyncd, config_file):
    """The pass decides before it has sent anything; the plan said that it deletes, and it held the delete."""
    publish(config_file, ["gone.jpg"])
    for number in range(3):
        (config_file.parent / "gallery" / f"{number}.jpg").write_text("x")
    text = config_file.read_text()
    config_file.write_text(text.replace("settle: 0s}", "settle: 0s, delete_after: 0s, max_deletes: 30%}"))
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    (delete,) = (each for each in document["planned"] if each["verb"] == "delete")
    assert delete["why"].endswith("held: 1 file at once is more than max_deletes (0) allows")


def test_a_directory_alone_that_is_held_is_told_as_one(capsys):
    plan.print_lines([Planned("gallery", "remove_dir", "sub", 0, "deleted locally", held=True)])
    told = capsys.readouterr().out
    assert "gallery: 1 directory waits for a person: `ftpsyncd approve gallery`" in told
    assert told.endswith("Nothing else to do.\n")


def test_a_paused_mapping_says_so(ftpsyncd, config_file):
    publish(config_file, [], paused=True)
    (config_file.parent / "gallery" / "b.jpg").write_text("x")
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert found == [("paused", ""), ("make_dir", ""), ("upload", "a.jpg"), ("upload", "b.jpg")]
    told = ftpsyncd("plan", "gallery", "-c", config_file).out
    assert told.endswith(
        f"gallery: 3 actions wait until it goes on: `ftpsyncd resume gallery -c {as_word(config_file)}`.\nNothing else to do.\n"
    ), "a `sync` does none of it"


def test_what_waits_is_no_action(ftpsyncd, config_file):
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    with (config_file.parent / "gallery" / "a.jpg").open("a"):
        told = ftpsyncd("plan", "gallery", "-c", config_file).out
    # A pass finds out when it is about to send the file.
    assert told.endswith("1 action: 1 make dir\n")


def without_the_first_look(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The ledger of `publish` has not seen the folder itself."""
    return [each for each in found if each not in {("wait", ""), ("make_dir", "")}]


def test_a_file_that_takes_the_place_of_a_directory_comes_after_it_is_gone(ftpsyncd, config_file):
    publish(config_file, ["x.jpg/a.jpg"])
    (config_file.parent / "gallery" / "x.jpg").write_text("x")
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert found == [("delete", "x.jpg/a.jpg"), ("remove_dir", "x.jpg"), ("make_dir", ""), ("upload", "x.jpg")]


def test_a_directory_that_takes_the_place_of_a_file_comes_after_it_is_gone(ftpsyncd, config_file):
    publish(config_file, ["x.jpg", "y.jpg"])
    (config_file.parent / "gallery" / "x.jpg" / "sub").mkdir(parents=True)
    (config_file.parent / "gallery" / "x.jpg" / "sub" / "a.jpg").write_text("x")
    assert planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file)) == [
        ("delete", "x.jpg"),
        ("delete", "y.jpg"),
        ("make_dir", "x.jpg"),
        ("make_dir", "x.jpg/sub"),
        ("upload", "x.jpg/sub/a.jpg"),
    ]


def test_what_takes_the_place_of_something_whose_delete_is_held_waits(ftpsyncd, config_file):
    publish(config_file, ["x.jpg/a.jpg"], held=True)
    (config_file.parent / "gallery" / "x.jpg").write_text("x")
    document = json.loads(ftpsyncd("plan", "gallery", "--json", "-c", config_file).out)
    last = document["planned"][-1]
    assert (last["verb"], last["path"]) == ("wait", "x.jpg")
    assert "deleted first" in last["why"]


def test_a_file_that_got_two_names_is_renamed_to_one_of_them(ftpsyncd, config_file):
    config = load(config_file)
    publish(config_file, [])
    gallery = config.mappings["gallery"].local
    (gallery / "a.jpg").write_text("x")
    (gallery / "b.jpg").hardlink_to(gallery / "a.jpg")
    facts = (gallery / "a.jpg").stat()
    with Ledger(config.state_dir / LEDGER) as ledger:
        mapping = ledger.mappings.number("gallery", destination(config.mappings["gallery"], config.servers["web"]))
        row = Row(Kind.FILE, Fingerprint(facts.st_size, facts.st_mtime_ns, facts.st_ino), b"", 1)
        ledger.put(mapping, "old.jpg", row)
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert without_the_first_look(found) == [("rename", "a.jpg"), ("upload", "b.jpg")]


def test_a_new_directory_is_listed_once_where_empty_ones_are_made_too(ftpsyncd, config_file):
    config_file.write_text(config_file.read_text().replace("settle: 0s}", "settle: 0s, empty_dirs: true}"))
    (config_file.parent / "gallery" / "sub" / "empty").mkdir(parents=True)
    (config_file.parent / "gallery" / "sub" / "a.jpg").write_text("x")
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert found == [("make_dir", ""), ("make_dir", "sub"), ("make_dir", "sub/empty"), ("upload", "sub/a.jpg")]


def test_a_name_that_cannot_be_sent_is_not_told_as_sent(ftpsyncd, config_file):
    """A `sync` parks it: it was listed as an upload until one had run."""
    (config_file.parent / "gallery" / "a\nb.jpg").write_text("x")
    (config_file.parent / "gallery" / "c\rd").mkdir()
    (config_file.parent / "gallery" / "c\rd" / "e.jpg").write_text("x")
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert [each for each in found if each[0] != "parked"] == [("make_dir", "")]
    assert {path for verb, path in found if verb == "parked"} >= {"a\nb.jpg", "c\rd/e.jpg"}


def test_what_was_cut_off_is_swept_unless_its_name_cannot_be_sent(ftpsyncd, config_file):
    publish(config_file, [])
    config = load(config_file)
    with Ledger(config.state_dir / LEDGER) as ledger:
        spec = config.mappings["gallery"]
        mapping = ledger.mappings.number(spec.name, destination(spec, config.servers["web"]))
        for name in ("a.jpg", "b\nc.jpg"):
            ledger.begun.put(mapping, name, Intent(Kind.FILE, f"/gallery/{name}.01234567.filepart"))
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert [path for verb, path in found if verb == "sweep"] == ["a.jpg"]
    assert "unless that is under way" in ftpsyncd("plan", "gallery", "-c", config_file).out


def test_a_directory_that_got_another_name_is_one_line(ftpsyncd, config_file):
    gallery = config_file.parent / "gallery"
    (gallery / "new").mkdir()
    config = load(config_file)
    publish(config_file, [])
    spec = config.mappings["gallery"]
    with Ledger(config.state_dir / LEDGER) as ledger:
        mapping = ledger.mappings.number(spec.name, destination(spec, config.servers["web"]))
        recorded = Row(Kind.DIR, fingerprint_of((gallery / "new").stat()), b"", time.time_ns())
        ledger.put(mapping, "old", recorded)
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            (gallery / "new" / name).write_text("x")
            ledger.put(mapping, f"old/{name}", Row(Kind.FILE, fingerprint_of((gallery / "new" / name).stat()), b"", 1))
    (gallery / "new" / "c.jpg").write_text("changed")
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert without_the_first_look(found) == [("rename", "new"), ("upload", "new/c.jpg")]
    told = ftpsyncd("plan", "gallery", "-c", config_file).out
    assert "gallery: new  (directory renamed from old)" in told


@pytest.mark.timeout(120)
def test_a_plan_ends_where_a_file_is_never_what_it_was_when_it_was_listed(ftpsyncd, config_file, monkeypatch):
    """On some file systems in user space numbers change with each look; a `sync` goes on trying, for hours."""
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    (config_file.parent / "gallery" / "b.jpg").write_text("x")
    real, seen = fingerprint_of, itertools.count(1)

    def unstable(status: os.stat_result) -> Fingerprint:
        found = real(status)
        return found._replace(mtime_ns=next(seen)) if status.st_ino == first else found

    first = (config_file.parent / "gallery" / "a.jpg").stat().st_ino
    monkeypatch.setattr(lastlook, "fingerprint_of", unstable)
    monkeypatch.setattr(rehearsal, "RESTLESS_S", 20.0)  # ten minutes are gone through look by look
    found = planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert ("upload", "b.jpg") in found
    assert found[-1] == ("wait", "a.jpg")


def test_a_plan_does_not_wait_for_what_a_pass_waits_for(ftpsyncd, config_file):
    config_file.write_text(config_file.read_text().replace("settle: 0s}", "settle: 20s}"))
    (config_file.parent / "gallery" / "a.jpg").write_text("x")
    began = time.monotonic()
    assert ("upload", "a.jpg") in planned(ftpsyncd("plan", "gallery", "--json", "-c", config_file))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("place", "paths", "left"),
    [
        ("/remote/gallery", ["a.jpg", "sub/b.jpg", "sub/c.jpg", "d.jpg"], ["d.jpg"]),
        ("/remote/gallery", ["a.jpg", "sub/b.jpg"], []),
        ("/remote/gallery/sub", ["b.jpg", "c.jpg", "a.jpg", "sub/b.jpg"], ["a.jpg", "sub/b.jpg"]),
        ("/remote", ["gallery/a.jpg", "gallery/sub/b.jpg", "a.jpg", "gallery2/a.jpg"], ["a.jpg", "gallery2/a.jpg"]),
        ("/", ["remote/gallery/a.jpg", "remote/gallery", "a.jpg"], ["remote/gallery", "a.jpg"]),
        ("/remote/other", ["a.jpg"], ["a.jpg"]),
    ],
    ids=["same", "all", "inside", "around", "everything", "elsewhere"],
)
def test_what_was_taken_over_from_a_mapping_with_another_name_is_not_unmanaged(
    ftpsyncd, config_file, place, paths, left
):
    """It was said to stay at the server, and is deleted there when it is deleted here; who believes that removes it."""
    config_file.write_text(config_file.read_text().replace("web:/gallery", "web:/remote/gallery"))
    for path in ("a.jpg", "sub/b.jpg", "sub/c.jpg"):
        file = config_file.parent / "gallery" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
        publish(config_file, [path], fingerprint=fingerprint_of(file.stat()))
    config = load(config_file)
    spec = config.mappings["gallery"]
    there = destination(spec, config.servers[spec.server]).removesuffix(spec.remote) + place
    with Ledger(config.state_dir / LEDGER) as ledger:
        old = ledger.mappings.number("pictures", there)
        for path in paths:
            ledger.put(old, path, Row(Kind.FILE, Fingerprint(10, 1, 1), b"", 1))
    found = json.loads(ftpsyncd("plan", "--json", "-c", config_file).out)["planned"]
    told = [(each["size"], each["why"]) for each in found if each["verb"] == "unmanaged"]
    what = {1: "1 file at", 2: "2 files at"}.get(len(left))
    assert [size for size, _ in told] == ([10 * len(left)] if left else [])
    assert all(why.startswith(f"{what} {there}: ") for _, why in told)
