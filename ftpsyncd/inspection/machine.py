"""What `check` looks at on this machine: state directory, control socket and port, folders, limits of the kernel.

In: a configuration. Out: findings. Nothing stays that is made for a try.
"""

from __future__ import annotations

import errno
import itertools
import os
import pwd
import secrets
import socket
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from ftpsyncd import descriptors, patience, room
from ftpsyncd.claim import is_taken, lets_others_in
from ftpsyncd.config import Config
from ftpsyncd.config.places import too_long_for_socket
from ftpsyncd.control import tokenfile, whereabouts
from ftpsyncd.control.listening import port_remedy
from ftpsyncd.core.filters import Filter
from ftpsyncd.counting import number
from ftpsyncd.errors import LedgerDamagedError, LedgerError, LedgerNewerError
from ftpsyncd.inspection.findings import Area, Finding, Level
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.local.mounts import is_network_filesystem
from ftpsyncd.local.tree import open_root
from ftpsyncd.local.walking import walk
from ftpsyncd.paths import join
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.specs import MappingSpec, WatchMode

SOME_BYTES = 256 * 1024
"""Room for a new ledger, what SQLite keeps beside it, and first records: a first pass could not end with 160 KiB."""
INOTIFY = Path("/proc/sys/fs/inotify")
FEW_WATCHES = 8192
"""What is advised at least: the kernel's own value on small machines. Some have it set to 0."""
RUNTIME = Path("/run")
LASTING = ("lock", LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm")
"""Files of the state directory that outlive a process: another user may have made them."""
FOR_HTTP = "control.token"
"""One more, where `control.http` is set."""


def machine(config: Config) -> Iterator[Finding]:
    """Look at this machine, in the order in which a person would mend it."""
    lasting = LASTING if config.control.http is None else (*LASTING, FOR_HTTP)
    state = list(_state_dir(config.state_dir, lasting))
    yield from state
    path = config.control.socket
    if path.parent != config.state_dir or state[0].level is not Level.ERROR:
        yield from _socket(path, config.state_dir)
    yield from _listener(config)
    seen = patience.answers({mapping.name: partial(_folder, mapping) for mapping in config.mappings.values()})
    for mapping in config.mappings.values():
        yield seen.get(mapping.name) or _silent(mapping)
    yield from _files(config)
    yield from _watches(mapping for mapping in config.mappings.values() if mapping.name in seen)


def _state_dir(state_dir: Path, lasting: Iterable[str]) -> Iterator[Finding]:
    """Whether a daemon could use it, and what is in it of these names."""
    place = _nearest(state_dir)
    try:
        _require_possible(state_dir)
        with tempfile.TemporaryFile(dir=place) as scratch:
            # A full disk takes an empty file.
            scratch.write(bytes(SOME_BYTES))
            # It is made for its owner alone.
            keeps_rights = not os.fstat(scratch.fileno()).st_mode & stat.S_IRWXO
    except OSError as error:
        yield Finding(
            Level.ERROR,
            Area.MACHINE,
            "state_dir",
            f"{state_dir} cannot be written: {_reason(error)}.",
            _remedy(error, place),
        )
        return
    closed = next((path for path in map(state_dir.joinpath, lasting) if path.exists() and not _is_ours(path)), None)
    if closed is not None:
        # Perhaps a `sync` of root has made it in a directory that is the service's.
        yield Finding(
            Level.ERROR,
            Area.MACHINE,
            "state_dir",
            f"{closed} cannot be read and written by this user.",
            "All in it has to belong to the user that runs ftpsyncd; for the service:"
            f" `chown -R ftpsyncd: {as_word(state_dir)}`.",
        )
    elif FOR_HTTP in lasting and (unfit := tokenfile.unfit(state_dir / FOR_HTTP)) is not None:
        yield Finding(Level.ERROR, Area.MACHINE, "state_dir", f"{unfit} The daemon does not start.", unfit.remedy)
    elif (unusable := _unusable(state_dir / LEDGER)) is not None:
        yield unusable
    else:
        made = "" if place == state_dir else " (it is made at the first start)"
        yield Finding(Level.OK, Area.MACHINE, "state_dir", f"{state_dir} is writable{made}.")
        if not keeps_rights and lets_others_in(place):
            yield Finding(
                Level.WARNING,
                Area.MACHINE,
                "state_dir",
                f"every user of this machine can read what is in {state_dir}: its disk keeps no rights.",
                "Close it, or a directory above it, to others (`chmod o-rwx`), or set state_dir.",
            )


def _unusable(ledger: Path) -> Finding | None:
    """What keeps a start from going on with the ledger that is there, if anything is known to."""
    if not ledger.exists():
        return None
    try:
        Ledger(ledger, read_only=True).close()
    except LedgerNewerError as error:
        return Finding(Level.ERROR, Area.MACHINE, "state_dir", f"{error}.", error.remedy)
    except LedgerDamagedError as error:
        return Finding(Level.WARNING, Area.MACHINE, "state_dir", f"{error}.", error.remedy)
    except LedgerError:
        # Whoever has it for himself on a full disk says so in `status`.
        return None
    return None


def _require_possible(folder: Path) -> None:
    """Make sure that a folder can be there: it is, or nothing is in its place, and its name is one that disks take.

    Raises:
        OSError: it cannot; what is said of it is about the folder.
    """
    try:
        folder.stat()
    except FileNotFoundError:
        if any(each.is_symlink() and not each.exists() for each in (folder, *folder.parents)):
            raise OSError(errno.ENOENT, "a link on the way to it leads to nothing") from None


def _remedy(error: OSError, place: Path) -> str:
    """What helps where nothing can be written in the state directory."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return "Make it writable for the user that runs ftpsyncd, or set state_dir."
    return room.INODES if room.takes_no_file(place) else "Free space on that disk."


def _socket(path: Path, state_dir: Path) -> Iterator[Finding]:
    """Whether a daemon could make its control socket, unless one has made it."""
    if _is_in_use(path, state_dir):
        return
    remedy = "Set `control.socket` to a path at which the user that runs ftpsyncd can make a socket."
    if too_long_for_socket(path):
        trouble, remedy = "is too long", "Set `control.socket` to a path of at most 107 bytes."
    elif os.path.lexists(path) and not path.is_socket():
        trouble, remedy = "is taken by something that is no socket", "Move that away, or set `control.socket`."
    elif os.path.lexists(path) and not os.access(path, os.W_OK, effective_ids=True):
        # Left by a daemon that root started once, for instance.
        trouble = "is taken by a socket that this user may not use"
        remedy = "Stop the daemon that has it, if one runs, and remove it, or set `control.socket`."
    else:
        try:
            _try_socket(path)
        except OSError as error:
            if path.parent.parent == RUNTIME and not os.path.lexists(path.parent):
                message = f"{path.parent} is not there yet: systemd makes it for a service (`RuntimeDirectory=`)."
                yield Finding(Level.OK, Area.MACHINE, "control", message)
                return
            trouble = f"cannot be used: {_reason(error)}"
        else:
            return
    message = f"The path of the control socket {quote(str(path))} {trouble}: the daemon does not start."
    yield Finding(Level.ERROR, Area.MACHINE, "control", message, remedy)


def _try_socket(path: Path) -> None:
    """Make a socket where the daemon's would be, or in a directory of ours where that has none yet, and remove it.

    Raises:
        OSError: that is not possible.
    """
    above = _nearest(path.parent)
    with ExitStack() as stack:
        if above != path.parent:
            above = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=above, prefix="ftpsyncd-check-")))
        place = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, place)
        scratch = f"ftpsyncd-check-{secrets.token_hex(4)}"
        with socket.socket(socket.AF_UNIX) as sock:
            # The name of the trial is longer than the socket's own may be.
            sock.bind(f"/proc/self/fd/{place}/{scratch}")
        os.unlink(scratch, dir_fd=place)


def _nearest(folder: Path) -> Path:
    """A folder, or the one above it that is there."""
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))  # noqa: PTH110 - Path.exists raises: one is closed


def _listener(config: Config) -> Iterator[Finding]:
    """Whether a daemon could listen where it should, unless one may do so now."""
    places = (config.control.socket, whereabouts.noted(config.state_dir))
    in_use = any(place is not None and _is_in_use(place, config.state_dir) for place in places)
    if config.control.http is None or in_use:
        return
    host, port = config.control.http
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        yield Finding(
            Level.ERROR,
            Area.MACHINE,
            "control",
            f"Nobody can listen on port {port} of {host}: {_reason(error)}; the daemon does not start.",
            port_remedy(error),
        )


def _is_in_use(path: Path, state_dir: Path) -> bool:
    """Whether a daemon listens on a control socket, or one that this user may not ask, and is not the one to start."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(os.fspath(path))
        except PermissionError:
            # Whose the state directory is, and nobody has it: his daemon could not make the socket there.
            return is_taken(state_dir) or not _is_ours(_nearest(state_dir))
        except OSError:
            return False
    return True


def _is_ours(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=True)


def _folder(mapping: MappingSpec) -> Finding:
    subject = f"mapping {mapping.name}"
    try:
        descriptor = open_root(mapping.local)
        try:
            with os.scandir(descriptor) as entries:
                next(entries, None)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return Finding(
            Level.WARNING,
            Area.MACHINE,
            subject,
            f"{mapping.local} is not there; nothing is published or deleted until it is.",
            "Mount or create the folder; publishing starts by itself.",
        )
    except OSError as error:
        return Finding(
            Level.ERROR,
            Area.MACHINE,
            subject,
            f"{mapping.local} cannot be read: {_reason(error)}.",
            "Let the user that runs ftpsyncd read the folder, or correct `local`.",
        )
    if not os.access(mapping.local, os.X_OK, effective_ids=True):
        return Finding(
            Level.ERROR,
            Area.MACHINE,
            subject,
            f"{mapping.local} can be listed, but not entered: no file in it can be read.",
            "Let the user that runs ftpsyncd enter the folder, too (x, or X with setfacl).",
        )
    return Finding(Level.OK, Area.MACHINE, subject, f"{mapping.local} can be read.")


def _silent(mapping: MappingSpec) -> Finding:
    return Finding(
        Level.WARNING,
        Area.MACHINE,
        f"mapping {mapping.name}",
        f"The disk of {mapping.local} has not answered for {patience.ANSWER_S:g} s.",
        "Check the mount, and the file server behind it; publishing goes on by itself when it answers.",
    )


def _files(config: Config) -> Iterator[Finding]:
    if few := descriptors.too_few(config.mappings, config.servers, config.alerts):
        yield Finding(
            Level.WARNING,
            Area.MACHINE,
            "open files",
            f"{few} What finds none left waits.",
            "Allow more: `LimitNOFILE` with `systemctl edit ftpsyncd`, or `ulimit -Hn`; or set fewer `connections`.",
        )
    else:
        # Of a daemon that lacks some, under another limit, it is asked.
        needed = descriptors.needed(config.mappings, config.servers, config.alerts)
        yield Finding(Level.OK, Area.MACHINE, "open files", f"Up to {needed:,} are needed; there may be more here.")


def _watches(mappings: Iterable[MappingSpec]) -> Iterator[Finding]:
    try:
        limit = int((INOTIFY / "max_user_watches").read_text())
    except (OSError, ValueError):
        return
    watched = [mapping for mapping in mappings if _is_watched(mapping)]
    closed: dict[MappingSpec, list[str]] = {mapping: [] for mapping in watched}
    folders = (folder for mapping in watched for folder in _folders(mapping, closed[mapping].append))
    found = sum(1 for _ in itertools.islice(folders, limit))
    for mapping in watched:
        if closed[mapping]:
            yield _closed(mapping, closed[mapping])
    if watched and found >= limit:
        # Folders were counted up to the limit only: by how many it is too small is not known.
        yield Finding(
            Level.WARNING,
            Area.MACHINE,
            "inotify",
            f"There are more folders to watch than the system allows ({limit:,}); the rest is polled.",
            f"Allow more: sysctl fs.inotify.max_user_watches={max(limit * 4, FEW_WATCHES)}",
        )
    elif watched:
        message = f"{number(found, 'folder')} to watch; the system allows {limit:,}."
        yield Finding(Level.OK, Area.MACHINE, "inotify", message)


def _is_watched(mapping: MappingSpec) -> bool:
    """Whether the kernel is to watch a mapping's folder: what is on a network file system is polled."""
    if mapping.watch is WatchMode.AUTO:
        return not is_network_filesystem(mapping.local)
    return mapping.watch is WatchMode.NATIVE


def _folders(mapping: MappingSpec, closed: Callable[[str], object]) -> Iterator[str]:
    """The folders of a mapping that are to be watched: nothing in excluded ones is."""
    top = os.fspath(mapping.local)
    for folder, _ in walk(top, Filter(mapping.include, mapping.exclude).descend, closed):
        yield join(top, folder) if folder else top


def _closed(mapping: MappingSpec, folders: list[str]) -> Finding:
    user = str(os.geteuid())
    with suppress(KeyError):
        user = pwd.getpwuid(os.geteuid()).pw_name
    return Finding(
        Level.WARNING,
        Area.MACHINE,
        f"mapping {mapping.name}",
        f"{number(len(folders), 'folder')} in {mapping.local} cannot be read, {quote(folders[0])} for one: nothing in"
        " there is published.",
        f"As root, `setfacl -R -m u:{user}:rX,d:u:{user}:rX {as_word(mapping.local)}` has this user read all.",
    )


def _reason(error: OSError) -> str:
    words = error.strerror or str(error)
    # Not all of them: they may hold a name.
    return words[:1].lower() + words[1:]
