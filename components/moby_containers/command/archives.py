"""Verbs that carry files: cp and export."""

import base64
import io
import json
import os
import stat
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from moby.errors import HostUnfit, Invalid, NotFound
from moby_containers.command import streams
from moby_containers.command.client import Client
from moby_containers.command.verb import Parser

__all__ = ["cp", "export"]

_GO_FOLDER = 1 << 31
_GO_LINK = 1 << 27
_CHUNK = 1 << 16


def export(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Write the files of a container as a tar archive."""
    parser.add_argument("-o", "--output", default="")
    parser.add_argument("name", metavar="CONTAINER")
    asked = parser.parse_args(arguments)
    if not asked.output and streams.is_terminal(1):
        raise Invalid("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    with client.open("GET", f"/containers/{asked.name}/export") as answer:
        if not asked.output:
            _copy(answer, sys.stdout.buffer)
            return 0
        fresh = Path(f"{asked.output}.{os.getpid()}")
        try:
            with fresh.open("wb") as file:
                _copy(answer, file)
            fresh.replace(asked.output)
        except OSError as error:
            raise HostUnfit(f"can't write {asked.output}: {error.strerror}") from error
        finally:
            fresh.unlink(missing_ok=True)
    return 0


def cp(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Copy files out of a container or into it; `-` is a tar archive at standard input or output."""
    parser.add_argument("-a", "--archive", action="store_true")
    parser.add_argument("-L", "--follow-link", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("source", metavar="CONTAINER:PATH|PATH|-")
    parser.add_argument("target", metavar="CONTAINER:PATH|PATH|-")
    asked = parser.parse_args(arguments)
    (source, inside), (target, into) = _split(asked.source), _split(asked.target)
    if source and target:
        raise Invalid("copying between containers is not supported")
    if not source and not target:
        raise Invalid("must specify at least one container source")
    if source:
        return _out(client, source, inside, into, follow=asked.follow_link)
    return _in(client, inside, target, into, follow=asked.follow_link, owners=asked.archive)


def _split(text: str) -> tuple[str, str]:
    """Return container and path; a path of the host's begins with a dot or slash, or has no colon."""
    name, colon, path = text.partition(":")
    return (name, path) if colon and not text.startswith((".", "/")) else ("", text)


def _out(client: Client, name: str, inside: str, into: str, *, follow: bool) -> int:
    with client.open("GET", _archive(name, inside)) as answer:
        found = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        if follow and found["mode"] & _GO_LINK:
            answer.close()
            target = found["linkTarget"]
            if not target.startswith("/"):
                target = str(Path(inside).parent / target)
            return _out(client, name, target, into, follow=False)
        if into == "-":
            _copy(answer, sys.stdout.buffer)
            return 0
        _unpack(answer, found, Path(into), contents=inside.endswith("/."), slash=into.endswith("/"))
    return 0


def _unpack(source: BinaryIO, found: Any, target: Path, *, contents: bool, slash: bool) -> None:
    """Unpack one file or tree under a name of its own; what is in the archive can't lead out of it."""
    is_folder = bool(found["mode"] & _GO_FOLDER)
    if target.is_dir():
        base, name = target, "" if contents and is_folder else found["name"]
    elif target.parent.is_dir():
        if target.exists() and is_folder:
            raise Invalid("cannot copy directory")
        if slash and not is_folder:
            raise NotFound(f'destination "{target}/" must be a directory')
        base, name = target.parent, target.name
    else:
        raise NotFound(f'invalid output path: directory "{target.parent}" does not exist')
    with tarfile.open(fileobj=source, mode="r|") as archive:
        for member in archive:
            rest = member.name.rstrip("/").partition("/")[2]
            member.name = "/".join(filter(None, (name, rest)))
            if member.islnk():
                member.linkname = "/".join(filter(None, (name, member.linkname.partition("/")[2])))
            if member.name:
                archive.extract(member, base, set_attrs=True, filter=_trusted)


def _trusted(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Take what stays below the target, with its mode; links may point anywhere, as in the container."""
    if member.issym():
        return member
    return tarfile.tar_filter(member, path)


def _in(client: Client, source: str, name: str, into: str, *, follow: bool, owners: bool) -> int:
    if source == "-":
        client.open("PUT", _archive(name, into), sys.stdin.buffer, "application/x-tar").close()
        return 0
    path = Path(source)
    if not (path.exists() or path.is_symlink()):
        raise NotFound(f"lstat {source}: no such file or directory")
    if follow or source.endswith("/"):
        path = path.resolve()
    folder, last = _target(client, name, into, path, contents=source.endswith("/."))
    body = _packed(path, last)
    more = f"&noOverwriteDirNonDir=true{'&copyUIDGID=1' if owners else ''}"
    client.open("PUT", _archive(name, folder) + more, body, "application/x-tar").close()
    return 0


def _target(client: Client, name: str, into: str, path: Path, *, contents: bool) -> tuple[str, str]:
    """Return the folder inside to unpack in, and the name that the source gets there."""
    try:
        with client.open("HEAD", _archive(name, into)) as answer:
            found = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
    except NotFound:
        found = None
    folder = found is not None and bool(found["mode"] & _GO_FOLDER)
    if found is not None and found["mode"] & _GO_LINK:
        return _target(client, name, str(Path(into).parent / found["linkTarget"]), path, contents=contents)
    if folder:
        return into, "" if contents and path.is_dir() else path.resolve().name if path.name in ("", "..") else path.name
    if found is not None and path.is_dir():
        raise Invalid("cannot copy directory")
    if into.endswith("/") and not path.is_dir():
        raise NotFound(f'destination "{name}:{into}" must be a directory')
    inside = Path(into.rstrip("/") or "/")
    return str(inside.parent), inside.name


def _packed(path: Path, last: str) -> Iterator[bytes]:
    """Yield a tar archive of a file or tree, as it is made."""
    out = _Chunks()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for each, name in _walk(path, last):
            member = archive.gettarinfo(each, name or ".")
            if member is None:  # a socket
                continue
            if stat.S_ISREG(each.lstat().st_mode) and member.isreg():
                with each.open("rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
            yield from out.taken()
    yield from out.taken()


def _walk(path: Path, last: str) -> Iterator[tuple[Path, str]]:
    """Yield a tree's files, folders before what is in them, sorted; each with its name in the archive."""
    left = [(path, last)]
    while left:
        each, name = left.pop()
        yield each, name
        if each.is_dir() and not each.is_symlink():
            inside = sorted(each.iterdir(), reverse=True)
            left += [(inner, f"{name}/{inner.name}" if name else inner.name) for inner in inside]


class _Chunks(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._kept.append(bytes(data))
        return len(data)

    def taken(self) -> list[bytes]:
        found, self._kept = self._kept, []
        return found


def _archive(name: str, path: str) -> str:
    return f"/containers/{name}/archive?path={quote(path)}"


def _copy(source: Any, target: BinaryIO) -> None:
    while chunk := source.read(_CHUNK):
        target.write(chunk)
    target.flush()
