"""A program that the nursery forks is the one that a new interpreter runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ftpsyncd.mapping import leftovers, openintents
from tests import nursery, servers
from tests.e2e import hurried
from tests.waiting import until

PROGRAM = [sys.executable, "-m", "ftpsyncd"]
FORKS = pytest.mark.skipif(bool(os.environ.get(nursery.COLD)), reason=f"{nursery.COLD} is set")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def server_words(home: Path, port: int) -> list[str]:
    settings = {
        "host": "127.0.0.1", "port": port, "home": str(home), "tls": "off", "max_clients": 5, "perm": "elr", "idle_s": 60,
        "certificate": "", "client_ca": "", "disk": "", "bare": "",
    }  # fmt: skip
    return [sys.executable, servers.__file__, json.dumps(settings)]


@pytest.mark.parametrize(
    ("words", "code"), [(["schema"], 0), (["status"], 78), (["check", "-c", "broken.yaml"], 78), (["nonsense"], 2)]
)
def test_it_prints_and_ends_as_a_new_one_does(words: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("servers: {caf\u00e9: [}\n")
    env = {**os.environ, "HOME": str(tmp_path)}
    forked = nursery.run([*PROGRAM, *words], env=env, cwd=tmp_path)
    new = subprocess.run([*PROGRAM, *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (forked.returncode, forked.stdout, forked.stderr) == (new.returncode, new.stdout, new.stderr)
    assert forked.returncode == code


@FORKS
def test_it_leads_a_session_and_tells_what_ended_it(tmp_path: Path) -> None:
    with servers.free_port() as port, (tmp_path / "log").open("ab") as log:
        process = nursery.start(server_words(tmp_path, port), log)
        try:
            assert isinstance(process, nursery.Forked)
            assert parent(process.pid) != os.getpid()
            until(lambda: os.getsid(process.pid) == process.pid, "it has a session")
            assert process.poll() is None
            descriptors = {int(link.name) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
            assert max(descriptors) < 15, "it holds what the nursery holds"
        finally:
            process.kill()
        assert process.wait(20) == -signal.SIGKILL
        assert process.poll() == -signal.SIGKILL


_DIES = """
import os, signal, sys
from tests import nursery
nursery.open_nursery()
with open(os.devnull, "wb") as log:
    print(nursery.start(["sleep", "100"], log).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@FORKS
def test_nothing_outlives_a_test_run_that_was_killed() -> None:
    died = subprocess.run(
        [sys.executable, "-c", _DIES], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert (died.returncode, died.stderr) == (-signal.SIGKILL, "")
    started = Path("/proc", died.stdout.strip(), "comm")
    try:
        until(lambda: not started.exists(), "it has ended, too")
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(died.stdout), signal.SIGKILL)


@FORKS
def test_one_that_does_not_end_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    with servers.free_port() as port:
        with pytest.raises(subprocess.TimeoutExpired) as raised:
            nursery.run(server_words(tmp_path, port), timeout_s=0.5)
        assert not Path(f"/proc/{raised.value.cmd}").exists()


@FORKS
@pytest.mark.parametrize(
    ("words", "environ", "forked"),
    [
        (PROGRAM, {}, True),
        (PROGRAM, {"COLUMNS": "400", "PYTHONUNBUFFERED": "1"}, True),
        ([sys.executable, servers.__file__], {}, True),
        (PROGRAM, {"TZ": "Asia/Tokyo"}, False),
        (PROGRAM, {"LC_ALL": "de_DE.ISO-8859-1"}, False),
        (PROGRAM, {"LD_PRELOAD": "libfaketime.so.1"}, False),
        (PROGRAM, {"PYTHONWARNINGS": "error"}, False),
        ([sys.executable, "-X", "utf8", *PROGRAM[1:]], {}, False),
        (["env", *PROGRAM], {}, False),
        ([sys.executable, "-m", "tests.e2e.hurried"], {}, True),
    ],
)
def test_what_a_new_interpreter_would_see_otherwise_gets_one(
    words: list[str], environ: dict[str, str], *, forked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (nursery._main_of(words, {**os.environ, **environ}) is not None) is forked
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert (nursery._main_of(words, None) is not None) is forked


def test_another_number_is_set_wherever_it_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = openintents.LATE_S
    having = [each for each in sys.modules.values() if vars(each).get("LATE_S") is delivered]
    for module in having:
        monkeypatch.setattr(module, "LATE_S", delivered)  # set back afterwards, all of them
    assert {openintents, leftovers} < set(having)
    hurried.put("ftpsyncd.mapping.openintents.LATE_S=20")
    assert openintents.LATE_S == vars(leftovers)["LATE_S"] == 20.0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="they are root's")
def test_the_service_of_a_server_whose_test_run_was_killed_is_removed_and_that_of_another_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PAM", tmp_path)
    used = servers.Service.made(20_000)
    for name in ("ftpsyncd-test-stale-20000", "ftpsyncd-test-stale-20001", "other"):
        (tmp_path / name).touch()
    # In a network namespace of its own, where one sees nothing of the ports that others have claimed.
    sweep = f"from tests import servers; from pathlib import Path; servers.PAM = Path({str(tmp_path)!r})"
    words = ["unshare", "--net", sys.executable, "-c", f"{sweep}; servers.sweep_services()"]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([used.path.name, "other"])
    used.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
