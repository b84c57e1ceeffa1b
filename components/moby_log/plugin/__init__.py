"""Logs that a plugin of docker's takes."""
