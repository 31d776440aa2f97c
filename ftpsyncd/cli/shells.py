"""Helping a shell to complete a command: as click does, but for what bash makes of an equals sign.

Used by `app`, only where a shell asks.
"""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, add_completion_class, shell_complete


class _Bash(BashComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is to be completed, and that.

        Of ``--path=sun`` bash makes three (COMP_WORDBREAKS), of which the second would be taken for the value.
        """
        words, incomplete = super().get_completion_args()
        pairs = zip(["", *words], words, strict=False)
        return [word for before, word in pairs if word != "=" or not before.startswith("--")], incomplete


def complete(command: click.Command, variable: str, instruction: str) -> int:
    """Print what a shell asks for; returns the exit code.

    Args:
        command: of which words are to be completed.
        variable: of the environment, by which the shell asks.
        instruction: what it asks for.
    """
    add_completion_class(_Bash)
    return shell_complete(command, {}, "ftpsyncd", variable, instruction)
