"""The smallest part of an assembly that still can't be resolved."""

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve, frozen

from moby.manifest.assembly import Assembly, Choice, Policy
from moby.resolver.findings import Finding
from moby.resolver.index import Index
from moby.resolver.selection import select

__all__ = ["TARGET", "Case", "described", "involved", "minimal"]

TARGET = "distribution.target"
"""The item that stands for the target host."""


@frozen
class Case:
    """What a resolution is asked: an assembly, and the installed parts with the target host."""

    assembly: Assembly
    index: Index

    def wrong(self) -> frozenset[tuple[str, ...]]:
        """Resolve, and return what is wrong."""
        return frozenset(finding.identity for finding in select(self.assembly, self.index).findings)

    def items(self) -> tuple[str, ...]:
        """Return the paths of all that can be taken away from it."""
        found = [item for choice in self.assembly.choices for item in _items(choice)]
        found += [removal.path for removal in self.assembly.removals]
        return (*found, TARGET) if self.index.target is not None else tuple(found)

    def only(self, kept: Iterable[str]) -> "Case":
        """Return what is left when all other items are taken away."""
        keep = frozenset(kept)
        assembly = evolve(
            self.assembly,
            choices=tuple(_only(choice, keep) for choice in self.assembly.choices if choice.path in keep),
            removals=tuple(removal for removal in self.assembly.removals if removal.path in keep),
        )
        return Case(assembly, self.index if TARGET in keep else self.index.anywhere())


def involved(case: Case, finding: Finding) -> tuple[str, ...]:
    """Return items that make a finding: with any one of them taken away, it is gone, though another may come."""

    def persists(kept: Sequence[str]) -> bool:
        return finding.identity in case.only(kept).wrong()

    items = case.items()
    related = {step.item for step in finding.steps}
    start = [item for item in items if item in related]
    return tuple(_shrunk(start if persists(start) else items, persists))


def minimal(case: Case, items: Sequence[str]) -> tuple[str, ...]:
    """Return those of some items that can't be together, of which any but one can.

    They may be fewer than those that make a finding: where a kind that nothing fills by itself is needed, needing it
    is a conflict already, and the part that was chosen badly only one way to meet it.
    """
    return tuple(_shrunk(items, lambda kept: bool(case.only(kept).wrong())))


def described(item: str) -> str:
    """Say what an item is."""
    if item == TARGET:
        return "the target host is given"
    parts = item.split(".", 3)
    if len(parts) == 2:
        return f"{parts[1]} is removed"
    key = f"{parts[1]}/{parts[2]}"
    return f"{key} is chosen" if len(parts) == 3 else f"{parts[3]} of {key} is given"


def _shrunk(items: Sequence[str], wrong: Callable[[Sequence[str]], bool]) -> list[str]:
    """Take away halves, quarters and so on while it stays wrong, then one by one until none can go."""
    kept = list(items)
    size = len(kept) // 2
    while size >= 1:
        start, shrank = 0, False
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if wrong(rest):
                kept, shrank = rest, True
            else:
                start += size
        # What was needed beside another item may be free without it, so single items are tried until all stay.
        size = size // 2 if size > 1 else int(shrank)
    return kept


def _items(choice: Choice) -> list[str]:
    path = choice.path
    given = {
        "version": choice.version,
        "default": choice.default,
        "served": choice.served,
        "policy": choice.policy is not Policy.REQUIRED,
    }
    options = sorted({*choice.config, *choice.open})
    return [
        path,
        *(f"{path}.{name}" for name, value in given.items() if value),
        *(f"{path}.config.{o}" for o in options),
    ]


def _only(choice: Choice, keep: frozenset[str]) -> Choice:
    path = choice.path
    return evolve(
        choice,
        version=choice.version if f"{path}.version" in keep else "",
        default=choice.default and f"{path}.default" in keep,
        served=choice.served and f"{path}.served" in keep,
        policy=choice.policy if f"{path}.policy" in keep else Policy.REQUIRED,
        config={name: value for name, value in choice.config.items() if f"{path}.config.{name}" in keep},
        open={name: value for name, value in choice.open.items() if f"{path}.config.{name}" in keep},
    )
