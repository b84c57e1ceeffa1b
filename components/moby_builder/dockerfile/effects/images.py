"""Images as sources: found in the engine, or fetched for the one who builds."""

from contextlib import suppress

from moby.contracts.builder import Session
from moby.contracts.image_registry import Credentials
from moby.contracts.images import Image, Images
from moby.contracts.images import Progress as Told
from moby.contracts.types import ImageReference, Platform
from moby.errors import NotFound
from moby.oci.reference import familiar
from moby_builder.dockerfile.operations import ImageSource
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["find", "fits"]

_GOING = ("Downloading", "Extracting")
_DONE = {"Download complete": "downloading", "Pull complete": "extracting"}


def find(images: Images, source: ImageSource, session: Session, watch: Watch) -> Image:
    """Return the image that a reference names for a platform; fetched where it isn't here, or a newer one is wanted.

    NotFound, in BuildKit's words, where there is none; else whatever an image registry raises.
    """
    if not source.pull or source.reference.digest is not None:
        with suppress(NotFound):
            found = images.get(str(source.reference))
            if fits(found.platform, source.platform):
                return found
    return _fetch(images, source, session, watch)


def fits(platform: Platform, wanted: Platform) -> bool:
    """Whether what was made for one platform is what is wanted for another: a variant counts where both name one."""
    if (platform.os, platform.architecture) != (wanted.os, wanted.architecture):
        return False
    return platform.variant == wanted.variant or not platform.variant or not wanted.variant


def _fetch(images: Images, source: ImageSource, session: Session, watch: Watch) -> Image:
    reference = source.reference
    found: Image | None = None
    try:
        pulling = images.pull(reference, _credentials(session, reference), platform=source.platform)
        for told in pulling:
            watch.cancel.check()
            _tell(told, watch)
            found = told.image or found
    except NotFound as error:
        raise NotFound(
            f"{familiar(reference)}: failed to resolve source metadata for {reference}: {error.message}",
            hint=error.hint,
        ) from error
    return found or images.get(str(reference))


def _credentials(session: Session, reference: ImageReference) -> Credentials | None:
    with suppress(NotFound):
        return session.credentials(reference.domain)
    return None


def _tell(told: Told, watch: Watch) -> None:
    """Pass on what goes on with layers: that they come, and that they are unpacked."""
    if told.status in _GOING:
        watch.progress(f"{told.status.lower()} {told.id}", told.current, told.total)
    elif told.status in _DONE:
        watch.progress(f"{_DONE[told.status]} {told.id}", done=True)
