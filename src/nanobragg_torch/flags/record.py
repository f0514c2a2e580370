"""What a table of flags is made of: rows that are at once the fields of the record that holds what was given.

`Table.distance` is the row, `record.distance` is its value, of the type of the row's kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar, Unpack, cast, overload

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """What follows a flag. shown: its name in the help. take: (flag, the words behind it) -> its value, and how many
    words that took. file: it is a file that is read."""

    shown: str
    take: Callable[[str, Sequence[str]], tuple[T, int]]
    file: bool = False


class Field(Generic[T]):
    """A field of the record: of the record, what was given, else `unset`; of its class, this row.

    flag: the first spelling of the first flag that gives it.
    """

    def __init__(self, unset: T) -> None:
        self.unset, self.flag = unset, ""

    @overload
    def __get__(self, record: None, owner: type[FlagRecord]) -> Field[T]: ...
    @overload
    def __get__(self, record: FlagRecord, owner: type[FlagRecord]) -> T: ...
    def __get__(self, record: FlagRecord | None, owner: type[FlagRecord]) -> Field[T] | T:
        return self if record is None else record.get(self)

    def __set__(self, record: FlagRecord, value: T) -> None:
        record.values[self] = value

    def __delete__(self, record: FlagRecord) -> None:
        record.values.pop(self, None)


class FlagRecord:
    """What was given. values: of the fields that were. words: the flag that gave a field, as it was typed."""

    def __init__(self) -> None:
        self.values: dict[Field[Any], Any] = {}
        self.words: dict[Field[Any], str] = {}

    def __contains__(self, field: Field[Any]) -> bool:
        return field in self.values

    def get(self, field: Field[T]) -> T:
        """What was given for `field`, else what it is unset."""
        value: T = self.values.get(field, field.unset)
        return value

    def typed(self, *fields: Field[Any]) -> str:
        """The flags that gave these fields, as they were typed; empty where none was."""
        return " ".join(dict.fromkeys(self.words[field] for field in fields if field in self.words))


@dataclass(frozen=True)
class HeaderRead:
    """What one header gave. used: the words of its lines by field; unused: lines for a person about the others."""

    path: Path
    used: dict[Field[Any], str]
    unused: tuple[str, ...]


class Extra(TypedDict, total=False):
    """The columns of a row that few flags have: those of `Flag`."""

    unit: Callable[[float], float]
    sets: Mapping[Field[Any], Any]
    otherwise: str
    warning: str
    ignored: str
    needed: bool
    crashes: bool


@dataclass(frozen=True, eq=False)
class Flag:
    """One row of the table.

    names: a trailing * stands for any longer spelling. kind: of what follows, None for nothing. fields: where the
    converted value goes. unit: converts one number. sets: what else the flag gives, convention and pivot above all.
    default: the words that change nothing; otherwise: what is there without the flag, for the help. warning: what a
    user should know who gives it.
    ignored: the reference's documents have the flag, its program does not (Q35): what to give instead. Without
    Q35 it goes to `fields`, or is refused where there are none.
    needed: too few values are an error, with Q35 too, for the reference reads half the flag.
    crashes: with Q36 too few values are an error, for the reference crashes.
    """

    names: str
    kind: Kind[Any] | None
    meaning: str
    fields: tuple[Field[Any], ...] = ()
    default: str = ""
    unit: Callable[[float], float] | None = None
    sets: Mapping[Field[Any], Any] | None = None
    otherwise: str = ""
    warning: str = ""
    ignored: str = ""
    needed: bool = False
    crashes: bool = False

    @property
    def marked(self) -> tuple[Field[Any], ...]:
        """The fields that the flag is known by: its own, or what a flag without a value gives."""
        return self.fields[:1] or tuple(self.sets or ())

    def matches(self, argument: str) -> bool:
        """Whether `argument` is a spelling of this flag."""
        whole, beginnings = self._spellings
        return argument in whole or argument.startswith(beginnings)

    @cached_property
    def _spellings(self) -> tuple[frozenset[str], tuple[str, ...]]:
        names = self.names.split()
        return frozenset(names), tuple(name[:-1] for name in names if name.endswith("*"))

    def converted(self, value: Any) -> Any:
        """`value` in the Config's unit."""
        if self.unit is None:
            return value
        return tuple(map(self.unit, value)) if isinstance(value, tuple) else self.unit(value)


class Rows:
    """Collects the rows of a table while its class is made: one call a flag, in the order of the help."""

    def __init__(self) -> None:
        self.groups: dict[str, list[Flag]] = {}

    def group(self, title: str) -> None:
        """Start a group of flags."""
        self._rows = self.groups[title] = []

    def also(
        self,
        names: str,
        kind: Kind[Any] | None,
        meaning: str,
        *fields: Field[Any],
        default: str = "",
        **extra: Unpack[Extra],
    ) -> None:
        """A flag without a field of its own: it gives `fields`, or what it `sets`, or nothing."""
        self._add(Flag(names, kind, meaning, fields, default, **extra))

    def value(
        self, names: str, kind: Kind[T], meaning: str, default: str, *more: Field[T], **extra: Unpack[Extra]
    ) -> Field[T]:
        """A flag and its field, which has the value of the words `default` unless given; `more` fields get it too."""
        flag = Flag(names, kind, meaning, default=default, **extra)
        value, _ = kind.take(names, default.split())
        return self._own(flag, Field(cast(T, flag.converted(value))), more)

    def unset(
        self, names: str, kind: Kind[T], meaning: str, unset: T, *more: Field[T], **extra: Unpack[Extra]
    ) -> Field[T]:
        """A flag and its field, which is `unset` unless given."""
        return self._own(Flag(names, kind, meaning, **extra), Field(unset), more)

    def maybe(
        self, names: str, kind: Kind[T], meaning: str, *more: Field[T], **extra: Unpack[Extra]
    ) -> Field[T | None]:
        """A flag and its field, which is None unless given."""
        field: Field[T | None] = Field(None)
        return self._own(Flag(names, kind, meaning, **extra), field, more)

    def switch(self, names: str, meaning: str, kind: Kind[Any] | None = None) -> Field[bool]:
        """A flag and its field, which is True where the flag is given."""
        field = Field(False)
        self.also(names, kind, meaning, sets={field: True})
        return field

    def _own(self, flag: Flag, field: Field[T], more: tuple[Field[Any], ...]) -> Field[T]:
        self._add(replace(flag, fields=(field, *more)))
        return field

    def _add(self, flag: Flag) -> None:
        self._rows.append(flag)
        for field in flag.fields:
            field.flag = field.flag or flag.names.split()[0]
