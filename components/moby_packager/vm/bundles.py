"""Services of a machine: images as bundles (runtime-spec), which the engine's verb `bundle` runs."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from moby.contracts.packager import Brought
from moby.contracts.runtime_values import DIE_WITH_PARENT
from moby.contracts.types import Limits, Mount
from moby.errors import Invalid
from moby.oci.seccomp.architectures import native
from moby.oci.seccomp.default import default_profile
from moby.oci.spec import UNCONFINED, Request, container_spec
from moby.oci.user import parse_user
from moby_packager.trees.nodes import Node
from moby_packager.vm import images, starting
from moby_packager.vm.cpio import Record
from moby_packager.vm.rootfs import flattened, placed, text_of

__all__ = ["Bundled", "Service", "bundled", "folders_of"]

PLACE = "containers"
PLAN = "start"
"""Of a bundle, by which the machine's first process starts it."""
_BIND = re.compile(r"(/[^:\s]*):(/[^:\s]*)(:ro)?")
_MACHINE = "x86_64"


@frozen
class Service:
    """A container that a machine runs."""

    name: str
    image: str
    """A file or folder, from the folder where the machine is assembled."""
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    net: str = "none"
    binds: tuple[str, ...] = ()
    """`SOURCE:TARGET`, or `SOURCE:TARGET:ro`; a source that ends with / is a folder, made when the machine starts."""
    tmpfs: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    memory_bytes: int = 0
    hostname: str = ""


@frozen
class Bundled:
    """A service's bundle, as files of the machine."""

    place: str
    """Without the first slash."""
    records: Sequence[Record] = field(repr=False)
    brought: Brought = field()
    planned: bool = False
    """Whether there is a plan of its start."""

    @property
    def nodes(self) -> list[Node]:
        """Return the files as others weigh them."""
        owner = self.brought.owner
        return [Node(each.path, each.data, {owner: len(each.data)}) for each in self.records if each.data]


def bundled(service: Service, kernel: tuple[int, int], *, plans: bool = True) -> Bundled:
    """Return the bundle of a service, for a kernel of a version, perhaps with a plan of its start.

    Errors name the service.
    """
    packed = images.read(Path(service.image))
    files = flattened(packed.layers)
    user = parse_user(service.user or packed.config.user, text_of(files, "etc/passwd"), text_of(files, "etc/group"))
    spec = container_spec(packed.config, _request(service), user=user, rootfs=Path("rootfs"))
    capabilities = spec["process"]["capabilities"]["bounding"]
    architecture = native(_MACHINE, little=True)
    spec["linux"]["seccomp"] = default_profile(architecture, capabilities, kernel)
    spec["annotations"] = {**spec.get("annotations", {}), DIE_WITH_PARENT: "true"}
    for mount in spec["mounts"]:
        placed(files, mount["destination"], folder=not _is_file(mount))
    place = f"{PLACE}/{service.name}"
    config = json.dumps(spec, indent=1, sort_keys=True).encode()
    whole = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in packed.layers)).hexdigest()
    records = _moved(place, files, config)
    start = starting.plan(spec, files, f"/{place}") if plans else None
    records += [Record(f"{place}/{PLAN}", 0o100644, start)] if start else []
    return Bundled(place, records, Brought(f"image {service.name}", f"sha256:{whole[:16]}"), start is not None)


def folders_of(services: Iterable[Service]) -> list[str]:
    """Return the folders of the machine that services share, which are made before they start."""
    sources = {_bind(text, each).source for each in services for text in each.binds}
    return sorted(each.rstrip("/") for each in sources if each.endswith("/"))


def _request(service: Service) -> Request:
    mounts = [_bind(each, service) for each in service.binds]
    mounts += [Mount(each, "tmpfs", "tmpfs", ("nosuid", "nodev")) for each in service.tmpfs]
    return Request(
        hostname=service.hostname or service.name,
        command=service.command,
        environment=service.env,
        working_directory=service.workdir,
        readonly_root=True,
        mounts=tuple(mounts),
        limits=Limits(service.memory_bytes),
        cap_add=service.capabilities,
        seccomp=UNCONFINED,
        network=service.net,
    )


def _bind(text: str, service: Service) -> Mount:
    match = _BIND.fullmatch(text)
    if match is None:
        raise Invalid(
            f"service {service.name}: {text!r} is no bind", hint="write /SOURCE:/TARGET or /SOURCE:/TARGET:ro"
        )
    return Mount(match[2], match[1], "bind", ("rbind", "rprivate", *(["ro", "rro"] if match[3] else [])))


def _is_file(mount: Mapping[str, Any]) -> bool:
    return "rbind" in mount["options"] and not str(mount["source"]).endswith("/")


def _moved(place: str, files: Mapping[str, Record], config: bytes) -> list[Record]:
    root = f"{place}/rootfs"
    found = [Record(place, 0o40755), Record(f"{place}/config.json", 0o100644, config), Record(root, 0o40755)]
    for path in sorted(files, key=lambda each: (bool(files[each].link_of), each)):
        each = files[path]
        target = f"{root}/{each.link_of}" if each.link_of else ""
        found.append(Record(f"{root}/{path}", each.mode, each.data, each.uid, each.gid, each.device, target))
    return found
