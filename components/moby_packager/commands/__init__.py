"""Running programs of the host that make part of a format, with nothing of the caller's that could show in bytes."""
