"""Real parts around the effects that aren't RUN, and short ways to say what is to be done."""

import io
import stat
import tarfile
import time
from contextlib import ExitStack, contextmanager

from moby_builder.dockerfile.effects.doing import Doing, Tools
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.operations import Copy, CopySource, EmptySource, ImageSource, LocalSource, Node
from moby_builder.dockerfile.solver.effects import Cancel, Tree
from moby_content.local.store import Store as Content
from moby_image_registry.folder.layouts import Layouts
from moby_images.store.parts import Parts
from moby_images.store.service import Store
from moby_metadata.sqlite.store import Store as Metadata
from moby_snapshotter.copy.snapshots import Copy as CopySnapshotter
from moby_snapshotter.overlay.snapshots import Overlay

from moby.contracts.ambient import Place
from moby.contracts.images import ImageConfig
from moby.contracts.types import Platform
from moby.errors import NotFound
from moby.oci import reference as references

SNAPSHOTTERS = {"overlay": Overlay, "copy": CopySnapshotter}


class Clock:
    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class Silent:
    """Events that nobody hears."""

    def publish(self, event):
        pass


class Ear:
    """A watch that keeps what is told."""

    def __init__(self):
        self.cancel = Cancel()
        self.said = b""
        self.progresses = []

    def log(self, stream, data):
        self.said += data

    def progress(self, name, current=0, total=0, *, done=False):
        self.progresses.append((name, current, total, done))


def tar(**files):
    """Return a tar: text is a file, None a folder, a tuple what a link leads to."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, what in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755 if what is None else 0o644
            if what is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(what, tuple):
                entry.type, entry.linkname = tarfile.SYMTYPE, what[0]
            else:
                entry.size = len(what)
            archive.addfile(entry, io.BytesIO(what.encode()) if isinstance(what, str) else None)
    return out.getvalue()


class Bench:
    """Parts in a folder, and what tests do with them."""

    def __init__(self, root, snapshotter="overlay"):
        self.root = root
        self.kind = snapshotter

    def __enter__(self):
        self.stack = ExitStack()
        for each in ("metadata", "snapshots", "content", "state", "run", "cache", "registry"):
            (self.root / each).mkdir(parents=True, exist_ok=True)
        self.metadata = self.stack.enter_context(Metadata(self.root / "metadata/db"))
        self.snapshotter = self.stack.enter_context(SNAPSHOTTERS[self.kind](self.root / "snapshots", self.metadata))
        self.content = Content(self.root / "content")
        images = Place(self.root / "state/images", self.root / "run/images", self.root / "cache/images")
        self.images = Store(
            Parts(self.content, self.snapshotter, self.metadata, Silent(), Clock(), images),
            Layouts(self.root / "registry"),
        )
        self.place = Place(self.root / "state/builder", self.root / "run/builder", self.root / "cache/builder")
        self.workspace = Workspace(self.snapshotter, self.place.run / "mounts")
        self.tools = Tools.of(
            self.images, self.content, self.snapshotter, self.metadata, self.workspace, None, self.place, Clock()
        )
        return self

    def __exit__(self, *_):
        active = [each.key for each in self.snapshotter.list() if each.key.startswith("builder/active/")]
        places = self.place.run / "mounts"
        left = list(places.iterdir()) if places.exists() else []
        self.stack.close()
        assert (active, left) == ([], [])

    @contextmanager
    def build(self, session, results=None):
        """Lend what does the operations of one build."""
        doing = Doing(self.tools, session, results or _no_result)
        try:
            yield doing
        finally:
            doing.close()

    def base(self, key, layer):
        """Make a committed snapshot of a tar; return its tree."""
        self.snapshotter.prepare(f"filling-{key}")
        self.snapshotter.apply(f"filling-{key}", io.BytesIO(layer))
        self.snapshotter.commit(key, f"filling-{key}")
        return Tree(key)

    def image(self, name, layer):
        """Store an image with one layer; return the source that names it."""
        self.images.add(references.parse(name), [io.BytesIO(layer)], ImageConfig())
        return Node(ImageSource(references.parse(name), Platform.host()))

    def seen(self, tree):
        """Return what is in a tree by path: type letter and mode, owner, and text, link or nothing."""
        with self.workspace.reading(tree) as root:
            return dict(_seen(root, ""))

    def layer(self, tree):
        """Return the entries of the layer that a snapshot is, by name."""
        data = b"".join(self.snapshotter.diff(tree.snapshot))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {each.name: each for each in archive.getmembers()}


def _no_result(reference):
    raise NotFound(f"no result {reference}")


def _seen(root, path):
    for each in sorted((root / path).iterdir()):
        inner = f"{path}/{each.name}" if path else each.name
        found = each.lstat()
        kind = {stat.S_IFDIR: "d", stat.S_IFREG: "-", stat.S_IFLNK: "l"}.get(stat.S_IFMT(found.st_mode), "o")
        text = ""
        if kind == "-":
            text = each.read_bytes().decode(errors="replace")
        elif kind == "l":
            text = str(each.readlink())
        mode = "" if kind == "l" else f"{stat.S_IMODE(found.st_mode):o}"
        yield inner, (kind + mode, f"{found.st_uid}:{found.st_gid}", text)
        if kind == "d":
            yield from _seen(root, inner)


def copying(*paths, to, on=None, source=None, **options):
    """Return a node that copies paths of a source (the context) onto a root (nothing)."""
    per_source = {name: options.pop(name) for name in ("exclude", "unpack") if name in options}
    sources = tuple(CopySource(1, path, **per_source) for path in paths)
    inputs = (on or Node(EmptySource()), source or Node(LocalSource("context")))
    return Node(Copy(sources, to, **options), inputs)
