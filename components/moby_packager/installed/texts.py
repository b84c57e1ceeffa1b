"""The texts that an installed engine comes with: units of systemd, its socket's group, its configuration file."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moby_packager.installed.package import Package

__all__ = ["configuration", "service", "socket", "sysusers"]


def service(package: "Package", *more: str) -> str:
    """Return the service's unit, as the engine's own verb `install` writes it, with more lines of its section."""
    command = f"/usr/bin/{package.command} --config /etc/moby/{package.engine}.toml serve --host fd://"
    settings = "".join(f"{line}\n" for line in more)
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
Restart=on-failure
RestartSec=1
TimeoutStopSec=90
# Containers, and the processes above them, go on when the engine is stopped or upgraded.
KillMode=process
# Nobody else is to change what is in the engine's group, where an ordinary user's containers are too.
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
OOMScoreAdjust=-500
{settings}
[Install]
WantedBy=multi-user.target
"""


def socket(package: "Package") -> str:
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


def sysusers(package: "Package") -> str:
    """Return what makes the group of those who may use the socket (sysusers.d(5))."""
    return f"g {package.group} -\n"


def configuration(package: "Package") -> str:
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
    return '""' if value is None else json.dumps(value, ensure_ascii=False)
