"""Two daemons that publish into one directory of a server, each with a ledger of its own: neither knows of the other."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.e2e.site import Site, Spy, digest, site
from tests.servers import KINDS, running
from tests.waiting import until

SIZE = 6_000_000


def has_published(s: Site) -> bool:
    return bool(s.mapping_status()["published_files"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_both_send_at_the_same_time_is_seen_whole_only(kind: str, tmp_path: Path) -> None:
    """They have the same configuration, as a copied one is, and the file in two versions."""
    versions = [bytes([each]) * SIZE for each in b"ab"]
    slowly = {"bandwidth": "3 MB/s"}
    with (
        running(kind) as server,
        site(server, tmp_path / "a", server_keys=slowly) as a,
        site(server, tmp_path / "b", server_keys=slowly) as b,
        Spy(a.published) as spy,
    ):
        a.start()
        b.start()
        (a.drop / "film.mp4").write_bytes(versions[0])
        until(lambda: any(each["sent_bytes"] for each in a.status()["transfers"]), "the first one sends it")
        (b.drop / "film.mp4").write_bytes(versions[1])
        for each in (a, b):
            until(partial(has_published, each), "it has published it")
        spy.until_seen_all()
        spy.assert_never_torn({"film.mp4": {digest(each) for each in versions}})
        assert [each.name for each in a.published.iterdir()] == ["film.mp4"]
