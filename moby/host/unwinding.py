"""Signals that end a process by way of every `finally`, so that nothing of it stays behind."""

import signal
import sys
from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["unwind_on"]

_AGAIN_S = 0.001
_usual: "list[Callable[[sys.UnraisableHookArgs], object]]" = []


def unwind_on(numbers: Iterable[int]) -> None:
    """Have the main thread raise SystemExit with 128+n where one of these signals comes that isn't ignored.

    A finalizer that it happens to be in swallows what it raises (sys.unraisablehook), and a SIGINT too; so the signal
    comes again after that.
    """
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _leave)
    if sys.unraisablehook is not _swallowed:
        _usual[:] = [sys.unraisablehook]
        sys.unraisablehook = _swallowed


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _swallowed(what: "sys.UnraisableHookArgs") -> None:
    """Have a signal come again; the usual for anything else."""
    number = _number(what.exc_value)
    if number:
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        _usual[0](what)


def _number(error: BaseException | None) -> int:
    """Return the signal that has raised something, or 0."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    code = error.code if isinstance(error, SystemExit) else None
    return code - 128 if isinstance(code, int) and 128 < code < 128 + signal.NSIG else 0
