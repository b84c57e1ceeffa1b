"""What is asked of this process, asked of the container: signals, the terminal's size, and its hanging up."""

import signal
from contextlib import suppress

from moby.contracts.supervisor import Supervisor
from moby.errors import Conflict
from moby_supervisor.run import terminal
from moby_supervisor.run.signals import Signals

__all__ = ["Forwarding"]

_INSISTING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT})
_PATIENCE = 3
"""So many of these in all kill a container that doesn't listen, as in docker's own client."""


class Forwarding:
    """Hands on to a task what comes.

    The third signal that asks for an end is SIGKILL. Once our terminal has hung up nobody can ask any more: the task
    gets SIGHUP, then SIGTERM, then SIGKILL, with `grace_s` seconds between. A SIGHUP that somebody sent is just
    handed on, as many programs take it for a wish to read their configuration again.
    """

    def __init__(
        self, supervisor: Supervisor, task: str, signals: Signals, *, with_terminal: bool, grace_s: float
    ) -> None:
        self._supervisor = supervisor
        self._task = task
        self._signals = signals
        self._with_terminal = with_terminal
        self._grace_s = grace_s
        self._insisted = 0
        self._controlled = terminal.controlled()
        self._hung_up = False
        self._next = [signal.SIGTERM, signal.SIGKILL]

    def take(self) -> None:
        """Hand on the signals that have come."""
        for number in self._signals.take():
            self._one(number)

    def hang_up(self) -> None:
        """Take notice that the terminal among our streams has hung up."""
        told, self._hung_up = self._hung_up, True
        if not told:
            self._kill(signal.SIGHUP)
            self._signals.alarm(self._grace_s)

    def _one(self, number: int) -> None:
        if number == signal.SIGALRM:
            self._insist()
        elif number == signal.SIGHUP:
            if self._gone():
                self.hang_up()
            else:
                self._kill(number)
                # The terminal may be about to go: when a session's leader ends, the kernel signals first.
                self._signals.alarm(self._grace_s)
        elif number == signal.SIGWINCH and self._with_terminal:
            window = terminal.window()
            if window:
                with suppress(Conflict):
                    self._supervisor.resize(self._task, window)
        else:
            self._insisted += number in _INSISTING
            last = number in _INSISTING and self._insisted >= _PATIENCE
            self._kill(signal.SIGKILL if last else number)

    def _insist(self) -> None:
        """Go one step further with a task whose terminal has gone."""
        if self._next and self._gone():
            self._kill(self._next.pop(0))
            self._signals.alarm(self._grace_s)

    def _gone(self) -> bool:
        return self._hung_up or (self._controlled and not terminal.controlled())

    def _kill(self, number: int) -> None:
        with suppress(Conflict):  # it has stopped, which the pump will see
            self._supervisor.kill(self._task, number)
