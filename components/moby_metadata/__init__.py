"""Parts that remember."""
