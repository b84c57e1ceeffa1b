"""The choice of one image among those of an index, by platform (image-spec, image-index.md, platform)."""

from collections.abc import Callable, Iterable

from moby.contracts.types import Platform
from moby.oci.image import Descriptor

__all__ = ["choose", "is_attestation", "rank"]


def choose(
    descriptors: Iterable[Descriptor], wanted: Platform, usable: Callable[[Descriptor], bool] = lambda each: True
) -> Descriptor | None:
    """Return the best for a platform: its variant, else any, else one of no platform; the first of equals."""
    best: tuple[int, Descriptor] | None = None
    for each in descriptors:
        found = rank(each.platform, wanted)
        if found and not is_attestation(each) and (best is None or found > best[0]) and usable(each):
            best = found, each
    return best[1] if best else None


def rank(offered: Platform | None, wanted: Platform) -> int:
    """Return how well a platform serves another; 0 is not at all."""
    if offered is None:
        return 1
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return 0
    return 4 if offered.variant == wanted.variant else 3 if not offered.variant else 2 if not wanted.variant else 0


def is_attestation(descriptor: Descriptor) -> bool:
    """Say whether it is about another image, and none itself."""
    platform = descriptor.platform
    return platform is not None and platform.os == "unknown"
