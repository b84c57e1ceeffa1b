"""Maps of a user's own id and its subordinate ones (user_namespaces(7))."""

from collections.abc import Sequence
from pathlib import Path

from moby.errors import HostUnfit
from moby.host import subordinate_ids

__all__ = ["Row", "arguments", "rows_of"]

Row = tuple[int, int, int]
"""First id inside, first id outside, how many."""


def rows_of(own: int, names: Sequence[str], file: Path) -> tuple[Row, ...]:
    """Return a map: 0 is the user's own id, those from 1 on are what a file gives it; HostUnfit where that is none."""
    rows: list[Row] = [(0, own, 1)]
    for first, count in subordinate_ids.ranges(file, names):
        rows.append((rows[-1][0] + rows[-1][2], first, count))
    if len(rows) == 1:
        hint = subordinate_ids.fix(names)
        raise HostUnfit(f"{file} gives {names[0]} no subordinate ids, which the users in containers need", hint=hint)
    return tuple(rows)


def arguments(pid: int, rows: Sequence[Row]) -> list[str]:
    """Return what newuidmap(1) and newgidmap(1) are called with."""
    return [str(pid), *(str(number) for row in rows for number in row)]
