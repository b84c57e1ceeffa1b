"""Exports: what was built as images, archives, folders; and caches."""
