"""Files that an assembly puts into a machine's root."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from attrs import frozen

from moby.contracts.packager import FORMAT
from moby.errors import Invalid, NotFound
from moby_packager.trees.nodes import Node

__all__ = ["File", "given_files"]

_ITS_OWN = ("init", "etc/moby", "usr/lib/moby", "lib/modules", "containers", "proc", "sys", "dev", "run", "tmp", "var")
"""What a machine has itself, or mounts something on."""


@frozen
class File:
    """One file, with its bytes or where they are."""

    contents: str = ""
    source: str = ""
    """From the folder where the machine is assembled."""
    mode: str = "0644"


def given_files(files: Mapping[str, File]) -> list[Node]:
    """Return the files by path; Invalid for a place of the machine's own, NotFound for a source that isn't there."""
    return [_node(path, each) for path, each in sorted(files.items())]


def _node(path: str, each: File) -> Node:
    place = PurePosixPath("/", path).relative_to("/").as_posix()
    if ".." in place.split("/") or place == "." or f"{place}/".startswith(tuple(f"{own}/" for own in _ITS_OWN)):
        raise Invalid(f"{path} can't be a file of a machine", hint="put it elsewhere, as below /etc")
    try:
        data = Path(each.source).read_bytes() if each.source else each.contents.encode()
    except OSError as error:
        raise NotFound(
            f"can't read {each.source} for {path}: {error.strerror}", hint="name a file that is there"
        ) from error
    return Node(place, data, {FORMAT: len(data)}, int(each.mode, 8))
