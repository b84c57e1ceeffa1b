"""What containers find in /etc that isn't their image's: parts of hosts and resolv.conf (hosts(5), resolv.conf(5))."""

import ipaddress

__all__ = ["LOCAL_HOSTS", "MOST_BYTES", "host_file", "is_loopback"]

MOST_BYTES = 1 << 20
"""More of a file isn't read."""
LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
"""How a hosts file begins."""


def host_file(path: str) -> str:
    """Return the text of a file of the host's; empty where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            return file.read(MOST_BYTES)
    except OSError:
        return ""


def is_loopback(server: str) -> bool:
    """Whether the address of a name server, with a zone perhaps, is one that only its own host reaches."""
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False
