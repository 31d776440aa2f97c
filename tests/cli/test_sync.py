"""`sync` from the files on disk to the files at a real server, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftpsyncd.cli.output import UNICODE
from ftpsyncd.cli.progress import Aside, Lines, Rate, summary, view
from ftpsyncd.daemon.onepass import Progress
from ftpsyncd.ledger.book import Ledger
from ftpsyncd.local import tree
from ftpsyncd.logstream import LogStream
from ftpsyncd.mapping.site import QUEUE_ROOM
from ftpsyncd.quoting import as_word
from ftpsyncd.status import DaemonStatus, ServerState, ServerStatus, Status, Transfer
from tests.cli.terminal import check_snapshot, drawn, longest, on_a_terminal, shown, write_config
from tests.cli.test_status_view import GOOD
from tests.servers import running
from tests.waiting import until

NOT_FOR_A_SYNC = [
    "ftpsyncd.daemon.outside",
    "ftpsyncd.daemon.knows",
    "ftpsyncd.daemon.steering",
    "ftpsyncd.inspection.preview",
    "ftpsyncd.inspection.reasons",
    "ftpsyncd.inspection.survey",
    "ftpsyncd.receipts",
    "ftpsyncd.questions",
    "ftpsyncd.control",
    "ftpsyncd.alerts",
    "ftpsyncd.local.watch",
    "ftpsyncd.cli.plan",
    "watchdog",
    "starlette",
    "uvicorn",
    "rich",
]
"""Each costs milliseconds to load: who starts a `sync` every minute pays that every minute."""

NOBODY = Status(DaemonStatus(running=False, pid=0, version="0", uptime_s=0.0), (), (), ())


def progress(**changes) -> Progress:
    values = {
        "files_done": 120,
        "files_total": 1204,
        "bytes_done": 300_000_000,
        "bytes_total": 3_100_000_000,
        "deletes_done": 0,
        "failed": 0,
        "held": 0,
        "finished": False,
        "unavailable": False,
        "messages": (),
    }
    return Progress(**{**values, **changes})


@pytest.fixture
def real():
    with running("pyftpdlib") as server:
        yield server


@pytest.fixture
def config_of_real(real, config_file, tmp_path):
    return write_config(tmp_path, port=real.port)


def test_one_pass_publishes_everything(ftpsyncd, config_of_real, real):
    (config_of_real.parent / "gallery" / "2024").mkdir()
    (config_of_real.parent / "gallery" / "2024" / "a.jpg").write_bytes(b"picture")
    ended = ftpsyncd("sync", "-c", config_of_real)
    assert (ended.code, ended.err) == (0, "")
    assert (real.home / "gallery/2024/a.jpg").read_bytes() == b"picture"
    assert "1 file (7 B) published" in ended.out


def test_a_sync_goes_on_when_nobody_hears_of_it_any_more(config_of_real, real):
    """Its first line about progress comes while files are still to be sent."""
    config_of_real.write_text(config_of_real.read_text().replace("{host:", "{bandwidth: 1 MB/s, host:", 1))
    for index in range(20):
        (config_of_real.parent / "gallery" / f"{index}.jpg").write_bytes(b"picture" * 10_000)
    program = """
import sys
from pathlib import Path
from ftpsyncd.cli import app, progress
progress.LINE_EVERY_S = 0.0
app.run(sys.argv[1:])
"""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        words = [sys.executable, "-c", program, "sync", "-c", str(config_of_real)]
        ended = subprocess.run(words, stdout=nobody, stderr=nobody, timeout=60, check=False)
    assert ended.returncode == 0
    assert len(list((real.home / "gallery").iterdir())) == 20


def test_a_repair_goes_on_when_nobody_hears_of_it_any_more(ftpsyncd, config_of_real, real):
    for name in ("a.jpg", "b.jpg"):
        (config_of_real.parent / "gallery" / name).write_bytes(b"picture")
    assert ftpsyncd("sync", "-c", config_of_real).code == 0
    (real.home / "gallery/a.jpg").unlink()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        words = [sys.executable, "-m", "ftpsyncd", "verify", "gallery", "--repair", "-c", str(config_of_real)]
        ended = subprocess.run(words, stdout=nobody, stderr=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == 0
    assert (real.home / "gallery/a.jpg").exists()


def test_a_sync_loads_nothing_that_only_a_daemon_or_a_terminal_needs(config_of_real):
    (config_of_real.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    program = (
        "import sys; from ftpsyncd.cli.app import outcome; code = outcome(sys.argv[2:]);"
        "print(sorted(set(sys.argv[1].split()) & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, " ".join(NOT_FOR_A_SYNC), "sync", "-c", str(config_of_real)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "1 file (7 B) published" in ended.stdout
    assert ended.stderr == "[]\n"


def test_a_file_that_somebody_writes_is_reported_and_not_awaited(ftpsyncd, config_of_real, real):
    with (config_of_real.parent / "gallery" / "a.jpg").open("wb", buffering=0) as written:
        written.write(b"pict")
        ended = ftpsyncd("sync", "-c", config_of_real)
        assert ended.code == 1
        assert "1 path failed" in ended.out
        assert "open for writing" in ftpsyncd("why", written.name, "-c", config_of_real).out
    assert ftpsyncd("sync", "-c", config_of_real).code == 0
    assert (real.home / "gallery/a.jpg").read_bytes() == b"pict"


def test_the_summary_is_json_for_programs(ftpsyncd, config_of_real):
    (config_of_real.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    ended = ftpsyncd("sync", "--json", "gallery", "-c", config_of_real)
    document = json.loads(ended.out)
    assert (ended.code, document["exit_code"], document["files_done"], document["bytes_done"]) == (0, 0, 1, 7)


def test_a_second_pass_has_nothing_to_do(ftpsyncd, config_of_real):
    (config_of_real.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    ftpsyncd("sync", "-c", config_of_real)
    assert "nothing to publish" in ftpsyncd("sync", "-c", config_of_real).out
    assert "Nothing to do" in ftpsyncd("plan", "gallery", "-c", config_of_real).out


def test_a_pass_that_only_adopts_says_so(ftpsyncd, config_of_real):
    (config_of_real.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    assert ftpsyncd("sync", "-c", config_of_real).code == 0
    shutil.rmtree(config_of_real.parent / "state")
    ended = ftpsyncd("sync", "-c", config_of_real)
    assert ended.code == 0
    assert ended.out.startswith("✓ 1 file adopted (the server had it already) in "), ended.out


def test_a_pass_that_only_renames_says_so(ftpsyncd, config_of_real, real):
    gallery = config_of_real.parent / "gallery"
    (gallery / "a.jpg").write_bytes(b"picture")
    assert ftpsyncd("sync", "-c", config_of_real).code == 0
    (gallery / "a.jpg").rename(gallery / "b.jpg")
    assert "1 renamed in" in ftpsyncd("sync", "-c", config_of_real).out
    (gallery / "b.jpg").rename(gallery / "c.jpg")
    assert json.loads(ftpsyncd("sync", "--json", "-c", config_of_real).out)["renames_done"] == 1
    assert [path.name for path in (real.home / "gallery").iterdir()] == ["c.jpg"]


def test_a_dry_run_touches_nothing(ftpsyncd, config_of_real, real):
    (config_of_real.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    assert ftpsyncd("sync", "--dry-run", "-c", config_of_real).code == 0
    assert list(real.home.iterdir()) == []
    assert not (config_of_real.parent / "state").exists()


def test_a_server_that_is_not_there_is_not_available_now(ftpsyncd, config_file):
    (config_file.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    ended = ftpsyncd("sync", "-c", config_file)
    assert ended.code == 75
    assert "web" in ended.out


@pytest.mark.timeout(60)
def test_files_that_fail_make_the_exit_code_one(ftpsyncd, config_of_real, real):
    (config_of_real.parent / "gallery" / "a.jpg").write_bytes(b"picture")
    (real.home / "gallery").mkdir()
    (real.home / "gallery" / "a.jpg").mkdir()
    ended = ftpsyncd("sync", "-c", config_of_real)
    assert ended.code == 1
    assert "1 path failed" in ended.out


def test_a_pass_says_what_it_could_not_read(ftpsyncd, config_of_real, monkeypatch):
    enter = tree.open_directory

    def closed(root: Path, root_fd: int, directory: str, **options: Any) -> tuple[int, str]:
        if directory == "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        return enter(root, root_fd, directory, **options)

    monkeypatch.setattr(tree, "open_directory", closed)
    (config_of_real.parent / "gallery" / "closed").mkdir()
    ended = ftpsyncd("sync", "-c", config_of_real)
    assert ended.code == 1
    assert "gallery: closed cannot be read: " in ended.out
    assert "Permission denied" in json.loads(ftpsyncd("sync", "--json", "-c", config_of_real).out)["messages"][0]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("files", "waits"), [(1, "1 change waits"), (2 * QUEUE_ROOM, "2,000 changes wait")])
def test_a_pass_over_a_mapping_that_is_paused_ends_and_says_so(ftpsyncd, config_of_real, real, files, waits):
    (config_of_real.parent / "gallery/a.jpg").touch()
    ftpsyncd("sync", "-c", config_of_real)
    with Ledger(config_of_real.parent / "state/ledger.db") as ledger:
        ledger.decisions.set_paused(ledger.mappings.number(*ledger.mappings.all()[0][:2]), 5)
    assert ftpsyncd("sync", "-c", config_of_real).code == 0
    for index in range(files):
        (config_of_real.parent / f"gallery/{index}.jpg").touch()
    (config_of_real.parent / "shop/b.jpg").touch()
    ended = ftpsyncd("sync", "-c", config_of_real)
    assert ended.code == 1
    assert f"gallery: paused by a person, {waits}; `ftpsyncd resume gallery -c {as_word(config_of_real)}`" in ended.out
    assert {path.name for path in real.home.rglob("*.jpg")} == {"a.jpg", "b.jpg"}


@pytest.mark.timeout(60)
def test_a_pass_leaves_deletes_that_come_due_much_later_to_a_later_one(ftpsyncd, config_of_real, real):
    def wait_for(delete_after: str) -> None:
        text = config_of_real.read_text()
        config_of_real.write_text(re.sub("settle: 0s.*}", f"settle: 0s, delete_after: {delete_after}}}", text))

    wait_for("1d")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (config_of_real.parent / "gallery" / name).write_bytes(b"picture")
    ftpsyncd("sync", "-c", config_of_real)
    for name in ("a.jpg", "b.jpg"):
        (config_of_real.parent / "gallery" / name).unlink()
    ended = ftpsyncd("sync", "-c", config_of_real)
    assert ended.code == 0
    assert "gallery: 2 deletes wait for `delete_after`" in ended.out
    assert len(list(real.home.rglob("*.jpg"))) == 3
    wait_for("1s")
    assert "2 files deleted" in ftpsyncd("sync", "-c", config_of_real).out
    assert len(list(real.home.rglob("*.jpg"))) == 1


def test_an_interrupt_ends_a_pass_quietly(config_of_real):
    big = config_of_real.parent / "gallery" / "big.jpg"
    with big.open("wb") as file:
        file.truncate(4 << 30)
    with subprocess.Popen(
        [sys.executable, "-m", "ftpsyncd", "sync", "--log-level", "info", "-c", config_of_real],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as sync:
        ledger = config_of_real.parent / "state" / "ledger.db"
        while not ledger.exists():
            assert sync.poll() is None
        sync.send_signal(signal.SIGINT)
        sync.send_signal(signal.SIGINT)
        out, err = sync.communicate(timeout=60)
    assert sync.returncode == 130
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_a_pass_is_told_what_it_has_done(config_of_real, real, number):
    text = config_of_real.read_text()
    config_of_real.write_text(text.replace("timeout: 5s", "timeout: 5s, bandwidth: 100kB/s, connections: 1"))
    for name in range(20):
        (config_of_real.parent / "gallery" / f"{name}.jpg").write_bytes(b"x" * 100_000)
    with subprocess.Popen(
        [sys.executable, "-m", "ftpsyncd", "sync", "-c", config_of_real],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as sync:
        until(lambda: list(real.home.rglob("*.jpg")), "one is published", 30)
        sync.send_signal(number)
        _, err = sync.communicate(timeout=60)
    assert sync.returncode == 128 + number
    count = len(list(real.home.rglob("*.jpg")))
    assert 0 < count < 20
    assert f"Stopped: {count} file{'s' if count > 1 else ''} published ({count * 100} kB); another `sync`" in err


def small_and_large(config: Path) -> None:
    """A mapping with a file that is sent at once and one that takes a second: a picture is drawn meanwhile."""
    config.write_text(config.read_text().replace("timeout: 5s", "timeout: 5s, bandwidth: 300kB/s"))
    (config.parent / "gallery/small.jpg").write_bytes(b"picture")
    (config.parent / "gallery/large.jpg").write_bytes(b"x" * 300_000)


def test_lines_of_the_log_stand_above_the_picture(config_of_real):
    small_and_large(config_of_real)
    text = on_a_terminal("sync", "--log-level", "debug", config_of_real)
    lines = shown(text, 80)
    [line] = [line for line in lines if "published small.jpg" in line]
    assert re.match(r"20..-..-.. ..:..:.. (?:INFO|DEBUG) .*published small.jpg", line)
    # Of the picture, which is gone in the end, nothing has stayed between them.
    assert not [line for line in lines if "0 of" in line or "━" in line]
    assert lines[-1].startswith("✓ 2 files (300 kB) published")


def test_a_line_of_the_log_that_is_longer_than_the_terminal_is_wide_is_not_broken_by_us(config_of_real):
    small_and_large(config_of_real)
    text = on_a_terminal("sync", "--log-level", "debug", config_of_real, width=40)
    assert re.search(r"gallery: published small.jpg \(7 bytes in (?:less than )?[0-9.]+ s\)\r\n", text)


@pytest.mark.parametrize("words", [["sync"], ["sync", "--json"]])
def test_lines_of_the_log_are_plain_where_no_picture_is_drawn(config_of_real, words):
    small_and_large(config_of_real)
    ended = subprocess.run(
        [sys.executable, "-m", "ftpsyncd", *words, "--log-level", "debug", "-c", config_of_real],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [line] = [line for line in ended.stderr.splitlines() if "published small.jpg" in line]
    assert re.match(r"20..-..-.. ..:..:.. (?:INFO|DEBUG) ", line)
    assert "published small.jpg" not in ended.stdout


def test_a_terminal_that_takes_nothing_keeps_nobody_waiting_and_what_is_lost_is_known(monkeypatch):
    monkeypatch.setattr("ftpsyncd.cli.progress.LINES_KEPT", 2)
    aside = Aside()
    log = LogStream(aside)
    assert [log.write(f"{number} {'x' * 5000}") for number in range(3)] == [True, True, False]
    assert [line[:2] for line in aside.taken()] == ["0 ", "1 "]
    assert log.write("3")
    assert aside.taken() == ["3"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_progress_looks_like_its_snapshot(width):
    transfers = (Transfer("gallery", "2024/a long name of a picture.jpg", 3_000, 12_000, 2.1e6),)
    picture = view(progress(failed=2), transfers, 12_500_000, UNICODE, width)
    assert longest(picture, width) <= width - 2, "no room for the ^C that a terminal echoes"
    check_snapshot(f"sync-{width}", drawn(picture, width))


def test_progress_before_anything_is_known_is_no_error():
    nothing = progress(files_done=0, files_total=0, bytes_done=0, bytes_total=0)
    assert drawn(view(nothing, (), 0.0, UNICODE, 80), 80) == "looking for what is to be sent\n"
    # It took thousands of deletes for a pass that stands still.
    deletes = nothing._replace(deletes_done=1200, renames_done=1)
    assert drawn(view(deletes, (), 0.0, UNICODE, 80), 80).startswith(
        "looking for what is to be sent, 1 renamed, 1,200 de"
    )


def test_the_rate_is_that_of_the_last_seconds():
    rate = Rate()
    assert rate.update(0.0, 0) == 0.0
    assert rate.update(1.0, 100) == 100.0
    for second in range(2, 20):
        last = rate.update(float(second), 100)
    assert last == 0.0


def test_the_summary_names_what_is_held_and_what_went_wrong():
    messages = tuple(f"message {index}" for index in range(12))
    text = drawn(summary(progress(held=3, failed=1, deletes_done=4, messages=messages), NOBODY, 61.0, UNICODE), 100)
    assert "4 files deleted in 61 s." in text
    assert "1 path failed: `ftpsyncd status`" in text
    assert "3 deletes are held" in text
    assert "and 2 more messages" in text
    assert "ftpsyncd check" not in text


def test_a_directory_that_fails_is_not_told_as_a_file(ftpsyncd, tmp_path):
    with running("vsftpd", denied=("MKD", "XMKD")) as server:
        config = write_config(tmp_path, port=server.port)
        config.write_text(config.read_text().replace("settle: 0s", "settle: 0s, empty_dirs: true"))
        (server.home / "gallery").mkdir()
        (tmp_path / "gallery" / "empty").mkdir(parents=True)
        ended = ftpsyncd("sync", "gallery", "-c", config)
    assert ended.code == 1
    assert "1 path failed: " in ended.out


def test_the_summary_says_what_to_do_about_a_server_that_is_not_available():
    refused = progress(unavailable=True, messages=("web: The server refuses the login 'press': 530 Login incorrect.",))
    text = drawn(summary(refused, NOBODY, 1.0, UNICODE), 100)
    assert text.endswith("530 Login incorrect.\n  → `ftpsyncd check` says what helps\n")


def test_the_summary_of_a_full_server_does_not_send_to_check_which_has_room_for_what_it_publishes():
    full = NOBODY._replace(servers=(ServerStatus("web", ServerState.FULL, 1, "no space left at the server"),))
    waits = progress(unavailable=True, messages=("web: no space left at the server: 552 Quota exceeded",))
    text = drawn(summary(waits, full, 1.0, UNICODE), 100)
    assert text.endswith("552 Quota exceeded\n  → Free space there, or raise the quota\n")
    away = full._replace(servers=(*full.servers, ServerStatus("away", ServerState.OFFLINE, 0, "It is down.")))
    assert drawn(summary(waits, away, 1.0, UNICODE), 100).endswith("\n  → `ftpsyncd check` says what helps\n")


def test_the_summary_of_files_that_failed_does_not_say_that_there_was_nothing_to_publish():
    text = drawn(summary(progress(files_done=0, files_total=0, failed=1), NOBODY, 60.0, UNICODE), 100)
    assert text == "! nothing published; that took 60 s.\n✗ 1 path failed: `ftpsyncd status`\n"


def test_the_summary_promises_nothing_about_a_folder_that_is_not_there():
    text = drawn(summary(progress(files_done=0, files_total=0, source_missing=True), NOBODY, 0.1, UNICODE), 100)
    assert text == "! nothing published; that took less than 1 s.\n"


def test_the_summary_promises_nothing_where_only_the_removal_of_a_directory_is_held():
    held = Status(NOBODY.daemon, (GOOD._replace(directories_held=1),), (), ())
    text = drawn(summary(progress(files_done=0, files_total=0, directories_held=1), held, 0.1, UNICODE), 100)
    assert text == "! nothing published; that took less than 1 s.\n! 1 directory is held: `ftpsyncd approve gallery`\n"


def test_the_commands_of_the_summary_are_named_once_and_stay_in_one_piece():
    option = " -c /home/somebody/a folder of some length/with another one in it/config.yaml"
    said = f"gallery: 3 files were deleted at once: `ftpsyncd approve gallery{option}` deletes them at the server"
    held = Status(NOBODY.daemon, (GOOD._replace(held=3), GOOD._replace(name="shop", held=1)), (), ())
    text = drawn(summary(progress(held=4, failed=1, messages=(said,)), held, 1.0, UNICODE, option), 80)
    assert text.count("ftpsyncd approve gallery") == 1
    for command in ("status", "approve shop", "approve gallery"):
        assert f"`ftpsyncd {command}{option}`" in text


def test_lines_are_occasional(monkeypatch, capsys):
    now = iter((0.0, 1.0, 11.0, 12.0))
    monkeypatch.setattr("ftpsyncd.cli.progress.time.monotonic", lambda: next(now))
    lines = Lines()
    for _ in range(3):
        lines.update(progress(), ())
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_pass_may_have_as_many_files_open_as_the_system_allows(config_file):
    """As a daemon may: `check` said that there were enough, and the pass had to wait for some again and again."""
    script = f"""
import resource
from ftpsyncd.cli.app import outcome
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 2048))
outcome(["sync", "-c", {str(config_file)!r}])
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "2048 2048"
