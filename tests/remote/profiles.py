"""Profiles for tests."""

from __future__ import annotations

from ftpsyncd.remote.profile import Beyond, Dating, Hashing, Oddity, Paths, Profile, Removing, Resuming

FEATURES = {"SIZE": "", "EPSV": "", "REST": "STREAM"}


def hopeless() -> Profile:
    """Everything was refused."""
    profile = Profile(
        paths=Paths.RELATIVE,
        pipelining=False,
        epsv=False,
        meanwhile=False,
        joined=False,
        size=False,
        sizes_dirs=True,
        stats=False,
        listings=False,
        renames=False,
        rename_over=False,
        stores_over=False,
        removing=Removing.EMPTIES,
        dating=Dating.NONE,
        resuming=Resuming.NONE,
        hashing=Hashing.NONE,
        beyond=Beyond.ZEROS,
        utf8=False,
        too_long=2048,
        bytes_borne=False,
        closes_tls=False,
        cap=2,
        idle_s=300,
        keeps={Oddity.CONTROL: False, Oddity.BYTES: True},
    )
    profile.met("220 A server", FEATURES)
    return profile
