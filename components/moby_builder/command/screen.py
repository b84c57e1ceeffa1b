"""Progress on a terminal: all steps, each in its place, with what those that go on say (buildx, --progress tty)."""

from collections.abc import Iterator, Sequence

from moby.contracts.builder import Event, Log, Progress
from moby_builder.command.telling import Step, Told, duration, printable, size

__all__ = ["Screen"]

_LOG_LINES = 6
_UP, _CLEAR_DOWN = "\x1b[{}A", "\x1b[J"
_BLUE, _RED, _CYAN, _PLAIN = "\x1b[34m", "\x1b[31m", "\x1b[36m", "\x1b[0m"


class Screen:
    """Events in, frames out: a frame takes the place of the one before."""

    def __init__(self, told: Told, begun_ns: int) -> None:
        self._told = told
        self._begun_ns = begun_ns
        self._height = 0

    def feed(self, event: Event, step: Step | None) -> None:
        """Take an event."""
        if step is not None and isinstance(event, Log):
            for _ in step.lines(event):
                pass

    def frame(self, now_ns: int, columns: int, rows: int, end: str = "") -> str:
        """Return what to write to the terminal; with `end`, what stays there."""
        lines = self._lines(now_ns, columns)
        done = sum(each.over for each in self._told.steps.values())
        of = f"({done}/{len(self._told.known)})"
        head = f"[+] Building {duration((now_ns - self._begun_ns) / 1e9)} {of} {end}".rstrip()
        if not end:
            lines = _fitting(lines, max(1, rows - 2))
        top = _UP.format(self._height) + "\r" if self._height else ""
        self._height = len(lines) + 1
        return top + _CLEAR_DOWN + "".join(f"{each}\n" for each in (head[: columns - 1], *(text for _, text in lines)))

    def _lines(self, now_ns: int, columns: int) -> list[tuple[bool, str]]:
        """Return lines, and whether each is of a step that goes on."""
        found = []
        for step in self._told.steps.values():
            if step.vertex.name:
                found += [(not step.over, each) for each in _shown(step, now_ns, columns)]
        return found


def _shown(step: Step, now_ns: int, columns: int) -> Iterator[str]:
    vertex = step.vertex
    canceled = "cancel" in vertex.error
    word = "CANCELED " if canceled else "ERROR " if vertex.error else "CACHED " if vertex.cached else ""
    colour = _RED if vertex.error and not canceled else _BLUE if step.over else ""
    yield _row(f" => {word}{vertex.name}", duration(step.seconds(now_ns)), columns, colour)
    if vertex.error or not step.over:
        for each in step.progress.values():
            took = (each.completed_ns or now_ns) - (each.started_ns or now_ns)
            yield _row(f" => => {each.name or each.id}{_amount(each)}", duration(max(0, took) / 1e9), columns, "")
        for line in list(step.tail)[-_LOG_LINES:]:
            yield _row(f" => => # {line.partition(' ')[2]}", "", columns, _CYAN)


def _row(left: str, right: str, columns: int, colour: str) -> str:
    room = max(1, columns - len(right) - 2)
    text = printable(left)[:room].ljust(room) + " " + right
    return f"{colour}{text.rstrip()}{_PLAIN}" if colour else text.rstrip()


def _amount(each: Progress) -> str:
    if each.total:
        return f" {size(each.current)} / {size(each.total)}"
    return f" {size(each.current)}" if each.current else ""


def _fitting(lines: Sequence[tuple[bool, str]], room: int) -> list[tuple[bool, str]]:
    """Return as many lines as there is room for; those of steps that are over go first, the oldest first of all."""
    over = max(0, len(lines) - room)
    kept = []
    for each in lines:
        if over and not each[0]:
            over -= 1
        else:
            kept.append(each)
    return kept[-room:]
