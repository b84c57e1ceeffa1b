"""The inputs of a node in the making."""

from moby_builder.dockerfile.frontend.stages import Site
from moby_builder.dockerfile.operations import EmptySource, Node

__all__ = ["Inputs"]


class Inputs:
    """Numbers the inputs of a stage's next step: 0 is the root that it works on."""

    def __init__(self, site: Site, *, empty: bool = False) -> None:
        assert site.platform is not None
        self.platform = site.platform
        root = Node(EmptySource(), platform=site.platform) if empty else site.root
        self._nodes = [root]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of them."""
        return tuple(self._nodes)

    def add(self, node: Node) -> int:
        """Return the number of an input, which the same node has only once."""
        for number, each in enumerate(self._nodes[1:], 1):
            if each is node:
                return number
        self._nodes.append(node)
        return len(self._nodes) - 1
