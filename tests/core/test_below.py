"""Which directories have something below, compared with asking every key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.core.below import Below
from ftpsyncd.core.extent import Key

PATHS = ["", "a", "b", "a/b", "a/b/c", "a/b/d", "a/e", "b/c/d/e"]
KEYS = st.tuples(st.sampled_from(["one", "two"]), st.sampled_from(PATHS))


def directories_above(key: Key) -> set[Key]:
    mapping, path = key
    parts = path.split("/") if path else []
    return {(mapping, "/".join(parts[:n])) for n in range(len(parts))}


@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=40))
def test_it_knows_what_every_key_says(steps: list[tuple[Key, bool]]):
    present: list[Key] = []
    told: list[Key] = []
    below = Below(told.append)
    for key, comes in steps:
        before = {above for each in present for above in directories_above(each)}
        if comes:
            present.append(key)
            below.add(key)
        elif key in present:
            present.remove(key)
            below.discard(key)
        after = {above for each in present for above in directories_above(each)}
        for mapping in ("one", "two"):
            for path in PATHS:
                assert ((mapping, path) in below) == ((mapping, path) in after)
        assert bool(below) == bool(after)
        assert set(told) == before - after
        assert len(told) == len(set(told))
        told.clear()


def test_who_is_told_finds_everything_counted():
    seen: list[tuple[bool, bool]] = []
    below = Below(lambda _directory: seen.append((("m", "a") in below, ("m", "") in below)))
    below.add(("m", "a/f"))
    below.discard(("m", "a/f"))
    assert seen == [(False, False), (False, False)]


def test_with_the_last_one_of_several_all_above_have_nothing_any_more():
    """What waits for a directory would wait for ever."""
    told: list[Key] = []
    below = Below(told.append)
    for path in ("a/b/c", "a/b/d", "a/e"):
        below.add(("m", path))
    for path in ("a/e", "a/b/c"):
        below.discard(("m", path))
        assert not told
    below.discard(("m", "a/b/d"))
    assert told == [("m", "a/b"), ("m", "a"), ("m", "")]
    assert not below
