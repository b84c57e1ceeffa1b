"""Volumes as the folders of one that the user names."""
