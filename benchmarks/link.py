"""Two network namespaces and a link between them with a set round-trip time, for as long as a `with` block.

In: round-trip time, packet size, rate. Out: `Link`, which says how to run a command at either end. Called by
`transfer`; needs root, ``ip`` and a C compiler.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NEAR_ADDRESS = "10.77.0.1"
FAR_ADDRESS = "10.77.0.2"
_INTERFACE = "bench0"
_QUEUE_PACKETS = 10_000
"""In each direction, those on their way included: 15 MB at 1,500 bytes."""

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


@dataclass(frozen=True)
class Link:
    """A running link: clients at its near end, servers at its far end."""

    near: str
    far: str
    """Names of the namespaces."""
    _process: subprocess.Popen[str]

    @property
    def at_near(self) -> tuple[str, ...]:
        """What to put before a command to run it at the near end."""
        return ("ip", "netns", "exec", self.near)

    @property
    def at_far(self) -> tuple[str, ...]:
        """The same for the far end."""
        return ("ip", "netns", "exec", self.far)

    def set_rtt(self, rtt_ms: float) -> None:
        """From now on a round trip takes this long."""
        self._tell(f"{round(rtt_ms * 1000 / 2)}\n")

    def forget(self) -> None:
        """Drop what both kernels have learned about the way, so that no contender profits from those before it."""
        for namespace in (self.near, self.far):
            _ip("-n", namespace, "tcp_metrics", "flush")

    def measured_rtt_ms(self, port: int) -> float:
        """The shortest of a few TCP handshakes with a server at the far end."""
        command = [*self.at_near, sys.executable, "-I", "-c", _MEASURE_RTT, FAR_ADDRESS, str(port)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1000

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ok\n":
            raise RuntimeError("the link has ended")


@contextmanager
def linked(program: Path, *, rtt_ms: float, mtu: int, rate_bytes_per_s: int = 0) -> Iterator[Link]:
    """Make namespaces and a link; both are gone afterwards.

    Args:
        program: the compiled ``link.c``.
        rtt_ms: round-trip time; half of it each way.
        mtu: bytes in a packet.
        rate_bytes_per_s: of each direction; 0: as fast as the machine.
    """
    near, far = (f"ftpsyncd-bench-{end}-{os.getpid()}" for end in ("near", "far"))
    with ExitStack() as stack:
        for namespace in (near, far):
            _ip("netns", "add", namespace)
            stack.callback(_ip, "netns", "delete", namespace)
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
        for namespace, address in ((near, NEAR_ADDRESS), (far, FAR_ADDRESS)):
            # A burst may wait in the device until the link reads it: dropping is the link's business.
            length = str(_QUEUE_PACKETS)
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", _INTERFACE)
            _ip("-n", namespace, "link", "set", "dev", _INTERFACE, "mtu", str(mtu), "txqueuelen", length, "up")
        yield Link(near, far, process)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, stdout=subprocess.DEVNULL)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    process.wait(10)
