"""Docker's frames, and connections that become streams."""

from frontend.test_docker_http import head

PATIENCE_S = 60
OUT, ERR = 1, 2


def frames(data):
    """Take docker's frames apart."""
    found = []
    while data:
        size = int.from_bytes(data[4:8], "big")
        assert data[1:4] == bytes(3)
        found.append((data[0], data[8 : 8 + size]))
        data = data[8 + size :]
    return found


def joined(data, stream=OUT):
    return b"".join(text for kind, text in frames(data) if kind == stream)


def read_head(sock):
    found = b""
    while b"\r\n\r\n" not in found:
        data = sock.recv(1)
        assert data, found
        found += data
    return found.decode()


def upgraded(served, path, body=b"", version="v1.47", upgrade=True):
    """Ask for a stream; return the connection and the head of the answer."""
    sock = served.raw()
    more = ("Connection: Upgrade", "Upgrade: tcp") if upgrade else ()
    kind = ("Content-Type: application/json",) if body else ()
    sock.sendall(head("POST", f"/{version}{path}", f"Content-Length: {len(body)}", *more, *kind) + body)
    return sock, read_head(sock)


def by_websocket(served, path):
    """Ask for a stream by a WebSocket; return the connection."""
    sock = served.raw()
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    sock.sendall(head("GET", path, *upgrade, "Sec-WebSocket-Version: 13"))
    found = read_head(sock)
    assert "101 Switching Protocols" in found
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in found  # RFC 6455, 1.3
    return sock
