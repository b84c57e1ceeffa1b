"""The process of a served part: it wires the part and what lives with it, and answers calls until it is told to end.

Of a part in another language it becomes the program, once it listens.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby.component import Program
from moby.contracts.ambient import Log
from moby.engine.elsewhere import failure_of, socket_of
from moby.engine.running import Engine, start
from moby.plan import Instance, load
from moby.served import faults, wire
from moby.served.keeping import HeldKeeper
from moby.served.launching import Launcher
from moby.served.methods import interface_of
from moby.surroundings import Roots, Surroundings
from moby.wiring import protocol_of

__all__ = ["answer", "main"]


def main(arguments: Sequence[str]) -> int:
    """Run the part that a file names, which `moby.engine.elsewhere` has written."""
    spec: dict[str, Any] = json.loads(Path(arguments[0]).read_text("utf-8"))
    os.environ.pop("PYTHONPATH", None)  # of this process, not of its children
    state, run, cache, name = spec["roots"]
    roots = Roots(Path(state), Path(run), Path(cache), name)
    failure = failure_of(roots, spec["key"])
    woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    signal.signal(signal.SIGTERM, lambda *_: os.eventfd_write(woken, 1))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        return _run(spec, roots, woken, failure)
    except Exception as error:
        with contextlib.suppress(OSError):
            fresh = failure.with_name(f".{failure.name}")
            fresh.write_text(json.dumps(faults.dump(error)), "utf-8")
            fresh.replace(failure)
        raise


def _run(spec: Mapping[str, Any], roots: Roots, woken: int, failure: Path) -> int:
    key, plan = spec["key"], load(spec["plan"])
    level, form = spec["log"]
    launcher = Launcher(roots.run, linger_s=spec["linger"])
    if not launcher.knows(key, os.getpid()):
        return 0  # its keeper was killed before it wrote this process down; the next one starts another
    keeper = HeldKeeper(lambda: launcher.reach(key)) if spec["outlives"] else None
    around = Surroundings(roots, log_level=level, log_form=form, keeper=keeper)
    with start(plan, around=around, settings=spec["settings"], process=key) as engine:
        instance = plan.get(key)
        assert instance is not None
        listener = wire.listen(socket_of(roots, key))
        failure.unlink(missing_ok=True)

        def rest() -> None:
            _reclaim_others(engine, key)

        answer(engine.instances[key], instance, listener, around.log(key), woken, rest)
        socket_of(roots, key).unlink(missing_ok=True)
    return 0


def answer(
    part: Any, instance: Instance, listener: socket.socket, log: Log, woken: int, rest: Callable[[], None]
) -> None:
    """Answer calls of a part until the descriptor `woken` becomes readable; one in another language ends by itself.

    `rest` reclaims what else lives in this process.
    """
    if isinstance(part, Program):
        from moby.served.program import become

        become(part, instance.key, listener)
    interface = interface_of(protocol_of(instance))
    if hasattr(part, "serve"):
        from moby.served.endpoint import Endpoint

        endpoint = Endpoint(listener, interface, part, log, woken, rest)
        part.serve(endpoint)
        endpoint.close()
    else:
        from moby.served.server import Server

        Server(listener, interface, part, log, rest).serve(woken)


def _reclaim_others(engine: Engine, key: str) -> None:
    """Reclaim what lives with a part, last started first."""
    for each in reversed(engine.plan.instances):
        reclaim = getattr(engine.instances.get(each.key), "reclaim", None)
        if each.key != key and key in each.processes and reclaim is not None:
            reclaim()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
