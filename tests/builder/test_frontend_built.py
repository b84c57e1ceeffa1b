"""The same Dockerfiles, built on real parts: the image of each has its config, its history and its layers."""

import io
import json

import pytest
from frontend_builds import build, engine_of
from frontend_parts import cases

from moby.contracts.builder import BuildFailed, Request
from moby.testing.archives import Archived, docker
from moby.testing.lending import Lending

pytestmark = pytest.mark.slow

BUILT = [each for each in cases() if each.graph and each.expected.get("dockerd", True)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with engine_of(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case.name)
def test_an_image_comes_of_it(engine, case, tmp_path):
    image, _ = build(engine, case, tmp_path)
    config = image.raw_config
    assert {name: value for name, value in config["config"].items() if value} == case.expected["config"]
    told = [each["created_by"] for each in config["history"]]
    expected = case.expected["history"]
    assert told[len(told) - len(expected) :] == expected
    layers = [each for each in config["history"] if not each.get("empty_layer")]
    assert len(layers) == len(config["rootfs"]["diff_ids"])


@pytest.mark.parametrize(
    "text", ["FROM deep\nCOPY x /", "FROM scratch\nCOPY --from=deep / /", "FROM scratch\nRUN --mount=from=deep x"]
)
def test_an_image_whose_config_is_nested_too_deeply_is_refused_by_name(engine, tmp_path, text):
    nested = json.loads("[" * 500 + "]" * 500)
    list(engine.images.load(io.BytesIO(docker(Archived([], Deep=nested), "deep"))))
    (tmp_path / "Dockerfile").write_text(text)
    made = engine.builder.open(Lending({"dockerfile": tmp_path, "context": tmp_path}), lambda event: None)
    try:
        with pytest.raises(BuildFailed, match=r"config of docker\.io/library/deep:latest is nested deeper than 100"):
            made.solve(Request())
    finally:
        made.close()
