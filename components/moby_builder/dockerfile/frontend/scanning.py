"""Scans: an image that makes the bills of materials of what was built (buildkit, attestations/sbom-protocol.md)."""

from collections.abc import Iterator, Mapping, Sequence

from moby.contracts.builder import Request
from moby.contracts.types import Platform
from moby.errors import Invalid
from moby.oci import reference as references
from moby.values import evolve
from moby_builder.dockerfile.frontend import platforms
from moby_builder.dockerfile.frontend.plan import Lookup, PlannedTarget
from moby_builder.dockerfile.operations import (
    Copy,
    CopySource,
    EmptySource,
    ImageSource,
    MakeFolder,
    MountKind,
    Node,
    Run,
    RunMount,
)

__all__ = ["scanned"]

_SOURCE = "/run/src/core/sbom"
_DESTINATION = "/run/out"
_OURS = frozenset({"type", "generator", "inline-only", "filename"})
"""Attributes that the image isn't told of."""


def scanned(targets: Sequence[PlannedTarget], request: Request, lookup: Lookup) -> tuple[PlannedTarget, ...]:
    """Return targets with what makes their bills, where an image is to; Invalid for an image that says no command."""
    attributes = request.attestations.get("sbom", {})
    if not attributes.get("generator"):
        return tuple(targets)
    reference, platform = references.parse(attributes["generator"]), platforms.normalize(Platform.host())
    wanted = ImageSource(reference, platform, request.pull)
    found = lookup.image(Node(wanted, platform=platform, name=f"[internal] load metadata for {reference}"))
    told = found.config.get("config") or {}
    command = (*(told.get("Entrypoint") or ()), *(told.get("Cmd") or ()))
    if not command:
        raise Invalid(f"scanner {reference} does not have cmd", hint="name an image that makes bills of materials")
    run = Run(
        command, tuple(_environment(told.get("Env") or (), attributes)), told.get("WorkingDir") or "/",
        mounts=(RunMount(MountKind.TMPFS, "/tmp"), RunMount(MountKind.BIND, _SOURCE, input=1)),  # noqa: S108
        network=request.network, limits=request.limits,
    )  # fmt: skip
    image = Node(ImageSource(found.reference, platform), platform=platform, name=f"[internal] FROM {reference}")
    place = Node(MakeFolder(_DESTINATION), (image,), platform)
    return tuple(evolve(each, scan=_scan(each, run, place, f"{reference}", request)) for each in targets)


def _scan(target: PlannedTarget, run: Run, place: Node, name: str, request: Request) -> Node:
    """Return what brings the statements that an image makes of a target, and nothing else."""
    made = Node(
        run, (place, target.root), place.platform, ignore_cache=request.no_cache,
        name=f"[{target.platform}] generating sbom using {name}",
    )  # fmt: skip
    taken = Copy((CopySource(1, f"{_DESTINATION}/*.json"),), "/")
    nothing = Node(EmptySource(), platform=place.platform)
    return Node(taken, (nothing, made), place.platform, name=f"[{target.platform}] taking the sbom of {name}")


def _environment(given: Sequence[str], attributes: Mapping[str, str]) -> Iterator[str]:
    yield from given
    yield f"BUILDKIT_SCAN_DESTINATION={_DESTINATION}/"
    yield f"BUILDKIT_SCAN_SOURCE={_SOURCE}"
    yield from (f"BUILDKIT_SCAN_{name}={value}" for name, value in sorted(attributes.items()) if name not in _OURS)
