"""The verb `down`: ends the engine and gives back all that the host was given."""

import contextlib
from math import inf
from typing import TYPE_CHECKING

from moby.engine import root, settings
from moby.plan import Plan
from moby.surroundings import Surroundings
from moby.values import evolve, frozen

if TYPE_CHECKING:
    from moby.engine.call import Call

__all__ = ["down"]

USAGE = 2
_FOR_USERS = ("command", "frontend")
PATIENCE_S = 60.0
"""For an engine that serves, to answer what it is answering."""


def down(call: "Call") -> int:
    """End what serves, then in order what runs, reclaim every part's, and end the served parts and their keeper.

    `--timeout SECONDS` shortens the time for that, `--purge` removes the state too. Parts are asked last started first.
    Conflict where a call in the foreground uses the same folders.
    """
    from moby.engine.running import start

    flags = _flags(call)
    if flags is None:
        return USAGE
    roots = call.roots
    missing = root.missing(roots)
    root.stop_serving(roots, PATIENCE_S)
    with root.hold(roots, alone=True):
        pass  # an error here has touched nothing
    root.make_room(roots)  # a full disk is why many come here
    opened = settings.read(call.plan, call.config)
    around = Surroundings(roots, log_level=call.log_level, log_form=call.log_form)
    try:
        with start(_sparing(call.plan), settings=opened, around=around, alone=True) as engine:
            engine.wind_down(flags.timeout_s)
            for instance in reversed(call.plan.instances):
                reclaim = getattr(engine.instances.get(instance.key), "reclaim", None)
                if reclaim is not None:
                    reclaim()
    finally:
        _end_parts(call)
    with root.hold(roots, alone=True):
        root.purge(roots, everything=flags.purge or roots.state in missing)
        if roots.state.exists():
            root.keep_room(roots)  # for the state that stays
    root.unmake(missing)
    return 0


@frozen
class Flags:
    """What follows the verb."""

    purge: bool = False
    timeout_s: float | None = None


def _flags(call: "Call") -> Flags | None:
    if call.arguments in ((), ("--purge",)):
        return Flags(purge=bool(call.arguments))
    import argparse

    def seconds(text: str) -> float:
        if not 0 <= (found := float(text)) < inf:
            raise ValueError
        return found

    parser = argparse.ArgumentParser(prog=f"{call.plan.name} down", allow_abbrev=False)
    parser.add_argument("--purge", action="store_true", help="remove all state too")
    parser.add_argument(
        "-t", "--timeout", type=seconds, metavar="SECONDS", help="kill what hasn't ended by then, whatever its own time"
    )
    found = call.parsed(parser)
    return None if found is None else Flags(found.purge, found.timeout)


def _sparing(plan: Plan) -> Plan:
    """Return a plan that goes on without what is there for users alone, which an end doesn't need: it may not start."""
    spared = (evolve(each, policy="optional") if each.kind in _FOR_USERS else each for each in plan.instances)
    return evolve(plan, instances=tuple(spared))


def _end_parts(call: "Call") -> None:
    """End the keeper and all under it; one that an earlier distribution has left, too."""
    if not (call.roots.run / "keeper").exists():
        return
    from moby.served.launching import Launcher

    with contextlib.suppress(FileNotFoundError):
        Launcher(call.roots.run, linger_s=0).end()
