"""How commands end: exit codes, words on stderr, help; and that starting costs little."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from ftpsyncd import __version__, errors
from ftpsyncd.cli import app
from ftpsyncd.cli.app import COMMANDS, cli, outcome
from ftpsyncd.config import schema
from ftpsyncd.quoting import as_word
from tests.waiting import until

ROOT = Path(__file__).parents[2]
HEAVY = ("rich", "yaml", "loguru", "pyftpdlib", "watchdog", "starlette", "sqlite3", "ssl")


def shell(*arguments: str, **options):
    return subprocess.run(
        [sys.executable, "-m", "ftpsyncd", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_version_names_the_program(ftpsyncd):
    assert ftpsyncd("--version") == (0, f"ftpsyncd {__version__}\n", "")


@pytest.mark.parametrize("words", ["'--version'", "'--help'"])
def test_version_and_help_load_nothing_heavy(words):
    program = (
        "import sys; from ftpsyncd.cli.app import outcome; "
        f"outcome([{words}]); print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == "[]\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_in_its_help(ftpsyncd, name):
    ended = ftpsyncd(name, "--help")
    assert ended.code == 0
    assert "Examples:\n    ftpsyncd " in ended.out
    assert ("--config" in ended.out) is (name not in {"demo", "install-service", "schema"}), "who needs none takes none"
    # Examples are not wrapped: a terminal would break them in the middle of a word.
    assert max(map(len, ended.out.splitlines())) <= 80


def test_every_command_takes_the_configuration_before_and_after_its_name(ftpsyncd, config_file):
    before = ftpsyncd("-c", config_file, "plan", "--json")
    after = ftpsyncd("plan", "--json", "-c", config_file)
    assert before == after
    assert before.code == 0


def test_the_help_names_values_by_the_letters_that_it_explains(ftpsyncd):
    assert re.search(r"--limit N +The newest N;", ftpsyncd("history", "--help").out)


def test_without_a_command_the_help_is_shown_as_a_usage_error(ftpsyncd):
    ended = ftpsyncd()
    assert ended.code == 2
    assert "Commands:" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["retrry"], "Did you mean 'retry'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["status", "--frob"], "No such option"),
        (["why"], "Missing argument"),
        (["demo", "--seconds", "soon"], "'soon' is not a valid number of seconds."),
        (["demo", "--seconds", "nan"], "'nan' is not a valid number of seconds."),
        (["demo", "--seconds", "inf"], "inf is not in the range 1<=x<=86400."),
        (["demo", "--seconds", "1e400"], "inf is not in the range 1<=x<=86400."),
        (["demo", "-c", "config.yaml"], "No such option"),
        (["install-service", "-c", "/etc/ftpsyncd/shop.yaml"], "No such option"),
        (["history", "--limit", "many"], "'many' is not a valid whole number."),
        (["status", "--watch", "--json"], "exclude each other"),
        (["put", "-r", "", "web:/"], "One of the words of the command is empty."),
        (["get", "web:/a.jpg", ""], "Quotes around a variable that is not set"),
        (["retry", "--path", ""], "is empty."),
        (["rescan", "--path="], "is empty."),
    ],
)
def test_wrong_words_are_usage_errors(ftpsyncd, words, said):
    ended = ftpsyncd(*words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.FtpsyncdError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 78),
        (errors.LockHeldError("x"), 75),
        (errors.LedgerError("x"), 75),
        (errors.DaemonNotRunningError("x"), 75),
        (errors.ServerUnavailableError("x"), 75),
        (errors.LoginRefusedError("x"), 75),
        (errors.TlsError("x"), 75),
        (errors.TlsFileError("x"), 78),
        (errors.ServerFullError("x"), 1),
        (OSError(errno.EMFILE, "x"), 75),
        (ImportError(f"lib.so: cannot open shared object file: {os.strerror(errno.EMFILE)}"), 75),
        (OSError(errno.ENOMEM, "x"), 75),
        (MemoryError(), 75),
        (ImportError("no such module"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
        (ZeroDivisionError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_the_exit_code_is_that_of_the_error(monkeypatch, capfd, error, code):
    def fail():
        raise error

    # The stdout of this process is to survive the pipe's end.
    monkeypatch.setattr("ftpsyncd.cli.app.silence", lambda _number: None)
    monkeypatch.setattr("ftpsyncd.config.schema", fail)
    assert outcome(["schema"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err


def test_an_error_is_one_line_and_what_helps(monkeypatch, ftpsyncd):
    def fail():
        raise errors.ConfigError("The file \x1b[31mis red.", remedy="Paint it.")

    monkeypatch.setattr("ftpsyncd.config.schema", fail)
    assert ftpsyncd("schema").err == "ftpsyncd: error: The file \\x1b[31mis red.\nPaint it.\n"


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (OSError(errno.EMFILE, "x"), "files open, and has them.\nRaise the limit: "),
        (OSError(errno.ENFILE, "x"), "No further file can be opened on this machine (fs.file-max).\nRaise the limit: "),
        (MemoryError(), "There is no memory left for this process.\nStop what takes it, "),
        (
            ImportError("/usr/lib/_ssl.so: failed to map segment from shared object"),
            "There is no memory left for this process.\nStop what takes it, ",
        ),
    ],
)
@pytest.mark.parametrize("hidden", [True, False])
def test_what_this_machine_lacks_is_told_as_that_whatever_it_was_taken_for(
    monkeypatch, ftpsyncd, lacking, said, hidden
):
    def fail():
        try:
            raise lacking
        except (OSError, MemoryError, ImportError):
            if hidden:
                raise errors.ConfigError("The configuration cannot be read.") from None
            raise

    monkeypatch.setattr("ftpsyncd.config.schema", fail)
    ended = ftpsyncd("schema")
    assert said in ended.err
    assert ended.err.count("\n") == 2
    assert ended.code == 75


@pytest.mark.parametrize(("command", "names_a_service"), [("demo", False), ("ls", True)])
def test_who_has_no_configuration_is_told_of_no_service_and_of_no_check(
    monkeypatch, ftpsyncd, command, names_a_service
):
    """Not even of the machine's own, where modules of the command cannot be loaded."""

    def fail(_module):
        raise OSError(errno.EMFILE, "x")

    monkeypatch.setattr("ftpsyncd.cli.app.importlib.import_module", fail)
    ended = ftpsyncd(command)
    assert ("systemctl" in ended.err) is names_a_service
    assert ("`ftpsyncd check`" in ended.err) is names_a_service
    assert "`ulimit -n`" in ended.err
    assert ended.err.endswith(".\n")


def test_several_problems_stand_on_lines_of_their_own(monkeypatch, ftpsyncd):
    def fail():
        raise errors.ConfigError("a.yaml:1:2 x", "a.yaml:3:4 y", remedy="")

    monkeypatch.setattr("ftpsyncd.config.schema", fail)
    assert ftpsyncd("schema").err == "ftpsyncd: error: 2 problems\na.yaml:1:2 x\na.yaml:3:4 y\n"


@pytest.mark.parametrize("kind", [errors.ConfigError, errors.LedgerError])
def test_a_line_break_in_a_name_makes_no_problem_more(monkeypatch, ftpsyncd, kind):
    def fail():
        raise kind("a\nb.yaml: no such file", remedy="")

    monkeypatch.setattr("ftpsyncd.config.schema", fail)
    assert ftpsyncd("schema").err == "ftpsyncd: error: a\\nb.yaml: no such file\n"


def test_nor_does_one_in_the_name_of_the_configuration(tmp_path, ftpsyncd):
    folder = tmp_path / "a\nb"
    folder.mkdir()
    path = folder / "c.yaml"
    path.write_text("server: {}\n")
    first, *problems, _remedy = ftpsyncd("check", "-c", path).err.splitlines()
    assert first == f"ftpsyncd: error: {len(problems)} problems"
    assert all(problem.startswith(f"{tmp_path}/a\\nb/c.yaml:1") for problem in problems)
    assert sum("server: found an unknown key" in problem for problem in problems) == 1


def test_a_bug_is_one_line_without_traceback(monkeypatch, ftpsyncd):
    monkeypatch.delenv("FTPSYNCD_DEBUG", raising=False)

    def fail():
        raise ZeroDivisionError("some\nthing")

    monkeypatch.setattr("ftpsyncd.config.schema", fail)
    assert ftpsyncd("schema").err == (
        "ftpsyncd: error: ZeroDivisionError: some thing (this is a bug; run with FTPSYNCD_DEBUG=1 for the traceback)\n"
    )


def test_a_bug_shows_its_traceback_to_those_who_ask(monkeypatch, ftpsyncd):
    monkeypatch.setenv("FTPSYNCD_DEBUG", "1")

    def fail():
        raise ZeroDivisionError("x")

    monkeypatch.setattr("ftpsyncd.config.schema", fail)
    assert "Traceback" in ftpsyncd("schema").err


def unread(*arguments: object) -> tuple[int, str]:
    """The exit code of a command whose stdout nobody reads, and its words on stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ftpsyncd", *map(str, arguments)]
    with os.fdopen(writing, "wb") as nobody:
        ended = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("words", ["schema", "--help", "status", "status --json", "plan", "history", "ls --help"])
def test_a_reader_who_leaves_early_is_no_error(config_file, words):
    options = ["-c", config_file] if words[0] != "-" else []
    assert unread(*options, *words.split()) == (0, "")


@pytest.mark.parametrize(("words", "code"), [("check --offline", 0), ("check", 75), ("sync", 75)])
def test_a_command_that_works_has_its_own_exit_code_without_a_reader(config_file, words, code):
    (config_file.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    assert unread("-c", config_file, *words.split()) == (code, "")


def test_an_error_has_its_exit_code_where_nobody_reads_it():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        command = [sys.executable, "-m", "ftpsyncd", "plan", "-c", "/nowhere"]
        assert subprocess.run(command, stdout=nobody, stderr=nobody, timeout=60, check=False).returncode == 78


def test_output_that_cannot_be_written_is_told():
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "ftpsyncd", "schema"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    said = b"ftpsyncd: error: the output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize(
    ("words", "code"), [("reload", 75), ("put gallery/no.jpg web:/a.jpg", 75), ("plan nowhere", 2)]
)
def test_a_message_that_cannot_be_written_changes_no_exit_code(config_file, words, code):
    """As in a script that logs to a disk that is full: it goes by the code."""
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "ftpsyncd", "-c", str(config_file), *words.split()]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (code, b"")


@pytest.mark.parametrize("words", ["status -c config.yaml", "why a.jpg", "history --path a.jpg"])
def test_who_is_in_a_folder_that_is_gone_is_told_so(ftpsyncd, config_file, tmp_path, words, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    said = (
        "ftpsyncd: error: The current folder is not there any more.\nGo to another one, or give paths from the root.\n"
    )
    assert ftpsyncd("-c", config_file, *words.split()) == (2, "", said)
    assert ftpsyncd("-c", config_file, "plan").code == 0


def test_a_pipe_that_somebody_else_does_not_want_to_wait_for_is_waited_for():
    """Who shares a stream with us may have set O_NONBLOCK, which is then so for both (open(2))."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    with subprocess.Popen(
        [sys.executable, "-m", "ftpsyncd", "schema"], stdout=writing, stderr=subprocess.PIPE
    ) as ended:
        until(lambda: not select.select([], [writing], [], 0)[1], "the pipe is full")
        os.close(writing)
        with os.fdopen(reading) as printed:
            assert json.load(printed) == schema()
        assert ended.stderr is not None
        assert ended.stderr.read() == b""
    assert ended.returncode == 0


def test_streams_that_the_caller_has_closed_are_no_error(config_file):
    """A file or connection that got the number of one of them would be written to, and read from."""
    program = """
import os, sys
for number in range(3):
    os.close(number)
os.execv(sys.executable, [sys.executable, "-m", "ftpsyncd", *sys.argv[1:]])
"""
    words = [sys.executable, "-c", program, "plan", "--config", str(config_file)]
    assert subprocess.run(words, timeout=60, check=False).returncode == 0


def test_who_holds_the_streams_open_finds_their_numbers_in_use():
    program = """
import os, sys
for number in range(3):
    os.close(number)
sys.stdin = sys.stdout = sys.stderr = None
from ftpsyncd.cli.streams import open_streams
open_streams()
assert [os.readlink(f"/proc/self/fd/{number}") for number in range(3)] == ["/dev/null"] * 3
print("into nothing")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_is_true(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name


def test_no_configuration_is_a_configuration_error(tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = shell("status", cwd=tmp_path, env=environment)
    if os.path.exists("/etc/ftpsyncd/config.yaml"):  # noqa: PTH110 - a machine that has one
        pytest.skip("this machine has a configuration of its own")
    assert ended.returncode == 78
    assert ended.stderr.startswith("ftpsyncd: error: ")
    assert ended.stdout == ""


def test_a_configuration_that_cannot_be_read_is_no_wrong_usage(ftpsyncd, config_file, monkeypatch):
    real = os.open

    def refuse(path, *words, **options):
        if path == str(config_file):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *words, **options)

    monkeypatch.setattr("os.access", lambda *_words, **_options: False)
    monkeypatch.setattr(os, "open", refuse)
    ended = ftpsyncd("status", "-c", config_file)
    assert ended.code == 78
    assert "cannot be read: Permission denied" in ended.err
    assert "use sudo, or join its group" in ended.err


def test_colours_need_a_terminal(ftpsyncd, config_file):
    ended = ftpsyncd("status", "-c", config_file)
    assert ended.code == 0
    assert "\x1b" not in ended.out


def test_a_second_interrupt_ends_the_process_at_once():
    program = """
import os, signal
from ftpsyncd.cli.interrupts import tidy_end
with tidy_end():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)
    print("not reached")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (lambda: SystemExit(143), 143)])
def test_what_was_noted_of_what_somebody_broke_off_is_told(kind, code, monkeypatch, capsys):
    def perform(_arguments):
        end = kind()
        end.add_note("What was there before as 'a' may be at the server as 'b'.")
        raise end

    monkeypatch.setattr(app, "perform", perform)
    assert outcome([]) == code
    assert capsys.readouterr().err == "ftpsyncd: What was there before as 'a' may be at the server as 'b'.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_is_closed_is_no_second_interrupt(number):
    """An interactive shell passes its SIGHUP on, and the kernel sends another one when the shell has ended."""
    program = f"""
import os, signal
from ftpsyncd.cli.interrupts import tidy_end
with tidy_end():
    try:
        os.kill(os.getpid(), {int(number)})
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        print("put away")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (abs(ended.returncode) % 128, ended.stdout) == (number, "put away\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, -signal.SIGHUP)])
@pytest.mark.parametrize("module", ["ftpsyncd.cli.app", "click.core"])
def test_a_signal_while_the_program_is_loaded_ends_it_without_a_traceback(module, number, code):
    program = f"""
import os, sys
from ftpsyncd import cli

class Loading:
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            os.kill(os.getpid(), {int(number)})

sys.meta_path.insert(0, Loading())
cli.main()
"""
    words = [sys.executable, "-c", program, "schema"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", "")


EARLY = """
import os, signal, sys

class Loading:
    def find_spec(self, name, path, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Loading())
"""
"""For a file `sitecustomize.py`: Ctrl-C while a module is looked for."""


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ([str(ROOT / "bin/ftpsyncd")], "ftpsyncd"),
        ([str(ROOT / "bin/ftpsyncd")], "ftpsyncd.cli"),
        (["-m", "ftpsyncd"], "ftpsyncd.cli"),
    ],
)
def test_an_interrupt_before_anything_of_ours_is_loaded_prints_no_traceback(program, module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(EARLY)
    ended = subprocess.run(
        [sys.executable, *program, "schema"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "INTERRUPTED_AT": module},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_the_installed_program_is_the_one_that_catches_an_early_interrupt():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-scripts"] == {"bin/ftpsyncd": "ftpsyncd"}
    assert "scripts" not in project["project"]
    # Installers look for these words, and keep the rights.
    assert (ROOT / "bin/ftpsyncd").read_bytes().startswith(b"#!python\n")
    assert os.access(ROOT / "bin/ftpsyncd", os.X_OK)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_things_be_put_away(number):
    program = f"""
import os
from ftpsyncd.cli.interrupts import tidy_end
with tidy_end():
    try:
        os.kill(os.getpid(), {int(number)})
    finally:
        print("put away")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (128 + number, "put away\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_the_caller_has_us_ignore_ends_nothing(number):
    """As nohup(1) does, and a shell without job control for what is in its background."""
    program = f"""
import os, signal
signal.signal({int(number)}, signal.SIG_IGN)
from ftpsyncd.cli.interrupts import tidy_end
with tidy_end():
    os.kill(os.getpid(), {int(number)})
    print("goes on")
assert signal.getsignal({int(number)}) is signal.SIG_IGN
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "goes on\n")


def test_a_signal_that_the_caller_held_back_for_itself_ends_us():
    """What a process blocks is blocked in those it starts: neither a long pass nor a daemon ended by SIGTERM."""
    program = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
from ftpsyncd import cli
from ftpsyncd.cli import app
from ftpsyncd.cli.interrupts import tidy_end
def perform(_arguments):
    with tidy_end():
        os.kill(os.getpid(), signal.SIGTERM)
        print("goes on")
app.perform = perform
cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_signal_waits_for_a_disk_that_does_not_answer(number):
    program = f"""
import os
from concurrent.futures import ThreadPoolExecutor
from ftpsyncd.cli import app
from ftpsyncd.cli.interrupts import tidy_end
def perform(_arguments):
    ThreadPoolExecutor(1).submit(os.read, os.pipe()[0], 1)
    with tidy_end():
        os.kill(os.getpid(), {int(number)})
app.perform = perform
app.run([])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr) == (128 + number, "")


def test_a_shell_completes_commands_and_mappings(ftpsyncd, config_file, monkeypatch):
    monkeypatch.setenv("_FTPSYNCD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "ftpsyncd re")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert ftpsyncd().out.split() == ["plain,retry", "plain,rescan", "plain,resume", "plain,reload"]
    monkeypatch.setenv("COMP_WORDS", f"ftpsyncd -c {as_word(config_file)} plan g")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert ftpsyncd().out.split() == ["plain,gallery"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("retry --server = w", "web"),
        ("retry --server w", "web"),
        ("retry --server =", "web"),
        ("history --limit = 5 g", "gallery"),
    ],
)
def test_a_shell_completes_a_value_behind_an_equals_sign(ftpsyncd, config_file, monkeypatch, typed, completed):
    """Of it bash makes a word of its own, which would be the value."""
    monkeypatch.setenv("_FTPSYNCD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"ftpsyncd -c {as_word(config_file)} {typed}")
    monkeypatch.setenv("COMP_CWORD", str(2 + len(typed.split())))
    assert ftpsyncd().out.split() == [f"plain,{completed}"]
