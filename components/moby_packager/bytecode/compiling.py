"""Bytecode of sources, the same in every process: compiled in a fresh interpreter.

What `marshal` writes depends on which strings the process happens to share (its references follow reference counts),
so the caller's own process, with whatever it has imported, would not do.
"""

import marshal
import subprocess
import sys
from collections.abc import Sequence

from moby.errors import MobyError

__all__ = ["compile_all"]

UNCHECKED_HASH = (0b01).to_bytes(4, "little")
"""Flags of a pyc whose source is never looked at (PEP 552)."""

CHILD = """
import importlib.util, marshal, sys
out = []
for path, source in marshal.load(sys.stdin.buffer):
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        out.append(importlib.util.source_hash(source) + marshal.dumps(code))
    except (SyntaxError, ValueError):
        out.append(b"")
marshal.dump((importlib.util.MAGIC_NUMBER, out), sys.stdout.buffer)
"""


def compile_all(sources: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """Return a pyc for each (path, source); empty for what this Python can't compile. Takes seconds for megabytes."""
    command = [sys.executable, "-S", "-s", "-P", "-B", "-W", "ignore", "-c", CHILD]
    fixed = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, input=marshal.dumps(list(sources)), capture_output=True, env=fixed, check=False)
    if done.returncode != 0:
        raise MobyError(f"compiling ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    magic, bodies = marshal.loads(done.stdout)  # noqa: S302 - written by our own child
    return [magic + UNCHECKED_HASH + body if body else b"" for body in bodies]
