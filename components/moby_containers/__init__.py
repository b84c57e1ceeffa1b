"""Parts that keep containers."""
