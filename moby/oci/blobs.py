"""Blobs written into a store of content: whole, or not at all."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from moby.contracts.content import Blob, Content, Lease, Writer

__all__ = ["writing", "written"]


@contextmanager
def writing(content: Content, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
    """Lend a blob's writer (see the contract); what came is dropped where the block fails."""
    with content.writer(ref, lease, algorithm=algorithm) as writer:
        try:
            yield writer
        except BaseException:
            writer.abort()
            raise


def written(content: Content, ref: str, lease: Lease, chunks: Iterable[bytes]) -> Blob:
    """Write a blob down, which the lease keeps."""
    with writing(content, ref, lease) as writer:
        for chunk in chunks:
            writer.write(chunk)
        return writer.commit()
