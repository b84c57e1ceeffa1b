"""Files of web servers: asked for anew each time, and fetched again only where they changed.

urllib3 is imported once somebody names a URL.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import asdict, field, frozen

from moby.contracts.builder import BuildFailed
from moby.contracts.metadata import Metadata
from moby.errors import Unavailable, masked
from moby.oci.digest import CHUNK_BYTES
from moby_builder.dockerfile.effects.archives import is_archive_file
from moby_builder.dockerfile.effects.files import opened
from moby_builder.dockerfile.effects.sources import Fetched, Temporary
from moby_builder.dockerfile.effects.workspace import Draft
from moby_builder.dockerfile.operations import HttpSource
from moby_builder.dockerfile.solver.effects import Tree, Watch
from moby_builder.folders.unpacking import unpack_stream

__all__ = ["HttpSources"]

_SCHEMES = ("http", "https")
_MOST_REDIRECTS = 10
_TIMEOUT_S = 60.0
_HINT = "see whether its host can be reached"
_MOST_KNOWN = 1000
_HEADERS = {"User-Agent": "moby-builder", "Accept-Encoding": "identity"}


@frozen
class _Seen:
    """What a URL was when it was last looked at."""

    digest: str
    etag: str = ""
    modified: str = ""
    looked_s: float = 0.0


@frozen
class _Downloaded:
    """A file that has just come."""

    path: Path
    seen: _Seen


@frozen
class HttpSources:
    """Fetches files of web servers. Thread-safe."""

    metadata: Metadata
    most_bytes: int = field(default=64 << 30, kw_only=True)

    def fetch(self, source: HttpSource, temporary: Temporary, watch: Watch) -> Fetched:
        """Look at a file; BuildFailed where it can't be had, or isn't what its checksum says."""
        if source.checksum is not None:
            # What it must be is known, so that nothing has to be asked.
            return self._fetched(source, str(source.checksum), None, temporary)
        seen = self._seen(source.url)
        with _answer(source.url, seen, watch) as answer:
            if answer.status == 304:
                assert seen is not None
                return self._fetched(source, seen.digest, None, temporary)
            downloaded = self._download(source, answer, temporary, watch)
        self._note(source.url, downloaded.seen)
        return self._fetched(source, downloaded.seen.digest, downloaded, temporary)

    def _fetched(
        self, source: HttpSource, digest: str, downloaded: _Downloaded | None, temporary: Temporary
    ) -> Fetched:
        uid, gid = source.owner
        identity = f"http:{digest} {source.filename} {source.mode:o} {uid}:{gid} {source.unpack}"
        return Fetched(identity, partial(self._bring, source, digest, downloaded, temporary))

    def _bring(
        self, source: HttpSource, digest: str, downloaded: _Downloaded | None, temporary: Temporary, watch: Watch
    ) -> Tree:
        if downloaded is None:
            with _answer(source.url, None, watch) as answer:
                downloaded = self._download(source, answer, temporary, watch, digest.partition(":")[0])
            if downloaded.seen.digest != digest:
                raise BuildFailed(f"digest mismatch {downloaded.seen.digest}: {digest}")
        found = downloaded
        return temporary.make(lambda draft: _fill(draft, source, found, watch))

    def _download(
        self, source: HttpSource, answer: Any, temporary: Temporary, watch: Watch, algorithm: str = "sha256"
    ) -> _Downloaded:
        path = temporary.place()
        digest, done = hashlib.new(algorithm), 0
        total = int(answer.headers.get("Content-Length") or 0)
        with path.open("wb") as file:
            for chunk in _chunks(answer, source.url):
                watch.cancel.check()
                done += len(chunk)
                if done > self.most_bytes:
                    raise BuildFailed(f"{masked(source.url)} is bigger than {self.most_bytes} bytes")
                digest.update(chunk)
                file.write(chunk)
                watch.progress(f"downloading {masked(source.url)}", done, total)
        watch.progress(f"downloading {masked(source.url)}", done, total, done=True)
        headers = answer.headers
        seen = _Seen(
            f"{algorithm}:{digest.hexdigest()}", headers.get("ETag", ""), headers.get("Last-Modified", ""), time.time()
        )
        return _Downloaded(path, seen)

    def _seen(self, url: str) -> _Seen | None:
        found = self.metadata.bucket(_BUCKET).get(_key(url))
        return _Seen(**found) if found is not None and (found["etag"] or found["modified"]) else None

    def _note(self, url: str, seen: _Seen) -> None:
        """Write down what a URL was, and forget those that nobody has asked for in the longest time."""
        bucket = self.metadata.bucket(_BUCKET)
        with self.metadata.transaction():
            bucket.put(_key(url), asdict(seen))
            if bucket.count() > _MOST_KNOWN:
                oldest = min(bucket.items(), key=lambda item: float(item[1]["looked_s"]))
                bucket.delete(oldest[0])


_BUCKET = "builder/http"


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _fill(draft: Draft, source: HttpSource, downloaded: _Downloaded, watch: Watch) -> None:
    """Put a file into a snapshot: as it is, or unpacked where that is wanted and it is an archive."""
    if source.unpack and is_archive_file(downloaded.path):
        with downloaded.path.open("rb") as file, opened(draft.path) as root:
            unpack_stream(file, root, watch.cancel.check)
        return
    path = draft.path / source.filename
    with downloaded.path.open("rb") as file, path.open("xb") as out:
        while chunk := file.read(CHUNK_BYTES):
            out.write(chunk)
    os.chown(path, *source.owner)
    path.chmod(source.mode)
    time_s = _time_s(downloaded.seen.modified)
    if time_s is not None:
        os.utime(path, (time_s, time_s))


def _time_s(modified: str) -> float | None:
    try:
        return parsedate_to_datetime(modified).timestamp()
    except (TypeError, ValueError):
        return None


@contextmanager
def _answer(url: str, seen: _Seen | None, watch: Watch) -> Iterator[Any]:
    """Lend the answer to a GET, redirects followed; BuildFailed for one that is no file."""
    import urllib3

    headers = dict(_HEADERS)
    if seen is not None:
        headers |= {"If-None-Match": seen.etag} if seen.etag else {"If-Modified-Since": seen.modified}
    where = url
    for _ in range(_MOST_REDIRECTS + 1):
        parts = urlsplit(where)
        if parts.scheme not in _SCHEMES:
            raise BuildFailed(f"{masked(where)}: only http and https are fetched")
        watch.cancel.check()
        with _pool(urllib3, where) as pool:
            try:
                answer = pool.request("GET", where, headers=headers, preload_content=False, redirect=False)
            except urllib3.exceptions.HTTPError as error:
                raise Unavailable(f"failed to fetch {masked(url)}: {_why(error)}", hint=_HINT) from error
            back = watch.cancel.add(answer.close)
            try:
                target = answer.get_redirect_location()
                if target:
                    where = urljoin(where, target)
                    continue
                if answer.status not in (200, 304):
                    raise BuildFailed(f"invalid response status {answer.status}")
                yield answer
                return
            finally:
                back()
                answer.close()
    raise BuildFailed(f"{masked(url)} redirects more than {_MOST_REDIRECTS} times")


def _pool(urllib3: Any, url: str) -> Any:
    """Return what asks a URL's host, or the proxy that this process's environment names for it."""
    parts = urlsplit(url)
    options = {"timeout": urllib3.Timeout(connect=_TIMEOUT_S, read=_TIMEOUT_S), "retries": urllib3.Retry(3)}
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _chunks(answer: Any, url: str) -> Iterator[bytes]:
    import urllib3

    try:
        yield from answer.stream(CHUNK_BYTES)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(f"failed to fetch {masked(url)}: {_why(error)}", hint="try again") from error


def _why(error: BaseException) -> str:
    """Return why a host couldn't be asked, or broke off, by the error that is behind those of who asked it."""
    import ssl

    inner: BaseException | None = error
    while inner is not None:
        error = inner
        behind = (getattr(error, "reason", None), *error.args, error.__cause__)
        inner = next((each for each in behind if isinstance(each, BaseException)), None)
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason}".lower()
    if isinstance(error, TimeoutError):
        return "it took too long"
    if hasattr(error, "partial"):
        return "the answer broke off"
    return (getattr(error, "strerror", None) or str(error)).lower()
