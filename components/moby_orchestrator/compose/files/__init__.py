"""Compose files: text in, a project out, with a place for everything that is wrong."""
