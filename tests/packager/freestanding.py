"""Starting what brings an interpreter of its own where there is nothing else: in an empty folder as the root."""

import os
import subprocess
from pathlib import Path

import pytest


def in_empty_root(root: Path, *command: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command with a folder as its root, in namespaces of its own, and no environment but what is given."""
    unshare = ["unshare", "--mount", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces may be made here; as root they may")
    program = [*unshare, "env", "-i", *(f"{name}={value}" for name, value in (env or {}).items())]
    return subprocess.run(
        [*program, "/usr/sbin/chroot", str(root), *command], capture_output=True, text=True, check=False, timeout=120
    )
