"""Exclude means what gitignore means: git itself is the judge. Here and not in tests/core because it needs a disk."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest

from ftpsyncd.core.filters import Filter

PATTERNS = [
    "*",
    "*.jpg",
    "a",
    "a/",
    "/a",
    "/b/",
    "a/*",
    "a/**",
    "**/b",
    "a/**/b",
    "*/",
    "/*",
    "?.jpg",
    "[ab]",
    "[!b]b*",
    "a[!b]*",
    "a/b",
    "**/",
]
PATHS = ["a.jpg", "z.jpg", "q", "a/a.jpg", "b/a.jpg", "a/b/z.jpg", "k/a/b", "k/b/a.jpg", "b/a/a.jpg", "a/k/b/z", "ab"]
LISTS = [
    *([first, f"!{second}"] for first, second in itertools.product(PATTERNS, PATTERNS)),
    *(
        [first, f"!{second}", third]
        for first, second, third in itertools.product(PATTERNS[:9], PATTERNS[:9], PATTERNS[:9])
    ),
    *([f"!{first}", second] for first, second in itertools.product(PATTERNS, PATTERNS)),
]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge here and is not installed")
def test_git_agrees_about_exclude(tmp_path):
    # One repository, one folder with its own .gitignore per list: a single question to git.
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for number, exclude in enumerate(LISTS):
        folder = tmp_path / f"case{number}"
        folder.mkdir()
        (folder / ".gitignore").write_text("\n".join(exclude) + "\n")
    asked = [f"case{number}/{path}" for number in range(len(LISTS)) for path in PATHS]
    answer = subprocess.run(
        ["git", "-C", str(tmp_path), "check-ignore", "-z", "--no-index", "--stdin"],
        input="\0".join(asked).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    ignored = set(answer.stdout.decode().split("\0"))
    for number, exclude in enumerate(LISTS):
        chosen = Filter(["*"], exclude)
        ours = {path for path in PATHS if not chosen.includes(path)}
        gits = {path for path in PATHS if f"case{number}/{path}" in ignored}
        assert ours == gits, exclude
