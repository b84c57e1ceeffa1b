"""A plugin of docker's for tests, by the protocol alone: plugin_server.py SOCKET FOLDER.

It keeps volumes as folders below FOLDER/volumes, logs in files below FOLDER/logs; FOLDER/calls
gets a line for each call.
"""

import contextlib
import json
import os
import shutil
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

IMPLEMENTS = ["VolumeDriver", "LogDriver"]


class Refused(Exception):
    pass


class Volumes:
    def __init__(self, folder):
        self.folder = folder / "volumes"

    def _of(self, name):
        found = self.folder / name
        if not found.is_dir():
            raise Refused(f"no volume {name} here")
        return found

    def Capabilities(self, given):
        return {"Capabilities": {"Scope": "global"}}

    def Create(self, given):
        for each in given.get("Opts") or {}:
            if each != "kept":
                raise Refused(f"unknown option {each}")
        (self.folder / given["Name"]).mkdir(parents=True, exist_ok=True)
        return {}

    def Remove(self, given):
        shutil.rmtree(self._of(given["Name"]))
        return {}

    def Mount(self, given):
        assert given["ID"]
        return {"Mountpoint": str(self._of(given["Name"]))}

    def Unmount(self, given):
        self._of(given["Name"])
        return {}

    def Path(self, given):
        return {"Mountpoint": str(self._of(given["Name"]))}

    def Get(self, given):
        return {"Volume": {"Name": given["Name"], "Mountpoint": str(self._of(given["Name"])), "Status": {}}}

    def List(self, given):
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return {"Volumes": [{"Name": each.name, "Mountpoint": str(each)} for each in found]}


class Logs:
    """Keeps a log as it came: lengths and records."""

    def __init__(self, folder):
        self.folder = folder / "logs"
        self.reading = {}

    def Capabilities(self, given):
        return {"Cap": {"ReadLogs": True}}

    def StartLogging(self, given):
        if "refuse" in (given["Info"].get("Config") or {}):
            raise Refused("refused, as it was asked for")
        self.folder.mkdir(exist_ok=True)
        file, identity = given["File"], given["Info"]["ContainerID"]
        # Read and write, so that a writer who comes anew finds it open; the end is told by StopLogging.
        pipe = os.open(file, os.O_RDWR)
        ends = os.pipe()
        thread = threading.Thread(target=self._read, args=(pipe, ends[0], self.folder / identity))
        self.reading[file] = (thread, ends[1])
        thread.start()
        return {}

    def _read(self, pipe, told, path):
        import select

        with path.open("ab", buffering=0) as out:
            while True:
                ready, _, _ = select.select([pipe, told], [], [])
                if pipe in ready:
                    out.write(os.read(pipe, 65536))
                elif told in ready:
                    break
        os.close(pipe)
        os.close(told)

    def StopLogging(self, given):
        thread, tell = self.reading.pop(given["File"])
        os.close(tell)
        thread.join()
        return {}

    def stream(self, given):
        """Records from the last so many on; what is written later too, where it follows."""
        path = self.folder / given["Info"]["ContainerID"]
        data = path.read_bytes() if path.exists() else b""
        found, at = [], 0
        while at < len(data):
            size = 4 + int.from_bytes(data[at : at + 4], "big")
            found.append(data[at : at + size])
            at += size
        tail = given["Config"].get("Tail", -1)
        if tail != 0:
            yield from found if tail is None or tail < 0 else found[-tail:]
        at = len(data)
        while given["Config"].get("Follow"):
            more = path.read_bytes()[at:] if path.exists() else b""
            at += len(more)
            yield more
            time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def address_string(self):
        return "unix"

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}"
        given = json.loads(data)
        with self.server.lock, self.server.calls.open("a") as out:
            out.write(json.dumps([self.path.strip("/"), given]) + "\n")
        kind, _, method = self.path.strip("/").partition(".")
        if self.path == "/LogDriver.ReadLogs":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(OSError):
                for each in self.server.parts["LogDriver"].stream(given):
                    self.connection.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        if not self.connection.recv(1):
                            break
                    self.connection.setblocking(True)
                    self.wfile.write(each)
            self.close_connection = True
            return
        found = None if kind == "Plugin" else getattr(self.server.parts.get(kind), method, None)
        if self.path == "/Plugin.Activate":
            status, answer = 200, {"Implements": self.server.implements}
        elif found is None:
            status, answer = 404, {"Err": "no such method"}
        else:
            try:
                status, answer = 200, found(given) | {"Err": ""}
            except Refused as error:
                status, answer = 500, {"Err": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path, folder, implements=IMPLEMENTS):
        self.calls = folder / "calls"
        self.lock = threading.Lock()
        self.implements = implements
        self.parts = {"VolumeDriver": Volumes(folder), "LogDriver": Logs(folder)}
        super().__init__(str(path), Handler)


def main(path, folder):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(folder).mkdir(parents=True, exist_ok=True)
    Server(Path(path), Path(folder)).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
