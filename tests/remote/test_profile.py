"""Another server behind the name is noticed; what a server bears is respected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd.remote import profile as profiles
from ftpsyncd.remote.keeping import refusals
from ftpsyncd.remote.profile import Oddity, Profile, oddities
from tests.remote.profiles import FEATURES, hopeless


def recalled() -> Profile:
    """What an earlier run has learned."""
    profile = hopeless()
    profile.recall(profile.face)
    return profile


class TestAnotherServer:
    @pytest.mark.parametrize(
        ("banner", "features"),
        [("220 Another server", FEATURES), ("220 A server", {**FEATURES, "MFMT": ""}), ("220 A server", {})],
        ids=["banner", "more features", "no features"],
    )
    def test_it_is_noticed_after_a_restart(self, banner, features):
        profile = recalled()
        profile.met(banner, features)
        assert refusals(profile) == set()
        assert profile.keeps == {}
        assert profile.features == features

    def test_it_is_noticed_while_working_when_seen_twice(self):
        profile = hopeless()
        profile.met("220 Another server", FEATURES)
        assert "epsv" in refusals(profile)
        profile.met("220 Another server", FEATURES)
        assert "epsv" not in refusals(profile)
        profile.epsv = False
        profile.met("220 Another server", FEATURES)
        assert "epsv" in refusals(profile)

    def test_machines_that_take_turns_behind_a_name_do_not_make_it_forget(self):
        profile = hopeless()
        for _ in range(5):
            profile.met("220 Machine B", FEATURES)
            profile.met("220 A server", FEATURES)
        assert profile.epsv is False

    def test_what_its_greeting_says_is_concluded_anew(self):
        profile = recalled()
        profile.met("220 Microsoft FTP Service", FEATURES)
        assert (profile.pipelining, profile.epsv) == (False, True)

    @pytest.mark.parametrize(
        ("before", "after", "same"),
        [
            ("You are user number 1 of 50 allowed.", "You are user number 17 of 50 allowed.", True),
            ("Local time is now 03:12. Server port: 21.", "Local time is now 17:45. Server port: 21.", True),
            ("web7 ready at Mon Nov 23 03:12:21 2026", "web7 ready at Tuesday Dec 1 13:02:21 2026", True),
            ("ProFTPD Server [10.0.0.7]", "ProFTPD Server [10.0.0.8]", True),
            ("(vsFTPd 3.0.3)", "(vsFTPd 3.0.5)", False),
            ("ProFTPD 1.3.8b Server", "ProFTPD 1.3.8c Server", False),
            ("Pure-FTPd", "vsFTPd", False),
        ],
    )
    def test_only_what_lasts_in_a_greeting_counts(self, before, after, same):
        profile = Profile()
        profile.met(before, FEATURES)
        face = profile.face
        other = Profile()
        other.met(after, FEATURES)
        assert (other.face == face) is same


@pytest.mark.parametrize(("told", "silence_s"), [(0, 30.0), (300, 30.0), (60, 30.0), (20, 10.0)])
def test_a_session_is_silent_for_half_of_what_the_server_bears(told, silence_s):
    assert Profile(idle_s=told).silence_s == silence_s


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a b/c.jpg", []),
        ("/a /b", [Oddity.TRAILING_SPACE]),
        ("/a/b ", [Oddity.TRAILING_SPACE]),
        ("/ a/b", [Oddity.LEADING_SPACE]),
        ("/a\\b/c", [Oddity.BACKSLASH]),
        ('/a"/ b', [Oddity.LEADING_SPACE, Oddity.QUOTE]),
        ("/a -l", [Oddity.OPTION]),
        ("/Artist -x song.mp3", [Oddity.OPTION]),
        ("/a[1].jpg", [Oddity.PATTERN]),
        ("/a (1)]}!.jpg", []),
        ("/Artist - song -2/-a -live.mp3", []),
    ],
)
def test_what_is_odd_about_a_directory_is_odd_about_all_that_is_in_it(path, found):
    """A server that changes its name would have the file in another directory."""
    assert oddities(path) == found


@given(st.text(alphabet='/ \\"-al[*?{.'))
def test_what_is_looked_for_first_is_in_all_that_is_odd(path: str):
    assert bool(oddities(path)) is (profiles._ODD.search(path) is not None)
