"""The two ends of a task's streams: the child's go to its runtime, the other ones to who attaches."""

import os
import termios
from contextlib import ExitStack

from attrs import define

from moby.contracts.supervisor import Streams, TaskConfig
from moby.contracts.types import Stdio, Window
from moby.errors import Conflict

__all__ = ["Ends", "open_streams"]


@define
class Ends:
    """Our ends of one task's streams, until somebody attaches."""

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    terminal: int = -1
    """The master, of which who attaches gets copies."""
    with_stdin: bool = False
    """Whether who attaches may write to the terminal."""
    taken: bool = False

    def take(self) -> Streams:
        """Hand the ends over; Conflict the second time."""
        if self.taken:
            raise Conflict(
                "another client is attached already",
                hint="the supervisor `foreground` takes one at a time; use an exec",
            )
        if self.terminal >= 0:
            self.stdout = os.dup(self.terminal)
            self.stdin = os.dup(self.terminal) if self.with_stdin else -1
        self.taken = True
        found = Streams(self.stdin, self.stdout, self.stderr)
        self.stdin = self.stdout = self.stderr = -1
        return found

    def take_terminal(self, master: int, window: Window | None) -> None:
        """Take over the master that a runtime handed back; -1 is none."""
        self.terminal = master
        if master >= 0 and window:
            self.resize(window)

    def resize(self, window: Window) -> None:
        """Set the terminal's size; Conflict where there is none."""
        if self.terminal < 0:
            raise Conflict("the task has no terminal", hint="ask for one when it is created")
        termios.tcsetwinsize(self.terminal, (window.rows, window.columns))

    def close(self) -> None:
        """Close what wasn't handed over."""
        for each in (self.stdin, self.stdout, self.stderr, self.terminal):
            if each >= 0:
                os.close(each)
        self.stdin = self.stdout = self.stderr = self.terminal = -1


def open_streams(config: TaskConfig, child: ExitStack) -> tuple[Stdio, Ends]:
    """Make a task's streams. Leaving `child` closes the child's ends, which a runtime only borrows."""
    if config.terminal:
        return Stdio(terminal=True), Ends(with_stdin=config.stdin)
    ends = Ends()
    with ExitStack() as undo:
        undo.callback(ends.close)
        stdio = _pipes(config, ends, child)
        undo.pop_all()
    return stdio, ends


def _pipes(config: TaskConfig, ends: Ends, child: ExitStack) -> Stdio:
    if config.stdin:
        stdin, ends.stdin = os.pipe()
    else:
        stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    child.callback(os.close, stdin)
    ends.stdout, stdout = os.pipe()
    child.callback(os.close, stdout)
    ends.stderr, stderr = os.pipe()
    child.callback(os.close, stderr)
    return Stdio(stdin, stdout, stderr)
