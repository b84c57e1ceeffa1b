"""Compressing by zstd, which the standard library has from Python 3.14 on only."""

import os
import subprocess

from moby.errors import HostUnfit

__all__ = ["zstd", "zstd_version"]

HINT = "apt install zstd, or your system's package of that name"


def zstd(data: bytes, level: int) -> bytes:
    """Return data compressed, the same whatever the number of processors; HostUnfit says what zstd said."""
    return _run([f"-{level}", "--single-thread", "--stdout"], data)


def zstd_version() -> str:
    """Return which zstd compresses; HostUnfit where there is none."""
    return _run(["--version"]).decode(errors="replace").strip()


def _run(arguments: list[str], data: bytes = b"") -> bytes:
    fixed = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = subprocess.run(["zstd", *arguments], env=fixed, input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise HostUnfit("zstd isn't there", hint=HINT) from error
    if done.returncode:
        raise HostUnfit(f"zstd failed: {done.stderr.decode(errors='replace').strip()[-500:]}", hint=HINT)
    return done.stdout
