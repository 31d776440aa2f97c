"""A program that forks while it has a connection: the child's calls, and its end, do not disturb the parent's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import PASSWORD, USER, available, certificates, running

PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
from ftpsyncd.errors import ServerUnavailableError
from ftpsyncd.remote import connect
from ftpsyncd.specs import ServerSpec, TlsMode

port, user, secret, tls, authority, act = sys.argv[1:]
asked_for, goes_on, waits = threading.Event(), threading.Event(), []

def password():
    if waits:
        asked_for.set()
        goes_on.wait(30)
    return secret

server = ServerSpec(
    "web", "127.0.0.1", user, port=int(port), password=password, tls=TlsMode(tls), tls_ca=Path(authority)
)

def asked(ftp, count):
    return {(ftp.exists("/there"), ftp.exists("/nowhere")) for _ in range(count)} == {(True, False)}

def refused(results):
    try:
        return not list(results)
    except ServerUnavailableError:
        return True

def forked(act):
    child = os.fork()
    if not child:
        os._exit(0 if act() else 1)
    return child

with connect(server) as ftp:
    mine = ftp.session
    if act == "call":
        child = forked(lambda: asked(ftp, 50))
        right = asked(ftp, 50)
    elif act == "close":
        child, right = forked(lambda: ftp.close() is None), True
    elif act == "abandon results":
        results = ftp.upload_many([(Path(__file__), f"/{i}") for i in range(4)])
        next(results)
        child = forked(lambda: results.close() is None)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        right = [str(result.step) for result in results] == ["sent"] * 3
    elif act == "take results":
        results = ftp.upload_many([(Path(__file__), f"/{i}") for i in range(4)])
        next(results)
        child = forked(lambda: refused(results))
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        right = [str(result.step) for result in results] == ["sent"] * 3
    elif act == "progress":
        children = []
        ftp.upload(__file__, "/p", progress=lambda _: children or children.append(forked(lambda: True)))
        child, right = children[0], True
    elif act == "thread":
        begun, goes_on = threading.Event(), threading.Event()
        progress = lambda _: (begun.set(), goes_on.wait(30))
        thread = threading.Thread(target=lambda: ftp.upload(__file__, "/p", progress=progress))
        thread.start()
        begun.wait(30)
        child, right = forked(lambda: asked(ftp, 1)), True
        goes_on.set()
        thread.join()
    elif act == "login":
        mine.abandon()
        waits.append("in the parent")
        thread = threading.Thread(target=lambda: ftp.exists("/there"))
        thread.start()
        asked_for.wait(30)
        child = forked(lambda: signal.alarm(20) == 0 and waits.clear() is None and asked(ftp, 1))
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        goes_on.set()
        thread.join()
        mine, right = ftp.session, True
    elif act == "live":
        # What the child has of the data connection may not keep its end from the server.
        lives, ends = os.pipe()
        begun, goes_on = threading.Event(), threading.Event()
        progress = lambda _: (begun.set(), goes_on.wait(30))
        thread = threading.Thread(target=lambda: ftp.upload(__file__, "/p", progress=progress))
        thread.start()
        begun.wait(30)
        child = forked(lambda: os.close(ends) is None and os.read(lives, 1) == b"")
        goes_on.set()
        thread.join(10)
        right = not thread.is_alive()
        os.close(ends)
        thread.join()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    right = right and asked(ftp, 1)
    print(f"child {ended}, parent {'right' if right else 'wrong'}, {'one' if ftp.session is mine else 'another'} connection")
"""


@pytest.mark.real_server
@pytest.mark.parametrize(
    "act", ["call", "close", "abandon results", "take results", "progress", "thread", "login", "live"]
)
@pytest.mark.parametrize(("kind", "tls"), [("pyftpdlib", "off"), ("vsftpd", "explicit")])
def test_a_child_has_a_connection_of_its_own(kind, tls, act, tmp_path):
    if not available(kind, tls):
        pytest.skip(f"no {kind}")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with running(kind, tls=tls) as server:
        (server.home / "there").write_bytes(b"x")
        words = [str(server.port), USER, PASSWORD, tls, str(certificates().ca), act]
        ended = subprocess.run(
            # From 3.12 on, Python warns of a fork beside threads, which is what is tried here.
            [sys.executable, "-W", "ignore:This process:DeprecationWarning", str(program), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )
    assert (ended.stdout, ended.stderr) == ("child 0, parent right, one connection\n", "")
