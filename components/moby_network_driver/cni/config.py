"""Options of `network-driver/cni`."""

from attrs import field, frozen

__all__ = ["Config"]


@frozen
class Config:
    """Options of `network-driver/cni`."""

    lists: str = field(default="/etc/cni/net.d", metadata={"help": "Folder of the network configuration lists."})
    programs: tuple[str, ...] = field(
        default=("/opt/cni/bin", "/usr/lib/cni"), metadata={"help": "Folders of the plugins, in this order."}
    )
    ports: bool = field(
        default=True, metadata={"help": "Whether plugins with the capability portMappings publish containers' ports."}
    )
    timeout_s: float = field(default=60, metadata={"help": "How long a plugin may take."})
