"""One end of a connection of HTTP/2, which other parts have too."""

from moby.grpc.connection import Chunk, Connection, Event, Headers, Reset, WentAway, WindowOpened

__all__ = ["Chunk", "Connection", "Event", "Headers", "Reset", "WentAway", "WindowOpened"]
