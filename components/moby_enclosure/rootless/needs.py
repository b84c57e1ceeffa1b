"""What every enclosure of an ordinary user needs of its host, in the terms of `moby.component.HostNeed`."""

from collections.abc import Mapping
from typing import Any

__all__ = ["NEEDS", "TUN"]

NEEDS: tuple[Mapping[str, Any], ...] = (
    {"what": "kernel", "name": "user-namespaces", "why": "an ordinary user is root in one"},
    {"what": "binary", "name": "newuidmap", "package": "uidmap", "why": "it gives the engine its subordinate ids"},
    {"what": "user", "name": "subordinate-ids", "why": "a container's users are some of these"},
    {"what": "user", "name": "delegated-group", "optional": True, "why": "without it no container can be limited"},
)
TUN: Mapping[str, Any] = {"what": "kernel", "name": "tun", "why": "the engine's way out is such a device"}
