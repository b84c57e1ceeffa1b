"""Identifiers of disks and partitions, which are a machine's by its name, and not drawn by lot."""

from uuid import UUID, uuid5

__all__ = ["identifier"]

_SPACE = UUID("6d6f6279-0000-5000-8000-6469736b7321")


def identifier(name: str, what: str) -> UUID:
    """Return an identifier of something of a machine; the same machine's is always the same."""
    return uuid5(_SPACE, f"{name} {what}")
