"""Values of docker's options that are spelled in words of their own, as its API has them."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moby.errors import Invalid, NotFound

__all__ = [
    "bind", "device", "duration", "environment", "mount", "network", "pairs", "published", "restart", "security",
    "size", "ulimit",
]  # fmt: skip

_SIZE = re.compile(r"(-1|\d+(?:\.\d+)?) ?([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_BIND_WORDS = re.compile(r"(ro|rw|z|Z|nocopy|r?(shared|slave|private)|delegated|cached|consistent)(,|$)")
_PUBLISH = re.compile(
    r"(?:(?:(?P<address>[\d.]+|\[[\da-f:]+\]):)?(?P<outside>(?:\d+(?:-\d+)?)?):)?"
    r"(?P<inside>\d+(?:-\d+)?)(?:/(?P<protocol>tcp|udp|sctp))?"
)


def size(text: str) -> int:
    """Return bytes, given a size such as 64m, in units of 1024; -1 is none."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"invalid size: {text!r}")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def duration(text: str) -> int:
    """Return nanoseconds, given a duration such as 1m30s."""
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        raise argparse.ArgumentTypeError(f"invalid duration: {text!r}")
    return round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Return `NAME=VALUE`s as a map."""
    return {name: value for name, _, value in (each.partition("=") for each in given)}


def environment(given: Sequence[str], files: Sequence[str]) -> list[str]:
    """Return variables; a bare name is filled in from the caller's own, or left out where that isn't set."""
    said: list[str] = []
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise NotFound(f"open {file}: {(error.strerror or '').lower()}") from error
        said += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    every = [*said, *given]
    for each in every:
        if each.startswith("=") or not each:
            raise Invalid(f"invalid environment variable: {each}")
    return [
        each if "=" in each else f"{each}={os.environ[each]}" for each in every if "=" in each or each in os.environ
    ]


def restart(text: str) -> dict[str, Any]:
    """Return a restart policy, given `NAME[:RETRIES]`."""
    name, _, retries = text.partition(":")
    if retries and not retries.isdigit():
        raise Invalid("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name or "no", "MaximumRetryCount": int(retries or 0)}


def bind(text: str) -> str:
    """Make a source that is a path of the caller's absolute."""
    source, _, rest = text.partition(":")
    options = rest.partition(":")[2]
    if options and not all(_BIND_WORDS.fullmatch(each) for each in options.split(",")):
        raise Invalid(f"invalid volume specification: '{text}': invalid mode: {options}")
    return (
        f"{Path(source).absolute()}:{rest}" if source.startswith(("./", "../", "~")) or source in (".", "..") else text
    )


def mount(text: str) -> dict[str, Any]:  # noqa: PLR0912  # a case for each key
    """Return the API's form of `type=...,source=...,target=...`."""
    found: dict[str, Any] = {"Type": "volume"}
    below: dict[str, dict[str, Any]] = {"bind": {}, "volume": {}, "tmpfs": {}}
    for each in text.split(","):
        key, equals, value = each.partition("=")
        truth = not equals or value.lower() in ("1", "true")
        match key.lower():
            case "type":
                found["Type"] = value.lower()
            case "source" | "src":
                found["Source"] = str(Path(value).absolute()) if value.startswith(".") else value
            case "target" | "dst" | "destination":
                found["Target"] = value
            case "readonly" | "ro":
                found["ReadOnly"] = truth
            case "bind-propagation":
                below["bind"]["Propagation"] = value
            case "bind-recursive":
                below["bind"]["NonRecursive"] = value == "disabled"
            case "volume-nocopy":
                below["volume"]["NoCopy"] = truth
            case "volume-subpath":
                below["volume"]["Subpath"] = value
            case "volume-driver":
                below["volume"].setdefault("DriverConfig", {})["Name"] = value
            case "volume-opt":
                options = below["volume"].setdefault("DriverConfig", {}).setdefault("Options", {})
                options.update(pairs([value]))
            case "volume-label":
                below["volume"].setdefault("Labels", {}).update(pairs([value]))
            case "tmpfs-size":
                below["tmpfs"]["SizeBytes"] = size(value)
            case "tmpfs-mode":
                below["tmpfs"]["Mode"] = int(value, 8)
            case _:
                raise Invalid(f"unexpected key '{key}' in '{each}'")
    if "Target" not in found:
        raise Invalid(f"invalid argument {text!r} for --mount: target is required")
    names = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions"}
    for kind, options in below.items():
        if options and kind != found["Type"]:
            raise Invalid(f"cannot mix '{kind}-*' options with mount type '{found['Type']}'")
        found.update({names[kind]: options} if options else {})
    return found


def security(text: str) -> str:
    """Put a seccomp profile itself for the file that holds it, which the engine may not see."""
    name, equals, value = text.partition("=")
    if name == "seccomp" and equals and value not in ("unconfined", "builtin"):
        try:
            return f"seccomp={Path(value).read_text(encoding='utf-8')}"
        except OSError as error:
            why = (error.strerror or "").lower()
            raise NotFound(f"opening seccomp profile ({value}) failed: open {value}: {why}") from error
    return text


def device(text: str) -> dict[str, str]:
    """Return a device, given `PATH[:PATH INSIDE][:PERMISSIONS]`."""
    parts = text.split(":")
    permissions = parts.pop() if len(parts) > 1 and re.fullmatch("[rwm]{1,3}", parts[-1]) else "rwm"
    if len(parts) > 2:
        raise Invalid(f"invalid device specification: {text}")
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": permissions}


def ulimit(text: str) -> dict[str, Any]:
    """Return a limit of processes, given `NAME=SOFT[:HARD]`."""
    match = re.fullmatch(r"([a-z]+)=(-1|\d+)(?::(-1|\d+))?", text)
    if match is None:
        raise Invalid(f"invalid ulimit argument: {text}")
    return {"Name": match[1], "Soft": int(match[2]), "Hard": int(match[3] or match[2])}


def network(text: str) -> dict[str, Any]:
    """Return a network's name and what is wanted of it, given `NAME` or `name=NAME,alias=A,ip=10.0.0.9,...`."""
    if "=" not in text:
        return {"name": text}
    found: dict[str, Any] = {}
    for each in text.split(","):
        key, _, value = each.partition("=")
        match key.lower():
            case "name" | "ip" | "ip6" | "mac-address" | "gw-priority":
                found[key.lower()] = value
            case "alias" | "link-local-ip" | "driver-opt":
                found.setdefault(key.lower(), []).append(value)
            case _:
                raise Invalid(f"invalid field key {key}")
    if not found.get("name"):
        raise Invalid("network name/id is not specified")
    return found


def published(text: str) -> list[tuple[str, str, str]]:
    """Return addresses and ports of the host, and ports of the container, given `[[ADDRESS:]PORT:]PORT[/PROTOCOL]`.

    Each PORT may be a range; where the container's is one port, the host's range is what to choose from.
    """
    match = _PUBLISH.fullmatch(text)
    if match is None:
        raise Invalid(f"invalid publish opts format (should be name=value but got '{text}')")
    address, protocol = (match["address"] or "").strip("[]"), match["protocol"] or "tcp"
    inside, outside = _range(match["inside"], "containerPort"), _range(match["outside"] or "", "hostPort")
    if not outside:
        return [(address, "", f"{each}/{protocol}") for each in inside]
    if len(inside) == 1 and len(outside) > 1:
        return [(address, match["outside"], f"{inside[0]}/{protocol}")]
    if len(inside) != len(outside):
        raise Invalid(
            f"Invalid ranges specified for container and host Ports: {match['inside']} and {match['outside']}"
        )
    return [(address, str(ours), f"{each}/{protocol}") for ours, each in zip(outside, inside, strict=True)]


def _range(text: str, what: str) -> list[int]:
    if not text:
        return []
    first, _, last = text.partition("-")
    numbers = range(int(first), int(last or first) + 1)
    if not numbers or numbers[-1] > 65535:
        raise Invalid(f"Invalid {what}: {text}")
    return list(numbers)
