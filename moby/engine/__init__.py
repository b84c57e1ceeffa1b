"""Starts and stops a wired plan, and answers a distribution's command line."""

from moby.engine.running import Engine, start

__all__ = ["Engine", "start"]
