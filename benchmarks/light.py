"""A light client of docker's API, run inside a sandbox: threads that create, start, stop and remove containers at once.

`python -IS light.py SOCKET IMAGE CLIENTS COUNT` prints a line of JSON: the wall time of each of its steps in seconds.
Every answer is checked; one that isn't what it should be ends it with what was answered.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator

__all__ = ["main"]

LABEL = "crowd"
PATIENCE_S = 10.0


class Client:
    """One connection, which is kept from one call to the next."""

    def __init__(self, path: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(path)
        self._came = b""

    def call(self, status: int, line: str, body: bytes = b"") -> bytes:
        """Make a call and return the body of its answer, whose status must be this one."""
        fields = f"Host: engine\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._sock.sendall(f"{line} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body)
        while (end := self._came.find(b"\r\n\r\n")) < 0:
            self._more()
        first, *more = self._came[:end].split(b"\r\n")
        lengths = [each.partition(b":")[2] for each in more if each.lower().startswith(b"content-length:")]
        self._came = self._came[end + 4 :]
        size = int(lengths[0]) if lengths else 0
        while len(self._came) < size:
            self._more()
        found, self._came = self._came[:size], self._came[size:]
        if int(first.split(b" ")[1]) != status:
            raise RuntimeError(f"{line}: {first.decode()}: {found.decode()}")
        return found

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise RuntimeError("the engine has closed the connection")
        self._came += data


def whole(path: str, line: str) -> bytes:
    """Return the body of an answer that comes in one piece, however long it is: by a version without chunks."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(f"{line} HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
        came = b""
        while data := sock.recv(65536):
            came += data
    return came.partition(b"\r\n\r\n")[2]


class Crowd:
    """Clients that take from one list what is to be done, each the next once it is through with one."""

    def __init__(self, path: str, image: str, clients: int, count: int) -> None:
        self._path = path
        self._clients = [Client(path) for _ in range(clients)]
        self._config = json.dumps({
            "Image": image,
            "Cmd": ["sleep", "10000"],
            "Labels": {LABEL: ""},
            "StopSignal": "SIGKILL",  # a `sleep` that is process 1 heeds no other
            "HostConfig": {"NetworkMode": "none"},
        }).encode()  # fmt: skip
        self._names = [f"{LABEL}{number}" for number in range(count)]
        self._failed: list[Exception] = []

    def begin(self, client: Client, name: str) -> None:
        """Create and start a container."""
        made = json.loads(client.call(201, f"POST /v1.45/containers/create?name={name}", self._config))
        client.call(204, f"POST /v1.45/containers/{made['Id']}/start")

    def stop(self, client: Client, name: str) -> None:
        """Stop a container."""
        client.call(204, f"POST /v1.45/containers/{name}/stop")

    def remove(self, client: Client, name: str) -> None:
        """Remove a container."""
        client.call(204, f"DELETE /v1.45/containers/{name}")

    def seconds(self, step: str) -> float:
        """Have all clients do a step for all names, and return how long that took."""
        left = iter(list(self._names))
        threads = [threading.Thread(target=self._work, args=(each, step, left)) for each in self._clients]
        began = time.perf_counter()
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        took = time.perf_counter() - began
        for error in self._failed:
            raise error
        return took

    def _work(self, client: Client, step: str, left: Iterator[str]) -> None:
        try:
            for name in left:
                getattr(self, step)(client, name)
        except Exception as error:
            self._failed.append(error)

    def expect(self, count: int) -> None:
        """Wait until so many of these containers run, which dockerd's listing may tell a little later; else fail."""
        query = f'filters={{"label":{{"{LABEL}":true}},"status":{{"running":true}}}}'.replace('"', "%22")
        limit = time.monotonic() + PATIENCE_S
        while len(found := json.loads(whole(self._path, f"GET /v1.45/containers/json?{query}"))) != count:
            if time.monotonic() > limit:
                raise RuntimeError(f"{len(found)} containers run, and not {count}")
            time.sleep(0.05)


def main() -> None:
    """Do all steps, and print what they took."""
    path, image, clients, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    crowd = Crowd(path, image, clients, count)
    taken = {"begin": crowd.seconds("begin")}
    crowd.expect(count)
    taken["stop"] = crowd.seconds("stop")
    crowd.expect(0)
    taken["remove"] = crowd.seconds("remove")
    print(json.dumps(taken))  # noqa: T201


if __name__ == "__main__":
    main()
