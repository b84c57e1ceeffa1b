"""Where a build's files are: a folder, standard input, a URL; the Dockerfile, and named contexts."""

import re
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from attrs import define, field

from moby.errors import Invalid, NotFound
from moby.oci.compression import Rewound, detect
from moby_builder.command.layouts import find

__all__ = ["CONTEXT", "Context", "add_named", "context", "is_remote"]

CONTEXT = "context"
_DOCKERFILE = "dockerfile"
_REMOTE = re.compile(r"(https?|git|ssh)://|github\.com/|[a-zA-Z0-9-_.]+@[a-zA-Z0-9-.]+:")
_STORE = "layout:"
_HEAD_BYTES = 1024
_MAGIC_AT = 257
"""Where a tar says that it is one."""
_MOST_BYTES = 16 << 20
"""Of a Dockerfile."""


@define
class Context:
    """What a builder is told and lent of it."""

    url: str = ""
    """A remote context, `stream:context`, or empty."""
    dockerfile: str = "Dockerfile"
    key: str = ""
    folders: dict[str, Path] = field(factory=dict)
    streams: dict[str, BinaryIO] = field(factory=dict)
    named: dict[str, str] = field(factory=dict)
    stores: dict[str, Path] = field(factory=dict)


def is_remote(text: str) -> bool:
    """Whether a context is of another machine."""
    return _REMOTE.match(text) is not None and not Path(text).is_dir()


def context(asked: Namespace, stdin: BinaryIO, held: ExitStack) -> Context:
    """Return where a build's files are; Invalid or NotFound for what can't be."""
    if asked.context == "-" and asked.file == "-":
        raise Invalid("invalid argument: can't use stdin for both build context and dockerfile")
    found = _main(asked, stdin, held)
    if asked.file == "-":
        _lend_dockerfile(found, stdin.read(_MOST_BYTES), held)
    add_named(found, asked.build_context)
    return found


def _main(asked: Namespace, stdin: BinaryIO, held: ExitStack) -> Context:
    name = asked.file or "Dockerfile"
    if asked.context == "-":
        return _typed_in(name, stdin, held)
    if is_remote(asked.context):
        return Context(asked.context, name)
    folder = Path(asked.context)
    if not folder.is_dir():
        raise NotFound(f"unable to prepare context: path {asked.context!r} not found")
    found = Context(key=str(folder.resolve()), folders={CONTEXT: folder})
    file = Path(asked.file) if asked.file else folder / "Dockerfile"
    if asked.file != "-":
        found.dockerfile = file.name
        found.folders[_DOCKERFILE] = file.parent
        if asked.file and not file.is_file():
            raise NotFound(f"unable to read the Dockerfile: open {asked.file}: no such file")
    return found


def _typed_in(name: str, stdin: BinaryIO, held: ExitStack) -> Context:
    """Return an archive that comes by standard input, or a Dockerfile that does, with nothing beside it."""
    source = Rewound(stdin, _HEAD_BYTES)
    if detect(source.head) or source.head[_MAGIC_AT:].startswith(b"ustar"):
        return Context(f"stream:{CONTEXT}", name, streams={CONTEXT: cast(BinaryIO, source)})
    found = Context(folders={CONTEXT: Path(held.enter_context(tempfile.TemporaryDirectory()))})
    _lend_dockerfile(found, source.read(_MOST_BYTES) + stdin.read(_MOST_BYTES), held)
    return found


def _lend_dockerfile(found: Context, data: bytes, held: ExitStack) -> None:
    folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
    (folder / "Dockerfile").write_bytes(data)
    found.dockerfile, found.folders[_DOCKERFILE] = "Dockerfile", folder


def add_named(found: Context, given: Sequence[str]) -> None:
    """Add contexts of names of their own."""
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            raise Invalid(f"invalid context value: {each}, expected key=value")
        if value.startswith("oci-layout://"):
            found.named[name] = _layout(found, name, value.removeprefix("oci-layout://"))
        elif value.startswith("docker-image://") or is_remote(value):
            found.named[name] = value
        elif Path(value).is_dir():
            found.folders[name], found.named[name] = Path(value), f"local:{name}"
        else:
            raise NotFound(f"failed to get build context {name}: there is no folder {value}")


def _layout(found: Context, name: str, text: str) -> str:
    path, _, digest = text.partition("@")
    path, _, tag = path.partition(":")
    store = f"{_STORE}{name}".replace(":", "-").replace("/", "-")  # a store's name has neither
    found.stores[store] = Path(path)
    return f"oci-layout://{store}@{digest or find(Path(path), tag or 'latest')}"
