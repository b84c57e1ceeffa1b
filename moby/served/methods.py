"""A contract's methods as both sides of a socket see them: names of parameters and how values are carried."""

import typing
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import FunctionType
from typing import Any

from moby.contracts.kind import is_of_thread, is_repeatable, kind_of
from moby.errors import Invalid, Unsupported
from moby.served.codec import Codec, codec_of, lives, stream_codec
from moby.served.outgoing import Outgoing
from moby.served.streams import item_of

__all__ = ["LIFECYCLE", "Interface", "Method", "interface_of"]

LIFECYCLE: Mapping[str, Any] = {"health": "", "go_on": None, "wind_down": None, "reclaim": None}
"""What a part may be asked besides its contract (Lifecycle), and what one that hasn't the method would say."""


class Method:
    """One method of a contract; its hints are read when it is first used."""

    def __init__(self, name: str, function: FunctionType) -> None:
        self.name = name
        self.repeatable = is_repeatable(function)
        self.of_thread = is_of_thread(function)
        self._function = function
        code = function.__code__
        if code.co_flags & 0x0C:  # *args or **kwargs
            raise Unsupported(f"{name} takes any number of arguments, which can't be passed to another process")
        self.positional = code.co_varnames[1 : code.co_argcount]
        self.parameters = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        optional = self.positional[len(self.positional) - len(function.__defaults__ or ()) :]
        self.required = frozenset(self.parameters) - {*optional, *(function.__kwdefaults__ or ())}

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        return typing.get_type_hints(self._function, include_extras=True)

    @cached_property
    def codecs(self) -> Mapping[str, Codec]:
        """How each argument is carried; Unsupported where one can't be."""
        return {name: self._codec(name) for name in self.parameters}

    @cached_property
    def lives(self) -> bool:
        """Whether what it returns goes on after its answer: a stream, a file, an object with methods."""
        hint = self._hints.get("return")
        return item_of(hint) is not None or lives(hint)

    @cached_property
    def result(self) -> Codec:
        """How what it returns is carried; a stream as the descriptor that it comes by."""
        return self._codec("return")

    def _codec(self, name: str) -> Codec:
        try:
            hint = self._hints.get(name, Any)
            item = item_of(hint) if name == "return" else None
            return codec_of(hint) if item is None else stream_codec(item)
        except Unsupported as error:
            raise Unsupported(f"{self.name}: {error.message}", hint=error.hint) from error

    def encode(self, args: Sequence[Any], given: Mapping[str, Any], fds: Outgoing) -> dict[str, Any]:
        """Return a call's arguments as JSON carries them; TypeError as the method itself would raise it."""
        if len(args) > len(self.positional):
            raise TypeError(f"{self.name}() takes {len(self.positional)} arguments but {len(args)} were given")
        values = dict(zip(self.positional, args, strict=False))
        for name, value in given.items():
            if name in values or name not in self.codecs:
                raise TypeError(f"{self.name}() got an unexpected argument {name!r}")
            values[name] = value
        if missing := self.required - values.keys():
            raise TypeError(f"{self.name}() lacks {', '.join(sorted(missing))}")
        codecs = self.codecs
        return {name: codecs[name][0](value, fds) for name, value in values.items()}

    def decode(self, data: Any, fds: list[int]) -> dict[str, Any]:
        """Return the arguments by name; Invalid where they aren't what the contract says."""
        if not isinstance(data, dict) or self.required - data.keys():
            raise Invalid(f"a call of {self.name} lacks arguments")
        codecs = self.codecs
        return {name: codecs[name][1](value, fds) for name, value in data.items() if name in codecs}


class Interface:
    """What of a contract goes over a socket: methods, and attributes that are read."""

    def __init__(self, protocol: type) -> None:
        kind = kind_of(protocol)
        self.kind = kind.id if kind else protocol.__name__
        self.version = kind.version if kind else 0
        self.apart = kind.apart if kind else ()
        self.protocol = protocol
        self.methods: dict[str, Method] = {name: Method(name, _LIFECYCLE[name]) for name in LIFECYCLE}
        self.attributes: tuple[str, ...] = ()
        for base in reversed(
            [each for each in protocol.__mro__ if each not in (object, typing.Protocol, typing.Generic)]
        ):
            for name, value in vars(base).items():
                if isinstance(value, FunctionType) and not name.startswith("_"):
                    self.methods[name] = Method(name, value)
                elif isinstance(value, property):
                    self.attributes += (name,)
            self.attributes += tuple(each for each in base.__annotations__ if each[0] != "_")

    @cached_property
    def attribute_codecs(self) -> Mapping[str, Codec]:
        """How each attribute is carried."""
        hints = typing.get_type_hints(self.protocol, include_extras=True)
        for name in self.attributes:
            if isinstance(found := getattr(self.protocol, name, None), property):
                hints[name] = typing.get_type_hints(found.fget, include_extras=True)["return"]
        return {name: codec_of(hints[name]) for name in self.attributes}


def _health(self: object) -> str:
    raise NotImplementedError


def _go_on(self: object) -> None:
    raise NotImplementedError


def _wind_down(self: object, timeout_s: float | None) -> None:
    raise NotImplementedError


def _reclaim(self: object) -> None:
    raise NotImplementedError


_LIFECYCLE: Mapping[str, Any] = {"health": _health, "go_on": _go_on, "wind_down": _wind_down, "reclaim": _reclaim}
_known: dict[type, Interface] = {}


def interface_of(protocol: type) -> Interface:
    """Return what of a contract goes over a socket; the same one for the same contract."""
    found = _known.get(protocol)
    if found is None:
        found = _known[protocol] = Interface(protocol)
    return found
