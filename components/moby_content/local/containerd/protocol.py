"""Messages of containerd's service of content (containerd 1.7, api/services/content), as far as they are used here."""

from typing import Annotated

from attrs import Factory, define

__all__ = ["COMMIT", "WRITE", "Empty", "Info", "InfoOf", "Listed", "Of", "Part", "Range", "Write", "Written"]

WRITE, COMMIT = 1, 2


@define
class Empty:
    """Nothing."""


@define
class Info:
    """What is known of a blob."""

    digest: Annotated[str, 1] = ""
    size: Annotated[int, 2] = 0


@define
class Of:
    """InfoRequest and DeleteContentRequest."""

    digest: Annotated[str, 1] = ""


@define
class InfoOf:
    """InfoResponse."""

    info: Annotated[Info | None, 1] = None


@define
class Listed:
    """ListContentResponse, of which there are several."""

    info: Annotated[list[Info], 1] = Factory(list)


@define
class Range:
    """ReadContentRequest."""

    digest: Annotated[str, 1] = ""


@define
class Part:
    """ReadContentResponse, of which there are several."""

    data: Annotated[bytes, 2] = b""


@define
class Write:
    """WriteContentRequest, of which there are several."""

    action: Annotated[int, 1] = 0
    ref: Annotated[str, 2] = ""
    total: Annotated[int, 3] = 0
    expected: Annotated[str, 4] = ""
    offset: Annotated[int, 5] = 0
    data: Annotated[bytes, 6] = b""
    labels: Annotated[dict[str, str], 7] = Factory(dict)


@define
class Written:
    """WriteContentResponse, of which there are several."""

    offset: Annotated[int, 4] = 0
