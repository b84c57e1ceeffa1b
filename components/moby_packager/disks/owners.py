"""Whose the bytes of an image are that holds what another packager made, as it is."""

from collections.abc import Mapping

from moby.contracts.packager import FORMAT

__all__ = ["carried"]


def carried(sizes: Mapping[str, int], total_bytes: int) -> dict[str, int]:
    """Return the bytes of an image by owner: those of what it holds, and all else the format's.

    An image that is smaller than what it holds, since it is compressed, is divided as that was.
    """
    found = {owner: count for owner, count in sizes.items() if owner != FORMAT}
    whole = sum(found.values())
    if whole > total_bytes:
        found = {owner: count * total_bytes // whole for owner, count in found.items()}
    found[FORMAT] = total_bytes - sum(found.values())
    return dict(sorted(found.items()))
