"""A server that allows fewer connections, or transfers at a time, than are configured, and says so in its own words."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from pathlib import Path

import pytest

from tests.e2e.site import site
from tests.remote.scripted import Act, Connection, Scripted
from tests.servers import certificates, running


class ServU(Scripted):
    """Serv-U, where two sessions from one address are allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.logged_in: set[Connection] = set()
        self.refused = 0

    async def do_pass(self, c: Connection, _a: str) -> str:
        if len(self.logged_in) >= 2:
            self.refused += 1
            return "530 Not logged in, only 2 sessions from same IP allowed concurrently."
        self.logged_in.add(c)
        return "230 User logged in, proceed."

    async def _talk(self, connection: Connection) -> None:
        try:
            await super()._talk(connection)
        finally:
            self.logged_in.discard(connection)


def test_all_is_published_by_as_many_as_are_allowed(tmp_path: Path) -> None:
    names = {f"{n}.jpg" for n in range(60)}
    with running("pyftpdlib") as unused, ServU() as server, site(unused, tmp_path) as s:
        config = json.loads(s.config.read_text())
        # Slow enough for more connections to be worth it.
        config["servers"]["web"] |= {"port": server.port, "connections": 4, "bandwidth": "1 MB/s"}
        s.config.write_text(json.dumps(config))
        for name in names:
            (s.drop / name).write_bytes(b"x" * 20_000)
        s.command("sync")
    assert {path.rpartition("/")[2] for path in server.files} == names
    assert 1 <= server.refused <= 2, (
        "of four, once each, unless the first one's answer was there before the last one asked"
    )


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize("words", ["", '"Bitte warten Sie einen Augenblick."'])
def test_where_fewer_may_transfer_at_a_time_than_be_logged_in_no_file_is_to_blame(tmp_path: Path, words: str) -> None:
    """proftpd, which counts the one that asks: with two, others are refused while one is sent, twice each."""
    limit = (f"MaxTransfersPerUser STOR 2 {words}",)
    with (
        running("proftpd", directives=limit) as server,
        site(server, tmp_path, server_keys={"connections": 4, "bandwidth": "3 MB/s"}) as s,
    ):
        s.start()
        for number in range(3):
            (s.drop / f"{number}.mp4").write_bytes(bytes([number]) * 6_000_000)
        for number in range(20):
            (s.drop / f"{number}.jpg").write_bytes(b"%d" % number * 5_000)
        s.until_equal(60)
        s.until_state("in_sync")
        # The server itself may be told of for a moment, where the other transfer had just ended.
        assert not re.search(r"drop: (failed|parked)", s.log()), "no try of a file has failed"


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("publish", ["atomic", "direct"])
def test_where_others_have_all_transfers_the_server_is_paused(tmp_path: Path, connections: int, publish: str) -> None:
    """Another program of the same account is at work: who logs in again and again is shut out in the end."""
    refusal = "451 Failed, maximum number of data transfers (1) for this user reached. Please retry later."
    with (
        running("pyftpdlib") as unused,
        Scripted(STOR=refusal) as server,
        site(unused, tmp_path, publish=publish, server_keys={"connections": connections}) as s,
    ):
        config = json.loads(s.config.read_text())
        config["servers"]["web"]["port"] = server.port
        s.config.write_text(json.dumps(config))
        for number in range(100):
            (s.drop / f"{number}.jpg").write_bytes(b"x" * 2_000)
        ended = s.command("sync", ok=False)
    assert ended.returncode == 75
    assert "allows no further transfer at the same time" in ended.stdout
    assert server.verbs().count("USER") <= 10 * connections, "what was handed to the workers, each once"


@pytest.mark.parametrize("publish", ["atomic", "direct"])
@pytest.mark.parametrize("refusal", ["522 Data connections must be encrypted.", "534 Policy requires SSL."])
def test_where_data_is_wanted_under_tls_the_server_is_paused(tmp_path: Path, refusal: str, publish: str) -> None:
    """It lets in without: vsftpd and proftpd say 522, IIS 534. Each file was tried fifteen times, and blamed."""
    with (
        running("pyftpdlib") as unused,
        Scripted(STOR=refusal) as server,
        site(unused, tmp_path, publish=publish, server_keys={"connections": 2}) as s,
    ):
        config = json.loads(s.config.read_text())
        config["servers"]["web"]["port"] = server.port
        s.config.write_text(json.dumps(config))
        for number in range(30):
            (s.drop / f"{number}.jpg").write_bytes(b"x" * 2_000)
        ended = s.command("sync", ok=False)
    assert ended.returncode == 75
    assert "takes no data in clear text" in ended.stdout
    assert server.verbs().count("STOR") <= 10, "some for each connection, and not all of each file"


async def unresumed(connection: Connection, _path: str) -> None:
    """What STOR does: vsftpd has made the connection when it sees that its TLS is not what it wants."""
    await connection.say("150 Go on.")
    with contextlib.suppress(OSError):
        await connection.data()
    await connection.end_data()
    await connection.say("522 SSL connection failed: session reuse required")


@pytest.mark.parametrize("refusal", [unresumed, "425 Unable to build data connection: Operation not permitted"])
def test_where_each_file_is_refused_a_data_connection_the_server_is_paused(tmp_path: Path, refusal: Act | str) -> None:
    """Each was tried five times, over a connection of its own, and blamed: five logins for each file."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates().server)
    with (
        running("pyftpdlib") as unused,
        Scripted(STOR=refusal, tls=tls) as server,
        site(unused, tmp_path, server_keys={"connections": 2}) as s,
    ):
        config = json.loads(s.config.read_text())
        config["servers"]["web"] |= {"port": server.port, "tls": "explicit", "tls_ca": str(certificates().ca)}
        s.config.write_text(json.dumps(config))
        for number in range(30):
            (s.drop / f"{number}.jpg").write_bytes(b"x" * 2_000)
        ended = s.command("sync", ok=False)
        assert ended.returncode == 75
        assert "The server refuses each file a data connection: " in ended.stdout
        assert server.verbs().count("USER") <= 30, "for each file as many"


@pytest.mark.parametrize(
    ("publish", "refusal", "files"),
    [
        ("atomic", "521 Data connection cannot be opened with this PROT setting.", 30),
        ("direct", "534 Policy denies SSL.", 30),
        ("atomic", "534 Policy denies SSL.", 1),
    ],
)
def test_where_no_data_is_taken_under_tls_the_server_is_paused(
    tmp_path: Path, refusal: str, publish: str, files: int
) -> None:
    """It has agreed on PROT P. Each file was tried fifteen times, and blamed."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates().server)
    with (
        running("pyftpdlib") as unused,
        Scripted(STOR=refusal, tls=tls) as server,
        site(unused, tmp_path, publish=publish, server_keys={"connections": 2}) as s,
    ):
        config = json.loads(s.config.read_text())
        config["servers"]["web"] |= {"port": server.port, "tls": "explicit", "tls_ca": str(certificates().ca)}
        s.config.write_text(json.dumps(config))
        for number in range(files):
            (s.drop / f"{number}.jpg").write_bytes(b"x" * 2_000)
        ended = s.command("sync", ok=False)
    assert ended.returncode == 75
    assert f"The server takes no data under TLS: {refusal}" in ended.stdout
    assert server.verbs().count("STOR") <= 10, "some for each connection, and not all of each file"
