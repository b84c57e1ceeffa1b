"""Networks that are the host's own: each container has a hardware address on it."""
