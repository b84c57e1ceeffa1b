"""By what a driver knows the devices of its own engine again, after a restart and among those of others."""

import hashlib
import os

from moby.contracts.ambient import Place
from moby.host.rtnetlink.links import Device
from moby.values import frozen

__all__ = ["Marks", "stable_mac"]

_GROUPS_OF_OURS = 1 << 30
"""People and other programs count their groups of devices from 0 on."""


@frozen
class Marks:
    """An engine's marks: a group that a device has as soon as it is there, and an alias, which also tells people."""

    group: int
    key: str
    """16 hexadecimal digits, for further names."""

    @classmethod
    def of(cls, place: Place) -> "Marks":
        """Return those of a part, which are others for other roots."""
        digest = hashlib.sha256(os.fsencode(f"{place.engine}\0{os.path.realpath(place.state)}")).hexdigest()
        return cls(_GROUPS_OF_OURS | int(digest[:7], 16), digest[:16])

    @property
    def prefix(self) -> str:
        """How each alias begins."""
        return f"moby {self.key}"

    @property
    def doomed(self) -> int:
        """The group of what is about to be deleted."""
        return self.group ^ 1 << 29

    def alias(self, *words: str) -> str:
        """Return the alias of a device, by what it is for."""
        return " ".join((self.prefix, *words))

    def own(self, device: Device) -> bool:
        """Whether a device is this engine's; also one whose alias couldn't be set any more."""
        return device.group in (self.group, self.doomed) or device.alias.startswith(f"{self.prefix} ")

    def purpose(self, device: Device) -> tuple[str, ...]:
        """Return the words of a device's alias; none where it has none of ours."""
        words = device.alias.removeprefix(f"{self.prefix} ")
        return tuple(words.split()) if words != device.alias else ()


def stable_mac(seed: str) -> str:
    """Return a local MAC address that is the same for the same seed."""
    return b"\x02\x42".hex(":") + ":" + hashlib.sha256(seed.encode()).digest()[:4].hex(":")
