"""The supervisor `local` as engines have it: in a process of its own, under a keeper; both may be killed."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from moby.component import Arity, facts_of
from moby.engine import start
from moby.placement import placed
from moby.plan import Binding, Instance, Plan
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings

PARTS = str(Path(__file__).parent / "parts")
PATIENCE_S = 60.0
KEY = "supervisor/local"
_OWN_LOGS = ("lines", "waiting", "sent")


def eventually(check, what=""):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        assert time.monotonic() < deadline, what or "it doesn't come to be"
        time.sleep(0.01)
    return found


def plan():
    if PARTS not in sys.path:
        sys.path.append(PARTS)
    import lines_part
    import moby_log.local.plugin as local_log
    import moby_runtime.native.plugin as native
    import moby_supervisor.local.plugin as local

    def instance(plugin, name, **values):
        component = next(each for each in plugin.moby_components() if each.name == name)
        facts = facts_of(component, distribution="moby-framework 0", module=plugin.__name__)
        return Instance(facts.kind, name, facts, **values)

    bindings = {
        "runtimes": Binding(Arity.EACH, ("runtime/native",)),
        "logs": Binding(Arity.EACH, tuple(f"log-driver/{name}" for name in (*_OWN_LOGS, "local"))),
    }
    logs = (*(instance(lines_part, name) for name in _OWN_LOGS), instance(local_log, "local"))
    supervisor = instance(local, "local", bindings=bindings, served=True)
    return placed(Plan("served", (*logs, instance(native, "native"), supervisor)))


class Served:
    """A supervisor's client, and the processes behind it."""

    def __init__(self, root):
        self.root = root
        self.around = Surroundings(Roots.under(root, "served"), linger_s=0.2)
        self.supervisor = None
        self._engine = contextlib.ExitStack()

    def begin(self):
        """Start an engine that uses the supervisor."""
        engine = self._engine.enter_context(start(plan(), around=self.around))
        self.supervisor = engine.instances[KEY]
        return self.supervisor

    def end(self):
        """End the engine; the supervisor stays as long as it has something."""
        self._engine.close()

    def pid(self):
        """The supervisor's process, waited for."""
        launcher = Launcher(self.around.roots.run, linger_s=0.2)
        found = eventually(lambda: [each.pid for each in launcher.parts() if each.key == KEY and each.pid])
        return found[0]

    def keeper(self):
        talk = Launcher(self.around.roots.run, linger_s=0.2).reach()
        try:
            return talk.pid
        finally:
            talk.close()

    def kill(self, *which):
        """Kill processes at once: `supervisor`, `keeper`."""
        pids = [self.pid() if each == "supervisor" else self.keeper() for each in which]
        for each in pids:
            os.kill(each, signal.SIGKILL)
        for each in pids:
            eventually(lambda each=each: gone(each))

    def close(self):
        with contextlib.suppress(Exception):
            self.supervisor.reclaim()
        self.end()
        launcher = Launcher(self.around.roots.run, linger_s=0.2)
        launcher.end()
        eventually(lambda: launcher.running() is None)

    def log(self):
        """What the processes have said."""
        path = self.around.roots.run / "keeper/log"
        return path.read_text() if path.exists() else ""


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
