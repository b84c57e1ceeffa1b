"""Parts that keep layers as file systems."""
