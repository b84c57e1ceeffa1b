"""Parts under test in a process of their own, as an engine has those that are served.

`python serving.py SPEC.json` is that process; as a file of its own it imports nothing that only tests need.
"""

import atexit
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from moby import plan as plans
from moby.contracts.ambient import Place
from moby.engine.part import answer
from moby.errors import MobyError
from moby.plan import Plan
from moby.served import faults, wire
from moby.served.client import client
from moby.served.methods import interface_of
from moby.served.server import Server
from moby.surroundings import Roots, Surroundings
from moby.values import frozen
from moby.wiring import construct, protocol_of

__all__ = ["answered", "made", "served"]

GRACE_S = 20.0


@frozen
class _Roots(Roots):
    """Folders in which the part under test has a given place."""

    key: str = ""
    given: Place | None = None

    def place(self, key: str) -> Place:
        """Return the given place for the part under test, and usual ones for all others."""
        return self.given if key == self.key and self.given else super().place(key)


def made(plan: Plan, key: str, place: Place, stack: ExitStack | None = None) -> Any:
    """Make a part with its place, after all that it needs; with a stack, enter what holds resources."""
    under = Roots.under(place.run.parent / "needs", place.engine or "suite")
    roots = _Roots(under.state, under.run, under.cache, under.engine, key, place)
    instances: dict[str, Any] = {}
    for instance in plan.instances:
        part = construct(instance, instances, Surroundings(roots, log_level="error"))
        if stack is not None and hasattr(part, "__exit__"):
            stack.enter_context(part)
        instances[instance.key] = part
    return instances[key]


def served(plan: Plan, key: str, place: Place, stack: ExitStack | None = None) -> Any:
    """Make a part in a process of its own, and return what calls it; the process ends with the stack, or this one.

    What keeps it from being made is raised.
    """
    folder = place.run.parent / "served" / secrets.token_hex(4)
    folder.mkdir(mode=0o700, parents=True)
    spec, path = folder / "spec.json", folder / "socket"
    folders = [str(each) for each in (place.state, place.run, place.cache)]
    data = {"plan": plans.dump(plan), "key": key, "place": [*folders, place.engine], "socket": str(path)}
    spec.write_text(json.dumps(data), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen([sys.executable, "-P", __file__, str(spec)], env=environment)
    if stack is None:
        atexit.register(_end, child)
    else:
        stack.callback(_end, child)
    instance = plan.get(key)
    assert instance is not None

    def look() -> None:
        if child.poll() is not None:
            raise faults.load(json.loads((folder / "failed").read_text(encoding="utf-8")))

    found = client(protocol_of(instance), path, name=key)
    found.reach(look)
    if stack is not None:
        stack.callback(found.close)
    return found


@contextmanager
def answered(protocol: type, part: Any) -> Iterator[Any]:
    """Lend what calls a part by a socket, as if it had a process of its own; it is answered by threads of this one."""
    with tempfile.TemporaryDirectory(prefix="moby-answered-") as folder, ExitStack() as stack:
        path, woken = Path(folder, "socket"), os.eventfd(0, os.EFD_CLOEXEC)
        stack.callback(os.close, woken)
        log = Surroundings(Roots.under(Path(folder), "suite"), log_level="error").log("suite")
        server = Server(wire.listen(path), interface_of(protocol), part, log, lambda: None)
        thread = threading.Thread(target=server.serve, args=(woken,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(os.eventfd_write, woken, 1)
        found = client(protocol, path)
        stack.callback(found.close)
        found.reach(lambda: None)  # by when all is open that stays so
        yield found


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main(spec: str) -> None:
    """Serve the part that a spec file describes, until this process is told to end."""
    data = json.loads(Path(spec).read_bytes())
    woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    signal.signal(signal.SIGTERM, lambda *_: os.eventfd_write(woken, 1))
    plan = plans.load(data["plan"])
    state, run, cache, engine = data["place"]
    place = Place(Path(state), Path(run), Path(cache), engine)
    with ExitStack() as stack:
        try:
            part = made(plan, data["key"], place, stack)
            listener = wire.listen(Path(data["socket"]))
            instance = plan.get(data["key"])
            assert instance is not None
            log = Surroundings(Roots.under(place.run, engine), log_level="error").log(instance.key)
            answer(part, instance, listener, log, woken, lambda: None)
        except (MobyError, OSError) as error:
            Path(spec).with_name("failed").write_text(json.dumps(faults.dump(error)), encoding="utf-8")
            raise


if __name__ == "__main__":
    main(sys.argv[1])
