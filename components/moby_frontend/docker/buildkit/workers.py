"""Platforms that programs are run for here: the host's, what its processor does besides, and binfmt_misc's."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from moby.contracts.types import Platform

__all__ = ["platforms"]

_LEVELS = {
    "v2": {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"},
    "v3": {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"},
    "v4": {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"},
}
"""What a level of x86-64 has more than the one before (x86-64 psABI), as cpuinfo spells it."""
_INTERPRETERS = {
    "aarch64": ("arm64", ""), "arm": ("arm", "v7"), "i386": ("386", ""), "loongarch64": ("loong64", ""),
    "mips64": ("mips64", ""), "mips64el": ("mips64le", ""), "ppc64le": ("ppc64le", ""), "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""), "x86_64": ("amd64", ""),
}  # fmt: skip
"""By QEMU's names of processors, the OCI's."""


def platforms(proc: Path = Path("/proc"), host: Platform | None = None) -> tuple[Platform, ...]:
    """Return them, the host's first."""
    found = (*_own(proc, host or Platform.host()), *_interpreted(proc / "sys/fs/binfmt_misc"))
    return tuple(dict.fromkeys(found))


@cache  # a processor stays what it is, and a build asks several times
def _own(proc: Path, host: Platform) -> tuple[Platform, ...]:
    found = [host]
    if host.architecture == "amd64":
        found += [Platform("linux", "amd64", level) for level in _levels(_text(proc / "cpuinfo"))]
        if (proc / "sys/abi/vsyscall32").exists():  # there where the kernel has 32-bit programs
            found.append(Platform("linux", "386"))
    return tuple(found)


def _levels(cpuinfo: str) -> Iterator[str]:
    line = next((each for each in cpuinfo.splitlines() if each.startswith("flags")), "")
    flags = set(line.partition(":")[2].split())
    for level, needed in _LEVELS.items():
        if not needed <= flags:
            return
        yield level


def _interpreted(folder: Path) -> Iterator[Platform]:
    """Yield what QEMU's interpreters are registered for, where they are switched on."""
    with suppress(OSError):
        there = {each.name for each in folder.iterdir()}
        for name, (architecture, variant) in _INTERPRETERS.items():
            if f"qemu-{name}" in there and _text(folder / f"qemu-{name}").startswith("enabled"):
                yield Platform("linux", architecture, variant)


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""
