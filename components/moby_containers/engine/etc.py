"""The files of a container's folder that appear in its /etc: hosts, hostname, resolv.conf."""

import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from moby.contracts.containers import Container, ContainerConfig
from moby.contracts.networks import Sandbox
from moby.contracts.types import Mount
from moby.errors import Invalid
from moby.oci.etc import LOCAL_HOSTS, MOST_BYTES, host_file
from moby_containers.engine.checks import HOST_GATEWAY, address_of
from moby_containers.engine.resolving import resolv_conf

__all__ = [
    "FILES", "change", "files_in", "files_of", "host_name", "hosts_text", "mounts", "relink", "seen", "write",
]  # fmt: skip

FILES = ("resolv.conf", "hostname", "hosts")


def files_in(folder: Path) -> Mapping[str, str]:
    """Return the files of a container's folder, by name."""
    return {name: str(folder / name) for name in FILES}


def files_of(container: Container) -> Mapping[str, str]:
    """Return the files that a container has seen since its last start, whosever they are; none before."""
    found = (container.resolv_conf_path, container.hostname_path, container.hosts_path)
    return {name: path for name, path in zip(FILES, found, strict=True) if path}


def seen(files: Mapping[str, str], mounts: Iterable[Mount]) -> Mapping[str, str]:
    """Return files as a container sees them that has such mounts of its user's."""
    over = {each.destination: each.source for each in mounts if each.type == "bind"}
    return {name: over.get(f"/etc/{name}", path) for name, path in files.items()}


def write(folder: Path, config: ContainerConfig, hostname: str, sandbox: Sandbox) -> None:
    """Write the files anew, as the container's start finds its networks."""
    for name, text in (
        ("hostname", f"{hostname}\n"),
        ("hosts", hosts_text(config, hostname, sandbox)),
        ("resolv.conf", resolv_conf(config, sandbox)),
    ):
        _put(folder / name, text)


def change(folder: Path, config: ContainerConfig, hostname: str, before: Sandbox, after: Sandbox) -> None:
    """Bring the files of a running container up to date, but for what somebody else wrote into them.

    A resolv.conf that isn't as it was written stays; of a hosts file other lines do.
    """
    path = folder / "resolv.conf"
    if _text(path) == resolv_conf(config, before):
        _put(path, resolv_conf(config, after))
    old, new = (hosts_text(config, hostname, each).splitlines() for each in (before, after))
    _change_lines(
        folder / "hosts", {each for each in old if each not in new}, [each for each in new if each not in old]
    )


def relink(folder: Path, sandbox: Sandbox, names: Collection[str]) -> None:
    """Bring the lines of a running container's hosts file up to date that say where others are, by these names."""
    path = folder / "hosts"
    there = _text(path).splitlines()
    new = [f"{address}\t{each}" for address, each in sandbox.hosts if each.split()[0] in names]
    old = {
        each for each in there if each.partition("\t")[2].split()[:1] and each.partition("\t")[2].split()[0] in names
    }
    _change_lines(path, {each for each in old if each not in new}, [each for each in new if each not in there])


def _change_lines(path: Path, gone: Collection[str], come: Sequence[str]) -> None:
    if gone or come:
        kept = [each for each in _text(path).splitlines() if each not in gone]
        _put(path, "".join(f"{each}\n" for each in (*kept, *come)))


def _put(path: Path, text: str) -> None:
    """Write a file in its place, where it may be mounted."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        file.write(text)


def _text(path: Path) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        return file.read(MOST_BYTES)


def mounts(files: Mapping[str, str], *, read_only: bool, taken: Iterable[str]) -> tuple[Mount, ...]:
    """Return the mounts of the files, but for those that the user mounts something else on."""
    options = ("rbind", "rprivate", *(["ro"] if read_only else []))
    there = set(taken)
    return tuple(
        Mount(f"/etc/{name}", path, "bind", options) for name, path in files.items() if f"/etc/{name}" not in there
    )


def hosts_text(config: ContainerConfig, hostname: str, sandbox: Sandbox) -> str:
    """Return a hosts file: what was asked for, then others, then the container itself."""
    text = LOCAL_HOSTS
    if sandbox.namespace == "host":
        text = host_file("/etc/hosts") or LOCAL_HOSTS
        if not text.endswith("\n"):
            text += "\n"
    lines = [_extra(each, sandbox) for each in config.extra_hosts]
    lines += [f"{address}\t{names}\n" for address, names in sandbox.hosts]
    whole = f"{hostname}.{config.domainname}" if config.domainname else hostname
    bare, dot, _ = whole.partition(".")
    own = f"{whole} {bare}" if dot else whole
    for endpoint in sandbox.endpoints:
        lines += [f"{each}\t{own}\n" for each in (endpoint.ipv4_address, endpoint.ipv6_address) if each]
    return text + "".join(lines)


def _extra(asked: str, sandbox: Sandbox) -> str:
    name, _, address = asked.partition(":")
    if address == HOST_GATEWAY:
        address = sandbox.host_gateway or ("127.0.0.1" if sandbox.namespace == "host" else "")
        if not address:
            raise Invalid("unable to derive the IP value for host-gateway")
    return f"{address_of(address)}\t{name}\n"


def host_name(config: ContainerConfig, container_id: str, sandbox: Sandbox) -> str:
    """Return a container's host name: its own, else the host's where it shares that, else the start of its id."""
    if config.hostname:
        return config.hostname
    if sandbox.namespace == "host" or config.uts_mode == "host":
        return socket.gethostname()
    return container_id[:12]
