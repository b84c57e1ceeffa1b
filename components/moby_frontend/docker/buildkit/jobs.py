"""A build as BuildKit's clients see it: begun by one call, solved by others, and exported by the first at its end."""

import base64
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from moby.contracts.builder import Build, Builder, Exported, Result, Target
from moby.contracts.images import Image
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import NotFound, Unavailable, Unsupported
from moby_frontend.docker.buildkit import requests
from moby_frontend.docker.buildkit.graphs import graph, reference_in
from moby_frontend.docker.buildkit.grpc import Fault
from moby_frontend.docker.buildkit.known import Known
from moby_frontend.docker.buildkit.progress import Feed
from moby_frontend.docker.buildkit.protocol.common import Definition
from moby_frontend.docker.buildkit.protocol.control import SolveRequest
from moby_frontend.docker.buildkit.protocol.gateway import Ref, RefMap, ResultOf
from moby_frontend.docker.buildkit.session.client import ClientSession

__all__ = ["Job"]

_SESSION_S = 5.0
"""How long a session may take to come after the build that has it."""
_LAST_WORDS_S = 0.1
"""How long a build that was given up may take to say so of its steps; clients wait for that."""
_CONFIG = "containerimage.config"
_SUBREQUESTS = (
    ("outline", "List all parameters current build target supports"),
    ("targets", "List all targets current build supports"),
    ("lint", "Lint a Dockerfile"),
    ("subrequests.describe", "List available subrequest types"),
)


@frozen
class _Solved:
    """A file system that a client knows by an id, and what it is of."""

    result: Result
    target: Target


class Job:
    """One build. Thread-safe; it ends once, by `close`."""

    def __init__(self, asked: SolveRequest, builder: Builder, sessions: Known[ClientSession]) -> None:
        self.asked, self._builder, self._sessions = asked, builder, sessions
        self.feed = Feed()
        self._changed = threading.Condition()
        self._build: Build | None = None
        self._looking: Build | None = None
        """What the client's part looks around by before anything is solved, which says how its folders are called."""
        self._solved: dict[str, _Solved] = {}
        self._returned: ResultOf | Fault | None = None
        self._canceled = False
        self._solving = 0
        self._ending: threading.Timer | None = None
        self._allow = requests.entitlements(asked.entitlements)
        self._exports = requests.exports(asked)
        if asked.policy is not None and asked.policy.rules:
            raise Unsupported("policies of sources are not followed here")

    # The client's part ----------------------------------------------------------------------------------------------

    def solve(self, frontend: str, options: Mapping[str, str], inputs: Mapping[str, Definition]) -> ResultOf:
        """Solve what a front end is asked for, and return it under ids of its own."""
        references = {name: reference_in(each)[1] for name, each in {**self.asked.frontend_inputs, **inputs}.items()}
        request = requests.request(frontend, options, references, self._allow, self._exports)
        if request.request == "subrequests.describe":
            return ResultOf(metadata=_described())
        several = requests.is_multi_platform(options)
        with self._at_work():
            result = self._opened(options).solve(request)
        return self._shown(result, several)

    def adopt(self, definition: Definition) -> ResultOf:
        """Return what a graph stands for."""
        platform, reference = reference_in(definition)
        known = (each.target for each in tuple(self._solved.values()) if each.target.reference == reference)
        return self._shown(Result((next(known, Target(platform, reference)),)), several=False)

    def give_back(self, result: ResultOf | Fault) -> None:
        """Take how the client's part ended; the first time counts."""
        with self._changed:
            self._returned = self._returned or result
            self._changed.notify_all()

    def check(self, identity: str) -> None:
        """Raise NotFound for an id that stands for nothing."""
        if identity not in self._solved:
            raise NotFound(f"no such ref: {identity}")

    @contextmanager
    def files(self, identity: str) -> Iterator[Path]:
        """Lend the root that an id stands for, to be looked at; NotFound where it stands for nothing."""
        self.check(identity)
        with self._looks().files(self._solved[identity].target) as root:
            yield root

    def image(self, reference: ImageReference, platform: Platform, *, pull: bool) -> Image:
        """Return the image that the build would begin with."""
        return self._looks().image(reference, platform, pull=pull)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._changed:
            self._solving += 1
        try:
            yield
        finally:
            with self._changed:
                self._solving -= 1
                self._changed.notify_all()

    def _opened(self, options: Mapping[str, str]) -> Build:
        """Return the build, begun with the first that is solved."""
        with self._changed:
            self._check_canceled()
            if self._build is None:
                session = self._session()
                names = {name: options[f"{name}key"] for name in ("context", "dockerfile") if options.get(f"{name}key")}
                self._build = self._builder.open(session.renamed(names), self.feed.tell)
            return self._build

    def _looks(self) -> Build:
        """Return what to look around by: the build, or before it begins one of its own."""
        with self._changed:
            self._check_canceled()
            if self._build is not None:
                return self._build
            if self._looking is None:
                self._looking = self._builder.open(self._session(), self.feed.tell)
            return self._looking

    def _session(self) -> ClientSession:
        session = self._sessions.get(self.asked.session, _SESSION_S)
        if session is None:
            raise Unavailable(f"no active session for {self.asked.session}: context deadline exceeded")
        return session

    def _check_canceled(self) -> None:
        if self._canceled:
            raise Unavailable("context canceled")

    def _shown(self, result: Result, several: bool) -> ResultOf:
        """Return a result with ids of its own, and its configs, one for each platform where there are several."""
        refs: dict[str, Ref] = {}
        metadata = {name: bytes(value) for name, value in result.answers.items()}
        for each in result.targets:
            identity = secrets.token_hex(12)
            with self._changed:
                self._solved[identity] = _Solved(result, each)
            found = graph(each.reference, each.platform) if each.reference else None
            refs[str(each.platform)] = Ref(identity, found)
            key = f"{_CONFIG}/{each.platform}" if several else _CONFIG
            metadata[key] = json.dumps(each.config, separators=(",", ":")).encode()
        if several:
            listed = [{"ID": str(each.platform), "Platform": _platform(each.platform)} for each in result.targets]
            metadata["refs.platforms"] = json.dumps({"Platforms": listed}).encode()
            return ResultOf(refs=RefMap(refs), metadata=metadata)
        return ResultOf(ref=next(iter(refs.values()), Ref()), metadata=metadata)

    # The engine's part ----------------------------------------------------------------------------------------------

    def wait(self) -> Result | None:
        """Return what the client gives back, None for nothing; Fault is its own, Unavailable that it gave up."""
        with self._changed:
            while self._returned is None:
                self._check_canceled()
                self._changed.wait()
            returned = self._returned
        if isinstance(returned, Fault):
            raise returned
        return self._given_back(returned)

    def alone(self) -> Result | None:
        """Solve what the first call itself asks for, without a client's part."""
        return self._given_back(self.solve(self.asked.frontend, self.asked.frontend_attributes, {}))

    def _given_back(self, returned: ResultOf) -> Result | None:
        """Return which result the ids stand for."""
        refs = list(returned.refs.refs.values()) if returned.refs else [returned.ref] if returned.ref else []
        names = [each.id for each in refs if each.id] or [returned.old_ref] * bool(returned.old_ref)
        names += list(returned.old_refs.refs.values()) if returned.old_refs else []
        for each in names:
            self.check(each)
        found = [self._solved[each] for each in names]
        if not found:
            return None
        if all(each.result is found[0].result for each in found) and len(found) == len(found[0].result.targets):
            return found[0].result
        return Result(tuple(each.target for each in found))

    def export(self, result: Result | None) -> dict[str, str]:
        """Give a result to where it is to go; return what clients want to know of that."""
        caches = requests.cache_exports(self.asked.cache.exports if self.asked.cache else ())
        if result is None or self._build is None or not (self._exports or caches):
            return {}
        found = self._build.export(result, self._exports, caches)
        answers: dict[str, str] = {}
        for number, each in enumerate(found):
            stored = number < len(self._exports) and self._exports[number].store != ""
            answers.update(_answers(each, stored))
        return answers

    def cancel(self) -> None:
        """Make all that goes on fail; a repeated call does nothing more."""
        with self._changed:
            self._canceled = True
            builds = self._open()
            self._changed.notify_all()
            if self._ending is None:
                self._ending = threading.Timer(_LAST_WORDS_S, self.feed.close)
                self._ending.daemon = True
                self._ending.start()
        for each in builds:
            each.cancel()

    def over(self) -> None:
        """Say that nothing follows, once what was given up has said how its steps ended, or a moment later."""
        with self._changed:
            self._changed.wait_for(lambda: not self._solving, _LAST_WORDS_S)
        self.feed.close()

    def close(self) -> None:
        """Let go of the build, once all that goes on in it has ended."""
        with self._changed:
            self._canceled = True
            builds = self._open()
            if self._ending is not None:
                self._ending.cancel()
        self.feed.close()
        with ExitStack() as last:
            for each in builds:
                last.callback(each.close)

    def _open(self) -> tuple[Build, ...]:
        return tuple(each for each in (self._build, self._looking) if each is not None)


def _answers(exported: Exported, stored: bool) -> dict[str, str]:
    """Return what clients are told of an export, by BuildKit's names (exporter/containerimage/exptypes).

    What was stored in a folder of the client's is described, since the client keeps that folder's index.
    """
    found = {}
    digest = exported.digest or exported.image
    if exported.image:
        found["containerimage.config.digest"] = str(exported.image)
    if digest:
        found["containerimage.digest"] = str(digest)
    if exported.names:
        found["image.name"] = ",".join(exported.names)
    if stored and exported.digest:
        shown = _descriptor(exported.media_type, exported.digest, exported.size_bytes)
        found["containerimage.descriptor"] = base64.b64encode(shown.encode()).decode()
    for cache in exported.cache:
        if cache.type == "local":
            found["cache.manifest"] = _descriptor(cache.media_type, cache.digest, cache.size_bytes)
    return found


def _descriptor(media_type: str, digest: Digest, size_bytes: int) -> str:
    return json.dumps({"mediaType": media_type, "digest": str(digest), "size": size_bytes})


def _platform(platform: Platform) -> dict[str, str]:
    variant = {"variant": platform.variant} if platform.variant else {}
    return {"architecture": platform.architecture, "os": platform.os, **variant}


def _described() -> dict[str, bytes]:
    """Return which other requests than a build there are."""
    listed = [
        {"name": f"frontend.{name}", "version": "1.0.0", "type": "rpc", "description": text}
        for name, text in _SUBREQUESTS
    ]
    lines = [f"{each['name']:<32}{each['description']}" for each in listed]
    return {
        "result.json": json.dumps(listed, indent=2).encode(),
        "result.txt": "\n".join([f"{'NAME':<32}DESCRIPTION", *lines, ""]).encode(),
        "version": b"1.0.0",
    }
