"""Metadata in one SQLite database."""
