"""The log: one physical line per record, whatever is in it."""

import io
import json
import logging
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from loguru import logger

from ftpsyncd import logs, logstream, systemd
from ftpsyncd.events import Event, EventKind
from ftpsyncd.journal import REPEATS_IN_FULL, Journal
from ftpsyncd.quoting import named
from ftpsyncd.typed import Typed
from tests.smalldisk import eat, small_disk

NASTY = "a\nb\r\tc\x1b[31m\x85\u2028\u202ed\u200b\udcff{}{x}<red>%s\\\"'"
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch):
    for name in ("NO_COLOR", "JOURNAL_STREAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    yield
    logs.reset()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def logged(act, *args, **kwargs):
    """The lines that ``act`` logs under ``configure(*args, **kwargs)``."""
    stream = kwargs.setdefault("stream", io.StringIO())
    logs.configure(*args, **kwargs)
    act()
    logs.reset()
    return stream.getvalue().split("\n")[:-1]


@pytest.mark.parametrize("form", ["text", "json"])
def test_commands_are_told_for_the_service_that_logs(form):
    def act():
        logs.logger.bind(remedy="Run `ftpsyncd retry`.", path="`ftpsyncd retry`").warning("{}", "see `ftpsyncd status`")

    (line,) = logged(act, format=form, typed=Typed(" -c own.yaml"))
    assert "see `ftpsyncd status -c own.yaml`" in line
    if form == "json":
        told = json.loads(line)
        assert (told["remedy"], told["path"]) == ("Run `ftpsyncd retry -c own.yaml`.", "`ftpsyncd retry`")


def fail(problem):
    raise problem


def log_failure():
    try:
        try:
            fail(RuntimeError("it\nbroke"))
        except RuntimeError as problem:
            raise ValueError("outer") from problem
    except ValueError:
        logger.bind(path="a.jpg").exception("Scan failed")


# ── quote ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("photos/IMG_1.JPG", "photos/IMG_1.JPG"),
        ("-rf*?[x]#%'é中🙂", "-rf*?[x]#%'é中🙂"),
        ("", '""'),
        ("my photo.jpg", '"my photo.jpg"'),
        (" a", '" a"'),
        ('a"b', r'"a\"b"'),
        ("a\\nb", r'"a\\nb"'),
        ("a\nb\rc\td", r'"a\nb\rc\td"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("\udcff\udc80", r'"\xff\x80"'),
        ("\x85\u202e\u200b\u2028\ufeff", r'"\u0085\u202e\u200b\u2028\ufeff"'),
        ("\U000e0001", r'"\U000e0001"'),
        ("a\u00a0b", r'"a\u00a0b"'),
    ],
)
def test_quote_shows_every_character(path, expected):
    assert logs.quote(path) == expected


def unquote(shown):
    """The inverse of quote; that it exists is what "unambiguous" means."""
    if not shown.startswith('"'):
        return shown
    assert len(shown) >= 2
    assert shown.endswith('"')
    named = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}

    def read(match):
        text = match[0][1:]
        if text in named:
            return named[text]
        code = int(text[1:], 16)
        return chr(code + 0xDC00) if text[0] == "x" and code >= 0x80 else chr(code)

    return re.sub(r'\\(?:[nrt"\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})', read, shown[1:-1])


@given(ANY_TEXT)
@example(NASTY)
def test_quote_is_one_printable_line_and_unambiguous(path):
    shown = logs.quote(path)
    assert shown.isprintable()
    assert unquote(shown) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("my photo.jpg", "'my photo.jpg'"),
        (Path("/a/é.jpg"), "'/a/é.jpg'"),
        ("it's.jpg", '"it\'s.jpg"'),
        ("a\\b", r'"a\\b"'),
        ("caf\udce9.jpg", r'"caf\xe9.jpg"'),
        ("a\nb", r'"a\nb"'),
        ("", "''"),
    ],
)
def test_a_name_within_a_sentence_has_quotation_marks(path, expected):
    assert named(path) == expected


# ── Records ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_text_has_time_level_and_message():
    [line] = logged(lambda: logger.bind(path="x").info("Published x."))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO     Published x\.", line)


def test_records_below_the_level_are_dropped():
    assert logged(lambda: logger.info("quiet"), "warning") == []
    assert len(logged(lambda: logger.debug("loud"), "DEBUG")) == 1


@pytest.mark.parametrize("wrong", [{"level": "loud"}, {"format": "xml"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"(?i)loud|xml"):
        logs.configure(**wrong)


@given(text=ANY_TEXT, form=st.sampled_from(["text", "json"]), journald=st.booleans())
@example(text=NASTY, form="text", journald=False)
def test_every_record_is_one_line(text, form, journald):
    def act():
        logger.bind(event="published", path=text, **{"strange key": text}).info(text)
        try:
            fail(OSError(text))
        except OSError:
            logger.exception(text)

    lines = logged(act, "info", form, journald=journald)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if form == "json":
        for line in lines:
            json.loads(line.removeprefix("<6>").removeprefix("<3>"))


def test_json_has_time_with_offset_level_event_message_and_what_was_bound():
    def act():
        bound = {"mapping": "gallery", "path": "a\udcff\n", "size": 3, "ok": True, "rate": float("inf")}
        logger.bind(event="published", **bound, list=[1, {"x": None}], odd=object, level=9).warning("Done.")

    [line] = logged(act, "info", "json")
    record = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", record.pop("ts"))
    assert record == {
        "level": "warning",
        "event": "published",
        "message": "Done.",
        "mapping": "gallery",
        "path": "a\udcff\n",
        "size": 3,
        "ok": True,
        "rate": "inf",
        "list": [1, {"x": None}],
        "odd": "<class 'object'>",
    }


def test_a_failure_names_type_text_cause_and_lines_but_no_values():
    [line] = logged(log_failure)
    assert r"Scan failed: ValueError: outer; from RuntimeError: it\nbroke (test_logs.py:" in line
    assert " in log_failure)" in line
    [line] = logged(log_failure, "info", "json")
    failure = json.loads(line)["exception"]
    assert failure["type"] == "ValueError"
    assert failure["message"] == "outer"
    assert failure["causes"] == ["RuntimeError: it\nbroke"]
    assert failure["frames"][0].startswith("test_logs.py:")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_endless_message_is_cut(form):
    [line] = logged(lambda: logger.bind(reply="y" * 100_000).error("x" * 1_000_000), "info", form)
    assert len(line) < 20_000


class Unprintable(Exception):  # noqa: N818 - it is the text that fails
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_object_without_a_text_loses_no_record(form):
    def act():
        try:
            fail(Unprintable())
        except Unprintable:
            logger.bind(odd=Unprintable()).exception("Odd.")

    [line] = logged(act, "info", form)
    assert "Odd." in line
    assert "<Unprintable>" in line


# ── Where the lines go ───────────────────────────────────────────────────────────────────────────────────────────


def test_colour_is_for_terminals():
    def act():
        logger.warning("\x1b[1mx")

    assert re.search(r"\x1b\[33mWARNING \x1b\[0m \\x1b\[1mx$", logged(act, stream=Terminal())[0])
    assert "\x1b" not in logged(act)[0]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_declined(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert "\x1b" not in logged(lambda: logger.error("x"), stream=Terminal())[0]


@pytest.mark.parametrize(
    ("level", "priority"),
    [("TRACE", 7), ("DEBUG", 7), ("INFO", 6), ("SUCCESS", 5), ("WARNING", 4), ("ERROR", 3), ("CRITICAL", 2)],
)
def test_the_journal_gets_the_priority_in_place_of_time_and_level(level, priority):
    lines = logged(lambda: logger.log(level, "A\nB"), "trace", journald=True)
    assert lines == [rf"<{priority}>A\nB"]
    [line] = logged(lambda: logger.log(level, "A"), "trace", "json", journald=True)
    assert line.startswith(f'<{priority}>{{"ts": ')


def test_the_journal_is_known_by_device_and_inode(monkeypatch, tmp_path):
    with (tmp_path / "err").open("w+") as stream:
        found = os.fstat(stream.fileno())
        for value, is_journal in ((f"{found.st_dev}:{found.st_ino}", True), ("1:2", False), ("", False)):
            monkeypatch.setenv("JOURNAL_STREAM", value)
            stream.seek(0)
            stream.truncate()
            logs.configure(stream=stream)
            logger.info("x")
            stream.seek(0)
            assert stream.read().startswith("<6>") is is_journal


def test_a_name_is_written_in_the_c_locale_too():
    program = (
        "from ftpsyncd import logs; from loguru import logger; logs.configure(); logger.info('\\xe9\\U0001f642\\udcff')"
    )
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, timeout=60, check=True)
    assert done.stderr.endswith(b"INFO     \\xe9\\U0001f642\\xff\n")
    assert done.stdout == b""


class Full(io.StringIO):
    def write(self, _text):
        raise OSError(28, "No space left on device")


def test_a_full_disk_under_the_log_harms_nobody(capfd):
    logged(lambda: logger.error("x"), stream=Full())
    closed = io.StringIO()
    closed.close()
    logs.configure(stream=closed)
    logger.error("x")
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def small(tmp_path):
    """A disk of 64 KiB."""
    with small_disk(tmp_path / "small", "size=64k") as place:
        yield place


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_what_a_full_disk_did_not_take_is_counted_and_no_line_is_torn(small):
    with (small / "log").open("a") as stream:
        logs.configure(stream=stream)
        logger.info("number 0")
        ballast = eat(small)
        for n in range(1, 1000):
            logger.info(f"number {n}")
        ballast.unlink()
        logger.info("there is space")
    *lines, gap, last = (small / "log").read_text().splitlines()
    whole = [line for line in lines if re.fullmatch(r"[-:0-9 ]{19} INFO     number [0-9]+", line)]
    assert len(lines) - len(whole) <= 1, "the last one for which there was space is there in part"
    assert f"could not be written: {1000 - len(whole)} lines" in gap
    assert last.endswith("there is space")


def full_pipe(*, room):
    """Both ends of a pipe with so much room left."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = 0
    with suppress(BlockingIOError):
        while True:
            size += os.write(writer, b"." * select.PIPE_BUF)
    os.set_blocking(writer, True)
    left = size - os.read(reader, room).count(b".") if room else size
    return reader, os.fdopen(writer, "w"), left


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_that_nobody_reads_stops_nobody(monkeypatch, form):
    """A terminal that is stopped, `| less`, a container's log driver that hangs: once it is waited for, and that is it."""
    monkeypatch.setattr(logstream, "READER_S", 0.1)
    reader, stream, waiting = full_pipe(room=0)
    with stream:
        logs.configure(format=form, stream=stream)
        logging_on = threading.Thread(target=lambda: [logger.info(f"number {n}") for n in range(100)], daemon=True)
        logging_on.start()
        logging_on.join(10)
        assert not logging_on.is_alive()
        assert len(os.read(reader, waiting)) == waiting
        logger.info("read again")
        gap, again = os.read(reader, 65536).decode().splitlines()
        assert "is missing, since it could not be written: 100 lines" in gap
        assert "warning" in gap.lower()
        assert "read again" in again
        if form == "json":
            assert json.loads(gap)["level"] == "warning"
    os.close(reader)


def test_what_a_journal_that_hung_did_not_take_is_counted_in_it_when_it_goes_on():
    """The pipe to it is full then, too; afterwards, nothing is written into that any more."""
    hangs, taken = False, []

    def journal(fields):
        if not hangs:
            taken.append(fields)
        return not hangs

    logs.configure(stream=Full(), journald=True, journal=journal)
    logger.info("before")
    hangs = True
    for n in range(3):
        logger.bind(path="a.jpg").error(f"number {n}")
    hangs = False
    for n in range(2):
        logger.info(f"it goes on, {n}")
    said = [(fields["PRIORITY"], fields["MESSAGE"].rpartition(": ")[2]) for fields in taken]
    assert said == [("6", "before"), ("4", "3 lines of the log"), ("6", "it goes on, 0"), ("6", "it goes on, 1")]
    assert "could not be written" in taken[1]["MESSAGE"]
    assert "FTPSYNCD_PATH" not in taken[1]


def test_a_long_line_that_is_read_in_part_only_stops_nobody(monkeypatch):
    monkeypatch.setattr(logstream, "READER_S", 0.1)
    reader, stream, waiting = full_pipe(room=2 * select.PIPE_BUF)
    with stream:
        logs.configure(stream=stream)
        logging_on = threading.Thread(target=lambda: logger.info("€" * 7000), daemon=True)
        logging_on.start()
        logging_on.join(10)
        assert not logging_on.is_alive()
        os.read(reader, waiting)
        os.read(reader, 65536)
        logger.info("read again")
        end, gap, again = os.read(reader, 65536).decode().split("\n")[:-1]
        assert (end, "could not be written: 1 line of" in gap, "read again" in again) == ("", True, True)
    os.close(reader)


def test_a_second_configuration_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    logs.configure(stream=first)
    logs.configure(stream=second)
    logger.info("x")
    logging.getLogger("pyftpdlib").warning("y")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 2


# ── Libraries ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("library", ["pyftpdlib", "uvicorn", "watchdog.observers", "asyncio", "unheard.of"])
def test_warnings_of_libraries_are_taken_over(library):
    def act():
        log = logging.getLogger(library)
        log.debug("no")
        log.info("no")
        log.warning("%d\nfiles", 3)
        log.error("lost")
        log.critical("all over")

    records = [json.loads(line) for line in logged(act, "debug", "json")]
    assert [(record["level"], record["message"]) for record in records] == [
        ("warning", r"3\nfiles"),
        ("error", "lost"),
        ("critical", "all over"),
    ]
    assert {record["logger"] for record in records} == {library}


def test_a_library_that_formats_wrongly_loses_no_warning():
    def act():
        record = logging.LogRecord("watchdog", logging.WARNING, __file__, 1, "wrong: %d", ("x",), None)
        [handler] = [handler for handler in logging.getLogger().handlers if isinstance(handler, logs._Intercept)]
        handler.handle(record)

    assert logged(act)[0].endswith("wrong: %d")


def test_exceptions_of_libraries_stay_on_their_line():
    def act():
        try:
            fail(RuntimeError("it\nbroke"))
        except RuntimeError:
            logging.getLogger("asyncio").exception("Task failed")

    [line] = logged(act)
    assert r"Task failed: RuntimeError: it\nbroke (test_logs.py:" in line


# ── Secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", ["hunter22", 'p"a\\ss', "new\nline!", "pä ss/?&", "(.*)+"])
def test_known_secrets_appear_in_no_record(form, secret):
    def act():
        logger.bind(event=secret, reply=f"530 {secret}", nested={secret: [secret]}).info(f"PASS {secret} sent")
        logger.info(logs.quote(f"a {secret}"))
        logger.info(repr(secret))
        try:
            fail(OSError(f"login {secret} failed"))
        except OSError:
            logger.exception("x")

    written = "\n".join(logged(act, "info", form, secrets=lambda: [secret, "other", ""]))
    assert "***" in written
    for spelling in (secret, json.dumps(secret)[1:-1], logs.quote(secret).strip('"'), logs.one_line(secret)):
        assert spelling not in written


def test_secrets_are_asked_for_anew_and_the_last_known_serve_if_that_fails():
    answers = iter([["first"], ["second"]])

    def act():
        for _ in range(3):
            logger.info("first second")

    lines = logged(act, secrets=lambda: next(answers))  # the third time it raises StopIteration
    assert [line.split("INFO     ")[1] for line in lines] == ["*** second", "first ***", "first ***"]


def test_a_secret_too_short_to_hide_leaves_the_lines_readable():
    assert logged(lambda: logger.info("a web page"), secrets=lambda: ["a", ""])[0].endswith("a web page")


# ── The journal's fields ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_journal_gets_the_line_and_what_was_bound_to_it():
    taken = []

    def act():
        logger.bind(event="failed", mapping="shop", path="a\nb\udcff hunter22", size=3, parts=[1], reply=None).warning(
            "No"
        )

    def journal(fields):
        taken.append(fields)
        return True

    assert logged(act, journald=True, journal=journal, secrets=lambda: ["hunter22"]) == []
    assert taken == [
        {
            "MESSAGE": "No",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "ftpsyncd",
            "FTPSYNCD_EVENT": "failed",
            "FTPSYNCD_MAPPING": "shop",
            "FTPSYNCD_PATH": "a\nb\udcff ***",
            "FTPSYNCD_SIZE": "3",
        }
    ]


def test_a_journal_that_hangs_keeps_one_record_waiting_and_not_each(monkeypatch, tmp_path):
    monkeypatch.setattr(systemd, "_SEND_TIMEOUT_S", 0.6)
    address = str(tmp_path / "journal")
    stream = io.StringIO()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        logs.configure(stream=stream, journald=True, journal=lambda fields: systemd.journal(fields, address))
        began = time.monotonic()
        taken = 0
        while not stream.getvalue():
            logger.info("full at some time")
            taken += 1
        for _ in range(20):
            logger.info("on the stream")
        assert time.monotonic() - began < 10, "each of them: 12"
    assert taken > 1
    assert stream.getvalue().count("<6>on the stream") == 20


def test_what_the_journal_does_not_take_stands_on_the_stream():
    assert logged(lambda: logger.info("Hello"), journald=True, journal=lambda _: False) == ["<6>Hello"]


@pytest.mark.parametrize("how", [{"journald": False}, {"journald": True, "format": "json"}])
def test_the_journal_is_not_asked_for_other_streams_nor_for_json(how):
    def journal(_fields):
        raise AssertionError("it was asked")

    assert len(logged(lambda: logger.info("Hello"), journal=journal, **how)) == 1


# ── The same thing many times ────────────────────────────────────────────────────────────────────────────────────


class Minutes:
    """A journal and its clock; what is logged ends in ``lines``."""

    def __init__(self):
        self.now = 1000.0
        self.journal = Journal(lambda: self.now)
        self._stream = io.StringIO()
        logs.configure(stream=self._stream)

    def happens(self, times, kind=EventKind.PARKED, mapping="gallery"):
        for number in range(times):
            self.journal(Event(kind, mapping, f"{number}.jpg"))

    def goes_by(self, seconds):
        self.now += seconds
        self.journal.tell_counted()

    @property
    def lines(self):
        return self._stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("message", "reply", "said"),
    [
        ("No such name.", "", "gallery: parked a.jpg - No such name. Rename the file."),
        ("Refused", "550 no", "gallery: parked a.jpg - Refused (server: 550 no) Rename the file."),
        ("Refused", "", "gallery: parked a.jpg - Refused. Rename the file."),
    ],
)
def test_what_waits_for_a_person_is_told_with_what_helps(message, reply, said):
    day = Minutes()
    day.journal(Event(EventKind.PARKED, "gallery", "a.jpg", message=message, reply=reply, remedy="Rename the file."))
    day.journal(Event(EventKind.FAILED, "gallery", "a.jpg", message="Busy.", remedy="It is tried again."))
    day.journal(Event(EventKind.HELD, "gallery", "a.jpg", message=message, reply=reply, remedy="Decide."))
    assert day.lines[0].endswith(said)
    assert day.lines[1].endswith("a.jpg - Busy.")
    assert day.lines[2].endswith("Decide.")


def test_one_of_something_is_told_as_one():
    day = Minutes()
    day.journal(Event(EventKind.PUBLISHED, "gallery", "a.jpg", size=1, duration_s=2.0))
    assert day.lines[0].endswith("gallery: published a.jpg (1 byte in 2.00 s)")


@pytest.mark.parametrize(
    ("kind", "duration_s", "said"),
    [
        (EventKind.PUBLISHED, 0.0012, "published a.jpg (7 bytes in less than 0.01 s)"),
        (EventKind.ADOPTED, 0.0, "adopted a.jpg (7 bytes)"),
    ],
)
def test_nothing_is_told_to_take_no_time_at_all(kind, duration_s, said):
    day = Minutes()
    day.journal(Event(kind, "gallery", "a.jpg", size=7, duration_s=duration_s))
    assert day.lines[0].endswith(f"gallery: {said}")


def test_what_was_only_counted_is_told_when_the_minute_is_over():
    day = Minutes()
    day.happens(30)
    assert len(day.lines) == REPEATS_IN_FULL == 10
    day.goes_by(59)
    assert len(day.lines) == 10
    day.goes_by(3)
    assert day.lines[10].endswith("gallery: 20 more parked in the last 62 s")
    day.goes_by(3600)
    day.happens(1)
    assert len(day.lines) == 12
    assert "0.jpg" in day.lines[11]


def test_files_that_are_held_are_counted_and_a_hold_of_all_deletes_is_told_beside_them():
    day = Minutes()
    day.happens(30, kind=EventKind.HELD)
    day.journal(Event(EventKind.HELD, "gallery", message="60 files were deleted at once"))
    day.goes_by(62)
    assert len(day.lines) == REPEATS_IN_FULL + 2
    assert day.lines[-2].endswith("gallery: held - 60 files were deleted at once")
    assert day.lines[-1].endswith("gallery: 20 more held in the last 62 s")


def test_a_minute_with_few_of_them_needs_no_count():
    day = Minutes()
    day.happens(REPEATS_IN_FULL)
    day.goes_by(61)
    day.happens(REPEATS_IN_FULL)
    day.goes_by(61)
    assert len(day.lines) == 2 * REPEATS_IN_FULL
    assert not any("more" in line for line in day.lines)


def test_each_mapping_and_kind_is_counted_by_itself():
    day = Minutes()
    day.happens(11)
    day.happens(13, mapping="shop")
    day.happens(12, kind=EventKind.FAILED)
    day.goes_by(60)
    assert [line.partition(" more ")[0].rpartition(" ")[2] for line in day.lines if " more " in line] == ["1", "3", "2"]


def test_a_count_that_is_told_late_says_so():
    day = Minutes()
    day.happens(11)
    day.now += 7200
    day.happens(1)
    assert day.lines[10].endswith("gallery: 1 more parked in the last 7200 s")


def test_what_was_only_counted_is_told_in_the_end():
    day = Minutes()
    day.happens(30)
    day.now += 3.2
    day.journal.tell_counted(ended=True)
    assert day.lines[10].endswith("gallery: 20 more parked in the last 4 s")
    day.journal.tell_counted(ended=True)
    assert len(day.lines) == 11
