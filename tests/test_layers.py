"""What docs/architecture.md says of the modules: import-linter knows them, each library has its place, and so have they."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from ftpsyncd.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]
LAYERS = {each["containers"][0]: each for each in CONTRACTS if each["type"] == "layers"}
PACKAGES = ["ftpsyncd", *sorted(f"ftpsyncd.{each.parent.name}" for each in ROOT.glob("ftpsyncd/*/__init__.py"))]
IMPORTED_AS = {"PyYAML": "yaml", "prometheus-client": "prometheus_client"}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_downwards_within_each_package(package):
    assert LAYERS[package]["exhaustive"]


def test_each_library_has_its_place_and_no_other_module_may_import_it():
    whole = [each for each in CONTRACTS if each["type"] == "forbidden" and each["source_modules"] == ["ftpsyncd"]]
    kept = {library for each in whole for library in each["forbidden_modules"]}
    names = {each.split(">")[0] for each in PROJECT["project"]["dependencies"]}
    assert kept == {IMPORTED_AS.get(name, name) for name in names} | {"ftplib", "sqlite3", "ssl"}


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_the_docstring_of_a_package_says_in_which_order_its_modules_are_read(package):
    folder = ROOT / package.replace(".", "/")
    told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    commands = {place for place, _ in COMMANDS.values()}
    modules = {each.stem for each in folder.glob("*.py") if f"{package}.{each.stem}" not in commands} - {"__init__"}
    assert modules - set(re.findall(r"\w+", told)) == set()
