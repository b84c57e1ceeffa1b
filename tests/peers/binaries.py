"""Programs of others that tests compare with: where they lie, and what they need to run; see `tools/peers`."""

import os
import shutil
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = CHECKOUT / ".cache" / "peers" / "root"
_BIN = ("usr/bin", "usr/sbin", "usr/libexec/podman")
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu")


def path() -> str:
    """A PATH that has what was unpacked, and after it what the machine has."""
    return ":".join([*(str(ROOT / each) for each in _BIN), os.environ.get("PATH", os.defpath)])


def environment(**more: str) -> dict[str, str]:
    """Return the environment that an unpacked program needs: it finds its fellows and the libraries of its set."""
    libraries = ":".join(str(ROOT / each) for each in _LIBRARIES if (ROOT / each).is_dir())
    return {**os.environ, "PATH": path(), "LD_LIBRARY_PATH": libraries, "LC_ALL": "C.UTF-8", **more}


def find(name: str) -> Path | None:
    """Return where a program lies, None where it is neither unpacked nor installed."""
    found = shutil.which(name, path=path())
    return Path(found) if found else None


def need(name: str, peers: str) -> Path:
    """Return where a program lies; skip the test where its set of packages couldn't be had."""
    found = find(name)
    if found is None:
        pytest.skip(f"{name} is not there; `tools/peers {peers}` unpacks it")
    return found


def file(name: str, peers: str) -> Path:
    """Return a file that a set brings, by its path below the root; skip the test where it couldn't be had."""
    found = ROOT / name
    if not found.exists():
        pytest.skip(f"{name} is not there; `tools/peers {peers}` unpacks it")
    return found


def wrapped(folder: Path, *names: str) -> str:
    """Return a PATH by which unpacked programs run in any environment, as installed ones do; what isn't there isn't."""
    folder.mkdir(parents=True, exist_ok=True)
    libraries = environment()["LD_LIBRARY_PATH"]
    modules = ROOT / "usr/lib/python3/dist-packages"
    for name in names:
        found = find(name)
        if found is not None and found.is_relative_to(ROOT):
            # A program in Python would find unpacked libraries of C that are none of its interpreter's.
            script = found.read_bytes().startswith(b"#!") and b"python" in found.read_bytes()[:64]
            setting = f"PYTHONPATH={modules}" if script else f"LD_LIBRARY_PATH={libraries}"
            interpreter = "/usr/bin/python3 " if script else ""
            (folder / name).write_text(f'#!/bin/sh\n{setting} exec {interpreter}{found} "$@"\n')
            (folder / name).chmod(0o755)
    return f"{folder}:{os.environ.get('PATH', os.defpath)}"
