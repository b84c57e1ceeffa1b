"""Which modules of the standard library an engine's sources come to, found without importing anything."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

__all__ = ["Library", "closure"]

ALWAYS = (
    "abc", "codecs", "collections.abc", "copyreg", "encodings", "genericpath", "importlib", "io", "linecache", "ntpath",
    "os", "posixpath", "pkgutil", "re", "runpy", "site", "stat", "sysconfig", "traceback", "types", "warnings",
    "zipimport",
)  # fmt: skip
"""What an interpreter imports to start, to run an archive, and to tell about an error."""
BY_MACHINE_CODE: Mapping[str, tuple[str, ...]] = {
    "_asyncio": ("asyncio",), "_ctypes": ("ctypes",), "_datetime": ("_strptime",), "_decimal": ("numbers",),
    "_elementtree": ("copy", "xml.etree.ElementPath"), "_json": ("json",), "_pickle": ("_compat_pickle", "copyreg"),
    "_socket": ("socket",), "_sqlite3": ("sqlite3",), "_ssl": ("ssl",), "_zoneinfo": ("zoneinfo",),
    "datetime": ("_strptime",), "time": ("_strptime",), "pickle": ("_compat_pickle",),
}  # fmt: skip
"""What modules of machine code import, and others by names that are texts."""
WHOLE = ("encodings", "importlib", "re", "asyncio", "ctypes", "json", "concurrent")
"""Packages parts of which are imported by names that are texts; encodings are the host's choice."""
LEFT_OUT = (
    "_aix_support", "_android_support", "_ios_support", "_osx_support", "asyncio.windows_events",
    "asyncio.windows_utils", "ctypes._aix", "ctypes.macholib", "ctypes.test", "ctypes.wintypes", "encodings.mbcs",
    "encodings.oem", "multiprocessing.popen_spawn_win32", "sitecustomize", "usercustomize",
)  # fmt: skip
"""Parts for other systems, and what a host's own settings are."""
AT_A_TERMINAL = frozenset({
    "_pyrepl", "cmd", "code", "doctest", "idlelib", "pdb", "pydoc", "readline", "rlcompleter", "test", "tkinter",
    "turtle", "unittest",
})  # fmt: skip
"""What the library imports to be tried out or tested itself; it is taken where an engine's own sources import it."""
BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""Where statements are in others."""


@frozen
class Library:
    """Where a standard library lies: sources, and modules of machine code."""

    sources: Path
    natives: Path

    def source(self, name: str) -> Path | None:
        """Return the file of a module of Python."""
        base = self.sources / name.replace(".", "/")
        return next((each for each in (base / "__init__.py", base.with_suffix(".py")) if each.is_file()), None)

    def native(self, name: str) -> Path | None:
        """Return the file of a module of machine code."""
        found = sorted(self.natives.glob(f"{name}.*.so")) if "." not in name else []
        return found[0] if found else None

    def parts(self, package: str) -> Iterator[str]:
        """Return the modules right inside a package, and in those."""
        folder = self.sources / package.replace(".", "/")
        for path in sorted(folder.rglob("*.py")) if folder.is_dir() else ():
            names = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(each for each in names if each != "__init__")])


def closure(library: Library, sources: Iterable[bytes]) -> dict[str, Path]:
    """Return the files of all modules of the library that sources import, and that those import, by module."""
    waiting = [*ALWAYS, *(name for source in sources for name in _imported(source, "", package=False))]
    found: dict[str, Path] = {}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(LEFT_OUT):
            continue
        seen.add(name)
        waiting += _parents(name)
        waiting += BY_MACHINE_CODE.get(name, ())
        waiting += library.parts(name) if name in WHOLE else ()
        native, path = library.native(name), library.source(name)
        if native is not None:
            found[name] = native
        elif path is not None:
            found[name] = path
            inner = _imported(path.read_bytes(), name, package=path.name == "__init__.py")
            waiting += [each for each in inner if each.partition(".")[0] not in AT_A_TERMINAL]
    return dict(sorted(found.items()))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Return all statements: imports are in no expression, and most nodes are expressions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.expr):
            for block in BLOCKS:
                waiting += getattr(node, block, ())


def _parents(name: str) -> Sequence[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imported(source: bytes, name: str, *, package: bool) -> Iterator[str]:
    """Return the names that a source imports, anywhere; a name that is imported from a module may be one too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: len(name.split(".")) - node.level + package] if node.level else []
            parent = ".".join([*base, *([node.module] if node.module else [])])
            if parent:
                yield parent
                yield from (f"{parent}.{alias.name}" for alias in node.names if alias.name != "*")
