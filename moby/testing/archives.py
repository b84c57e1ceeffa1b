"""Archives of images as tools of every age write them, for tests."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from moby.oci.digest import sha256

__all__ = ["Archived", "archive", "docker", "layout", "legacy"]


def archive(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """Return a tar of files, and of symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return out.getvalue()


class Archived:
    """An image: layers, plain and as they are stored, a config, a manifest."""

    def __init__(
        self, layers: Sequence[bytes], *, packed: Sequence[bytes] = (), architecture: str = "amd64", **config: Any
    ) -> None:
        self.layers = list(layers)
        self.packed = list(packed) or self.layers
        document = {
            "architecture": architecture, "os": "linux", "config": config, "created": "2020-01-02T03:04:05Z",
            "rootfs": {"type": "layers", "diff_ids": [str(sha256(each)) for each in layers]},
            "history": [{"created_by": f"step {number}"} for number, _ in enumerate(layers)],
        }  # fmt: skip
        self.config = json.dumps(document).encode()
        self.id = str(sha256(self.config))
        kinds = {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}
        self.manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described(self.config, "application/vnd.oci.image.config.v1+json"),
            "layers": [
                described(each, "application/vnd.oci.image.layer.v1.tar" + kinds.get(each[:2], ""))
                for each in self.packed
            ],
        }).encode()  # fmt: skip

    @property
    def blobs(self) -> dict[str, bytes]:
        """Its files in a layout."""
        return blobs(self.config, self.manifest, *self.packed)


def described(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Return a descriptor."""
    return {"mediaType": media_type, "digest": str(sha256(data)), "size": len(data), **more}


def blobs(*datas: bytes) -> dict[str, bytes]:
    """Return files of a layout, by path."""
    return {f"blobs/sha256/{hashlib.sha256(each).hexdigest()}": each for each in datas}


def layout(manifests: Sequence[Mapping[str, Any]], *images: Archived, **more: bytes) -> bytes:
    """Return an OCI layout with an index of these descriptors."""
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list(manifests)}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(), **more}
    for each in images:
        files |= each.blobs
    return archive(files)


def docker(image: Archived, *names: str, linked: bool = False) -> bytes:
    """Return what `docker save` wrote from 1.10 to 24; `linked` has a layer that stands twice as a link."""
    files: dict[str, bytes] = {}
    paths, links = [], {}
    for number, each in enumerate(image.packed):
        path = f"{number:064x}/layer.tar"
        paths.append(path)
        if linked and each in files.values():
            first = next(key for key, value in files.items() if value == each)
            links[path] = f"../{first}"
        else:
            files[path] = each
        files[f"{number:064x}/VERSION"] = b"1.0"
        files[f"{number:064x}/json"] = b"{}"
    config = f"{image.id.removeprefix('sha256:')}.json"
    files[config] = image.config
    files["manifest.json"] = json.dumps([{"Config": config, "RepoTags": list(names) or None, "Layers": paths}]).encode()
    return archive(files, links)


def legacy(layers: Sequence[bytes], repositories: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return what `docker save` wrote before 1.10: a folder for each layer, named 0, 1 and so on."""
    files = {"repositories": json.dumps(repositories).encode()}
    for number, each in enumerate(layers):
        step = {
            "id": str(number), "parent": str(number - 1) if number else "", "created": "2014-01-02T03:04:05Z",
            "container_config": {"Cmd": ["/bin/sh", "-c", f"step {number}"]}, "config": {"Cmd": ["sh"]},
            "architecture": "amd64", "os": "linux",
        }  # fmt: skip
        files |= {f"{number}/VERSION": b"1.0", f"{number}/json": json.dumps(step).encode(), f"{number}/layer.tar": each}
    return archive(files)
