"""The conformance suite of the kind `builder`; `moby.testing.builder_mutants` holds what it must fail."""

from moby.testing.builder_cache import Cache
from moby.testing.builder_exports import Exports
from moby.testing.builder_failures import WRONG, Failures
from moby.testing.builder_progress import Progress
from moby.testing.builder_steps import Steps
from moby.testing.builder_world import Workshop, building

__all__ = ["WRONG", "BuilderSuite", "Workshop", "building"]


class BuilderSuite(Steps, Cache, Failures, Exports, Progress):
    """What every builder must do. A subclass brings the fixture `workshop`."""
