"""The same Dockerfiles, built on real parts: the image that comes of each has the config, the history and the layers."""

import pytest
from engines import Engine, box_root
from frontend_parts import RICH, TRIGGER, cases
from lenders import Lender
from peers.images import archive

from moby.contracts.builder import Export, ExportType
from moby.oci.reference import parse
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow

BUILT = [each for each in cases() if each.graph and each.expected.get("dockerd", True)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    with own_mounts(shared=True), own_network(), Engine(folder, box_root(folder)) as made:
        for name, config in (("localhost/box", {}), ("localhost/rich:1", RICH), ("localhost/trigger:1", TRIGGER)):
            number = len(list(folder.glob("*.tar")))
            path = archive(folder / f"{number}.tar", folder / f"root{number}", name=name, **config)
            with path.open("rb") as stream:
                for _ in made.images.load(stream):
                    pass
        yield made


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case.name)
def test_an_image_comes_of_it(engine, case, tmp_path):
    (tmp_path / "x").write_text("more")
    (tmp_path / "nothing").mkdir()
    context = case.folder / "context"
    session = Lender({"dockerfile": case.folder, "context": context if context.is_dir() else tmp_path / "nothing"})
    session.folders["more"] = tmp_path
    build = engine.builder.open(session, lambda event: None)
    try:
        result = build.solve(case.request)
        reference = f"case/{case.name}"
        build.export(result, [Export(ExportType.IMAGE, names=(reference,))])
    finally:
        build.close()
    image = engine.images.get(reference)
    config = image.raw_config
    assert {name: value for name, value in config["config"].items() if value} == case.expected["config"]
    told = [each["created_by"] for each in config["history"]]
    expected = case.expected["history"]
    assert told[len(told) - len(expected) :] == expected
    layers = [each for each in config["history"] if not each.get("empty_layer")]
    assert len(layers) == len(config["rootfs"]["diff_ids"])
    assert parse(reference) in image.references
