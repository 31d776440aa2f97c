"""The unit and its snippets, judged by systemd's own tools."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parent.parent / "systemd"
SYSCTL = (SYSTEMD / "sysctl.d/60-ftpsyncd.conf").read_text()
EXEC_START = "/opt/ftpsyncd/bin/ftpsyncd"


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not here")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


UNITS = ["ftpsyncd.service", "ftpsyncd@.service", "user/ftpsyncd.service"]


@pytest.fixture(params=UNITS)
def unit(request, tmp_path):
    """A unit as it would be with ftpsyncd installed: its program exists."""
    text = (SYSTEMD / request.param).read_text()
    assert f"ExecStart={EXEC_START} run" in text
    copy = tmp_path / Path(request.param).name.replace("@", "@instance")
    copy.write_text(text.replace(EXEC_START, shutil.which("true") or "/bin/true"))
    return copy


@needs("systemd-analyze")
def test_systemd_finds_no_fault_in_the_unit(unit):
    done = run("systemd-analyze", "verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS[:2], indirect=True)
def test_the_service_is_hardly_exposed(unit):
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    assert done.returncode == 0, done.stderr
    found = re.search(rf"Overall exposure level for {re.escape(unit.name)}: ([0-9.]+)", done.stdout)
    assert found, done.stdout
    assert float(found[1]) <= 2.0


def settings(name):
    """The settings of a unit, with the names of the template's instance made those of the single one."""
    text = (SYSTEMD / name).read_text().replace("/%i.yaml", "/config.yaml")
    for instance in ("/%i", "-%i", " (%i)"):
        text = text.replace(instance, "")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_template_differs_in_its_names_only():
    assert settings("ftpsyncd@.service") == settings("ftpsyncd.service")


def test_a_service_that_stops_takes_no_other_ones_socket_away():
    """What is below a runtime directory is removed with it (systemd.exec(5))."""
    single, template = (
        re.findall(r"^RuntimeDirectory=(\S+)$", (SYSTEMD / name).read_text(), re.MULTILINE) for name in UNITS[:2]
    )
    assert single == ["ftpsyncd"]
    assert [place.split("/")[0] for place in template] == ["ftpsyncd-%i"]


@pytest.mark.parametrize("unit", ["ftpsyncd.service", "ftpsyncd@.service", "user/ftpsyncd.service"])
def test_passwords_in_memory_get_into_no_core_file(unit):
    """The watchdog's signal would make one."""
    assert re.search(r"^LimitCORE=0$", (SYSTEMD / unit).read_text(), re.MULTILINE)


def test_there_may_be_threads_for_as_many_mappings_as_can_be_watched():
    instances = re.search(r"^fs.inotify.max_user_instances = (\d+)$", SYSCTL, re.MULTILINE)
    tasks = re.search(r"^TasksMax=(\d+)$", (SYSTEMD / "ftpsyncd.service").read_text(), re.MULTILINE)
    assert instances
    assert tasks
    # Three for each mapping (docs/architecture.md), and a hundred servers with all their connections.
    assert int(tasks[1]) > 3 * int(instances[1]) + 100 * 16


def test_every_hardening_line_that_is_missing_is_explained():
    text = (SYSTEMD / "ftpsyncd.service").read_text()
    for setting in ("PrivateUsers", "PrivateNetwork", "IPAddressDeny", "ProcSubset", "RootDirectory", "DynamicUser"):
        assert re.search(rf"^# {setting}=\S* +\S", text, re.MULTILINE), setting
        assert not re.search(rf"^{setting}=", text, re.MULTILINE), setting


@pytest.mark.parametrize("unit", UNITS)
def test_only_what_a_person_must_mend_keeps_the_service_down(unit):
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read(SYSTEMD / unit)
    service = parser["Service"]
    assert service["Restart"] == "always"
    assert sorted(service["RestartPreventExitStatus"].split()) == ["2", "78"]
    assert service["Type"] == "notify"
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make users, if only in a scratch tree")
@needs("systemd-sysusers")
@needs("systemd-tmpfiles")
def test_user_and_configuration_directory_are_made(tmp_path):
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", str(SYSTEMD / "sysusers.d/ftpsyncd.conf"))
    assert done.returncode == 0, done.stderr
    user = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert (user[0], user[5], user[6]) == ("ftpsyncd", "/var/lib/ftpsyncd", "/usr/sbin/nologin")
    done = run("systemd-tmpfiles", "--create", f"--root={tmp_path}", str(SYSTEMD / "tmpfiles.d/ftpsyncd.conf"))
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "etc/ftpsyncd").stat()
    assert (made.st_mode & 0o777, made.st_uid, made.st_gid) == (0o750, 0, int(user[3]))


def test_the_sysctl_example_sets_each_limit_of_inotify():
    lines = (SYSTEMD / "sysctl.d/60-ftpsyncd.conf").read_text().splitlines()
    settings = dict(line.split(" = ") for line in lines if line and not line.startswith("#"))
    assert {name.rpartition(".")[2] for name in settings} == {
        path.name for path in Path("/proc/sys/fs/inotify").iterdir()
    }
    assert all(int(value) >= 512 for value in settings.values())
