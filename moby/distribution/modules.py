"""Python modules as files: where one lies and what it imports, found without importing anything."""

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from moby.errors import Invalid, Origin, Problem

__all__ = ["Import", "Module", "ancestors", "find", "imports", "inside", "is_standard"]

NATIVE = tuple(importlib.machinery.EXTENSION_SUFFIXES)
BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""Where statements, such as imports, are in others; expressions have none."""
GUARDS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@frozen(order=True)
class Module:
    """A module and its file; `path` is a folder for a package without `__init__.py`."""

    name: str
    path: Path
    package: bool = False

    @property
    def native(self) -> bool:
        """Whether it is machine code."""
        return self.path.name.endswith(NATIVE)

    @property
    def entry(self) -> str:
        """Its place in the import path, with `/`."""
        if self.package:
            return f"{self.name.replace('.', '/')}/{self.path.name}"
        return "/".join([*self.name.split(".")[:-1], self.path.name])


@frozen(order=True)
class Import:
    """A module that another one imports."""

    module: str
    line: int
    guarded: bool = False
    """Whether a failure is caught: the importer can do without it."""
    lazy: bool = False
    """Whether it happens in a function, not when the importer is imported."""
    member: bool = False
    """Whether it may as well be a name in its parent: `from parent import this`."""


def is_standard(name: str) -> bool:
    """Return whether a module is Python's own."""
    return name.partition(".")[0] in sys.stdlib_module_names


def ancestors(name: str) -> tuple[str, ...]:
    """Return the packages that a module is in, the outermost first."""
    parts = name.split(".")
    return tuple(".".join(parts[:count]) for count in range(1, len(parts)))


def inside(name: str, package: str) -> bool:
    """Return whether a module is a package or in it."""
    return name == package or name.startswith(f"{package}.")


def find(name: str) -> Module | None:
    """Return where a module lies, or None; imports nothing. A source is preferred to machine code beside it."""
    top, *rest = name.split(".")
    spec = _top(top)
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        return Module(top, Path(spec.origin or ""), False) if not rest and spec.origin and spec.has_location else None
    folders = [Path(each) for each in spec.submodule_search_locations]
    found: Module | None = _package(top, folders)
    for index, part in enumerate(rest, 2):
        if found is None or not found.package:
            return None
        found = _in(".".join(name.split(".")[:index]), part, folders)
        folders = [each / part for each in folders]
    return found


def _top(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _package(name: str, folders: list[Path]) -> Module:
    sources = (each / "__init__.py" for each in folders)
    return Module(name, next((each for each in sources if each.is_file()), folders[0]), True)


def _in(name: str, part: str, folders: list[Path]) -> Module | None:
    for folder in folders:
        if (folder / part / "__init__.py").is_file():
            return Module(name, folder / part / "__init__.py", True)
        for suffix in (".py", *NATIVE):
            path = folder / f"{part}{suffix}"
            if path.is_file():
                return Module(name, path)
    bare = [each / part for each in folders if (each / part).is_dir() and part != "__pycache__"]
    return Module(name, bare[0], True) if bare else None


def imports(module: Module, source: bytes) -> tuple[Import, ...]:
    """Return what a module's source imports when it runs, sorted; Invalid where it isn't Python.

    What only a type checker sees is left out, and so are calls of `importlib`.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 0) or 0
        problem = Problem(f"{module.name} can't be read as Python: {error}", Origin(module.entry, line, 1))
        raise Invalid(problem.message, problems=(problem,)) from error
    return tuple(sorted(set(_walk(tree, module, guarded=False, lazy=False))))


def _walk(node: ast.AST, module: Module, *, guarded: bool, lazy: bool) -> Iterator[Import]:
    match node:
        case ast.Import():
            for alias in node.names:
                yield Import(alias.name, node.lineno, guarded, lazy)
        case ast.ImportFrom():
            parent = _absolute(node, module)
            yield Import(parent, node.lineno, guarded, lazy)
            for alias in node.names:
                if alias.name != "*":
                    yield Import(f"{parent}.{alias.name}", node.lineno, guarded, lazy, member=True)
        case _:
            yield from _inner(node, module, guarded=guarded, lazy=lazy)


def _inner(node: ast.AST, module: Module, *, guarded: bool, lazy: bool) -> Iterator[Import]:
    later = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for name in BLOCKS:
        if name == "body" and isinstance(node, ast.If) and _for_checkers(node.test):
            continue
        caught = guarded or (name == "body" and isinstance(node, ast.Try) and _catches(node))
        for child in getattr(node, name, ()):
            yield from _walk(child, module, guarded=caught, lazy=later)


def _for_checkers(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _catches(node: ast.Try) -> bool:
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or (isinstance(kind, ast.Name) and kind.id in GUARDS) for kind in kinds):
            return True
    return False


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    """Return the full name of what `from X import` names (PEP 328)."""
    if not node.level:
        return node.module or ""
    base = module.name.split(".")
    base = base[: len(base) - node.level + (1 if module.package else 0)]
    return ".".join([*base, node.module] if node.module else base)
