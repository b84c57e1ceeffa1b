"""The network of the host itself."""
