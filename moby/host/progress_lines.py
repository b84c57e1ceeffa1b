"""Progress for a user's eyes, as docker's command shows it."""

from typing import TextIO

__all__ = ["ProgressLines", "bar"]

_WIDTH = 50


def bar(current: int, total: int) -> str:
    """Return a bar and two sizes; without an end, one size (moby, pkg/jsonmessage)."""
    if not total:
        return _human(current).rjust(8)
    done = min(_WIDTH, _WIDTH * current // total)
    line = "=" * done + ">" + " " * (_WIDTH - done)
    sizes = f"{_human(current).rjust(8)}/{_human(total)}" if current <= total else _human(current).rjust(8)
    return f"[{line}] {sizes}"


def _human(size: float) -> str:
    """Return a size with four digits (go-units, HumanSize)."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 1000 and (more := next(units, "")):
        size, unit = size / 1000, more
    return f"{size:.4g}{unit}"


class ProgressLines:
    """On a terminal, a line for each id, which changes in its place; else a line for each step, without bars."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._rows: dict[str, int] = {}

    def show(self, status: str, id: str = "", bar: str = "") -> None:
        """Show a step of an id's, or one of nothing in particular."""
        if not self._terminal:
            if not bar:
                self._out.write(f"{id}: {status}\n" if id else f"{status}\n")
        elif not id:
            self._rows.clear()  # what was above stays as it is
            self._out.write(f"{status}\n")
        else:
            if id not in self._rows:
                self._rows[id] = len(self._rows)
                self._out.write("\n")
            up = len(self._rows) - self._rows[id]
            self._out.write(f"\x1b[{up}A\r\x1b[2K{id}: {status} {bar}".rstrip() + f"\x1b[{up}B\r")
        self._out.flush()
