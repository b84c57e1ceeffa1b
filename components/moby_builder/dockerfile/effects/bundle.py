"""The bundle of a RUN: its config.json, and the files that it sees in /etc."""

import ipaddress
import json
from pathlib import Path
from typing import Any

from attrs import field, frozen

from moby.contracts.images import ImageConfig
from moby.contracts.networks import Sandbox
from moby.contracts.types import Limits, Mount
from moby.errors import Invalid
from moby.oci import spec
from moby.oci.etc import LOCAL_HOSTS, host_file, is_loopback
from moby.oci.user import User
from moby_builder.dockerfile.operations import Run

__all__ = ["Settled", "etc_mounts", "spec_of", "write_spec"]

HOSTNAME = "buildkitsandbox"
"""BuildKit's, which build scripts are known to look for."""
_NO_LIMIT = 2**64 - 1


@frozen
class Settled:
    """What is known of a RUN once its root and its networks are there."""

    id: str
    rootfs: Path
    user: User
    sandbox: Sandbox
    mounts: tuple[Mount, ...]
    environment: tuple[str, ...] = ()
    """Secrets as variables."""
    limits: Limits = field(factory=Limits)


def spec_of(run: Run, settled: Settled) -> dict[str, Any]:
    """Return config.json: docker's confinement, or with `insecure` hardly any."""
    shm = Mount("/dev/shm", "shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", f"size={run.shm_bytes}"))  # noqa: S108
    request = spec.Request(
        hostname=run.hostname or HOSTNAME,
        command=run.arguments,
        working_directory=run.folder,
        mounts=(*((shm,) if run.shm_bytes else ()), *settled.mounts),
        limits=settled.limits,
        cap_add=("ALL",) if run.insecure else (),
        seccomp=spec.UNCONFINED if run.insecure else spec.BUILTIN,
        network="host" if settled.sandbox.namespace == "host" else "none",
        cgroup=f"{run.cgroup_parent.rstrip('/')}/{settled.id}" if run.cgroup_parent else "",
    )
    made = spec.container_spec(ImageConfig(), request, user=settled.user, rootfs=settled.rootfs)
    process, linux = made["process"], made["linux"]
    base = (f"PATH={spec.DEFAULT_PATH}", f"HOME={settled.user.home}")
    process["env"] = list(spec.environment(base, run.environment, run.proxy, settled.environment))
    if settled.user.uid:
        process["capabilities"] |= {"effective": [], "permitted": []}
    if run.ulimits:
        process["rlimits"] = [
            {"type": f"RLIMIT_{name.upper()}", "soft": soft % (_NO_LIMIT + 1), "hard": hard % (_NO_LIMIT + 1)}
            for name, soft, hard in run.ulimits
        ]
    for each in linux["namespaces"]:
        if each["type"] == "network" and settled.sandbox.namespace:
            each["path"] = settled.sandbox.namespace
    if run.insecure:
        linux |= {"maskedPaths": [], "readonlyPaths": []}
        linux["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
        for each in made["mounts"]:
            if each["destination"].startswith("/sys"):
                each["options"] = [option for option in each["options"] if option != "ro"]
    return made


def write_spec(folder: Path, run: Run, settled: Settled) -> None:
    """Write config.json."""
    with open(folder / "config.json", "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        file.write(json.dumps(spec_of(run, settled), separators=(",", ":")))


def etc_mounts(folder: Path, run: Run, sandbox: Sandbox) -> tuple[Mount, ...]:
    """Write hosts and resolv.conf, and return their mounts."""
    found = []
    for name, text in (("hosts", _hosts(run, sandbox)), ("resolv.conf", _resolv_conf(sandbox))):
        path = folder / name
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            file.write(text)
        path.chmod(0o644)
        found.append(Mount(f"/etc/{name}", str(path), "bind", ("rbind", "rprivate", "ro")))
    return tuple(found)


def _hosts(run: Run, sandbox: Sandbox) -> str:
    text = (host_file("/etc/hosts") if sandbox.namespace == "host" else "") or LOCAL_HOSTS
    lines = [_added(name, address, sandbox) for name, address in run.hosts]
    own = run.hostname or HOSTNAME
    for endpoint in sandbox.endpoints:
        lines += [f"{each}\t{own}\n" for each in (endpoint.ipv4_address, endpoint.ipv6_address) if each]
    return text + ("" if text.endswith("\n") else "\n") + "".join(lines)


def _added(name: str, address: str, sandbox: Sandbox) -> str:
    if address == "host-gateway":
        address = sandbox.host_gateway or ("127.0.0.1" if sandbox.namespace == "host" else "")
        if not address:
            raise Invalid(
                "unable to derive the IP value for host-gateway", hint="build on a network that has a way to the host"
            )
    bare = address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise Invalid(f'invalid IP address in add-host: "{address}"', hint="write NAME:ADDRESS") from None
    return f"{bare}\t{name}\n"


def _resolv_conf(sandbox: Sandbox) -> str:
    """Return the host's resolv.conf, with servers that are found from inside."""
    text = host_file("/etc/resolv.conf")
    if _servers(text) and all(map(is_loopback, _servers(text))):
        text = host_file("/run/systemd/resolve/resolv.conf") or text  # where systemd-resolved has it from
    if sandbox.namespace == "host":
        return text
    servers = sandbox.nameservers or tuple(each for each in _servers(text) if not is_loopback(each))
    others = [each for each in text.splitlines() if not each.startswith("nameserver")]
    return "".join(f"{each}\n" for each in (*(f"nameserver {each}" for each in servers), *others))


def _servers(text: str) -> tuple[str, ...]:
    lines = (each.split() for each in text.splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")
