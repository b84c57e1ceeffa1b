"""LXC's library as tests use it: what was unpacked, or the host's."""

from peers import binaries


def need():
    """Return the path of the library, empty for the host's; skip the test where it couldn't be had."""
    binaries.need("lxc-start", "lxc")
    found = (binaries.ROOT / f"usr/lib/{each}-linux-gnu/liblxc.so.1" for each in ("x86_64", "aarch64"))
    return next((str(path) for path in found if path.exists()), "")
