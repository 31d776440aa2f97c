"""What a section of the file is: keys, each with what it accepts, its default and its description. Pure.

In: the declarations of `keys`. Out: sections whose attributes are what the file means, and their JSON Schema. Called by
`keys`, which declares, and by `loading`, which walks over the keys of a file and complains.

Nothing is parsed and no code is made when a section is declared: every command waits for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar, overload

from ftpsyncd.config.values import NAME_PATTERN

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class Kind(NamedTuple, Generic[_T_co]):
    """A kind of value."""

    parse: Callable[[object], _T_co]
    """From what YAML holds, never None, to what it means; raises :class:`ftpsyncd.config.unfit.Unfit`."""
    schema: Mapping[str, Any]
    """What `parse` accepts, as JSON Schema."""


class Entry:
    """What the JSON Schema says of a key.

    Args:
        description: a sentence.
        schema: what stands below the key, and further facts.
        required: it must be there.
    """

    __slots__ = ("required", "schema")

    def __init__(self, description: str, schema: Mapping[str, Any], *, required: bool = False) -> None:
        self.schema = {"description": description, **schema}
        self.required = required


class Key(Entry, Generic[_T_co]):
    """A key with a value: an attribute of its section.

    Args:
        kind: what it accepts.
        description: a sentence.
        default: what it means to leave the key out, as it would stand in the file; None if that has a meaning of its
            own, or if the key is required.
        examples: as they would stand in the file.
        required: it must be there.
    """

    __slots__ = ("default", "name", "parse")

    def __init__(
        self,
        kind: Kind[_T_co],
        description: str,
        *,
        default: object = None,
        examples: Sequence[object] = (),
        required: bool = False,
    ) -> None:
        facts: dict[str, object] = {} if default is None else {"default": default}
        if examples:
            facts["examples"] = examples
        super().__init__(description, {**kind.schema, **facts}, required=required)
        self.parse = kind.parse
        self.default = default
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, section: None, owner: type[Keys]) -> Self: ...

    @overload
    def __get__(self, section: Section, owner: type[Keys]) -> _T_co: ...

    def __get__(self, section: Section | None, owner: type[Keys]) -> Any:
        """The key itself of a class; of a section what the file says, else what the default means."""
        if section is None:
            return self
        if self.required or self.name in section.given:
            return section.given[self.name]
        return None if self.default is None else self.parse(self.default)


class Below(Entry):
    """A key with a section below it, or several with names."""

    __slots__ = ("section",)

    def __init__(
        self, section: type[Section], description: str, schema: Mapping[str, Any], *, required: bool = False
    ) -> None:
        super().__init__(description, schema, required=required)
        self.section = section


def required(kind: Kind[_T], description: str, *, examples: Sequence[object]) -> Key[_T]:
    """A key that must be there."""
    return Key(kind, description, examples=examples, required=True)


def optional(kind: Kind[_T], description: str, *, examples: Sequence[object] = ()) -> Key[_T | None]:
    """A key that is None where the file has none."""
    return Key(kind, description, examples=examples)


def preset(kind: Kind[_T], default: object, description: str, *, examples: Sequence[object] = ()) -> Key[_T]:
    """A key with a default, as it would stand in the file."""
    return Key(kind, description, default=default, examples=examples)


def subsection(keys: type[Section], description: str = "") -> Below:
    """A key with the section ``keys`` below it, which may be empty: an example with all entries commented out."""
    schema = {"anyOf": [_reference(keys), {"type": "null"}], "default": None}
    return Below(keys, description or keys.__doc__ or "", schema)


def named_subsections(keys: type[Section], description: str) -> Below:
    """A key with sections ``keys`` below it, each with a name; at least one."""
    one = _reference(keys)
    if not any(entry.required for entry in keys.known.values()):
        # A name alone: all of it may stand elsewhere (`defaults`).
        one = {"anyOf": [one, {"type": "null"}]}
    schema = {"minProperties": 1, "patternProperties": {NAME_PATTERN: one}, "type": "object"}
    return Below(keys, description, schema, required=True)


def _reference(keys: type[Section]) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{keys.__name__}"}


class Keys:
    """A declaration: the keys that a mapping may have."""

    __slots__ = ()

    known: ClassVar[Mapping[str, Entry]]
    """In the order of the declaration, by name."""

    def __init_subclass__(cls) -> None:
        cls.known = {name: entry for name, entry in vars(cls).items() if isinstance(entry, Entry)}

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """The JSON Schema of such a mapping; what it says of a key is in alphabetical order."""
        out: dict[str, Any] = {
            "additionalProperties": False,
            "description": cls.__doc__,
            "properties": {name: dict(sorted(entry.schema.items())) for name, entry in cls.known.items()},
        }
        if needed := [name for name, entry in cls.known.items() if entry.required]:
            out["required"] = needed
        return {**out, "type": "object"}


class Section(Keys):
    """A mapping of the file with known keys only, and no further sections in it.

    Args:
        given: parsed values by key, at least those that are required.
    """

    __slots__ = ("given",)

    known: ClassVar[Mapping[str, Key[Any]]]

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
