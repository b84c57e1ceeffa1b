"""What every part of the kind `containers` must do; scripts in it use nothing but a shell's builtins, cat and sleep."""

from moby.testing.containers_ending import Ending
from moby.testing.containers_life import Life
from moby.testing.containers_looking import Looking
from moby.testing.containers_streams import StreamsAndExecs
from moby.testing.containers_world import World, close, eventually

__all__ = ["ContainersSuite", "World", "close", "eventually"]


class ContainersSuite(Life, Ending, StreamsAndExecs, Looking):
    """What every part of the kind must do. A subclass brings one fixture, `world`."""
