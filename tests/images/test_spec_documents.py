"""All documents that a store writes, held against what image-spec says of them."""

import io
import json
import tarfile

import jsonschema
import pytest
from images.spec_schemas import CONFIG, DESCRIPTOR, INDEX, LAYOUT, MANIFEST, hold, hold_image
from images.store_parts import parts, store_of
from moby_image_registry.folder.layouts import Layouts
from moby_metadata.sqlite.store import Store as Metadata

from moby.contracts.images import ImageConfig
from moby.contracts.types import Platform
from moby.oci.reference import parse
from moby.testing.images import layer_of

DIGEST = "sha256:" + "0" * 64
RICH = ImageConfig(
    entrypoint=("/bin/sh", "-c"), command=("true",), environment=("A=1", "B="), user="me:us",
    working_directory="/w", stop_signal="SIGTERM", labels={"a": "b"}, exposed_ports=("53/udp", "80/tcp"),
    volumes=("/data",), healthcheck={"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 2},
    shell=("/bin/bash",), on_build=("RUN true",), args_escaped=True,
)  # fmt: skip
CHANGES = ("ENV A=1", "EXPOSE 80", "LABEL a=b", "HEALTHCHECK --interval=3s CMD true", "CMD sh", "STOPSIGNAL SIGINT")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store, its content and an image registry."""
    base = tmp_path_factory.mktemp("store")
    with Metadata(base / "metadata.db") as metadata:
        made, registry = parts(base, metadata), Layouts(base / "registry")
        yield store_of(made, registry), made.content, registry


def of_first_release():
    """An archive as Docker wrote them before 1.10, whose config is made of its layers' documents."""
    step = {"id": "l", "created": "2014-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
            "container_config": {"Cmd": ["/bin/sh"]}, "config": {"Cmd": ["sh"]}}  # fmt: skip
    files = {"repositories": {"old": {"1": "l"}}, "l/json": step}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in [*((name, json.dumps(each).encode()) for name, each in files.items()),
                           ("l/layer.tar", layer_of({"a": b"a"}))]:  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


def added(store):
    return store.add(parse("added:1"), [io.BytesIO(layer_of({"a": b"a"}))], RICH, created="2024-01-01T00:00:00Z")


def bare(store):
    return store.add(parse("bare:1"), [], ImageConfig())


def imported(store):
    tar = io.BytesIO(layer_of({"b": b"b"}))
    return store.import_(tar, changes=CHANGES, message="as given", platform=Platform("linux", "arm", "v7"))


def committed(store):
    store.prepare("c", added(store))
    try:
        return store.commit("c", parse("committed:1"), changes=CHANGES, author="me", message="m", created_by="sh")
    finally:
        store.release("c")


def adopted(store):
    config = {"architecture": "amd64", "os": "linux", "history": [{"created_by": "RUN true"}], "config": {}}
    return store.adopt(store.snapshot(added(store)), config, [parse("adopted:1")], annotations={"a": "b"})


def loaded(store):
    return next(each.image for each in store.load(of_first_release()) if each.image)


@pytest.mark.parametrize("make", [added, bare, imported, committed, adopted, loaded], ids=lambda make: make.__name__)
def test_images_are_as_the_spec_has_them(world, make):
    store, content, registry = world
    image = make(store)
    with content.open(image.digest) as manifest_file, content.open(image.id) as config_file:
        manifest, config = manifest_file.read(), config_file.read()
    hold_image(manifest, config)
    name = parse(f"example.org/{make.__name__}:1")
    store.tag(str(image.id), name)
    list(store.push(name))
    described, _ = hold_image(registry.manifest(name).data, config)
    assert all(each["mediaType"].endswith("+gzip") for each in described["layers"])


def test_archives_are_layouts(world):
    store, _, _ = world
    added(store), bare(store)
    with tarfile.open(fileobj=io.BytesIO(b"".join(store.save(["added:1", "bare:1"])))) as tar:
        files = {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}
    hold(files["oci-layout"], LAYOUT)
    index = hold(files["index.json"], INDEX)
    assert len(index["manifests"]) == 2
    for each in index["manifests"]:
        manifest = files[each["digest"].replace("sha256:", "blobs/sha256/")]
        assert len(manifest) == each["size"]
        config = json.loads(manifest)["config"]
        hold_image(manifest, files[config["digest"].replace("sha256:", "blobs/sha256/")])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (DESCRIPTOR, {"mediaType": "a/b", "digest": DIGEST, "size": -1}),
        (DESCRIPTOR, {"mediaType": "a/b", "digest": DIGEST[:-1], "size": 1}),
        (DESCRIPTOR, {"mediaType": "layer", "digest": DIGEST, "size": 1}),
        (DESCRIPTOR, {"mediaType": "a/b", "digest": DIGEST, "size": 1, "platform": {"os": "linux"}}),
        (MANIFEST, {"schemaVersion": 1, "config": {}, "layers": []}),
        (MANIFEST, {"schemaVersion": 2, "layers": []}),
        (INDEX, {"schemaVersion": 2, "manifests": [], "layers": []}),
        (LAYOUT, {"imageLayoutVersion": "2"}),
        (CONFIG, {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ["x"]}}),
        (CONFIG, {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}, "created": ""}),
    ],
)  # fmt: skip
def test_the_schemas_refuse(schema, value):
    with pytest.raises(jsonschema.ValidationError):
        hold(json.dumps(value), schema)
