"""Snapshots that are whole copies."""
