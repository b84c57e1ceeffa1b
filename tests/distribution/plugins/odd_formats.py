"""Packagers of a third party: one that works, and several that don't."""

import time
from collections.abc import Iterable
from pathlib import Path

from moby.component import Component, HostNeed
from moby.contracts.packager import Artifact, Packager, Source
from moby.hookspecs import hookimpl


class Tree:
    """Puts the files into a folder."""

    def build(self, source: Source, out: Path) -> Artifact:
        sizes: dict[str, int] = {}
        made = []
        for entry in source.entries:
            path = Path(f"{source.name}-files", entry.path)
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(entry.data)
            sizes[entry.owner] = sizes.get(entry.owner, 0) + len(entry.data)
            made.append(path)
        return Artifact(tuple(made), sizes)


class Endless:
    """Writes a little, and never comes to an end."""

    def build(self, source: Source, out: Path) -> Artifact:
        (out / "half").write_text("half")
        time.sleep(300)
        raise AssertionError("nobody ended it")


class Wrong:
    """Miscounts."""

    def build(self, source: Source, out: Path) -> Artifact:
        (out / f"{source.name}.wrong").write_text("12345")
        return Artifact((Path(f"{source.name}.wrong"),), {"moby": 4})


class Clash:
    """Makes a file that is another packager's."""

    def build(self, source: Source, out: Path) -> Artifact:
        (out / f"{source.name}.pyz").write_text("12345")
        return Artifact((Path(f"{source.name}.pyz"),), {"moby": 5})


class Broken:
    """Has a bug."""

    def build(self, source: Source, out: Path) -> Artifact:
        return Artifact((Path("x"),), {"moby": 1 // (len(source.entries) * 0)})


def files() -> Packager:
    """Files in a folder."""
    return Tree()


def endless() -> Packager:
    """Never ends."""
    return Endless()


def wrong() -> Packager:
    """Miscounts."""
    return Wrong()


def clash() -> Packager:
    """Takes another's name."""
    return Clash()


def broken() -> Packager:
    """Has a bug."""
    return Broken()


def tooled() -> Packager:
    """Needs a tool that no machine has."""
    return Tree()


@hookimpl
def moby_components() -> Iterable[Component]:
    need = HostNeed("binary", "no-such-tool-anywhere", package="no-such-package")
    makers = (files, endless, wrong, clash, broken)
    return [
        *(Component(name=make.__name__, factory=make) for make in makers),
        Component(name="tooled", factory=tooled, host=(need,)),
    ]
