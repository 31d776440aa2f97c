"""Real FTP servers for tests: started on a free loopback port, each with its own home, always ended.

    with running("vsftpd", tls="explicit") as server:
        spec = server.spec()                  # a ServerSpec that logs in; server.spec(password=lambda: "wrong")
        (server.home / "x").write_bytes(b"")  # what the FTP account sees as /x
        server.stop()                         # its sessions die, too
        server.start()                        # the same port and home again
        server.log()                          # what it printed

Kinds: ``vsftpd``, ``proftpd``, ``pure-ftpd`` (Debian's, unpacked by ``scripts/fetch-servers`` into
``$FTPSYNCD_TEST_SERVERS``; they need root) and ``pyftpdlib`` (always there); without TLS also those of
`others.starters`, which ``scripts/fetch-other-servers`` fetches. TLS: ``off``, ``explicit`` (required on
control and data; vsftpd and proftpd insist on session reuse) and ``implicit`` (not pure-ftpd). The certificate is for
``localhost`` and 127.0.0.1, from a CA of its own that ``spec()`` trusts through ``tls_ca``.

Where a server is absent, `running` skips the test with the reason, or fails it if ``FTPSYNCD_REQUIRE_SERVERS`` is set
(continuous integration does). `available(kind, tls)` tells beforehand, for parametrization.

Daemons serve the home as user ``daemon``, so the default home (a fresh directory under the temporary directory) can be
entered by everybody. A ``home`` of your own is made its own; all its ancestors must be enterable, which those of
pytest's ``tmp_path`` are not.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import importlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.nursery import Process

USER = "ftpu"
PASSWORD = "secret"
KINDS = ("vsftpd", "proftpd", "pure-ftpd", "pyftpdlib")
BENCH = "10.77.0.2"
"""Where `benchmarks.link` has servers."""
_UID = 1
"""User and group daemon: in every Debian, and with a home that exists (vsftpd enters it before `local_root`)."""
_MD5_CRYPT = "$1$ftpsyncd$BV/0E.lAbUu/41kWR4WMC0"
"""PASSWORD; a cheap hash, so that a login costs nothing."""
PAM = Path("/etc/pam.d")
_PAM_SERVICE = "ftpsyncd-test"
_DEADLINE_S = 20.0


def fetched() -> Path:
    """Where the fetched servers are."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("FTPSYNCD_TEST_SERVERS") or cache / "ftpsyncd-test-servers")


def missing(kind: str, tls: str = "off") -> str:
    """Why a server cannot be started here; empty if it can."""
    if kind == "pure-ftpd" and tls == "implicit":
        return "pure-ftpd has no implicit TLS"
    if kind == "pyftpdlib":
        return ""
    if os.geteuid() != 0:
        return f"{kind} must be started by root"
    if kind not in KINDS and not (fetched() / "others").exists():
        return f"{kind} is not in {fetched()} (run scripts/fetch-other-servers)"
    if kind in KINDS and not (fetched() / "usr/sbin" / kind).exists():
        return f"{kind} is not in {fetched()} (run scripts/fetch-servers)"
    return ""


def available(kind: str, tls: str = "off") -> bool:
    """Whether `running` would start this server and not skip."""
    return not missing(kind, tls)


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files."""

    ca: Path
    server: Path
    """Key and chain in one file."""
    key: Path
    chain: Path
    client: Path
    """Key and chain of somebody who logs in."""


@functools.cache
def certificates() -> Certificates:
    """A CA and a certificate for localhost, 127.0.0.1 and the server's end of the benchmark's link, made once per test run."""
    import atexit  # noqa: PLC0415 - only if TLS is tested

    import trustme  # noqa: PLC0415 - takes a quarter of a second to import

    directory = Path(tempfile.mkdtemp(prefix="ftpsyncd-certificates-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    ca = trustme.CA()
    issued = ca.issue_cert("localhost", "127.0.0.1", "::1", BENCH, key_type=trustme.KeyType.RSA)
    paths = Certificates(*(directory / f"{name}.pem" for name in ("ca", "server", "key", "chain", "client")))
    ca.cert_pem.write_to_path(paths.ca)
    issued.private_key_and_cert_chain_pem.write_to_path(paths.server)
    issued.private_key_pem.write_to_path(paths.key)
    ca.issue_cert("publisher.example.com").private_key_and_cert_chain_pem.write_to_path(paths.client)
    for part in issued.cert_chain_pems:
        part.write_to_path(paths.chain, append=True)
    for secret in (paths.server, paths.key, paths.client):
        secret.chmod(0o600)
    return paths


@dataclass
class Server:
    """One FTP server; made by `running`."""

    kind: str
    tls: str
    home: Path
    port: int
    host: str
    max_clients: int
    writable: bool
    idle_s: int
    scratch: Path
    """Configuration, log, pid file."""
    digests: bool = False
    client_certificate: bool = False
    denied: tuple[str, ...] = ()
    """Commands that are refused, whatever they are about."""
    disk: str = ""
    """Of another system (`otherdisks`)."""
    bare: str = ""
    """Which paths are refused (`barenames`)."""
    directives: tuple[str, ...] = ()
    """More lines of its configuration, or words of its command line."""
    data_ports: range = range(0)
    """One of these is taken for a transfer."""
    pam: Service | None = None
    """The PAM service that was written for it."""
    _process: Process | None = None
    _log: IO[bytes] | None = field(default=None, repr=False)

    def spec(self, **changes: Any) -> Any:
        """A `ftpsyncd.specs.ServerSpec` for the account of this server."""
        from ftpsyncd.specs import ServerSpec, TlsMode  # noqa: PLC0415 - this file also runs alone as the pyftpdlib server

        values: dict[str, Any] = {
            "name": self.kind,
            "host": self.host,
            "port": self.port,
            "user": USER,
            "password": lambda: PASSWORD,
            "tls": TlsMode(self.tls),
            "tls_ca": certificates().ca if self.tls != "off" else None,
        }
        return ServerSpec(**{**values, **changes})

    def start(self) -> None:
        """Start (again), on the same port; returns when it greets."""
        from tests import nursery  # noqa: PLC0415 - this file also runs alone as the pyftpdlib server

        assert self._process is None, "it is running already"
        self._log = (self.scratch / "log").open("ab")
        self._process = nursery.start(self._command(), self._log)
        deadline = time.monotonic() + _DEADLINE_S
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self.kind} did not start: {self.log()}")
            time.sleep(0.02)

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as connection:
                # With implicit TLS nothing is said before the handshake: that it accepts must do.
                return self.tls == "implicit" or connection.recv(3) == b"220"
        except OSError:
            return False

    def stop(self) -> None:
        """End the server and every session of it; its port refuses connections afterwards."""
        process, self._process = self._process, None
        if process is not None:
            # vsftpd's sessions lead groups of their own, so the family is ended one by one.
            for pid in (process.pid, *_descendants(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(_DEADLINE_S)
        if self._log is not None:
            self._log.close()
            self._log = None

    def log(self) -> str:
        """What the server printed."""
        path = self.scratch / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def is_running(self) -> bool:
        """Started and not stopped."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Of the daemon."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    def _command(self) -> list[str]:
        return {
            "vsftpd": self._vsftpd,
            "proftpd": self._proftpd,
            "pure-ftpd": self._pure_ftpd,
            "pyftpdlib": self._pyftpdlib,
        }.get(self.kind, self._other)()

    def _other(self) -> list[str]:
        from tests.others.starters import STARTERS  # noqa: PLC0415 - it imports this

        return STARTERS[self.kind](self, fetched())

    def _vsftpd(self) -> list[str]:
        # vsftpd knows users only through PAM; this service knows one user and touches no account of the machine.
        # (pam_exec does not do: vsftpd reaps its child.)
        _write_user_database(self.scratch / "users")
        sweep_services()
        if self.pam is None:
            self.pam = Service.made(self.port)
        self.pam.path.write_text(
            f"auth required pam_userdb.so [db={self.scratch}/users]\n"
            "account required pam_permit.so\nsession required pam_permit.so\n"
        )
        empty = self.scratch / "empty"
        empty.mkdir(exist_ok=True)
        settings = {
            "listen": "YES", "listen_ipv6": "NO", "listen_address": self.host, "listen_port": self.port,
            "background": "NO", "anonymous_enable": "NO", "local_enable": "YES", "guest_enable": "YES",
            "guest_username": "daemon", "virtual_use_local_privs": "YES", "local_root": self.home,
            "write_enable": "YES", "local_umask": "022", "seccomp_sandbox": "NO", "secure_chroot_dir": empty,
            "pam_service_name": self.pam.path.name, "chroot_local_user": "YES", "allow_writeable_chroot": "YES",
            "mdtm_write": "YES", "max_per_ip": self.max_clients, "delay_failed_login": 0,
            "idle_session_timeout": self.idle_s, "session_support": "NO",
            "pasv_min_port": self.data_ports.start, "pasv_max_port": self.data_ports[-1],
        }  # fmt: skip
        if self.tls != "off":
            settings |= {
                "ssl_enable": "YES", "rsa_cert_file": certificates().server, "force_local_data_ssl": "YES",
                "force_local_logins_ssl": "YES", "require_ssl_reuse": "YES", "ssl_ciphers": "HIGH",
                "implicit_ssl": "YES" if self.tls == "implicit" else "NO",
            }  # fmt: skip
        if self.denied:
            settings |= {"cmds_denied": ",".join(self.denied)}
        if self.client_certificate:
            settings |= {"require_cert": "YES", "validate_cert": "YES", "ca_certs_file": certificates().ca}
        path = self.scratch / "vsftpd.conf"
        lines = (f"{key}={value}" for key, value in settings.items())
        path.write_text("".join(f"{line}\n" for line in (*lines, *self.directives)))
        return [str(fetched() / "usr/sbin/vsftpd"), str(path)]

    def _proftpd(self) -> list[str]:
        users = self.scratch / "users"
        users.write_text(f"{USER}:{_MD5_CRYPT}:{_UID}:{_UID}::{self.home}:/bin/false\n")
        users.chmod(0o600)
        modules = fetched() / "usr/lib/proftpd"
        # Debian 12 has these in the program itself, Debian 13 beside it.
        apart = (name for name in ("mod_xfer", "mod_ls", "mod_delay") if (modules / f"{name}.so").exists())
        loading = "".join(f"LoadModule {name}.c\n" for name in apart)
        text = f"""
ServerName test
ServerType standalone
DefaultServer on
DefaultAddress {self.host}
SocketBindTight on
Port {self.port}
UseIPv6 off
UseReverseDNS off
Umask 022 022
MaxInstances 100
PassivePorts {self.data_ports.start} {self.data_ports[-1]}
MaxClients {self.max_clients}
MaxLoginAttempts 3
TimeoutIdle {self.idle_s}
User daemon
Group daemon
ModulePath "{modules}"
{loading}PidFile "{self.scratch}/pid"
ScoreboardFile "{self.scratch}/scoreboard"
DelayEngine off
AuthPAM off
AuthUserFile "{users}"
AuthOrder mod_auth_file.c
RequireValidShell off
DefaultRoot ~
AllowOverwrite on
AllowStoreRestart on
WtmpLog off
TransferLog none
SystemLog "{self.scratch}/proftpd.log"
"""
        text += "".join(f"{line}\n" for line in self.directives)
        if self.denied:
            text += f"<Limit {' '.join(self.denied)}>\nDenyAll\n</Limit>\n"
        if self.digests:
            text += "LoadModule mod_digest.c\nDigestEngine on\n"
        if self.tls != "off":
            implicit = "TLSOptions UseImplicitSSL\n" if self.tls == "implicit" else ""
            text += f"""LoadModule mod_tls.c
TLSEngine on
TLSRequired on
TLSRSACertificateFile "{certificates().chain}"
TLSRSACertificateKeyFile "{certificates().key}"
TLSCACertificateFile "{certificates().ca}"
TLSLog "{self.scratch}/tls.log"
{implicit}"""
        if self.client_certificate:
            text += "TLSVerifyClient on\n"
        path = self.scratch / "proftpd.conf"
        path.write_text(text)
        return [str(fetched() / "usr/sbin/proftpd"), "-n", "-q", "-c", str(path)]

    def _pure_ftpd(self) -> list[str]:
        users = self.scratch / "users"
        users.write_text(f"{USER}:{_MD5_CRYPT}:{_UID}:{_UID}::{self.home}/./::::::::::::\n")
        database = self.scratch / "users.pdb"
        subprocess.run([fetched() / "usr/bin/pure-pw", "mkdb", database, "-f", users], check=True)
        command = [
            fetched() / "usr/sbin/pure-ftpd", "-S", f"{self.host},{self.port}", "-A", "-E", "-H", "-u", "1",
            "-l", f"puredb:{database}", "-c", "100", "-C", self.max_clients, "-U", "133:022",
            "-I", max(1, self.idle_s // 60), "-g", self.scratch / "pid", "-p", f"{self.data_ports.start}:{self.data_ports[-1]}",
        ]  # fmt: skip
        if self.tls != "off":
            command += ["-Y", "3", "-2", certificates().server]
        command += self.directives
        return [str(word) for word in command]

    def _pyftpdlib(self) -> list[str]:
        settings = {
            "host": self.host, "port": self.port, "home": str(self.home), "tls": self.tls,
            "max_clients": self.max_clients, "perm": "elradfmwMT" if self.writable else "elr", "idle_s": self.idle_s,
            "certificate": str(certificates().server) if self.tls != "off" else "",
            "client_ca": str(certificates().ca) if self.client_certificate else "", "disk": self.disk,
            "bare": self.bare,
        }  # fmt: skip
        return [sys.executable, __file__, json.dumps(settings)]


class _Datum(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_int))


def _write_user_database(path: Path) -> None:
    """Write ``path``.db for pam_userdb with the library that it reads it with (Berkeley DB's ndbm interface)."""
    library = ctypes.CDLL("libdb-5.3.so")
    opening, storing, closing = (getattr(library, f"__db_ndbm_{verb}") for verb in ("open", "store", "close"))
    opening.restype, opening.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
    storing.argtypes = (ctypes.c_void_p, _Datum, _Datum, ctypes.c_int)
    closing.argtypes = (ctypes.c_void_p,)
    database = opening(os.fsencode(path), os.O_RDWR | os.O_CREAT, 0o600)
    user, password = USER.encode(), PASSWORD.encode()
    storing(database, _Datum(user, len(user)), _Datum(password, len(password)), 1)
    closing(database)


def _descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = stat.read_text()
            parent = int(text.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = children.get(pid, [])
    return found + [each for child in found for each in _descendants(child)]


_PORTS = range(20_000, 32_768)
"""Below those that the kernel gives to clients: one of these could have the port while a server is stopped."""
DATA_PORTS = range(32_768, 61_000)
"""Above them: vsftpd, proftpd and pure-ftpd take any port for a transfer if they are not told which."""
ANY_PORTS = range(1024, 65_536)
"""For who has thousands of transfers in a minute: vsftpd gives up after a few ports that are still taken."""


@contextmanager
def _claimed(port: int) -> Iterator[None]:
    """No other test has this port until the end.

    Raises:
        OSError: one has.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        # An abstract name (unix(7)): gone with its owner, whatever becomes of that.
        claim.bind(f"\0{_PAM_SERVICE}-port-{port}")
        yield


@dataclass(frozen=True)
class Service:
    """A PAM service of a server, locked for as long as who made it lives.

    The port says nothing about whose it is: in another network namespace, where `_claimed` sees nothing, another test
    run may have the same one, and both read one directory.
    """

    path: Path
    lock: int
    """A descriptor."""

    @classmethod
    def made(cls, port: int) -> Service:
        """A new one, which is empty; nobody takes it for one that was left, at no moment."""
        while True:
            lock, name = tempfile.mkstemp(f"-{port}", f"{_PAM_SERVICE}-", PAM)
            with contextlib.suppress(BlockingIOError):
                # Who sweeps may have been here before the lock, and then it is gone.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_nlink:
                    return cls(Path(name), lock)
            os.close(lock)

    def remove(self) -> None:
        """It is not needed any more."""
        self.path.unlink(missing_ok=True)
        os.close(self.lock)


@functools.cache
def sweep_services() -> None:
    """Remove the PAM services of servers whose test run was killed; once in a process."""
    for path in PAM.glob(f"{_PAM_SERVICE}-*-*"):
        with contextlib.suppress(OSError), path.open("rb") as service:
            fcntl.flock(service, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextmanager
def free_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that nobody uses, and that no other test takes before the end."""
    chance = random.SystemRandom()  # the seeded one would give the same ports to every process of the test run
    while True:
        port = chance.choice(_PORTS)
        with contextlib.ExitStack() as claim:
            try:
                claim.enter_context(_claimed(port))
                socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
            except OSError:
                continue
            yield port
            return


@contextmanager
def running(
    kind: str,
    *,
    tls: str = "off",
    home: Path | None = None,
    max_clients: int = 50,
    writable: bool = True,
    home_bytes: int = 0,
    idle_s: int = 300,
    host: str = "127.0.0.1",
    digests: bool = False,
    client_certificate: bool = False,
    denied: tuple[str, ...] = (),
    disk: str = "",
    bare: str = "",
    directives: tuple[str, ...] = (),
    data_ports: range = DATA_PORTS,
) -> Iterator[Server]:
    """A running server, ended and removed afterwards.

    Args:
        kind: one of KINDS.
        tls: off, explicit or implicit.
        home: what the account sees as ``/``; absent: a fresh directory.
        max_clients: connections allowed from this machine.
        writable: False: the account may read only.
        home_bytes: the home is a tmpfs of this size, to be filled up (needs root).
        idle_s: seconds after which the server drops an idle session (pure-ftpd: whole minutes).
        host: loopback address to listen on.
        digests: offer hashes of files (proftpd).
        client_certificate: require one from the CA (not pure-ftpd); `certificates().client` is one.
        denied: commands that are refused to everybody (vsftpd, proftpd).
        disk: whose the server's disk is: `otherdisks.DISKS` (pyftpdlib).
        bare: which paths it refuses in commands: `barenames.REFUSED` (pyftpdlib).
        directives: more lines of its configuration (vsftpd, proftpd), or words of its command line (pure-ftpd).
        data_ports: of which it takes one for each transfer (not pyftpdlib).
    """
    import pytest  # noqa: PLC0415 - this file also runs alone as the pyftpdlib server

    if reason := missing(kind, tls):
        (pytest.fail if os.environ.get("FTPSYNCD_REQUIRE_SERVERS") else pytest.skip)(reason)
    base = Path(tempfile.mkdtemp(prefix="ftpsyncd-test-"))
    base.chmod(0o755)  # the daemons must get through
    place = home or base / "home"
    place.mkdir(exist_ok=True)
    scratch = base / "server"
    scratch.mkdir()
    if home_bytes:
        options = f"size={home_bytes}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    claim = contextlib.ExitStack()
    port = claim.enter_context(free_port(host))
    server = Server(kind, tls, place, port, host, max_clients, writable, idle_s, scratch)
    server.digests, server.client_certificate, server.denied = digests, client_certificate, denied
    server.disk, server.bare, server.directives, server.data_ports = disk, bare, directives, data_ports
    try:
        if os.geteuid() == 0 and kind != "pyftpdlib":
            os.chown(place, _UID if writable else 0, _UID if writable else 0)
            place.chmod(0o755)
        server.start()
        yield server
    finally:
        server.stop()
        claim.close()
        if server.pam is not None:
            server.pam.remove()
        if home_bytes:
            subprocess.run(["umount", "--lazy", place], check=True)
        shutil.rmtree(base, ignore_errors=True)


def main() -> None:
    """Run pyftpdlib until killed."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    import logging  # noqa: PLC0415

    from pyftpdlib.authorizers import DummyAuthorizer  # noqa: PLC0415
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler  # noqa: PLC0415
    from pyftpdlib.servers import FTPServer  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING)
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, settings["home"], perm=settings["perm"])

    class Plain(FTPHandler):  # type: ignore[misc]
        timeout = settings["idle_s"]
        auth_failed_timeout = 0

    class Explicit(TLS_FTPHandler):  # type: ignore[misc]
        timeout = settings["idle_s"]
        auth_failed_timeout = 0
        certfile = settings["certificate"]
        tls_control_required = True
        tls_data_required = True

        @classmethod
        def get_ssl_context(cls) -> Any:
            context = super().get_ssl_context()
            if settings["client_ca"]:
                from OpenSSL import SSL  # noqa: PLC0415

                context.load_verify_locations(settings["client_ca"])
                # Without it OpenSSL refuses to resume sessions of verified clients.
                context.set_session_id(b"ftpsyncd")
                context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *a: bool(a[-1]))
            return context

    class Implicit(Explicit):
        def handle(self) -> None:
            self.secure_connection(self.get_ssl_context())
            super().handle()

    handler: Any = {"off": Plain, "explicit": Explicit, "implicit": Implicit}[settings["tls"]]
    if settings["disk"]:
        # Beside this file, which runs alone here.
        handler = importlib.import_module("otherdisks").on(settings["disk"], handler)
    if settings["bare"]:
        handler = importlib.import_module("barenames").on(settings["bare"], handler)
    handler.authorizer = authorizer
    server = FTPServer((settings["host"], settings["port"]), handler)
    server.max_cons_per_ip = settings["max_clients"]  # max_cons counts data connections, too
    server.serve_forever()


if __name__ == "__main__":
    main()
