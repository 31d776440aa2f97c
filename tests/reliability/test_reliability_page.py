"""docs/reliability.md says what tests measured, and nothing else."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.figures import Figures
from tests.mutations.catalogue import MUTATIONS
from tests.reliability.page import GUARANTEES, PAGE, ROOT, Measured, figures, mutations, render


@cache
def _body(module: str) -> list[ast.stmt]:
    return ast.parse((ROOT / module).read_text()).body


def exists(test: str) -> bool:
    """Whether a test of this node id is in the source."""
    module, *names = test.partition("[")[0].split("::")
    if not (ROOT / module).is_file():
        return False
    body = _body(module)
    for name in names:
        found = [n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name]
        if not found:
            return False
        body = found[0].body
    return True


def test_a_test_that_is_not_there_is_missed():
    here = Path(__file__).relative_to(ROOT)
    assert exists(f"{here}::test_a_test_that_is_not_there_is_missed")
    assert not exists(f"{here}::test_of_nothing")
    assert not exists("tests/test_of_nothing.py")


def test_the_page_is_what_is_rendered_from_what_was_measured():
    assert PAGE.read_text() == render(figures(), mutations()), "`make reliability-page` writes it anew"


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda guarantee: guarantee.name)
def test_the_tests_of_a_guarantee_exist(guarantee):
    assert guarantee.tests
    assert [test for test in guarantee.tests if not exists(test)] == []


def test_what_measured_and_what_caught_exists():
    assert [each.test for each in figures() if not exists(each.test)] == []
    assert [mutation.test for mutation in MUTATIONS if not exists(mutation.test)] == []


def test_all_mutations_were_tried_and_caught():
    """If not: `make mutations`, then `make reliability-page`."""
    tried = {(each["guarantee"], each["what"], each["test"]) for each in mutations() if each["caught"]}
    assert tried == {(mutation.guarantee, mutation.what, mutation.test) for mutation in MUTATIONS}


def test_variants_of_a_test_are_taken_together(tmp_path: Path):
    for variant, value in (("one", 3), ("two", 1200)):
        told = Figures(f"tests/test_x.py::test_y[{variant}]")
        told.tell("G3", "kills", value, adds=True)
        told.tell("G6", "memory", value / 2, unit="MiB", limit=700)
        told.save(tmp_path)
    kills, memory = figures(tmp_path)
    assert (kills.value, kills.test) == ("1,203", "tests/test_x.py::test_y")
    assert memory.value == "1.5 to 600 MiB"
    page = render([kills, memory], [])
    assert "| memory | 1.5 to 600 MiB | 700 MiB |" in page
    assert Measured("G1", "how", ("well", "well"), "", None, adds=False, test="", date="").value == "well"
