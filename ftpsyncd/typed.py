"""How commands are typed that are to reach one service, put into the sentences that name them. Pure.

In: where the configuration of that service is, and sentences and records of any part, which name commands as they are
typed for the only service of a machine (``ftpsyncd approve gallery`` between backticks). Out: the same with what makes
them go to this one. Sentences are kept and handed on without it (in the ledger, for instance, which outlives a move of
the file), and get it where they leave: in the log, the alerts, the control API, and on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from ftpsyncd.expression import Expression
from ftpsyncd.quoting import as_word

SERVICES = Path("/etc/ftpsyncd")
"""Where the configurations of the system's services are: `config.yaml`, and NAME.yaml of `ftpsyncd@NAME`."""

WORDS = r"""(?:'[^']*'|"[^"]*"|[^`'"])*"""
"""The rest of a command between backticks, as an expression: in a shell's quotes there may be one, too."""
_COMMAND = Expression(rf"`ftpsyncd (?!demo\b|schema\b|install-service\b)[a-z]+{WORDS}")
_UNIT = Expression(r"`systemctl (edit|restart|start|status|stop) ftpsyncd(?=`)")
_UNIT_OR = Expression(r"(?:`\w+` with )?`systemctl [a-z]+ ftpsyncd`,? or ")
"""Also with what is set in its unit."""
_CHECK = Expression(r"; `ftpsyncd check` [^.]*")
USERS = "--user ftpsyncd"
_SENTENCES = frozenset({"awaits", "message", "messages", "notice", "remedy", "sentence", "shortage", "why"})
"""The fields of records that hold sentences; no other holds a command that is meant."""

_Record = TypeVar("_Record", bound=NamedTuple)


class Typed(NamedTuple):
    """How commands are typed that are to be about one service."""

    option: str = ""
    """What stands behind each: `` -c FILE``; empty where they find it without."""
    unit: str = "ftpsyncd"
    """What systemctl calls it, with the option before; empty where it does not know it."""
    configured: bool = True
    """False: there is no configuration, which could be checked."""

    def text(self, sentence: str) -> str:
        """A sentence, its commands typed for this service; what is typed for one already stays."""
        if "`" not in sentence:
            return sentence
        if self.option and self.option not in sentence:
            sentence = _COMMAND.sub(lambda found: found[0] if " -c " in found[0] else found[0] + self.option, sentence)
        if not self.configured:
            sentence = _CHECK.sub("", sentence)
        if not self.unit:
            # It would be another one's.
            return _UNIT_OR.sub("", sentence)
        return _UNIT.sub(lambda found: f"`{systemctl(found[1], self.unit)}", sentence)

    def record(self, record: _Record) -> _Record:
        """A record, and those in it, with all its sentences typed for this service."""
        if self == Typed():
            return record
        changes = {
            name: told
            for name, value in zip(record._fields, record, strict=True)
            if (told := self._value(name, value)) is not value
        }
        return record._replace(**changes) if changes else record

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value) if name in _SENTENCES else value
        if hasattr(value, "_fields"):
            return self.record(cast("NamedTuple", value))
        return tuple(self._value(name, each) for each in value) if isinstance(value, tuple) and value else value


def systemctl(verb: str, unit: str) -> str:
    """What systemd is told to do with the service that it calls by this name."""
    option, _, name = unit.rpartition(" ")
    return " ".join(filter(None, ("systemctl", option, verb, name)))


def option_for(path: str) -> str:
    """The option that names a configuration; empty for what came through a pipe and cannot be named again."""
    return f" -c {as_word(path)}" if path and not path.startswith(("/dev/", "/proc/")) else ""


def typed_for(path: Path, environ: Mapping[str, str]) -> Typed:
    """How commands are typed that are to reach the service of a configuration, from any folder.

    Args:
        path: of its file, absolute.
        environ: tells where the configuration of a user's own service is.
    """
    unit = unit_for(path, environ)
    return Typed("" if unit in {"ftpsyncd", USERS} else option_for(str(path)), unit)


def unit_for(path: Path, environ: Mapping[str, str]) -> str:
    """What systemctl calls the service of a configuration; empty where it does not know it."""
    if path == SERVICES / "config.yaml":
        return "ftpsyncd"
    if path.parent == SERVICES and path.suffix == ".yaml":
        return as_word(f"ftpsyncd@{path.stem}")
    home = Path(environ.get("HOME") or "~")
    users = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return USERS if path == users / "ftpsyncd/config.yaml" else ""
