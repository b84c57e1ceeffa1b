"""A machine for the BPF of seccomp filters: what the kernel does with a program and a call, in plain words.

From the kernel's filter.rst and its checks in seccomp_check_filter(); an instruction that those refuse is an error.
"""

import struct
from collections.abc import Sequence

from attrs import frozen

M32 = 0xFFFFFFFF


@frozen
class Call:
    """A system call as a filter sees it (struct seccomp_data)."""

    number: int
    token: int
    arguments: Sequence[int] = (0,) * 6
    pointer: int = 0

    def data(self, order: str) -> bytes:
        return struct.pack(f"{order}IIQ6Q", self.number & M32, self.token, self.pointer, *self.arguments)


def instructions(program: bytes, order: str = "<") -> list[tuple[int, int, int, int]]:
    assert len(program) % 8 == 0
    return list(struct.iter_unpack(f"{order}HBBI", program))


def check(program: bytes, order: str = "<") -> None:
    """See that the kernel would take a program: its length, its jumps, its loads and its end."""
    code = instructions(program, order)
    assert 0 < len(code) <= 4096
    for place, (operation, yes, no, operand) in enumerate(code):
        if operation == 0x20:
            assert operand % 4 == 0 and operand < 64, "a load outside of seccomp_data"
        elif operation == 0x05:
            assert place + 1 + operand < len(code), "a jump past the end"
        elif operation in (0x15, 0x25, 0x35, 0x45):
            assert place + 1 + max(yes, no) < len(code), "a jump past the end"
        else:
            assert operation in (0x54, 0x06), f"no instruction of ours: {operation:#x}"
    assert code[-1][0] == 0x06, "the last instruction must return"


def verdict(program: bytes, call: Call, order: str = "<") -> int:
    """Return what a program says of a call."""
    value, _ = run(program, call, order)
    return value


def run(program: bytes, call: Call, order: str = "<") -> tuple[int, int]:
    """Return what a program says of a call, and how many instructions that took."""
    code, data = instructions(program, order), call.data(order)
    accumulator = place = steps = 0
    while True:
        operation, yes, no, operand = code[place]
        steps += 1
        place += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from(f"{order}I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x05:
            place += operand
        elif operation == 0x06:
            return operand, steps
        else:
            holds = {
                0x15: accumulator == operand,
                0x25: accumulator > operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            place += yes if holds else no
