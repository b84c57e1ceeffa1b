"""A command whose modules are read from one file, beside the interpreter's own bytecode, and run at once.

Looking for each module, opening and reading it takes as long as a container's start. The file is a cache as those in
`__pycache__` are: the first call of a verb that may write there makes it of what it has imported, and one that has
imported more adds that. What modules have worked out that takes long is kept too. The second call, which has that, says
what is run at once from then on; the rest of what there is lies aside until it is imported.

It counts for the interpreter, the import path and the sources that it was made of alone; else, and for what it lacks,
modules are imported as ever.
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
    from importlib.util import cache_from_source, spec_from_file_location
    from types import CodeType, ModuleType
    from typing import Any

    Kept = tuple[str, str, bool, int, int, CodeType]
    """A module: its name, its source, whether it is a package, when that was changed, its size, and what it runs."""
    Aside = tuple[str, str, bool, int, int, bytes]
    """The same, with what it runs as `marshal` writes it."""
else:
    import _frozen_importlib_external as machinery
    from _frozen_importlib_external import cache_from_source, spec_from_file_location

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
        self._noted = _Noted({})

    def load(self) -> None:
        """Run the modules that are kept for it and true still, and note what is imported from here on."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.read(fd, os.fstat(fd).st_size)
            finally:
                os.close(fd)
            valid_for, kept, aside, results = marshal.loads(data)  # noqa: S302 - trusted as bytecode beside it is
            if valid_for == self._valid_for and all(map(_is_true, (*kept, *aside.values()))):
                self._kept, self._noted, self._results = kept, _Noted(aside), results
        except (OSError, EOFError, ValueError, TypeError):
            pass  # as for bytecode that isn't there
        for name, source, is_package, _, _, code in self._kept:
            if name not in sys.modules:
                _run(name, source, is_package, code)
        sys.meta_path.insert(0, self._noted)
        if _REMEMBERED in self._noted.aside:
            __import__(_REMEMBERED)
        _results().update(self._results)

    def keep(self) -> None:
        """Write what has been imported, if there is more than was kept; where that can't be, the next call tries."""
        noted, results = self._noted, _results()
        second = bool(noted.aside) and not self._kept
        if not (second or noted.added or len(results) > len(self._results)) or sys.dont_write_bytecode:
            return
        kept = noted.run if second else self._kept
        at_once = {each[0] for each in kept}
        aside = noted.aside | {each[0]: (*each[:5], marshal.dumps(each[5])) for each in noted.added}
        aside = {name: each for name, each in aside.items() if name not in at_once}
        _write(self._path, marshal.dumps((self._valid_for, kept, aside, results)))


def _write(path: str, data: bytes) -> None:
    """Put a file in place, whole or not at all."""
    fresh = f"{path}.{os.getpid()}"
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
            os.replace(fresh, path)
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


def _is_true(kept: Kept | Aside) -> bool:
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
    """Finds modules of our own, aside or as ever, and notes them in the order in which they were done."""

    def __init__(self, aside: dict[str, Aside]) -> None:
        self.aside = aside
        self.run: list[Kept] = []
        self.added: list[Kept] = []
        """Those of them that weren't aside."""

    def find_spec(
        self, name: str, path: Iterable[str] | None = None, target: ModuleType | None = None
    ) -> machinery.ModuleSpec | None:
        """Return what a module is loaded by; None for those of others (importlib.abc)."""
        if name.partition(".")[0] not in _PACKAGES:
            return None
        aside = self.aside.get(name)
        if aside is not None:
            source, is_package = aside[1:3]
            folder = [os.path.dirname(source)] if is_package else None
            loader = _FromAside(name, source, self, aside)
            return spec_from_file_location(name, source, loader=loader, submodule_search_locations=folder)
        spec = machinery.PathFinder.find_spec(name, path, target)  # type: ignore[arg-type]
        if spec is not None and type(spec.loader) is machinery.SourceFileLoader:
            spec.loader = _Noting(spec.loader.name, spec.loader.path, self)
        return spec


class _Noting(machinery.SourceFileLoader):
    """Loads a module of a source file, and notes what it was."""

    def __init__(self, name: str, path: str, noted: _Noted) -> None:
        super().__init__(name, path)
        self._noted = noted

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        name = module.__name__
        source = os.stat(self.path)  # before it is read, so that a later change is seen
        code = self.get_code(name)
        assert code is not None
        exec(code, module.__dict__)  # noqa: S102
        done = (name, str(self.path), self.is_package(name), source.st_mtime_ns, source.st_size, code)
        self._noted.run.append(done)
        self._noted.added.append(done)


class _FromAside(machinery.SourceFileLoader):
    """Loads a module that lies aside."""

    def __init__(self, name: str, path: str, noted: _Noted, aside: Aside) -> None:
        super().__init__(name, path)
        self._noted, self._aside = noted, aside

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        code = marshal.loads(self._aside[5])  # noqa: S302 - trusted as bytecode is
        exec(code, module.__dict__)  # noqa: S102
        self._noted.run.append((*self._aside[:5], code))
