"""Calls to etcd's JSON gateway (etcd 3.5, api_grpc_gateway), by connections that are kept for the next call."""

import http.client
import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from moby.errors import HostUnfit, Invalid, Unavailable

__all__ = ["Client", "plain", "text64"]

_NO_SPACE = 8
"""The code by which a member refuses writes once its database is full (RESOURCE_EXHAUSTED)."""


def text64(data: bytes) -> str:
    """Return bytes as the gateway takes them."""
    return b64encode(data).decode()


def plain(text: str) -> bytes:
    """Return bytes that the gateway gave."""
    return b64decode(text)


class Client:
    """Asks one member after another, the one that answered last first. Thread-safe."""

    def __init__(self, endpoints: Sequence[str], timeout_s: float) -> None:
        self._addresses = [_address(each) for each in endpoints]
        if not self._addresses:
            raise Invalid("metadata/etcd: there is no endpoint", hint="write `endpoints: [http://HOST:2379]`")
        self._timeout_s = timeout_s
        self._idle: list[tuple[int, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()
        self._first = 0

    def ask(self, method: str, *, repeatable: bool = False, **values: Any) -> Any:
        """Call a method, as `kv/range`; Unavailable where no member answers.

        Of a call that isn't `repeatable` and whose answer is lost nobody can say whether it was made.
        """
        body = json.dumps(values).encode()
        problem: Exception | None = None
        for number in range(len(self._addresses) + 1):
            at = (self._first + number) % len(self._addresses)
            connection = self._connection(at)
            try:
                if connection.sock is None:
                    connection.connect()
                connection.request("POST", f"/v3/{method}", body, {"Content-Type": "application/json"})
            except OSError as error:
                connection.close()
                problem = error
                continue
            try:
                answer = connection.getresponse()
                found = json.loads(answer.read())
            except (OSError, ValueError, http.client.HTTPException) as error:
                connection.close()
                problem = error
                if repeatable or isinstance(error, http.client.RemoteDisconnected):
                    continue  # a connection that lay idle, and was closed before this call, tells so
                break
            self._first = at
            with self._lock:
                self._idle.append((at, connection))
            return _judged(found, answer.status)
        names = ", ".join(f"{host}:{port}" for host, port in self._addresses)
        raise Unavailable(f"no etcd answers at {names}: {problem}", hint="see whether its members run") from problem

    def close(self) -> None:
        """Close all connections that no call is using."""
        with self._lock:
            for _, each in self._idle:
                each.close()
            self._idle.clear()

    def _connection(self, at: int) -> http.client.HTTPConnection:
        """Return a connection to a member that nobody uses, perhaps a new one."""
        with self._lock:
            for number, (whose, idle) in enumerate(self._idle):
                if whose == at:
                    del self._idle[number]
                    return idle
        host, port = self._addresses[at]
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)


def _address(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or not parts.hostname or not parts.port:
        raise Invalid(f"metadata/etcd: {endpoint!r} is no endpoint", hint="write http://HOST:PORT")
    return parts.hostname, parts.port


def _judged(found: Any, status: int) -> Any:
    if status == http.client.OK and isinstance(found, dict):
        return found
    told = found.get("message") or found.get("error") if isinstance(found, dict) else found
    if isinstance(found, dict) and found.get("code") == _NO_SPACE:
        raise HostUnfit(f"etcd takes no more: {told}", hint="compact and defragment it, or raise its quota")
    raise Unavailable(f"etcd refuses: {told}", hint="see the log of its members")
