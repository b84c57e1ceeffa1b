"""What a front end looks up while it reads, by the same solving that its plan will go through."""

from collections.abc import Callable, Mapping
from typing import Any

from moby.contracts.images import Image
from moby.contracts.types import Digest, ImageReference
from moby.errors import Invalid
from moby.values import evolve, field, frozen
from moby_builder.dockerfile.effects.doing import Doing
from moby_builder.dockerfile.effects.reading import read_file
from moby_builder.dockerfile.frontend.plan import FoundImage
from moby_builder.dockerfile.operations import ImageSource, LayoutSource, Node
from moby_builder.dockerfile.solver.effects import Cancel, Tree
from moby_builder.dockerfile.solver.results import Results
from moby_builder.dockerfile.solver.solving import Solving
from moby_builder.dockerfile.solver.telling import Telling

__all__ = ["Looking"]

_DEEPEST = 100


@frozen
class Looking:
    """Looks things up for a front end."""

    solving: Callable[[Cancel], Solving]
    """Each look is by one of its own, since a front end goes on where it finds nothing."""
    doing: Doing
    results: Results
    telling: Telling
    cancel: Cancel
    _trees: dict[Digest, Tree] = field(factory=dict)
    """By digests of nodes, what was solved: one is read from several times."""

    def image(self, node: Node) -> FoundImage:
        """Find the image of a node."""
        source = node.operation
        if isinstance(source, ImageSource):
            reference = source.reference
        else:
            assert isinstance(source, LayoutSource), f"{source} is no image"
            reference = ImageReference("", source.store, digest=source.digest)
        with self.telling.errand(node.name, self.cancel) as watch:
            self.cancel.check()
            image = self.doing.image(node, watch)
            if _is_deeper(image.raw_config, _DEEPEST):
                raise Invalid(f"the config of {reference} is nested deeper than {_DEEPEST}", hint="use another image")
        return FoundImage(_pinned(reference, image), image.raw_config)

    def result(self, reference: str) -> Mapping[str, Any]:
        """Return the config of another build's result."""
        return self.results.get(reference).config

    def file(self, node: Node, path: str, most_bytes: int) -> bytes:
        """Read a file of what a node makes."""
        tree = self._trees.get(node.digest)
        if tree is None:
            with self.cancel.within() as cancel:
                (outcome,) = self.solving(cancel).solve(node)
            tree = self._trees[node.digest] = outcome.tree
        return read_file(self.doing.tools.workspace, tree, path, most_bytes)


def _is_deeper(value: object, most: int) -> bool:
    """Whether lists and objects are in each other so often that who walks through them could run out of stack."""
    level = [value]
    for _ in range(most):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [each for values in inner for each in values]
    return bool(level)


def _pinned(reference: ImageReference, image: Image) -> ImageReference:
    """Return a reference with the digest by which an image registry knows its image, where one does."""
    if reference.digest is not None:
        return reference
    same = [each for each in image.digests if (each.domain, each.path) == (reference.domain, reference.path)]
    return evolve(reference, digest=same[0].digest) if same else reference
