"""The kind `image-registry`: fetches from, and sends to, the services that store images for everybody.

Source: OCI distribution-spec 1.1, spec.md; Docker's registry, token authentication and its names.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import BinaryIO, Protocol

from moby.contracts.kind import contract, repeatable
from moby.contracts.types import Digest, ImageReference
from moby.values import field, frozen

__all__ = ["Credentials", "ImageRegistry", "Manifest", "Match", "Pushed"]


@frozen
class Credentials:
    """Who asks: a user with a password, or one of the tokens that stand for both."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """To be exchanged for a token of each repository."""
    registry_token: str = field(default="", repr=False)
    """To be sent as it is."""


@frozen
class Manifest:
    """A manifest or an index as it was sent, whose digest has been proven."""

    digest: Digest
    media_type: str
    data: bytes = field(repr=False)


class Pushed(StrEnum):
    """What sending a blob came to."""

    EXISTED = "existed"
    MOUNTED = "mounted"
    """Taken over from another repository of the same image registry."""
    SENT = "sent"


@frozen
class Match:
    """A repository that a search found."""

    name: str
    """As its service has it: its path, of Docker Hub's own without `library/`."""
    description: str = ""
    stars: int = 0
    is_official: bool = False
    is_automated: bool = False


@contract("image-registry", version=1)
class ImageRegistry(Protocol):
    """Fetches images from services that store them, and sends them there.

    Thread-safe. What can't be reached is tried again a few times, and mirrors before their origin, within a minute or
    two; then it is Unavailable. Denied where the service wants other credentials, in docker's words; NotFound names
    the reference; Corrupt where bytes aren't what their digest says; Invalid where an answer makes no sense. Nothing
    is asked over plain HTTP but of those that the configuration names insecure, and of this host's loopback.
    """

    @repeatable
    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Manifest:
        """Fetch what a tag or a digest names; the digest wins where there are both."""
        ...

    @repeatable
    def resolve(self, reference: ImageReference, credentials: Credentials | None = None) -> tuple[Digest, str, int]:
        """Return digest, media type and size of what a tag names, with one small request where that is possible."""
        ...

    @repeatable
    def blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size_bytes: int,
        credentials: Credentials | None = None,
        *,
        offset: int = 0,
    ) -> Iterator[bytes]:
        """Yield a blob from an offset to its end; a connection that breaks is made again, from where it broke.

        That the bytes have the digest is proven where `offset` is 0 (Corrupt, once all have been yielded), and is else
        the caller's to prove. Never more than `size_bytes` are yielded in all; less is Unavailable.
        """
        ...

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
        """Send a blob unless it is there; `content` opens it anew for each try, `progress` is told bytes sent so far.

        Corrupt where the bytes aren't what the digest says, of which nothing stays there.

        `mount_from` are repositories of the same service that may have it already.
        """
        ...

    @repeatable
    def push_manifest(
        self, reference: ImageReference, manifest: Manifest, credentials: Credentials | None = None
    ) -> Digest:
        """Send a manifest whose blobs are there, under a tag or its digest, and return the digest that it has there."""
        ...

    @repeatable
    def tags(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[str]:
        """Yield the tags of a repository, in the service's order."""
        ...

    @repeatable
    def search(
        self, domain: str, words: str, credentials: Credentials | None = None, *, limit: int = 25
    ) -> tuple[Match, ...]:
        """Return repositories of a service that some words mean, in its order, at most so many.

        Unsupported where it has no search, as services of the distribution API alone have none.
        """
        ...

    @repeatable
    def login(self, server: str, credentials: Credentials) -> str:
        """Prove credentials; return an identity token to keep in the password's place, empty where there is none."""
        ...

    @repeatable
    def saved(self, server: str) -> Credentials | None:
        """Return what the user has saved for a service with `docker login` (config.json, credential helpers)."""
        ...
