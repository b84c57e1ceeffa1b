"""What makes a Protocol the contract of a kind of component."""

from collections.abc import Callable
from typing import Any, TypeVar

from moby.values import frozen

__all__ = ["Kind", "contract", "is_of_thread", "is_repeatable", "kind_of", "of_thread", "repeatable"]

P = TypeVar("P")
F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__moby_kind__"
_REPEATABLE = "__moby_repeatable__"
_OF_THREAD = "__moby_of_thread__"


@frozen
class Kind:
    """A job that parts of an engine do: its id, the version of its contract, how many an engine may have."""

    id: str
    version: int
    many: bool = False
    summary: str = ""
    apart: tuple[str, ...] = ()
    """Attributes that are true of every part that is called in another process, whatever it says itself."""


def contract(
    kind: str, *, version: int, many: bool = False, apart: tuple[str, ...] = ()
) -> Callable[[type[P]], type[P]]:
    """Mark a Protocol as the contract of `kind`; third parties may bring kinds of their own."""

    def mark(protocol: type[P]) -> type[P]:
        summary = (protocol.__doc__ or "").strip().partition("\n")[0]
        setattr(protocol, _MARK, Kind(kind, version, many, summary, apart))
        return protocol

    return mark


def kind_of(annotation: Any) -> Kind | None:
    """Return the kind that a type is the contract of, or None."""
    found = vars(annotation).get(_MARK) if isinstance(annotation, type) else None
    return found if isinstance(found, Kind) else None


def repeatable(method: F) -> F:
    """Mark a contract's method as one that may be called again where its answer was lost: it reads, or is idempotent.

    Where a part is in another process that is restarted meanwhile, such calls are repeated; others raise Unavailable.
    """
    setattr(method, _REPEATABLE, True)
    return method


def of_thread(method: F) -> F:
    """Mark a contract's method that returns a context manager which holds for the thread that is in it.

    Where a part is in another process, what that thread calls until it leaves, objects of the part included, is called
    by the one thread there that has entered.
    """
    setattr(method, _OF_THREAD, True)
    return method


def is_of_thread(method: Callable[..., Any]) -> bool:
    """Return whether a contract's method returns a context manager which holds for the thread that is in it."""
    return getattr(method, _OF_THREAD, False) is True


def is_repeatable(method: Callable[..., Any]) -> bool:
    """Return whether a contract's method may be called again where its answer was lost."""
    return getattr(method, _REPEATABLE, False) is True
