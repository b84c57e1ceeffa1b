"""The texts of a package: control data, maintainer scripts, units of systemd, and the configuration file."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

__all__ = ["Package", "configuration", "control", "scripts", "service", "socket", "sysusers"]


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
    for each in instances:
        for need in each["facts"]["host"]:
            if need["package"] and need["what"] == "binary" and not each["config"].get(need["option"]):
                must = each["policy"] == "required" and not need["optional"] and not need["module"]
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


def service(package: Package) -> str:
    """Return the service's unit, as the engine's own verb `install` writes it."""
    command = f"/usr/bin/{package.command} --config /etc/moby/{package.engine}.toml serve --host fd://"
    return f"""\
[Unit]
Description={package.name} container engine
Requires={package.name}.socket
After={package.name}.socket network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=1
TimeoutStopSec=90
# Containers, and the processes above them, go on when the engine is stopped or upgraded.
KillMode=process
# The engine makes the groups of its containers in its own.
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""


def socket(package: Package) -> str:
    """Return the socket's unit."""
    return f"""\
[Unit]
Description={package.name} container engine, its socket

[Socket]
ListenStream=/run/moby/{package.engine}.sock
SocketMode=0660
SocketGroup={package.group}
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def sysusers(package: Package) -> str:
    """Return what makes the group of those who may use the socket (sysusers.d(5))."""
    return f"g {package.group} -\n"


def configuration(package: Package) -> str:
    """Return the configuration file, with the options that the assembly left open, commented out."""
    lines = [f"# Settings of the container engine {package.engine}, read when it starts."]
    opened = [each for each in package.instances if each["open"]]
    if not opened:
        lines.append("# Its assembly leaves no option open, so that there is nothing to set here.")
    for each in opened:
        lines += ["", f"# [{each['kind']}.{each['name']}]"]
        lines += [f"# {option} = {_toml(each['config'].get(option))}" for option in each["open"]]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    import json

    return '""' if value is None else json.dumps(value, ensure_ascii=False)
