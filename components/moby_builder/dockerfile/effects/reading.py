"""Reading one file of a tree, links in it followed inside it."""

import errno
import os

from moby.errors import Invalid, NotFound
from moby.host.mounts import open_file_in_root
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.solver.effects import Tree

__all__ = ["read_file"]

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def read_file(workspace: Workspace, tree: Tree, path: str, most_bytes: int) -> bytes:
    """Return what is in a file; NotFound where there is none, Invalid where it is bigger or no regular file."""
    with workspace.reading(tree) as folder:
        root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = open_file_in_root(root, path)
        except OSError as error:
            if error.errno in _MISSING:
                raise NotFound(f"{path}: no such file or directory") from error
            raise Invalid(f"{path} can't be read: {error.strerror}") from error
        finally:
            os.close(root)
        if fd < 0:
            raise Invalid(f"{path} is no regular file")
        with os.fdopen(fd, "rb") as file:
            data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise Invalid(f"{path} is bigger than {most_bytes} bytes")
    return data
