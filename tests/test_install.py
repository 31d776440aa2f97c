"""`install-service`: what it puts in place, that doing it again is harmless, and what it says."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ftpsyncd import install
from ftpsyncd.cli.install_service import _config_home
from ftpsyncd.config import load
from ftpsyncd.errors import UsageError
from ftpsyncd.install import Command, Directory, File, Step, Taken, UnreachableProgramError, apply

SYSTEMD = Path(__file__).parent.parent / "systemd"
PROGRAM = "/opt/50% of all/ftpsyncd"


def done(steps: list[Step], *, dry_run: bool = False) -> list[str]:
    return [taken.did for taken in apply(steps, dry_run=dry_run)]


@pytest.fixture
def steps(tmp_path: Path) -> list[Step]:
    return install.system_steps(tmp_path, PROGRAM, run=False)


def test_everything_is_put_in_place_and_the_second_time_nothing_changes(tmp_path: Path, steps: list[Step]):
    assert set(done(steps)) == {"made"}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert set(done(steps)) == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert sorted(str(path.relative_to(tmp_path)) for path in before if path.is_file()) == [
        "etc/ftpsyncd/config.yaml",
        "etc/sysctl.d/60-ftpsyncd.conf",
        "etc/systemd/system/ftpsyncd.service",
        "etc/systemd/system/ftpsyncd@.service",
        "etc/sysusers.d/ftpsyncd.conf",
        "etc/tmpfiles.d/ftpsyncd.conf",
    ]
    config = tmp_path / "etc/ftpsyncd/config.yaml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o750


def test_the_units_are_those_of_the_project_with_the_program_that_runs(tmp_path: Path, steps: list[Step]):
    done(steps)
    for name in ("ftpsyncd.service", "ftpsyncd@.service"):
        text = (tmp_path / "etc/systemd/system" / name).read_text()
        assert "ExecStart=/opt/50%%\\x20of\\x20all/ftpsyncd run" in text
        assert text.replace("/opt/50%%\\x20of\\x20all", "/opt/ftpsyncd/bin") == (SYSTEMD / name).read_text()


def test_a_dry_run_tells_the_same_and_touches_nothing(tmp_path: Path, steps: list[Step]):
    assert set(done(steps, dry_run=True)) == {"made"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_a_dry_run_tells_also_who_may_not_see_everything():
    with TemporaryDirectory(dir="/var/tmp") as name:
        tree = Path(name)
        tree.chmod(0o755)
        steps = install.system_steps(tree, PROGRAM, run=False)
        done(steps)
        (tree / "etc/systemd/system/ftpsyncd@.service").unlink()
        config = tree / "etc/ftpsyncd/config.yaml"
        config.parent.chmod(0o700)
        os.seteuid(65534)
        try:
            told = list(apply([*steps, Command(("systemctl", "daemon-reload"))], dry_run=True))
        finally:
            os.seteuid(0)
    assert Taken(str(config), "skipped", "Permission denied: ask as root") in told
    assert told[-1] == Taken("systemctl daemon-reload", "ran")


def test_a_configuration_of_yours_is_kept(tmp_path: Path, steps: list[Step]):
    config = tmp_path / "etc/ftpsyncd/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("mine")
    assert Taken(str(config), "kept", "it is yours") in list(apply(steps))
    assert config.read_text() == "mine"


def test_a_link_to_a_configuration_that_is_not_there_now_is_kept(tmp_path: Path, steps: list[Step]):
    """Its disk is not mounted yet, for instance."""
    config = tmp_path / "etc/ftpsyncd/config.yaml"
    config.parent.mkdir(parents=True)
    config.symlink_to("/nowhere/config.yaml")
    assert Taken(str(config), "kept", "it is yours") in list(apply(steps))
    assert config.is_symlink()


def test_an_older_unit_is_brought_up_to_date_and_set_aside(tmp_path: Path, steps: list[Step]):
    unit = tmp_path / "etc/systemd/system/ftpsyncd.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("an older one")
    assert Taken(str(unit), "updated", "the one before is ftpsyncd.service.old") in list(apply(steps))
    assert "Type=notify" in unit.read_text()
    assert unit.with_name("ftpsyncd.service.old").read_text() == "an older one"


@pytest.mark.parametrize("name", ["ftpsyncd.service", "ftpsyncd@.service"])
def test_a_unit_that_somebody_has_masked_stays_masked(tmp_path: Path, steps: list[Step], name: str):
    """What must not start here was started again by the next boot."""
    unit = tmp_path / "etc/systemd/system" / name
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/dev/null")
    for dry_run in (True, False):
        *_, last = apply(steps, dry_run=dry_run)
        assert last == Taken(
            str(unit), "failed", f"somebody has masked it, so that it does not start: `rm {unit}` ends that"
        )
    assert unit.readlink() == Path("/dev/null")
    assert not list(unit.parent.glob("*.old"))


def test_who_unmasks_a_unit_is_told_how(tmp_path: Path):
    system = install.system_steps(tmp_path, PROGRAM, run=True, limit=limits())
    told = [
        step.unmask for step in (*system, *install.user_steps(tmp_path, PROGRAM, run=True)) if isinstance(step, File)
    ]
    assert [each for each in told if each] == [
        "systemctl unmask ftpsyncd.service",
        "systemctl unmask ftpsyncd@.service",
        "systemctl --user unmask ftpsyncd.service",
    ]


@pytest.mark.parametrize("name", ["sysusers.d/ftpsyncd.conf", "tmpfiles.d/ftpsyncd.conf", "sysctl.d/60-ftpsyncd.conf"])
def test_what_somebody_has_switched_off_stays_so(tmp_path: Path, steps: list[Step], name: str):
    """As sysusers.d(5), tmpfiles.d(5) and sysctl.d(5) have it."""
    path = tmp_path / "etc" / name
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/null")
    told = list(apply(steps))
    assert Taken(str(path), "kept", "a link to /dev/null switches it off") in told
    assert path.readlink() == Path("/dev/null")
    assert told[-1].did == "made"


def test_a_command_runs_only_if_something_changed(tmp_path: Path):
    mark = tmp_path / "mark"
    steps: list[Step] = [File(tmp_path / "f", "x"), Command(("touch", str(mark)))]
    assert done(steps) == ["made", "ran"]
    mark.unlink()
    assert done(steps) == ["unchanged"]
    assert not mark.exists()
    assert done([Command(("touch", str(mark)), always=True)]) == ["ran"]
    assert mark.exists()


@pytest.mark.parametrize("command", [("sh", "-c", "echo 'no such luck' >&2; exit 3"), ("/nowhere/at all",)])
def test_what_fails_is_told_and_nothing_follows(tmp_path: Path, command: tuple[str, ...]):
    *_, last = apply([Command(command, always=True), File(tmp_path / "f", "x")])
    assert last.did == "failed"
    assert last.note in {"no such luck", "No such file or directory"}
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("command", [("sh", "-c", "echo 'no such luck' >&2; exit 3"), ("/nowhere/at all",)])
def test_what_may_fail_is_told_and_the_rest_follows(tmp_path: Path, command: tuple[str, ...]):
    skipped, last = apply([Command(command, always=True, optional=True), File(tmp_path / "f", "x")])
    assert (skipped.did, skipped.what, last.did) == ("skipped", " ".join(command), "made")
    assert skipped.note in {"no such luck", "No such file or directory"}


def test_the_limits_of_the_kernel_may_be_out_of_reach(tmp_path: Path):
    steps = install.system_steps(tmp_path, PROGRAM, run=True, limit=limits())
    commands = [step for step in steps if isinstance(step, Command)]
    assert [step.words[0] for step in commands if step.optional] == ["sysctl"]


def test_the_user_and_its_directories_are_made_also_where_their_files_are(tmp_path: Path):
    steps = install.system_steps(tmp_path, PROGRAM, run=True, limit=limits())
    always = [step.words[0] for step in steps if isinstance(step, Command) and step.always]
    assert always == ["systemd-sysusers", "systemd-tmpfiles"]


def test_the_service_may_read_its_configuration_and_nobody_else(tmp_path: Path):
    steps = install.system_steps(tmp_path, PROGRAM, run=True, limit=limits())
    assert [(step.mode, step.group) for step in steps if isinstance(step, File) and step.yours] == [(0o640, "ftpsyncd")]


def test_a_file_for_a_group_that_is_not_there_is_not_written(tmp_path: Path):
    told = list(apply([File(tmp_path / "f", "x", group="no-such-group")]))
    assert told == [Taken(str(tmp_path / "f"), "failed", "there is no group no-such-group")]
    assert list(tmp_path.iterdir()) == []


def test_all_of_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Else a power failure in the half minute after leaves an empty one, and the service does not start again."""
    kept: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: kept.append((Path(f"/proc/self/fd/{fd}").read_text(), (tmp_path / "f").exists()))
    )
    list(apply([File(tmp_path / "f", "all of it\n")]))
    assert kept == [("all of it\n", False)]
    assert (tmp_path / "f").read_text() == "all of it\n"


def test_the_one_before_is_on_the_disk_before_the_new_one_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else a power failure in the half minute after takes what somebody had written into it."""
    (tmp_path / "f").write_text("a person's own")
    kept: list[tuple[str, str]] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: kept.append((Path(f"/proc/self/fd/{fd}").read_text(), (tmp_path / "f").read_text()))
    )
    list(apply([File(tmp_path / "f", "new\n")]))
    assert kept == [("a person's own", "a person's own"), ("new\n", "a person's own")]
    assert (tmp_path / "f.old").read_text() == "a person's own"


def test_nothing_stays_of_a_file_that_was_half_written(tmp_path: Path):
    (tmp_path / ".f.new").write_text("of an earlier run")
    assert done([File(tmp_path / "f", "x")]) == ["made"]
    assert (tmp_path / "f").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


DELIVERED = {"max_user_watches": 524288, "max_user_instances": 512, "max_queued_events": 65536}


def limits(**known: int) -> Callable[[str], int]:
    """Those of a kernel; low ones unless said otherwise."""
    return lambda name: known.get(name, 100)


def about_limits(tree: Path, limit: Callable[[str], int]) -> list[Step]:
    """What is to be done about the kernel's limits; the command only if it would run when nothing else is done."""
    steps = install.system_steps(tree, PROGRAM, run=True, limit=limit)
    files = [step for step in steps if isinstance(step, File) and "sysctl.d" in str(step.path)]
    return [*files, *(step for step in steps if isinstance(step, Command) and step.words[0] == "sysctl")]


def settings(tree: Path) -> dict[str, int]:
    lines = (tree / "etc/sysctl.d/60-ftpsyncd.conf").read_text().splitlines()
    pairs = [line.split(" = ") for line in lines if not line.startswith("#")]
    return {name.removeprefix("fs.inotify."): int(value) for name, value in pairs}


def place(steps: list[Step]) -> list[str]:
    """Put the files in place; what the kernel has is not touched."""
    return done([step for step in steps if isinstance(step, File)])


def test_only_limits_that_are_too_low_are_set(tmp_path: Path):
    steps = about_limits(tmp_path, limits(max_user_watches=1048576, max_queued_events=65536))
    assert done(steps, dry_run=True) == ["made", "ran"]
    assert place(steps) == ["made"]
    assert settings(tmp_path) == {"max_user_instances": 512}
    assert "watch per folder" not in (tmp_path / "etc/sysctl.d/60-ftpsyncd.conf").read_text()


def test_where_all_limits_are_high_there_is_nothing_to_set(tmp_path: Path):
    assert about_limits(tmp_path, lambda _name: 1048576) == []


def test_the_limits_that_an_earlier_run_has_raised_stay_raised(tmp_path: Path):
    assert place(about_limits(tmp_path, limits())) == ["made"]
    assert settings(tmp_path) == DELIVERED
    again = about_limits(tmp_path, limits(**DELIVERED))
    assert done(again) == ["unchanged"]
    assert settings(tmp_path) == DELIVERED


def test_a_limit_that_was_raised_since_is_not_lowered_at_the_next_start(tmp_path: Path):
    place(about_limits(tmp_path, limits()))
    steps = about_limits(tmp_path, limits(**{**DELIVERED, "max_user_watches": 1048576}))
    assert place(steps) == ["updated"]
    assert settings(tmp_path) == {**DELIVERED, "max_user_watches": 1048576}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"# mine, \xe9\nfs.inotify.max_user_watches=9000000\n", {}),
        (b"# \xe9\nfs/inotify/max_user_watches = 8192\n", {"max_user_watches": 524288}),
    ],
    ids=["higher than ours", "lower than ours"],
)
def test_a_file_about_limits_is_only_changed_if_it_asks_for_too_little(
    tmp_path: Path, before: bytes, after: dict[str, int]
):
    path = tmp_path / "etc/sysctl.d/60-ftpsyncd.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(before)
    steps = about_limits(tmp_path, limits(max_user_instances=512, max_queued_events=65536))
    assert place(steps) == ["updated" if after else "unchanged"]
    if after:
        assert settings(tmp_path) == after
        assert path.with_name("60-ftpsyncd.conf.old").read_bytes() == before
    else:
        assert path.read_bytes() == before


def test_another_tree_gets_all_limits_whatever_this_kernel_has(tmp_path: Path):
    steps = install.system_steps(tmp_path, PROGRAM, run=False, limit=lambda _name: 1 << 30)
    place(steps)
    assert settings(tmp_path) == DELIVERED


def test_a_file_about_limits_that_cannot_be_read_is_told(tmp_path: Path):
    path = tmp_path / "etc/sysctl.d/60-ftpsyncd.conf"
    path.mkdir(parents=True)
    steps = [step for step in about_limits(tmp_path, limits()) if isinstance(step, File)]
    assert list(apply(steps)) == [Taken(str(path), "failed", "Is a directory")]


def test_a_configuration_in_another_encoding_is_kept(tmp_path: Path, steps: list[Step]):
    config = tmp_path / "etc/ftpsyncd/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_bytes(b"# caf\xe9\n")
    assert Taken(str(config), "kept", "it is yours") in list(apply(steps))
    assert config.read_bytes() == b"# caf\xe9\n"


def test_a_program_whose_name_is_not_utf_8_is_named_byte_by_byte(tmp_path: Path):
    steps = install.system_steps(tmp_path, "/opt/caf\udce9/ftpsyncd", run=False)
    assert set(done(steps)) == {"made"}
    assert b"ExecStart=/opt/caf\xe9/ftpsyncd run" in (tmp_path / "etc/systemd/system/ftpsyncd.service").read_bytes()
    assert set(done(steps)) == {"unchanged"}


@pytest.mark.parametrize("folder", ["it's", 'the "new" one', "a\\b", "a\nb"])
def test_a_program_that_systemd_would_not_start_is_refused(tmp_path: Path, folder: str):
    """A unit was written that could not be loaded."""
    with pytest.raises(UsageError, match="systemd starts no program") as caught:
        install.system_steps(tmp_path, f"/opt/{folder}/ftpsyncd", run=False)
    assert "\n" not in caught.value.message
    assert caught.value.remedy == "Install ftpsyncd in another folder."


@pytest.mark.parametrize("home", ["Lovelace, Ada", "a #1", "caf\udce9"])
def test_the_configuration_of_a_user_is_valid_whatever_his_home_is_called(tmp_path: Path, home: str):
    steps = install.user_steps(tmp_path / home / ".config", PROGRAM, run=False)
    done(steps)
    config = load(tmp_path / home / ".config/ftpsyncd/config.yaml", environ={"HOME": "/nowhere"})
    assert str(config.servers["web"].password) == f"the file {config.path.parent}/web-password"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "f").write_text("in the way")
    (taken,) = apply([Directory(tmp_path / "f/d", 0o700)])
    assert taken == Taken(str(tmp_path / "f/d"), "failed", "Not a directory")


def test_a_program_in_a_path_with_a_blank_is_refused_since_no_service_could_start_it(tmp_path: Path):
    python = tmp_path / "two words/python3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    program = python.with_name("ftpsyncd")
    program.write_text(f"#!{python}\n")  # as pip does
    program.chmod(0o755)
    words = [str(python), "-m", "ftpsyncd", "install-service", "--user", "--dry-run"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path), "COLUMNS": "500"}
    refused = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=environ)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f'The system cannot start "{program}" (No such file or directory).' in refused.stderr


def test_a_program_in_a_closed_directory_is_refused(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(UnreachableProgramError, match=r"could not run .* is closed to other users"):
        install.require_reachable(str(closed / "ftpsyncd"))


def test_a_python_in_a_closed_directory_is_told_as_what_is_wrong(monkeypatch: pytest.MonkeyPatch):
    """That of pyenv in /root, say: who has followed the README is not told to do so once more."""
    with TemporaryDirectory(dir="/var/tmp") as name:
        home, environment = Path(name, "home"), Path(name, "environment")
        for folder in (Path(name), home, environment):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        (home / "python3").touch()
        (environment / "python3").symlink_to(home / "python3")
        monkeypatch.setattr(sys, "executable", str(environment / "python3"))
        monkeypatch.setattr(sys, "prefix", str(environment))
        home.chmod(0o700)
        with pytest.raises(UnreachableProgramError, match=f"{home} is closed to other users") as caught:
            install.require_reachable("/usr/bin/env")
        home.chmod(0o755)
    assert f"`/usr/bin/python3 -m venv --clear {environment}`" in caught.value.remedy


def test_a_python_into_which_nothing_was_installed_has_nothing_closed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/usr/bin/env")
    monkeypatch.setattr(install, "__file__", "/usr/bin/env")
    monkeypatch.setattr(sysconfig, "get_path", lambda _kind: "/nowhere/site-packages")
    install.require_reachable("/usr/bin/env")


@pytest.mark.parametrize("kind", ["package", "module.py"])
def test_what_the_umask_of_root_has_closed_is_found(kind: str, monkeypatch: pytest.MonkeyPatch):
    """`pip install` makes what it installs as the umask says; the service could not begin after an update."""
    monkeypatch.setattr(sys, "executable", "/usr/bin/env")
    monkeypatch.setattr(install, "__file__", "/usr/bin/env")
    with TemporaryDirectory(dir="/var/tmp") as name:
        monkeypatch.setattr(sys, "prefix", name)
        monkeypatch.setattr(sysconfig, "get_path", lambda _kind: name)
        site = Path(name)
        site.chmod(0o755)
        closed = site / kind
        closed.mkdir() if kind == "package" else closed.touch()
        closed.chmod(0o755)
        install.require_reachable("/usr/bin/env")
        closed.chmod(0o700)
        with pytest.raises(UnreachableProgramError, match=f"{closed} is closed to other users") as caught:
            install.require_reachable("/usr/bin/env")
    assert f"chmod -R o+rX {name}" in caught.value.remedy


def test_the_skeleton_needs_nothing_but_your_names(tmp_path: Path, steps: list[Step]):
    done(steps)
    path = tmp_path / "etc/ftpsyncd/config.yaml"
    (only,) = load(path, environ={}).warnings
    assert "/SRV/DROP/GALLERY" in only
    path.write_text(path.read_text().replace("/SRV/DROP", str(tmp_path)))
    config = load(path, environ={})
    assert config.warnings == ()
    assert str(config.state_dir) == "/var/lib/ftpsyncd"
    assert str(config.control.socket) == "/run/ftpsyncd/control.sock"


# ── The command ──────────────────────────────────────────────────────────────────────────────────────────────────


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": "", "XDG_RUNTIME_DIR": str(home), "COLUMNS": "80"}
    words = [str(Path(sys.executable).with_name("ftpsyncd")), "install-service", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=environ)


def test_a_user_gets_a_service_of_ones_own(tmp_path: Path):
    first = command("--user", home=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert "systemctl --user enable --now ftpsyncd" in first.stdout
    unit = (tmp_path / ".config/systemd/user/ftpsyncd.service").read_text()
    assert f"ExecStart={Path(sys.executable).with_name('ftpsyncd')} run" in unit
    config = tmp_path / ".config/ftpsyncd/config.yaml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    secret = re.search(r"password: {file: (.*?)}", config.read_text())
    assert secret is not None
    assert f"\n  install -m 600 /dev/stdin {config.with_name(secret[1])}\n" in first.stdout
    second = command("--user", home=tmp_path)
    assert second.stdout.count("unchanged") == 3
    assert "made" not in second.stdout


def test_who_has_a_configuration_is_told_how_to_put_the_new_version_in_force(tmp_path: Path):
    assert "enable --now" in command("--user", home=tmp_path).stdout
    config = tmp_path / ".config/ftpsyncd/config.yaml"
    config.write_text(config.read_text().replace("FTP.EXAMPLE.COM", "ftp.example.com"))
    again = command("--user", home=tmp_path)
    assert "systemctl --user restart ftpsyncd" in again.stdout
    assert "Now edit" not in again.stdout


def test_a_tree_is_filled_and_nothing_is_run(tmp_path: Path):
    tree = tmp_path / "tree"
    tree.mkdir()
    asked = command("--root", str(tree), "--dry-run", home=tmp_path)
    assert asked.returncode == 0
    assert asked.stdout.count("would make") == 7
    assert list(tree.iterdir()) == []
    done = command("--root", str(tree), home=tmp_path)
    assert done.returncode == 0
    assert (tree / "etc/systemd/system/ftpsyncd.service").exists()


def test_the_units_of_a_tree_start_the_program_that_is_in_it(tmp_path: Path):
    """By its path in the system that the tree is for: they named the folder in which the package was made."""
    tree = tmp_path / "tree"
    (tree / "opt/bin").mkdir(parents=True)
    python = tree / "opt/bin/python3"
    python.symlink_to(os.path.realpath(sys.executable))
    words = [str(python), "-m", "ftpsyncd", "install-service", "--root"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "400"}

    def installed(*arguments: str) -> str:
        done = subprocess.run(
            [*words, *arguments], capture_output=True, text=True, check=True, timeout=60, env=environ, cwd=tmp_path
        )
        return done.stdout

    (tree / "opt/bin/ftpsyncd").touch()
    for root in ("tree", str(tree)):
        assert "is not in this tree" not in installed(root)
        for unit in ("ftpsyncd", "ftpsyncd@"):
            text = (tree / f"etc/systemd/system/{unit}.service").read_text()
            assert "\nExecStart=/opt/bin/ftpsyncd run" in text
    (tmp_path / "other").mkdir()
    said = installed("other", "--dry-run")
    assert f"The units start {tree}/opt/bin/ftpsyncd, which is not in this tree." in said


@pytest.fixture
def closed() -> Iterator[None]:
    """The umask of a careful root."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("closed")
def test_a_tree_that_root_fills_is_open_to_the_service_whatever_the_umask(tmp_path: Path):
    """An /etc of such an image was closed to everybody but root."""
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o755)
    done(install.system_steps(tree, PROGRAM, run=False))
    modes = {str(path.relative_to(tree)): stat.S_IMODE(path.stat().st_mode) for path in tree.rglob("*")}
    closed = {"etc/ftpsyncd": 0o750, "etc/ftpsyncd/config.yaml": 0o640}
    assert {path: mode for path, mode in modes.items() if path in closed} == closed
    others = {path: mode for path, mode in modes.items() if path not in closed}
    assert {mode for path, mode in others.items() if (tree / path).is_file()} == {0o644}
    assert {mode for path, mode in others.items() if (tree / path).is_dir()} == {0o755}


def test_what_a_user_has_is_closed_to_others(tmp_path: Path):
    home = tmp_path / "home"
    done(install.user_steps(home / ".config", PROGRAM, run=False))
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*") if path.is_dir()} == {0o700}


def test_a_user_without_a_home_directory_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(UsageError, match="no home directory"):
        _config_home()


def test_user_and_root_exclude_each_other(tmp_path: Path):
    refused = command("--user", "--root", str(tmp_path), home=tmp_path)
    assert refused.returncode == 2
    assert "exclude each other" in refused.stderr
