"""A Debian of its own, booted with systemd-nspawn from a copy of the tree that ``scripts/make-test-tree`` makes.

It has a network of its own with nothing but a loopback, so that its servers take no port of this machine, and a group
of processes (cgroups(7)) of its own, so that two machines can run side by side.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import until

_BOOT_S = 90.0
_REBOOTED = 133
"""What systemd-nspawn exits with under ``--keep-unit`` when the machine wants to be booted again."""
_GROUPED = 'for group in $1; do echo $$ > "$group/cgroup.procs" || exit; done; shift; exec "$@"'
"""For a shell: begin a program in the groups that the first word names."""


def cache() -> Path:
    """Where the tree and the wheels are."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("FTPSYNCD_TEST_TREE") or base / "ftpsyncd-test-tree")


def missing() -> str:
    """Why no machine can be booted here; empty if one can."""
    if os.geteuid() != 0:
        return "only root can boot a tree"
    if shutil.which("systemd-nspawn") is None:
        return "systemd-nspawn is not here (Debian: systemd-container)"
    if not (cache() / "debian").is_dir() or not (cache() / "wheels").is_dir():
        return f"there is no tree in {cache()} (run scripts/make-test-tree)"
    return ""


class Machine:
    """One tree that can be booted, again and again."""

    def __init__(self, tree: Path, log: Path) -> None:
        self.tree = tree
        self.log = log
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._groups: list[Path] = []

    def boot(self) -> None:
        """Boot it; returns when all its units have started."""
        # --keep-unit and --register=no: there may be no systemd on this machine to ask for a scope. The hierarchy of
        # cgroups is the legacy one, since this machine may have no other to share; from Debian 13 on, systemd wants
        # that said twice. No capability and no system call beyond nspawn's own choice is granted: what the unit needs
        # must do in a container, too.
        command = ["systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "--private-network", "--console=pipe",
                   f"--directory={self.tree}", "--machine=ftpsyncd-test", "--boot",
                   "systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]  # fmt: skip
        self._groups = [place / self.tree.parent.name for place in _places_of_groups()]
        for group in self._groups:
            group.mkdir(exist_ok=True)
        grouped = ["sh", "-c", _GROUPED, "sh", " ".join(map(str, self._groups)), *command]
        with self.log.open("ab") as log:
            self._nspawn = subprocess.Popen(grouped, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._find_leader, "the machine's first process", _BOOT_S)
        until(lambda: self.run("systemctl", "is-active", "multi-user.target", check=False) == "active", "boot", _BOOT_S)

    def _find_leader(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, self.log.read_text()
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        for child in map(int, children):
            # The one that is process 1 of its own namespace, and has become systemd.
            try:
                status = Path(f"/proc/{child}/status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue  # one that only prepares something has ended since
            numbers = next(line for line in status if line.startswith("NSpid:")).split()
            if len(numbers) > 2 and numbers[-1] == "1" and status[0].split()[1] == "systemd":
                self._leader = child
                return True
        return False

    def words(self, *command: str) -> list[str]:
        """``command`` as it has to be called here to run in there, as root."""
        inside = [
            "nsenter",
            f"--target={self._leader}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wd",
        ]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
                 "HOME=/root", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels", "PIP_DISABLE_PIP_VERSION_CHECK=1"]  # fmt: skip
        return [*inside, *clean, *command]

    def call(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in there with ``text`` to read."""
        return subprocess.run(
            self.words(*command), input=text, capture_output=True, text=True, check=False, timeout=240
        )

    def run(self, *command: str, text: str = "", check: bool = True) -> str:
        """What a command prints in there; it must succeed unless ``check`` is False."""
        done = self.call(*command, text=text)
        assert not (check and done.returncode), f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def shut_down(self) -> None:
        """Begin a reboot and return when all has ended; `boot` goes on."""
        assert self._nspawn is not None
        self.call("systemctl", "reboot")  # its own end may cut the answer short
        assert self._nspawn.wait(_BOOT_S) == _REBOOTED

    def end(self) -> None:
        """Kill it, if it runs."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.terminate()
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()  # the machine dies with it
                self._nspawn.wait(20)
        until(self._leaves_no_group, "nothing runs in the machine's groups", 20)

    def _leaves_no_group(self) -> bool:
        """Remove what systemd has made below the machine's groups, and them; False while something runs there."""
        for group in filter(Path.is_dir, self._groups):
            for place, *_ in os.walk(group, topdown=False):
                try:
                    Path(place).rmdir()
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
                    return False
        return True


def _places_of_groups() -> list[Path]:
    """The groups of this process by which systemd keeps its services apart: its own hierarchy, and the unified one.

    nspawn would have two machines share one, if it is begun in the same: each would end the other one's processes.
    """
    own = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    paths = {controllers: path.lstrip("/") for _, controllers, path in own}
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, at, kind, options, *_ = line.split()
        if kind == "cgroup2" and "" in paths:
            found.append(Path(at) / paths[""])
        elif kind == "cgroup" and "name=systemd" in options.split(",") and "name=systemd" in paths:
            found.append(Path(at) / paths["name=systemd"])
    return found


@contextmanager
def machine() -> Iterator[Machine]:
    """A machine that is off, removed afterwards."""
    base = Path(tempfile.mkdtemp(prefix="run-", dir=cache()))
    made = Machine(base / "tree", base / "log")
    try:
        subprocess.run(["cp", "-a", "--reflink=auto", cache() / "debian", made.tree], check=True)
        shutil.copytree(cache() / "wheels", made.tree / "wheels")
        yield made
    finally:
        made.end()
        shutil.rmtree(base)
