"""Which of many paths are below a directory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.core.inside import Inside

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(st.lists(st.tuples(st.booleans(), PATHS), max_size=60))
def test_it_tells_the_same_as_a_look_at_all_of_them(steps: list[tuple[bool, str]]) -> None:
    paths: dict[str, None] = {}
    inside = Inside(paths)
    for come, path in steps:
        if come and path not in paths:
            paths[path] = None
            inside.add(path)
        elif not come and path in paths:
            del paths[path]
            inside.discard(path)
        for directory in ("", "a", "a/b", "a/b/c", "b", path):
            below = {each for each in paths if not directory or each.startswith(f"{directory}/")}
            found = list(inside.below(directory))
            assert len(found) == len(below)
            assert set(found) == below
            assert (directory in inside) is bool(below)
            directly = {each for each in paths if each.rpartition("/")[0] == directory}
            assert sorted(inside.directly(directory)) == sorted(directly)
    for path in list(paths):
        del paths[path]
        inside.discard(path)
    assert not inside._in, "nothing is left of what has gone"


def test_what_is_beside_a_directory_is_not_looked_at() -> None:
    class Counted(dict[str, None]):
        asked = 0

        def __contains__(self, path: object) -> bool:
            self.asked += 1
            return super().__contains__(path)

    paths = Counted()
    inside = Inside(paths)
    for number in range(1000):
        paths[f"{number}/a"] = None
        inside.add(f"{number}/a")
    paths.asked = 0
    assert list(inside.below("7")) == ["7/a"]
    assert paths.asked < 10
    inside.clear()
    assert list(inside.below("")) == []
