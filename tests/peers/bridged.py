"""dockerd with networks of its own: a bridge, its rules of iptables, and no proxy."""

import os

# Debian has the command's name as an alternative, which unpacking doesn't make. dockerd refuses to forward what isn't
# its own only where nobody forwards before it, and a namespace begins with what the host has.
PREPARE = """
echo 0 >/proc/sys/net/ipv4/ip_forward
mount -t tmpfs none /usr/local/sbin
for each in iptables ip6tables; do ln -s /usr/sbin/$each-nft /usr/local/sbin/$each; done
"""
OPTIONS = ("--bridge=docker0", "--iptables=true", "--userland-proxy=false")


def network_of(engine, name):
    """Return a descriptor of the network namespace of a container of dockerd's."""
    key = engine.inspect(name, ".NetworkSettings.SandboxKey").removeprefix("/var")  # whose run is a link to /run
    return os.open(engine.sandbox.seen(key), os.O_RDONLY)


def network_of_host(engine):
    """Return a descriptor of the network namespace of its sandbox."""
    return os.open(f"/proc/{engine.sandbox._pid}/ns/net", os.O_RDONLY)
