"""Networks that are the host's own: each container has a MAC address on it."""
