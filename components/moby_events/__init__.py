"""Parts that tell what happens."""
