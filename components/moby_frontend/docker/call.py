"""One call of a client's and what is answered to it."""

import io
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NoReturn, Protocol

from attrs import define, field, frozen

from moby.errors import Invalid

__all__ = [
    "MAX_JSON_BYTES", "Body", "Call", "Client", "Ending", "Gone", "Link", "Query", "Reply", "Stranger", "Version",
    "empty", "encode", "plain", "reply_json", "stream",
]  # fmt: skip

Version = tuple[int, int]
MAX_JSON_BYTES = 8 << 20
"""A body that is read as a whole; seccomp profiles come in such."""
_BUFFER = 256 << 10
_FALSE = frozenset({"", "0", "no", "false", "none"})
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Gone(Exception):
    """The client has gone; nobody is there to be answered."""


class Stranger(Exception):
    """Who has come by TLS can't say who it is; it has been let go."""


class Ending(Exception):
    """The front end stops, and ends what only the client would."""


@frozen
class Client:
    """Who calls: ids of a process by a Unix socket (SO_PEERCRED), or the subject of a certificate."""

    address: str
    pid: int = 0
    uid: int = -1
    gid: int = -1
    subject: str = ""

    def __str__(self) -> str:
        return self.subject or (f"uid {self.uid} pid {self.pid}" if self.uid >= 0 else self.address)


class Query:
    """The parameters of a URL, read as docker reads them."""

    def __init__(self, text: str) -> None:
        from urllib.parse import parse_qs

        try:
            self._values = parse_qs(text, keep_blank_values=True, max_num_fields=1000) if text else {}
        except ValueError as error:
            raise Invalid(f"invalid query: {error}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """Return the first value."""
        return self._values.get(name, (default,))[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values."""
        return tuple(self._values.get(name, ()))

    def flag(self, name: str, default: bool = False) -> bool:
        """Return whether it is set, to anything that isn't docker's word for no."""
        return self.text(name).strip().lower() not in _FALSE if name in self._values else default

    def number(self, name: str, default: int = 0) -> int:
        """Return a number; Invalid in docker's words."""
        text = self.text(name)
        if not text:
            return default
        digits = text[1:] if text[:1] in "+-" else text
        if not (digits.isascii() and digits.isdigit()):
            raise Invalid(f'strconv.Atoi: parsing "{text[:100]}": invalid syntax')
        if len(digits) > 18:
            raise Invalid(f'strconv.Atoi: parsing "{text[:100]}": value out of range')
        return int(text)


class Body(Protocol):
    """What a client sends with a call, as it comes."""

    def read(self, size: int = -1) -> bytes:
        """Return at most so many bytes, and none at the end."""
        ...

    def rest(self, limit: int) -> bytes:
        """Return all that is left; Invalid where that is more."""
        ...


class Link(Protocol):
    """The connection that a call came by."""

    def watch(self, fd: int, timeout_s: float | None = None, *, follows: bool = False) -> bool:
        """Wait until a descriptor is readable, return whether it is; Gone or Ending where that comes first.

        The front end's end comes as soon as it drains to who `follows` what only clients end, else once that is over.
        """
        ...

    def hijack(self, head: bytes) -> socket.socket:
        """Take the connection from HTTP, send these bytes, and return it as a plain socket, to be closed."""
        ...

    def early(self) -> bytes:
        """Return what the client sent after the call, once it is hijacked."""
        ...

    def draining_fd(self) -> int:
        """Return a descriptor that becomes readable once no call begins any more; it stays this one's."""
        ...

    def ending_fd(self) -> int:
        """Return a descriptor that becomes readable once calls under way are given up; it stays this one's."""
        ...

    def common_headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that all answers have."""
        ...


@define
class Call:
    """A call; `names` are what the route's pattern took from the path."""

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    """By lower-case names."""
    version: Version
    client: Client
    body: Body
    link: Link
    names: dict[str, str] = field(factory=dict)
    _whole: bytes | None = None

    def bytes(self) -> bytes:
        """Return the whole body, at most MAX_JSON_BYTES; a repeated call returns the same."""
        if self._whole is None:
            self._whole = self.body.rest(MAX_JSON_BYTES)
        return self._whole

    def stream(self, *, raw: bool = False) -> BinaryIO:
        """Return the body as a file, to be read as it comes; a raw one's reads are shorter, and spare a copy."""
        if self._whole is not None:
            return io.BytesIO(self._whole)
        body = _RawBody(self.body)
        return body if raw else io.BufferedReader(body, _BUFFER)  # type: ignore[return-value]

    def json(self, *, required: bool = False) -> dict[str, Any]:
        """Return the body as a JSON object, an empty one where there is none; Invalid in docker's words."""
        data = self.bytes()
        if not data:
            if required:
                raise Invalid("invalid JSON: got EOF while reading request body")
            return {}
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Invalid(
                f'unsupported Content-Type header ({kind}): must be "application/json"' if kind
                else "malformed Content-Type header (): mime: no media type"
            )  # fmt: skip
        try:
            # UTF-8 alone: whoever judges a body is to read what is read here.
            value = json.loads(data.decode(), parse_constant=_no_constant)
        except RecursionError:
            raise Invalid("invalid JSON: exceeded max depth") from None
        except ValueError as error:
            if str(error).startswith("Extra data"):
                raise Invalid("unexpected content after JSON") from None
            raise Invalid(f"invalid JSON: {error}") from None
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Invalid(f"invalid JSON: json: cannot unmarshal {_kind(value)} into an object")
        return value


class _RawBody(io.RawIOBase):
    """A body as a raw file."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size) if size >= 0 else self.readall()

    def readinto(self, buffer: Any) -> int:
        data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _no_constant(word: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and JSON doesn't have."""
    where = "in numeric literal" if word.startswith("-") else "looking for beginning of value"
    raise ValueError(f"invalid character '{word.lstrip('-')[0]}' {where}")


def _kind(value: object) -> str:
    return {list: "array", str: "string", bool: "bool"}.get(type(value), "number")


@frozen
class Reply:
    """An answer. A body of chunks is sent as they come; the head goes out with the first, an empty one too."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: tuple[tuple[str, str], ...] = ()


def reply_json(value: Any, status: int = 200) -> Reply:
    """Return an answer of JSON."""
    return Reply(status, encode(value) + b"\n", (("Content-Type", "application/json"),))


def encode(value: Any) -> bytes:
    """Return JSON, without spaces."""
    return _ENCODE(value).encode("utf-8", "replace")


def empty(status: int = 204) -> Reply:
    """Return an answer without a body."""
    return Reply(status)


def plain(text: str, status: int = 200) -> Reply:
    """Return an answer of text."""
    return Reply(status, text.encode(), (("Content-Type", "text/plain; charset=utf-8"),))


def stream(chunks: Iterator[bytes], kind: str) -> Reply:
    """Return an answer that comes in chunks."""
    return Reply(200, chunks, (("Content-Type", kind),))
