"""Parts that make networks of one sort."""
