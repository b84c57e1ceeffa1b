"""Kernels that were unpacked rather than installed: their modules as modprobe wants them, and a kernel's plain form."""

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from peers import binaries


def module_tree(cache: Path, modules: Path) -> Path:
    """Make a tree for `modprobe -d` of a folder VERSION/kernel with modules, once; return it."""
    (version,) = modules.iterdir()
    target = cache / f"modules-{version.name}"
    depmod = binaries.need("depmod", "kmod")
    if not target.exists():
        with _aside(target) as made:
            folder = made / "lib/modules" / version.name
            folder.mkdir(parents=True)
            for name in ("kernel", "modules.order", "modules.builtin", "modules.builtin.modinfo"):
                if (version / name).exists():
                    (folder / name).symlink_to(os.path.relpath(version / name, target / folder.relative_to(made)))
            subprocess.run([depmod, "-b", made, version.name], check=True, env=binaries.environment())
    return target


def plain_kernel(cache: Path, image: Path) -> Path:
    """Take the kernel out of its bzImage, once: an emulator would take seconds to unpack it; return its path.

    Where the payload lies: Documentation/arch/x86/boot.rst, setup_sects, payload_offset and payload_length. The last
    four bytes of it are its length when unpacked.
    """
    target = cache / image.name / "vmlinux"
    zstd = binaries.need("zstd", "zstd")
    if not target.exists():
        data = image.read_bytes()
        offset, length = struct.unpack_from("<II", data, 0x248)
        start = ((data[0x1F1] or 4) + 1) * 512 + offset
        packed = data[start : start + length - 4]
        done = subprocess.run(
            [zstd, "-dcq"], input=packed, capture_output=True, env=binaries.environment(), check=False
        )
        if done.returncode:
            pytest.fail(f"{image} isn't packed as expected: {done.stderr.decode()}")
        with _aside(target.parent) as made:
            (made / target.name).write_bytes(done.stdout)
    return target


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Lend a folder that becomes the target, unless somebody else was quicker."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        yield made
        with suppress(OSError):
            made.rename(target)
    finally:
        if made.is_dir():
            shutil.rmtree(made)
