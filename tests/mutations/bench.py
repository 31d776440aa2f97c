"""Breaks a copy of the package, one mutation at a time, and sees whether the named test notices.

    python -m tests.mutations.bench [--only WORDS] [--new] [--write FILE]

A mutation is caught if its test fails on the broken copy and passes on a whole one. Everything runs in a folder of its
own; the package itself is never touched.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.mutations.catalogue import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
COPIED = ("ftpsyncd", "tests", "pyproject.toml", "systemd", "docs", "README.md", "config.example.yaml", "contrib")
PATIENCE_S = 600
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Verdict:
    """What became of one mutation."""

    guarantee: str
    what: str
    file: str
    test: str
    caught: bool
    seconds: float
    date: str


def apply(mutation: Mutation, root: Path) -> None:
    """Break a copy of the package.

    Raises:
        ValueError: the pattern does not stand exactly once in the source.
    """
    file = root / "ftpsyncd" / mutation.file
    source = file.read_text()
    if source.count(mutation.old) != 1:
        raise ValueError(f"{mutation.file}: found {source.count(mutation.old)} times, not once: {mutation.old!r}")
    file.write_text(source.replace(mutation.old, mutation.new))


def copy(to: Path) -> None:
    """A copy of all that the tests need."""
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=ignore)
        else:
            shutil.copy2(source, to / name)


def run(test: str, root: Path, base: Path) -> int:
    """The exit code of one test, run on a copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*command, "-m", "", f"--basetemp={base}", test],
        cwd=root,
        # At each step, as `make test-long` has it: which are every third changes with each round trip that is spared.
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "FTPSYNCD_MOMENTS": "all"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode not in {PASSED, FAILED}:
        raise RuntimeError(f"{test} could not be run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode


def judge(mutation: Mutation | None, test: str) -> tuple[int, float]:
    """Run a test on a copy, broken or whole; the exit code and the time it took."""
    # Short, because there are paths of sockets below it.
    with tempfile.TemporaryDirectory(prefix="ft-", dir="/tmp") as scratch:
        root = Path(scratch) / "c"
        root.mkdir()
        copy(root)
        if mutation is not None:
            apply(mutation, root)
        started = time.monotonic()
        code = run(test, root, Path(scratch) / "t")
        return code, time.monotonic() - started


def main(arguments: Sequence[str]) -> int:
    """Run the mutations and say which survived."""
    parser = argparse.ArgumentParser(prog="mutations", description=__doc__)
    parser.add_argument("--only", default="", help="those with these words in their description or guarantee")
    parser.add_argument("--write", type=Path, help="where to keep the result, as JSON")
    parser.add_argument(
        "--new", action="store_true", help="those that FILE does not tell of yet; what it tells is kept"
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.new and options.write is None:
        parser.error("--new needs --write FILE")
    kept = _kept(options.write) if options.new else {}
    chosen = [m for m in MUTATIONS if options.only in f"{m.guarantee} {m.what}" and _told(m) not in kept]
    wrong: list[str] = []
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(options.workers) as pool:
        tests = sorted({mutation.test for mutation in chosen})
        for test, (code, seconds) in zip(tests, pool.map(lambda test: judge(None, test), tests), strict=True):
            print(f"{'passes' if code == PASSED else 'FAILS ':8} {seconds:6.1f} s  whole: {test}", flush=True)
            if code != PASSED:
                wrong.append(f"{test} fails without any mutation")
        for mutation, (code, seconds) in zip(chosen, pool.map(lambda m: judge(m, m.test), chosen), strict=True):
            caught = code == FAILED
            print(
                f"{'caught' if caught else 'SURVIVED':8} {seconds:6.1f} s  {mutation.guarantee}: {mutation.what}",
                flush=True,
            )
            verdicts.append(_verdict(mutation, seconds, caught=caught))
            if not caught:
                wrong.append(f"{mutation.guarantee}: {mutation.what}: {mutation.test} does not notice")
    if options.write is not None and not wrong:
        kept |= {_told(verdict): verdict for verdict in verdicts}
        options.write.parent.mkdir(parents=True, exist_ok=True)
        ordered = [asdict(kept[_told(mutation)]) for mutation in MUTATIONS if _told(mutation) in kept]
        text = json.dumps(ordered, indent=1, ensure_ascii=False)
        options.write.write_text(f"{text}\n")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def _told(mutation: Mutation | Verdict) -> tuple[str, ...]:
    """What makes it this one."""
    return mutation.guarantee, mutation.what, mutation.file, mutation.test


def _kept(file: Path) -> dict[tuple[str, ...], Verdict]:
    """What was found before."""
    return {_told(verdict): verdict for verdict in (Verdict(**told) for told in json.loads(file.read_text()))}


def _verdict(mutation: Mutation, seconds: float, *, caught: bool) -> Verdict:
    today = datetime.now(UTC).date().isoformat()
    return Verdict(mutation.guarantee, mutation.what, mutation.file, mutation.test, caught, round(seconds, 1), today)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
