"""Images, from the engine to buildah and back; in between each is an archive as `docker save` writes it."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from moby.contracts.builder import Session
from moby.contracts.images import Image, Images
from moby.contracts.types import ImageReference
from moby.errors import NotFound
from moby.oci.reference import familiar, parse
from moby_builder.buildah.tool import Tool

__all__ = ["Stock"]


class Stock:
    """The images of both."""

    def __init__(self, tool: Tool, images: Images, folder: Path) -> None:
        self._tool = tool
        self._images = images
        self._folder = folder

    def bring(self, name: str, session: Session, *, pull: bool) -> None:
        """Let buildah have an image of the engine, which fetches it where it isn't there, or for `pull`.

        NotFound and whatever fetching raises.
        """
        reference = parse(name)
        image = None if pull else self._known(name)
        if image is None:
            for _ in self._images.pull(reference, session.credentials(reference.domain)):
                pass
            image = self._images.get(name)
        if image.id.hex not in self._ids():
            with self._archive() as path:
                with path.open("wb") as file:
                    for chunk in self._images.save([str(image.id)]):
                        file.write(chunk)
                self._tool.call("pull", "--quiet", f"docker-archive:{path}")
        if not reference.digest:
            self._tool.call("tag", image.id.hex, str(reference))

    def described(self, reference: ImageReference, session: Session, *, pull: bool) -> Image:
        """Return the engine's image of a name; where it has none, or for `pull`, the one of an image registry."""
        image = None if pull else self._known(str(reference))
        return image or self._images.describe(reference, session.credentials(reference.domain))

    def has(self, image_id: str) -> bool:
        """Whether buildah has an image."""
        return image_id in self._ids()

    def take(self, image_id: str, names: Sequence[ImageReference]) -> Image:
        """Give the engine an image of buildah's, by names."""
        with self.packed(image_id, "docker-archive", ()) as path, path.open("rb") as file:
            [image] = [each.image for each in self._images.load(file) if each.image is not None]
        for each in names:
            self._images.tag(str(image.id), each)
        return self._images.get(str(image.id))

    @contextmanager
    def packed(self, image_id: str, kind: str, names: Sequence[ImageReference]) -> Iterator[Path]:
        """Lend an archive of an image: `docker-archive` or `oci-archive`."""
        with self._archive() as path:
            name = f":{familiar(names[0])}" if names else ""
            more = [part for each in names[1:] for part in ("--additional-tag", str(each))]
            self._tool.call("push", "--quiet", *_supported(kind, more), image_id, f"{kind}:{path}{name}")
            yield path

    def _known(self, name: str) -> Image | None:
        with suppress(NotFound):
            return self._images.get(name)
        return None

    def _ids(self) -> set[str]:
        found = self._tool.json("images", "--all", "--json", "--no-trunc") or ()
        return {each["id"].removeprefix("sha256:") for each in found}

    @contextmanager
    def _archive(self) -> Iterator[Path]:
        path = self._folder / f"{secrets.token_hex(8)}.tar"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def _supported(kind: str, more: Sequence[str]) -> Sequence[str]:
    return more if kind == "docker-archive" else ()
