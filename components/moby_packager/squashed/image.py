"""A file system of squashfs out of a tree, made by mksquashfs without unpacking anything."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from moby.contracts.packager import Artifact
from moby_packager.commands.running import run, version, written
from moby_packager.trees.nodes import Node, with_folders, write
from moby_packager.trees.shares import shares, weights

__all__ = ["TOOL", "PACKAGE", "maker", "squash"]

TOOL, PACKAGE = "mksquashfs", "squashfs-tools"
FLAGS = ("-tar", "-quiet", "-no-progress", "-noappend", "-comp", "zstd", "-root-mode", "755", "-root-uid", "0",
         "-root-gid", "0", "-default-mode", "755", "-default-uid", "0", "-default-gid", "0", "-no-exports",
         "-no-xattrs")  # fmt: skip


def squash(nodes: Iterable[Node], path: Path, epoch_s: int, level: int) -> Artifact:
    """Write a file system that holds a tree and nothing else; `path` ends in the folder that the caller owns."""
    whole = with_folders(nodes)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        arguments = [TOOL, "-", "image", *FLAGS, "-Xcompression-level", str(level)]
        run(arguments, package=PACKAGE, data=write(whole, epoch_s), folder=Path(folder), epoch_s=epoch_s)
        data = written(Path(folder, "image"), TOOL, package=PACKAGE)
    path.write_bytes(data)
    sizes = shares(len(data), weights(node for node in whole if not node.is_folder))
    return Artifact((Path(path.name),), sizes)


def maker() -> str:
    """Return which mksquashfs there is."""
    return version(TOOL, "-version", package=PACKAGE)
