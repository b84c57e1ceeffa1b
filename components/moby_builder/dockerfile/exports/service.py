"""Exports of what a build was solved to, one after another."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from moby.contracts.builder import CacheExport, CacheWritten, Export, Exported, ExportType, Session
from moby.contracts.content import Content, Lease
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Image, Images
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby.contracts.types import ImageReference
from moby.errors import Invalid, Unsupported
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.digest import CHUNK_BYTES
from moby.oci.times import nano
from moby.values import evolve
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.exports.archives import archive
from moby_builder.dockerfile.exports.attesting import Attesting
from moby_builder.dockerfile.exports.caches.mounts import CarriedMounts
from moby_builder.dockerfile.exports.caches.writing import Writing
from moby_builder.dockerfile.exports.early import EarlyLayers
from moby_builder.dockerfile.exports.images import Making, Outgoing
from moby_builder.dockerfile.exports.layers import Layers, chunks
from moby_builder.dockerfile.exports.options import Options, Place, options_of
from moby_builder.dockerfile.exports.packed import Packed
from moby_builder.dockerfile.exports.sending import Sending
from moby_builder.dockerfile.exports.solution import Begin, Solution
from moby_builder.dockerfile.exports.times import Times
from moby_builder.dockerfile.solver.effects import Tree, Watch
from moby_builder.folders.parts import Part, Parts, archived

__all__ = ["Exporting"]

_TITLES = {
    ExportType.IMAGE: "exporting to image", ExportType.OCI: "exporting to oci image format",
    ExportType.DOCKER: "exporting to docker image format", ExportType.TAR: "exporting to client tarball",
    ExportType.LOCAL: "exporting to client directory",
}  # fmt: skip


class Exporting:
    """Exports what builds were solved to."""

    def __init__(
        self,
        images: Images,
        content: Content,
        snapshotter: Snapshotter,
        registry: ImageRegistry,
        metadata: Metadata,
        workspace: Workspace,
        mounts: CarriedMounts,
    ) -> None:
        self._images = images
        self._content = content
        self._registry = registry
        self._workspace = workspace
        times = Times(snapshotter, metadata)
        self._layers = Layers(images, content, snapshotter, times, metadata.bucket("builder/blobs"))
        self._making = Making(images, content, self._layers)
        self._attesting = Attesting(workspace)
        self._writing = Writing(self._layers, content, registry, mounts)

    def early(self) -> EarlyLayers:
        """Return what writes the layers of a build that is going on, to be closed at its end."""
        return EarlyLayers(self._images, self._content)

    def export(
        self,
        solution: Solution,
        exports: Sequence[Export],
        caches: Sequence[CacheExport],
        session: Session,
        begin: Begin,
    ) -> tuple[Exported, ...]:
        """Give a solution away in each way that is asked for; what came of caches is last, where there are some."""
        wanted = [(each, options_of(each, solution.epoch_s)) for each in exports]  # all are looked at first
        self._writing.check(caches)
        self._attesting.check(solution)
        done = []
        for export, options in wanted:
            with begin(_TITLES[export.type]) as watch:
                done.append(self._export(solution, export, options, caches, session, watch))
        written: list[CacheWritten] = []
        for cache in caches:
            if cache.type != "inline":
                with begin(f"exporting cache to {cache.type}") as watch:
                    found = self._writing.write(solution, cache, session, watch)
                    written += [found] if found is not None else []
        return (*done, *([Exported(cache=tuple(written))] if caches else []))

    def _export(
        self,
        solution: Solution,
        export: Export,
        options: Options,
        caches: Sequence[CacheExport],
        session: Session,
        watch: Watch,
    ) -> Exported:
        if export.type in (ExportType.TAR, ExportType.LOCAL):
            return self._files(solution, export, options, session, watch)
        names = [references.parse(each) for each in export.names]
        attested = self._attesting.wanted(solution, export.type)
        inline = any(each.type == "inline" for each in caches)
        outgoing = [
            Outgoing(
                each, self._writing.inline(each) if inline else {},
                partial(self._attesting.statements, solution, each, names) if attested else tuple,
            )
            for each in solution.targets
        ]  # fmt: skip
        if not outgoing:
            raise Invalid("there is nothing to be exported")
        if any(options.annotated(Place.INDEX)) and len(outgoing) == 1 and not attested:
            raise Invalid("index annotations not supported for single platform export")
        if export.type is ExportType.IMAGE:
            return self._image(solution, outgoing, names, export, options, session, watch)
        return self._archive(outgoing, names, export, options, session, watch)

    # Images

    def _image(
        self,
        solution: Solution,
        outgoing: Sequence[Outgoing],
        names: Sequence[ImageReference],
        export: Export,
        options: Options,
        session: Session,
        watch: Watch,
    ) -> Exported:
        """Make images of the engine, unless they aren't to be stored, and send them where they are to be sent."""
        if options.canonical or options.dangling_prefix:
            raise Unsupported(
                "only images from image registries have names with digests in the engine",
                hint="use name-canonical and dangling-name-prefix with archives",
            )
        if export.push and not names:
            raise Invalid("tag is needed when pushing to registry", hint="give the image a name")
        if not options.store and not export.push:
            raise Invalid("an image that is neither stored nor pushed would be nowhere", hint="leave store=false out")
        shown = tuple(str(each) for each in names)
        done, stored = Exported(names=shown), None
        if options.store:
            images = self._making.adopt(outgoing, names, options, watch)
            stored = self._images.get(shown[0]) if names and export.push else None
            done = Exported(images[0].id, images[0].digest, names=shown)
            if export.push and not (len(images) > 1 or self._attesting.wanted(solution)) and options.is_plain:
                return self._pushed(images[0], names, session, watch)
        if export.push:
            with self._content.lease() as lease:
                packed = self._pack(solution, outgoing, options, lease, watch)
                for name in names:
                    who = session.credentials(name.domain)
                    sending = Sending(self._registry, name, who, self._layers.open, watch)
                    sending.send(packed, by_digest=options.by_digest)
                    if stored is not None and not options.by_digest:
                        self._images.published(stored, name, packed.descriptor.digest)
                done = _exported(packed, shown)
        return done

    def _pushed(self, image: Image, names: Sequence[ImageReference], session: Session, watch: Watch) -> Exported:
        """Have the engine send its own image, which then knows the digest that it has there."""
        done = Exported(image.id, image.digest, names=tuple(str(each) for each in names))
        for name in names:
            for progress in self._images.push(name, session.credentials(name.domain)):
                watch.cancel.check()
                if progress.id:
                    watch.progress(f"pushing {progress.id}", progress.current, progress.total)
                if progress.sent is not None:
                    said = f"pushing manifest for {references.familiar(name)}@{progress.sent.digest}"
                    watch.progress(said, done=True)
                    sent = progress.sent
                    done = evolve(done, digest=sent.digest, media_type=formats.MANIFEST, size_bytes=sent.size_bytes)
        return done

    def _pack(
        self, solution: Solution, outgoing: Sequence[Outgoing], options: Options, lease: Lease, watch: Watch
    ) -> Packed:
        if self._attesting.wanted(solution):
            options = evolve(options, oci=True)  # Docker's own types have no attestations
        return self._making.pack(outgoing, options, lease, watch)

    def _archive(
        self,
        outgoing: Sequence[Outgoing],
        names: Sequence[ImageReference],
        export: Export,
        options: Options,
        session: Session,
        watch: Watch,
    ) -> Exported:
        """Give images as an archive, or as blobs into a store of the client's."""
        docker = export.type is ExportType.DOCKER
        with self._content.lease() as lease:
            packed = self._making.pack(outgoing, options, lease, watch)
            if docker and packed.top is not packed.images[0].manifest:
                raise Unsupported("docker exporter does not currently support exporting manifest lists")
            named = _named(names, packed, options)
            if export.store:
                self._store(packed, export.store, session, watch)
            else:
                times = [] if options.epoch_s is None else [nano(options.epoch_s * 1_000_000_000)]
                reader = archive(
                    packed, named, self._layers.open, docker=docker, created="".join(times),
                    annotations=options.annotated(Place.INDEX_DESCRIPTOR),
                )  # fmt: skip
                watch.progress("sending tarball")
                with reader, session.deliver_stream(export.number) as out:
                    while chunk := reader.read(CHUNK_BYTES):
                        watch.cancel.check()
                        out.write(chunk)
                watch.progress("sending tarball", done=True)
            return _exported(packed, tuple(str(each) for each in named))

    def _store(self, packed: Packed, store: str, session: Session, watch: Watch) -> None:
        """Write all blobs into a store of the client's."""
        blobs = session.blobs(store)
        for each in packed.layers():
            with self._layers.open(each) as file:
                blobs.write(each.digest, each.size_bytes, chunks(file))
            watch.cancel.check()
        for document in packed.documents():
            blobs.write(document.descriptor.digest, document.descriptor.size_bytes, iter([document.data]))

    # Files

    def _files(self, solution: Solution, export: Export, options: Options, session: Session, watch: Watch) -> Exported:
        """Give trees of files, each in a folder of its own where there are several."""
        split = len(solution.targets) > 1 if options.split is None else options.split
        if not split and len(solution.targets) > 1:
            raise Invalid("several platforms need a folder each", hint="leave platform-split=false out")
        with ExitStack() as held:
            parts = []
            for each in solution.targets:
                root = held.enter_context(self._workspace.reading(Tree(each.snapshot)))
                files = self._attesting.files(solution, each, root, options.attestation_prefix)
                parts.append(Part(root, str(each.platform).replace("/", "_") if split else "", files))
            given = Parts(parts, options.epoch_s)
            if export.type is ExportType.LOCAL:
                watch.progress("copying files")
                session.deliver_folder(export.number, given)
                watch.progress("copying files", done=True)
                return Exported()
            watch.progress("sending tarball")
            with archived(given) as reader, session.deliver_stream(export.number) as out:
                while chunk := reader.read(CHUNK_BYTES):
                    watch.cancel.check()
                    out.write(chunk)
            watch.progress("sending tarball", done=True)
        return Exported()


def _named(names: Sequence[ImageReference], packed: Packed, options: Options) -> list[ImageReference]:
    """Return the names that an archive gives its image, those with its digest included."""
    digest = packed.descriptor.digest
    found = list(names)
    if options.canonical:
        found += [evolve(each, tag="", digest=digest) for each in names]
    if not names and options.dangling_prefix:
        found.append(evolve(references.parse(options.dangling_prefix, default_tag=False), digest=digest))
    return found


def _exported(packed: Packed, names: tuple[str, ...]) -> Exported:
    found = packed.descriptor
    return Exported(packed.images[0].config.descriptor.digest, found.digest, found.media_type, found.size_bytes, names)
