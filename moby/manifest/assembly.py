"""An assembly as values: what a manifest, with everything that it extends and every flag, asks for."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from moby.errors import Origin

__all__ = ["Assembly", "Choice", "DistributionChoice", "Policy", "Removal", "Setting"]


class Policy(StrEnum):
    """What becomes of an engine whose part fails to start: it fails, goes on without, or never had it here."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    SKIP_IF_UNFIT = "skip-if-unfit"


@frozen
class Setting:
    """A value that was given at one place; None is a removal."""

    value: Any
    origin: Origin
    written: str = ""
    """As it was written, where that isn't the value: a text that names parameters, the digits of a number."""


@frozen
class Choice:
    """A part that the assembly chooses."""

    kind: str
    use: str
    """Name of the component, without its kind."""
    name: str
    """`as`, else the same as `use`; unique in its kind."""
    version: str = ""
    """A range of component versions; empty is any."""
    config: Mapping[str, Any] = field(factory=dict)
    """Options as given, as JSON carries them; what is left open is in `open`, not here."""
    open: Mapping[str, Any] = field(factory=dict)
    """Options that may be set when the engine starts, with their defaults."""
    default: bool = False
    served: bool = False
    policy: Policy = Policy.REQUIRED

    @property
    def path(self) -> str:
        """Path in the assembly, as `components.KIND.NAME`."""
        return f"components.{self.kind}.{self.name}"


@frozen
class Removal:
    """A kind that the assembly says it will not have."""

    kind: str

    @property
    def path(self) -> str:
        """Path in the assembly, as `components.KIND`."""
        return f"components.{self.kind}"


@frozen
class DistributionChoice:
    """What is to be generated."""

    formats: tuple[str, ...] = ("pyz",)
    config: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    """Options of a packager by format."""
    budget_bytes: int | None = None
    target: str = "any"
    """`any`, or the path of a facts file."""


@frozen
class Assembly:
    """What a user asked for, whole, with the origin of every value."""

    name: str
    choices: tuple[Choice, ...] = ()
    """Sorted by kind, then name."""
    removals: tuple[Removal, ...] = ()
    """Sorted by kind."""
    distribution: DistributionChoice = field(factory=DistributionChoice)
    parameters: Mapping[str, Any] = field(factory=dict)
    origins: Mapping[str, tuple[Setting, ...]] = field(factory=dict, repr=False)
    """By path (`components.runtime.runc.config.binary`): all that was said there, the winning setting last."""
    files: tuple[str, ...] = ()
    """All files that were read, in the order of merging."""
    digests: Mapping[str, str] = field(factory=dict)
    """SHA-256 of each of the files, in hexadecimal."""

    def where(self, path: str) -> Origin | None:
        """Return where the value at a path, or else at the nearest path above it, was written last."""
        while path:
            settings = self.origins.get(path)
            if settings:
                return settings[-1].origin
            path = path.rpartition(".")[0]
        return None
