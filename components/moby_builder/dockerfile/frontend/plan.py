"""What the front end asks for, and what it gives: values between it and the rest of the builder."""

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import field, frozen

from moby.contracts.builder import Finding, Step
from moby.contracts.types import ImageReference, Platform
from moby_builder.dockerfile.operations import Node

__all__ = ["FoundImage", "Lookup", "Plan", "PlannedTarget"]


@frozen
class FoundImage:
    """An image that a FROM names: its config, and the name that means just this one."""

    reference: ImageReference
    """With the digest, where it has one."""
    config: Mapping[str, Any]
    """The whole config blob (image-spec, config.md)."""


class Lookup(Protocol):
    """Answers what a front end has to know while it reads; the only effects that it has. Thread-safe."""

    def image(self, node: Node) -> FoundImage:
        """Find the image of an ImageSource or LayoutSource, fetching its config; NotFound in docker's words."""
        ...

    def result(self, reference: str) -> Mapping[str, Any]:
        """Return the config of another build's result."""
        ...

    def file(self, node: Node, path: str, most_bytes: int) -> bytes:
        """Read a file of what a node makes; NotFound where it isn't there, Invalid where it is bigger."""
        ...


@frozen
class PlannedTarget:
    """What is to be built for one platform."""

    platform: Platform
    root: Node
    config: Mapping[str, Any]
    """Of the image: `Target.config`."""
    scan: Node | None = None
    """What brings the bills of materials of it that an image makes, as in-toto statements."""


@frozen
class Plan:
    """What a request comes to."""

    targets: tuple[PlannedTarget, ...] = ()
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    answers: Mapping[str, bytes] = field(factory=dict)
    """Of a request for something else; there are no targets then."""
    file: str = ""
    """Name of the Dockerfile."""
    source: str = ""
    """Its text, so that errors can show lines of it."""
