"""Volumes and who has them, in the metadata."""
