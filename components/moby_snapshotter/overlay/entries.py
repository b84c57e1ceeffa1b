"""What reading a folder says of the names in it."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["tells_kinds"]


def tells_kinds(folder: Path) -> bool:
    """Whether each name comes with its kind on the file system of a folder that can be written (readdir(3), d_type).

    Overlayfs wants that of what it lies on.
    """
    own = folder / f".{secrets.token_hex(8)}"
    own.mkdir()
    try:
        (own / "name").mkdir()
        with os.scandir(own) as found:
            [name] = found
        (own / "name").rmdir()
        # Where the kind isn't known it is asked for now, of what is gone, which then is no folder.
        return name.is_dir(follow_symlinks=False)
    finally:
        with suppress(OSError):
            own.rmdir()
