"""A build's events as BuildKit's own messages, in docker's stream (`POST /build?version=2`)."""

import base64
from collections.abc import Iterator
from typing import Any

from moby.contracts.builder import Event, Exported, Planned
from moby_frontend.docker.buildkit.messages import encode
from moby_frontend.docker.buildkit.progress import shown
from moby_frontend.docker.failures import message

__all__ = ["Traces"]


class Traces:
    """Events in, messages out."""

    begun = True
    """What fails is told in the stream, whenever it does."""

    def feed(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield what is to be told after an event."""
        if not isinstance(event, Planned):
            status = encode(shown([event]))
            yield {"id": "moby.buildkit.trace", "aux": base64.b64encode(status).decode()}

    def failed(self, error: Exception) -> dict[str, Any]:
        """Return a message of failure."""
        text = message(error)
        return {"errorDetail": {"message": text}, "error": text}

    def built(self, exported: Exported) -> Iterator[dict[str, Any]]:
        """Yield which image it is."""
        if exported.image is not None:
            yield {"id": "moby.image.id", "aux": {"ID": str(exported.image)}}
