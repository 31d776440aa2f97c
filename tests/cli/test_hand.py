"""`put`, `get`, `rm` and `ls` as they are typed, against a real server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ftpsyncd.cli.hand import Moving, Place, Tally, moving, place, view
from ftpsyncd.cli.output import UNICODE
from ftpsyncd.cli.put import amount
from ftpsyncd.errors import (
    FileChangedError,
    LocalUnwritableError,
    NameNotSendableError,
    NoDescriptorError,
    NotFoundError,
    ServerFullError,
    TransferFailedError,
    UsageError,
)
from ftpsyncd.remote import Step, TreeResult
from ftpsyncd.remote.wire import Control
from tests import nursery
from tests.cli.terminal import Ended, drawn, longest, write_config
from tests.remote.scripted import Connection, Scripted, hang_up
from tests.servers import KINDS, available, running
from tests.waiting import until

WORDS = [sys.executable, "-m", "ftpsyncd"]


@pytest.fixture(scope="module")
def server():
    with running("pyftpdlib") as server:
        yield server


@pytest.fixture
def home(server) -> Iterator[Path]:
    """What the account sees as the root, empty."""
    yield server.home
    for path in server.home.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.fixture
def here(tmp_path: Path, server, home) -> Path:
    """The current folder of the commands: a configuration, two files, a folder."""
    for name in ("gallery", "shop"):
        (tmp_path / name).mkdir()
    write_config(tmp_path, port=server.port)
    (tmp_path / "a.jpg").write_bytes(b"picture")
    (tmp_path / "b.jpg").write_bytes(b"b" * 2000)
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "one").write_bytes(b"1")
    (tmp_path / "tree" / "deep" / "two").write_bytes(b"22")
    return tmp_path


@pytest.fixture
def typed(here):
    """Runs a command as a process of its own in the current folder."""

    def run(*words: str) -> Ended:
        done = nursery.run([*WORDS, *words], cwd=here)
        assert "Traceback" not in done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@contextlib.contextmanager
def started(here: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*WORDS, *words], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def on_terminal(here: Path, *words: str, answer: bytes = b"") -> tuple[int, str]:
    """Run a command with a terminal for its input and messages; its exit code and all that stood there."""
    main, side = pty.openpty()
    try:
        process = subprocess.Popen(
            [*WORDS, *words],
            cwd=here,
            stdin=side,
            stdout=side,
            stderr=side,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
        os.close(side)
        side = -1
        os.write(main, answer)
        seen, deadline = b"", time.monotonic() + 60
        while time.monotonic() < deadline and select.select([main], [], [], 60)[0]:
            try:
                seen += os.read(main, 65536)
            except OSError:  # EIO: the other side is closed
                break
        return process.wait(10), seen.decode()
    finally:
        os.close(main)
        if side >= 0:
            os.close(side)


class TestPut:
    def test_a_file_into_a_directory_and_under_a_name(self, typed, home):
        (home / "dir").mkdir()
        assert typed("put", "a.jpg", "web:/") == (0, "1 file (7 B) sent.\n", "")
        assert typed("put", "a.jpg", "web:/dir").code == 0
        assert typed("put", "a.jpg", "web:dir/x.jpg").code == 0
        assert typed("put", "a.jpg", "b.jpg", "web:/dir/").out == "2 files (2.0 kB) sent.\n"
        assert files(home) == {
            "a.jpg": b"picture",
            "dir/a.jpg": b"picture",
            "dir/x.jpg": b"picture",
            "dir/b.jpg": b"b" * 2000,
        }

    def test_missing_directories_are_made_if_asked(self, typed, home):
        ended = typed("put", "a.jpg", "web:/new/2024/")
        assert (ended.code, list(home.iterdir())) == (1, [])
        assert "web:/new/2024 is not at the server" in ended.err
        assert "-p" in ended.err
        assert typed("put", "a.jpg", "web:/new/x").code == 1
        assert typed("put", "-p", "a.jpg", "web:/new/2024/").code == 0
        assert typed("put", "-p", "a.jpg", "web:/other/x").code == 0
        assert set(files(home)) == {"new/2024/a.jpg", "other/x"}

    def test_it_can_refuse_to_replace(self, typed, home):
        (home / "a.jpg").write_bytes(b"theirs")
        ended = typed("put", "--no-overwrite", "a.jpg", "b.jpg", "web:/")
        assert ended.code == 1
        assert "'/a.jpg' is at the server already" in ended.err
        assert ended.out == "1 file (2.0 kB) sent, 1 failed.\n"
        assert files(home) == {"a.jpg": b"theirs", "b.jpg": b"b" * 2000}
        (home / "tree").mkdir()
        (home / "tree" / "one").write_bytes(b"theirs")
        assert typed("put", "-r", "--no-overwrite", "tree", "web:/").code == 1
        assert files(home)["tree/one"] == b"theirs"
        assert typed("put", "a.jpg", "web:/").code == 0
        assert files(home)["a.jpg"] == b"picture"

    def test_folders_need_r_and_become_folders(self, typed, here, home):
        ended = typed("put", "tree", "web:/")
        assert (ended.code, list(home.iterdir())) == (2, [])
        assert "-r" in ended.err
        (here / "tree" / "link").symlink_to("one")
        ended = typed("put", "-r", "tree", "a.jpg", "web:/")
        assert (ended.code, ended.out) == (0, "3 files (10 B) sent, 1 skipped.\n")
        assert "Skipped web:/tree/link: a symbolic link" in ended.err
        assert typed("put", "-r", "tree/", "web:/named").code == 0
        assert typed("put", "-rp", "tree/.", "web:/straight/in/").code == 0
        assert set(files(home)) == {"a.jpg"} | {
            f"{where}/{name}" for where in ("tree", "named", "straight/in/tree") for name in ("one", "deep/two")
        }

    def test_the_content_of_the_current_folder_goes_straight_there(self, typed, home):
        (home / "x").mkdir()
        assert typed("put", "-r", ".", "web:/x/").code == 0
        assert files(home / "x")["a.jpg"] == b"picture"

    def test_what_is_not_here_fails_alone(self, typed, home):
        ended = typed("put", "no.jpg", "a.jpg", "web:/")
        assert ended.code == 1
        assert ended.err.startswith("ftpsyncd: error: 'no.jpg' cannot be read: No such file or directory."), ended.err
        assert set(files(home)) == {"a.jpg"}

    def test_names_that_would_be_one_are_refused(self, typed, here, home):
        (here / "other").mkdir()
        (here / "other" / "a.jpg").write_bytes(b"other")
        assert typed("put", "a.jpg", "other/a.jpg", "web:/").code == 2
        assert typed("put", "a.jpg", "b.jpg", "web:/new").code == 2
        (home / "file").write_bytes(b"")
        assert typed("put", "a.jpg", "web:/file/").code == 1
        assert set(files(home)) == {"file"}

    def test_an_interrupt_leaves_nothing_at_the_server(self, here, home):
        with (here / "big").open("wb") as big:
            big.truncate(8 << 30)
        with started(here, "put", "big", "web:/") as process:
            until(lambda: list(home.glob("big.*.filepart")), "it is on its way")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            assert (process.returncode, out, err) == (130, "", "")
        until(lambda: not list(home.iterdir()), "what was sent is removed")


class TestGet:
    def test_a_file(self, typed, here, home):
        (home / "x.jpg").write_bytes(b"theirs")
        os.utime(home / "x.jpg", (1_500_000_000, 1_500_000_000))
        assert typed("get", "web:/x.jpg") == (0, "1 file (6 B) fetched.\n", "")
        assert typed("get", "web:x.jpg", "y.jpg").code == 0
        assert typed("get", "web:x.jpg", "tree").code == 0
        assert typed("get", "web:x.jpg", "tree/deep/").code == 0
        for name in ("x.jpg", "y.jpg", "tree/x.jpg", "tree/deep/x.jpg"):
            assert (here / name).read_bytes() == b"theirs"
            assert (here / name).stat().st_mtime == 1_500_000_000

    def test_it_can_refuse_to_replace(self, typed, here, home):
        (home / "a.jpg").write_bytes(b"theirs")
        ended = typed("get", "--no-overwrite", "web:/a.jpg")
        assert (ended.code, (here / "a.jpg").read_bytes()) == (1, b"picture")
        assert "'a.jpg' exists already." in ended.err
        (home / "tree").mkdir()
        (home / "tree" / "one").write_bytes(b"theirs")
        (home / "tree" / "new").write_bytes(b"new")
        before = files(here / "tree")
        ended = typed("get", "--no-overwrite", "web:/tree/")
        assert (ended.code, ended.out) == (1, "1 file (3 B) fetched, 1 failed.\n")
        assert files(here / "tree") == {**before, "new": b"new"}

    def test_a_tree_and_what_is_missing_of_it(self, typed, here, home):
        shutil.copytree(here / "tree", home / "site")
        (home / "site" / "link").symlink_to("deep")
        ended = typed("get", "web:/site")
        assert (ended.code, (here / "site").exists()) == (2, False)
        assert "slash at the end" in ended.err
        ended = typed("get", "web:/site/", "copy")
        assert (ended.code, ended.out) == (0, "2 files (3 B) fetched, 1 skipped.\n")
        assert files(here / "copy") == files(here / "tree")
        (here / "copy" / "one").unlink()
        assert typed("get", "web:/site/", "copy").out == "1 file (1 B) fetched, 1 here already, 1 skipped.\n"
        assert typed("get", "web:/site/").code == 0
        assert files(here / "site") == files(here / "tree")
        assert typed("get", "web:/").code == 2
        assert typed("get", "web:/", "all").code == 0
        assert files(here / "all" / "site") == files(here / "tree")

    def test_one_that_fails_makes_the_code_one(self, typed, here, home):
        (home / "d").mkdir()
        (home / "d" / "a").write_bytes(b"a")
        (home / "d" / "b\x1b[2J").write_bytes(b"b")
        ended = typed("get", "web:/d/")
        assert (ended.code, ended.out) == (1, "1 file (1 B) fetched, 1 failed.\n")
        assert "control characters" in ended.err
        assert "\x1b" not in ended.err
        assert files(here / "d") == {"a": b"a"}

    @pytest.mark.parametrize("target", ["{}", "{}/a.jpg", "{}/"])
    def test_a_local_name_that_is_too_long(self, typed, home, target):
        (home / "a.jpg").write_bytes(b"picture")
        for what in ("web:/a.jpg", "web:/"):
            ended = typed("get", what, target.format("x" * 300))
            assert (ended.code, ended.out.replace("0 files (0 B) fetched, 1 failed.\n", "")) == (1, "")
            assert re.fullmatch(r"ftpsyncd: error: 'x+(/a.jpg)?' cannot be written: File name too long\.\n", ended.err)

    def test_what_is_not_there(self, typed, here):
        before = files(here)
        for words in (["web:/no"], ["web:/no/"]):
            ended = typed("get", *words)
            assert ended.code == 1
            assert len(ended.err.splitlines()) == 1
        assert files(here) == before

    def test_a_folder_that_is_not_here_or_is_none_is_told_as_that(self, typed, here, home):
        (home / "x.jpg").write_bytes(b"picture")
        before = files(here)
        for words, said in (
            (["web:/x.jpg", "no/x.jpg"], "There is no folder 'no' here.\nMake it first.\n"),
            (["web:/x.jpg", "no/"], "There is no folder 'no' here.\nMake it first.\n"),
            (["web:/x.jpg", "a.jpg/x.jpg"], "'a.jpg' is no folder.\n"),
            (["web:/", "a.jpg"], "'a.jpg' is no folder.\n"),
        ):
            ended = typed("get", *words)
            assert (ended.code, ended.err) == (1, f"ftpsyncd: error: {said}")
        assert files(here) == before

    def test_an_interrupt_leaves_a_part_that_is_continued(self, typed, here, home):
        with (home / "big").open("wb") as big:
            big.truncate(8 << 30)
        with started(here, "get", "web:/big") as process:
            until(lambda: [p for p in here.glob("big.*.filepart") if p.stat().st_size > 5 << 20], "some of it came", 30)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            assert (process.returncode, out, err) == (130, "", "")
        (part,) = here.glob("big*")
        assert part.suffix == ".filepart"
        # The rest would take a while: all but the last bytes are here already. The date keeps it the same file.
        os.truncate(part, (8 << 30) - 5)
        ended = typed("get", "web:/big")
        assert (ended.code, ended.out) == (0, "1 file (8.6 GB) fetched, of which 8.6 GB had come earlier.\n")
        (whole,) = here.glob("big*")
        assert whole.stat().st_size == 8 << 30


class TestRm:
    @pytest.fixture(autouse=True)
    def _site(self, here, home):
        shutil.copytree(here / "tree", home / "site")
        (home / "x").write_bytes(b"")

    def test_files(self, typed, home):
        ended = typed("rm", "web:/x", "web:/no", "web:/no/such", "web:/site/one")
        assert (ended.code, ended.out) == (1, "removed web:/x\nremoved web:/site/one\n")
        assert "web:/no is not at the server" in ended.err
        assert "web:/no/such is not at the server" in ended.err
        assert set(files(home)) == {"site/deep/two"}

    def test_directories_need_r(self, typed, home):
        ended = typed("rm", "web:/site")
        assert ended.code == 1
        assert "-r" in ended.err
        assert len(files(home)) == 3

    def test_r_needs_a_person_or_yes(self, typed, home):
        ended = typed("rm", "-r", "web:/site")
        assert (ended.code, len(files(home))) == (2, 3)
        assert "--yes" in ended.err
        ended = typed("rm", "-r", "--yes", "web:/site")
        assert ended.code == 0
        assert ended.out.splitlines() == [f"removed web:/site{path}" for path in ("/one", "/deep/two", "/deep", "")]
        assert [path.name for path in home.iterdir()] == ["x"]

    def test_a_person_is_asked(self, here, home):
        code, seen = on_terminal(here, "rm", "-r", "web:/site", answer=b"n\n")
        assert (code, len(files(home))) == (1, 3)
        assert "Delete web:/site with all that is in it? [y/N]" in seen
        assert "Nothing was deleted." in seen
        code, seen = on_terminal(here, "rm", "-r", "web:/site", answer=b"\x04")
        assert (code, len(files(home))) == (130, 3)
        assert seen.endswith("\n"), "the shell's prompt has a line of its own"
        assert on_terminal(here, "rm", "-r", "web:/site", answer=b"y\n")[0] == 0
        assert [path.name for path in home.iterdir()] == ["x"]

    def test_links_are_deleted_and_not_followed(self, typed, home):
        (home / "link").symlink_to("site")
        (home / "site" / "up").symlink_to("..")
        (home / "dangling").symlink_to("nowhere")
        assert typed("rm", "web:/link", "web:/dangling").code == 0
        assert len(files(home / "site")) == 2
        (home / "link").symlink_to("site")
        assert typed("rm", "-ry", "web:/link").out == "removed web:/link\n"
        assert typed("rm", "-ry", "web:/site").code == 0
        assert [path.name for path in home.iterdir()] == ["x"]

    def test_the_root_is_spared(self, typed, home):
        for path in ("web:/", "web://", "web:/."):
            assert typed("rm", "-ry", path).code == 2
        assert len(files(home)) == 3


class TestLs:
    def test_names_kinds_sizes_and_dates(self, typed, home, monkeypatch):
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        (home / "d").mkdir()
        for name in ("b b", "a\x1b[2J"):
            (home / name).write_bytes(b"12345")
            os.utime(home / name, (1_500_000_000, 1_500_000_000))
        os.utime(home / "d", (1_500_000_000, 1_500_000_000))
        assert typed("ls", "web").out == '"a\\x1b[2J"\n"b b"\nd/\n'
        assert typed("ls", "-l", "web:").out == (
            'file   5  2017-07-14 11:40:00  "a\\x1b[2J"\n'
            'file   5  2017-07-14 11:40:00  "b b"\n'
            "dir    -  2017-07-14 11:40:00  d/\n"
        )
        assert typed("ls", "web:/b b").out == '"b b"\n'
        assert typed("ls", "web:d/") == (0, "", "")
        document = json.loads(typed("ls", "--json", "web:/").out)
        assert document == {
            "server": "web",
            "path": "/",
            "entries": [
                {"name": "a\x1b[2J", "kind": "file", "size": 5, "mtime": "2017-07-14T02:40:00+00:00"},
                {"name": "b b", "kind": "file", "size": 5, "mtime": "2017-07-14T02:40:00+00:00"},
                {"name": "d", "kind": "dir", "size": None, "mtime": "2017-07-14T02:40:00+00:00"},
            ],
        }

    def test_what_is_not_there(self, typed):
        ended = typed("ls", "web:/no")
        assert (ended.code, ended.out) == (1, "")
        assert "'/no'" in ended.err


@pytest.mark.real_server
@pytest.mark.parametrize("kind", KINDS)
def test_a_link_to_a_directory_is_one_to_put_into_and_is_not_replaced(ftpsyncd, here, kind, monkeypatch):
    monkeypatch.chdir(here)
    with running(kind) as server:
        write_config(here, port=server.port)
        (server.home / "real").mkdir()
        (server.home / "real").chmod(0o777)
        (server.home / "link").symlink_to("real")
        assert ftpsyncd("put", "a.jpg", "web:/link") == (0, "1 file (7 B) sent.\n", "")
        assert ftpsyncd("put", "b.jpg", "web:/link/").code == 0
        assert (server.home / "link").is_symlink()
        assert set(files(server.home / "real")) == {"a.jpg", "b.jpg"}
        assert ftpsyncd("get", "web:/link/a.jpg", "down").code == 0
        assert (here / "down").read_bytes() == b"picture"


@pytest.mark.parametrize(
    "words", [["get", "web:/*.jpg"], ["ls", "web:/*.jpg"], ["rm", "web:/*.jpg"], ["rm", "-ry", "web:/*.jpg"]]
)
def test_who_types_a_pattern_is_told_that_it_is_taken_for_a_name(typed, home, words):
    (home / "x.jpg").write_bytes(b"picture")
    ended = typed(*words)
    assert ended.code == 1
    assert "is not at the server" in ended.err
    assert "Names are taken as they are" in ended.err
    assert "Names are taken" not in typed(words[0], "web:/no.jpg").err


@pytest.mark.real_server
def test_dates_that_nobody_sees_are_not_asked_for(ftpsyncd, here, monkeypatch):
    """vsftpd tells none with its listings: each is a command of its own, 64 of them a round trip."""
    if not available("vsftpd"):
        pytest.skip("no vsftpd")
    monkeypatch.chdir(here)
    said: list[bytes] = []
    send = Control.send

    def noted(control, commands):
        said.extend(commands)
        send(control, commands)

    def asked() -> int:
        return sum(command.startswith(b"MDTM") for command in said)

    monkeypatch.setattr(Control, "send", noted)
    with running("vsftpd") as server:
        write_config(here, port=server.port)
        assert ftpsyncd("put", "-r", "tree", "web:/").code == 0
        for words, dates in ((["ls"], 0), (["ls", "-l"], 1), (["ls", "--json"], 1), (["rm", "-r", "--yes"], 0)):
            said.clear()
            assert ftpsyncd(*words, "web:/tree").code == 0
            # Whatever it is that somebody names is asked about as a file is.
            assert asked() == dates + 1, words
        assert list(server.home.iterdir()) == []


def test_a_folder_that_takes_long_to_be_counted_costs_no_connection(ftpsyncd, here, monkeypatch):
    """Servers end a connection over which nothing is said, some after two minutes."""
    monkeypatch.chdir(here)
    counted = amount

    def slowly(sources):
        time.sleep(3)
        return counted(sources)

    monkeypatch.setattr("ftpsyncd.cli.put.amount", slowly)
    with running("pyftpdlib", idle_s=1) as server:
        write_config(here, port=server.port)
        assert ftpsyncd("put", "-r", "tree", "web:/") == (0, "2 files (3 B) sent.\n", "")


@pytest.mark.parametrize(
    "words",
    [["ls", "wbe:/x"], ["put", "a.jpg", "wbe:/"], ["get", "wbe:/x"], ["rm", "wbe:/x"], ["rm", "web:/x", "wbe:/x"]],
)
def test_a_server_that_is_not_in_the_configuration(ftpsyncd, here, words, monkeypatch):
    monkeypatch.chdir(here)
    ended = ftpsyncd(*words)
    assert ended.code == 2
    assert "There is no server wbe. Did you mean 'web'?" in ended.err


def test_the_name_of_a_mapping_in_the_place_of_a_server_is_told_as_that(typed):
    """As the advice had it, `gallery:/` was tried next, and there was no server of that name."""
    for words in (("put", "a.jpg", "gallery:/"), ("ls", "gallery")):
        ended = typed(*words)
        assert ended.code == 2
        assert "gallery is a mapping, not a server." in ended.err
        assert "It publishes to web:/gallery." in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [(["put", "a.jpg"], "Where shall a.jpg go to?"), (["put", "web:/x"], "What shall go to web:/x?")],
)
def test_put_says_which_of_its_two_arguments_is_missing(ftpsyncd, here, words, said, monkeypatch):
    monkeypatch.chdir(here)
    ended = ftpsyncd(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "For example: ftpsyncd put a.jpg web:/" in ended.err


def test_the_example_takes_no_file_for_an_option(ftpsyncd, here, monkeypatch):
    """As after ``put -- *`` in a folder with one file."""
    monkeypatch.chdir(here)
    ended = ftpsyncd("put", "--", "-x.jpg")
    assert ended.code == 2
    assert "For example: ftpsyncd put ./-x.jpg web:/htdocs/" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["put", "web:/x", "."], ". is not SERVER:PATH.\nThe other way goes `ftpsyncd get`."),
        (["get", "a.jpg", "web:/"], "a.jpg is not SERVER:PATH.\nThe other way goes `ftpsyncd put`."),
        (["put", "a.jpg", "web"], "web is not SERVER:PATH.\nFor example: web:/htdocs/a.jpg, or web:/ for the root "),
        (["rm", "/x"], "/x is not SERVER:PATH.\nFor example: web:/htdocs/a.jpg\n"),
    ],
)
def test_who_mistakes_where_the_server_is_named_is_told_what_was_meant(ftpsyncd, here, words, said, monkeypatch):
    monkeypatch.chdir(here)
    ended = ftpsyncd(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize("words", [["ls", "web"], ["put", "a.jpg", "web:/"], ["get", "web:/x"], ["rm", "web:/x"]])
def test_a_server_that_is_not_there_is_not_available_now(ftpsyncd, here, words, monkeypatch):
    monkeypatch.chdir(here)
    write_config(here, port=1)
    ended = ftpsyncd(*words)
    assert (ended.code, ended.out) == (75, "")
    assert "then try again" in ended.err
    (here / "config.yaml").write_text("servers: 1")
    assert ftpsyncd(*words).code == 78


def test_what_was_sent_when_the_line_was_lost_is_told(ftpsyncd, here, monkeypatch):
    """That it is not available now is all that was told: of a thousand files nobody knew how many had arrived."""
    monkeypatch.chdir(here)
    with Scripted(STOR=[None, hang_up], GREETING=[None, *99 * [hang_up]]) as server:
        write_config(here, port=server.port)
        ended = ftpsyncd("put", "a.jpg", "b.jpg", "web:/")
        assert set(server.files) == {"/a.jpg"}
    assert (ended.code, ended.out) == (75, "1 file (7 B) sent.\n")


def test_so_is_what_was_fetched(ftpsyncd, here, monkeypatch):
    async def listed(connection: Connection, _path: str) -> None:
        await connection.say("150 Here it comes.")
        _, writer = await connection.data()
        writer.write(b"".join(b"-rw-r--r-- 1 u u 1 Jan 1 2026 %s\r\n" % name for name in (b"x", b"y")))
        await connection.end_data()
        await connection.say("226 That is all.")

    monkeypatch.chdir(here)
    with Scripted(LIST=listed, RETR=[None, hang_up], GREETING=[None, *99 * [hang_up]]) as server:
        server.files = {"/x": b"x", "/y": b"y"}
        write_config(here, port=server.port)
        ended = ftpsyncd("get", "web:/", "copy")
    assert (ended.code, ended.out) == (75, "1 file (1 B) fetched.\n")
    assert files(here / "copy") == {"x": b"x"}


@pytest.mark.parametrize("source", ["web:/x", "web:/"])
def test_nobody_who_means_standard_output_gets_a_file_of_that_name(ftpsyncd, here, source, monkeypatch):
    """As curl and wget have it; and a name in the folder that programs take for standard input is a trap."""
    monkeypatch.chdir(here)
    ended = ftpsyncd("get", source, "-")
    assert (ended.code, ended.out) == (2, "")
    assert "nothing is written to standard output.\n./- is " in ended.err
    assert not (here / "-").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web:/a/b", Place("web", "/a/b", inside=False)),
        ("web:a/b/", Place("web", "/a/b", inside=True)),
        ("web:/", Place("web", "/", inside=True)),
        ("web://a//./b", Place("web", "/a/b", inside=False)),
        ("web:/a:b", Place("web", "/a:b", inside=False)),
        ("web:/a/.", Place("web", "/a", inside=True)),
        ("web:...", Place("web", "/...", inside=False)),
    ],
)
def test_places(text, expected):
    assert place(text) == expected


@pytest.mark.parametrize("text", ["web", "", ":", ":/a", "web:", "dir/web:/a", "web:/a/..", "web:../a"])
def test_no_places(text):
    with pytest.raises(UsageError):
        place(text)


def test_the_root_may_be_left_out_where_that_is_harmless():
    assert place("web", bare=True) == place("web:", bare=True) == Place("web", "/", inside=True)


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/d/a b", FileChangedError("The file ended."), '"web:/d/a b": The file ended.'),
        ("/d/m", LocalUnwritableError("'here/m' is a directory."), "web:/d/m: 'here/m' is a directory."),
        ("/d/m", NotFoundError("'/d/m' is not there.", remedy=""), "'/d/m' is not there."),
        ("/d/m", NotFoundError("web:/d/m is not there.", remedy="Or so."), "web:/d/m is not there. Or so."),
        (
            "/d/m",
            ServerFullError("There is no space for '/d/m': 452 Disk full", reply="452 Disk full"),
            "There is no space for '/d/m': 452 Disk full. Free space at the server, then try again.",
        ),
        (
            "/d/m",
            TransferFailedError("'/d/m' failed: 451 Failure.", reply="451 Failure."),
            "'/d/m' failed: 451 Failure. Perhaps the server's disk is full: see to that, then try again.",
        ),
        ("/d/m", NoDescriptorError("None is left."), f"web:/d/m: None is left. {NoDescriptorError.remedy}"),
        ("/d/\n", NameNotSendableError('"/d/\\n" cannot be sent.'), '"/d/\\n" cannot be sent.'),
    ],
)
def test_a_failure_names_its_file_once(capsys, path, error, said):
    Tally("web", moving()).add(TreeResult(path, Step.FAILED, error=error))
    assert capsys.readouterr().err == f"ftpsyncd: error: {said}\n"


def test_progress_on_a_terminal(here, home):
    with (here / "big").open("wb") as big:
        big.truncate(300_000_000)
    code, seen = on_terminal(here, "put", "big", "a.jpg", "web:/")
    assert code == 0
    assert re.search(r"━.* +\d+%", seen)
    assert re.search(r"0 of 2 files, .* of 300 MB, .*/s", seen)
    assert "2 files (300 MB) sent." in seen
    assert seen.rstrip().endswith("sent.")
    code, seen = on_terminal(here, "get", "web:/", "back")
    assert code == 0
    assert re.search(r"1 file, [\d.]+ MB, .*/s", seen)
    assert (here / "back" / "big").stat().st_size == 300_000_000


def test_what_is_said_above_the_picture_is_not_broken_by_us():
    paper = StringIO()
    screen = Console(file=paper, width=40, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    sentence = "ftpsyncd: error: It is full. Free some space, then run `ftpsyncd put a.jpg web:/` once more."
    with Moving(screen) as show:
        show.say(sentence)
    assert sentence in paper.getvalue()


@pytest.mark.parametrize("width", [40, 80])
def test_the_picture_leaves_room_for_what_the_terminal_echoes(width):
    """`^C` in a full line would begin another one, and leave the picture's first line behind."""
    said = "1 of 4 files, 25 B of 100 B, 5 B/s, 15 s left"
    assert longest(view("/htdocs/" + "x" * 200, 25, 100, said, UNICODE, width), width) <= width - 2


@pytest.mark.parametrize("width", [40, 80])
def test_the_picture_fits(width):
    text = drawn(
        view("/htdocs/" + "x" * 200, 25, 100, "1 of 4 files, 25 B of 100 B, 5 B/s, 15 s left", UNICODE, width), width
    )
    assert max(map(len, text.splitlines())) <= width
    assert " 25%" in text
    assert "%" not in drawn(view("/htdocs/a", 25, None, "1 file", UNICODE, width), width)


@pytest.mark.real_server
@pytest.mark.root
def test_of_a_name_that_may_be_refused_for_its_temporary_ending_nothing_is_said_that_only_helps_a_mapping(
    ftpsyncd, tmp_path
):
    (tmp_path / "a.jpg").write_bytes(b"a")
    with running("proftpd", directives=(r'PathAllowFilter "\.jpg$"',)) as server:
        ended = ftpsyncd("put", "-c", write_config(tmp_path, port=server.port), tmp_path / "a.jpg", "web:/a.jpg")
    assert ended.code == 1
    assert "have it take `.filepart`" in ended.err
    assert "publish: direct" not in ended.err
    assert "retry" not in ended.err
