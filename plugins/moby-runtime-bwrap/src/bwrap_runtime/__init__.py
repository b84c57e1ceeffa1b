"""A runtime that has bubblewrap make the container."""
