"""Configurations that are drawn at random: which mappings there are, where they publish, and with which settings."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

from ftpsyncd.config import Config
from ftpsyncd.specs import DeleteLimit, MappingSpec, PublishMode, ServerSpec, destination, overlap
from tests.model.racing import Chance, Named
from tests.model.several import Several, configuration
from tests.model.stage import NO_RESCAN_S

NAMES = ("one", "two", "three")
LOCALS = ("", "p", "p", "q", "q", "p/n")
PLACES = (("web", "/s"), ("web", "/s"), ("www", "/s"), ("web", "/s/n"), ("web", "/t"), ("alt", "/s"))
ACCOUNTS = {"web": "web", "www": "web", "alt": "alt"}
"""Servers of the configuration, and where they are: two are the same account."""
FILES = ("p/n/1", "p/1", "q/1", "q/n/1", "p/2", "q/2")
FOLDERS = ("p/n", "q/n", "q", "p/m")
VERBS = ("STOR", "SIZE", "MFMT", "RNFR", "RNTO", "RNTO", "DELE", "MKD", "RMD", "MLST", "CONNECT")


class Drawing(Chance):
    """What people do, and what is configured.

    Args:
        chance: decides.
        config: that is in force; none at first.
        direct: files may be sent under their final names.
    """

    def __init__(self, chance: random.Random, config: tuple[MappingSpec, ...] = (), *, direct: bool) -> None:
        super().__init__(chance, FILES, FOLDERS, VERBS)
        self.config = config
        self._direct = direct

    def draw(self) -> tuple[MappingSpec, ...]:
        """Have any configuration."""
        chance = self.chance
        while True:
            specs = []
            for name in NAMES:
                if chance.random() < 0.6:
                    server, remote = chance.choice(PLACES)
                    specs.append(self._settings(MappingSpec(name, Path(chance.choice(LOCALS)), server, remote)))
            if specs and _is_allowed(specs):
                self.config = tuple(specs)
                return self.config

    def adjust(self) -> tuple[MappingSpec, ...]:
        """Have other settings, and the same places."""
        self.config = tuple(self._settings(spec) if self.chance.random() < 0.7 else spec for spec in self.config)
        return self.config

    def _settings(self, spec: MappingSpec) -> MappingSpec:
        chance = self.chance
        direct = self._direct and chance.random() < 0.5
        return spec._replace(
            include=("*",),
            exclude=chance.choice(((), (), (), ("n/",), ("1",))),
            settle_s=chance.choice((0.0, 0.2, 2.0)),
            delete_after_s=chance.choice((0.0, 5.0)),
            max_deletes=DeleteLimit(chance.choice((1_000_000, 1_000_000, 1))),
            rescan_s=NO_RESCAN_S,
            empty_dirs=chance.random() < 0.7,
            publish=PublishMode.DIRECT if direct else PublishMode.ATOMIC,
        )


def servers(connections: int = 2) -> dict[str, ServerSpec]:
    """Those of each configuration."""
    return {name: ServerSpec(name, host, "u", connections=connections) for name, host in ACCOUNTS.items()}


def _is_allowed(specs: list[MappingSpec]) -> bool:
    """Whether no two of them publish to the same place."""
    accounts = servers()
    places = [destination(spec, accounts[spec.server]) for spec in specs]
    return all(overlap(one, other) is None for one, other in combinations(places, 2))


class Configured(Named, Several):
    """One whose configurations are told by their mappings, with folders relative to the drop folder."""

    def settle_in(self) -> None:
        """Put there what it begins with."""
        for path in ("p", "q", "p/n"):
            self.make_folder(path)
        for path in ("p/n/1", "p/1", "q/1", "q/2"):
            self.write(path, 20)

    def reload(self, specs: tuple[MappingSpec, ...] | Config) -> None:
        super().reload(specs if isinstance(specs, Config) else self.configured(specs))

    def configured(self, specs: tuple[MappingSpec, ...]) -> Config:
        specs = tuple(spec._replace(local=self.drop.root / spec.local) for spec in specs)
        return configuration(self.drop.place, servers(), *specs)
