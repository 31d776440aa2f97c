"""What is known of a server before anybody asks it: where something foreign may be, and where it has to stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsyncd.actions import Upload
from ftpsyncd.model import Fingerprint
from ftpsyncd.publishing import existing
from ftpsyncd.publishing.existing import Existing, FreshDirectories
from ftpsyncd.publishing.lastlook import Folder
from ftpsyncd.specs import ExistingPolicy, MappingSpec
from tests.core.vocabulary import M


def test_only_the_directories_that_were_made_last_are_known_and_none_after_somebody_was_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(existing, "_FRESH_DIRECTORIES", 2)
    fresh = FreshDirectories()
    for path in ("/a", "/b", "/c"):
        fresh.add(path)
    assert [path in fresh for path in ("/a", "/b", "/c")] == [False, True, True]
    fresh.clear()
    assert "/c" not in fresh


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("policy", ExistingPolicy)
def test_what_is_foreign_is_looked_for_where_it_may_be_and_kept_where_it_has_to_be(
    policy: ExistingPolicy, *, replaces: bool, made: bool
) -> None:
    folder, fresh = Folder(MappingSpec(M, Path("/srv"), "web", "/htdocs", existing=policy)), FreshDirectories()
    fresh.add("/htdocs/d" if made else "/d")
    there, upload = Existing(lambda _name: folder, fresh), Upload(M, "d/a.jpg", Fingerprint(1, 2, 3), replaces=replaces)
    kept = policy is ExistingPolicy.KEEP
    # What has to be kept may have come into a directory of ours since.
    looks = not replaces and (kept or (policy is ExistingPolicy.ADOPT and not made))
    assert there.may_be_foreign(upload) is looks
    assert there.is_free(upload) is (replaces or made)
    assert there.keeps(upload) is (kept and not replaces)
