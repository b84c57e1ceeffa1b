"""Much that is changed in the metadata, in portions: some stores make no more than some hundred changes at once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["portions"]

T = TypeVar("T")
_MOST_CHANGES = 120


def portions(things: Iterable[T], changes: int = 1) -> Iterator[Sequence[T]]:
    """Yield things, as many together as go into a transaction, each with so many changes at most."""
    left, most = list(things), _MOST_CHANGES // changes
    for at in range(0, len(left), most):
        yield left[at : at + most]
