"""Starts programs in a process that has loaded them already: to load the program is most of what a start costs.

    done = run([sys.executable, "-m", "ftpsyncd", "status"], env=environ, cwd=folder)      # as subprocess.run
    process = start([sys.executable, "-m", "ftpsyncd", "run"], log, env=environ)           # as subprocess.Popen

`conftest` opens a nursery for the test run. That is one process more, which has loaded all there is of the program, and
of the FTP server in Python, and has done nothing else. For each start it forks, and the fork goes on as the program does
when it is loaded: with arguments, environment, folder, CPUs, streams and, as a process, everything else of its own.

Such a fork also executes what is no Python (servers): whatever it started, the nursery ends when its test run has ended,
were it by a signal in the middle of a test. What leads a session of its own would be left behind.

What only a new interpreter or a new loading does gets one: other options of Python's; an environment that says something
else to Python, the C library or OpenSSL; and all of them, where no nursery is open or FTPSYNCD_COLD is set (`make
test-long`). So do tests that look at the start itself: they use `subprocess`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

_MAINS = {
    ("-m", "ftpsyncd"): "ftpsyncd.cli:main",
    ("-m", "tests.e2e.hurried"): "tests.e2e.hurried:hurry",
    (str(Path(__file__).with_name("servers.py")),): "tests.servers:main",
}
"""Words after Python's name: what the fork calls."""
_SAID_TO_OTHERS = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_", "OPENSSL_")
"""So begin the variables that were read before anything of the program runs."""
_UNBUFFERED = "PYTHONUNBUFFERED"
COLD = "FTPSYNCD_COLD"
_LONGEST = 1 << 17
"""Bytes of a request."""


# ── Who starts something ─────────────────────────────────────────────────────────────────────────────────────────────


class Forked:
    """A process that the nursery started: what tests use of `subprocess.Popen`."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.settimeout(30)
        self.pid = int(end.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when it has ended; negative: the signal that ended it."""
        if self.returncode is None:
            self._end.settimeout(timeout)
            try:
                self.returncode = int(self._end.recv(64))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._end.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = subprocess.Popen[bytes] | Forked


class _Nursery:
    """The line to the process that forks; it is started when it is first needed."""

    def __init__(self) -> None:
        # Both ends from the beginning: no test that asks first is taken for one that leaves descriptors behind.
        self._line, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._environ = dict(os.environ)

    def suits(self, env: Mapping[str, str]) -> bool:
        """Whether a fork with this environment is what a new interpreter would be."""
        return all(
            env.get(name) == self._environ.get(name)
            for name in {*env, *self._environ}
            if name.startswith(_SAID_TO_OTHERS) and name != _UNBUFFERED
        )

    def fork(self, request: dict[str, object], streams: Sequence[int]) -> Forked:
        """Have it fork once."""
        with self._starting:
            if self._process is None:
                number = self._far.fileno()
                words = [sys.executable, "-m", "tests.nursery", str(number)]
                self._process = subprocess.Popen(
                    words,
                    pass_fds=[number],
                    cwd=Path(__file__).parents[1],
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for those who ask
                )
                self._far.close()
                atexit.register(self._end)
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            socket.send_fds(self._line, [json.dumps(request).encode()], [its.fileno(), *streams])
        return Forked(mine)

    def _end(self) -> None:
        assert self._process is not None
        self._line.close()
        self._process.wait(20)


_opened: list[_Nursery] = []


def open_nursery() -> None:
    """From now on, and for the life of this process, programs are forked where that is the same."""
    if not _opened and not os.environ.get(COLD):
        _opened.append(_Nursery())


def start(
    command: Sequence[str],
    log: IO[bytes],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    session: bool = True,
) -> Process:
    """Start a program that prints to a file.

    Args:
        command: as for `subprocess.Popen`.
        log: gets its stdout and stderr.
        env: its environment; absent: that of this process.
        cwd: its current folder; absent: that of this process.
        session: it leads a session of its own.
    """
    main = _main_of(command, env)
    if main is None and _opened and command[0] != sys.executable:
        main = ""
    if main is None:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=cwd, start_new_session=session
        )
    return _opened[0].fork(_request(main, command, env, cwd, session=session), [log.fileno()] * 2)


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    errors: str = "strict",
    timeout_s: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; returns its exit code and what it printed.

    Args:
        command: as for `subprocess.run`.
        env: its environment; absent: that of this process.
        cwd: its current folder; absent: that of this process.
        errors: how bytes are decoded that are not UTF-8.
        timeout_s: then it is killed, and `subprocess.TimeoutExpired` raised.
    """
    main = _main_of(command, env)
    if main is None:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors=errors, env=env, cwd=cwd,
            timeout=timeout_s, check=False,
        )  # fmt: skip
    deadline = time.monotonic() + timeout_s
    (out, its_out), (err, its_err) = os.pipe(), os.pipe()
    try:
        process = _opened[0].fork(_request(main, command, env, cwd, session=False), [its_out, its_err])
        os.close(its_out)
        os.close(its_err)
        said = _said(process, (out, err), deadline)
        code = process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        os.close(out)
        os.close(err)
    stdout, stderr = (text.decode(errors=errors).replace("\r\n", "\n").replace("\r", "\n") for text in said)
    return subprocess.CompletedProcess(command, code, stdout, stderr)


def _said(process: Forked, ends: Sequence[int], deadline: float) -> list[bytes]:
    """All that a process prints."""
    said = {end: bytearray() for end in ends}
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                process.kill()
                process.wait(20)
                raise subprocess.TimeoutExpired(str(process.pid), deadline, *map(bytes, said.values()))
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                said[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [bytes(text) for text in said.values()]


def _main_of(command: Sequence[str], env: Mapping[str, str] | None) -> str | None:
    """What a fork calls; None if the program must be started anew."""
    if not _opened or command[0] != sys.executable or not _opened[0].suits(os.environ if env is None else env):
        return None
    return next((main for words, main in _MAINS.items() if tuple(command[1 : len(words) + 1]) == words), None)


def _request(
    main: str, command: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, *, session: bool
) -> dict[str, object]:
    return {
        "main": main,
        "command": list(command),
        "env": dict(os.environ if env is None else env),
        "cwd": os.fspath(cwd or Path.cwd()),
        "cpus": list(os.sched_getaffinity(0)),
        "session": session,
    }


# ── The process that forks ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Child:
    """One that was forked and has not ended."""

    pid: int
    end: socket.socket
    """Where its exit code is told."""


def _load() -> None:
    """Load what is going to be started."""
    import pyftpdlib.authorizers  # noqa: PLC0415 - in this process only
    import pyftpdlib.handlers  # noqa: PLC0415
    import pyftpdlib.servers  # noqa: F401, PLC0415

    import ftpsyncd  # noqa: PLC0415

    for module in pkgutil.walk_packages(ftpsyncd.__path__, "ftpsyncd."):
        if not module.name.startswith(("ftpsyncd.demo", "ftpsyncd.__main__")):
            importlib.import_module(module.name)
    for main in _MAINS.values():
        importlib.import_module(main.partition(":")[0])
    assert threading.active_count() == 1, "a thread would be missing in the forks"
    gc.collect()
    gc.freeze()


def _serve(line: socket.socket) -> None:
    """Fork for each request, and tell how each fork ended; returns when nobody is left who could ask."""
    children: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in children:
                    selector.unregister(key.fd)
                    _bury(children.pop(key.fd), key.fd)
                    continue
                message, passed, _, _ = socket.recv_fds(line, _LONGEST, 3)
                if not message:
                    for child in children.values():
                        os.kill(child.pid, signal.SIGKILL)
                    return
                end = socket.socket(fileno=passed[0])
                pid = os.fork()
                if pid == 0:
                    _become(json.loads(message), passed[1:])
                for stream in passed[1:]:
                    os.close(stream)
                watch = os.pidfd_open(pid)
                children[watch] = _Child(pid, end)
                selector.register(watch, selectors.EVENT_READ)
                end.send(str(pid).encode())


def _bury(child: _Child, watch: int) -> None:
    _, status = os.waitpid(child.pid, 0)
    os.close(watch)
    with child.end, suppress(ConnectionError):
        child.end.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, object], streams: Sequence[int]) -> NoReturn:
    """Be the program from here on. The frames below keep what they own, so that nothing closes a number anew."""
    try:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
        os.closerange(3, max(os.sysconf("SC_OPEN_MAX"), 1 << 10))
        if request["session"]:
            os.setsid()
        os.sched_setaffinity(0, request["cpus"])  # type: ignore[arg-type]
        # Before Python 3.12 the thread keeps the number that it has in the nursery.
        threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
        os.environ.clear()
        os.environ.update(request["env"])  # type: ignore[call-overload]
        os.chdir(str(request["cwd"]))
        command: list[str] = request["command"]  # type: ignore[assignment]
        main = str(request["main"])
        if not main:
            # As `subprocess`: Python ignores them, and programs would inherit that.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            os.execvp(command[0], command)
        words = next(words for words, named in _MAINS.items() if named == main)
        sys.argv = command[len(words) :]
        sys.orig_argv = list(command)
        # As an interpreter does: the folder of a script, or the current one of a module.
        sys.path[0] = os.path.dirname(words[0]) if len(words) == 1 else os.getcwd()  # noqa: PTH109, PTH120 - as Python
        unbuffered = bool(os.environ.get(_UNBUFFERED))
        for stream_ in (sys.stdout, sys.stderr):
            lines = stream_ is sys.stderr or stream_.isatty()
            stream_.reconfigure(line_buffering=lines, write_through=unbuffered)  # type: ignore[union-attr]
        module, _, name = main.partition(":")
        getattr(sys.modules[module], name)()
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    _load()
    with socket.socket(fileno=int(sys.argv[1])) as _line:
        _serve(_line)
