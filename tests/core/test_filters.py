"""Which files are published: groups, patterns, the built-in list (tests/config asks git itself about the meaning)."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from ftpsyncd.core.filters import BUILT_IN_EXCLUDE, GROUPS, Filter, parse_pattern

MEDIA = Filter(["@media"])
ALL = Filter(["*"])


@pytest.mark.parametrize(
    "path",
    ["IMG_1.JPG", "a/b/IMG_2.Cr3", "clip.MXF", "x.wav", "report.pdf", "data.csv", "photo.xmp", ".jpg", "a.b/c.tar.jpg"],
)
def test_media_is_matched_without_regard_to_case(path):
    assert MEDIA.includes(path)
    assert MEDIA.why_not(path) == ""


@pytest.mark.parametrize("path", ["setup.exe", "jpg", "a.jpg/readme", "noext", "a.", "x.jpg ", "server.key", "a/jpg"])
def test_what_is_no_media_is_not_matched(path):
    assert not MEDIA.includes(path)
    assert MEDIA.why_not(path) == "not matched by include: @media"


def test_csv_is_a_spreadsheet_and_no_document():
    assert Filter(["@spreadsheet"]).includes("a.csv")
    assert not Filter(["@document"]).includes("a.csv")


def test_the_media_group_is_all_groups_together():
    assert GROUPS["@media"] == frozenset().union(*(GROUPS[name] for name in GROUPS if name != "@media"))


def test_groups_share_nothing():
    seen: dict[str, str] = {}
    for name, extensions in GROUPS.items():
        for extension in extensions if name != "@media" else ():
            assert seen.setdefault(extension, name) == name


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (".DS_Store", ".DS_Store"),
        ("a/THUMBS.DB", "Thumbs.db"),
        ("a/._IMG_1.jpg", "._*"),
        ("~$report.docx", "~$*"),
        (".~lock.report.odt#", ".~lock.*#"),
        ("video.mp4.part", "*.part"),
        ("a.crdownload", "*.crdownload"),
        ("a.jpg.1f2e3d4c.filepart", "*.filepart"),
        ("4913", "4913"),
        (".a.txt.swp", "*.swp"),
        ("a.txt~", "*~"),
        (".nfs000000000001", ".nfs*"),
        (".fuse_hidden0001", ".fuse_hidden*"),
        (".goutputstream-ABC", ".goutputstream-*"),
        (".syncthing.a.jpg.tmp", "*.tmp"),
        ("~syncthing~a.jpg", "~syncthing~*"),
        (".git/config.txt", ".git/"),
        ("a/.svn/x.jpg", ".svn/"),
        (".Trash-1000/files/a.jpg", ".Trash-*/"),
        ("lost+found/a.jpg", "lost+found/"),
        ("a/@eaDir/a.jpg", "@eaDir/"),
        ("#recycle/a.jpg", "#recycle/"),
        (".recycle/anna/a.jpg", ".recycle/"),
        (".Recycle.Bin/a.jpg", ".Recycle.Bin/"),
        ("Network Trash Folder/a.jpg", "Network Trash Folder/"),
        ("a/.@__thumb/s100a.jpg", ".@__thumb/"),
        (".snapshots/1/snapshot/a.jpg", ".snapshots/"),
        (".smbdeleteAAA1f3.4", ".smbdelete*"),
        (".afpDeleted49861", ".afpDeleted*"),
        (".pureftpd-upload.65f1a2b3.15.1.jpg", ".pureftpd-upload.*"),
        (".in.photo.jpg", ".in.*"),
        ("a/.in.photo.jpg.", ".in.*"),
        ("film.mkv.!qB", "*.!qB"),
        (".sync/Archive/a.jpg", ".sync/"),
        ("sub/a.jpg.!sync", "*.!sync"),
        ("sub/_gsdata_/_saved_/a.jpg", "_gsdata_/"),
        (".a.jpg.~5e0fa1b2", ".*.~*"),
        (".SynologyWorkingDirectory/#SynoRecycle/a.jpg", ".SynologyWorkingDirectory/"),
        (".tmp.drivedownload/a.jpg", ".tmp.drivedownload/"),
        (".tmp.driveupload/a.jpg", ".tmp.driveupload/"),
        (".pureftpd-rename.4711.5f1a2b3c", ".pureftpd-rename.*"),
        ("report.docx.sb-515b24a2-00Ug5l", "*.sb-????????-??????"),
        ("a/report.docx.sb-515b24a2-00Ug5l/report.docx", "*.sb-????????-??????"),
        ("a/(A Document Being Saved By Preview 2)/scan.pdf", "(A Document Being Saved By *)/"),
        (".apdisk", ".apdisk"),
        ("a/Icon\r", "Icon\\r"),
        ("Icon\uf00d", "Icon\\uf00d"),
        ("a.jpg:Zone.Identifier", "*:Zone.Identifier"),
        (".streams/19/A1/x.jpg", ".streams/"),
        ("~issue~k2x1pq.idlk", "*.idlk"),
        ("a/IMG_1.JPG_exiftool_tmp", "*_exiftool_tmp"),
        ("IMG_1.JPG.8ea2.ffs_tmp", "*.ffs_tmp"),
        ("sync.ffs_lock", "*.ffs_lock"),
        ("a/.sync.ffs_db", "*.ffs_db"),
        (".getxfer.4711.3.mega", ".getxfer.*.mega"),
        ("film.mp4.part-Frag12", "*.part-Frag*"),
        ("film.mp4.ytdl", "*.ytdl"),
    ],
)
def test_temporary_and_system_names_are_excluded(path, pattern):
    assert not ALL.includes(path)
    assert ALL.why_not(path) == f"matched by exclude: {pattern} (built in)"


def test_temporary_names_of_rsync_are_excluded():
    assert not MEDIA.includes(".IMG_1.jpg.aB3dE9")
    assert not ALL.includes("a/.IMG_1.jpg.aB3dE9")
    assert ALL.includes(".htaccess")


def test_names_that_only_look_temporary_are_published():
    for path in (
        "part",
        "lost+found.jpg",
        "4913.jpg",
        "CVs/anna.pdf",
        "git/a.jpg",
        ".well-known/a.txt",
        "a/.gitignore",
        "a.sb-1.jpg",
        "Icon",
        "Icon.png",
        "a.sb-515b24a2-00Ug5l.jpg",
        "(A Document Being Saved By Preview).pdf",
    ):
        assert ALL.includes(path), path


def test_exclude_can_take_a_name_out_of_the_built_in_list():
    chosen = Filter(["*"], ["!keep.tmp"])
    assert chosen.includes("a/keep.tmp")
    assert not chosen.includes("a/other.tmp")


def test_nothing_comes_back_from_below_an_excluded_directory():
    chosen = Filter(["*"], ["drafts/", "!*.tmp", "!drafts/a.jpg"])
    assert chosen.includes("a.tmp")
    assert not chosen.includes(".git/a.tmp")
    assert not chosen.includes("drafts/a.jpg")
    assert chosen.why_not("drafts/a.jpg") == "matched by exclude: drafts/"


def test_a_built_in_directory_comes_back_by_its_name():
    chosen = Filter(["*"], ["!.git/"])
    assert chosen.descend(".git")
    assert chosen.includes(".git/config")


def test_the_content_of_a_directory_can_be_excluded_but_for_some():
    chosen = Filter(["*"], ["raw/*", "!raw/best.jpg"])
    assert chosen.descend("raw")
    assert chosen.includes("raw/best.jpg")
    assert not chosen.includes("raw/other.jpg")


def test_the_last_matching_include_decides():
    chosen = Filter(["@image", "!thumb_*", "!drafts/"])
    assert chosen.includes("a.jpg")
    assert not chosen.includes("thumb_a.jpg")
    assert not chosen.includes("drafts/a.jpg")
    assert chosen.why_not("drafts/a.jpg") == "matched by include: !drafts/"


def test_patterns_and_groups_mix_in_include():
    chosen = Filter(["pictures/**/*.jpg", "@video"])
    assert chosen.includes("pictures/a.jpg")
    assert chosen.includes("pictures/2024/05/a.jpg")
    assert not chosen.includes("pictures/a.JPG")
    assert not chosen.includes("other/a.jpg")
    assert chosen.includes("other/a.MOV")


def test_groups_can_be_excluded_and_negated():
    chosen = Filter(["*"], ["@video", "!intro.mp4"])
    assert not chosen.includes("a.MP4")
    assert chosen.includes("intro.mp4")
    assert chosen.includes("a.jpg")
    assert chosen.descend("a.mp4")


def test_an_included_directory_holds_everything_below_it():
    assert Filter(["pictures/"]).includes("a/pictures/b/c.bin")
    assert not Filter(["pictures/"]).includes("pictures")


def test_a_hash_at_the_beginning_is_a_character():
    assert not Filter(["*"], ["#old/"]).includes("#old/a.jpg")
    assert not Filter(["*"], ["!keep", "!#x", "#*"]).includes("#x")


def test_a_backslash_makes_special_characters_plain():
    assert not Filter(["*"], ["\\@home"]).includes("@home")
    assert not Filter(["*"], ["\\!now"]).includes("!now")


@pytest.mark.parametrize(
    "name", ["a\nb", "\n", "a\n", "\udcff\udcfe", "a\r\n", "e\u0301", "🎞", "[x]", "*", "a b", "-rf", "\\"]
)
def test_strange_names_are_matched_as_they_are(name):
    path = f"dir{name}/{name}.jpg"
    assert MEDIA.includes(path)
    assert Filter(["dir*/*.jpg"], ["*.psd"]).includes(path)
    assert not Filter(["*"], ["*.jpg"]).includes(path)
    assert not Filter(["*"], [f"*.jp{'g'}"]).includes(path)


def test_a_newline_at_the_end_is_part_of_the_name():
    assert Filter(["*"]).includes("a.tmp\n")
    assert not Filter(["*.jpg"]).includes("a.jpg\n")
    assert not MEDIA.includes("a.jpg\n")
    assert Filter(["*"], ["*.jpg"]).includes("a.jpg\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@images", "the groups are"),
        ("pictures/@image", "a group stands alone"),
        ("", "an empty pattern"),
        ("!", "an empty pattern"),
        ("/", "an empty pattern"),
        ("[z-a]", "check the brackets"),
        ("[", "check the brackets"),
        ("a\\", "check the brackets"),
        ("[[:alpha:]]", "check the brackets"),
        ("./a", "never match"),
        ("../a", "never match"),
        ("a//b", "never match"),
    ],
)
def test_patterns_that_cannot_mean_anything_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_pattern(text)


def test_nothing_is_included_by_an_empty_list():
    assert not Filter([]).includes("a.jpg")
    assert Filter([]).why_not("a.jpg") == "not matched by include: the list is empty"


def test_very_deep_trees_need_no_deep_stack():
    assert MEDIA.includes("a/" * 5000 + "x.jpg")
    assert not Filter(["*"], ["b/"]).includes("b/" + "a/" * 5000 + "x.jpg")


def test_the_way_to_a_directory_is_not_gone_through_again_for_each_one_below():
    """In a tree of 1,100 levels, what was known of the directories above was looked up 600,000 times for each pass."""

    class Counting(dict[str, str]):
        asked = 0

        def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
            self.asked += 1
            return super().get(key, default)

    chosen = Filter(["*"], ["e/"])
    chosen._closed = counting = Counting({"": ""})
    path = "d"
    for _ in range(200):
        assert chosen.descend(path)
        path += "/d"
    assert counting.asked <= 3 * 200
    assert not chosen.descend(f"{path}/e/d/d")
    assert chosen.descend(f"{path}/f")


def test_what_is_remembered_stays_small():
    chosen = Filter(["*"])
    for number in range(20_000):
        chosen.includes(f"d{number}/x")
    assert len(chosen._closed) <= 4096


# ── Properties ───────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(
    [
        "a",
        "b",
        "a.jpg",
        "b.JPG",
        "c.tmp",
        "keep.tmp",
        "drafts",
        ".git",
        "x.mov",
        "d.txt~",
        "Thumbs.db",
        "\udcff.png",
        "n\n.jpg",
    ]
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.sampled_from(
    [
        "*",
        "*.jpg",
        "*.tmp",
        "a",
        "a/",
        "b",
        "drafts/",
        "/a",
        "/b/",
        "a/*",
        "a/**",
        "**/b",
        "a/**/b",
        "*/",
        "**",
        "/*",
        "**/*.jpg",
        "?.jpg",
        "[ab]",
        "keep.tmp",
        "a/b",
        "drafts/a",
        ".git/",
        ".git",
    ]
)
SIGNED = st.tuples(st.sampled_from(["", "", "!"]), PATTERNS).map("".join)
TEXT = st.text(alphabet=st.characters(exclude_characters="/\0"), min_size=1, max_size=12)


@given(st.lists(SIGNED, max_size=4), PATHS)
def test_nothing_below_a_closed_directory_is_included(exclude, path):
    chosen = Filter(["*"], exclude)
    parts = path.split("/")
    if any(not chosen.descend("/".join(parts[:depth])) for depth in range(1, len(parts))):
        assert not chosen.includes(path)
    assert chosen.descend("")


@given(st.lists(SIGNED, max_size=3), st.lists(SIGNED, max_size=3), PATHS)
def test_why_not_agrees_with_includes(include, exclude, path):
    chosen = Filter(include, exclude)
    assert (chosen.why_not(path) == "") == chosen.includes(path)


GROUP_SPEC = GitIgnoreSpec.from_lines(
    "*." + "".join(f"[{char}{char.upper()}]" if char.isalpha() else char for char in extension)
    for extension in sorted(GROUPS["@media"])
)
BUILT_IN_SPEC = GitIgnoreSpec.from_lines(
    pattern.lower().replace("#", "\\#", 1) if pattern.startswith("#") else pattern.lower()
    for pattern in BUILT_IN_EXCLUDE
    if pattern != "Icon\r"  # git takes the line break for the end of the line
)


def name_of_interest():
    """Names made of the parts that the lists are about, so that the fast paths meet their borders."""
    parts = [
        "a",
        "~",
        "$",
        ".",
        "._",
        "tmp",
        ".tmp",
        ".jpg",
        ".JPG",
        ".part",
        "#",
        ".nfs",
        ".git",
        "4913",
        "aB3dE9",
        "\udcff",
        ".sync",
        "_",
        ".db",
    ]
    return (
        st.lists(st.sampled_from(parts), min_size=1, max_size=5)
        .map("".join)
        .filter(lambda name: name not in {".", ".."})
    )


@given(st.lists(name_of_interest(), min_size=1, max_size=3).map("/".join))
@settings(max_examples=300)
def test_the_fast_way_equals_plain_pathspec(path):
    excluded = BUILT_IN_SPEC.match_file(path.lower())
    assert ALL.includes(path) == (not excluded)
    # A group names files: pathspec alone would take a directory called a.jpg for one.
    name = path.rpartition("/")[2]
    assert MEDIA.includes(path) == (GROUP_SPEC.match_file(name) and not excluded)


STARRED = st.lists(
    st.sampled_from(["*", "*", "*", "**", "/", "/**/", "a", "b", "?", "[ab]", "[!a]", "\\*", "(", "+", "^"]), max_size=8
)


@given(STARRED.map("".join), st.text(alphabet="aab/c*(+^\n", min_size=1, max_size=12))
@settings(max_examples=500)
def test_patterns_with_many_stars_mean_what_they_mean_to_pathspec(text, path):
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    theirs, shown = GitIgnoreSpecPattern(text).regex, path.replace("\n", "\v")
    assert theirs is not None
    # To it, unlike to git, the bracket may be a slash.
    theirs = re.compile(theirs.pattern.replace("[^a]", "[^a/]"))
    assert bool(pattern.reaches(shown)) == (theirs.search(shown) is not None)


@pytest.mark.parametrize("text", ["*_*_*_*_*_*.jpg", "pictures/*_[_a]*?*_*_*_*_x/", "****_**_**_***_**_**x"])
def test_no_name_keeps_a_pattern_busy(text):
    """What takes microseconds took minutes; the names are chosen by whoever may drop files."""
    chosen = Filter(["*"], [text])
    began = time.process_time()
    assert chosen.includes(f"pictures/{'_' * 250}")
    assert time.process_time() - began < 1


@given(TEXT)
def test_any_name_at_all_is_decided(name):
    assert isinstance(MEDIA.includes(f"{name}/{name}"), bool)
    assert isinstance(Filter(["*.jpg", "!x"], ["[!a]*", "!b"]).includes(name), bool)


def test_a_million_paths_take_seconds():
    """A guard against a mistake of magnitude, far from the usual 0.7 µs per path."""
    paths = [f"pictures/2024/{number % 50:03}/IMG_{number:06}.JPG" for number in range(100_000)]
    began = time.process_time()
    assert all(map(MEDIA.includes, paths))
    assert time.process_time() - began < 2
