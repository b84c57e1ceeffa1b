"""Compose applications on one machine."""
