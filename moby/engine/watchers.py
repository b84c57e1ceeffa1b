"""Plugins that watch an engine: pluggy tells them what becomes of each instance."""

import sys
from collections.abc import Callable

from moby.plan import Plan

__all__ = ["Watcher", "watchers"]

Watcher = Callable[[str, str, str], None]
"""Is told an instance's key, its new state, and a detail."""


def watchers(plan: Plan) -> Watcher:
    """Return a watcher that tells every plugin module of the plan that implements `moby_instance_changed`.

    A module is asked once it was imported for a part of its own, so watching imports nothing.
    """
    modules = {each.facts.module for each in plan.instances}

    def tell(instance: str, state: str, detail: str) -> None:
        from moby import hookspecs

        interested = [
            sys.modules[name] for name in sorted(modules) if hasattr(sys.modules.get(name), "moby_instance_changed")
        ]
        if not interested:
            return
        import pluggy

        found = pluggy.PluginManager(hookspecs.PROJECT)
        found.add_hookspecs(hookspecs)
        for module in interested:
            found.register(module)
        found.hook.moby_instance_changed(instance=instance, state=state, detail=detail)

    return tell
