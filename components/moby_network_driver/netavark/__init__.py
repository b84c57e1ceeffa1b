"""Networks that netavark makes, the network stack of Podman."""
