"""An image of the machine's own programs, as one archive that every engine loads: no image registry is asked."""

import hashlib
import io
import json
import tarfile

from moby.testing.bundles import PROGRAMS, make_rootfs

NAME = "localhost/box:latest"
_MORE = (
    "cp", "chmod", "chown", "date", "dd", "df", "grep", "head", "hostname", "kill", "mknod", "mount", "mv", "nice",
    "pwd", "ps", "rm", "seq", "sort", "stty", "tail", "tr", "umount", "uname", "wc", "which", "chroot", "setpriv",
    "unshare", "sync", "timeout", "yes", "nproc", "printf", "false", "dmesg", "ln", "ip",
)  # fmt: skip
_USERS = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n"
_GROUPS = "root:x:0:\ndaemon:x:1:\nuser:x:1000:\nextra:x:2000:user\n"


def _digest(data):
    return hashlib.sha256(data).hexdigest()


def _layer(rootfs):
    (rootfs / "etc/passwd").write_text(_USERS)
    (rootfs / "etc/group").write_text(_GROUPS)
    (rootfs / "home").mkdir(exist_ok=True)
    (rootfs / "var/tmp").mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as layer:
        layer.add(rootfs, ".", filter=lambda each: each.replace(uid=0, gid=0, uname="", gname="", deep=False))
    return out.getvalue()


def _config(layer, **more):
    fields = {"Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/", **more}
    parts = {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]}
    return json.dumps({"architecture": "amd64", "os": "linux", "config": fields, "rootfs": parts}).encode()


def _described(kind, data):
    media = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media, "digest": f"sha256:{_digest(data)}", "size": len(data)}


def archive(path, folder, name=NAME, **config):
    """Write an image to `path`, as an OCI layout that is a docker archive too; `config` adds to its config."""
    layer = _layer(make_rootfs(folder, (*PROGRAMS, *_MORE)))
    settings = _config(layer, **config)
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _described("config.v1+json", settings), "layers": [_described("layer.v1.tar", layer)],
    }).encode()  # fmt: skip
    entry = _described("manifest.v1+json", manifest) | {
        "annotations": {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    }
    blobs = {f"blobs/sha256/{_digest(data)}": data for data in (layer, settings, manifest)}
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        "manifest.json": json.dumps([{
            "Config": f"blobs/sha256/{_digest(settings)}", "RepoTags": [name],
            "Layers": [f"blobs/sha256/{_digest(layer)}"],
        }]).encode(),
        **blobs,
    }  # fmt: skip
    with tarfile.open(path, "w") as out:
        for each, data in files.items():
            member = tarfile.TarInfo(each)
            member.size, member.mode = len(data), 0o644
            out.addfile(member, io.BytesIO(data))
    return path
