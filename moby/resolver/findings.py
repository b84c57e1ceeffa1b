"""What the resolver finds wrong with an assembly, as values that can be compared between two resolutions."""

import difflib
from collections.abc import Iterable

from attrs import frozen

__all__ = ["Finding", "Step", "a", "listed", "nearest"]


@frozen
class Step:
    """One step of a because-chain; `item` is the path in the assembly of what the user wrote, if it is that."""

    text: str
    item: str = ""


@frozen
class Finding:
    """One thing that is wrong. `code` and `subject` stay the same while it does, whatever else is edited."""

    code: str
    subject: tuple[str, ...]
    message: str
    path: str
    """Where in the assembly it shows."""
    steps: tuple[Step, ...] = ()
    kinds: tuple[str, ...] = ()
    """Kinds that an edit may want to touch."""
    host: bool = False
    """Whether it is the target host that doesn't fit."""

    @property
    def identity(self) -> tuple[str, ...]:
        """What it is, to be looked for after an edit."""
        return (self.code, *self.subject)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`, or an empty string where none is like it."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return near[0] if near else ""


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence carries them; `none` where there are none, cut where there are very many."""
    found = sorted(names)
    shown = ", ".join(found[:20])
    return f"{shown} and {len(found) - 20} more" if len(found) > 20 else shown or "none"


def a(kind: str) -> str:
    """Put the article before a kind, where it is one that is counted."""
    if kind.endswith("s") or kind in ("metadata", "content", "discovery"):
        return kind
    return f"{'an' if kind[:1] in 'aeio' else 'a'} {kind}"
