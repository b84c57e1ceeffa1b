"""The texts that dpkg reads: control data and maintainer scripts."""

from collections.abc import Iterable, Mapping
from typing import Any

from moby_packager.installed.needs import programs
from moby_packager.installed.package import Package

__all__ = ["control", "scripts"]


def control(package: Package, installed_bytes: int) -> str:
    """Return the file `control` (deb-control(5))."""
    depends, recommends = _needs(package.instances)
    lines = [
        f"Package: {package.name}",
        f"Version: {package.version}",
        "Architecture: all",
        f"Maintainer: {package.maintainer}",
        f"Installed-Size: {-(-installed_bytes // 1024)}",
        f"Depends: {', '.join(['python3 (>= 3.11)', *depends])}",
        *([f"Recommends: {', '.join(recommends)}"] if recommends else []),
        "Section: admin",
        "Priority: optional",
        f"Description: container engine {package.engine}",
        " Assembled by moby from these parts:",
        *(f"  {each['facts']['id']} {each['facts']['version']}" for each in package.instances),
    ]
    return "\n".join(lines) + "\n"


def _needs(instances: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the Debian packages that parts can't do without, and those that they can."""
    depends: set[str] = set()
    recommends: set[str] = set()
    for need, must in programs(instances):
        (depends if must else recommends).add(need["package"])
    return sorted(depends), sorted(recommends - depends)


def scripts(package: Package) -> dict[str, str]:
    """Return the maintainer scripts (Debian policy, 6); an engine and its containers go on through an upgrade."""
    name, engine = package.name, package.engine
    return {
        "postinst": _script("configure", _serving(package, POSTINST)),
        "prerm": _script("remove", f"{_serving(package, PRERM)}/usr/bin/{package.command} down || true\n"),
        "postrm": _script("purge", POSTRM.format(engine=engine), after=_serving(package, RELOAD.format(name=name))),
    }


def _script(when: str, what: str, after: str = "") -> str:
    inner = "".join(f"    {line}\n" for line in what.splitlines()) or "    :\n"
    return f'#!/bin/sh\nset -e\nif [ "$1" = {when} ]; then\n{inner}fi\n{after}'


def _serving(package: Package, text: str) -> str:
    return text.format(name=package.name, group=package.group) if package.serves else ""


POSTINST = """\
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers {name}.conf
elif ! getent group {group} >/dev/null; then
    groupadd --system {group}
fi
if command -v systemctl >/dev/null; then
    if [ -z "$2" ]; then systemctl --quiet enable {name}.socket; fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        if [ -z "$2" ]; then systemctl start {name}.socket; else systemctl try-restart {name}.service; fi
    fi
fi
"""
PRERM = """\
if command -v systemctl >/dev/null; then
    if [ -d /run/systemd/system ]; then systemctl stop {name}.socket {name}.service; fi
    systemctl --quiet disable {name}.socket {name}.service
fi
"""
POSTRM = """\
rm -rf --one-file-system /var/lib/moby/{engine} /var/cache/moby/{engine} /run/moby/{engine}
rmdir --ignore-fail-on-non-empty /var/lib/moby /var/cache/moby /run/moby 2>/dev/null || true
"""
RELOAD = """\
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
"""
