import io
import json
import os

import pytest
from image_registry.services.faulty import Faulty
from image_registry.services.real import registry
from moby_image_registry.distribution.registry import Distribution
from moby_image_registry.distribution.settings import Settings

from moby.contracts.image_registry import Manifest
from moby.contracts.types import ImageReference
from moby.oci import digest as digests
from moby.surroundings import Roots, Surroundings


class Image:
    """A small image, as what is sent."""

    def __init__(self, seed=b"", size=300_000):
        self.layer = os.urandom(size)
        self.config = json.dumps({"architecture": "amd64", "os": "linux", "seed": seed.decode()}).encode()
        self.blobs = (self.config, self.layer)
        media = "application/vnd.oci.image.manifest.v1+json"
        described = [{"mediaType": "application/octet-stream", "digest": str(digests.sha256(each)), "size": len(each)}
                     for each in self.blobs]  # fmt: skip
        data = json.dumps({
            "schemaVersion": 2, "mediaType": media, "config": described[0], "layers": described[1:],
        }).encode()  # fmt: skip
        self.manifest = Manifest(digests.sha256(data), media, data)

    def push(self, client, reference, credentials=None, **more):
        results = [
            client.push_blob(reference, digests.sha256(each), len(each), lambda each=each: io.BytesIO(each),
                             credentials, **more)
            for each in self.blobs
        ]  # fmt: skip
        client.push_manifest(reference, self.manifest, credentials)
        return results


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def service(tmp_path_factory):
    """A real image registry that asks nobody who they are."""
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def guarded(tmp_path_factory):
    """A real one that wants a password."""
    with registry(tmp_path_factory.mktemp("guarded"), passwords=True) as host:
        yield host


@pytest.fixture
def around(tmp_path):
    return Surroundings(Roots.under(tmp_path / "engine", "tests"))


@pytest.fixture
def waits():
    """How long the client wanted to wait each time; it doesn't."""
    return []


@pytest.fixture
def make(around, waits):
    """Makes clients."""

    def client(**settings):
        return Distribution(Settings(**settings), around.clock, around.log("image-registry"), waits.append)

    return client


@pytest.fixture
def client(make):
    return make()


@pytest.fixture
def image():
    return Image()


@pytest.fixture
def reference(service, request):
    """A name at the real image registry that no other test has."""
    name = "".join(each if each.isalnum() else "-" for each in request.node.name.lower()).strip("-")
    return ImageReference(service, f"tests/{name}", "1")


@pytest.fixture
def faulty(service):
    """A service before the real one that does as it is told."""
    with Faulty(service) as found:
        yield found


@pytest.fixture
def there(client, image, reference, faulty):
    """An image that the real one has, by its name at the faulty one."""
    image.push(client, reference)
    return ImageReference(faulty.host, reference.path, "1")
