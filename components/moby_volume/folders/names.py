"""Names of volumes that are names of folders too."""

import re

from moby.errors import Invalid

__all__ = ["check"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONGEST = 255
"""Bytes of a file's name (limits.h, NAME_MAX)."""


def check(name: str, ending: str = "") -> None:
    """Refuse what can't be one folder's name, nor with an ending a file's, whoever let it through: Invalid."""
    longest = _LONGEST - len(ending)
    if len(name) > longest:
        raise Invalid(f"the name {name[:40]!r}... is too long for a volume", hint=f"the longest is {longest}")
    if not _NAME.fullmatch(name):
        raise Invalid(f"{name!r} is no name of a volume", hint=f"a name matches {_NAME.pattern}")
