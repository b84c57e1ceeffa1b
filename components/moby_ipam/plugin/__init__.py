"""Addresses that a plugin of docker's hands out."""
