"""Options of `network-driver/bridge`."""

from attrs import field, frozen

__all__ = ["Config"]


@frozen
class Config:
    """Options of `network-driver/bridge`."""

    device: str = field(
        default="",
        metadata={"help": "Name of the bridge of the network `bridge`; empty is one that no other engine has."},
    )
    icc: bool = field(default=True, metadata={"help": "Whether containers on the network `bridge` reach each other."})
    ip_masquerade: bool = field(
        default=True,
        metadata={"help": "Whether containers on the network `bridge` have the host's address for others."},
    )
    host_binding_ipv4: str = field(
        default="",
        metadata={"help": "Address at which the network `bridge` publishes ports; empty is all of the host's."},
    )
    mtu: int = field(
        default=0,
        metadata={
            "help": "Largest packet of networks that don't say; 0 is what the host's way out takes, at most 1500."
        },
    )
    ip_forward: bool = field(
        default=True,
        metadata={"help": "Whether the host is made to forward packets, without which no container gets beyond it."},
    )
