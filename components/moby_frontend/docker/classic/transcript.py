"""A build's events as the lines that docker printed before BuildKit, step by step in the file's order."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from moby.contracts.builder import BuildFailed, Event, Exported, Finding, Log, Planned, Progress, Step, Vertex
from moby.contracts.types import Digest
from moby.oci.digest import sha256
from moby.oci.reference import familiar, parse
from moby_frontend.docker.failures import message

__all__ = ["Transcript"]

_STDERR = 2
_SHORT = 12
_HEX = re.compile("[0-9a-f]{12,}")
_EXIT = re.compile(r'process (".*") did not complete successfully: exit code: (\d+)', re.DOTALL)


class Transcript:
    """Events in, messages out; what other steps do meanwhile is told when it is their turn."""

    def __init__(self, *, removes: bool = True) -> None:
        """`removes` says whether containers that steps run in are told to go."""
        self._removes = removes
        self._steps: tuple[Step, ...] = ()
        self._at = -1
        """Which step is told now."""
        self._states: dict[Digest, Vertex] = {}
        self._told: set[Digest] = set()
        self._held: dict[Digest, list[dict[str, Any]]] = defaultdict(list)
        self._running = False

    @property
    def begun(self) -> bool:
        """Whether it is known what the steps are."""
        return bool(self._steps)

    def failed(self, error: Exception) -> dict[str, Any]:
        """Return a message of failure, with the code of a program that ended with one."""
        text = message(error)
        detail: dict[str, Any] = {"message": text}
        if isinstance(error, BuildFailed) and error.code is not None:
            match = _EXIT.search(text)
            text = f"The command '{_unquoted(match[1])}' returned a non-zero code: {match[2]}" if match else text
            detail = {"code": error.code, "message": text}
        return {"errorDetail": detail, "error": text}

    def built(self, exported: Exported) -> Iterator[dict[str, Any]]:
        """Yield which image it is, and its names."""
        if exported.image is None:
            return
        yield {"aux": {"ID": str(exported.image)}}
        yield {"stream": f"Successfully built {exported.image.hex[:_SHORT]}\n"}
        for each in exported.names:
            yield {"stream": f"Successfully tagged {familiar(parse(each))}\n"}

    def feed(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield what is to be told after an event."""
        if isinstance(event, Planned):
            self._steps = event.steps
            yield from self._next()
        elif isinstance(event, Finding):
            yield {"stream": f"[Warning] {event.message.removeprefix('[Warning] ')}\n"}
            return
        elif isinstance(event, Vertex):
            self._states[event.digest] = event
        elif isinstance(event, Log):
            self._held[event.vertex].append(_log(event))
        elif isinstance(event, Progress) and event.total:
            self._held[event.vertex].append(_progress(event))
        yield from self._on()

    def _on(self) -> Iterator[dict[str, Any]]:
        """Yield what there is of the step that is told, and of those after it once it is done."""
        while 0 <= self._at < len(self._steps):
            vertex = self._steps[self._at].vertex
            if vertex is not None and vertex not in self._told:
                state = self._states.get(vertex)
                if state is None or not (state.started_ns or state.completed_ns):
                    return
                yield from self._of(vertex, state)
                if not state.completed_ns or state.error:
                    return
                yield from self._end(vertex, state)
                self._told.add(vertex)
            yield from self._next()

    def _of(self, vertex: Digest, state: Vertex) -> Iterator[dict[str, Any]]:
        if not self._running and not state.cached and self._is("RUN"):
            self._running = True
            yield {"stream": f" ---> Running in {vertex.hex[:_SHORT]}\n"}
        yield from self._held.pop(vertex, ())

    def _end(self, vertex: Digest, state: Vertex) -> Iterator[dict[str, Any]]:
        if state.cached and not self._is("FROM"):
            yield {"stream": " ---> Using cache\n"}
        if self._running and self._removes:
            yield {"stream": f" ---> Removed intermediate container {vertex.hex[:_SHORT]}\n"}
        if state.result:
            yield {"stream": f" ---> {_short(state.result)}\n"}

    def _is(self, instruction: str) -> bool:
        """Return whether the step that is told is of that instruction."""
        return self._steps[self._at].text.split(None, 1)[0].upper() == instruction

    def _next(self) -> Iterator[dict[str, Any]]:
        self._at += 1
        self._running = False
        if self._at < len(self._steps):
            yield {"stream": f"Step {self._at + 1}/{len(self._steps)} : {self._steps[self._at].text}"}
            yield {"stream": "\n"}
            if self._is("FROM") and self._steps[self._at].vertex is None:
                yield {"stream": " ---> \n"}  # of nothing


def _unquoted(text: str) -> str:
    """Return a command as it was before a builder quoted it."""
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def _short(result: str) -> str:
    """Return an id as docker shows those of steps: of an image as it begins, of anything else made up of it."""
    return (result if _HEX.fullmatch(result) else sha256(result.encode()).hex)[:_SHORT]


def _log(event: Log) -> dict[str, Any]:
    text = event.data.decode("utf-8", "replace")
    return {"stream": f"\x1b[91m{text}\x1b[0m" if event.stream == _STDERR else text}


def _progress(event: Progress) -> dict[str, Any]:
    detail = {"current": event.current, "total": event.total}
    return {"status": event.name or event.id, "progressDetail": detail, "id": event.id}
