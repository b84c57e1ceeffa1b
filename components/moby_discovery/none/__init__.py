"""Nobody is found by name, and no ports are published."""
