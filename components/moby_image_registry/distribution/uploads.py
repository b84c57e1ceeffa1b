"""Requests that change what a repository has: the sending of blobs and manifests."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, NoReturn
from urllib.parse import quote, urljoin, urlsplit

from moby.contracts.image_registry import Credentials
from moby.contracts.types import Digest, ImageReference
from moby.errors import Invalid, Unavailable
from moby_image_registry.distribution.calls import Calls, failed
from moby_image_registry.distribution.connection import Answer, Asked
from moby_image_registry.distribution.reading import Progressing
from moby_image_registry.distribution.settings import Settings

__all__ = ["Upload"]


class Upload:
    """Sends to a reference's own service, never to a mirror."""

    def __init__(
        self, settings: Settings, calls: Calls, reference: ImageReference, scope: str, credentials: Credentials | None
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._reference = reference
        self._service = settings.origin(reference.domain)
        self._scope = scope
        self._credentials = credentials

    def made(self, asked: Asked) -> AbstractContextManager[Answer]:
        """Lend the answer to a request."""
        return self._calls.made(self._service, asked, self._scope, self._credentials)

    def failed(self, response: Answer) -> NoReturn:
        """Raise what an answer that isn't good means."""
        failed(self._reference, response, known=self._credentials is not None, sending=True)

    def send(
        self,
        location: str,
        digest: Digest,
        size_bytes: int,
        content: Callable[[], BinaryIO],
        progress: Callable[[int], None] | None,
    ) -> None:
        """Send a blob in one piece, anew from its beginning where it breaks off (distribution-spec, pushing blobs).

        `location` is where to, if an upload has begun already.
        """
        for left in reversed(range(self._settings.attempts)):
            where = location or self._begun()
            location = ""
            joined = f"{where}{'&' if '?' in where else '?'}digest={quote(str(digest))}"
            kind = {"Content-Type": "application/octet-stream"}
            body = lambda: Progressing(content(), progress)  # noqa: E731
            try:
                with self.made(Asked("PUT", joined, kind, body, size_bytes, again=False)) as response:
                    if response.status == 201:
                        return
                    self.failed(response)
            except Unavailable:
                if not left:
                    raise

    def _begun(self) -> str:
        with self.made(Asked("POST", f"/v2/{self._reference.path}/blobs/uploads/")) as response:
            if response.status != 202:
                self.failed(response)
            return self.location(response)

    def location(self, response: Answer) -> str:
        """Return where an upload goes on; Invalid where that is a place that may not be asked."""
        where = response.headers.get("Location", "")
        host = self._service.host
        try:
            whole = bool(urlsplit(where).scheme)
            joined = urljoin(f"https://{host}/", where)
        except ValueError:
            whole, joined = True, ""
        if not where or not self._settings.may_lead(host, joined):
            raise Invalid(f"{host} sends an upload to {where or 'nowhere'!r}")
        return where if whole else urljoin("/", where)
