"""The interpreter that runs here, as files to copy: its program, its standard library, the shared libraries of both."""

import hashlib
import os
import re
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from moby.errors import HostUnfit
from moby.host import digests
from moby_packager.tree.imports import Library

__all__ = ["Interpreter", "interpreter"]

INTERPRETER_SEGMENT = 3
"""PT_INTERP (elf(5))."""
UNWINDER = "libgcc_s.so.1"
"""glibc loads it by name when a thread ends."""
_FOUND = re.compile(r"^\s*(\S+) (?:=> )?(/\S+)? ?\(0x", re.MULTILINE)


@frozen
class Interpreter:
    """An interpreter of this host."""

    program: Path
    loader: Path
    """The dynamic loader that its program asks for."""
    library: Library

    def libraries(self, natives: Iterable[Path]) -> dict[str, Path]:
        """Return the files of all shared libraries that program and modules need, by the names they ask for."""
        preload = ":".join(str(each) for each in sorted(natives))
        command = [str(self.loader), *(["--preload", preload] if preload else []), "--list", str(self.program)]
        done = subprocess.run(command, env={"LC_ALL": "C"}, capture_output=True, text=True, check=False)
        if done.returncode or "not found" in done.stdout:
            said = (done.stderr or done.stdout).strip()[-500:]
            raise HostUnfit(f"can't list the libraries of {self.program}: {said}", hint="install Python again")
        found = {
            Path(name).name: Path(path or name) for name, path in _FOUND.findall(done.stdout) if "/" in path + name
        }
        own = {each.name for each in natives} | {self.loader.name}
        kept = {name: path for name, path in found.items() if name not in own}
        beside = next((path.parent / UNWINDER for name, path in kept.items() if name.startswith("libc.so")), None)
        return kept | ({UNWINDER: beside} if beside and beside.is_file() else {})

    def digest(self) -> str:
        """Return a digest of all that could be copied from it; reads some 40 MB."""
        natives = sorted(self.library.natives.glob("*.so"))
        files = [*sorted(self.library.sources.rglob("*.py")), *natives, *self.libraries(natives).values(), self.loader]
        whole = hashlib.sha256(f"{sys.version}\n".encode())
        for path in [self.program, *files]:
            if "site-packages" not in path.parts and "test" not in path.parts:
                whole.update(f"{path.name} {digests.digest(path)}\n".encode())
        return whole.hexdigest()


def interpreter() -> Interpreter:
    """Return the interpreter that runs this process; HostUnfit where it can't be copied."""
    program = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    sources = Path(paths["stdlib"])
    library = Library(sources, Path(paths["platstdlib"]) / "lib-dynload")
    loader = _loader(program)
    if loader is None:
        raise HostUnfit(
            f"{program} is linked statically, so it can't be copied", hint="use a Python with shared libraries"
        )
    return Interpreter(program, loader, library)


def _loader(program: Path) -> Path | None:
    """Return what a program of 64 bits asks to be loaded by (elf(5)); None where it says nothing."""
    data = program.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return None
    offset = struct.unpack_from("<Q", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, at, _, _, length = struct.unpack_from("<IIQQQQ", data, offset + number * size)
        if kind == INTERPRETER_SEGMENT:
            return Path(os.fsdecode(data[at : at + length].rstrip(b"\0")))
    return None


def packages(paths: Sequence[Path]) -> Mapping[Path, tuple[str, str, str]]:
    """Return by file the Debian package that it is of: name, version, architecture; nothing where dpkg isn't there."""
    wanted: dict[str, Path] = {}
    for path in paths:
        for each in {path, path.resolve()}:
            wanted[str(each)] = path
            wanted[str(each).removeprefix("/usr")] = path
    found = _asked(["dpkg-query", "--search", *sorted(wanted)])
    owners: dict[Path, str] = {}
    for line in found.splitlines():
        names, _, place = line.rpartition(": ")
        if place in wanted and not names.startswith("diversion"):
            owners[wanted[place]] = names.split(", ")[0]
    form = "${binary:Package}\t${Package}\t${Version}\t${Architecture}\n"
    known = {}
    for line in _asked(["dpkg-query", "--show", f"--showformat={form}", *sorted(set(owners.values()))]).splitlines():
        label, *rest = line.split("\t")
        known[label] = known[label.partition(":")[0]] = tuple(rest)
    return {path: known[label] for path, label in owners.items() if label in known}  # type: ignore[misc]


def _asked(command: Sequence[str]) -> str:
    """Return what dpkg says; of what it doesn't know it says nothing."""
    try:
        return subprocess.run(command, env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
                              capture_output=True, text=True, check=False).stdout  # fmt: skip
    except FileNotFoundError:
        return ""
