"""A builder that does what its Dockerfile says in words of its own: to control what happens, and when.

It reads the folders and streams that a session lends as any builder would. `LEND` lines ask the session for things,
`FAIL` fails, `WAIT` waits until the build is cancelled or the builder told to `go_on`, `SAY` writes a log; everything
else is just a step.
"""

import hashlib
import io
import json
import os
import socket
import stat
import tarfile
import threading
import time
from contextlib import contextmanager, suppress

from attrs import evolve

from moby.contracts.builder import (
    BuildFailed,
    CacheEntry,
    CacheWritten,
    Entry,
    Exported,
    ExportType,
    Finding,
    Log,
    Planned,
    Progress,
    Range,
    Reclaimed,
    Result,
    Selection,
    Step,
    Target,
    Vertex,
)
from moby.contracts.types import Digest, Platform
from moby.errors import Invalid, MobyError, NotFound, Unavailable
from moby.oci.digest import sha256
from moby.testing import archives

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = b'{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
START_NS = 1_750_000_000_000_000_000
CACHE = (
    CacheEntry("one", "regular", "[1/2] RUN make", 1000, START_NS, 0, parents=("zero",)),
    CacheEntry("two", "exec.cachemount", "cached mount /x", 500, START_NS, START_NS + 10, 3, in_use=True),
    CacheEntry("six", "source.local", "local source for context", 20, START_NS, START_NS, 1, shared=True),
)


class Received:
    """A folder, in memory."""

    def __init__(self, unwanted=()):
        self.entries, self.files, self.unwanted = [], {}, unwanted

    def entry(self, entry):
        self.entries.append(entry)
        return entry.path not in self.unwanted

    def content(self, path, chunk):
        self.files.setdefault(path, bytearray()).extend(chunk)

    @property
    def names(self):
        return [each.path for each in self.entries]


class Tree:
    """A folder to give away: `{path: bytes | None}`, None for folders."""

    def __init__(self, files):
        self.files = files

    def entries(self):
        for path in sorted(self.files, key=lambda each: each.split("/")):
            data = self.files[path]
            kind = stat.S_IFDIR | 0o755 if data is None else stat.S_IFREG | 0o640
            yield Entry(path, kind, size_bytes=len(data or b""), time_ns=START_NS)

    def open(self, path):
        return io.BytesIO(self.files[path])


class FakeBuilder:
    def __init__(self):
        self.requests, self.exports, self.builds, self.pruned = [], [], [], []
        self.contexts = []
        self.results = {}
        self.roots, self.images = {}, {}
        """Folders by the references of results, and images by their names."""
        self.entries = list(CACHE)
        self.lent = {}
        self.sessions = []
        self.go_on = threading.Event()

    def open(self, session, tell):
        build = FakeBuild(self, session, tell)
        self.builds.append(build)
        self.sessions.append(session)
        return build

    def usage(self):
        return tuple(sorted(self.entries, key=lambda each: each.id))

    def prune(self, keep):
        self.pruned.append(keep)
        if "bad" in keep.filters.get("id", ()):
            raise Invalid("no such filter")
        gone = [each for each in self.entries if not each.in_use]
        self.entries = [each for each in self.entries if each.in_use]
        return Reclaimed(tuple(gone), sum(each.size_bytes for each in gone))


class FakeBuild:
    def __init__(self, builder, session, tell):
        self.builder, self.session, self._tell = builder, session, tell
        self.cancelled, self.closed = threading.Event(), threading.Event()
        self.failed_after_ns = 0
        self.lock = threading.Lock()

    def tell(self, event):
        with self.lock:
            self._tell(event)

    def solve(self, request):
        self.builder.requests.append(request)
        if request.request:
            return Result(answers={"result.txt": b"told\n", "result.json": b'{"told":1}', "version": b"1.0.0"})
        name, text, context = self._read(request)
        self.builder.contexts.append(context)
        if "BROKEN" in text:
            line = text.splitlines().index("BROKEN") + 1
            message = f"dockerfile parse error on line {line}: unknown instruction: BROKEN"
            raise BuildFailed(message, file=name, source=text, ranges=(Range(line, line),))
        lines = [line for line in text.splitlines() if line.strip()]
        vertices = [sha256(f"{index} {line}".encode()) for index, line in enumerate(lines)]
        self.tell(Planned(tuple(Step(*each) for each in zip(lines, vertices, strict=True))))
        if lines and lines[0] != lines[0].upper() and lines[0].startswith("from"):
            message = "Command 'from' should be uppercase"
            self.tell(Finding(vertices[0], "CommandCasing", message, "say it louder", "https://x/y", name, text,
                              (Range(1, 1),)))  # fmt: skip
        for index, line in enumerate(lines):
            self._step(name, text, index, len(lines), line, vertices)
        targets = []
        for platform in request.platforms or (Platform.host(),):
            reference = hashlib.sha256(f"{text}{request.arguments}{platform}".encode()).hexdigest()[:20]
            config = {"architecture": platform.architecture, "os": platform.os, "config": {"Labels": request.labels}}
            targets.append(Target(platform, reference, config))
            self.builder.results[reference] = text
        for value in request.contexts.values():
            if value.startswith("result:") and value.removeprefix("result:") not in self.builder.results:
                raise NotFound(f"no such result: {value}")
        return Result(tuple(targets))

    def _read(self, request):
        """Return the Dockerfile's name and text, and the context."""
        name = request.dockerfile
        if request.context.startswith("stream:"):
            with self.session.stream(request.context.removeprefix("stream:")) as stream:
                data = stream.read()
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                files = {each.name.removeprefix("./"): tar.extractfile(each).read() for each in tar if each.isfile()}
            context = Received()
            context.files = files
            return name, files[name].decode(), context
        found = Received()
        try:
            self.session.folder("dockerfile", Selection(follow=(name, f"{name}.dockerignore")), found)
        except NotFound:
            self.session.folder("context", Selection(follow=(name,)), found)
        if name not in found.files:
            raise NotFound(f"failed to read dockerfile: open {name}: no such file or directory")
        context = Received()
        ignored = bytes(found.files.get(f"{name}.dockerignore", b"")).decode().split()
        self.session.folder("context", Selection(exclude=tuple(ignored)), context)
        return name, bytes(found.files[name]).decode(), context

    def _step(self, name, text, index, count, line, vertices):
        """Do one line, and tell of it."""
        state = Vertex(
            vertices[index], f"[{index + 1}/{count}] {line}", tuple(vertices[index - 1 : index]), START_NS + index,
            cached=line.startswith("COPY"),
        )  # fmt: skip
        self.tell(state)
        try:
            self._do(line, vertices[index])
        except (MobyError, OSError) as error:
            self.tell(evolve(state, completed_ns=START_NS + index + 1, error=str(error)))
            if isinstance(error, Unavailable):
                raise
            code = 3 if line.startswith("FAIL") else None
            number = text.splitlines().index(line) + 1
            raise BuildFailed(str(error), code=code, vertex=vertices[index], file=name, source=text,
                              ranges=(Range(number, number),)) from error  # fmt: skip
        self.tell(evolve(state, completed_ns=START_NS + index + 1, result=f"{index:012x}"))

    def _do(self, line, vertex):
        word, _, rest = line.partition(" ")
        if word == "FAIL":
            self.tell(Log(vertex, 2, b"it broke\n", START_NS))
            raise Invalid(f"process {json.dumps(f'/bin/sh -c {rest}')} did not complete successfully: exit code: 3")
        if word == "SAY":
            self.tell(Progress("abc", vertex, "extracting", 5, 10, START_NS, START_NS))
            self.tell(Log(vertex, 1, rest.encode() + b"\n", START_NS))
        if word == "WAIT":
            limit = time.monotonic() + 60
            while not self.builder.go_on.wait(0.01):
                if self.cancelled.is_set() or time.monotonic() > limit:
                    raise Unavailable("the build was canceled")
        if word == "LEND":
            self._borrow(*rest.split())

    def _borrow(self, what, name):
        lent = self.builder.lent
        if what == "secret":
            lent[what, name] = self.session.secret(name)
        elif what == "ssh":
            with socket.socket(fileno=self.session.ssh(name)) as agent:
                agent.sendall(b"\0\0\0\x01\x0b")  # which keys there are
                lent[what, name] = agent.recv(9, socket.MSG_WAITALL)
        elif what == "credentials":
            lent[what, name] = self.session.credentials(name)
        elif what == "layout":
            context, _, digest = name.partition("@")
            store = self.builder.requests[-1].contexts[context].removeprefix("oci-layout://").partition("@")[0]
            with self.session.blobs(store).read(Digest(*digest.split(":"))) as file:
                lent[what, name] = file.read()
        elif what == "folder":
            lent[what, name] = received = Received()
            self.session.folder(name, Selection(), received)

    def export(self, result, exports, caches=()):
        self.builder.exports.append((result, tuple(exports), tuple(caches)))
        found = []
        for each in exports:
            digest = sha256(result.targets[0].reference.encode())
            if each.type is ExportType.LOCAL:
                self.session.deliver_folder(each.number, Tree({"sub": None, "sub/file": b"x" * 100_000, "a": b""}))
            elif each.store:
                digest = self._put(each.store)
            elif each.type is not ExportType.IMAGE:
                with self.session.deliver_stream(each.number) as out:
                    for _ in range(40):
                        out.write(os.urandom(100_000))
            found.append(Exported(digest, digest, INDEX, len(MANIFEST), each.names))
        written = [CacheWritten(each.type, self._put(f"local:{each.attributes['dest']}"), INDEX, len(MANIFEST))
                   for each in caches if each.type == "local"]  # fmt: skip
        return (*found, Exported(cache=tuple(written))) if caches else tuple(found)

    def _put(self, store):
        blobs = self.session.blobs(store)
        for _ in range(2):  # once more is fine
            blobs.write(sha256(MANIFEST), len(MANIFEST), iter([MANIFEST[:5], MANIFEST[5:]]))
        return sha256(MANIFEST)

    @contextmanager
    def files(self, target):
        if target.reference not in self.builder.roots:
            raise NotFound(f"the result {target.reference} isn't kept any more")
        yield self.builder.roots[target.reference]

    def image(self, reference, platform, *, pull=False):
        found = self.builder.images.get((str(reference), str(platform), pull))
        if found is None:
            raise NotFound(f"{reference}: not found")
        return found

    def cancel(self):
        self.cancelled.set()

    def close(self):
        with suppress(RuntimeError):
            self.cancelled.set()
        self.closed.set()


def archive(**files):
    """Return a context as clients send it: a tar of texts by name."""
    return archives.archive({name: text.encode() for name, text in files.items()})
