"""What exports are given: what a build was solved to, and what is known of how."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from attrs import field, frozen

from moby.contracts.builder import Request
from moby.contracts.types import Digest, Platform
from moby_builder.dockerfile.operations import Node
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["Begin", "Kept", "Origin", "Solution", "Solved"]

Begin = Callable[[str], AbstractContextManager[Watch]]
"""Tells that an export of this name begins, lends what hears of it, and tells that it ended."""


@frozen
class Kept:
    """A step's result as the cache has it: a record, and the keys that it is found by."""

    keys: tuple[str, ...]
    identity: str
    """What keys of steps on it are made of."""
    snapshot: str
    created_ns: int = 0


@frozen
class Solved:
    """What was built for one platform."""

    platform: Platform
    snapshot: str
    """Key of its file system; empty is an empty one."""
    config: Mapping[str, Any]
    """Of its image (image-spec, config.md), without `rootfs`."""
    base: str = ""
    """Key of the snapshot of the image that it is built on; empty for none."""
    root: Node | None = None
    """The step that made it."""
    identities: Mapping[Digest, str] = field(factory=dict)
    """By digests of nodes, what the sources stood for."""
    kept: tuple[Kept, ...] = ()
    """Of all steps that it took."""
    bills: str | None = None
    """Key of a tree of statements, where an image made bills of materials of it."""


@frozen
class Origin:
    """How a build was asked for, and when."""

    request: Request = field(factory=Request)
    file: str = "Dockerfile"
    source: str = ""
    """Text of the Dockerfile."""
    started_ns: int = 0
    completed_ns: int = 0


@frozen
class Solution:
    """What a request was solved to."""

    targets: tuple[Solved, ...]
    origin: Origin = field(factory=Origin)
    epoch_s: int | None = None
    """SOURCE_DATE_EPOCH, where times of what is made are to be that."""
