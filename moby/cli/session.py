"""What most verbs begin with: the assembly, the installed components, and the plan that they come to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moby.manifest.assembly import Assembly
    from moby.plan import Plan
    from moby.registry import Catalog

__all__ = ["assembly", "catalog", "plan"]


def assembly(file: str, sets: Sequence[str] = ()) -> "Assembly":
    """Load a manifest by path or by the name of a shipped one."""
    from moby import manifest
    from moby.resolution import fetched

    return manifest.load(file, sets=tuple(sets), fetch=fetched)


def catalog() -> "Catalog":
    """Discover the installed components."""
    from moby import registry

    return registry.discover()


def plan(file: str, sets: Sequence[str] = (), target: str = "") -> "tuple[Assembly, Catalog, Plan]":
    """Resolve a manifest; Invalid carries the problems of reading it, of its engine and of its formats."""
    from moby.resolution import resolve_file

    found = resolve_file(file, sets=sets, target=target, catalog=catalog())
    return found.assembly, found.catalog, found.engine
