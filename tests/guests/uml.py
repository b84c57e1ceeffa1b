"""User-mode Linux: pure control groups of version 2 (cpu, io, memory, pids), one processor; boots in a second.

Its root is this machine's by hostfs, read-only, so there is no image.
"""

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from guests.machine import CACHE, Guest, Launch
from guests.modules import module_tree
from peers import binaries

from moby.errors import HostUnfit
from moby.machines.uml import environment

_MODULES = ("overlay", "veth", "bridge", "dummy", "brd", "ipvlan", "macvlan", "8021q")
_MEMORY_MB = 1024


@cache
def uml() -> Guest:
    """Return the guest; skips the test where Debian's package couldn't be had."""
    program = binaries.need("linux.uml", "uml")
    folder = binaries.file("usr/lib/uml/modules", "uml")
    try:
        environment(_MEMORY_MB, CACHE, CACHE)
    except HostUnfit as error:
        pytest.skip(error.message)

    def boot(launch: Launch, short: Path, shared: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
        return launch(
            [
                program, f"mem={_MEMORY_MB}M", f"uml_dir={short}", "con=null", "con0=null,fd:1", "con1=null",
                "ssl=null", "quiet", "panic=-1", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
                f"init={words[0]}", *words[1:],
            ],
            env=environment(_MEMORY_MB, short, CACHE),
        )  # fmt: skip

    return Guest("uml", module_tree(CACHE, folder), _MODULES, boot)
