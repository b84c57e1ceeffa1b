"""The conformance suite of the kind `supervisor`."""

from moby.testing.supervisor_attached import StreamsAndExecs
from moby.testing.supervisor_exits import Exits
from moby.testing.supervisor_life import Life
from moby.testing.supervisor_world import Bundles, open_descriptors, read_all, read_until, readable

__all__ = ["Bundles", "SupervisorSuite", "open_descriptors", "read_all", "read_until", "readable"]


class SupervisorSuite(Life, StreamsAndExecs, Exits):
    """What every supervisor must do. A subclass brings the two fixtures, and says which extras to hold it to.

    The scripts in it use nothing but builtins of the shell.
    """
