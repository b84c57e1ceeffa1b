"""What a plan's actions do to containers."""

import io
import posixpath
import tarfile
from collections.abc import Callable, Iterable
from contextlib import suppress

from moby.contracts.containers import Container
from moby.contracts.image_registry import Credentials
from moby.contracts.images import Image
from moby.contracts.orchestrator import FileReference, Node
from moby.errors import Conflict, MobyError, NotFound, Unavailable
from moby.oci import reference as references
from moby_orchestrator.compose.keeping.making import config_of
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.planning import wanted_name
from moby_orchestrator.compose.keeping.values import Kept

__all__ = ["Hands"]

Data = Callable[[str, str, str], bytes]
"""Returns the data of an application's `secrets` or `configs`, by name."""


class Hands:
    """Does one thing at a time for whoever calls; any thread."""

    def __init__(self, parts: Parts, data: Data) -> None:
        self._parts, self._data = parts, data

    def image(self, name: str, credentials: Credentials | None) -> Image:
        """Return an image, which is pulled where it isn't there."""
        images = self._parts.images
        with suppress(NotFound):
            return images.get(name)
        try:
            for each in images.pull(references.parse(name), credentials):
                self._parts.log.debug("pulling an image", image=name, progress=str(each))
            return images.get(name)
        except MobyError:
            raise
        except Exception as error:
            raise Unavailable(f"the image {name} can't be pulled: {error}") from error

    def create(self, service: Kept, number: int, node: Node, image: Image, replaces: str) -> None:
        """Make a container, with its files; one that it replaces goes then."""
        containers = self._parts.containers
        old = self._there(replaces)
        name = wanted_name(service, number)
        config = config_of(service, number, node, str(image.id), image.config.volumes, old)
        made = containers.create(config, f"{old.id[:12]}_{name}" if old else name).id
        try:
            self._give(made, service)
        except Exception:
            containers.remove(made, force=True, volumes=True)
            raise
        if old is not None:
            self.retire(old.id, volumes=False)
            containers.rename(made, name)

    def _there(self, name: str) -> Container | None:
        if not name:
            return None
        with suppress(NotFound):
            return self._parts.containers.get(name)
        return None

    def _give(self, made: str, service: Kept) -> None:
        """Put secrets and configs into a container that hasn't started."""
        spec = service.spec
        self._put(made, spec.application, "secrets", "/run/secrets", spec.secrets)
        self._put(made, spec.application, "configs", "/", spec.configs)

    def _put(self, made: str, application: str, kind: str, folder: str, files: Iterable[FileReference]) -> None:
        for each in files:
            data = self._data(application, kind, each.source)
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                info = tarfile.TarInfo(posixpath.join(folder, each.target).lstrip("/"))
                info.size, info.mode, info.uid, info.gid = len(data), each.mode, each.uid, each.gid
                info.mtime = self._parts.clock.now_ns() // 10**9
                archive.addfile(info, io.BytesIO(data))
            buffer.seek(0)
            self._parts.containers.write_path(made, "/", buffer)

    def retire(self, container: str, *, volumes: bool = True) -> None:
        """Stop and remove a container, as docker compose does; nothing where somebody else has done it."""
        with suppress(NotFound):
            self._parts.containers.stop(container)
            try:
                self._parts.containers.remove(container, volumes=volumes)
            except Conflict:  # somebody started it meanwhile
                self._parts.containers.remove(container, force=True, volumes=volumes)

    def start(self, container: str) -> None:
        """Start a container."""
        self._parts.containers.start(container)

    def rename(self, container: str, name: str) -> None:
        """Give a container the name that it should have."""
        self._parts.containers.rename(container, name)
