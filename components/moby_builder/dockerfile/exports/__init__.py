"""Exports: what was built goes into the engine, to image registries, into archives and folders; and caches do."""
