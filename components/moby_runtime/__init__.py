"""Runtimes: what turns a bundle into a container."""
