"""What a machine does when it starts, as its first process reads it: `/etc/moby/machine`, see `init/init.c`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from moby.contracts.packager import Source
from moby.errors import Unsupported
from moby_packager.vm.kernels import Kernel, Module

__all__ = ["driver_lines", "has_plans", "modules_of", "parts_of", "refuse_foreign", "text_of"]

_MOST_BYTES = (1 << 17) - 1
_MOST_WORDS = 64
_MOST_TASKS = 64
"""What the first process has room for (`init/init.c`, `init/tasks.h`)."""

_BESIDE = {
    **dict.fromkeys(("virtio_scsi", "ahci", "hv_storvsc", "vmw_pvscsi"), ("sd_mod",)), "button": ("evdev",),
}  # fmt: skip
"""What drives that which drivers find."""
_ANY_VENDOR = "pci:v*"
_OVERLAY = ("overlay",)
_FIREWALL = (
    "nf_tables", "nft_ct", "nft_nat", "nft_chain_nat", "nft_masq", "nft_redir", "nft_fib_inet", "nft_numgen",
    "nf_conntrack_netlink",
)  # fmt: skip
_BRIDGE = ("bridge", "br_netfilter", "veth", *_FIREWALL)
MODULES: Mapping[str, tuple[str, ...]] = {
    "snapshotter/overlay": _OVERLAY,
    "network-driver/bridge": _BRIDGE,
    "network-driver/overlay": (*_BRIDGE, "vxlan"),
    "network-driver/macvlan": ("macvlan",),
    "network-driver/ipvlan": ("ipvlan", "8021q"),
}
"""What parts need of a kernel that has it as modules; nothing loads any later."""


def text_of(lines: Sequence[str]) -> str:
    """Return the file; Unsupported where the first process would pass over some of it."""
    text = "".join(f"{line}\n" for line in lines)
    tasks = sum(line.startswith(("service ", "serve ")) for line in lines)
    words = max((line.count(" ") + 1 for line in lines), default=0)
    for what, count, most in (
        ("services", tasks, _MOST_TASKS), ("words in a line", words, _MOST_WORDS),
        ("bytes", len(text.encode()), _MOST_BYTES),
    ):  # fmt: skip
        if count > most:
            raise Unsupported(
                f"the start-up of the machine has {count} {what}; at most {most} are allowed",
                hint="give it fewer services, drivers or folders",
            )
    return text


def parts_of(source: Source) -> list[Mapping[str, Any]]:
    """Return the parts of an engine, as its lock has them."""
    (lock,) = [each for each in source.entries if each.path == "moby-lock.json"]
    found: list[Mapping[str, Any]] = json.loads(lock.data).get("engine", {}).get("instances", [])
    return found


def refuse_foreign(parts: Sequence[Mapping[str, Any]]) -> None:
    """Raise Unsupported for a part that runs a program of the host, which a machine doesn't have."""
    for part in parts:
        for need in part["facts"]["host"]:
            if need["what"] == "binary" and not need.get("optional"):
                name = part["config"].get(need.get("option") or "") or need["name"]
                raise Unsupported(
                    f"{part['facts']['id']} runs the program {name}, which a machine doesn't hold",
                    hint="choose a part that runs none, as runtime/native",
                )


def has_plans(parts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether containers start as the engine's one runtime starts them where that is worked out beforehand."""
    runtimes = [part for part in parts if part["kind"] == "runtime"]
    return [part["facts"]["id"] for part in runtimes] == ["runtime/native"] and not any(runtimes[0]["config"].values())


def modules_of(parts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the modules that parts need, each once."""
    return tuple(dict.fromkeys(name for part in parts for name in MODULES.get(part["facts"]["id"], ())))


def driver_lines(kernel: Kernel, drivers: Sequence[str]) -> tuple[list[str], list[Module]]:
    """Return the lines that load drivers where there are such devices, and the modules that they name."""
    lines: list[str] = []
    modules: dict[str, Module] = {}
    for name in drivers:
        chain = kernel.with_needs([name, *_BESIDE.get(name, ())])
        modules |= {each.name: each for each in chain}
        own = [each for each in chain if each.name == name]
        aliases = own[0].aliases if own else ()
        wide = [each for each in aliases if each.startswith(_ANY_VENDOR)]
        paths = " ".join(f"/{kernel.place(each)}" for each in chain)
        lines += [f"driver {alias} {paths}" for alias in wide or aliases if ":" in alias]
    return lines, list(modules.values())
