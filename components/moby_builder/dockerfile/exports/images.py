"""Images on their way out of a build: adopted by the engine, or packed for elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from moby.contracts.content import Content, Lease
from moby.contracts.images import Image, Images
from moby.contracts.types import ImageReference, Platform
from moby.values import evolve
from moby_builder.dockerfile.exports.archives import archive
from moby_builder.dockerfile.exports.configs import dumped, filled
from moby_builder.dockerfile.exports.layers import Layers
from moby_builder.dockerfile.exports.options import Compression, Options, Place
from moby_builder.dockerfile.exports.packed import Packed, Statement, pack, packed_image
from moby_builder.dockerfile.exports.solution import Solved
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["Making", "Outgoing"]


@frozen
class Outgoing:
    """A target on its way out, with what else its image is to have."""

    solved: Solved
    more: Mapping[str, Any]
    """Further keys of its config."""
    statements: Callable[[], Sequence[Statement]]
    """What is attested of it, made when it is asked for."""


class Making:
    """Makes images of what was built."""

    def __init__(self, images: Images, content: Content, layers: Layers) -> None:
        self._images = images
        self._content = content
        self._layers = layers

    def pack(self, outgoing: Sequence[Outgoing], options: Options, lease: Lease, watch: Watch) -> Packed:
        """Pack images with their layers as options want them, whose blobs the lease keeps."""
        found = []
        watch.progress("exporting layers")
        for each in outgoing:
            solved = each.solved
            layers = self._layers.blobs(solved.snapshot, solved.base, options, lease, watch.cancel)
            times = [blob.created_ns for blob in layers]
            config = {**filled(solved.config, times, options.epoch_s), **each.more}
            text = dumped(config, [blob.diff_id for blob in layers])
            found.append(packed_image(solved.platform, text, layers, options, each.statements()))
        watch.progress("exporting layers", done=True)
        packed = pack(found, options)
        for image in packed.images:
            _say(watch, f"exporting manifest {image.manifest.descriptor.digest}")
            _say(watch, f"exporting config {image.config.descriptor.digest}")
            for document in image.attestation[1:]:
                _say(watch, f"exporting attestation manifest {document.descriptor.digest}")
        if packed.top is not packed.images[0].manifest:
            _say(watch, f"exporting manifest list {packed.descriptor.digest}")
        return packed

    def adopt(
        self, outgoing: Sequence[Outgoing], names: Sequence[ImageReference], options: Options, watch: Watch
    ) -> tuple[Image, ...]:
        """Make images of the engine; names go to the host's platform, or else to the first one."""
        host = Platform.host()
        named = next((each for each in outgoing if each.solved.platform == host), outgoing[0])
        found = []
        for each in outgoing:
            watch.cancel.check()
            given = names if each is named else ()
            image = (
                self._loaded(each, given, options, watch)
                if options.rewrite
                else self._adopted(each, given, options, watch)
            )
            _say(watch, f"writing image {image.id}")
            found.append(image)
        for name in names:
            # As docker says it, whose clients write a name without a tag where none is given.
            _say(watch, f"naming to {str(name).removesuffix(':latest')}")
        return tuple(found)

    def _adopted(self, outgoing: Outgoing, names: Sequence[ImageReference], options: Options, watch: Watch) -> Image:
        solved = outgoing.solved
        watch.progress("exporting layers")
        config = {**filled(solved.config, self._layers.created_ns(solved.snapshot), options.epoch_s), **outgoing.more}
        annotations = options.annotated(Place.MANIFEST, solved.platform)
        image = self._images.adopt(solved.snapshot, config, names, annotations=annotations)
        watch.progress("exporting layers", done=True)
        return image

    def _loaded(self, outgoing: Outgoing, names: Sequence[ImageReference], options: Options, watch: Watch) -> Image:
        """Make an image whose layers are others than the snapshots: as an archive that is loaded."""
        plain = evolve(options, compression=Compression.UNCOMPRESSED, oci=True)
        bare = evolve(outgoing, statements=tuple)
        with self._content.lease() as lease:
            packed = self.pack([bare], plain, lease, watch)
            with archive(packed, names, self._layers.open, docker=True) as reader:
                for progress in self._images.load(reader, platform=outgoing.solved.platform):
                    watch.cancel.check()
                    if progress.image is not None:
                        found = progress.image
        return found


def _say(watch: Watch, name: str) -> None:
    watch.progress(name)
    watch.progress(name, done=True)
