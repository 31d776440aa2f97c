"""The demo: its pictures are real, its witness sees what is wrong, and it ends as it promises."""

from __future__ import annotations

import errno
import io
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import time
import warnings
import wave
from pathlib import Path

import pytest
from PIL import Image

from ftpsyncd.demo import pictures
from ftpsyncd.demo.record import Happening, Record
from ftpsyncd.demo.story import Story, stopwatch
from ftpsyncd.demo.witness import Witness, visible
from ftpsyncd.errors import NoDescriptorError, UsageError
from tests.waiting import until

with warnings.catch_warnings():
    # pyftpdlib uses asyncore, deprecated in Python 3.11, and brings its own for later ones.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ftpsyncd.demo.server import LoopbackServer
    from ftpsyncd.demo.stage import Demo, _content

COMMAND = [sys.executable, "-m", "ftpsyncd", "demo"]

# ── Pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("draw", [pictures.png, pictures.bmp, pictures.gif])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (127, 3), (320, 241)])
def test_pictures_are_what_they_say(draw, width, height):
    data = draw(width, height, 7)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (width, height)
        assert image.format == draw.__name__.upper()


@pytest.mark.parametrize("draw", [pictures.png, pictures.bmp, pictures.gif])
def test_pictures_are_colourful_and_of_realistic_size(draw):
    data = draw(480, 360, 3)
    assert 20_000 < len(data) < 1_000_000
    with Image.open(io.BytesIO(data)) as image:
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) >= 100


def test_pictures_differ_by_seed_and_by_nothing_else():
    assert pictures.png(50, 50, 1) == pictures.png(50, 50, 1) != pictures.png(50, 50, 2)


def test_sounds_are_what_they_say():
    with wave.open(io.BytesIO(pictures.wav(0.5, 1))) as sound:
        assert sound.getnframes() == round(sound.getframerate() * 0.5)


@pytest.mark.parametrize(
    "data", [pictures.png(20, 20, 1), pictures.bmp(20, 20, 1), pictures.gif(20, 20, 1), pictures.wav(0.1, 1)]
)
def test_a_part_is_told_from_the_whole(data):
    assert pictures.is_whole(data) is True
    assert pictures.is_whole(data[:-1]) is False
    assert pictures.is_whole(data[: len(data) // 2]) is False


def test_what_is_no_picture_is_not_judged():
    assert pictures.is_whole(b"hello") is None


# ── Record ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_record_tells_what_is_new():
    record = Record()
    first, second = (Happening(0.0, "drop", "dropped", name) for name in "ab")
    record.note(first)
    count, fresh = record.since(0)
    record.note(second)
    assert (count, fresh) == (1, (first,))
    assert record.since(count) == (2, (second,))
    assert record.since(2) == (2, ())


def test_a_renamed_file_takes_its_contents_along():
    record = Record()
    record.intend("a", b"1")
    record.moved("a", "b")
    assert record.intended("b", b"1") is True
    assert record.intended("b", b"2") is False
    assert record.intended("c", b"1") is None


# ── Witness ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def scene(tmp_path):
    """A server's folder, a drop folder, a record, and a witness at work."""
    drop, remote = tmp_path / "drop", tmp_path / "server"
    drop.mkdir()
    remote.mkdir()
    record = Record()
    witness = Witness(remote, drop, record, stopwatch())
    witness.start()
    yield drop, remote, record, witness
    witness.stop()


def seen(witness: Witness) -> None:
    """Wait until the witness has looked once more at everything."""
    looks = witness.sighting().looks
    until(lambda: witness.sighting().looks >= looks + 2, "another look")


def appear(path: Path, data: bytes) -> None:
    """Have a file appear whole: the witness looks every millisecond."""
    temporary = path.with_name(f"{path.name}.0123abcd.filepart")
    temporary.write_bytes(data)
    temporary.rename(path)


def verbs(record: Record) -> list[tuple[str, str]]:
    return [(each.verb, each.path) for each in record.since(0)[1]]


def test_half_a_file_under_its_final_name_is_seen(scene):
    _, remote, record, witness = scene
    data = pictures.png(40, 40, 1)
    record.intend("a.png", data)
    appear(remote / "a.png", data[:-20])
    until(lambda: witness.sighting().torn == ("a.png",), "the torn file")


def test_a_mixture_of_two_versions_is_seen(scene):
    _, remote, record, witness = scene
    old, new = pictures.bmp(40, 40, 1), pictures.bmp(40, 40, 2)
    record.intend("a.bmp", old)
    record.intend("a.bmp", new)
    appear(remote / "a.bmp", new[:2000] + old[2000:])
    until(lambda: witness.sighting().torn == ("a.bmp",), "the mixed file")


def test_a_temporary_name_is_nobodys_business(scene):
    _, remote, record, witness = scene
    record.intend("a.png", b"whole")
    (remote / "a.png.0123abcd.filepart").write_bytes(b"wh")
    seen(witness)
    assert witness.sighting().torn == ()
    assert list(visible(remote)) == []


def test_a_file_that_is_still_being_written_must_not_be_there(scene):
    _, remote, record, witness = scene
    record.intend("film.wav", b"data")
    record.begin_writing("film.wav")
    appear(remote / "film.wav", b"data")
    until(lambda: witness.sighting().early == ("film.wav",), "the early file")
    assert witness.sighting().torn == ()


def test_a_persons_own_broken_file_is_no_accusation(scene):
    drop, remote, _, witness = scene
    broken = pictures.png(40, 40, 1)[:-20]
    (drop / "mine.png").write_bytes(broken)
    appear(remote / "mine.png", broken)
    until(lambda: witness.sighting().reads, "a read")
    seen(witness)
    assert witness.sighting().torn == ()


def test_what_happens_at_the_server_is_told(scene):
    _, remote, record, witness = scene
    temporary = remote / "a.0123abcd.filepart"
    for data in (b"1", b"22"):
        temporary.write_bytes(data)
        temporary.rename(remote / "a")
        seen(witness)
    (remote / "a").rename(remote / "b")
    seen(witness)
    (remote / "b").unlink()
    seen(witness)
    assert verbs(record) == [("published", "a"), ("replaced", "a"), ("renamed", "b"), ("deleted", "b")]


# ── Story ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_story_tells_of_everything_a_person_does(tmp_path):
    record = Record()
    story = Story(tmp_path, record, stopwatch(), seed=1)
    story.start()
    try:
        wanted = {"dropped", "overwritten", "renamed", "deleted", "opened", "closed"}
        until(lambda: wanted <= {verb for verb, _ in verbs(record)}, "every kind of happening", timeout_s=30)
    finally:
        story.stop()
    for path, _ in visible(tmp_path):
        assert record.intended(path, (tmp_path / path).read_bytes()) is True


def test_a_story_that_is_stopped_leaves_whole_files(tmp_path):
    record = Record()
    story = Story(tmp_path, record, stopwatch(), seed=1)
    story.start()
    until(record.being_written, "the slow writer")
    story.stop()
    film = tmp_path / "film (being recorded).wav"
    assert record.being_written() == frozenset()
    assert pictures.is_whole(film.read_bytes()) is True


def test_a_story_survives_a_person_who_clears_the_folder(tmp_path):
    record = Record()
    story = Story(tmp_path, record, stopwatch(), seed=1)
    story.start()
    until(lambda: ("dropped", "sunset.png") in verbs(record), "the first picture")
    (tmp_path / "sunset.png").unlink()
    until(lambda: ("overwritten", "sunset.png") in verbs(record), "the story to go on", timeout_s=20)
    story.stop()


# ── Server and stage ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_server_has_its_own_account(tmp_path):
    with LoopbackServer(tmp_path) as one, LoopbackServer(tmp_path) as other:
        assert one.port != other.port
        assert one.password != other.password


def test_the_stage_is_cleared_when_a_part_fails(monkeypatch):
    homes: list[Path] = []

    def fail(path):
        homes.append(path.parent)
        raise RuntimeError("no configuration today")

    monkeypatch.setattr("ftpsyncd.config.load", fail)
    with pytest.raises(RuntimeError, match="today"), Demo():
        pass
    assert not homes[0].exists()


def test_with_fewer_open_files_than_it_needs_there_is_no_stage(monkeypatch):
    """It came to its verdict, which was that nothing was everywhere the same."""
    monkeypatch.setattr("ftpsyncd.descriptors.allowed", lambda: 51)
    with pytest.raises(NoDescriptorError, match="51 files open; the demo needs up to 52"), Demo():
        pass


@pytest.mark.parametrize("folder", ["a, b", "a: b #c"])
def test_a_folder_for_temporary_files_may_have_any_name(tmp_path, monkeypatch, folder):
    (tmp_path / folder).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / folder))
    with Demo() as stage:
        assert stage.drop.parent.parent == tmp_path / folder


def test_a_path_that_is_too_long_for_the_socket_is_told_as_that(tmp_path, monkeypatch):
    long = tmp_path / ("l" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with pytest.raises(UsageError, match=f"The folder for temporary files has too long a path: {long}") as told, Demo():
        pass
    assert "TMPDIR" in told.value.remedy
    assert not list(long.iterdir())


@pytest.mark.parametrize("look", [lambda folder: list(visible(folder)), lambda folder: _content(folder / "a.jpg")])
def test_what_cannot_be_opened_is_not_taken_for_gone(monkeypatch, tmp_path, look):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EMFILE, "x")

    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(OSError, match="x"):
        look(tmp_path)


# ── The command ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def environment(tmp_path):
    """Variables under which everything temporary is below the test's own folder, so that leftovers are seen."""
    home = tmp_path / "t"
    home.mkdir()
    return {**os.environ, "TMPDIR": str(home), "PYTHONWARNINGS": "error,ignore::DeprecationWarning"}


def leftovers(environment) -> list[Path]:
    return list(Path(environment["TMPDIR"]).iterdir())


def test_the_demo_ends_by_itself_with_both_sides_identical(environment):
    ended = subprocess.run(
        [*COMMAND, "--seconds", "14"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "identical on both sides; no temporary files left" in ended.stdout
    assert re.search(r"looked at the server [\d,]+ times", ended.stdout)
    assert "never a partial file" in ended.stdout
    for verb in ("dropped", "overwritten", "renamed", "deleted", "opened", "closed", "published", "replaced"):
        assert f"  {verb} " in ended.stdout
    assert leftovers(environment) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + 15), (signal.SIGHUP, 128 + 1)])
def test_whatever_ends_the_demo_nothing_stays_behind(environment, number, code):
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        for line in demo.stdout:
            if "published" in line and "server" in line and "folder" not in line:
                break
        demo.send_signal(number)
        demo.stdout.read()
        assert demo.wait(60) == code
        assert demo.stderr.read() == ""
    assert leftovers(environment) == []


def test_a_file_of_ones_own_is_published_too(environment):
    with subprocess.Popen(
        [*COMMAND, "--seconds", "4"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        tip = demo.stdout.readline()
        folder = Path(tip.split()[-1])
        (folder / "my own.txt").write_text("hello")
        assert "published    my own.txt" in demo.stdout.read()
        assert demo.wait(60) == 0


def test_on_a_terminal_the_demo_is_live(environment):
    leader, follower = pty.openpty()
    environment = {**environment, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen([*COMMAND, "--seconds", "3"], env=environment, stdout=follower, stderr=follower) as demo:
        os.close(follower)
        shown = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the terminal is closed: the demo has ended
                break
            shown += piece
        os.close(leader)
        assert demo.wait(60) == 0
    text = shown.decode()
    assert "\x1b[?1049h" in text
    assert "\x1b[?1049l" in text
    assert "\x1b[?25h" in text[text.rindex("\x1b[?25l") :]
    assert "Try it" in text
    assert "identical on both sides" in text
    assert leftovers(environment) == []


def test_the_server_leaves_the_log_of_its_library_as_it_was(tmp_path):
    log = logging.getLogger("pyftpdlib")
    before = log.propagate
    with LoopbackServer(tmp_path):
        assert not log.propagate
    assert log.propagate is before is True
