"""What holds for all stages of a plan."""

from collections.abc import Mapping

from attrs import field, frozen

from moby.contracts.builder import Request
from moby.contracts.types import Platform
from moby_builder.dockerfile.frontend.contexts import Contexts
from moby_builder.dockerfile.frontend.plan import Lookup

__all__ = ["Surroundings"]


@frozen
class Surroundings:
    """What is asked for, for one platform."""

    request: Request
    lookup: Lookup
    contexts: Contexts
    platform: Platform
    several: bool = False
    """Whether there are other platforms too."""
    arguments: Mapping[str, str] = field(factory=dict)
    """What a stage gets of arguments that it declares: those of the platforms, and the file's own."""
    predefined: Mapping[str, str] = field(factory=dict)
    """Those of the platforms alone."""
    escape: str = "\\"
    epoch_s: int | None = None
