"""The tables of docs/servers.md, which tests measure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "servers.md"
END = "<!-- end -->\n"


def compare(mark: str, found: Mapping[str, Mapping[str, str]]) -> None:
    """Compare a table with what was measured, or write it if FTPSYNCD_SNAPSHOTS is ``write``.

    Args:
        mark: the word of the comment before the table.
        found: server → field → value.
    """
    fields = next(iter(found.values()))
    rows = [["", *found], ["---"] * (1 + len(found))]
    rows += [[field, *(values[field] for values in found.values())] for field in fields]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows).replace("|  |", "| |")
    begin = f"<!-- {mark} -->\n"
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(begin)
    documented, _, after = rest.partition(END)
    if os.environ.get("FTPSYNCD_SNAPSHOTS") == "write":
        DOCUMENT.write_text(f"{before}{begin}{table}{END}{after}")
    else:
        assert documented == table, "FTPSYNCD_SNAPSHOTS=write renews it"
