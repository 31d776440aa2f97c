"""When names are due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.core.dues import Dues

NAMES = st.sampled_from("abcd")
TIMES = st.floats(0, 9)


@given(st.lists(st.tuples(NAMES, st.none() | TIMES)), TIMES)
def test_the_names_that_are_due_are_taken_the_first_ones_first(puts: list[tuple[str, float | None]], until: float):
    dues, at = Dues(), dict[str, float]()
    for name, due in puts:
        dues.put(name, due)
        at.pop(name, None)
        if due is not None:
            at[name] = due
        assert dues.first() == min(at.values(), default=None)
        assert dues.of(name) == due
    taken = dues.take(until)
    assert [at[name] for name in taken] == sorted(due for due in at.values() if due <= until)
    assert len(set(taken)) == len(taken)
    assert [dues.of(name) for name in taken] == [None] * len(taken)
    assert dues.first() == min((due for due in at.values() if due > until), default=None)
    assert len(dues._sorted) == len(at) - len(taken)
