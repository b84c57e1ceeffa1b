"""Parts that know networks by name."""
