"""Parts that keep applications as they were described."""
