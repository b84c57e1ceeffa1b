"""What a package provides and needs, as rpm resolves it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moby_packager.installed.needs import programs
from moby_packager.installed.package import Package
from moby_packager.rpm.header import Value

__all__ = ["tags"]

LESS, EQUAL = 2, 8
MORE_OR_EQUAL = 4 | EQUAL
OF_RPM = 1 << 24 | LESS | EQUAL
"""A thing that rpm itself must be able to do."""
FOR_SCRIPTS = 1 << 9 | 1 << 10 | 1 << 11
"""Needed before the package's scripts run: after installing, before and after erasing."""
ABLE = {
    "CompressedFileNames": "3.0.4-1",
    "FileDigests": "4.6.0-1",
    "PayloadFilesHavePrefix": "4.0-1",
    "PayloadIsXz": "5.2-1",
    "RichDependencies": "4.12.0-1",
}
"""What the format uses, and since which version of rpm that is known."""
BY_VERSION = {"~": ("TildeInVersions", "4.10.0-1"), "^": ("CaretInVersions", "4.15.0-1")}
Relation = tuple[str, int, str]


def tags(package: Package, release: str) -> dict[int, Value]:
    """Return relations by tag; what parts can do without is recommended."""
    needed, recommended = _needs(package.instances)
    signs = [each for sign, each in BY_VERSION.items() if sign in package.version]
    required = [
        ("/bin/sh", FOR_SCRIPTS, ""),
        ("/usr/bin/python3", 0, ""),
        ("python3", MORE_OR_EQUAL, "3.11"),
        *((each, 0, "") for each in needed),
        *((f"rpmlib({name})", OF_RPM, version) for name, version in sorted([*ABLE.items(), *signs])),
    ]
    provided = [(package.name, EQUAL, f"{package.version}-{release}")]
    weak = [(each, 0, "") for each in recommended]
    return {
        **_columns((1047, 1112, 1113), provided),
        **_columns((1049, 1048, 1050), required),
        **_columns((5046, 5048, 5047), weak),
    }


def _columns(numbers: tuple[int, int, int], relations: Sequence[Relation]) -> dict[int, Value]:
    """Return names, senses and versions, each under its tag; nothing where there are none."""
    if not relations:
        return {}
    names, senses, versions = numbers
    return {
        names: [name for name, _, _ in relations],
        senses: [sense for _, sense, _ in relations],
        versions: [version for _, _, version in relations],
    }


def _needs(instances: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Return programs that parts can't do without, and those that they can.

    By their files, since systems of rpm have other names for packages; and in either folder, since some have just one.
    A program on no PATH is where its path says.
    """
    needed: set[str] = set()
    recommended: set[str] = set()
    for need, must in programs(instances):
        name = need["name"]
        program = name if name.startswith("/") else f"(/usr/bin/{name} or /usr/sbin/{name})"
        (needed if must else recommended).add(program)
    return sorted(needed), sorted(recommended - needed)
