"""`check` warns of what others may change, and of nothing in set-ups as people have them."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd.config import load
from ftpsyncd.inspection.check import check
from ftpsyncd.inspection.findings import Level
from ftpsyncd.inspection.outsiders import outsiders
from ftpsyncd.quoting import as_word, quote

DAEMON, BIN, GAMES = (pwd.getpwnam(name) for name in ("daemon", "bin", "games"))
NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody can enter, which those of pytest are not, with a configuration and what it names."""
    made = Path(tempfile.mkdtemp(prefix="ftpsyncd-test-"))
    made.chmod(0o755)
    (made / "etc").mkdir(mode=0o755)
    (made / "state").mkdir(mode=0o750)
    (made / "gallery").mkdir()
    for name, mode in (("config.yaml", 0o640), ("password", 0o640), ("url", 0o640), ("tell", 0o755), ("ca.pem", 0o644)):
        (made / "etc" / name).write_text("x")
        (made / "etc" / name).chmod(mode)
    (made / "etc" / "config.yaml").write_text(
        f"""
servers: {{web: {{host: localhost, user: u, password: {{file: password}}, tls_ca: ca.pem}}}}
mappings: {{gallery: {{local: {made}/gallery, remote: "web:/gallery"}}}}
state_dir: {made}/state
alerts: {{command: [./tell], webhook: {{file: url}}}}
"""
    )
    yield made
    shutil.rmtree(made)


def told(place: Path, config: str = "etc/config.yaml") -> list[tuple[str, str, str]]:
    findings = list(outsiders(load(place / config)))
    assert {each.level for each in findings} <= {Level.WARNING}
    return [(each.subject, each.message, each.remedy) for each in findings]


def test_check_tells_of_it(place: Path) -> None:
    (place / "etc").chmod(0o777)
    config = load(place / "etc/config.yaml")
    said = list(check(config, offline=True))
    expected = list(outsiders(config))
    assert expected
    assert [each for each in said if each in expected] == expected


def test_what_is_closed_to_others_is_not_told_of(place: Path) -> None:
    assert told(place) == []


@pytest.mark.parametrize(
    ("name", "subject", "what"),
    [
        ("etc", "config", "the configuration"),
        ("etc/config.yaml", "config", "the configuration"),
        ("etc/password", "server web", "the password of web"),
        ("etc/ca.pem", "server web", "which certificates of web are trusted"),
        ("etc/url", "alerts", "the address of the webhook"),
        ("etc/tell", "alerts", "the command that is run"),
        ("state", "state_dir", "what is known to be published"),
    ],
)
def test_what_everybody_may_write_is_one_line_with_the_command_that_helps(
    place: Path, name: str, subject: str, what: str
) -> None:
    (place / name).chmod(0o757 if (place / name).is_dir() else 0o646)
    said = f"{quote(f'{place}/{name}')} can be written by every user of this machine, who can change {what} thereby."
    assert told(place) == [(subject, said, f"`chmod o-w {as_word(place / name)}` mends that.")]


@pytest.mark.parametrize("name", ["password", "url"])
def test_a_secret_that_everybody_can_read_is_told_of_once(place: Path, name: str) -> None:
    """By the configuration, whatever it is loaded for, and not once more by who looks for others that may write."""
    (place / "etc" / name).chmod(0o644)
    findings = check(load(place / "etc" / "config.yaml"), offline=True)
    [said] = [text for each in findings if f"/etc/{name}" in (text := f"{each.message} {each.remedy}")]
    secret = place / "etc" / name
    assert f"every user of this machine can read {secret}; run `chmod 640 {as_word(secret)}`" in said


def test_a_file_with_the_bit_that_protects_what_is_in_a_directory_is_not_protected(place: Path) -> None:
    (place / "etc/config.yaml").chmod(0o1646)
    assert [each[2] for each in told(place)] == [f"`chmod o-w {as_word(place / 'etc/config.yaml')}` mends that."]


def test_of_what_is_not_there_only_the_way_to_it_is_told(place: Path) -> None:
    config = load(place / "etc/config.yaml")
    (place / "etc/url").unlink()
    (place / "etc").chmod(0o757)
    assert [each.remedy for each in outsiders(config)] == [f"`chmod o-w {as_word(place / 'etc')}` mends that."]


def test_what_is_behind_a_closed_directory_is_not_told_of(place: Path) -> None:
    for path in (place / "etc").iterdir():
        path.chmod(0o666)
    (place / "etc").chmod(0o750)
    assert told(place) == []


def test_in_a_directory_as_tmp_nobody_can_put_something_in_the_place_of_ours(place: Path) -> None:
    (place / "etc").chmod(0o1777)
    assert told(place) == []


def test_where_a_link_leads_counts_and_where_it_is(place: Path) -> None:
    (place / "links").mkdir()
    (place / "links" / "config.yaml").symlink_to(place / "etc" / "config.yaml")
    (place / "links").chmod(0o777)
    said = f"{quote(f'{place}/links')} can be written by every user of this machine, who can change the configuration thereby."
    assert [each[1] for each in told(place, "links/config.yaml") if each[0] == "config"] == [said]
    (place / "links").chmod(0o755)
    (place / "etc").chmod(0o777)
    said = f"{quote(f'{place}/etc')} can be written by every user of this machine, who can change the configuration thereby."
    assert said in [each[1] for each in told(place, "links/config.yaml")]


@pytest.mark.parametrize("alerts", ["", "alerts: {command: [mail]}", "alerts: {webhook: https://localhost/}"])
def test_what_is_no_file_is_not_looked_for_where_ftpsyncd_was_started(
    place: Path, monkeypatch: pytest.MonkeyPatch, alerts: str
) -> None:
    """Of what only has a name, `PATH` says where it is."""
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    (place / "open/mail").write_text("x")
    monkeypatch.chdir(place / "open")
    config = place / "etc/config.yaml"
    config.write_text(config.read_text().partition("alerts:")[0] + alerts)
    assert told(place) == []


@pytest.mark.root
class TestOwnersAndGroups:
    def test_the_owner_of_the_state_directory_runs_the_service(self, place: Path) -> None:
        """As root asks: /etc/ftpsyncd is root's and readable for the group, the rest the service's."""
        os.chown(place / "etc/password", 0, DAEMON.pw_gid)
        os.chown(place / "state", DAEMON.pw_uid, DAEMON.pw_gid)
        os.chown(place / "etc/tell", DAEMON.pw_uid, DAEMON.pw_gid)
        assert told(place) == []

    def test_somebody_else_who_asks_does_not_take_the_service_for_a_danger(self, place: Path) -> None:
        """Of the group ftpsyncd, for one, who may read the configuration."""
        os.chown(place / "state", DAEMON.pw_uid, DAEMON.pw_gid)
        os.chown(place / "etc/password", DAEMON.pw_uid, DAEMON.pw_gid)
        config = load(place / "etc/config.yaml")
        os.seteuid(BIN.pw_uid)
        try:
            assert list(outsiders(config)) == []
        finally:
            os.seteuid(0)

    def test_who_owns_it_may_write_it(self, place: Path) -> None:
        os.chown(place / "etc/config.yaml", DAEMON.pw_uid, DAEMON.pw_gid)
        said = (
            f"{quote(f'{place}/etc/config.yaml')} can be written by daemon, who can change the configuration thereby."
        )
        assert told(place) == [("config", said, f"`chown root {as_word(place / 'etc/config.yaml')}` mends that.")]

    def test_so_may_who_owns_the_way_to_it_and_has_closed_it_to_all_others(self, place: Path) -> None:
        for name in ("etc", "etc/config.yaml"):
            os.chown(place / name, DAEMON.pw_uid, DAEMON.pw_gid)
        (place / "etc").chmod(0o700)
        assert [each[2] for each in told(place)] == [
            f"`chown root {as_word(place / name)}` mends that." for name in ("etc", "etc/config.yaml")
        ]

    def test_who_asks_by_sudo_may_do_all_that_root_may(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.chown(place / "etc/config.yaml", DAEMON.pw_uid, DAEMON.pw_gid)
        monkeypatch.setenv("SUDO_UID", str(DAEMON.pw_uid))
        assert told(place) == []

    def test_what_sudo_left_to_somebody_else_who_asks_means_nothing(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.chown(place / "etc/config.yaml", DAEMON.pw_uid, DAEMON.pw_gid)
        monkeypatch.setenv("SUDO_UID", str(DAEMON.pw_uid))
        config = load(place / "etc/config.yaml")
        os.seteuid(BIN.pw_uid)
        try:
            assert [each.subject for each in outsiders(config)] == ["config"]
        finally:
            os.seteuid(0)

    @pytest.mark.parametrize("uid", [NOBODY, 54321], ids=["unmapped", "unknown"])
    def test_an_owner_who_has_no_account_here_is_no_danger(self, place: Path, uid: int) -> None:
        """A container has the files of the machine's users."""
        os.chown(place / "etc/config.yaml", uid, uid)
        assert told(place) == []

    def test_members_of_the_group_are_named(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.chown(place / "etc", 0, DAEMON.pw_gid)
        (place / "etc").chmod(0o775)
        said = f"{quote(f'{place}/etc')} can be written by daemon, who can change the configuration thereby."
        assert told(place) == [("config", said, f"`chmod g-w {as_word(place / 'etc')}` mends that.")]
        (place / "etc").chmod(0o1775)
        assert told(place) == []
        (place / "etc").chmod(0o775)
        monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid, DAEMON.pw_gid])
        monkeypatch.setattr(pwd, "getpwall", lambda: [DAEMON, BIN, GAMES, BIN, GAMES])
        assert told(place)[0][1].startswith(
            f"{quote(f'{place}/etc')} can be written by daemon, bin, games and 2 more, who "
        )
        monkeypatch.setattr(pwd, "getpwall", lambda: [DAEMON, BIN, GAMES])
        assert told(place)[0][1].startswith(f"{quote(f'{place}/etc')} can be written by daemon, bin, games, who ")

    def test_a_group_with_nobody_else_in_it_is_no_danger(self, place: Path) -> None:
        """As umask 002 makes everything where each user has a group."""
        for gid in (0, 54321):
            os.chown(place / "etc", 0, gid)
            (place / "etc").chmod(0o775)
            assert told(place) == []

    def test_nor_are_accounts_of_the_system_in_the_group_of_root(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid, 0])
        (place / "etc").chmod(0o775)
        assert told(place) == []

    def test_who_cannot_get_at_it_is_not_told_of(self, place: Path) -> None:
        os.chown(place / "etc/config.yaml", DAEMON.pw_uid, DAEMON.pw_gid)
        os.chown(place / "etc", 0, BIN.pw_gid)
        (place / "etc").chmod(0o750)
        assert told(place) == []
        os.chown(place / "etc", 0, DAEMON.pw_gid)
        [(_, said, _)] = told(place)
        assert said.startswith(f"{quote(f'{place}/etc/config.yaml')} can be written by daemon, ")
