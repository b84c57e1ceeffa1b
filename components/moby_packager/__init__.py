"""Packagers: turn an engine's files into an artifact of one format."""
