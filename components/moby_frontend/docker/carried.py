"""Streams that go on where who carries them, the supervisor's process, was killed and is replaced."""

from moby.contracts.containers import Containers
from moby.contracts.supervisor import Streams
from moby.errors import MobyError

__all__ = ["LOOK_MS", "Carried"]

LOOK_MS = 250
"""How often it is looked whether streams that have ended were cut: most often their program ends with them."""


class Carried:
    """The streams of a container or an exec; made before they are had, so that no cut is missed."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._number = self._next = containers.carrier()

    def is_cut(self) -> bool:
        """Whether they have been cut."""
        try:
            return self._containers.carrier() != self._number
        except (MobyError, OSError):
            return False  # nobody comes to go on with them

    def again(self, id: str) -> Streams | None:
        """Return others where they have been cut and what they are of goes on; `renewed` tells when they are used."""
        try:
            number = self._containers.carrier()
            if number == self._number:
                return None
            found = self._containers.attach_again(id)
        except (MobyError, OSError):
            return None
        self._next = number
        if found is None:
            self.renewed()
        return found

    def renewed(self) -> None:
        """Know that the others are in their place."""
        self._number = self._next
