"""`plan` says what the next pass does: random changes while nothing ran, a plan, a pass at a real server, compared.

What the pass really did is what it told as events, each of them after its outcome was recorded; and at a real server
its files show whether that was true. What only the server knows is left out of the comparison: whether a new file is
there already (`adopted`), and whether a directory holds files of others (`removed` all the same).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftpsyncd.cli.plan import print_json, print_lines
from ftpsyncd.config import Config, load
from ftpsyncd.daemon.onepass import Progress
from ftpsyncd.daemon.service import Service
from ftpsyncd.engine import outcomes
from ftpsyncd.events import Event, EventKind
from ftpsyncd.inspection import preview
from ftpsyncd.inspection.preview import Planned
from tests.figures import Figures
from tests.model import seeds
from tests.servers import USER, Server, running

NORMAL = 60
SOAK = seeds.SOAK // 4
"""Each of them takes a third of a second: four passes at a real server."""
PASSES = 4
CHANGES = 6
PASS_S = 60.0
LINKED = 0.2
RARE = 0.01
"""Of all passes, those of which the order of looks and outcomes decides whether a file is renamed or sent."""
TICK_S = 0.02

VERBS = {
    EventKind.PUBLISHED: "upload",
    EventKind.UNCHANGED: "upload",
    EventKind.ADOPTED: "upload",
    EventKind.RENAMED: "rename",
    EventKind.DELETED: "delete",
    EventKind.TRASHED: "trash",
    EventKind.REMOVED: "remove_dir",
    EventKind.MADE: "make_dir",
    EventKind.FORGOTTEN: "forget",
}

Told = set[tuple[str, str, str, str]]
"""Mapping, verb, path, and the source of a rename. What is looked at twice, because a name like it went, counts once."""


class _Site:
    """A folder with what people do to it, its configuration, and the place at the server."""

    def __init__(self, folder: Path, server: Server, chance: random.Random) -> None:
        self.folder = folder
        self.chance = chance
        self.root = folder / "drop"
        self.root.mkdir(parents=True)
        self.server = server
        self.remote = f"/{folder.name}"
        self.done: list[str] = []
        """What was done, for whoever has to find out why it was told wrongly."""
        self.raced = 0
        """Passes that did the same in another way."""
        self._serial = 0
        self._name = "drop"
        self._options: dict[str, object] = {
            "include": ["*"],
            "settle": "0s",
            "delete_after": chance.choice(["0s", "0s", "0s", "1h"]),
            "deletes": chance.choice(["mirror", "mirror", "trash", "keep"]),
            "max_deletes": chance.choice([3, 50, "30%"]),
            "empty_dirs": chance.random() < 0.3,
            "symlinks": chance.choice(["skip", "skip", "follow"]),
        }

    def configure(self) -> Path:
        path = self.folder / "config.yaml"
        mapping = {"local": str(self.root), "remote": f"web:{self.remote}", **self._options}
        account = {"host": "127.0.0.1", "port": self.server.port, "user": USER, "password": "secret", "tls": "off"}
        document = {
            "servers": {"web": {**account, "connections": self.chance.choice([1, 3])}},
            "mappings": {self._name: mapping},
            "state_dir": str(self.folder / "state"),
        }
        path.write_text(json.dumps(document))
        path.chmod(0o600)
        return path

    # ── what people do ───────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """The first of some changes: another name for a file that was not moved since the last pass."""
        if self.chance.random() < LINKED:
            self.done.append("link")
            self.link()

    def change(self) -> None:
        doings = {
            self.write: 6,
            self.rewrite: 3,
            self.touch: 2,
            self.delete: 3,
            self.move: 6,
            self.move_folder: 6,
            self.make_folder: 2,
            self.replace_folder: 2,
            self.swap: 2,
            self.turn: 2,
            self.case: 2,
            self.point: 1,
            self.configure_anew: 2,
            self.another_mapping: 0.3,
            self.put_foreign: 1,
            self.replace_root: 0.3,
        }
        [doing] = self.chance.choices(list(doings), list(doings.values()))
        self.done.append(doing.__name__)
        doing()

    def _all(self) -> list[Path]:
        return sorted(self.root.rglob("*"))

    def _folders(self) -> list[Path]:
        return [self.root, *(path for path in self._all() if path.is_dir() and not path.is_symlink())]

    def _files(self) -> list[Path]:
        return [path for path in self._all() if path.is_file() and not path.is_symlink()]

    def _place(self) -> Path:
        return self.chance.choice(self._folders()) / self.chance.choice(["a", "b", "c", "d.jpg", "e.jpg", "f.jpg"])

    def _free(self) -> Path | None:
        place = self._place()
        return None if os.path.lexists(place) else place

    def _content(self) -> bytes:
        self._serial += 1
        return f"{self._serial:08}".encode() * self.chance.choice([1, 2, 40])

    def write(self) -> None:
        if (place := self._free()) is not None:
            place.write_bytes(self._content())

    def rewrite(self) -> None:
        if files := self._files():
            self.chance.choice(files).write_bytes(self._content())

    def touch(self) -> None:
        if files := self._files():
            os.utime(self.chance.choice(files), (self._serial, self._serial))

    def delete(self) -> None:
        if paths := self._all():
            self._remove(self.chance.choice(paths))

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def move(self) -> None:
        # Of a file with several names that moved, each of its new names could be the one that is renamed.
        if (files := [path for path in self._files() if path.stat().st_nlink == 1]) and (
            place := self._free()
        ) is not None:
            self.chance.choice(files).rename(place)

    def move_folder(self) -> None:
        folders = self._folders()[1:]
        if not folders:
            return
        folder, target = self.chance.choice(folders), self.chance.choice(self._folders())
        place = target / f"{folder.name[:1]}{self.chance.randrange(9)}"
        if not os.path.lexists(place) and not target.is_relative_to(folder):
            folder.rename(place)
            if self.chance.random() < 0.3:
                # Another one in its place, with one of its files.
                folder.mkdir()
                for file in sorted(place.iterdir())[:1]:
                    if file.is_file():
                        file.rename(folder / file.name)

    def make_folder(self) -> None:
        if (place := self._free()) is not None:
            place.mkdir()
            if self.chance.random() < 0.7:
                (place / "g.jpg").write_bytes(self._content())
                (place / "h.jpg").write_bytes(self._content())

    def replace_folder(self) -> None:
        """Made anew, with the same files or others."""
        if folders := self._folders()[1:]:
            folder = self.chance.choice(folders)
            kept = folder.with_name("kept")
            folder.rename(kept)
            if self.chance.random() < 0.5:
                shutil.copytree(kept, folder, symlinks=True)
            else:
                folder.mkdir()
                (folder / "i.jpg").write_bytes(self._content())
            shutil.rmtree(kept)

    def swap(self) -> None:
        paths = self._files() if self.chance.random() < 0.5 else self._folders()[1:]
        if len(paths) > 1:
            one, other = self.chance.sample(paths, 2)
            if not (one.is_relative_to(other) or other.is_relative_to(one)):
                between = self.root / "between"
                one.rename(between)
                other.rename(one)
                between.rename(other)

    def turn(self) -> None:
        """A file where a directory was, or the other way round."""
        if paths := self._all():
            path = self.chance.choice(paths)
            was_folder = path.is_dir() and not path.is_symlink()
            self._remove(path)
            if was_folder:
                path.write_bytes(self._content())
            else:
                path.mkdir()
                (path / "j.jpg").write_bytes(self._content())

    def case(self) -> None:
        if paths := self._all():
            path = self.chance.choice(paths)
            other = path.with_name(path.name.swapcase())
            if not os.path.lexists(other):
                path.rename(other)

    def link(self) -> None:
        if (files := self._files()) and (place := self._free()) is not None:
            place.hardlink_to(self.chance.choice(files))

    def point(self) -> None:
        if (paths := self._all()) and (place := self._free()) is not None:
            place.symlink_to(self.chance.choice(paths))

    def configure_anew(self) -> None:
        changes: list[tuple[str, object]] = [
            ("exclude", self.chance.choice([[], ["a/"], ["*.jpg"], ["e.jpg", "b/"]])),
            ("deletes", self.chance.choice(["mirror", "trash", "keep"])),
            ("max_deletes", self.chance.choice([0, 3, 50])),
            ("empty_dirs", self.chance.random() < 0.5),
            ("symlinks", self.chance.choice(["skip", "follow"])),
            ("delete_after", self.chance.choice(["0s", "1h"])),
        ]
        key, value = self.chance.choice(changes)
        self._options[key] = value
        self.done[-1] += f"({key}={value})"

    def another_mapping(self) -> None:
        """Of another name, at the same place."""
        self._name = "drop" if self._name == "other" else "other"

    def put_foreign(self) -> None:
        home = self.server.home / self.remote.lstrip("/")
        folders = sorted(path for path in home.rglob("*") if path.is_dir()) or [home]
        folder = self.chance.choice(folders)
        if folder.is_dir():
            (folder / f"foreign{self._serial}").write_bytes(b"not ours")

    def replace_root(self) -> None:
        kept = self.root.with_name("kept")
        self.root.rename(kept)
        shutil.copytree(kept, self.root, symlinks=True)
        shutil.rmtree(kept)


def _pass(config: Config) -> tuple[list[Event], Progress]:
    """A `sync`, and what it did."""
    events: list[Event] = []
    service = Service(config, one_pass=True, observe=events.append)
    service.start()
    try:
        progress = service.await_end(PASS_S)
        assert progress.finished
    finally:
        service.stop()
    return events, progress


def _did(events: list[Event]) -> Told:
    return {(event.mapping, VERBS[event.kind], event.path, event.source) for event in events if event.kind in VERBS}


def _would(planned: list[Planned]) -> Told:
    found: Told = set()
    for each in planned:
        if each.verb in VERBS.values() and not each.held:
            source = each.why.rpartition("renamed from ")[2] if each.verb == "rename" else ""
            found.add((each.mapping, each.verb, each.path, source))
    return found


def _without_races(would: Told, did: Told) -> tuple[Told, Told]:
    """Where a chain of files took each other's names, a file may be gone before its new name is looked at: it is sent.

    Of a file that was renamed, or sent and its old name dealt with, only counts that it is there. So it is with a file
    that left a directory under another one of its names, and is sent again where that directory is by then.
    """
    renames = {(mapping, path, source) for mapping, verb, path, source in would | did if verb == "rename"}
    beside = {(mapping, verb, source) for mapping, _, source in renames for verb in ("delete", "trash", "forget")}
    beside |= {
        (mapping, "upload", path + file.removeprefix(source))
        for mapping, path, source in renames
        for each, _, file in renames
        if each == mapping and file.startswith(f"{source}/")
    }

    def reduced(told: Told) -> Told:
        files: Told = set()
        for mapping, verb, path, source in told:
            if verb == "rename" and not _is_folder(path, would | did):
                files.add((mapping, "upload", path, ""))
            elif (mapping, verb, path) not in beside:
                files.add((mapping, verb, path, source))
        return files

    return (would, did) if would == did else (reduced(would), reduced(did))


def _is_folder(path: str, told: Told) -> bool:
    """Whether one of them took it for a directory."""
    return any(verb == "make_dir" and each == path for _, verb, each, _ in told) or any(
        each.startswith(f"{path}/") for _, _, each, _ in told
    )


def _held(planned: list[Planned]) -> int:
    return sum(each.held and each.verb in {"delete", "trash"} for each in planned)


def _compare(site: _Site) -> int | None:
    """One plan, and one pass; how many actions that were, or None if it failed of what only the server knew."""
    config_file = site.configure()
    config = load(config_file)
    before = _snapshot(site)
    # The disk's clock ticks every few milliseconds: what was done in this tick is not known to be over.
    time.sleep(TICK_S)
    planned = list(preview.plan(config, ()))
    assert _snapshot(site) == before, "a plan touches nothing"
    events, progress = _pass(config)
    if any(event.kind is EventKind.FAILED and "at the server" in event.message for event in events):
        # What was left there (`deletes: keep`, a filter, another mapping) has the name of a new directory.
        return None
    would, did = _would(planned), _did(events)
    story = f"{site.done}\n{config_file.read_text()}\n" + "\n".join(map(str, [*planned, *events]))
    raced = would != did
    site.raced += raced
    would, did = _without_races(would, did)
    assert would == did, f"only told: {would - did}\nonly done: {did - would}\n{story}"
    # A rename that the server refused, because it had not what the ledger said, leaves one more.
    assert raced or _held(planned) == progress.held, story
    assert not progress.failed, story
    _forms_agree(planned)
    return len(did)


def _snapshot(site: _Site) -> object:
    state = site.folder / "state"
    home = site.server.home / site.remote.lstrip("/")
    files = [*sorted(state.glob("ledger.db")), *sorted(path for path in home.rglob("*") if path.is_file())]
    return [(path, path.read_bytes()) for path in files]


def _forms_agree(planned: list[Planned]) -> None:
    """The lines and the document tell the same."""
    runner = CliRunner()
    with runner.isolation() as (out, *_):
        print_json(iter(planned))
        document = json.loads(out.getvalue())
    assert [each["path"] for each in document["planned"]] == [each.path for each in planned]
    assert document["totals"] == Counter(each.verb for each in planned)
    with runner.isolation() as (out, *_):
        print_lines(iter(planned))
        lines = out.getvalue().decode().splitlines()
    assert len(lines) > len(planned)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server refuses is refused the second time, too: nobody need wait for that."""
    monkeypatch.setattr(outcomes, "FIRST_RETRY_S", 0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("pyftpdlib") as server:
        yield server


def _sequence(number: int, folder: Path, server: Server) -> tuple[int, int]:
    """Actions that were done, and passes that did the same in another way."""
    chance = random.Random(number)
    site = _Site(folder / f"s{number}", server, chance)
    if chance.random() < 0.3:
        # It has files already, of whoever was here before.
        for name in ("d.jpg", "e.jpg"):
            (server.home / site.remote.lstrip("/")).mkdir(exist_ok=True)
            (server.home / site.remote.lstrip("/") / name).write_bytes(b"from before")
    total = 0
    for _ in range(PASSES):
        site.begin()
        for _ in range(chance.randrange(CHANGES) + (3 if not total else 0)):
            site.change()
        site.done.append("|")
        actions = _compare(site)
        if actions is None:
            break
        total += actions
    return total, site.raced


@pytest.mark.parametrize("number", range(NORMAL))
def test_what_a_plan_tells_is_what_the_pass_does(number, tmp_path, server):
    _sequence(number, tmp_path, server)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_what_the_plans_of_many_random_sequences_tell_is_done(tmp_path, server, figures: Figures):
    actions = raced = 0
    for number in range(NORMAL, NORMAL + SOAK):
        done, otherwise = _sequence(number, tmp_path, server)
        actions, raced = actions + done, raced + otherwise
        shutil.rmtree(tmp_path / f"s{number}")
    assert raced <= RARE * PASSES * SOAK
    figures.tell("G8", "actions of passes, each told by the plan before", actions)
