"""Ends of blocks as contextlib has them, without its imports, which cost a short-lived command two milliseconds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any, TypeVar

    T = TypeVar("T")

__all__ = ["Undo", "suppress"]


class Undo:
    """Steps that are done in reverse when its block ends, whatever came of that: all of them, also where one fails.

    Then the last failure is raised. What it lends isn't told of errors, and can't swallow them.
    """

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def __enter__(self) -> Undo:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def callback(self, step: Callable[..., object], *arguments: Any) -> None:
        """Do this at the end."""
        self._steps.append((step, arguments))

    def enter_context(self, lent: AbstractContextManager[T]) -> T:
        """Enter something that is left at the end, and return what it gives."""
        found = lent.__enter__()
        self.callback(lent.__exit__, None, None, None)
        return found

    def pop_all(self) -> None:
        """Undo nothing of it any more."""
        self._steps.clear()

    def close(self) -> None:
        """Do the steps now."""
        failure: BaseException | None = None
        while self._steps:
            step, arguments = self._steps.pop()
            try:
                step(*arguments)
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure


class suppress:  # noqa: N801 - as contextlib calls it
    """Go on after the block where it fails with one of some errors."""

    __slots__ = ("_errors",)

    def __init__(self, *errors: type[BaseException]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        return kind is not None and issubclass(kind, self._errors)
