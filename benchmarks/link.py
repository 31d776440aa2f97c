"""Where clients and servers meet: two network namespaces with a slow link between them, or one with its loopback.

In: round-trip time, packet size, rate. Out: `Network`, which says how to run a command at either end. Called by
`course`; needs root, ``ip`` and a C compiler. Namespaces are used for loopback, too, so that the machine's own settings
and connections take no part.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.least import INITIAL_WINDOW

HERE = Path(__file__).parent
_NEAR_ADDRESS = "10.77.0.1"
_FAR_ADDRESS = "10.77.0.2"
_INTERFACE = "bench0"
_QUEUE_PACKETS = 10_000
"""In each direction, those on their way included: 15 MB at 1,500 bytes."""
_SETTINGS = Path("/proc/sys/net/ipv4")

_MEASURE_RTT = """
import socket, sys, time
def connect():
    start = time.perf_counter()
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10):
        return time.perf_counter() - start
print(min(connect() for _ in range(5)))
"""


def compile_program(name: str, directory: Path) -> Path:
    """Compile ``NAME.c`` of this folder into a directory."""
    program = directory / name
    subprocess.run(["cc", "-O2", "-Wall", "-o", program, HERE / f"{name}.c"], check=True)
    return program


def congestion_control() -> str:
    """Linux's default, whatever this machine prefers; its forefather where namespaces may not choose that."""
    allowed = (_SETTINGS / "tcp_allowed_congestion_control").read_text().split()
    return "cubic" if "cubic" in allowed else "reno"


@dataclass(frozen=True)
class Network:
    """Clients run at its near end, servers at its far end; on loopback both are one."""

    near: str
    far: str
    """Names of namespaces."""
    far_address: str
    _link: subprocess.Popen[str] | None = None

    @property
    def at_near(self) -> tuple[str, ...]:
        """What to put before a command to run it at the near end."""
        return ("ip", "netns", "exec", self.near)

    @property
    def at_far(self) -> tuple[str, ...]:
        """The same for the far end."""
        return ("ip", "netns", "exec", self.far)

    def set_rtt(self, rtt_ms: float) -> None:
        """From now on a round trip over the link takes this long."""
        assert self._link is not None
        assert self._link.stdin is not None
        assert self._link.stdout is not None
        self._link.stdin.write(f"{round(rtt_ms * 1000 / 2)}\n")
        self._link.stdin.flush()
        if self._link.stdout.readline() != "ok\n":
            raise RuntimeError("the link has ended")

    def forget(self) -> None:
        """Drop what both kernels have learned about the way, so that no contender profits from those before it."""
        for namespace in {self.near, self.far}:
            _ip("-n", namespace, "tcp_metrics", "flush")

    def measured_rtt_ms(self, port: int) -> float:
        """The shortest of a few TCP handshakes with a server at the far end."""
        command = [*self.at_near, sys.executable, "-I", "-c", _MEASURE_RTT, self.far_address, str(port)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1000


@contextmanager
def loopback() -> Iterator[Network]:
    """Make a namespace with a loopback; it is gone afterwards."""
    with ExitStack() as stack:
        namespace = _namespace("loopback", stack)
        yield Network(namespace, namespace, "127.0.0.1")


@contextmanager
def linked(
    program: Path, *, rtt_ms: float, mtu: int, rate_bytes_per_s: int = 0, first_window: int = INITIAL_WINDOW
) -> Iterator[Network]:
    """Make two namespaces and a link; all are gone afterwards.

    Args:
        program: the compiled ``link.c``.
        rtt_ms: round-trip time; half of it each way.
        mtu: bytes in a packet.
        rate_bytes_per_s: of each direction; 0: as fast as the machine.
        first_window: packets that the near end sends before the first acknowledgement.
    """
    with ExitStack() as stack:
        near, far = _namespace("near", stack), _namespace("far", stack)
        arguments = (mtu, _QUEUE_PACKETS, round(rtt_ms * 1000 / 2), rate_bytes_per_s)
        process = subprocess.Popen(
            [program, f"/run/netns/{near}", f"/run/netns/{far}", _INTERFACE, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(_end, process)
        assert process.stdout is not None
        if process.stdout.readline() != "up\n":
            raise RuntimeError("the link did not come up")
        for namespace, address in ((near, _NEAR_ADDRESS), (far, _FAR_ADDRESS)):
            # A burst may wait in the device until the link reads it: dropping is the link's business.
            length = str(_QUEUE_PACKETS)
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", _INTERFACE)
            _ip("-n", namespace, "link", "set", "dev", _INTERFACE, "mtu", str(mtu), "txqueuelen", length, "up")
        window = ("initcwnd", str(first_window))
        _ip("-n", near, "route", "replace", f"{_FAR_ADDRESS}/32", "dev", _INTERFACE, "src", _NEAR_ADDRESS, *window)
        yield Network(near, far, _FAR_ADDRESS, process)


def _namespace(end: str, stack: ExitStack) -> str:
    """Make a namespace of a name of its own."""
    name = f"ftpsyncd-bench-{end}-{os.getpid()}"
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "delete", name)
    _ip("-n", name, "link", "set", "dev", "lo", "up")
    setting = f"echo {congestion_control()} >{_SETTINGS}/tcp_congestion_control"
    _ip("netns", "exec", name, "sh", "-c", setting)
    return name


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, stdout=subprocess.DEVNULL)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    process.wait(10)
