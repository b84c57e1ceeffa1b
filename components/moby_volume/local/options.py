"""The options of a volume, in docker's words: type, o, device, size."""

import re
from collections.abc import Mapping

from moby.errors import Invalid
from moby.host.mounts import FLAGS, PROPAGATION
from moby.values import frozen

__all__ = ["Words", "check", "words"]

_KNOWN = ("type", "o", "device", "size")
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_OFF: Mapping[str, tuple[str, ...]] = {
    "rw": ("ro",), "suid": ("nosuid",), "dev": ("nodev",), "exec": ("noexec",), "async": ("sync",),
    "atime": ("noatime",), "diratime": ("nodiratime",), "nomand": ("mand",), "norelatime": ("relatime",),
    "nostrictatime": ("strictatime",), "loud": ("silent",), "defaults": (),
}  # fmt: skip
_RECURSIVE = {"rbind": ("bind", "rec")}


@frozen
class Words:
    """What `o` comes to: flags of mount(2), what is done to propagation, and the file system's own options."""

    flags: int = 0
    propagation: tuple[str, ...] = ()
    data: str = ""


def check(options: Mapping[str, str]) -> None:
    """Refuse options, in docker's words."""
    for name in options:
        if name not in _KNOWN:
            raise Invalid(f'invalid option: "{name}"', hint=f"there are {', '.join(_KNOWN)}")
    if options.get("type") == "cifs" and re.match(r"[\w+.-]*:?//[^/]*:\d", options.get("device", "")):
        raise Invalid("port not allowed in CIFS device URL, include 'port' in 'o='")
    if options.get("size"):
        raise Invalid("quota size requested but no quota support", hint="for a tmpfs write o=size=64m")
    for name, needed in _NEEDS.items():
        missing = [each for each in needed if name in options and each not in options]
        if missing:
            raise Invalid(f'missing required option: "{missing[0]}"', hint=f"{name} has no meaning without it")


def words(text: str) -> Words:
    """Read `o`, as mount(8) has its options."""
    names: dict[str, None] = {}
    propagation, data = [], []
    for word in filter(None, text.split(",")):
        if word.removeprefix("r") in PROPAGATION and word != "relatime":
            propagation.append(word)
        elif word in FLAGS and word != "remount":
            names[word] = None
        elif word in _OFF:
            for each in _OFF[word]:
                names.pop(each, None)
        elif word in _RECURSIVE:
            names.update(dict.fromkeys(_RECURSIVE[word]))
        else:
            data.append(word)
    return Words(sum(FLAGS[each] for each in names), tuple(propagation), ",".join(data))
