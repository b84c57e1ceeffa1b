"""Images of tasks: those that are here are taken as they are, others pulled, each by one task at a time."""

import threading

from moby.contracts.containers import ContainerConfig
from moby.contracts.image_registry import Credentials
from moby.contracts.images import Images
from moby.errors import MobyError, NotFound
from moby.oci import reference as references

__all__ = ["Pulling"]


class Pulling:
    """Has images be here."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._lock = threading.Lock()

    def ensure(self, config: ContainerConfig, credentials: Credentials | None) -> None:
        """Have a container's image be here; NotFound, and whatever a pull may raise."""
        if self._is_here(config.image):
            return
        with self._lock:
            if self._is_here(config.image):
                return
            reference = references.parse(config.image)
            try:
                for _ in self._images.pull(reference, credentials):
                    pass
            except NotFound as error:
                raise NotFound(f"No such image: {config.image}", hint=error.message) from error
            except MobyError as error:
                raise type(error)(f"No such image: {config.image}: {error.message}") from error

    def _is_here(self, name: str) -> bool:
        try:
            self._images.get(name)
        except NotFound:
            return False
        return True
