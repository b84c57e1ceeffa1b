"""Part of a test in a copy of its process, which may change what it is and where it lives."""

import os
import traceback
from collections.abc import Callable

import pytest

__all__ = ["in_copy"]

_MOST_BYTES = 60_000
"""Of what is told, which a pipe takes at once."""


def in_copy(run: Callable[[], object], where: str) -> None:
    """Run something in a copy of this process; fail the test if it raises, saying where that was."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            run()
            code = 0
        except BaseException:
            os.write(write, traceback.format_exc().encode()[-_MOST_BYTES:])
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        told = file.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if told or status:
        pytest.fail(f"{where}:\n{told or f'status {status}'}")
