"""The control API over its socket: every route, and everything that can be wrong with a request."""

import json
import socket
import time

import pytest

from ftpsyncd.control import shapes
from ftpsyncd.control.client import ControlClient
from ftpsyncd.control.requests import BODY_MAX, BadRequestError, findings_of, history_query, measured_of, scope_of
from ftpsyncd.control.server import ControlServer
from ftpsyncd.errors import (
    CommandRefusedError,
    ConfigError,
    ControlError,
    LedgerError,
    LocalError,
    ServerUnavailableError,
    UsageError,
)
from ftpsyncd.questions import CommandName
from ftpsyncd.receipts import HistoryQuery
from tests.control.fakes import PAGE, STATUS, FakeDaemon


@pytest.fixture
def daemon():
    return FakeDaemon()


@pytest.fixture
def path(daemon, tmp_path):
    path = tmp_path / "control.sock"
    with ControlServer(daemon, path):
        yield path


@pytest.fixture
def client(path):
    return ControlClient(path, timeout_s=30)


@pytest.fixture
def raw(path):
    """Sends bytes, returns status, headers and JSON of the answer."""

    def exchange(data):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(path))
            sock.sendall(data)
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
        return int(status.split()[1]), fields, json.loads(body)

    return exchange


def request(method, target, body=b"", headers=""):
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


# ── What is asked ────────────────────────────────────────────────────────────────────────────────────────────────


def test_status_is_the_daemons(client):
    assert shapes.status_from_json(client.status()) == STATUS


def test_one_mapping_can_be_asked_for(raw):
    _, _, found = raw(request("GET", "/v1/mappings/gallery"))
    assert found["state"] == "syncing"
    assert [problem["path"] for problem in found["problems"]] == ["b\n.jpg"]


@pytest.mark.parametrize(
    "asked", ["/srv/a b+c&d=e%41#?.jpg", "/srv/é🙂", "/srv/\udcff\udc80.jpg", "/srv/new\nline\r", "/" + "ü" * 2000]
)
def test_every_path_survives_the_way_there_and_back(client, daemon, asked):
    why = shapes.why_from_json(client.why(asked))
    assert why.path == asked
    assert daemon.asked == [asked]
    assert client.command("retry", path=asked) == "Did retry."
    assert daemon.commands == [(CommandName.RETRY, None, None, asked)]


def test_answers_are_one_line_of_ascii(raw, daemon):
    status, headers, _ = raw(request("GET", "/v1/why?path=/%FF"))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert daemon.asked == ["/\udcff"]


def test_history_is_asked_for_by_what_was_said(client, daemon, raw):
    assert shapes.history_from_json(client.history()) == PAGE
    client.history(
        mapping="gallery",
        kinds=["published", "failed"],
        since="2026-01-31T18:00:00+01:00",
        until="2026-01-31T17:00:01Z",
        path="/srv/a b+\udcff",
        limit=7,
        before="-5.6",
    )
    assert raw(request("GET", "/v1/history?since=2h"))[0] == 200
    everything, asked, lately = daemon.queries
    assert everything == (HistoryQuery(), None)
    noon = 1769878800 * 10**9
    assert asked == (
        HistoryQuery("gallery", ("published", "failed"), noon, noon + 10**9, before=(-5, 6), limit=7),
        "/srv/a b+\udcff",
    )
    assert abs(time.time_ns() - 7200 * 10**9 - lately[0].since_ns) < 60 * 10**9


def test_health_is_the_engines(raw, daemon):
    status, _, answer = raw(request("GET", "/healthz"))
    assert (status, answer["healthy"]) == (200, True)
    daemon.lives = False
    status, _, answer = raw(request("GET", "/healthz"))
    assert status == 503
    assert answer.pop("error") == "The engine has not turned for 2 days."
    assert "Restart the daemon" in answer.pop("remedy")
    assert answer == {"healthy": False, "engine_running": True, "engine_turn_age_s": 172800.5, "limit_s": 60.0}


@pytest.mark.parametrize("name", CommandName)
def test_each_command_reaches_the_daemon(client, daemon, name):
    assert client.command(name, mapping="gallery", server="web", path="/a") == f"Did {name}."
    assert client.command(name) == f"Did {name}."
    assert daemon.commands == [(name, "gallery", "web", "/a"), (name, None, None, None)]


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"mapping": null}'])
def test_a_command_needs_no_body(raw, daemon, body):
    assert raw(request("POST", "/v1/rescan", body))[0] == 200
    assert daemon.commands == [(CommandName.RESCAN, None, None, None)]


# ── What can be wrong ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (request("GET", "/"), 404, "There is no /."),
        (request("GET", "/v1/status/"), 404, "There is no /v1/status/."),
        (request("GET", "/v2/x%0Ay"), 404, r'There is no "/v2/x\ny".'),
        (request("GET", "/v1/mappings/galery"), 404, "There is no mapping galery."),
        (request("POST", "/v1/status"), 405, "/v1/status is not for POST."),
        (request("GET", "/v1/rescan"), 405, "/v1/rescan is not for GET."),
        (request("BREW", "/healthz"), 405, "/healthz is not for BREW."),
        (request("GET", "/v1/why"), 400, "The query needs one `path`"),
        (request("GET", "/v1/why?path="), 400, "The query needs one `path`"),
        (request("GET", "/v1/why?path=/a&path=/b"), 400, "The query has path 2 times."),
        (request("GET", "/v1/why?path=/a&pth=/b"), 400, "The query has pth; it may have path."),
        (request("GET", "/v1/history?mapping=galery"), 404, "There is no mapping galery."),
        (request("GET", "/v1/history?mapping="), 400, "`mapping` is empty."),
        (request("GET", "/v1/history?kind=publishd"), 400, "There is no kind publishd."),
        (request("GET", "/v1/history?kind=failed,made"), 400, "There is no kind made."),
        (request("GET", "/v1/history?since=yesterday"), 400, "`since` must be how long ago it was, or a time."),
        (request("GET", "/v1/history?until=2026-13-01"), 400, "`until` must be how long ago it was, or a time."),
        (request("GET", "/v1/history?since=-1h"), 400, "`since` must be how long ago it was, or a time."),
        (request("GET", "/v1/history?limit=0"), 400, "`limit` must be a number from 1 to 1000."),
        (request("GET", "/v1/history?limit=1001"), 400, "`limit` must be a number from 1 to 1000."),
        (request("GET", "/v1/history?limit=%D9%A3"), 400, "`limit` must be a number from 1 to 1000."),
        (request("GET", "/v1/history?before=5"), 400, "`before` must be what `next` of an answer was."),
        (request("GET", "/v1/history?before=9999999999999999999.1"), 400, "`before` must be what `next`"),
        (request("GET", "/v1/history?path=/a%00b"), 400, r'The path "/a\x00b" holds a NUL.'),
        (request("GET", "/v1/history?page=2"), 400, "The query has page; it may have mapping, kind, since"),
        (request("POST", "/v1/history"), 405, "/v1/history is not for POST."),
        (request("POST", "/metrics"), 405, "/metrics is not for POST."),
        (request("POST", "/v1/events"), 405, "/v1/events is not for POST."),
        (request("GET", "/v1/events?mapping=x"), 400, "The query has mapping; it takes none."),
        (request("GET", "/v1/why?path=/a%00b"), 400, r'The path "/a\x00b" holds a NUL.'),
        (request("GET", "/v1/why?" + "&".join("abcdefghijklmnopqrstuvwxyz")), 400, "The query has too many fields."),
        (request("POST", "/v1/pause", b"{"), 400, "The body is no JSON: "),
        (request("POST", "/v1/pause", b"\xff\xfe"), 400, "The body is no JSON: "),
        (request("POST", "/v1/pause", b"[" * 60_000), 400, "The body is no JSON: "),
        (request("POST", "/v1/pause", b"[]"), 400, "The body must be a JSON object."),
        (request("POST", "/v1/pause", b'{"maping": "x"}'), 400, "The body has maping; it may have mapping, server"),
        (request("POST", "/v1/pause", b'{"mapping": 3}'), 400, "`mapping` must be a text"),
        (request("POST", "/v1/pause", b'{"mapping": ""}'), 400, "`mapping` must be a text"),
        (request("POST", "/v1/pause", b'{"mapping": "galery"}'), 404, "There is no mapping galery."),
        (request("POST", "/v1/pause", b'{"server": "we\\nb"}'), 404, r'There is no server "we\nb".'),
        # It was looked for in the directory in which the daemon was started.
        (request("GET", "/v1/why?path=drop/a.jpg"), 400, "The path drop/a.jpg is not absolute."),
        (request("GET", "/v1/history?path=drop"), 400, "The path drop is not absolute."),
        (request("POST", "/v1/rescan", b'{"path": "."}'), 400, "The path . is not absolute."),
        (request("POST", "/v1/retry", b'{"path": "\\ud800"}'), 400, r'The path "\ud800" holds half a character.'),
        (request("POST", "/v1/retry", b'{"path": "a\\u0000"}'), 400, r'The path "a\x00" holds a NUL.'),
        (request("POST", "/v1/pause", b" " * (BODY_MAX + 1)), 413, "The body is larger than 65536 bytes."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_request_gets_a_clear_answer_and_harms_nobody(raw, client, daemon, sent, status, error):
    found, headers, answer = raw(sent)
    assert found == status
    assert headers["content-type"] == "application/json"
    assert set(answer) == {"error", "remedy"}
    assert answer["error"].startswith(error)
    assert answer["remedy"]
    assert daemon.commands == daemon.asked == []
    assert all(query.mapping == "galery" for query, _ in daemon.queries)
    assert client.status()


def test_a_body_of_the_largest_size_is_read(raw):
    assert raw(request("POST", "/v1/rescan", b" " * BODY_MAX))[0] == 200


def test_a_huge_body_is_refused_before_it_is_sent(raw):
    head = b"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n" + b" " * (BODY_MAX + 1)
    assert raw(head)[0] == 413


def test_an_endless_chunked_body_is_refused(raw):
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    assert raw(b"POST /v1/pause HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 17)[0] == 413


def test_a_wrong_method_names_the_right_one(raw):
    _, headers, answer = raw(request("DELETE", "/v1/status"))
    assert "GET" in headers["allow"]
    assert "GET" in answer["remedy"]


def test_a_misspelt_name_gets_a_suggestion_another_one_the_list(client, raw):
    with pytest.raises(UsageError) as caught:
        client.command("pause", mapping="galery")
    assert caught.value.remedy == "Did you mean gallery?"
    assert raw(request("GET", "/v1/mappings/x%2Fy%20z%FF"))[0] == 404
    status, _, answer = raw(request("GET", "/v1/mappings/zzz"))
    assert (status, answer["remedy"]) == (404, "There are: gallery, sheets.")


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (UsageError("No.", remedy="Do."), UsageError),
        (LocalError("No.", remedy="Do."), CommandRefusedError),
        (ConfigError("No.", remedy="Do."), CommandRefusedError),
        (LedgerError("No.", remedy="Do."), ControlError),
        (ServerUnavailableError("No.", remedy="Do."), ControlError),
    ],
)
def test_the_daemons_refusals_keep_their_words_and_their_kind(client, daemon, trouble, expected):
    daemon.trouble = trouble
    for act in (client.status, lambda: client.why("/a"), lambda: client.command("pause")):
        with pytest.raises(expected) as caught:
            act()
        assert (type(caught.value), caught.value.message, caught.value.remedy) == (expected, "No.", "Do.")


def test_a_mistake_of_ours_is_logged_not_shown(client, daemon):
    daemon.trouble = ZeroDivisionError("secret detail")
    with pytest.raises(CommandRefusedError, match="The daemon made a mistake") as caught:
        client.status()
    assert "secret" not in caught.value.message + caught.value.remedy
    daemon.trouble = None
    assert client.status()


# ── Repairs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_to_be_published_again_reaches_the_daemon_as_it_was_named(client, daemon):
    assert client.repair("gallery", ["a\udcff.jpg", "new\nline"], ["d"]) == "Repairs gallery."
    assert client.repair("sheets", [], []) == "Repairs sheets."
    assert daemon.repairs == [("gallery", ["a\udcff.jpg", "new\nline"], ["d"]), ("sheets", [], [])]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"[]", 400, "must be a JSON object"),
        (b"{}", 400, "`mapping` must be a text"),
        (b'{"mapping": ""}', 400, "`mapping` must be a text"),
        (b'{"mapping": "gallery", "path": "x"}', 400, "The body has path; it may have mapping, files, directories."),
        (b'{"mapping": "gallery", "files": "x"}', 400, "`files` must be a list of texts"),
        (b'{"mapping": "gallery", "directories": [1]}', 400, "`directories` must be a list of texts"),
        (b'{"mapping": "gallery", "files": ["a\\u0000"]}', 400, "holds a NUL"),
        (b'{"mapping": "gallery", "files": ["\\ud800"]}', 400, "half a character"),
        (b'{"mapping": "galery", "files": []}', 404, "There is no mapping galery"),
    ],
)
def test_a_repair_that_makes_no_sense_is_refused(raw, daemon, body, status, said):
    answered, _, told = raw(request("POST", "/v1/repair", body))
    assert (answered, said in told["error"]) == (status, True), told
    assert daemon.repairs == []


# ── What was measured ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_measured_reaches_the_daemon(client, daemon):
    assert client.learn("press@web:21", {"dating": "MFMT", "keeps": {}}) == "Knows press@web:21."
    assert daemon.learned == [("press@web:21", {"dating": "MFMT", "keeps": {}})]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "must be a JSON object"),
        (b"{}", "`account` must be a text"),
        (b'{"account": 1, "learned": {}}', "`account` must be a text"),
        (b'{"account": "press@web:21"}', "`learned` must be a JSON object"),
        (b'{"account": "press@web:21", "learned": []}', "`learned` must be a JSON object"),
        (b'{"account": "press@web:21", "learned": {}, "x": 1}', "The body has x; it may have account, learned."),
    ],
)
def test_a_measurement_that_is_none_is_refused(raw, daemon, body, said):
    answered, _, told = raw(request("POST", "/v1/profile", body))
    assert (answered, said in told["error"]) == (400, True), told
    assert daemon.learned == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda: scope_of({"mapping": 5}),
        lambda: findings_of({"mapping": 5}),
        lambda: measured_of({"account": "", "learned": {}}),
        lambda: history_query({"before": f"{1 << 63}.0"}),
        lambda: history_query({"before": f"0.{1 << 63}"}),
    ],
)
def test_what_has_the_wrong_type_or_is_out_of_range_is_a_bad_request(ask):
    """SQLite takes no number beyond 63 bits; whatever is no text would be looked for as one."""
    with pytest.raises(BadRequestError) as told:
        ask()
    assert told.value.status == 400
