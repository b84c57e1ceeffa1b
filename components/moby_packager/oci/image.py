"""The image: a layout of OCI in a tar that docker, which wants a manifest of its own, loads as well."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.contracts.packager import FORMAT, Artifact, Source
from moby_packager.trees.nodes import Node, below, folder, link, plain, read, with_folders, write
from moby_packager.trees.shares import added, shares, weights

__all__ = ["Oci"]

PLACE = "usr/lib/moby"
"""Where the tree lies, whatever the engine is called, so that engines share a layer."""
EMPTY = (("dev", 0o755), ("proc", 0o755), ("root", 0o700), ("run", 0o755), ("sys", 0o755), ("tmp", 0o1777))
USERS = {"etc/passwd": b"root:x:0:0:root:/root:/bin/false\n", "etc/group": b"root:x:0:\n"}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"


@frozen
class _Layer:
    """A layer, and whose its files are."""

    nodes: Sequence[Node]
    diff_id: str
    data: bytes


@frozen
class Oci:
    """Builds the image; as a value it can be used from many threads."""

    tag: str = ""
    command: tuple[str, ...] = ("serve",)
    level: int = 6

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.oci`."""
        assert source.given is not None, "the component says what it takes"
        nodes = read(source.given.path().read_bytes())
        own = {f"{source.name}.pyz", f"bin/{source.name}"}
        lower = below([node for node in nodes if node.path not in own], PLACE)
        lower += [folder(name, mode) for name, mode in EMPTY]
        lower += [plain(name, data, FORMAT) for name, data in USERS.items()]
        upper = below([node for node in nodes if node.path in own], PLACE)
        upper += [link(f"usr/bin/{source.name}", f"../lib/moby/bin/{source.name}"), folder("var/lib/moby", 0o711)]
        layers = [self._layer(each, source.epoch_s) for each in (lower, upper)]
        data = _layout(layers, self._config(source, layers), self.tag or f"{source.name}:latest", source.epoch_s)
        (out / f"{source.name}.oci").write_bytes(data)
        counted = [shares(len(each.data), weights(n for n in each.nodes if not n.is_folder)) for each in layers]
        rest = len(data) - sum(len(each.data) for each in layers)
        return Artifact((Path(f"{source.name}.oci"),), added(*counted, {FORMAT: rest}))

    def fingerprint(self) -> str:
        """Return what compresses."""
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}"

    def _layer(self, nodes: Sequence[Node], epoch_s: int) -> _Layer:
        content = write(with_folders(nodes), epoch_s)
        return _Layer(nodes, _digest(content), gzip.compress(content, self.level, mtime=0))

    def _config(self, source: Source, layers: Sequence[_Layer]) -> dict[str, Any]:
        """Return the image's configuration (OCI image specification, config.md)."""
        created = datetime.fromtimestamp(source.epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        steps = ("the interpreter that it runs on", f"the engine {source.name}")
        return {
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": [f"/usr/bin/{source.name}"],
                "Cmd": list(self.command),
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Labels": {"org.opencontainers.image.title": source.name},
                "Volumes": {"/var/lib/moby": {}},
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
            "history": [{"created": created, "created_by": f"moby assemble: {each}"} for each in steps],
        }


def _layout(layers: Sequence[_Layer], config: dict[str, Any], tag: str, epoch_s: int) -> bytes:
    """Return a tar with an image's layout (image-layout.md), and what `docker load` reads beside it."""
    blobs = [each.data for each in layers]
    about = _json(config)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, about),
            "layers": [_descriptor(LAYER, each) for each in blobs],
        }
    )
    names = {"org.opencontainers.image.ref.name": tag.rpartition(":")[2], "io.containerd.image.name": _full(tag)}
    platform = {"architecture": "amd64", "os": "linux"}
    described = {**_descriptor(MANIFEST, manifest), "annotations": names, "platform": platform}
    docker = {"Config": _place(about), "RepoTags": [tag], "Layers": [_place(each) for each in blobs]}
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [described]}),
        "manifest.json": _json([docker]),
        **{_place(each): each for each in (about, manifest, *blobs)},
    }
    return write(with_folders(plain(name, data, FORMAT) for name, data in files.items()), epoch_s)


def _full(tag: str) -> str:
    """Return an image's name as containerd keeps it, with its image registry."""
    first, slash, _ = tag.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return tag
    return f"docker.io/{tag}" if slash else f"docker.io/library/{tag}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _place(data: bytes) -> str:
    return f"blobs/{_digest(data).replace(':', '/')}"


def _descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}
