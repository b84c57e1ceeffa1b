"""Flags of an instruction: `--NAME=VALUE`."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.language.spelling import suggestion

__all__ = ["Flags", "Sort"]


class Sort(Enum):
    """What a flag takes."""

    BOOLEAN = auto()
    TEXT = auto()
    TEXTS = auto()
    """A text, each time that it is given."""


class Flags:
    """The flags of one instruction, as far as it knows them; BuildFailed for others."""

    def __init__(self, given: Sequence[str], known: Mapping[str, Sort]) -> None:
        self._texts: dict[str, list[str]] = {}
        self._booleans: dict[str, bool] = {}
        for each in given:
            self._take(each, known)

    def text(self, name: str, default: str = "") -> str:
        """Return a flag's text, or what it is by itself."""
        return self._texts.get(name, [default])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all texts of a flag, in their order."""
        return tuple(self._texts.get(name, ()))

    def boolean(self, name: str) -> bool | None:
        """Return a flag's value; None where it isn't given."""
        return self._booleans.get(name)

    def _take(self, flag: str, known: Mapping[str, Sort]) -> None:
        name, sign, value = flag.partition("=")
        sort = known.get(name[2:])
        if sort is None:
            raise BuildFailed(f"unknown flag: {name}{suggestion(name[2:], known)}")
        if sort is not Sort.TEXTS and (name[2:] in self._texts or name[2:] in self._booleans):
            raise BuildFailed(f"duplicate flag specified: {name}")
        if (sign and not value) if sort is Sort.BOOLEAN else not sign:
            raise BuildFailed(f"missing a value on flag: {name}")
        if sort is not Sort.BOOLEAN:
            self._texts.setdefault(name[2:], []).append(value)
            return
        if value.lower() not in ("", "true", "false"):
            raise BuildFailed(f"expecting boolean value for flag {name}, not: {value}")
        self._booleans[name[2:]] = value.lower() != "false"
