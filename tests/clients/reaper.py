"""A stand-in for testcontainers' reaper, whose image only an image registry has: the same calls to the engine.

Who connects says what labels its containers, networks and volumes have; once nobody is connected, all of it is removed
by the socket that is mounted here. To be run in a container, which has the standard library alone.
"""

import contextlib
import http.client
import json
import os
import socket
import time
import urllib.parse

KINDS = {
    "/containers/json?all=1&": ("Id", "/containers/{}?force=1&v=1"), "/networks?": ("Id", "/networks/{}"),
    "/volumes?": ("Name", "/volumes/{}?force=1"),
}  # fmt: skip


class Engine(http.client.HTTPConnection):
    """The engine, by its socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def call(method, path):
    engine = Engine("engine")
    engine.request(method, path)
    answer = engine.getresponse()
    assert answer.status < 300, (path, answer.status, answer.read())
    return json.loads(answer.read() or b"null")


def reap(wanted):
    """Remove all that has these labels."""
    filters = urllib.parse.urlencode({"filters": json.dumps({"label": {wanted: True}})})
    for listed, (key, path) in KINDS.items():
        found = call("GET", listed + filters)
        for each in found["Volumes"] if isinstance(found, dict) else found:
            call("DELETE", path.format(each[key]))


def main():
    server = socket.create_server(("", 8080))
    print("reaper Started!", flush=True)
    connection, _ = server.accept()
    lines = connection.makefile("rwb")
    wanted = []
    with contextlib.suppress(ConnectionResetError):  # by one that was killed before it had read the answer
        while line := lines.readline():
            wanted.append(line.decode().strip().partition("label=")[2])
            lines.write(b"ACK\n")
            lines.flush()
    time.sleep(float(os.environ["RYUK_RECONNECTION_TIMEOUT"].rstrip("s")))
    for each in wanted:
        reap(each)


if __name__ == "__main__":
    main()
