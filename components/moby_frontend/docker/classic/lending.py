"""What a call of `POST /build` lends its build: its archive, the client's credentials and session."""

import base64
import json
from collections.abc import Mapping
from typing import IO, Any, BinaryIO, cast

from moby.contracts.builder import Blobs, Folder, Receiver, Selection, Session
from moby.contracts.image_registry import Credentials
from moby.errors import NotFound
from moby_frontend.docker.classic.options import CONTEXT

__all__ = ["CallSession", "credentials_in"]

_HUB = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


class CallSession:
    """See the contract. All but the archive is asked of the client's session, where the call names one."""

    def __init__(
        self, archive: IO[bytes] | None, credentials: Mapping[str, Credentials], client: Session | None = None
    ) -> None:
        self._archive, self._kept, self._credentials = archive, archive, credentials
        self._client = client

    @property
    def key(self) -> str:
        """Whose folders these are; see the contract."""
        return self._client.key if self._client else ""

    def close(self) -> None:
        """Let go of the archive, whether anybody took it or not."""
        if self._kept is not None:
            self._kept.close()

    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        """None but the client's; see the contract."""
        if self._client:
            return self._client.folder(name, selection, receiver)
        raise NotFound(f"POST /build has no context named {name!r}")

    def stream(self, name: str) -> BinaryIO:
        """Return the archive; see the contract."""
        if name != CONTEXT and self._client:
            return self._client.stream(name)
        archive, self._archive = self._archive, None
        if name != CONTEXT or archive is None:
            raise NotFound(f"POST /build has no archive named {name!r}, or it was read already")
        return cast(BinaryIO, archive)

    def secret(self, name: str) -> bytes:
        """None but the client's; see the contract."""
        if self._client:
            return self._client.secret(name)
        raise NotFound(f"secret {name}: not found; POST /build passes none, so use docker buildx")

    def ssh(self, name: str) -> int:
        """None but the client's; see the contract."""
        if self._client:
            return self._client.ssh(name)
        raise NotFound(f"ssh agent {name}: not found; POST /build passes none, so use docker buildx")

    def credentials(self, host: str) -> Credentials | None:
        """Return who the client is at an image registry; see the contract."""
        names = _HUB if host in _HUB else (host, f"https://{host}", f"https://{host}/v1/", f"http://{host}")
        found = next((self._credentials[each] for each in names if each in self._credentials), None)
        return self._client.credentials(host) if found is None and self._client else found

    def blobs(self, name: str) -> Blobs:
        """None but the client's; see the contract."""
        if self._client:
            return self._client.blobs(name)
        raise NotFound(f"POST /build has no OCI layout named {name!r}")

    def deliver_stream(self, number: int) -> BinaryIO:
        """None but the client's; see the contract."""
        if self._client:
            return self._client.deliver_stream(number)
        raise NotFound("POST /build can only export an image")

    def deliver_folder(self, number: int, folder: Folder) -> None:
        """None but the client's; see the contract."""
        if self._client:
            return self._client.deliver_folder(number, folder)
        raise NotFound("POST /build can only export an image")


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
