"""What `check` finds: at a server in memory, at real servers, and on this machine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import pytest

from ftpsyncd import patience
from ftpsyncd.claim import Claim
from ftpsyncd.cli.probe import _show
from ftpsyncd.config import Config, ControlSpec, load
from ftpsyncd.control import whereabouts
from ftpsyncd.errors import (
    DataUnreachableError,
    LoginRefusedError,
    NameRefusedError,
    PathsRefusedError,
    RemoteError,
    ServerFullError,
    ServerUnavailableError,
)
from ftpsyncd.inspection.check import check
from ftpsyncd.inspection.findings import Area, Finding, Level, exit_code
from ftpsyncd.inspection.machine import machine
from ftpsyncd.ledger.book import LEDGER, Ledger
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.remote import remedies
from ftpsyncd.remote.account import Account
from ftpsyncd.remote.memory import MemoryServer, MemorySession
from ftpsyncd.specs import AlertSpec, DeletePolicy, ExistingPolicy, PublishMode, TlsMode, WatchMode
from tests.cli.terminal import write_config
from tests.remote.scripted import Connection, Scripted
from tests.servers import running
from tests.smalldisk import small_disk


@pytest.fixture
def config(config_file) -> Config:
    return load(config_file)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(dirs={"/", "/gallery", "/shop"})


@pytest.fixture
def as_nobody():
    @contextlib.contextmanager
    def powerless():
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    if os.geteuid() != 0:
        pytest.skip("not root")
    return powerless


def found(config: Config, server: MemoryServer, **options) -> list[Finding]:
    return list(check(config, offline=False, connect=lambda _spec: server.connect(), **options))


def errors(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.subject, each.message) for each in findings if each.level is Level.ERROR]


def test_a_disk_that_hangs_is_said_to_and_keeps_nothing_else_from_being_checked(config, server, monkeypatch):
    goes_on, opened = threading.Event(), os.open

    def hangs(path: Any, *how: Any, **more: Any) -> int:
        if path == config.mappings["shop"].local:
            goes_on.wait(20)
        return opened(path, *how, **more)

    monkeypatch.setattr(patience, "ANSWER_S", 1.0)
    monkeypatch.setattr(os, "open", hangs)
    try:
        findings = found(config, server)
    finally:
        goes_on.set()
    told = {each.subject: (each.level, each.message) for each in findings if each.area is Area.MACHINE}
    shop, gallery = (config.mappings[name].local for name in ("shop", "gallery"))
    assert told["mapping shop"] == (Level.WARNING, f"The disk of {shop} has not answered for 1 s.")
    assert told["mapping gallery"] == (Level.OK, f"{gallery} can be read.")
    assert told["inotify"][1].startswith("1 folder to watch")
    assert [each for each in findings if each.area is Area.SERVER]


# ── Servers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_server_is_found_good_and_left_as_it_was(config, server):
    findings = found(config, server)
    assert errors(findings) == []
    assert exit_code(findings) == 0
    assert "mapping gallery" in {each.subject for each in findings if each.area is Area.DIRECTORY}
    assert (server.files, server.dirs) == ({}, {"/", "/gallery", "/shop"})


def test_a_good_server_is_found_good_where_nothing_can_be_written_here(config, server, monkeypatch):
    """Neither /tmp nor the current directory: a full disk, or a container that is read only."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    of_servers = [each for each in found(config, server) if each.area in {Area.SERVER, Area.DIRECTORY}]
    assert not [each for each in of_servers if each.level is Level.ERROR]


def test_directories_made_for_the_check_are_removed(config, server):
    server.dirs = {"/"}
    findings = found(config, server)
    assert errors(findings) == []
    told = [each.message for each in findings if each.subject == "mapping gallery" and each.area is Area.DIRECTORY]
    assert told == ["/gallery takes, renames and deletes files (the directory is made at the first publish)."]
    assert server.dirs == {"/"}


def test_the_trash_is_tried_and_left_as_it_was(config, server):
    mappings = {name: spec._replace(deletes=DeletePolicy.TRASH) for name, spec in config.mappings.items()}
    server.dirs |= {"/shop/.ftpsyncd-trash"}
    before = set(server.dirs)
    assert errors(found(config._replace(mappings=mappings), server)) == []
    assert server.dirs == before


@pytest.mark.parametrize("deletes", DeletePolicy)
def test_a_server_that_removes_no_directories_is_not_told_as_one_that_takes_no_files(
    config, tmp_path, deletes: DeletePolicy
):
    """Files are published there all the same; the next check, when the directory was there, found nothing wrong."""
    with running("vsftpd", denied=("RMD", "XRMD")) as server:
        spec = config.mappings["gallery"]._replace(deletes=deletes, remote="/made/gallery")
        there = config._replace(servers={"web": server.spec(name="web")}, mappings={"gallery": spec})
        findings = list(check(there, offline=False))
        assert errors(findings) == []
        (told,) = [each for each in findings if each.area is Area.DIRECTORY]
    if deletes is DeletePolicy.KEEP:
        assert (told.level, told.message) == (Level.OK, "/made/gallery takes, renames and deletes files.")
    else:
        assert told.level is Level.WARNING
        assert "takes, renames and deletes files, but directories stay there: " in told.message
        assert "RMD" in told.remedy
        assert "is parked" in told.remedy


def test_the_scratch_file_is_never_visible_half(config, server):
    seen: list[str] = []
    server.observer = lambda _verb, _path: seen.extend(
        path for path, file in server.files.items() if not path.endswith(".filepart") and not file.content
    )
    found(config, server)
    assert seen == []


def test_a_direct_mapping_is_checked_directly(config, server):
    """Without a temporary name, and without a rename, which the server may not allow."""
    seen: set[str] = set()
    server.observer = lambda _verb, path: seen.add(path)
    server.fail("RNTO", NameRefusedError("No."))
    mappings = {name: spec._replace(publish=PublishMode.DIRECT) for name, spec in config.mappings.items()}
    findings = found(config._replace(mappings=mappings), server)
    assert errors(findings) == []
    told = {each.message for each in findings if each.area is Area.DIRECTORY}
    assert told == {f"{spec.remote} takes and deletes files." for spec in mappings.values()}, "nothing was renamed"
    assert server.files == {}
    assert seen
    assert not [path for path in seen if path.endswith(".filepart")]


@pytest.mark.parametrize("verb", ["RNFR", "RNTO", ""])
def test_a_trash_into_which_nothing_can_be_moved_is_told_also_where_files_are_sent_directly(config, server, verb):
    """It was found good, and each delete was parked."""
    spec = config.mappings["gallery"]._replace(publish=PublishMode.DIRECT, deletes=DeletePolicy.TRASH)
    if verb:
        server.fail(verb, NameRefusedError("No."))
    findings = found(config._replace(mappings={"gallery": spec}), server)
    assert errors(findings) == []
    (told,) = [each for each in findings if each.area is Area.DIRECTORY]
    if verb:
        assert told.level is Level.WARNING
        assert told.message == "/gallery takes and deletes files, but renames none: `deletes: trash` cannot work: No."
    else:
        assert (told.level, told.message) == (Level.OK, "/gallery takes, renames and deletes files.")
    assert (server.files, server.dirs) == ({}, {"/", "/gallery", "/shop"})


@pytest.mark.parametrize(
    ("verb", "error", "message"),
    [
        ("CONNECT", LoginRefusedError("The server refuses user or password."), "The server refuses user or password."),
        ("CONNECT", ServerUnavailableError("Unknown host."), "Unknown host."),
        ("STOR", ServerFullError("The server is full."), "The server is full."),
        ("STOR", NameRefusedError("No."), "The remote directory /gallery cannot be written: No."),
        ("RNTO", NameRefusedError("No."), "The remote directory /gallery cannot be written: No."),
        ("DELE", NameRefusedError("No."), "/gallery takes and renames files, but deletes none: No."),
        ("STOR", ServerUnavailableError("The connection ended."), "The connection ended."),
    ],
    ids=["login", "host", "full", "store", "rename", "delete", "broken"],
)
def test_each_trouble_is_one_clear_error(config, server, verb, error, message):
    server.fail(verb, error)
    findings = found(config, server)
    assert errors(findings)[0][1] == message
    assert len(errors(findings)) == 1
    assert exit_code(findings) == error.exit_code
    [remedy] = [each.remedy for each in findings if each.level is Level.ERROR]
    assert "ftpsyncd retry" not in remedy  # there may be no daemon yet


def test_a_connection_that_ends_under_one_mapping_leaves_the_others_to_the_next_one(config, server):
    """Nothing was told of the mappings behind it, as if there were nothing to tell."""
    server.fail("STOR", ServerUnavailableError("The connection ended."))
    server.fail("STOR", ServerFullError("The server is full."))
    assert errors(found(config, server)) == [
        ("mapping gallery", "The connection ended."),
        ("mapping shop", "The server is full."),
    ]


def test_where_one_connection_after_another_ends_each_mapping_has_a_finding(config, server):
    more = {name: config.mappings["shop"]._replace(name=name) for name in ("first", "second", "third", "fourth")}
    server.fail("STOR", ServerUnavailableError("The connection ended."), times=9)
    findings = found(config._replace(mappings=more), server)
    assert errors(findings) == [(f"mapping {name}", "The connection ended.") for name in ("first", "second")]
    assert [(each.subject, each.level) for each in findings if "was not tried" in each.message] == [
        ("mapping third", Level.WARNING),
        ("mapping fourth", Level.WARNING),
    ]


def test_where_no_further_connection_can_be_had_each_mapping_has_a_finding(config, server):
    more = {name: config.mappings["shop"]._replace(name=name) for name in ("first", "second", "third")}
    server.fail("STOR", ServerUnavailableError("The connection ended."))
    server.fail("CONNECT", ServerUnavailableError("Nobody answers."), nth=2, times=9)
    findings = found(config._replace(mappings=more), server)
    assert errors(findings) == [("mapping first", "The connection ended."), ("mapping second", "Nobody answers.")]
    assert [each.subject for each in findings if "was not tried" in each.message] == ["mapping third"]


def test_a_connection_that_has_served_is_replaced_again_when_it_ends(config, server):
    more = {name: config.mappings["shop"]._replace(name=name) for name in ("first", "second", "third", "fourth")}
    for nth in (1, 2):  # the second one of those that are left
        server.fail("STOR", ServerUnavailableError("The connection ended."), nth=nth)
    findings = found(config._replace(mappings=more), server)
    assert errors(findings) == [(f"mapping {name}", "The connection ended.") for name in ("first", "third")]
    assert not [each for each in findings if "was not tried" in each.message]


def test_each_mapping_is_tried_at_its_own_server_only(config, server):
    servers = {**config.servers, "other": config.servers["web"]._replace(name="other")}
    findings = found(config._replace(servers=servers), server)
    assert [each.subject for each in findings if each.area is Area.DIRECTORY] == ["mapping gallery", "mapping shop"]


def test_the_root_of_an_account_is_told_by_its_name(config, server):
    server.fail("STOR", NameRefusedError("No."))
    findings = found(config._replace(mappings={"gallery": config.mappings["gallery"]._replace(remote="/")}), server)
    assert errors(findings) == [("mapping gallery", "The remote directory / cannot be written: No.")]


def test_a_connection_that_ends_before_the_scratch_file_is_sent_is_told(config, server):
    class Ends(MemorySession):
        """Ends before it publishes anything, and without an error."""

        def publish(self, _jobs):
            self.close()
            yield from ()

    (told,) = errors(
        list(
            check(
                config._replace(mappings={"shop": config.mappings["shop"]}),
                offline=False,
                connect=lambda _: Ends(server),
            )
        )
    )
    assert told == ("mapping shop", "The server ended the connection before the scratch file was sent.")


def test_a_dead_server_hides_nothing_about_the_others(config, server):
    servers = {"dead": config.servers["web"]._replace(name="dead"), **config.servers}

    def connect(spec):
        if spec.name == "dead":
            raise ServerUnavailableError("Nobody answers.")
        return server.connect()

    findings = list(check(config._replace(servers=servers), offline=False, connect=connect))
    assert errors(findings) == [("server dead", "Nobody answers.")]
    assert "Logged in" in " ".join(each.message for each in findings if each.subject == "server web")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tls": TlsMode.OFF}, []),
        ({"tls": TlsMode.EXPLICIT, "tls_verify": False}, ["Encrypted with TLS; the certificate is not verified."]),
        ({"tls": TlsMode.EXPLICIT}, ["Encrypted with TLS; the certificate verifies."]),
    ],
)
def test_the_protection_is_said_and_warned_of_once(config, server, changes, told):
    """What there is too little of is a warning of the configuration, which is loaded before."""
    findings = found(config._replace(servers={"web": config.servers["web"]._replace(**changes)}), server)
    assert [each.message for each in findings if "ncrypted" in each.message] == told
    assert not [each for each in findings if each.level is Level.WARNING and each.area is Area.SERVER]


def test_an_address_of_version_6_stands_in_brackets(config, server, capsys):
    spec = config.servers["web"]._replace(host="2001:db8::1", port=2121)
    findings = found(config._replace(servers={"web": spec}), server)
    assert f"Logged in to [2001:db8::1]:2121 as {spec.user}." in {each.message for each in findings}
    _show("web", Account(spec), [])
    assert f"web:{spec.user}@[2001:db8::1]:2121" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["pyftpdlib", "vsftpd", "proftpd", "pure-ftpd"])
def test_a_real_server_is_found_good(kind, tmp_path, ftpsyncd, config_file):
    with running(kind) as real:
        before = sorted(real.home.iterdir())
        ended = ftpsyncd("check", "--json", "-c", write_config(tmp_path, port=real.port))
        document = json.loads(ended.out)
        assert ended.code == document["exit_code"] == 0, ended
        assert sorted(real.home.iterdir()) == before
    (offers,) = [each["message"] for each in document["findings"] if "The server offers" in each["message"]]
    assert "one command at a time" not in offers


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_a_server_that_renames_nothing_is_a_warning(config, kind):
    with running(kind, denied=("RNTO",)) as real:
        servers = {"web": real.spec(name="web")}
        trash = config.mappings["shop"]._replace(deletes=DeletePolicy.TRASH)
        mappings = {**config.mappings, "shop": trash}
        findings = list(check(config._replace(servers=servers, mappings=mappings), offline=False))
        assert errors(findings) == []
        assert exit_code(findings) == 0
        told = {each.subject: each for each in findings if "under their final names" in each.message}
        assert told.keys() == {"mapping gallery", "mapping shop"}
        assert {each.level for each in told.values()} == {Level.WARNING}
        assert ["trash" in told[f"mapping {name}"].message for name in ("gallery", "shop")] == [False, True]
        assert list(real.home.iterdir()) == []


def test_where_a_host_has_other_addresses_one_without_data_connections_is_passed_over(config, monkeypatch):
    """As the daemon does it."""
    with socket.socket() as kept, Scripted(EPSV="229 Here (|||1|)") as shut, Scripted() as good:
        kept.bind(("127.0.0.1", 0))
        closed = kept.getsockname()[1]
        shut.script |= {"EPSV": f"229 Here (|||{closed}|)", "PASV": "425 None."}
        ways = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", each.port)) for each in (shut, good)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_where, **_how: list(ways))
        only = config._replace(servers={"web": shut.spec(name="web")}, mappings={"gallery": config.mappings["gallery"]})
        found = list(check(only, offline=False))
        ways.pop()
        failed = list(check(only, offline=False))
    assert [each for each in errors(found) if "gallery" in each[0]] == []
    assert "The server offers" in str([each.message for each in found])
    ((_, message),) = [each for each in errors(failed) if "gallery" in each[0]]
    assert "data connection" in message
    assert set(good.files) == set()


def test_a_server_that_takes_only_relative_names_leaves_the_other_addresses_to_be_tried(config, monkeypatch):
    """It had been counted as an address without data connections, of which a host with two has no more to try."""
    unreached = DataUnreachableError("No data connection.")
    unreached.others = 1
    refusals: list[RemoteError] = [PathsRefusedError("Relative names only."), unreached]

    def rights(_mapping: object, _session: object) -> Finding:
        if refusals:
            raise refusals.pop(0)
        return Finding(Level.OK, Area.DIRECTORY, "mapping g", "Fine.")

    monkeypatch.setattr("ftpsyncd.inspection.check.rights", rights)
    with Scripted() as server:
        only = config._replace(
            servers={"web": server.spec(name="web")}, mappings={"gallery": config.mappings["gallery"]}
        )
        found = [each.message for each in check(only, offline=False)]
    assert "Fine." in found


@pytest.mark.parametrize(
    ("script", "offers"),
    [
        ({}, "EPSV, SIZE, REST, dates by MFMT"),
        ({"MFMT": "502 No."}, "EPSV, SIZE, REST"),
        ({"FEAT": "502 No."}, "the minimum"),
    ],
)
def test_what_a_server_offers_is_told_as_it_was_found(config, script, offers):
    with Scripted(**script) as server:
        found = list(check(config._replace(servers={"web": server.spec(name="web")}), offline=False))
    assert [each.message for each in found if "The server offers" in each.message] == [f"The server offers: {offers}."]


def test_where_a_login_that_would_help_is_refused_each_mapping_has_a_finding(config, monkeypatch):
    def rights(_mapping: object, _session: object) -> Finding:
        raise PathsRefusedError("Relative names only.")

    monkeypatch.setattr("ftpsyncd.inspection.check.rights", rights)
    with Scripted(GREETING=[None, *9 * ["530 No more today."]]) as server:
        found = list(check(config._replace(servers={"web": server.spec(name="web")}), offline=False))
    assert [subject for subject, message in errors(found) if "No more today" in message] == ["mapping gallery"]
    assert [each.subject for each in found if "was not tried" in each.message] == ["mapping shop"]
    assert not [each for each in found if each.message.startswith("The server offers")]


class TestALoginThatLeadsElsewhere:
    """Nothing may be written at the root, as at a server that does not lock its users into their directories."""

    def remedies(self, config: Config, remote: str, home: str, **script: Any) -> list[str]:
        async def where(c: Connection, _words: str) -> None:
            # A directory that was gone to is another one.
            await c.say(f'257 "{home if c.directory == "/" else c.directory}"')

        with Scripted(PWD=where, MKD="550 Permission denied.", STOR="550 Permission denied.", **script) as other:
            mapping = config.mappings["gallery"]._replace(remote=remote)
            servers = {"web": other.spec(name="web")}
            findings = list(check(config._replace(servers=servers, mappings={"gallery": mapping}), offline=False))
        return [each.remedy for each in findings if each.subject == "mapping gallery" and each.level is Level.ERROR]

    @pytest.mark.parametrize(
        ("remote", "meant"),
        [
            ("/", "web:/home/u"),
            ("/htdocs/gallery", "web:/home/u/htdocs/gallery"),
            ("/home/under", "web:/home/u/home/under"),
        ],
    )
    def test_what_to_write_is_said(self, config, remote, meant):
        (remedy,) = self.remedies(config, remote, "/home/u")
        assert f"The login leads to /home/u: if the directory is there, set `remote: {meant}`" in remedy

    @pytest.mark.parametrize(
        ("remote", "home"), [("/home/u/in", "/home/u"), ("/home/u", "/home/u"), ("/in", "/"), ("/in", "C:")]
    )
    def test_where_that_cannot_help_nothing_is_said_of_it(self, config, remote, home):
        (remedy,) = self.remedies(config, remote, home)
        assert "login" not in remedy

    def test_where_it_cannot_be_asked_for_the_usual_is_said(self, config):
        (remedy,) = self.remedies(config, "/", "/home/u", GREETING=[None, *9 * ["421 Not again."]])
        assert remedy == "Correct `remote`, or the permissions at the server, then run `ftpsyncd check`."


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
@pytest.mark.parametrize("denied", [("DELE",), ("DELE", "RNFR"), ("DELE", "RNTO")])
def test_a_server_that_deletes_nothing_is_said_to_and_what_stays_there_is_named(config, kind, denied):
    with running(kind, denied=denied) as real:
        servers = {"web": real.spec(name="web")}
        shop = config.mappings["shop"]._replace(deletes=DeletePolicy.KEEP, publish=PublishMode.DIRECT)
        mappings = {"gallery": config.mappings["gallery"], "shop": shop}
        findings = list(check(config._replace(servers=servers, mappings=mappings), offline=False))
        told = {each.subject: each for each in findings if "deletes none" in each.message}
        assert {name: each.level for name, each in told.items()} == {
            "mapping gallery": Level.ERROR,
            "mapping shop": Level.WARNING,
        }
        gallery = told["mapping gallery"]
        assert "cannot be written" not in gallery.message
        assert ("but renames and deletes none" in gallery.message) == (len(denied) > 1)
        assert "renames" not in told["mapping shop"].message
        assert ("`publish: direct`" in gallery.remedy) == (len(denied) > 1)
        assert "`deletes: keep`" in gallery.remedy
        left = {f"/{path.relative_to(real.home)}" for path in real.home.rglob("*") if path.is_file()}
        assert left
        assert all(any(path in each.remedy for each in told.values()) for path in left)


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "denied"), [("vsftpd", ("SIZE", "MDTM", "LIST", "NLST")), ("proftpd", ("READ", "DIRS"))]
)
def test_where_nobody_may_look_it_says_what_does_not_work_and_finds_no_fault_where_nothing_is_missing(
    config, kind, denied
):
    with running(kind, denied=denied) as real:
        mirrors, adds = config.mappings["gallery"], config.mappings["shop"]._replace(deletes=DeletePolicy.KEEP)
        keeps = mirrors._replace(name="keeps", deletes=DeletePolicy.KEEP, existing=ExistingPolicy.KEEP, remote="/k")
        mappings = {"gallery": mirrors, "shop": adds, "keeps": keeps}
        servers = {"web": real.spec(name="web")}
        findings = list(check(config._replace(servers=servers, mappings=mappings), offline=False))
        told = {each.subject: each for each in findings if each.area is Area.DIRECTORY}
        assert {name: each.level for name, each in told.items()} == {
            "mapping gallery": Level.ERROR,
            "mapping shop": Level.OK,
            "mapping keeps": Level.ERROR,
        }
        gallery, kept = told["mapping gallery"], told["mapping keeps"]
        assert "so that none is deleted there: " in gallery.message
        assert gallery.remedy == "Have the server allow SIZE and LIST, or set `deletes: keep`."
        assert "so that with `existing: keep` none is sent: " in kept.message
        assert kept.remedy == "Have the server allow SIZE and LIST, or set `existing: adopt`."
        assert not list(real.home.iterdir())


@pytest.mark.parametrize("kind", ["vsftpd", "proftpd"])
def test_a_real_server_with_tls_is_found_good_and_with_a_stranger_certificate_is_not(kind, config):
    with running(kind, tls="explicit", host="127.0.0.1") as real:
        trusted = config._replace(servers={"web": real.spec(name="web")})
        assert errors(list(check(trusted, offline=False))) == []
        strange = config._replace(servers={"web": real.spec(name="web", tls_ca=None)})
        (subject, message), *more = errors(list(check(strange, offline=False)))
    assert (subject, more) == ("server web", [])
    assert "certificate" in message


def test_a_wrong_password_at_a_real_server(config):
    with running("pyftpdlib") as real:
        wrong = config._replace(servers={"web": real.spec(name="web", password=lambda: "not this")})
        findings = list(check(wrong, offline=False))
    ((subject, message),) = errors(findings)
    assert subject == "server web"
    assert "not this" not in message
    assert exit_code(findings) == 75


def test_a_remote_directory_without_write_permission_at_a_real_server(config):
    with running("pyftpdlib", writable=False) as real:
        findings = list(check(config._replace(servers={"web": real.spec(name="web")}), offline=False))
    assert {subject for subject, _ in errors(findings)} == {"mapping gallery", "mapping shop"}
    assert exit_code(findings) == 1


@pytest.mark.parametrize("tls_max", ["1.2", "1.3"])
def test_the_version_of_tls_is_named(config, tls_max):
    with running("pyftpdlib", tls="explicit") as real:
        spec = real.spec(name="web", tls_max=tls_max)
        messages = [each.message for each in check(config._replace(servers={"web": spec}), offline=False)]
    assert f"Encrypted with TLS {tls_max}; the certificate verifies." in messages


@pytest.mark.real_server
def test_a_server_that_takes_no_hidden_names_is_good_enough(config):
    with running("proftpd", directives=('PathDenyFilter "(^|/)[.]"',)) as real:
        servers = {"web": real.spec(name="web")}
        assert errors(list(check(config._replace(servers=servers), offline=False))) == []
        mappings = {"shop": config.mappings["shop"]._replace(deletes=DeletePolicy.TRASH)}
        findings = list(check(config._replace(servers=servers, mappings=mappings), offline=False))
        [(subject, message)] = errors(findings)
        assert subject == "mapping shop"
        assert "`deletes: trash` cannot work: " in message
        [finding] = [each for each in findings if each.level is Level.ERROR]
        assert finding.remedy == remedies.NO_TRASH, "`remote` and the permissions are as they should be"
        assert list(real.home.iterdir()) == []


ANON = tuple(f"anon_{may}_enable=YES" for may in ("upload", "mkdir_write", "other_write"))


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "directives"),
    [
        ("vsftpd", ("local_umask={}",)),
        ("vsftpd", ("virtual_use_local_privs=NO", "anon_world_readable_only=NO", *ANON, "anon_umask={}")),
        ("proftpd", ("<Directory /*>", "Umask {} {}", "</Directory>")),
        ("pure-ftpd", ("-U{}:{}",)),
    ],
)
@pytest.mark.parametrize(("umask", "is_private"), [("077", True), ("027", False), ("022", False)])
def test_where_nobody_else_may_read_what_is_published_it_is_said(config, kind, directives, umask, is_private):
    """vsftpd is like that if its configuration says nothing: what is published is there, and no web server has it."""
    with running(kind, directives=tuple(each.format(umask, umask) for each in directives)) as real:
        findings = list(check(config._replace(servers={"web": real.spec(name="web")}), offline=False))
        assert errors(findings) == []
        warnings = [each for each in findings if each.level is Level.WARNING and each.area is Area.DIRECTORY]
        assert ["lets nobody else read them" in each.message for each in warnings] == [True] * len(warnings)
        assert bool(warnings) is is_private
        assert all(
            "`local_umask=022` of vsftpd, with `anon_umask=022` for its virtual" in each.remedy for each in warnings
        )
        assert list(real.home.iterdir()) == []


# ── This machine and the configuration ───────────────────────────────────────────────────────────────────────────


def test_offline_asks_no_server(config):
    def connect(_spec):
        raise AssertionError("asked a server")

    findings = list(check(config, offline=True, connect=connect))
    assert {each.area for each in findings} == {Area.CONFIG, Area.MACHINE}
    assert exit_code(findings) == 0


def test_a_socket_whose_path_is_too_long_is_an_error(config):
    control = config.control._replace(socket=Path("/run") / ("x" * 108))
    findings = list(check(config._replace(control=control), offline=True))
    assert [subject for subject, _ in errors(findings)] == ["control"]
    assert exit_code(findings) == 78


def told_of_socket(config: Config, path: Path) -> list[Finding]:
    control = config.control._replace(socket=path)
    return [each for each in check(config._replace(control=control), offline=True) if each.subject == "control"]


def test_a_socket_that_can_be_made_is_not_told_and_leaves_nothing(config):
    with tempfile.TemporaryDirectory() as place:
        assert told_of_socket(config, Path(place, "control.sock")) == []
        assert told_of_socket(config, Path(place, "new", "sub", "control.sock")) == []
        # As long as it may be: what is tried has another name.
        assert told_of_socket(config, Path(place, "x" * (106 - len(os.fsencode(place))))) == []
        assert list(Path(place).iterdir()) == []


def test_a_socket_that_a_killed_daemon_left_is_no_error(config):
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{place}/control.sock")
        left.close()
        assert told_of_socket(config, Path(place, "control.sock")) == []


@pytest.mark.parametrize("name", ["file", "file/control.sock", "file/sub/control.sock", "folder"])
def test_a_socket_that_cannot_be_made_is_an_error(config, name):
    with tempfile.TemporaryDirectory() as place:
        Path(place, "file").touch()
        Path(place, "folder").mkdir()
        [found] = told_of_socket(config, Path(place, name))
        assert (found.level, found.area) == (Level.ERROR, Area.MACHINE)
        assert name in found.message
        assert found.message.endswith("the daemon does not start.")
        assert exit_code([found]) == 78


@pytest.mark.root
def test_a_socket_in_a_directory_without_rights_is_an_error(config, as_nobody):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        for name in ("control.sock", "sub/control.sock"):
            with as_nobody():
                [found] = told_of_socket(config, Path(place, name))
            assert found.level is Level.ERROR
            assert "permission denied" in found.message


@pytest.mark.root
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "another's"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("closed/control.sock", "cannot be used: permission denied"),
        ("control.sock", "is taken by a socket that this user may not use"),
        ("file", "is taken by something that is no socket"),
    ],
)
def test_a_socket_that_is_closed_to_who_has_the_state_directory_is_an_error(config, as_nobody, name, why, ours):
    """A daemon of his does not start; who has not the state directory may ask about another one's, which runs."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as left:
        Path(place).chmod(0o755)
        Path(place, "closed").mkdir(mode=0o700)
        left.bind(f"{place}/control.sock")
        left.close()
        for each in ("control.sock", "file"):
            Path(place, each).touch()
            Path(place, each).chmod(0o600)
        state_dir = Path(place, "state")
        state_dir.mkdir(mode=0o700)
        shutil.chown(state_dir, 65534 if ours else 0)
        config = config._replace(state_dir=state_dir)
        with as_nobody():
            found = told_of_socket(config, Path(place, name))
            assert [(each.level, why in each.message) for each in found] == ([(Level.ERROR, True)] if ours else [])
            if ours:
                with Claim(state_dir):
                    assert told_of_socket(config, Path(place, name)) == [], "a daemon runs that may have it"


@pytest.mark.root
def test_a_directory_that_systemd_makes_for_the_socket_need_not_be_there(config, as_nobody):
    with as_nobody():
        [found] = told_of_socket(config, Path("/run/ftpsyncd-of-no-machine/control.sock"))
    assert found.level is Level.OK
    assert "RuntimeDirectory" in found.message
    with tempfile.TemporaryDirectory(dir="/run") as of_somebody:
        Path(of_somebody).chmod(0o755)
        with as_nobody():
            [found] = told_of_socket(config, Path(of_somebody, "control.sock"))
    assert found.level is Level.ERROR, "it is there, and closed"


def test_a_port_for_monitoring_that_is_taken_is_an_error_unless_a_daemon_has_it(config):
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as other:
        path = Path(place, "control.sock")
        control = ControlSpec(path, ("127.0.0.1", other.getsockname()[1]))
        config = config._replace(control=control)
        findings = list(check(config, offline=True))
        assert [subject for subject, _ in errors(findings)] == ["control"]
        assert exit_code(findings) == 78
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.bind(str(path))
            daemon.listen()
            assert errors(list(check(config, offline=True))) == []
            config.state_dir.mkdir()
            whereabouts.note(config.state_dir, path, whereabouts.identity(path))
            moved = config._replace(control=ControlSpec(Path(place, "new.sock"), control.http))
            assert errors(list(check(moved, offline=True))) == []
    assert errors(list(check(config, offline=True))) == []


def test_a_port_on_which_the_last_daemon_has_ended_connections_is_free(config):
    """The kernel has it for a minute more; the daemon takes it all the same."""
    with socket.create_server(("127.0.0.1", 0)) as last, socket.create_connection(last.getsockname()) as asking:
        host, port = last.getsockname()
        last.accept()[0].close()
        assert asking.recv(1) == b""
    with socket.socket() as careless, pytest.raises(OSError, match="in use"):
        careless.bind((host, port))
    config = config._replace(control=ControlSpec(config.control.socket, (host, port)))
    assert errors(list(machine(config))) == []


def test_an_address_for_monitoring_that_this_machine_has_not_is_an_error(config, monkeypatch):
    """Without IPv6 in the kernel, check ended with a traceback, as the daemon did."""
    real = socket.socket

    def make(family=socket.AF_INET, *more, **options):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, *more, **options)

    monkeypatch.setattr("ftpsyncd.inspection.machine.socket.socket", make)
    config = config._replace(control=config.control._replace(http=("::1", 9100)))
    (found,) = [each for each in check(config, offline=True) if "9100" in each.message]
    assert (found.level, found.subject) == (Level.ERROR, "control")
    assert "address family not supported" in found.message
    assert "127.0.0.1" in found.remedy


def test_a_missing_folder_is_a_warning(config):
    config.mappings["gallery"].local.rmdir()
    (finding,) = [each for each in check(config, offline=True) if each.subject == "mapping gallery"]
    assert finding.level is Level.WARNING
    assert "not there" in finding.message


def test_a_folder_that_is_a_file_is_an_error(config):
    config.mappings["gallery"].local.rmdir()
    config.mappings["gallery"].local.write_text("")
    findings = list(check(config, offline=True))
    assert [subject for subject, _ in errors(findings)] == ["mapping gallery"]
    assert exit_code(findings) == 78


@pytest.mark.root
def test_a_link_that_may_not_lead_to_the_folder_is_an_error(config, tmp_path):
    local = config.mappings["gallery"].local
    local.rmdir()
    local.symlink_to(tmp_path)
    os.lchown(local, 61_001, 61_001)
    (found,) = [each for each in check(config, offline=True) if each.subject == "mapping gallery"]
    assert (found.level, found.message[: len(f"{local} cannot")]) == (Level.ERROR, f"{local} cannot")
    assert "chown -h root" in found.message


@pytest.mark.root
def test_a_folder_that_can_be_listed_and_not_entered_is_an_error(config, as_nobody):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place, "drop")
        folder.mkdir()
        folder.chmod(0o744)
        mappings = {"gallery": config.mappings["gallery"]._replace(local=folder)}
        with as_nobody():
            findings = list(check(config._replace(mappings=mappings), offline=True))
    [found] = [each for each in findings if each.subject == "mapping gallery"]
    assert (found.level, found.message.split(": ")[0]) == (Level.ERROR, f"{folder} can be listed, but not entered")


@pytest.mark.root
def test_a_state_dir_behind_a_closed_folder_is_an_error(config, tmp_path, as_nobody):
    (tmp_path / "closed").mkdir(mode=0o700)
    with as_nobody():
        findings = list(check(config._replace(state_dir=tmp_path / "closed" / "state"), offline=True))
    assert "state_dir" in [subject for subject, _ in errors(findings)]


def test_a_state_dir_that_cannot_be_written_is_an_error(config):
    findings = list(check(config._replace(state_dir=Path("/proc/ftpsyncd")), offline=True))
    assert [subject for subject, _ in errors(findings)] == ["state_dir"]
    [told] = [each for each in findings if each.subject == "state_dir"]
    assert told.remedy.startswith("Make it writable for the user that runs ftpsyncd")
    assert exit_code(findings) == 78


def test_a_state_dir_behind_a_link_is_in_order_also_before_it_is_made(config, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "disk")
    folder = tmp_path / "var" / "state"
    for made in (" (it is made at the first start)", ""):
        [told] = [each for each in machine(config._replace(state_dir=folder)) if each.subject == "state_dir"]
        assert (told.level, told.message) == (Level.OK, f"{folder} is writable{made}.")
        folder.mkdir(exist_ok=True)


@pytest.mark.parametrize("below", ["", "deeper"])
@pytest.mark.parametrize("place", ["a link to nothing", "a link to itself", "a name that no disk takes", "a file"])
def test_a_state_dir_that_cannot_be_made_is_an_error(config, tmp_path, place, below):
    folder = tmp_path / "state"
    match place:
        case "a link to nothing":
            folder.symlink_to(tmp_path / "not mounted" / "state")
        case "a link to itself":
            folder.symlink_to(folder)
        case "a name that no disk takes":
            folder = tmp_path / ("a" * 300)
        case _:
            folder.write_bytes(b"")
    findings = list(check(config._replace(state_dir=folder / below), offline=True))
    assert "state_dir" in [subject for subject, _ in errors(findings)]


@pytest.mark.root
@pytest.mark.parametrize("name", ["lock", "ledger.db", "ledger.db-wal"])
def test_what_another_user_has_made_in_the_state_dir_is_an_error(config, as_nobody, name):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        Path(place, name).touch(0o644)
        with as_nobody():
            findings = list(check(config._replace(state_dir=Path(place)), offline=True))
    [found] = [each for each in findings if each.subject == "state_dir" and each.level is not Level.WARNING]
    assert found.level is Level.ERROR
    assert found.message.startswith(f"{place}/{name} ")
    assert "chown -R" in found.remedy


@pytest.mark.root
@pytest.mark.parametrize("http", [("127.0.0.1", 0), None])
def test_a_token_that_another_user_has_made_is_an_error_where_it_is_needed(config, as_nobody, http):
    """Root had started the daemon once, by hand: `check` was content then, and the service did not start."""
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        Path(place, "control.token").touch(0o600)
        there = config._replace(state_dir=Path(place), control=ControlSpec(Path(place, "control.sock"), http))
        with as_nobody():
            told = [each for each in check(there, offline=True) if each.subject == "state_dir"]
    assert [each.level for each in told] == [Level.ERROR if http else Level.OK]
    assert ("control.token" in told[0].message) == (http is not None)


@pytest.mark.parametrize("http", [("127.0.0.1", 0), None])
@pytest.mark.parametrize(("content", "mode", "why"), [("t" * 40, 0o640, "others can read it"), ("", 0o600, "no token")])
def test_a_token_that_the_daemon_refuses_is_an_error_where_it_is_needed(config, tmp_path, http, content, mode, why):
    """As after `chmod -R` or a restore: `check` was content, and the daemon did not start."""
    (tmp_path / "control.token").write_text(content)
    (tmp_path / "control.token").chmod(mode)
    there = config._replace(state_dir=tmp_path, control=ControlSpec(tmp_path / "control.sock", http))
    (found,) = (each for each in check(there, offline=True) if each.subject == "state_dir")
    assert found.level is (Level.ERROR if http else Level.OK)
    assert (why in found.message) == (http is not None)
    assert ("Remove" in found.remedy) == (http is not None)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize(("size", "fits"), [("128k", False), ("512k", True)])
def test_a_disk_without_room_for_a_new_ledger_is_as_good_as_full(config, tmp_path, size, fits):
    with small_disk(tmp_path / "small", f"size={size}") as place:
        findings = list(check(config._replace(state_dir=place), offline=True))
    assert [subject for subject, _ in errors(findings)] == ([] if fits else ["state_dir"])


def test_a_ledger_that_no_start_goes_on_with_is_told(config):
    """After a step back to an older version it works no more, whatever else is in order."""
    config.state_dir.mkdir()
    path = config.state_dir / LEDGER
    Ledger(path).close()
    assert [each.level for each in check(config, offline=True) if each.subject == "state_dir"] == [Level.OK]
    with contextlib.closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version={version + 1}")
    findings = list(check(config, offline=True))
    [found] = [each for each in findings if each.subject == "state_dir"]
    assert (found.level, exit_code(findings)) == (Level.ERROR, 78)
    assert f"was written by a newer ftpsyncd (schema {version + 1}, known {version})" in found.message
    assert "Install the newer version again" in found.remedy
    path.write_bytes(b"no database" * 1000)
    [found] = [each for each in check(config, offline=True) if each.subject == "state_dir"]
    assert found.level is Level.WARNING
    assert "sets it aside and begins a new one" in found.remedy


@pytest.mark.parametrize(("rights", "warned"), [(0o755, True), (0o750, False)])
def test_a_disk_that_keeps_no_rights_is_warned_of_where_others_get_at_it(config, monkeypatch, rights, warned):
    """As with CIFS and FAT, where a mount says the rights of all files."""
    config.state_dir.mkdir()
    config.state_dir.chmod(rights)
    make = tempfile.TemporaryFile

    def make_for_all(*, dir: Path) -> IO[bytes]:  # noqa: A002 - as it is called there
        made: IO[bytes] = make(dir=dir)
        os.fchmod(made.fileno(), 0o755)
        return made

    assert [each.level for each in check(config, offline=True) if each.subject == "state_dir"] == [Level.OK]
    monkeypatch.setattr("tempfile.TemporaryFile", make_for_all)
    found = [each for each in check(config, offline=True) if each.subject == "state_dir"]
    assert [each.level for each in found] == [Level.OK, *[Level.WARNING] * warned]


def test_a_full_disk_is_no_writable_state_dir(config, monkeypatch):
    def on_a_full_disk(**_where: object) -> IO[bytes]:
        return Path("/dev/full").open("wb")

    monkeypatch.setattr("tempfile.TemporaryFile", on_a_full_disk)
    findings = list(check(config, offline=True))
    [full] = [each for each in findings if each.level is Level.ERROR]
    assert (full.subject, full.remedy) == ("state_dir", "Free space on that disk.")


@pytest.mark.parametrize(
    ("command", "subjects"), [("/nowhere/tell", ["alerts"]), ("no-such-program", ["alerts"]), ("cat", [])]
)
def test_an_alert_command_that_is_not_there_is_an_error(config, command, subjects):
    findings = list(check(config._replace(alerts=AlertSpec((command, "x"))), offline=True))
    assert [subject for subject, _ in errors(findings)] == subjects
    assert exit_code(findings) == (78 if subjects else 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"echo hello\n", "tell is no program."),
        (b"#!/bin/sh\r\ntrue\r\n", "tell has line ends of Windows"),
        (b"#!/usr/bin/pyhton3 -u\n", "/usr/bin/pyhton3, which is to run "),
        (b"#!\n", "tell is no program."),
        (b"", "tell is no program."),
        (b"#! /bin/sh -e\n", ""),
        (b"\x7fELF\x02\r\n", ""),
    ],
)
def test_a_script_that_the_kernel_does_not_run_is_an_error(config, tmp_path, content, said):
    """An alert ended with "Exec format error", or with "No such file or directory" of a file that is there."""
    (tmp_path / "tell").write_bytes(content)
    (tmp_path / "tell").chmod(0o755)
    spec = AlertSpec(command=(str(tmp_path / "tell"),))
    told = [each.message for each in check(config._replace(alerts=spec), offline=True) if each.subject == "alerts"]
    assert len(told) == bool(said)
    assert said.replace("tell", quote(str(tmp_path / "tell"))) in "".join(told)


def test_a_program_whose_disk_does_not_answer_is_not_waited_for(config, tmp_path, monkeypatch):
    monkeypatch.setattr(patience, "ANSWER_S", 0.1)
    program = tmp_path / "tell"
    os.mkfifo(program, 0o755)
    spec = AlertSpec(command=(str(program),))
    found = [each for each in check(config._replace(alerts=spec), offline=True) if each.subject == "alerts"]
    with program.open("wb"):
        pass  # it answers
    assert [(each.level, each.message) for each in found] == [
        (Level.WARNING, f"The disk of {quote(str(program))} has not answered for 0.1 s.")
    ]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hooks.example.com/SECRET", "does not begin with https://"),
        ("https:hooks.example.com/SECRET", "names no host"),
        ("https://[hooks.example.com/SECRET", "is no URL"),
        ("https://hooks.example.com:port/SECRET", "is no URL"),
        (
            "https://me:SECRET@hooks.example.com/",
            "has a user in it, who would not be told: have `alerts.command` call it",
        ),
        ("https://hooks.example.com/SECRET two", "holds a character that has to be percent-encoded"),
        ("https://hooks.example.com/?SECRET=ü", "holds a character that has to be percent-encoded"),
        ("https://hooks.example.com/SECRET", ""),
    ],
)
def test_a_webhook_to_which_nothing_can_be_posted_is_an_error(config, address, said):
    findings = list(check(config._replace(alerts=AlertSpec((), lambda: address)), offline=True))
    expected = [("alerts", f"The address of the webhook {said}.")] if said else []
    assert errors(findings) == expected
    assert "SECRET" not in str(findings)


def test_a_webhook_whose_address_cannot_be_read_is_one_error(config_file, ftpsyncd, monkeypatch):
    monkeypatch.delenv("NO_SUCH_ADDRESS", raising=False)
    config_file.write_text(f"{config_file.read_text()}alerts: {{webhook: {{env: NO_SUCH_ADDRESS}}}}\n")
    ended = ftpsyncd("check", "--offline", "--json", "-c", config_file)
    assert ended.code == 78
    [told] = [each for each in json.loads(ended.out)["findings"] if each["level"] == "error"]
    assert (told["subject"], "NO_SUCH_ADDRESS" in told["message"]) == ("secrets", True)


@pytest.mark.parametrize("keys", ["tls_ca: junk.pem", "client_cert: junk.pem, client_key: junk.pem"])
def test_a_certificate_that_is_none_is_an_error_of_the_configuration(config_file, ftpsyncd, keys):
    (config_file.parent / "junk.pem").write_text("no certificate\n")
    config_file.write_text(config_file.read_text().replace('tls: "off"', f"tls: implicit, {keys}"))
    config_file.chmod(0o600)
    key = keys.partition(":")[0]
    line, column = next(
        (n, text.index(keys)) for n, text in enumerate(config_file.read_text().splitlines(), 1) if keys in text
    )
    where = f"{config_file}:{line}:{column + len(key) + 3}  servers.web.{key}: {config_file.parent / 'junk.pem'}"
    ended = ftpsyncd("check", "--offline", "-c", config_file)
    assert ended.code == 78
    assert where in ended.out
    mapping = next(iter(load(config_file).mappings))
    for command in (["ls", "web"], ["rm", "web:/a"], ["probe", "web"], ["verify", mapping]):
        ended = ftpsyncd(*command, "-c", config_file)
        assert ended.code == 78
        assert where in ended.err


def test_a_missing_password_is_an_error_of_the_configuration(tmp_path, config_file, ftpsyncd, monkeypatch):
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    config_file.write_text(config_file.read_text().replace("password: secret", "password: {env: NO_SUCH_PASSWORD}"))
    ended = ftpsyncd("check", "--offline", "-c", config_file)
    assert ended.code == 78
    assert "NO_SUCH_PASSWORD" in ended.out
    assert "All passwords can be read" not in ended.out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("password: secret", "password: {env: NO_SUCH_PASSWORD}"),
        ('tls: "off"', "tls: implicit, tls_ca: none.pem"),
        ('tls: "off"', "tls: implicit, tls_ca: junk.pem"),
    ],
)
def test_what_a_server_lacks_here_is_one_error_and_the_server_is_left_alone(
    config_file, ftpsyncd, monkeypatch, before, after
):
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    (config_file.parent / "junk.pem").write_text("no certificate\n")
    config_file.write_text(config_file.read_text().replace(before, after))
    config_file.chmod(0o600)
    ended = ftpsyncd("check", "--json", "-c", config_file)
    assert ended.code == 78
    findings = json.loads(ended.out)["findings"]
    assert [each["area"] for each in findings if each["level"] == "error"] == ["config"]
    assert "server" not in [each["area"] for each in findings]


def test_too_many_folders_are_a_warning_with_the_command_that_helps(config, tmp_path, monkeypatch):
    (tmp_path / "max_user_watches").write_text("2\n")
    monkeypatch.setattr("ftpsyncd.inspection.machine.INOTIFY", tmp_path)
    (finding,) = [each for each in check(config, offline=True) if each.subject == "inotify"]
    assert finding.level is Level.WARNING
    assert "sysctl fs.inotify.max_user_watches=" in finding.remedy


def test_where_the_system_allows_no_watch_some_are_advised_and_only_if_a_folder_is_watched(
    config, tmp_path, monkeypatch
):
    """Four times as many is what was advised, which is none."""
    (tmp_path / "max_user_watches").write_text("0\n")
    monkeypatch.setattr("ftpsyncd.inspection.machine.INOTIFY", tmp_path)
    [finding] = [each for each in machine(config) if each.subject == "inotify"]
    assert finding.level is Level.WARNING
    assert finding.remedy.endswith("sysctl fs.inotify.max_user_watches=8192")
    monkeypatch.setattr("ftpsyncd.inspection.machine.is_network_filesystem", lambda _path: True)
    assert "inotify" not in [each.subject for each in machine(config)]


@pytest.mark.root
def test_folders_that_cannot_be_read_are_a_warning_with_the_command_that_helps(config, as_nobody):
    """Root can read what the service cannot; what somebody's copy made was found closed when it was not published."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        for name in ("open", "closed/below", "drafts"):
            Path(place, name).mkdir(parents=True)
        for name in ("closed", "drafts"):
            Path(place, name).chmod(0o700)
        mapping = config.mappings["gallery"]._replace(local=Path(place), exclude=("drafts/",))
        with as_nobody():
            findings = list(machine(config._replace(mappings={"gallery": mapping})))
        [told] = [each for each in findings if each.subject == "mapping gallery" and each.level is Level.WARNING]
        assert f"1 folder in {place} cannot be read, closed for one" in told.message
        assert f"`setfacl -R -m u:nobody:rX,d:u:nobody:rX {as_word(place)}`" in told.remedy
        assert not [each for each in machine(config) if "cannot be read" in each.message]


def test_what_is_excluded_or_polled_is_not_counted_among_the_folders_to_watch(config, monkeypatch):
    mapping = next(iter(config.mappings.values()))
    for folder in ("drafts/old", "kept", ".git/objects"):
        (mapping.local / folder).mkdir(parents=True)
    config = config._replace(mappings={mapping.name: mapping._replace(exclude=("drafts/",))})
    [told] = [each.message for each in check(config, offline=True) if each.subject == "inotify"]
    assert told.startswith("2 folders to watch; ")
    monkeypatch.setattr("ftpsyncd.inspection.machine.is_network_filesystem", lambda _path: True)
    assert "inotify" not in [each.subject for each in check(config, offline=True)]
    for watch, counted in ((WatchMode.NATIVE, True), (WatchMode.POLL, False)):
        wanted = config._replace(mappings={mapping.name: config.mappings[mapping.name]._replace(watch=watch)})
        assert ("inotify" in [each.subject for each in machine(wanted)]) is counted


@pytest.mark.parametrize("limit", [None, ""])
def test_where_the_kernel_tells_no_limit_of_watches_all_else_is_looked_at(config, tmp_path, monkeypatch, limit):
    """As in a sandbox without inotify."""
    if limit is not None:
        (tmp_path / "max_user_watches").write_text(limit)
    monkeypatch.setattr("ftpsyncd.inspection.machine.INOTIFY", tmp_path)
    subjects = {each.subject for each in machine(config)}
    assert {"state_dir", "mapping gallery", "mapping shop", "open files"} <= subjects
    assert "inotify" not in subjects


def test_the_configuration_is_worse_than_a_server():
    bad = [Finding(Level.ERROR, area, "x", "y") for area in (Area.DIRECTORY, Area.SERVER, Area.MACHINE, Area.CONFIG)]
    assert [exit_code(bad[:count]) for count in range(5)] == [0, 1, 75, 78, 78]


def test_findings_are_printed_with_what_helps(ftpsyncd, config_file):
    ended = ftpsyncd("check", "-c", config_file)
    assert ended.code == 75
    assert "is valid: 1 server, 2 mappings." in ended.out
    assert "✓ inotify: 2 folders to watch" in ended.out
    assert "✓ state_dir: " in ended.out
    assert "✗ server web: " in ended.out
    assert "\n  → " in ended.out
    assert ended.out.splitlines()[-1].startswith("✗ 1 error")


def test_a_finding_is_one_line_for_who_reads_no_terminal(ftpsyncd, config_file):
    """`grep` finds it, and a command that it names is not broken in two."""
    config_file.chmod(0o644)
    ended = ftpsyncd("check", "--offline", "-c", config_file)
    (line,) = [line for line in ended.out.splitlines() if "every user of this machine can read it" in line]
    assert line.endswith("or use {file: PATH}")
    assert [line for line in ended.out.splitlines() if line != line.rstrip()] == []
