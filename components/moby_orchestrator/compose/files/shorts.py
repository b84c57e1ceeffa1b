"""The short forms of ports and of mounts."""

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["mount", "ports"]

_OPTIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_WINDOWS = re.compile(r"[A-Za-z]:")


def ports(text: str) -> list[dict[str, Any]]:
    """Return what `[[ADDRESS:]PUBLISHED[-LAST]:]TARGET[-LAST][/PROTOCOL]` means; ValueError for what is none."""
    rest, slash, protocol = text.partition("/")
    if not slash:
        protocol = "tcp"
    if protocol.lower() not in ("tcp", "udp", "sctp"):
        raise ValueError(f"{protocol!r} is no protocol: it is tcp, udp or sctp")
    address, published, target = _pieces(rest)
    first, last = _range(target)
    if published:
        low, high = _range(published)
        if last - first != high - low and first != last:
            raise ValueError(f"the ranges {published} and {target} differ in length")
    found: list[dict[str, Any]] = []
    for number in range(first, last + 1):
        one: dict[str, Any] = {"mode": "ingress"}
        if address:
            one["host_ip"] = address
        one["target"] = number
        if published:
            # One port may be published as any of a range.
            one["published"] = published if first == last and low != high else str(low + number - first)
        one["protocol"] = protocol.lower()
        found.append(one)
    return sorted(found, key=lambda each: f"{each['target']}/{protocol}")


def _pieces(text: str) -> tuple[str, str, str]:
    head, _, target = text.rpartition(":")
    address, colon, published = head.rpartition(":")
    if not target:
        raise ValueError("no port of the container is named")
    if not colon:
        address, published = "", head
    if address.startswith("["):
        if not address.endswith("]"):
            raise ValueError(f"{address!r} is no address")
        address = address[1:-1]
    if address:
        import ipaddress

        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f"{address!r} is no address") from None
    return address, published, target


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"{text!r} is no port")
    low, high = int(first), int(last) if dash else int(first)
    if not 0 <= low <= high <= 65535:
        raise ValueError(f"{text!r} is no port, nor a range from a lower one to a higher one")
    return low, high


def mount(text: str) -> dict[str, Any]:
    """Return what `[SOURCE:]TARGET[:OPTIONS]` means; ValueError for what is none."""
    if not text:
        raise ValueError("an empty mount")
    source, target, options = _sections(text)
    found: dict[str, Any] = {"type": "bind" if _is_path(source) else "volume"}
    if source:
        found["source"] = source
    found["target"] = target
    bind: dict[str, Any] = {}
    volume: dict[str, Any] = {}
    for option in options:
        if option in ("ro", "rw"):
            found["read_only"] = option == "ro"
        elif option == "nocopy":
            volume["nocopy"] = True
        elif option in ("z", "Z"):
            bind["selinux"] = option
        elif option in _OPTIONS:
            bind["propagation"] = option
    if not found.get("read_only"):
        found.pop("read_only", None)
    if found["type"] == "bind":
        bind["create_host_path"] = True
    if found["type"] == "bind" or bind:
        found["bind"] = bind
    if found["type"] == "volume" or volume:
        found["volume"] = volume
    if len(text) <= 2:
        del found["volume"]
    return found


def _sections(text: str) -> tuple[str, str, Iterator[str]]:
    sections = [""]
    for char in text if len(text) > 2 else text.replace(":", "\0"):
        if char == ":" and not (len(sections[-1]) == 1 and sections[-1].isalpha()):
            sections.append("")
        else:
            sections[-1] += char
    sections = [each.replace("\0", ":") for each in sections]
    if "" in sections:
        raise ValueError(f"{text!r} has an empty part between colons")
    if len(sections) > 3:
        raise ValueError(f"{text!r} has too many colons")
    if len(sections) == 1:
        return "", sections[0], iter(())
    return sections[0], sections[1], iter(sections[2].split(",") if len(sections) == 3 else ())


def _is_path(source: str) -> bool:
    return source[:1] in (".", "/", "~") or source.startswith("\\\\") or bool(_WINDOWS.match(source))
