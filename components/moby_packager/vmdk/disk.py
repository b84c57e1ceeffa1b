"""The disk: vmdk, in which qemu-img puts a number by lot."""

import re
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby.errors import Invalid
from moby_packager.disks.converting import convert, converter
from moby_packager.disks.identifiers import identifier

__all__ = ["Vmdk", "settled"]

DESCRIPTOR_BYTES = 1 << 16
"""The descriptor, which is text, lies within the first of them."""
_NUMBER = re.compile(rb"(?<=\nCID=)[0-9a-f]{1,8}(?=\n)")


@frozen
class Vmdk:
    """Builds the disk; as a value it can be used from many threads."""

    stream: bool = True

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.vmdk`."""
        kind = "streamOptimized" if self.stream else "monolithicSparse"
        options = ["-m", "1", "-o", f"subformat={kind}"]
        return convert(source, out, "vmdk", options, lambda data: settled(data, source.name))

    def fingerprint(self) -> str:
        """Return which qemu-img there is."""
        return converter()


def settled(data: bytes, name: str) -> bytes:
    """Return a disk whose content's number is its name's; Invalid where its descriptor has none."""
    found = _NUMBER.search(data, 0, DESCRIPTOR_BYTES)
    if found is None:
        raise Invalid("qemu-img made a vmdk without a CID", hint="use a qemu-img that is known: 5 to 10")
    number = f"{identifier(name, 'vmdk').int >> 96:08x}".encode()
    # qemu-img leaves out zeros in front; what follows moves into the zeros behind the text.
    end = data.index(b"\0", found.end())
    text = data[: found.start()] + number + data[found.end() : end]
    return text + data[end + len(number) - len(found.group()) :]
