"""What is being done, for a user's eyes: live on a terminal, else a line for each step."""

import sys
import threading
from types import TracebackType
from typing import Self

__all__ = ["Progress"]

_DONE = frozenset({"Created", "Started", "Running", "Recreated", "Removed", "Stopped", "Healthy", "Exited", "Killed",
                   "Built", "Pulled", "Pushed", "Restarted", "Paused", "Unpaused", "Skipped"})  # fmt: skip


class Progress:
    """Shows what happens to each thing, on standard error; `auto`, `tty`, `plain` or `quiet`."""

    def __init__(self, mode: str = "auto") -> None:
        self._out = sys.stderr
        self._live = mode == "tty" or (mode == "auto" and self._out.isatty())
        self._quiet = mode == "quiet"
        self._rows: dict[str, str] = {}
        self._drawn = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.flush()

    def tell(self, thing: str, state: str) -> None:
        """Say how a thing is now."""
        with self._lock:
            if self._quiet:
                return
            if not self._live:
                print(f" {thing}  {state}", file=self._out, flush=True)  # a command's output
                return
            self._rows[thing] = state
            self._draw()

    def warn(self, text: str) -> None:
        """Say a thing that is no error."""
        with self._lock:
            print(f'level=warning msg="{text}"', file=self._out, flush=True)  # a command's output
            self._drawn = 0

    def _draw(self) -> None:
        done = sum(state in _DONE for state in self._rows.values())
        lines = [f"[+] Running {done}/{len(self._rows)}"]
        width = max(map(len, self._rows))
        for thing, state in self._rows.items():
            lines.append(f" {'✔' if state in _DONE else '⠿'} {thing:{width}}  {state}")
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._out.write(up + "".join(f"\r\x1b[2K{each}\n" for each in lines))
        self._out.flush()
        self._drawn = len(lines)
