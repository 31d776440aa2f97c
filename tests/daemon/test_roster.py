"""What a reload finds to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsyncd.daemon.reloading import Difference, difference
from ftpsyncd.specs import MappingSpec, ServerSpec

WEB = ServerSpec("web", "ftp.example.com", "u")
A = MappingSpec("a", Path("/a"), "web", "/a")


def compared(old: list[MappingSpec], new: list[MappingSpec], web: ServerSpec = WEB) -> Difference:
    def by_name(specs: list[MappingSpec]) -> dict[str, MappingSpec]:
        return {spec.name: spec for spec in specs}

    return difference(by_name(old), by_name(new), {"web": WEB}, {"web": web})


def changed(**changes: object) -> MappingSpec:
    values = {"name": "a", "local": Path("/a"), "server": "web", "remote": "/a", **changes}
    return MappingSpec(**values)  # type: ignore[arg-type]


def test_nothing_is_nothing():
    assert compared([A], [A]) == Difference()
    assert compared([A], [A]).sentence == "nothing changed"


def test_what_concerns_no_mapping_is_told_too():
    assert Difference(added=["b"], other=["log", "alerts"]).sentence == "added b; took over the new `log`, `alerts`"


def test_mappings_come_and_go():
    b = MappingSpec("b", Path("/b"), "web", "/b")
    assert compared([A], [A, b]).added == ["b"]
    assert compared([A, b], [b]).removed == ["a"]
    assert compared([A], [b]).sentence == "added b; removed a"


@pytest.mark.parametrize("change", [{"local": Path("/c")}, {"remote": "/c"}, {"server": "other"}])
def test_another_place_is_a_move(change: dict[str, object]):
    found = compared([A], [changed(**change)])
    assert (found.moved, found.adjusted) == (["a"], [])


@pytest.mark.parametrize("change", [{"settle_s": 9.0}, {"include": ("*",)}, {"rescan_s": 1.0}])
def test_another_setting_is_an_adjustment(change: dict[str, object]):
    found = compared([A], [changed(**change)])
    assert (found.moved, found.adjusted) == ([], ["a"])


def test_another_bandwidth_needs_no_other_connection():
    found = compared([A], [A], WEB._replace(bandwidth_bytes_s=1000))
    assert (found.servers, found.paced, found.sentence) == ([], ["web"], "sends at another rate to web")
    found = compared([A], [A], WEB._replace(bandwidth_bytes_s=1000, connections=2))
    assert (found.servers, found.paced) == (["web"], [])


def test_another_account_is_connected_to_anew():
    assert compared([A], [A], ServerSpec("web", "ftp.example.com", "somebody else")).servers == ["web"]
