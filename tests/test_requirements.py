"""The pinned packages are all that is needed, on every Python that the program says it runs on.

pip refuses a package that is not pinned, so that nothing could be installed where one is missing.
"""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if text.startswith("Programming Language")]
EXTRAS = {"run": ("",), "dev": ("", "dev"), "bench": ("", "dev", "bench")}


def pins(name: str) -> list[Requirement]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return [Requirement(line.rstrip("\\ ")) for line in text.splitlines() if line[:1].isalnum()]


def asked(name: str) -> list[Requirement]:
    """What the program asks for, with the extras of these pins."""
    extras = [PROJECT["optional-dependencies"][extra] for extra in EXTRAS[name][1:]]
    return [Requirement(line) for lines in (PROJECT["dependencies"], *extras) for line in lines]


def holds(requirement: Requirement, python: str, extra: str = "") -> bool:
    """Whether a requirement concerns this Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def needs(requirement: Requirement, python: str) -> set[NormalizedName]:
    """The names of what an installed package needs in its turn; nothing is known of one that is not installed."""
    try:
        required = metadata.requires(requirement.name) or []
    except metadata.PackageNotFoundError:
        return set()
    extras = ("", *requirement.extras)
    found = map(Requirement, required)
    return {canonicalize_name(each.name) for each in found if any(holds(each, python, extra) for extra in extras)}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", EXTRAS)
def test_all_that_is_needed_is_pinned(name: str, python: str):
    pinned = [requirement for requirement in pins(name) if holds(requirement, python)]
    wanted = {canonicalize_name(requirement.name) for requirement in asked(name)}
    for requirement in (*pinned, *asked(name)):
        wanted |= needs(requirement, python)
    assert wanted - {canonicalize_name(requirement.name) for requirement in pinned} == set()


@pytest.mark.parametrize("name", EXTRAS)
def test_what_is_pinned_is_what_is_asked_for(name: str):
    pinned = {canonicalize_name(requirement.name): requirement.specifier for requirement in pins(name)}
    for requirement in asked(name):
        (pin,) = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), requirement


def test_the_lowest_versions_that_are_admitted_are_tried():
    pinned = {canonicalize_name(requirement.name): requirement.specifier for requirement in pins("lowest")}
    for requirement in asked("run"):
        (pin,) = pinned[canonicalize_name(requirement.name)]
        (least,) = (each.version for each in requirement.specifier if each.operator == ">=")
        assert Version(pin.version) == Version(least), requirement


def test_every_python_is_tried():
    assert PYTHONS[0] == PROJECT["requires-python"].removeprefix(">=")
    assert len(PYTHONS) >= 3


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_every_pin_has_hashes_and_tells_no_address(path: Path):
    text = path.read_text()
    blocks = text.replace("\\\n", " ").splitlines()
    assert all("--hash=sha256:" in block for block in blocks if block[:1].isalnum())
    assert "://" not in text
