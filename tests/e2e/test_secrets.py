"""A whole run with every kind of failure, and then a search of everything that it left or said for what is secret."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.quoting import as_word
from tests.e2e.site import Site, site, wait_a_moment
from tests.e2e.test_observed import ask, set_keys
from tests.figures import Figures
from tests.remote.scripted import Connection, Scripted
from tests.servers import free_port, running
from tests.waiting import until

pytestmark = pytest.mark.real_server
TOKEN = "control.token"


async def gossip_about_login(connection: Connection, argument: str) -> None:
    """A server that repeats what it was told, as some do in their debug builds."""
    connection.server.said = argument  # type: ignore[attr-defined]
    await connection.say(f"530-Login of publisher with {argument} failed.\n530 PASS {argument}: no")


async def let_in_and_gossip(connection: Connection, argument: str) -> None:
    connection.server.said = argument  # type: ignore[attr-defined]
    await connection.say(f"230-Your password is {argument}\n230 Welcome, {argument}.")


async def gossip_about_features(connection: Connection, _argument: str) -> None:
    said = connection.server.said  # type: ignore[attr-defined]
    await connection.say(f"211-Features:\n SIZE\n {said}\n X {said}\n MLST {said};size*;\n211 {said} is all.")


async def gossip_about_files(connection: Connection, argument: str) -> None:
    said = connection.server.said  # type: ignore[attr-defined]
    await connection.say(f"553 {argument}: not for you (PASS {said})")


def forms(secret: str) -> dict[str, bytes]:
    """How a secret may look: as it is, in JSON, in an address, in base64, as hex."""
    raw = secret.encode()
    found = {
        "as it is": raw,
        "in JSON": json.dumps(secret)[1:-1].encode(),
        "in an address": urllib.parse.quote(secret, safe="").encode(),
        "in base64": base64.b64encode(raw).rstrip(b"="),
        "as hex": raw.hex().encode(),
    }
    return {name: form for name, form in found.items() if name == "as it is" or form != raw}


class Searched:
    """Everything that was said or left, by where."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}

    def add(self, where: str, text: str | bytes) -> None:
        said = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        self.texts[where] = self.texts.get(where, b"") + said

    def command(self, s: Site, *words: object) -> str:
        done = s.command(*words, ok=False, timeout_s=120)
        name = " ".join(str(word) for word in words)
        self.add(f"`{name}`", done.stdout + done.stderr)
        return done.stdout + done.stderr

    def folder(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != TOKEN:
                self.add(path.name, path.read_bytes())

    def found(self, kept: dict[str, str]) -> list[str]:
        """Where any of the secrets is, in any form."""
        return [
            f"{what} ({form}) in {where}: …{text[max(0, text.index(shape) - 100) : text.index(shape) + 100]!r}"
            for what, secret in kept.items()
            for form, shape in forms(secret).items()
            for where, text in self.texts.items()
            if shape in text
        ]


@pytest.fixture
def gossips() -> Iterator[tuple[Scripted, Scripted]]:
    with (
        Scripted(PASS=gossip_about_login) as refusing,
        Scripted(PASS=let_in_and_gossip, FEAT=gossip_about_features, STOR=gossip_about_files) as liar,
    ):
        yield refusing, liar


def another(config: dict[str, Any], folder: Path, name: str, **server: Any) -> None:
    """One more server with a mapping and files."""
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(b"%d" % number * 100)
    config["servers"][name] = {**config["servers"]["web"], **server}
    config["mappings"][name] = {**config["mappings"]["drop"], "local": str(folder), "remote": f"{name}:/{name}"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("log", ["text", pytest.param("json", marks=pytest.mark.long)])
def test_no_secret_is_said_or_left_anywhere(
    log: str, gossips: tuple[Scripted, Scripted], tmp_path: Path, figures: Figures
) -> None:
    refusing, liar = gossips
    kept = {
        what: f"{secrets.token_hex(6)}/{secrets.token_hex(6)}+ \"%&'"
        for what in ("a wrong password", "a repeated password", "a password repeated later", "an unverified password")
    }
    wrong, repeated, later, unverified = kept.values()
    for name, secret in (("wrong", wrong), ("unverified", unverified)):
        (tmp_path / name).write_text(f"{secret}\n")
        (tmp_path / name).chmod(0o600)
    kept["the path of the webhook"] = secrets.token_urlsafe(24)
    searched = Searched()
    with (
        running("vsftpd", tls="explicit") as server,
        free_port() as port,
        free_port() as nobody,
        site(server, tmp_path) as s,
    ):
        webhook = f"http://127.0.0.1:{nobody}/hook/{kept['the path of the webhook']}"
        s.environ = {"LATER": later, "WEBHOOK": webhook, "CREDENTIALS_DIRECTORY": str(tmp_path)}
        s.under = ("env",)  # loaded anew (`nursery`): its own command line is looked at
        config = json.loads(s.config.read_text())
        # Each from another place; a password as text is in the configuration, and nowhere else.
        places: dict[str, dict[str, Any]] = {
            "wrong": {"password": {"file": str(tmp_path / "wrong")}},
            "refusing": {"password": repeated, "host": "127.0.0.1", "port": refusing.spec().port, "tls": "off"},
            "liar": {"password": {"env": "LATER"}, "host": "127.0.0.1", "port": liar.spec().port, "tls": "off"},
            "untrusted": {"password": {"credential": "unverified"}, "tls_ca": None},
        }
        for name, place in places.items():
            another(config, tmp_path / f"{name}-drop", name, **place)
            config["servers"][name] = {k: v for k, v in config["servers"][name].items() if v is not None}
        s.config.write_text(json.dumps(config))
        told = tmp_path / "told"
        command = ["sh", "-c", f"(cat; env) > {as_word(told)}.new; mv {as_word(told)}.new {as_word(told)}"]
        alerts = {"command": command, "webhook": {"env": "WEBHOOK"}, "server_offline": "1s", "remind": "1h"}
        set_keys(s, control={"http": f"127.0.0.1:{port}"}, log={"level": "debug", "format": log}, alerts=alerts)
        (s.drop / "a.jpg").write_bytes(b"a" * 1000)
        searched.command(s, "check")
        s.start()
        s.until_equal()
        kept["the token"] = (tmp_path / "state" / TOKEN).read_text().strip()
        until(lambda: states(s, "wrong", "refusing") == {"refused"}, "the logins are refused", 60)
        until(lambda: states(s, "untrusted") & {"offline", "refused"}, "the certificate is refused", 60)
        until(lambda: any(each["parked"] for each in s.status()["problems"]), "a name is refused", 60)
        until(lambda: "webhook" in s.log(), "the webhook failed", 60)
        until(told.exists, "the command was run", 60)
        searched.add("a command of alerts", told.read_bytes())
        for words in (
            ("status",), ("status", "--json"), ("history", "--json"), ("history", "--csv"), ("plan", "--json"),
            ("why", tmp_path / "liar-drop/1.jpg"), ("why", tmp_path / "wrong-drop/1.jpg"), ("probe", "liar"), ("probe", "wrong"),
            ("put", tmp_path / "liar-drop/1.jpg", "liar:/x.jpg"), ("ls", "refusing:/"), ("get", "untrusted:/x", tmp_path / "x"),
            ("verify", "liar"), ("retry",), ("rescan",), ("pause", "liar"), ("resume",), ("reload",),
        ):  # fmt: skip
            searched.command(s, *words)
        wait_a_moment(1)
        known = {"Authorization": f"Bearer {kept['the token']}"}
        for target in ("/v1/status", "/v1/history", "/metrics", "/healthz", "/v1/mappings/liar", "/v1/nothing", "/"):
            for headers in (known, {"Authorization": f"Bearer {kept['the token']}x"}, {}):
                status, text = ask(port, "GET", target, **headers)
                searched.add(f"GET {target} {status}", text)
        assert s.process is not None
        proc = Path(f"/proc/{s.process.pid}")
        searched.add("ps", (proc / "cmdline").read_bytes())
        # Killed, so that what the ledger's log holds is still in it.
        s.kill()
        searched.folder(tmp_path / "state")
        for words in (("status",), ("sync",), ("history",)):
            searched.command(s, *words)
        searched.add("log", s.log())
        searched.folder(tmp_path / "state")
        crash = subprocess.run(
            [sys.executable, "-m", "ftpsyncd", "run", "-c", s.config, "--nonsense"],
            capture_output=True, env=s.environment(), check=False,
        )  # fmt: skip
        searched.add("a wrong command line", crash.stdout + crash.stderr)
    # Else there was nothing to hide.
    sent = json.dumps([liar.said, refusing.said])  # type: ignore[attr-defined]
    assert json.dumps(kept["a repeated password"])[1:-1] in sent
    assert json.dumps(kept["a password repeated later"])[1:-1] in sent
    said = b"".join(searched.texts.values())
    for words_said in (b"530", b"553", b"certificate", b"webhook", b"FTPSYNCD_ALERT_KIND="):
        assert words_said in said
    assert any(where.endswith("-wal") for where in searched.texts), sorted(searched.texts)
    assert searched.found(kept) == []
    figures.tell("G7", f"secrets looked for in five forms (log as {log})", len(kept))
    figures.tell("G7", f"bytes of output, logs and state searched (log as {log})", len(said))
    figures.tell("G7", f"secrets found (log as {log})", 0, limit=0)


GENEROUS = ("sh", "-c", 'umask 0; exec "$@"', "sh")
"""Runs a program with which nothing is taken from the rights of what it makes."""


def test_what_a_daemon_and_a_pass_leave_is_closed_to_other_users(tmp_path: Path) -> None:
    state = tmp_path / "state"

    def open_to_others() -> list[str]:
        found = [path for path in state.iterdir() if path.stat().st_mode & 0o137]
        return [f"{path.name} {path.stat().st_mode:o}" for path in found if not path.is_socket()]

    with running("pyftpdlib") as server, free_port() as port, site(server, tmp_path) as s:
        set_keys(s, control={"http": f"127.0.0.1:{port}"})
        (s.drop / "a.jpg").write_bytes(b"a" * 1000)
        s.under = GENEROUS
        s.start()
        s.until_equal()
        assert {path.name for path in state.iterdir()} == {
            "lock", "ledger.db", "ledger.db-wal", "ledger.db-shm", "control.place", "sender", TOKEN,
        }  # fmt: skip
        assert open_to_others() == []
        assert state.stat().st_mode & 0o777 == 0o750
        s.kill()
        for path in state.iterdir():
            if path.name != TOKEN:
                path.chmod(0o666)
        s.start()
        assert open_to_others() == []
        assert s.stop() == 0
        for path in state.iterdir():
            path.unlink()
        done = subprocess.run(
            [*GENEROUS, *s.program, "sync", "-c", s.config], capture_output=True, env=s.environment(), check=False
        )
        assert done.returncode == 0, done.stderr
        assert {path.name for path in state.iterdir()} == {"lock", "ledger.db", "sender"}
        assert open_to_others() == []


def states(s: Site, *names: str) -> set[str]:
    """The states of some servers."""
    return {each["state"] for each in s.status()["servers"] if each["name"] in names}


def test_the_search_finds_what_it_is_to_find() -> None:
    searched = Searched()
    secret = 'pass/word+ "%'
    for number, form in enumerate(forms(secret).values()):
        searched.add(f"{number}", b"before " + form + b" after")
    assert len(searched.found({"it": secret})) == 5
