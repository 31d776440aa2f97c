"""Telling people: commands and webhooks that work, fail, hang, and never give a secret away."""

from __future__ import annotations

import contextlib
import email
import email.policy
import http.server
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from loguru import logger

from ftpsyncd import alerts
from ftpsyncd.alerts import Alerter
from ftpsyncd.config import Config, ControlSpec
from ftpsyncd.core.alarms import CALM_S, Alarms, AlertKind, Notice, Step, conditions
from ftpsyncd.courier import TRIES
from ftpsyncd.daemon.outside import Outside
from ftpsyncd.descriptors import FOR_MESSAGE, allow_files
from ftpsyncd.engine.loop import Engine
from ftpsyncd.errors import ConfigError
from ftpsyncd.local.quiet import ignore_lease_signals
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.specs import AlertLimits, AlertSpec
from ftpsyncd.status import DaemonStatus, MappingState, MappingStatus, ServerState, ServerStatus, Status
from ftpsyncd.typed import Typed
from tests.plainest import CA, HERE, Signed
from tests.smalldisk import small_disk
from tests.waiting import until

HELD = MappingStatus("gallery", "/a", "web:/a", MappingState.HELD, 0, 0, 0, 0, 7, 9, 9, None, "7 files are gone")
LIMITS = AlertLimits(server_offline_s=0)


def status(*mappings: MappingStatus, server: ServerState = ServerState.ONLINE) -> Status:
    daemon = DaemonStatus(running=True, pid=1, version="0", uptime_s=1)
    return Status(daemon, mappings, (ServerStatus("web", server, 1, "refused"),), ())


@pytest.mark.parametrize(
    ("step", "message", "expected"),
    [
        (Step.RAISED, "server web is offline: It is away.", "raised: server web is offline: It is away. Wait."),
        (Step.RAISED, "a is paused", "raised: a is paused. Wait."),
        (Step.RECOVERED, "over: a is paused", "recovered: a is paused."),
    ],
)
def test_the_text_reads_as_people_write(step: Step, message: str, expected: str) -> None:
    remedy = "" if step is Step.RECOVERED else "Wait."
    shown = alerts.body(Notice(step, AlertKind.PAUSED, "a", message, remedy, 1.0))
    assert shown["text"].partition("] ")[2] == expected
    assert shown["message"] == message


class Receiver:
    """A webhook's other end."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[Any] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.paths.append(self.path)
                code = receiver.answers.pop(0) if receiver.answers else 204
                if code < 300:
                    receiver.got.append(json.loads(data))
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                receiver.paths.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}/hook/SECRET"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    number = logger.add(lambda message: lines.append(str(message)), format="{level} {message}")
    yield lines
    logger.remove(number)


@pytest.fixture
def alerter() -> Iterator[Callable[..., Alerter]]:
    started: list[Alerter] = []

    def start(shown: Callable[[], Status], **spec: Any) -> Alerter:
        made = Alerter(AlertSpec(limits=LIMITS, **spec), shown, look_every_s=0.01, first_pause_s=0.01)
        made.start()
        started.append(made)
        return made

    yield start
    for each in started:
        each.stop()


def noting(tmp_path: Path, *, code: int = 0) -> tuple[tuple[str, ...], Path]:
    """A command that appends its input and a variable to a file."""
    out = tmp_path / "out"
    script = (
        "import os, sys; out = open(sys.argv[1], 'a');"
        "out.write(sys.stdin.read().strip() + '\\t' + os.environ['FTPSYNCD_ALERT_KIND'] + '\\n'); out.close();"
        f"print('no luck'); sys.exit({code})"
    )
    return (sys.executable, "-c", script, str(out)), out


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_command_gets_the_message(tmp_path: Path, alerter: Callable[..., Alerter]) -> None:
    command, out = noting(tmp_path)
    alerter(lambda: status(HELD), command=command)
    until(lambda: lines(out), "the message")
    text, _, kind = lines(out)[0].partition("\t")
    message = json.loads(text)
    assert kind == message["kind"] == "held"
    assert (message["step"], message["subject"]) == ("raised", "gallery")
    assert "7 files are gone" in message["message"]
    assert "ftpsyncd approve gallery" in message["remedy"]
    assert message["text"].startswith("[ftpsyncd on ")


def test_a_webhook_gets_the_message_once(receiver: Receiver, alerter: Callable[..., Alerter]) -> None:
    looks: list[int] = []

    def shown() -> Status:
        looks.append(1)
        return status(server=ServerState.OFFLINE)

    alerter(shown, webhook=lambda: receiver.url)
    until(lambda: receiver.got, "the message")
    seen = len(looks)
    until(lambda: len(looks) > seen + 5, "more looks")
    assert [message["kind"] for message in receiver.got] == ["server_offline"]
    assert receiver.paths == ["/hook/SECRET"]


def test_a_delivery_that_fails_is_tried_again(
    receiver: Receiver, alerter: Callable[..., Alerter], log: list[str]
) -> None:
    receiver.answers = [500, 404]
    alerter(lambda: status(HELD), webhook=lambda: receiver.url)
    until(lambda: receiver.got, "the message")
    assert len(receiver.paths) == 3
    assert any("the webhook answered 500" in line for line in log)
    assert "WARNING alert raised: gallery: 7 deletes are held" in log[0]
    assert "SECRET" not in "".join(log)


def test_a_command_that_hangs_does_not_keep_the_webhook_waiting(
    tmp_path: Path, receiver: Receiver, alerter: Callable[..., Alerter]
) -> None:
    mark = tmp_path / "mark"
    script = f"open({str(mark)!r}, 'w').close(); import time; time.sleep(600)"
    alerter(lambda: status(HELD), command=(sys.executable, "-c", script), webhook=lambda: receiver.url)
    until(mark.exists, "the command runs")
    until(lambda: receiver.got, "the message by the webhook", 10)
    assert [message["subject"] for message in receiver.got] == ["gallery"]


def test_a_webhook_that_fails_does_not_keep_the_command_waiting(
    tmp_path: Path, receiver: Receiver, alerter: Callable[..., Alerter], log: list[str]
) -> None:
    receiver.answers = [500] * TRIES
    command, out = noting(tmp_path)
    alerter(lambda: status(HELD, HELD._replace(name="shop")), command=command, webhook=lambda: receiver.url)
    until(lambda: len(lines(out)) == 2 and receiver.got, "all messages")
    assert [message["subject"] for message in receiver.got] == ["shop"]
    assert len(failures(log)) == 1


def test_what_was_not_delivered_is_told_until_something_is(receiver: Receiver, alerter: Callable[..., Alerter]) -> None:
    told: list[str] = []
    shown = [HELD]
    receiver.answers = [500] * TRIES
    made = Alerter(
        AlertSpec(limits=LIMITS, command=("/nowhere/at/all",), webhook=lambda: receiver.url),
        lambda: status(*shown),
        told.append,
        look_every_s=0.01,
        first_pause_s=0.01,
    )
    made.start()
    try:
        missing = (
            "the command cannot be run: No such file or directory. There is no program /nowhere/at/all that can be run."
            " Correct the first word of `alerts.command`, or make the file executable."
        )
        until(lambda: f"{missing}; the webhook answered 500" in told, "both are told")
        shown.append(HELD._replace(name="shop"))
        until(lambda: receiver.got, "the other message, by the webhook")
        until(lambda: told[-1] == missing, "only the command is told")
    finally:
        made.stop()


def test_a_redirect_is_not_followed(receiver: Receiver, alerter: Callable[..., Alerter], log: list[str]) -> None:
    receiver.answers = [302] * TRIES
    alerter(lambda: status(HELD), webhook=lambda: receiver.url)
    until(lambda: any(line.startswith("ERROR") for line in log), "it gives up")
    assert set(receiver.paths) == {"/hook/SECRET"}
    assert receiver.got == []


def unset() -> str:
    raise ConfigError("the variable ALERT_URL is not set")


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        (lambda: "http://127.0.0.1:1/SECRET", "refused"),
        (lambda: "file:///etc/SECRET", "does not begin with https://"),
        (lambda: "http://[SECRET", "is no URL"),
        (lambda: "http://127.0.0.1:port/SECRET", "is no URL"),
        (unset, "ALERT_URL is not set"),
    ],
)
def test_a_webhook_that_cannot_be_called_is_in_the_log_without_its_address(
    alerter: Callable[..., Alerter], log: list[str], webhook: Callable[[], str], words: str
) -> None:
    alerter(lambda: status(HELD), webhook=webhook)
    until(lambda: any(line.startswith("ERROR") for line in log), "it gives up")
    assert words in "".join(log)
    assert "SECRET" not in "".join(log)


def test_a_command_that_fails_is_in_the_log_with_its_words(
    tmp_path: Path, alerter: Callable[..., Alerter], log: list[str]
) -> None:
    command, out = noting(tmp_path, code=3)
    alerter(lambda: status(HELD), command=command)
    until(lambda: any(line.startswith("ERROR") for line in log), "it gives up", 30)
    assert len(lines(out)) == TRIES
    assert "the command ended with 3: no luck" in "".join(log)


def test_what_a_command_says_right_before_its_end_is_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read only where it had come when that was looked at last, before it was seen that the command had ended."""

    class LateTalker(subprocess.Popen[bytes]):
        """Says another word, and ends, between the look at what it has said and the one whether it has ended."""

        looks = 0

        def poll(self) -> int | None:
            self.looks += 1
            if self.looks == 1:
                return None
            if self.returncode is None and self.stdin is not None:
                self.stdin.close()
                return self.wait()
            return super().poll()

    def popen(_command: tuple[str, ...], **how: Any) -> LateTalker:
        return LateTalker(("sh", "-c", "echo today; read _; echo no luck; exit 3"), **how | {"stdin": subprocess.PIPE})

    monkeypatch.setattr(subprocess, "Popen", popen)
    alerter = Alerter(AlertSpec(limits=LIMITS, command=("sh",)), lambda: status(HELD))
    assert alerter._run_command({}) == "the command ended with 3: today no luck"


def test_a_command_that_fails_without_a_word_is_told_by_its_exit_code(
    alerter: Callable[..., Alerter], log: list[str]
) -> None:
    alerter(lambda: status(HELD), command=("false",))
    until(lambda: any(line.startswith("ERROR") for line in log), "it gives up", 30)
    assert {line.rstrip("\n").rpartition(": ")[2] for line in failures(log)} == {"the command ended with 1"}


@pytest.mark.parametrize(
    ("content", "helps"),
    [
        (
            "echo hello\n",
            "Exec format error. {} is no program. Begin a script with the line `#!/bin/sh`, or whatever runs it.",
        ),
        ("", "Exec format error. {} is no program. Begin a script with the line `#!/bin/sh`, or whatever runs it."),
        (
            "#!/bin/sh\r\ntrue\r\n",
            "No such file or directory. {} has line ends of Windows, with which it cannot be run. Save it with those of Unix.",
        ),
        (
            "\ufeff#!/bin/sh\n",
            "Exec format error. {} begins with a byte order mark, with which it cannot be run. Save it without one.",
        ),
    ],
)
def test_the_log_says_what_helps_a_script_that_the_kernel_does_not_run(
    tmp_path: Path, alerter: Callable[..., Alerter], log: list[str], content: str, helps: str
) -> None:
    program = tmp_path / "tell"
    program.write_text(content, newline="", encoding="utf-8")
    program.chmod(0o755)
    alerter(lambda: status(HELD), command=(str(program),))
    until(lambda: failures(log), "a try")
    assert failures(log)[0].rstrip("\n").endswith(f"the command cannot be run: {helps.format(quote(str(program)))}")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_helps_a_program_on_a_disk_from_which_nothing_is_run(tmp_path: Path) -> None:
    """It was said to be made executable, which it is."""
    with small_disk(tmp_path / "disk", "size=1m,noexec") as disk:
        tell = disk / "tell"
        tell.write_text("#!/bin/sh\n")
        tell.chmod(0o755)
        told = alerts.unfit_program(str(tell))
        assert told is not None
        assert "noexec" in told[0]
        assert "executable" not in told[1]
        tell.chmod(0o644)
        # Whatever else is wrong as well, that comes first.
        told = alerts.unfit_program(str(tell))
        assert told is not None
        assert "make the file executable" in told[1]


def test_a_command_that_is_not_there_is_in_the_log(alerter: Callable[..., Alerter], log: list[str]) -> None:
    alerter(lambda: status(HELD), command=("/nowhere/at/all",))
    until(lambda: any(line.startswith("ERROR") for line in log), "it gives up")
    assert "cannot be run: No such file or directory" in "".join(log)


def test_a_command_that_hangs_does_not_keep_the_end_waiting(tmp_path: Path, alerter: Callable[..., Alerter]) -> None:
    mark = tmp_path / "mark"
    script = f"open({str(mark)!r}, 'w').close(); import time; time.sleep(600)"
    started = alerter(lambda: status(HELD), command=(sys.executable, "-c", script))
    until(mark.exists, "the command runs")
    before = time.monotonic()
    started.stop()
    assert time.monotonic() - before < 5


def test_what_is_over_says_when_it_was_first_seen() -> None:
    alarms = Alarms(LIMITS)
    [raised] = alarms.judge(conditions(status(HELD), LIMITS), 0.0)
    assert alarms.judge({}, 100.0) == []
    [recovered] = alarms.judge({}, 100.0 + CALM_S)
    first, last = (datetime.fromisoformat(alerts.body(notice)["since"]) for notice in (raised, recovered))
    assert timedelta(seconds=-3) < last + timedelta(seconds=100.0 + CALM_S) - first < timedelta(seconds=3)
    assert alerts.body(recovered)["lasted_s"] == 100.0


class Shown:
    """An engine as alerts see it."""

    def __init__(self) -> None:
        self.status = status(HELD)
        self.troubles: list[str] = []

    def unheard(self, trouble: str) -> None:
        self.troubles.append(trouble)


def test_other_limits_do_not_forget_what_has_been_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftpsyncd.core.alarms.CALM_S", 0.0)
    command, out = noting(tmp_path)
    config = Config(
        tmp_path / "config.yaml", {}, {}, tmp_path, ControlSpec(tmp_path / "control.sock"), alerts=AlertSpec(command)
    )
    engine, outside = Shown(), Outside(None, Typed())
    outside.start(config, cast("Engine", engine))
    try:
        until(lambda: len(lines(out)) == 1, "it is told")
        outside.change(config._replace(alerts=AlertSpec(command, limits=LIMITS)), cast("Engine", engine))
        engine.status = status()
        until(lambda: len(lines(out)) == 2, "it is told to be over")
    finally:
        outside.stop()
    assert [json.loads(line.partition("\t")[0])["step"] for line in lines(out)] == ["raised", "recovered"]


def test_who_is_told_from_now_on_hears_of_what_lasts(tmp_path: Path) -> None:
    command, out = noting(tmp_path)
    config = Config(
        tmp_path / "config.yaml", {}, {}, tmp_path, ControlSpec(tmp_path / "control.sock"), alerts=AlertSpec(("false",))
    )
    engine, outside = cast("Engine", Shown()), Outside(None, Typed())
    outside.start(config, engine)
    try:
        outside.change(config._replace(alerts=None), engine)
        outside.change(config._replace(alerts=AlertSpec(command)), engine)
        until(lambda: lines(out), "it is told")
    finally:
        outside.stop()


def test_a_message_names_commands_for_the_service_that_tells_it(tmp_path: Path) -> None:
    command, out = noting(tmp_path)
    config = Config(
        tmp_path / "config.yaml", {}, {}, tmp_path, ControlSpec(tmp_path / "control.sock"), alerts=AlertSpec(command)
    )
    outside = Outside(None, Typed(" -c own.yaml"))
    outside.start(config, cast("Engine", Shown()))
    try:
        until(lambda: lines(out), "it is told")
    finally:
        outside.stop()
    told = json.loads(lines(out)[0].partition("\t")[0])
    assert told["remedy"] == "Decide: `ftpsyncd approve gallery -c own.yaml` or `ftpsyncd discard gallery -c own.yaml`."
    assert told["remedy"] in told["text"]


def test_two_mappings_are_two_messages(tmp_path: Path, alerter: Callable[..., Alerter]) -> None:
    command, out = noting(tmp_path)
    alerter(lambda: status(HELD, HELD._replace(name="shop")), command=command)
    until(lambda: len(lines(out)) == 2, "both messages")
    assert {json.loads(line.partition("\t")[0])["subject"] for line in lines(out)} == {"gallery", "shop"}


@pytest.fixture
def odd_webhook() -> Iterator[Callable[..., str]]:
    """The address of a webhook that answers every call with these bytes, one after the other if it shall drip."""
    ended = threading.Event()
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []

    def make(answer: bytes, *, drip_s: float = 0.0) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while not ended.is_set():
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    for step in [answer] if not drip_s else [answer[at : at + 1] for at in range(len(answer))]:
                        connection.sendall(step)
                        if ended.wait(drip_s):
                            break

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/SECRET"

    yield make
    ended.set()
    for listener in listeners:
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname()).close()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def failures(log: list[str]) -> list[str]:
    return [line for line in log if line.startswith("ERROR")]


def test_a_webhook_that_answers_no_http_is_called_again_for_the_next_message(
    alerter: Callable[..., Alerter], odd_webhook: Callable[..., str], log: list[str]
) -> None:
    url = odd_webhook(b"hello\r\n\r\n")
    alerter(lambda: status(HELD, HELD._replace(name="shop")), webhook=lambda: url)
    until(lambda: len(failures(log)) == 2, "both are given up")
    assert "the webhook cannot be called: BadStatusLine" in "".join(log)
    assert "SECRET" not in "".join(log)


@pytest.mark.parametrize("url", ["http://127.0.0.1:80SECRET/", "http://127.0.0.1:1/SECRET word", "http://SECRET/é"])
def test_an_address_that_is_none_is_in_no_words(
    alerter: Callable[..., Alerter], log: list[str], capfd: pytest.CaptureFixture[str], url: str
) -> None:
    alerter(lambda: status(HELD, HELD._replace(name="shop")), webhook=lambda: url)
    until(lambda: len(failures(log)) == 2, "both are given up")
    assert "SECRET" not in "".join([*log, *capfd.readouterr()])


@pytest.mark.parametrize(
    ("host", "told"),
    [("Hook.SECRET.example", "Hook.SECRET.example"), ("bücher-SECRET.example", "xn--bcher-SECRET-0zb.example")],
)
def test_a_certificate_for_another_host_does_not_give_away_this_one(
    monkeypatch: pytest.MonkeyPatch, host: str, told: str
) -> None:
    class Opener:
        def open(self, *_args: object, **_options: object) -> None:
            words = f"certificate verify failed: Hostname mismatch, certificate is not valid for '{told}'."
            raise urllib.error.URLError(ssl.SSLCertVerificationError(1, words))

    monkeypatch.setattr(alerts, "_OPENER", Opener())
    problem = alerts._post(lambda: f"https://{host}/", {})
    assert "certificate is not valid for …" in problem
    assert "SECRET" not in problem


def test_the_anchors_of_the_system_count_as_they_are_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Signed("our authority", None, CA)
    between = Signed("our authority for machines", root, CA)
    receiver = Receiver(Signed("hook", between, HERE).serving(tmp_path, between))
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(Signed("another authority", None, CA).save(tmp_path / "another.pem")))
        assert "certificate verify failed" in alerts._post(lambda: receiver.url, {})
        for number, anchor in enumerate((root, between)):
            monkeypatch.setenv("SSL_CERT_FILE", str(anchor.save(tmp_path / f"{number}.pem")))
            assert not alerts._post(lambda: receiver.url, {"anchor": number})
    finally:
        receiver.close()
    assert receiver.got == [{"anchor": 0}, {"anchor": 1}]


def test_they_are_not_read_before_anything_is_posted() -> None:
    """Every `check` would take a quarter of a second longer."""
    script = "import ssl; ssl.SSLContext.load_default_certs = None; import ftpsyncd.alerts"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_webhook_that_drips_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
    alerter: Callable[..., Alerter],
    odd_webhook: Callable[..., str],
    log: list[str],
) -> None:
    monkeypatch.setattr(alerts, "WEBHOOK_S", 0.3)
    url = odd_webhook(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2000, drip_s=0.02)
    started = alerter(lambda: status(HELD), webhook=lambda: url)
    until(lambda: failures(log), "it gives up")
    assert "the webhook did not answer within 0.3 s" in "".join(log)
    before = time.monotonic()
    started.stop()
    assert time.monotonic() - before < 5


def test_what_a_command_leaves_behind_keeps_no_message_waiting(tmp_path: Path, alerter: Callable[..., Alerter]) -> None:
    out, pids = tmp_path / "out", tmp_path / "pids"
    command = ("sh", "-c", f"cat >> {as_word(out)}; sleep 100 & echo $! >> {as_word(pids)}")
    alerter(lambda: status(HELD, HELD._replace(name="shop")), command=command)
    until(lambda: len(lines(out)) == 2, "both messages")
    until(lambda: len(lines(pids)) == 2, "what both leave behind")
    for pid in pids.read_text().split():
        os.kill(int(pid), signal.SIGKILL)


OF_SYSTEMD = {
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "WATCHDOG_PID": str(os.getpid()),
    "WATCHDOG_USEC": "120000000",
    "LISTEN_PID": str(os.getpid()),
    "LISTEN_FDS": "1",
    "LISTEN_FDNAMES": "control",
    "CREDENTIALS_DIRECTORY": "/run/credentials/ftpsyncd.service",
    "JOURNAL_STREAM": "8:1234",
}
USEFUL = {
    "HOME": "/var/lib/ftpsyncd",
    "LANG": "de_DE.UTF-8",
    "https_proxy": "http://proxy:3128",
    "STATE_DIRECTORY": "/var/lib/ftpsyncd",
    "RUNTIME_DIRECTORY": "/run/ftpsyncd",
    "SITE": "a matter of the operator's",
}


def test_a_command_gets_no_secret_and_nothing_by_which_it_could_speak_for_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alerter: Callable[..., Alerter]
) -> None:
    for name, value in {**OF_SYSTEMD, **USEFUL, "WEB_PASSWORD": "SECRET", "ALERT_URL": "https://x/SECRET"}.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "out"
    alerter(
        lambda: status(HELD),
        command=(sys.executable, "-c", _TELL, str(out)),
        secret_variables=frozenset({"WEB_PASSWORD", "ALERT_URL"}),
    )
    until(out.exists, "the message")
    told = json.loads(out.read_text())
    assert "SECRET" not in json.dumps(told)
    given = told["environ"]
    assert not given.keys() & {*OF_SYSTEMD, "WEB_PASSWORD", "ALERT_URL"}
    assert {name: given.get(name) for name in USEFUL} == USEFUL
    assert given["PATH"] == os.environ["PATH"]
    assert given["FTPSYNCD_ALERT_KIND"] == "held"


_TELL = """
import json, os, signal, sys
told = {
    "environ": dict(os.environ),
    "open": sorted(int(number) for number in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{number}")),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "folder": os.getcwd(),
    "leads": os.getpid() == os.getpgid(0) == os.getsid(0),
}
with open(sys.argv[1] + ".new", "w") as out:
    json.dump(told, out)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


def test_a_command_has_nothing_of_the_daemon_open_and_is_ended_by_its_own_signals_only(
    tmp_path: Path, alerter: Callable[..., Alerter]
) -> None:
    out = tmp_path / "out"
    with contextlib.ExitStack() as stack:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        alerter(lambda: status(HELD), command=(sys.executable, "-c", _TELL, str(out)))
        until(out.exists, "the message")
    told = json.loads(out.read_text())
    assert (told["open"], told["blocked"], told["leads"]) == ([0, 1, 2], [], True)
    assert told["folder"] == str(Path.cwd())


_ALLOWED = """
import resource, signal, sys, time
by = time.monotonic() + 10
while (files := resource.getrlimit(resource.RLIMIT_NOFILE))[0] > 1024 and time.monotonic() < by:
    time.sleep(0.001)
with open(sys.argv[1], "a") as out:
    print(*files, int(signal.getsignal(signal.SIGIO)), file=out)
"""


def test_a_command_starts_with_the_signals_and_limits_of_a_shell(
    tmp_path: Path, alerter: Callable[..., Alerter]
) -> None:
    """And not with what the daemon has set for itself: signals that are ignored are inherited, as limits are."""
    out = tmp_path / "out"
    limits, before = resource.getrlimit(resource.RLIMIT_NOFILE), signal.getsignal(signal.SIGIO)
    try:
        ignore_lease_signals()
        allow_files()
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
        alerter(lambda: status(HELD), command=(sys.executable, "-c", _ALLOWED, str(out)))
        until(lambda: lines(out), "the message", 30)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == allowed
    finally:
        signal.signal(signal.SIGIO, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert lines(out) == [f"{min(1024, allowed[0])} {allowed[1]} {int(signal.SIG_DFL)}"]


def test_a_command_may_not_have_more_files_open_than_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a limit that is below that of a shell it could not be run at all: no soft limit is above the hard one."""
    given: list[tuple[int, int]] = []

    def prlimit(_pid: int, _what: int, limits: tuple[int, int] | None = None) -> tuple[int, int]:
        given.extend([limits] if limits is not None else [])
        return (512, 512)

    monkeypatch.setattr(resource, "prlimit", prlimit)
    assert Alerter(AlertSpec(limits=LIMITS, command=("true",)), status)._run_command({}) == ""
    assert given == [(512, 512)]


def test_another_secret_variable_is_kept_from_the_command_after_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alerter: Callable[..., Alerter]
) -> None:
    """Whoever is told already goes on knowing what he was told."""
    monkeypatch.setenv("NEW_PASSWORD", "SECRET")
    out, shown = tmp_path / "out", [status()]
    command = (sys.executable, "-c", _TELL, str(out))
    made = alerter(lambda: shown[0], command=command)
    assert made.adopt(AlertSpec(command, limits=LIMITS, secret_variables=frozenset({"NEW_PASSWORD"})))
    shown[0] = status(HELD)
    until(out.exists, "the message")
    assert "SECRET" not in out.read_text()


def mail_program(port: int) -> str:
    """The one of docs/alerts.md."""
    text = (Path(__file__).parent.parent / "docs/alerts.md").read_text()
    program = text.partition("```python\n")[2].partition("```")[0]
    assert 'SMTP("localhost")' in program
    return program.replace('SMTP("localhost")', f'SMTP("127.0.0.1", {port})')


def take_mail(listener: socket.socket, got: list[bytes]) -> None:
    """Be a mail server for one mail (RFC 5321)."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb", buffering=0) as wire:
        wire.write(b"220 here\r\n")
        while (line := wire.readline()) and not line.upper().startswith(b"QUIT"):
            if line.upper().startswith(b"DATA"):
                wire.write(b"354 go on\r\n")
                while (line := wire.readline()) != b".\r\n":
                    got.append(line)
            wire.write(b"250 yes\r\n")
        wire.write(b"221 bye\r\n")


def test_the_mail_program_of_the_docs_sends_a_mail(alerter: Callable[..., Alerter], log: list[str]) -> None:
    """In the unit nothing gains rights, as `mail` and `sendmail` need: it speaks to a server."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=take_mail, args=(listener, got))
        server.start()
        odd = HELD._replace(name="größe\udcff", message="7 files are gone from größe\udcff")
        alerter(lambda: status(odd), command=(sys.executable, "-c", mail_program(listener.getsockname()[1])))
        server.join(30)
    mail = email.message_from_bytes(b"".join(got), policy=email.policy.default)
    assert mail["Subject"].startswith("raised: größe")
    assert "7 files are gone" in mail.get_content()
    assert "could not be delivered" not in "".join(log)


_FIRST_PROCESS = """
import os, sys, time
from ftpsyncd.alerts import Alerter
from ftpsyncd.local.quiet import ignore_lease_signals
from ftpsyncd.specs import AlertLimits, AlertSpec
from ftpsyncd.status import Status, DaemonStatus, MappingState, MappingStatus

held = MappingStatus("m", "/a", "web:/a", MappingState.HELD, 0, 0, 0, 0, 7, 9, 9, None, "7 files are gone")
status = Status(DaemonStatus(running=True, pid=1, version="0", uptime_s=1),
                tuple(held._replace(name=f"m{n}") for n in range(8)), (), ())
command = ("sh", "-c", '(true &); sleep 0.1; echo >> "$0"', sys.argv[1])
alerter = Alerter(AlertSpec(limits=AlertLimits(), command=command), lambda: status, look_every_s=0.01)
alerter.start()
deadline = time.monotonic() + 60
while not os.path.exists(sys.argv[1]) or len(open(sys.argv[1]).readlines()) < 8:
    assert time.monotonic() < deadline
    time.sleep(0.01)
alerter.stop()
dead = 0
try:
    while os.waitpid(-1, os.WNOHANG)[0]:
        dead += 1
except ChildProcessError:
    pass
print(os.getpid(), dead)
"""


def test_in_a_container_nothing_stays_of_what_commands_leave_behind(tmp_path: Path) -> None:
    """Who is the first process there inherits every orphan."""
    alone = ("unshare", "-U", "-r", "-p", "-f")
    tried = subprocess.run([*alone, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no namespace of processes here: {tried.stderr.strip()}")
    words = [*alone, sys.executable, "-c", _FIRST_PROCESS, str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    pid, dead = done.stdout.split()
    assert (pid, int(dead) <= 2) == ("1", True), f"{dead} dead processes of 8 commands"


def test_a_command_that_takes_too_long_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alerter: Callable[..., Alerter], log: list[str]
) -> None:
    pid, ahead_s = tmp_path / "pid", [0.0]

    def clock() -> float:
        """All time is over at every look as soon as its child runs, however long a busy machine takes to start that."""
        if pid.exists() and pid.read_text().endswith("\n"):
            ahead_s[0] += alerts.COMMAND_S
        return time.monotonic() + ahead_s[0]

    monkeypatch.setattr(alerts, "time", SimpleNamespace(monotonic=clock))
    word = as_word(pid)
    # The next try must not tell of another one.
    alerter(lambda: status(HELD), command=("sh", "-c", f"sleep 100 & [ -s {word} ] || echo $! > {word}; wait"))
    until(lambda: "the command did not end within 30 s" in "".join(log), "it is given up")
    state = Path(f"/proc/{pid.read_text().strip()}/stat")

    def is_over() -> bool:
        try:
            return state.read_text().split()[2] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    until(is_over, "its child is gone")


def test_a_command_that_says_much_does_not_fill_the_memory(alerter: Callable[..., Alerter], log: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = "head -c 100000000 /dev/zero | tr '\\0' x; exit 3"
    alerter(lambda: status(HELD), command=("sh", "-c", flood))
    until(lambda: failures(log), "it gives up", 60)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert "the command ended with 3: xxx" in "".join(log)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """All numbers of descriptors that `select` takes are taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 2048:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    with contextlib.ExitStack() as stack:
        number = 0
        while number < 1024:
            number = os.open("/dev/null", os.O_RDONLY)
            stack.callback(os.close, number)
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_a_command_is_run_where_many_descriptors_are_open(
    tmp_path: Path, alerter: Callable[..., Alerter], log: list[str]
) -> None:
    command, out = noting(tmp_path, code=3)
    alerter(lambda: status(HELD), command=command)
    until(lambda: failures(log), "it gives up", 30)
    assert len(lines(out)) == TRIES
    assert "the command ended with 3: no luck" in "".join(log)


def kept() -> int:
    """How many descriptors of this process may be a reserve."""
    found = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found += os.readlink(f"/proc/self/fd/{name}") == os.devnull  # noqa: PTH115
    return found


def take_all(stack: contextlib.ExitStack) -> None:
    """Open files until there is no number left for another one."""
    while True:
        stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))


def test_a_message_is_delivered_where_no_further_file_can_be_opened(
    tmp_path: Path, alerter: Callable[..., Alerter]
) -> None:
    command, out = noting(tmp_path)
    shown: list[MappingStatus] = []
    before = kept()
    alerter(lambda: status(*shown), command=command)
    until(lambda: kept() >= before + FOR_MESSAGE, "they are kept")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        # Whatever others of this process close meanwhile: no number is left.
        highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            take_all(stack)
        shown.append(HELD)
        # To look into the file would need one, too.
        until(lambda: out.exists() and out.stat().st_size, "it is told", 30)
    assert len(lines(out)) == 1


def test_a_mistake_of_ours_is_in_the_log_and_the_next_message_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alerter: Callable[..., Alerter], log: list[str]
) -> None:
    command, out = noting(tmp_path)
    run, tries = Alerter._run_command, []

    def mistaken(self: Alerter, message: dict[str, Any]) -> str:
        tries.append(message["subject"])
        if message["subject"] == "gallery":
            raise RuntimeError("can't start new thread")
        return run(self, message)

    monkeypatch.setattr(Alerter, "_run_command", mistaken)
    alerter(lambda: status(HELD, HELD._replace(name="shop")), command=command)
    until(lambda: lines(out), "the other message", 30)
    assert tries == ["gallery"] * TRIES + ["shop"]
    [told] = failures(log)
    assert "a mistake of ours: RuntimeError" in told
    assert "Traceback" in told
    assert "can't start new thread" in told


def test_a_webhook_is_called_where_no_further_thread_is_allowed(
    receiver: Receiver, alerter: Callable[..., Alerter], log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is one of the things to be told."""
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name == "ftpsyncd-alerts-webhook":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_others)
    alerter(lambda: status(HELD), webhook=lambda: receiver.url)
    until(lambda: receiver.got or failures(log), "the message", 30)
    assert len(receiver.got) == 1
    assert not failures(log)


def test_a_look_for_which_there_is_no_memory_is_told_once_and_another_one_follows(
    tmp_path: Path, alerter: Callable[..., Alerter], log: list[str]
) -> None:
    """Nobody was told of anything any more, for as long as the daemon ran."""
    command, out = noting(tmp_path)
    looks = iter([False, False, False, True, False])

    def shown() -> Status:
        if not next(looks, True):
            raise MemoryError
        return status(HELD)

    def told() -> int:
        return "".join(log).count("it cannot be seen whether to alert anybody")

    alerter(shown, command=command)
    until(lambda: lines(out), "the message", 30)
    until(lambda: told() == 2, "it is told again after one that went well")


def test_one_that_could_not_begin_is_ended_and_no_thread_outlives_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread may begin the start fails, and all that there is by then is stopped."""
    Alerter(AlertSpec(limits=LIMITS), status).stop()
    looking, on = threading.Event(), threading.Event()

    def shown() -> Status:
        looking.set()
        assert on.wait(60)
        return status()

    begun = Alerter(AlertSpec(limits=LIMITS), shown, look_every_s=0.01)
    begun.start()
    assert looking.wait(60)
    join = threading.Thread.join

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        on.set()
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", joined)
    try:
        begun.stop()
        assert on.is_set(), "the look that is under way is waited for"
    finally:
        on.set()
        begun.stop()


def test_a_message_that_cannot_be_made_keeps_no_other_waiting_and_is_made_again(
    tmp_path: Path, alerter: Callable[..., Alerter], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, out = noting(tmp_path)
    body, left = alerts.body, iter(range(3))

    def made(notice: Notice) -> dict[str, Any]:
        if notice.subject == "gallery" and next(left, None) is not None:
            raise MemoryError
        return body(notice)

    monkeypatch.setattr(alerts, "body", made)
    alerter(lambda: status(HELD, HELD._replace(name="shop")), command=command)
    until(lambda: len(lines(out)) == 2, "both messages", 30)
    assert [json.loads(line.partition("\t")[0])["subject"] for line in lines(out)] == ["shop", "gallery"]


@pytest.mark.parametrize("name", ["a\0b", "a\ud83d"])
def test_a_message_with_what_no_variable_can_hold_is_delivered(
    tmp_path: Path, alerter: Callable[..., Alerter], name: str
) -> None:
    command, out = noting(tmp_path)
    alerter(lambda: status(HELD._replace(name=name)), command=command)
    until(lambda: lines(out), "the message")
    assert json.loads(lines(out)[0].partition("\t")[0])["subject"] == name


def test_a_command_that_cannot_be_one_is_in_the_log(alerter: Callable[..., Alerter], log: list[str]) -> None:
    alerter(lambda: status(HELD), command=("a\0b",))
    until(lambda: failures(log), "it gives up")
    assert "the command cannot be run: ValueError" in "".join(log)
