"""Metadata as a journal of lines."""
