"""The versions of the API that a front end answers."""

import re

from moby.errors import Invalid
from moby_frontend.docker.call import Version
from moby_frontend.docker.parts import HIGHEST, LOWEST, spelled

__all__ = ["bounds"]


def bounds(lowest: str, highest: str) -> tuple[Version, Version]:
    """Return the oldest and the newest version; Invalid where one is none of ours, or they are the wrong way round."""
    low, high = _version(lowest), _version(highest)
    if not LOWEST <= low <= high <= HIGHEST:
        raise Invalid(
            f"API versions {lowest} to {highest} can't be answered",
            hint=f"choose within {spelled(LOWEST)} and {spelled(HIGHEST)}, the lowest first",
        )
    return low, high


def _version(text: str) -> Version:
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text)
    if not match:
        raise Invalid(f"{text!r} is no version of the API", hint="write one as 1.47")
    return int(match[1]), int(match[2])
