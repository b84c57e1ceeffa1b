"""Calls of the engine's own API over its socket."""

import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from moby.host.unix_http import answered, connected

__all__ = ["Engine", "filters"]

_VERSION = "v1.47"


def filters(**given: list[str]) -> str:
    """Return filters as the API takes them."""
    return json.dumps(given)


class Engine:
    """The engine as docker's clients see it; each thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, *path: str, **query: Any) -> Any:
        """Return what a GET answers."""
        return self._call("GET", path, query, None)

    def post(self, *path: str, body: Any = None, **query: Any) -> Any:
        """Return what a POST answers."""
        return self._call("POST", path, query, None if body is None else json.dumps(body).encode())

    def delete(self, *path: str, **query: Any) -> Any:
        """Return what a DELETE answers."""
        return self._call("DELETE", path, query, None)

    def put_archive(self, container: str, archive: bytes) -> None:
        """Unpack an archive at a container's root."""
        self._call("PUT", ("containers", container, "archive"), {"path": "/"}, archive, "application/x-tar")

    def lines(self, method: str, *path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Iterator[Any]:
        """Yield the JSON lines of an answer as they come."""
        with self.open(method, path, query, None, headers=headers) as answer:
            for line in answer:
                if line.strip():
                    yield json.loads(line)

    def _call(
        self, method: str, path: tuple[str, ...], query: Mapping[str, Any], body: bytes | None, kind: str = ""
    ) -> Any:
        with self.open(method, path, query, body, kind) as answer:
            data = answer.read()
            plain = answer.headers.get_content_type() == "application/json"
        return json.loads(data) if plain and data.strip() else None

    def open(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, Any],
        body: bytes | None,
        kind: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Begin a call, and return its answer, to be read and closed; what the engine refuses is raised."""
        given = {key: "1" if each is True else each for key, each in query.items() if each not in (None, False, "")}
        # An image's name has slashes that belong to the path.
        target = f"/{_VERSION}/{'/'.join(quote(each, safe='/:@') for each in path)}"
        target += f"?{urlencode(given)}" if given else ""
        sent = {**(headers or {}), **({"Content-Type": kind or "application/json"} if body is not None else {})}
        return answered(connected(self._path), method, target, body, sent)
