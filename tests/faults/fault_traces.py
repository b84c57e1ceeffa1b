"""What a call can leave on a host: mounts, control groups, processes, temporary files, half-written files."""

import os
import time
from binascii import crc32
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

PATIENCE_S = 60.0


def mounts(folder: Path) -> list[str]:
    """Mount points below a folder, in this mount namespace."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted(point for point in points if point.startswith(f"{folder}/") or point == str(folder))


def control_groups(root: Path, engine: str) -> list[str]:
    """Folders of the control groups of an engine root."""
    mark = f"{crc32(os.fsencode(root / 'run/runtime/native')):08x}"
    name = f"moby-{engine}-{mark}"
    trees = (Path("/sys/fs/cgroup"), *(each for each in Path("/sys/fs/cgroup").iterdir() if each.is_dir()))
    return sorted(str(tree / name) for tree in trees if (tree / name).is_dir())


def processes(mark: str) -> list[str]:
    """Processes whose command line has a word of ours in it."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and int(each.name) != os.getpid():
            try:
                line = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if mark in line:
                found.append(f"{each.name} {line}")
    return sorted(found)


def listing(folder: Path) -> list[str]:
    """All files and folders below one, as relative paths."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*")) if folder.is_dir() else []


@frozen
class Traces:
    """All traces that an engine root, or a call marked by a word, has on this host."""

    root: Path
    engine: str
    mark: str
    temporary: Path

    def now(self) -> list[str]:
        """What there is of them."""
        return [
            *mounts(self.root),
            *control_groups(self.root, self.engine),
            *processes(self.mark),
            *listing(self.temporary),
        ]

    def left(self) -> list[str]:
        """What is left of them once the kernel has had time to end what dies with its parent."""
        return _settled(self.now)

    def left_processes(self) -> list[str]:
        """Just the processes."""
        return _settled(lambda: processes(self.mark))


def _settled(look: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
