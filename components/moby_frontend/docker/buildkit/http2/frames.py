"""Frames of HTTP/2, which other parts speak too."""

from moby.grpc.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PREFACE,
    Code,
    Frame,
    Frames,
    Kind,
    ProtocolError,
    Setting,
    frame,
    settings,
)

__all__ = [
    "ACK", "END_HEADERS", "END_STREAM", "PREFACE", "Code", "Frame", "Frames", "Kind", "ProtocolError", "Setting",
    "frame", "settings",
]  # fmt: skip
