"""Mutants of stores that pull and push: each breaks one promise that their suite must see."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from attrs import field, frozen

from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.images import Image, ImageConfig, Images, Progress
from moby.contracts.types import Digest, ImageReference
from moby.errors import Invalid, MobyError, NotFound
from moby.oci.digest import sha256
from moby.oci.reference import parse
from moby.testing.archives import Archived
from moby.testing.image_transfers import Open
from moby.testing.mutants import Broken
from moby.values import evolve
from moby.values import evolve as changed

__all__ = ["MUTANTS", "Mutant"]

_Broken = Broken[Images]


class _ForgetsDigests(_Broken):
    def get(self, name: str) -> Image:
        return evolve(self.inner.get(name), digests=())


class _TellsLess(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        for each in self.inner.pull(reference, credentials, **options):
            if each.status != "Verifying Checksum":
                yield each


class _FetchesAgain(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        with suppress(MobyError):
            self.inner.remove(str(reference), force=True)
        yield from self.inner.pull(reference, credentials, **options)


class _IgnoresPlatform(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **_: Any) -> Iterator[Progress]:
        return self.inner.pull(reference, credentials)


class _TagsDigests(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        for each in self.inner.pull(reference, credentials, **options):
            if each.image and reference.digest:
                self.inner.tag(str(each.image.id), changed(reference, digest=None, tag="latest"))
                yield evolve(each, image=self.inner.get(str(each.image.id)))
            else:
                yield each


class _OneTag(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        return self.inner.pull(changed(reference, tag=reference.tag or "1"), credentials, **options)


class _KeepsTags(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        try:
            before = self.inner.get(str(reference))
        except NotFound:
            before = None
        yield from self.inner.pull(reference, credentials, **options)
        if before is not None:
            self.inner.tag(str(before.id), reference)


class _AsksTwice(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        told = list(self.inner.pull(reference, credentials, **options))
        yield from self.inner.pull(reference, credentials, **options)
        yield from told[:0]


class _KeepsHalf(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        try:
            yield from self.inner.pull(reference, credentials, **options)
        except MobyError:
            self.inner.add(parse("half"), [], ImageConfig())
            raise


class _ForgivesAll(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        with suppress(Invalid, NotFound):
            yield from self.inner.pull(reference, credentials, **options)


class _GoesOn(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        yield from list(self.inner.pull(reference, credentials, **options))


class _Anonymous(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        return self.inner.pull(reference, None, **options)


class _PushesAnonymously(_Broken):
    def push(self, reference: ImageReference, credentials: Any = None) -> Iterator[Progress]:
        return self.inner.push(reference)


class _TellsAnotherDigest(_Broken):
    def push(self, reference: ImageReference, credentials: Any = None) -> Iterator[Progress]:
        for each in self.inner.push(reference, credentials):
            yield evolve(each, sent=changed(each.sent, digest=sha256(b"another"))) if each.sent else each


class _KeepsManifests(_Broken):
    def pull(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Iterator[Progress]:
        archive = b"".join(self.inner.save([str(each.id) for each in self.inner.list()]))
        yield from self.inner.pull(reference, credentials, **options)
        image = self.inner.get(str(reference))
        names = [*image.references, *image.digests]
        self.inner.remove(str(image.id), force=True)
        list(self.inner.load(io.BytesIO(archive)))
        for each in names:
            if each.tag:
                self.inner.tag(str(image.id), each)


class _OneManifest(_Broken):
    """Takes all names of an image for the one that it got last."""

    def get(self, name: str) -> Image:
        return self.inner.get(str(self.inner.get(name).id))


class _TagsTheLast(_Broken):
    def tag(self, name: str, reference: ImageReference) -> None:
        self.inner.tag(str(self.inner.get(name).id), reference)


class _PullsToDescribe(_Broken):
    def describe(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Image:
        list(self.inner.pull(reference, credentials, **options))
        return self.inner.get(str(reference))


class _DescribesTheHosts(_Broken):
    def describe(self, reference: ImageReference, credentials: Any = None, **_: Any) -> Image:
        return self.inner.describe(reference, credentials)


class _DescribesWithoutDigests(_Broken):
    def describe(self, reference: ImageReference, credentials: Any = None, **options: Any) -> Image:
        return evolve(self.inner.describe(reference, credentials, **options), digests=())


class _ForgetsPublished(_Broken):
    def published(self, image: Image, reference: ImageReference, digest: Digest) -> None:
        """Forget it at once."""


class _PublishesForAnybody(_Broken):
    """Knows it of whatever has the name."""

    def published(self, image: Image, reference: ImageReference, digest: Digest) -> None:
        with suppress(NotFound):
            self.inner.published(image, reference, digest)


class _PushesAll(_Broken):
    def push(self, reference: ImageReference, credentials: Any = None) -> Iterator[Progress]:
        return self.inner.push(changed(reference, tag=""), credentials)


class _ForgivesPush(_Broken):
    def push(self, reference: ImageReference, credentials: Any = None) -> Iterator[Progress]:
        with suppress(NotFound, Invalid):
            yield from self.inner.push(reference, credentials)


class _NamesWhatFailed(_Broken):
    def push(self, reference: ImageReference, credentials: Any = None) -> Iterator[Progress]:
        try:
            yield from self.inner.push(reference, credentials)
        except MobyError:
            self.inner.remove(str(reference), force=True)
            raise


class _Registry:
    """An image registry as a broken store uses it."""

    def __init__(self, registry: ImageRegistry) -> None:
        self.registry = registry

    def __getattr__(self, name: str) -> Any:
        return getattr(self.registry, name)


class _NeverResumes(_Registry):
    def blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, credentials: Credentials | None = None,
        *, offset: int = 0,
    ) -> Iterator[bytes]:  # fmt: skip
        left = offset
        for chunk in self.registry.blob(reference, digest, size_bytes, credentials):
            yield chunk[left:]
            left = max(0, left - len(chunk))


class _FetchesForItself(_Registry):
    def resolve(self, reference: ImageReference, credentials: Credentials | None = None) -> Any:
        return self.registry.resolve(reference, credentials)

    def blob(
        self, reference: ImageReference, digest: Digest, size_bytes: int, *args: Any, **options: Any
    ) -> Iterator[bytes]:
        list(self.registry.blob(reference, digest, size_bytes, *args, **options))
        yield from self.registry.blob(reference, digest, size_bytes, *args, **options)


class _SendsAlways(_Registry):
    def push_blob(self, *args: Any, **options: Any) -> Any:
        return self.registry.push_blob(*args, **{**options, "mount_from": ()})


class _SwallowsBytes(_Registry):
    def blob(self, *args: Any, **options: Any) -> Iterator[bytes]:
        for chunk in self.registry.blob(*args, **options):
            yield bytes(len(chunk))


@frozen
class Mutant:
    """A way to break one promise, and the test of the suite that must see it."""

    broken: Callable[..., Any]
    test: str
    given: Mapping[str, Any] = field(factory=dict)
    """What a parametrized test gets besides fixtures."""

    @property
    def name(self) -> str:
        """What it does, for a test's id."""
        return getattr(self.broken, "__name__", "").strip("_")

    def wrap(self, store: Open) -> Open:
        """Return a function that opens the broken store."""
        if isinstance(self.broken, type) and issubclass(self.broken, _Registry):
            return lambda registry: store(self.broken(registry))
        return lambda registry: self.broken(store(registry))


_INDEX = {"kind": "application/vnd.oci.image.index.v1+json"}

MUTANTS = (
    Mutant(_ForgetsDigests, "test_what_is_pulled", {"pack": bytes}),
    Mutant(_TellsLess, "test_what_is_pulled", {"pack": bytes}),
    Mutant(_SwallowsBytes, "test_what_is_pulled", {"pack": bytes}),
    Mutant(_FetchesAgain, "test_what_is_here_is_not_fetched"),
    Mutant(_IgnoresPlatform, "test_a_platform_is_chosen", _INDEX),
    Mutant(_IgnoresPlatform, "test_one_image_of_another_platform"),
    Mutant(_TagsDigests, "test_by_digest"),
    Mutant(_OneTag, "test_all_tags"),
    Mutant(_KeepsTags, "test_a_tag_that_moved"),
    Mutant(_AsksTwice, "test_a_tag_that_moves_meanwhile"),
    Mutant(_KeepsHalf, "test_what_breaks_off"),
    Mutant(_NeverResumes, "test_what_breaks_off"),
    Mutant(_KeepsHalf, "test_wrong_bytes"),
    Mutant(_KeepsHalf, "test_hostile_images", {"made": Archived([b"no tar" * 200]), "text": "layer sha256"}),
    Mutant(_ForgivesAll, "test_what_is_no_image"),
    Mutant(_GoesOn, "test_leaving_early"),
    Mutant(_FetchesForItself, "test_two_at_once_share_the_work"),
    Mutant(_Anonymous, "test_who_asks"),
    Mutant(_PushesAnonymously, "test_who_asks"),
    Mutant(_TellsAnotherDigest, "test_what_is_pushed"),
    Mutant(_ForgetsDigests, "test_what_is_pushed"),
    Mutant(_KeepsManifests, "test_what_was_here_before_it_was_pulled"),
    Mutant(_PullsToDescribe, "test_what_is_described", _INDEX),
    Mutant(_DescribesTheHosts, "test_what_is_described", _INDEX),
    Mutant(_DescribesWithoutDigests, "test_what_is_described", _INDEX),
    Mutant(_DescribesTheHosts, "test_what_can_t_be_described"),
    Mutant(_OneManifest, "test_one_image_under_two_manifests"),
    Mutant(_TagsTheLast, "test_one_image_under_two_manifests"),
    Mutant(_FetchesAgain, "test_a_manifest_that_no_name_means"),
    Mutant(_SendsAlways, "test_what_is_there_is_not_sent"),
    Mutant(_ForgetsPublished, "test_what_somebody_else_published"),
    Mutant(_PublishesForAnybody, "test_what_somebody_else_published"),
    Mutant(_PushesAll, "test_all_tags_are_pushed"),
    Mutant(_ForgivesPush, "test_what_can_t_be_pushed"),
    Mutant(_NamesWhatFailed, "test_a_push_that_fails"),
)
