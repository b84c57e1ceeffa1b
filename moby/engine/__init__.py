"""Starts and stops a wired plan, and answers a distribution's command line."""

if hasattr(__loader__, "archive"):  # type: ignore[name-defined]
    from moby.engine.archives import read_once

    read_once()  # before all that is imported next

from moby.engine.running import Engine, start

__all__ = ["Engine", "start"]
