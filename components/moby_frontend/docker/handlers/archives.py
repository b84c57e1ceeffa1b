"""Files of a container as tar archives."""

import base64

from moby.contracts.containers import FileStat
from moby.errors import Invalid
from moby_frontend.docker.call import Call, Reply, empty, encode
from moby_frontend.docker.modes import go_mode
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import rfc3339

__all__ = ["export", "read", "stat", "write"]

_HEADER = "X-Docker-Container-Path-Stat"
_TAR = ("Content-Type", "application/x-tar")


def _described(found: FileStat) -> str:
    shown = {
        "name": found.name, "size": found.size, "mode": go_mode(found.mode), "mtime": rfc3339(found.mtime_ns),
        "linkTarget": found.link_target,
    }  # fmt: skip
    return base64.b64encode(encode(shown)).decode()


def _path(call: Call) -> str:
    path = call.query.text("path")
    if not path:
        raise Invalid("bad parameter: path cannot be empty")
    if "\0" in path:
        raise Invalid("bad parameter: NUL can't be in a path")
    return path


def stat(parts: Parts, call: Call) -> Reply:
    """Tell what is at a path, in a header."""
    found = parts.containers.stat_path(call.names["name"], _path(call))
    return Reply(200, b"", ((_HEADER, _described(found)), ("Content-Type", "application/json")))


def read(parts: Parts, call: Call) -> Reply:
    """Return what is at a path."""
    name, path = call.names["name"], _path(call)
    found = parts.containers.stat_path(name, path)
    return Reply(200, parts.containers.read_path(name, path), (_TAR, (_HEADER, _described(found))))


def write(parts: Parts, call: Call) -> Reply:
    """Unpack an archive into a folder."""
    name, path = call.names["name"], _path(call)
    query = call.query
    keep = query.flag("noOverwriteDirNonDir")
    parts.containers.write_path(name, path, call.stream(), keep_types=keep, keep_owners=query.flag("copyUIDGID"))
    return empty(200)


def export(parts: Parts, call: Call) -> Reply:
    """Return its whole root."""
    chunks = parts.containers.export(call.names["name"])
    return Reply(200, chunks, (("Content-Type", "application/octet-stream"),))
