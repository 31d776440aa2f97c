"""Which mapping a path belongs to, as it is asked for, and where what is at a server comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsyncd.config import Config
from ftpsyncd.config.records import ControlSpec
from ftpsyncd.errors import UsageError
from ftpsyncd.inspection.survey import located, name_in_mapping, source_of
from ftpsyncd.specs import MappingSpec, ServerSpec


def configured(*mappings: tuple[str, str, str]) -> Config:
    """Of mappings, each with its folder, and its place ``SERVER:PATH``."""
    specs = {}
    for name, local, place in mappings:
        server, _, remote = place.partition(":")
        specs[name] = MappingSpec(name, Path(local), server, remote)
    servers = {server: ServerSpec(server, "ftp.example.com", "u") for server in ("web", "other")}
    return Config(Path("/c.yaml"), servers, specs, Path("/state"), ControlSpec(Path("/socket")))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/srv/a", {"a": ""}),
        ("/srv/a/x.jpg", {"a": "x.jpg"}),
        ("/srv/a/d/../x.jpg", {"a": "x.jpg"}),
        ("/srv/ab/x.jpg", {}),
        ("/srv", {}),
        ("/srv/a/in/x.jpg", {"inner": "x.jpg", "inner2": "x.jpg"}),
        ("/srv/a/in", {"inner": "", "inner2": ""}),
        ("/srv/a/inner.jpg", {"a": "inner.jpg"}),
    ],
)
@pytest.mark.parametrize("outer_first", [True, False])
def test_a_path_belongs_to_the_innermost_folder(path: str, found: dict[str, str], *, outer_first: bool) -> None:
    mappings = [("a", "/srv/a", "web:/a"), ("inner", "/srv/a/in", "web:/b"), ("inner2", "/srv/a/in", "other:/b")]
    assert located(configured(*(mappings if outer_first else reversed(mappings))), path) == found


def test_everything_is_below_the_root() -> None:
    config = configured(("all", "/", "web:/"))
    assert located(config, "/srv/x.jpg") == {"all": "srv/x.jpg"}
    assert located(config, "/") == {"all": ""}


def test_a_path_through_a_link_has_its_name_in_the_mapping(tmp_path: Path) -> None:
    folder, way = tmp_path / "real", tmp_path / "way"
    (folder / "d/inner").mkdir(parents=True)
    (folder / "d/x.jpg").touch()
    (folder / "link.jpg").symlink_to(tmp_path / "elsewhere")
    way.symlink_to(folder)
    (tmp_path / "deep").symlink_to(folder / "d/inner")
    config = configured(("a", str(folder), "web:/a"), ("inner", str(folder / "d/inner"), "web:/b"))
    assert name_in_mapping(config, str(way / "d/x.jpg")) == str(folder / "d/x.jpg")
    assert name_in_mapping(config, str(way)) == str(folder)
    assert name_in_mapping(config, str(way / "link.jpg")) == str(folder / "link.jpg"), "the link is what is meant"
    assert name_in_mapping(config, str(tmp_path / "deep/y")) == str(folder / "d/inner/y")
    assert name_in_mapping(config, str(folder / "d/x.jpg")) is None, "it is found as it is"
    assert name_in_mapping(config, str(tmp_path / "other")) is None


def test_a_name_is_that_which_the_configuration_has(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    config = configured(("a", str(tmp_path / "way"), "web:/a"))
    assert name_in_mapping(config, str(tmp_path / "real/x.jpg")) == str(tmp_path / "way/x.jpg")
    assert name_in_mapping(config, str(tmp_path / "way/x.jpg")) is None


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("web:/a", "/srv/a"),
        ("web:a/", "/srv/a"),
        ("web:/a/d/x.jpg", "/srv/a/d/x.jpg"),
        ("web:/a/../a/x.jpg", "/srv/a/x.jpg"),
        ("other:/x.jpg", "/srv/o/x.jpg"),
        ("nobody:/a", None),
        ("/srv/a/x.jpg", None),
    ],
)
def test_what_is_at_a_server_comes_from_there(place: str, source: str | None) -> None:
    assert source_of(configured(("a", "/srv/a", "web:/a"), ("o", "/srv/o", "other:/")), place) == source


@pytest.mark.parametrize("place", ["web:/ab/x.jpg", "web:/", "web:/b"])
def test_where_nothing_is_published_the_places_are_told(place: str) -> None:
    config = configured(("a", "/srv/a", "web:/a"), ("o", "/srv/o", "other:/"))
    with pytest.raises(UsageError, match=f"No mapping publishes to {place}") as caught:
        source_of(config, place)
    assert caught.value.remedy == "The directories are: web:/a."


def test_nor_is_anything_told_where_there_are_none() -> None:
    with pytest.raises(UsageError) as caught:
        source_of(configured(("a", "/srv/a", "web:/a")), "other:/x")
    assert caught.value.remedy == ""
