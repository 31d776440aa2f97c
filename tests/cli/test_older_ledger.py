"""What the reading commands say of a ledger that an older version has written, before the first pass of this one.

Until then it stays as it is: where `sync` in cron is all that is used, for hours after an update.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from ftpsyncd.config import load
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.ledger.tables import MIGRATIONS, SCHEMA_VERSION
from ftpsyncd.model import Fingerprint, Hold, HoldKind, Kind, Row
from ftpsyncd.specs import destination


def as_written_by(version: int, path: Path) -> None:
    """Make a ledger one of an older schema, with all of its rows that this one has a place for."""
    new = path.with_suffix(".older")
    db = sqlite3.connect(new)
    db.executescript("".join(MIGRATIONS[:version]))
    db.execute("ATTACH ? AS later", (str(path),))
    for (table,) in db.execute("SELECT name FROM main.sqlite_schema WHERE type='table'").fetchall():
        columns = ",".join(name for (name,) in db.execute("SELECT name FROM pragma_table_info(?, 'main')", (table,)))
        db.execute(f"INSERT INTO main.{table}({columns}) SELECT {columns} FROM later.{table}")
    db.execute(f"PRAGMA main.user_version={version}")
    db.commit()
    db.close()
    new.rename(path)


@pytest.fixture
def ledger_file(config_file) -> Path:
    """A ledger in which a file was published whose delete is held, and one of another mapping that is gone."""
    config = load(config_file)
    config.state_dir.mkdir(exist_ok=True)
    path = config.state_dir / LEDGER
    with Ledger(path) as ledger:
        for spec in config.mappings.values():
            mapping = ledger.mappings.number(spec.name, destination(spec, config.servers[spec.server]))
            ledger.put(mapping, "", Row(Kind.DIR, Fingerprint(0, 0, 1), b"", 1))
            ledger.put(mapping, "a.jpg", Row(Kind.FILE, Fingerprint(1, 1, 1), b"", 1))
            if spec.name == "gallery":
                ledger.decisions.set_hold(mapping, Hold(HoldKind.MASS_DELETE, 1, "Too many."))
    return path


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_commands_that_read_take_it_as_it_is(ftpsyncd, config_file, ledger_file, version):
    as_written_by(version, ledger_file)
    before = ledger_file.read_bytes()
    told = {}
    for words in (
        ["status"],
        ["plan"],
        ["history"],
        ["why", config_file.parent / "gallery" / "a.jpg"],
        ["why", config_file.parent / "shop" / "a.jpg"],
        ["check", "--offline"],
    ):
        ended = ftpsyncd(*words, "--json", "-c", config_file)
        assert ended.code == 0, (words, ended)
        told[words[0]] = json.loads(ended.out)
    assert [(each["name"], each["published_files"]) for each in told["status"]["mappings"]] == [
        ("gallery", 1),
        ("shop", 1),
    ]
    assert {(each["mapping"], each["verb"]) for each in told["plan"]["planned"]} >= {("gallery", "delete")}
    ended = ftpsyncd("verify", "gallery", "-c", config_file)
    assert ended.code == 75, ended
    assert "The connection was refused" in ended.err, "and not the ledger"
    assert ledger_file.read_bytes() == before, "a command that reads changes nothing"
