"""``ftpsyncd verify``: the server compared with the ledger, and what is missing or wrong published again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from ftpsyncd.cli.completion import complete_mapping
from ftpsyncd.cli.daemon import client
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.mending import NOT_MENDED, Mender
from ftpsyncd.cli.options import common_options, examples, given, json_option
from ftpsyncd.cli.output import begun, size
from ftpsyncd.cli.settings import check_name, load_config, start_log
from ftpsyncd.config import Config, placed
from ftpsyncd.control import shapes
from ftpsyncd.core.compare import Drift
from ftpsyncd.counting import number
from ftpsyncd.errors import ControlError, ExitCode, FtpsyncdError, LedgerError
from ftpsyncd.inspection.survey import open_ledger
from ftpsyncd.inspection.verify import Checked, Finding, Verification
from ftpsyncd.logs import one_line, quote
from ftpsyncd.model import Kind
from ftpsyncd.quoting import as_word
from ftpsyncd.remote.remedies import remedy

WORDS = {
    Drift.MISSING: "missing",
    Drift.WRONG_KIND: "wrong kind",
    Drift.WRONG_SIZE: "wrong size",
    Drift.WRONG_CONTENT: "wrong content",
    Drift.SAME_NAME: "same name",
    Drift.UNKNOWN: "unknown",
}
COLOURS = {
    Drift.MISSING: "red",
    Drift.WRONG_KIND: "red",
    Drift.WRONG_SIZE: "yellow",
    Drift.WRONG_CONTENT: "yellow",
    Drift.SAME_NAME: "red",
    Drift.UNKNOWN: "cyan",
}


@click.command(
    epilog=examples(
        "ftpsyncd verify gallery                    is everything there?",
        "ftpsyncd verify gallery --hash             contents, too, if it tells hashes",
        "ftpsyncd verify gallery --repair           publish again what is wrong",
        "ftpsyncd verify gallery --ignore-unknown   others put files there, too",
        "ftpsyncd verify gallery --json | jq -r '.findings[].path'",
    )
)
@click.argument("mapping", shell_complete=complete_mapping)
@click.option("--repair", is_flag=True, help="Publish again what is missing or wrong, and wait for it.")
@click.option("--hash", "hashing", is_flag=True, help="Compare contents, too, where the server tells hashes.")
@click.option("--ignore-unknown", is_flag=True, help="Pass over what was never published from here.")
@json_option
@common_options
@click.pass_context
def verify(
    ctx: click.Context, mapping: str, *, repair: bool, hashing: bool, ignore_unknown: bool, as_json: bool
) -> None:
    """Compare the server with what the ledger says was published there.

    Finds what is missing, of the wrong size, or unknown. Never deletes anything. With --repair a running daemon
    publishes again what is missing or wrong; without one, this command does, with all else that waits. Exits with 1 if
    anything differs (or, with --repair, is left), with 75 if the server cannot be reached or the daemon cannot record
    what it publishes.
    """
    start_log(given(), level="error")
    config = load_config(given())
    check_name(mapping, config.mappings, "mapping")
    mender = Mender(config, mapping) if repair else None
    with tidy_end(), placed(config, config.mappings[mapping].server):
        try:
            compared = Comparison(config, mapping, hashing=hashing, ignore_unknown=ignore_unknown)
            show = print_json if as_json else print_lines
            code = show(config, compared, mender)
        except FtpsyncdError as error:
            error.remedy = remedy(error)
            raise
        finally:
            if mender is not None:
                mender.close()
    ctx.exit(code)


class Comparison:
    """One mapping, to be compared once or twice."""

    def __init__(self, config: Config, mapping: str, *, hashing: bool, ignore_unknown: bool) -> None:
        self.mapping = mapping
        self.hashing = hashing
        self.checked = Checked()
        self.tells_hashes = False
        self._config = config
        self._ignore_unknown = ignore_unknown

    def run(self) -> Iterator[Finding]:
        """What differs, as it is found.

        Raises:
            LedgerError: the ledger does not tell what was published.
        """
        _require_recorded(self._config)
        ledger = open_ledger(self._config)
        try:
            verification = Verification(self._config, self.mapping, ledger, hashing=self.hashing)
            self.checked = verification.checked
            for finding in verification.run():
                if finding.drift is Drift.UNKNOWN and self._ignore_unknown:
                    self.checked.drift[Drift.UNKNOWN] = 0
                else:
                    yield finding
            self.tells_hashes = verification.tells_hashes
        finally:
            if ledger is not None:
                ledger.close()
        if self.differs:
            _require_recorded(self._config)

    @property
    def differs(self) -> int:
        """How many paths are not as they should be."""
        return sum(self.checked.drift.values())


def _require_recorded(config: Config) -> None:
    """Make sure that no daemon publishes what it cannot record: that would count as unknown, or as wrong.

    Raises:
        LedgerError: one does.
    """
    try:
        trouble = shapes.status_from_json(client(config).status()).daemon.message
    except ControlError:
        return  # nobody publishes, or nobody tells
    if trouble:
        raise LedgerError(
            f"{trouble}; what is published meanwhile is not recorded, so that it cannot be verified",
            remedy="Free space on the disk of the state directory.",
        )


def mended(compared: Comparison, mender: Mender | None) -> Checked | None:
    """Publish again and compare again; what was found by the second look, None if there was none."""
    if mender is None or not mender.finish():
        return None
    for _ in compared.run():
        pass
    return compared.checked


def code_of(checked: Checked, left: Checked | None) -> int:
    """0 if all is equal; 1 if something differs, or still does."""
    last = left or checked
    differs = sum(last.drift.values()) or (left is not None and left.unsettled)
    return ExitCode.SOME_FAILED if differs else ExitCode.DONE


# ── Output ───────────────────────────────────────────────────────────────────────────────────────────────────────


def print_lines(_config: Config, compared: Comparison, mender: Mender | None) -> int:
    """One line for each finding, then the totals."""
    for finding in compared.run():
        if mender is not None:
            mender.note(finding)
        click.echo(line(finding))
    checked = compared.checked
    click.echo(summary(compared, checked))
    left = mended(compared, mender)
    if left is not None:
        click.echo(f"Published again and compared again: {told(left)}")
    elif mender is None and any(count for drift, count in checked.drift.items() if drift not in NOT_MENDED):
        click.echo(f"`ftpsyncd verify {as_word(compared.mapping)} --repair{given().option}` publishes them again.")
    return code_of(checked, left)


def line(finding: Finding) -> str:
    """A finding: what is wrong, the size that it should have, the path."""
    word = click.style(f"{WORDS[finding.drift]:<13}", fg=COLOURS[finding.drift])
    amount = finding.found if finding.drift is Drift.UNKNOWN else finding.expected
    shown = "" if amount is None else size(amount)
    tail = ""
    if finding.drift is Drift.WRONG_SIZE and finding.found is not None and finding.expected is not None:
        tail = click.style(f"  ({number(finding.found, 'byte')} instead of {finding.expected:,})", dim=True)
    if finding.drift is Drift.SAME_NAME:
        tail = click.style("  (the same to the server as another: rename one of them)", dim=True)
    name = finding.path or "."
    return f"{word} {shown:>7}  {quote(name + '/' if finding.kind is Kind.DIR else name)}{tail}"


def told(checked: Checked) -> str:
    """The totals in words."""
    parts = [f"{count:,} {WORDS[drift]}" for drift, count in checked.drift.items() if count]
    if checked.unsettled:
        parts.append(f"{checked.unsettled:,} still to be published, or deleted if gone here")
    return ", ".join(parts) or "all is as it should be."


def summary(compared: Comparison, checked: Checked) -> str:
    """How much was compared, and what was found."""
    looked = f"{number(checked.files, 'file')} in {number(checked.directories, 'directory', 'directories')}"
    if compared.hashing:
        looked += f", {checked.hashed:,} of them by content"
        if not compared.tells_hashes:
            looked += " (the server tells no hashes)"
    return click.style(f"{one_line(compared.mapping)}: {looked}: {told(checked)}", bold=True)


def print_json(config: Config, compared: Comparison, mender: Mender | None) -> int:
    """One document, its findings printed as they are found: docs/control-api.md has the shape.

    Nothing is printed if the server does not even show its first directory; what breaks off later is closed.
    """
    spec = config.mappings[compared.mapping]
    head = {"mapping": compared.mapping, "server": spec.server, "remote": spec.remote}
    findings = begun(compared.run())
    click.echo(f'{json.dumps(head)[:-1]}, "findings": [', nl=False)
    try:
        for index, finding in enumerate(findings):
            if mender is not None:
                mender.note(finding)
            record = {**asdict(finding), "kind": finding.kind.value}
            click.echo(f"{',' if index else ''}\n  {json.dumps(record)}", nl=False)
        checked = compared.checked
        left = mended(compared, mender)
    except FtpsyncdError as error:
        tail = {**counted(compared.checked), "repair": None, "exit_code": error.exit_code, "error": error.message}
        click.echo(f"\n], {json.dumps(tail)[1:]}")
        raise
    repair = None
    if mender is not None:
        after = left or checked
        repair = {
            "files": mender.files,
            "directories": mender.directories,
            "left": after.drift,
            "unsettled": after.unsettled,
        }
    code = code_of(checked, left)
    tail = {**counted(checked), "repair": repair, "exit_code": code}
    click.echo(f"\n], {json.dumps(tail)[1:]}")
    return code


def counted(checked: Checked) -> dict[str, object]:
    """The totals, for the document."""
    counts = {key: getattr(checked, key) for key in ("directories", "files", "hashed", "unsettled")}
    return {"totals": checked.drift, "checked": counts}
