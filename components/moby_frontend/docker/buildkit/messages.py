"""Messages of protocol buffers, which other parts read and write too."""

from moby.grpc.messages import decode, encode

__all__ = ["decode", "encode"]
