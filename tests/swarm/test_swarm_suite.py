"""The conformance suite of orchestrators on the part `swarm`, over real parts."""

import pytest
from moby_orchestrator.swarm.plugin import moby_components

from moby.testing.orchestrator import OrchestratorSuite, World

pytestmark = [pytest.mark.slow, pytest.mark.beside]
(COMPONENT,) = moby_components()


class TestOnSwarm(OrchestratorSuite):
    @pytest.fixture
    def world(self, engine):
        def world():
            return World(
                engine.orchestrator,
                frozenset(COMPONENT.offers),
                engine.containers,
                engine.networks,
                engine.volumes,
                restart=again,
                network_driver="bridge",
            )

        def again():
            engine.restart()
            return world()

        return world()
