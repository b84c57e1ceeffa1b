"""An engine below /usr, with its own interpreter and the units that start it."""

from moby.contracts.packager import FORMAT, Source
from moby_packager.installed import texts
from moby_packager.installed.package import Package
from moby_packager.trees.nodes import Node, below, link, plain, read

__all__ = ["installed", "units"]

UNITS = "usr/lib/systemd/system"


def installed(source: Source) -> list[Node]:
    """Return the tree in a folder of the engine's own, and a link to its program."""
    assert source.given is not None, "the component says what it takes"
    place = f"lib/moby/{source.name}"
    nodes = below(read(source.given.path().read_bytes()), f"usr/{place}")
    return [*nodes, link(f"usr/bin/{source.name}", f"../{place}/bin/{source.name}")]


def units(package: Package, *more: str) -> list[Node]:
    """Return the units of an engine that has something to start, and what has its socket listen from the boot on.

    `more` are lines of the service's section.
    """
    if not package.serves:
        return []
    return [
        plain(f"{UNITS}/{package.name}.service", texts.service(package, *more).encode(), FORMAT),
        plain(f"{UNITS}/{package.name}.socket", texts.socket(package).encode(), FORMAT),
        link(f"{UNITS}/sockets.target.wants/{package.name}.socket", f"../{package.name}.socket"),
    ]
