"""What every part of the kind `orchestrator` must do; `moby.testing.orchestrator_mutants` holds what it must fail.

Scripts in it use nothing but a shell's builtins, cat and sleep.
"""

from moby.testing.orchestrator_applications import Applications
from moby.testing.orchestrator_services import Services
from moby.testing.orchestrator_shared import Shared
from moby.testing.orchestrator_updates import Updates
from moby.testing.orchestrator_world import World, eventually

__all__ = ["OrchestratorSuite", "World", "eventually"]


class OrchestratorSuite(Services, Updates, Applications, Shared):
    """What every part of the kind must do. A subclass brings one fixture, `world`."""
