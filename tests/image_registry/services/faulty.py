"""A service before a real one that breaks off, lies, stalls, redirects and asks for tokens, as it is told."""

import http.client
import http.server
import json
import threading
import time
from collections import Counter

from attrs import define, field


@define
class Faults:
    """What goes wrong; each applies to blobs unless it says otherwise."""

    cut_after: int | None = None
    """Bytes of a blob's body after which the connection closes."""
    cuts: int = 0
    """How many more times."""
    hold_s: float = 0.0
    """How long it stays open before."""
    status: int = 0
    statuses: int = 0
    """How many more requests, of any kind, get `status`."""
    flip: bool = False
    """Whether a blob's and a manifest's first byte is another."""
    longer: bool = False
    search: bytes | None = None
    """What a search is answered with."""
    no_ranges: bool = False
    stall_s: float = 0.0
    redirect: str = ""
    token: str = ""
    """The token that is asked for, and given by `/token`."""
    token_realm: str = ""
    token_status: int = 200
    retry_after: str = ""
    seen: list[tuple[str, str, str]] = field(factory=list)
    """Method, path and Authorization of each request."""
    counts: Counter[str] = field(factory=Counter)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: Faults
    behind: str

    def log_message(self, *args):
        pass

    def do(self):
        faults = self.faults
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        faults.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
        if self.path.startswith("/token"):
            return self.say(faults.token_status, json.dumps({"token": faults.token, "expires_in": 300}).encode())
        if faults.token and self.headers.get("Authorization") != f"Bearer {faults.token}":
            realm = faults.token_realm or f"http://{self.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="ours",scope="repository:x:pull"'
            return self.say(401, b"{}", {"WWW-Authenticate": challenge})
        if faults.statuses:
            faults.statuses -= 1
            return self.say(faults.status, b"{}", {"Retry-After": faults.retry_after} if faults.retry_after else {})
        if faults.search is not None and self.path.startswith("/v1/search?"):
            return self.say(200, faults.search)
        is_blob = "/blobs/sha256" in self.path and self.command == "GET"
        if is_blob and faults.redirect:
            return self.say(307, b"", {"Location": faults.redirect + self.path})
        return self.pass_on(body, is_blob)

    def pass_on(self, body, is_blob):
        faults = self.faults
        headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
        if faults.no_ranges:
            headers.pop("Range", None)
        inner = http.client.HTTPConnection(self.behind, timeout=60)
        inner.request(self.command, self.path, body or None, headers)
        answer = inner.getresponse()
        data = answer.read()
        inner.close()
        kept = {name: value for name, value in answer.getheaders() if name not in ("Content-Length", "Date")}
        kept = {name: value.replace(f"http://{self.behind}", "") for name, value in kept.items()}
        length = answer.getheader("Content-Length") or str(len(data))
        if faults.flip and data and (is_blob or "/manifests/" in self.path) and self.command == "GET":
            data = bytes([data[0] ^ 1]) + data[1:]
        if faults.longer and is_blob:
            data, length = data + b"more", str(len(data) + 4)
        if is_blob and faults.stall_s:
            time.sleep(faults.stall_s)
        if is_blob and faults.cuts and faults.cut_after is not None and len(data) > faults.cut_after:
            faults.cuts -= 1
            self.say(answer.status, data[: faults.cut_after], kept, str(len(data)))
            time.sleep(faults.hold_s)
            self.close_connection = True
            return None
        return self.say(answer.status, data, kept, length)

    def say(self, status, data, headers=(), length=None):
        self.send_response_only(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", length if length is not None else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that went away is what is being tested."""


class Faulty:
    """Runs it; `host` is where."""

    def __init__(self, behind):
        self.faults = Faults()
        handler = type("Handler", (_Handler,), {"faults": self.faults, "behind": behind})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
