"""Parts that know volumes by name."""
