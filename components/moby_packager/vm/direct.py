"""A runtime's own command as two files: what starts it, and the bytecode of all modules that it may import.

A machine's containers are started by it, without the engine, whose parts they don't need: that takes a third of the
time. One file is read for all modules, since a system call costs much where a machine is emulated.
"""

import ast
import marshal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from moby.contracts.packager import FORMAT, Entry
from moby_packager.bytecode.compiling import compile_all
from moby_packager.trees.nodes import Node, plain

__all__ = ["COMMANDS", "FILE", "chosen", "files", "words"]

FILE = "direct.pyc"
_MODULES = "direct.modules"
_HEADER_BYTES = 16
"""Of a pyc, before its code (PEP 552)."""
_WITHOUT_REFERENCES = 0
"""The version of marshal's format that depends on nothing but the values."""
COMMANDS: Mapping[str, tuple[str, str]] = {
    "runtime/native": ("moby_runtime.native.cli.main", "moby_runtime.native.cli.create"),
}
"""By runtime: the module whose `command` it is, and one that this imports by a name that is a text."""
_STATE = "/run/machine"

START = '''\
"""Runs a command with modules out of one file; what isn't there comes from the engine's archive."""

import marshal
import mmap
import sys
from _frozen_importlib import ModuleSpec


class Modules:
    """Finds and loads them (importlib.abc); of the file only those pages are touched whose modules are imported."""

    with open(__file__[:-3] + "modules", "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    places = {{name: (package, begin, end) for name, package, begin, end in marshal.loads(data)}}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """Return what a module is loaded by; None for others' ones."""
        if name not in cls.places:
            return None
        return ModuleSpec(name, cls, is_package=cls.places[name][0])

    @staticmethod
    def create_module(spec):
        """Return None, for a usual module."""

    @classmethod
    def exec_module(cls, module):
        """Run a module's code."""
        _, begin, end = cls.places[module.__name__]
        exec(marshal.loads(cls.data[begin:end]), module.__dict__)


sys.meta_path.insert(0, Modules)
sys.path.append({archive!r})

from {module} import command

command()
'''


def chosen(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return the engine's runtime where its command does the same as the verb `bundle`; else nothing."""
    runtimes = [part for part in parts if part["kind"] == "runtime"]
    (found, *more) = [str(part["facts"]["id"]) for part in runtimes] or [""]
    return found if not more and found in COMMANDS and not any(runtimes[0]["config"].values()) else ""


def words(folder: str, bundle: str, name: str) -> str:
    """Return what runs a bundle, whose files lie in a folder of the machine; the last word is its name."""
    command = f"{folder}/bin/python3 -I -S {folder}/{FILE} --root {_STATE}"
    return f"{command} run --replace --bundle {bundle} {name}"


def files(runtime: str, entries: Sequence[Entry], archive: str) -> list[Node]:
    """Return the two files; `archive` is where the machine has the engine's."""
    module, other = COMMANDS[runtime]
    by_name = {_module_of(each): each for each in entries if each.path.endswith(".py")}
    needed = [by_name[name] for name in sorted(_closure(by_name, (module, other)))]
    start = START.format(archive=archive, module=module).encode()
    first, *rest = compile_all([(FILE, start), *((each.path, each.data) for each in needed)])
    codes = [code[_HEADER_BYTES:] for code in rest]
    index = _index([(_module_of(each), each.path.endswith("/__init__.py")) for each in needed], list(map(len, codes)))
    owners = Counter({FORMAT: len(index)})
    for each, code in zip(needed, codes, strict=True):
        owners[each.owner] += len(code)
    return [plain(FILE, first, FORMAT), Node(_MODULES, b"".join([index, *codes]), owners)]


def _index(modules: Sequence[tuple[str, bool]], sizes_bytes: Sequence[int]) -> bytes:
    """Return where in the file each module's code is, which follow the index itself."""
    length = 0
    while True:
        ends = list(accumulate(sizes_bytes, initial=length))
        index = marshal.dumps(
            tuple((*each, *place) for each, place in zip(modules, pairwise(ends), strict=True)), _WITHOUT_REFERENCES
        )
        if len(index) == length:
            return index
        length = len(index)


def _module_of(entry: Entry) -> str:
    return entry.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _closure(entries: Mapping[str, Entry], roots: Sequence[str]) -> set[str]:
    """Return the modules, of those that there are, that some come to by what they and others import."""
    waiting, found = list(roots), set[str]()
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        for each in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
            if each in entries and each not in found:
                found.add(each)
                waiting += _imported(entries[each].data)
    return found


def _imported(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
