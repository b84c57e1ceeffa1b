"""The kind `images`: knows images by name, and turns them into root file systems.

What is in this module in Docker's words (`changes` of a Dockerfile, filters, statuses of progress) is as the Engine API
has it. A part that never does one of these raises Unsupported from it, and doesn't offer its feature.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from moby.contracts.content import Lease
from moby.contracts.image_registry import Credentials
from moby.contracts.kind import contract, repeatable
from moby.contracts.snapshotter import Change, ChangeKind
from moby.contracts.types import Digest, ImageReference, Mount, Platform
from moby.values import field, frozen

__all__ = [
    "Change", "ChangeKind", "Filters", "Fixture", "HistoryStep", "Image", "ImageConfig", "ImageUsage", "Images",
    "ImagesFeature", "Progress", "Pruned", "Removal", "RootSizes", "Sent", "StoredLayer",
]  # fmt: skip


class ImagesFeature:
    """Names of what a part may lack; what its component offers."""

    LAYERS = "layers"
    """Containers that stay have layers of their own, others borrow an image's, and images are made of them."""
    TRANSFERS = "transfers"
    """Images come and go: by archives and image registries."""


Filters = Mapping[str, Sequence[str]]
"""Docker's filters: the values of each key. Each key must fit; of `reference` one value, of others all."""


@frozen
class ImageConfig:
    """How an image wants to be run (image-spec, config.md; the rest is Docker's)."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    user: str = ""
    working_directory: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(factory=dict)
    exposed_ports: tuple[str, ...] = ()
    """`80/tcp`, sorted."""
    volumes: tuple[str, ...] = ()
    """Paths inside, sorted."""
    healthcheck: Mapping[str, Any] = field(factory=dict)
    """As Docker writes it: Test, Interval, Timeout, StartPeriod, StartInterval (nanoseconds), Retries."""
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False


@frozen
class Image:
    """An image in the store. `id` is the digest of its config."""

    id: Digest
    digest: Digest
    """Of its manifest: of the one that it came under by the name that was asked for, else of the last one."""
    references: tuple[ImageReference, ...]
    """Names with a tag, sorted."""
    config: ImageConfig
    platform: Platform
    layers: tuple[Digest, ...]
    """Digests of the uncompressed layers (diff ids), lowest first."""
    size_bytes: int
    """Of all that it unpacks to, where that is known, else of all blobs, as stored."""
    created: str = ""
    """RFC 3339; empty where unknown."""
    raw_config: Mapping[str, Any] = field(factory=dict)
    """The whole config blob as JSON, fields included that have no name here (`os.version`, `container`)."""
    digests: tuple[ImageReference, ...] = ()
    """Names with a digest, by which an image registry knows it, sorted (Docker's RepoDigests)."""
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    parent: Digest | None = None
    """The image that it was committed from or built on, where that is known here."""
    tagged_ns: int = field(default=0, eq=False)
    """When it last got a name, in nanoseconds since the epoch; 0 is never, or not known."""


@frozen
class HistoryStep:
    """One step that an image was made by, as `docker history` shows it."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    size_bytes: int = 0
    """Of what its layer unpacks to; 0 for one without."""
    id: Digest | None = None
    """Of the image that this step made, where it is here."""
    references: tuple[ImageReference, ...] = ()


@frozen
class Removal:
    """A name or a thing that went; its text is the line that `docker rmi` prints."""

    name: str
    """A familiar name that was taken away, or the digest of an image or (chain id) layer that was deleted."""
    deleted: bool = False

    def __str__(self) -> str:
        return f"{'Deleted' if self.deleted else 'Untagged'}: {self.name}"


@frozen
class Pruned:
    """What a prune did."""

    removals: tuple[Removal, ...] = ()
    reclaimed_bytes: int = 0


@frozen
class Sent:
    """A manifest that an image registry has now."""

    tag: str
    digest: Digest
    size_bytes: int


@frozen
class Progress:
    """One thing to tell whoever waits, in Docker's words (JSONMessage)."""

    status: str = ""
    """`Loading layer`, `Downloading`; `id` says of what."""
    id: str = ""
    current: int = 0
    total: int = 0
    """Bytes, or 0 where the end isn't known."""
    text: str = ""
    """A line for the user instead of a status: `Loaded image: busybox:latest`, without its newline."""
    image: Image | None = None
    """What became whole with this."""
    final: bool = False
    """Whether the status is said once, of nothing that goes on: `Digest: sha256:...`."""
    sent: Sent | None = None
    """What an image registry took with this."""


@frozen
class Fixture:
    """What the roots of containers have whatever their image says: a folder, a symbolic link, else an empty file."""

    path: str
    """Absolute, inside, without `..`."""
    is_folder: bool = False
    link: str = ""
    """What a symbolic link leads to."""


@frozen
class RootSizes:
    """What a container's root takes: its own changes (SizeRw), and all of it (SizeRootFs)."""

    changed_bytes: int
    root_bytes: int


@frozen
class StoredLayer:
    """A layer, and the blob that it is stored as."""

    diff_id: Digest
    digest: Digest
    size_bytes: int
    """Of the blob."""
    media_type: str


@frozen
class ImageUsage:
    """What an image takes on disk."""

    image: Image
    size_bytes: int
    """Of all its layers, unpacked."""
    shared_bytes: int
    """Of those that other images have too."""
    containers: tuple[str, ...] = ()
    """Ids of those that were prepared of it."""


@contract("images", version=1)
class Images(Protocol):
    """Knows images by name, and turns them into root file systems.

    Thread-safe, also against other processes on the same folder. What a call stored is whole once it returns; a
    call that failed or was killed leaves nothing that a later one would see. A name is a reference, an id or a unique
    prefix of its id; NotFound, `No such image: busybox:latest`, where it means none, and its hint or message lists
    what is there. Every call may raise Corrupt and HostUnfit. Layers and archives are hostile: Invalid names what is
    wrong with which one, and nothing of it stays.
    """

    storage: str
    """What keeps layers, by its snapshotter's name, or `layout`; never empty."""

    @repeatable
    def storage_details(self, name: str = "") -> Mapping[str, str]:
        """Return what people may want to know of it, as the snapshotter's `details`; with a name, of that image."""
        ...

    # Storing and finding

    def add(
        self, reference: ImageReference, layers: Sequence[BinaryIO], config: ImageConfig, *, created: str = ""
    ) -> Image:
        """Store an image of uncompressed layer tars, lowest first, under a name, which moves if it is taken."""
        ...

    def get(self, name: str) -> Image:
        """Find an image by name."""
        ...

    def list(self, filters: Filters | None = None, *, all: bool = False) -> tuple[Image, ...]:
        """Return all images, sorted by their first reference, then id.

        Filters are `dangling`, `label`, `before`, `since`, `reference`, `until`; with `reference` an image has just
        those names that fit it. Nameless ones that others were made on are left out, unless `all`.
        """
        ...

    def history(self, name: str) -> tuple[HistoryStep, ...]:
        """Return the steps that an image was made by, the last one first."""
        ...

    # Names

    def tag(self, name: str, reference: ImageReference) -> None:
        """Give an image one more name, which moves if it is taken."""
        ...

    def remove(
        self, name: str, *, force: bool = False, prune: bool = True, running: Collection[str] = ()
    ) -> tuple[Removal, ...]:
        """Take a name away, and with the last name the image; return what was untagged and deleted, in this order.

        As `docker rmi`: an id takes all names of one repository away. Conflict, in Docker's words, where an id has
        names of several repositories, or a container was prepared of it, both unless `force`, and always where others
        were made on it, or such a container is `running` (its id). Nameless images that it was made on go too, with
        `prune`. What a container still has under it goes with the container.
        """
        ...

    def prune(self, filters: Filters | None = None) -> Pruned:
        """Remove images that no container was prepared of: the nameless, or with `dangling` `false` all such.

        Filters are `dangling`, `label`, `label!`, `until` (a time, or a duration ago). What an interrupted call left
        of layers and blobs goes too.
        """
        ...

    # Image registries

    def pull(
        self, reference: ImageReference, credentials: Credentials | None = None, *, platform: Platform | None = None
    ) -> Iterator[Progress]:
        """Fetch an image, or with neither tag nor digest a whole repository, and store it by name and digest.

        Its layers stay compressed as they come, several at a time. Of an index the platform's image is taken, the
        host's where none is asked for; NotFound where there is none. A single image of another platform than was asked
        for is stored, and then NotFound. What is here isn't fetched, what somebody else
        fetches is waited for, and a layer that an interrupted call began is gone on with. Each image is whole when its
        Progress comes; leaving the iterator early gives up the rest. May raise whatever an image registry does.
        """
        ...

    def describe(
        self, reference: ImageReference, credentials: Credentials | None = None, *, platform: Platform | None = None
    ) -> Image:
        """Return what a pull would store, by its manifest and config alone: no layer is fetched, and nothing stored.

        Its only name is the digest that an image registry has for what was asked, an index's where it is one; `layers`
        and `raw_config` are whole, `size_bytes` is of the blobs. NotFound where there is none for the platform. May
        raise whatever an image registry does.
        """
        ...

    def push(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[Progress]:
        """Send the image of a tag, or without a tag all of a repository, and keep the digest that it has there.

        Manifest and layers go as they came, so that they keep their digests; layers that came uncompressed go
        compressed: as they were pulled once, else the same ones always to the same bytes. What is there isn't sent,
        and what another repository of that service has is taken over. NotFound where no image has such a name, and
        Invalid for a digest. May raise whatever an image registry does.
        """
        ...

    def published(self, image: Image, reference: ImageReference, digest: Digest) -> None:
        """Know that an image registry has an image under a tag by a digest that somebody else sent, of an index say.

        The digest becomes one of its names, and `push` sends nothing while the tag there still means that.
        """
        ...

    # Archives

    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        """Store the images of an archive as `docker save` of any age and OCI layouts are, read as it comes.

        Plain, or compressed by gzip, bzip2, xz or zstd; its reads may come short. Of an index the platform's image is
        taken, the host's where none is asked for. Each image is whole when its Progress comes; leaving the iterator
        early gives up the rest.
        """
        ...

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield an archive of images that `docker load`, since 1.10, and tools for OCI layouts read.

        The same images give the same bytes. A name without a tag that is no id stands for all tags. NotFound comes
        before the first byte. What is removed meanwhile is still whole in it.
        """
        ...

    def import_(
        self,
        stream: BinaryIO,
        reference: ImageReference | None = None,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: Platform | None = None,
    ) -> Image:
        """Make an image with one layer of a tar, plain or compressed; `changes` are lines of a Dockerfile."""
        ...

    def export_layers(self, image: Image) -> Iterator[BinaryIO]:
        """Yield the uncompressed layer tars, lowest first, each verified against its diff id while it is read."""
        ...

    # Roots

    def rootfs(self, image: Image) -> AbstractContextManager[Path]:
        """Lend a writable root file system of an image; leaving removes it. May take as long as unpacking does."""
        ...

    def prepare(self, container_id: str, image: Image, *, skeleton: Sequence[Fixture] = ()) -> tuple[Mount, ...]:
        """Make a writable layer for a container, which holds the image, and return what to mount as its root.

        What the skeleton names is below that layer, as if the image had it: folders that are there stay as they are,
        whatever else is at a place or on the way to it is replaced, and what is made has the mode 0755. Made once for
        each image, which takes the right to mount; `commit` and `save` leave it out.
        The mounts, in order, all have the destination `/`, the container's; `moby.host.overlay.mount_root` does it.
        Conflict where the id has one. It stays until `release`.
        """
        ...

    def mounts(self, container_id: str) -> tuple[Mount, ...]:
        """Return the same mounts again, as after a restart; NotFound where nothing was prepared."""
        ...

    def release(self, container_id: str) -> None:
        """Remove a container's layer; releasing twice is fine. It must not be mounted any more."""
        ...

    def prepared(self) -> Mapping[str, Digest]:
        """Return the ids of all containers that hold an image, and the image's."""
        ...

    def changes(self, container_id: str) -> tuple[Change, ...]:
        """Return what is other in a container than in its image, sorted by path; it may run meanwhile."""
        ...

    def export(self, container_id: str) -> Iterator[bytes]:
        """Yield the whole root of a container as one tar; it may run meanwhile."""
        ...

    def sizes(self, container_id: str) -> RootSizes:
        """Return what a container's root takes; as long as walking its changes takes."""
        ...

    def commit(
        self,
        container_id: str,
        reference: ImageReference | None = None,
        *,
        config: ImageConfig | None = None,
        changes: Sequence[str] = (),
        author: str = "",
        message: str = "",
        created_by: str = "",
    ) -> Image:
        """Make an image of a container's: with one more layer of its changes, and its own config, else the image's.

        `changes` are lines of a Dockerfile on top of that; `created_by` is the history's, the container's command.
        """
        ...

    # Snapshots: of the snapshotter that the store keeps its layers in

    def snapshot(self, image: Image, key: str = "") -> str:
        """Return the key of the committed snapshot of all an image's layers, unpacked if need be; empty for none.

        With `key`, that is one of the caller's own, which the caller removes. Without, it is the store's, and only
        what is on it keeps it once the image is removed. While it is there, so are its layers' blobs. Conflict where
        the key is taken.
        """
        ...

    def layers(self, snapshot: str, lease: Lease) -> tuple[StoredLayer, ...]:
        """Return the layers of a committed snapshot, lowest first, whoever made it, with blobs that a lease keeps.

        Those that an image has are as they came; others are written uncompressed, if that wasn't done before.
        """
        ...

    def unpack(self, layers: Sequence[StoredLayer], key: str) -> None:
        """Make a committed snapshot of layers, lowest first, under a key of the caller's, who removes it.

        Their blobs are here and the caller keeps them meanwhile; afterwards the snapshot does. What images or others
        have of these layers isn't unpacked again. Conflict where the key is taken, Invalid where there are no layers.
        """
        ...

    def adopt(
        self,
        snapshot: str,
        config: Mapping[str, Any],
        references: Sequence[ImageReference] = (),
        *,
        annotations: Mapping[str, str] | None = None,
        parent: Digest | None = None,
    ) -> Image:
        """Make an image of a committed snapshot, whoever made it, without unpacking it; empty is one without layers.

        `config` is the image's whole config (image-spec, config.md), whose `rootfs` this fills in; `annotations` are
        the manifest's. The snapshot's own key stays as it is, its owner's, and may be removed. Names move if they are
        taken. Invalid for a config that is wrong.
        """
        ...

    def collect(self) -> int:
        """Remove layers and blobs that nothing needs any more, and return the bytes; 0 where something is being stored.

        Removing images does it too: this is for one who removed a snapshot that was on an image's.
        """
        ...

    # Figures

    def usage(self) -> tuple[ImageUsage, ...]:
        """Return what each image takes on disk, as `docker system df -v` shows it, sorted as `list`."""
        ...

    def layers_bytes(self) -> int:
        """Return what all layers take on disk, each counted once, unpacked (`LayersSize` of system df)."""
        ...
