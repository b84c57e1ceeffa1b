"""The image-registry `distribution`: its contract's methods over the distribution API."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from moby.contracts.ambient import Clock, Log
from moby.contracts.image_registry import Credentials, Manifest, Match, Pushed
from moby.contracts.types import Digest, ImageReference
from moby.errors import Corrupt, Denied, Invalid, NotFound, Unavailable
from moby.oci import digest as digests
from moby.oci import logins
from moby.oci.reference import familiar, familiar_name
from moby_image_registry.distribution.calls import PUSH, Calls, scope_of, whole
from moby_image_registry.distribution.connection import Asked, Connections, Wait
from moby_image_registry.distribution.searching import search
from moby_image_registry.distribution.settings import Settings
from moby_image_registry.distribution.uploads import Upload
from moby_image_registry.distribution.words import in_words

__all__ = ["Distribution"]

_ACCEPT = ", ".join((
    "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
    "*/*",
))  # fmt: skip
_CHUNK_BYTES = 1 << 18
_MOST_PAGES = 10_000
_LONGEST_SIZE = 20
"""In digits."""


class Distribution:
    """Fetches and sends images by the OCI distribution API."""

    def __init__(self, settings: Settings, clock: Clock, log: Log, wait: Wait = time.sleep) -> None:
        self._settings = settings
        self._log = log
        self._connections = Connections(settings, wait)
        self._calls = Calls(settings, self._connections, clock)

    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Manifest:
        """Fetch what a tag or a digest names."""
        asked = Asked("GET", _manifest_path(reference), {"Accept": _ACCEPT})
        with self._calls.first(reference, asked, credentials) as response:
            data = whole(response)
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
            told = response.headers.get("Docker-Content-Digest", "")
        expected = reference.digest or (digests.parse(told) if told else digests.sha256(data))
        if hashlib.new(expected.algorithm, data).hexdigest() != expected.hex:
            raise Corrupt(
                f"manifest of {familiar(reference)} is not what its digest {expected} says",
                hint="try again; if it stays so, the image registry or something before it is broken",
            )
        return Manifest(expected, _media_type(kind, data), data)

    def resolve(self, reference: ImageReference, credentials: Credentials | None = None) -> tuple[Digest, str, int]:
        """Return digest, media type and size of what a tag names."""
        asked = Asked("HEAD", _manifest_path(reference), {"Accept": _ACCEPT})
        try:
            with self._calls.first(reference, asked, credentials) as response:
                told = response.headers.get("Docker-Content-Digest", "")
                size = response.headers.get("Content-Length", "")
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        except (Invalid, NotFound, Denied):
            told = ""  # a HEAD says nothing of why; the whole answer does
        if told and size.isascii() and size.isdigit() and len(size) < _LONGEST_SIZE:
            return digests.parse(told), kind, int(size)
        found = self.manifest(reference, credentials)
        return found.digest, found.media_type, len(found.data)

    def blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size_bytes: int,
        credentials: Credentials | None = None,
        *,
        offset: int = 0,
    ) -> Iterator[bytes]:
        """Yield a blob from an offset to its end, over as many connections as it takes."""
        proof = hashlib.new(digest.algorithm) if offset == 0 else None
        done, failures = offset, 0
        while done < size_bytes:
            before = done
            try:
                for chunk in self._part(reference, digest, done, credentials):
                    done += len(chunk)
                    if done > size_bytes:
                        raise Corrupt(f"blob {digest} of {familiar_name(reference)} is longer than {size_bytes} bytes")
                    if proof:
                        proof.update(chunk)
                    yield chunk
            except (urllib3.exceptions.HTTPError, OSError) as error:
                why = in_words(error)
            else:
                why = "the connection ended early"
            if done == size_bytes:
                break
            failures = failures + 1 if done == before else 1
            self._log.info("a download broke off", blob=str(digest), done=done, size=size_bytes, error=why)
            if failures >= self._settings.attempts:
                raise Unavailable(
                    f"blob {digest} of {familiar_name(reference)} broke off at {done} of {size_bytes} bytes: {why}",
                    hint="try again; what has come is not lost",
                )
        if proof and proof.hexdigest() != digest.hex:
            raise Corrupt(f"blob of {familiar_name(reference)} is not what its digest {digest} says")

    def _part(
        self, reference: ImageReference, digest: Digest, offset: int, credentials: Credentials | None
    ) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        asked = Asked("GET", f"/v2/{reference.path}/blobs/{digest}", headers)
        with self._calls.first(reference, asked, credentials) as response:
            skip = offset if offset and response.status == 200 else 0  # which knows no ranges
            while chunk := response.read(_CHUNK_BYTES):
                dropped = min(skip, len(chunk))
                skip -= dropped
                if dropped < len(chunk):
                    yield chunk[dropped:]

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
        sources = [each for each in mount_from if each.domain == reference.domain and each.path != reference.path]
        scope = " ".join([scope_of(reference, PUSH), *(scope_of(each, "pull") for each in sources)])
        upload = Upload(self._settings, self._calls, reference, scope, credentials)
        with upload.made(Asked("HEAD", f"/v2/{reference.path}/blobs/{digest}")) as response:
            if response.status == 200:
                return Pushed.EXISTED
            if response.status != 404:
                upload.failed(response)
        location = ""
        for source in sources:
            where = f"/v2/{reference.path}/blobs/uploads/?mount={quote(str(digest))}&from={quote(source.path, safe='')}"
            with upload.made(Asked("POST", where)) as response:
                if response.status == 201:
                    return Pushed.MOUNTED
                location = upload.location(response) if response.status == 202 else ""
        upload.send(location, digest, size_bytes, content, progress)
        return Pushed.SENT

    def push_manifest(
        self, reference: ImageReference, manifest: Manifest, credentials: Credentials | None = None
    ) -> Digest:
        """Send a manifest, and return the digest that it has there."""
        where = f"/v2/{reference.path}/manifests/{reference.tag or manifest.digest}"
        headers = {"Content-Type": manifest.media_type}
        asked = Asked("PUT", where, headers, lambda: io.BytesIO(manifest.data), len(manifest.data))
        upload = Upload(self._settings, self._calls, reference, scope_of(reference, PUSH), credentials)
        with upload.made(asked) as response:
            if response.status not in (200, 201):
                upload.failed(response)
            told = response.headers.get("Docker-Content-Digest", "")
        if told and told != str(manifest.digest):
            raise Corrupt(f"{reference.domain} has taken the manifest {manifest.digest} for {told[:100]}")
        return manifest.digest

    def tags(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[str]:
        """Yield the tags of a repository, page by page."""
        where = f"/v2/{reference.path}/tags/list?n=1000"
        for _ in range(_MOST_PAGES):
            with self._calls.first(reference, Asked("GET", where), credentials) as response:
                try:
                    found = tuple(json.loads(whole(response)).get("tags") or ())
                except (ValueError, AttributeError, TypeError, RecursionError) as error:
                    raise Invalid(
                        f"{reference.domain} answers with something else than a list of tags of {reference.path}"
                    ) from error
                link = response.headers.get("Link", "")
            yield from (each for each in found if isinstance(each, str))
            target, _, kind = link.partition(">")
            if 'rel="next"' not in kind:
                return
            try:
                parts = urlsplit(urljoin(where, target.strip().removeprefix("<")))
            except ValueError as error:
                raise Invalid(f"{reference.domain} links to more tags of {reference.path} with a broken URL") from error
            where = parts._replace(scheme="", netloc="").geturl()
        raise Invalid(f"{reference.domain} lists tags of {reference.path} without end")

    def search(
        self, domain: str, words: str, credentials: Credentials | None = None, *, limit: int = 25
    ) -> tuple[Match, ...]:
        """Return repositories that some words mean."""
        return search(self._settings, self._calls, domain, words, credentials, limit)

    def login(self, server: str, credentials: Credentials) -> str:
        """Prove credentials."""
        domain = urlsplit(server).netloc if "://" in server else server.partition("/")[0]
        domain = "docker.io" if domain in ("", "index.docker.io") else domain
        service = self._settings.origin(domain)
        with self._calls.made(service, Asked("GET", "/v2/"), "", credentials) as response:
            if response.status == 200:
                return ""
            if response.status in (401, 403):
                where = f"{self._connections.scheme(service)}://{service.host}/v2/"
                raise Denied(f"login attempt to {where} failed with status: {response.status} {response.reason}")
            raise Invalid(f"{service.host} is no image registry: status {response.status}")

    def saved(self, server: str) -> Credentials | None:
        """Return what `docker login` has saved for a service."""
        return logins.saved(server)


def _manifest_path(reference: ImageReference) -> str:
    return f"/v2/{reference.path}/manifests/{reference.digest or reference.tag}"


def _media_type(told: str, data: bytes) -> str:
    """Return what a manifest is: what it says itself, else what its sender says (image-spec, manifest.md)."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid("an image registry answers with a manifest that is no JSON") from error
    own = found.get("mediaType") if isinstance(found, dict) else None
    return own if isinstance(own, str) and own else told
