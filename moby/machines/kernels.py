"""A compressed kernel as the plain program that it holds: an emulated processor would take seconds to unpack it."""

import hashlib
import io
import os
import struct
from pathlib import Path

from moby.errors import Invalid
from moby.oci import compression

__all__ = ["plain_kernel"]

_SETUP_SECTORS, _PAYLOAD = 0x1F1, 0x248
"""Where an image says how long its beginning is, and where its payload lies (Documentation/arch/x86/boot.rst)."""
_SECTOR = 512
_DEFAULT_SECTORS = 4
_ELF = b"\x7fELF"


def plain_kernel(image: Path, cache: Path) -> Path:
    """Return the file with an image's plain kernel, made once in a cache; the image itself where it holds none.

    Invalid where the image is damaged.
    """
    data = image.read_bytes()
    target = cache / f"vmlinux-{hashlib.sha256(data).hexdigest()[:32]}"
    if not target.exists():
        plain = _unpacked(data)
        if not plain.startswith(_ELF):
            return image
        cache.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f"{target.name}.{os.getpid()}")
        beside.write_bytes(plain)
        beside.rename(target)
    return target


def _unpacked(data: bytes) -> bytes:
    if len(data) < _PAYLOAD + 8:
        raise Invalid("the kernel is too short to be one", hint="assemble the machine again")
    offset, length = struct.unpack_from("<II", data, _PAYLOAD)
    start = ((data[_SETUP_SECTORS] or _DEFAULT_SECTORS) + 1) * _SECTOR + offset
    packed = data[start : start + max(length - 4, 0)]  # the last four bytes are the length of what it holds
    if not compression.detect(packed[:8]):
        return b""
    return compression.plain(io.BytesIO(packed)).read()
