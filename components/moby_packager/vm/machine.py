"""The machine: a kernel, the files of its root, and what the kernel is to be told."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby.errors import Invalid, Unsupported
from moby_packager.launching.compiling import compile_program, compiler_version
from moby_packager.trees.nodes import Node, below, folder, link, plain, read, with_folders
from moby_packager.trees.shares import added, shares, weights
from moby_packager.trees.squeezing import zstd, zstd_version
from moby_packager.vm import cpio
from moby_packager.vm.bundles import PLACE as PLACE_OF_BUNDLES
from moby_packager.vm.bundles import PLAN, Bundled, Service, bundled, folders_of
from moby_packager.vm.files import File, given_files
from moby_packager.vm.images import digest_of
from moby_packager.vm.kernels import PC, Kernel, Module, find
from moby_packager.vm.settings import driver_lines, has_plans, modules_of, parts_of, refuse_foreign, text_of

__all__ = ["Machine"]

INIT = Path(__file__).parent / "init"
PLACE = "usr/lib/moby"
"""Where the tree lies."""
EMPTY = (
    ("dev", 0o755), ("proc", 0o555), ("root", 0o700), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777), ("var", 0o755),
    ("mnt", 0o755),
)  # fmt: skip
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
WORDS: Mapping[str, str] = {PC: "console=ttyS0 quiet loglevel=3 panic=-1", "uml": "quiet loglevel=3 panic=-1"}
NTP = 123
"""The port of servers of time."""
FILES = ("kernel", "initrd", "cmdline")


@frozen
class Machine:
    """Builds the machine; as a value it can be used from many threads."""

    kernel: str = "/"
    machine: str = PC
    level: int = 12
    hostname: str = ""
    network: str = "dhcp"
    time: str = ""
    data: str = "moby-data"
    drivers: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    onboot: tuple[Service, ...] = ()
    services: tuple[Service, ...] = ()
    files: Mapping[str, File] = field(factory=dict)

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.kernel`, `NAME.initrd` and `NAME.cmdline`."""
        assert source.given is not None, "the component says what it takes"
        kernel = find(Path(self.kernel), self.machine)
        parts = parts_of(source)
        refuse_foreign(parts)
        lines, modules = self._modules(kernel, parts)
        plans = has_plans(parts)
        bundles = {each.name: bundled(each, kernel.numbers, plans=plans) for each in _named_apart(self._containers)}
        lines = [f"hostname {self.hostname or source.name}", *lines, *self._lines(source.name, parts, bundles)]
        tree = below(read(source.given.path().read_bytes()), PLACE)
        own = [*_own(source.name, lines), *given_files(self.files)]
        folders = [folder(PLACE_OF_BUNDLES)] if self._containers else []
        nodes = with_folders([*tree, *kernel.files(modules), *own, *folders])
        inside = [*map(cpio.record, nodes), *(each for bundle in bundles.values() for each in bundle.records)]
        archive = cpio.write(inside, source.epoch_s)
        initrd = zstd(archive, self.level) if self.level else archive
        written = (kernel.image.read_bytes(), initrd, f"{WORDS[self.machine]}\n".encode())
        paths = tuple(Path(f"{source.name}.{each}") for each in FILES)
        for path, data in zip(paths, written, strict=True):
            (out / path).write_bytes(data)
        (out / paths[0]).chmod(0o755)
        counted = [
            *(node for node in nodes if not node.is_folder),
            *(node for each in bundles.values() for node in each.nodes),
        ]
        sizes = added(
            shares(len(initrd), weights(counted)),
            {kernel.brought.owner: len(written[0]), FORMAT: len(written[2])},
        )
        return Artifact(paths, sizes, (kernel.brought, *sorted({each.brought for each in bundles.values()})))

    def fingerprint(self) -> str:
        """Return which kernel there is, and what compiles and compresses."""
        kernel = find(Path(self.kernel), self.machine).digest()
        given = [digest_of(Path(each.image)) for each in self._containers]
        given += [hashlib.sha256(node.data).hexdigest() for node in given_files(self.files)]
        return "; ".join([kernel, compiler_version(), zstd_version(), *given])

    @property
    def _containers(self) -> Sequence[Service]:
        return (*self.onboot, *self.services)

    def _modules(self, kernel: Kernel, parts: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Module]]:
        always = kernel.with_needs([*modules_of(parts), *self.modules])
        lines = [f"module /{kernel.place(each)}" for each in always]
        drivers, driving = driver_lines(kernel, self.drivers if self.machine == PC else ())
        return [*lines, *drivers], [*always, *(each for each in driving if each not in always)]

    def _lines(self, name: str, parts: Sequence[Mapping[str, Any]], bundles: Mapping[str, Bundled]) -> list[str]:
        """Return what is done once there are devices."""
        address, _, port = self.time.partition(":")
        lines = [f"data {self.data}"] if self.data else []
        lines += [f"network {self.network}"] if self.network != "none" else []
        lines += [f"time {address} {port or NTP}"] if address else []
        lines += [f"folder {each}" for each in folders_of(self._containers)]
        verb = _verb(parts) if self._containers else ""
        for kind, services in (("onboot", self.onboot), ("service", self.services)):
            for each in services:
                bundle = f"/{PLACE_OF_BUNDLES}/{each.name}"
                by_engine = f"/usr/bin/{name} {verb} --name {each.name} {bundle}"
                by_plan = f"start {bundle}/{PLAN} {each.name}"
                lines.append(f"{kind} {by_plan if bundles[each.name].planned else by_engine}")
        if any(part["kind"] == "frontend" for part in parts):
            lines += [f"serve /usr/bin/{name} serve", f"stop /usr/bin/{name} down"]
        return lines


def _named_apart(services: Sequence[Service]) -> Sequence[Service]:
    """Return services, of which no two have a name; Invalid."""
    names = [each.name for each in services]
    twice = next((each for each in names if names.count(each) > 1), "")
    if twice:
        raise Invalid(f"two containers of the machine are called {twice}", hint="give one of them another name")
    return services


def _verb(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return by which verb the engine runs a bundle; Unsupported where it has none."""
    for part in parts:
        if part["facts"]["id"] == "command/bundle":
            return str(part["name"])
    raise Unsupported(
        "a machine's services are run by the engine's verb bundle, which this assembly lacks",
        hint="add it: command: [..., bundle]",
    )


def _own(name: str, lines: Sequence[str]) -> list[Node]:
    """Return the files of a machine besides its engine and modules."""
    return [
        *(folder(path, mode) for path, mode in EMPTY),
        *(plain(f"etc/{path}", text.encode(), FORMAT) for path, text in ETC.items()),
        plain("etc/moby/machine", text_of(lines).encode(), FORMAT),
        plain("init", compile_program("init", INIT), FORMAT, executable=True),
        link("etc/resolv.conf", "/run/resolv.conf"),
        link(f"usr/bin/{name}", f"../lib/moby/bin/{name}"),
    ]
