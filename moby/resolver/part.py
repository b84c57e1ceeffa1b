"""A part that is to be in the engine, while its assembly is being resolved."""

from typing import Optional

from attrs import define

from moby.component import Arity, Facts, Need
from moby.contracts.command import THROUGH_FRONTEND
from moby.manifest.assembly import Choice
from moby.resolver.findings import Step, a

__all__ = ["Part"]


@define(eq=False)
class Part:
    """A chosen part, or one that fills a kind for its first consumer."""

    kind: str
    name: str
    facts: Facts
    choice: Choice | None
    consumer: Optional["Part"] = None
    default: bool = False
    key: str = ""

    def __attrs_post_init__(self) -> None:
        self.key = f"{self.kind}/{self.name}"

    def wants(self, need: Need) -> bool:
        """Tell whether a need of its is to be filled where nothing is chosen."""
        return need.arity is not Arity.OPTIONAL or THROUGH_FRONTEND in self.facts.provides

    def lineage(self) -> "list[Part]":
        """Return the parts that led to this one, from the user's choice on, itself last."""
        line: list[Part] = []
        part: Part | None = self
        while part is not None:
            line.append(part)
            part = part.consumer
        return line[::-1]

    def path(self) -> str:
        """Return where in the assembly the choice stands that led to it."""
        choice = self.lineage()[0].choice
        return choice.path if choice else "components"

    def because(self) -> tuple[Step, ...]:
        """Return the steps that led to it."""
        steps = []
        for part in self.lineage():
            if part.choice is not None:
                steps.append(Step(f"{part.key} is chosen", part.choice.path))
            elif part.consumer is not None:
                steps.append(Step(f"{part.consumer.key} needs {a(part.kind)}, and {part.key} fills it: preferred"))
        return tuple(steps)

    def kinds(self) -> tuple[str, ...]:
        """Return its kind, and the kinds of the parts that led to it, the nearest first."""
        return tuple(part.kind for part in reversed(self.lineage()))
