"""Regular expressions that are compiled when they are first needed.

Most of what a server may say, or a listing may look like, is never met in a run; compiling it all took a tenth of the
time that a command needs to import its modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import AnyStr, Generic


class Expression(Generic[AnyStr]):
    """A regular expression; what is not here is asked of `compiled`.

    Args:
        pattern: as for `re.compile`. A wrong one is found where it is first used, which each has a test for.
        flags: as there.
    """

    def __init__(self, pattern: AnyStr, flags: int = 0) -> None:
        self.pattern: AnyStr = pattern
        self._flags = flags

    @cached_property
    def compiled(self) -> re.Pattern[AnyStr]:
        """The expression as the library has it; two threads that come at once make the same twice."""
        return re.compile(self.pattern, self._flags)

    def search(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """Where it matches first."""
        return self.compiled.search(text)

    def fullmatch(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """The match, if it is all of the text."""
        return self.compiled.fullmatch(text)

    def sub(self, replacement: AnyStr | Callable[[re.Match[AnyStr]], AnyStr], text: AnyStr) -> AnyStr:
        """The text with every match replaced."""
        return self.compiled.sub(replacement, text)
