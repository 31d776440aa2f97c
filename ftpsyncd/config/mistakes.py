"""What is wrong with a file that is no YAML, in words that a person can check. Pure.

In: what PyYAML says, and the text. Out: sentences that hold none of its values: one could be half a password. Called by
`document`, which knows the places.
"""

from __future__ import annotations

import re

from ftpsyncd.expression import Expression

_BLANK = Expression("[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff]")
"""What looks like a space, or like nothing, and is a letter to YAML: copied from a web page or a mail."""
_LINE_END = Expression("\r\n|[\n\r\x85\u2028\u2029]")
_BEGUN = Expression(r"simple key|flow (sequence|mapping)|quoted scalar")
"""What PyYAML finds unfinished when it is some lines further on: the mistake is where it began."""

# What PyYAML says → what a person can check. Its texts never hold more than one character of the file, except the
# names of aliases and tags, which could be half a password: those are replaced.
_HINTS = (
    (r"found character '\\t'", "a tab is here", "use spaces, for indentation and after a colon"),
    (r"found character '@'", "a value begins with @", 'quote it: "@media"'),
    (r"found character '%'", "a value begins with %", 'quote it: "%…"'),
    (r"found character '`'", "a value begins with a backquote", "quote it"),
    (
        r"undefined alias",
        "a value begins with *, and nothing above it has an anchor (&) of that name",
        'correct the name, or quote a pattern: "*.jpg"',
    ),
    (r"duplicate anchor", "an anchor (&) has the name of one above it", "give it another one"),
    (r"alias|expected alphabetic or numeric character", "a value begins with * or &", 'quote it: "*.jpg"'),
    (r"tag", "a value begins with !", 'quote it: "!keep.tmp"'),
    (
        r"mapping values are not allowed",
        "a colon is in the wrong place",
        "check the indentation of this line and the one before, and quote values that contain `: ` or end with a colon",
    ),
    (r"could not find expected ':'", "a key has no colon", "write `key: value`, with a space after the colon"),
    (
        r"expected <block end>",
        "this line does not fit",
        "check its quotes, and its indentation against the lines above",
    ),
    (
        r"expected ',' or '[\]}]'|flow node expected the node content, but found '<stream end>'",
        "a list or mapping in brackets is not closed",
        "check brackets and commas",
    ),
    (r"while scanning a quoted scalar|found unexpected end of stream", "a quote is not closed", "check the quotes"),
    (r"unknown escape character", "a backslash in double quotes", "use single quotes, or write it twice"),
    (r"expected a single document|but found another document", "a second document begins (---)", "use one per file"),
)


def explained(context: str, problem: str) -> str:
    """What a person can check, for what PyYAML was doing and what it met."""
    said = f"{context} {problem}"
    for pattern, what, check in _HINTS:
        if re.search(pattern, said):
            return f"{what}; {check}"
    return f"{problem or context}; check indentation and quotes in this line"


def is_where_it_began(context: str) -> bool:
    """Whether the mistake is where PyYAML had begun with something, and not where it met the next."""
    return _BEGUN.search(context) is not None


def odd_blank(text: str, first: int, last: int) -> str:
    """What only looks like a space in some lines, to be put after a complaint about them; empty if nothing does."""
    for number, line in enumerate(_LINE_END.compiled.split(text)[max(0, first - 1) : last], max(1, first)):
        if found := _BLANK.search(line):
            return f"; line {number} has the character U+{ord(found[0]):04X}, which is no space, whatever it looks like"
    return ""
