"""The hooks by which pluggy finds parts and lets plugins watch an engine; no container call goes through them."""

from collections.abc import Iterable

import pluggy

from moby.component import Component

__all__ = ["ENTRY_POINTS", "PROJECT", "hookimpl", "hookspec"]

PROJECT = "moby"
ENTRY_POINTS = "moby.components"
"""The entry point group in which a distribution names its plugin modules."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def moby_components() -> Iterable[Component]:
    """Return the components of a plugin module; no effects, and no import of what implements them."""
    raise NotImplementedError


@hookspec
def moby_instance_changed(instance: str, state: str, detail: str) -> None:
    """Watch: an instance (`kind/name`) of the running engine is now starting, running, failed, stopping or stopped."""
