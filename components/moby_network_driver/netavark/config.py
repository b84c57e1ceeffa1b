"""Options of `network-driver/netavark`."""

from typing import Literal

from attrs import field, frozen

__all__ = ["Config"]


@frozen
class Config:
    """Options of `network-driver/netavark`."""

    binary: str = field(
        default="/usr/lib/podman/netavark",
        metadata={"help": "Path of netavark, which is on no PATH where Debian has it."},
    )
    firewall: Literal["nftables", "iptables", "firewalld", "none"] = field(
        default="nftables", metadata={"help": "What netavark makes its rules with; with none, no ports are published."}
    )
    timeout_s: float = field(default=60, metadata={"help": "How long a call of netavark may take."})
