"""What a system's package is called, what its engine has, and the files that it installs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from moby.contracts.packager import FORMAT, Source
from moby.errors import Unsupported
from moby_packager.installed import texts
from moby_packager.trees.nodes import Node, plain

__all__ = ["Package", "files", "package_of"]

LOCK = "moby-lock.json"
LONGEST_NAME = 255
"""Of a file, on the file systems that there are."""
_LICENCES = "licenses/"


@frozen
class Package:
    """What a package is called, and what its engine has."""

    engine: str
    version: str
    maintainer: str
    command: str
    """Its program's name in /usr/bin."""
    group: str
    """Who may use the socket."""
    instances: Sequence[Mapping[str, Any]] = ()
    """The engine's parts, as its lock has them."""

    @property
    def name(self) -> str:
        """The package's name, which is its units' too."""
        return f"moby-{self.engine}"

    @property
    def serves(self) -> bool:
        """Whether the engine has a front end, so that there is something to start."""
        return any(each["kind"] == "frontend" for each in self.instances)


def package_of(source: Source, version: str, maintainer: str, command: str, group: str) -> Package:
    """Return the package of an engine; what is empty has its usual value.

    Unsupported where a unit's name would be longer than a file's can be.
    """
    lock: dict[str, Any] = next((json.loads(each.data) for each in source.entries if each.path == LOCK), {})
    found = Package(
        source.name,
        version or lock.get("framework", "0"),
        maintainer or f"{source.name} <root@localhost>",
        command or f"moby-{source.name}",
        group,
        lock.get("engine", {}).get("instances", ()),
    )
    longest = f"{found.name}.service"
    if len(longest) > LONGEST_NAME:
        raise Unsupported(f"{longest} is longer than a file's name can be", hint="give the assembly a shorter name")
    return found


def files(source: Source, package: Package) -> list[Node]:
    """Return all that a package installs, without folders."""
    units = "usr/lib/systemd/system"
    served = [
        plain(f"{units}/{package.name}.service", texts.service(package).encode(), FORMAT),
        plain(f"{units}/{package.name}.socket", texts.socket(package).encode(), FORMAT),
        plain(f"usr/lib/sysusers.d/{package.name}.conf", texts.sysusers(package).encode(), FORMAT),
    ]
    licences = [
        plain(f"usr/share/doc/{package.name}/{each.path}", each.data, each.owner)
        for each in source.entries
        if each.path.startswith(_LICENCES)
    ]
    return [
        _program(source, package),
        plain(f"etc/moby/{package.engine}.toml", texts.configuration(package).encode(), FORMAT),
        *(served if package.serves else []),
        *licences,
    ]


def _program(source: Source, package: Package) -> Node:
    """Return the engine for the system's own interpreter, whatever comes first on a caller's PATH."""
    assert source.given is not None, "the component says what it takes"
    head, _, rest = source.given.path().read_bytes().partition(b"\n")
    # What follows must not come nearer to the beginning: the zip counts from there.
    program = b"#!/usr/bin/python3 -I".ljust(len(head)) + b"\n" + rest
    owners = dict(source.given.artifact.sizes_bytes)
    owners[FORMAT] = owners.get(FORMAT, 0) + len(program) - len(head) - 1 - len(rest)
    return Node(f"usr/bin/{package.command}", program, owners, 0o755)
