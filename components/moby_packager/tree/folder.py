"""The tree: programs that start it, the interpreter, what it needs of the standard library, and the archive."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import FORMAT, Artifact, Brought, Source
from moby_packager.bytecode.compiling import compile_all
from moby_packager.launching.compiling import compile_program, compiler_version
from moby_packager.tree.imports import closure
from moby_packager.tree.interpreter import Interpreter, interpreter, packages
from moby_packager.trees.nodes import Node, plain, with_folders, write
from moby_packager.trees.shares import added

__all__ = ["Tree"]

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LICENCES = Path("/usr/share/doc")


@frozen
class Tree:
    """Builds the tree; as a value it can be used from many threads."""

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.tree`, a tar whose headers say whose each file is."""
        assert source.given is not None, "the component says what it takes"
        host = interpreter()
        modules = closure(host.library, [each.data for each in source.entries if each.path.endswith(".py")])
        nodes, brought = _interpreter(host, modules)
        archive = source.given.path().read_bytes()
        starter = compile_program("launch")
        nodes += [
            Node(f"{source.name}.pyz", archive, dict(source.given.artifact.sizes_bytes)),
            plain(f"bin/{source.name}", starter, FORMAT, executable=True),
            plain("bin/python3", starter, FORMAT, executable=True),
        ]
        data = write(with_folders(nodes), source.epoch_s, owners=True)
        (out / f"{source.name}.tree").write_bytes(data)
        sizes = added(*(node.owners for node in nodes))
        sizes[FORMAT] += len(data) - sum(sizes.values())
        return Artifact((Path(f"{source.name}.tree"),), sizes, brought)

    def fingerprint(self) -> str:
        """Return what is copied of this host, and what compiles the starter."""
        return f"{interpreter().digest()} {compiler_version()}"


def _interpreter(host: Interpreter, modules: Mapping[str, Path]) -> tuple[list[Node], tuple[Brought, ...]]:
    """Return the files of an interpreter with some modules, and whose they are."""
    natives = {path.name: path for path in modules.values() if path.suffix == ".so"}
    libraries = host.libraries(natives.values())
    sources = {
        path.relative_to(host.library.sources).as_posix(): path for path in modules.values() if path.suffix == ".py"
    }
    owners = _Owners([host.program, host.loader, *natives.values(), *libraries.values(), *sources.values()])
    compiled = compile_all([(f"{PYTHON}/{place}", path.read_bytes()) for place, path in sources.items()])
    nodes = [
        plain("libexec/python3", host.program.read_bytes(), owners.of(host.program), executable=True),
        plain("lib/ld.so", host.loader.read_bytes(), owners.of(host.loader), executable=True),
        *(plain(f"lib/{name}", path.read_bytes(), owners.of(path)) for name, path in libraries.items()),
        *(
            plain(f"lib/{PYTHON}/lib-dynload/{name}", path.read_bytes(), owners.of(path))
            for name, path in natives.items()
        ),
        *(
            plain(f"lib/{PYTHON}/{place}c", data, owners.of(path))
            for (place, path), data in zip(sources.items(), compiled, strict=True)
        ),
    ]
    return [*nodes, *owners.licences()], owners.brought()


class _Owners:
    """Whose the files of a host are: a Debian package's where it has them, else named by what they are."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._debian = packages(paths)
        self._used: dict[Brought, str] = {}

    def of(self, path: Path) -> str:
        """Return the owner of a file, as sizes name it."""
        known = self._debian.get(path)
        if known is not None:
            name, version, machine = known
            url = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={machine}"
            brought = Brought(name, version, url)
        elif path.suffix in (".so", ".py") or path.name.startswith("python"):
            name, version = "python", sys.version.partition(" ")[0]
            brought = Brought(name, version, f"pkg:generic/{name}@{version}")
        else:
            brought = Brought(path.name, hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        self._used[brought] = known[0] if known else ""
        return brought.owner

    def brought(self) -> tuple[Brought, ...]:
        """Return all owners that were told."""
        return tuple(sorted(self._used))

    def licences(self) -> list[Node]:
        """Return the texts of their licences, where the host has them."""
        found = []
        for brought, package in sorted(self._used.items()):
            text = LICENCES / package / "copyright"
            if package and text.is_file():
                found.append(plain(f"licenses/{package}/copyright", text.read_bytes(), brought.owner))
        return found
