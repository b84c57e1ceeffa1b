"""Archives that the engine itself fetches for an import, as its client names only where they are."""

import base64
import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

from moby.contracts.images import Image
from moby.errors import Invalid, MobyError, Unavailable, masked
from moby_frontend.docker.call import Reply, stream
from moby_frontend.docker.handlers.progress import line, shown_error

__all__ = ["import_fetched"]

_TIMEOUT_S = 60.0
"""For each answer of the server, not for all of them together."""
_LONGEST_REASON = 1000
_PIECE_BYTES = 1 << 16
_HANDLERS = (
    urllib.request.ProxyHandler, urllib.request.UnknownHandler, urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)  # fmt: skip
"""All that urllib has but those for files and for FTP."""


def import_fetched(source: str, store: Callable[[BinaryIO, str], Image]) -> Reply:
    """Have the archive at a URL stored; what goes wrong once it has begun to come is told in the stream."""
    url = _url_of(source)
    archive = _fetched(url)
    shown = masked(url)

    def answer() -> Iterator[bytes]:
        with archive:
            yield line({"status": f"Downloading from {shown}"})
            try:
                image = store(archive, shown)
            except (MobyError, OSError, http.client.HTTPException) as error:
                yield line(shown_error(error))
                return
            yield line({"status": str(image.id)})

    return stream(answer(), "application/json")


def _url_of(source: str) -> str:
    """Return the URL that an import's source stands for; Invalid for none that is fetched here."""
    url = source if "://" in source else f"http://{source}"
    scheme = url.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise Invalid(f'unsupported protocol scheme "{scheme[:40]}"', hint="write http:// or https://")
    return url


def _fetched(url: str) -> BinaryIO:
    """Open what is at a URL; Unavailable, with the server's words, where it can't be had."""
    opener = urllib.request.OpenerDirector()
    for each in _HANDLERS:
        opener.add_handler(each())
    try:
        found = opener.open(_asked(url), timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(_LONGEST_REASON).decode(errors="replace").strip()
        raise Unavailable(f"failed to GET {masked(url)} with status {error.code} {error.reason}: {said}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unavailable(
            f'Get "{masked(url)}": {reason}', hint="check the address, and the network between"
        ) from error
    return cast(BinaryIO, _Whole(found, url))


def _asked(url: str) -> urllib.request.Request:
    """Return the request for a URL; who is named in it proves that to its own host alone (RFC 7617)."""
    parts = urlsplit(url)
    named, at, host = parts.netloc.rpartition("@")
    asked = urllib.request.Request(parts._replace(netloc=host).geturl())  # noqa: S310  # http and https alone come here
    if at:
        user, _, password = named.partition(":")
        proof = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        asked.add_unredirected_header("Authorization", f"Basic {proof}")
    return asked


class _Whole(io.RawIOBase):
    """A body that comes whole: read in pieces, http.client passes over what is missing at its end."""

    def __init__(self, body: http.client.HTTPResponse, url: str) -> None:
        super().__init__()
        self._body, self._url = body, url

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE_BYTES), b""))
        missing = self._body.length
        data = self._body.read(size)
        if not data and size and missing:
            raise Unavailable(f"{masked(self._url)} broke off: {missing} bytes are missing", hint="try again")
        return data

    def close(self) -> None:
        self._body.close()
        super().close()
