"""Compiles the programs that start an interpreter: C without any library, so that the compiler alone is needed."""

import os
import platform
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from moby.errors import HostUnfit, Unsupported

__all__ = ["compile_program", "compiler_version"]

HERE = Path(__file__).parent
FLAGS = (
    "-std=gnu11", "-Os", "-static", "-nostdlib", "-nostartfiles", "-ffreestanding", "-fno-stack-protector", "-fno-pie",
    "-no-pie", "-fno-ident", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-mno-red-zone", "-s",
    "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,norelro",
)  # fmt: skip
MACHINE = "x86_64"
HINT = "apt install gcc binutils, or your system's packages of these names"


def compile_program(name: str, folder: Path = HERE) -> bytes:
    """Return the program `launch` or `unpack`, or one whose source lies in another folder.

    HostUnfit says what the compiler said; Unsupported names another machine than the programs are for.
    """
    if platform.machine() != MACHINE:
        raise Unsupported(f"this format is made on {MACHINE} only, and this is {platform.machine()}")
    with tempfile.TemporaryDirectory() as made:
        out = Path(made, name)
        _run(["gcc", *FLAGS, "-I", str(HERE), "-o", str(out), str(folder / f"{name}.c")], made)
        return out.read_bytes()


def compiler_version() -> str:
    """Return what compiles and links; HostUnfit where they aren't there."""
    return _version(os.environ.get("PATH", ""))


@cache
def _version(path: str) -> str:
    """Return it for a search path, since several formats of one distribution ask."""
    with tempfile.TemporaryDirectory() as folder:
        said = [_run([tool, "--version"], folder).partition("\n")[0] for tool in ("gcc", "ld")]
    return "; ".join(said)


def _run(command: list[str], folder: str) -> str:
    fixed = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TMPDIR": folder}
    try:
        done = subprocess.run(command, env=fixed, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HostUnfit(f"{command[0]} isn't there", hint=HINT) from error
    if done.returncode:
        raise HostUnfit(f"{command[0]} failed: {done.stderr.strip()[-500:]}", hint=HINT)
    return done.stdout
