"""Platforms as Dockerfiles and build arguments write them (containerd/platforms), and the arguments that tell them."""

import re
from collections.abc import Mapping

from moby.contracts.types import Platform
from moby.errors import Invalid

__all__ = ["normalize", "parse", "predefined", "short_change"]

_PART = re.compile(r"[A-Za-z0-9_-]+")
# fmt: off
_SYSTEMS = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd",
    "openbsd", "plan9", "solaris", "windows", "zos",
})
_ARCHITECTURES = frozenset({
    "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64", "mips64le",
    "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64",
    "wasm",
})
# fmt: on
_ALIASES: Mapping[str, tuple[str, str | None]] = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Other names of architectures, with the variant that the name says."""
_VARIANTS: Mapping[tuple[str, str], str] = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm", ""): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "7"): "v7",
    ("arm", "8"): "v8",
}


def parse(text: str) -> Platform:
    """Return the platform of `OS`, `ARCHITECTURE`, `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`; else Invalid."""
    if "*" in text:
        raise Invalid(f'"{text}": wildcards not yet supported: invalid argument')
    parts = text.split("/")
    for part in parts:
        if not _PART.fullmatch(part):
            raise Invalid(
                f'"{part}" is an invalid component of "{text}": platform specifier component must match '
                '"^[A-Za-z0-9_-]+$": invalid argument'
            )
    match parts:
        case [one]:
            return _parse_one(one, text)
        case [system, architecture]:
            return _without_default(Platform(_system(system), *_architecture(architecture, "")))
        case [system, architecture, variant]:
            found = Platform(_system(system), *_architecture(architecture, variant))
            return Platform(found.os, "arm64", "v8") if found.architecture == "arm64" and not found.variant else found
    raise Invalid(f'"{text}": cannot parse platform specifier: invalid argument')


def normalize(platform: Platform) -> Platform:
    """Return a platform by its usual names: no variant where that says nothing."""
    return Platform(_system(platform.os), *_architecture(platform.architecture, platform.variant))


def predefined(build: Platform, target: Platform) -> dict[str, str]:
    """Return the arguments that every Dockerfile may declare and gets by itself."""
    return {
        f"{prefix}{name}": value
        for prefix, platform in (("BUILD", build), ("TARGET", target))
        for name, value in (
            ("PLATFORM", str(platform)),
            ("OS", platform.os),
            ("ARCH", platform.architecture),
            ("VARIANT", platform.variant),
        )
    }


def short_change(runs_on: Platform, environment: Mapping[str, str]) -> str:
    """Return what a step's name says of another platform that it works for: `->arm64`, or nothing."""
    whole = environment.get("TARGETPLATFORM", "")
    parts = [environment.get(f"TARGET{name}", "") for name in ("OS", "ARCH", "VARIANT")]
    if not whole and not any(f"TARGET{name}" in environment for name in ("OS", "ARCH", "VARIANT")):
        return ""
    try:
        target = parse(whole) if whole else Platform(parts[0] or runs_on.os, parts[1] or runs_on.architecture, parts[2])
    except Invalid:
        return ""
    target = normalize(target)
    if target.os != runs_on.os:
        return f"->{target}"
    if target.architecture == runs_on.architecture:
        return ""
    return f"->{target.architecture}" + (f"/{target.variant}" if target.variant else "")


def _parse_one(text: str, whole: str) -> Platform:
    host = Platform.host()
    if _system(text) in _SYSTEMS:
        return Platform(_system(text), host.architecture)
    architecture, variant = _architecture(text, "")
    if architecture not in _ARCHITECTURES:
        raise Invalid(f'"{whole}": unknown operating system or architecture: invalid argument')
    return _without_default(Platform(host.os, architecture, variant))


def _without_default(platform: Platform) -> Platform:
    """What is written without a variant has none where it is the default."""
    if (platform.architecture, platform.variant) == ("arm", "v7"):
        return Platform(platform.os, "arm")
    return platform


def _system(text: str) -> str:
    lower = text.lower()
    return {"macos": "darwin", "": "linux"}.get(lower, lower)


def _architecture(text: str, variant: str) -> tuple[str, str]:
    name, said = _ALIASES.get(text.lower(), (text.lower(), None))
    variant = variant.lower() if said is None else said
    return name, _VARIANTS.get((name, variant), variant)
