"""What linux.resources (runtime-spec, config-linux.md) of the right shape may still get wrong, whatever the host."""

from __future__ import annotations

from moby.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["problems"]

_PATH = "linux.resources"
_MOST_NUMBER = 2**31 - 1
_RANGES: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    "memory": (
        ("limit", -1, 2**63 - 1),
        ("reservation", -1, 2**63 - 1),
        ("swap", -1, 2**63 - 1),
        ("swappiness", -1, 100),
    ),
    "cpu": (
        ("shares", 0, 2**64 - 1),
        ("period", 0, 2**64 - 1),
        ("burst", 0, 2**64 - 1),
        ("realtimePeriod", 0, 2**64 - 1),
    ),
    "blockIO": (("weight", 0, 1000), ("leafWeight", 0, 1000)),
    "network": (("classID", 0, 2**32 - 1),),
}
"""The least and the most of a number; 0 is none where the specification's number can't be."""


def _is_page_size(text: str) -> bool:
    number = text[:-2]
    return (
        text[-2:-1] in tuple("KMGT")
        and text.endswith("B")
        and number.isascii()
        and number.isdigit()
        and (not number.startswith("0"))
    )


def _wrong(path: str, message: str) -> Problem:
    return Problem(f"config.json: {_PATH}.{path} {message}")


def problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with linux.resources."""
    for kind, ranges in _RANGES.items():
        for name, least, most in ranges:
            yield from _range(data.get(kind, {}), f"{kind}.{name}", name, least, most)
    for name in ("cpus", "mems"):
        if (listed := data.get("cpu", {}).get(name)) and not listed.strip():
            yield _wrong(f"cpu.{name}", f"must be a list such as 0-3, not {listed!r}")
    yield from _device_problems(data.get("devices", ()))
    yield from _block_problems(data.get("blockIO", {}))
    for index, each in enumerate(data.get("hugepageLimits", ())):
        path = f"hugepageLimits[{index}]"
        if not _is_page_size(each.get("pageSize", "")):
            yield _wrong(f"{path}.pageSize", f"must be a size such as 2MB, not {each.get('pageSize')!r}")
        yield from _needed(each, path, ("limit",))
    for index, each in enumerate(data.get("network", {}).get("priorities", ())):
        path = f"network.priorities[{index}]"
        if not each.get("name") or len(each["name"].split()) != 1:
            yield _wrong(f"{path}.name", f"must be the name of a network interface, not {each.get('name')!r}")
        yield from _needed(each, path, ("priority",))
    yield from _rdma_problems(data.get("rdma", {}))
    for name in data.get("unified", {}):
        if "/" in name or name.find(".") <= 0:
            yield _wrong(f"unified.{name}", "is no file of a control group, such as memory.high")


def _range(data: Mapping[str, Any], path: str, name: str, least: int, most: int) -> Iterator[Problem]:
    if not least <= data.get(name, least) <= most:
        yield _wrong(path, f"must be from {least} to {most}, not {data[name]}")


def _needed(data: Mapping[str, Any], path: str, names: Sequence[str]) -> Iterator[Problem]:
    for name in names:
        if data.get(name, -1) < 0:
            yield _wrong(f"{path}.{name}", "is missing or negative")


def _device_problems(rules: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for index, rule in enumerate(rules):
        numbers = [rule.get(name, -1) for name in ("major", "minor")]
        letters = set(rule.get("access", ""))
        right = (rule.get("type") or "a") in ("a", "b", "c") and not letters - set("rwm") and "allow" in rule
        if not right or max(numbers) > _MOST_NUMBER:
            yield _wrong(f"devices[{index}]", f"is no rule for devices: {rule!r}")


def _block_problems(block: Mapping[str, Any]) -> Iterator[Problem]:
    for name, entries in block.items():
        if not isinstance(entries, list):
            continue
        for index, each in enumerate(entries):
            path = f"blockIO.{name}[{index}]"
            yield from _needed(each, path, ("major", "minor"))
            if name != "weightDevice":
                yield from _needed(each, path, ("rate",))
                continue
            if not each.get("weight") and not each.get("leafWeight"):
                yield _wrong(path, "needs weight or leafWeight")
            for weight in ("weight", "leafWeight"):
                yield from _range(each, f"{path}.{weight}", weight, 0, 1000)


def _rdma_problems(devices: Mapping[str, Mapping[str, int]]) -> Iterator[Problem]:
    for name, each in devices.items():
        if not name or len(name.split()) != 1:
            yield _wrong("rdma", f"must name a device, not {name!r}")
        if not each:
            yield _wrong(f"rdma.{name}", "needs hcaHandles or hcaObjects")
        for limit in ("hcaHandles", "hcaObjects"):
            yield from _range(each, f"rdma.{name}.{limit}", limit, 0, _MOST_NUMBER)
