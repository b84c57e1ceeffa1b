"""The way to a further program in a fresh copy of its caller, where each page that is touched costs a page fault.

It is that of `executable`, with as little of Python as there can be, and prepared as far as no file of the container's
is read. Where anything isn't plain (a script, a name that leads nowhere, a kernel without a call), `executable` begins
anew, and says what is wrong, too.
"""

from __future__ import annotations

import os

from moby.host import lookups, processes
from moby_runtime.programs import executable
from moby_runtime.programs.home import home_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from moby_runtime.programs.values import ProcessSpec

__all__ = ["prepared"]


def prepared(process: ProcessSpec, own_program: tuple[int, int], root: int) -> Callable[..., NoReturn]:
    """Return what does as executable.execute in a copy of this process; `root` is a descriptor of that one's root."""
    paths = executable.places(process)
    find = lookups.prepared_program(root, [_parted(path, process.cwd) for path in paths], own_program)
    variables = [each for each in process.env if each != "HOME="]
    lacks = not any(each.startswith("HOME=") for each in variables)
    start, home = processes.prepared_start(process.args, variables, more=lacks)
    users = lookups.prepared_text(root, b"etc/passwd")
    user = b"%d" % process.uid

    def execute(last: Callable[[], object], *, by_path: bool = False) -> NoReturn:
        folder, name, index = (-1, b"", 0) if by_path else find()
        if folder >= 0 and lacks:
            text = users()
            variable = b"HOME=" + home_in(text, user) if text is not None else b""
            home[: len(variable)] = variable
            folder = folder if 0 < len(variable) < len(home) else -1
        if folder < 0:
            executable.execute(process, own_program, last, by_path=by_path)
        last()
        start(folder, name, paths[index])

    return execute


def _parted(path: str, cwd: str) -> tuple[bytes, bytes]:
    """Return a path's folder as it is called below the root, and its name."""
    above, _, name = (path if path.startswith("/") else f"{cwd}/{path}").rpartition("/")
    return os.fsencode(above.lstrip("/") or "."), os.fsencode(name)
