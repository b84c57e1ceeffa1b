"""Importing from the archive that a distribution is."""

import sys
from zipimport import zipimporter

__all__ = ["Archive", "read_once"]


class Archive(zipimporter):
    """Reads each module once: by itself zipimport reads and decodes it to say its file's name, and again to run it."""

    def get_filename(self, fullname: str) -> str:
        """Return where a module's source is; ZipImportError where it isn't there."""
        name = fullname.rpartition(".")[2]
        return f"{self.archive}/{self.prefix}{name}{'/__init__' if self.is_package(fullname) else ''}.py"


def read_once() -> None:
    """Have what is imported from archives from now on be read once; a repeated call does nothing."""
    if zipimporter in sys.path_hooks:
        sys.path_hooks[sys.path_hooks.index(zipimporter)] = Archive
        for path, finder in [*sys.path_importer_cache.items()]:
            if type(finder) is zipimporter:
                del sys.path_importer_cache[path]
