"""Cases of Dockerfiles as data, what answers a front end's questions in them, and plans as text."""

import json
from pathlib import Path

from attrs import fields, frozen
from moby_builder.dockerfile.frontend.plan import FoundImage
from moby_builder.dockerfile.operations import ImageSource, LayoutSource, ancestors

from moby.contracts.builder import Request
from moby.contracts.types import Platform
from moby.errors import NotFound

CASES = Path(__file__).parent / "cases"
BOX = {"Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/"}
RICH = {
    "Env": ["PATH=/bin", "COLOR=red"], "Cmd": ["sleep", "9"], "Entrypoint": ["sh", "-c"], "Labels": {"a": "rich"},
    "User": "user", "WorkingDir": "/home", "Volumes": {"/v": {}}, "ExposedPorts": {"7/tcp": {}},
    "StopSignal": "SIGINT", "Healthcheck": {"Test": ["CMD", "true"]}, "Shell": ["sh", "-x", "-c"],
}  # fmt: skip
TRIGGER = {"OnBuild": ["ENV T=1", "COPY a /trigger/", "RUN echo $T"]}
IMAGES = {
    "localhost/box:latest": BOX,
    "localhost/rich:1": {**BOX, **RICH},
    "localhost/trigger:1": {**BOX, **TRIGGER},
}
"""The images that dockerd gets too, and their configs."""
OTHERS = {
    "localhost/takes:1": {**BOX, "OnBuild": ["COPY --from=localhost/rich:1 /etc/group /g"]},
    "localhost/badtrigger:1": {**BOX, "OnBuild": ["FROM scratch"]},
    "localhost/empty:1": {"Env": ["E=1"]},
    f"sha256:{'1' * 64}": RICH,
}
"""More images of the cases; all but the empty one have a layer."""


@frozen
class Case:
    """A Dockerfile, its context, what is asked for, and what is to come of it."""

    name: str

    @property
    def folder(self):
        return CASES / self.name

    @property
    def dockerfile(self):
        return (self.folder / "Dockerfile").read_bytes()

    @property
    def asked(self):
        path = self.folder / "request.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def request(self):
        asked = self.asked
        platforms = tuple(Platform(*each.split("/")) for each in asked.pop("platforms", ()))
        allow = frozenset(asked.pop("allow", ()))
        rows = {name: tuple(map(tuple, asked.pop(name, ()))) for name in ("hosts", "ulimits")}
        stages = tuple(asked.pop("no_cache_stages", ()))
        return Request(network="none", platforms=platforms, allow=allow, no_cache_stages=stages, **rows, **asked)

    @property
    def expected(self):
        return json.loads((self.folder / "expected.json").read_text())

    @property
    def graph(self):
        path = self.folder / "graph.txt"
        return path.read_text() if path.exists() else ""

    @property
    def lookup(self):
        context = self.folder / "context"
        files = {str(path.relative_to(context)): path.read_bytes() for path in context.rglob("*") if path.is_file()}
        folders = {"dockerfile": {"Dockerfile": self.dockerfile}, "context": files}
        return Answers(folders, IMAGES | OTHERS, {"r1": {"architecture": "amd64", "os": "linux", "config": RICH}})


def cases():
    """Return all cases, by name."""
    return [Case(each.name) for each in sorted(CASES.iterdir()) if (each / "Dockerfile").exists()]


class Answers:
    """A lookup that knows some images, some results, and files of the client's folders or of other sources."""

    def __init__(self, folders, images=IMAGES, results=None):
        self._folders = folders
        self._images = images
        self._results = results or {}
        self.asked = []
        """What was asked for, in order."""

    def image(self, node):
        self.asked.append(node.name)
        source = node.operation
        assert isinstance(source, ImageSource | LayoutSource)
        name = str(source.reference) if isinstance(source, ImageSource) else str(source.digest)
        if name not in self._images:
            raise NotFound(f"{name}: not found")
        parts = {"type": "layers", "diff_ids": [] if "empty" in name else [f"sha256:{'0' * 64}"]}
        config = {"architecture": "amd64", "os": "linux", "config": self._images[name], "rootfs": parts}
        return FoundImage(getattr(source, "reference", None), config)

    def result(self, reference):
        return self._results[reference]

    def file(self, node, path, most_bytes):
        self.asked.append(f"{node.name}: {path}")
        folder = self._folders.get(getattr(node.operation, "name", "") or getattr(node.operation, "url", ""), {})
        if path not in folder:
            raise NotFound(f"{path}: no such file or directory")
        return folder[path]


def written(plan):
    """Return the graphs of a plan, a node in some lines: its number and name, what it does, its inputs."""
    lines = []
    for target in plan.targets:
        if len(plan.targets) > 1:
            lines.append(f"# {target.platform}")
        numbers = {}
        for number, node in enumerate(ancestors(target.root), 1):
            numbers[node.digest] = number
            inputs = " ".join(str(numbers[each.digest]) for each in node.inputs)
            ranges = "".join(f" @{each.first}-{each.last}" for each in node.ranges)
            flags = (" no-cache" if node.ignore_cache else "") + (f" epoch={node.epoch_s}" if node.epoch_s else "")
            lines.append(f"{number}{ranges}{flags} {node.name}".rstrip())
            lines.append(f"    {type(node.operation).__name__}" + (f" of {inputs}" if inputs else ""))
            lines += [f"    {line}" for line in _parts(node.operation)]
    return "\n".join(lines) + "\n"


def _parts(value):
    """Return the fields of a value that aren't what they are by themselves, one a line."""
    for each in fields(type(value)):
        found = getattr(value, each.name)
        plain = each.default.factory() if hasattr(each.default, "factory") else each.default
        if found == plain:
            continue
        if isinstance(found, tuple) and found and hasattr(found[0], "__attrs_attrs__"):
            for one in found:
                yield f"{each.name}: " + ", ".join(_parts(one))
        elif hasattr(found, "__attrs_attrs__") and type(found).__name__ in {"Selection", "Owner"}:
            yield f"{each.name}: " + ", ".join(_parts(found))
        elif isinstance(found, tuple):
            yield f"{each.name}: " + json.dumps([str(one) for one in found])
        else:
            yield f"{each.name}: {found!r}" if isinstance(found, bytes) else f"{each.name}: {found}"
