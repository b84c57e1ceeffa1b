"""What stages begin with: images, contexts, other stages, nothing; and the triggers that come along."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from moby.contracts.builder import BuildFailed
from moby.contracts.types import ImageReference, Platform
from moby.errors import Denied, Invalid, MobyError, NotFound, Unavailable
from moby.oci import reference as references
from moby.values import evolve
from moby_builder.dockerfile.frontend.contexts import Found
from moby_builder.dockerfile.frontend.drafts import DEFAULT_PATH, Draft
from moby_builder.dockerfile.frontend.images import Images
from moby_builder.dockerfile.frontend.naming import counted
from moby_builder.dockerfile.frontend.stages import SCRATCH, Site, Sites, needed
from moby_builder.dockerfile.frontend.surroundings import Surroundings
from moby_builder.dockerfile.language.failures import place
from moby_builder.dockerfile.language.instructions import Instruction, OnBuild
from moby_builder.dockerfile.language.spelling import suggestion
from moby_builder.dockerfile.operations import Copy, CopySource, EmptySource, ImageSource, Node

__all__ = ["Bases", "begin", "settle"]

_USUAL = ("alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora")
"""Images whose names are misspelled."""


class Bases:
    """Finds what stages begin with."""

    def __init__(self, sites: Sites, around: Surroundings, parse: Callable[[str, Site], Instruction]) -> None:
        self._sites = sites
        self._around = around
        self._parse = parse
        self._images = Images(around)

    def find(self, targets: list[Site]) -> set[Site]:
        """Find the bases of all that some stages need, which triggers may make more; return them."""
        while True:
            found = needed(targets)
            waiting = [site for site in self._ordered(found) if not site.based]
            if not waiting:
                return found
            self._images.fetch(self._wanted(waiting))
            for site in waiting:
                site.based = True
                self._begin(site)

    def _ordered(self, found: set[Site]) -> list[Site]:
        return [site for site in (*self._sites.stages, *self._sites.implied) if site in found]

    def _begin(self, site: Site) -> None:
        if site.base is not None:
            self._trigger(site, [each.trigger for each in _on_build(site.base)])
            return
        platform = site.platform or self._around.platform
        name = site.context or site.origin.base
        site.platform = platform
        site.done = site.implied
        if name == SCRATCH and site.context is None:
            site.draft = Draft.empty(self._around.platform)
            site.root = Node(EmptySource(), platform=platform)
            site.platform = self._around.platform
            return
        with place("", "", site.origin.written.range):
            context = self._around.contexts.named(_whole(name), platform)
        if context is not None:
            self._take(site, context)
        else:
            self._take_image(site)
        triggers = site.draft.config.pop("OnBuild", None)
        if not site.done:
            self._trigger(site, triggers or [])

    def _take(self, site: Site, context: Found) -> None:
        """Begin with a named context, or be one."""
        assert site.platform is not None
        site.done = site.implied or site.context is not None
        site.folder = context.folder
        site.root = context.node
        document = context.document or {}
        if document:
            site.draft = Draft(document)
        else:
            site.draft = Draft.empty(site.platform)
        site.loose = context.document is None and not isinstance(context.node.operation, EmptySource)

    def _wanted(self, sites: list[Site]) -> Iterator[tuple[ImageReference, Platform]]:
        """Yield the images that stages begin with, where it is clear that they are some."""
        for site in sites:
            platform = site.platform or self._around.platform
            base = site.origin.base
            own = site.base is not None or site.context is not None or base == SCRATCH
            if not own and not self._around.contexts.knows(_whole(base), platform):
                with suppress(Invalid):
                    yield references.parse(base), platform

    def _take_image(self, site: Site) -> None:
        platform = site.platform
        assert platform is not None
        reference = self._reference(site)
        try:
            found = self._images.find(reference, platform)
        except (NotFound, Denied) as error:
            raise self._failed(site, reference, error) from error
        except Unavailable as error:  # which is no fault of the file
            raise Unavailable(f"{_unresolved(site, reference)}: {error.message}", hint=error.hint) from error
        site.draft = Draft(found.config)
        site.found_for = Platform(found.config.get("os", ""), found.config.get("architecture", ""))
        if _is_empty(found.config):
            site.root = Node(EmptySource(), platform=platform)
            return
        shown = found.reference if found.reference.digest is None else evolve(found.reference, tag=reference.tag)
        site.root = Node(
            ImageSource(found.reference, platform),
            platform=platform,
            name=counted(site, f"FROM {shown}", self._around),
            ranges=site.where,
        )

    def _reference(self, site: Site) -> ImageReference:
        base = site.origin.base
        try:
            return references.parse(base)
        except Invalid as error:
            path = base.rpartition("/")[2] if "/" in base else base
            reason = f": repository name ({path}) must be lowercase" if path != path.lower() else ""
            message = f'failed to parse stage name "{base}": invalid reference format{reason}'
            raise BuildFailed(message, ranges=site.where) from error

    def _failed(self, site: Site, reference: ImageReference, error: MobyError) -> BuildFailed:
        base = site.origin.base
        meant = suggestion(base, [*self._sites.names(), *_USUAL, *(f"{each}:latest" for each in _USUAL)])
        return BuildFailed(
            f"{_unresolved(site, reference)}: {error.message}{meant}", ranges=site.where, hint=error.hint
        )

    def _trigger(self, site: Site, triggers: list[str]) -> None:
        """Put the triggers of what a stage begins with before its own instructions."""
        tasks = [self._sites.task(self._parse(text, site)) for text in triggers]
        site.tasks = [*tasks, *site.tasks]


def _unresolved(site: Site, reference: ImageReference) -> str:
    return f"{site.origin.base}: failed to resolve source metadata for {reference}"


def begin(site: Site, epoch_s: int | None) -> None:
    """Make a stage ready for its instructions, once what it begins with is done."""
    if site.base is not None:
        site.root = site.base.root
        site.platform = site.base.platform
        site.draft = site.base.draft.copy()
        site.draft.config.pop("OnBuild", None)
        site.environment = dict(site.base.environment)
        site.folder, site.loose = site.base.folder, site.base.loose
    settle(site, epoch_s)
    if "PATH" not in site.draft.variables():
        site.draft.set_variable("PATH", DEFAULT_PATH)
    if site.base is None:
        site.inherited = site.draft.variables()
    for name, value in site.draft.variables().items():
        site.set_variable(name, value)


def _on_build(site: Site) -> list[OnBuild]:
    return [each.instruction for each in site.tasks if isinstance(each.instruction, OnBuild)]


def _whole(name: str) -> str:
    """Return an image's name with its tag, or what isn't one as it is."""
    try:
        return str(references.parse(name))
    except Invalid:
        return name


def settle(site: Site, epoch_s: int | None) -> None:
    """Make a root of a stage's files where they are none yet: those of a context that is no image."""
    if not site.loose:
        return
    if site.folder is not None:
        site.folder.use("/")
    assert site.platform is not None
    empty = Node(EmptySource(), platform=site.platform)
    operation = Copy((CopySource(1, "/"),), "/", require=False)
    name = site.root.name
    site.root = Node(operation, (empty, site.root), site.platform, name=name, ranges=site.where)
    site.draft.record(name, layer=True, epoch_s=epoch_s)
    site.loose, site.folder = False, None


def _is_empty(document: Mapping[str, Any]) -> bool:
    """Whether an image has no layers."""
    layers = (document.get("rootfs") or {}).get("diff_ids")
    return not layers and all(each.get("empty_layer") for each in document.get("history") or ())
