"""Where programs of the host's are: on PATH, or in administrators' folders, which an ordinary user's PATH lacks."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["find", "search_path", "surroundings"]

_ADMINISTRATORS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """Return the caller's PATH, with the folders of administrators behind it."""
    own = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*own, *(each for each in _ADMINISTRATORS if each not in own)])


def find(name: str) -> str | None:
    """Return the path of a program; None where there is none."""
    return shutil.which(name, path=search_path())


@contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """Lend the environment in which a program tells its version: what it makes for that, as crun does, goes again."""
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="moby-version-")
    except OSError:  # nothing can be written here, so what is made elsewhere is the lesser evil
        yield dict(os.environ)
        return
    try:
        yield {**os.environ, "XDG_RUNTIME_DIR": folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
