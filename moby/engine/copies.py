"""The archive that a distribution is, and the copy of it that a long-lived process imports from."""

import sys
from pathlib import Path

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

    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        loader = getattr(spec, "loader", None)
        if spec is None or not isinstance(loader, zipimporter) or Path(loader.archive).absolute() != own:
            continue
        spec.loader = module.__loader__ = zipimporter(str(copy / loader.prefix) if loader.prefix else str(copy))
        if spec.submodule_search_locations is not None:
            places = [str(copy / Path(each).absolute().relative_to(own)) for each in spec.submodule_search_locations]
            spec.submodule_search_locations[:] = places
            module.__path__ = spec.submodule_search_locations
    sys.path[:] = [str(copy) if each and Path(each).absolute() == own else each for each in sys.path]
