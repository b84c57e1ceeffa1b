"""Parts that keep images."""
