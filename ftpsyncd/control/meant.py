"""For whom a request is meant: the daemon of one configuration, which may not be the one that answers at a socket.

Two configurations may name one socket, as a copied one does. The daemon of the other one would carry out what was typed
for this one: an approval, for instance, of what it holds itself; and a daemon that does not run would seem to be well.

In: paths, as texts. Out: a field of the request, and whether it may be about a daemon. No state directory is looked at:
its disk may not answer, and whoever asks for the status is to be told so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

FIELD = "Ftpsyncd-Meant"


class Meant(NamedTuple):
    """Which daemon."""

    config: str
    """The file of its configuration, links resolved."""
    state_dir: str

    @classmethod
    def of(cls, config: Path, state_dir: Path) -> Meant:
        """That of a configuration which was read just now: its disk answers."""
        return cls(os.path.realpath(config), os.fspath(state_dir))

    @property
    def text(self) -> str:
        """What the field holds; in ASCII."""
        return json.dumps(self)

    def may_be(self, text: str) -> bool:
        """Whether a field may name this daemon: one that shares its file, or its state directory, does.

        A file may be known by another path to whoever asks, and a copy of it be as good.
        """
        try:
            config, state_dir = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return True
        return bool(config == self.config or state_dir == self.state_dir)
