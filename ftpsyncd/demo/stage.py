"""The stage of the demo: folders, FTP server, daemon, story and witness, set up together and cleared away together."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ftpsyncd import config as configuration
from ftpsyncd import descriptors, lacking
from ftpsyncd.config.places import too_long_for_socket
from ftpsyncd.core.filters import Filter
from ftpsyncd.core.names import SUFFIX
from ftpsyncd.daemon.service import Service
from ftpsyncd.demo.record import Happening, Record
from ftpsyncd.demo.server import LoopbackServer
from ftpsyncd.demo.story import Story, stopwatch
from ftpsyncd.demo.witness import Look, Sighting, Witness, files, visible
from ftpsyncd.errors import NoDescriptorError, UsageError

MAPPING = "demo"
SETTLE_S = 0.3
LOOK_AGAIN_S = 0.05
SEED = 1
"""Decides what is drawn: each demo shows the same pictures."""
HAPPENINGS_SHOWN = 6

CONFIG = """\
servers:
  loopback:
    host: 127.0.0.1
    port: {port}
    user: {user}
    password: {password}
    tls: "off"
    connections: 3
mappings:
  {mapping}:
    local: {drop}
    remote: loopback:/
    include: ["*"]
    settle: {settle}s
    delete_after: 0.5s
state_dir: {state}
control: {{socket: {socket}}}
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A file as it is on one side."""

    size: int
    mtime_s: int


@dataclass(frozen=True, slots=True)
class Line:
    """One path on both sides."""

    path: str
    local: Side | None
    remote: Side | None
    arrived: int | None
    """Bytes that are at the server under a temporary name; None if there is none. The truth about a transfer: what a
    sender calls sent is in the kernel's hands."""
    writing: bool
    """Its writer has it open."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the screen shows of one moment."""

    drop: Path
    address: str
    """Of the server, as an FTP URL without password."""
    password: str
    config: Path
    lines: tuple[Line, ...]
    happenings: tuple[Happening, ...]
    sighting: Sighting
    message: str
    """The daemon's own, if it has one; empty when all is well."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison of both sides came to."""

    files: int
    size_bytes: int
    differing: tuple[str, ...]
    """Paths that are missing, superfluous or different at the server."""
    leftovers: tuple[str, ...]
    """Temporary files at the server."""
    sighting: Sighting

    @property
    def good(self) -> bool:
        """Both sides equal, nothing left over, nothing ever torn or early."""
        return not (self.differing or self.leftovers or self.sighting.torn or self.sighting.early)


class Demo:
    """The demo from set-up to clearing away; use it with ``with``."""

    def __init__(self) -> None:
        self._clock = stopwatch()
        self._record = Record()
        self._closing = contextlib.ExitStack()
        self._filter = Filter(["*"])

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._set_up(stack)
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def _set_up(self, stack: contextlib.ExitStack) -> None:
        """Every part is on the stack before it is started: whatever fails, nothing stays behind."""
        home = Path(tempfile.mkdtemp(prefix="ftpsyncd-demo-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        socket = home / "control.sock"
        if too_long_for_socket(socket):
            told = f"The folder for temporary files has too long a path: {home.parent}"
            raise UsageError(told, remedy="Name another one: `TMPDIR=/tmp ftpsyncd demo`.")
        self.drop, self._remote = home / "drop", home / "server"
        for folder in (self.drop, self._remote):
            folder.mkdir()
        self._server = stack.enter_context(LoopbackServer(self._remote))
        self.config = home / "config.yaml"
        self.config.touch(mode=0o600)
        self.config.write_text(
            CONFIG.format(
                port=self._server.port,
                user=self._server.user,
                password=self._server.password,
                mapping=MAPPING,
                drop=json.dumps(str(self.drop)),  # whatever is in its name
                settle=SETTLE_S,
                state=json.dumps(str(home / "state")),
                socket=json.dumps(str(socket)),
            ),
            encoding="utf-8",
        )
        config = configuration.load(self.config)
        if descriptors.too_few(config.mappings, config.servers):
            # A daemon makes do with less, and takes its time; who looks at it here would see nothing.
            may, need = descriptors.allowed(), descriptors.needed(config.mappings, config.servers)
            raise NoDescriptorError(f"This process may have {may} files open; the demo needs up to {need}.")
        self._service = Service(config)
        stack.callback(self._service.stop)
        self._service.start()
        self._clock = stopwatch()
        self._witness = Witness(self._remote, self.drop, self._record, self._clock)
        stack.callback(self._witness.stop)
        self._witness.start()
        self._story = Story(self.drop, self._record, self._clock, SEED)
        stack.callback(self._story.stop)
        self._story.start()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the demo began."""
        return self._clock()

    def scene(self) -> Scene:
        """This moment, with the last happenings.

        Raises:
            FtpsyncdError: the daemon has failed.
        """
        self._service.progress()
        status = self._service.status()
        _, recent = self._record.since(0)
        return Scene(
            drop=self.drop,
            address=f"ftp://{self._server.user}@127.0.0.1:{self._server.port}/",
            password=self._server.password,
            config=self.config,
            lines=tuple(self._lines()),
            happenings=recent[-HAPPENINGS_SHOWN:],
            sighting=self._witness.sighting(),
            message=next((each.message for each in status.mappings if each.message), ""),
        )

    def happened(self, seen: int) -> tuple[int, tuple[Happening, ...]]:
        """What happened after the first ``seen`` happenings, and how many there are now.

        Raises:
            FtpsyncdError: the daemon has failed.
        """
        self._service.progress()
        return self._record.since(seen)

    def _lines(self) -> Iterator[Line]:
        local = {path: _side(look) for path, look in files(self.drop) if self._filter.includes(path)}
        remote = {path: _side(look) for path, look in visible(self._remote)}
        arriving = {_final(path): look.size for path, look in files(self._remote) if path.endswith(SUFFIX)}
        writing = self._record.being_written()
        for path in sorted({*local, *remote}):
            yield Line(path, local.get(path), remote.get(path), arriving.get(path), path in writing)

    def end_story(self) -> None:
        """Complete what is being written and change nothing more."""
        self._story.stop()

    def settled(self, within_s: float, meanwhile: Callable[[], None]) -> Verdict:
        """Wait until both sides are equal, byte for byte, and say how they compare.

        Args:
            within_s: how long to wait at most; then the comparison is what it is.
            meanwhile: called while waiting, several times a second.
        """
        clock = stopwatch()
        pause = threading.Event()
        verdict = self._compare()
        while (verdict.differing or verdict.leftovers) and clock() < within_s:
            meanwhile()
            pause.wait(LOOK_AGAIN_S)
            verdict = self._compare()
        return verdict

    def _compare(self) -> Verdict:
        local = {path for path, _ in files(self.drop) if self._filter.includes(path)}
        everything = {path for path, _ in files(self._remote)}
        remote = {path for path, _ in visible(self._remote)}
        differing = sorted(local ^ remote)
        size_bytes = 0
        for path in sorted(local & remote):
            ours, theirs = _content(self.drop / path), _content(self._remote / path)
            if ours is None or ours != theirs:
                differing.append(path)
            else:
                size_bytes += len(ours)
        return Verdict(
            files=len(local),
            size_bytes=size_bytes,
            differing=tuple(differing),
            leftovers=tuple(sorted(everything - remote)),
            sighting=self._witness.sighting(),
        )


def _final(temporary: str) -> str:
    """The final name of ``NAME.<8 hex>.filepart``."""
    return temporary.removesuffix(SUFFIX).rpartition(".")[0]


def _side(look: Look) -> Side:
    return Side(look.size, look.mtime_ns // 1_000_000_000)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        if lacking.files(error):
            raise
        return None
