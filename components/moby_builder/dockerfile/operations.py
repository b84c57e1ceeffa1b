"""Operations: what a Dockerfile comes to, as a graph of frozen values, which the solver runs and caches.

A node is an operation and the nodes it works on. It says what is to be done and nothing of how: names, not digests of
what they stand for; patterns, not lists of files. The front end makes nodes, the solver is the only one to run them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from attrs import field, fields, frozen

from moby.contracts.builder import Range, Selection
from moby.contracts.types import Digest, ImageReference, Limits, Platform

__all__ = [
    "Copy", "CopySource", "EmptySource", "GitSource", "HttpSource", "ImageSource", "LayoutSource", "LocalSource",
    "MakeFolder", "MountKind", "Node", "Operation", "Owner", "Placed", "ResultSource", "Run", "RunMount", "Stack",
    "StreamSource", "Write", "ancestors",
]  # fmt: skip

# Where files come from


@frozen
class EmptySource:
    """Nothing: `scratch`."""


@frozen
class ImageSource:
    """An image's root."""

    reference: ImageReference
    platform: Platform
    pull: bool = False
    """Whether to ask its image registry even where the image is here."""


@frozen
class LayoutSource:
    """An image of an OCI layout that the client keeps."""

    store: str
    digest: Digest
    platform: Platform


@frozen
class LocalSource:
    """A folder that the session lends."""

    name: str
    selection: Selection = field(factory=Selection)


@frozen
class StreamSource:
    """An archive that the session sends, unpacked."""

    name: str


@frozen
class HttpSource:
    """One file of a URL."""

    url: str
    filename: str
    checksum: Digest | None = None
    mode: int = 0o600
    owner: tuple[int, int] = (0, 0)
    unpack: bool = False
    """Whether it is an archive that is the build's context."""


@frozen
class GitSource:
    """A checkout."""

    url: str
    reference: str = ""
    """A branch, a tag or a commit; empty is the remote's HEAD."""
    folder: str = ""
    """The part of it that is wanted."""
    keep_git: bool = False
    """Whether `.git` stays."""
    checksum: str = ""
    """What the commit must begin with."""


@frozen
class ResultSource:
    """What another build was solved to, by `Target.reference`."""

    reference: str


# What is done to them; input 0 is the root that is worked on


@frozen
class Owner:
    """Whose a file is to be: numbers, or names that the root's own /etc/passwd and /etc/group give."""

    user: str = "0"
    group: str = ""
    """Empty is the user's own."""


class MountKind(StrEnum):
    """Types of `RUN --mount`."""

    BIND = "bind"
    CACHE = "cache"
    TMPFS = "tmpfs"
    SECRET = "secret"  # noqa: S105
    SSH = "ssh"


@frozen
class RunMount:
    """Something that a RUN sees besides its root."""

    kind: MountKind
    target: str
    """Absolute; of a secret that is only a variable, empty."""
    input: int = -1
    """Which of the node's inputs it shows (BIND, and what a CACHE begins with)."""
    source: str = "/"
    """Path inside that input."""
    writable: bool = False
    """What is written is thrown away, but for a CACHE."""
    id: str = ""
    """Of a CACHE (its namespace included), SECRET, SSH."""
    sharing: str = "shared"
    """`shared`, `private`, `locked`."""
    size_bytes: int = 0
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
    variable: str = ""
    """The environment's name that gets a secret's value."""


@frozen
class Run:
    """A program in the root."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...] = ()
    """`NAME=VALUE`."""
    folder: str = "/"
    user: str = ""
    mounts: tuple[RunMount, ...] = ()
    network: str = ""
    """`none`, `host`, a network's name; empty is the default."""
    insecure: bool = False
    hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    shm_bytes: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    cgroup_parent: str = ""
    proxy: tuple[str, ...] = ()
    """Variables that it sees and that make no difference to the cache."""
    limits: Limits = field(factory=Limits)
    """Which make no difference to the cache either."""


@frozen
class CopySource:
    """Files of one of the node's inputs."""

    input: int
    path: str
    """Absolute, from the input's root; the last elements may have wildcards."""
    exclude: tuple[str, ...] = ()
    unpack: bool = False
    """Whether archives are unpacked, rather than copied."""


@frozen
class Copy:
    """Files of other inputs, into the root."""

    sources: tuple[CopySource, ...]
    target: str
    """Absolute; with a slash at its end it is a folder, and is one anyhow where there are several files."""
    owner: Owner | None = None
    """None keeps owners."""
    mode: str = ""
    """Octal, or symbolic as chmod(1) has it; empty keeps modes."""
    parents: bool = False
    """Whether the folders above come along, from the source's root or its pivot `/./`."""
    require: bool = True
    """Whether a wildcard must fit something."""
    time_ns: int | None = None


@frozen
class Placed:
    """A file with its content, written in the Dockerfile itself."""

    name: str
    data: bytes = field(repr=False)


@frozen
class Write:
    """Files of the Dockerfile (here-documents), into the root."""

    files: tuple[Placed, ...]
    target: str
    owner: Owner | None = None
    mode: str = ""


@frozen
class MakeFolder:
    """A folder, with those above it, where it isn't there yet."""

    path: str
    owner: Owner | None = None
    mode: int = 0o755


@frozen
class Stack:
    """The changes of the other inputs on top of the first, each as it is by itself (`COPY --link`)."""


Operation = (
    EmptySource | ImageSource | LayoutSource | LocalSource | StreamSource | HttpSource | GitSource | ResultSource
    | Run | Copy | Write | MakeFolder | Stack
)  # fmt: skip


@frozen(eq=False)
class Node:
    """An operation on inputs. Nodes are compared by `digest`, which says all that the build means by them."""

    operation: Operation
    inputs: tuple["Node", ...] = ()
    platform: Platform = field(factory=Platform.host)
    name: str = field(default="", kw_only=True)
    """As progress shows it: `[build 2/5] RUN make`."""
    ranges: tuple[Range, ...] = field(default=(), kw_only=True)
    """Where in the Dockerfile it is written."""
    ignore_cache: bool = field(default=False, kw_only=True)
    epoch_s: int | None = field(default=None, kw_only=True)
    """SOURCE_DATE_EPOCH, where times of what is made are to be that."""

    digest: Digest = field(init=False, repr=False)
    """The digest of the operation and of all below it."""

    def __attrs_post_init__(self) -> None:
        """Have the digest from the start, so that asking for it never goes deep."""
        text = json.dumps(
            [type(self.operation).__name__, self.operation, str(self.platform), self.ignore_cache, self.epoch_s,
             [each.digest.hex for each in self.inputs]],
            default=_plain, sort_keys=True, separators=(",", ":"),
        )  # fmt: skip
        object.__setattr__(self, "digest", Digest("sha256", hashlib.sha256(text.encode()).hexdigest()))


def ancestors(*nodes: Node) -> Iterator[Node]:
    """Yield nodes with all below them, each once, inputs first."""
    seen: set[Digest] = set()
    stack = [(node, False) for node in reversed(nodes)]
    while stack:
        node, ready = stack.pop()
        if node.digest in seen:
            continue
        if ready:
            seen.add(node.digest)
            yield node
            continue
        stack.append((node, True))
        stack.extend((each, False) for each in reversed(node.inputs))


def _plain(value: Any) -> Any:
    """Return what JSON has in place of a value that it doesn't know: of ours the fields, of bytes their digest."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        return dict(value)
    kind = type(value)
    names = _NAMES.get(kind)
    if names is None:
        names = _NAMES[kind] = tuple(each.name for each in fields(kind))
    return [getattr(value, name) for name in names]


_NAMES: dict[type, tuple[str, ...]] = {}
"""Fields of the types that operations are made of, once asked for: there are many nodes."""
