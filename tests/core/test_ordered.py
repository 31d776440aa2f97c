"""Which of many paths are below a directory, in a collection that is seldom asked."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.core import ordered
from ftpsyncd.core.ordered import Ordered

PATHS = st.lists(st.sampled_from(["a", "b", "a.b", "a0", "\udcff"]), min_size=1, max_size=3).map("/".join)
STEPS = st.lists(st.tuples(st.sampled_from(["come", "go", "ask"]), PATHS), max_size=60)


@given(STEPS, st.integers(0, 3))
def test_it_tells_the_same_as_a_look_at_all_of_them(steps: list[tuple[str, str]], some: int) -> None:
    before, ordered.SOME = ordered.SOME, some
    try:
        paths: dict[str, None] = {}
        found = Ordered(paths)
        for step, path in steps:
            if step == "come":
                paths[path] = None
                found.add(path)
            elif step == "go":
                paths.pop(path, None)
                found.discard(path)
            else:
                assert list(found.below(path)) == sorted(each for each in paths if each.startswith(f"{path}/"))
    finally:
        ordered.SOME = before


def test_what_comes_again_is_told_once() -> None:
    paths = dict.fromkeys(["d/a", "d/b"])
    found = Ordered(paths)
    assert list(found.below("d")) == ["d/a", "d/b"]
    del paths["d/a"]
    found.discard("d/a")
    assert list(found.below("d")) == ["d/b"]
    for _ in range(2):
        paths["d/a"] = None
        found.add("d/a")
    assert list(found.below("d")) == ["d/a", "d/b"]


class Counted(dict[str, None]):
    """Counts what is looked at when somebody goes through it."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        for path in super().__iter__():
            self.looked_at += 1
            yield path


def test_what_is_beside_a_directory_is_not_looked_at() -> None:
    paths = Counted(dict.fromkeys(f"{number}/{name}" for number in range(1000) for name in "ab"))
    found = Ordered(paths)
    assert list(found.below("7")) == ["7/a", "7/b"]
    paths.looked_at = 0
    for number in range(1000):
        new = f"{number}/c"
        paths[new] = None
        found.add(new)
        assert list(found.below(str(number))) == [f"{number}/{name}" for name in "abc"]
        for name in "abc":
            del paths[f"{number}/{name}"]
            found.discard(f"{number}/{name}")
    assert paths.looked_at == 0
    assert list(found.below("7")) == []
    assert len(found._order) <= 2 * ordered.SOME, "nothing is left of what has gone"
    found.add("8/come and gone")
    found.discard("8/come and gone")
    assert not found._new, "before anybody asks"
