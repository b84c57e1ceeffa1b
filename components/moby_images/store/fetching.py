"""Fetching blobs from an image registry into the content, several at once, each by one of all who want it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from moby.contracts.content import Lease
from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.images import Progress
from moby.contracts.types import Digest, ImageReference
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid
from moby.host.locks import locked
from moby.oci.image import Descriptor
from moby.values import frozen
from moby_images.store.crew import Crew, Tell
from moby_images.store.offers import MOST_CONFIG_BYTES
from moby_images.store.parts import Shared

__all__ = ["FETCH", "TELL_S", "Fetching", "short"]

FETCH = "fetch-"
"""What the names of ingests begin with that are gone on with, before the digest."""
TELL_S = 0.1
"""How often progress is told."""
_AGAIN_S = 0.05


def short(digest: Digest) -> str:
    """Return a digest as progress names it."""
    return digest.hex[:12]


@frozen
class Fetching:
    """Fetches blobs of one repository; `lease` keeps them, `crew` says when to give up."""

    shared: Shared
    registry: ImageRegistry
    reference: ImageReference
    credentials: Credentials | None
    lease: Lease
    crew: Crew

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is here; it stays then. Invalid where it has another size than is said of it."""
        if not self.lease.hold(blob.digest):
            return False
        size = self.shared.parts.content.info(blob.digest).size_bytes
        if size != blob.size_bytes:
            raise Invalid(f"blob {blob.digest} has {size} bytes, not {blob.size_bytes} as the image says")
        return True

    def document(self, blob: Descriptor, limit: int = MOST_CONFIG_BYTES) -> bytes:
        """Fetch a small blob, and return it."""
        if blob.size_bytes > limit:
            raise Invalid(f"blob {blob.digest} has {blob.size_bytes} bytes; at most {limit} are allowed for a config")
        self.fetch(blob, lambda told: None)
        with self.shared.parts.content.open(blob.digest, size_bytes=blob.size_bytes) as file:
            return file.read()

    def fetch(self, blob: Descriptor, tell: Tell) -> None:
        """Make a blob be here. Corrupt where its bytes aren't what they should be; what broke off is kept."""
        if not self.has(blob):
            with self._alone(blob.digest):
                if not self.has(blob):
                    self._again(blob, tell)
        tell(Progress("Download complete", short(blob.digest)))

    def forget(self, blob: Descriptor) -> None:
        """Drop what came of a blob, unless another one fetches it."""
        with suppress(Conflict), self.shared.parts.content.writer(FETCH + str(blob.digest), self.lease) as writer:
            writer.abort()

    def _again(self, blob: Descriptor, tell: Tell) -> None:
        """Go on with what came before; where that was wrong, begin anew once."""
        if not self._download(blob, tell):
            self._download(blob, tell)

    def _download(self, blob: Descriptor, tell: Tell) -> bool:
        """Download a blob; False where what came before was wrong, which has been dropped."""
        content, name = self.shared.parts.content, short(blob.digest)
        with content.writer(FETCH + str(blob.digest), self.lease, algorithm=blob.digest.algorithm) as writer:
            offset = writer.offset_bytes
            try:
                if offset > blob.size_bytes:
                    raise Corrupt(f"an earlier download of blob {blob.digest} has more bytes than the blob")
                told = 0.0
                for chunk in self.registry.blob(
                    self.reference, blob.digest, blob.size_bytes, self.credentials, offset=offset
                ):
                    self.crew.check()
                    writer.write(chunk)
                    now = time.monotonic()
                    if now - told >= TELL_S:
                        told = now
                        tell(Progress("Downloading", name, writer.offset_bytes, blob.size_bytes))
                tell(Progress("Verifying Checksum", name))
                writer.commit(blob.digest, size_bytes=blob.size_bytes)
            except (Corrupt, HostUnfit) as error:
                writer.abort()
                if offset and isinstance(error, Corrupt):
                    return False
                raise
        return True

    @contextmanager
    def _alone(self, digest: Digest) -> Iterator[None]:
        """Hold a blob's lock, and wait for it where another one fetches it."""
        folder = self.shared.parts.place.run / "fetching"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            with locked(folder / digest.hex, wait=False) as got:
                if got:
                    yield
                    return
            self.crew.wait(_AGAIN_S)
