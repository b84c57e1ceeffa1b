import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from moby.contracts.images import ImageConfig
from moby.contracts.types import Digest, Platform
from moby.errors import Invalid
from moby.oci import image
from moby.oci.image import Descriptor, Index, Manifest, StoredConfig

A, B = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
CONFIG = ImageConfig(("/e",), ("c", "d"), ("A=b",), "me", "/w", "SIGINT", {"k": "v"})
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SIZES = st.integers(0, 2**63 - 1)
CONFIGS = st.builds(
    ImageConfig,
    st.lists(TEXT).map(tuple),
    st.lists(TEXT).map(tuple),
    st.lists(TEXT).map(tuple),
    TEXT,
    TEXT,
    TEXT,
    st.dictionaries(TEXT, TEXT),
    st.frozensets(TEXT).map(lambda ports: tuple(sorted(ports))),
    st.frozensets(TEXT).map(lambda paths: tuple(sorted(paths))),
    st.fixed_dictionaries({}, optional={"Test": st.lists(TEXT), "Interval": SIZES, "Retries": SIZES}),
    st.lists(TEXT).map(tuple),
    st.lists(TEXT).map(tuple),
    st.booleans(),
)
PLATFORMS = st.builds(Platform, TEXT, TEXT, TEXT)
DIGESTS = st.sampled_from([A, B])


@given(CONFIGS, PLATFORMS, st.lists(DIGESTS), TEXT)
def test_config_comes_back(config, platform, diff_ids, created):
    stored = image.parse_config(image.dump_config(config, platform, diff_ids, created=created))
    assert evolve(stored, raw={}, history=()) == StoredConfig(config, platform, tuple(diff_ids), created)
    assert [each.empty_layer for each in stored.history] == [False] * len(diff_ids)


def test_manifest_comes_back():
    manifest = Manifest(Descriptor(image.CONFIG, A, 1), (Descriptor(image.LAYER_GZIP, B, 2),), annotations={"a": "b"})
    assert image.parse_manifest(image.dump_manifest(manifest)) == manifest


def test_index_comes_back():
    descriptor = Descriptor(image.MANIFEST, A, 1, Platform("linux", "arm", "v7"), {"x": "y"})
    index = Index((descriptor, Descriptor(image.MANIFEST, B, 0)), annotations={"a": "b"})
    assert image.parse_index(image.dump_index(index)) == index


def test_same_values_give_the_same_bytes():
    other = evolve(CONFIG, labels=dict(reversed({"a": "1", "b": "2"}.items())))
    same = evolve(CONFIG, labels={"a": "1", "b": "2"})
    assert image.dump_config(other, Platform(), [A]) == image.dump_config(same, Platform(), [A])


def test_docker_writes_null_for_nothing():
    data = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": None, "Labels": None, "User": None},
        "rootfs": {"type": "layers", "diff_ids": None},
    }
    assert image.parse_config(json.dumps(data).encode()).config == ImageConfig()


def test_docker_types_are_read():
    manifest = json.loads(image.dump_manifest(Manifest(Descriptor(image.CONFIG, A, 1), ())))
    docker = "application/vnd.docker.distribution.manifest"
    data = json.dumps(manifest | {"mediaType": docker + ".v2+json"}).encode()
    assert image.parse_manifest(data).media_type == docker + ".v2+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": docker + ".list.v2+json", "manifests": []}).encode()
    assert image.is_index(image.parse_index(index).media_type)
    assert image.is_gzip("application/vnd.docker.image.rootfs.diff.tar.gzip")


def changed(whole, path, value):
    """The document with one value put in, or with none where it is ..."""
    document = json.loads(whole)
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return json.dumps(document).encode()


WHOLE_MANIFEST = image.dump_manifest(Manifest(Descriptor(image.CONFIG, A, 1), (Descriptor(image.LAYER, B, 2),)))
WHOLE_CONFIG = image.dump_config(CONFIG, Platform(), [A])
WHOLE_INDEX = image.dump_index(Index((Descriptor(image.MANIFEST, A, 1, Platform()),)))


@pytest.mark.parametrize(
    ("parse", "data", "message"),
    [
        pytest.param(image.parse_config, b"\xff", "is no JSON", id="no-text"),
        pytest.param(image.parse_config, b"[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(image.parse_config, b"[]", "no JSON object", id="list"),
        pytest.param(image.parse_config, b"{" + b" " * (5 << 20), "are allowed", id="long"),
        pytest.param(image.parse_config, b'{"a": NaN}', "NaN is no number", id="nan"),
        pytest.param(image.parse_config, b'{"a": 1e999}', "is no JSON", id="infinite"),
        pytest.param(image.parse_config, b'{"a": 1, "a": 2}', "stands twice", id="twice"),
        pytest.param(image.parse_config, b'{"a": "\\ud800"}', "is no JSON", id="surrogate"),
        pytest.param(image.parse_config, b'{"a": ' + b"9" * 10_000 + b"}", "is no JSON", id="huge-number"),
        pytest.param(image.parse_config, changed(WHOLE_CONFIG, ["os"], ...), "os is missing", id="no-os"),
        pytest.param(image.parse_config, changed(WHOLE_CONFIG, ["os"], 7), "os must be text", id="os-number"),
        pytest.param(
            image.parse_config, changed(WHOLE_CONFIG, ["config", "Env"], "A=b"), "Env must be a list", id="env"
        ),
        pytest.param(image.parse_config, changed(WHOLE_CONFIG, ["config", "Env"], [1]), "must be text", id="env-item"),
        pytest.param(image.parse_config, changed(WHOLE_CONFIG, ["config", "Env"], ["A=\0"]), "holds a NUL", id="nul"),
        pytest.param(
            image.parse_config, changed(WHOLE_CONFIG, ["config", "Labels"], [1]), "must be an object", id="labels"
        ),
        pytest.param(image.parse_config, changed(WHOLE_CONFIG, ["config"], "x"), "must be an object", id="config"),
        pytest.param(image.parse_config, changed(WHOLE_CONFIG, ["rootfs"], ...), "rootfs is missing", id="no-rootfs"),
        pytest.param(
            image.parse_config, changed(WHOLE_CONFIG, ["rootfs", "type"], "x"), "must be layers", id="rootfs-type"
        ),
        pytest.param(
            image.parse_config, changed(WHOLE_CONFIG, ["rootfs", "diff_ids"], ["x"]), "diff_ids is wrong", id="diff-id"
        ),
        pytest.param(image.parse_manifest, changed(WHOLE_MANIFEST, ["schemaVersion"], 1), "must be 2", id="schema-1"),
        pytest.param(
            image.parse_manifest, changed(WHOLE_MANIFEST, ["schemaVersion"], 2.0), "must be 2", id="schema-float"
        ),
        pytest.param(image.parse_manifest, changed(WHOLE_MANIFEST, ["manifests"], []), "ambiguous", id="ambiguous"),
        pytest.param(
            image.parse_manifest,
            changed(WHOLE_MANIFEST, ["mediaType"], image.INDEX),
            "no image manifest",
            id="index-type",
        ),
        pytest.param(
            image.parse_manifest, changed(WHOLE_MANIFEST, ["config", "size"], -1), "count of bytes", id="size"
        ),
        pytest.param(
            image.parse_manifest, changed(WHOLE_MANIFEST, ["config", "size"], True), "count of bytes", id="size-bool"
        ),
        pytest.param(
            image.parse_manifest, changed(WHOLE_MANIFEST, ["config", "size"], 1 << 63), "count of bytes", id="size-huge"
        ),
        pytest.param(image.parse_manifest, changed(WHOLE_MANIFEST, ["layers", 0], 5), "must be an object", id="layer"),
        pytest.param(
            image.parse_manifest,
            changed(WHOLE_MANIFEST, ["layers"], json.loads(WHOLE_MANIFEST)["layers"] * 600),
            "are allowed",
            id="layers",
        ),
        pytest.param(
            image.parse_manifest,
            changed(WHOLE_MANIFEST, ["layers", 0, "digest"], "../../x"),
            "digest is wrong",
            id="digest",
        ),
        pytest.param(image.parse_index, changed(WHOLE_INDEX, ["layers"], []), "ambiguous", id="index-ambiguous"),
        pytest.param(
            image.parse_index, changed(WHOLE_INDEX, ["mediaType"], image.MANIFEST), "no image index", id="manifest-type"
        ),
        pytest.param(
            image.parse_index,
            changed(WHOLE_INDEX, ["manifests", 0, "platform"], {"os": "x"}),
            "architecture is missing",
            id="platform",
        ),
    ],
)
def test_refuses(parse, data, message):
    with pytest.raises(Invalid, match=message):
        parse(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
PATHS = {
    image.parse_config: (
        WHOLE_CONFIG,
        [["config"], ["config", "Cmd"], ["config", "Labels"], ["rootfs"], ["os"], ["created"]],
    ),
    image.parse_manifest: (
        WHOLE_MANIFEST,
        [["layers"], ["layers", 0], ["config"], ["config", "digest"], ["annotations"]],
    ),
    image.parse_index: (WHOLE_INDEX, [["manifests"], ["manifests", 0], ["manifests", 0, "platform"], ["mediaType"]]),
}


@pytest.mark.parametrize("parse", PATHS)
@given(st.data())
def test_anything_is_a_value_or_invalid(parse, data):
    whole, paths = PATHS[parse]
    bytes_ = data.draw(
        st.binary()
        | JSON.map(lambda value: json.dumps(value).encode())
        | st.builds(changed, st.just(whole), st.sampled_from(paths), JSON)
        | st.builds(lambda cut: whole[:cut], st.integers(0, len(whole)))
    )
    try:
        parse(bytes_)
    except Invalid as error:
        assert error.message


def run_config(values):
    """An image's config whose part `config` is this."""
    return json.dumps(json.loads(image.dump_config(ImageConfig(), Platform(), [])) | {"config": values}).encode()


@pytest.mark.parametrize(
    ("key", "value"),
    [("ArgsEscaped", 1), ("Healthcheck", []), ("Volumes", []), ("ExposedPorts", []), ("OnBuild", [1])],
)
def test_run_config_that_is_wrong(key, value):
    with pytest.raises(Invalid, match=key):
        image.parse_config(run_config({key: value}))


def test_healthcheck_that_is_wrong():
    with pytest.raises(Invalid, match="Interval"):
        image.parse_config(run_config({"Healthcheck": {"Interval": -1}}))


def test_history_is_read():
    data = json.loads(image.dump_config(ImageConfig(), Platform(), []))
    data["history"] = [{"created_by": "RUN x", "comment": "c", "author": "a", "created": "t", "empty_layer": True}]
    stored = image.parse_config(json.dumps(data | {"author": "me", "comment": "no", "docker_version": "1"}).encode())
    assert stored.history == (image.Step("t", "RUN x", "a", "c", True),)
    assert (stored.author, stored.comment, stored.docker_version) == ("me", "no", "1")
