"""A pipe, a socket or a device in the place of the configuration, a secret or a certificate: nobody waits for ever."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftpsyncd.config import glance, load
from ftpsyncd.config.reading import WRITER_S
from ftpsyncd.errors import ConfigError, TlsFileError
from ftpsyncd.remote.tls import tls_context
from ftpsyncd.specs import ServerSpec
from tests.config.texts import MAPPINGS, MINIMAL, lacking

pytestmark = pytest.mark.timeout(30)


@contextmanager
def written(pipe, text, after_s=0.0, pause_s=0.0):
    """Somebody opens a named pipe, and writes into it a while later."""

    def write():
        time.sleep(after_s)
        with pipe.open("w") as out:
            time.sleep(pause_s)
            out.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    yield
    writer.join()


@contextmanager
def filled(content):
    """What a shell makes of `<(command)`, when the command has ended."""
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
        os.close(writing)
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


@pytest.fixture
def pipe(home):
    os.mkfifo(home / "pipe")
    return home / "pipe"


def test_a_configuration_that_is_a_pipe_without_a_writer_is_refused(pipe, environ):
    for read in (load, glance):
        with pytest.raises(ConfigError, match="cannot be read: it is a pipe that nobody writes into") as caught:
            read(pipe, environ=environ)
        assert caught.value.exit_code == 78


@pytest.mark.parametrize(("after_s", "pause_s"), [(0.3, 0.0), (0.0, WRITER_S + 0.5)])
def test_a_configuration_that_comes_through_a_pipe_may_take_its_time(pipe, environ, after_s, pause_s):
    with written(pipe, MINIMAL, after_s, pause_s):
        assert list(load(pipe, environ=environ).mappings) == ["gallery"]


def test_a_wrong_configuration_that_came_through_a_pipe_is_told_of_and_not_read_again(environ):
    with filled(b"servers: [\n") as path, pytest.raises(ConfigError, match="not valid YAML"):
        glance(path, environ=environ)


def test_a_configuration_that_does_not_say_where_the_daemon_is_comes_through_a_pipe_once(environ):
    with filled(f"{MINIMAL}state_dir: 5\n".encode()) as path:
        found, document = glance(path, environ=environ)
        assert found is None
        with pytest.raises(ConfigError, match="state_dir: found"):
            load(path, environ=environ, document=document)


def test_a_configuration_that_is_a_socket_is_refused(home, environ):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "s"))
        with pytest.raises(ConfigError, match="/s: cannot be read: it is a socket"):
            load(home / "s", environ=environ)


def test_a_configuration_without_an_end_is_refused(home, environ):
    (home / "zero").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load(home / "zero", environ=environ)


def test_a_password_in_a_pipe_that_nobody_writes_into_is_missing(loaded, pipe):
    config = loaded("servers: {web: {host: h, user: u, password: {file: pipe}}}\n" + MAPPINGS)
    [problem] = lacking(config)
    assert "the file " in problem
    assert "/pipe cannot be read: it is a pipe that nobody writes into" in problem
    with pytest.raises(ConfigError, match="nobody writes"):
        config.servers["web"].password()


def test_a_password_may_come_through_a_pipe(loaded, pipe):
    config = loaded("servers: {web: {host: h, user: u, password: {file: pipe}}}\n" + MAPPINGS)
    with written(pipe, "s3cret\n", pause_s=0.3):
        assert config.servers["web"].password() == "s3cret"


@pytest.mark.parametrize("odd", ["pipe", "zero"])
@pytest.mark.parametrize("keys", [("tls_ca",), ("client_cert", "client_key")])
def test_a_certificate_is_a_file(loaded, home, pipe, odd, keys):
    (home / "zero").symlink_to("/dev/zero")
    words = ", ".join(f"{key}: {odd}" for key in keys)
    problems = lacking(loaded(f"servers: {{web: {{host: h, user: u, password: x, {words}}}}}\n{MAPPINGS}"))
    assert len(problems) == len(keys)
    for problem in problems:
        assert problem.endswith(f"cannot read {home / odd}: it is no regular file")
    with pytest.raises(TlsFileError, match="cannot be loaded: it is no regular file"):
        tls_context(ServerSpec("web", "h", "u", **dict.fromkeys(keys, home / odd)))
