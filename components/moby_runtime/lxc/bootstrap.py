"""How the interpreter that runs this gets to be a container's first process, with nothing of it in the container.

LXC executes a program of the container's root. What is executed is the host's dynamic loader, by a descriptor, which
loads the host's interpreter and its libraries by descriptors of their folders; modules come by descriptors, too. All
of them are of a private, read-only view of the host's files, and are closed before the user's program begins. Docker
had a program of its own there, dockerinit, for the same: what LXC has no word for.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from moby.errors import HostUnfit
from moby.host import mounts
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import ExitStack

__all__ = ["Interpreter", "lend"]

_START = "import sys; sys.path[:0] = {modules!r}; from moby_runtime.lxc.inside import main; main({channel})"


@frozen
class Interpreter:
    """Descriptors, to be open in the first process by these numbers, and how it is started by them."""

    descriptors: tuple[int, ...]
    home: str
    words: tuple[str, ...]
    modules: tuple[str, ...]

    def command(self, channel: int) -> tuple[str, ...]:
        """Return the command of the first process, whose socket to the caller is `channel`."""
        return (*self.words, "-c", _START.format(modules=list(self.modules), channel=channel))


def lend(undo: ExitStack) -> Interpreter:
    """Open what the interpreter needs; HostUnfit where it isn't one that is loaded dynamically."""
    opened: dict[str, int] = {}
    tree = mounts.clone_tree("/", recursive=True)

    def by_descriptor(path: str) -> str:
        if path not in opened:
            opened[path] = mounts.open_in_root(tree, path, os.O_PATH)
            undo.callback(os.close, opened[path])
        return f"/proc/self/fd/{opened[path]}"

    try:
        mounts.set_attributes(tree, on=mounts.ATTRIBUTES["ro"], recursive=True)
        loader, libraries = _loaded()
        program = os.path.realpath("/proc/self/exe")
        words = (
            by_descriptor(loader), "--library-path", ":".join(map(by_descriptor, libraries)), by_descriptor(program),
            "-S", "-s", "-B",
        )  # fmt: skip
        modules = tuple(map(by_descriptor, _modules()))
        home = by_descriptor(sys.base_prefix)
    finally:
        os.close(tree)
    return Interpreter(tuple(opened.values()), home, words, modules)


def _loaded() -> tuple[str, tuple[str, ...]]:
    """Return the dynamic loader of this process, and the folders of the libraries that it has loaded."""
    files = {}
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/") and ".so" in Path(fields[5]).name:
            files[fields[5]] = Path(fields[5])
    loader = next((path for path, file in files.items() if file.name.startswith("ld-")), "")
    if not loader:
        raise HostUnfit("this interpreter isn't loaded by ld.so, which starts it in a container of LXC's",
                        hint="run the engine with an interpreter of the host's, or choose another runtime")  # fmt: skip
    # What was loaded where this process has been before, in another mount namespace, isn't what it needs itself.
    folders = dict.fromkeys(file.parent for file in files.values() if file.exists())
    return loader, tuple(str(folder) for folder in folders if "python" not in str(folder))


def _modules() -> tuple[str, ...]:
    """Return the folders, or the archives, that have what runs inside."""
    import moby.host
    import moby_runtime.lxc

    found = []
    for module, depth in ((moby.host, 3), (moby_runtime.lxc, 3)):
        path = Path(module.__file__ or "")
        for _ in range(depth):
            path = path.parent
        found.append(str(path))
    return tuple(dict.fromkeys(found))
