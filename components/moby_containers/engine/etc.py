"""The files of a container's folder that appear in its /etc: hosts, hostname, resolv.conf."""

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path

from moby.contracts.containers import ContainerConfig
from moby.contracts.networks import Sandbox
from moby.contracts.types import Mount
from moby.errors import Invalid

__all__ = ["FILES", "write"]

FILES = ("resolv.conf", "hostname", "hosts")
_MOST_BYTES = 1 << 20
_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def write(folder: Path, config: ContainerConfig, hostname: str, sandbox: Sandbox) -> None:
    """Write the files anew, as the container's start finds its networks."""
    full = f"{hostname}.{config.domainname}" if config.domainname else hostname
    for name, text in (
        ("hostname", f"{full}\n"),
        ("hosts", _hosts(config, full, sandbox)),
        ("resolv.conf", _resolver(config, sandbox)),
    ):
        with open(folder / name, "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            file.write(text)


def mounts(folder: Path, *, read_only: bool, taken: Iterable[str]) -> tuple[Mount, ...]:
    """Return the mounts of the files, but for those that the user mounts something else on."""
    options = ("rbind", "rprivate", *(["ro"] if read_only else []))
    there = set(taken)
    return tuple(
        Mount(f"/etc/{name}", str(folder / name), "bind", options) for name in FILES if f"/etc/{name}" not in there
    )


def _hosts(config: ContainerConfig, full: str, sandbox: Sandbox) -> str:
    text = _LOCAL
    if sandbox.namespace == "host":
        text = _host_file("/etc/hosts") or _LOCAL
        if not text.endswith("\n"):
            text += "\n"
    lines = [f"{address}\t{name}\n" for address, name in sandbox.hosts]
    short = full.partition(".")[0]
    names = full if short == full else f"{full} {short}"
    named = {name for _, name in sandbox.hosts}
    for endpoint in sandbox.endpoints:
        lines += [
            f"{address}\t{names}\n"
            for address in (endpoint.ipv4_address, endpoint.ipv6_address)
            if address and short not in named and full not in named
        ]
    return text + "".join([*lines, *(_extra(each, sandbox) for each in config.extra_hosts)])


def _extra(asked: str, sandbox: Sandbox) -> str:
    name, _, address = asked.partition(":")
    if address == "host-gateway":
        gateways = [each.ipv4_gateway for each in sandbox.endpoints if each.ipv4_gateway]
        gateways += ["127.0.0.1"] if sandbox.namespace == "host" else []
        if not gateways:
            raise Invalid("unable to derive the IP value for host-gateway")
        address = gateways[0]
    address = address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise Invalid(f'invalid IP address in add-host: "{address}"') from error
    return f"{address}\t{name}\n"


def _resolver(config: ContainerConfig, sandbox: Sandbox) -> str:
    theirs = _host_file("/etc/resolv.conf")
    given = config.dns or sandbox.nameservers
    kept: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in theirs.splitlines():
        words = line.split()
        if words and words[0] in kept:
            kept[words[0]] += words[1:2] if words[0] == "nameserver" else words[1:]
    if not (given or config.dns_search or config.dns_options):
        return theirs
    search = [] if config.dns_search == (".",) else list(config.dns_search) or kept["search"]
    lines = [f"nameserver {each}\n" for each in given or kept["nameserver"]]
    lines += [f"search {' '.join(search)}\n"] if search else []
    options = list(config.dns_options) or kept["options"]
    return "".join([*lines, f"options {' '.join(options)}\n" if options else ""])


def _host_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            return file.read(_MOST_BYTES)
    except OSError:
        return ""


def host_name(config: ContainerConfig, container_id: str, sandbox: Sandbox) -> str:
    """Return a container's host name: its own, else the host's where it shares that, else the start of its id."""
    if config.hostname:
        return config.hostname
    if sandbox.namespace == "host" or config.uts_mode == "host":
        return socket.gethostname()
    return container_id[:12]
