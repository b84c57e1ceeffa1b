"""The verb `serve`: front ends at their addresses, until a signal ends it in order."""

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby.contracts.command import THROUGH_FRONTEND, engine_socket
from moby.engine import activation, copies, listening, settings
from moby.engine import root as engine_root
from moby.engine.words import split
from moby.errors import MobyError
from moby.plan import Plan
from moby.surroundings import Surroundings, make_folder
from moby.values import frozen

if TYPE_CHECKING:
    from moby.engine.call import Call
    from moby.engine.running import Engine

__all__ = ["serve"]

USAGE = 2
DRAIN_S = 10.0
_ADDRESS = (
    "where a front end listens, the default one or that of a name: unix:///PATH, tcp://HOST:PORT, or fd:// for the "
    "sockets that systemd passes; may be given several times"
)
_DRAIN = f"how long requests that are under way may go on once it is told to end; usually {DRAIN_S:g}"
DUMPS = 10
"""State dumps that are kept."""


def serve(call: "Call") -> int:
    """Start the engine and keep it running until it is told to end.

    `--host [NAME=]unix:///PATH`, `tcp://HOST:PORT` or `fd://`, several times, says where front ends listen: the one
    of a name, else the default one. SIGTERM and SIGINT end it once requests are answered, twice at once; SIGUSR1
    writes a state dump into the run folder; SIGHUP does nothing.
    """
    if not call.plan.of_kind("frontend"):
        sys.stderr.write(f"{call.plan.name} has no front end, so there is nothing to serve\n")
        sys.stderr.write("  fix: choose one in the assembly, as `components: {frontend: NAME}`; or use `run`\n")
        return USAGE
    flags = _flags(call)
    if flags is None:
        return USAGE
    roots = call.roots
    if _has_own_verbs(call.plan):
        from moby.engine import fronted

        fronted.check_socket(roots)
    make_folder(roots.run)  # which the copy needs
    copies.import_from_copy(roots)
    passed = activation.passed_sockets()
    signals = _Signals()
    addresses = listening.hosts(call.plan, flags.hosts or (["fd://"] if passed else []), passed)
    around = Surroundings(roots, log_level=call.log_level, log_form=call.log_form)
    from moby.engine.running import start
    from moby.host.memory import keep_little

    keep_little()
    opened = settings.read(call.plan, call.config)
    plan = call.plan.closure(frozenset(each.key for each in call.plan.instances if each.kind != "command"))
    with ExitStack() as stack:
        stack.enter_context(engine_root.serving(roots))
        listening.check(plan, addresses, opened, around)
        engine = stack.enter_context(start(plan, settings=opened, around=around, replace=True))
        _listen(engine, addresses, around)
        _listen_to_own_verbs(engine, call.plan)
        activation.notify(f"READY=1\nSTATUS={call.plan.name} answers\nMAINPID={os.getpid()}")
        signals.wait(lambda: _dump(engine, call))
        activation.notify("STOPPING=1")
        _drain(engine, flags.drain_s, signals)
    return 0


@frozen
class Flags:
    """What follows the verb."""

    hosts: list[str]
    drain_s: float


def _flags(call: "Call") -> Flags | None:
    quick = split(call.arguments, {"-H": "host", "--host": "host"})
    if quick is not None and not quick[1]:
        return Flags(quick[0]["host"], DRAIN_S)
    import argparse

    def seconds(text: str) -> float:
        if not (value := float(text)) >= 0:  # nor one that is no number
            raise ValueError
        return value

    parser = argparse.ArgumentParser(prog=f"{call.plan.name} serve", allow_abbrev=False)
    parser.add_argument("-H", "--host", action="append", default=[], metavar="[NAME=]ADDRESS", help=_ADDRESS)
    parser.add_argument("--drain-timeout", type=seconds, default=DRAIN_S, metavar="SECONDS", help=_DRAIN)
    found = call.parsed(parser)
    return None if found is None else Flags(found.host, found.drain_timeout)


def _listen(engine: "Engine", addresses: Mapping[str, list[str]], around: Surroundings) -> None:
    somewhere = False
    for key, wanted in addresses.items():
        part = engine.instances.get(key)
        if part is not None:  # an optional one that failed was told of already
            found = part.listen(wanted)
            somewhere = somewhere or bool(found)
            around.log(key).info("listening", addresses=list(found))
    if not somewhere:
        around.log("engine").warning("listening nowhere", fix="say where, as --host unix:///PATH")


def _listen_to_own_verbs(engine: "Engine", plan: Plan) -> None:
    """Have the default front end answer the engine's own verbs too, where it has such."""
    front = plan.of_kind("frontend")[0]
    part = engine.instances.get(front.key)
    if part is not None and _has_own_verbs(plan):
        part.listen([f"unix://{engine_socket(engine.roots.place(front.key))}"])


def _has_own_verbs(plan: Plan) -> bool:
    return any(THROUGH_FRONTEND in each.facts.provides for each in plan.of_kind("command"))


def _drain(engine: "Engine", timeout_s: float, signals: "_Signals") -> None:
    """Let requests under way end, of all front ends within one time; a second signal goes on at once."""
    deadline = time.monotonic() + timeout_s
    parts = [engine.instances.get(each.key) for each in engine.plan.of_kind("frontend")]
    for part in [each for each in parts if each is not None and not each.drain(0)]:  # all begin with it at once
        while not signals.again() and (left := deadline - time.monotonic()) > 0:
            if part.drain(min(0.5, left)):
                break


class _Signals:
    """The signals of an engine that serves: noted when they come, dealt with by the main thread."""

    ENDING = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._came: deque[int] = deque()
        # Handlers run in the main thread, which sleeps on where the kernel gave a signal to another one.
        self._woken, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        for number in (*self.ENDING, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self._came.append(number)

    def wait(self, dump: Any) -> None:
        """Return when told to end."""
        import select

        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        while True:
            poll.poll()
            os.read(self._woken, 4096)
            while self._came:
                number = self._came.popleft()
                if number in self.ENDING:
                    return
                if number == signal.SIGUSR1:
                    dump()

    def again(self) -> bool:
        """Return whether it was told to end once more."""
        return any(each in self.ENDING for each in self._came)


def _dump(engine: "Engine", call: "Call") -> None:
    """Write what the engine is doing into the run folder: states, threads, descriptors."""
    from traceback import format_stack

    frames = sys._current_frames()
    data = {
        "schema": 2,
        "name": call.plan.name,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "pid": os.getpid(),
        "states": {key: [seen.status.value, seen.detail] for key, seen in engine.states().items()},
        "threads": [
            {"name": each.name, "id": each.native_id, "stack": format_stack(frames[each.ident])}
            for each in _threads()
            if each.ident in frames
        ],
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "status": Path("/proc/self/status").read_text("utf-8").splitlines(),
    }
    folder = engine.roots.run / "dumps"
    log = Surroundings(engine.roots, log_level="info", log_form=call.log_form).log("engine")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{time.time_ns()}.json"
        path.write_text(json.dumps(data, indent=1), "utf-8")
        for old in sorted(folder.iterdir())[:-DUMPS]:
            old.unlink()
    except (OSError, MobyError) as error:
        log.warning("the state can't be dumped", error=str(error))
    else:
        log.info("state dumped", path=str(path))


def _threads() -> Sequence[Any]:
    import threading

    return threading.enumerate()
