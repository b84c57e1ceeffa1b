"""A kernel of Debian's, where its package is installed or was unpacked, and those of its modules that a machine has."""

import hashlib
import lzma
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Brought
from moby.errors import HostUnfit, Unsupported
from moby.host import digests
from moby_packager.trees.nodes import Node, plain

__all__ = ["Kernel", "Module", "find"]

PC, UML = "pc", "uml"
PACKAGES = {PC: "linux-image-cloud-amd64", UML: "user-mode-linux"}
_MODULE = re.compile(r"(.+)\.ko(\.xz)?")
_BANNER = re.compile(rb"Debian (\d[^ )]*)")
_BANNER_AT = 0x20E
"""Where a kernel's image says where its version's text is (Documentation/arch/x86/boot.rst)."""
_SETUP = 0x200


@frozen
class Module:
    """A module of a kernel, unpacked."""

    name: str
    data: bytes
    needs: tuple[str, ...]
    aliases: tuple[str, ...]
    """Patterns of the devices that it drives."""


@frozen
class Kernel:
    """A kernel, and where its modules are."""

    image: Path
    version: str
    """As `uname -r` says it."""
    brought: Brought
    modules: Mapping[str, Path]
    """By name, with underscores."""
    builtin: frozenset[str]
    licence: Path

    @property
    def numbers(self) -> tuple[int, int]:
        """Return the version's first two numbers."""
        major, minor, *_ = re.findall(r"\d+", self.version)
        return int(major), int(minor)

    def module(self, name: str) -> Module:
        """Return a module; Unsupported where this kernel hasn't it."""
        path = self.modules.get(name)
        if path is None:
            raise Unsupported(f"the kernel {self.version} has no module {name}", hint="take another kernel")
        data = path.read_bytes()
        data = lzma.decompress(data) if path.suffix == ".xz" else data
        return Module(
            name, data, tuple(_normal(each) for each in ",".join(_said(data, b"depends")).split(",") if each),
            tuple(_said(data, b"alias")),
        )  # fmt: skip

    def with_needs(self, names: Iterable[str]) -> list[Module]:
        """Return modules, each after those that it needs; what is part of the kernel is none."""
        found: dict[str, Module] = {}

        def add(name: str) -> None:
            if name not in found and name not in self.builtin:
                module = self.module(name)
                for need in module.needs:
                    add(need)
                found[name] = module

        for name in names:
            add(_normal(name))
        return list(found.values())

    def place(self, module: Module) -> str:
        """Return where a machine has a module, without the first slash."""
        return f"lib/modules/{self.version}/{module.name}.ko"

    def files(self, modules: Iterable[Module]) -> list[Node]:
        """Return the files of modules, and the kernel's licence."""
        nodes = [plain(self.place(each), each.data, self.brought.owner) for each in modules]
        texts = [self.licence.read_bytes()] if self.licence.is_file() else []
        return nodes + [plain("usr/share/doc/linux/copyright", text, self.brought.owner) for text in texts]

    def digest(self) -> str:
        """Return a digest of the image and of which modules there are; reads some 12 MB."""
        whole = hashlib.sha256(digests.digest(self.image).encode())
        for name, path in sorted(self.modules.items()):
            whole.update(f"{name} {path.stat().st_size}\n".encode())
        return f"{self.version} {whole.hexdigest()}"


def find(root: Path, machine: str) -> Kernel:
    """Return the newest kernel for `pc` or `uml` below a folder, one for clouds before others.

    HostUnfit says how to get one.
    """
    found = _for_uml(root) if machine == UML else _for_pc(root)
    if found is None:
        package = PACKAGES[machine]
        raise HostUnfit(
            f"there is no kernel below {root}",
            hint=f"apt install {package}, or unpack it with dpkg-deb -x into a folder and name that: as the option "
            "kernel of the format vm, or by moby boot --kernel DIR",
        )
    return found


def _for_pc(root: Path) -> Kernel | None:
    images = {path.name.removeprefix("vmlinuz-"): path for path in (root / "boot").glob("vmlinuz-*")}
    whole = [version for version in images if _modules_of(root, version)]
    if not whole:
        return None
    version = max(whole, key=lambda each: ("-cloud-" in each, _order(each)))
    folder = _modules_of(root, version)
    assert folder is not None
    licence = root / "usr/share/doc" / f"linux-image-{version}" / "copyright"
    return _kernel(images[version], version, folder, licence)


def _for_uml(root: Path) -> Kernel | None:
    image, folders = root / "usr/bin/linux.uml", sorted((root / "usr/lib/uml/modules").glob("*/kernel"))
    if not image.is_file() or not folders:
        return None
    folder = folders[-1].parent
    return _kernel(image, folder.name, folder, root / "usr/share/doc/user-mode-linux/copyright")


def _kernel(image: Path, version: str, folder: Path, licence: Path) -> Kernel:
    paths = {}
    for path in folder.rglob("*.ko*"):
        match = _MODULE.fullmatch(path.name)
        if match:
            paths[_normal(match[1])] = path
    builtin = folder / "modules.builtin"
    lines = builtin.read_text().splitlines() if builtin.is_file() else []
    inside = frozenset(_normal(Path(line).name.removesuffix(".ko")) for line in lines)
    exact = _exact(image) or version
    brought = Brought("linux", exact, f"pkg:deb/debian/linux@{exact}" if exact != version else "")
    return Kernel(image, version, brought, paths, inside, licence)


def _modules_of(root: Path, version: str) -> Path | None:
    places = (root / each / "modules" / version for each in ("usr/lib", "lib"))
    return next((each for each in places if (each / "kernel").is_dir()), None)


def _exact(image: Path) -> str:
    """Return the version of the package that an image says it is of; empty where it says nothing."""
    with image.open("rb") as file:
        file.seek(_BANNER_AT)
        file.seek(_SETUP + int.from_bytes(file.read(2), "little"))
        match = _BANNER.search(file.read(512).partition(b"\0")[0])
    return match[1].decode() if match else ""


def _order(version: str) -> list[tuple[int, str]]:
    return [(int(each), "") if each.isdigit() else (0, each) for each in re.findall(r"\d+|\D+", version)]


def _normal(name: str) -> str:
    return name.replace("-", "_")


def _said(data: bytes, key: bytes) -> list[str]:
    """Return what a module says of itself under a key, in its section `.modinfo`."""
    return [each.decode(errors="replace") for each in re.findall(rb"(?<=\0)" + key + rb"=([^\0]*)\0", data)]
