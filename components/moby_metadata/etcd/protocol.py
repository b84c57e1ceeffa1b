"""Messages of etcd's services KV and Lease (etcd 3.5, etcdserverpb), as far as they are used."""

from typing import Annotated

from attrs import Factory, define

__all__ = [
    "CREATED", "VALUE", "Compare", "Deletion", "Deleted", "Done", "Found", "Grant", "Granted", "Group", "Grouped",
    "Happened", "Operation", "Part", "Put", "Range", "Revoke", "Row", "Transaction",
]  # fmt: skip

CREATED, VALUE = 1, 3
"""What is compared of a key: the revision that made it, or its value."""


@define
class Range:
    """RangeRequest; rows come in the order of their keys."""

    key: Annotated[bytes, 1] = b""
    range_end: Annotated[bytes, 2] = b""
    limit: Annotated[int, 3] = 0
    revision: Annotated[int, 4] = 0
    keys_only: Annotated[bool, 8] = False


@define
class Header:
    """ResponseHeader."""

    revision: Annotated[int, 3] = 0


@define
class Row:
    """KeyValue."""

    key: Annotated[bytes, 1] = b""
    value: Annotated[bytes, 5] = b""


@define
class Found:
    """RangeResponse."""

    header: Annotated[Header | None, 1] = None
    rows: Annotated[list[Row], 2] = Factory(list)


@define
class Put:
    """PutRequest."""

    key: Annotated[bytes, 1] = b""
    value: Annotated[bytes, 2] = b""
    lease: Annotated[int, 3] = 0


@define
class Deletion:
    """DeleteRangeRequest."""

    key: Annotated[bytes, 1] = b""


@define
class Deleted:
    """DeleteRangeResponse."""

    deleted: Annotated[int, 2] = 0


@define
class Operation:
    """RequestOp, one of these."""

    range: Annotated[Range | None, 1] = None
    put: Annotated[Put | None, 2] = None
    delete: Annotated[Deletion | None, 3] = None


@define
class Happened:
    """ResponseOp."""

    range: Annotated[Found | None, 1] = None
    delete: Annotated[Deleted | None, 3] = None


@define
class Compare:
    """Whether what is compared of a key is equal to this; a key that isn't there was made by revision 0."""

    target: Annotated[int, 2] = CREATED
    key: Annotated[bytes, 3] = b""
    value: Annotated[bytes, 7] = b""


@define
class Transaction:
    """TxnRequest."""

    compare: Annotated[list[Compare], 1] = Factory(list)
    success: Annotated[list[Operation], 2] = Factory(list)
    failure: Annotated[list[Operation], 3] = Factory(list)


@define
class Group:
    """TxnRequest, inside another one."""

    success: Annotated[list[Operation], 2] = Factory(list)


@define
class Part:
    """RequestOp that is a transaction."""

    group: Annotated[Group | None, 4] = None


@define
class Grouped:
    """TxnRequest of several."""

    compare: Annotated[list[Compare], 1] = Factory(list)
    success: Annotated[list[Part], 2] = Factory(list)


@define
class Done:
    """TxnResponse."""

    succeeded: Annotated[bool, 2] = False
    responses: Annotated[list[Happened], 3] = Factory(list)


@define
class Grant:
    """LeaseGrantRequest."""

    seconds: Annotated[int, 1] = 0


@define
class Granted:
    """LeaseGrantResponse."""

    id: Annotated[int, 2] = 0


@define
class Revoke:
    """LeaseRevokeRequest; its answer is read as one that has no fields."""

    id: Annotated[int, 1] = 0
