"""The orchestrator on real parts in this process."""

import sys
from contextlib import ExitStack
from pathlib import Path

from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.service import Compose

from moby.errors import NotFound
from moby.testing.orchestrator import World

sys.path.append(str(Path(__file__).parents[1] / "containers"))  # where an engine's parts are put together
from containers_engine import Engine, place


class Lacking:
    """Images that can't be pulled."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def pull(self, reference, credentials=None, *, platform=None):
        raise NotFound(f"manifest for {reference} not found")


class Orchestrated(Engine):
    """An engine with the orchestrator in it; `again` is what a killed one finds."""

    def __enter__(self):
        super().__enter__()
        self.begin()
        return self

    def begin(self):
        self.own = ExitStack()
        parts = Parts(
            self.containers, Lacking(self.images), self.networks, self.volumes, self.events, self.clock, self.log
        )
        self.orchestrator = self.own.enter_context(Compose(parts, self.metadata, place(self.root, "compose").state))

    def again(self):
        self.own.close()
        self.restart()
        self.begin()
        return self.world()

    def world(self):
        parts = (self.orchestrator, frozenset(), self.containers, self.networks, self.volumes)
        return World(*parts, restart=self.again, network_driver="veths" if self.network_drivers else "")

    def __exit__(self, *error):
        self.own.close()
        super().__exit__(*error)
