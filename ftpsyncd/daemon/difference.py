"""What a reload has to do: the difference between what runs and what is wanted. Pure.

In: the specs of both. Out: names, and a sentence for people. `reloading` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ftpsyncd.specs import MappingSpec, ServerSpec, destination


@dataclass(slots=True)
class Difference:
    """What a reload has to do."""

    added: list[str] = field(default_factory=list)
    """Mappings."""
    removed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    """They publish another folder, or to another place."""
    adjusted: list[str] = field(default_factory=list)
    """Other settings changed, or what the server is called."""
    servers: list[str] = field(default_factory=list)
    """Servers whose account or limits changed."""
    paced: list[str] = field(default_factory=list)
    """Servers of which nothing but the bandwidth changed."""
    other: list[str] = field(default_factory=list)
    """Keys of the file that concern no mapping, whose new values are in force."""

    @property
    def sentence(self) -> str:
        """For people."""
        parts = [
            f"{what} {', '.join(names)}"
            for what, names in (
                ("added", self.added),
                ("removed", self.removed),
                ("moved", self.moved),
                ("changed", self.adjusted),
                ("connects anew to", self.servers),
                ("sends at another rate to", self.paced),
                ("took over the new", [f"`{key}`" for key in self.other]),
            )
            if names
        ]
        return "; ".join(parts) or "nothing changed"


def difference(
    old: Mapping[str, MappingSpec],
    new: Mapping[str, MappingSpec],
    servers_old: Mapping[str, ServerSpec],
    servers_new: Mapping[str, ServerSpec],
) -> Difference:
    """Compare what runs with what is wanted; pure."""
    found = Difference(
        added=[name for name in new if name not in old],
        removed=[name for name in old if name not in new],
    )
    for name in servers_old.keys() & servers_new.keys():
        account, wanted = servers_old[name], servers_new[name]
        if account._replace(bandwidth_bytes_s=wanted.bandwidth_bytes_s) != wanted:
            found.servers.append(name)
        elif account != wanted:
            found.paced.append(name)
    for name in old.keys() & new.keys():
        before, after = old[name], new[name]
        if (before.local, _place(before, servers_old)) != (after.local, _place(after, servers_new)):
            found.moved.append(name)
        elif before != after:
            found.adjusted.append(name)
    for names in (found.servers, found.paced, found.moved, found.adjusted):
        names.sort()
    return found


def _place(spec: MappingSpec, servers: Mapping[str, ServerSpec]) -> str:
    """Where a mapping publishes: a server of the same name may be another one, and one of another name the same."""
    account = servers.get(spec.server)
    return spec.remote if account is None else destination(spec, account)
