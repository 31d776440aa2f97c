"""What the commands make of the shared options: a log that shows no secret of the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftpsyncd import logs, typed
from ftpsyncd.cli import settings
from ftpsyncd.cli.options import Given
from ftpsyncd.logs import logger
from ftpsyncd.quoting import as_word


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "secrets", settings.Secrets())
    yield
    logs.reset()


def use(folder: Path, password: str) -> None:
    """Load a configuration whose server has this password, as it stands in the file."""
    (folder / "in").mkdir(exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(
        f"servers: {{web: {{host: h, user: u, password: {password}}}}}\n"
        f"mappings: {{m: {{local: {folder}/in, remote: 'web:/'}}}}\n"
        f"state_dir: {folder}/state\n"
        f"alerts: {{webhook: {{file: {folder}/hook}}}}\n"
    )
    settings.load_config(Given(config=config))


def test_the_log_shows_no_password_and_no_address_of_a_webhook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hook").write_text("https://chat.example.com/hunter23\n")
    settings.start_log(Given(), level="info")
    use(tmp_path, "hunter22")
    logger.bind(reply="530 hunter22").info("hunter22 at https://chat.example.com/hunter23")
    assert capsys.readouterr().err.endswith("*** at ***\n")


def test_the_log_shows_no_earlier_password_after_a_reload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings.start_log(Given(), level="info")
    use(tmp_path, "hunter22")
    logger.info("hunter22")
    use(tmp_path, "hunter24")
    logger.info("hunter22 and hunter24")
    assert capsys.readouterr().err.endswith("*** and ***\n")


def test_a_password_file_is_read_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "password").write_text("hunter22\n")
    settings.start_log(Given(), level="info")
    use(tmp_path, f"{{file: {tmp_path}/password}}")
    logger.info("one")
    (tmp_path / "password").unlink()
    logger.info("hunter22")
    assert capsys.readouterr().err.endswith("***\n")


def test_a_password_that_comes_through_a_pipe_is_left_to_who_needs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "password")
    settings.start_log(Given(), level="info")
    use(tmp_path, f"{{file: {tmp_path}/password}}")
    logger.info("goes on")
    assert capsys.readouterr().err.endswith("goes on\n")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("etc/config.yaml", "`systemctl start ftpsyncd`, or `ftpsyncd run -c {}`"),
        ("etc/shop-2.yaml", "`systemctl start ftpsyncd@shop-2`, or `ftpsyncd run -c {}`"),
        ("home/.config/ftpsyncd/config.yaml", "`systemctl --user start ftpsyncd`, or `ftpsyncd run -c {}`"),
        ("home/own.yaml", "`ftpsyncd run -c {}`"),
    ],
)
def test_what_starts_the_daemon_of_a_configuration_is_told_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, expected: str
) -> None:
    monkeypatch.setattr(typed, "SERVICES", tmp_path / "etc")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    assert settings.starting(Given(config=tmp_path / place)) == expected.format(as_word(tmp_path / place))
    monkeypatch.setenv("FTPSYNCD_CONFIG", str(tmp_path / place))
    asked = Given()
    assert settings.starting(asked) == expected.replace(" -c {}", "")
    # What is said once it was found is for the same service, or for none.
    by_unit = expected.partition(", or ")[0] if "systemctl" in expected else ""
    told = asked.typed.text("Use `systemctl start ftpsyncd` or your hands.")
    assert told == (f"Use {by_unit} or your hands." if by_unit else "Use your hands.")


@pytest.mark.parametrize(
    ("named", "option"),
    [
        (None, ""),
        ("a b.yaml", " -c 'a b.yaml'"),
        ("/etc/ftpsyncd/shop.yaml", " -c /etc/ftpsyncd/shop.yaml"),
        ("/dev/fd/63", ""),
    ],
)
def test_a_command_that_is_named_is_about_the_same_configuration(named: str | None, option: str) -> None:
    assert Given(config=None if named is None else Path(named)).option == option
