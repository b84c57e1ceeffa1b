"""Options of `network-driver/overlay`."""

from attrs import field, frozen

__all__ = ["Config"]


@frozen
class Config:
    """Options of `network-driver/overlay`."""

    store: str = field(
        default="",
        metadata={"help": "Name of the part `metadata` that the hosts share; empty is the engine's own: one host."},
    )
    address: str = field(
        default="",
        metadata={"help": "By which other hosts reach this one; empty is that of its default route."},
    )
    port: int = field(
        default=4789, metadata={"help": "UDP port of networks that aren't encrypted; the same on all hosts."}
    )
    encrypted_port: int = field(
        default=4799,
        metadata={"help": "UDP port of encrypted networks; nothing comes in by it or goes out that isn't encrypted."},
    )
    key_hours: int = field(default=12, metadata={"help": "How long a key is used for encrypted networks."})
    gone_hours: int = field(
        default=72,
        metadata={
            "help": "How long a host may be silent until it has gone for good, with its containers; 0 is for ever."
        },
    )
    mtu: int = field(
        default=0,
        metadata={
            "help": "Largest packet of networks that don't say; 0 is what the host's own network leaves room for."
        },
    )
    ip_forward: bool = field(
        default=True,
        metadata={"help": "Whether the host is made to forward packets, without which no container gets beyond it."},
    )
