"""What `install-service` puts in place: units, their snippets, and a configuration to begin with.

In: where to and for whom. Out: steps as data, and `apply`, which takes them one by one and says what each did. Taking
them twice changes nothing. Files that a person is meant to change are never overwritten; units are ours (local changes
belong into drop-ins), and one that differs is kept as ``NAME.old``. Limits of the kernel are raised and never lowered.

The texts are those of the top-level folder ``systemd/``; the wheel carries them below ``ftpsyncd/data``.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ftpsyncd.errors import FtpsyncdError, UsageError
from ftpsyncd.local import limits
from ftpsyncd.quoting import as_word, quote

_PACKAGED = "/opt/ftpsyncd/bin/ftpsyncd"
"""The program in the units as they are delivered."""

_UNSAFE = re.compile("[\x00-\x1f\x7f\"'\\\\]")
"""What systemd wants in no path of a program, however it is written."""

_SETTING = re.compile(r"^-?fs[./]inotify[./](?P<name>\w+)\s*=\s*(?P<value>\d+)\s*$", re.MULTILINE)
"""A limit of the kernel in a file for sysctl.d(5)."""

_SKELETON = """\
# What ftpsyncd publishes, and where to. Replace what is in capitals, then: {start}
# Every key is explained in docs/config.md; `ftpsyncd check` tells whether all is well.

servers:
  web:
    host: FTP.EXAMPLE.COM
    user: PUBLISHER
    password: {password}

mappings:
  gallery:
    local: /SRV/DROP/GALLERY
    remote: web:/HTDOCS/gallery
{places}"""


@dataclass(frozen=True, slots=True)
class File:
    """A file that has to be there."""

    path: Path
    content: str
    mode: int = 0o644
    yours: bool = False
    """A person changes it: it is written once and then left alone."""
    group: str = ""
    above: int = 0o755
    """Mode of the directories that are made for it."""
    unmask: str = ""
    """Of a unit: the command that ends that it is masked (systemctl(1)). What is none stays as it is."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that has to be there."""

    path: Path
    mode: int
    above: int = 0o755
    """Mode of the directories that are made for it."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to run when anything was changed."""

    words: tuple[str, ...]
    always: bool = False
    """It does no harm and may be needed although no file changed."""
    optional: bool = False
    """The service works without it; in a container, say, the kernel's limits are not ours to set."""


Step = File | Directory | Command


@dataclass(frozen=True, slots=True)
class Taken:
    """What a step did, or would do."""

    what: str
    did: str
    """One of: made, updated, unchanged, kept, ran, skipped, failed."""
    note: str = ""


def system_steps(root: Path, program: str, *, run: bool, limit: Callable[[str], int] = limits.limit) -> list[Step]:
    """What a system-wide service needs.

    Args:
        root: the tree to install into; ``/`` but for packages and tests.
        program: the absolute path of ftpsyncd in that tree.
        run: also make the user and tell systemd, which only makes sense in the running system.
        limit: reads a limit of the running kernel, which says nothing about the system that another tree is for.

    Raises:
        UsageError: systemd would not start a program with this path.
    """
    etc, data = root / "etc", _data()
    sysusers, tmpfiles = etc / "sysusers.d/ftpsyncd.conf", etc / "tmpfiles.d/ftpsyncd.conf"
    sysctl = etc / "sysctl.d/60-ftpsyncd.conf"
    raised = _raised(_text(data, "sysctl.d/60-ftpsyncd.conf"), _present(sysctl), limit if run else lambda _name: 0)
    skeleton = _SKELETON.format(
        start="systemctl enable --now ftpsyncd",
        password="{file: /etc/ftpsyncd/web-password}   # readable by root and the group ftpsyncd only",  # noqa: S106 - where it is, not what it is
        places="\nstate_dir: /var/lib/ftpsyncd\ncontrol: {socket: /run/ftpsyncd/control.sock}\n",
    )
    return [
        File(sysusers, _text(data, "sysusers.d/ftpsyncd.conf")),
        *([Command(("systemd-sysusers", str(sysusers)), always=True)] if run else []),
        File(tmpfiles, _text(data, "tmpfiles.d/ftpsyncd.conf")),
        *([Command(("systemd-tmpfiles", "--create", str(tmpfiles)), always=True)] if run else []),
        *([File(sysctl, raised)] if raised else []),
        *([Command(("sysctl", "--quiet", f"--load={sysctl}"), optional=True)] if run and raised else []),
        *(
            File(
                etc / "systemd/system" / name,
                _unit(data, name, program),
                unmask=f"systemctl unmask {name}" if run else f"rm {as_word(etc / 'systemd/system' / name)}",
            )
            for name in ("ftpsyncd.service", "ftpsyncd@.service")
        ),
        *([] if run else [Directory(etc / "ftpsyncd", 0o750)]),
        File(etc / "ftpsyncd/config.yaml", skeleton, 0o640, yours=True, group="ftpsyncd" if run else ""),
        *([Command(("systemctl", "daemon-reload"))] if run and _runs_systemd() else []),
    ]


def user_steps(config_home: Path, program: str, *, run: bool) -> list[Step]:
    """What a service of one user needs.

    Args:
        config_home: ``$XDG_CONFIG_HOME``, by default ``~/.config``.
        program: the absolute path of ftpsyncd.
        run: also tell the user's systemd.

    Raises:
        UsageError: as `system_steps`.
    """
    skeleton = _SKELETON.format(
        start="systemctl --user enable --now ftpsyncd",
        # Beside it: what the way there is called may have to be quoted.
        password="{file: web-password}   # in this folder; chmod 600",  # noqa: S106 - where it is, not what it is
        places="",
    )
    return [
        Directory(config_home / "ftpsyncd", 0o700, above=0o700),
        File(
            config_home / "systemd/user/ftpsyncd.service",
            _unit(_data(), "user/ftpsyncd.service", program),
            above=0o700,
            unmask="systemctl --user unmask ftpsyncd.service",
        ),
        File(config_home / "ftpsyncd/config.yaml", skeleton, 0o600, yours=True),
        *([Command(("systemctl", "--user", "daemon-reload"))] if run and _runs_user_systemd() else []),
    ]


def apply(steps: Sequence[Step], *, dry_run: bool = False) -> Iterator[Taken]:
    """Take steps in order, telling of each; stops at one that cannot be taken, since what follows may need it.

    Args:
        steps: what to do.
        dry_run: only tell.
    """
    changed = False
    for step in steps:
        try:
            match step:
                case File():
                    taken = _place(step, dry_run=dry_run)
                case Directory():
                    taken = _make(step, dry_run=dry_run)
                case Command():
                    if not (changed or step.always):
                        continue
                    taken = _run(step, dry_run=dry_run)
        except OSError as error:
            # Who only asks what would be done may not be allowed to see all that is there.
            unseen = dry_run and isinstance(error, PermissionError)
            why = f"{error.strerror or type(error).__name__}{': ask as root' if unseen else ''}"
            taken = Taken(_named(step), "skipped" if unseen else "failed", why)
        if taken.did == "failed" and isinstance(step, Command) and step.optional:
            taken = Taken(taken.what, "skipped", taken.note)
        changed = changed or taken.did in {"made", "updated"}
        yield taken
        if taken.did == "failed":
            return


def _named(step: Step) -> str:
    return " ".join(step.words) if isinstance(step, Command) else str(step.path)


def own_program() -> str:
    """The absolute path of the ftpsyncd that runs.

    Raises:
        UsageError: it was started in another way than by its own script.
    """
    beside = Path(sys.executable).absolute().with_name("ftpsyncd")
    found = str(beside) if beside.exists() else shutil.which("ftpsyncd")
    if not found:
        raise UsageError(
            "The program `ftpsyncd` is neither beside this Python nor on the PATH.",
            remedy="Install the package with pip, and run its own `ftpsyncd`.",
        )
    return found


def within(root: Path, program: str) -> str:
    """The path of a program in the system that a tree is for; of one that lies elsewhere, the one it has here."""
    for tree in (root.absolute(), root.resolve()):
        if Path(program).is_relative_to(tree):
            return str("/" / Path(program).relative_to(tree))
    return program


def require_startable(program: str) -> None:
    """Refuse a program that the system does not start, whoever asks.

    Its first line names the environment's Python, and ends at a blank for the kernel (execve(2)).

    Raises:
        UsageError: says why not.
    """
    try:
        subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - our own
    except OSError as error:
        raise UsageError(
            f"The system cannot start {quote(program)} ({error.strerror}).",
            remedy="Install ftpsyncd into an environment in a path that is short and has no blank in it.",
        ) from error


def require_reachable(program: str) -> None:
    """Refuse a program that the service's user could not run.

    It may be below a closed directory such as /root, or what pip has installed may be closed, by the umask of root.

    Raises:
        FtpsyncdError: names what is closed.
    """
    for path in (Path(program), Path(os.path.realpath(sys.executable)), *_installed()):
        for place in (*reversed(path.parents), path):
            mode = place.stat().st_mode
            needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
            if mode & needed != needed:
                raise UnreachableProgramError(
                    f"The user `ftpsyncd` could not run {program}: {place} is closed to other users.",
                    remedy=_remedy(place),
                )


def _installed() -> list[Path]:
    """What pip has put beside this package, which may be elsewhere itself (an editable installation, a PYTHONPATH)."""
    beside = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
    there = [place for place in beside if place.is_dir()]
    return [Path(__file__), *(found for place in there for found in place.iterdir() if found.exists())]


def _remedy(closed: Path) -> str:
    if Path(sys.prefix) in (closed, *closed.parents):
        mends = f"`chmod -R o+rX {as_word(sys.prefix)}`"
        return f"The umask has made it so: {mends}, and `umask 022` before the next `pip install`."
    if closed in Path(os.path.realpath(sys.executable)).parents and closed not in Path(sys.prefix).parents:
        # The environment is open; what it was made with (pyenv, uv) is root's own.
        return (
            "The Python of this environment is there. Make it with the system's, and install ftpsyncd into it again:"
            f" `/usr/bin/python3 -m venv --clear {as_word(sys.prefix)}`."
        )
    return "Install ftpsyncd for all users, as the README says: python3 -m venv /opt/ftpsyncd."


class UnreachableProgramError(FtpsyncdError):
    """The program is where only its owner can reach it."""


def _place(file: File, *, dry_run: bool) -> Taken:
    what = str(file.path)
    if not file.yours and file.path.is_symlink() and os.path.realpath(file.path) == os.devnull:
        if not file.unmask:
            return Taken(what, "kept", "a link to /dev/null switches it off")
        return Taken(what, "failed", f"somebody has masked it, so that it does not start: `{file.unmask}` ends that")
    try:
        present = file.path.read_bytes()
    except FileNotFoundError:
        present = None
    if present == _encoded(file.content):
        return Taken(what, "unchanged")
    # A link may lead to a disk that is not mounted.
    if file.yours and (present is not None or file.path.is_symlink()):
        return Taken(what, "kept", "it is yours")
    note = ""
    if present is not None:
        old = file.path.with_name(f"{file.path.name}.old")
        note = f"the one before is {old.name}"
        if not dry_run:
            shutil.copy2(file.path, old)
            with old.open("rb") as copy:
                # What somebody wrote into it is nowhere else in a moment.
                os.fsync(copy.fileno())
    if not dry_run:
        _make_directories(file.path.parent, file.above, file.above)
        _write(file)
    return Taken(what, "made" if present is None else "updated", note)


def _write(file: File) -> None:
    """Write beside and rename: whoever reads meanwhile sees the old or the new one."""
    beside = file.path.with_name(f".{file.path.name}.new")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, file.mode), "wb") as out:  # noqa: PTH123 - with a mode from the start
            os.fchmod(out.fileno(), file.mode)
            out.write(_encoded(file.content))
            out.flush()
            # Who has just set up a machine may pull its plug: an empty unit of this name would start nothing.
            os.fsync(out.fileno())
        if file.group:
            shutil.chown(beside, group=file.group)
        beside.replace(file.path)
    except LookupError as error:
        raise OSError(0, f"there is no group {file.group}") from error
    finally:
        beside.unlink(missing_ok=True)


def _encoded(text: str) -> bytes:
    """As it is in a file; names in it, and what was read of one of another encoding, keep their bytes."""
    return text.encode("utf-8", "surrogateescape")


def _present(path: Path) -> str:
    """The text of a file; empty if there is none, or, as its step will tell, none that can be read."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _raised(ours: str, before: str, limit: Callable[[str], int]) -> str:
    """What is to be set so that no limit is below ours, and none gets lower than it is; empty if nothing is.

    Args:
        ours: all limits, as they are delivered.
        before: what an earlier run has left. That a limit is high may be its doing, so that what it sets stays set.
        limit: reads what a limit is now.
    """
    kept = {found["name"]: int(found["value"]) for found in _SETTING.finditer(before)}
    wanted: dict[str, int] = {}
    lines: list[str] = []
    about: list[str] = []
    for line in ours.splitlines():
        about.append(line)
        found = _SETTING.match(line)
        if found is None:
            continue
        name, least, now = found["name"], int(found["value"]), limit(found["name"])
        if name in kept or now < least:
            wanted[name] = max(least, now, kept.get(name, 0))
            lines += [*about[:-1], f"fs.inotify.{name} = {wanted[name]}"]
        about = []
    if wanted.items() <= kept.items():
        return before
    return "\n".join([*lines, ""])


def _make(directory: Directory, *, dry_run: bool) -> Taken:
    if directory.path.is_dir():
        return Taken(str(directory.path), "unchanged")
    if not dry_run:
        _make_directories(directory.path, directory.mode, directory.above)
    return Taken(str(directory.path), "made")


def _make_directories(path: Path, mode: int, above: int) -> None:
    """Make a directory, and what is missing above it, with these modes: the umask is for a person's own files."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir()
        place.chmod(mode if place == path else above)


def _run(command: Command, *, dry_run: bool) -> Taken:
    what = " ".join(command.words)
    if dry_run:
        return Taken(what, "ran")
    done = subprocess.run(command.words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - words of ours
    if done.returncode:
        return Taken(what, "failed", " ".join((done.stderr or done.stdout).split()))
    return Taken(what, "ran")


def _data() -> Traversable:
    packaged = files("ftpsyncd") / "data/systemd"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "systemd"


def _text(data: Traversable, name: str) -> str:
    return data.joinpath(name).read_text(encoding="utf-8")


def _unit(data: Traversable, name: str, program: str) -> str:
    if _UNSAFE.search(program):
        raise UsageError(
            f"systemd starts no program with a quote, a backslash or a control character in its path: {quote(program)}",
            remedy="Install ftpsyncd in another folder.",
        )
    # In a unit `%` begins a specifier, and blanks separate words (systemd.syntax(7)).
    escaped = program.replace("%", "%%").replace(" ", "\\x20")
    return _text(data, name).replace(_PACKAGED, escaped)


def _runs_systemd() -> bool:
    """Whether systemd is the init system (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def _runs_user_systemd() -> bool:
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere", "systemd/private").exists()
