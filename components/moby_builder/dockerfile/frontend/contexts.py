"""Contexts: where the Dockerfile is, and the folders, repositories and images that files are taken of."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from posixpath import basename, dirname, join, normpath
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen

from moby.context.patterns import read_ignore_file
from moby.contracts.builder import BuildFailed, Request, Selection
from moby.contracts.types import Platform
from moby.errors import Invalid, NotFound
from moby.oci import digest as digests
from moby.oci import reference as references
from moby_builder.dockerfile.frontend import gitrefs, platforms
from moby_builder.dockerfile.frontend.plan import Lookup
from moby_builder.dockerfile.operations import (
    EmptySource,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    Node,
    ResultSource,
    StreamSource,
)

__all__ = ["Contexts", "Definition", "Folder", "Found", "is_url", "url_filename"]

_DOCKERFILE = "Dockerfile"
_IGNORE = ".dockerignore"
_DOWNLOADED = "context"
"""What a URL's file is called that is the context and no archive."""
_MOST_BYTES = 16 << 20


class Folder:
    """A folder that the client lends; of all that is in it, only what turns out to be used is wanted."""

    def __init__(self, name: str, title: str) -> None:
        self.stand_in = Node(LocalSource(name), name=title)
        """Stands for it in the graph until all uses are known."""
        self.exclude: tuple[str, ...] = ()
        self._name = name
        self._title = title
        self._paths: set[str] = set()

    def use(self, path: str) -> None:
        """Say that a file or folder, which may have wildcards, is used."""
        self._paths.add(normpath(join("/", path)).lstrip("/"))

    @property
    def used(self) -> bool:
        """Whether anything is wanted of it."""
        return bool(self._paths)

    def node(self) -> Node:
        """Return what brings just what is used."""
        follow = () if "" in self._paths else tuple(sorted(self._paths))
        return Node(LocalSource(self._name, Selection(exclude=self.exclude, follow=follow)), name=self._title)


@frozen
class Definition:
    """The Dockerfile as it was read."""

    node: Node
    name: str
    data: bytes
    ignore: bytes | None = None
    """The .dockerignore that is its own."""


@frozen
class Found:
    """What a context's name stands for."""

    node: Node
    document: Mapping[str, Any] | None = field(default=None)
    """The config, where it is an image."""
    folder: Folder | None = None


class Contexts:
    """What a request says where files are, looked up as far as that is needed."""

    def __init__(self, request: Request, lookup: Lookup) -> None:
        self._request = request
        self._lookup = lookup
        self._ignore: bytes | None = None
        self._ignored: tuple[str, ...] | None = None
        self._named: dict[str, Found] = {}
        self.folder: Folder | None = None
        """The build's context where the client lends it."""
        self._remote = _remote(request)
        if self._remote is None:
            self.folder = Folder("context", "[internal] load build context")

    def definition(self) -> Definition:
        """Read the Dockerfile; BuildFailed where it isn't there."""
        path = normpath(self._request.dockerfile)
        lent = Node(
            LocalSource("dockerfile", Selection(follow=_names(path))),
            name=f"[internal] load build definition from {path}",
        )
        for node in (lent, self._remote or self._in_context(path)):
            found = self._read(node, path)
            if found is not None:
                self._ignore = found.ignore
                return found
        raise BuildFailed(f"failed to read dockerfile: open {path}: no such file or directory")

    def main(self) -> Node:
        """Return the build's context, or what stands for it yet."""
        if self._remote is not None:
            return self._remote
        assert self.folder is not None
        return self.folder.stand_in

    def ignored(self) -> tuple[str, ...]:
        """Return the patterns of what the build's context is without, where the client lends it."""
        if self._ignored is None:
            self._ignored = self._read_ignored()
        return self._ignored

    def named(self, name: str, platform: Platform) -> Found | None:
        """Return what the request says that a stage or an image stands for, or None."""
        for key in self._keys(name, platform):
            if key in self._request.contexts:
                cached = f"{key} {platform}"
                if cached not in self._named:
                    self._named[cached] = self._resolve(key, self._request.contexts[key], platform)
                return self._named[cached]
        return None

    def knows(self, name: str, platform: Platform) -> bool:
        """Whether the request says what a stage or an image stands for."""
        return any(key in self._request.contexts for key in self._keys(name, platform))

    def folders(self) -> tuple[Folder, ...]:
        """Return all folders that stand in the graph yet, with what they are without."""
        found = [each.folder for each in self._named.values() if each.folder is not None]
        if self.folder is not None and self.folder.used:
            self.folder.exclude = self.ignored()
            found.append(self.folder)
        return tuple(found)

    def _keys(self, name: str, platform: Platform) -> tuple[str, ...]:
        if not self._request.contexts or name.lower() in {"scratch", "context"}:
            return ()
        try:
            short = references.familiar(references.parse(name)).removesuffix(":latest")
        except Invalid:
            short = name
        return (f"{short}::{platforms.normalize(platform)}", short)

    def _in_context(self, path: str) -> Node:
        """Return the Dockerfile's part of the folder `context`."""
        title = f"[internal] load build definition from {path}"
        return Node(LocalSource("context", Selection(follow=_names(path))), name=title)

    def _read(self, node: Node, path: str) -> Definition | None:
        for name in _spellings(path):
            data = self._file(node, name)
            if data is not None:
                return Definition(node, path, data, self._file(node, path + _IGNORE))
        if isinstance(node.operation, HttpSource):
            data = self._file(node, _DOWNLOADED)
            if data is not None:
                return Definition(node, _DOWNLOADED, data)
        return None

    def _file(self, node: Node, path: str) -> bytes | None:
        try:
            return self._lookup.file(node, path, _MOST_BYTES)
        except NotFound:
            return None

    def _read_ignored(self) -> tuple[str, ...]:
        if self._ignore is None:
            node = Node(LocalSource("context", Selection(follow=(_IGNORE,))), name=f"[internal] load {_IGNORE}")
            self._ignore = self._file(node, _IGNORE)
        return read_ignore_file(self._ignore or b"")

    def _resolve(self, name: str, value: str, platform: Platform) -> Found:
        kind, colon, rest = value.partition(":")
        if not colon:
            raise BuildFailed(f"invalid context specifier {value} for {name}")
        rest = rest.removeprefix("//")
        match "git" if kind.startswith("git@") else kind:
            case "docker-image":
                return self._image(name, rest, platform)
            case "oci-layout":
                return self._layout(name, rest, platform)
            case "local":
                return self._local(name, rest)
            case "result":
                document = self._lookup.result(rest)
                return Found(Node(ResultSource(rest), platform=platform, name=f"[context {name}] {rest}"), document)
            case "git" | "http" | "https" | "ssh":
                return Found(_remote_named(name, value))
        raise BuildFailed(f"unsupported context source {kind} for {name}")

    def _image(self, name: str, text: str, platform: Platform) -> Found:
        if text == "scratch":
            return Found(Node(EmptySource()))
        reference = references.parse(text)
        asked = Node(
            ImageSource(reference, platform, self._request.pull),
            name=f"[context {name}] load metadata for {text}",
            platform=platform,
        )
        try:
            found = self._lookup.image(asked)
        except NotFound as error:
            said = f"failed to resolve source metadata for {reference}: {error.message}"
            raise NotFound(said, hint=error.hint) from error
        source = ImageSource(found.reference, platform)
        return Found(Node(source, name=f"[context {name}] {text}", platform=platform), found.config)

    def _layout(self, name: str, text: str, platform: Platform) -> Found:
        store, _, digest = text.partition("@")
        if not digest:
            raise BuildFailed(f'oci-layout reference "{text}" has no digest')
        store = store.partition(":")[0]
        node = Node(
            LayoutSource(store, digests.parse(digest), platform),
            name=f"[context {name}] OCI load from client",
            platform=platform,
        )
        return Found(node, self._lookup.image(node).config)

    def _local(self, name: str, folder_name: str) -> Found:
        node = Node(LocalSource(folder_name, Selection(follow=(_IGNORE,))), name=f"[context {name}] load {_IGNORE}")
        folder = Folder(folder_name, f"[context {name}] load from client")
        folder.exclude = read_ignore_file(self._file(node, _IGNORE) or b"")
        return Found(folder.stand_in, folder=folder)


def is_url(text: str) -> bool:
    """Whether a file of a web server is meant."""
    return text.startswith(("http://", "https://")) and gitrefs.parse(text) is None


def url_filename(url: str) -> str:
    """Return what the file of a URL is called."""
    return PurePosixPath(urlsplit(url).path).name or "__unnamed__"


def _remote(request: Request) -> Node | None:
    """Return a build's context that isn't the client's folder."""
    context = request.context
    if not context:
        return None
    if context.startswith("stream:"):
        return Node(StreamSource(context.removeprefix("stream:")), name="[internal] load remote build context")
    repository = gitrefs.parse(context)
    if repository is not None:
        keep = request.arguments.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "").lower() in {"1", "t", "true"}
        return Node(repository.source(keep_git=keep), name=f"[internal] load git source {context}")
    if context.startswith(("http://", "https://")):
        operation = HttpSource(context, _DOWNLOADED, unpack=True)
        return Node(operation, name="[internal] load remote build context")
    raise Invalid(f"no context is called {context!r}", hint="give a git or HTTP URL, stream:NAME, or nothing")


def _remote_named(name: str, value: str) -> Node:
    repository = gitrefs.parse(value)
    operation: GitSource | HttpSource
    if repository is not None:
        operation = repository.source(keep_git=True)
    elif value.startswith(("http://", "https://")):
        operation = HttpSource(value, url_filename(value))
    else:
        raise BuildFailed(f"invalid git context {value}")
    return Node(operation, name=f"[context {name}] {value}")


def _names(path: str) -> tuple[str, ...]:
    """Return all that may be wanted of the Dockerfile's folder."""
    return (*_spellings(path), path + _IGNORE)


def _spellings(path: str) -> tuple[str, ...]:
    if basename(path) != _DOCKERFILE:
        return (path,)
    return (path, join(dirname(path), _DOCKERFILE.lower()))
