"""What is learned of a server outlives a run; refusals grow old; another server behind the name is noticed."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from ftpsyncd.remote.profile import (
    REFUSALS_LAST_S,
    Beyond,
    Dating,
    Hashing,
    Keeper,
    Oddity,
    Profile,
    Resuming,
)

NOW = 1_700_000_000.0
DAY = 86400.0
FEATURES = {"SIZE": "", "EPSV": "", "REST": "STREAM"}


def hopeless() -> Profile:
    """Everything was refused."""
    profile = Profile(
        pipelining=False,
        epsv=False,
        size=False,
        stats=False,
        listings=False,
        renames=False,
        rename_over=False,
        dating=Dating.NONE,
        resuming=Resuming.NONE,
        hashing=Hashing.NONE,
        beyond=Beyond.ZEROS,
        utf8=False,
        cap=2,
        idle_s=300,
        keeps={Oddity.CONTROL: False, Oddity.BYTES: True},
    )
    profile.met("220 A server", FEATURES)
    return profile


def saved(profile: Profile, at: float = NOW) -> str:
    """What is kept of a profile that was learned at that moment."""
    keeper = Keeper(Profile(), "", at)
    keeper.profile = profile
    text = keeper.tend(at)
    assert text is not None
    return text


def loaded(text: str, now_s: float = NOW) -> Profile:
    profile = Profile()
    Keeper(profile, text, now_s).tend(now_s)
    return profile


def test_everything_learned_comes_back():
    before = hopeless()
    after = loaded(saved(before))
    transient = {"features", "doubts", "parting_credit", "trials", "_loaded", "_other_face"}
    for each in fields(Profile):
        if each.name not in transient:
            assert getattr(after, each.name) == getattr(before, each.name), each.name
    assert {each.name for each in fields(Profile)} - transient <= before.learned().keys()


def test_nothing_learned_is_nothing_to_keep():
    assert Keeper(Profile(), "", NOW).tend(NOW) is None


def test_only_a_change_is_kept():
    keeper = Keeper(Profile(), "", NOW)
    keeper.profile.epsv = False
    assert keeper.tend(NOW) is not None
    assert keeper.tend(NOW + 1) is None
    keeper.profile.keeps = {Oddity.CONTROL: True}
    assert keeper.tend(NOW + 2) is not None
    assert keeper.tend(NOW + 3) is None


def test_what_was_loaded_is_not_kept_again():
    profile = Profile()
    keeper = Keeper(profile, saved(hopeless()), NOW + DAY)
    assert keeper.tend(NOW + DAY) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "1",
        '{"learned": 7}',
        '{"learned": {"keeps": [], "dating": "magic", "face": 3}, "since": 9}',
    ],
)
def test_what_cannot_be_understood_is_as_good_as_nothing(text: str):
    assert loaded(text).learned() == Profile().learned()


def test_unknown_and_misshapen_fields_are_passed_over():
    document = json.loads(saved(hopeless()))
    document["learned"] |= {"telepathy": True, "epsv": "perhaps", "cap": -1, "hashing": "XROT13"}
    document["learned"]["keeps"] |= {"beauty": False, "a leading space": "no"}
    document["later"] = {}
    profile = loaded(json.dumps(document))
    assert profile.size is False
    assert (profile.epsv, profile.cap, profile.hashing) == (True, 0, None)
    assert profile.keeps == {Oddity.CONTROL: False, Oddity.BYTES: True}


class TestRefusals:
    def test_directories_without_renames_outlive_a_run_and_are_tried_anew_after_a_week(self):
        profile = Profile()
        keeper = Keeper(profile, "", NOW)
        profile.refuses_renames("/a/b")
        assert keeper.tend(NOW) is not None
        profile.refuses_renames("/c")
        text = keeper.tend(NOW + DAY)
        assert text is not None
        again = Profile()
        keeper = Keeper(again, text, NOW + DAY)
        assert again.no_renames == ["/a/b", "/c"]
        assert [again.renames_at(path) for path in ("/a/b/x/y", "/c/x", "/a/x", "/cc")] == [False, False, True, True]
        # One above stands for those below.
        again.refuses_renames("/a")
        assert again.no_renames == ["/c", "/a"]
        # What was measured somewhere else says nothing about them.
        keeper.adopt(Profile().learned(), NOW + DAY)
        assert again.no_renames == ["/c", "/a"]
        keeper.tend(NOW + DAY + REFUSALS_LAST_S + 1)
        assert again.no_renames == []

    def test_a_root_without_renames_is_all_of_the_server(self):
        profile = Profile()
        profile.refuses_renames("")
        assert not profile.renames

    def test_they_are_tried_anew_after_a_week_even_if_the_daemon_never_restarts(self):
        profile = Profile()
        keeper = Keeper(profile, "", NOW)
        profile.renames = False
        keeper.tend(NOW)
        profile.keeps = {Oddity.BYTES: False}
        keeper.tend(NOW + DAY)
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert profile.renames is True
        assert profile.keeps == {Oddity.BYTES: False}
        text = keeper.tend(NOW + DAY + REFUSALS_LAST_S + 1)
        assert text is not None
        assert profile.keeps == {}
        assert profile.refusals() == set()

    def test_a_restart_does_not_make_them_younger(self):
        text = saved(hopeless())
        assert loaded(text, NOW + REFUSALS_LAST_S - 1).refusals() == hopeless().refusals()
        later = loaded(text, NOW + REFUSALS_LAST_S + 1)
        assert later.refusals() == set()
        assert later.beyond is Beyond.ZEROS
        assert later.keeps == {Oddity.BYTES: True}

    def test_each_field_recovers_to_its_hopeful_value(self):
        profile = hopeless()
        for refusal in profile.refusals():
            profile.hope(refusal)
        blank = Profile()
        names = "pipelining epsv size stats listings renames rename_over dating resuming hashing"
        for name in names.split():
            assert getattr(profile, name) == getattr(blank, name), name

    def test_one_that_comes_again_starts_a_new_week(self):
        profile = Profile()
        keeper = Keeper(profile, "", NOW)
        profile.epsv = False
        keeper.tend(NOW)
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert "epsv" not in profile.refusals()
        profile.epsv = False
        keeper.tend(NOW + REFUSALS_LAST_S + 2)
        keeper.tend(NOW + REFUSALS_LAST_S + DAY)
        assert "epsv" in profile.refusals()

    def test_a_clock_that_was_set_back_does_not_make_them_last(self):
        text = saved(hopeless(), NOW + 365 * DAY)
        profile = Profile()
        keeper = Keeper(profile, text, NOW)
        keeper.tend(NOW)
        assert "epsv" in profile.refusals()
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert "epsv" not in profile.refusals()


class TestAnotherServer:
    @pytest.mark.parametrize(
        ("banner", "features"),
        [("220 Another server", FEATURES), ("220 A server", {**FEATURES, "MFMT": ""}), ("220 A server", {})],
        ids=["banner", "more features", "no features"],
    )
    def test_it_is_noticed_after_a_restart(self, banner, features):
        profile = loaded(saved(hopeless()))
        profile.met(banner, features)
        assert profile.refusals() == set()
        assert profile.keeps == {}
        assert profile.features == features

    def test_it_is_noticed_while_working_when_seen_twice(self):
        profile = hopeless()
        profile.met("220 Another server", FEATURES)
        assert "epsv" in profile.refusals()
        profile.met("220 Another server", FEATURES)
        assert "epsv" not in profile.refusals()
        profile.epsv = False
        profile.met("220 Another server", FEATURES)
        assert "epsv" in profile.refusals()

    def test_machines_that_take_turns_behind_a_name_do_not_make_it_forget(self):
        profile = hopeless()
        for _ in range(5):
            profile.met("220 Machine B", FEATURES)
            profile.met("220 A server", FEATURES)
        assert profile.epsv is False

    def test_what_its_greeting_says_is_concluded_anew(self):
        profile = loaded(saved(hopeless()))
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


def test_what_a_measurement_does_not_tell_stays():
    profile = Profile(face="known", overlapping=False, cap=2, renames=False)
    keeper = Keeper(profile, "", NOW)
    keeper.adopt({"dating": "MFMT", "renames": True, "overlapping": True, "cap": 7, "keeps": 5, "epsv": "x"}, NOW)
    assert (profile.face, profile.overlapping, profile.cap) == ("known", False, 2)
    assert (profile.dating, profile.renames, profile.epsv) == (Dating.MFMT, True, True)
    assert keeper.tend(NOW) is not None
