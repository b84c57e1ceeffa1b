"""Network devices, as far as a fresh network namespace needs them."""

import fcntl

from moby.host.lean import sockets, structs

__all__ = ["bring_up_loopback"]

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


def bring_up_loopback() -> None:
    """Set `lo` of this network namespace up (netdevice(7))."""
    control = sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM | sockets.SOCK_CLOEXEC)
    try:
        request = structs.pack("16sH14x", b"lo", 0)
        flags = structs.unpack("16sH14x", fcntl.ioctl(control.fileno(), _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, structs.pack("16sH14x", b"lo", flags | _IFF_UP))
    finally:
        control.close()
