"""The status as people see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from ftpsyncd.cli.output import ASCII, UNICODE, shortened
from ftpsyncd.cli.status_view import Typed, calling, view
from ftpsyncd.errors import NameNotSendableError
from ftpsyncd.status import (
    DaemonStatus,
    MappingState,
    MappingStatus,
    Problem,
    ServerState,
    ServerStatus,
    Status,
    Transfer,
    only,
)
from tests.cli.terminal import check_snapshot, drawn

NOW = datetime(2024, 5, 17, 12, 0, 0, tzinfo=UTC)

GOOD = MappingStatus(
    name="gallery",
    local="/srv/drop/gallery",
    remote="web:/htdocs/gallery",
    state=MappingState.IN_SYNC,
    pending=0,
    in_flight=0,
    failed=0,
    parked=0,
    held=0,
    published_files=1204,
    published_bytes=3_100_000_000,
    last_publish="2024-05-17T11:58:00+00:00",
    message="",
)
RUNNING = DaemonStatus(running=True, pid=4711, version="0.1.0", uptime_s=3 * 86400 + 500)
WEB = ServerStatus("web", ServerState.ONLINE, 3, "")
WELL = Status(RUNNING, (GOOD,), (WEB,), ())

BUSY = WELL._replace(
    mappings=(
        GOOD._replace(state=MappingState.SYNCING, pending=410, in_flight=3),
        GOOD._replace(
            name="signage", state=MappingState.SETTLING, published_files=0, published_bytes=0, last_publish=None
        ),
    ),
    transfers=(
        Transfer(
            "gallery", "2024/05/a rather long name of a picture from the harbour.jpg", 3_000_000, 12_000_000, 2.1e6
        ),
        Transfer("gallery", "b.jpg", 900, 1000, 900.0),
    ),
)

TROUBLE = Status(
    RUNNING,
    (
        GOOD,
        GOOD._replace(
            name="shop", state=MappingState.HELD, held=63, message="63 deletes are more than max_deletes: 50"
        ),
        GOOD._replace(
            name="press",
            state=MappingState.SOURCE_MISSING,
            local="/mnt/press",
            message="the folder /mnt/press is not there",
            since="2024-05-17T10:55:00+00:00",
        ),
        GOOD._replace(name="old", state=MappingState.PAUSED, pending=2),
        GOOD._replace(name="radio", state=MappingState.OFFLINE, pending=12, failed=1, parked=1),
    ),
    (
        WEB,
        ServerStatus(
            "air",
            ServerState.OFFLINE,
            0,
            "The connection was refused while connecting to ftp.example.org:21.",
            since="2024-05-17T11:40:00+00:00",
            next_try="2024-05-17T12:00:45+00:00",
        ),
        ServerStatus(
            "cdn", ServerState.REFUSED, 0, "the server refuses user or password", since="2024-05-17T09:00:00+00:00"
        ),
    ),
    (),
    (
        Problem(
            "radio",
            "news/[red]evening\n.mp3",
            parked=True,
            attempts=2,
            message="The server refuses the name.",
            reply="550 Permission denied",
            remedy="Check the permissions at the server, then run `ftpsyncd retry radio`.",
            next_try=None,
            failed="2024-05-17T11:30:00+00:00",
        ),
        Problem(
            "radio",
            "jingle.wav",
            parked=False,
            attempts=3,
            message="The transfer broke off.",
            reply="",
            remedy="",
            next_try="2024-05-17T12:01:30+00:00",
            failed="2024-05-17T11:59:30+00:00",
        ),
        Problem(
            "gallery",
            "changed.jpg",
            parked=False,
            attempts=1,
            message="The file at the server is not the one that was published (9 bytes instead of 7): it is not deleted.",
            reply="",
            remedy="",
            next_try=None,
            held=True,
            failed="2024-05-17T11:57:00+00:00",
        ),
    ),
)
STOPPED = WELL._replace(
    daemon=RUNNING._replace(running=False, pid=0, uptime_s=0.0),
    mappings=(GOOD._replace(state=MappingState.PAUSED, message="no daemon is running"),),
    servers=(ServerStatus("web", ServerState.UNKNOWN, 0, ""),),
)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    ("name", "status"), [("well", WELL), ("busy", BUSY), ("trouble", TROUBLE), ("stopped", STOPPED)]
)
def test_the_status_looks_like_its_snapshot(name, status, width):
    text = drawn(view(status, NOW, UNICODE, width), width)
    assert max(map(len, text.splitlines())) <= width
    check_snapshot(f"status-{name}-{width}", text)


@pytest.mark.parametrize("width", [32, 40, 50])
@pytest.mark.parametrize("status", [WELL, BUSY, TROUBLE], ids=["well", "busy", "trouble"])
def test_a_narrow_terminal_shows_names_states_and_commands(status, width):
    text = drawn(view(status, NOW, UNICODE, width), width)
    # A command that is longer than that is on a line of its own.
    assert [line for line in text.splitlines() if len(line) > width and line[:6] not in {"    → ", "   or "}] == []
    for mapping in status.mappings:
        assert mapping.name in text
    for transfer in status.transfers:
        assert f"{transfer.sent_bytes / transfer.size_bytes:.0%}" in text
        assert f"{transfer.mapping}/{transfer.path}"[:6] in text
    for _, _, commands in calling(status):
        for command in commands:
            assert command in text


@pytest.mark.parametrize(
    ("failed", "parked", "told"), [(2, 0, "2 failed"), (0, 1, "1 parked"), (2, 1, "2 failed, 1 parked")]
)
def test_a_mapping_of_which_something_failed_is_not_called_in_sync(failed, parked, told):
    text = drawn(view(WELL._replace(mappings=(GOOD._replace(failed=failed, parked=parked),)), NOW, UNICODE, 80), 80)
    assert "in sync" not in text
    assert f"✗  gallery  incomplete  {told}\n" in text


def test_only_some_mappings_can_be_shown():
    some = only(TROUBLE, ["shop", "press"])
    assert [each.name for each in some.mappings] == ["shop", "press"]
    assert [each.name for each in some.servers] == ["web"]
    assert some.problems == ()
    assert only(TROUBLE, ["radio"]).problems == TROUBLE.problems[:2]
    assert [each.mapping for each in only(BUSY, ["gallery"]).transfers] == ["gallery", "gallery"]
    assert only(BUSY, ["signage"]).transfers == ()
    assert only(TROUBLE, []) is TROUBLE


def test_everything_that_needs_a_person_names_a_command():
    text = drawn(view(TROUBLE, NOW, UNICODE, 100), 100)
    for command in (
        "ftpsyncd approve shop",
        "ftpsyncd discard shop",
        "ftpsyncd resume old",
        "ftpsyncd retry radio",
        "ftpsyncd check  or  ftpsyncd reload && ftpsyncd retry --server cdn",
        "ftpsyncd check  or  ftpsyncd retry --server air",
    ):
        assert command in text


def test_every_command_is_for_the_daemon_that_was_asked():
    text = drawn(view(TROUBLE, NOW, UNICODE, 150, Typed(option=" -c shop.yaml")), 150)
    named = [part.strip() for line in text.splitlines() if "→" in line for part in line.split("→")[1].split("  or  ")]
    assert len(named) == 7
    assert [each for each in named if not each.endswith(" -c shop.yaml")] == []


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_a_command_is_never_broken_however_long_it_is(width):
    """Who copied it got it with a line break in the middle, and the shell ran the first half."""
    option = " -c '/home/somebody/a folder of some length/with another one in it/config.yaml'"
    told = f"paused by a person; `ftpsyncd resume old{option}` goes on"
    mappings = [each._replace(message=told) if each.name == "old" else each for each in TROUBLE.mappings]
    problems = [each._replace(remedy="") for each in TROUBLE.problems]
    trouble = TROUBLE._replace(mappings=tuple(mappings), problems=tuple(problems * 3))
    text = drawn(view(trouble, NOW, UNICODE, width, Typed(option=option)), width)
    for command in (
        "ftpsyncd check",
        "ftpsyncd approve shop",
        "ftpsyncd discard shop",
        "ftpsyncd resume old",
        "ftpsyncd retry radio",
        "ftpsyncd retry --server air",
        "ftpsyncd status --json",
    ):
        assert f"{command}{option}" in text
    assert f"ftpsyncd reload{option} && ftpsyncd retry --server cdn{option}" in text
    stopped = drawn(view(STOPPED, NOW, UNICODE, width, Typed(f"`ftpsyncd run{option}`", option)), width)
    assert f"`ftpsyncd run{option}`" in stopped


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_is_told_at_every_width_what_a_mapping_waits_for(width):
    """At 80 columns it was not."""
    waits = "2024/a.jpg: a program has it open for writing"
    settling = GOOD._replace(state=MappingState.SETTLING, pending=1, message=waits)
    text = drawn(view(WELL._replace(mappings=(settling,)), NOW, UNICODE, width), width)
    assert text.startswith("· 1 change waits to settle\n")
    assert waits in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"state": MappingState.SYNCING}, "syncing 3 waiting; film.mxf: it is written (for 2 h)"),
        (
            {"state": MappingState.SYNCING, "message": "all is polled"},
            "; all is polled; film.mxf: it is written (for 2 h)",
        ),
        (
            {"state": MappingState.SETTLING, "message": "b.jpg: why"},
            "settling 3 waiting; film.mxf: it is written (for 2 h)",
        ),
        (
            {"state": MappingState.SETTLING, "message": "b.jpg: why", "oldest_pending_s": 60.0},
            "3 waiting; b.jpg: why\n",
        ),
        ({"state": MappingState.OFFLINE, "message": "the server is away"}, "3 waiting; the server is away\n"),
        (
            {"state": MappingState.HELD, "message": "many deletes", "held": 60},
            "held 3 waiting, 60 held; film.mxf: it is written (for 2 h)",
        ),
        ({"held": 60}, "3 waiting, 60 held; film.mxf: it is written (for 2 h)"),
        ({"state": MappingState.PAUSED, "message": "paused by a person"}, "3 waiting\n"),
    ],
)
def test_what_has_waited_for_long_is_named_whatever_else_is_under_way(change, told):
    late = GOOD._replace(pending=3, oldest_pending_s=7200.0, oldest_pending="film.mxf: it is written")._replace(
        **change
    )
    text = drawn(view(WELL._replace(mappings=(late,)), NOW, UNICODE, 90), 90)
    assert told in text.replace("syncing  ", "syncing ").replace("settling  ", "settling ").replace("held  ", "held ")


def test_what_is_wrong_with_a_server_is_told_once():
    air = TROUBLE.servers[1]
    radio = GOOD._replace(remote="air:/", state=MappingState.OFFLINE, pending=12)
    waits = radio._replace(message=f"waits for the server air: {air.message}")
    text = drawn(view(WELL._replace(mappings=(waits,), servers=(air,)), NOW, UNICODE, 80), 80)
    assert "offline  12 waiting; waits for the server air\n" in text
    assert " ".join(text.split()).count(air.message) == 1


def test_a_name_that_has_to_be_typed_is_shown_whole():
    name = "pictures-of-the-northern-harbour-and-its-cranes"
    text = drawn(view(WELL._replace(mappings=(GOOD, GOOD._replace(name=name))), NOW, UNICODE, 80), 80)
    assert f"✓  {name}  in sync" in text


@pytest.mark.parametrize("option", ["", " -c shop.yaml"])
def test_the_commands_of_a_hold_are_named_once(option):
    told = (
        f"3 files were deleted at once: `ftpsyncd approve shop{option}` deletes them at the server,"
        f" `ftpsyncd discard shop{option}` keeps them there"
    )
    held = WELL._replace(mappings=(GOOD._replace(name="shop", state=MappingState.HELD, held=3, message=told),))
    text = drawn(view(held, NOW, UNICODE, 80, Typed(option=option)), 80)
    assert text.count("ftpsyncd approve shop") == text.count("ftpsyncd discard shop") == 1


def test_nobody_is_told_to_decide_about_a_folder_that_is_missing():
    away = GOOD._replace(state=MappingState.SOURCE_MISSING, held=1, message="the folder is not there")
    text = drawn(view(WELL._replace(mappings=(away,)), NOW, UNICODE, 80), 80)
    assert "1 held" in text
    assert "approve" not in text


@pytest.mark.parametrize(
    ("held", "directories", "words"),
    [(1, 0, "1 delete waits"), (2, 1, "2 deletes wait"), (0, 1, "1 directory waits"), (0, 2, "2 directories wait")],
)
def test_of_a_paused_mapping_it_is_told_that_deletes_are_held_too(held: int, directories: int, words: str):
    paused = GOOD._replace(
        state=MappingState.PAUSED, held=held, directories_held=directories, message="paused by a person"
    )
    assert list(calling(WELL._replace(mappings=(paused,)))) == [
        ("gallery", f"{words} for your decision", ("ftpsyncd approve gallery", "ftpsyncd discard gallery")),
        ("gallery", "paused by a person", ("ftpsyncd resume gallery",)),
    ]


def test_directories_that_are_held_are_counted_where_no_file_is():
    held = GOOD._replace(state=MappingState.HELD, directories_held=2, message="why")
    assert "2 directories held" in drawn(view(WELL._replace(mappings=(held,)), NOW, UNICODE, 80), 80)
    assert "director" not in drawn(view(WELL._replace(mappings=(held._replace(held=3),)), NOW, UNICODE, 80), 80)


def test_a_folder_that_a_person_has_to_accept_needs_them_before_anything_is_held():
    other = "/srv/drop/gallery is not the folder that was published before: nothing is deleted"
    held = WELL._replace(mappings=(GOOD._replace(state=MappingState.HELD, message=other),))
    text = drawn(view(held, NOW, UNICODE, 120), 120)
    assert "All is well" not in text
    assert "1 thing needs you" in text
    assert f"! gallery: {other}" in text
    assert "ftpsyncd approve gallery  or  ftpsyncd discard gallery" in text


@pytest.mark.parametrize(
    ("sent", "still_s", "said"),
    [(900, 4.9, "900 B/s"), (900, 12.0, "nothing sent for 12 s"), (1000, 12.0, "no reply for 12 s")],
    ids=["it moves", "it does not", "all is sent"],
)
def test_a_transfer_that_stands_still_has_no_pace(sent: int, still_s: float, said: str):
    text = drawn(
        view(WELL._replace(transfers=(Transfer("m", "a.jpg", sent, 1000, 900.0, still_s),)), NOW, UNICODE, 80), 80
    )
    assert text.count("900 B/s") == (still_s < 5)
    assert said in text


def test_what_a_daemon_that_hangs_told_before_is_not_that_all_is_well():
    still = WELL._replace(daemon=WELL.daemon._replace(stuck="the daemon has done nothing for 75 s"))
    text = drawn(view(still, NOW, UNICODE, 100), 100)
    assert "1 thing needs you" in text
    assert "the daemon has done nothing for 75 s; if it does, start the daemon again" in text


def test_names_that_begin_alike_are_told_apart_by_their_ends():
    folder = "2024/a folder whose name takes up more room than there is in a line/and another one/"
    moving = tuple(Transfer("m", f"{folder}{name}", 1, 2, 3.0) for name in ("first.jpg", "日本語の写真.jpg", "c" * 99))
    for width in (60, 80, 120):
        text = drawn(view(BUSY._replace(transfers=moving), NOW, UNICODE, width), width)
        assert "first.jpg" in text
        assert "写真.jpg" in text
        assert '"m/' in text
        assert "ccc" in text
    assert drawn(view(BUSY._replace(transfers=moving[:1]), NOW, ASCII, 80), 80).isascii()


@pytest.mark.parametrize("text", ["a/b/c" * 10, "日本語" * 10, "日a本b語c" * 9, "short"])
def test_a_name_is_shortened_to_the_width_that_there_is(text):
    for width in range(1, 70):
        short = shortened(text, width, "…")
        assert min(width, cell_len(text)) - 1 <= cell_len(short) <= width
        assert (short == text) == (cell_len(text) <= width)


def test_where_all_was_deleted_again_something_was_published():
    gone = WELL._replace(mappings=(GOOD._replace(published_files=0, published_bytes=0),))
    assert "nothing there now, last published 2 min ago" in drawn(view(gone, NOW, UNICODE, 100), 100)


def test_to_try_again_is_not_proposed_for_a_name_that_cannot_be_sent():
    nameless = Problem("gallery", "a\nb.jpg", True, 1, "It cannot be sent.", "", NameNotSendableError.remedy, None)  # noqa: FBT003
    parked = WELL._replace(mappings=(GOOD._replace(parked=1),), problems=(nameless,))
    text = drawn(view(parked, NOW, UNICODE, 100), 100)
    assert "1 path is parked: Rename the file." in text
    assert "ftpsyncd retry" not in text
    both = WELL._replace(mappings=(GOOD._replace(parked=2),), problems=(nameless, nameless._replace(path="a\nc.jpg")))
    text = drawn(view(both, NOW, UNICODE, 100), 100)
    assert "2 paths are parked: Rename the file." in text
    assert "ftpsyncd retry" not in text
    # What helps one of them is not told as what helps all.
    other = nameless._replace(path="d.jpg", remedy="Check it.")
    for problems, parked_files in (((nameless, other), 2), ((nameless,), 3)):
        mixed = WELL._replace(mappings=(GOOD._replace(parked=parked_files),), problems=problems)
        assert f"{parked_files} paths are parked\n    → ftpsyncd retry gallery" in drawn(
            view(mixed, NOW, UNICODE, 100), 100
        )


def test_names_are_never_markup_and_stay_on_one_line():
    text = drawn(view(TROUBLE, NOW, UNICODE, 100), 100)
    assert '"radio/news/[red]evening\\n.mp3"' in text


def test_a_terminal_without_unicode_gets_plain_signs():
    text = drawn(view(TROUBLE, NOW, ASCII, 80), 80)
    assert text.isascii()


def test_many_problems_are_counted_instead_of_listed():
    many = TROUBLE._replace(problems=TROUBLE.problems * 10)
    assert "and 15 more: `ftpsyncd status --json`" in drawn(view(many, NOW, UNICODE, 80), 80)


def test_while_a_pass_is_at_work_nobody_is_told_to_start_the_daemon():
    at_work = STOPPED._replace(daemon=STOPPED.daemon._replace(at_work=True))
    lines = drawn(view(at_work, NOW, UNICODE, 80), 80).splitlines()
    assert lines[:2] == ["↑ Another ftpsyncd is at work, as a `sync` is", "  no daemon answers; the ledger says:"]


def test_without_a_daemon_nobody_is_told_to_resume():
    text = drawn(view(STOPPED, NOW, UNICODE, 80), 80)
    assert "resume" not in text
    assert "`systemctl start ftpsyncd`, or `ftpsyncd run`" in text


def test_without_a_daemon_it_is_told_that_what_was_approved_waits():
    message = "no daemon is running; 4 approved deletes wait for the next `ftpsyncd sync`, or for the daemon's start"
    mapping = STOPPED.mappings[0]._replace(pending=4, message=message)
    text = " ".join(drawn(view(STOPPED._replace(mappings=(mapping,)), NOW, UNICODE, 120), 120).split())
    assert "stopped 4 waiting; " in text
    assert "4 approved deletes wait for the next `ftpsyncd sync`" in text
    assert "resume" not in text


def test_without_a_daemon_no_server_is_said_not_to_have_been_tried():
    assert "not tried yet" not in drawn(view(STOPPED, NOW, UNICODE, 80), 80)


def test_a_delete_that_waits_for_a_decision_is_not_called_failed_or_parked():
    held = TROUBLE.problems[-1]
    parked = TROUBLE.problems[0]._replace(mapping="gallery", remedy="Check it.")
    mapping = GOOD._replace(state=MappingState.HELD, held=1, parked=1)
    text = drawn(view(WELL._replace(mappings=(mapping,), problems=(held,)), NOW, UNICODE, 80), 80)
    assert "Failed" not in text
    assert "parked:" not in text
    assert "(1 try" not in text
    assert "Held\n  ! gallery/changed.jpg" in text
    # What helps against the other one is not what decides about this one.
    both = WELL._replace(mappings=(mapping,), problems=(held, parked))
    assert "1 path is parked: Check it." in [what for _, what, _ in calling(both)]


@pytest.mark.parametrize(
    ("awaits", "left_s", "told"),
    [
        ("", 90, "tried again in 1 min"),
        ("when the server web works again", -5, "tried again when the server web works again"),
        (
            "after `ftpsyncd resume radio`",
            90,
            "tried again after `ftpsyncd resume radio`, in 1 min at the earliest",
        ),
    ],
)
def test_it_is_told_what_has_to_happen_before_something_is_tried_again(awaits: str, left_s: int, told: str):
    """It said when its time comes, though it waited for a server, or a person, and was not tried then."""
    next_try = (NOW + timedelta(seconds=left_s)).isoformat()
    failed = TROUBLE.problems[1]._replace(awaits=awaits, next_try=next_try)
    text = drawn(view(WELL._replace(problems=(failed,)), NOW, UNICODE, 120), 120)
    assert f"The transfer broke off. (3 tries, {told})\n" in text


def test_a_command_that_several_things_want_is_named_once():
    cdn = TROUBLE.servers[2]
    status = WELL._replace(
        daemon=RUNNING._replace(shortage="There are no files left."),
        servers=(cdn, cdn._replace(name="cdn2")),
    )
    text = drawn(view(status, NOW, UNICODE, 100), 100)
    assert text.count("ftpsyncd check") == 1
    for name in ("cdn", "cdn2"):
        assert f"→ ftpsyncd reload && ftpsyncd retry --server {name}\n" in text


def test_what_helps_a_server_depends_on_what_is_wrong_with_it():
    refused, full = TROUBLE.servers[2], ServerStatus("big", ServerState.FULL, 1, "no space left at the server: 452.")
    shown = view(WELL._replace(servers=(refused, full)), NOW, UNICODE, 120, Typed("", " -c own.yaml"))
    text = " ".join(drawn(shown, 120).split())
    assert "user or password. When that is mended, have it read and tried." in text
    assert (
        "→ ftpsyncd check -c own.yaml or ftpsyncd reload -c own.yaml && ftpsyncd retry --server cdn -c own.yaml" in text
    )
    # What `check` publishes is so small that there is room for it: it would find nothing.
    assert "452. Free space there, or raise the quota. → ftpsyncd retry --server big -c own.yaml" in text
