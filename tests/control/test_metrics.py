"""What Prometheus gets: the numbers, the conventions, and that dashboard and alert rules ask for what there is."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from prometheus_client import ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from ftpsyncd.control.client import _UnixConnection
from ftpsyncd.control.meter import BUCKETS_S, DONE, Meter
from ftpsyncd.control.metrics import Metrics
from ftpsyncd.control.server import ControlServer
from ftpsyncd.events import Event, EventKind
from ftpsyncd.status import MappingState, ServerState, ServerStatus
from tests.control.fakes import GALLERY, STATUS, FakeDaemon

CONTRIB = Path(__file__).parents[2] / "contrib"
PLACE = {"mapping": "gallery", "server": "web"}


def told(*events):
    meter = Meter()
    for event in events:
        meter.tell(event)
    return meter


def event(kind, mapping="gallery", server="web", **more):
    return Event(kind, mapping, "a.jpg", server, **more)


EVERYTHING = told(*(event(kind, size=10, duration_s=0.3, error="TransferFailedError") for kind in EventKind))


def samples(meter=None, daemon=None):
    """Every sample: {(name, labels): value}."""
    text = Metrics(daemon or FakeDaemon(), meter or Meter()).exposition().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found, name, **labels):
    return found[f"ftpsyncd_{name}", frozenset(labels.items())]


# ── The numbers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_publishes_are_counted_with_bytes_and_durations():
    found = samples(
        told(
            event(EventKind.PUBLISHED, size=10, duration_s=0.01),
            event(EventKind.PUBLISHED, size=20, duration_s=0.3),
            event(EventKind.PUBLISHED, size=30, duration_s=9999.0),
            event(EventKind.PUBLISHED, "sheets", size=1, duration_s=0.3),
        )
    )
    assert value(found, "files_published_total", **PLACE) == 3
    assert value(found, "published_bytes_total", **PLACE) == 60
    assert value(found, "actions_total", kind="published", **PLACE) == 3
    assert value(found, "files_published_total", mapping="sheets", server="web") == 1
    buckets = [value(found, "transfer_duration_seconds_bucket", le=str(bound), **PLACE) for bound in BUCKETS_S]
    assert buckets == [1] * 5 + [2] * 9
    assert value(found, "transfer_duration_seconds_bucket", le="+Inf", **PLACE) == 3
    assert value(found, "transfer_duration_seconds_count", **PLACE) == 3
    assert value(found, "transfer_duration_seconds_sum", **PLACE) == pytest.approx(9999.31)


def test_failures_are_counted_by_their_kind():
    found = samples(
        told(
            event(EventKind.FAILED, error="TransferFailedError"),
            event(EventKind.FAILED, error="TransferFailedError"),
            event(EventKind.PARKED, error="NameRefusedError"),
            event(EventKind.FAILED),
            event(EventKind.SERVER_OFFLINE, ""),
        )
    )
    assert value(found, "failures_total", error="TransferFailedError", **PLACE) == 2
    assert value(found, "failures_total", error="NameRefusedError", **PLACE) == 1
    assert value(found, "failures_total", error="unknown", **PLACE) == 1
    assert value(found, "files_parked_total", **PLACE) == 1
    assert value(found, "server_outages_total", server="web") == 1


def test_what_a_person_has_repaired_is_no_sign_of_changes_that_were_missed():
    found = samples(told(event(EventKind.RESCAN), event(EventKind.REPAIR), event(EventKind.REPAIR)))
    assert value(found, "rescans_total", **PLACE) == 1


def test_a_delete_that_waits_for_a_decision_is_held_and_not_parked():
    found = samples(told(event(EventKind.HELD), event(EventKind.HELD, error="ChangedAtServerError")))
    assert value(found, "holds_total", **PLACE) == 2
    assert value(found, "files_parked_total", **PLACE) == 0
    assert value(found, "failures_total", error="ChangedAtServerError", **PLACE) == 1


def test_nothing_but_what_was_done_is_an_action_and_a_hold_without_an_error_no_failure():
    counts = told(*(event(kind) for kind in EventKind)).read()
    assert counts.actions == {("gallery", "web", kind.value): 1 for kind in DONE}
    assert told(event(EventKind.HELD)).read().failures == {}


def test_what_has_not_happened_yet_is_zero():
    found = samples()
    for name in (
        "files_published_total",
        "published_bytes_total",
        "files_parked_total",
        "holds_total",
        "rescans_total",
    ):
        assert value(found, name, **PLACE) == 0
    assert value(found, "actions_total", kind="renamed", **PLACE) == 0
    assert value(found, "transfer_duration_seconds_count", **PLACE) == 0
    assert value(found, "server_outages_total", server="web") == 0


def test_the_status_becomes_gauges():
    found = samples()
    assert {name: value(found, name, **PLACE) for name in ("queue_depth", "actions_in_flight", "parked_files")} == {
        "queue_depth": 3,
        "actions_in_flight": 1,
        "parked_files": 1,
    }
    assert value(found, "oldest_pending_age_seconds", **PLACE) == 4.5
    assert value(found, "oldest_pending_age_seconds", mapping="sheets", server="web") == 0
    assert value(found, "files", **PLACE) == 1200
    assert value(found, "size_bytes", **PLACE) == 5_000_000_000
    assert value(found, "last_publish_timestamp_seconds", **PLACE) == 1767323045
    assert (
        "ftpsyncd_last_publish_timestamp_seconds",
        frozenset({("mapping", "sheets"), ("server", "web")}),
    ) not in found
    assert value(found, "engine_turn_age_seconds") == 0.5
    assert value(found, "build_info", version="0.1.0") == 1
    assert {state: value(found, "mapping_state", state=state, **PLACE) for state in MappingState} == {
        state: float(state is MappingState.SYNCING) for state in MappingState
    }
    assert value(found, "watcher", kind="native", **PLACE) == 1
    assert value(found, "watcher", kind="poll", **PLACE) == 0
    assert found["process_resident_memory_bytes", frozenset()] > 1_000_000


class Clocks:
    """The machine's clocks, as a test winds them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_s, self.booted_s = 1_700_000_000.0, 50_000.0
        monkeypatch.setattr(time, "time", lambda: self.wall_s)
        monkeypatch.setattr(time, "clock_gettime", lambda clock: {time.CLOCK_BOOTTIME: self.booted_s}[clock])

    def go_on(self, seconds: float) -> None:
        self.wall_s += seconds
        self.booted_s += seconds


def started(metrics: Metrics, name: str = "ftpsyncd_start_time") -> float:
    [line] = [line for line in metrics.exposition().decode().splitlines() if line.startswith(name)]
    return float(line.split()[1])


def test_the_moment_of_the_start_stays_the_same_while_the_status_grows_old(monkeypatch):
    clocks, metrics, told_of = Clocks(monkeypatch), Metrics(FakeDaemon(), Meter()), set()
    # The last is as long as the machine has slept: no time of the status.
    for age_s in (0.0, 0.3, 2.9, 36_000.0):
        clocks.go_on(age_s)
        # A clock that is led to the right time is set by less than a second.
        clocks.wall_s += 0.2
        told_of.add(started(metrics))
    assert told_of == {1_700_000_000.2 - STATUS.daemon.uptime_s}


@pytest.mark.parametrize("step_s", [-1_600_000_000.0, -3600.0, 3600.0])
def test_the_moment_of_the_start_is_told_by_the_clock_as_it_is_set_now(monkeypatch, step_s):
    """A machine without a battery starts in 1970, until there is a network."""
    clocks, metrics = Clocks(monkeypatch), Metrics(FakeDaemon(), Meter())
    before = started(metrics)
    clocks.wall_s += step_s
    clocks.go_on(2.0)
    assert [started(metrics) for _ in range(2)] == [pytest.approx(before + step_s, abs=0.2)] * 2


def test_the_start_of_the_process_is_told_by_the_clock_as_it_is_set_now(monkeypatch):
    metrics = Metrics(FakeDaemon(), Meter())
    before = started(metrics, "process_start_time_seconds")
    monkeypatch.setattr(ProcessCollector, "_boot_time", lambda _self: 1000.0)
    assert started(metrics, "process_start_time_seconds") < 1e9 < before


@pytest.mark.parametrize("state", ServerState)
def test_a_server_is_up_unless_it_is_known_not_to_work(state):
    daemon = FakeDaemon(STATUS._replace(servers=(ServerStatus("web", state, 2, ""),)))
    found = samples(daemon=daemon)
    assert value(found, "server_up", server="web") == (state not in {"offline", "refused", "full"})
    assert value(found, "server_connections", server="web") == 2
    assert value(found, "server_state", server="web", state=state) == 1


def test_odd_names_of_mappings_are_escaped():
    name = 'a"b\\c{}=,é'
    daemon = FakeDaemon(STATUS._replace(mappings=(GALLERY._replace(name=name),)))
    assert value(samples(daemon=daemon), "files", mapping=name, server="web") == 1200


def test_a_mapping_that_is_no_longer_configured_keeps_its_counters():
    assert (
        value(samples(told(event(EventKind.PUBLISHED, "old"))), "files_published_total", mapping="old", server="web")
        == 1
    )


def test_it_is_served_also_while_the_engine_hangs(tmp_path):
    daemon, path = FakeDaemon(lives=False), tmp_path / "control.sock"
    with ControlServer(daemon, path, meter=EVERYTHING):
        connection = _UnixConnection(str(path), 30)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "ftpsyncd_engine_turn_age_seconds 172800.5" in text
    assert 'ftpsyncd_files_published_total{mapping="gallery",server="web"} 1.0' in text


# ── The conventions ──────────────────────────────────────────────────────────────────────────────────────────────

NO_BASE_UNITS = {
    "milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days", "weeks", "kilobytes", "megabytes",
    "gigabytes", "bits", "kilobits", "percent", "celsius", "fahrenheit", "kelvin",
}  # fmt: skip
ABBREVIATIONS = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}


def lint(text):
    """What ``promtool check metrics`` objects to."""
    helped = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        words = name.split("_")
        if not helped.get(name, "").strip():
            yield f"{name}: no help text"
        if (kind == "counter") != name.endswith("_total"):
            yield f"{name}: counters, and only they, end with _total"
        if kind != "histogram" and name.endswith(("_bucket", "_count", "_sum")):
            yield f"{name}: a suffix of histograms"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            yield f"{name}: letters that are not usual"
        if {"counter", "gauge", "histogram", "summary"} & set(words):
            yield f"{name}: its type is in its name"
        if set(words) & (NO_BASE_UNITS | ABBREVIATIONS):
            yield f"{name}: not a base unit"
    if len(set(helped)) != len(re.findall(r"^# HELP ", text, re.MULTILINE)):
        yield "a metric is there twice"


@pytest.mark.parametrize("meter", [Meter(), EVERYTHING], ids=["at the start", "after everything happened"])
def test_names_and_types_are_as_they_should_be(meter):
    text = Metrics(FakeDaemon(), meter).exposition().decode()
    assert list(lint(text)) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a_seen", "counter"), ("a_total", "gauge"), ("a_ms", "gauge"), ("a_count", "gauge"), ("aB", "gauge")],
)
def test_the_lint_finds_what_it_should(name, kind):
    assert list(lint(f"# HELP {name} Help.\n# TYPE {name} {kind}\n{name} 1\n"))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian's package prometheus)")
def test_promtool_has_nothing_to_say():
    text = Metrics(FakeDaemon(), EVERYTHING).exposition()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for what, name in (("rules", "ftpsyncd.rules.yml"), ("config", "prometheus-scrape.yml")):
        command = ["promtool", "check", what, str(CONTRIB / name)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr


# ── Dashboard and alert rules ────────────────────────────────────────────────────────────────────────────────────

EXPOSED = {name for name, _ in samples(EVERYTHING)}
LABELS = {label for _, labels in samples(EVERYTHING) for label, _ in labels} | {"instance", "job", "le"}


def rules():
    groups = yaml.safe_load((CONTRIB / "ftpsyncd.rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def strings(node):
    """Every text in a JSON document."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return [text for item in node for text in strings(item)]
    return [node] if isinstance(node, str) else []


DASHBOARD = json.loads((CONTRIB / "grafana-dashboard.json").read_text(encoding="utf-8"))


def named(text):
    return set(re.findall(r"\b(?:ftpsyncd|process)_\w+", text))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_metric_of_an_alert_exists(rule):
    metrics = named(rule["expr"])
    assert metrics <= EXPOSED
    assert metrics or "up{" in rule["expr"]
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= LABELS
    for state in re.findall(r'state="(\w+)"', rule["expr"]):
        assert state in set(MappingState) | set(ServerState)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_page_that_an_alert_names_has_what_it_is_named_for(rule):
    said = str(rule["annotations"])
    pages = re.findall(r"\bREADME\b|\bdocs/[\w-]+\.md", said)
    assert bool(pages) >= ("sysctl" in said)
    for page in pages:
        text = (CONTRIB.parent / page.replace("README", "README.md")).read_text(encoding="utf-8")
        assert ("sysctl" in text) >= ("sysctl" in said)


def test_every_metric_of_the_dashboard_exists():
    metrics = named(" ".join(strings(DASHBOARD)))
    assert len(metrics) > 15
    assert metrics <= EXPOSED
    legends = [target["legendFormat"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert set(re.findall(r"\{\{(\w+)\}\}", " ".join(legends))) <= LABELS


def test_the_panels_of_the_dashboard_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_many_who_ask_within_a_moment_are_told_the_same():
    meter = Meter()
    told = Metrics(FakeDaemon(), meter, fresh_s=3600)
    first = told.exposition()
    meter.tell(Event(EventKind.PUBLISHED, "gallery", "a.jpg", "web", size=5))
    assert told.exposition() is first
    assert Metrics(FakeDaemon(), meter, fresh_s=3600).exposition() != first
