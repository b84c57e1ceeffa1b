"""A command whose modules are read from one file, beside the interpreter's own bytecode, and run at once.

Looking for each module, opening and reading it takes as long as a container's start. The file is a cache as those in
`__pycache__` are: the first call of a verb that may write there makes it of what it has imported, and one that has
imported more adds that. It counts for the interpreter, the import path and the sources that it was made of alone;
else, and for what it lacks, modules are imported as ever. What modules have worked out that takes long is kept too.
"""

from __future__ import annotations

import gc
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib import machinery
    from importlib.util import cache_from_source
    from types import CodeType, ModuleType
    from typing import Any

    Kept = tuple[str, str, bool, int, int, CodeType]
    """A module: its name, its source, whether it is a package, when that was changed, its size, and what it runs."""
else:
    import _frozen_importlib_external as machinery
    from _frozen_importlib_external import cache_from_source

__all__ = ["VERBS", "Together", "begin"]

VERBS = frozenset(
    ("checkpoint", "create", "delete", "events", "exec", "features", "kill", "list", "pause", "ps", "restore",
     "resume", "run", "spec", "start", "state", "update")
)  # fmt: skip
"""Those that have a file each; told here, since the table of the command's verbs is a module that is in there."""
_PACKAGES = frozenset({"__future__", "moby", "moby_runtime"})
"""Whose modules are kept: none of them needs itself to be imported, as some of the standard library do."""
_REMEMBERED = "moby_runtime.records.remembered"
"""That which has what others have worked out."""


def begin(program: str) -> Callable[[], None]:
    """Run what is kept for the verb of this process's command line; return what keeps the rest, for its end."""
    gc.disable()  # for good, as of what lives for milliseconds
    verb = next((word for word in sys.argv[1:] if word in VERBS), "")
    together = Together(os.path.dirname(__file__), f"{program}-{verb}")
    together.load()
    return together.keep


class Together:
    """The modules of one name, kept where bytecode of a folder is; made before they are imported."""

    def __init__(self, folder: str, name: str) -> None:
        self._path = f"{cache_from_source(f'{folder}/{name}.py').removesuffix('.pyc')}.together"
        self._valid_for = (sys.version, sys.flags.optimize, tuple(map(str, sys.path)))
        self._kept: list[Kept] = []
        self._results: dict[bytes, Any] = {}
        self._noted = _Noted()

    def load(self) -> None:
        """Run all modules that are kept and true still, and note what is imported from here on."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.read(fd, os.fstat(fd).st_size)
            finally:
                os.close(fd)
            valid_for, kept, results = marshal.loads(data)  # noqa: S302 - trusted as bytecode is, which lies beside it
            if valid_for == self._valid_for and all(map(_is_true, kept)):
                self._kept, self._results = kept, results
        except (OSError, EOFError, ValueError, TypeError):
            pass  # as for bytecode that isn't there
        for name, source, is_package, _, _, code in self._kept:
            if name not in sys.modules:
                _run(name, source, is_package, code)
        _results().update(self._results)
        sys.meta_path.insert(0, self._noted)

    def keep(self) -> None:
        """Write what has been imported, if there is more than was kept; where that can't be, the next call tries."""
        results = _results()
        if not (self._noted.found or len(results) > len(self._results)) or sys.dont_write_bytecode:
            return
        fresh = f"{self._path}.{os.getpid()}"
        data = marshal.dumps((self._valid_for, self._kept + self._noted.found, results))
        try:
            # As bytecode has it: nobody else may write what this user runs, whatever the caller's umask is.
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError:
            return  # nobody may write here
        try:
            try:
                whole = os.write(fd, data) == len(data)
            finally:
                os.close(fd)
            if whole:
                os.replace(fresh, self._path)
                return
        except OSError:
            pass  # there is no room
        try:  # noqa: SIM105 - contextlib would be imported for it
            os.unlink(fresh)
        except OSError:
            pass  # somebody else has removed it


def _results() -> dict[bytes, Any]:
    """Return what is remembered in this process; nothing where the module that has it isn't there.

    So results that were kept without their sources, which are what says that they are true, are never taken.
    """
    found: dict[bytes, Any] = getattr(sys.modules.get(_REMEMBERED), "RESULTS", {})
    return found


def _is_true(kept: Kept) -> bool:
    """Whether a source is as it was."""
    found = os.stat(kept[1])
    return (found.st_mtime_ns, found.st_size) == kept[3:5]


def _run(name: str, source: str, is_package: bool, code: CodeType) -> None:
    """Import a module, without a search."""
    above, _, last = name.rpartition(".")
    module = type(sys)(name)
    module.__dict__.update(__file__=source, __package__=name if is_package else above)
    if is_package:
        module.__path__ = [os.path.dirname(source)]
    sys.modules[name] = module
    exec(code, module.__dict__)  # noqa: S102 - which is what an import does
    if above:
        setattr(sys.modules[above], last, module)


class _Noted:
    """Finds modules of our own as ever, and notes them in the order in which they were done."""

    def __init__(self) -> None:
        self.found: list[Kept] = []

    def find_spec(
        self, name: str, path: Iterable[str] | None = None, target: ModuleType | None = None
    ) -> machinery.ModuleSpec | None:
        """Return what a module is loaded by; None for those of others (importlib.abc)."""
        if name.partition(".")[0] not in _PACKAGES:
            return None
        spec = machinery.PathFinder.find_spec(name, path, target)  # type: ignore[arg-type]
        if spec is not None and type(spec.loader) is machinery.SourceFileLoader:
            spec.loader = _Noting(spec.loader.name, spec.loader.path, self.found)
        return spec


class _Noting(machinery.SourceFileLoader):
    """Loads a module of a source file, and notes what it was."""

    def __init__(self, name: str, path: str, found: list[Kept]) -> None:
        super().__init__(name, path)
        self._found = found

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        name = module.__name__
        source = os.stat(self.path)  # before it is read, so that a later change is seen
        code = self.get_code(name)
        assert code is not None
        exec(code, module.__dict__)  # noqa: S102
        self._found.append((name, str(self.path), self.is_package(name), source.st_mtime_ns, source.st_size, code))
