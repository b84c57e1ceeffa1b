"""Images that are names, networks that do nothing, and a supervisor that only says what it has."""

import json

from attrs import evolve

from moby.contracts.image_registry import Credentials, Manifest, Match
from moby.contracts.images import HistoryStep, Image, ImageConfig, ImageUsage, Progress, Pruned, Removal, Sent
from moby.contracts.networks import Network
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import Corrupt, Denied, Invalid, NotFound
from moby.oci.digest import sha256

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE = "sha256:" + "a" * 64
MADE = "2026-01-02T03:04:05.600000000Z"


class FakeImages:
    """One image, `box`."""

    storage = "overlay"
    storage_error = None
    roots = ()

    def __init__(self):
        self.image = Image(
            Digest("sha256", "a" * 64),
            Digest("sha256", "b" * 64),
            (ImageReference("docker.io", "library/box", "latest"),),
            ImageConfig(command=("sh",), environment=("PATH=/bin",), labels={"a": "b"}),
            Platform(),
            (Digest("sha256", "c" * 64),),
            1234,
            MADE,
        )
        self.calls = []

    def storage_details(self, name=""):
        if self.storage_error is not None:
            raise self.storage_error
        if name:
            return {"UpperDir": f"/snapshots/{name}/fs"}
        return {"Backing Filesystem": "ext4", "userxattr": "false"}

    def mounts(self, container_id):
        if not self.roots:
            raise NotFound(f"No such container: {container_id}")
        return self.roots

    def get(self, name):
        if name in {"box", "box:latest", "new:tag", "x/y:z"} or str(self.image.id).startswith(name) or name == "a" * 64:
            return self.image
        raise NotFound(f"No such image: {name}:latest")

    def list(self, filters=None, *, all=False):
        self.calls.append(("list", dict(filters or {}), all))
        return (self.image,)

    def history(self, name):
        self.get(name)
        return (HistoryStep(MADE, "sh", "said", 5, self.image.id, self.image.references), HistoryStep())

    def tag(self, name, reference):
        self.get(name)
        self.calls.append(("tag", str(reference)))

    def remove(self, name, *, force=False, prune=True, running=()):
        self.get(name)
        self.calls.append(("remove", name, force, prune, tuple(running)))
        return (Removal("box:latest"), Removal(IMAGE, deleted=True))

    def prune(self, filters=None):
        self.calls.append(("prune", dict(filters or {})))
        return Pruned((Removal(IMAGE, deleted=True),), 99)

    def pull(self, reference, credentials=None, *, platform=None):
        self.calls.append(("pull", reference, credentials, platform))
        if reference.path == "library/denied":
            raise Denied("pull access denied for denied", hint="docker login")
        if reference.path == "library/absent":
            raise NotFound("manifest for absent:latest not found: manifest unknown")
        yield Progress("Pulling from library/box", "latest", final=True)
        yield Progress("Pulling fs layer", "abc")
        if reference.path == "library/broken":
            raise Corrupt("layer abc is damaged")
        yield Progress("Downloading", "abc", 5, 10)
        yield Progress("Digest: sha256:1", final=True, image=self.image)

    def push(self, reference, credentials=None):
        self.calls.append(("push", reference, credentials))
        yield Progress("The push refers to repository [docker.io/library/box]", final=True)
        if reference.path == "library/denied":
            raise Denied("denied: requested access to the resource is denied")
        yield Progress("Pushed", "abc")
        yield Progress(sent=Sent("latest", Digest("sha256", "d" * 64), 99))

    def load(self, stream, *, platform=None):
        size = 0
        while chunk := stream.read(1 << 16):
            size += len(chunk)
            if chunk.startswith(b"junk"):
                raise Invalid("no tar archive")
        yield Progress(status="Loading layer", id="abc", current=5, total=10)
        self.calls.append(("load", size, platform))
        yield Progress(text="Loaded image: box:latest", image=self.image)

    def save(self, names):
        for each in names:
            self.get(each)
        self.calls.append(("save", tuple(names)))
        yield from [b"x" * 100_000] * 3

    def import_(self, stream, reference=None, *, changes=(), message="", platform=None):
        data = stream.read()
        if data.startswith(b"junk"):
            raise Invalid("no tar archive")
        self.calls.append(("import", len(data), reference, tuple(changes), message, platform))
        return self.image

    def usage(self):
        return (ImageUsage(self.image, 1234, 0, ("x",)),)

    def layers_bytes(self):
        return 1234


class FakeNetworks:
    """`none` and `host`."""

    def __init__(self):
        self.calls = []
        self.made = {
            name: Network(name[0] * 64, name, driver, MADE, predefined=True)
            for name, driver in (("none", "null"), ("host", "host"))
        }

    def drivers(self):
        return ("null", "host")

    def default(self):
        return "none"

    def get(self, name):
        if name not in self.made:
            raise NotFound(f"network {name} not found")
        return self.made[name]

    def list(self):
        return tuple(self.made[name] for name in sorted(self.made))

    def create(self, network):
        if network.driver == "bridge":
            raise NotFound('could not find plugin bridge in v1 plugin registry: plugin "bridge" not found')
        if network.name in self.made:
            raise Denied(f"operation is not permitted on predefined {network.name} network")
        self.made[network.name] = evolve(network, id="f" * 64, created=MADE)
        return self.made[network.name], ("a warning",)

    def remove(self, name):
        if self.get(name).predefined:
            raise Denied(f"{name} is a pre-defined network and cannot be removed")
        del self.made[name]


class FakeSupervisor:
    """Names of what it would have."""

    def runtimes(self):
        return ("native", "runc")

    def programs(self):
        return {"runc": ("1.1.15+ds1", "1.1.15+ds1-2"), "crun": ("1.21", "")}

    def log_drivers(self):
        return ("json-file", "none")


class FakeImageRegistry:
    """Knows one image, an index, and one user."""

    def __init__(self):
        self.config = b'{"architecture":"arm","variant":"v7","os":"linux","rootfs":{"type":"layers"}}'
        entries = [{"mediaType": MANIFEST, "digest": f"sha256:{'1' * 64}", "size": 1, "platform": each}
                   for each in ({"os": "linux", "architecture": "amd64"},
                                {"os": "linux", "architecture": "arm", "variant": "v7"})]  # fmt: skip
        self.manifests = {
            "library/box": {
                "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                "config": {"mediaType": "c", "digest": str(sha256(self.config)), "size": len(self.config)},
            },
            "library/large": {
                "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                "config": {"mediaType": "c", "digest": str(sha256(self.config)), "size": 1 << 40},
            },
            "library/several": {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries},
        }  # fmt: skip
        self.asked = []

    def manifest(self, reference, credentials=None):
        self.asked.append((reference, credentials))
        if reference.path == "library/denied":
            raise Denied("pull access denied for denied", hint="docker login")
        if reference.path not in self.manifests:
            raise NotFound(f"manifest for {reference.path} not found: manifest unknown")
        data = json.dumps(self.manifests[reference.path]).encode()
        return Manifest(sha256(data), self.manifests[reference.path]["mediaType"], data)

    def blob(self, reference, digest, size_bytes, credentials=None, *, offset=0):
        yield self.config

    def search(self, domain, words, credentials=None, *, limit=25):
        self.asked.append((domain, words, limit, credentials))
        return (Match("box", "Small", 7, is_official=True), Match("me/box", is_automated=True))

    def login(self, server, credentials):
        if credentials != Credentials("me", "secret"):
            raise Denied(f"login attempt to https://{server}/v2/ failed with status: 401 Unauthorized")
        return "kept"
