"""Messages of containerd's service of snapshots (containerd 1.7, api/services/snapshots), as far as they are used."""

from typing import Annotated

from attrs import Factory, define

__all__ = ["Begin", "Commit", "Empty", "Info", "Key", "Listed", "Mount", "Mounts", "Wanted"]


@define
class Empty:
    """Nothing."""


@define
class Begin:
    """PrepareSnapshotRequest and ViewSnapshotRequest."""

    snapshotter: Annotated[str, 1] = ""
    key: Annotated[str, 2] = ""
    parent: Annotated[str, 3] = ""
    labels: Annotated[dict[str, str], 4] = Factory(dict)


@define
class Commit:
    """CommitSnapshotRequest."""

    snapshotter: Annotated[str, 1] = ""
    name: Annotated[str, 2] = ""
    key: Annotated[str, 3] = ""
    labels: Annotated[dict[str, str], 4] = Factory(dict)


@define
class Key:
    """MountsRequest and RemoveSnapshotRequest."""

    snapshotter: Annotated[str, 1] = ""
    key: Annotated[str, 2] = ""


@define
class Wanted:
    """ListSnapshotsRequest."""

    snapshotter: Annotated[str, 1] = ""
    filters: Annotated[list[str], 2] = Factory(list)


@define
class Info:
    """What is known of a snapshot."""

    name: Annotated[str, 1] = ""


@define
class Listed:
    """ListSnapshotsResponse, of which there are several."""

    info: Annotated[list[Info], 1] = Factory(list)


@define
class Mount:
    """containerd.types.Mount."""

    type: Annotated[str, 1] = ""
    source: Annotated[str, 2] = ""
    options: Annotated[list[str], 4] = Factory(list)


@define
class Mounts:
    """PrepareSnapshotResponse, ViewSnapshotResponse and MountsResponse."""

    mounts: Annotated[list[Mount], 1] = Factory(list)
