"""The client, made when it is first used: an engine that only runs containers doesn't load it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from moby.contracts.image_registry import Credentials, ImageRegistry, Manifest, Match, Pushed
from moby.contracts.types import Digest, ImageReference

__all__ = ["Deferred"]


class Deferred:
    """Passes all on to what it makes once."""

    def __init__(self, make: Callable[[], ImageRegistry]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: ImageRegistry | None = None

    @property
    def _client(self) -> ImageRegistry:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Manifest:
        """Fetch what a tag or a digest names."""
        return self._client.manifest(reference, credentials)

    def resolve(self, reference: ImageReference, credentials: Credentials | None = None) -> tuple[Digest, str, int]:
        """Return digest, media type and size of what a tag names."""
        return self._client.resolve(reference, credentials)

    def blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size_bytes: int,
        credentials: Credentials | None = None,
        *,
        offset: int = 0,
    ) -> Iterator[bytes]:
        """Yield a blob from an offset to its end."""
        return self._client.blob(reference, digest, size_bytes, credentials, offset=offset)

    def push_blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size_bytes: int,
        content: Callable[[], BinaryIO],
        credentials: Credentials | None = None,
        *,
        mount_from: Sequence[ImageReference] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Pushed:
        """Send a blob unless it is there."""
        return self._client.push_blob(
            reference, digest, size_bytes, content, credentials, mount_from=mount_from, progress=progress
        )

    def push_manifest(
        self, reference: ImageReference, manifest: Manifest, credentials: Credentials | None = None
    ) -> Digest:
        """Send a manifest."""
        return self._client.push_manifest(reference, manifest, credentials)

    def tags(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[str]:
        """Yield the tags of a repository."""
        return self._client.tags(reference, credentials)

    def search(
        self, domain: str, words: str, credentials: Credentials | None = None, *, limit: int = 25
    ) -> tuple[Match, ...]:
        """Return repositories that some words mean."""
        return self._client.search(domain, words, credentials, limit=limit)

    def login(self, server: str, credentials: Credentials) -> str:
        """Prove credentials."""
        return self._client.login(server, credentials)

    def saved(self, server: str) -> Credentials | None:
        """Return what the user has saved for a service."""
        return self._client.saved(server)
