"""The verb `down`: ends the engine and gives back all that the host was given."""

import contextlib
from typing import TYPE_CHECKING

from moby.engine import root, settings
from moby.surroundings import Surroundings

if TYPE_CHECKING:
    from moby.engine.call import Call

__all__ = ["down"]

PATIENCE_S = 60.0
"""For an engine that serves, to answer what it is answering."""


def down(call: "Call", *, purge: bool) -> int:
    """End what serves, reclaim every part's, last started first, and end the served parts and their keeper.

    Conflict where a call in the foreground uses the same folders.
    """
    from moby.engine.running import start

    roots = call.roots
    root.stop_serving(roots, PATIENCE_S)
    with root.hold(roots, alone=True):
        pass  # an error here has touched nothing
    root.make_room(roots)  # a full disk is why many come here
    opened = settings.read(call.plan, call.config)
    around = Surroundings(roots, log_level=call.log_level, log_form=call.log_form)
    try:
        with start(call.plan, settings=opened, around=around, alone=True) as engine:
            for instance in reversed(call.plan.instances):
                reclaim = getattr(engine.instances.get(instance.key), "reclaim", None)
                if reclaim is not None:
                    reclaim()
    finally:
        _end_parts(call)
    with root.hold(roots, alone=True):
        root.purge(roots, everything=purge)
        if not purge:
            root.keep_room(roots)  # for the state that stays
    return 0


def _end_parts(call: "Call") -> None:
    """End the keeper and all under it; one that an earlier distribution has left, too."""
    if not (call.roots.run / "keeper").exists():
        return
    from moby.served.launching import Launcher

    with contextlib.suppress(FileNotFoundError):
        Launcher(call.roots.run, linger_s=0).end()
