"""Programs of classic BPF (bpf in the kernel's filter.rst), put together from their end.

An instruction is written after those that it goes on to, so that distances are known; its place is how many were
written before it. What a jump leads to is such a place, or a return, which is written where it is needed: jumps go
at most 255 instructions forward.
"""

from moby.host.lean import structs

__all__ = ["MOST", "Code", "Target", "returning"]

MOST = 4096
"""Instructions of one program (BPF_MAXINSNS)."""
LOAD, AND, ALWAYS, EQUAL, GREATER, AT_LEAST, RETURN = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
_NEAR = 250
"""Less than a jump's 255 by what may come between."""
Target = int
"""A place, or, when negative, a return."""


def returning(value: int) -> Target:
    """Return the target that ends the program with a value."""
    return -1 - value


class Code:
    """A program in the making."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, int, int]] = []
        self._returns: dict[int, int] = {}

    def branch(self, test: int, operand: int, yes: Target, no: Target) -> Target:
        """Go on at `yes` or `no` by a test of the accumulator; nothing is written where they are the same."""
        if yes == no:
            return yes
        written = self._instructions
        if yes < 0 or len(written) - yes > _NEAR:
            yes = self._near(yes)
        if no < 0 or len(written) - no > _NEAR:
            no = self._near(no)
        place = len(written)
        written.append((test, place - yes - 1, place - no - 1, operand))
        return place

    def load(self, offset: int, then: Target) -> Target:
        """Load a word of `seccomp_data` into the accumulator."""
        self._before(then)
        return self._write(LOAD, 0, 0, offset)

    def mask(self, bits: int, then: Target) -> Target:
        """Keep some bits of the accumulator."""
        self._before(then)
        return self._write(AND, 0, 0, bits)

    def end(self, first: Target, *, little: bool) -> bytes:
        """Return the program that starts at a target."""
        self._before(first)
        words = [word for each in reversed(self._instructions) for word in each]
        return structs.pack(f"{'<' if little else '>'}{'HBBI' * len(self._instructions)}", *words)

    def _write(self, code: int, yes: int, no: int, operand: int) -> Target:
        self._instructions.append((code, yes, no, operand))
        return len(self._instructions) - 1

    def _near(self, target: Target) -> Target:
        """Return a place within a jump's reach that comes to the same."""
        length = len(self._instructions)
        if target >= 0:
            return target if length - target <= _NEAR else self._write(ALWAYS, 0, 0, length - target - 1)
        place = self._returns.get(target)
        if place is None or length - place > _NEAR:
            place = self._returns[target] = self._write(RETURN, 0, 0, -1 - target)
        return place

    def _before(self, target: Target) -> None:
        """See that the next instruction is written right before a target."""
        place = self._near(target)
        if place != len(self._instructions) - 1:
            self._write(ALWAYS, 0, 0, len(self._instructions) - place - 1)
