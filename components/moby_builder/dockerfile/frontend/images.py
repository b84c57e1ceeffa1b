"""Images that stages name: looked up side by side, each once."""

from collections.abc import Iterable

from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import MobyError
from moby_builder.dockerfile.frontend.plan import FoundImage
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.operations import ImageSource, Node

__all__ = ["Images"]

_AT_ONCE = 8


class Images:
    """What was found of images, or why nothing was."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._found: dict[Digest, FoundImage | MobyError] = {}

    def fetch(self, wanted: Iterable[tuple[ImageReference, Platform]]) -> None:
        """Look up several images at the same time, since image registries take their while."""
        nodes = {node.digest: node for each in wanted if (node := self._node(*each)).digest not in self._found}
        if len(nodes) > 1:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="images") as pool:
                self._found |= dict(zip(nodes, pool.map(self._look_up, nodes.values()), strict=True))

    def find(self, reference: ImageReference, platform: Platform) -> FoundImage:
        """Return an image; whatever the lookup raised."""
        node = self._node(reference, platform)
        if node.digest not in self._found:
            self._found[node.digest] = self._look_up(node)
        found = self._found[node.digest]
        if isinstance(found, MobyError):
            raise found
        return found

    def _node(self, reference: ImageReference, platform: Platform) -> Node:
        several = f"{platform} " if self._around.several else ""
        return Node(
            ImageSource(reference, platform, self._around.request.pull),
            platform=platform,
            name=f"[{several}internal] load metadata for {reference}",
        )

    def _look_up(self, node: Node) -> FoundImage | MobyError:
        try:
            return self._around.lookup.image(node)
        except MobyError as error:
            return error
