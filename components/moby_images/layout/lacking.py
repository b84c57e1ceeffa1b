"""What a plain layout never does: it serves an engine that lends a root to a container that it waits for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NoReturn

from moby.contracts.content import Lease
from moby.contracts.images import (
    Change,
    Filters,
    Fixture,
    HistoryStep,
    Image,
    ImageConfig,
    ImageUsage,
    Progress,
    Pruned,
    RootSizes,
    StoredLayer,
)
from moby.contracts.types import Digest, ImageReference, Mount, Platform
from moby.errors import Unsupported

__all__ = ["Lacking"]


def _refuse(what: str) -> NoReturn:
    raise Unsupported(f"images/layout never does this: {what}", hint="choose the part images/store")


class Lacking:
    """The methods of the contract that a layout hasn't."""

    def history(self, name: str) -> tuple[HistoryStep, ...]:
        """Refuse."""
        _refuse("history")

    def prune(self, filters: Filters | None = None) -> Pruned:
        """Refuse."""
        _refuse("prune")

    def pull(self, reference: ImageReference, *_: Any, **__: Any) -> Iterator[Progress]:
        """Refuse."""
        _refuse("pull")

    def describe(self, reference: ImageReference, *_: Any, **__: Any) -> Image:
        """Refuse."""
        _refuse("pull")

    def push(self, reference: ImageReference, *_: Any, **__: Any) -> Iterator[Progress]:
        """Refuse."""
        _refuse("push")

    def published(self, image: Image, reference: ImageReference, digest: Digest) -> None:
        """Refuse."""
        _refuse("push")

    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        """Refuse."""
        _refuse("load")

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """Refuse."""
        _refuse("save")

    def import_(self, stream: BinaryIO, reference: ImageReference | None = None, **_: Any) -> Image:
        """Refuse."""
        _refuse("import")

    def prepare(self, container_id: str, image: Image, *, skeleton: Sequence[Fixture] = ()) -> tuple[Mount, ...]:
        """Refuse."""
        _refuse("a layer for a container that stays")

    def mounts(self, container_id: str) -> tuple[Mount, ...]:
        """Refuse."""
        _refuse("a layer for a container that stays")

    def release(self, container_id: str) -> None:
        """Release what was never prepared."""

    def prepared(self) -> Mapping[str, Digest]:
        """Return none."""
        return {}

    def changes(self, container_id: str) -> tuple[Change, ...]:
        """Refuse."""
        _refuse("changes of a container")

    def export(self, container_id: str) -> Iterator[bytes]:
        """Refuse."""
        _refuse("export of a container")

    def sizes(self, container_id: str) -> RootSizes:
        """Refuse."""
        _refuse("sizes of a container")

    def commit(
        self,
        container_id: str,
        reference: ImageReference | None = None,
        *,
        config: ImageConfig | None = None,
        **_: Any,
    ) -> Image:
        """Refuse."""
        _refuse("commit")

    def snapshot(self, image: Image, key: str = "") -> str:
        """Refuse."""
        _refuse("snapshots")

    def layers(self, snapshot: str, lease: Lease) -> tuple[StoredLayer, ...]:
        """Refuse."""
        _refuse("snapshots")

    def unpack(self, layers: Sequence[StoredLayer], key: str) -> None:
        """Refuse."""
        _refuse("snapshots")

    def adopt(
        self, snapshot: str, config: Mapping[str, Any], references: Sequence[ImageReference] = (), **_: Any
    ) -> Image:
        """Refuse."""
        _refuse("snapshots")

    def collect(self) -> int:
        """Return nothing: there is no more than what images have."""
        return 0

    def usage(self) -> tuple[ImageUsage, ...]:
        """Refuse."""
        _refuse("usage")

    def layers_bytes(self) -> int:
        """Refuse."""
        _refuse("usage")
