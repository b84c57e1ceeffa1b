"""The kind `builder`: turns Dockerfiles and what they copy into images.

A build is solved first, which gives file systems and configs, and then exported, as often as is wanted. Whoever asks
lends files, secrets and credentials by a session; a builder asks for nothing else outside its engine. What an option,
an attribute or a filter is called is BuildKit's word for it (docs/reference/buildx, Dockerfile reference).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from moby.contracts.image_registry import Credentials
from moby.contracts.images import Image
from moby.contracts.kind import contract
from moby.contracts.types import Digest, Fd, ImageReference, Limits, Platform
from moby.errors import MobyError
from moby.values import field, frozen

__all__ = [
    "Blobs", "Build", "BuildFailed", "Builder", "BuilderFeature", "CacheEntry", "CacheExport", "CacheSource",
    "CacheWritten", "Entry", "Event", "Export", "ExportType", "Exported", "Finding", "Folder", "Keep", "Log",
    "Planned", "Progress", "Range", "Receiver", "Reclaimed", "Request", "Result", "Selection", "Session", "Step",
    "Target", "Vertex",
]  # fmt: skip


class BuilderFeature:
    """Names of what a builder may lack; what its component offers."""

    MOUNTS = "mounts"
    """`RUN --mount` of every type."""
    PARALLEL = "parallel"
    """Independent steps run side by side."""
    EVENTS = "events"
    """Each step is told as it goes, with its digest, its inputs and whether it was cached."""
    CHECKS = "checks"
    """The `lint` request, and warnings of a build."""
    OUTLINES = "outlines"
    """The requests `outline` and `targets`."""
    PLATFORMS = "platforms"
    """Several platforms in one build."""
    CACHE_TRANSFER = "cache-transfer"
    """Caches from and to elsewhere."""
    ATTESTATIONS = "attestations"
    RESULTS = "results"
    """One build's result may be another's context."""


# What a session lends


@frozen
class Selection:
    """Which part of a folder is wanted; patterns as in .dockerignore."""

    include: tuple[str, ...] = ()
    """Empty is everything."""
    exclude: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()
    """Paths, which may have wildcards, that are wanted with whatever the symbolic links on them lead to."""


@frozen
class Entry:
    """A file as a folder lists it."""

    path: str
    """Relative, without `.` and `..`."""
    mode: int
    """As in stat(2), type and permissions."""
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    time_ns: int = 0
    link: str = ""
    """Where a symbolic link leads; of a regular file, the earlier entry that it is a hard link of."""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(factory=dict)


class Receiver(Protocol):
    """Takes a folder as it arrives; called by one thread at a time."""

    def entry(self, entry: Entry) -> bool:
        """Take the next entry, folders before what is in them, names in byte order; whether its content is wanted."""
        ...

    def content(self, path: str, chunk: bytes) -> None:
        """Take a piece of a wanted file, before later entries or after all, files in turn; an empty one is its end."""
        ...


class Folder(Protocol):
    """A tree of files that is given away."""

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, in a receiver's order, from the start each time."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Open a regular file."""
        ...


class Blobs(Protocol):
    """A store of blobs that the client keeps (a local cache, an OCI layout), which knows nothing of their names."""

    def read(self, digest: Digest) -> BinaryIO:
        """Open a blob; NotFound for none. What it holds is the reader's to prove."""
        ...

    def write(self, digest: Digest, size_bytes: int, chunks: Iterator[bytes]) -> None:
        """Store a blob; one that is there already is fine."""
        ...


class Session(Protocol):
    """What one who asks for a build lends it. Thread-safe.

    NotFound where it has no such thing, Unavailable once it has gone, Denied where it may not be had.
    """

    @property
    def key(self) -> str:
        """Whose folders these are: a builder keeps what it has seen of them under this; empty keeps nothing."""
        ...

    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        """Hand over a folder: all entries, and the content of those that the receiver wants, to the end."""
        ...

    def stream(self, name: str) -> BinaryIO:
        """Open what the client sends under a name, once: an archive, or a Dockerfile."""
        ...

    def secret(self, name: str) -> bytes:
        """Return a secret, at most 500 KiB."""
        ...

    def ssh(self, name: str) -> Fd:
        """Return a socket that is connected to the client's ssh agent; the caller closes it."""
        ...

    def credentials(self, host: str) -> Credentials | None:
        """Return who the client is at an image registry, or None for nobody."""
        ...

    def blobs(self, name: str) -> Blobs:
        """Return a store of the client's."""
        ...

    def deliver_stream(self, number: int) -> BinaryIO:
        """Open, to write, where the output of an export of this number goes; closing it says that it is whole."""
        ...

    def deliver_folder(self, number: int, folder: Folder) -> None:
        """Give a folder to the output of this number."""
        ...


# What is asked for


@frozen
class CacheSource:
    """A cache to look into: `registry`, `local`, with its attributes (`ref`, `src`, `digest`)."""

    type: str
    attributes: Mapping[str, str] = field(factory=dict)


@frozen
class Request:
    """What to build."""

    context: str = ""
    """A git or HTTP URL, `stream:NAME`; empty is the session's folder `context`."""
    dockerfile: str = "Dockerfile"
    """Its path in the session's folder `dockerfile` where it lends that, else in the context."""
    request: str = ""
    """Something else than an image: `lint`, `outline`, `targets` (BuildKit's subrequests)."""
    target: str = ""
    arguments: Mapping[str, str] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    platforms: tuple[Platform, ...] = ()
    """Empty is the host's."""
    contexts: Mapping[str, str] = field(factory=dict)
    """By name: `docker-image://`, `oci-layout://STORE@DIGEST`, `local:NAME`, `result:REFERENCE`, a git or HTTP URL."""
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    """Whether to look for newer images of the tags."""
    network: str = ""
    """Of RUN: empty is the default, `none`, `host`, or a network's name."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Names and addresses."""
    hostname: str = ""
    shm_bytes: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    """Names, soft and hard limits."""
    cgroup_parent: str = ""
    limits: Limits = field(factory=Limits)
    """Of each RUN."""
    allow: frozenset[str] = frozenset()
    """Of `network.host` and `security.insecure`, what RUN may ask for."""
    cache_from: tuple[CacheSource, ...] = ()
    attestations: Mapping[str, Mapping[str, str]] = field(factory=dict)
    """`sbom` and `provenance`, with their attributes."""
    sequential: bool = False
    """Whether steps are run one by one, in the order of the file."""
    layers: bool = False
    """Whether its layers will be exported, so that they may be written down while later steps run."""


class ExportType(StrEnum):
    """Where a result goes."""

    IMAGE = "image"
    """Into the engine, or with `push` to an image registry."""
    OCI = "oci"
    DOCKER = "docker"
    TAR = "tar"
    LOCAL = "local"
    """A folder."""


@frozen
class Export:
    """Where a result is to go."""

    type: ExportType
    number: int = 0
    """Of the session's output, for all types but IMAGE."""
    names: tuple[str, ...] = ()
    push: bool = False
    store: str = ""
    """Name of the session's blobs, where OCI isn't wanted as an archive."""
    attributes: Mapping[str, str] = field(factory=dict)
    """The others: `compression`, `annotation.NAME`, `rewrite-timestamp` ..."""


@frozen
class CacheExport:
    """Where a cache is to go: `inline`, `registry`, `local`; `mode` is `min` (what the result has) or `max`."""

    type: str
    mode: str = "min"
    attributes: Mapping[str, str] = field(factory=dict)


# What comes of it


@frozen
class Target:
    """What was built for one platform."""

    platform: Platform
    reference: str
    """Of its file system, for `Request.contexts`; holds as long as the builder's cache keeps it. Empty for none."""
    config: Mapping[str, Any] = field(factory=dict)
    """Of its image (image-spec, config.md), without `rootfs`; a step of `history` is there for each layer."""


@frozen
class Result:
    """What a build was solved to."""

    targets: tuple[Target, ...] = ()
    answers: Mapping[str, bytes] = field(factory=dict)
    """Of another request: `result.json`, `result.txt`, `version`."""


@frozen
class CacheWritten:
    """A cache that was written, and the manifest that it is found by."""

    type: str
    digest: Digest
    media_type: str
    size_bytes: int


@frozen
class Exported:
    """What came of an export."""

    image: Digest | None = None
    """Digest of the image's config; of the first platform's where there are several."""
    digest: Digest | None = None
    """Of its manifest, or of an index of several."""
    media_type: str = ""
    """Of that."""
    size_bytes: int = 0
    """Of that."""
    names: tuple[str, ...] = ()
    cache: tuple[CacheWritten, ...] = ()


# What is told meanwhile


@frozen
class Range:
    """Lines of a file, from 1, both ends included."""

    first: int
    last: int


@frozen
class Step:
    """An instruction of the file, as it is written there."""

    text: str
    vertex: Digest | None = None
    """What does its work; None for one that only changes the config."""


@frozen
class Planned:
    """All instructions that the target needs, in order."""

    steps: tuple[Step, ...]


@frozen
class Vertex:
    """Where a step is; told anew whenever that changes."""

    digest: Digest
    name: str
    """`[build 2/5] RUN make`."""
    inputs: tuple[Digest, ...] = ()
    started_ns: int = 0
    completed_ns: int = 0
    """0 while it isn't."""
    cached: bool = False
    error: str = ""
    missed: str = ""
    """Why it wasn't found in the cache, where it ran."""
    result: str = ""
    """Short name of what it made, once completed."""


@frozen
class Progress:
    """How far a part of a step has come."""

    id: str
    vertex: Digest
    name: str = ""
    current: int = 0
    total: int = 0
    """0 where the end isn't known."""
    time_ns: int = 0
    started_ns: int = 0
    completed_ns: int = 0


@frozen
class Log:
    """What a step wrote."""

    vertex: Digest
    stream: int
    """1 or 2."""
    data: bytes
    time_ns: int = 0


@frozen
class Finding:
    """Something that is most likely not what was meant."""

    vertex: Digest | None
    rule: str
    """The name of the check: `StageNameCasing`."""
    message: str
    detail: str = ""
    url: str = ""
    file: str = ""
    source: str = ""
    """Text of that file."""
    ranges: tuple[Range, ...] = ()
    level: int = 1


Event = Planned | Vertex | Progress | Log | Finding


class BuildFailed(MobyError):
    """The file is wrong, or a step of it failed; carries where, and what a shell would say of a RUN."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        vertex: Digest | None = None,
        file: str = "",
        source: str = "",
        ranges: Sequence[Range] = (),
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        """Of a RUN that ended with it."""
        self.vertex = vertex
        self.file = file
        self.source = source
        self.ranges = tuple(ranges)


# The cache


@frozen
class CacheEntry:
    """Something that the builder keeps (Docker Engine API, BuildCache)."""

    id: str
    type: str
    """`regular`, `source.local`, `source.git.checkout`, `exec.cachemount`, `internal`."""
    description: str
    size_bytes: int
    created_ns: int
    used_ns: int
    """0 where it never was again."""
    uses: int = 0
    parents: tuple[str, ...] = ()
    in_use: bool = False
    """By a build that is going on."""
    shared: bool = False
    """Whether an image has it too, so that removing it here frees nothing."""


@frozen
class Keep:
    """What a prune leaves alone."""

    all: bool = False
    """Whether what only belongs to the builder itself (`internal`) goes too."""
    filters: Mapping[str, Sequence[str]] = field(factory=dict)
    """Of what may go: `id`, `type`, `description`, `until`, `unused-for`, `parents`, `inuse`, `shared`, `private`."""
    age_ns: int = 0
    """What was used since so long ago stays."""
    reserved_bytes: int = 0
    """So much stays, the last used first."""
    max_bytes: int = 0
    """With it, only what is beyond goes; 0 is none."""
    min_free_bytes: int = 0
    """With it, only as much goes as lets so much of the disk be free; 0 is none."""


@frozen
class Reclaimed:
    """What a prune removed."""

    entries: tuple[CacheEntry, ...] = ()
    reclaimed_bytes: int = 0


class Build(Protocol):
    """One build: what is solved in it goes on side by side, and ends with it. Thread-safe."""

    def solve(self, request: Request) -> Result:
        """Build what is asked for, as far as it isn't in the cache.

        BuildFailed where the file or a step is at fault; Invalid for a request that makes no sense; Unsupported for
        what this builder never does; Unavailable once it is cancelled; else whatever fetching an image or a session
        may raise.
        """
        ...

    def export(
        self, result: Result, exports: Sequence[Export], caches: Sequence[CacheExport] = ()
    ) -> tuple[Exported, ...]:
        """Give a result of this build away, in this order; what was given stays where a later one fails.

        Returns what came of each export, and then, where there are caches, one more for these.
        """
        ...

    def files(self, target: Target) -> AbstractContextManager[Path]:
        """Lend the root of what was built, in this build or another, to be looked at and not written.

        NotFound where it isn't kept any more. Nobody vouches for what links in it lead to.
        """
        ...

    def image(self, reference: ImageReference, platform: Platform, *, pull: bool = False) -> Image:
        """Return the image that `FROM` would begin with, by its config at least: its layers needn't be here.

        With `pull` a newer one of the tag is looked for. NotFound where there is none for the platform; else whatever
        an image registry raises.
        """
        ...

    def cancel(self) -> None:
        """Make all that goes on in it fail at once, and wait for nothing; twice is fine."""
        ...

    def close(self) -> None:
        """Cancel what goes on, wait for its end, and let all go; nothing of it is left but the cache."""
        ...


@contract("builder", version=1)
class Builder(Protocol):
    """Builds images, and keeps what may be of use for the next one. Thread-safe.

    A step that is done is kept, whatever happens to the build, the builder's process or the engine afterwards.
    """

    def open(self, session: Session, tell: Callable[[Event], None]) -> Build:
        """Begin a build; events are told by its threads, one at a time, until it is closed, and `tell` is quick."""
        ...

    def usage(self) -> tuple[CacheEntry, ...]:
        """Return all that is kept, sorted by id."""
        ...

    def prune(self, keep: Keep) -> Reclaimed:
        """Remove what is kept and in no use, but for what is to stay; Invalid for an unknown filter."""
        ...
