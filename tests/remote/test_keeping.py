"""What is learned of a server outlives a run, and refusals grow old."""

from __future__ import annotations

import json
from dataclasses import fields
from unittest import mock

import pytest

from ftpsyncd.remote.keeping import REFUSALS_LAST_S, Keeper, hope, kept, learned, refusals
from ftpsyncd.remote.profile import MOST_WITHOUT_RENAMES, Beyond, Dating, Oddity, Profile
from tests.remote.profiles import FEATURES, hopeless

NOW = 1_700_000_000.0
DAY = 86400.0


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
    transient = {
        "features",
        "doubts",
        "doubts_renames",
        "answered_twice",
        "removing_missed",
        "epsv_missed",
        "stats_missed",
        "bytes_missed",
        "parting_credit",
        "trials",
        "taken",
        "scratch",
        "_loaded",
        "_other_face",
    }
    for each in fields(Profile):
        if each.name not in transient:
            assert getattr(after, each.name) == getattr(before, each.name), each.name
    assert {each.name for each in fields(Profile)} - transient <= learned(before).keys()


def test_what_trials_may_have_left_outlives_a_run_and_nothing_else_is_ever_taken_for_it():
    ours = ["DELE /a/ftpsyncd.0123abcd.filepart", "RMD /89abcdef.filepart\udcfe\udcc3x"]
    keeper = Keeper(Profile(), "", NOW)
    keeper.profile.scratch = dict.fromkeys(ours, 1.0)
    text = keeper.tend(NOW)
    assert text is not None
    assert [*loaded(text).scratch] == ours
    # A server that looks otherwise is asked, too; what somebody else has measured of it changes nothing.
    keeper.profile.forget()
    keeper.adopt(learned(Profile()), NOW)
    assert [*keeper.profile.scratch] == ours
    assert [*loaded(kept(Profile(), NOW, text)).scratch] == ours
    keeper.profile.scratch = {}
    text = keeper.tend(NOW)
    assert text is not None
    assert not loaded(text).scratch
    theirs = ["DELE /a.jpg", "RMD /", "RMD /a.0123abcd.filepart/b", "STOR /0123abcd.filepart", "DELE 0123abcd.filepart"]
    for known in ([*theirs, 7], 7, None):
        assert not loaded(json.dumps({"scratch": known})).scratch


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
    assert learned(loaded(text)) == learned(Profile())


def test_unknown_and_misshapen_fields_are_passed_over():
    document = json.loads(saved(hopeless()))
    document["learned"] |= {"telepathy": True, "epsv": "perhaps", "cap": -1, "hashing": "XROT13"}
    document["learned"] |= {"idle_s": "long", "tls_group": ["prime256v1"], "no_renames": ["/a", "b", 7]}
    document["learned"]["keeps"] |= {"beauty": False, "a leading space": "no"}
    document["later"] = {}
    profile = loaded(json.dumps(document))
    assert profile.size is False
    assert (profile.epsv, profile.cap, profile.hashing) == (True, 0, None)
    assert (profile.idle_s, profile.tls_group, profile.no_renames) == (0, "", ["/a"])
    document["learned"]["no_renames"] = 7
    assert loaded(json.dumps(document)).no_renames == []
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
        # Each by itself.
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert again.no_renames == ["/c"]
        again.refuses_renames("/a/b")
        # One above stands for those below.
        again.refuses_renames("/a")
        assert again.no_renames == ["/c", "/a"]
        # What was measured somewhere else says nothing about them.
        later = NOW + REFUSALS_LAST_S + DAY
        keeper.adopt(learned(Profile()), later)
        assert again.no_renames == ["/c", "/a"]
        keeper.tend(later + REFUSALS_LAST_S + 1)
        assert again.no_renames == []

    def test_a_directory_without_renames_counts_once_however_many_sessions_find_out(self):
        """Four times for four connections: two of them were many enough for all of the server to get no renames."""
        profile = Profile()
        for _ in range(2 * MOST_WITHOUT_RENAMES):
            for directory in ("/a", "/a/b", "/c"):
                profile.refuses_renames(directory)
        assert profile.renames_at("/d/x")
        assert profile.no_renames == ["/a", "/c"]
        assert profile.without_renames.startswith("the server renames nothing in /a, /c: ")

    def test_a_directory_that_was_noted_several_times_is_taken_up_once(self):
        profile = Profile(no_renames=["/a", "/a", "/c"])
        text = Keeper(profile, "", NOW).tend(NOW)
        assert text is not None
        again = Profile()
        Keeper(again, text, NOW)
        assert again.no_renames == ["/a", "/c"]

    def test_a_root_without_renames_is_all_of_the_server(self):
        profile = Profile()
        profile.refuses_renames("")
        assert not profile.renames

    @pytest.mark.parametrize("field", ["overlapping", "parting"])
    def test_what_only_some_servers_gain_by_is_tried_anew_too(self, field):
        profile = Profile()
        keeper = Keeper(profile, "", NOW)
        setattr(profile, field, False)
        assert keeper.tend(NOW) is not None
        keeper.tend(NOW + REFUSALS_LAST_S - 1)
        assert getattr(profile, field) is False
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert getattr(profile, field) is True

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
        assert refusals(profile) == set()

    def test_a_restart_does_not_make_them_younger(self):
        text = saved(hopeless())
        assert refusals(loaded(text, NOW + REFUSALS_LAST_S - 1)) == refusals(hopeless())
        later = loaded(text, NOW + REFUSALS_LAST_S + 1)
        assert refusals(later) == set()
        assert later.beyond is Beyond.ZEROS
        assert later.keeps == {Oddity.BYTES: True}

    def test_each_field_recovers_to_its_hopeful_value(self):
        profile = hopeless()
        for refusal in refusals(profile):
            hope(profile, refusal)
        blank = Profile()
        names = "pipelining epsv size stats listings renames rename_over stores_over dating resuming hashing"
        for name in names.split():
            assert getattr(profile, name) == getattr(blank, name), name

    def test_one_that_comes_again_starts_a_new_week(self):
        profile = Profile()
        keeper = Keeper(profile, "", NOW)
        profile.epsv = False
        keeper.tend(NOW)
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert "epsv" not in refusals(profile)
        profile.epsv = False
        keeper.tend(NOW + REFUSALS_LAST_S + 2)
        keeper.tend(NOW + REFUSALS_LAST_S + DAY)
        assert "epsv" in refusals(profile)

    def test_a_clock_that_was_set_back_does_not_make_them_last(self):
        text = saved(hopeless(), NOW + 365 * DAY)
        profile = Profile()
        keeper = Keeper(profile, text, NOW)
        keeper.tend(NOW)
        assert "epsv" in refusals(profile)
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert "epsv" not in refusals(profile)

    def test_nor_does_it_with_a_restart_every_day(self):
        """Each of them took the moment to come for its own, and kept the one that it had found."""
        text = saved(hopeless(), NOW + 365 * DAY)
        for day in range(9):
            profile = Profile()
            text = Keeper(profile, text, NOW + day * DAY).tend(NOW + day * DAY) or text
        assert "epsv" not in refusals(profile)

    def test_nor_does_one_that_is_set_back_while_the_daemon_runs(self):
        """It was refused just now at each look, until the wrong moment had come: a year later, say."""
        profile = Profile()
        keeper = Keeper(profile, "", NOW + 365 * DAY)
        profile.epsv = False
        keeper.tend(NOW + 365 * DAY)
        keeper.tend(NOW)
        keeper.tend(NOW + REFUSALS_LAST_S - 1)
        assert "epsv" in refusals(profile)
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert "epsv" not in refusals(profile)

    @pytest.mark.parametrize("since", [9, {"epsv": "yesterday"}])
    def test_one_of_which_it_is_not_known_since_when_it_is_counts_from_now(self, since):
        profile = Profile()
        keeper = Keeper(profile, json.dumps({"learned": {"epsv": False}, "since": since}), NOW)
        keeper.tend(NOW + REFUSALS_LAST_S - 1)
        assert "epsv" in refusals(profile)
        keeper.tend(NOW + REFUSALS_LAST_S + 1)
        assert "epsv" not in refusals(profile)


def test_what_a_measurement_does_not_tell_stays():
    profile = Profile(face="known", overlapping=False, cap=2, renames=False)
    keeper = Keeper(profile, "", NOW)
    keeper.adopt({"dating": "MFMT", "renames": True, "overlapping": True, "cap": 7, "keeps": 5, "epsv": "x"}, NOW)
    assert (profile.face, profile.overlapping, profile.cap) == ("known", False, 2)
    assert (profile.dating, profile.renames, profile.epsv) == (Dating.MFMT, True, True)
    assert keeper.tend(NOW) is not None


def test_what_a_measurement_may_have_left_is_to_be_removed_and_nothing_else_is():
    profile = Profile(scratch={"RMD /d/0badcafe.filepart": 1.0})
    ours, theirs = "DELE /d/x.0a1b2c3d.filepart", ["DELE /d/theirs", "RNFR /d/x.0a1b2c3d.filepart", 5]
    keeper = Keeper(profile, "", NOW)
    keeper.adopt({"scratch": [ours, *theirs]}, NOW, 7.0)
    assert profile.scratch == {"RMD /d/0badcafe.filepart": 1.0, ours: 7.0}
    keeper.adopt({"scratch": None}, NOW)
    assert profile.scratch == {"RMD /d/0badcafe.filepart": 1.0, ours: 7.0}


def test_what_a_measurement_may_have_left_is_noted_when_nobody_else_notes_anything():
    """A session that noted another thing meanwhile would find that forgotten, and nobody would remove it."""
    profile, lock = Profile(), mock.MagicMock()
    theirs, ours = "RMD /d/0badcafe.filepart", "DELE /d/x.0a1b2c3d.filepart"

    def note_another() -> None:
        profile.scratch = {theirs: 1.0}

    lock.__enter__.side_effect = note_another
    Keeper(profile, "", NOW, lock).adopt({"scratch": [ours]}, NOW, 7.0)
    assert profile.scratch == {theirs: 1.0, ours: 7.0}


def test_a_measurement_does_not_make_one_of_several_machines_the_only_one():
    """Behind one name: the next session may meet the other one, which is no other server."""
    profile = hopeless()
    Keeper(profile, "", NOW).adopt({"dating": "MFMT"}, NOW)
    profile.met("220 Machine B", FEATURES)
    profile.met("220 A server", FEATURES)
    assert (profile.dating, profile.epsv) == (Dating.MFMT, False)
