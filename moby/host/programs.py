"""Where programs of the host's are: on PATH, or in administrators' folders, which an ordinary user's PATH lacks."""

import os
import shutil

__all__ = ["find", "search_path"]

_ADMINISTRATORS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """Return the caller's PATH, with the folders of administrators behind it."""
    own = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*own, *(each for each in _ADMINISTRATORS if each not in own)])


def find(name: str) -> str | None:
    """Return the path of a program; None where there is none."""
    return shutil.which(name, path=search_path())
