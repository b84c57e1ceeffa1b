"""Names of volumes that are names of folders too."""

import re

from moby.errors import Invalid

__all__ = ["check"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONGEST = 250
"""Bytes of a file's name (limits.h, NAME_MAX), without those of `.json`: there are files of that name, too."""


def check(name: str) -> None:
    """Refuse what can't be one folder's name, whoever let it through: Invalid."""
    if len(name) > _LONGEST:
        raise Invalid(f"the name {name[:40]!r}... is too long for a volume", hint=f"the longest is {_LONGEST}")
    if not _NAME.fullmatch(name):
        raise Invalid(f"{name!r} is no name of a volume", hint=f"a name matches {_NAME.pattern}")
