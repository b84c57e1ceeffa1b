"""Makes one call of the engine's API, and prints the status, the header Swarm, and the body: METHOD PATH [BODY]."""

import http.client
import socket
import sys


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/docker.sock")


if __name__ == "__main__":
    method, path, *body = sys.argv[1:]
    connection = Connection("localhost", timeout=60)
    connection.request(method, path, *body, headers={"Content-Type": "application/json"} if body else {})
    reply = connection.getresponse()
    print(reply.status, reply.headers.get("Swarm", ""), reply.read().decode().strip())
