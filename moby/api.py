"""The same as the command line, from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from moby.distribution import Distribution
    from moby.engine import Engine
    from moby.manifest.assembly import Assembly
    from moby.plan import Plan
    from moby.registry import Catalog

__all__ = ["assemble", "load", "resolve", "start"]


def load(path: str | Path, *, sets: Sequence[str] = ()) -> "Assembly":
    """Read a manifest, or the shipped one of that name; Invalid carries all problems."""
    from moby import manifest
    from moby.resolution import fetched

    return manifest.load(str(path), sets=tuple(sets), fetch=fetched)


def resolve(
    assembly: "Assembly", catalog: "Catalog | None" = None, *, target: Mapping[str, Any] | str | None = None
) -> "Plan":
    """Turn an assembly into a plan, with the installed components unless others are given.

    `target` is the host: `any`, `host`, the path of a facts file, or facts; what the assembly says unless given.
    Invalid carries every problem.
    """
    from moby import registry, resolver
    from moby.target import target_facts

    installed = registry.discover() if catalog is None else catalog
    asked = assembly.distribution.target if target is None else target
    facts = target_facts(asked, installed) if isinstance(asked, str) else asked
    return resolver.resolve(assembly, installed, target=facts)


def assemble(
    path: str | Path,
    out: str | Path = "dist",
    *,
    sets: Sequence[str] = (),
    formats: Sequence[str] = (),
    locked: bool = False,
) -> "Distribution":
    """Generate a distribution from a manifest into `out`/NAME, in the formats that it names or in others.

    With `locked` Invalid names everything that isn't as `moby lock` wrote it down.
    """
    from moby import distribution

    return distribution.assemble(str(path), Path(out), sets=tuple(sets), formats=tuple(formats), locked=locked)


def start(plan: "Plan", root: str | Path | None = None) -> "AbstractContextManager[Engine]":
    """Run a plan in this process until the `with` block ends."""
    from moby import engine

    return engine.start(plan, root)
