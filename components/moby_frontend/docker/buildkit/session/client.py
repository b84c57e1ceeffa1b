"""A client's session, as a builder sees it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import quote_plus

from moby.contracts.builder import Blobs, Folder, Receiver, Selection
from moby.contracts.image_registry import Credentials
from moby.errors import Denied, NotFound, Unavailable
from moby_frontend.docker.buildkit.grpc import Caller, Code, Exchange, Fault
from moby_frontend.docker.buildkit.http2.link import Link
from moby_frontend.docker.buildkit.protocol.common import Empty
from moby_frontend.docker.buildkit.protocol.lending import (
    Bytes,
    CheckAgent,
    CredentialsRequest,
    CredentialsResponse,
    GetSecret,
    Secret,
)
from moby_frontend.docker.buildkit.session.agents import bridge
from moby_frontend.docker.buildkit.session.blobs import ClientBlobs
from moby_frontend.docker.buildkit.session.files import give, take
from moby_frontend.docker.buildkit.session.streams import Incoming, Outgoing

__all__ = ["ClientSession"]

_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
"""Names by which clients look their credentials up."""
_MOST_SECRET_BYTES = 500 << 10
_ERRORS = {
    Code.NOT_FOUND: NotFound,
    Code.PERMISSION_DENIED: Denied,
    Code.UNAUTHENTICATED: Denied,
    Code.UNIMPLEMENTED: NotFound,
}

_NOT_LENT = ("no access allowed to dir", "unset ssh forward key")
"""What clients say, with no code of its own, where they don't lend a folder or an agent of that name."""


class ClientSession:
    """What a client lends by one connection; see the contract.

    Names of blobs are the client's: `export`, `local:FOLDER` of a cache, and `oci:NAME` or just a name of a layout.
    """

    def __init__(
        self, link: Link, identity: str, key: str, methods: Iterable[str], names: Mapping[str, str] | None = None
    ) -> None:
        self.link, self.identity = link, identity
        self._key, self._methods = key, frozenset(each.lower() for each in methods)
        self._names = names or {}
        self._caller = Caller(link)

    def renamed(self, names: Mapping[str, str]) -> "ClientSession":
        """Return the same session, with other names for some of its folders."""
        return ClientSession(self.link, self.identity, self._key, self._methods, names)

    @property
    def key(self) -> str:
        """Whose folders these are; see the contract."""
        return self._key

    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        """Hand over a folder; see the contract."""
        wanted = _selected(self._names.get(name, name), selection)
        with self._call("/moby.filesync.v1.FileSync/DiffCopy", "folders", wanted) as exchange:
            take(exchange, receiver)

    def stream(self, name: str) -> BinaryIO:
        """Open what the client sends; see the contract."""
        path = "/moby.upload.v1.Upload/Pull"
        self._offered(path, "streams")
        exchange = self._caller.begin(path, (("urlpath", f"/{name}"), ("urlhost", "buildkit-session")))
        exchange.send(end=True)
        return Incoming.of(exchange, Bytes)

    def secret(self, name: str) -> bytes:
        """Return a secret; see the contract."""
        path = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
        self._offered(path, "secrets")
        with _errors(f"secret {name}"):
            found = self._caller.ask(path, GetSecret(name), Secret).data
        if len(found) > _MOST_SECRET_BYTES:
            raise Denied(f"the secret {name} has {len(found)} bytes; at most {_MOST_SECRET_BYTES} are allowed")
        return found

    def ssh(self, name: str) -> int:
        """Return a socket to the client's ssh agent; see the contract."""
        self._offered("/moby.sshforward.v1.SSH/ForwardAgent", "ssh agents")
        name = name or "default"
        with _errors(f"ssh agent {name}"):
            self._caller.ask("/moby.sshforward.v1.SSH/CheckAgent", CheckAgent(name), Empty)
            exchange = self._caller.begin("/moby.sshforward.v1.SSH/ForwardAgent", (("buildkit.ssh.id", name),))
        return bridge(exchange)

    def credentials(self, host: str) -> Credentials | None:
        """Return who the client is at an image registry; see the contract."""
        path = "/moby.filesync.v1.Auth/Credentials"
        if path.lower() not in self._methods:
            return None
        with _errors(f"credentials for {host}"):
            found = self._caller.ask(path, CredentialsRequest(_HUB.get(host, host)), CredentialsResponse)
        if found.username:
            return Credentials(found.username, found.secret)
        return Credentials(identity_token=found.secret) if found.secret else None

    def blobs(self, name: str) -> Blobs:
        """Return a store of the client's; see the contract."""
        self._offered("/containerd.services.content.v1.Content/Read", "stores of blobs")
        return ClientBlobs(self._caller, name if name == "export" or ":" in name else f"oci:{name}")

    def deliver_stream(self, number: int) -> BinaryIO:
        """Open where an export's output goes; see the contract."""
        path = "/moby.filesync.v1.FileSend/DiffCopy"
        self._offered(path, "outputs")
        return Outgoing.of(self._caller.begin(path, _output(number)))

    def deliver_folder(self, number: int, folder: Folder) -> None:
        """Give a folder to an output; see the contract."""
        with self._call("/moby.filesync.v1.FileSend/DiffCopy", "outputs", _output(number)) as exchange:
            give(exchange, folder)

    def _offered(self, path: str, what: str) -> None:
        if path.lower() not in self._methods:
            raise NotFound(f"the client lends no {what}")

    @contextmanager
    def _call(self, path: str, what: str, metadata: Sequence[tuple[str, str]]) -> Iterator[Exchange]:
        self._offered(path, what)
        with _errors(what), self._caller.begin(path, metadata) as exchange:
            yield exchange


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Raise what the contract says for how a call of the client's ended."""
    try:
        yield
    except Fault as error:
        kind = _ERRORS.get(Code(error.code) if error.code in set(Code) else Code.UNKNOWN)
        if kind is not None:
            raise kind(f"{what}: {error.message}") from error
        if error.message.startswith(_NOT_LENT):
            raise NotFound(error.message) from error
        raise Unavailable(f"{what}: {error.message}") from error


def _output(number: int) -> tuple[tuple[str, str], ...]:
    return (("buildkit-attachable-exporter-id", str(number)),)


def _selected(name: str, selection: Selection) -> tuple[tuple[str, str], ...]:
    """Return a choice of files as headers; those that aren't ASCII as in a URL, and a header that says so."""
    values: Mapping[str, Sequence[str]] = {
        "dir-name": (name,), "include-patterns": selection.include, "exclude-patterns": selection.exclude,
        "followpaths": selection.follow,
    }  # fmt: skip
    found: list[tuple[str, str]] = []
    for key, each in values.items():
        plain = all(value.isascii() and value.isprintable() for value in each)
        found += [(key, value if plain else quote_plus(value, errors="surrogateescape")) for value in each]
        if not plain:
            found.append((f"{key}-encoded", "1"))
    return tuple(found)
