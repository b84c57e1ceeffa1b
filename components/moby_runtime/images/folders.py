"""The folder of an image: made, taken back where it comes to nothing, and looked at before it is read."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from moby.errors import Conflict, Corrupt, HostUnfit, NotFound
from moby.host import programs

__all__ = ["check", "find_criu", "reason", "writing"]

_MAGIC = (0x58313116).to_bytes(4, "little")
"""What the first of its images begins with (criu, criu/include/magic.h, INVENTORY_MAGIC)."""

_BESIDE = ("FAILED", "cgroupd: recv req error", "rlimit: Can't setup RLIMIT_NOFILE for self")
"""What it logs of any failure, or of none."""


def find_criu() -> str:
    """Return where CRIU is; HostUnfit names its package."""
    found = programs.find("criu")
    if found is None:
        raise HostUnfit("checkpoints need criu, which isn't on PATH", hint="apt install criu")
    return found


@contextlib.contextmanager
def writing(image: Path) -> Iterator[None]:
    """Let an image be written into a folder that is empty or isn't there; after an error it is as it was."""
    was_there = image.is_dir()
    if was_there and any(image.iterdir()):
        raise Conflict(f"{image} isn't empty", hint="name a new folder")
    try:
        yield
    except BaseException:
        for each in image.iterdir() if image.is_dir() else ():
            each.unlink()
        if not was_there and image.is_dir():
            image.rmdir()
        raise


def check(image: Path) -> None:
    """See that a folder has an image in it; NotFound where it isn't there, Corrupt where it has none."""
    if not image.is_dir():
        raise NotFound(f"no checkpoint at {image}: there is no such folder")
    try:
        whole = (image / "inventory.img").read_bytes()[:4] == _MAGIC
    except OSError:
        whole = False
    if not whole:
        raise Corrupt(f"{image} holds no complete checkpoint", hint="make the checkpoint again")


def reason(work: Path) -> str:
    """Return the first and the last error in the logs that were written meanwhile; empty where there is none."""
    found = []
    for log in sorted(work.glob("*.log")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if "Error (" in line and not any(each in line for each in _BESIDE):
                found.append(line.partition("): ")[2].strip() or line)
    return " ... ".join(dict.fromkeys([*found[:1], *found[-1:]]))
