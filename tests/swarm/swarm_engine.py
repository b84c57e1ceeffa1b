"""An engine of the assembly `swarm` in this process, in namespaces of its own; its supervisor has another one.

With another manifest, of another orchestrator.
"""

import os
from contextlib import ExitStack, suppress

from attrs import evolve

from moby import load, resolve
from moby.contracts.images import ImageConfig
from moby.engine import start
from moby.errors import Unsupported
from moby.oci import layer
from moby.oci.pack import Packing
from moby.oci.reference import parse
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings

MANIFEST = """\
moby: 1
name: swarm-suite
extends: [swarm]
components:
  builder: null
  frontend: null
  command: null
"""


def plan(folder, text=MANIFEST):
    """Return the plan of an engine whose parts are the assembly's, without those that only clients need."""
    manifest = folder / "suite.yaml"
    manifest.write_text(text)
    return resolve(load(manifest))


class Engine:
    """Its parts by kind; `restart` ends it in an orderly way, and begins it anew on what it wrote."""

    def __init__(self, root, rootfs, plan, clock=None):
        self.root, self.rootfs, self.plan, self.clock = root, rootfs, plan, clock

    def __enter__(self):
        self._open()
        fd = os.open(self.rootfs, os.O_RDONLY | os.O_DIRECTORY)
        try:
            config = ImageConfig(command=("sh",), environment=("PATH=/bin",))
            self.images.add(parse("box"), [layer.write(Packing(fd).entries())], config)
        finally:
            os.close(fd)
        return self

    def _open(self):
        self.stack = ExitStack()
        around = Surroundings(Roots.under(self.root, self.plan.name), linger_s=1)
        if self.clock is not None:
            around = evolve(around, clock=self.clock)
        self.engine = self.stack.enter_context(start(self.plan, around=around))
        self.run = around.roots.run
        by_kind = {key.partition("/")[0]: part for key, part in self.engine.instances.items()}
        self.orchestrator, self.containers, self.networks = (
            by_kind[each] for each in ("orchestrator", "containers", "networks")
        )
        self.images, self.volumes, self.events = (by_kind[each] for each in ("images", "volumes", "events"))

    def restart(self, meanwhile=lambda: None):
        self.stack.close()
        meanwhile()
        self._open()

    def __exit__(self, *error):
        with suppress(Unsupported):  # where there are no clusters
            if self.orchestrator.cluster().state() is not None:
                self.orchestrator.cluster().leave(force=True)
        for each in [*self.engine.instances.values()]:
            if hasattr(each, "reclaim"):
                each.reclaim()
        self.stack.close()
        Launcher(self.run, linger_s=1).end()
