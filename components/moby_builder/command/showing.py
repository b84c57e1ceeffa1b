"""How a build is shown while it goes on: on a terminal, as lines, or not at all."""

import os
import sys
import time
from collections.abc import Iterable
from typing import TextIO

from moby.contracts.builder import Event
from moby_builder.command.failing import failure, warnings
from moby_builder.command.plain import Plain
from moby_builder.command.screen import Screen
from moby_builder.command.telling import Told

__all__ = ["Display"]

_FRAME_NS = 100_000_000


class Display:
    """Shows events on a stream. `mode` is `auto`, `tty`, `plain` or `quiet`."""

    def __init__(self, mode: str, out: TextIO | None = None) -> None:
        self.told = Told()
        self._out = out or sys.stderr
        as_screen = mode == "tty" or (mode == "auto" and self._out.isatty())
        self._quiet = mode == "quiet"
        self._plain = Plain(self.told)
        self._screen = Screen(self.told, time.time_ns()) if as_screen else None
        self._drawn_ns = 0

    def feed(self, event: Event) -> None:
        """Take an event, and show it where it is time."""
        step = self.told.feed(event)
        if self._screen is not None:
            self._screen.feed(event, step)
            self.tick()
        else:
            self._lines(self._plain.feed(event, step, time.time_ns()))

    def tick(self) -> None:
        """Show what is due."""
        now = time.time_ns()
        if self._screen is None:
            self._lines(self._plain.tick(now))
        elif now - self._drawn_ns >= _FRAME_NS:
            self._drawn_ns = now
            self._write(self._screen.frame(now, *self._size()))

    def end(self, error: Exception | None = None, *, explain: bool = False) -> None:
        """Show how it ended."""
        if self._screen is not None:
            self._write(self._screen.frame(time.time_ns(), *self._size(), "FINISHED" if error is None else "FAILED"))
        else:
            self._lines(self._plain.end())
        if error is not None:
            self._lines(failure(error, self.told), always=True)
        self._lines(warnings(self.told.findings))
        if explain:
            self._lines(self._missed(), always=True)

    def _missed(self) -> Iterable[str]:
        """Yield why steps weren't found in the cache."""
        missed = [each.vertex for each in self.told.steps.values() if each.vertex.missed]
        yield "Not found in the cache:" if missed else "All steps were found in the cache."
        yield from (f" {each.name}: {each.missed}" for each in missed)

    def _lines(self, lines: Iterable[str], *, always: bool = False) -> None:
        text = "".join(f"{each}\n" for each in lines)
        if text and (always or not self._quiet):
            self._write(text)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _size(self) -> tuple[int, int]:
        try:
            found = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            return 80, 24
        return found.columns or 80, found.lines or 24
