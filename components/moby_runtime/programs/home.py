"""The user's home folder, which engines leave to their runtime to look up."""

from __future__ import annotations

import os
import stat

from moby.host import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.programs.values import ProcessSpec


__all__ = ["home_in", "with_home"]

_MOST_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def with_home(process: ProcessSpec) -> tuple[str, ...]:
    """Return the environment with a HOME: of the container's own /etc/passwd where none is given, else `/`."""
    if any(each.startswith("HOME=") and each != "HOME=" for each in process.env):
        return process.env
    return (
        *(each for each in process.env if each != "HOME="),
        f"HOME={os.fsdecode(home_in(_passwd(), b'%d' % process.uid))}",
    )


def home_in(users: bytes, uid: bytes) -> bytes:
    """Return the home folder of a user by what is in an /etc/passwd; `/` where that tells none."""
    for line in users.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 5 and fields[2] == uid and fields[5].startswith(b"/"):
            return fields[5]
    return b"/"


def _passwd() -> bytes:
    """Read the file, which is the container's to make: nothing is waited for, and no link of /proc followed."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = mounts.open_in_root(root, "/etc/passwd", _FLAGS)
    except OSError:
        return b""
    finally:
        os.close(root)
    try:
        return os.read(fd, _MOST_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(fd)
