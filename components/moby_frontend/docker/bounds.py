"""The versions of the API that a front end answers."""

import re

from moby.errors import Invalid
from moby_frontend.docker.call import Version
from moby_frontend.docker.parts import HIGHEST, LOWEST, spelled

__all__ = ["bounds", "version"]


def bounds(lowest: str, highest: str) -> tuple[Version, Version]:
    """Return the oldest and the newest version; Invalid where one is none of ours, or they are the wrong way round."""
    low, high = version(lowest), version(highest)
    if low > high:
        raise Invalid(f"no version of the API is from {lowest} to {highest}", hint="let lowest_api be the older one")
    return low, high


def version(text: str) -> Version:
    """Return a version that this front end can answer; Invalid for all else."""
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text)
    if not match:
        raise Invalid(f"{text!r} is no version of the API", hint="write one as 1.47")
    found = int(match[1]), int(match[2])
    if not LOWEST <= found <= HIGHEST:
        hint = f"choose one from {spelled(LOWEST)} to {spelled(HIGHEST)}"
        raise Invalid(f"version {text} of the API can't be answered", hint=hint)
    return found
