"""The mutations fit the source as it is; whether they are caught, `make mutations` finds out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutations.bench import ROOT, apply
from tests.mutations.catalogue import MUTATIONS, Mutation

GUARANTEES = [f"G{n}" for n in range(1, 9)]
WHAT = [mutation.what for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=WHAT)
def test_a_mutation_fits_and_is_python(mutation: Mutation, tmp_path: Path):
    copy = tmp_path / "ftpsyncd" / mutation.file
    copy.parent.mkdir(parents=True)
    before = (ROOT / "ftpsyncd" / mutation.file).read_text()
    copy.write_text(before)
    apply(mutation, tmp_path)
    assert ast.dump(ast.parse(copy.read_text())) != ast.dump(ast.parse(before)), "it changes nothing"
    copy.write_text("")
    with pytest.raises(ValueError, match="found 0 times"):
        apply(mutation, tmp_path)


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_every_guarantee_is_broken_in_some_way(guarantee: str):
    assert any(mutation.guarantee == guarantee for mutation in MUTATIONS)


def test_each_is_another_one():
    assert len(set(WHAT)) == len(WHAT)
    assert {mutation.guarantee for mutation in MUTATIONS} == set(GUARANTEES)
