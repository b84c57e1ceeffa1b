"""Mutants of a way to image registries: each breaks one promise, and names the test that must see it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from moby.contracts.image_registry import Credentials, Manifest, Match, Pushed
from moby.contracts.types import Digest, ImageReference
from moby.errors import Corrupt, Invalid, NotFound, Unavailable
from moby.oci.digest import sha256
from moby.testing.mutants import Broken, Mutant
from moby.values import evolve

__all__ = ["MUTANTS"]

_Broken = Broken[Any]


class _OtherBytes(_Broken):
    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Manifest:
        found: Manifest = self.inner.manifest(reference, credentials)
        return evolve(found, data=found.data + b"\n")


class _TagWins(_Broken):
    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Any:
        return self.inner.manifest(evolve(reference, digest=None) if reference.tag else reference)


class _TagStays(_Broken):
    def push_manifest(self, reference: ImageReference, manifest: Manifest, credentials: Any = None) -> Any:
        try:
            self.inner.manifest(evolve(reference, digest=None))
        except (NotFound, Invalid):
            return self.inner.push_manifest(reference, manifest)
        return self.inner.push_manifest(evolve(reference, tag=""), manifest)


class _OthersGo(_Broken):
    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Any:
        if reference.digest and self.inner.manifest(evolve(reference, digest=None, tag="1")).digest != reference.digest:
            raise NotFound(f"manifest for {reference} not found")
        return self.inner.manifest(reference)


class _AlwaysTags(_Broken):
    def push_manifest(self, reference: ImageReference, manifest: Manifest, credentials: Any = None) -> Any:
        return self.inner.push_manifest(evolve(reference, tag=reference.tag or "latest"), manifest)


class _FindsAll(_Broken):
    def search(self, domain: str, words: str, credentials: Credentials | None = None, *, limit: int = 25) -> Any:
        return self.inner.search(domain, "", limit=limit)


class _FindsTooMany(_Broken):
    def search(self, domain: str, words: str, credentials: Credentials | None = None, *, limit: int = 25) -> Any:
        return self.inner.search(domain, words)


class _FindsNothing(_Broken):
    def search(
        self, domain: str, words: str, credentials: Credentials | None = None, *, limit: int = 25
    ) -> tuple[Match, ...]:
        return ()


class _RepeatsTags(_Broken):
    def tags(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[str]:
        for each in self.inner.tags(reference):
            yield from (each, each)


class _SizeIsOff(_Broken):
    def resolve(self, reference: ImageReference, credentials: Credentials | None = None) -> tuple[Digest, str, int]:
        digest, kind, size = self.inner.resolve(reference)
        return digest, kind, size + 1


class _Blobs(_Broken):
    """Blobs that a subclass changes."""

    def blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, credentials: Any = None, *, offset: int = 0
    ) -> Iterator[bytes]:
        yield from self.inner.blob(reference, digest, size_bytes, credentials, offset=offset)


class _NoOffset(_Blobs):
    def blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, credentials: Any = None, *, offset: int = 0
    ) -> Iterator[bytes]:
        yield from self.inner.blob(reference, digest, size_bytes)


class _LongOnes(_Blobs):
    def blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, credentials: Any = None, *, offset: int = 0
    ) -> Iterator[bytes]:
        try:
            yield from self.inner.blob(reference, digest, size_bytes, credentials, offset=offset)
        except Corrupt:
            return


class _ShortOnes(_Blobs):
    def blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, credentials: Any = None, *, offset: int = 0
    ) -> Iterator[bytes]:
        try:
            yield from self.inner.blob(reference, digest, size_bytes, credentials, offset=offset)
        except Unavailable:
            return


class _Pushes(_Broken):
    """Blobs sent as a subclass has it."""

    def push_blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size_bytes: int,
        content: Callable[[], BinaryIO],
        credentials: Any = None,
        *,
        mount_from: Sequence[ImageReference] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Any:
        return self.inner.push_blob(
            reference, digest, size_bytes, content, credentials, mount_from=mount_from, progress=progress
        )


class _OpensAlways(_Pushes):
    def push_blob(self, reference: Any, digest: Any, size_bytes: Any, content: Any, *rest: Any, **more: Any) -> Any:
        content().close()
        return super().push_blob(reference, digest, size_bytes, content, *rest, **more)


class _SaysSent(_Pushes):
    def push_blob(self, *given: Any, **more: Any) -> Any:
        super().push_blob(*given, **more)
        return Pushed.SENT


class _MountsNever(_Pushes):
    def push_blob(self, *given: Any, mount_from: Any = (), **more: Any) -> Any:
        return super().push_blob(*given, **more)


class _MountsAlways(_Pushes):
    def push_blob(self, *given: Any, mount_from: Any = (), **more: Any) -> Any:
        found = super().push_blob(*given, mount_from=mount_from, **more)
        return Pushed.MOUNTED if mount_from else found


class _TellsNothing(_Pushes):
    def push_blob(self, *given: Any, progress: Any = None, **more: Any) -> Any:
        found = super().push_blob(*given, **more)
        if progress:
            progress(0)
        return found


class _TakesWrongOnes(_Pushes):
    def push_blob(self, *given: Any, **more: Any) -> Any:
        try:
            return super().push_blob(*given, **more)
        except Corrupt:
            return Pushed.SENT


class _NoNeedOfBlobs(_Broken):
    def push_manifest(self, reference: ImageReference, manifest: Manifest, credentials: Any = None) -> Any:
        try:
            return self.inner.push_manifest(reference, manifest)
        except (Invalid, NotFound):
            return manifest.digest


class _Nameless(_Broken):
    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Any:
        try:
            return self.inner.manifest(reference)
        except NotFound as error:
            raise NotFound("manifest not found") from error


class _NoTagsAreFine(_Broken):
    def tags(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[str]:
        try:
            yield from self.inner.tags(reference)
        except NotFound:
            return


class _OnePot(_Broken):
    """All repositories are one."""

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)

        def in_one(reference: ImageReference, *given: Any, **more: Any) -> Any:
            return call(evolve(reference, path="pot"), *given, **more)

        return in_one


class _OtherDigest(_Broken):
    def push_manifest(self, reference: ImageReference, manifest: Manifest, credentials: Any = None) -> Any:
        self.inner.push_manifest(reference, manifest)
        return sha256(b"another")


MUTANTS = tuple(
    Mutant(wrap, f"test_{test}")
    for wrap, test in (
        (_OtherBytes, "what_is_sent_comes_back"),
        (_SizeIsOff, "what_is_sent_comes_back"),
        (_OtherDigest, "what_is_sent_comes_back"),
        (_TagWins, "a_digest_wins_over_a_tag"),
        (_TagStays, "a_tag_moves"),
        (_OthersGo, "a_tag_moves"),
        (_AlwaysTags, "a_manifest_without_a_tag"),
        (_RepeatsTags, "tags"),
        (_FindsAll, "search"),
        (_FindsTooMany, "search"),
        (_FindsNothing, "search"),
        (_NoOffset, "a_blob_from_an_offset"),
        (_LongOnes, "a_blob_of_another_size"),
        (_ShortOnes, "a_blob_of_another_size"),
        (_OpensAlways, "what_is_there_is_not_sent_again"),
        (_SaysSent, "what_is_there_is_not_sent_again"),
        (_MountsNever, "a_blob_of_another_repository"),
        (_MountsAlways, "a_blob_of_another_repository"),
        (_TellsNothing, "progress"),
        (_TakesWrongOnes, "wrong_bytes_are_not_taken"),
        (_NoNeedOfBlobs, "a_manifest_needs_its_blobs"),
        (_Nameless, "absent_ones"),
        (_NoTagsAreFine, "absent_ones"),
        (_OnePot, "repositories_are_apart"),
    )
)
"""What the suite must fail."""
