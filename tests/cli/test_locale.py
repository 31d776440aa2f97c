"""Names are the bytes that the disk has, whatever the locale says that bytes are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import write_config
from tests.servers import running

UTF8_OFF = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def ended(*words: object, **environ: str) -> subprocess.CompletedProcess[bytes]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    arguments = [sys.executable, "-m", "ftpsyncd", *map(str, words)]
    return subprocess.run(arguments, env={**variables, **environ}, capture_output=True, timeout=60, check=False)


@pytest.fixture
def latin1(tmp_path: Path) -> dict[str, str]:
    """A locale of ISO 8859-1, made for this test."""
    if shutil.which("localedef") is None:
        pytest.skip("there is no localedef")
    place = tmp_path / "locales"
    place.mkdir()
    words = ["localedef", "--no-archive", "-i", "en_US", "-f", "ISO-8859-1", str(place / "en_US.ISO-8859-1")]
    subprocess.run(words, capture_output=True, check=False)
    if not (place / "en_US.ISO-8859-1" / "LC_CTYPE").exists():
        # It makes the directory all the same, and its exit code tells of mere warnings, too.
        pytest.skip("localedef has no sources (Debian: locales)")
    return {"LOCPATH": str(place), "LC_ALL": "en_US.ISO-8859-1"}


def test_a_name_in_utf8_is_sent_as_it_is_in_a_locale_of_another_encoding(tmp_path, latin1):
    (tmp_path / "é.jpg").write_text("x")
    with running("pyftpdlib") as server:
        path = write_config(tmp_path, port=server.port)
        done = ended("put", "-c", path, tmp_path / "é.jpg", "web:/", **latin1)
        listed = ended("ls", "-c", path, "web", **latin1)
        assert (done.returncode, [each.name for each in server.home.iterdir()]) == (0, ["é.jpg"])
        assert listed.stdout == "é.jpg\n".encode("latin-1")


def test_a_folder_may_have_any_name_where_the_locale_knows_ascii_only(tmp_path):
    (tmp_path / "é" / "gallery").mkdir(parents=True)
    (tmp_path / "é" / "shop").mkdir()
    path = write_config(tmp_path / "é", port=1)
    done = ended("plan", "-c", path, LC_ALL="C", **UTF8_OFF)
    assert (done.returncode, done.stderr) == (0, b"")
