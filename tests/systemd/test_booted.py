"""The service in a real systemd: installed by the README's own steps, publishing to vsftpd, and what may befall it."""

import re
import shutil
from pathlib import Path

import pytest

from tests.servers import certificates
from tests.systemd import machine as machines
from tests.waiting import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.root,
    pytest.mark.timeout(480),
    pytest.mark.skipif(bool(machines.missing()), reason=machines.missing()),
]

CHECKOUT = Path(__file__).parent.parent.parent
PASSWORD = "correct horse"
MINE = {
    "FTP.EXAMPLE.COM": "localhost",
    "PUBLISHER": "publisher",
    "/SRV/DROP/GALLERY": "/srv/drop/gallery",
    "/HTDOCS/": "/htdocs/",
}
VSFTPD = """\
listen=YES
background=NO
local_enable=YES
write_enable=YES
chroot_local_user=YES
allow_writeable_chroot=YES
secure_chroot_dir=/var/run/vsftpd/empty
pam_service_name=vsftpd
seccomp_sandbox=NO
mdtm_write=YES
ssl_enable=YES
rsa_cert_file=/etc/vsftpd.pem
force_local_data_ssl=YES
force_local_logins_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
"""


def readme_blocks(language):
    text = (CHECKOUT / "README.md").read_text()
    section = text.partition("## Install it as a service")[2].partition("\n## ")[0]
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^ {3}", "", block, flags=re.MULTILINE) for block in found]


def operating(title):
    """The commands of a section of docs/operating.md, `web` and `gallery` being what they are here, too."""
    section = (CHECKOUT / "docs/operating.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    [commands] = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return commands


class Site:
    """The machine with the service on it."""

    def __init__(self, machine):
        self.machine = machine
        self.run = machine.run
        self.drop = machine.tree / "srv/drop/gallery"
        self.shown = machine.tree / "home/publisher/htdocs/gallery"

    def put(self, name, content="a picture"):
        (self.drop / name).write_text(content)

    def shows(self, name, content="a picture"):
        try:
            return (self.shown / name).read_text() == content
        except FileNotFoundError:
            return False

    def wait_for(self, name):
        until(lambda: self.shows(name), f"{name} at the server\n{self.journal()}", 60)

    def property(self, name):
        return self.run("systemctl", "show", "-P", name, "ftpsyncd")

    def journal(self):
        return self.run("journalctl", "-u", "ftpsyncd", "-o", "cat", "--no-pager", "-n", "40")

    def is_up(self):
        return self.property("ActiveState") == "active" and self.property("SubState") == "running"

    def as_service(self, *command):
        """Run what the service's user could, in the service's own view of the files."""
        user = self.run("id", "-u", "ftpsyncd"), self.run("id", "-g", "ftpsyncd")
        view = ("nsenter", f"--target={self.property('MainPID')}", "--mount")
        rights = (f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--no-new-privs", "--bounding-set=-all")
        return self.machine.call(*view, "setpriv", *rights, *command)


def prepare(machine):
    """What the README takes for granted: the checkout, a server, a drop folder."""
    tree = machine.tree
    for name in ("pyproject.toml", "README.md", "LICENSE", "bin", "ftpsyncd", "systemd", "requirements"):
        source, target = CHECKOUT / name, tree / "root/ftpsyncd" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (tree / "etc/vsftpd.conf").write_text(VSFTPD)
    shutil.copy(certificates().server, tree / "etc/vsftpd.pem")
    shutil.copy(certificates().ca, tree / "usr/local/share/ca-certificates/test.crt")
    (tree / "srv/drop/gallery").mkdir(parents=True)
    machine.boot()
    machine.run("update-ca-certificates")
    machine.run("useradd", "--create-home", "--shell=/bin/bash", "publisher")
    machine.run("chpasswd", text=f"publisher:{PASSWORD}\n")
    machine.run("install", "-d", "-o", "publisher", "/home/publisher/htdocs")
    machine.run("systemctl", "restart", "vsftpd")


def install(machine):
    """Do what the README says, line by line."""
    script = [block for block in readme_blocks("sh") if "journalctl" not in block]
    assert len(script) == 4, script
    program, unit, password, rights = script
    configuration, *_ = readme_blocks("yaml")
    for capitals, value in MINE.items():
        assert capitals in configuration
        configuration = configuration.replace(capitals, value)
    for lines in (program, unit):
        machine.run("sh", "-ec", f"cd /root/ftpsyncd\n{lines}")
    machine.run("tee", "/etc/ftpsyncd/config.yaml", text=configuration)
    machine.run("sh", "-ec", password, text=f"{PASSWORD}\n")
    machine.run("sh", "-ec", rights)
    start = next(block for block in readme_blocks("sh") if "journalctl" in block)
    for line in start.splitlines():
        if not line.startswith("journalctl"):  # it follows the log for ever
            machine.run("sh", "-ec", line)


@pytest.fixture(scope="module")
def installed():
    with machines.machine() as machine:
        prepare(machine)
        install(machine)
        yield Site(machine)


@pytest.fixture
def site(installed):
    until(installed.is_up, "the service", 60)
    return installed


def test_the_readme_installs_a_service_that_runs_and_starts_at_boot(site):
    assert site.run("systemctl", "is-enabled", "ftpsyncd") == "enabled"
    assert site.property("User") == "ftpsyncd"
    assert site.run("stat", "-c", "%a %U %G", "/etc/ftpsyncd/config.yaml", "/etc/ftpsyncd") == (
        "640 root ftpsyncd\n750 root ftpsyncd"
    )
    assert "ftpsyncd" in site.run("stat", "-c", "%U", "/run/ftpsyncd/control.sock")
    again = site.run("ftpsyncd", "install-service")
    assert "made" not in again, again
    assert "updated" not in again, again


def test_a_file_is_published(site):
    site.put("first.jpg")
    site.wait_for("first.jpg")


def test_what_the_service_keeps_is_closed_to_other_users(site):
    kept = "/var/lib/ftpsyncd"
    assert {"lock", "ledger.db", "control.place"} <= set(site.run("ls", kept).splitlines())
    assert site.run("find", kept, "/run/ftpsyncd", "!", "-type", "l", "-perm", "/o=rwx") == ""


def test_the_filter_of_system_calls_lets_the_threads_of_a_burst_come_together(site):
    statuses = f"cat /proc/{site.property('MainPID')}/task/*/status"

    def cpus():
        # A thread may end while they are read.
        shown = site.machine.call("sh", "-c", statuses).stdout
        return set(re.findall(r"^Cpus_allowed_list:\t(\S+)$", shown, re.MULTILINE))

    (everywhere,) = cpus()
    assert not everywhere.isdecimal(), "this needs a machine with two CPUs"
    for number in range(3000):
        site.put(f"burst-{number}.jpg")
    until(lambda: all(each.isdecimal() for each in cpus()), "the threads are together", 60)
    site.wait_for("burst-2999.jpg")
    until(lambda: cpus() == {everywhere}, "they are where they like", 60)


def test_the_journal_is_searched_by_fields(site):
    site.put("looked-for.jpg")
    site.wait_for("looked-for.jpg")
    found = ("journalctl", "-u", "ftpsyncd", "-o", "cat", "FTPSYNCD_EVENT=published", "FTPSYNCD_PATH=looked-for.jpg")
    until(lambda: "published looked-for.jpg" in site.run(*found), "its line", 30)


def test_a_reload_publishes_a_new_folder_and_a_wrong_configuration_changes_nothing(site):
    pid, path = site.property("MainPID"), site.machine.tree / "etc/ftpsyncd/config.yaml"
    before = path.read_text()
    site.run("install", "-d", "/srv/drop/more")
    path.write_text(
        before.replace("\nstate_dir", "  more: {local: /srv/drop/more, remote: web:/htdocs/more}\nstate_dir")
    )
    try:
        site.run("systemctl", "reload", "ftpsyncd")
        (site.machine.tree / "srv/drop/more/new.jpg").write_text("new")
        until((site.shown.parent / "more/new.jpg").exists, "the new folder's file", 60)
        path.write_text(before.replace("remote:", "remoote:"))
        assert site.machine.call("systemctl", "reload", "ftpsyncd").returncode != 0
        assert "remoote" in site.journal()
        assert (site.property("MainPID"), site.property("ActiveState")) == (pid, "active")
        site.put("after-reload.jpg")
        site.wait_for("after-reload.jpg")
    finally:
        path.write_text(before)
        site.run("systemctl", "reload", "ftpsyncd")


def test_killed_it_is_started_again_and_catches_up(site):
    pid, restarts = site.property("MainPID"), int(site.property("NRestarts"))
    site.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "ftpsyncd")
    until(lambda: site.property("MainPID") != pid, "the end", 10)
    site.put("while-dead.jpg")
    site.wait_for("while-dead.jpg")
    assert int(site.property("NRestarts")) == restarts + 1


def test_ended_by_somebody_else_than_systemd_it_is_started_again_and_stopped_by_systemd_it_is_not(site):
    """A guard of memory sends SIGTERM, which ends it with 0: it was never started again, and nobody was told."""
    pid = site.property("MainPID")
    site.run("kill", "-TERM", pid)
    until(lambda: site.property("MainPID") not in {pid, "0"}, f"it is started again\n{site.journal()}", 60)
    site.put("while-ended.jpg")
    site.wait_for("while-ended.jpg")
    until(site.is_up, "the service", 60)
    site.run("systemctl", "stop", "ftpsyncd")
    assert (site.property("ActiveState"), site.property("Result")) == ("inactive", "success")
    site.run("systemctl", "start", "ftpsyncd")


def test_systemd_tells_of_a_configuration_that_keeps_it_down_and_of_nothing_else(site):
    """As the page of alerts has it."""
    etc, told = site.machine.tree / "etc", site.machine.tree / "run-told"
    section = (CHECKOUT / "docs/alerts.md").read_text().partition("\n## When the daemon itself does not run\n")[2]
    dropin_text, unit_text = re.findall(r"^```ini\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    place, dropin = etc / "ftpsyncd/config.yaml", etc / "systemd/system/ftpsyncd.service.d"
    unit, before = etc / "systemd/system/ftpsyncd-failed.service", place.read_text()
    tell = site.machine.tree / "usr/local/bin/tell-that-it-failed"
    tell.write_text('#!/bin/sh\necho "$MONITOR_UNIT $MONITOR_EXIT_STATUS" >>/run-told\n')
    tell.chmod(0o755)
    dropin.mkdir()
    (dropin / "override.conf").write_text(dropin_text)
    unit.write_text(unit_text)
    site.run("systemctl", "daemon-reload")
    try:
        pid = site.property("MainPID")
        site.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "ftpsyncd")
        until(lambda: site.property("MainPID") not in {pid, "0"}, "the restart", 60)
        until(site.is_up, "the service", 60)
        place.write_text(before.replace("remote:", "remoote:"))
        assert site.machine.call("systemctl", "restart", "ftpsyncd").returncode != 0
        until(told.exists, f"it is told\n{site.journal()}", 30)
        assert (site.property("ActiveState"), site.property("Result")) == ("failed", "exit-code")
        assert told.read_text() == "ftpsyncd.service 78\n"
    finally:
        place.write_text(before)
        shutil.rmtree(dropin)
        unit.unlink()
        tell.unlink()
        site.run("systemctl", "daemon-reload")
        site.run("systemctl", "restart", "ftpsyncd")


def test_the_watchdog_starts_an_engine_that_hangs_again(site):
    dropin = site.machine.tree / "etc/systemd/system/ftpsyncd.service.d"
    dropin.mkdir()
    (dropin / "watchdog.conf").write_text("[Service]\nWatchdogSec=10s\n")
    try:
        site.run("systemctl", "daemon-reload")
        site.run("systemctl", "restart", "ftpsyncd")
        pid = site.property("MainPID")
        site.run("kill", "-STOP", pid)
        site.put("while-hung.jpg")
        until(lambda: site.property("MainPID") not in {pid, "0"}, "the restart", 60)
        assert "Watchdog timeout" in site.run("journalctl", "-u", "ftpsyncd", "-o", "cat", "--no-pager")
        site.wait_for("while-hung.jpg")
    finally:
        shutil.rmtree(dropin)
        site.run("systemctl", "daemon-reload")
        site.run("systemctl", "restart", "ftpsyncd")


def test_on_a_full_disk_it_begins_publishes_and_says_so(site):
    """Each start ended with 75 there. The disk has room for the records of what the other tests leave in the folder."""
    site.run("systemctl", "stop", "ftpsyncd")
    site.run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", "/var/lib/ftpsyncd")
    try:
        site.run("systemctl", "start", "ftpsyncd")
        site.put("before-it-was-full.jpg")
        site.wait_for("before-it-was-full.jpg")
        site.run("systemctl", "stop", "ftpsyncd")
        site.machine.call("dd", "if=/dev/zero", "of=/var/lib/ftpsyncd/ballast", "bs=4096")
        restarts = site.property("NRestarts")
        site.run("systemctl", "start", "ftpsyncd")
        site.put("on-a-full-disk.jpg")
        site.wait_for("on-a-full-disk.jpg")
        assert "no space is left on its disk" in " ".join(site.run("ftpsyncd", "status").split())
        assert (site.is_up(), site.property("NRestarts")) == (True, restarts)
        site.run("rm", "/var/lib/ftpsyncd/ballast")
        shown = ("ftpsyncd", "history", "--path", "/srv/drop/gallery/on-a-full-disk.jpg")
        until(lambda: "published" in site.machine.call(*shown).stdout, "it is recorded", 30)
    finally:
        site.run("systemctl", "stop", "ftpsyncd")
        site.run("umount", "/var/lib/ftpsyncd")
        site.run("systemctl", "start", "ftpsyncd")


def test_after_a_reboot_it_catches_up(site):
    site.put("goes.jpg")
    site.wait_for("goes.jpg")
    site.machine.shut_down()
    site.put("while-off.jpg")
    (site.drop / "goes.jpg").unlink()
    site.machine.boot()
    site.wait_for("while-off.jpg")
    until(lambda: not site.shows("goes.jpg"), "the delete at the server", 90)


def test_a_credential_is_used_and_nobody_else_sees_it(site):
    etc = site.machine.tree / "etc"
    path, dropin = etc / "ftpsyncd/config.yaml", etc / "systemd/system/ftpsyncd.service.d"
    before, secret = path.read_text(), "/etc/ftpsyncd/web-password"
    told = site.machine.tree / "var/lib/ftpsyncd/told"
    tell = "env > $STATE_DIRECTORY/told.new && mv $STATE_DIRECTORY/told.new $STATE_DIRECTORY/told"
    path.write_text(
        before.replace("{file: /etc/ftpsyncd/web-password}", "{credential: web-password}")
        + f"\nalerts: {{command: [sh, -c, '{tell}'], paused: 1s}}\n"
    )
    dropin.mkdir()
    (dropin / "password.conf").write_text(f"[Service]\nLoadCredential=web-password:{secret}\n")
    try:
        site.run("chmod", "600", secret)
        site.run("systemctl", "daemon-reload")
        site.run("systemctl", "restart", "ftpsyncd")
        site.put("by-credential.jpg")
        site.wait_for("by-credential.jpg")
        given = "/run/credentials/ftpsyncd.service/web-password"
        assert site.as_service("cat", given).stdout.strip() == PASSWORD
        assert site.as_service("cat", secret).returncode != 0
        for hidden in (given, secret):
            assert site.machine.call("runuser", "-u", "publisher", "--", "cat", hidden).returncode != 0
        environment = site.run("cat", f"/proc/{site.property('MainPID')}/environ")
        assert PASSWORD not in environment + site.run("systemctl", "show", "ftpsyncd") + site.journal()
        site.run("ftpsyncd", "pause", "gallery")
        until(told.exists, f"an alert\n{site.journal()}", 30)
        site.run("ftpsyncd", "resume", "gallery")
        its_own = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"}
        passed = {line.partition("=")[0] for line in told.read_text().splitlines()}
        assert its_own <= {each.partition("=")[0] for each in environment.split("\0")}
        assert not its_own & passed
        assert {"PATH", "HOME", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "FTPSYNCD_ALERT_KIND"} <= passed
        page = (CHECKOUT / "docs/operating.md").read_text()
        check = re.search(r"^(systemd-run --pipe .*ftpsyncd check)$", page, re.MULTILINE)
        assert check
        site.run("sh", "-ec", check[1])
    finally:
        path.write_text(before)
        told.unlink(missing_ok=True)
        site.run("chmod", "640", secret)
        shutil.rmtree(dropin)
        site.run("systemctl", "daemon-reload")
        site.run("systemctl", "restart", "ftpsyncd")


def test_the_service_cannot_read_other_folders_nor_write_its_own(site):
    site.run("install", "-d", "-m", "700", "-o", "publisher", "/srv/private")
    site.run("tee", "/srv/private/diary", text="private")
    site.put("own.jpg")
    site.wait_for("own.jpg")
    assert site.as_service("cat", "/srv/drop/gallery/own.jpg").stdout == "a picture"
    for closed in ("/srv/private/diary", "/etc/shadow", "/root/ftpsyncd/README.md"):
        refused = site.as_service("cat", closed)
        assert refused.returncode != 0, closed
        assert "Permission denied" in refused.stderr
    for fixed in ("/srv/drop/gallery/x", "/opt/ftpsyncd/x"):
        assert "Read-only file system" in site.as_service("touch", fixed).stderr
    # ConfigurationDirectory= leaves its directory out of ProtectSystem=strict: there its owner and mode must do.
    assert "Permission denied" in site.as_service("touch", "/etc/ftpsyncd/x").stderr
    status = site.run("cat", f"/proc/{site.property('MainPID')}/status")
    lease = f"{1 << 28:016x}"
    assert re.findall(r"^Cap(?:Prm|Eff|Bnd):\t(\w+)$", status, re.MULTILINE) == [lease] * 3
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)


def test_a_new_password_is_taken_by_the_commands_of_the_page(site):
    another = "battery staple"
    site.run("chpasswd", text=f"publisher:{another}\n")
    site.run("systemctl", "restart", "ftpsyncd")
    site.put("by-the-new-password.jpg")
    until(lambda: '"refused"' in site.run("ftpsyncd", "status", "--json"), "the login is refused", 60)
    try:
        site.run("sh", "-ec", operating("A new password"), text=f"{another}\n")
        site.wait_for("by-the-new-password.jpg")
    finally:
        site.run("chpasswd", text=f"publisher:{PASSWORD}\n")
        site.run("tee", "/etc/ftpsyncd/web-password", text=f"{PASSWORD}\n")
        site.run("systemctl", "restart", "ftpsyncd")


@pytest.fixture
def leaving():
    """A machine of its own for what is removed: the tests run in any order."""
    with machines.machine() as machine:
        prepare(machine)
        install(machine)
        yield Site(machine)


def test_a_second_service_runs_beside_it_and_both_are_removed_without_a_trace(leaving):
    site = leaving
    before = (site.machine.tree / "etc/ftpsyncd/config.yaml").read_text()
    mine = before.replace("/srv/drop/gallery", "/srv/drop/second").replace("/htdocs/gallery", "/htdocs/second")
    mine = mine.replace("state_dir: /var/lib/ftpsyncd", "state_dir: /var/lib/ftpsyncd/second")
    mine = mine.replace("/run/ftpsyncd/", "/run/ftpsyncd-second/")
    site.run("install", "-m", "640", "-g", "ftpsyncd", "/dev/stdin", "/etc/ftpsyncd/second.yaml", text=mine)
    site.run("install", "-d", "-o", "ftpsyncd", "/srv/drop/second")
    site.run("sh", "-ec", operating("Several services side by side").replace("NAME", "second"))
    site.run("tee", "/srv/drop/second/a.jpg", text="a picture")
    shown = site.machine.tree / "home/publisher/htdocs/second/a.jpg"
    until(shown.exists, "the second service's file at the server", 60)
    assert site.is_up()
    site.run("sh", "-ec", operating("Removing it"))
    assert shown.exists(), "what was published stays"
    assert "ftpsyncd" not in site.run("ps", "-e", "-o", "args")
    left = site.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "ftpsyncd*").splitlines()
    assert [unit for unit in left if " not-found " not in unit] == []
    assert site.machine.call("id", "ftpsyncd").returncode != 0
    assert "user:" not in site.run("getfacl", "-R", "--omit-header", "/srv/drop/gallery").replace("user::", "")
    places = ("/etc", "/opt", "/run", "/usr/local", "/usr/lib", "/var/lib")
    assert site.run("find", *places, "-xdev", "-name", "*ftpsyncd*", "-not", "-path", "/run/log/*") == ""
