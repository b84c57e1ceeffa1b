"""The options of a tmpfs: what mount(8) and the kernel know, so that another is refused by its name."""

from collections.abc import Iterable

from moby.errors import Invalid
from moby.host.mounts import FLAGS, PROPAGATION

__all__ = ["check_options"]

_OFF = frozenset({
    "rw", "suid", "dev", "exec", "async", "nomand", "atime", "diratime", "norelatime", "nostrictatime", "noacl",
    "noiversion", "loud", "nolazytime", "symfollow",
})  # fmt: skip
_WORDS = (frozenset(FLAGS) | frozenset(PROPAGATION) | _OFF) - {"rec"}
"""What runtimes take of any mount, and with an `r` before it of all below it."""
_OWN = frozenset({
    "defaults", "tmpcopyup", "inode32", "inode64", "noswap", "quota", "usrquota", "grpquota", "casefold",
    "strict_encoding",
})  # fmt: skip
_VALUES = frozenset({
    "size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol", "casefold",
    "usrquota_block_hardlimit", "usrquota_inode_hardlimit", "grpquota_block_hardlimit", "grpquota_inode_hardlimit",
    "context", "fscontext", "defcontext", "rootcontext",
})  # fmt: skip
"""Sources: tmpfs(5), kernel's filesystems/tmpfs.rst, mount(8)."""


def check_options(options: Iterable[str]) -> None:
    """Refuse an option that no tmpfs has, in docker's words: Invalid."""
    for each in options:
        name, equals, value = each.partition("=")
        known = name in _VALUES if equals else {name, name.removeprefix("r")} & _WORDS or name in _OWN
        if not known:
            words = f'"{name}" "{value}"' if equals else f'"{name}"'
            raise Invalid(f"invalid tmpfs option [{words}]")
