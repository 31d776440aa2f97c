"""Commands in sentences go to the service that speaks, and everything else in them stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsyncd.cli.app import COMMANDS
from ftpsyncd.errors import (
    ControlError,
    FtpsyncdError,
    NoDescriptorError,
    NoMemoryError,
    NoSocketError,
    ThreadLimitError,
)
from ftpsyncd.events import Event, EventKind
from ftpsyncd.questions import Why
from ftpsyncd.receipts import HistoryPage
from ftpsyncd.status import DaemonStatus, Problem, Status
from ftpsyncd.typed import _COMMAND, USERS, Typed, typed_for
from tests.control.fakes import GALLERY, PAGE

SHOP = Typed(" -c /etc/ftpsyncd/shop.yaml", "ftpsyncd@shop")
HELD = "held: `ftpsyncd approve gallery` deletes it, `ftpsyncd discard gallery` keeps it"
FOR_SHOP = (
    "held: `ftpsyncd approve gallery -c /etc/ftpsyncd/shop.yaml` deletes it,"
    " `ftpsyncd discard gallery -c /etc/ftpsyncd/shop.yaml` keeps it"
)


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        (HELD, FOR_SHOP),
        (FOR_SHOP, FOR_SHOP),
        ("`ftpsyncd status` tells", "`ftpsyncd status -c /etc/ftpsyncd/shop.yaml` tells"),
        ("see `systemctl status ftpsyncd`, then", "see `systemctl status ftpsyncd@shop`, then"),
        ("`chown -R ftpsyncd: /x`", "`chown -R ftpsyncd: /x`"),
        ("`ftpsyncd demo` needs none", "`ftpsyncd demo` needs none"),
        ("a `sync`, or ftpsyncd status", "a `sync`, or ftpsyncd status"),
        ("", ""),
    ],
)
def test_a_sentence_names_commands_for_this_service(sentence: str, told: str) -> None:
    assert SHOP.text(sentence) == told
    assert Typed().text(sentence) == sentence


def test_nobody_is_told_to_start_another_service() -> None:
    sentence = "Start it with `systemctl start ftpsyncd` or `ftpsyncd run`, or name with -c a configuration that runs."
    assert Typed(" -c own.yaml", "").text(sentence) == (
        "Start it with `ftpsyncd run -c own.yaml`, or name with -c a configuration that runs."
    )


@pytest.mark.parametrize("kind", [ThreadLimitError, NoMemoryError, NoDescriptorError, NoSocketError, ControlError])
def test_who_has_no_service_is_told_of_none(kind: type[FtpsyncdError]) -> None:
    told = Typed(" -c own.yaml", "").text(kind.remedy)
    assert "systemctl" not in told
    assert "`TasksMax`" not in told
    assert "`LimitNOFILE`" not in told
    assert "ftpsyncd@shop`" in SHOP.text(kind.remedy)


def test_what_remains_of_a_remedy_without_a_service_is_a_sentence() -> None:
    own = Typed(" -c own.yaml", "")
    assert own.text(NoDescriptorError.remedy) == (
        "Raise the limit: `ulimit -n`; `ftpsyncd check -c own.yaml` tells how many are needed."
    )
    assert own.text(ThreadLimitError.remedy) == (
        "Three are needed for each mapping and one for each connection: raise the limit of the user (`ulimit -u`, and"
        " `ulimit -v` of what they take) or of the container."
    )
    assert own.text(NoMemoryError.remedy) == (
        "Stop what takes it, or allow more: the limit of the user (`ulimit -v`) or of the container."
    )


def test_the_service_of_a_user_is_told_to_his_own_manager() -> None:
    assert Typed("", USERS).text("`systemctl restart ftpsyncd` and") == "`systemctl --user restart ftpsyncd` and"


def test_who_has_no_service_is_sent_to_his_log() -> None:
    assert Typed(" -c own.yaml", "").text(ControlError.remedy).endswith("how the daemon is: its log tells.")
    assert "`systemctl status ftpsyncd@shop` or its log tells." in SHOP.text(ControlError.remedy)


@pytest.mark.parametrize(
    ("path", "option", "unit"),
    [
        ("/etc/ftpsyncd/config.yaml", "", "ftpsyncd"),
        ("/etc/ftpsyncd/shop.yaml", " -c /etc/ftpsyncd/shop.yaml", "ftpsyncd@shop"),
        ("/home/ada/.config/ftpsyncd/config.yaml", "", "--user ftpsyncd"),
        ("/srv/my own.yaml", " -c '/srv/my own.yaml'", ""),
        ("/dev/stdin", "", ""),
    ],
)
def test_a_service_is_known_by_the_place_of_its_configuration(path: str, option: str, unit: str) -> None:
    assert typed_for(Path(path), {"HOME": "/home/ada"}) == Typed(option, unit)


def test_a_path_in_the_option_that_looks_like_a_command_is_no_command() -> None:
    typed = typed_for(Path("/srv/`ftpsyncd x`/c.yaml"), {})
    once = typed.text("`ftpsyncd status` tells")
    assert typed.text(once) == once


def test_sentences_are_typed_wherever_a_record_has_them_and_names_of_files_never_are() -> None:
    name = "`ftpsyncd approve gallery`"
    problem = Problem("gallery", name, True, 1, HELD, name, HELD, None)  # noqa: FBT003 - parked
    mapping = GALLERY._replace(message=HELD, local=name)
    status = SHOP.record(Status(DaemonStatus(True, 1, "0", 0.0, HELD, HELD), (mapping,), (), (), (problem,)))  # noqa: FBT003
    assert (status.daemon.message, status.daemon.notice) == (FOR_SHOP, FOR_SHOP)
    assert status.mappings == (mapping._replace(message=FOR_SHOP),)
    assert status.problems == (problem._replace(message=FOR_SHOP, remedy=FOR_SHOP),)
    event = Event(EventKind.HELD, path=name, source=name, message=HELD, remedy=HELD)
    assert SHOP.record(event) == event._replace(message=FOR_SHOP, remedy=FOR_SHOP)
    receipt = PAGE.entries[0]._replace(path=name, reply=name, message=HELD)
    why = Why(name, "gallery", "held", HELD, receipt=receipt, also=(Why(name, "shop", "held", HELD),))
    told = SHOP.record(why)
    assert (told.path, told.sentence, told.also[0].sentence) == (name, FOR_SHOP, FOR_SHOP)
    assert told.receipt == receipt._replace(message=FOR_SHOP)
    assert SHOP.record(HistoryPage((receipt,), name)) == HistoryPage((told.receipt,), name)


def test_every_command_that_needs_a_configuration_is_known_as_one() -> None:
    without = {"demo", "schema", "install-service"}
    assert {name for name in COMMANDS if _COMMAND.fullmatch(f"`ftpsyncd {name}")} == COMMANDS.keys() - without
