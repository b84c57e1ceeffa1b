"""Folders as contexts of builds: which files are meant, and how they are handed over."""
