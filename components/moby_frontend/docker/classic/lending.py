"""What a call of `POST /build` lends its build: the archive that it came with, and the client's credentials."""

import base64
import json
from collections.abc import Mapping
from typing import IO, Any, BinaryIO, cast

from moby.contracts.builder import Blobs, Folder, Receiver, Selection
from moby.contracts.image_registry import Credentials
from moby.errors import NotFound
from moby_frontend.docker.classic.options import CONTEXT

__all__ = ["CallSession", "credentials_in"]

_HUB = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


class CallSession:
    """See the contract; there is no client that could be asked for anything later."""

    key = ""

    def __init__(self, archive: IO[bytes] | None, credentials: Mapping[str, Credentials]) -> None:
        self._archive, self._kept, self._credentials = archive, archive, credentials

    def close(self) -> None:
        """Let go of the archive, whether anybody took it or not."""
        if self._kept is not None:
            self._kept.close()

    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        """There is none; see the contract."""
        raise NotFound(f"a build by one call lends no folder {name!r}")

    def stream(self, name: str) -> BinaryIO:
        """Return the archive; see the contract."""
        archive, self._archive = self._archive, None
        if name != CONTEXT or archive is None:
            raise NotFound(f"a build by one call lends no stream {name!r}, or lent it already")
        return cast(BinaryIO, archive)

    def secret(self, name: str) -> bytes:
        """There is none; see the contract."""
        raise NotFound(f"secret {name}: not found; a build by one call has none, so use docker buildx")

    def ssh(self, name: str) -> int:
        """There is none; see the contract."""
        raise NotFound(f"ssh agent {name}: not found; a build by one call has none, so use docker buildx")

    def credentials(self, host: str) -> Credentials | None:
        """Return who the client is at an image registry; see the contract."""
        names = _HUB if host in _HUB else (host, f"https://{host}", f"https://{host}/v1/", f"http://{host}")
        return next((self._credentials[each] for each in names if each in self._credentials), None)

    def blobs(self, name: str) -> Blobs:
        """There is none; see the contract."""
        raise NotFound(f"a build by one call lends no blobs {name!r}")

    def deliver_stream(self, number: int) -> BinaryIO:
        """There is none; see the contract."""
        raise NotFound("a build by one call takes no output but an image")

    def deliver_folder(self, number: int, folder: Folder) -> None:
        """There is none; see the contract."""
        raise NotFound("a build by one call takes no output but an image")


def credentials_in(header: str) -> Mapping[str, Credentials]:
    """Return who the client is, by image registry (X-Registry-Config); what can't be read is passed over."""
    try:
        found = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        return {str(host): _one(each) for host, each in found.items() if isinstance(each, dict)}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _one(found: Mapping[str, Any]) -> Credentials:
    names = ("username", "password", "identitytoken", "registrytoken")
    return Credentials(*(str(found.get(each) or "") for each in names))
