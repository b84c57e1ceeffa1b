"""System calls in their order, as a machine's first process makes them (`init/steps.h`)."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field, frozen

from moby.values import evolve

__all__ = ["GROUP", "MOST_BYTES", "Address", "Kept", "Steps"]

_HEAD = struct.Struct("<4I")
_STEP = struct.Struct("<2I4H2I6Q")
MOST_BYTES = (1 << 16) - 1
"""What the first process has room for (`init/steps.h`)."""
_MOST_FINE = 2
_WORD = 8
_CONSTANT, _ADDRESS, _KEPT = range(3)


@frozen
class Address:
    """The place of something in the data; as an argument it is a pointer."""

    offset: int


@frozen
class Kept:
    """What an earlier call returned, which lies in the data."""

    offset: int


Argument = int | Address | Kept
GROUP = Address(0)
"""The path of the cgroup that the process is in, which the first process puts there."""
_GROUP_BYTES = 64


@frozen
class _Step:
    what: str
    number: int
    arguments: Sequence[Argument]
    fine: Sequence[int]
    result: int
    after: int = 0
    without: int = 0


@define
class Steps:
    """Collects calls, one after another; `encoded` is what is written to a file."""

    _steps: list[_Step] = field(factory=list)
    _data: bytearray = field(factory=lambda: bytearray(_GROUP_BYTES))
    _pointers: list[int] = field(factory=list)
    _texts: dict[bytes, Address] = field(factory=dict)

    def call(
        self, what: str, number: int, *arguments: Argument, fine: Sequence[int] = (), into: Address | None = None
    ) -> Kept:
        """Add a call, which may end with an error of `fine`; any other ends the process, which says `what` it can't.

        What it returns is put into four bytes of its own, or at a place in the data.
        """
        assert len(fine) <= _MOST_FINE, "a step has room for two"
        result = (into or self.data(bytes(_WORD))).offset
        self._steps.append(_Step(what, number, arguments, fine, result))
        return Kept(result)

    @contextmanager
    def if_done(self, what: str, number: int, *arguments: Argument, fine: Sequence[int]) -> Iterator[Kept]:
        """Add a call, and those of the block for where it ends with no error."""
        at = len(self._steps)
        yield self.call(what, number, *arguments, fine=fine)
        self._steps[at] = evolve(self._steps[at], without=len(self._steps) - at - 1)

    @contextmanager
    def unless_done(self) -> Iterator[None]:
        """Add the calls of the block for where the `if_done` before it did nothing: its last call passes them over."""
        at = len(self._steps)
        yield
        self._steps[at - 1] = evolve(self._steps[at - 1], after=len(self._steps) - at)

    def text(self, value: str | bytes) -> Address:
        """Return where a text is, which is put down once."""
        data = (value if isinstance(value, bytes) else value.encode(errors="surrogateescape")) + b"\0"
        if data not in self._texts:
            self._texts[data] = self.data(data)
        return self._texts[data]

    def data(self, value: bytes, pointers: Sequence[tuple[int, Address]] = ()) -> Address:
        """Put bytes down, and into them pointers at some offsets; return where."""
        self._data += bytes(-len(self._data) % _WORD)
        place = len(self._data)
        self._data += value
        for offset, target in pointers:
            struct.pack_into("<Q", self._data, place + offset, target.offset)
            self._pointers.append(place + offset)
        return Address(place)

    def texts(self, values: Sequence[str]) -> Address:
        """Return where pointers to texts are, with a null pointer behind them."""
        found = [(index * _WORD, self.text(each)) for index, each in enumerate(values)]
        return self.data(bytes((len(values) + 1) * _WORD), found)

    def encoded(self, namespaces: int) -> bytes:
        """Return the file; `namespaces` are new for the process (CLONE_NEW*)."""
        steps = b"".join(self._encoded(each) for each in self._steps)
        pointers = struct.pack(f"<{len(self._pointers)}I", *self._pointers)
        head = _HEAD.pack(namespaces, len(self._steps), len(self._pointers), len(self._data))
        return b"".join([head, steps, pointers, self._data])

    def _encoded(self, each: _Step) -> bytes:
        kinds, values = 0, []
        for index, argument in enumerate(each.arguments):
            kind = _ADDRESS if isinstance(argument, Address) else _KEPT if isinstance(argument, Kept) else _CONSTANT
            kinds |= kind << 2 * index
            values.append(argument % (1 << 64) if isinstance(argument, int) else argument.offset)
        values += [0] * (6 - len(values))
        fine = (*each.fine, 0, 0)[:_MOST_FINE]
        what = self.text(each.what).offset
        return _STEP.pack(each.number, kinds, *fine, each.after, each.without, each.result, what, *values)
