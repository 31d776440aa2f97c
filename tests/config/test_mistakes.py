"""What is wrong with a file that is no YAML: words that a person can check, and no value of the file."""

from __future__ import annotations

import pytest
import yaml

from ftpsyncd.config.mistakes import explained, is_where_it_began, odd_blank

NO_BREAK = "\u00a0"


def said(text: str) -> tuple[str, str]:
    """What PyYAML was doing, and what it met."""
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        yaml.safe_load(text)
    return caught.value.context or "", caught.value.problem or ""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: @media", 'quote it: "@media"'),
        ("a: *.secret", 'quote it: "*.jpg"'),
        ("a: *secret", "correct the name, or quote a pattern"),
        ("a: &secret b\nc: &secret d", "an anchor (&) has the name of one above it"),
        ("a: !secret x", 'quote it: "!keep.tmp"'),
        ("a:\n\t- b", "a tab is here"),
        ("a: b: c", "a colon is in the wrong place"),
        ("a: [b, c", "check brackets and commas"),
        ('a: "secret', "a quote is not closed"),
        ('a: "\\secret"', "a backslash in double quotes"),
        ("a: b\n---\nc: d", "use one per file"),
    ],
)
def test_what_a_person_can_check_is_told_and_no_value(text: str, what: str) -> None:
    if text.startswith("a: b\n---"):
        with pytest.raises(yaml.MarkedYAMLError) as caught:
            yaml.SafeLoader(text).get_single_node()
        told = explained(caught.value.context or "", caught.value.problem or "")
    else:
        told = explained(*said(text))
    assert what in told
    assert "secret" not in told


def test_what_nobody_has_met_yet_is_told_as_it_was_said() -> None:
    assert explained("while doing this", "met that") == "met that; check indentation and quotes in this line"
    assert explained("while doing this", "").startswith("while doing this;")


def test_what_was_not_finished_is_to_be_looked_for_where_it_began() -> None:
    assert is_where_it_began(said("a: b\nc\nd: e")[0])
    assert not is_where_it_began(said("a: b: c")[0])


def test_what_only_looks_like_a_space_is_told_with_its_line_and_only_of_the_lines_that_are_meant() -> None:
    text = f"a: b\nc:{NO_BREAK}d\ne: f"
    assert odd_blank(text, 2, 2) == odd_blank(text, 1, 3)
    assert odd_blank(text, 2, 2).startswith("; line 2 has the character U+00A0")
    assert odd_blank(text, 0, 1) == odd_blank(text, 3, 3) == ""
    # Before the first line there is none, which is where the mistake is in that: PyYAML counts from 0.
    assert odd_blank(f"a:{NO_BREAK}b\nc: d", 0, 1).startswith("; line 1 has the character U+00A0")
