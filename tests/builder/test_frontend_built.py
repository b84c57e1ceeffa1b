"""The same Dockerfiles, built on real parts: the image of each has its config, its history and its layers."""

import pytest
from frontend_builds import build, engine_of
from frontend_parts import cases

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
