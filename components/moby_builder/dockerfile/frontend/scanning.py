"""Scans: an image that makes the bills of materials of what was built (buildkit, attestations/sbom-protocol.md)."""

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from moby.contracts.builder import Request
from moby.contracts.types import Platform
from moby.errors import Invalid
from moby.oci import reference as references
from moby.values import evolve
from moby_builder.dockerfile.frontend import platforms
from moby_builder.dockerfile.frontend.plan import Lookup, PlannedTarget
from moby_builder.dockerfile.frontend.stages import Site
from moby_builder.dockerfile.frontend.surroundings import Surroundings
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

__all__ = ["Extra", "extras", "scanned"]

_SOURCE = "/run/src/core/sbom"
_EXTRAS = "/run/src/extras/"
_DESTINATION = "/run/out"
_OURS = frozenset({"type", "generator", "inline-only", "filename"})
"""Attributes that the image isn't told of."""
_CONTEXT, _STAGE = "BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"
_TRUE, _FALSE = frozenset({"1", "t", "true"}), frozenset({"0", "f", "false", ""})


@frozen
class Extra:
    """What is scanned besides a target."""

    name: str
    root: Node


def extras(target: Site, needed: Sequence[Site], around: Surroundings) -> tuple[Extra, ...]:
    """Return the stages, of those that a target needs, and the context, if they are to be scanned too."""
    if not around.request.attestations.get("sbom", {}).get("generator"):
        return ()
    found = [Extra(site.label, site.root) for site in needed if site is not target and _wants(site, _STAGE, around)]
    if any(_wants(site, _CONTEXT, around) for site in needed):
        if around.contexts.folder is not None:
            around.contexts.folder.use("/")
        found.append(Extra("context", around.contexts.main()))
    return tuple(found)


def _wants(site: Site, name: str, around: Surroundings) -> bool:
    """Whether an argument is true for a stage, or lists it: its own, else the file's, else the request's."""
    given = around.arguments.get(name, around.request.arguments.get(name))
    value = (site.declared.get(name, given) or "").strip()
    if value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    return site.origin.name.lower() in [each.strip().lower() for each in value.split(",") if each.strip()]


def scanned(
    targets: Sequence[PlannedTarget], others: Sequence[Sequence[Extra]], request: Request, lookup: Lookup
) -> tuple[PlannedTarget, ...]:
    """Return targets with what makes their bills, where an image is to; Invalid for an image that says no command.

    `others` are what is scanned besides each.
    """
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
    return tuple(
        evolve(each, scan=_scan(each, more, run, place, f"{reference}", request))
        for each, more in zip(targets, others, strict=True)
    )


def _scan(target: PlannedTarget, more: Sequence[Extra], run: Run, place: Node, name: str, request: Request) -> Node:
    """Return what brings the statements that an image makes of a target, and nothing else."""
    if more:
        mounts = [
            RunMount(MountKind.BIND, f"{_EXTRAS}sbom-{each.name}", input=number)
            for number, each in enumerate(more, start=2)
        ]
        told = (*run.environment, f"BUILDKIT_SCAN_SOURCE_EXTRAS={_EXTRAS}")
        run = evolve(run, environment=told, mounts=(*run.mounts, *mounts))
    made = Node(
        run, (place, target.root, *(each.root for each in more)), place.platform, ignore_cache=request.no_cache,
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
