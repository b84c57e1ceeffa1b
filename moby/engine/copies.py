"""The archive that a distribution is, and the copy of it that a long-lived process imports from."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.surroundings import Roots

__all__ = ["archive", "copied", "import_from_copy"]


def archive() -> Path | None:
    """Return the archive that this process imports the framework from; None where it is a folder."""
    found = getattr(__loader__, "archive", None)  # type: ignore[name-defined]
    return Path(found).absolute() if found else None


def copied(roots: Roots) -> Path | None:
    """Return a copy of the archive in the run folder, named by its content; None where there is no archive."""
    from moby.served.stored import stored_copy

    own, folder = archive(), roots.run / "distributions"
    return own if own is None or own.parent == folder else stored_copy(folder, own)


def import_from_copy(roots: Roots) -> None:
    """Import from a copy of the archive from now on, so that replacing the archive breaks no later import.

    To start again from the copy would take longer than all else of a start: the modules that are there stay.
    """
    own, copy = archive(), copied(roots)
    if own is None or copy is None or own == copy:
        return
    from zipimport import zipimporter

    _know_directory(copy, __loader__.archive)  # type: ignore[name-defined]
    loaders: dict[str, zipimporter] = {}
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        loader = getattr(spec, "loader", None)
        if spec is None or not isinstance(loader, zipimporter) or Path(loader.archive).absolute() != own:
            continue
        inside = loader.prefix
        if inside not in loaders:
            loaders[inside] = zipimporter(str(copy / inside) if inside else str(copy))
        spec.loader = module.__loader__ = loaders[inside]
        if spec.submodule_search_locations is not None:
            places = [str(copy / Path(each).absolute().relative_to(own)) for each in spec.submodule_search_locations]
            spec.submodule_search_locations[:] = places
            module.__path__ = spec.submodule_search_locations
    sys.path[:] = [str(copy) if each and Path(each).absolute() == own else each for each in sys.path]


def _know_directory(copy: Path, original: str) -> None:
    """Have zipimport know what is where in a copy as it does of the original: to read that anew takes 11 ms."""
    import zipimport

    known = getattr(zipimport, "_zip_directory_cache", {})  # CPython's own; without it the copy's is read
    files = known.get(original)
    if files and _has(copy, files):
        path = str(copy)
        known[path] = {name: each and (f"{path}/{name}", *each[1:]) for name, each in files.items()}


def _has(archive: Path, files: Mapping[str, Any]) -> bool:
    """Whether the last file of a directory is in an archive where that says, as it isn't in one made meanwhile."""
    name, (_, _, _, _, offset, _, _, crc) = max(
        ((name, each) for name, each in files.items() if each), key=lambda item: item[1][4]
    )
    with archive.open("rb", buffering=0) as file:
        file.seek(offset)
        head = file.read(30 + len(name.encode()))  # as of APPNOTE.TXT, 4.3.7
    return head[:4] == b"PK\3\4" and int.from_bytes(head[14:18], "little") == crc and head[30:] == name.encode()
