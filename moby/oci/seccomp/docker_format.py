"""Seccomp profiles as Docker and Podman keep them: rules that depend on machine, capabilities and kernel.

Docker's documentation (Seccomp security profiles for Docker) and containers-common have the format: the runtime
specification's, with `archMap` for `architectures`, `name` for `names`, `errno` and `defaultErrno` by name, and
`includes` and `excludes` at each rule.
"""

import errno
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from moby.errors import Invalid
from moby.oci.seccomp.architectures import Architecture

__all__ = ["evaluated"]

_NAMES = {"X86_64": "amd64", "X86": "x86", "X32": "x32", "AARCH64": "arm64", "ARM": "arm"}
"""What the format calls architectures, where that isn't their own name in small letters."""
_KEPT = ("defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath", "listenerMetadata")
_KEPT_OF_RULES = ("action", "errnoRet", "args")
_KERNEL = re.compile(r"(\d{1,9})\.(\d{1,9})")


def evaluated(
    data: Any, native: Architecture, capabilities: Collection[str], kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return what a profile comes to, as `linux.seccomp` of config.json, whose rest the runtime checks; Invalid.

    `capabilities` are the container's bounding set, and `kernel` the first two numbers of Linux' version.
    """
    profile = _object(data, "it")
    found = {name: profile[name] for name in _KEPT if profile.get(name) is not None}
    if profile.get("archMap"):
        if profile.get("architectures"):
            raise _wrong("architectures", "can't be there beside archMap")
        found["architectures"] = list(_architectures(profile["archMap"], native))
    _name_error(profile, "defaultErrno", "defaultErrnoRet", found, "defaultErrno")
    found["syscalls"] = [
        _rule(rule, f"syscalls[{index}]")
        for index, rule in enumerate(_array(profile.get("syscalls"), "syscalls"))
        if _applies(_object(rule, f"syscalls[{index}]"), f"syscalls[{index}]", native, capabilities, kernel)
    ]
    return found


def _architectures(data: Any, native: Architecture) -> Iterator[str]:
    """Yield the architectures that go with the machine's own."""
    for index, each in enumerate(_array(data, "archMap")):
        entry = _object(each, f"archMap[{index}]")
        if entry.get("architecture") == f"SCMP_ARCH_{native.name}":
            yield entry["architecture"]
            yield from _strings(entry.get("subArchitectures"), f"archMap[{index}].subArchitectures")


def _rule(rule: Mapping[str, Any], path: str) -> dict[str, Any]:
    found = {name: rule[name] for name in _KEPT_OF_RULES if rule.get(name) is not None}
    if rule.get("name"):
        if rule.get("names"):
            raise _wrong(f"{path}.name", "can't be there beside names")
        found["names"] = [rule["name"]]
    else:
        found["names"] = rule.get("names")
    _name_error(rule, "errno", "errnoRet", found, f"{path}.errno")
    return found


def _name_error(data: Mapping[str, Any], name: str, number: str, found: dict[str, Any], path: str) -> None:
    """Take an error's number by its name, which Podman writes beside it."""
    word = data.get(name)
    if not word or number in found:
        return
    value = getattr(errno, word, None) if isinstance(word, str) and word.startswith("E") else None
    if value is None:
        raise _wrong(path, f"is no error: {word!r}")
    found[number] = value


def _applies(
    rule: Mapping[str, Any], path: str, native: Architecture, capabilities: Collection[str], kernel: tuple[int, int]
) -> bool:
    """Whether a rule is meant for a container: all that it includes is there, and nothing that it excludes."""
    own = _NAMES.get(native.name, native.name.lower())
    included = _Filter(rule, f"{path}.includes", "includes")
    excluded = _Filter(rule, f"{path}.excludes", "excludes")
    if (included.arches and own not in included.arches) or own in excluded.arches:
        return False
    if not set(included.caps) <= set(capabilities) or set(excluded.caps) & set(capabilities):
        return False
    if included.kernel is not None and kernel < included.kernel:
        return False
    return excluded.kernel is None or kernel < excluded.kernel


class _Filter:
    """What a rule depends on."""

    def __init__(self, rule: Mapping[str, Any], path: str, name: str) -> None:
        data = _object(rule.get(name) or {}, path)
        self.arches = _strings(data.get("arches"), f"{path}.arches")
        self.caps = _strings(data.get("caps"), f"{path}.caps")
        self.kernel: tuple[int, int] | None = None
        if data.get("minKernel"):
            found = _KERNEL.fullmatch(str(data["minKernel"]))
            if found is None:
                raise _wrong(f"{path}.minKernel", f"must be as 4.8, not {data['minKernel']!r}")
            self.kernel = (int(found[1]), int(found[2]))


def _object(data: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise _wrong(path, f"must be an object, not {data!r}")
    return data


def _array(data: Any, path: str) -> list[Any]:
    if data is None:
        return []
    if not isinstance(data, list):
        raise _wrong(path, f"must be an array, not {data!r}")
    return data


def _strings(data: Any, path: str) -> list[str]:
    found = _array(data, path)
    if not all(isinstance(each, str) for each in found):
        raise _wrong(path, f"must be an array of strings, not {found!r}")
    return found


def _wrong(path: str, message: str) -> Invalid:
    return Invalid(f"the seccomp profile is wrong: {path} {message}")
