"""Caches to and from elsewhere, in BuildKit's format."""
