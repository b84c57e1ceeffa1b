"""Messages of the services that a client's session offers (fsutil.types, moby.filesync.v1, ..., containerd content)."""

from typing import Annotated

from attrs import Factory, define

__all__ = [
    "ERROR", "END", "DATA", "REQUEST", "STAT", "BlobInfo", "BlobInfoRequest", "BlobInfoResponse", "BlobRead",
    "BlobReadRequest", "BlobWrite", "BlobWritten", "Bytes", "CheckAgent", "CredentialsRequest", "CredentialsResponse",
    "GetSecret", "Packet", "Secret", "Stat",
]  # fmt: skip

STAT, REQUEST, DATA, END, ERROR = range(5)


@define
class Stat:
    """A file as fsutil describes it; its mode is Go's."""

    path: Annotated[str, 1] = ""
    mode: Annotated[int, 2] = 0
    uid: Annotated[int, 3] = 0
    gid: Annotated[int, 4] = 0
    size: Annotated[int, 5] = 0
    time_ns: Annotated[int, 6] = 0
    link: Annotated[str, 7] = ""
    major: Annotated[int, 8] = 0
    minor: Annotated[int, 9] = 0
    xattrs: Annotated[dict[str, bytes], 10] = Factory(dict)


@define
class Packet:
    """A step of a transfer of files; a STAT without a stat is the end of the list."""

    type: Annotated[int, 1] = STAT
    stat: Annotated[Stat | None, 2] = None
    id: Annotated[int, 3] = 0
    data: Annotated[bytes, 4] = b""


@define
class Bytes:
    """A piece of a stream."""

    data: Annotated[bytes, 1] = b""


@define
class GetSecret:
    """Which secret is wanted."""

    id: Annotated[str, 1] = ""


@define
class Secret:
    """A secret."""

    data: Annotated[bytes, 1] = b""


@define
class CheckAgent:
    """Whether there is an ssh agent."""

    id: Annotated[str, 1] = ""


@define
class CredentialsRequest:
    """Whose credentials are wanted."""

    host: Annotated[str, 1] = ""


@define
class CredentialsResponse:
    """They, or without a user's name an identity token."""

    username: Annotated[str, 1] = ""
    secret: Annotated[str, 2] = ""


@define
class BlobInfo:
    """A blob of a store."""

    digest: Annotated[str, 1] = ""
    size: Annotated[int, 2] = 0


@define
class BlobInfoRequest:
    """Which blob is asked for."""

    digest: Annotated[str, 1] = ""


@define
class BlobInfoResponse:
    """What is known of it."""

    info: Annotated[BlobInfo | None, 1] = None


@define
class BlobReadRequest:
    """Which part of a blob is wanted; a size of 0 is all."""

    digest: Annotated[str, 1] = ""
    offset: Annotated[int, 2] = 0
    size: Annotated[int, 3] = 0


@define
class BlobRead:
    """A piece of a blob."""

    offset: Annotated[int, 1] = 0
    data: Annotated[bytes, 2] = b""


@define
class BlobWrite:
    """A step of writing a blob: `action` 0 asks where it is, 1 writes, 2 commits."""

    action: Annotated[int, 1] = 0
    ref: Annotated[str, 2] = ""
    total: Annotated[int, 3] = 0
    expected: Annotated[str, 4] = ""
    offset: Annotated[int, 5] = 0
    data: Annotated[bytes, 6] = b""
    labels: Annotated[dict[str, str], 7] = Factory(dict)


@define
class BlobWritten:
    """Where it is now."""

    action: Annotated[int, 1] = 0
    offset: Annotated[int, 4] = 0
    digest: Annotated[str, 6] = ""
